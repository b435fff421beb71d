//! A small picture of a medium, never its bytes: decoded in the sandbox as for inspection, written anew as JPEG, so that nothing of the
//! file but its pixels gets out. Once the bytes are gone it is made of the evidence, which is no larger than need be either.

use domain::Failure;
use pipeline::inspect::{preview, sheet};
use pipeline::sandbox::Item;
use store::{EvidenceState, Submission};
use sync::request::{Answer, Preview};

use super::{Answers, Found, JPEG, Refusal, answer, trouble};
use crate::serve::tenant::Tenant;
use crate::serve::vault::Owner;
use crate::serve::work;

/// Why there is no evidence of what may well have been a picture.
const LOST: [&str; 2] = ["bytes_gone", "no_room"];

impl Answers {
    pub(super) fn preview(&self, wanted: &Preview) -> Result<Answer, Refusal> {
        let Found { submission, tenant } = self.find(wanted.submission)?;
        let index = usize::from(wanted.index);
        if index >= submission.media.len() {
            return Err("unknown_medium");
        }
        // What the box itself may keep no picture of, nobody is sent one of.
        let policy = &tenant.profile.policy;
        let decided = submission.decision.as_ref();
        if decided.is_some_and(|row| !policy.may_keep_evidence(&row.decision)) {
            return Err("withheld");
        }
        self.note(&format!("hub.preview:{index}"), Some(&submission))?;
        let image = match work::read(&self.app, &submission, index) {
            Ok(item) => {
                let gap = policy.max_gap_ms();
                let inspector = tenant.engine.inspector();
                inspector.preview(&item, wanted.at_ms, gap).map_err(|failure| word(&failure))?
            }
            // They may also go at this very moment, once the evidence is there.
            Err(failure) => {
                let kept = self.of_evidence(&submission, &tenant, index);
                return kept.map_err(|code| match &*failure.reason {
                    "bytes_gone" => code,
                    // Altered by another hand, or its disk is failing.
                    _ => word(&failure),
                });
            }
        };
        picture(&image.ok_or("unreadable")?)
    }

    fn of_evidence(
        &self,
        submission: &Submission,
        tenant: &Tenant,
        media: usize,
    ) -> Result<Answer, Refusal> {
        let rows = self.app.store.evidence(&submission.tenant, submission.id);
        let rows = rows.map_err(|error| trouble(&error))?;
        let row = rows.into_iter().find(|row| row.media == media).ok_or("gone")?;
        let made = match (row.state, row.made) {
            (EvidenceState::Here, Some(made)) => made,
            (EvidenceState::Due, _) => return Err("later"),
            // No picture could be made of it, whoever tries.
            (EvidenceState::None, _)
                if row.reason.is_some_and(|why| !LOST.contains(&why.as_str())) =>
            {
                return Err("unreadable");
            }
            _ => return Err("gone"),
        };
        let owner = Owner { tenant: &submission.tenant, submission: submission.id, media };
        let kept = self.app.vault.get(owner, &made.file).map_err(|error| {
            tracing::error!(%error, submission = %submission.id, "evidence cannot be shown");
            "unreadable"
        })?;
        let item = Item::from_reader(&*kept, kept.len() as u64).map_err(|_| "later")?;
        let image = tenant.engine.inspector().picture(&item).map_err(|failure| word(&failure))?;
        picture(&preview::small(&image.ok_or("unreadable")?))
    }
}

fn picture(image: &models::RgbImage) -> Result<Answer, Refusal> {
    answer(JPEG, sheet::jpeg(image).map_err(|_| "unreadable")?)
}

fn word(failure: &Failure) -> Refusal {
    match failure.permanent {
        true => "unreadable",
        // The decoder or the disk, not the medium.
        false => "later",
    }
}

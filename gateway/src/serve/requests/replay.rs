//! What another policy would have decided on what this box has seen, in counts: what `weir policy replay` tells, within bounds of time and
//! number, the newest first.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use domain::Policy;
use domain::journal::SubmissionId;
use domain::profile::policy_of;
use serde::Serialize;
use store::First;
use sync::request::{Answer, MOST_POLICY_BYTES, Replay};

use super::{Answers, JSON, Refusal, answer, trouble};
use crate::replay::Report;

/// Decisions that are looked at for one request.
const MOST: u64 = 100_000;

/// How long that may take; the hub waits a little longer.
const LONGEST: Duration = Duration::from_secs(15);

/// Submissions that are named, of each kind of change and of all.
const SAMPLES: usize = 5;
const ALL_SAMPLES: usize = 20;

/// What is told.
#[derive(Serialize)]
struct Told {
    /// `name@version` of the policy.
    policy: String,
    /// Decisions that were looked at.
    seen: u64,
    /// Whether these were all; else they are the newest.
    whole: bool,
    /// Those whose evidence is gone, or was never stored.
    without_evidence: u64,
    /// Those that keep their status; of them those that do for other reasons.
    same: u64,
    other_reasons: u64,
    /// Those with another status; of them those whose scan had ended early, so that more might have been found.
    changed: u64,
    ended_early: u64,
    /// From which status to which.
    moves: Vec<Moved>,
}

#[derive(Serialize)]
struct Moved {
    from: &'static str,
    to: &'static str,
    count: u64,
    samples: Vec<SubmissionId>,
}

impl Answers {
    pub(super) fn replay(&self, wanted: &Replay) -> Result<Answer, Refusal> {
        if self.served(&wanted.tenant).is_none() {
            return Err("unknown_tenant");
        }
        if wanted.policy.len() > MOST_POLICY_BYTES {
            return Err("unusable");
        }
        let policy = policy_of(&wanted.policy).map_err(|problems| {
            tracing::info!(%problems, "a policy of the hub's cannot be tried out");
            "unusable"
        })?;
        let Ok(_turn) = self.replaying.try_lock() else { return Err("later") };
        self.note("hub.replay", None)?;
        let told = self.count(wanted, &policy, Instant::now() + LONGEST)?;
        answer(JSON, serde_json::to_vec(&told).map_err(|_| "internal")?)
    }

    fn count(&self, wanted: &Replay, policy: &Policy, end: Instant) -> Result<Told, Refusal> {
        let mut report = Report::of(policy);
        let mut whole = true;
        let (dir, tenant) = (self.app.store.dir(), Some(&wanted.tenant));
        let counted = store::past(dir, tenant, wanted.since, First::Newest, &mut |past| {
            if report.decisions == MOST || Instant::now() > end {
                whole = false;
                return ControlFlow::Break(());
            }
            let named: usize = report.moves.values().map(|moved| moved.samples.len()).sum();
            let samples = if named < ALL_SAMPLES { SAMPLES } else { 0 };
            report.add(policy, past, samples);
            ControlFlow::Continue(())
        });
        counted.map_err(|error| trouble(&error))?;
        Ok(told(report, whole))
    }
}

fn told(report: Report, whole: bool) -> Told {
    let Report { policy, decisions, without_evidence, changed, other_reasons, ended_early, .. } =
        report;
    let moves = report.moves.into_iter().map(|((from, to), moved)| Moved {
        from,
        to,
        count: moved.count,
        samples: moved.samples.iter().map(|sample| sample.submission).collect(),
    });
    Told {
        policy,
        seen: decisions,
        whole,
        without_evidence,
        same: decisions - without_evidence - changed,
        other_reasons,
        changed,
        ended_early,
        moves: moves.collect(),
    }
}

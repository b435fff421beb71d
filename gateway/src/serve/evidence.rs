//! Makes evidence: of each medium that was not approved one small picture, in the place of its bytes.
//!
//! Decided with the verdict, made afterwards: the effect row is durable, so that a crash anywhere here costs a repetition.
//! First the file is on the disk, then one transaction names it and gives the bytes up; a file that no row names is swept
//! at the next start.

use std::sync::Arc;
use std::time::Duration;

use domain::journal::Code;
use domain::{Failure, Finding};
use pipeline::inspect::sheet;
use store::{Again, Effect, EffectKind, Error, Exhibit, MadeEvidence};

use super::engine::Single;
use super::vault::Owner;
use super::{App, work};

/// How often is looked for work that nobody told of: what failed becomes due by itself.
const TICK: Duration = Duration::from_secs(1);

/// Media in one go. One after the other: judging goes first.
const BATCH: u32 = 8;

/// Attempts at a medium whose decoder dies or hangs.
const TRIES: u32 = 3;

/// What is missing on the box, and no fault of the medium: tried until the evidence's time is over.
const OURS: [&str; 3] = ["decoder_missing", "worker_unavailable", "unreadable"];

/// What many findings have that says nothing of what is wrong.
const NOT_TELLING: [&str; 4] = ["face", "age", "words", "qr"];

/// Why an attempt made nothing.
enum Miss {
    /// Nothing can be made of it.
    Never(Code),
    /// Another time.
    Later(Code, String),
}

/// Of which media evidence is made: of those that somebody looked at. What was not looked at, since the matter was
/// settled before, is not what the decision rests on, and may be anything.
pub fn exhibits(media: &[Single]) -> Vec<Exhibit> {
    let seen = media.iter().enumerate().filter(|(_, single)| single.decision.is_some());
    seen.map(|(media, single)| Exhibit { media, moments_ms: single.moments_ms.clone() }).collect()
}

/// The moments of a time line that say most, the surest finding's first.
pub fn moments(findings: &[Finding]) -> Vec<u64> {
    let telling = findings.iter().filter(|f| !NOT_TELLING.contains(&f.label.as_str()));
    let mut timed: Vec<_> = telling.filter_map(|f| Some((f.score, f.span?))).collect();
    timed.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut moments: Vec<u64> = Vec::new();
    for (_, span) in timed {
        let middle = span.start_ms.midpoint(span.end_ms);
        if moments.len() < sheet::MOST_FRAMES && !moments.contains(&middle) {
            moments.push(middle);
        }
    }
    moments
}

/// Runs until the service is told to end; what is not made then is made after the next start.
pub async fn run(app: Arc<App>) {
    let mut stop = app.stop.clone();
    while !app.is_draining() {
        let due = match app.store.lease_effects(EffectKind::Evidence, BATCH).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "cannot lease evidence to make");
                Vec::new()
            }
        };
        if due.is_empty() {
            tokio::select! {
                () = app.evidence_ready.notified() => {}
                () = tokio::time::sleep(TICK) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
        let some = !due.is_empty();
        for effect in due {
            // What is left of the lease is made after the next start.
            if app.is_draining() {
                return;
            }
            one(&app, effect).await;
        }
        if some {
            app.effects_ready.notify_one();
        }
    }
}

async fn one(app: &Arc<App>, effect: Effect) {
    let made = {
        let (app, effect) = (Arc::clone(app), effect.clone());
        tokio::task::spawn_blocking(move || make(&app, &effect)).await
    };
    let made = made.unwrap_or_else(|error| {
        tracing::error!(%error, "the making of evidence itself failed");
        Err(miss(&effect, "internal", "it broke off".to_owned()))
    });
    let noted = match made {
        Ok(made) => keep(app, &effect, made).await,
        Err(Miss::Never(reason)) => {
            app.metrics.evidence("none", reason.as_str());
            app.insist(|store| store.evidence_none(&effect, reason.clone())).await
        }
        Err(Miss::Later(reason, detail)) => {
            tracing::warn!(submission = ?effect.submission, reason = reason.as_str(), detail, "no evidence yet");
            app.metrics.evidence("failed", reason.as_str());
            app.failed(&effect, reason, detail, Again::Later).await
        }
    };
    match noted {
        // An approval, an erasure or the end of its time came in between: nobody wants it any more.
        Ok(()) | Err(Error::LeaseLost) => {}
        Err(error) => tracing::warn!(%error, "cannot note evidence; it is made once more"),
    }
}

/// The row names the file, or the file goes.
async fn keep(app: &Arc<App>, effect: &Effect, made: MadeEvidence) -> Result<(), Error> {
    let file = made.file.clone();
    let Err(error) = app.insist(|store| store.evidence_made(effect, made.clone())).await else {
        app.metrics.evidence("made", "");
        return Ok(());
    };
    // Of others nobody knows whether they were committed; the sweep at the next start does.
    if matches!(error, Error::LeaseLost | Error::Busy(_) | Error::Full) {
        let vault = Arc::clone(app);
        let deleted = tokio::task::spawn_blocking(move || vault.vault.delete(&file)).await;
        if let Ok(Err(error)) = deleted {
            tracing::warn!(%error, "a file without an owner stays until the next start");
        }
    }
    if !matches!(error, Error::LeaseLost) {
        let reason = Code::lossy("commit");
        app.failed(effect, reason, error.to_string(), Again::Later).await?;
    }
    Err(error)
}

/// Decodes the bytes once more, and keeps a picture of them. Blocks.
fn make(app: &App, effect: &Effect) -> Result<MadeEvidence, Miss> {
    let gone = || Miss::Never(Code::lossy("bytes_gone"));
    let (Some(tenant), Some(id)) = (&effect.tenant, effect.submission) else { return Err(gone()) };
    let media: usize = effect.endpoint.parse().map_err(|_| gone())?;
    let Some(served) = app.tenants.get(tenant) else {
        let detail = format!("the tenant {tenant} is not served by this box any more");
        return Err(Miss::Later(Code::lossy("tenant_gone"), detail));
    };
    let failed = |failure: Failure| miss(effect, &failure.reason, failure.detail);
    if app.vault.is_full() {
        return Err(Miss::Never(Code::lossy("no_room")));
    }
    let submission = app
        .store
        .submission(tenant, id)
        .map_err(|error| miss(effect, "unreadable", error.to_string()))?;
    let item = work::read(app, &submission, media).map_err(|failure| match &*failure.reason {
        "unreadable" => failed(failure),
        _ => Miss::Never(Code::lossy(&failure.reason)),
    })?;
    let moments: Vec<u64> = serde_json::from_slice(&effect.payload).unwrap_or_default();
    let gap = served.profile.policy.max_gap_ms();
    let sheet = served.engine.inspector().sheet(&item, &moments, gap, 1).map_err(|failure| {
        if failure.permanent {
            return Miss::Never(Code::lossy(&failure.reason));
        }
        failed(failure)
    })?;
    let Some(sheet) = sheet else { return Err(Miss::Never(Code::lossy("nothing_to_see"))) };
    let picture = sheet::jpeg(&sheet.image).map_err(|error| miss(effect, "encoder", error))?;
    let owner = Owner { tenant, submission: id, media };
    let (file, bytes) = app
        .vault
        .put(owner, &picture)
        .map_err(|error| Miss::Later(Code::lossy("io"), format!("cannot write it: {error}")))?;
    let (width, height) = (sheet.image.width(), sheet.image.height());
    Ok(MadeEvidence { file, bytes, width, height, frames: sheet.frames })
}

fn miss(effect: &Effect, reason: &str, detail: String) -> Miss {
    let code = Code::lossy(reason);
    if effect.attempts >= TRIES && !OURS.contains(&reason) {
        Miss::Never(code)
    } else {
        Miss::Later(code, detail)
    }
}

#[cfg(test)]
mod tests {
    use domain::Span;

    use super::*;

    fn finding(label: &str, score: f32, span: Option<(u64, u64)>) -> Finding {
        Finding {
            detector: "d".into(),
            model: "m".into(),
            label: label.into(),
            score,
            span: span.map(|(start_ms, end_ms)| Span { start_ms, end_ms }),
            bbox: None,
            media: Some(0),
            text: None,
        }
    }

    #[test]
    fn the_surest_findings_say_which_moments_are_shown() {
        let findings = [
            finding("porn", 0.7, Some((0, 1_000))),
            finding("face", 1.0, Some((9_000, 9_000))),
            finding("bank:hate:own", 0.9, Some((4_000, 6_000))),
            finding("hentai", 0.8, Some((5_000, 5_000))),
            finding("link:blocked", 1.0, None),
        ];
        assert_eq!(moments(&findings), [5_000, 500]);
    }

    #[test]
    fn what_nobody_looked_at_is_no_exhibit() {
        let seen = Single {
            decision: Some(super::super::engine::gravest(Vec::new(), "p@1".into())),
            pdq: None,
            moments_ms: vec![7],
        };
        let unseen = Single { decision: None, pdq: None, moments_ms: Vec::new() };
        let exhibits = exhibits(&[unseen, seen]);
        assert_eq!(exhibits, [Exhibit { media: 1, moments_ms: vec![7] }]);
    }
}

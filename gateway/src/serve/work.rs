//! The worker loop: leases jobs, judges them, commits what comes out.
//!
//! A lease names this process and the attempt, so that a crash anywhere here costs nothing but the attempt: the next
//! process puts the job back. The commit ends the lease, and nothing else does.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::journal::{Code, Sha256, SubmissionId, TenantId};
use domain::{Context, Failure, Status};
use pipeline::inspect::Step;
use pipeline::sandbox::Item;
use store::{Basis, Fate, JobKind, Lease, MediaVerdict, SeenPdq, Submission, Verdict, Work};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::engine::{Judged, Manner, Single};
use super::page::{Seen, Stages, self_test};
use super::progress::{Event, Stage};
use super::pulse::Part;
use super::tenant::Tenant;
use super::trial::Choice;
use super::{App, evidence, fetch, notify};
use crate::check::verdict::MediaView;

/// How often the queue is looked at when nobody says that there is something: retries become due by themselves.
const TICK: Duration = Duration::from_secs(1);

/// Runs until the service is told to end, then finishes what is in hand.
pub async fn run(app: Arc<App>) {
    let places = Arc::new(Semaphore::new(app.config.workers));
    let mut hands = JoinSet::new();
    let mut stop = app.stop.clone();
    while !app.is_draining() {
        // Waits for a place before it leases: what is leased is being worked on.
        let Some(place) = free_place(&app, &places).await else { break };
        app.pulse.beat(Part::Work);
        while hands.try_join_next().is_some() {}
        let more = places.available_permits();
        match app.store.lease(1 + more as u32).await {
            Ok(work) if work.is_empty() => {
                drop(place);
                tokio::select! {
                    () = app.work_ready.notified() => {}
                    () = tokio::time::sleep(TICK) => {}
                    _ = stop.wait_for(|stop| *stop) => {}
                }
            }
            Ok(work) => {
                let mut place = Some(place);
                for one in work {
                    let held = match place.take() {
                        Some(place) => Ok(place),
                        None => Arc::clone(&places).acquire_owned().await,
                    };
                    let app = Arc::clone(&app);
                    hands.spawn(async move {
                        one_job(&app, one).await;
                        drop(held);
                    });
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot lease jobs");
                drop(place);
                tokio::time::sleep(TICK).await;
            }
        }
    }
    app.pulse.ended(Part::Work);
    let finish = async { while hands.join_next().await.is_some() {} };
    if tokio::time::timeout(app.config.drain, finish).await.is_err() {
        tracing::warn!(
            "jobs in hand were given up at the end of the drain; the next start takes them up"
        );
    }
}

/// A place for one more job; `None` when the service is told to end. That all are taken for long is no stall.
async fn free_place(app: &App, places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    while !app.is_draining() {
        app.pulse.beat(Part::Work);
        let free = Arc::clone(places).acquire_owned();
        if let Ok(place) = tokio::time::timeout(TICK, free).await {
            return place.ok().filter(|_| !app.is_draining());
        }
    }
    None
}

async fn one_job(app: &Arc<App>, work: Work) {
    let (id, lease) = (work.submission.id, work.lease.clone());
    let tenant = work.submission.tenant.clone();
    let outcome = match work.lease.kind {
        JobKind::Judge => judge(app, work).await,
        JobKind::Fetch => fetch::fetch(app, work).await,
    };
    match outcome {
        Ok(()) => {}
        Err(reason) => fail(app, &tenant, id, lease, reason).await,
    }
}

async fn fail(app: &App, tenant: &TenantId, id: SubmissionId, lease: Lease, reason: Code) {
    app.metrics.failed_attempts.fetch_add(1, Ordering::Relaxed);
    tracing::warn!(submission = %id, reason = reason.as_str(), attempt = lease.attempt, "an attempt failed");
    match app.store.fail(lease, reason.clone()).await {
        // Nobody tries again by itself: whoever waits need not wait longer.
        Ok(Fate::Dead) => {
            if !self_test::is_own(tenant) {
                app.desk.hour.given_up(reason.as_str());
            }
            app.progress.tell(tenant, id, Stage::Settled);
        }
        Ok(Fate::Retry(_)) => app.progress.again(tenant, id),
        Err(error) => {
            tracing::error!(%error, submission = %id, "cannot note the failure; the next start takes the job up");
        }
    }
}

async fn judge(app: &Arc<App>, work: Work) -> Result<(), Code> {
    let Work { lease, submission, basis, .. } = work;
    let tenant = app.tenant(&submission.tenant).map_err(|_| Code::lossy("tenant_gone"))?;
    app.progress.tell(&submission.tenant, submission.id, Stage::Judging);
    let waited = (app.store.now().0 - submission.received_at.0).max(0);
    let Some(judged) = look(app, &submission, &tenant, basis).await? else {
        app.gpu.replace(app, &submission.tenant).await;
        return again(app, &submission, lease, "gpu_lost").await;
    };
    let timings = &judged.detail.timings_ms;
    let [decode, detect, decide] = [timings.decode, timings.detect, timings.decide]
        .map(|ms| Duration::from_secs_f64(ms.max(0.0) / 1e3));
    let scores = judged.detail.scores.clone();
    let kinds: Vec<_> = judged.detail.media.iter().map(MediaView::kind).collect();
    let told = notify::tell(&tenant);
    let (ran, said) = (judged.ran.clone(), judged.decision.status);
    let mut verdict = verdict(&submission, judged, &tenant)?;
    verdict.basis = Some(basis);
    let committing = Instant::now();
    match app.store.commit(lease.clone(), verdict, told).await {
        Ok(settled) => {
            let decision = &settled.decision;
            let status = decision.status;
            tracing::debug!(submission = %submission.id, ?status, took = ?committing.elapsed(), "decided");
            let turnaround = (settled.at.0 - submission.received_at.0).max(0);
            let [waited, turnaround] =
                [waited, turnaround].map(|ms| Duration::from_millis(ms.cast_unsigned()));
            let stages = Stages([waited, decode, detect, decide, turnaround]);
            let seen = Seen::new(submission.id, settled.at, &kinds, decision);
            // Before anybody is told: who asks for the numbers then finds it counted.
            if !self_test::is_own(&submission.tenant) {
                app.metrics.decided(decision, stages, &scores);
                app.desk.hour.decided(status, &decision.reasons, stages);
                app.desk.verdicts.add(seen);
                // What the models led to, whatever a person or the author's standing made of it.
                app.metrics.ran(&ran, said);
                app.life.note(&ran, said == Status::Approved, app.config.models);
            }
            app.progress.tell(&submission.tenant, submission.id, Stage::Settled);
            app.effects_ready.notify_one();
            app.messages_ready.notify_one();
            app.evidence_ready.notify_one();
            Ok(())
        }
        // No failure of the submission's: it is matched once more, with the lists as they are now.
        Err(store::Error::Stale) => again(app, &submission, lease, "lists_changed").await,
        Err(error) => Err(Code::lossy(match error {
            store::Error::Full => "storage_full",
            _ => {
                tracing::error!(%error, submission = %submission.id, "cannot commit a verdict");
                "commit"
            }
        })),
    }
}

/// Gives a job back that has not failed; `reason` is told where even that cannot be noted.
async fn again(app: &App, submission: &Submission, lease: Lease, reason: &str) -> Result<(), Code> {
    app.progress.again(&submission.tenant, submission.id);
    app.work_ready.notify_one();
    app.store.release(lease).await.map_err(|_| Code::lossy(reason))
}

/// Reads, decodes, looks and decides, away from the threads that serve; `None` where the GPU was lost meanwhile.
async fn look(
    app: &Arc<App>,
    submission: &Submission,
    tenant: &Tenant,
    basis: Basis,
) -> Result<Option<Judged>, Code> {
    let judging = {
        let (app, submission) = (Arc::clone(app), submission.clone());
        let (engine, lists) = (Arc::clone(&tenant.engine), Arc::clone(&tenant.lists));
        tokio::task::spawn_blocking(move || {
            let lists = lists.at(&app.store, &submission.tenant, basis.lists)?;
            let media: Vec<_> =
                (0..submission.media.len()).map(|index| read(&app, &submission, index)).collect();
            let context = Context {
                surface: submission.surface.as_str().to_owned(),
                language: submission.language.as_ref().map_or("", Code::as_str).to_owned(),
            };
            let heard = |progress: pipeline::inspect::Progress| {
                let stage = match progress.step {
                    Step::Decode => Stage::Decoding,
                    Step::Detect => Stage::Detecting,
                };
                let event = Event::of(stage, progress.media, progress.percent);
                app.progress.tell(&submission.tenant, submission.id, event);
            };
            let caption = submission.caption.as_deref();
            let choice = Choice {
                submission: &submission.id.to_string(),
                // Fewer than a turn of the workers wait: nobody waits longer for a shadow.
                beside: app.queued.load(Ordering::Relaxed) <= app.config.workers as u64,
                is_off: &|id| app.life.is_off(id),
            };
            let manner = Manner { lists: Some(&lists), choice: &choice, pace: app.climate.pace() };
            let judged = engine.judge(caption, &media, &context, &manner, &heard);
            // Without its models it saw less than it should have, and by no fault of its own.
            Ok(Some(judged).filter(|_| !engine.runs_on().is_lost()))
        })
    };
    let judged = judging.await.map_err(|error| {
        tracing::error!(%error, submission = %submission.id, "the judging itself failed");
        Code::lossy("internal")
    })?;
    judged.map_err(|error: store::Error| {
        tracing::error!(%error, submission = %submission.id, "cannot read the tenant's lists");
        Code::lossy("lists")
    })
}

/// The bytes of a medium out of the spool, checked against the hash under which they were accepted.
pub(super) fn read(app: &App, submission: &Submission, index: usize) -> Result<Item, Failure> {
    let fail = |reason: &str, detail: String| Failure {
        reason: reason.into(),
        detail,
        media: Some(0),
        permanent: false,
    };
    let media = submission.media.get(index);
    let Some((name, sha256)) = media.and_then(|m| Some((m.blob.as_deref()?, m.sha256?))) else {
        return Err(fail("bytes_gone", "the bytes are not in the spool any more".into()));
    };
    let most = media.and_then(|m| m.bytes).unwrap_or_default();
    let item = File::open(app.spool.path(name)).and_then(|file| Item::from_reader(file, most));
    match item {
        Ok(item) if item.sha256() == &sha256.0 => Ok(item),
        Ok(_) => Err(fail(
            "bytes_changed",
            "the bytes in the spool are not those that were accepted".into(),
        )),
        Err(error) => Err(fail("unreadable", format!("cannot read the bytes: {error}"))),
    }
}

fn verdict(submission: &Submission, judged: Judged, tenant: &Tenant) -> Result<Verdict, Code> {
    let detail = serde_json::to_string(&judged.detail).map_err(|error| {
        tracing::error!(%error, "cannot write a detail");
        Code::lossy("internal")
    })?;
    let may = tenant.profile.policy.may_keep_evidence(&judged.decision);
    let keep = may && !self_test::is_own(&submission.tenant);
    Ok(Verdict {
        scores: judged.categories,
        models: judged.detail.models.iter().map(|m| Code::lossy(m)).collect(),
        detail: Some(detail),
        words: judged.words,
        media: media_verdicts(submission, &judged.media),
        pdqs: seen_pdqs(&judged.media),
        verified: judged.verified,
        ladder: tenant.ladder(),
        // Also with an approval: its author's standing may hold it.
        keep_media: Some(tenant.appeal_window().filter(|_| keep).unwrap_or_default()),
        exhibits: evidence::exhibits(&judged.media),
        basis: None,
        again: None,
        decision: judged.decision,
    })
}

/// What each medium is worth by itself; one that was not looked at whole is worth nothing.
fn media_verdicts(submission: &Submission, media: &[Single]) -> Vec<MediaVerdict> {
    let pairs = submission.media.iter().zip(media);
    let worth = pairs.filter_map(|(row, single)| {
        let decision = single.decision.as_ref().filter(|d| d.complete)?;
        Some(MediaVerdict { sha256: row.sha256?, status: decision.status })
    });
    worth.collect()
}

fn seen_pdqs(media: &[Single]) -> Vec<SeenPdq> {
    let seen = media.iter().enumerate().filter_map(|(index, single)| {
        let (hex, quality) = single.pdq.as_ref()?;
        // 64 hexadecimal digits, as a SHA-256 has.
        let pdq: Sha256 = hex.parse().ok()?;
        Some(SeenPdq { media: index, pdq: pdq.0, quality: *quality })
    });
    seen.collect()
}

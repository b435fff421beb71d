//! The self-test: a built-in picture and clip through the whole way, timed by stage.
//!
//! They go as a tenant of the box's own, whose submissions are in no list, count or message, and are deleted at the end;
//! what stays is their journal entries, for everything that happens on a box is there.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::MediaKind;
use domain::journal::{Actor, Code, Sha256, SubmissionId, TenantId};
use serde::Serialize;
use serde_json::Value;
use store::{Filter, NewMedia, NewSubmission, StoredMedia};

use super::html::Text;
use super::words;
use crate::serve::progress::Stage;
use crate::serve::tenant::All;
use crate::serve::{App, Tenant};

/// How the box's own tenants begin; a configuration may name none so.
pub const OWN: &str = "weir/";

/// A picture and a clip, made by `weir-samples self-test`.
const PICTURE: &[u8] = include_bytes!("../../../assets/self-test.jpg");
const CLIP: &[u8] = include_bytes!("../../../assets/self-test.mp4");

/// How long a test may take: what the slowest medium may, and some queue before it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ahead of all that waits.
const PRIORITY: u8 = store::HIGHEST_PRIORITY;

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// When it began.
    pub at: Value,
    /// Whether everything was seen and decided.
    pub passed: bool,
    /// One for each profile in use.
    pub runs: Vec<Run>,
}

/// The test of a profile.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run {
    /// Its name.
    pub profile: String,
    /// Why it did not pass; `None` where it did.
    pub failure: Option<String>,
    /// Each stage and its milliseconds.
    pub stages: Vec<(&'static str, f64)>,
    /// From the first byte to the verdict, in milliseconds.
    pub total_ms: f64,
}

/// Whether a tenant is the box's own.
pub fn is_own(tenant: &TenantId) -> bool {
    tenant.as_str().starts_with(OWN)
}

/// A tenant of the box's own for each profile in use.
pub fn tenants(of: &All) -> All {
    let mut seen: Vec<&Arc<Tenant>> = Vec::new();
    for tenant in of.values() {
        if !seen.iter().any(|known| Arc::ptr_eq(&known.engine, &tenant.engine)) {
            seen.push(tenant);
        }
    }
    let own = seen.into_iter().enumerate().filter_map(|(n, tenant)| {
        let id = format!("{OWN}self-test-{}", n + 1).parse().ok()?;
        Some((id, Arc::new(tenant.as_own())))
    });
    own.collect()
}

/// Runs it; one at a time. What came out is with the desk afterwards.
pub async fn run(app: &Arc<App>) {
    let _alone = app.desk.testing.lock().await;
    let at = crate::serve::http::time(app.store.now());
    let mut runs = Vec::new();
    for (id, tenant) in app.tenants.all().iter().filter(|(id, _)| is_own(id)) {
        discard_all(app, id).await;
        let mut run = Run { profile: tenant.profile.name.clone(), ..Run::default() };
        if let Err(failure) = one(app, id, tenant, &mut run).await {
            tracing::warn!(profile = run.profile, failure, "the self-test failed");
            run.failure = Some(failure);
        }
        let start = Instant::now();
        discard_all(app, id).await;
        run.stages.push(("clean up", ms(start.elapsed())));
        runs.push(run);
    }
    let passed = !runs.is_empty() && runs.iter().all(|run| run.failure.is_none());
    tracing::info!(passed, "self-test");
    app.desk.tested(Outcome { at, passed, runs });
}

async fn one(app: &Arc<App>, id: &TenantId, tenant: &Tenant, run: &mut Run) -> Result<(), String> {
    let begin = Instant::now();
    let submission = SubmissionId(uuid::Uuid::now_v7());
    let mut listener = app
        .progress
        .listen(id, submission)
        .map_err(|_| "too many submissions are listened to".to_owned())?;
    let mut media = Vec::new();
    for (bytes, kind) in [(PICTURE, MediaKind::Image), (CLIP, MediaKind::Unknown)] {
        media.push(NewMedia::Stored(spool(app, bytes, kind).await?));
    }
    run.stages.push(("spool", ms(begin.elapsed())));
    let new = NewSubmission {
        id: submission,
        tenant: id.clone(),
        actor: Actor::Technician,
        surface: surface(tenant),
        language: None,
        author: None,
        priority: PRIORITY,
        critical: false,
        client_tag: None,
        idempotency_key: None,
        request: Sha256::of(submission.0.as_bytes()),
        ip: None,
        caption: Some("a self-test of the box".to_owned()),
        media,
        per_author_hour: None,
        ladder: tenant.ladder(),
    };
    let accepting = Instant::now();
    app.store.accept(new).await.map_err(|error| format!("the database refused it: {error}"))?;
    run.stages.push(("accept", ms(accepting.elapsed())));
    let accepted = Instant::now();
    app.work_ready.notify_one();
    let waited = tokio::time::timeout(PATIENCE, listener.reach(Stage::Judging)).await;
    waited.map_err(|_| "no worker took it up within a minute".to_owned())?;
    run.stages.push(("queue wait", ms(accepted.elapsed())));
    let judging = Instant::now();
    let judged = tokio::time::timeout(PATIENCE, listener.reach(Stage::Settled)).await;
    judged.map_err(|_| "there was no verdict within a minute".to_owned())?;
    let took = ms(judging.elapsed());
    run.total_ms = ms(begin.elapsed());
    let (store, tenant) = (app.store.clone(), id.clone());
    let found = tokio::task::spawn_blocking(move || store.submission(&tenant, submission)).await;
    let found = found.ok().and_then(Result::ok).ok_or("it cannot be read back")?;
    let row = found.decision.ok_or("it was given up after three attempts")?;
    let detail: Value =
        row.detail.as_deref().and_then(|d| serde_json::from_str(d).ok()).unwrap_or_default();
    let of = |stage: &str| detail["timings_ms"][stage].as_f64().unwrap_or_default();
    let stages = [("decode", of("decode")), ("detect", of("detect")), ("decide", of("decide"))];
    run.stages.extend(stages);
    let commit = took - stages.iter().map(|(_, ms)| ms).sum::<f64>();
    run.stages.push(("commit", commit.max(0.0)));
    // A rejection of the picture ends the scan before the clip: that is a verdict as well.
    match detail["error"].as_str() {
        // The reason without its detail, which may name what is inside a file.
        Some(error) => Err(format!("not all could be looked at: {}", reasons(error))),
        None if !row.decision.complete => Err("not all that had to be seen was seen".to_owned()),
        None => Ok(()),
    }
}

/// The codes of a line of errors, `code: detail; code: detail`.
fn reasons(error: &str) -> String {
    let codes = error.split("; ").filter_map(|one| one.split(": ").next());
    codes.map(|code| Code::lossy(code).as_str().to_owned()).collect::<Vec<_>>().join(", ")
}

async fn spool(app: &App, bytes: &[u8], kind: MediaKind) -> Result<StoredMedia, String> {
    let failed = |error: crate::serve::spool::SpoolError| format!("the spool refused it: {error}");
    let mut upload = app.spool.upload(bytes.len() as u64);
    upload.push(bytes).await.map_err(failed)?;
    let kept = upload.finish().await.map_err(failed)?;
    Ok(StoredMedia { sha256: Sha256(kept.sha256), bytes: kept.bytes, kind, blob: kept.name })
}

/// Any surface that the profile knows.
fn surface(tenant: &Tenant) -> Code {
    Code::lossy(tenant.profile.surfaces.first().map_or("any", String::as_str))
}

/// Deletes what this test, or one that was cut off, left.
async fn discard_all(app: &Arc<App>, tenant: &TenantId) {
    let (store, of) = (app.store.clone(), tenant.clone());
    let listing =
        tokio::task::spawn_blocking(move || store.submissions(&of, &Filter::default(), 100)).await;
    for left in listing.ok().and_then(Result::ok).unwrap_or_default() {
        if let Err(error) = app.store.discard(tenant.clone(), left.id).await {
            tracing::warn!(%error, "what a self-test left goes with the next one");
        }
    }
    app.effects_ready.notify_one();
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

/// The outcome in HTML.
pub fn show(html: &mut String, outcome: &Outcome) {
    let (class, word) = if outcome.passed { ("ok", "passed") } else { ("stopped", "failed") };
    let at = outcome.at.as_str().and_then(|at| at.get(11..19)).unwrap_or("–");
    let _ = write!(
        html,
        "<div id=\"self-test-result\" class=\"result {class}\"><h3>Self-test <strong>{word}</strong> \
         <span class=\"more\">{at} UTC</span></h3>"
    );
    for run in &outcome.runs {
        if let Some(failure) = &run.failure {
            let _ = write!(
                html,
                "<p>{}</p><p>Run it once more. If it fails again, save a support bundle and call support.</p>",
                Text(failure)
            );
        }
        let _ = write!(
            html,
            "<table><caption>Profile {}, {} in all</caption><thead><tr><th scope=\"col\">Stage</th>\
             <th scope=\"col\">Time</th></tr></thead><tbody>",
            Text(&run.profile),
            words::ms(run.total_ms)
        );
        for (stage, ms) in &run.stages {
            let _ =
                write!(html, "<tr><th scope=\"row\">{stage}</th><td>{}</td></tr>", words::ms(*ms));
        }
        html.push_str("</tbody></table>");
    }
    html.push_str("</div>");
}

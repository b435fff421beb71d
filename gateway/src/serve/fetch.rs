//! Brings media by their addresses (presigned GET). An address's query is a secret: it stands in no log.

use std::io::Read as _;
use std::sync::Arc;

use domain::MediaKind;
use domain::journal::{Code, Sha256};
use store::{StoredMedia, Work};
use tokio::runtime::Handle;

use super::progress::{Event, Stage};
use super::spool::{Kept, SpoolError};
use super::{App, outbound};

/// A piece of a body.
const CHUNK: usize = 64 << 10;

/// Fetches all media of a submission that are not here yet.
///
/// # Errors
/// A machine-readable reason.
pub async fn fetch(app: &Arc<App>, work: Work) -> Result<(), Code> {
    let Work { lease, submission, .. } = work;
    let tenant = app.tenant(&submission.tenant).map_err(|_| Code::lossy("tenant_gone"))?;
    app.progress.tell(&submission.tenant, submission.id, Stage::Fetching);
    let most = tenant.profile.limits.max_bytes;
    let mut here: Vec<(usize, Kept)> = Vec::new();
    for (index, media) in submission.media.iter().enumerate() {
        let Some(url) = media.url.clone() else { continue };
        let task = {
            let (app, of) = (Arc::clone(app), submission.tenant.clone());
            let id = submission.id;
            tokio::task::spawn_blocking(move || {
                one(&app, &url, most, &|done, total| {
                    let event = Event::bytes(Stage::Fetching, Some(index), done, total);
                    app.progress.tell(&of, id, event);
                })
            })
        };
        let fetched = task.await.map_err(|_| Code::lossy("internal")).and_then(|kept| kept);
        match fetched {
            Ok(kept) => here.push((index, kept)),
            Err(reason) => {
                app.forget_blobs(here.into_iter().map(|(_, kept)| kept.name).collect());
                return Err(reason);
            }
        }
    }
    let names: Vec<String> = here.iter().map(|(_, kept)| kept.name.clone()).collect();
    let stored = here.into_iter().map(|(index, kept)| (index, stored(kept))).collect();
    match app.store.fetched(lease, stored).await {
        Ok(()) => {
            app.work_ready.notify_one();
            Ok(())
        }
        Err(error) => {
            tracing::error!(%error, submission = %submission.id, "cannot note what was fetched");
            app.forget_blobs(names);
            Err(Code::lossy("commit"))
        }
    }
}

fn stored(kept: Kept) -> StoredMedia {
    let kind = if kept.format.is_still() { MediaKind::Image } else { MediaKind::Unknown };
    StoredMedia { sha256: Sha256(kept.sha256), bytes: kept.bytes, kind, blob: kept.name }
}

/// One medium into the spool. `heard` is told of how many bytes are here, and how many there will be.
fn one(app: &App, url: &str, most: u64, heard: &dyn Fn(u64, Option<u64>)) -> Result<Kept, Code> {
    let reason = |text: &str| Code::lossy(text);
    let answer = app.agent.get(url).call().map_err(|error| {
        let text = error.to_string();
        reason(if text.contains(outbound::REFUSED) { "fetch_refused" } else { "fetch_unreachable" })
    })?;
    match answer.status().as_u16() {
        200 => {}
        // S3 and its like answer 403 for a signature whose time is over, and 404 or 410 for what is gone.
        403 | 404 | 410 => return Err(reason("fetch_expired")),
        300..400 => return Err(reason("fetch_redirect")),
        _ => return Err(reason("fetch_status")),
    }
    let body = answer.into_body();
    // A server that says too little is caught by `most`, or by the end of the body.
    let total = body.content_length();
    let mut here = 0;
    heard(here, total);
    let mut body = body.into_with_config().limit(most + 1).reader();
    let mut upload = app.spool.upload(most);
    let mut chunk = vec![0; CHUNK];
    let runtime = Handle::current();
    loop {
        let count = match body.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(reason("fetch_broken")),
        };
        let piece = chunk.get(..count).unwrap_or_default();
        runtime.block_on(upload.push(piece)).map_err(|e| spool_reason(&e))?;
        here += count as u64;
        heard(here, total);
    }
    runtime.block_on(upload.finish()).map_err(|e| spool_reason(&e))
}

fn spool_reason(error: &SpoolError) -> Code {
    Code::lossy(match error {
        SpoolError::TooLarge(_) => "fetch_too_large",
        SpoolError::Full => "storage_full",
        SpoolError::Io { .. } => {
            tracing::error!(%error, "cannot keep what was fetched");
            "storage"
        }
    })
}

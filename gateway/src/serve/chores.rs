//! What goes on beside the calls and the work: deletions, counts, limits that are forgotten.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use domain::journal::Code;
use store::{Again, EffectKind};

use super::App;

/// How often counts are taken.
const TICK: Duration = Duration::from_secs(1);

/// Ticks between two sweeps of what has run out.
const SWEEP_TICKS: u32 = 60;

/// Ticks between two looks at the temperature.
const FEEL_TICKS: u32 = 10;

/// Deletions in one go.
const BATCH: u32 = 64;

/// At the start, before anything is served: removes files that no row names, and tells of rows whose file is gone.
///
/// # Errors
/// What spool or store say.
pub async fn sweep(app: &Arc<App>) -> anyhow::Result<()> {
    let (spool, store) = (app.spool.clone(), app.store.clone());
    let of = Arc::clone(app);
    let swept = tokio::task::spawn_blocking(move || -> anyhow::Result<usize> {
        let names = spool.names().context("cannot list the spool")?;
        let orphans = store.orphans(&names).context("cannot compare the spool with the store")?;
        for name in &orphans {
            spool.delete(name).with_context(|| format!("cannot delete {name} from the spool"))?;
        }
        let evidence = of.vault.names().context("cannot list the evidence")?;
        let stray = store.evidence_orphans(&evidence).context("cannot compare the evidence")?;
        for name in &stray {
            of.vault.delete(name).with_context(|| format!("cannot delete evidence {name}"))?;
        }
        let listing: BTreeSet<String> = names.into_iter().collect();
        let missing = store.missing(&listing).context("cannot compare the store with the spool")?;
        if !missing.is_empty() {
            tracing::error!(
                count = missing.len(),
                "files of the spool are gone; what needs them is held"
            );
        }
        Ok(orphans.len() + stray.len())
    });
    let orphans = swept.await.context("the sweep failed")??;
    if orphans > 0 {
        tracing::info!(orphans, "removed files that a crash left without an owner");
    }
    Ok(())
}

/// Runs until the service is told to end.
pub async fn run(app: Arc<App>) {
    let mut stop = app.stop.clone();
    let mut ticks = 0u32;
    loop {
        let stopped = tokio::select! {
            () = app.effects_ready.notified() => app.is_draining(),
            () = tokio::time::sleep(TICK) => false,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        delete_files(&app).await;
        if stopped {
            return;
        }
        count(&app).await;
        if ticks.is_multiple_of(FEEL_TICKS) {
            let app = Arc::clone(&app);
            drop(tokio::task::spawn_blocking(move || app.desk.feel()).await);
        }
        ticks += 1;
        if ticks.is_multiple_of(SWEEP_TICKS) {
            app.gatekeeper.forget();
            if let Err(error) = app.store.sweep_blobs(BATCH * 16).await {
                tracing::warn!(%error, "cannot sweep blobs whose time is over");
            }
            if let Err(error) = app.store.sweep_evidence(BATCH * 16).await {
                tracing::warn!(%error, "cannot sweep evidence whose time is over");
            }
        }
    }
}

async fn count(app: &Arc<App>) {
    match app.read(store::Store::queue_depth).await {
        Ok(depth) => {
            app.queued.store(depth.queued, Ordering::Relaxed);
            app.desk.hour.queue(depth.queued);
        }
        Err(_) => tracing::warn!("cannot count the queue"),
    }
}

/// Deletes what nobody needs: the file first, then the row, so that a crash between the two only repeats it. When it
/// returns, what was queued before the call is gone; `false` where some of it could not be deleted and is tried again.
pub async fn delete_files(app: &Arc<App>) -> bool {
    let _alone = app.deleting.lock().await;
    let files = delete_all(app, EffectKind::Delete).await;
    delete_all(app, EffectKind::Discard).await && files
}

async fn delete_all(app: &Arc<App>, kind: EffectKind) -> bool {
    let mut all = true;
    loop {
        let effects = match app.store.lease_effects(kind, BATCH).await {
            Ok(effects) => effects,
            Err(error) => {
                tracing::warn!(%error, "cannot lease deletions");
                return false;
            }
        };
        if effects.is_empty() {
            return all;
        }
        for effect in effects {
            let (app, name) = (Arc::clone(app), effect.endpoint.clone());
            let of = Arc::clone(&app);
            let deleted = tokio::task::spawn_blocking(move || match kind {
                EffectKind::Discard => of.vault.delete(&name),
                _ => of.spool.delete(&name),
            });
            let noted = match deleted.await {
                Ok(Ok(())) => app.insist(|store| store.effect_done(&effect)).await,
                Ok(Err(error)) => {
                    all = false;
                    let reason = Code::lossy("io");
                    app.failed(&effect, reason, error.to_string(), Again::Later).await
                }
                Err(error) => {
                    tracing::error!(%error, "a deletion failed");
                    return false;
                }
            };
            if let Err(error) = noted {
                all = false;
                tracing::warn!(%error, "cannot note a deletion; it is done once more after the next start");
            }
        }
    }
}

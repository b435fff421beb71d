//! What goes on beside the calls and the work: counts, sweeps, limits that are forgotten.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;

use super::App;

/// How often counts are taken.
const TICK: Duration = Duration::from_secs(1);

/// Ticks between two sweeps of what has run out.
const SWEEP_TICKS: u32 = 60;

/// Rows swept in one go.
const BATCH: u32 = 1024;

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
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        count(&app).await;
        ticks += 1;
        if ticks.is_multiple_of(SWEEP_TICKS) {
            app.gatekeeper.forget();
            if let Err(error) = app.store.sweep_blobs(BATCH).await {
                tracing::warn!(%error, "cannot sweep blobs whose time is over");
            }
            if let Err(error) = app.store.sweep_evidence(BATCH).await {
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

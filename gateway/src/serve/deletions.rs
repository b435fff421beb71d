//! Deletes files that nobody needs, as effect rows say. A task of its own: while the store takes no notes it waits, and
//! nothing else with it.

use std::sync::Arc;
use std::time::Duration;

use domain::journal::Code;
use store::{Again, EffectKind};

use super::App;

/// How often is looked for deletions that nobody told of: what failed becomes due by itself.
const TICK: Duration = Duration::from_secs(1);

/// Deletions in one go.
const BATCH: u32 = 64;

/// Runs until the service is told to end.
pub async fn run(app: Arc<App>) {
    let mut stop = app.stop.clone();
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

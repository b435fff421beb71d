//! Matches changes of lists that the hub ordered with what was seen: behind the receipt, in their order, and again after a crash.

use std::sync::Arc;
use std::time::Duration;

use store::{Error, Rematch};

use super::App;
use crate::serve::rematch;

/// The pause after one that failed; also how often is looked without being told.
const TICK: Duration = Duration::from_secs(10);

/// Runs until the service is told to end.
pub async fn run(app: Arc<App>) {
    let mut stop = app.stop.clone();
    loop {
        while !app.is_draining() {
            let ours = Arc::clone(&app);
            match tokio::task::spawn_blocking(move || next(&ours)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => break,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a change of a list is not matched with what was seen yet; it is tried again");
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "matching with what was seen failed");
                    break;
                }
            }
        }
        tokio::select! {
            () = app.directives.rematch_ready.notified() => {}
            () = tokio::time::sleep(TICK) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Matches the oldest; false where there is none. Blocks.
pub fn next(app: &Arc<App>) -> Result<bool, Error> {
    let Some((n, Rematch { tenant, added, entry })) = app.store.next_rematch()? else {
        return Ok(false);
    };
    let done = match added {
        true => rematch::added(app, &tenant, &entry)?,
        false => rematch::cleared(app, &tenant, &entry.hash)?,
    };
    app.store.rematched(n).wait()?;
    tracing::info!(%tenant, added, ?done, "a change of a list was matched with what was seen");
    Ok(true)
}

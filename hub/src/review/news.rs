//! Word that the queue has changed, for whoever looks at it.

use std::time::Duration;

use tokio::sync::watch;

use crate::Error;
use crate::database::Database;

/// Pause before the database is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// Moves the number whenever the database says that the queue has changed, until nobody listens any more.
pub async fn follow(database: Database, told: watch::Sender<u64>) {
    while !told.is_closed() {
        if let Err(error) = hear(&database, &told).await {
            tracing::debug!(%error, "cannot hear of changes of the queue");
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = told.closed() => {}
        }
    }
}

async fn hear(database: &Database, told: &watch::Sender<u64>) -> Result<(), Error> {
    let (_client, mut heard) = database.listen("weir_reviews").await?;
    loop {
        told.send_modify(|number| *number += 1);
        tokio::select! {
            note = heard.recv() => {
                if note.is_none() {
                    return Err(Error::Closed);
                }
            }
            () = told.closed() => return Ok(()),
        }
    }
}

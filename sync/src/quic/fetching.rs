//! The hub's side of a fetch.

use std::time::Duration;

use domain::journal::Code;
use tokio::sync::mpsc;

use super::{MISUSED, read, write};
use crate::blob::{Fetch, Head};

/// How long a box may take to say what it wants, and to take in a piece.
const PATIENCE: Duration = Duration::from_secs(60);

/// Behind control and whatever else the hub says.
const PRIORITY: i32 = -1;

/// A box that fetches, and waits for bytes.
pub struct Fetching {
    /// What it wants.
    pub fetch: Fetch,
    send: quinn::SendStream,
}

impl std::fmt::Debug for Fetching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetching").field("fetch", &self.fetch).finish_non_exhaustive()
    }
}

impl Fetching {
    /// Says no.
    pub async fn refuse(mut self, code: Code) {
        if self.head(&Head::Refused(code)).await.is_ok() {
            self.finish().await;
        }
    }

    /// Says how many bytes the whole has; those from the offset on are to follow.
    ///
    /// # Errors
    /// Where the box is gone, or does not want them any more.
    pub async fn begin(&mut self, bytes: u64) -> std::io::Result<()> {
        self.head(&Head::Bytes(bytes)).await
    }

    async fn head(&mut self, head: &Head) -> std::io::Result<()> {
        let frame = head.encode().map_err(std::io::Error::other)?;
        write(&mut self.send, &frame).await
    }

    /// Sends a piece, once there is room.
    ///
    /// # Errors
    /// Where the box is gone, does not want it any more, or does not take it in.
    pub async fn send(&mut self, piece: &[u8]) -> std::io::Result<()> {
        let sent = tokio::time::timeout(PATIENCE, self.send.write_all(piece)).await;
        Ok(sent.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??)
    }

    /// All was sent. Comes back once the box has it.
    pub async fn finish(mut self) {
        let _ = self.send.finish();
        let _ = tokio::time::timeout(PATIENCE, self.send.stopped()).await;
    }
}

/// Hands over what a box wants, one after the other, to the end of its connection.
pub(super) async fn listen(connection: quinn::Connection, fetches: mpsc::Sender<Fetching>) {
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        let _ = send.set_priority(PRIORITY);
        let wanted = tokio::time::timeout(PATIENCE, read(&mut receive)).await;
        let fetch = match wanted {
            Ok(Ok(Some(frame))) => Fetch::decode(&frame),
            _ => {
                let _ = send.reset(MISUSED);
                continue;
            }
        };
        match fetch {
            Ok(Some(fetch)) => {
                if fetches.send(Fetching { fetch, send }).await.is_err() {
                    return;
                }
            }
            // Of a later release, or none at all.
            Ok(None) | Err(_) => drop(send.reset(MISUSED)),
        }
    }
}

//! The box's side of a fetch.

use std::time::Duration;

use domain::journal::Sha256;
use tokio::sync::watch;

use super::{read, write};
use crate::blob::{Fetch, Head, Unfetched};

/// How long nothing may come before the fetch is begun anew. The hub may have others to serve first.
const STALL: Duration = Duration::from_secs(60);

/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// Fetches over whichever connection a client has. Outlives each of them.
#[derive(Clone, Debug)]
pub struct Fetcher {
    connection: watch::Receiver<Option<quinn::Connection>>,
}

/// Bytes on their way.
pub struct Fetched {
    /// Of the whole, whatever the offset.
    pub bytes: u64,
    receive: quinn::RecvStream,
}

impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetched").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Fetcher {
    pub(super) fn new(connection: watch::Receiver<Option<quinn::Connection>>) -> Self {
        Self { connection }
    }

    /// Begins to fetch, once there is a connection.
    ///
    /// # Errors
    /// See [`Unfetched`].
    pub async fn fetch(&mut self, sha256: Sha256, offset: u64) -> Result<Fetched, Unfetched> {
        let open = |it: &Option<quinn::Connection>| {
            it.as_ref().is_some_and(|connection| connection.close_reason().is_none())
        };
        let connection = match self.connection.wait_for(open).await {
            Ok(connection) => connection.clone(),
            Err(_) => None,
        };
        let connection = connection.ok_or_else(|| broken("the box ends"))?;
        let begun = tokio::time::timeout(STALL, begin(&connection, Fetch { sha256, offset })).await;
        begun.unwrap_or_else(|_| Err(broken("the hub did not answer in time")))
    }
}

async fn begin(connection: &quinn::Connection, fetch: Fetch) -> Result<Fetched, Unfetched> {
    let frame = fetch.encode().map_err(broken)?;
    let (mut send, mut receive) = connection.open_bi().await.map_err(broken)?;
    write(&mut send, &frame).await.map_err(broken)?;
    // Fails only on a stream that is closed, which reading tells.
    let _ = send.finish();
    let head = read(&mut receive).await.map_err(broken)?;
    let head = head.ok_or_else(|| broken("the hub closed the stream"))?;
    match Head::decode(&head).map_err(broken)? {
        Head::Bytes(bytes) => Ok(Fetched { bytes, receive }),
        Head::Refused(code) => Err(Unfetched::Refused(code)),
    }
}

impl Fetched {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`Unfetched::Broken`].
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Unfetched> {
        let next = tokio::time::timeout(STALL, self.receive.read_chunk(PIECE, true)).await;
        match next {
            Ok(Ok(chunk)) => Ok(chunk.map(|chunk| chunk.bytes.to_vec())),
            Ok(Err(error)) => Err(broken(error)),
            Err(_) => Err(broken("nothing came for a minute")),
        }
    }
}

fn broken(error: impl std::fmt::Display) -> Unfetched {
    Unfetched::Broken(error.to_string())
}

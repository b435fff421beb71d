//! The handle: sends writes to the writer, lends connections to readers.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use domain::journal::{BoxId, Epoch, Millis};
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use crate::{
    Config, Error, Reply,
    identity::Identity,
    memory::Memory,
    txn::Txn,
    writer::{Call, Write},
};

/// The store of a box. Cheap to clone; the last handle closes it, and waits until everything accepted is written.
///
/// Writes return a [`Reply`]. Reads block the calling thread for as long as SQLite takes: an async caller goes through
/// `spawn_blocking`.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

type Queue = Sender<Box<dyn Write>>;

pub(crate) struct Parts {
    pub dir: PathBuf,
    pub of: BoxId,
    pub epoch: Arc<AtomicU64>,
    pub config: Arc<Config>,
    pub tight: Arc<AtomicBool>,
    pub urgent: Queue,
    pub normal: Queue,
    pub readers: Vec<Connection>,
    pub changes: watch::Receiver<u64>,
    pub memory: Arc<Memory>,
    pub thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    of: BoxId,
    epoch: Arc<AtomicU64>,
    config: Arc<Config>,
    tight: Arc<AtomicBool>,
    /// The urgent and the normal queue; taken away at the end.
    queues: Option<(Queue, Queue)>,
    readers: (Sender<Connection>, Receiver<Connection>),
    changes: watch::Receiver<u64>,
    memory: Arc<Memory>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for dyn Write {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Write")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queues = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer thread panicked");
        }
    }
}

/// How a write goes in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// New work: refused when room is short.
    Growing,
    /// Committed with its group.
    Normal,
    /// Committed at once, and accepted even when room is short.
    Urgent,
}

impl Store {
    pub(crate) fn new(parts: Parts) -> Self {
        let readers = bounded(parts.readers.len().max(1));
        for conn in parts.readers {
            // The channel has room for all of them.
            let _ = readers.0.send(conn);
        }
        Self {
            inner: Arc::new(Inner {
                dir: parts.dir,
                of: parts.of,
                epoch: parts.epoch,
                config: parts.config,
                tight: parts.tight,
                queues: Some((parts.urgent, parts.normal)),
                readers,
                changes: parts.changes,
                memory: parts.memory,
                thread: Some(parts.thread),
            }),
        }
    }

    /// The box.
    pub fn box_id(&self) -> BoxId {
        self.inner.of
    }

    /// This life of the database. A fork begins another.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.inner.epoch.load(Ordering::Relaxed))
    }

    /// The device key (Ed25519, PKCS#8): the box proves by it that it is the box.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn device_key(&self) -> Result<Vec<u8>, Error> {
        Identity::pkcs8(&self.inner.dir)
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// How it was configured.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The store's clock.
    pub fn now(&self) -> Millis {
        self.inner.config.clock.now()
    }

    /// Whether new work is refused for want of room, as of the last write: refuse before taking a body in.
    pub fn is_tight(&self) -> bool {
        self.inner.tight.load(Ordering::Relaxed)
    }

    /// Goes through the writer and changes nothing: its reply shows that the writer gets on. Looks anew whether there is
    /// room.
    ///
    /// # Errors
    /// [`Error::Full`] where new work is refused.
    pub fn probe(&self) -> Reply<()> {
        self.write(Way::Growing, |_| Ok(()))
    }

    /// Writes that wait.
    pub fn waiting(&self) -> usize {
        self.inner.queues.as_ref().map_or(0, |(urgent, normal)| urgent.len() + normal.len())
    }

    /// Counts commits: wakes workers, effects and sync when something is there.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.clone()
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.inner.memory
    }

    /// Sends a write. It may run twice (see [`Write::run`]), so that it only borrows what it captured.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        way: Way,
        write: impl Fn(&mut Txn<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Reply<T> {
        let Some((urgent, normal)) = &self.inner.queues else {
            return Reply::refused(Error::Closed);
        };
        let (reply, receiver) = oneshot::channel();
        let call: Box<dyn Write> =
            Box::new(Call { write, grows: way == Way::Growing, value: None, reply });
        let first = if way == Way::Urgent { urgent } else { normal };
        let sent = match (first.try_send(call), way) {
            // A flood of new work must not keep the old from being finished.
            (Err(TrySendError::Full(call)), Way::Normal) => urgent.try_send(call),
            (sent, _) => sent,
        };
        match sent {
            Ok(()) => Reply::sent(receiver),
            Err(TrySendError::Full(_)) => Reply::refused(Error::Busy(self.waiting())),
            Err(TrySendError::Disconnected(_)) => Reply::refused(Error::Closed),
        }
    }

    /// Lends a connection for reading; waits while all are lent.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (back, readers) = &self.inner.readers;
        let conn = readers.recv().map_err(|_| Error::Closed)?;
        let guard = Lent { conn: Some(conn), back };
        guard.conn.as_ref().map_or(Err(Error::Closed), read)
    }
}

/// Gives the connection back, also when the reading panics.
struct Lent<'a> {
    conn: Option<Connection>,
    back: &'a Sender<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            let _ = self.back.send(conn);
        }
    }
}

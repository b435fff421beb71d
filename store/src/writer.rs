//! The one thread that writes: group commit, chains, checkpoints.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, TryRecvError, select};
use domain::journal::Checkpoint;
use ring::signature::Ed25519KeyPair;
use rusqlite::{Connection, params};
use tokio::sync::{oneshot, watch};

use crate::{
    Config, Error,
    head_file::HeadFile,
    memory::{Memory, Void},
    rows::bits,
    space::Space,
    txn::{Tip, Txn},
};

/// One write, whatever its types.
pub(crate) trait Write: Send {
    /// Does it, inside a savepoint. May be called twice: again after the first transaction was rolled back.
    fn run(&mut self, txn: &mut Txn<'_>) -> Result<(), Error>;
    /// Answers, once the transaction is on the disk or has failed.
    fn finish(self: Box<Self>, committed: Result<(), Error>);
    /// Whether it brings new work that can be refused when room is short.
    fn grows(&self) -> bool;
}

/// A closure as a [`Write`].
pub(crate) struct Call<T, F> {
    pub write: F,
    pub grows: bool,
    pub value: Option<T>,
    pub reply: oneshot::Sender<Result<T, Error>>,
}

impl<T, F> Write for Call<T, F>
where
    T: Send,
    F: Fn(&mut Txn<'_>) -> Result<T, Error> + Send,
{
    fn run(&mut self, txn: &mut Txn<'_>) -> Result<(), Error> {
        self.value = Some((self.write)(txn)?);
        Ok(())
    }

    fn finish(self: Box<Self>, committed: Result<(), Error>) {
        let Self { value, reply, .. } = *self;
        // Whoever asked may have gone; the write stands.
        let _ = reply.send(committed.and_then(|()| value.ok_or(Error::Closed)));
    }

    fn grows(&self) -> bool {
        self.grows
    }
}

/// How each write of a group went, and what memory must forget.
type Done = (Vec<Result<(), Error>>, Vec<Void>);

/// How often the writer looks whether a checkpoint is due while nothing comes in.
const TICK: Duration = Duration::from_secs(1);

pub(crate) struct Writer {
    pub conn: Connection,
    pub tip: Tip,
    /// The tip's epoch, for whoever asks.
    pub epoch: Arc<AtomicU64>,
    pub config: Arc<Config>,
    pub incarnation: u64,
    pub space: Space,
    pub head_file: HeadFile,
    pub key: Ed25519KeyPair,
    pub urgent: Receiver<Box<dyn Write>>,
    pub normal: Receiver<Box<dyn Write>>,
    pub changes: watch::Sender<u64>,
    pub memory: Arc<Memory>,
    /// Entries since the last checkpoint.
    pub unsealed: u64,
    pub sealed_at: Instant,
    pub failed: Option<Error>,
    /// Held as long as the writer lives.
    pub lock: File,
}

impl Writer {
    /// Serves until every handle is gone, then seals the journal.
    pub fn serve(mut self) {
        while let Some(group) = self.gather() {
            if !group.is_empty() {
                self.commit(group);
            }
            let due = self.unsealed >= self.config.checkpoint_entries
                || self.sealed_at.elapsed() >= self.config.checkpoint_every;
            if self.unsealed > 0 && due {
                self.seal();
            }
        }
        if self.unsealed > 0 {
            self.seal();
        }
        // So that a copy of the one file is whole.
        self.truncate_log();
        drop(self.lock);
    }

    /// The next group: what came within `linger` of the first, no more than `group`; at once when an urgent one is among
    /// them. Empty after a tick without any; `None` when nobody can send any more.
    fn gather(&self) -> Option<Vec<Box<dyn Write>>> {
        let mut group = Vec::new();
        let mut urgent = match self.urgent.try_recv() {
            Ok(write) => {
                group.push(write);
                true
            }
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Disconnected) => return self.normal.recv().ok().map(|w| vec![w]),
        };
        if group.is_empty() {
            select! {
                recv(self.urgent) -> write => match write {
                    Ok(write) => {
                        group.push(write);
                        urgent = true;
                    }
                    Err(_) => return Some(group),
                },
                recv(self.normal) -> write => match write {
                    Ok(write) => group.push(write),
                    Err(_) => return None,
                },
                default(TICK) => return Some(group),
            }
        }
        let deadline = Instant::now() + self.config.linger;
        while group.len() < self.config.group {
            let wait = if urgent {
                Duration::ZERO
            } else {
                deadline.saturating_duration_since(Instant::now())
            };
            select! {
                recv(self.urgent) -> write => match write {
                    Ok(write) => {
                        group.push(write);
                        urgent = true;
                    }
                    Err(_) => break,
                },
                recv(self.normal) -> write => match write {
                    Ok(write) => group.push(write),
                    Err(_) => break,
                },
                default(wait) => break,
            }
        }
        Some(group)
    }

    fn commit(&mut self, mut group: Vec<Box<dyn Write>>) {
        let mut outcome = match &self.failed {
            Some(error) => Err(error.clone()),
            None => self.attempt(&mut group),
        };
        if matches!(outcome, Err(Error::Full)) && self.space.relieve() {
            outcome = self.attempt(&mut group);
        }
        match outcome {
            Ok((results, voids)) => {
                self.memory.forget(&voids);
                self.epoch.store(self.tip.epoch.0, Ordering::Relaxed);
                if let Err(error) = self.head_file.write(&self.tip) {
                    tracing::warn!(%error, "the head file was not written");
                }
                for (write, result) in group.into_iter().zip(results) {
                    write.finish(result);
                }
                self.changes.send_modify(|count| *count += 1);
            }
            Err(error) => {
                if matches!(error, Error::Fatal(_)) && self.failed.is_none() {
                    self.config.on_fatal.run(&error);
                    self.failed = Some(error.clone());
                }
                for write in group {
                    write.finish(Err(error.clone()));
                }
            }
        }
    }

    /// Runs the group in one transaction. An error of one write undoes that write only; an error of the disk undoes all.
    fn attempt(&mut self, group: &mut [Box<dyn Write>]) -> Result<Done, Error> {
        let before = self.tip;
        let result = self.transact(group);
        if result.is_err() {
            self.tip = before;
            if !self.conn.is_autocommit() {
                self.conn.execute_batch("ROLLBACK")?;
            }
        }
        let (done, appended) = result?;
        self.unsealed += appended;
        Ok(done)
    }

    fn transact(&mut self, group: &mut [Box<dyn Write>]) -> Result<(Done, u64), Error> {
        let room = !group.iter().any(|write| write.grows()) || self.space.admits(&self.conn)?;
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut results = Vec::with_capacity(group.len());
        let (mut appended, mut truncate_log, mut voids) = (0, false, Vec::new());
        for write in group {
            if write.grows() && !room {
                results.push(Err(Error::Full));
                continue;
            }
            self.conn.prepare_cached("SAVEPOINT one")?.execute([])?;
            let before = self.tip;
            let mut txn = Txn {
                conn: &self.conn,
                now: self.config.clock.now(),
                tip: &mut self.tip,
                config: &self.config,
                incarnation: self.incarnation,
                appended: 0,
                truncate_log: false,
                voids: Default::default(),
            };
            match write.run(&mut txn) {
                Ok(()) => {
                    appended += txn.appended;
                    truncate_log |= txn.truncate_log;
                    voids.append(txn.voids.get_mut());
                    results.push(Ok(()));
                }
                Err(
                    error @ (Error::Full | Error::Fatal(_) | Error::ReadOnly | Error::Damaged(_)),
                ) => {
                    return Err(error);
                }
                Err(error) => {
                    self.conn.prepare_cached("ROLLBACK TO one")?.execute([])?;
                    self.tip = before;
                    results.push(Err(error));
                }
            }
            self.conn.prepare_cached("RELEASE one")?.execute([])?;
        }
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        if truncate_log {
            self.truncate_log();
        }
        Ok(((results, voids), appended))
    }

    /// Folds the log into the database and empties it. The commit stands, whether or not a reader keeps this from happening.
    fn truncate_log(&self) {
        let busy =
            self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
        match busy {
            Ok(false) => {}
            Ok(true) => {
                tracing::warn!("a reader keeps the log from being emptied; the next one does it")
            }
            Err(error) => tracing::warn!(%error, "the log was not folded into the database"),
        }
    }

    /// Signs where the lanes have come to.
    fn seal(&mut self) {
        let at = self.config.clock.now();
        let checkpoint = Checkpoint {
            of: self.tip.of,
            epoch: self.tip.epoch,
            at,
            heads: self.tip.heads.to_vec(),
        };
        let written = checkpoint
            .sign(&self.key)
            .map_err(|e| Error::damaged(e.to_string()))
            .and_then(|signed| {
                self.conn.execute(
                    "INSERT INTO checkpoints (epoch, at, bytes, signature) VALUES (?, ?, ?, ?)",
                    params![bits(self.tip.epoch.0), at.0, signed.bytes, signed.signature],
                )?;
                Ok(())
            });
        self.sealed_at = Instant::now();
        match written {
            Ok(()) => self.unsealed = 0,
            Err(error) => {
                tracing::warn!(%error, "no checkpoint was written; the next one covers it");
                if matches!(error, Error::Fatal(_)) && self.failed.is_none() {
                    self.config.on_fatal.run(&error);
                    self.failed = Some(error);
                }
            }
        }
    }
}

//! The start: lock, check, salvage, upgrade, and the leases of the dead.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use crossbeam_channel::bounded;
use domain::journal::{Code, Epoch, EpochCause, Lane};
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::watch;

use crate::{
    Config, Error, Store,
    head_file::{self, HeadFile},
    identity::Identity,
    job, lock,
    memory::Memory,
    salvage::{self, Salvaged},
    schema, snapshot,
    space::Space,
    store::Parts,
    txn::{Tip, Txn, head_of, random},
    writer::Writer,
};

/// What a start found and did. For the log and the status page.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Why a new epoch began, if one did.
    pub began: Option<EpochCause>,
    /// What became of a damaged database.
    pub salvaged: Option<Salvaged>,
    /// The schema that was upgraded.
    pub upgraded_from: Option<u32>,
    /// Jobs and effects that the last process had in hand.
    pub requeued: u32,
}

impl Store {
    /// Opens the store of a directory, which is made where it is missing. Blocks: the check reads the whole database.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Newer`], or what the file system refuses.
    pub fn open(dir: &Path, config: Config) -> Result<(Self, Opened), Error> {
        fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        let lock = lock::take(dir)?;
        let identity = Identity::open(dir)?;
        let mut space = Space::new(dir, &config);
        let prepared = match prepare(dir, &identity, &config) {
            // Also a start on a full disk has the ballast to give.
            Err(Error::Full) if space.relieve() => prepare(dir, &identity, &config),
            other => other,
        };
        let Prepared { conn, tip, incarnation, opened } = prepared?;
        let path = dir.join(schema::DATABASE);
        let head_file = HeadFile::open(dir)?;
        head_file.write(&tip).map_err(Error::io("write", dir.join("head")))?;
        let readers = (0..config.readers.max(1))
            .map(|_| schema::open_reader(&path))
            .collect::<Result<Vec<_>, _>>()?;
        let config = Arc::new(config);
        // As many urgent ones as normal ones may wait; both queues are bounded.
        let (urgent, urgent_receiver) = bounded(config.queue.max(1));
        let (normal, normal_receiver) = bounded(config.queue.max(1));
        let (changes, changes_receiver) = watch::channel(0);
        let tight = space.flag();
        let memory = Arc::new(Memory::default());
        let epoch = Arc::new(AtomicU64::new(tip.epoch.0));
        let writer = Writer {
            conn,
            tip,
            epoch: Arc::clone(&epoch),
            config: Arc::clone(&config),
            incarnation,
            space,
            head_file,
            key: identity.key,
            urgent: urgent_receiver,
            normal: normal_receiver,
            changes,
            memory: Arc::clone(&memory),
            // Whatever the last process left unsealed is sealed with the first checkpoint.
            unsealed: 1,
            sealed_at: Instant::now(),
            failed: None,
            lock,
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.serve())
            .map_err(Error::io("start the writer thread for", dir))?;
        let store = Self::new(Parts {
            dir: dir.to_owned(),
            of: identity.of,
            epoch,
            config,
            tight,
            urgent,
            normal,
            readers,
            changes: changes_receiver,
            memory,
            thread,
        });
        Ok((store, opened))
    }
}

/// A database that is ready to be written.
struct Prepared {
    conn: Connection,
    tip: Tip,
    incarnation: u64,
    opened: Opened,
}

/// Opens, salvages, upgrades, begins an epoch and requeues, as far as each is due. Can be done again from anywhere in it.
fn prepare(dir: &Path, identity: &Identity, config: &Config) -> Result<Prepared, Error> {
    let path = dir.join(schema::DATABASE);
    let (mut cause, mut salvaged) = (None, None);
    if !path.exists() {
        // A log without its database says nothing, and must not be taken for the new one's.
        if dir.join(format!("{}-wal", schema::DATABASE)).exists() {
            snapshot::set_aside(dir, "orphan", config.clock.now())?;
        }
        let finished = salvage::finish(dir)?;
        cause = Some(if finished { EpochCause::Salvaged } else { EpochCause::Fresh });
    }
    let (conn, upgraded_from) = match open_sound(dir, &path, config) {
        Ok(opened) => opened,
        Err(Error::Damaged(why)) => {
            salvaged = Some(salvage::salvage(dir, &why, config)?);
            cause = Some(EpochCause::Salvaged);
            open_sound(dir, &path, config)?
        }
        Err(error) => return Err(error),
    };
    let (tip, began) = tip(dir, &conn, identity, cause, config)?;
    let incarnation = u64::from_le_bytes(random()?);
    let requeued = requeue(&conn, incarnation, tip, config)?;
    let heads =
        [head_of(&conn, tip.epoch, Lane::Critical)?, head_of(&conn, tip.epoch, Lane::Bulk)?];
    let opened = Opened { began, salvaged, upgraded_from, requeued };
    Ok(Prepared { conn, tip: Tip { heads, ..tip }, incarnation, opened })
}

/// Opens the database, checks it and brings it to our schema.
fn open_sound(
    dir: &Path,
    path: &Path,
    config: &Config,
) -> Result<(Connection, Option<u32>), Error> {
    if path.exists() {
        // Without writing a byte: what a later release wrote stays as it is.
        schema::refuse_newer(&schema::open_reader(path)?, dir)?;
    }
    let conn = schema::open_writer(path, config)?;
    schema::check(&conn)?;
    let found = schema::found(&conn)?;
    if found == schema::SCHEMA {
        return Ok((conn, None));
    }
    if found > 0 {
        let copy: PathBuf = dir.join(snapshot::DIRECTORY).join(schema::upgrade_snapshot(found));
        snapshot::copy(&conn, &copy)?;
    }
    schema::migrate(&conn, found, config)?;
    Ok((conn, (found > 0).then_some(found)))
}

/// The journal's tip, in a new epoch where there is cause for one.
fn tip(
    dir: &Path,
    conn: &Connection,
    identity: &Identity,
    cause: Option<EpochCause>,
    config: &Config,
) -> Result<(Tip, Option<EpochCause>), Error> {
    let epoch: Option<i64> = conn
        .query_row("SELECT epoch FROM epochs ORDER BY n DESC LIMIT 1", [], |row| row.get(0))
        .optional()?;
    let remembered = head_file::read(dir);
    let rewound = match &remembered {
        Some(remembered) => remembered.ahead_of(conn)?,
        None => false,
    };
    let cause = match (cause, epoch) {
        (Some(EpochCause::Fresh), _) if rewound => Some(EpochCause::Rewound),
        (None, None) => Some(EpochCause::Fresh),
        (None, Some(_)) if rewound => Some(EpochCause::Rewound),
        (cause, _) => cause,
    };
    if let (None, Some(epoch)) = (cause, epoch) {
        let epoch = Epoch(epoch.cast_unsigned());
        let heads = [head_of(conn, epoch, Lane::Critical)?, head_of(conn, epoch, Lane::Bulk)?];
        return Ok((Tip { of: identity.of, epoch, heads }, None));
    }
    let cause = cause.unwrap_or(EpochCause::Fresh);
    let known = remembered.filter(|_| rewound).map(|r| (r.epoch, r.heads));
    let (tip, _) = snapshot::begin_epoch(conn, identity, cause, known, config)?;
    Ok((tip, Some(cause)))
}

/// Puts back what dead processes had in hand.
fn requeue(
    conn: &Connection,
    incarnation: u64,
    mut tip: Tip,
    config: &Config,
) -> Result<u32, Error> {
    let transaction = conn.unchecked_transaction()?;
    let now = config.clock.now();
    let effects = conn.execute(
        "UPDATE effects SET state = 'queued', incarnation = NULL WHERE state = 'leased'",
        [],
    )?;
    let mut txn = Txn {
        conn,
        now,
        tip: &mut tip,
        config,
        incarnation,
        appended: 0,
        truncate_log: false,
        voids: Default::default(),
    };
    let jobs = job::requeue_all(&mut txn, &Code::lossy("crashed"))?;
    transaction.commit()?;
    conn.execute("DELETE FROM claims WHERE until < ?", params![now.0])?;
    Ok(jobs + u32::try_from(effects).unwrap_or(u32::MAX))
}

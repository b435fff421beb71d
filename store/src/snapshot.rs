//! Copies of the database, and the way back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use domain::journal::{Actor, Body, Epoch, EpochBegan, EpochCause, Head, Lane, Millis, Subject};
use rusqlite::{Connection, params};

use crate::{
    Config, Error,
    head_file::{self, HeadFile},
    identity::{Identity, sync_dir},
    lock,
    rows::bits,
    schema,
    txn::{Entry, Tip, Txn, head_of},
};

/// Where snapshots go unless told otherwise.
pub(crate) const DIRECTORY: &str = "snapshots";

/// Copies the database as it is at this instant, while the service may run. Durable when it returns.
///
/// # Errors
/// Where the source cannot be read, or the copy not written; the target is either whole or not there.
pub fn snapshot(dir: &Path, to: &Path) -> Result<(), Error> {
    let conn = schema::open_reader(&dir.join(schema::DATABASE))?;
    copy(&conn, to)
}

pub(crate) fn copy(conn: &Connection, to: &Path) -> Result<(), Error> {
    let parent = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    let partial = to.with_extension("partial");
    // VACUUM INTO writes only into a file that is not there.
    if partial.exists() {
        fs::remove_file(&partial).map_err(Error::io("remove", &partial))?;
    }
    conn.execute("VACUUM INTO ?", params![partial.to_string_lossy()])?;
    fs::File::open(&partial).and_then(|f| f.sync_all()).map_err(Error::io("sync", &partial))?;
    fs::rename(&partial, to).map_err(Error::io("rename", &partial))?;
    sync_dir(parent)
}

/// What a restore did.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The new life of the database.
    pub epoch: Epoch,
    /// Where the database that was there went.
    pub replaced: Option<PathBuf>,
    /// Where the lives that either database knew of had come to, as journaled.
    pub previous: Vec<(Epoch, Head)>,
}

/// Puts a snapshot in the database's place, mints an epoch and journals where the old ones had come to.
///
/// # Errors
/// [`Error::InUse`] while the service runs; where the snapshot is damaged or of a later release nothing is changed.
pub fn restore(dir: &Path, from: &Path, config: &Config) -> Result<Restored, Error> {
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    let _lock = lock::take(dir)?;
    let identity = Identity::open(dir)?;
    let incoming = dir.join("store.incoming");
    copy_file(from, &incoming)?;
    let conn = Connection::open(&incoming)?;
    schema::check(&conn)?;
    let version = schema::refuse_newer(&conn, dir)?;
    if version == 0 {
        return Err(Error::Invalid("this file is no snapshot of a store"));
    }
    drop(conn);
    let remembered = head_file::read(dir);
    let path = dir.join(schema::DATABASE);
    let replaced =
        if path.exists() { Some(set_aside(dir, "replaced", config.clock.now())?) } else { None };
    fs::rename(&incoming, &path).map_err(Error::io("rename", &incoming))?;
    sync_dir(dir)?;
    let conn = schema::open_writer(&path, config)?;
    schema::migrate(&conn, version, config)?;
    let known = remembered.map(|r| (r.epoch, r.heads));
    let (tip, previous) = begin_epoch(&conn, &identity, EpochCause::Restored, known, config)?;
    HeadFile::open(dir)?.write(&tip).map_err(Error::io("write", dir.join("head")))?;
    Ok(Restored { epoch: tip.epoch, replaced, previous })
}

fn copy_file(from: &Path, to: &Path) -> Result<(), Error> {
    fs::copy(from, to).map_err(Error::io("copy", from))?;
    fs::File::open(to).and_then(|f| f.sync_all()).map_err(Error::io("sync", to))
}

/// Renames the database and its log out of the way; gives the new name of the database.
pub(crate) fn set_aside(dir: &Path, why: &str, now: Millis) -> Result<PathBuf, Error> {
    let name = (0..)
        .map(|n| format!("{}.{why}-{}-{n}", schema::DATABASE, now.0))
        .find(|name| !dir.join(name).exists())
        .unwrap_or_default();
    for suffix in ["-wal", "-shm", ""] {
        let from = dir.join(format!("{}{suffix}", schema::DATABASE));
        if from.exists() {
            fs::rename(&from, dir.join(format!("{name}{suffix}")))
                .map_err(Error::io("rename", &from))?;
        }
    }
    sync_dir(dir)?;
    Ok(dir.join(name))
}

/// Where every epoch in the database has come to.
pub(crate) fn heads(conn: &Connection) -> Result<Vec<(Epoch, Head)>, Error> {
    let mut statement = conn.prepare("SELECT epoch FROM epochs ORDER BY n")?;
    let epochs: Vec<i64> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut all = Vec::new();
    for epoch in epochs.into_iter().map(|e| Epoch(e.cast_unsigned())) {
        for lane in Lane::ALL {
            all.push((epoch, head_of(conn, epoch, lane)?));
        }
    }
    Ok(all)
}

/// Starts a new epoch: its first entry, in the critical lane, says why and where the others had come to.
pub(crate) fn begin_epoch(
    conn: &Connection,
    identity: &Identity,
    cause: EpochCause,
    remembered: Option<(Epoch, [Head; 2])>,
    config: &Config,
) -> Result<(Tip, Vec<(Epoch, Head)>), Error> {
    let mut tip = Tip::mint(identity.of)?;
    let transaction = conn.unchecked_transaction()?;
    let mut txn = Txn {
        conn,
        now: config.clock.now(),
        tip: &mut tip,
        config,
        incarnation: 0,
        appended: 0,
        truncate_log: false,
        voids: Default::default(),
    };
    let previous = begin(&mut txn, cause, remembered)?;
    transaction.commit()?;
    Ok((tip, previous))
}

/// The same inside a write: the journal's tip becomes that of a new epoch.
pub(crate) fn begin(
    txn: &mut Txn<'_>,
    cause: EpochCause,
    remembered: Option<(Epoch, [Head; 2])>,
) -> Result<Vec<(Epoch, Head)>, Error> {
    let conn = txn.conn;
    let mut previous = heads(conn)?;
    if let Some((epoch, heads)) = remembered {
        // What the head file remembers is further on than what the database knows.
        previous.retain(|(known, _)| *known != epoch);
        previous.extend(heads.map(|head| (epoch, head)));
    }
    *txn.tip = Tip::mint(txn.tip.of)?;
    let tip = *txn.tip;
    conn.execute(
        "INSERT INTO epochs (epoch, cause, at) VALUES (?, ?, ?)",
        params![bits(tip.epoch.0), format!("{cause:?}").to_lowercase(), txn.now.0],
    )?;
    for head in tip.heads {
        conn.execute(
            "INSERT INTO lanes (epoch, lane, base_seq, base_chain, acked_seq) VALUES (?, ?, 0, ?, 0)",
            params![bits(tip.epoch.0), head.lane.number(), head.chain.0],
        )?;
    }
    let body = Body::EpochBegan(EpochBegan { cause, previous: previous.clone() });
    let (actor, subject) = (&Actor::System, Subject::Box);
    txn.append(Entry { lane: Lane::Critical, actor, subject, body, side: None })?;
    Ok(previous)
}

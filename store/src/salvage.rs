//! A damaged database: it is renamed aside, and what can be read of it goes into a new one with a new epoch.
//!
//! The new database grows under the name `store.salvage.partial`, is renamed to `store.salvage` when it is whole, and takes
//! the database's place when that is set aside: a death in between loses nothing, the next start goes on from there.
//! Every table is read from both ends until the damage stops the reading. The journal is carried over as far as its chain
//! proves it from the beginning; the file that was set aside keeps the rest for a person.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use domain::journal::{Lane, Seq, Sha256, link};
use rusqlite::{Connection, params, params_from_iter, types::Value};

use crate::{Config, Error, identity::sync_dir, schema, snapshot};

/// What became of a damaged database.
#[derive(Clone, Debug)]
pub struct Salvaged {
    /// Why it was set aside.
    pub why: String,
    /// Where it is now.
    pub aside: PathBuf,
    /// Rows carried over, by table.
    pub rows: BTreeMap<String, u64>,
    /// Tables that could not be read to the end.
    pub incomplete: Vec<String>,
    /// Entries of the journal left behind, since no chain proves them.
    pub unproven: u64,
}

const PARTIAL: &str = "store.salvage.partial";
const WHOLE: &str = "store.salvage";

/// Makes a new database of what can be read of the present one, which is set aside. The caller begins the epoch.
pub(crate) fn salvage(dir: &Path, why: &str, config: &Config) -> Result<Salvaged, Error> {
    let partial = dir.join(PARTIAL);
    for left in [PARTIAL, "store.salvage.partial-wal", "store.salvage.partial-shm", WHOLE] {
        match fs::remove_file(dir.join(left)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", dir.join(left))(error));
            }
            _ => {}
        }
    }
    let fresh = schema::open_writer(&partial, config)?;
    schema::migrate(&fresh, 0, config)?;
    let mut report = Salvaged {
        why: why.to_owned(),
        aside: PathBuf::new(),
        rows: BTreeMap::new(),
        incomplete: Vec::new(),
        unproven: 0,
    };
    match schema::open_reader(&dir.join(schema::DATABASE)) {
        Ok(old) => carry_over(&old, &fresh, config, &mut report)?,
        Err(_) => report.incomplete.push("all".to_owned()),
    }
    fresh.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    fresh.close().map_err(|(_, error)| error)?;
    fs::rename(&partial, dir.join(WHOLE)).map_err(Error::io("rename", &partial))?;
    sync_dir(dir)?;
    report.aside = snapshot::set_aside(dir, "damaged", config.clock.now())?;
    finish(dir)?;
    Ok(report)
}

/// Puts a whole salvage in the place of the database, which is not there; whether there was one.
pub(crate) fn finish(dir: &Path) -> Result<bool, Error> {
    let whole = dir.join(WHOLE);
    if !whole.exists() {
        return Ok(false);
    }
    fs::rename(&whole, dir.join(schema::DATABASE)).map_err(Error::io("rename", &whole))?;
    sync_dir(dir)?;
    Ok(true)
}

fn carry_over(
    old: &Connection,
    fresh: &Connection,
    config: &Config,
    report: &mut Salvaged,
) -> Result<(), Error> {
    let transaction = fresh.unchecked_transaction()?;
    for (table, key) in tables(fresh)? {
        let mut copied = 0;
        if let Err(error) = copy(old, fresh, &table, &key, "ASC", &mut copied) {
            if matches!(error, Error::Full | Error::Fatal(_) | Error::ReadOnly) {
                return Err(error);
            }
            report.incomplete.push(table.clone());
            // From the other end, up to the damage; rows that are there already stay as they are.
            let _ = copy(old, fresh, &table, &key, "DESC", &mut copied);
        }
        report.rows.insert(table, copied);
    }
    report.unproven = prove(fresh)?;
    mend(fresh, config)?;
    Ok(transaction.commit()?)
}

/// Every table with the columns of its key.
fn tables(conn: &Connection) -> Result<Vec<(String, String)>, Error> {
    let mut statement = conn.prepare(
        "SELECT m.name, (SELECT group_concat(name, ' DIR, ') FROM (SELECT name FROM pragma_table_info(m.name) WHERE pk > 0 ORDER BY pk))
         FROM sqlite_schema m WHERE type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'schema_versions'",
    )?;
    let tables = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(tables.collect::<Result<_, _>>()?)
}

fn copy(
    old: &Connection,
    fresh: &Connection,
    table: &str,
    key: &str,
    direction: &str,
    copied: &mut u64,
) -> Result<(), Error> {
    let order = format!("{} {direction}", key.replace("DIR", direction));
    let mut read = old.prepare(&format!("SELECT * FROM {table} ORDER BY {order}"))?;
    let columns = read.column_names().collect::<Vec<_>>().join(", ");
    let marks = vec!["?"; read.column_count()].join(", ");
    let mut insert =
        fresh.prepare(&format!("INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})"))?;
    let width = read.column_count();
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let values: Result<Vec<Value>, _> = (0..width).map(|n| row.get(n)).collect();
        let inserted = values.and_then(|values| insert.execute(params_from_iter(values)));
        match inserted.map_err(Error::from) {
            Ok(changed) => *copied += changed as u64,
            Err(error @ (Error::Full | Error::Fatal(_) | Error::ReadOnly)) => return Err(error),
            // A row that breaks a rule of the table is damage too.
            Err(_) => {}
        }
    }
    Ok(())
}

/// Keeps each lane as far as its chain holds from the beginning; how many entries went.
fn prove(conn: &Connection) -> Result<u64, Error> {
    let lanes: Vec<(i64, u8, i64, [u8; 32])> = conn
        .prepare("SELECT epoch, lane, base_seq, base_chain FROM lanes")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    let mut gone = 0;
    for (epoch, lane, base, chain) in &lanes {
        let (mut last, mut chain) = (Seq(base.cast_unsigned()), Sha256(*chain));
        let mut statement = conn.prepare(
            "SELECT seq, record, chain FROM journal WHERE epoch = ? AND lane = ? ORDER BY seq",
        )?;
        let mut rows = statement.query(params![epoch, lane])?;
        while let Some(row) = rows.next()? {
            let (seq, record): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let next = link(chain, &record);
            if Seq(seq.cast_unsigned()) != last.next() || next.0 != row.get::<_, [u8; 32]>(2)? {
                break;
            }
            (last, chain) = (last.next(), next);
        }
        gone += conn.execute(
            "DELETE FROM journal WHERE epoch = ? AND lane = ? AND seq > ?",
            params![epoch, lane, last.0.cast_signed()],
        )?;
    }
    // Entries of a lane whose own row is lost.
    gone += conn.execute(
        "DELETE FROM journal WHERE NOT EXISTS (SELECT 1 FROM lanes l WHERE l.epoch = journal.epoch AND l.lane = journal.lane)",
        [],
    )?;
    // Checkpoints stay: one over entries that are gone tells how many there were.
    for lane in Lane::ALL {
        conn.execute(
            "DELETE FROM sides WHERE lane = ?1 AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.epoch = sides.epoch AND j.lane = ?1 AND j.seq = sides.seq)
             AND NOT EXISTS (SELECT 1 FROM lanes l WHERE l.epoch = sides.epoch AND l.lane = ?1 AND l.base_seq >= sides.seq)",
            [lane.number()],
        )?;
    }
    Ok(gone as u64)
}

/// Makes whole what hangs together: every submission without a decision has a job, and none has a decision that is lost.
fn mend(conn: &Connection, config: &Config) -> Result<(), Error> {
    conn.execute_batch(
        "INSERT OR IGNORE INTO epochs (epoch, cause, at) SELECT DISTINCT epoch, 'lost', 0 FROM lanes;
         UPDATE submissions SET decision = (SELECT max(number) FROM decisions d WHERE d.submission = submissions.id);
         UPDATE submissions SET state = 'pending' WHERE decision IS NULL AND state <> 'failed';
         DELETE FROM jobs WHERE NOT EXISTS (SELECT 1 FROM submissions s WHERE s.id = jobs.submission);
         DELETE FROM decisions WHERE NOT EXISTS (SELECT 1 FROM submissions s WHERE s.id = decisions.submission);",
    )?;
    conn.execute(
        "INSERT OR IGNORE INTO jobs (submission, tenant, kind, priority, state, not_before, set_at)
         SELECT id, tenant, CASE WHEN EXISTS (SELECT 1 FROM media m WHERE m.submission = s.id AND url IS NOT NULL) THEN 'fetch' ELSE 'judge' END,
         priority, 'queued', ?1, ?1 FROM submissions s WHERE decision IS NULL ORDER BY id",
        [config.clock.now().0],
    )?;
    Ok(())
}

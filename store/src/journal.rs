//! The journal as sync reads it: raw bytes from a cursor, side records beside, checkpoints; acknowledging and pruning.

use domain::journal::{Epoch, Head, Lane, Millis, Seq, Sha256, Side, SignedCheckpoint};
use rusqlite::params;

use crate::{
    Error, Reply, Store,
    rows::{self, bits},
    store::Way,
    txn::{Place, head_of},
};

/// An entry as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEntry {
    /// Its place in the lane.
    pub seq: Seq,
    /// The bytes that the chain covers; `domain::journal::Record::decode` reads them.
    pub record: Vec<u8>,
    /// The chain behind it.
    pub chain: Sha256,
    /// Its side record, unless there is none or it was erased.
    pub side: Option<Side>,
}

/// How a lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneState {
    /// The life of the database.
    pub epoch: Epoch,
    /// The last entry.
    pub head: Head,
    /// The last one that was pruned.
    pub base: Seq,
    /// The last one that the hub acknowledged.
    pub acked: Seq,
}

impl Store {
    /// Entries of a lane behind `after`, in order, at most `most`. Only what is on the disk is ever seen here.
    ///
    /// # Errors
    /// [`Error::NotFound`] where entries behind `after` were pruned already.
    pub fn entries(
        &self,
        epoch: Epoch,
        lane: Lane,
        after: Seq,
        most: u32,
    ) -> Result<Vec<RawEntry>, Error> {
        self.read(|conn| {
            let pruned = conn
                .prepare_cached("SELECT 1 FROM lanes WHERE epoch = ? AND lane = ? AND base_seq > ?")?
                .exists(params![bits(epoch.0), lane.number(), bits(after.0)])?;
            if pruned {
                return Err(Error::NotFound("entry of the journal (it was pruned)"));
            }
            let mut statement = conn.prepare_cached(
                "SELECT j.seq, j.record, j.chain, s.salt, s.bytes FROM journal j LEFT JOIN sides s USING (epoch, lane, seq)
                 WHERE epoch = ? AND lane = ? AND seq > ? ORDER BY seq LIMIT ?",
            )?;
            let rows = statement.query_map(
                params![bits(epoch.0), lane.number(), bits(after.0), most],
                |row| {
                    let salt: Option<[u8; 32]> = row.get("salt")?;
                    let bytes: Option<Vec<u8>> = row.get("bytes")?;
                    Ok(RawEntry {
                        seq: Seq(row.get::<_, i64>("seq")?.cast_unsigned()),
                        record: row.get("record")?,
                        chain: Sha256(row.get("chain")?),
                        side: salt.zip(bytes).map(|(salt, bytes)| Side { salt, bytes }),
                    })
                },
            )?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Every lane of every epoch that is still here, oldest epoch first.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn lanes(&self) -> Result<Vec<LaneState>, Error> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT epoch, lane, base_seq, acked_seq FROM lanes JOIN epochs USING (epoch) ORDER BY n, lane",
            )?;
            let lanes: Vec<(i64, u8, i64, i64)> = statement
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
                .collect::<Result<_, _>>()?;
            lanes
                .into_iter()
                .map(|(epoch, lane, base, acked)| {
                    let lane = Lane::from_number(lane).ok_or_else(|| Error::damaged("no such lane"))?;
                    let epoch = Epoch(epoch.cast_unsigned());
                    let head = head_of(conn, epoch, lane)?;
                    let [base, acked] = [base, acked].map(|seq| Seq(seq.cast_unsigned()));
                    Ok(LaneState { epoch, head, base, acked })
                })
                .collect()
        })
    }

    /// Checkpoints of an epoch made after a time, in order.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn checkpoints(
        &self,
        epoch: Epoch,
        after: Millis,
    ) -> Result<Vec<(Millis, SignedCheckpoint)>, Error> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT * FROM checkpoints WHERE epoch = ? AND at > ? ORDER BY n",
            )?;
            let rows = statement.query_map(params![bits(epoch.0), after.0], |row| {
                let signed =
                    SignedCheckpoint { bytes: row.get("bytes")?, signature: row.get("signature")? };
                Ok((rows::millis(row, "at")?, signed))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The hub has committed everything up to here, and names the chain there. Cumulative; a smaller number than before
    /// changes nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] where our chain there is another one: a fork.
    pub fn acknowledge(&self, place: Place, chain: Sha256) -> Reply<()> {
        self.write(Way::Normal, move |txn| {
            let at = params![bits(place.epoch.0), place.lane.number(), bits(place.seq.0)];
            let ours: Option<[u8; 32]> = rusqlite::OptionalExtension::optional(
                txn.conn
                    .prepare_cached("SELECT chain FROM journal WHERE epoch = ? AND lane = ? AND seq = ?")?
                    .query_row(at, |row| row.get(0)),
            )?;
            match ours {
                None => return Err(Error::NotFound("entry of the journal")),
                Some(ours) if ours != chain.0 => {
                    return Err(Error::Conflict("the hub's chain is another one here: a fork"));
                }
                Some(_) => {}
            }
            txn.conn
                .prepare_cached("UPDATE lanes SET acked_seq = max(acked_seq, ?3) WHERE epoch = ?1 AND lane = ?2")?
                .execute(at)?;
            Ok(())
        })
    }

    /// Prunes entries that are acknowledged, behind a checkpoint and older than `journal_keep`, at most `limit` of a lane; how many.
    /// Their side records go with them, except those that a submission, report or appeal still shows.
    pub fn prune_journal(&self, limit: u32) -> Reply<u64> {
        self.write(Way::Normal, move |txn| {
            let old = txn.now.before(txn.config.journal_keep);
            let mut gone = 0;
            let mut statement = txn.conn.prepare_cached("SELECT epoch, lane, base_seq, acked_seq FROM lanes")?;
            let lanes: Vec<(i64, u8, i64, i64)> = statement
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
                .collect::<Result<_, _>>()?;
            for (epoch, lane, base, acked) in lanes {
                let sealed = sealed(txn.conn, epoch, lane)?;
                let upto = acked.min(sealed).min(base.saturating_add(i64::from(limit)));
                // Up to the first entry that is still young: times may jump, numbers do not.
                let young: Option<i64> = txn
                    .conn
                    .prepare_cached("SELECT min(seq) FROM journal WHERE epoch = ? AND lane = ? AND seq <= ? AND at >= ?")?
                    .query_row(params![epoch, lane, upto, old.0], |row| row.get(0))?;
                let upto = young.map_or(upto, |seq| seq - 1);
                if upto <= base {
                    continue;
                }
                txn.conn
                    .prepare_cached(
                        "UPDATE lanes SET base_seq = ?3, base_chain = (SELECT chain FROM journal WHERE epoch = ?1 AND lane = ?2 AND seq = ?3)
                         WHERE epoch = ?1 AND lane = ?2",
                    )?
                    .execute(params![epoch, lane, upto])?;
                gone += txn
                    .conn
                    .prepare_cached("DELETE FROM journal WHERE epoch = ? AND lane = ? AND seq <= ?")?
                    .execute(params![epoch, lane, upto])? as u64;
                txn.conn
                    .prepare_cached(
                        "DELETE FROM sides WHERE epoch = ? AND lane = ? AND seq <= ? AND kind = 'words'",
                    )?
                    .execute(params![epoch, lane, upto])?;
            }
            Ok(gone)
        })
    }
}

/// The last entry of a lane that a checkpoint covers.
fn sealed(conn: &rusqlite::Connection, epoch: i64, lane: u8) -> Result<i64, Error> {
    let bytes: Option<Vec<u8>> = rusqlite::OptionalExtension::optional(
        conn.prepare_cached(
            "SELECT bytes FROM checkpoints WHERE epoch = ? ORDER BY n DESC LIMIT 1",
        )?
        .query_row([epoch], |row| row.get(0)),
    )?;
    let Some(bytes) = bytes else { return Ok(0) };
    let checkpoint: domain::journal::Checkpoint =
        postcard::from_bytes(&bytes).map_err(|e| Error::damaged(e.to_string()))?;
    let head = checkpoint.heads.iter().find(|head| head.lane.number() == lane);
    Ok(head.map_or(0, |head| bits(head.seq.0)))
}

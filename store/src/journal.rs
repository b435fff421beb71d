//! The journal as sync reads it: raw bytes from a cursor, side records beside, checkpoints; acknowledging and pruning.

use domain::journal::{Epoch, Head, Lane, Seq, Sha256, Side, SignedCheckpoint};
use rusqlite::{OptionalExtension as _, params};

use crate::{
    Error, Reply, Store,
    rows::bits,
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
    /// The last one that was pruned, and the chain there.
    pub base: Head,
    /// The last one that the hub acknowledged.
    pub acked: Seq,
    /// Whether the hub has another journal under this epoch: nothing more of it is sent.
    pub forked: bool,
}

/// How the hub's cursor fits our entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// The same chain there.
    Same,
    /// Another chain there, or no such entry yet.
    Other,
    /// The entry was pruned.
    Pruned,
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
                "SELECT epoch, lane, base_seq, base_chain, acked_seq, forked_at IS NOT NULL FROM lanes JOIN epochs USING (epoch)
                 ORDER BY n, lane",
            )?;
            let mut rows = statement.query([])?;
            let mut lanes = Vec::new();
            while let Some(row) = rows.next()? {
                let lane =
                    Lane::from_number(row.get(1)?).ok_or_else(|| Error::damaged("no such lane"))?;
                let epoch = Epoch(row.get::<_, i64>(0)?.cast_unsigned());
                let seq = |seq: i64| Seq(seq.cast_unsigned());
                let base = Head { lane, seq: seq(row.get(2)?), chain: Sha256(row.get(3)?) };
                let head = head_of(conn, epoch, lane)?;
                let (acked, forked) = (seq(row.get(4)?), row.get(5)?);
                lanes.push(LaneState { epoch, head, base, acked, forked });
            }
            Ok(lanes)
        })
    }

    /// Checkpoints without a receipt of the hub's, behind the number given, of epochs that did not fork; in order, at most `most`.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn checkpoints(
        &self,
        after: u64,
        most: u32,
    ) -> Result<Vec<(u64, SignedCheckpoint)>, Error> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT c.* FROM checkpoints c JOIN epochs USING (epoch)
                 WHERE c.n > ? AND receipt IS NULL AND forked_at IS NULL ORDER BY c.n LIMIT ?",
            )?;
            let rows = statement.query_map(params![bits(after), most], |row| {
                let signed =
                    SignedCheckpoint { bytes: row.get("bytes")?, signature: row.get("signature")? };
                Ok((row.get::<_, i64>("n")?.cast_unsigned(), signed))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Keeps the hub's receipt for a checkpoint, as bytes: the store does not look into it.
    pub fn keep_receipt(&self, checkpoint: u64, receipt: Vec<u8>) -> Reply<()> {
        self.write(Way::Normal, move |txn| {
            txn.conn
                .prepare_cached("UPDATE checkpoints SET receipt = ? WHERE n = ?")?
                .execute(params![receipt, bits(checkpoint)])?;
            Ok(())
        })
    }

    /// The hub has committed everything up to here and nothing behind it, and names the chain there. Kept where it is ours. It may be
    /// less than before, where the hub was restored from a copy: what it lacks is not pruned then.
    pub fn acknowledge(&self, place: Place, chain: Sha256) -> Reply<Acknowledged> {
        self.write(Way::Normal, move |txn| {
            let at = params![bits(place.epoch.0), place.lane.number(), bits(place.seq.0)];
            let (base, base_chain): (i64, [u8; 32]) = txn
                .conn
                .prepare_cached(
                    "SELECT base_seq, base_chain FROM lanes WHERE epoch = ? AND lane = ?",
                )?
                .query_row(params![bits(place.epoch.0), place.lane.number()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            let ours: Option<[u8; 32]> = match bits(place.seq.0).cmp(&base) {
                std::cmp::Ordering::Less => None,
                std::cmp::Ordering::Equal => Some(base_chain),
                std::cmp::Ordering::Greater => txn
                    .conn
                    .prepare_cached(
                        "SELECT chain FROM journal WHERE epoch = ? AND lane = ? AND seq = ?",
                    )?
                    .query_row(at, |row| row.get(0))
                    .optional()?,
            };
            let pruned = bits(place.seq.0) < base;
            let acked = match ours {
                _ if pruned => base,
                Some(ours) if ours == chain.0 => bits(place.seq.0),
                _ => return Ok(Acknowledged::Other),
            };
            txn.conn
                .prepare_cached("UPDATE lanes SET acked_seq = ?3 WHERE epoch = ?1 AND lane = ?2")?
                .execute(params![bits(place.epoch.0), place.lane.number(), acked])?;
            Ok(if pruned { Acknowledged::Pruned } else { Acknowledged::Same })
        })
    }

    /// Prunes entries that are acknowledged, behind a checkpoint and older than `journal_keep`, at most `limit` of a lane; how many.
    /// Their side records go with them, except those that a submission, report or appeal still shows.
    pub fn prune_journal(&self, limit: u32) -> Reply<u64> {
        self.write(Way::Normal, move |txn| {
            let old = txn.now.before(txn.config.journal_keep);
            let mut gone = 0;
            let mut statement = txn.conn.prepare_cached(
                "SELECT epoch, lane, base_seq, max(acked_seq, carried_seq) FROM lanes",
            )?;
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
                        "DELETE FROM sides WHERE epoch = ? AND lane = ? AND seq <= ? AND kind IN ('words', 'order')",
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

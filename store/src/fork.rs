//! A fork: the hub has another journal under this box's name and epoch. The box goes on in a new epoch, and tells again there what
//! the hub did not acknowledge of the old one.

use domain::journal::{Actor, AuthorNumber, Body, Carried, Epoch, EpochCause, Lane, Subject};
use domain::journal::{Record, SubmissionId};
use rusqlite::{OptionalExtension as _, params};
use uuid::Uuid;

use crate::{
    Error, Reply, Store,
    rows::bits,
    snapshot,
    store::Way,
    txn::{Entry, NewSide, SideKind, Txn},
};

impl Store {
    /// Marks an epoch as forked; where it is the one that grows, a new one begins. Said twice, it changes nothing. What the hub did not
    /// acknowledge is told again by [`Store::carry`]. The epoch that grows afterwards.
    pub fn fork(&self, epoch: Epoch) -> Reply<Epoch> {
        self.write(Way::Urgent, move |txn| {
            let marked = txn
                .conn
                .prepare_cached(
                    "UPDATE epochs SET forked_at = ? WHERE epoch = ? AND forked_at IS NULL",
                )?
                .execute(params![txn.now.0, bits(epoch.0)])?;
            if marked > 0 && txn.tip.epoch == epoch {
                snapshot::begin(txn, EpochCause::Forked, None)?;
            }
            Ok(txn.tip.epoch)
        })
    }

    /// Tells up to `limit` entries of forked epochs again in the one that grows, in order; how many. None are left where it is 0.
    pub fn carry(&self, limit: u32) -> Reply<u32> {
        self.write(Way::Urgent, move |txn| {
            let next: Option<(i64, u8, i64)> = txn
                .conn
                .prepare_cached(
                    "SELECT epoch, lane, max(acked_seq, carried_seq) AS done FROM lanes JOIN epochs USING (epoch)
                     WHERE forked_at IS NOT NULL
                     AND EXISTS (SELECT 1 FROM journal j WHERE j.epoch = lanes.epoch AND j.lane = lanes.lane
                                 AND j.seq > max(acked_seq, carried_seq))
                     ORDER BY n, lane LIMIT 1",
                )?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            let Some((epoch, lane, done)) = next else { return Ok(0) };
            carry(txn, epoch, lane, done, limit)
        })
    }
}

/// An entry that is told again, with its side record.
struct Old {
    seq: i64,
    record: Vec<u8>,
    side: Option<OldSide>,
}

struct OldSide {
    kind: SideKind,
    submission: Option<Uuid>,
    author: Option<i64>,
    salt: [u8; 32],
    bytes: Vec<u8>,
}

fn carry(txn: &mut Txn<'_>, epoch: i64, number: u8, done: i64, limit: u32) -> Result<u32, Error> {
    let lane = Lane::from_number(number).ok_or_else(|| Error::damaged("no such lane"))?;
    let entries: Vec<Old> = txn
        .conn
        .prepare_cached(
            "SELECT j.seq, j.record, s.kind, s.submission, s.author, s.salt, s.bytes
             FROM journal j LEFT JOIN sides s USING (epoch, lane, seq)
             WHERE epoch = ? AND lane = ? AND seq > ? ORDER BY seq LIMIT ?",
        )?
        .query_map(params![epoch, number, done, limit], |row| {
            let kind: Option<String> = row.get(2)?;
            let side = match kind.as_deref().and_then(SideKind::named) {
                Some(kind) => Some(OldSide {
                    kind,
                    submission: row.get(3)?,
                    author: row.get(4)?,
                    salt: row.get(5)?,
                    bytes: row.get(6)?,
                }),
                None => None,
            };
            Ok(Old { seq: row.get(0)?, record: row.get(1)?, side })
        })?
        .collect::<Result<_, _>>()?;
    let mut last = done;
    for old in &entries {
        let subject = Record::decode(&old.record).map_or(Subject::Box, |record| record.subject);
        let side = old.side.as_ref().map(|side| NewSide {
            kind: side.kind,
            submission: side.submission.map(SubmissionId),
            author: side.author.map(|author| AuthorNumber(author.cast_unsigned())),
            bytes: &side.bytes,
            salt: Some(side.salt),
        });
        let body = Body::Carried(Carried { record: old.record.clone() });
        txn.append(Entry { lane, actor: &Actor::System, subject, body, side })?;
        last = old.seq;
    }
    txn.conn
        .prepare_cached("UPDATE lanes SET carried_seq = ? WHERE epoch = ? AND lane = ?")?
        .execute(params![last, epoch, number])?;
    Ok(u32::try_from(entries.len()).unwrap_or(u32::MAX))
}

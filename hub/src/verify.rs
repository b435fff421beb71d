//! Proving what the hub holds from its own bytes: chains, checkpoints, side records, holes.

use std::pin::pin;

use domain::journal::{
    BoxId, Epoch, GENESIS, Head, Lane, Record, Seq, Sha256, Side, SignedCheckpoint, link,
};
use futures_util::TryStreamExt as _;
use serde::Serialize;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::Error;
use crate::checkpoint::{Fits, fit};
use crate::ingest::hash;

/// What was recomputed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Boxes with entries or cursors.
    pub boxes: u64,
    /// Lanes, of all epochs.
    pub lanes: u64,
    /// Entries whose chain was recomputed.
    pub entries: u64,
    /// Checkpoints whose signature was verified again.
    pub checkpoints: u64,
    /// Of those, how many say something of entries that are still here.
    pub checkpoints_held: u64,
    /// Side records whose commitment was recomputed.
    pub sides: u64,
    /// Side records that are gone, erased; entries keep their commitments.
    pub sides_gone: u64,
    /// Stretches that boxes said nobody has any more.
    pub holes: u64,
    /// What does not hold; empty means that everything does. At most [`MOST_PROBLEMS`].
    pub problems: Vec<String>,
}

/// Problems that are told one by one.
pub const MOST_PROBLEMS: usize = 100;

/// Recomputes everything, of one box or of all, as of one instant.
///
/// # Errors
/// Where the database is away. What does not hold is no error but a problem.
pub async fn verify(client: &mut Client, only: Option<BoxId>) -> Result<Verified, Error> {
    let builder = client.build_transaction().read_only(true);
    let level = tokio_postgres::IsolationLevel::RepeatableRead;
    let snapshot = builder.isolation_level(level).start().await?;
    let client = snapshot.client();
    let mut verified = Verified::default();
    let query =
        "SELECT box, epoch, lane, seq, chain, coalesce(began_at < (SELECT max(dropped_before) FROM retention), false)
         FROM cursors WHERE $1::uuid IS NULL OR box = $1 ORDER BY box, began_at, epoch, lane";
    let mut last = None;
    for row in client.query(query, &[&only.map(|of| of.0)]).await? {
        let of = BoxId(row.try_get(0)?);
        verified.boxes += u64::from(last.replace(of) != Some(of));
        verified.lanes += 1;
        verified.lane(client, of, &row).await?;
    }
    verified.homeless(client, only).await?;
    verified.checkpoints(client, only).await?;
    snapshot.commit().await?;
    Ok(verified)
}

/// Where the walk along a lane has come to.
struct Walk {
    at: String,
    seq: Seq,
    /// The chain there; unknown behind what retention dropped, until the first entry that is left.
    chain: Option<Sha256>,
}

impl Verified {
    fn problem(&mut self, what: impl Into<String>) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(what.into());
        }
    }

    /// One lane: numbers without a gap but for known holes, chain, what the record says of itself, side record, and the cursor.
    async fn lane(&mut self, client: &Client, of: BoxId, cursor: &Row) -> Result<(), Error> {
        let (epoch, lane): (i64, i16) = (cursor.try_get(1)?, cursor.try_get(2)?);
        let (end, end_chain): (i64, &[u8]) = (cursor.try_get(3)?, cursor.try_get(4)?);
        let place = Epoch(epoch.cast_unsigned());
        let at = format!("box {of}, epoch {place}, lane {lane}");
        let holes = self.holes(client, of, epoch, lane).await?;
        let mut walk = Walk { at, seq: Seq(0), chain: Some(GENESIS) };
        let query = "SELECT e.seq, e.record, e.chain, s.salt, s.bytes FROM entries e
            LEFT JOIN sides s ON (s.box, s.epoch, s.lane, s.seq) = (e.box, e.epoch, e.lane, e.seq)
            WHERE e.box = $1 AND e.epoch = $2 AND e.lane = $3 ORDER BY e.seq";
        let parameters: [&(dyn ToSql + Sync); 3] = [&of.0, &epoch, &lane];
        let mut rows = pin!(client.query_raw(query, parameters).await?);
        // Only what retention dropped may be missing before the first entry that is here.
        let mut pruned: bool = cursor.try_get(5)?;
        while let Some(row) = rows.try_next().await? {
            self.entries += 1;
            let seq = Seq(row.try_get::<_, i64>(0)?.cast_unsigned());
            self.step(&mut walk, &holes, seq, pruned);
            pruned = false;
            let lane = u8::try_from(lane).ok().and_then(Lane::from_number);
            self.entry(&mut walk, (of, place, lane, seq), &row)?;
        }
        self.step(&mut walk, &holes, Seq(end.cast_unsigned()).next(), pruned);
        if walk.chain.is_some_and(|chain| chain.0 != end_chain) {
            self.problem(format!("{}: the chain does not end where the cursor says", walk.at));
        }
        Ok(())
    }

    /// Goes on to the entry of that number, over holes that are known.
    fn step(&mut self, walk: &mut Walk, holes: &[(Head, Head)], to: Seq, pruned: bool) {
        for (from, end) in holes {
            if from.seq == walk.seq && end.seq < to {
                (walk.seq, walk.chain) = (end.seq, Some(end.chain));
            }
        }
        if to == walk.seq.next() {
            return;
        }
        if pruned && to > walk.seq {
            // Older days were dropped by retention: from here on the chain is taken as it is, and checkpoints bind it.
            (walk.seq, walk.chain) = (Seq(to.0 - 1), None);
            return;
        }
        self.problem(format!("{}: entry {} follows {}", walk.at, to.0, walk.seq.0));
        (walk.seq, walk.chain) = (Seq(to.0.saturating_sub(1)), None);
    }

    fn entry(
        &mut self,
        walk: &mut Walk,
        (of, epoch, lane, seq): (BoxId, Epoch, Option<Lane>, Seq),
        row: &Row,
    ) -> Result<(), Error> {
        let (record, stored): (&[u8], Sha256) = (row.try_get(1)?, hash(row.try_get(2)?)?);
        let at = format!("{}, entry {}", walk.at, seq.0);
        if walk.chain.is_some_and(|chain| link(chain, record) != stored) {
            self.problem(format!(
                "{at}: the chain is another one: it or the one before it was altered"
            ));
        }
        // Goes on from what is written, so that one alteration is one problem.
        (walk.seq, walk.chain) = (seq, Some(stored));
        let said = match Record::decode(record) {
            Ok(record) => record,
            Err(error) => {
                self.problem(format!("{at}: {error}"));
                return Ok(());
            }
        };
        if (said.of, said.epoch, Some(said.lane), said.seq) != (of, epoch, lane, seq) {
            self.problem(format!("{at}: the record says that it stands elsewhere"));
        }
        let salt: Option<&[u8]> = row.try_get(3)?;
        match (said.side, salt) {
            (Some(commitment), Some(salt)) => {
                self.sides += 1;
                let salt = <[u8; 32]>::try_from(salt).unwrap_or_default();
                let side = Side { salt, bytes: row.try_get(4)? };
                if side.commitment() != commitment {
                    self.problem(format!("{at}: the side record is not the one committed to"));
                }
            }
            (Some(_), None) => self.sides_gone += 1,
            (None, Some(_)) => self.problem(format!("{at}: a side record that nothing commits to")),
            (None, None) => {}
        }
        Ok(())
    }

    async fn holes(
        &mut self,
        client: &Client,
        of: BoxId,
        epoch: i64,
        lane: i16,
    ) -> Result<Vec<(Head, Head)>, Error> {
        let query = "SELECT from_seq, from_chain, to_seq, to_chain FROM holes
                     WHERE box = $1 AND epoch = $2 AND lane = $3 ORDER BY from_seq";
        let mut holes = Vec::new();
        for row in client.query(query, &[&of.0, &epoch, &lane]).await? {
            let head = |seq, chain| {
                let (seq, chain): (i64, &[u8]) = (row.try_get(seq)?, row.try_get(chain)?);
                let seq = Seq(seq.cast_unsigned());
                Ok::<_, Error>(Head { lane: Lane::Bulk, seq, chain: hash(chain)? })
            };
            holes.push((head(0, 1)?, head(2, 3)?));
            self.holes += 1;
        }
        Ok(holes)
    }

    /// Entries of lanes that have no cursor: nothing ever acknowledged them.
    async fn homeless(&mut self, client: &Client, only: Option<BoxId>) -> Result<(), Error> {
        let query =
            "SELECT DISTINCT box FROM entries e WHERE ($1::uuid IS NULL OR box = $1) AND NOT EXISTS
            (SELECT 1 FROM cursors c WHERE (c.box, c.epoch, c.lane) = (e.box, e.epoch, e.lane))";
        for row in client.query(query, &[&only.map(|of| of.0)]).await? {
            let of: Uuid = row.try_get(0)?;
            self.problem(format!("box {of}: entries of a lane without a cursor"));
        }
        Ok(())
    }

    async fn checkpoints(&mut self, client: &Client, only: Option<BoxId>) -> Result<(), Error> {
        let query = "SELECT c.box, c.bytes, c.signature, b.public_key, c.verified_at IS NOT NULL
            FROM checkpoints c LEFT JOIN boxes b USING (box) WHERE $1::uuid IS NULL OR c.box = $1 ORDER BY c.box, c.received_at";
        for row in client.query(query, &[&only.map(|of| of.0)]).await? {
            let of = BoxId(row.try_get(0)?);
            let signed = SignedCheckpoint { bytes: row.try_get(1)?, signature: row.try_get(2)? };
            let key: Option<&[u8]> = row.try_get(3)?;
            let name = Sha256::of(&signed.bytes);
            self.checkpoints += 1;
            match signed.verify(key.unwrap_or_default()) {
                Ok(checkpoint) => {
                    let mut held = true;
                    for head in &checkpoint.heads {
                        let fits = fit(client, of, checkpoint.epoch, head).await?;
                        held &= fits == Fits::Same;
                        // One that was verified may not come to lie ahead of what is here.
                        let lost = fits == Fits::Later && row.try_get(4)?;
                        if fits == Fits::Other || lost {
                            let (lane, seq) = (head.lane.number(), head.seq.0);
                            self.problem(format!(
                                "box {of}, checkpoint {name}: lane {lane} is not as it was at entry {seq}"
                            ));
                        }
                    }
                    self.checkpoints_held += u64::from(held);
                }
                Err(error) => self.problem(format!("box {of}, checkpoint {name}: {error}")),
            }
        }
        Ok(())
    }
}

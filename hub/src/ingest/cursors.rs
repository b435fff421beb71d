//! Up to where lanes are committed, as the database knows it.

use std::collections::{HashMap, HashSet};

use domain::journal::{BoxId, Epoch, Head, Lane, Seq, Sha256};
use sync::frame::{Cursor, nothing};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::Error;

/// Which lane of which box.
pub(crate) type Flow = (BoxId, Epoch, Lane);

/// How a lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub cursor: Cursor,
    /// Nothing of it is taken any more.
    pub forked: bool,
}

/// Lanes that are remembered; beyond them all are forgotten, and read again when needed.
const MOST: usize = 100_000;

/// What this shard believes of cursors. Another node may have moved one since: the fence tells.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    known: HashMap<Flow, Known>,
    /// Read since the present group was begun.
    fresh: HashSet<Flow>,
}

/// Columns of flows, as arrays for `unnest`.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    pub boxes: Vec<Uuid>,
    pub epochs: Vec<i64>,
    pub lanes: Vec<i16>,
}

impl Flows {
    pub fn push(&mut self, (of, epoch, lane): Flow) {
        self.boxes.push(of.0);
        self.epochs.push(epoch.0.cast_signed());
        self.lanes.push(i16::from(lane.number()));
    }

    pub fn parameters(&self) -> [&(dyn ToSql + Sync); 3] {
        [&self.boxes, &self.epochs, &self.lanes]
    }
}

impl Cursors {
    /// Forgets everything: whatever happened, the database knows better.
    pub fn clear(&mut self) {
        self.known.clear();
        self.fresh.clear();
    }

    pub fn begin(&mut self) {
        self.fresh.clear();
        if self.known.len() > MOST {
            self.known.clear();
        }
    }

    pub fn get(&self, flow: Flow) -> Option<Known> {
        self.known.get(&flow).copied()
    }

    pub fn is_fresh(&self, flow: Flow) -> bool {
        self.fresh.contains(&flow)
    }

    /// Keeps what was committed.
    pub fn moved(&mut self, flow: Flow, cursor: Cursor) {
        self.known.insert(flow, Known { cursor, forked: false });
    }

    pub fn forked(&mut self, of: BoxId, epoch: Epoch) {
        self.known.retain(|flow, _| (flow.0, flow.1) != (of, epoch));
    }

    /// Reads these from the database.
    pub async fn load(
        &mut self,
        client: &Client,
        wanted: impl IntoIterator<Item = Flow>,
    ) -> Result<(), Error> {
        let mut flows = Flows::default();
        for flow in wanted.into_iter().collect::<HashSet<_>>() {
            flows.push(flow);
            let cursor = nothing(flow.1, flow.2);
            self.known.insert(flow, Known { cursor, forked: false });
            self.fresh.insert(flow);
        }
        if flows.boxes.is_empty() {
            return Ok(());
        }
        let query = "SELECT c.box, c.epoch, c.lane, c.seq, c.chain, c.forked_at IS NOT NULL FROM cursors c
             JOIN unnest($1::uuid[], $2::bigint[], $3::smallint[]) n(box, epoch, lane) USING (box, epoch, lane)";
        for row in client.query(query, &flows.parameters()).await? {
            let of = BoxId(row.try_get(0)?);
            let cursor =
                cursor(row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?)?;
            let flow = (of, cursor.epoch, cursor.head.lane);
            self.known.insert(flow, Known { cursor, forked: row.try_get(5)? });
        }
        Ok(())
    }
}

/// A cursor out of its columns.
fn cursor(epoch: i64, lane: i16, seq: i64, chain: &[u8]) -> Result<Cursor, Error> {
    let lane = u8::try_from(lane).ok().and_then(Lane::from_number);
    let lane = lane.ok_or_else(|| Error::Damaged("no such lane".into()))?;
    let head = Head { lane, seq: Seq(seq.cast_unsigned()), chain: hash(chain)? };
    Ok(Cursor { epoch: Epoch(epoch.cast_unsigned()), head })
}

/// A hash out of its column.
pub(crate) fn hash(bytes: &[u8]) -> Result<Sha256, Error> {
    let hash = bytes.try_into().map_err(|_| Error::Damaged("a hash of another length".into()))?;
    Ok(Sha256(hash))
}

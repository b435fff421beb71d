//! One transaction: the fence, the rows, what hangs on them.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::cursors::Flows;
use super::plan::Plan;
use crate::copy::Copy;
use crate::database::{Connection, Database};
use crate::directives::lost;
use crate::projection::{COPIES, Taken};
use crate::receipt::HubKey;
use crate::review::decide;
use crate::{Error, alarm, flags, models};

/// Moves cursors that are still where they were believed to be.
const FENCE: &str = "UPDATE cursors c SET seq = n.seq, chain = n.chain, moved_at = now()
    FROM unnest($1::uuid[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bytea[])
         n(box, epoch, lane, was, was_chain, seq, chain)
    WHERE c.box = n.box AND c.epoch = n.epoch AND c.lane = n.lane AND c.seq = n.was AND c.chain = n.was_chain
      AND c.forked_at IS NULL";

/// A lane of which there is nothing yet gets its row; of two that try, the second waits and then finds it.
const FIRST: &str = "INSERT INTO cursors (box, epoch, lane, seq, chain)
    SELECT box, epoch, lane, 0, decode(repeat('00', 32), 'hex')
    FROM unnest($1::uuid[], $2::bigint[], $3::smallint[]) n(box, epoch, lane) ON CONFLICT DO NOTHING";

/// Side records and erasures of one box wait for each other, so that none slips in between.
const HOLD_SHARED: &str =
    "SELECT pg_advisory_xact_lock_shared(hashtextextended(b::text, 0)) FROM unnest($1::uuid[]) b";
const HOLD: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended(b::text, 0)) FROM unnest($1::uuid[]) b";

const ANY_ERASED: &str = "SELECT EXISTS (SELECT 1 FROM erased WHERE box = ANY($1))";

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Everything is on the disk.
    Committed,
    /// Another node moved a cursor first; nothing was written.
    Fenced,
}

/// A connection with what it has prepared.
#[derive(Debug)]
pub(crate) struct Writer {
    pub client: Connection,
    key: Arc<HubKey>,
    fence: Statement,
    first: Statement,
    hold: Statement,
    any_erased: Statement,
    copies: [Statement; COPIES.len()],
    /// Days since 1970 whose partitions are there.
    days: HashSet<i64>,
}

impl Writer {
    pub async fn connect(database: &Database, key: Arc<HubKey>) -> Result<Self, Error> {
        let client = database.connect().await?;
        crate::schema::check(&client).await?;
        let fence = client.prepare(FENCE).await?;
        let first = client.prepare(FIRST).await?;
        let hold = client.prepare(HOLD_SHARED).await?;
        let any_erased = client.prepare(ANY_ERASED).await?;
        let [a, b, c, d, e, f] = COPIES;
        let copies = [
            client.prepare(a).await?,
            client.prepare(b).await?,
            client.prepare(c).await?,
            client.prepare(d).await?,
            client.prepare(e).await?,
            client.prepare(f).await?,
        ];
        Ok(Self { client, key, fence, first, hold, any_erased, copies, days: HashSet::new() })
    }

    /// Writes a plan whole or not at all.
    pub async fn write(&mut self, plan: Plan, received_us: i64) -> Result<Written, Error> {
        self.ensure_day(received_us.div_euclid(86_400_000_000)).await?;
        if plan.moves.is_empty() {
            self.mark(&plan).await?;
            return Ok(Written::Committed);
        }
        match self.transact(plan, received_us).await {
            Ok(Written::Committed) => Ok(Written::Committed),
            other => {
                // The connection may be gone; then the server has rolled back.
                if !self.client.is_closed() {
                    self.client.batch_execute("ROLLBACK").await?;
                }
                other
            }
        }
    }

    async fn transact(&mut self, plan: Plan, received_us: i64) -> Result<Written, Error> {
        let client = &self.client;
        let begun = client.batch_execute("BEGIN");
        let held = self.hold(&plan);
        let fenced = self.fence(&plan);
        // Sent one behind the other, in this order, without waiting for answers in between.
        let (_, (), whole) = tokio::try_join!(async { Ok(begun.await?) }, held, fenced)?;
        if !whole {
            return Ok(Written::Fenced);
        }
        let mut plan = plan;
        let rows = &mut plan.rows;
        let personal = std::mem::take(&mut rows.personal);
        let (erased, again) = (std::mem::take(&mut rows.erased), std::mem::take(&mut rows.again));
        let (receipts, intake) =
            (std::mem::take(&mut rows.receipts), std::mem::take(&mut rows.intake));
        let said = (std::mem::take(&mut rows.models), std::mem::take(&mut rows.flags));
        self.mark(&plan).await?;
        let [a, b, c, d, e, f] = plan.rows.copies();
        let [to_a, to_b, to_c, to_d, to_e, to_f] = &self.copies;
        // One behind the other on the wire, without a wait for each answer.
        tokio::try_join!(
            self.copy(a, to_a),
            self.copy(b, to_b),
            self.copy(c, to_c),
            self.copy(d, to_d),
            self.copy(e, to_e),
            self.copy(f, to_f)
        )?;
        if !again.0.is_empty() {
            self.once(&again, received_us).await?;
        }
        intake.write(&self.client, received_us).await?;
        models::write(&self.client, &said.0).await?;
        flags::write(&self.client, &said.1).await?;
        for taken in &receipts {
            self.receipt(taken).await?;
        }
        for (of, author, tenant) in erased {
            self.erase(of, author, &tenant).await?;
        }
        if !personal.boxes.is_empty() {
            self.sweep(&personal).await?;
        }
        self.client.batch_execute("COMMIT").await?;
        Ok(Written::Committed)
    }

    async fn hold(&self, plan: &Plan) -> Result<(), Error> {
        let (personal, erased) = (&plan.rows.personal, &plan.rows.erased);
        if !erased.is_empty() {
            let mut boxes: Vec<Uuid> = erased.iter().map(|(of, ..)| *of).collect();
            boxes.sort_unstable();
            self.client.execute(HOLD, &[&boxes]).await?;
        }
        if !personal.boxes.is_empty() {
            let mut boxes = personal.boxes.clone();
            boxes.sort_unstable();
            self.client.execute(&self.hold, &[&boxes]).await?;
        }
        Ok(())
    }

    /// Whether every cursor was where it was believed to be.
    async fn fence(&self, plan: &Plan) -> Result<bool, Error> {
        let (mut flows, mut firsts) = (Flows::default(), Flows::default());
        let (mut was, mut now) = (Vec::new(), Vec::new());
        let (mut was_chains, mut chains) = (Vec::new(), Vec::new());
        for (flow, (before, after)) in &plan.moves {
            flows.push(*flow);
            if before.head.seq.0 == 0 {
                firsts.push(*flow);
            }
            was.push(before.head.seq.0.cast_signed());
            was_chains.push(before.head.chain.0.to_vec());
            now.push(after.head.seq.0.cast_signed());
            chains.push(after.head.chain.0.to_vec());
        }
        if !firsts.boxes.is_empty() {
            self.client.execute(&self.first, &firsts.parameters()).await?;
        }
        let [a, b, c] = flows.parameters();
        let parameters: [&(dyn ToSql + Sync); 7] = [a, b, c, &was, &was_chains, &now, &chains];
        let moved = self.client.execute(&self.fence, &parameters).await?;
        Ok(moved == plan.moves.len() as u64)
    }

    async fn copy(&self, rows: Copy, statement: &Statement) -> Result<(), Error> {
        let expected = rows.rows();
        if expected == 0 {
            return Ok(());
        }
        let mut sink = pin!(self.client.copy_in::<_, Bytes>(statement).await?);
        sink.feed(rows.finish()).await?;
        let written = sink.finish().await?;
        if written == expected {
            Ok(())
        } else {
            Err(Error::Damaged(format!("COPY took {written} rows of {expected}")))
        }
    }

    /// Holes, forks and alarms.
    async fn mark(&self, plan: &Plan) -> Result<(), Error> {
        for (of, hole) in &plan.holes {
            let (from, to) = (hole.from.head, hole.to);
            self.client
                .execute(
                    "INSERT INTO holes (box, epoch, lane, from_seq, from_chain, to_seq, to_chain)
                     VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    &[
                        &of.0,
                        &hole.from.epoch.0.cast_signed(),
                        &i16::from(from.lane.number()),
                        &from.seq.0.cast_signed(),
                        &from.chain.0.as_slice(),
                        &to.seq.0.cast_signed(),
                        &to.chain.0.as_slice(),
                    ],
                )
                .await?;
        }
        for (of, epoch, _) in &plan.forks {
            let query = "UPDATE cursors SET forked_at = now() WHERE box = $1 AND epoch = $2 AND forked_at IS NULL";
            self.client.execute(query, &[&of.0, &epoch.0.cast_signed()]).await?;
        }
        for (of, kind, code) in &plan.alarms {
            alarm::raise(&self.client, *of, *kind, code).await?;
        }
        Ok(())
    }

    /// Of what a box tells again after a fork only that stays which the hub did not have. Its entries stay as they came.
    async fn once(&self, again: &(Vec<Uuid>, Vec<Uuid>), received_us: i64) -> Result<(), Error> {
        for (table, same) in [
            ("verdicts", "o.number = r.number"),
            ("submissions", "true"),
            ("media", "o.sha256 = r.sha256"),
            ("pdqs", "o.n = r.n AND o.pdq = r.pdq"),
        ] {
            let query = format!(
                "WITH n AS (SELECT DISTINCT box, submission FROM unnest($1::uuid[], $2::uuid[]) n(box, submission)),
                      t AS (SELECT timestamptz 'epoch' + $3::bigint * interval '1 microsecond' AS at)
                 DELETE FROM {table} r USING n, t
                 WHERE r.box = n.box AND r.submission = n.submission AND r.received_at = t.at
                   AND EXISTS (SELECT 1 FROM {table} o WHERE o.box = r.box AND o.submission = r.submission
                               AND o.received_at < t.at AND {same})"
            );
            self.client.execute(&query, &[&again.0, &again.1, &received_us]).await?;
        }
        Ok(())
    }

    /// What a box says of a directive. Its first word counts: told again after a fork it is the same.
    async fn receipt(&self, taken: &Taken) -> Result<(), Error> {
        let Taken { of, at, directed, copy } = taken;
        let query =
            "INSERT INTO directive_receipts (box, epoch, lane, seq, refused, at, received_at)
                     VALUES ($1, $2, $3, $4, $5, $6, now()) ON CONFLICT DO NOTHING";
        let place = &directed.place;
        let refused = directed.refused.as_ref().map(|code| code.as_str());
        let (epoch, seq) = (place.epoch.0.cast_signed(), place.seq.0.cast_signed());
        let lane = place.to.to_string();
        self.client.execute(query, &[of, &epoch, &lane, &seq, &refused, at]).await?;
        if let Some(why) = refused {
            decide::refused(&self.client, &self.key, *of, (epoch, &lane, seq), why).await?;
        }
        lost::receive(&self.client, &self.key, *of, directed, copy.as_deref()).await
    }

    /// The author's side records go; the entries that commit to them stay.
    async fn erase(&self, of: Uuid, author: i64, tenant: &str) -> Result<(), Error> {
        let tombstone = "INSERT INTO erased (box, author, tenant, erased_at) VALUES ($1, $2, $3, now()) ON CONFLICT DO NOTHING";
        self.client.execute(tombstone, &[&of, &author, &tenant]).await?;
        let sides = "DELETE FROM sides s WHERE s.box = $1 AND (s.author = $2 OR s.submission IN
                     (SELECT u.submission FROM submissions u WHERE u.box = $1 AND u.author = $2))";
        self.client.execute(sides, &[&of, &author]).await?;
        Ok(())
    }

    /// What came of authors who were erased before, by whichever lane was slower.
    async fn sweep(&self, personal: &crate::projection::Personal) -> Result<(), Error> {
        if !self
            .client
            .query_one(&self.any_erased, &[&personal.boxes])
            .await?
            .try_get::<_, bool>(0)?
        {
            return Ok(());
        }
        let own = "DELETE FROM sides s USING erased e
                   WHERE s.box = ANY($1) AND s.author = ANY($2) AND e.box = s.box AND e.author = s.author";
        self.client.execute(own, &[&personal.boxes, &personal.authors]).await?;
        let of_submissions = "DELETE FROM sides s USING submissions u, erased e
             WHERE s.box = ANY($1) AND s.submission = ANY($2) AND u.box = s.box AND u.submission = s.submission
               AND e.box = u.box AND e.author = u.author";
        self.client.execute(of_submissions, &[&personal.boxes, &personal.submissions]).await?;
        Ok(())
    }

    async fn ensure_day(&mut self, day: i64) -> Result<(), Error> {
        if !self.days.contains(&day) {
            let day_of = i32::try_from(day).map_err(|_| Error::Invalid("no such day".into()))?;
            self.client
                .execute("SELECT ensure_day(date '1970-01-01' + $1::int)", &[&day_of])
                .await?;
            self.days.insert(day);
        }
        Ok(())
    }
}

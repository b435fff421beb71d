//! The hub's journal of directives: ordered here, told to the boxes that they are for, and what came of them.
//!
//! A directive gets its number in the transaction that stores it, signed. Nodes learn of it by `NOTIFY` ([`Feed`]) and tell the boxes that
//! are connected to them ([`Follower`]). The receipt is an entry of the box's own journal, which the ingest projects into
//! `directive_receipts`: a box that is away has none yet.

mod ask;
mod feed;
mod follower;
pub mod lost;
mod remember;

use domain::directive::{
    Address, Directive, KeyUse, List, Order, Place, Rotate, SignedDirective, Told,
};
use domain::journal::{BoxId, Code, Epoch, Millis, Seq, Sha256};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

pub use ask::{Asked, Author, HashKind};
pub use feed::Feed;
pub use follower::Follower;

use crate::account::seal;
use crate::receipt::{self, HubKey};
use crate::rollout::known;
use crate::{Error, life, lists};

/// Most bytes of a directive: it has to fit into a frame beside its signatures.
pub const MOST_BYTES: usize = 512 * 1024;

/// A directive as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct Ordered {
    /// The life of the journal, hexadecimal.
    pub epoch: String,
    /// To whom: `fleet`, `tenant/NAME`, `box/UUID`.
    pub to: String,
    /// Its number there.
    pub seq: i64,
    /// Which order, in a word.
    pub kind: String,
    /// Who ordered it.
    pub by: String,
    /// Seconds since 1970.
    pub ordered_at: f64,
    /// Boxes that it is for, by today's assignment.
    pub boxes: i64,
    /// Those that applied it.
    pub applied: i64,
    /// Those that refused it.
    pub refused: i64,
}

/// What a box said of a directive, or that it said nothing yet.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    /// The box.
    #[serde(rename = "box")]
    pub of: String,
    /// What people call it.
    pub name: String,
    /// `applied`, `refused` or `pending`.
    pub state: &'static str,
    /// Why it was refused.
    pub reason: Option<String>,
    /// By the hub's clock, seconds since 1970.
    pub received_at: Option<f64>,
}

/// What was ordered.
#[derive(Clone, Debug)]
pub struct Given {
    /// Where it stands.
    pub place: Place,
    /// Entries of the tenant's list that were ordered along with it, where a submission's media are to be remembered.
    pub listed: Option<Vec<List>>,
}

/// Orders something: gives it the next place of its lane, signs and stores it. With a rejection that is to be remembered go entries of the
/// tenant's list for all boxes of the tenant, in the same transaction.
///
/// # Errors
/// Where it is too large, or the database is away; then it was not ordered.
pub async fn give(
    client: &mut Client,
    key: &HubKey,
    to: Address,
    by: Code,
    order: Order,
) -> Result<Given, Error> {
    let transaction = client.transaction().await?;
    let given = give_within(transaction.client(), key, to, by, order).await?;
    transaction.commit().await?;
    Ok(given)
}

/// The same within a transaction of the caller's.
///
/// # Errors
/// As [`give`]; then the transaction must not be committed.
pub(crate) async fn give_within(
    client: &Client,
    key: &HubKey,
    to: Address,
    by: Code,
    order: Order,
) -> Result<Given, Error> {
    let listed = match (&order, &to) {
        (Order::Rule(rule), Address::Box(of)) if rule.remember && !rule.approve => {
            Some(remember::list(client, key, *of, &by, rule).await?)
        }
        _ => None,
    };
    let place = append(client, &[key], to, by, order).await?;
    Ok(Given { place, listed })
}

/// Appends within a transaction, signed by each of these keys.
async fn append(
    client: &Client,
    keys: &[&HubKey],
    to: Address,
    by: Code,
    order: Order,
) -> Result<Place, Error> {
    let lane = to.to_string();
    // A database that was put back must not number on where the backup stood.
    life::settle(client).await?;
    let epoch = current(client).await?;
    let query = "INSERT INTO directive_lanes VALUES ($1, $2, 1) ON CONFLICT (epoch, lane) DO UPDATE SET seq = directive_lanes.seq + 1
        RETURNING seq, (extract(epoch FROM now()) * 1000)::bigint";
    let row = client.query_one(query, &[&epoch.0.cast_signed(), &lane]).await?;
    let (seq, at): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let place = Place { epoch, to, seq: Seq(seq.cast_unsigned()) };
    let kind = order.word();
    let directive = Directive { place: place.clone(), at: Millis(at), by: by.clone(), order };
    let bytes = directive.encode().map_err(|error| Error::Invalid(error.to_string()))?;
    if bytes.len() > MOST_BYTES {
        return Err(Error::Invalid(format!(
            "the directive has {} bytes, and may have {MOST_BYTES}",
            bytes.len()
        )));
    }
    let signatures: Vec<Vec<u8>> = keys.iter().map(|key| key.direct(&bytes)).collect();
    client
        .execute(
            "INSERT INTO directives (epoch, lane, seq, kind, ordered_by, bytes, signatures) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &[&epoch.0.cast_signed(), &lane, &seq, &kind, &by.as_str(), &bytes, &signatures],
        )
        .await?;
    if let (Address::Tenant(tenant), Order::List(entry)) = (&place.to, &directive.order) {
        lists::note(client, tenant, &by, entry).await?;
    }
    if let Order::Released(released) = &directive.order {
        known::note(client, &place, &by, released).await?;
    }
    tracing::info!(%lane, seq, kind, by = by.as_str(), "ordered");
    Ok(place)
}

/// The life of the journal that grows; begun where there is none.
async fn current(client: &Client) -> Result<Epoch, Error> {
    let latest = "SELECT epoch FROM directive_epochs ORDER BY number DESC LIMIT 1";
    if let Some(row) = client.query_opt(latest, &[]).await? {
        return Ok(Epoch(row.try_get::<_, i64>(0)?.cast_unsigned()));
    }
    // One node begins it, the others wait here and find it.
    client.execute("LOCK TABLE directive_epochs IN EXCLUSIVE MODE", &[]).await?;
    match client.query_opt(latest, &[]).await? {
        Some(row) => Ok(Epoch(row.try_get::<_, i64>(0)?.cast_unsigned())),
        None => begin(client, "fresh").await,
    }
}

/// Begins another life of the journal: the hub was restored, and boxes may have been told what it does not know any more.
///
/// # Errors
/// Where the database is away.
pub async fn begin(client: &Client, cause: &str) -> Result<Epoch, Error> {
    let mut random = [0; 8];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| Error::Invalid("no randomness for an epoch".into()))?;
    let epoch = i64::from_le_bytes(random);
    let query = "INSERT INTO directive_epochs (epoch, cause) VALUES ($1, $2)";
    client.execute(query, &[&epoch, &cause]).await?;
    Ok(Epoch(epoch.cast_unsigned()))
}

/// Another hub key takes the place of the one in use. The order to do so, the last one by the old key, goes to the whole fleet; all
/// directives get a signature by the new key beside those that they have, for boxes that never knew the old one.
///
/// # Errors
/// Where the database is away; then nothing has changed.
pub async fn rotate(
    client: &mut Client,
    old: &HubKey,
    new: &HubKey,
    by: Code,
) -> Result<Place, Error> {
    let public: [u8; 32] = new.public_key().try_into().map_err(|_| bad_key())?;
    let order = Rotate { of: KeyUse::Hub, key: Sha256(public), signature: Vec::new() };
    let transaction = client.transaction().await?;
    transaction.batch_execute("LOCK TABLE directives IN SHARE ROW EXCLUSIVE MODE").await?;
    let rows = transaction.query("SELECT epoch, lane, seq, bytes FROM directives", &[]).await?;
    for row in rows {
        let (epoch, lane, seq): (i64, String, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let signature = new.direct(row.try_get(3)?);
        let query = "UPDATE directives SET signatures = array_append(signatures, $4)
            WHERE epoch = $1 AND lane = $2 AND seq = $3";
        transaction.execute(query, &[&epoch, &lane, &seq, &signature]).await?;
    }
    // What the old key sealed, nobody could open once it is gone.
    seal::again(transaction.client(), old, new).await?;
    // Who took it already, and hears it again, believes it too.
    let keys = [old, new];
    receipt::remember(transaction.client(), old).await?;
    let place = append(transaction.client(), &keys, Address::Fleet, by, order.into()).await?;
    transaction.commit().await?;
    Ok(place)
}

fn bad_key() -> Error {
    Error::Invalid("a key has 32 bytes".into())
}

/// Directives of a lane behind a number, in order, at most so many.
pub(crate) async fn behind(
    client: &Client,
    epoch: i64,
    lane: &str,
    seq: i64,
    most: i64,
) -> Result<Vec<(i64, SignedDirective)>, Error> {
    let query = "SELECT seq, bytes, signatures FROM directives WHERE epoch = $1 AND lane = $2 AND seq > $3 ORDER BY seq LIMIT $4";
    let rows = client.query(query, &[&epoch, &lane, &seq, &most]).await?;
    let read = |row: &Row| {
        Ok((
            row.try_get(0)?,
            SignedDirective { bytes: row.try_get(1)?, signatures: row.try_get(2)? },
        ))
    };
    rows.iter().map(read).collect()
}

/// Whether the lane of `d` reaches the box of `b` today.
const REACHES: &str = "(d.lane = 'fleet' OR d.lane = 'box/' || b.box::text
    OR d.lane LIKE 'tenant/%' AND EXISTS (SELECT 1 FROM box_tenants t WHERE t.box = b.box AND 'tenant/' || t.tenant = d.lane))";

/// A place as people write it.
///
/// # Errors
/// [`Error::Invalid`].
pub fn place(epoch: &str, to: &str, seq: u64) -> Result<Place, Error> {
    let bits = u64::from_str_radix(epoch, 16);
    let bits = bits.map_err(|_| Error::Invalid("`epoch` has 16 hexadecimal digits".into()))?;
    let to = to.parse().map_err(|error| Error::Invalid(format!("to: {error}")))?;
    Ok(Place { epoch: Epoch(bits), to, seq: Seq(seq) })
}

/// The newest directives, newest first, at most so many.
///
/// # Errors
/// Where the database is away.
pub async fn list(client: &Client, to: Option<&str>, most: i64) -> Result<Vec<Ordered>, Error> {
    let query = format!(
        "SELECT d.epoch, d.lane, d.seq, d.kind, d.ordered_by, extract(epoch FROM d.ordered_at)::float8,
            (SELECT count(*) FROM boxes b WHERE b.state <> 'revoked' AND {REACHES}),
            count(r.box) FILTER (WHERE r.refused IS NULL), count(r.refused)
         FROM (SELECT * FROM directives WHERE $1::text IS NULL OR lane = $1 ORDER BY ordered_at DESC, seq DESC LIMIT $2) d
         LEFT JOIN directive_receipts r ON r.epoch = d.epoch AND r.lane = d.lane AND r.seq = d.seq
         GROUP BY d.epoch, d.lane, d.seq, d.kind, d.ordered_by, d.ordered_at ORDER BY d.ordered_at DESC, d.seq DESC"
    );
    let rows = client.query(&query, &[&to, &most]).await?;
    let ordered = |row: &Row| {
        Ok(Ordered {
            epoch: Epoch(row.try_get::<_, i64>(0)?.cast_unsigned()).to_string(),
            to: row.try_get(1)?,
            seq: row.try_get(2)?,
            kind: row.try_get(3)?,
            by: row.try_get(4)?,
            ordered_at: row.try_get(5)?,
            boxes: row.try_get(6)?,
            applied: row.try_get(7)?,
            refused: row.try_get(8)?,
        })
    };
    rows.iter().map(ordered).collect()
}

/// What each box that a directive is for said of it; those that said something and are not assigned any more too.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn receipts(client: &Client, place: &Place) -> Result<Vec<Receipt>, Error> {
    let (epoch, lane, seq) =
        (place.epoch.0.cast_signed(), place.to.to_string(), place.seq.0.cast_signed());
    let known = "SELECT 1 FROM directives WHERE epoch = $1 AND lane = $2 AND seq = $3";
    if client.query_opt(known, &[&epoch, &lane, &seq]).await?.is_none() {
        return Err(Error::NotFound(format!("there is no directive {seq} to {lane}")));
    }
    let query = format!(
        "SELECT b.box, b.name, r.box IS NOT NULL, r.refused, extract(epoch FROM r.received_at)::float8
         FROM boxes b CROSS JOIN (SELECT $2::text AS lane) d
         LEFT JOIN directive_receipts r ON r.box = b.box AND r.epoch = $1 AND r.lane = d.lane AND r.seq = $3
         WHERE r.box IS NOT NULL OR b.state <> 'revoked' AND {REACHES} ORDER BY b.name, b.box"
    );
    let rows = client.query(&query, &[&epoch, &lane, &seq]).await?;
    let receipt = |row: &Row| {
        let (there, reason): (bool, Option<String>) = (row.try_get(2)?, row.try_get(3)?);
        Ok(Receipt {
            of: row.try_get::<_, Uuid>(0)?.to_string(),
            name: row.try_get(1)?,
            state: match (there, &reason) {
                (false, _) => "pending",
                (true, None) => "applied",
                (true, Some(_)) => "refused",
            },
            reason,
            received_at: row.try_get(4)?,
        })
    };
    rows.iter().map(receipt).collect()
}

/// How many boxes a directive is for, applied it, and refused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// That it is for; with those that answered and are not assigned any more.
    pub boxes: i64,
    /// Of them.
    pub applied: i64,
    /// Of them.
    pub refused: i64,
}

/// [`receipts`], counted: of each of these in one query, in their order.
///
/// # Errors
/// Where the database is away.
pub async fn counts(client: &Client, places: &[Place]) -> Result<Vec<Count>, Error> {
    let query = format!(
        "SELECT c.* FROM unnest($1::bigint[], $2::text[], $3::bigint[]) WITH ORDINALITY d(epoch, lane, seq, n) CROSS JOIN LATERAL (
            SELECT count(*), count(r.box) FILTER (WHERE r.refused IS NULL), count(r.refused) FROM boxes b
            LEFT JOIN directive_receipts r ON r.box = b.box AND r.epoch = d.epoch AND r.lane = d.lane AND r.seq = d.seq
            WHERE r.box IS NOT NULL OR b.state <> 'revoked' AND {REACHES}) c ORDER BY d.n"
    );
    let epochs: Vec<i64> = places.iter().map(|place| place.epoch.0.cast_signed()).collect();
    let lanes: Vec<String> = places.iter().map(|place| place.to.to_string()).collect();
    let seqs: Vec<i64> = places.iter().map(|place| place.seq.0.cast_signed()).collect();
    let count = |row: &Row| {
        Ok(Count { boxes: row.try_get(0)?, applied: row.try_get(1)?, refused: row.try_get(2)? })
    };
    client.query(&query, &[&epochs, &lanes, &seqs]).await?.iter().map(count).collect()
}

/// Orders of one kind that are read at a time.
const OF_KIND: i64 = 1000;

/// An order as it was given.
pub(crate) struct GivenOrder {
    /// To whom.
    pub to: String,
    /// By whom, as colleagues see them.
    pub by: String,
    /// When, seconds since 1970.
    pub at: f64,
    pub order: Order,
}

/// The newest orders of a kind, newest first, at most a thousand.
///
/// # Errors
/// Where the database is away.
pub(crate) async fn of_kind(client: &Client, kind: &str) -> Result<Vec<GivenOrder>, Error> {
    let query = "SELECT d.lane, coalesce((SELECT a.shown FROM accounts a WHERE a.account::text = d.ordered_by), d.ordered_by),
            extract(epoch FROM d.ordered_at)::float8, d.bytes
        FROM directives d WHERE d.kind = $1 ORDER BY d.ordered_at DESC, d.seq DESC LIMIT $2";
    let mut orders = Vec::new();
    for row in client.query(query, &[&kind, &OF_KIND]).await? {
        // What a later release ordered is not for this one to show.
        let Ok(Told { order: Some(order), .. }) = Told::decode(row.try_get(3)?) else { continue };
        orders.push(GivenOrder {
            to: row.try_get(0)?,
            by: row.try_get(1)?,
            at: row.try_get(2)?,
            order,
        });
    }
    Ok(orders)
}

/// The lanes that a box follows.
pub(crate) async fn lanes_of(client: &Client, of: BoxId) -> Result<Vec<String>, Error> {
    let query = "SELECT tenant FROM box_tenants WHERE box = $1 ORDER BY 1";
    let mut lanes = vec![Address::Fleet.to_string(), Address::Box(of).to_string()];
    for row in client.query(query, &[&of.0]).await? {
        lanes.push(format!("tenant/{}", row.try_get::<_, &str>(0)?));
    }
    Ok(lanes)
}

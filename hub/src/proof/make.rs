//! Making a proof out of the tables: by the index on places, with a bounded number of rows.

use domain::journal::{BoxId, Epoch, GENESIS, Lane, Millis, Seq, Sha256, SignedCheckpoint};
use sync::frame;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::{FORMAT, MOST_FOLLOWING, Place, Proof, PublicKey, Trust, verify};
use crate::ingest::hash;
use crate::{Error, receipt};

/// Verified checkpoints that are read at a time.
const PAGE: i64 = 64;

/// Pages that are looked through. A box signs one a minute or every thousand entries: this is a backlog of millions.
const MOST_PAGES: u32 = 256;

/// Verified checkpoints of an epoch in their order, from a little before a time in microseconds: the clocks of the hub's nodes, which
/// say when an entry came, and of its database, which says when a checkpoint was verified, may be five minutes apart.
const CHECKPOINTS: &str = "SELECT bytes, signature, receipt_at, receipt, (extract(epoch FROM verified_at + interval '5 minutes') * 1000000)::bigint
    FROM checkpoints WHERE box = $1 AND epoch = $2 AND receipt IS NOT NULL
      AND verified_at > timestamptz 'epoch' + $3::bigint * interval '1 microsecond' - interval '5 minutes'
    ORDER BY verified_at LIMIT $4";

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum NotMade {
    /// No verified checkpoint lies behind the entry.
    #[error(
        "{0} is not behind a checkpoint that the hub has verified yet; one comes within a minute while the box runs and is connected"
    )]
    NotYet(Place),
    /// The entry, or one that links it to its checkpoint, is not here any more.
    #[error("{place} cannot be proved: {why}")]
    Gone {
        /// Which.
        place: Place,
        /// What is missing.
        why: &'static str,
    },
    /// The next checkpoint lies too far behind it.
    #[error(
        "{place} cannot be proved: {entries} entries lie between it and the next checkpoint that the hub has verified, and a proof has {MOST_FOLLOWING} at most"
    )]
    TooFar {
        /// Which.
        place: Place,
        /// How many.
        entries: u64,
    },
    /// The entries up to the next checkpoint are too many bytes.
    #[error(
        "{0} cannot be proved: what follows up to the next checkpoint does not fit into a proof"
    )]
    Large(Place),
    /// The database is away, or has no such entry.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<tokio_postgres::Error> for NotMade {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl NotMade {
    /// For programs; nothing where the status says it all.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::NotYet(_) => Some("not_yet"),
            Self::Gone { .. } => Some("gone"),
            Self::TooFar { .. } | Self::Large(_) => Some("too_far"),
            Self::Failed(_) => None,
        }
    }
}

/// Where the decision of that number on a submission stands, or the latest.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn decision(
    client: &Client,
    of: BoxId,
    submission: Uuid,
    number: Option<u32>,
) -> Result<Place, Error> {
    let query = "SELECT epoch, lane, seq FROM verdicts WHERE submission = $2 AND box = $1 AND ($3::bigint IS NULL OR number = $3)
        ORDER BY number DESC, received_at LIMIT 1";
    let number = number.map(i64::from);
    let Some(row) = client.query_opt(query, &[&of.0, &submission, &number]).await? else {
        let which = number.map(|number| format!(" {number}")).unwrap_or_default();
        let none = format!("the hub has no decision{which} of box {of} on submission {submission}");
        return Err(Error::NotFound(none));
    };
    let (epoch, lane, seq): (i64, i16, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let lane = u8::try_from(lane).ok().and_then(Lane::from_number);
    let lane = lane.ok_or_else(|| Error::Damaged("a lane that there is not".to_owned()))?;
    let (epoch, seq) = (Epoch(epoch.cast_unsigned()), Seq(seq.cast_unsigned()));
    Ok(Place { of, epoch, lane, seq })
}

/// A verified checkpoint.
struct Sealed {
    signed: SignedCheckpoint,
    /// Its head of the lane.
    end: u64,
    at_ms: i64,
    receipt: Vec<u8>,
}

/// Makes the proof of an entry, and verifies it before it is given to anybody.
///
/// # Errors
/// See [`NotMade`].
pub async fn make(client: &Client, place: Place) -> Result<Proof, NotMade> {
    let query = "SELECT public_key FROM boxes WHERE box = $1";
    let row = client.query_opt(query, &[&place.of.0]).await?;
    let row = row.ok_or_else(|| Error::NotFound(format!("no box {}", place.of)))?;
    let device_key = PublicKey::of(row.try_get(0)?)?;
    let sealed = next(client, place, device_key).await?;
    let entries = sealed.end - place.seq.0;
    if entries > MOST_FOLLOWING {
        return Err(NotMade::TooFar { place, entries });
    }
    let previous = before(client, place).await?;
    let mut records = records(client, place, sealed.end).await?.into_iter();
    let record = records.next().unwrap_or_default();
    let hub_key = by(client, &sealed).await?;
    let Place { of, epoch, lane, seq } = place;
    let proof = Proof {
        format: FORMAT.to_owned(),
        of,
        epoch,
        lane,
        seq,
        previous,
        record,
        following: records.collect(),
        checkpoint: super::Checkpoint {
            bytes: sealed.signed.bytes,
            signature: sealed.signed.signature,
        },
        device_key,
        receipt: super::Receipt { at_ms: Millis(sealed.at_ms), signature: sealed.receipt },
        hub_key,
    };
    let held = match hub_key {
        Some(_) => verify(&proof, &Trust::default()).map(drop),
        None => verify::signed(&proof).map(drop),
    };
    held.map_err(|what| Error::Damaged(format!("{place} does not hold: {what}")))?;
    proof.write().map_err(|_| NotMade::Large(place))?;
    Ok(proof)
}

/// The first verified checkpoint behind an entry. Those of a box are verified in the order in which it signed them, but for a few that
/// came together: of these the nearest.
async fn next(client: &Client, place: Place, device_key: PublicKey) -> Result<Sealed, NotMade> {
    let mut from = arrived(client, place).await?;
    let (of, epoch) = (place.of.0, place.epoch.0.cast_signed());
    for _ in 0..MOST_PAGES {
        let rows = client.query(CHECKPOINTS, &[&of, &epoch, &from, &PAGE]).await?;
        let mut nearest: Option<Sealed> = None;
        for row in &rows {
            let Some(sealed) = sealed(row, place, device_key)? else { continue };
            if nearest.as_ref().is_none_or(|so_far| sealed.end < so_far.end) {
                nearest = Some(sealed);
            }
        }
        if let Some(sealed) = nearest {
            return Ok(sealed);
        }
        match rows.last() {
            Some(last) if rows.len() as i64 == PAGE => from = last.try_get(4)?,
            _ => break,
        }
    }
    let query =
        "SELECT 1 FROM cursors WHERE box = $1 AND epoch = $2 AND forked_at IS NOT NULL LIMIT 1";
    if client.query_opt(query, &[&of, &epoch]).await?.is_some() {
        let why = "its epoch forked, so that no checkpoint of it comes any more; what the box told again is proved where it stands now";
        return Err(NotMade::Gone { place, why });
    }
    Err(NotMade::NotYet(place))
}

/// A checkpoint of a row, if it covers the entry.
fn sealed(row: &Row, place: Place, device_key: PublicKey) -> Result<Option<Sealed>, NotMade> {
    let signed = SignedCheckpoint { bytes: row.try_get(0)?, signature: row.try_get(1)? };
    // What was altered in the database covers nothing.
    let Ok(checkpoint) = signed.verify(device_key.bytes()) else { return Ok(None) };
    let end = checkpoint.heads.iter().find(|head| head.lane == place.lane).map(|head| head.seq);
    let Some(end) = end.filter(|end| *end >= place.seq) else { return Ok(None) };
    let (at_ms, receipt) = (row.try_get(2)?, row.try_get(3)?);
    Ok(Some(Sealed { signed, end: end.0, at_ms, receipt }))
}

/// When an entry came, in microseconds since 1970.
async fn arrived(client: &Client, place: Place) -> Result<i64, NotMade> {
    let (epoch, lane, seq) = numbers(place);
    let query = "SELECT (extract(epoch FROM received_at) * 1000000)::bigint FROM entries
        WHERE box = $1 AND epoch = $2 AND lane = $3 AND seq = $4";
    let row = client.query_opt(query, &[&place.of.0, &epoch, &lane, &seq]).await?;
    let query = "SELECT seq FROM cursors WHERE box = $1 AND epoch = $2 AND lane = $3";
    let cursor = client.query_opt(query, &[&place.of.0, &epoch, &lane]).await?;
    match (row, cursor) {
        (Some(row), _) => Ok(row.try_get(0)?),
        (None, Some(cursor)) if cursor.try_get::<_, i64>(0)? >= seq && seq > 0 => {
            let why = "retention dropped it, or the box told that nobody has it any more";
            Err(NotMade::Gone { place, why })
        }
        _ => Err(Error::NotFound(format!("the hub has no {place}")).into()),
    }
}

fn numbers(place: Place) -> (i64, i16, i64) {
    let Place { epoch, lane, seq, .. } = place;
    (epoch.0.cast_signed(), i16::from(lane.number()), seq.0.cast_signed())
}

/// The chain before an entry: behind the one before it, or behind a hole.
async fn before(client: &Client, place: Place) -> Result<Sha256, NotMade> {
    if place.seq.0 == 1 {
        return Ok(GENESIS);
    }
    let (epoch, lane, seq) = numbers(place);
    let query = "SELECT chain FROM entries WHERE box = $1 AND epoch = $2 AND lane = $3 AND seq = $4::bigint - 1
        UNION ALL SELECT to_chain FROM holes WHERE box = $1 AND epoch = $2 AND lane = $3 AND to_seq = $4::bigint - 1 LIMIT 1";
    let row = client.query_opt(query, &[&place.of.0, &epoch, &lane, &seq]).await?;
    let why = "retention dropped the entry before it, and with it the chain that leads here";
    Ok(hash(row.ok_or(NotMade::Gone { place, why })?.try_get(0)?)?)
}

/// The records from an entry to the end, without a gap.
async fn records(client: &Client, place: Place, end: u64) -> Result<Vec<Vec<u8>>, NotMade> {
    let (epoch, lane, seq) = numbers(place);
    let query = "SELECT record FROM entries WHERE box = $1 AND epoch = $2 AND lane = $3 AND seq BETWEEN $4 AND $5
        ORDER BY seq LIMIT $6";
    let (end, most) = (end.cast_signed(), MOST_FOLLOWING.cast_signed() + 1);
    let rows = client.query(query, &[&place.of.0, &epoch, &lane, &seq, &end, &most]).await?;
    if rows.len() as i64 != end - seq + 1 {
        let why = "an entry between it and its checkpoint is not here any more";
        return Err(NotMade::Gone { place, why });
    }
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// By which of the hub's keys a receipt is; nothing where it is by one of before the hub began to write its keys down.
async fn by(client: &Client, sealed: &Sealed) -> Result<Option<PublicKey>, NotMade> {
    let checkpoint = Sha256::of(&sealed.signed.bytes);
    let (at, signature) = (sealed.at_ms, sealed.receipt.clone());
    let receipt = frame::Receipt { checkpoint, at, signature };
    let known = receipt::keys(client).await?;
    Ok(known.into_iter().map(|(key, _)| key).find(|key| receipt.verify(key.bytes())))
}

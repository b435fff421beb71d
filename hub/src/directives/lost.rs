//! Directives that the hub gave and does not know any more, since it was put back to a backup. Boxes bring copies beside their receipts.
//!
//! An erasure is given again in the transaction that takes the receipt: boxes that have not heard of it would never be told. What else
//! was ordered is listed for people, who alone can say whether it is still wanted.

use domain::directive::{Copied, Order, Place, SignedDirective, Told};
use domain::journal::{BoxId, Code, Directed, Epoch};
use serde::Serialize;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::{append, begin, current};
use crate::Error;
use crate::alarm::{self, AlarmKind};
use crate::receipt::HubKey;

/// A lost directive as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct Lost {
    /// The life of the journal in which it was given, hexadecimal.
    pub epoch: String,
    /// To whom.
    pub to: String,
    /// Its number there.
    pub seq: i64,
    /// Which order, in a word.
    pub kind: String,
    /// Who ordered it.
    pub by: String,
    /// By the clock of the hub that gave it, seconds since 1970.
    pub ordered_at: f64,
    /// Boxes that have said since that they took it.
    pub boxes: i64,
    /// Where it stands since it was given again, at the same address.
    pub again: Option<Again>,
}

/// Where a lost directive stands since it was given again.
#[derive(Clone, Debug, Serialize)]
pub struct Again {
    /// The life of the journal.
    pub epoch: String,
    /// Its number there.
    pub seq: i64,
}

/// A box took a directive. One that this hub does not know was given by the hub that the backup was made of.
pub(crate) async fn receive(
    client: &Client,
    key: &HubKey,
    of: Uuid,
    directed: &Directed,
    copy: Option<&[u8]>,
) -> Result<(), Error> {
    let place = &directed.place;
    let query = "SELECT bytes FROM directives WHERE epoch = $1 AND lane = $2 AND seq = $3";
    let (epoch, seq) = (place.epoch.0.cast_signed(), place.seq.0.cast_signed());
    let lane = place.to.to_string();
    let known = client.query_opt(query, &[&epoch, &lane, &seq]).await?;
    let known: Option<Vec<u8>> = known.map(|row| row.try_get(0)).transpose()?;
    let Some((signed, told)) = proven(client, key, place, copy).await? else {
        // A box of an older release brings no copy.
        if known.is_none() {
            let kind = Order::word_of(directed.order).unwrap_or("unknown");
            alarm(client, of, &format!("lost/{kind}/without_copy")).await?;
        }
        return Ok(());
    };
    if known.as_ref().is_some_and(|bytes| *bytes == signed.bytes) {
        return Ok(());
    }
    // Our own signature says that we gave what we do not know: whatever we order in this life of the journal may be taken for old.
    if current(client).await? == place.epoch {
        tracing::warn!(%lane, seq, "a directive was lost with this life of the journal: another begins");
        begin(client, "restored").await?;
    }
    let kind = told.order.as_ref().map_or("unknown", Order::word);
    let insert = "INSERT INTO lost_directives (epoch, lane, seq, kind, ordered_by, ordered_at, bytes, told_by)
        VALUES ($1, $2, $3, $4, $5, timestamptz 'epoch' + $6::bigint * interval '1 millisecond', $7, $8) ON CONFLICT DO NOTHING";
    let by = told.by.as_str();
    let new = client
        .execute(insert, &[&epoch, &lane, &seq, &kind, &by, &told.at.0, &signed.bytes, &of])
        .await?;
    if new == 0 {
        return Ok(());
    }
    alarm(client, of, &format!("lost/{kind}")).await?;
    if let Some(order @ Order::Erase(_)) = told.order {
        give_again(client, key, place, told.by, order).await?;
    }
    Ok(())
}

/// The directive of a copy, where this hub signed it and it belongs to this place.
async fn proven(
    client: &Client,
    key: &HubKey,
    place: &Place,
    copy: Option<&[u8]>,
) -> Result<Option<(SignedDirective, Told)>, Error> {
    let Some(copied) = copy.and_then(Copied::decode) else { return Ok(None) };
    let secret: Option<Vec<u8>> = match copied.tenant() {
        None => None,
        Some(tenant) => {
            let query = "SELECT author_secret FROM tenants WHERE tenant = $1";
            let row = client.query_opt(query, &[&tenant.as_str()]).await?;
            row.map(|row| row.try_get(0)).transpose()?
        }
    };
    let Some(signed) = copied.open(secret.as_deref()) else { return Ok(None) };
    let told = signed.open(key.public_key()).ok().filter(|told| told.place == *place);
    Ok(told.map(|told| (signed, told)))
}

async fn alarm(client: &Client, of: Uuid, code: &str) -> Result<(), Error> {
    alarm::raise(client, BoxId(of), AlarmKind::Directive, &Code::lossy(code)).await
}

/// Gives what was ordered at a place once more, in the life of the journal that grows now.
async fn give_again(
    client: &Client,
    key: &HubKey,
    was: &Place,
    by: Code,
    order: Order,
) -> Result<Place, Error> {
    let now = append(client, &[key], was.to.clone(), by, order).await?;
    let query = "UPDATE lost_directives SET again_epoch = $4, again_seq = $5 WHERE epoch = $1 AND lane = $2 AND seq = $3";
    let (epoch, seq) = (was.epoch.0.cast_signed(), was.seq.0.cast_signed());
    let (new_epoch, new_seq) = (now.epoch.0.cast_signed(), now.seq.0.cast_signed());
    client.execute(query, &[&epoch, &was.to.to_string(), &seq, &new_epoch, &new_seq]).await?;
    Ok(now)
}

/// Gives a lost directive again, for a person has said that it is still wanted; where it stands now.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`] where it was given again already, or where the database is away.
pub async fn again(client: &mut Client, key: &HubKey, place: &Place) -> Result<Place, Error> {
    let transaction = client.transaction().await?;
    let query = "SELECT bytes, again_seq FROM lost_directives WHERE epoch = $1 AND lane = $2 AND seq = $3 FOR UPDATE";
    let (epoch, seq) = (place.epoch.0.cast_signed(), place.seq.0.cast_signed());
    let row = transaction.query_opt(query, &[&epoch, &place.to.to_string(), &seq]).await?;
    let row = row.ok_or_else(|| Error::NotFound("no such directive was lost".into()))?;
    if row.try_get::<_, Option<i64>>(1)?.is_some() {
        return Err(Error::Invalid("it was given again already".into()));
    }
    let told = Told::decode(row.try_get(0)?).map_err(|error| Error::Damaged(error.to_string()))?;
    let Some(order) = told.order else {
        return Err(Error::Invalid("this release does not know such an order".into()));
    };
    let now = give_again(transaction.client(), key, place, told.by, order).await?;
    transaction.commit().await?;
    Ok(now)
}

/// All of them, newest first.
///
/// # Errors
/// Where the database is away.
pub async fn list(client: &Client) -> Result<Vec<Lost>, Error> {
    let query = "SELECT epoch, lane, seq, kind, ordered_by, extract(epoch FROM ordered_at)::float8,
            (SELECT count(*) FROM directive_receipts r WHERE r.epoch = l.epoch AND r.lane = l.lane AND r.seq = l.seq),
            again_epoch, again_seq
        FROM lost_directives l ORDER BY ordered_at DESC, seq DESC";
    let rows = client.query(query, &[]).await?;
    let lost = |row: &Row| {
        let again: (Option<i64>, Option<i64>) = (row.try_get(7)?, row.try_get(8)?);
        Ok(Lost {
            epoch: Epoch(row.try_get::<_, i64>(0)?.cast_unsigned()).to_string(),
            to: row.try_get(1)?,
            seq: row.try_get(2)?,
            kind: row.try_get(3)?,
            by: row.try_get(4)?,
            ordered_at: row.try_get(5)?,
            boxes: row.try_get(6)?,
            again: again.0.zip(again.1).map(|(epoch, seq)| {
                let epoch = Epoch(epoch.cast_unsigned()).to_string();
                Again { epoch, seq }
            }),
        })
    };
    rows.iter().map(lost).collect()
}

//! Checkpoints: the device's signature over where its lanes stood, held against what is committed.

use domain::journal::{BoxId, Code, Epoch, GENESIS, Head, Sha256, SignedCheckpoint};
use sync::frame::Receipt;
use tokio_postgres::Client;

use crate::alarm::{self, AlarmKind};
use crate::receipt::HubKey;
use crate::{Error, ingest};

/// Checkpoints of one box that may wait for their entries. An older one says nothing that a newer does not.
const MOST_PENDING: i64 = 64;

/// How a head fits what is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fits {
    /// The same chain there.
    Same,
    /// Another chain there.
    Other,
    /// The hub has not come so far yet.
    Later,
    /// The entry is gone by retention, or was never here (a hole): nothing can be said.
    Gone,
}

/// Keeps a checkpoint and verifies it, and those that came before their entries.
pub(crate) async fn take(
    client: &Client,
    key: &HubKey,
    of: BoxId,
    signed: &SignedCheckpoint,
) -> Result<Vec<Receipt>, Error> {
    let row = client.query_opt("SELECT public_key FROM boxes WHERE box = $1", &[&of.0]).await?;
    let row = row.ok_or_else(|| Error::NotFound(format!("no box {of}")))?;
    let checkpoint = signed.verify(row.try_get(0)?).ok().filter(|checkpoint| checkpoint.of == of);
    let Some(checkpoint) = checkpoint else {
        alarm::raise(client, of, AlarmKind::Checkpoint, &Code::lossy("signature")).await?;
        return Ok(Vec::new());
    };
    client
        .execute(
            "INSERT INTO checkpoints (box, sha256, epoch, at, bytes, signature) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            &[
                &of.0,
                &Sha256::of(&signed.bytes).0.as_slice(),
                &checkpoint.epoch.0.cast_signed(),
                &checkpoint.at.0,
                &signed.bytes,
                &signed.signature,
            ],
        )
        .await?;
    let public_key: Vec<u8> = row.try_get(0)?;
    let mut receipts = pending(client, key, of, &public_key).await?;
    let hash = Sha256::of(&signed.bytes);
    // Sent again because the first receipt was lost.
    if receipts.iter().all(|receipt| receipt.checkpoint != hash) {
        let query = "SELECT receipt_at, receipt FROM checkpoints WHERE box = $1 AND sha256 = $2 AND receipt IS NOT NULL";
        if let Some(row) = client.query_opt(query, &[&of.0, &hash.0.as_slice()]).await? {
            let (at, signature) = (row.try_get(0)?, row.try_get(1)?);
            receipts.push(Receipt { checkpoint: hash, at, signature });
        }
    }
    Ok(receipts)
}

async fn pending(
    client: &Client,
    key: &HubKey,
    of: BoxId,
    public_key: &[u8],
) -> Result<Vec<Receipt>, Error> {
    let query = "SELECT sha256, bytes, signature FROM checkpoints WHERE box = $1 AND verified_at IS NULL ORDER BY received_at DESC LIMIT $2";
    let mut receipts = Vec::new();
    for row in client.query(query, &[&of.0, &MOST_PENDING]).await? {
        let hash = ingest::hash(row.try_get(0)?)?;
        let signed = SignedCheckpoint { bytes: row.try_get(1)?, signature: row.try_get(2)? };
        // The row may be from before the box had its present key, or no longer what the box sent.
        let Ok(checkpoint) = signed.verify(public_key) else { continue };
        let mut fits = Vec::new();
        for head in &checkpoint.heads {
            fits.push(fit(client, of, checkpoint.epoch, head).await?);
        }
        if fits.contains(&Fits::Other) {
            let code = Code::lossy(&format!("epoch/{}", checkpoint.epoch));
            alarm::raise(client, of, AlarmKind::Checkpoint, &code).await?;
        } else if fits.iter().all(|fit| *fit == Fits::Same) {
            let receipt = key.receipt(hash, ingest::now_us() / 1000);
            // No receipt by a key that was not written down.
            let query =
                "WITH k AS (INSERT INTO hub_keys (public_key) VALUES ($5) ON CONFLICT DO NOTHING)
                         UPDATE checkpoints SET verified_at = now(), receipt_at = $3, receipt = $4
                         WHERE box = $1 AND sha256 = $2 AND verified_at IS NULL";
            let (hash, by) = (hash.0.as_slice(), key.public_key());
            client.execute(query, &[&of.0, &hash, &receipt.at, &receipt.signature, &by]).await?;
            receipts.push(receipt);
        }
    }
    Ok(receipts)
}

/// Holds a head against what is committed.
pub(crate) async fn fit(
    client: &Client,
    of: BoxId,
    epoch: Epoch,
    head: &Head,
) -> Result<Fits, Error> {
    let same = |chain: Sha256| if chain == head.chain { Fits::Same } else { Fits::Other };
    if head.seq.0 == 0 {
        return Ok(same(GENESIS));
    }
    let (epoch, lane) = (epoch.0.cast_signed(), i16::from(head.lane.number()));
    let query = "SELECT seq, chain FROM cursors WHERE box = $1 AND epoch = $2 AND lane = $3";
    let Some(row) = client.query_opt(query, &[&of.0, &epoch, &lane]).await? else {
        return Ok(Fits::Later);
    };
    let have = row.try_get::<_, i64>(0)?.cast_unsigned();
    match have.cmp(&head.seq.0) {
        std::cmp::Ordering::Less => Ok(Fits::Later),
        std::cmp::Ordering::Equal => Ok(same(ingest::hash(row.try_get(1)?)?)),
        std::cmp::Ordering::Greater => {
            let query = "SELECT chain FROM entries WHERE box = $1 AND epoch = $2 AND lane = $3 AND seq = $4";
            let seq = head.seq.0.cast_signed();
            match client.query_opt(query, &[&of.0, &epoch, &lane, &seq]).await? {
                Some(row) => Ok(same(ingest::hash(row.try_get(0)?)?)),
                None => Ok(Fits::Gone),
            }
        }
    }
}

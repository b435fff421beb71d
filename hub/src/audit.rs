//! The audit journal: what people did at the hub, each bulk action item by item. Rows are only added.
//!
//! An entry is JSON. `chain = SHA-256(0x01 ‖ previous ‖ entry)`, from 32 zero bytes; the hub's key signs `"weir audit 1" 0x00 ‖ chain`. Who can
//! write to the database but has not the key can neither alter nor insert an entry unseen, nor take one out but from the end.

use domain::directive::{KeyUse, Order, SignedDirective};
use domain::journal::{GENESIS, Sha256};
use ring::digest::{Context, SHA256};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::Error;
use crate::account::session::Who;
use crate::proof::PublicKey;
use crate::receipt::{self, HubKey};

/// Something that was done.
#[derive(Clone, Debug)]
pub struct Deed<'a> {
    /// `noun.verb`.
    pub action: &'a str,
    /// What it was done to, as people can look it up.
    pub subject: String,
    /// Whose it is, where it is a tenant's.
    pub tenant: Option<&'a str>,
    /// Why, where they were asked.
    pub why: &'a str,
    /// The rest.
    pub detail: Value,
}

/// Who did it.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// Nothing for the command line.
    pub account: Option<Uuid>,
    /// What colleagues see.
    pub shown: &'a str,
    /// Whence.
    pub remote: &'a str,
}

impl<'a> From<&'a Who> for Actor<'a> {
    fn from(who: &'a Who) -> Self {
        Self { account: Some(who.account.account), shown: &who.account.shown, remote: &who.remote }
    }
}

/// The command line, by the user of the system.
pub fn operator() -> Actor<'static> {
    Actor { account: None, shown: "command line", remote: "" }
}

/// Whoever was not let in.
pub fn stranger(remote: &str) -> Actor<'_> {
    Actor { account: None, shown: "unknown person", remote }
}

/// Adds an entry. Within a transaction it is to be the last: until its end nobody else adds one.
///
/// # Errors
/// Where the database is away; then the transaction must not be committed.
pub async fn note(
    client: &Client,
    key: &HubKey,
    actor: Actor<'_>,
    deed: &Deed<'_>,
) -> Result<(), Error> {
    client.execute("SELECT pg_advisory_xact_lock(hashtext('weir audit'))", &[]).await?;
    let last = "SELECT seq, chain FROM audit ORDER BY seq DESC LIMIT 1";
    let (seq, previous) = match client.query_opt(last, &[]).await? {
        Some(row) => (row.try_get::<_, i64>(0)? + 1, crate::ingest::hash(row.try_get(1)?)?),
        None => (1, GENESIS),
    };
    // By Postgres's clock, as all times of the hub.
    let row = client
        .query_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", &[])
        .await?;
    let at: i64 = row.try_get(0)?;
    let record = json!({
        "seq": seq,
        "at_ms": at,
        "account": actor.account,
        "actor": actor.shown,
        "remote": actor.remote,
        "action": deed.action,
        "subject": deed.subject,
        "tenant": deed.tenant,
        "why": deed.why,
        "detail": deed.detail,
    })
    .to_string()
    .into_bytes();
    let chain = link(previous, &record);
    let signature = key.attest(&signed(chain));
    let query = "INSERT INTO audit (seq, at, account, actor, action, subject, tenant, record, chain, signature)
        VALUES ($1, timestamptz 'epoch' + $2::bigint * interval '1 millisecond', $3, $4, $5, $6, $7, $8, $9, $10)";
    let chain = chain.0.to_vec();
    client
        .execute(
            query,
            &[
                &seq,
                &at,
                &actor.account,
                &actor.shown,
                &deed.action,
                &deed.subject,
                &deed.tenant,
                &record,
                &chain,
                &signature,
            ],
        )
        .await?;
    Ok(())
}

/// The same by itself.
///
/// # Errors
/// As [`note`].
pub async fn note_alone(
    client: &mut Client,
    key: &HubKey,
    actor: Actor<'_>,
    deed: &Deed<'_>,
) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    note(transaction.client(), key, actor, deed).await?;
    transaction.commit().await?;
    Ok(())
}

fn link(previous: Sha256, record: &[u8]) -> Sha256 {
    let mut context = Context::new(&SHA256);
    context.update(&[1]);
    context.update(&previous.0);
    context.update(record);
    let mut chain = [0; 32];
    chain.copy_from_slice(context.finish().as_ref());
    Sha256(chain)
}

fn signed(chain: Sha256) -> Vec<u8> {
    [b"weir audit 1\0".as_slice(), &chain.0].concat()
}

/// The key in use, and older ones as far as each signed, together with the one that came after it, the order that replaced it. What else
/// the database calls a key is nobody's word.
async fn trusted(client: &Client, key: &HubKey) -> Result<Vec<PublicKey>, Error> {
    let mut trusted = vec![PublicKey::of(key.public_key())?];
    let candidates = receipt::keys(client).await?;
    let query =
        "SELECT bytes, signatures FROM directives WHERE kind = 'rotate' ORDER BY ordered_at DESC";
    let rows = client.query(query, &[]).await?;
    let mut next = 0;
    while let Some(newer) = trusted.get(next).copied() {
        next += 1;
        for row in &rows {
            let signed = SignedDirective { bytes: row.try_get(0)?, signatures: row.try_get(1)? };
            let by = |key: &PublicKey| signed.open(key.bytes()).ok();
            let names = by(&newer).is_some_and(|told| {
                matches!(told.order, Some(Order::Rotate(rotate)) if rotate.of == KeyUse::Hub && rotate.key.0 == *newer.bytes())
            });
            if names {
                let older = candidates.iter().map(|(key, _)| *key).filter(|key| by(key).is_some());
                let older: Vec<PublicKey> = older.filter(|key| !trusted.contains(key)).collect();
                trusted.extend(older);
            }
        }
    }
    Ok(trusted)
}

/// What came of verifying.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Entries that were looked at.
    pub entries: u64,
    /// What does not hold, at which entry; the first few.
    pub wrong: Vec<String>,
}

/// Lines of [`Checked::wrong`].
const LINES: usize = 20;

/// Rows that are read at a time.
const ROWS: i64 = 10_000;

/// Recomputes the chain from its first entry, checks each signature against the key in use and those that it vouches for, and that what people search by is
/// what the entries say.
///
/// # Errors
/// Where the database is away.
pub async fn verify(client: &Client, key: &HubKey) -> Result<Checked, Error> {
    let keys = trusted(client, key).await?;
    let (mut checked, mut previous, mut last) = (Checked::default(), GENESIS, 0_i64);
    loop {
        let query = "SELECT seq, record, chain, signature, actor, action, subject, tenant, (extract(epoch FROM at) * 1000)::bigint
            FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2";
        let rows = client.query(query, &[&last, &ROWS]).await?;
        if rows.is_empty() {
            return Ok(checked);
        }
        for row in rows {
            let seq: i64 = row.try_get(0)?;
            let (record, chain): (Vec<u8>, Vec<u8>) = (row.try_get(1)?, row.try_get(2)?);
            let mut say = |what: &str| {
                if checked.wrong.len() < LINES {
                    checked.wrong.push(format!("audit entry {seq}: {what}"));
                }
            };
            if seq != last + 1 {
                say(&format!("entries {} to {} are missing", last + 1, seq - 1));
            }
            let own = link(previous, &record);
            if own.0.as_slice() != chain {
                say("it is not what was chained");
            }
            let (signature, bytes): (Vec<u8>, _) = (row.try_get(3)?, signed(own));
            let by = |key: &PublicKey| {
                let key = UnparsedPublicKey::new(&ED25519, key.bytes());
                key.verify(&bytes, &signature).is_ok()
            };
            if !keys.iter().any(by) {
                say("no key of this hub signed it");
            }
            let told: Value = serde_json::from_slice(&record).unwrap_or_default();
            let columns = json!({
                "actor": row.try_get::<_, &str>(4)?, "action": row.try_get::<_, &str>(5)?,
                "subject": row.try_get::<_, &str>(6)?, "tenant": row.try_get::<_, Option<&str>>(7)?,
                "at_ms": row.try_get::<_, i64>(8)?, "seq": seq,
            });
            let same = columns
                .as_object()
                .is_some_and(|all| all.iter().all(|(key, value)| told[key] == *value));
            if !same {
                say("the columns beside it say something else");
            }
            checked.entries += 1;
            previous = crate::ingest::hash(&chain).unwrap_or(own);
            last = seq;
        }
    }
}

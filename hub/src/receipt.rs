//! The hub's own key: its word that a checkpoint holds, and that a directive is its own.

use domain::directive::SignedDirective;
use domain::journal::Sha256;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sync::frame::Receipt;
use tokio_postgres::Client;

use crate::Error;
use crate::account::seal::Sealer;
use crate::proof::PublicKey;

/// The key by which this hub signs receipts, and what is drawn from its file.
pub struct HubKey {
    pair: Ed25519KeyPair,
    sealer: Sealer,
}

impl std::fmt::Debug for HubKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HubKey")
    }
}

impl HubKey {
    /// A new key as PKCS#8, to be kept where only the hub reads it.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub fn generate() -> Result<Vec<u8>, Error> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let document = document.map_err(|_| Error::Invalid("no randomness for a key".into()))?;
        Ok(document.as_ref().to_vec())
    }

    /// Reads what [`HubKey::generate`] made.
    ///
    /// # Errors
    /// Where it is no such key.
    pub fn new(pkcs8: &[u8]) -> Result<Self, Error> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8)
            .map_err(|_| Error::Invalid("the hub's key is no Ed25519 key in PKCS#8".into()))?;
        let sealer = Sealer::new(pkcs8, pair.public_key().as_ref())?;
        Ok(Self { pair, sealer })
    }

    /// What seals secrets that the database is not to tell.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// The public half, 32 bytes.
    pub fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// A signature over a directive's bytes.
    pub fn direct(&self, bytes: &[u8]) -> Vec<u8> {
        SignedDirective::signature(bytes, &self.pair)
    }

    /// A signature over what is said in the hub's own name; the bytes begin with a word that nothing else begins with.
    pub(crate) fn attest(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).as_ref().to_vec()
    }

    /// Signs that the checkpoint of this hash was verified at this time (milliseconds since 1970).
    pub fn receipt(&self, checkpoint: Sha256, at: i64) -> Receipt {
        let signature = self.pair.sign(&Receipt::signed_bytes(checkpoint, at)).as_ref().to_vec();
        Receipt { checkpoint, at, signature }
    }
}

/// Writes down the public half of a key, so that what it signed can be told from what others did after it was replaced.
///
/// # Errors
/// Where the database is away.
pub async fn remember(client: &Client, key: &HubKey) -> Result<(), Error> {
    let query = "INSERT INTO hub_keys (public_key) VALUES ($1) ON CONFLICT DO NOTHING";
    client.execute(query, &[&key.public_key()]).await?;
    Ok(())
}

/// The public keys by which this hub has signed, newest first, and since when (seconds since 1970).
///
/// # Errors
/// Where the database is away.
pub async fn keys(client: &Client) -> Result<Vec<(PublicKey, f64)>, Error> {
    let query =
        "SELECT public_key, extract(epoch FROM since)::float8 FROM hub_keys ORDER BY since DESC";
    let rows = client.query(query, &[]).await?;
    rows.iter().map(|row| Ok((PublicKey::of(row.try_get(0)?)?, row.try_get(1)?))).collect()
}

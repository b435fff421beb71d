//! Secrets of the second factor, sealed: whoever reads the database, or a copy of it, can make no codes without the hub's key file.
//!
//! Sealed: `0x01 ‖ first 8 bytes of SHA-256(the hub's public key) ‖ nonce (12) ‖ AES-256-GCM(secret), tag (16)`, by a key that HKDF-SHA-256 draws from the
//! key file; `"weir totp 1" 0x00 ‖ account` is authenticated with it, so that under
//! another's name it is nothing. Whoever can write to the database needs no codes: sessions lie there, too.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use tokio_postgres::Client;
use uuid::Uuid;

use super::random;
use crate::Error;
use crate::receipt::HubKey;

/// The first byte, and bytes of a key's name.
const FORMAT: u8 = 1;
const NAME: usize = 8;

/// Where there are such secrets.
const TABLES: [&str; 2] = ["accounts", "invitations"];

/// A key that seals.
#[derive(Debug)]
pub struct Sealer {
    name: [u8; NAME],
    key: LessSafeKey,
}

impl Sealer {
    /// The one of a key file, by the bytes of the file.
    ///
    /// # Errors
    /// Never with this algorithm.
    pub fn new(file: &[u8], public_key: &[u8]) -> Result<Self, Error> {
        let drawn = Salt::new(HKDF_SHA256, b"weir seal 1").extract(file);
        let drawn = drawn.expand(&[b"totp"], &AES_256_GCM);
        let drawn = drawn.map_err(|_| Error::Invalid("no key to seal with".into()))?;
        let mut name = [0; NAME];
        name.copy_from_slice(&domain::journal::Sha256::of(public_key).0[..NAME]);
        Ok(Self { name, key: LessSafeKey::new(UnboundKey::from(drawn)) })
    }

    /// Seals an account's secret.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub fn seal(&self, account: Uuid, secret: &[u8]) -> Result<Vec<u8>, Error> {
        let nonce = random::<NONCE_LEN>()?;
        let mut text = secret.to_vec();
        let (own, with) = (Nonce::assume_unique_for_key(nonce), bound(account));
        let sealed = self.key.seal_in_place_append_tag(own, Aad::from(with), &mut text);
        sealed.map_err(|_| Error::Invalid("the secret cannot be sealed".into()))?;
        Ok([&[FORMAT], self.name.as_slice(), &nonce, &text].concat())
    }

    /// Opens an account's secret.
    ///
    /// # Errors
    /// [`Error::Damaged`] where another key sealed it, or for another account.
    pub fn open(&self, account: Uuid, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        self.opened(account, sealed).ok_or_else(|| {
            let own = sealed.get(1..=NAME) == Some(&self.name);
            let by =
                if own { "for another account, or it was changed" } else { "by another hub key" };
            Error::Damaged(format!("the second factor of account {account} is sealed {by}"))
        })
    }

    fn opened(&self, account: Uuid, sealed: &[u8]) -> Option<Vec<u8>> {
        let (head, rest) = sealed.split_at_checked(1 + NAME)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>()?;
        if head[0] != FORMAT || head[1..] != self.name {
            return None;
        }
        let (nonce, mut text) = (Nonce::assume_unique_for_key(*nonce), text.to_vec());
        let secret = self.key.open_in_place(nonce, Aad::from(bound(account)), &mut text).ok()?;
        Some(secret.to_vec())
    }
}

fn bound(account: Uuid) -> Vec<u8> {
    [b"weir totp 1\0".as_slice(), account.as_bytes()].concat()
}

/// Seals what lies open from before schema 12: how many.
///
/// # Errors
/// Where the database is away.
pub async fn all(client: &Client, key: &HubKey) -> Result<usize, Error> {
    let mut many = 0;
    for table in TABLES {
        let query = format!("SELECT account, totp FROM {table} WHERE totp IS NOT NULL");
        for row in client.query(&query, &[]).await? {
            let (account, open): (Uuid, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
            let sealed = key.sealer().seal(account, &open)?;
            let query = format!(
                "UPDATE {table} SET totp_sealed = $3, totp = NULL WHERE account = $1 AND totp = $2"
            );
            many += usize::from(client.execute(&query, &[&account, &open, &sealed]).await? > 0);
        }
    }
    Ok(many)
}

/// Seals by another hub key what the one in use has sealed. What the new one sealed already, in an earlier try, stays.
///
/// # Errors
/// Where the database is away.
pub async fn again(client: &Client, old: &HubKey, new: &HubKey) -> Result<(), Error> {
    for table in TABLES {
        let query = format!(
            "SELECT account, totp_sealed FROM {table} WHERE totp_sealed IS NOT NULL FOR UPDATE"
        );
        for row in client.query(&query, &[]).await? {
            let (account, sealed): (Uuid, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
            if new.sealer().open(account, &sealed).is_ok() {
                continue;
            }
            match old.sealer().open(account, &sealed) {
                Ok(secret) => {
                    let again = new.sealer().seal(account, &secret)?;
                    let query = format!(
                        "UPDATE {table} SET totp_sealed = $3 WHERE account = $1 AND totp_sealed = $2"
                    );
                    client.execute(&query, &[&account, &sealed, &again]).await?;
                }
                // Nobody could read it before either: its owner needs another invitation.
                Err(error) => tracing::warn!(%error, "left as it is"),
            }
        }
    }
    Ok(())
}

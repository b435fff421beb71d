//! What a browser and an authenticator say, and whether it holds (WebAuthn level 2, sections 7.1 and 7.2).
//!
//! No statement of origin is asked for, and none is looked at: which make of authenticator somebody has is their own business. Bytes of the
//! authenticator: the SHA-256 of the name it knows the hub by (32), flags (1), counter (4, big-endian); with the flag `AT` its model (16), the length of
//! the credential's id (2), the id, a COSE key; with the flag `ED` a map of extensions. Nothing may follow.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use ciborium::Value;
use domain::journal::Sha256;
use serde::Deserialize;

use super::key::Key;

/// Bytes of what the browser says, of what the authenticator says, and of a signature (RSA with 4096 bits has 512).
const CLIENT_DATA: usize = 4 << 10;
const ATTESTATION: usize = 16 << 10;
const SIGNATURE: usize = 1 << 10;

/// Bytes of a credential's id: enough not to be guessed, and as many as the standard allows.
const ID: std::ops::RangeInclusive<usize> = 16..=1023;

/// How deep an authenticator's words may be nested.
const DEPTH: usize = 8;

/// Flags of the authenticator.
const PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
const MAY_MOVE: u8 = 1 << 3;
const MOVED: u8 = 1 << 4;
const ATTESTED: u8 = 1 << 6;
const EXTENDED: u8 = 1 << 7;

/// What does not hold, for the log and the audit journal; the person is told less.
pub type Wrong = &'static str;

/// Where a ceremony takes place.
#[derive(Clone, Debug)]
pub struct Place {
    /// `https://HOST[:PORT]`, as browsers say it.
    pub origin: String,
    /// The host alone, which passkeys are made for.
    pub rp: String,
}

/// What the browser says.
#[derive(Debug)]
pub struct Client {
    bytes: Vec<u8>,
    told: ClientData,
    /// What it says it was asked.
    pub challenge: Vec<u8>,
}

#[derive(Debug, Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin", default)]
    framed: bool,
}

impl Client {
    /// Reads it, base64url; nothing of it is believed yet.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, Wrong> {
        let bytes = decoded(text, CLIENT_DATA)?;
        let told: ClientData = serde_json::from_slice(&bytes)
            .map_err(|_| "the browser's words are not as they should be")?;
        let challenge = decoded(&told.challenge, CLIENT_DATA)?;
        Ok(Self { bytes, told, challenge })
    }

    fn check(&self, kind: &str, place: &Place) -> Result<(), Wrong> {
        if self.told.kind != kind {
            return Err("it was made for something else");
        }
        if self.told.origin != place.origin || self.told.framed {
            return Err("it was made for another site");
        }
        Ok(())
    }
}

/// What an authenticator says.
struct Authenticator {
    flags: u8,
    counter: u32,
    /// A new credential's id and key.
    attested: Option<(Vec<u8>, Vec<u8>)>,
}

impl Authenticator {
    fn read(bytes: &[u8], rp: &str) -> Result<Self, Wrong> {
        const SHORT: Wrong = "the authenticator's words are not whole";
        let (own, rest) = bytes.split_at_checked(32).ok_or(SHORT)?;
        let ([flags, counter @ ..], mut rest) = rest.split_first_chunk::<5>().ok_or(SHORT)?;
        let attested = if flags & ATTESTED == 0 {
            None
        } else {
            let (model, id) = rest.split_at_checked(16).ok_or(SHORT)?;
            debug_assert_eq!(model.len(), 16);
            let (length, id) = id.split_first_chunk::<2>().ok_or(SHORT)?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (id, key) = id.split_at_checked(length).ok_or(SHORT)?;
            rest = key;
            cbor(&mut rest)?;
            Some((id.to_vec(), key[..key.len() - rest.len()].to_vec()))
        };
        if flags & EXTENDED != 0 && !matches!(cbor(&mut rest)?, Value::Map(_)) {
            return Err("its extensions are no map");
        }
        if !rest.is_empty() {
            return Err("something follows the authenticator's words");
        }
        if own != Sha256::of(rp.as_bytes()).0 {
            return Err("it was made for another name");
        }
        if flags & PRESENT == 0 {
            return Err("nobody touched it");
        }
        if flags & MOVED != 0 && flags & MAY_MOVE == 0 {
            return Err("it was copied and may not be");
        }
        Ok(Self { flags: *flags, counter: u32::from_be_bytes(*counter), attested })
    }
}

/// A passkey that was just made.
#[derive(Debug)]
pub struct Made {
    /// Its id.
    pub credential: Vec<u8>,
    /// Its COSE key.
    pub key: Vec<u8>,
    /// How often it was used, where it counts.
    pub counter: u32,
    /// Whether it may be copied to other devices of its owner.
    pub may_move: bool,
    /// Whether it was.
    pub moved: bool,
}

/// Whether a new passkey holds; its challenge is the caller's business.
///
/// # Errors
/// What does not hold.
pub fn made(client: &Client, attestation: &str, place: &Place) -> Result<Made, Wrong> {
    client.check("webauthn.create", place)?;
    let bytes = decoded(attestation, ATTESTATION)?;
    let mut rest = bytes.as_slice();
    let Value::Map(all) = cbor(&mut rest)? else { return Err("the attestation is no map") };
    if !rest.is_empty() {
        return Err("something follows the attestation");
    }
    let named = all.iter().filter(|(name, _)| name.as_text() == Some("authData"));
    let [(_, Value::Bytes(data))] = named.collect::<Vec<_>>()[..] else {
        return Err("the attestation has no words of the authenticator");
    };
    let said = Authenticator::read(data, &place.rp)?;
    let (credential, key) = said.attested.ok_or("there is no new key in it")?;
    if !ID.contains(&credential.len()) {
        return Err("its id is too short or too long");
    }
    Key::read(&key)?;
    let (may_move, moved) = (said.flags & MAY_MOVE != 0, said.flags & MOVED != 0);
    Ok(Made { credential, key, counter: said.counter, may_move, moved })
}

/// A passkey that is known.
#[derive(Debug)]
pub struct Known {
    /// Its COSE key.
    pub key: Vec<u8>,
    /// The name of the hub that it was made for.
    pub rp: String,
    /// Whether it may be copied: it never changes.
    pub may_move: bool,
}

/// What a passkey said.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// How often it was used, where it counts.
    pub counter: u32,
    /// Whether it was copied to other devices of its owner.
    pub moved: bool,
}

/// Whether a known passkey signed, with its owner before it where `verified` asks for that; challenge and counter are the caller's business.
///
/// # Errors
/// What does not hold.
pub fn used(
    client: &Client,
    data: &str,
    signature: &str,
    known: &Known,
    place: &Place,
    verified: bool,
) -> Result<Used, Wrong> {
    client.check("webauthn.get", place)?;
    if known.rp != place.rp {
        return Err("it was made for another name");
    }
    let data = decoded(data, ATTESTATION)?;
    let said = Authenticator::read(&data, &place.rp)?;
    if verified && said.flags & VERIFIED == 0 {
        return Err("it did not see its owner");
    }
    if known.may_move != (said.flags & MAY_MOVE != 0) {
        return Err("whether it may be copied has changed");
    }
    let signed = [data.as_slice(), &Sha256::of(&client.bytes).0].concat();
    Key::read(&known.key)?.verify(&signed, &decoded(signature, SIGNATURE)?)?;
    Ok(Used { counter: said.counter, moved: said.flags & MOVED != 0 })
}

/// The id of a passkey, base64url.
///
/// # Errors
/// Where it cannot be one.
pub fn id(text: &str) -> Result<Vec<u8>, Wrong> {
    decoded(text, *ID.end())
}

/// Bytes in base64url, at most so many.
fn decoded(text: &str, most: usize) -> Result<Vec<u8>, Wrong> {
    if text.len() > most.div_ceil(3) * 4 {
        return Err("it is too long");
    }
    BASE64URL.decode(text).map_err(|_| "it is not base64url")
}

/// One value, and what follows it.
pub(super) fn cbor(rest: &mut &[u8]) -> Result<Value, Wrong> {
    let value = ciborium::de::from_reader_with_recursion_limit(&mut *rest, DEPTH);
    value.map_err(|_| "its CBOR is not whole")
}

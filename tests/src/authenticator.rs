//! An authenticator in software, as honest or hostile as a test wants it: passkeys (WebAuthn) over plain calls.
#![expect(clippy::unwrap_used, reason = "the rig of the tests: a test fails by panicking")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::issuer::Issuer;

/// Flags: somebody touched it, it saw its owner, a new key follows.
pub const PRESENT: u8 = 1;
/// It saw its owner.
pub const VERIFIED: u8 = 4;
/// It may be copied to other devices.
pub const MAY_MOVE: u8 = 8;
/// A new key follows.
const ATTESTED: u8 = 64;

/// How it signs.
pub enum Signer {
    /// ECDSA on P-256.
    P256(EcdsaKeyPair),
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
    /// RSA with 2048 bits.
    Rsa(Issuer),
}

/// An authenticator with one passkey. What it says is what stands here.
pub struct Authenticator {
    /// How it signs.
    pub signer: Signer,
    /// Its passkey's id.
    pub id: Vec<u8>,
    /// Whose it is, as the hub said when it was made.
    pub user: String,
    /// Where its browser believes to be.
    pub origin: String,
    /// The name that it was made for.
    pub rp: String,
    /// Its flags.
    pub flags: u8,
    /// How often it was used.
    pub counter: u32,
}

impl Authenticator {
    /// A new one at this host.
    ///
    /// # Panics
    /// Where there is no randomness.
    pub fn new(host: &str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pair = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pair.as_ref(), &random).unwrap();
        let mut id = vec![0; 32];
        random.fill(&mut id).unwrap();
        Self {
            signer: Signer::P256(pair),
            id,
            user: String::new(),
            origin: format!("https://{host}"),
            rp: host.to_owned(),
            flags: PRESENT | VERIFIED,
            counter: 0,
        }
    }

    /// The same that signs with Ed25519.
    ///
    /// # Panics
    /// Where there is no randomness.
    pub fn with_ed25519(self) -> Self {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap();
        Self { signer: Signer::Ed25519(pair), ..self }
    }

    /// The same that signs with RSA.
    ///
    /// # Panics
    /// Where openssl(1) is not there.
    pub fn with_rsa(self) -> Self {
        Self { signer: Signer::Rsa(Issuer::new("rsa", 2048)), ..self }
    }

    /// What the browser says beside it.
    fn client_data(&self, kind: &str, options: &Value) -> String {
        let told = json!({
            "type": kind,
            "challenge": options["publicKey"]["challenge"],
            "origin": self.origin,
            "crossOrigin": false,
            "unknown": "to be passed over",
        });
        told.to_string()
    }

    /// What it says itself, with a new key where `new`.
    pub fn data(&self, new: bool) -> Vec<u8> {
        let rp = ring::digest::digest(&ring::digest::SHA256, self.rp.as_bytes());
        let mut data = rp.as_ref().to_vec();
        data.push(self.flags | if new { ATTESTED } else { 0 });
        data.extend(self.counter.to_be_bytes());
        if new {
            data.extend([0; 16]);
            data.extend((self.id.len() as u16).to_be_bytes());
            data.extend(&self.id);
            data.extend(self.key());
        }
        data
    }

    /// Its COSE key.
    fn key(&self) -> Vec<u8> {
        let mut key;
        match &self.signer {
            // {1: 2, 3: -7, -1: 1, -2: x, -3: y}
            Signer::P256(pair) => {
                let point = pair.public_key().as_ref();
                key = vec![0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32];
                key.extend(&point[1..33]);
                key.extend([0x22, 0x58, 32]);
                key.extend(&point[33..]);
            }
            // {1: 1, 3: -8, -1: 6, -2: x}
            Signer::Ed25519(pair) => {
                key = vec![0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32];
                key.extend(pair.public_key().as_ref());
            }
            // {1: 3, 3: -257, -1: n, -2: e}
            Signer::Rsa(issuer) => {
                let n = BASE64URL.decode(issuer.jwk()["n"].as_str().unwrap()).unwrap();
                key = vec![0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59, 1, 0];
                key.extend(n);
                key.extend([0x21, 0x43, 1, 0, 1]);
            }
        }
        key
    }

    /// An attestation around what it says: `{"fmt": "none", "attStmt": {}, "authData": data}`.
    pub fn attestation(data: &[u8]) -> Vec<u8> {
        let mut all = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".to_vec();
        all.extend((data.len() as u16).to_be_bytes());
        all.extend(data);
        all
    }

    /// The form that adds its passkey, for what the hub asked.
    ///
    /// # Panics
    /// Where the hub asked for nothing.
    pub fn make(&mut self, options: &Value) -> Vec<(&'static str, String)> {
        self.user = options["publicKey"]["user"]["id"].as_str().unwrap().to_owned();
        let attestation = Self::attestation(&self.data(true));
        vec![
            ("client_data", BASE64URL.encode(self.client_data("webauthn.create", options))),
            ("attestation", BASE64URL.encode(attestation)),
        ]
    }

    /// The form that logs in by it, for what the hub asked.
    ///
    /// # Panics
    /// Where there is no randomness.
    pub fn answer(&self, options: &Value) -> Vec<(&'static str, String)> {
        let client = self.client_data("webauthn.get", options);
        let data = self.data(false);
        let hash = ring::digest::digest(&ring::digest::SHA256, client.as_bytes());
        let signed = [data.as_slice(), hash.as_ref()].concat();
        let signature = match &self.signer {
            Signer::P256(pair) => {
                pair.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec()
            }
            Signer::Ed25519(pair) => pair.sign(&signed).as_ref().to_vec(),
            Signer::Rsa(issuer) => issuer.signature(&signed),
        };
        vec![
            ("credential", BASE64URL.encode(&self.id)),
            ("client_data", BASE64URL.encode(client)),
            ("authenticator_data", BASE64URL.encode(data)),
            ("signature", BASE64URL.encode(signature)),
            ("user_handle", self.user.clone()),
        ]
    }
}

//! An identity provider: keys made by openssl(1), and tokens of any shape signed with them, good and forged.
#![expect(clippy::expect_used, reason = "the rig of the tests: a test fails by panicking")]

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

/// A provider's RSA key.
#[derive(Debug)]
pub struct Issuer {
    kid: String,
    key: NamedTempFile,
}

impl Issuer {
    /// Makes a key of so many bits.
    ///
    /// # Panics
    /// Where openssl(1) is not there.
    pub fn new(kid: &str, bits: u32) -> Self {
        let bits = format!("rsa_keygen_bits:{bits}");
        let pem = openssl(&["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", &bits], b"");
        let mut key = NamedTempFile::new().expect("a file for a key");
        key.write_all(&pem).expect("a file for a key");
        Self { kid: kid.to_owned(), key }
    }

    /// The public key as a JWK.
    ///
    /// # Panics
    /// Where openssl(1) says something unknown.
    pub fn jwk(&self) -> Value {
        let told = openssl(&["rsa", "-in", &self.path(), "-noout", "-modulus"], b"");
        let told = String::from_utf8_lossy(&told).into_owned();
        let hex = told.trim().strip_prefix("Modulus=").expect("a modulus").as_bytes();
        let digit = |d: u8| char::from(d).to_digit(16).expect("hexadecimal") as u8;
        let modulus: Vec<u8> =
            hex.chunks_exact(2).map(|pair| digit(pair[0]) * 16 + digit(pair[1])).collect();
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
            "n": BASE64URL.encode(modulus), "e": "AQAB",
        })
    }

    /// The public key in PEM, which forgers use as a secret.
    pub fn public_pem(&self) -> Vec<u8> {
        openssl(&["pkey", "-in", &self.path(), "-pubout"], b"")
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(&json!({ "alg": "RS256", "typ": "at+jwt", "kid": self.kid }), claims)
    }

    /// The same with a header of one's own.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        format!("{message}.{}", BASE64URL.encode(self.signature(message.as_bytes())))
    }

    /// A signature over anything (RS256).
    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        openssl(&["dgst", "-sha256", "-sign", &self.path()], message)
    }

    /// The same by RSA-PSS (PS256), with a salt as long as the hash.
    pub fn signature_pss(&self, message: &[u8]) -> Vec<u8> {
        let [padding, salt] = ["rsa_padding_mode:pss", "rsa_pss_saltlen:-1"];
        let path = self.path();
        openssl(&["dgst", "-sha256", "-sign", &path, "-sigopt", padding, "-sigopt", salt], message)
    }

    fn path(&self) -> String {
        self.key.path().to_string_lossy().into_owned()
    }
}

/// Header and claims of a token, as they are signed.
pub fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64URL.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// A token whose signature is whatever one likes.
pub fn forged(header: &Value, claims: &Value, signature: &[u8]) -> String {
    format!("{}.{}", message(header, claims), BASE64URL.encode(signature))
}

/// Several keys as a JWKS.
pub fn jwks(issuers: &[&Issuer]) -> String {
    json!({ "keys": issuers.iter().map(|i| i.jwk()).collect::<Vec<_>>() }).to_string()
}

/// Seconds since 1970, `offset` from now.
pub fn seconds(offset: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    now.cast_signed() + offset
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl(1) is there: scripts/packages-test.txt names it");
    child.stdin.take().expect("piped").write_all(input).expect("openssl(1) listens");
    let output = child.wait_with_output().expect("openssl(1) ends");
    assert!(output.status.success(), "openssl {arguments:?} failed");
    output.stdout
}

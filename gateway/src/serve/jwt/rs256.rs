//! RS256 with ring, and nothing else: whatever algorithm a token names, no other code is there to run.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

/// What the library of tokens checks signatures with.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| match (algorithm, key.kind()) {
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { .. }) => {
            Ok(Box::new(Rs256(key.clone())))
        }
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    // For thumbprints and keys out of PEM files, which nobody asks for here.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes ring the cryptography of tokens in this process. Again and again is as good as once.
pub fn install() {
    let _ = PROVIDER.install_default();
}

struct Rs256(DecodingKey);

impl Verifier<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        let DecodingKeyKind::RsaModulusExponent { n, e } = self.0.kind() else {
            return Err(Error::new());
        };
        // ring refuses moduli below 2048 and above 8192 bits.
        RsaPublicKeyComponents { n: trimmed(n), e: trimmed(e) }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .map_err(|_| Error::new())
    }
}

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

/// A number without the zeros that some providers put in front of it, which ring would refuse.
pub fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

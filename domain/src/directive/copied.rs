//! The copy of a directive that a box keeps beside its receipt, as the receipt's side record: from it a hub that was put back to a backup
//! learns what it had ordered since.
//!
//! # Format, version 1
//! Postcard: version u8, then 0 and the directive as it was told, or 1 and tenant, nonce (12 bytes), and the same sealed by AES-256-GCM.
//! The key is HMAC-SHA-256 of `"weir directive copy 1"` by the tenant's secret, which boxes and hub share; the nonce is the beginning of
//! the SHA-256 of what is sealed.
//!
//! # Invariants
//! - What names an author is sealed: after an erasure the author's key stands in no file of a box.
//! - A release is not copied: it is large, and whoever signed it has it.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};

use super::{AuthorRef, Erase, Order, SetStanding, SignedDirective};
use crate::journal::TenantId;

const VERSION: u8 = 1;

const LABEL: &[u8] = b"weir directive copy 1";

/// The longest that is copied: any order but a release is far shorter.
const MOST_BYTES: usize = 4096;

/// A directive beside its receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Copied {
    /// As it was told.
    Open(SignedDirective),
    /// For those who have the tenant's secret.
    Sealed {
        /// Whose.
        tenant: TenantId,
        /// See the module.
        nonce: [u8; NONCE_LEN],
        /// See the module.
        bytes: Vec<u8>,
    },
}

impl Copied {
    /// The copy of a directive; nothing of a release, and nothing of one that names an author where the secret of the tenant is not known.
    pub fn of(
        signed: &SignedDirective,
        order: &Order,
        secret: impl Fn(&TenantId) -> Option<[u8; 32]>,
    ) -> Option<Self> {
        if matches!(order, Order::Released(_)) || signed.bytes.len() > MOST_BYTES {
            return None;
        }
        let (Order::Erase(Erase { tenant, author, .. })
        | Order::SetStanding(SetStanding { tenant, author, .. })) = order
        else {
            return Some(Self::Open(signed.clone()));
        };
        match author {
            AuthorRef::Number(_) => Some(Self::Open(signed.clone())),
            AuthorRef::Key(_) => Self::seal(signed, tenant, &secret(tenant)?),
        }
    }

    fn seal(signed: &SignedDirective, tenant: &TenantId, secret: &[u8]) -> Option<Self> {
        let mut bytes = postcard::to_stdvec(signed).ok()?;
        let hash = digest::digest(&digest::SHA256, &bytes);
        let nonce: [u8; NONCE_LEN] = hash.as_ref().get(..NONCE_LEN)?.try_into().ok()?;
        let given = Nonce::assume_unique_for_key(nonce);
        key(secret)?.seal_in_place_append_tag(given, Aad::empty(), &mut bytes).ok()?;
        Some(Self::Sealed { tenant: tenant.clone(), nonce, bytes })
    }

    /// Whose secret opens it; nothing where none is needed.
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Open(_) => None,
            Self::Sealed { tenant, .. } => Some(tenant),
        }
    }

    /// The directive; nothing where it was sealed by another secret, or damaged. Whether it is the hub's own, its signature tells.
    pub fn open(self, secret: Option<&[u8]>) -> Option<SignedDirective> {
        match self {
            Self::Open(signed) => Some(signed),
            Self::Sealed { nonce, mut bytes, .. } => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                let plain = key(secret?)?.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?;
                postcard::from_bytes(plain).ok()
            }
        }
    }

    /// The bytes of the side record.
    pub fn encode(&self) -> Option<Vec<u8>> {
        postcard::to_stdvec(&(VERSION, self)).ok()
    }

    /// Reads what [`Copied::encode`] wrote; nothing where it is something else, or of a later release.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match postcard::take_from_bytes::<(u8, Self)>(bytes) {
            Ok(((VERSION, copied), [])) => Some(copied),
            _ => None,
        }
    }
}

fn key(secret: &[u8]) -> Option<LessSafeKey> {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), LABEL);
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, derived.as_ref()).ok()?))
}

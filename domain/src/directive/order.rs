//! What the hub can order. Each order is its own type; kinds are numbers, so that a later release can add to the list.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{NotDirective, Released};
use crate::journal::{AuthorNumber, Code, Millis, Sha256, SubmissionId, TenantId};
use crate::standing::Level;
use crate::{Category, Severity};

/// Switches a feature. At the address of a tenant it is on or off for that tenant, else for the box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// Its name.
    pub name: Code,
    /// On or off.
    pub on: bool,
}

/// Takes a box out of service, or back in: what is in hand is finished, nothing new is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Out of service.
    pub on: bool,
}

/// An entry of a tenant's own hash list comes or goes. To be ordered at the address of a tenant only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Whether it comes.
    pub add: bool,
    /// Whether it clears rather than matches.
    pub negative: bool,
    /// SHA-256 or PDQ, 32 bytes.
    pub hash: Sha256,
    /// For PDQ the largest distance that matches; `None` is an exact SHA-256.
    pub distance: Option<u16>,
    /// What its matches mean; nothing where it clears.
    pub category: Option<Category>,
    /// Whether a match counts like a person's word.
    pub verified: bool,
    /// Whether a negative entry may not silence it.
    pub protected: bool,
}

/// An author, as far as one can be named without a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthorRef {
    /// HMAC-SHA-256 of the platform's id by the tenant's secret: the same on all boxes that share the secret.
    Key(Sha256),
    /// The random number that one box drew. To be ordered at the address of that box only.
    Number(AuthorNumber),
}

/// Sets an author's penalty, whatever the strikes; [`Level::Good`] takes it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetStanding {
    /// Of which tenant.
    pub tenant: TenantId,
    /// Who.
    pub author: AuthorRef,
    /// The penalty.
    pub level: Level,
    /// When it ends; `None` is never.
    pub until: Option<Millis>,
}

/// Erases an author: side records, links, details. The box's journal keeps a tombstone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erase {
    /// Of which tenant.
    pub tenant: TenantId,
    /// Who.
    pub author: AuthorRef,
}

/// A moderator's word on a submission, in the place of the decision that was seen. To be ordered at the address of its box only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Whose submission.
    pub tenant: TenantId,
    /// Which.
    pub submission: SubmissionId,
    /// The decision that the moderator saw; where there is a newer one by now, the order is refused.
    pub seen: u32,
    /// Approved, or rejected.
    pub approve: bool,
    /// What it touches; at least one where it is rejected.
    pub categories: Vec<(Category, Severity)>,
    /// Whether its media are to be recognised from now on: their hashes go into the tenant's own list on this box.
    pub remember: bool,
}

/// A moderator's word on a submission is taken back: what stood before it stands again. To be ordered at the address of its box only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopen {
    /// Whose submission.
    pub tenant: TenantId,
    /// Which.
    pub submission: SubmissionId,
    /// The decision that is taken back; where it is not in force any more, or is not a moderator's, the order is refused.
    pub seen: u32,
}

/// Which of the keys that a box trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyUse {
    /// Directives and receipts.
    Hub,
    /// Policies and hash lists.
    Release,
}

/// Another key takes the place of one. Of a release key it is signed by the old one besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotate {
    /// Which.
    pub of: KeyUse,
    /// Ed25519, 32 bytes.
    pub key: Sha256,
    /// By the old release key over `"weir release key 1" 0x00 ‖ key`; empty for a hub key.
    pub signature: Vec<u8>,
}

/// A bundle of a model is to be fetched from the hub and installed, if the box's own keys let it. To be ordered at the address of the
/// fleet or of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Hash of the file.
    pub sha256: Sha256,
    /// Its bytes: never more are fetched.
    pub bytes: u64,
}

macro_rules! orders {
    ($($number:literal $name:ident $word:literal)*) => {
        /// What to do. The kind is told as a number of its own, so that a later release can add to the list.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(missing_docs, reason = "each is named as its order, which is documented")]
        pub enum Order {
            $($name($name),)*
        }

        impl Order {
            /// The number under which it is told. Numbers are never used twice.
            pub fn kind(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $number,)*
                }
            }

            /// Its kind in a word, for people and APIs.
            pub fn word(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $word,)*
                }
            }

            /// The word of a kind; nothing where this release does not know it.
            pub fn word_of(kind: u16) -> Option<&'static str> {
                match kind {
                    $($number => Some($word),)*
                    _ => None,
                }
            }

            pub(super) fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
                match self {
                    $(Self::$name(order) => postcard::to_stdvec(order),)*
                }
            }

            pub(super) fn decode(kind: u16, bytes: &[u8]) -> Result<Option<Self>, NotDirective> {
                Ok(Some(match kind {
                    $($number => Self::$name(whole(bytes)?),)*
                    _ => return Ok(None),
                }))
            }
        }

        $(impl From<$name> for Order {
            fn from(order: $name) -> Self {
                Self::$name(order)
            }
        })*
    };
}

orders! {
    1 Flag "flag"
    2 Drain "drain"
    3 List "list"
    4 SetStanding "standing"
    5 Erase "erase"
    6 Rule "rule"
    7 Released "release"
    8 Rotate "rotate"
    9 Bundle "bundle"
    10 Reopen "reopen"
}

fn whole<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotDirective> {
    match postcard::take_from_bytes(bytes)? {
        (value, []) => Ok(value),
        (_, rest) => Err(NotDirective::Damaged(format!("{} bytes too many", rest.len()))),
    }
}

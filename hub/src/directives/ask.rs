//! Orders as people write them, in JSON: the API's and the command line's.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::directive::{
    Address, AuthorRef, Bundle, Drain, Erase, Flag, List, Order, Released, Reopen, Rule,
    SetStanding,
};
use domain::journal::{AuthorNumber, Code, Millis, Sha256, SubmissionId, TenantId};
use domain::standing::Level;
use domain::{Category, Severity};
use serde::Deserialize;
use tokio_postgres::Client;

use crate::{Error, blob, pdq, tenant};

/// What to order.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Asked {
    /// Switches a feature.
    Flag {
        /// Its name.
        name: Code,
        /// On or off.
        on: bool,
    },
    /// Takes a box out of service, or back in.
    Drain {
        /// Out of service.
        on: bool,
    },
    /// An entry of a tenant's own hash list comes or goes.
    List {
        /// Whether it comes.
        #[serde(default = "yes")]
        add: bool,
        /// `sha256` or `pdq`.
        of: HashKind,
        /// 64 hexadecimal digits.
        hash: Sha256,
        /// Bits, for PDQ.
        distance: Option<u16>,
        /// What its matches mean.
        category: Option<Category>,
        /// Whether it clears.
        #[serde(default)]
        negative: bool,
        /// Whether a match counts like a person's word.
        #[serde(default = "yes")]
        verified: bool,
        /// Whether a negative entry may not silence it.
        #[serde(default)]
        protected: bool,
    },
    /// Sets an author's penalty.
    Standing {
        /// Of which tenant.
        tenant: TenantId,
        /// Who.
        author: Author,
        /// The penalty.
        level: Level,
        /// When it ends, seconds since 1970; left out, never.
        until: Option<i64>,
    },
    /// Erases an author.
    Erase {
        /// Of which tenant.
        tenant: TenantId,
        /// Who.
        author: Author,
    },
    /// A moderator's word on a submission.
    Rule {
        /// Whose submission.
        tenant: TenantId,
        /// Which.
        submission: SubmissionId,
        /// The decision that was seen.
        seen: u32,
        /// Approved, or rejected.
        approve: bool,
        /// What it touches, and how gravely.
        #[serde(default)]
        categories: Vec<(Category, Severity)>,
        /// Whether its media are to be recognised from now on.
        #[serde(default)]
        remember: bool,
    },
    /// A moderator's word on a submission is taken back.
    Reopen {
        /// Whose submission.
        tenant: TenantId,
        /// Which.
        submission: SubmissionId,
        /// The decision that is taken back.
        seen: u32,
    },
    /// A bundle of a model that was taken in by `weir-hub blob add`.
    Bundle {
        /// 64 hexadecimal digits.
        sha256: Sha256,
    },
    /// A policy or hash list, as `weir-hub release` signed it.
    Release {
        /// Base64.
        bytes: String,
        /// Base64.
        signature: String,
    },
}

/// Which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashKind {
    /// Of the bytes.
    Sha256,
    /// Of the picture.
    Pdq,
}

/// An author: by the platform's id, by what stands for it, or by the number that a box drew.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Author {
    /// The platform's id; it is hashed before anything is done with it.
    Id(String),
    /// The id's HMAC-SHA-256 by the tenant's secret, 64 hexadecimal digits: whom nobody who reads it can name.
    Key(Sha256),
    /// 16 hexadecimal digits.
    Number(String),
}

fn yes() -> bool {
    true
}

impl Asked {
    /// The order, where it makes sense at this address.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::NotFound`] with what to do, or where the database is away.
    pub async fn order(self, client: &Client, to: &Address) -> Result<Order, Error> {
        if let Address::Tenant(tenant) = to {
            tenant::known(client, tenant).await?;
        }
        Ok(match self {
            Self::Flag { name, on } => Flag { name, on }.into(),
            Self::Drain { on } => {
                fits(matches!(to, Address::Box(_)), "drain", "a box")?;
                Drain { on }.into()
            }
            Self::List { .. } => self.list(to)?.into(),
            Self::Standing { tenant, author, level, until } => {
                let author = named(client, &tenant, author, to).await?;
                let until = until.map(|seconds| Millis(seconds.saturating_mul(1000)));
                SetStanding { tenant, author, level, until }.into()
            }
            Self::Erase { tenant, author } => {
                let author = named(client, &tenant, author, to).await?;
                Erase { tenant, author }.into()
            }
            Self::Rule { tenant, submission, seen, approve, categories, remember } => {
                fits(matches!(to, Address::Box(_)), "rule", "the box that judged it")?;
                if !approve && categories.is_empty() {
                    return Err(invalid("a rejection names at least one of `categories`"));
                }
                Rule { tenant, submission, seen, approve, categories, remember }.into()
            }
            Self::Reopen { tenant, submission, seen } => {
                fits(matches!(to, Address::Box(_)), "reopen", "the box that judged it")?;
                Reopen { tenant, submission, seen }.into()
            }
            Self::Bundle { sha256 } => {
                fits(!matches!(to, Address::Tenant(_)), "bundle", "a box or the fleet")?;
                Bundle { sha256, bytes: blob::bytes(client, sha256).await? }.into()
            }
            Self::Release { bytes, signature } => {
                let read = |text: &str, what: &str| {
                    let bytes = BASE64_STANDARD.decode(text);
                    bytes.map_err(|_| invalid(&format!("`{what}` is no base64")))
                };
                let released = Released {
                    bytes: read(&bytes, "bytes")?,
                    signature: read(&signature, "signature")?,
                };
                let release =
                    released.look().map_err(|error| invalid(&format!("bytes: {error}")))?;
                if release.to != *to {
                    return Err(invalid(&format!(
                        "it was released for {}, not for {to}",
                        release.to
                    )));
                }
                released.into()
            }
        })
    }

    fn list(self, to: &Address) -> Result<List, Error> {
        let Self::List { add, of, hash, distance, category, negative, verified, protected } = self
        else {
            return Err(invalid("no entry of a list"));
        };
        fits(matches!(to, Address::Tenant(_)), "list", "a tenant")?;
        let distance = match (of, distance) {
            (HashKind::Sha256, None) => None,
            (HashKind::Sha256, Some(_)) => return Err(invalid("`distance` goes with `pdq` only")),
            (HashKind::Pdq, distance) => Some(distance.unwrap_or(pdq::SAME)),
        };
        if distance.is_some_and(|distance| distance > pdq::FARTHEST) {
            return Err(invalid(&format!("`distance` is 0 to {}", pdq::FARTHEST)));
        }
        match (negative, of, category) {
            (true, HashKind::Sha256, _) => Err(invalid("what clears is a `pdq`")),
            (true, _, Some(_)) => Err(invalid("what clears has no `category`")),
            (false, _, None) => Err(invalid("`category` is missing")),
            _ => Ok(List { add, negative, hash, distance, category, verified, protected }),
        }
    }
}

/// An author without a name; and only where that name means somebody.
async fn named(
    client: &Client,
    tenant: &TenantId,
    author: Author,
    to: &Address,
) -> Result<AuthorRef, Error> {
    let reaches = match to {
        Address::Tenant(of) => of == tenant,
        Address::Box(_) => true,
        Address::Fleet => false,
    };
    match author {
        Author::Id(id) => {
            fits(reaches, "an author by id", "the author's tenant or a box")?;
            tenant::author_key(client, tenant, &id).await.map(AuthorRef::Key)
        }
        Author::Key(key) => {
            fits(reaches, "an author by key", "the author's tenant or a box")?;
            Ok(AuthorRef::Key(key))
        }
        Author::Number(hex) => {
            fits(matches!(to, Address::Box(_)), "an author by number", "the box that drew it")?;
            let number = u64::from_str_radix(&hex, 16);
            let number = number.map_err(|_| invalid("`number` has 16 hexadecimal digits"))?;
            Ok(AuthorRef::Number(AuthorNumber(number)))
        }
    }
}

fn fits(fits: bool, what: &str, whom: &str) -> Result<(), Error> {
    match fits {
        true => Ok(()),
        false => Err(invalid(&format!("{what} is to be ordered at the address of {whom}"))),
    }
}

fn invalid(what: &str) -> Error {
    Error::Invalid(what.to_owned())
}

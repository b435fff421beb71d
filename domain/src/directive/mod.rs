//! Directives: what the hub tells its boxes to do, in an order that cannot be altered unseen.
//!
//! # Format, schema 1
//! The hub keeps a journal of directives. A lane is an [`Address`]: the whole fleet, the boxes of a tenant, one box. Each lane is gapless
//! from 1 within an **epoch**, one life of the hub's journal; a restored hub begins another.
//!
//! *Directive*, postcard: schema u16, epoch u64, address, seq u64, at i64 (milliseconds since 1970 by the hub's clock), by (who ordered
//! it, a [`Code`]), kind u16, body (bytes; the order of that kind, postcard).
//! *Signature*: Ed25519 by a hub key over `"weir directive 1" 0x00 ‖ bytes`. Place and address are in the bytes, so that a directive
//! cannot be replayed at another place or told to another box.
//! *Release*: a policy or hash list is signed besides, by the release key, which no hub holds.
//!
//! # Invariants
//! - Kinds and the order of enum members never change; `tests.rs` holds golden bytes.
//! - No order names a person: authors are HMACs of the platform's id by the tenant's secret, or a box's random numbers.

mod address;
mod copied;
mod order;
mod release;
mod signed;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::journal::{Code, Epoch, Millis, Seq};

pub use address::{Address, NotAddress};
pub use copied::Copied;
pub use order::{
    AuthorRef, Bundle, Drain, Erase, Flag, KeyUse, List, Order, Reopen, Rotate, Rule, SetStanding,
};
pub use release::{BadRelease, Release, ReleaseKind, Released};
pub use signed::{Distrust, SignedDirective};

/// The layout of [`Directive`] and of every order in it.
pub const SCHEMA: u16 = 1;

/// Where a directive stands in the hub's journal of directives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The life of that journal.
    pub epoch: Epoch,
    /// The lane: to whom it goes.
    pub to: Address,
    /// The number in it, from 1.
    pub seq: Seq,
}

/// An order in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Directive {
    /// Where it stands, and to whom it goes.
    pub place: Place,
    /// The hub's clock when it was ordered.
    pub at: Millis,
    /// Who ordered it: the name of an operator, moderator or API key.
    pub by: Code,
    /// What to do.
    pub order: Order,
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    schema: u16,
    epoch: u64,
    to: Address,
    seq: u64,
    at: i64,
    by: Code,
    kind: u16,
    #[serde(borrow)]
    body: &'a [u8],
}

/// A directive whose order may be of a later release.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Where it stands.
    pub place: Place,
    /// The hub's clock when it was ordered.
    pub at: Millis,
    /// Who ordered it.
    pub by: Code,
    /// Which order.
    pub kind: u16,
    /// The order; nothing where this release does not know its kind.
    pub order: Option<Order>,
}

/// Bytes that are no directive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDirective {
    /// Written by a later release.
    #[error("directive of schema {0}, this release reads up to {SCHEMA}: upgrade first")]
    Schema(u16),
    /// Not the layout that the schema names.
    #[error("directive is damaged: {0}")]
    Damaged(String),
}

impl From<postcard::Error> for NotDirective {
    fn from(error: postcard::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl Directive {
    /// The bytes that are signed.
    ///
    /// # Errors
    /// Where postcard cannot write it, which no order brings about.
    pub fn encode(&self) -> Result<Vec<u8>, NotDirective> {
        let wire = Wire {
            schema: SCHEMA,
            epoch: self.place.epoch.0,
            to: self.place.to.clone(),
            seq: self.place.seq.0,
            at: self.at.0,
            by: self.by.clone(),
            kind: self.order.kind(),
            body: &self.order.encode()?,
        };
        Ok(postcard::to_stdvec(&wire)?)
    }
}

impl Told {
    /// Reads what [`Directive::encode`] wrote; bytes left over count as damage.
    ///
    /// # Errors
    /// See [`NotDirective`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NotDirective> {
        let (schema, _) = postcard::take_from_bytes::<u16>(bytes)?;
        if schema != SCHEMA {
            return Err(NotDirective::Schema(schema));
        }
        let (wire, rest) = postcard::take_from_bytes::<Wire<'_>>(bytes)?;
        if !rest.is_empty() {
            return Err(NotDirective::Damaged(format!("{} bytes too many", rest.len())));
        }
        Ok(Self {
            place: Place { epoch: Epoch(wire.epoch), to: wire.to, seq: Seq(wire.seq) },
            at: Millis(wire.at),
            by: wire.by,
            kind: wire.kind,
            order: Order::decode(wire.kind, wire.body)?,
        })
    }
}

//! Names of things, each its own type, so that no two can be mistaken for each other.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Milliseconds since 1970-01-01T00:00:00Z. Only ever compared with its like; no order of entries hangs on it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// That much later.
    #[must_use]
    pub fn after(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// That much earlier.
    #[must_use]
    pub fn before(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id! {
    /// A box, named once at its first start.
    BoxId
}
uuid_id! {
    /// A submission: a UUIDv7, made here or by the client.
    SubmissionId
}
uuid_id! {
    /// An event told to an endpoint. The same event never has two: see [`EventId::new`].
    EventId
}
uuid_id! {
    /// A report, an appeal, a bank entry or an API key.
    ItemId
}

impl SubmissionId {
    /// The version of UUID that a submission's name must have: it sorts by time, which keeps indexes dense.
    pub fn is_v7(self) -> bool {
        self.0.get_version_num() == 7
    }
}

impl EventId {
    /// UUIDv5 in the box's namespace over submission, decision, event and endpoint. It depends on nothing else, so that
    /// neither a crash nor a restored database gives one event a second name.
    pub fn new(
        of: BoxId,
        submission: SubmissionId,
        decision: u32,
        event: &str,
        endpoint: &str,
    ) -> Self {
        let mut name = submission.0.as_bytes().to_vec();
        name.extend_from_slice(&decision.to_be_bytes());
        // Lengths go before the words: no two pairs of words read the same.
        for word in [event, endpoint] {
            name.extend_from_slice(&(word.len() as u64).to_be_bytes());
            name.extend_from_slice(word.as_bytes());
        }
        Self(Uuid::new_v5(&of.0, &name))
    }
}

/// One life of a box's database: random, minted with each new, salvaged or restored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A queue of the journal with its own numbers, chain and cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// Never waits behind a backlog.
    Critical,
    /// Everything else.
    Bulk,
}

impl Lane {
    /// Both lanes, the urgent one first.
    pub const ALL: [Self; 2] = [Self::Critical, Self::Bulk];

    /// 0 or 1, as stored and sent.
    pub fn number(self) -> u8 {
        match self {
            Self::Critical => 0,
            Self::Bulk => 1,
        }
    }

    /// The lane of that number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.number() == number)
    }
}

/// Place in a lane: the first entry is 1 and none is left out. 0 stands for "nothing yet".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Random number that stands for an author in the journal. Its link to the platform's id is one erasable row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuthorNumber(pub u64);

impl fmt::Display for AuthorNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A SHA-256. Lower-case hex for people, 32 bytes for machines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_parts(&[bytes])
    }

    /// The hash of the parts, one behind the other.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for part in parts {
            context.update(part);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Self(hash)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 is 64 hexadecimal digits")]
pub struct NotSha256;

impl FromStr for Sha256 {
    type Err = NotSha256;

    fn from_str(text: &str) -> Result<Self, NotSha256> {
        let digits = text.as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 64 {
            return Err(NotSha256);
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else { return Err(NotSha256) };
            let digit = |c: &u8| char::from(*c).to_digit(16).ok_or(NotSha256);
            *byte = u8::try_from(digit(high)? * 16 + digit(low)?).map_err(|_| NotSha256)?;
        }
        Ok(Self(hash))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_hash_of_abc_is_that_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256::of(b"abc").to_string(), abc);
        assert_eq!(Sha256::of_parts(&[b"a", b"bc"]), abc.parse().unwrap());
        assert_eq!(format!("{abc}0").parse::<Sha256>(), Err(NotSha256));
        assert_eq!(abc.replace('b', "é").parse::<Sha256>(), Err(NotSha256));
    }

    #[test]
    fn an_event_keeps_its_name_and_shares_it_with_no_other() {
        let of = BoxId(Uuid::from_u128(1));
        let id = SubmissionId(Uuid::from_u128(2));
        let one = EventId::new(of, id, 0, "decided", "a");
        assert_eq!(one, EventId::new(of, id, 0, "decided", "a"));
        let others = [
            EventId::new(of, id, 1, "decided", "a"),
            EventId::new(of, id, 0, "decideda", ""),
            EventId::new(of, id, 0, "decided", "b"),
            EventId::new(BoxId(Uuid::from_u128(3)), id, 0, "decided", "a"),
            EventId::new(of, SubmissionId(Uuid::from_u128(4)), 0, "decided", "a"),
        ];
        assert!(others.iter().all(|other| *other != one));
        assert_eq!(one.0.get_version_num(), 5);
    }
}

//! How fields of a proof are written in JSON, and read within bounds.

use std::fmt;

use ::base64::Engine as _;
use ::base64::prelude::BASE64_STANDARD;
use domain::journal::Lane;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

use super::MOST_FOLLOWING;

/// A lane as people write it.
pub(super) fn lane_word(lane: Lane) -> &'static str {
    match lane {
        Lane::Critical => "critical",
        Lane::Bulk => "bulk",
    }
}

/// The lane of that word.
pub(crate) fn lane_of(word: &str) -> Option<Lane> {
    Lane::ALL.into_iter().find(|lane| lane_word(*lane) == word)
}

pub(super) mod lane {
    use super::*;

    pub fn serialize<S: Serializer>(lane: &Lane, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(lane_word(*lane))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Lane, D::Error> {
        let word = String::deserialize(deserializer)?;
        lane_of(&word).ok_or_else(|| D::Error::custom("a lane is `critical` or `bulk`"))
    }
}

pub(super) mod epoch {
    use domain::journal::Epoch;

    use super::*;

    pub fn serialize<S: Serializer>(epoch: &Epoch, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(epoch)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Epoch, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let bits = u64::from_str_radix(&text, 16).ok().filter(|_| digits);
        bits.map(Epoch).ok_or_else(|| D::Error::custom("an epoch is 16 hexadecimal digits"))
    }
}

pub(super) mod base64 {
    use super::*;

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&::base64::display::Base64Display::new(bytes, &BASE64_STANDARD))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64_STANDARD.decode(text).map_err(D::Error::custom)
    }
}

pub(super) mod records {
    use super::*;

    #[derive(Deserialize)]
    #[serde(transparent)]
    struct One(#[serde(with = "base64")] Vec<u8>);

    struct Records;

    impl<'de> Visitor<'de> for Records {
        type Value = Vec<Vec<u8>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST_FOLLOWING} records in base64")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut records = Vec::new();
            while let Some(One(record)) = list.next_element()? {
                if records.len() as u64 == MOST_FOLLOWING {
                    let many = format!("more than {MOST_FOLLOWING} records follow");
                    return Err(A::Error::custom(many));
                }
                records.push(record);
            }
            Ok(records)
        }
    }

    pub fn serialize<S: Serializer>(records: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(records.iter().map(|record| BASE64_STANDARD.encode(record)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        deserializer.deserialize_seq(Records)
    }
}

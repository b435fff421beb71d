//! A PDQ as Postgres keeps it: `bit(256)`, in which distances are counted (`bit_count(a # b)`).

use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// 256 bits, as PDQ's reference writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pdq(pub [u8; 32]);

/// Bits in which two may differ and look the same: Meta's recommendation, and what boxes go by.
pub(crate) const SAME: u16 = 31;

/// The farthest that may be asked for: half of the bits differ between pictures that have nothing in common.
pub(crate) const FARTHEST: u16 = 128;

/// The least quality of one that says enough: one of a blank picture matches every other blank picture. What boxes go by.
pub(crate) const LEAST_QUALITY: i16 = 50;

/// Before the bits stands how many there are.
pub(crate) const BITS: i32 = 256;

impl<'a> FromSql<'a> for Pdq {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let bits = raw.get(4..).and_then(|bits| bits.try_into().ok());
        bits.map(Self).ok_or_else(|| "a PDQ has 256 bits".into())
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::BIT
    }
}

impl ToSql for Pdq {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i32(BITS);
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::BIT
    }

    to_sql_checked!();
}

//! Rows in the binary format of `COPY`, written by hand: it is a length before each value, and going through the driver's
//! dynamic types would cost more than the rest of the ingest.
//!
//! # Layout
//! An 11-byte signature, flags and an extension length (both 0); for each row the number of columns, then for each column its
//! length and its bytes (length −1 is NULL), all big-endian; at the end −1 in place of a number of columns.

use bytes::{BufMut as _, Bytes, BytesMut};
use uuid::Uuid;

use crate::pdq::{BITS, Pdq};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Microseconds between 1970-01-01 and 2000-01-01, from which Postgres counts.
const EPOCH_US: i64 = 946_684_800_000_000;

/// Rows for one table.
#[derive(Debug)]
pub(crate) struct Copy {
    bytes: BytesMut,
    columns: i16,
    rows: u64,
}

impl Copy {
    pub fn new(columns: i16) -> Self {
        let mut bytes = BytesMut::new();
        bytes.put_slice(SIGNATURE);
        bytes.put_i64(0);
        Self { bytes, columns, rows: 0 }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Begins a row; as many values as there are columns must follow.
    pub fn row(&mut self) -> &mut Self {
        self.rows += 1;
        self.bytes.put_i16(self.columns);
        self
    }

    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        // Values come from batches, which end far below 2 GiB.
        self.bytes.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
        self.bytes.put_slice(value);
        self
    }

    pub fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    pub fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    pub fn int2(&mut self, value: i16) -> &mut Self {
        self.bytes.put_i32(2);
        self.bytes.put_i16(value);
        self
    }

    pub fn int8(&mut self, value: i64) -> &mut Self {
        self.bytes.put_i32(8);
        self.bytes.put_i64(value);
        self
    }

    pub fn pdq(&mut self, value: Pdq) -> &mut Self {
        self.bytes.put_i32(4 + BITS / 8);
        self.bytes.put_i32(BITS);
        self.bytes.put_slice(&value.0);
        self
    }

    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.bytes(&[u8::from(value)])
    }

    pub fn null(&mut self) -> &mut Self {
        self.bytes.put_i32(-1);
        self
    }

    pub fn int8_or_null(&mut self, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.int8(value),
            None => self.null(),
        }
    }

    pub fn uuid_or_null(&mut self, value: Option<Uuid>) -> &mut Self {
        match value {
            Some(value) => self.uuid(value),
            None => self.null(),
        }
    }

    /// A `jsonb`: its version, then its text.
    pub fn json(&mut self, text: &str) -> &mut Self {
        self.bytes.put_i32(i32::try_from(text.len() + 1).unwrap_or(i32::MAX));
        self.bytes.put_u8(1);
        self.bytes.put_slice(text.as_bytes());
        self
    }

    /// A `timestamptz`, from microseconds since 1970.
    pub fn time(&mut self, us: i64) -> &mut Self {
        self.int8(us.saturating_sub(EPOCH_US))
    }

    /// The whole, to be sent.
    pub fn finish(mut self) -> Bytes {
        self.bytes.put_i16(-1);
        self.bytes.freeze()
    }
}

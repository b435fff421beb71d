//! Entries of one lane as they travel: a header, then the rows, compressed.
//!
//! # Layout
//! Header, 93 bytes, integers little-endian:
//!
//! | at | bytes | field | |
//! |---|---|---|---|
//! | 0 | 2 | magic | `WB` |
//! | 2 | 1 | version | 1, of this layout |
//! | 3 | 1 | codec | 0 as it is, 1 zstd |
//! | 4 | 2 | schema | of the entries (`domain::journal::SCHEMA`) |
//! | 6 | 1 | lane | 0 critical, 1 bulk |
//! | 7 | 8 | epoch | |
//! | 15 | 8 | first | number of the first entry |
//! | 23 | 2 | count | entries, 1 to 512 |
//! | 25 | 4 | raw | bytes of the rows before compression, at most 1 MiB |
//! | 29 | 32 | previous | the chain before the first entry |
//! | 61 | 32 | last | the chain behind the last entry |
//!
//! Rows: as [`crate::columns`] lays them out, then compressed. The receiver knows the box from its certificate and the rest of a row's
//! place from the header. A side record is absent where there is none or it was erased.
//!
//! # Invariants
//! - What [`Batch::open`] gives back links from `previous` to `last`, whole; nothing altered on the way gets through.
//! - A side record that is there is the one to which its entry commits.
//! - No batch makes the receiver hold more than [`MOST_RAW_BYTES`] of rows.

use domain::journal::{BoxId, Epoch, Lane, NotRecord, Record, SCHEMA, Seq, Sha256, Side, link};

use crate::columns::{self, Place};

/// Most entries of a batch.
pub const MOST_ROWS: usize = 512;

/// A batch is closed once its rows have so many bytes; the row that passes the mark still goes in.
pub const TARGET_BYTES: usize = 32 * 1024;

/// Most bytes of rows before compression: what a receiver is ready to hold for one batch.
pub const MOST_RAW_BYTES: usize = 1024 * 1024;

/// What a row may cost besides record and side record, at most.
const ROW_BYTES: usize = 16;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 93;

const MAGIC: [u8; 2] = *b"WB";
const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// zstd's level. Higher ones win under one percent on these rows and cost several times the processor time.
const LEVEL: i32 = 3;

/// An entry as the journal holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the lane.
    pub seq: Seq,
    /// The bytes that the chain covers.
    pub record: Vec<u8>,
    /// The chain behind it.
    pub chain: Sha256,
    /// Its side record, unless there is none or it was erased.
    pub side: Option<Side>,
}

/// A batch ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Header and rows.
    pub bytes: Vec<u8>,
    /// The last entry in it.
    pub last: Seq,
    /// The chain behind that.
    pub chain: Sha256,
}

/// A batch that was received and holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The life of the box's database.
    pub epoch: Epoch,
    /// The lane.
    pub lane: Lane,
    /// The chain before the first row.
    pub previous: Sha256,
    /// At least one, numbered without a gap.
    pub rows: Vec<Row>,
}

/// An entry that was received.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its place in the lane.
    pub seq: Seq,
    /// The bytes that the chain covers.
    pub raw: Vec<u8>,
    /// What they say.
    pub record: Record,
    /// The chain behind it.
    pub chain: Sha256,
    /// Its side record.
    pub side: Option<Side>,
}

/// Why bytes are no batch that may be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBatch {
    /// Not this format at all, or a later version of it.
    #[error("not a batch of version {VERSION}")]
    Format,
    /// Written by a release that is newer than the receiver.
    #[error(
        "entries of schema {found}, kind {kind:?}; this release reads schema up to {SCHEMA}: upgrade the hub first"
    )]
    Newer {
        /// The schema named in the header.
        found: u16,
        /// The kind that is not known, where the schema is.
        kind: Option<u16>,
    },
    /// More than a batch may hold.
    #[error("a batch of {rows} rows and {bytes} bytes: at most {MOST_ROWS} and {MOST_RAW_BYTES}")]
    TooLarge {
        /// Rows by the header.
        rows: usize,
        /// Bytes by the header, or of the one entry that fits into no batch.
        bytes: usize,
    },
    /// Truncated or altered.
    #[error("the batch is damaged: {0}")]
    Damaged(String),
    /// The entries do not link: one was altered, on the box or on its way.
    #[error("the entries from {} do not make the chain that the box claims: one was altered", .0.0)]
    Chain(Seq),
    /// A side record that is not the one to which the entry commits.
    #[error("the side record of entry {} is not the one to which the entry commits", .0.0)]
    Side(Seq),
}

struct Header {
    codec: u8,
    lane: Lane,
    epoch: Epoch,
    first: Seq,
    count: usize,
    raw: usize,
    previous: Sha256,
    last: Sha256,
}

/// Packs the first entries of a list into a batch: as many as [`MOST_ROWS`] and [`TARGET_BYTES`] allow, at least one.
/// `previous` is the chain before the first; the entries must follow one another.
///
/// # Errors
/// Where an entry is not of this box, epoch and lane or out of order, or too large for any batch.
pub fn pack(
    of: BoxId,
    epoch: Epoch,
    lane: Lane,
    previous: Sha256,
    entries: &[Entry],
) -> Result<Packed, BadBatch> {
    let first = entries.first().ok_or_else(|| BadBatch::Damaged("no entry to send".into()))?;
    let (mut rows, mut bytes, mut last) = (Vec::new(), 0, first);
    for entry in entries.iter().take(MOST_ROWS) {
        let side = entry.side.as_ref();
        bytes += entry.record.len() + side.map_or(0, |side| 32 + side.bytes.len()) + ROW_BYTES;
        if bytes > MOST_RAW_BYTES {
            if rows.is_empty() {
                return Err(BadBatch::TooLarge { rows: 1, bytes });
            }
            break;
        }
        rows.push((entry.record.as_slice(), side));
        last = entry;
        if bytes >= TARGET_BYTES {
            break;
        }
    }
    let place = Place { of, epoch, lane, first: first.seq };
    let raw = columns::write(place, &rows).map_err(|e| BadBatch::Damaged(e.to_string()))?;
    let packed = zstd::bulk::compress(&raw, LEVEL).ok().filter(|packed| packed.len() < raw.len());
    let header = Header {
        codec: if packed.is_some() { ZSTD } else { PLAIN },
        lane,
        epoch,
        first: first.seq,
        count: rows.len(),
        raw: raw.len(),
        previous,
        last: last.chain,
    };
    let mut bytes = header.write();
    bytes.extend_from_slice(packed.as_ref().unwrap_or(&raw));
    Ok(Packed { bytes, last: last.seq, chain: last.chain })
}

impl Batch {
    /// Reads a batch of a box, and believes nothing in it that the chain does not cover.
    ///
    /// # Errors
    /// See [`BadBatch`].
    pub fn open(of: BoxId, bytes: &[u8]) -> Result<Self, BadBatch> {
        let (header, body) = Header::read(bytes)?;
        let raw = match header.codec {
            PLAIN => std::borrow::Cow::Borrowed(body),
            ZSTD => zstd::bulk::decompress(body, header.raw)
                .map(std::borrow::Cow::Owned)
                .map_err(|error| BadBatch::Damaged(error.to_string()))?,
            _ => return Err(BadBatch::Format),
        };
        if raw.len() != header.raw {
            return Err(BadBatch::Damaged("not as long as its header says".into()));
        }
        let place = Place { of, epoch: header.epoch, lane: header.lane, first: header.first };
        let wire = columns::read(place, header.count, &raw)
            .map_err(|error| BadBatch::Damaged(error.to_string()))?;
        let mut chain = header.previous;
        let mut rows = Vec::with_capacity(wire.len());
        for ((raw, side), seq) in wire.into_iter().zip(header.first.0..) {
            chain = link(chain, &raw);
            rows.push((Seq(seq), raw, chain, side));
        }
        // Before any row is read: what was altered is not even looked at.
        if chain != header.last {
            return Err(BadBatch::Chain(header.first));
        }
        let rows = rows.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { epoch: header.epoch, lane: header.lane, previous: header.previous, rows })
    }

    /// The first entry.
    pub fn first(&self) -> Seq {
        self.rows.first().map_or(Seq(0), |row| row.seq)
    }

    /// The last entry.
    pub fn last(&self) -> Seq {
        self.rows.last().map_or(Seq(0), |row| row.seq)
    }

    /// The chain behind the last entry.
    pub fn chain(&self) -> Sha256 {
        self.rows.last().map_or(self.previous, |row| row.chain)
    }

    /// The place that a batch names, without opening it: for an answer to one that cannot be opened.
    pub fn place(bytes: &[u8]) -> Option<(Epoch, Lane, Seq)> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        let lane = Lane::from_number(header[6])?;
        let word = |at: usize| header[at..].first_chunk().copied().map(u64::from_le_bytes);
        (header[..2] == MAGIC).then_some((Epoch(word(7)?), lane, Seq(word(15)?)))
    }
}

fn read(row: (Seq, Vec<u8>, Sha256, Option<Side>)) -> Result<Row, BadBatch> {
    let (seq, raw, chain, side) = row;
    let record = Record::decode(&raw).map_err(|error| match error {
        NotRecord::Schema { found } => BadBatch::Newer { found, kind: None },
        NotRecord::Kind(kind) => BadBatch::Newer { found: SCHEMA, kind: Some(kind) },
        other => BadBatch::Damaged(other.to_string()),
    })?;
    if side.as_ref().is_some_and(|side| Some(side.commitment()) != record.side) {
        return Err(BadBatch::Side(seq));
    }
    Ok(Row { seq, raw, record, chain, side })
}

impl Header {
    fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.raw / 2);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend([VERSION, self.codec]);
        bytes.extend(SCHEMA.to_le_bytes());
        bytes.push(self.lane.number());
        bytes.extend(self.epoch.0.to_le_bytes());
        bytes.extend(self.first.0.to_le_bytes());
        bytes.extend(u16::try_from(self.count).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend(u32::try_from(self.raw).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(self.previous.0);
        bytes.extend(self.last.0);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<(Self, &[u8]), BadBatch> {
        let mut rest = bytes;
        let (MAGIC, [VERSION]) = (take(&mut rest)?, take(&mut rest)?) else {
            return Err(BadBatch::Format);
        };
        let [codec] = take(&mut rest)?;
        let schema = u16::from_le_bytes(take(&mut rest)?);
        let [lane] = take(&mut rest)?;
        let header = Self {
            codec,
            lane: Lane::from_number(lane)
                .ok_or_else(|| BadBatch::Damaged(format!("no lane {lane}")))?,
            epoch: Epoch(u64::from_le_bytes(take(&mut rest)?)),
            first: Seq(u64::from_le_bytes(take(&mut rest)?)),
            count: usize::from(u16::from_le_bytes(take(&mut rest)?)),
            raw: usize::try_from(u32::from_le_bytes(take(&mut rest)?)).unwrap_or(usize::MAX),
            previous: Sha256(take(&mut rest)?),
            last: Sha256(take(&mut rest)?),
        };
        if schema != SCHEMA {
            return Err(BadBatch::Newer { found: schema, kind: None });
        }
        let (rows, bytes) = (header.count, header.raw);
        if rows > MOST_ROWS || bytes > MOST_RAW_BYTES {
            return Err(BadBatch::TooLarge { rows, bytes });
        }
        // Places end before the number that would not fit a database's signed one.
        let end = header.first.0.checked_add(header.count as u64);
        if rows == 0 || header.first.0 == 0 || end.is_none_or(|end| i64::try_from(end).is_err()) {
            return Err(BadBatch::Damaged("no rows, or no such place".into()));
        }
        Ok((header, rest))
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], BadBatch> {
    let (head, rest) = bytes.split_first_chunk().ok_or(BadBatch::Format)?;
    *bytes = rest;
    Ok(*head)
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;

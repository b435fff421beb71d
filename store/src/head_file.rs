//! The head file: where the journal had come to, beside the database.
//!
//! One line, `weir head 1 EPOCH SEQ CHAIN SEQ CHAIN SHA256\n` (numbers as 16 hex digits, lanes critical and bulk, the last
//! word over all before it), overwritten in place after each commit and never synced: it may be older than the database,
//! never newer, unless the database lost what was acknowledged. At the start that shows a deleted log or an old copy.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt as _,
    path::Path,
};

use domain::journal::{Epoch, Head, Lane, Seq, Sha256};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{Error, rows::bits, txn::Tip};

const NAME: &str = "head";

/// The open file.
pub(crate) struct HeadFile(File);

/// What it says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub epoch: Epoch,
    pub heads: [Head; 2],
}

impl HeadFile {
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(NAME);
        OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map(Self)
            .map_err(Error::io("open", path))
    }

    /// Writes in place. A failure costs only this second look, so that the caller may go on.
    pub fn write(&self, tip: &Tip) -> std::io::Result<()> {
        self.0.write_all_at(line(tip.epoch, &tip.heads).as_bytes(), 0)
    }
}

fn line(epoch: Epoch, heads: &[Head; 2]) -> String {
    let [critical, bulk] = heads;
    let words = format!(
        "weir head 1 {epoch} {:016x} {} {:016x} {}",
        critical.seq.0, critical.chain, bulk.seq.0, bulk.chain
    );
    format!("{words} {}\n", Sha256::of(words.as_bytes()))
}

/// What the file of a directory says; nothing where it is missing or torn.
pub(crate) fn read(dir: &Path) -> Option<Remembered> {
    let text = std::fs::read_to_string(dir.join(NAME)).ok()?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, _, "1", epoch, seq0, chain0, seq1, chain1, _] = words[..] else { return None };
    let number = |word| u64::from_str_radix(word, 16).ok();
    let head = |lane, seq, chain: &str| {
        Some(Head { lane, seq: Seq(number(seq)?), chain: chain.parse().ok()? })
    };
    let heads = [head(Lane::Critical, seq0, chain0)?, head(Lane::Bulk, seq1, chain1)?];
    let epoch = Epoch(number(epoch)?);
    (line(epoch, &heads) == text).then_some(Remembered { epoch, heads })
}

impl Remembered {
    /// Whether the database lacks what is remembered here.
    pub fn ahead_of(&self, conn: &Connection) -> Result<bool, Error> {
        for head in self.heads.iter().filter(|head| head.seq > Seq(0)) {
            let place = params![bits(self.epoch.0), head.lane.number(), bits(head.seq.0)];
            let entry: Option<[u8; 32]> = conn
                .query_row(
                    "SELECT chain FROM journal WHERE epoch = ? AND lane = ? AND seq = ?",
                    place,
                    |row| row.get(0),
                )
                .optional()?;
            let pruned: Option<i64> = conn
                .query_row(
                    "SELECT base_seq FROM lanes WHERE epoch = ? AND lane = ? AND base_seq >= ?",
                    place,
                    |row| row.get(0),
                )
                .optional()?;
            if entry.map(Sha256) != Some(head.chain) && pruned.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

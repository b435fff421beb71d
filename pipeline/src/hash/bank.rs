//! Banks of known media, and what matches them.

use std::collections::HashMap;

use domain::{Finding, Severity};

use super::search::Hashes;
use crate::measure::pdq::Pdq;

/// PDQ quality below which a hash says too little to match (Meta's recommendation).
pub const LEAST_QUALITY: u8 = 50;

/// What the entries of a bank are hashes of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The bytes of the file.
    Sha256,
    /// The look of the picture.
    Pdq,
}

/// One hash of a bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The hash, most significant byte first.
    pub hash: [u8; 32],
    /// PDQ quality 0..=100, where known.
    pub quality: Option<u8>,
    /// What the people who keep the bank want to know about it; never matched, never reported.
    pub note: String,
    /// Whether it matches at all.
    pub enabled: bool,
}

/// A list of known media. See [`super::bank_file`] for how it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Bank {
    /// Name, unique among the banks in use.
    pub name: String,
    /// Version as its keeper counts, else the first 12 hex digits of the file's SHA-256.
    pub version: String,
    /// What the hashes are of.
    pub kind: Kind,
    /// Slug of a `domain::Category`.
    pub category: String,
    /// How grave a match is.
    pub severity: Severity,
    /// Most bits in which a PDQ may differ, 0..=128; Meta recommends 31.
    pub distance: u32,
    /// Whether negative entries have no say against it.
    pub protected: bool,
    /// Whether a trusted party has verified its entries.
    pub verified: bool,
    /// Whether it lists media that must not match.
    pub negative: bool,
    /// The hashes, each once.
    pub entries: Vec<Entry>,
}

/// A match with a bank.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit<'a> {
    /// The bank.
    pub bank: &'a Bank,
    /// Its nearest entry.
    pub entry: &'a Entry,
    /// Bits in which the hashes differ; 0 for SHA-256.
    pub distance: u32,
}

impl Hit<'_> {
    /// The hit as evidence: `bank:<category>:<name>`, score `1 - distance / 256`. Medium and span are the caller's.
    pub fn finding(&self) -> Finding {
        Finding {
            detector: "hash".to_owned(),
            model: format!("bank-{}@{}", self.bank.name, self.bank.version),
            label: format!("bank:{}:{}", self.bank.category, self.bank.name),
            score: 1.0 - self.distance as f32 / 256.0,
            span: None,
            bbox: None,
            media: None,
            text: None,
        }
    }
}

/// Banks in use, ready to be searched.
#[derive(Debug, Default)]
pub struct BankSet {
    banks: Vec<Bank>,
    sha256: HashMap<[u8; 32], Vec<(usize, usize)>>,
    pdq: Vec<Searchable>,
}

/// The PDQ hashes of one bank that can match, and where they stand among its entries.
#[derive(Debug)]
struct Searchable {
    bank: usize,
    hashes: Hashes,
    entries: Vec<usize>,
}

impl BankSet {
    /// Indexes the banks. Entries that are disabled or, where the quality is known, too poor are left out.
    pub fn new(banks: Vec<Bank>) -> Self {
        let mut set = Self::default();
        for (index, bank) in banks.iter().enumerate() {
            let live = bank.entries.iter().enumerate().filter(|(_, e)| e.enabled);
            match bank.kind {
                Kind::Sha256 => live.for_each(|(at, entry)| {
                    set.sha256.entry(entry.hash).or_default().push((index, at));
                }),
                Kind::Pdq => {
                    let (entries, hashes) = live
                        .filter(|(_, e)| e.quality.is_none_or(|q| q >= LEAST_QUALITY))
                        .map(|(at, e)| (at, e.hash))
                        .unzip::<_, _, Vec<_>, Vec<_>>();
                    set.pdq.push(Searchable {
                        bank: index,
                        hashes: hashes.into_iter().collect(),
                        entries,
                    });
                }
            }
        }
        set.banks = banks;
        set
    }

    /// The banks, in the order given.
    pub fn banks(&self) -> &[Bank] {
        &self.banks
    }

    /// Banks that list these very bytes.
    pub fn match_sha256(&self, sha256: &[u8; 32]) -> Vec<Hit<'_>> {
        let places = self.sha256.get(sha256).into_iter().flatten();
        places.filter_map(|&(bank, entry)| self.hit(bank, entry, 0)).collect()
    }

    /// Banks that list this picture or its mirror image, each with its nearest entry.
    ///
    /// A negative entry that is strictly nearer than a bank's nearest one silences that bank, unless it is protected;
    /// at equal distance the bank speaks. A picture below [`LEAST_QUALITY`] matches nothing.
    pub fn match_pdq(&self, pdq: &Pdq) -> Vec<Hit<'_>> {
        if pdq.quality < LEAST_QUALITY {
            return Vec::new();
        }
        let (negative, positive): (Vec<Hit>, Vec<Hit>) = self
            .pdq
            .iter()
            .filter_map(|bank| self.nearest(bank, pdq))
            .partition(|hit| hit.bank.negative);
        let cleared = negative.iter().map(|hit| hit.distance).min().unwrap_or(u32::MAX);
        positive.into_iter().filter(|hit| hit.bank.protected || hit.distance <= cleared).collect()
    }

    fn nearest(&self, searchable: &Searchable, pdq: &Pdq) -> Option<Hit<'_>> {
        let radius = self.banks.get(searchable.bank)?.distance;
        let found = [&pdq.hash, &pdq.mirror].map(|query| searchable.hashes.nearest(query, radius));
        let (index, distance) =
            found.into_iter().flatten().min_by_key(|&(_, distance)| distance)?;
        self.hit(searchable.bank, *searchable.entries.get(index)?, distance)
    }

    fn hit(&self, bank: usize, entry: usize, distance: u32) -> Option<Hit<'_>> {
        let bank = self.banks.get(bank)?;
        Some(Hit { bank, entry: bank.entries.get(entry)?, distance })
    }
}

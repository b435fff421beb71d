//! A tenant's own hash lists, kept in memory as they stand in the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::journal::{ItemId, TenantId};
use domain::{Category, Severity};
use pipeline::hash::{Bank, BankSet, Entry, Kind};
use store::{BankEntry, Hash, NewBankEntry, Store};

/// Name of a tenant's own list in findings: `bank:<category>:own`.
pub const OWN: &str = "own";

/// The most bits in which a PDQ may differ.
pub const FARTHEST: u16 = 128;

/// A tenant's lists. Shared by all workers.
#[derive(Default)]
pub struct Lists(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// State of the store's lists up to which they are known.
    version: u64,
    entries: BTreeMap<ItemId, BankEntry>,
    set: Arc<BankSet>,
}

impl Lists {
    /// The lists at least as of `version`; asks the store only for what came since. Blocks.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn at(
        &self,
        store: &Store,
        tenant: &TenantId,
        version: u64,
    ) -> Result<Arc<BankSet>, store::Error> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.version < version {
            for entry in store.bank_entries(tenant, known.version)? {
                known.version = known.version.max(entry.version);
                match entry.removed_at {
                    None => known.entries.insert(entry.id, entry),
                    Some(_) => known.entries.remove(&entry.id),
                };
            }
            known.set = Arc::new(set(&known.entries, known.version));
            // Whatever the last entry's number: nothing up to here is missing.
            known.version = known.version.max(version);
        }
        Ok(Arc::clone(&known.set))
    }
}

/// What entries of one bank have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Shelf {
    label: String,
    distance: Option<u16>,
    negative: bool,
    protected: bool,
}

fn set(entries: &BTreeMap<ItemId, BankEntry>, version: u64) -> BankSet {
    let mut shelves: BTreeMap<Shelf, Vec<Entry>> = BTreeMap::new();
    for BankEntry { entry, .. } in entries.values() {
        let (hash, distance) = match entry.hash {
            Hash::Sha256(sha256) => (sha256.0, None),
            Hash::Pdq(pdq, distance) => (pdq, Some(distance)),
        };
        let shelf = Shelf {
            label: entry.label.as_str().to_owned(),
            distance,
            negative: entry.negative,
            protected: entry.protected,
        };
        let listed = Entry { hash, quality: None, note: String::new(), enabled: true };
        shelves.entry(shelf).or_default().push(listed);
    }
    BankSet::new(
        shelves.into_iter().map(|(shelf, entries)| bank(shelf, entries, version)).collect(),
    )
}

fn bank(shelf: Shelf, entries: Vec<Entry>, version: u64) -> Bank {
    let (verified, category) = label_parts(&shelf.label);
    Bank {
        name: OWN.to_owned(),
        version: version.to_string(),
        kind: if shelf.distance.is_some() { Kind::Pdq } else { Kind::Sha256 },
        category: category.to_owned(),
        // The policy grades matches; a list of a tenant's own has no say of its own.
        severity: Severity::High,
        distance: shelf.distance.map_or(0, u32::from),
        protected: shelf.protected,
        verified,
        negative: shelf.negative,
        entries,
    }
}

/// The label of a match, as findings carry it.
pub fn label(category: Category, verified: bool) -> String {
    let trust = if verified { "bank" } else { "bank-unverified" };
    format!("{trust}:{category}:{OWN}")
}

/// Whether the entry counts like a person's word, and its category.
fn label_parts(label: &str) -> (bool, &str) {
    let mut parts = label.splitn(3, ':');
    let verified = parts.next() == Some("bank");
    (verified, parts.next().unwrap_or_default())
}

/// Whether a match with an entry counts like a person's word.
pub fn is_verified(entry: &NewBankEntry) -> bool {
    label_parts(entry.label.as_str()).0
}

/// Category of an entry's matches; empty for one that clears.
pub fn category_of(entry: &NewBankEntry) -> &str {
    if entry.negative { "" } else { label_parts(entry.label.as_str()).1 }
}

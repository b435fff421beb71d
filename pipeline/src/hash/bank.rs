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

impl Bank {
    /// `bank-<name>@<version>`, as findings name it.
    pub fn id(&self) -> String {
        format!("bank-{}@{}", self.name, self.version)
    }
}

impl Hit<'_> {
    /// The hit as evidence: `bank:<category>:<name>`, or `bank-unverified:…` where no trusted party has verified the
    /// bank, since only a verified match may weigh like a person's word. Score `1 - distance / 256`. Medium and span
    /// are the caller's.
    pub fn finding(&self) -> Finding {
        let trust = if self.bank.verified { "bank" } else { "bank-unverified" };
        Finding {
            detector: "hash".to_owned(),
            model: self.bank.id(),
            label: format!("{trust}:{}:{}", self.bank.category, self.bank.name),
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

    /// Banks of any of the sets that list this picture or its mirror image, each with its nearest entry.
    ///
    /// A negative entry that is strictly nearer than a bank's nearest one silences that bank, whichever set either is of,
    /// unless the bank is protected; at equal distance the bank speaks. A picture below [`LEAST_QUALITY`] matches nothing.
    pub fn match_pdq<'a>(sets: &[&'a Self], pdq: &Pdq) -> Vec<Hit<'a>> {
        if pdq.quality < LEAST_QUALITY {
            return Vec::new();
        }
        let (negative, positive): (Vec<Hit>, Vec<Hit>) = sets
            .iter()
            .flat_map(|set| set.pdq.iter().filter_map(|bank| set.nearest(bank, pdq)))
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use domain::Severity;

    use super::{Bank, BankSet, Entry, Kind};
    use crate::measure::pdq::{Pdq, distance, from_hex};
    use crate::measure::testing::load;

    /// A hash with its first `n` bits set: its distance to `[0; 32]` is `n`.
    fn bits(n: usize) -> [u8; 32] {
        let mut hash = [0u8; 32];
        (0..n).for_each(|k| hash[k / 8] |= 1 << (k % 8));
        hash
    }

    fn bank(name: &str, kind: Kind, hashes: &[[u8; 32]]) -> Bank {
        let entry = |&hash| Entry { hash, quality: None, note: String::new(), enabled: true };
        Bank {
            name: name.to_owned(),
            version: "7".to_owned(),
            kind,
            category: "violence/graphic".to_owned(),
            severity: Severity::High,
            distance: 31,
            protected: false,
            verified: false,
            negative: false,
            entries: hashes.iter().map(entry).collect(),
        }
    }

    fn picture() -> Pdq {
        Pdq { hash: [0; 32], mirror: [255; 32], quality: 100 }
    }

    fn names(banks: Vec<Bank>, pdq: &Pdq) -> Vec<(String, u32)> {
        let set = BankSet::new(banks);
        BankSet::match_pdq(&[&set], pdq).iter().map(|h| (h.bank.name.clone(), h.distance)).collect()
    }

    #[test]
    fn the_nearest_entry_within_the_distance_matches() {
        let listed = bank("a", Kind::Pdq, &[bits(40), bits(31), bits(20), bits(25)]);
        assert_eq!(names(vec![listed.clone()], &picture()), [("a".to_owned(), 20)]);
        assert_eq!(
            names(vec![bank("a", Kind::Pdq, &[bits(31)])], &picture()),
            [("a".to_owned(), 31)]
        );
        assert_eq!(names(vec![bank("a", Kind::Pdq, &[bits(32)])], &picture()), []);
        assert_eq!(names(vec![Bank { distance: 19, ..listed }], &picture()), []);
    }

    #[test]
    fn the_mirror_image_matches() {
        let mut nearly = [255; 32];
        nearly[0] = 0;
        assert_eq!(names(vec![bank("a", Kind::Pdq, &[nearly])], &picture()), [("a".to_owned(), 8)]);
    }

    #[test]
    fn poor_quality_on_either_side_matches_nothing_and_unknown_quality_passes() {
        let listed = bank("a", Kind::Pdq, &[bits(0)]);
        for (ours, theirs, hits) in
            [(50, None, 1), (49, None, 0), (0, None, 0), (100, Some(49), 0), (100, Some(50), 1)]
        {
            let mut listed = listed.clone();
            listed.entries[0].quality = theirs;
            let pdq = Pdq { quality: ours, ..picture() };
            assert_eq!(names(vec![listed], &pdq).len(), hits, "{ours} {theirs:?}");
        }
    }

    #[test]
    fn a_disabled_entry_matches_nothing() {
        for kind in [Kind::Pdq, Kind::Sha256] {
            let mut listed = bank("a", kind, &[bits(0), bits(3)]);
            listed.entries[0].enabled = false;
            let set = BankSet::new(vec![listed]);
            assert_eq!(set.match_sha256(&bits(0)), []);
            assert!(BankSet::match_pdq(&[&set], &picture()).iter().all(|h| h.distance == 3));
        }
    }

    #[test]
    fn a_negative_entry_silences_only_what_is_farther_and_never_a_protected_bank() {
        let negative = |n| Bank { negative: true, ..bank("n", Kind::Pdq, &[bits(n)]) };
        let positive = || bank("p", Kind::Pdq, &[bits(10)]);
        let protected = || Bank { protected: true, ..positive() };
        let near = || bank("near", Kind::Pdq, &[bits(2)]);
        let hit = |name: &str, d| (name.to_owned(), d);
        assert_eq!(names(vec![positive(), negative(9)], &picture()), []);
        assert_eq!(names(vec![positive(), negative(10)], &picture()), [hit("p", 10)]);
        assert_eq!(names(vec![positive(), negative(11)], &picture()), [hit("p", 10)]);
        assert_eq!(names(vec![protected(), negative(0)], &picture()), [hit("p", 10)]);
        assert_eq!(names(vec![negative(5), positive(), near()], &picture()), [hit("near", 2)]);
        let narrow = Bank { distance: 4, ..negative(5) };
        assert_eq!(names(vec![positive(), narrow], &picture()), [hit("p", 10)]);
    }

    #[test]
    fn a_negative_entry_of_another_set_silences_too() {
        let ours = BankSet::new(vec![bank("p", Kind::Pdq, &[bits(10)])]);
        for (distance, hits) in [(9, 0), (10, 1)] {
            let negative = Bank { negative: true, ..bank("n", Kind::Pdq, &[bits(distance)]) };
            let theirs = BankSet::new(vec![negative]);
            for sets in [[&ours, &theirs], [&theirs, &ours]] {
                assert_eq!(BankSet::match_pdq(&sets, &picture()).len(), hits, "{distance}");
            }
        }
    }

    #[test]
    fn a_finding_names_bank_category_version_and_whether_it_is_verified() {
        let set = BankSet::new(vec![
            Bank { verified: true, ..bank("a", Kind::Pdq, &[bits(16)]) },
            bank("s", Kind::Sha256, &[bits(9)]),
        ]);
        let near = BankSet::match_pdq(&[&set], &picture())[0].finding();
        assert_eq!((near.detector.as_str(), near.model.as_str()), ("hash", "bank-a@7"));
        assert_eq!((near.label.as_str(), near.score), ("bank:violence/graphic:a", 0.9375));
        let same = set.match_sha256(&bits(9))[0].finding();
        assert_eq!((same.label.as_str(), same.score), ("bank-unverified:violence/graphic:s", 1.0));
        assert_eq!(set.match_sha256(&bits(8)), []);
    }

    #[test]
    fn shared_altered_pictures_match_their_original_only() {
        let data = rig::shared!();
        let pdq = |path: String| Pdq::of(&load(&data.join(path)).unwrap()).unwrap();
        let pictures = ["astronaut", "chelsea", "kodim02", "motorcycle_left"];
        let original =
            |p: &str| bank(p, Kind::Pdq, &[pdq(format!("pdqnear/{p}/{p}_orig.png")).hash]);
        let set = BankSet::new(pictures.map(original).to_vec());
        for p in pictures {
            for altered in
                ["blur2", "bright", "contrast", "gray", "half", "mirror", "q15", "w128", "wm"]
            {
                let seen = pdq(format!("pdqnear/{p}/{p}_{altered}.jpg"));
                let hits: Vec<&str> = BankSet::match_pdq(&[&set], &seen)
                    .iter()
                    .map(|h| h.bank.name.as_str())
                    .collect();
                assert_eq!(hits, [p], "{altered}");
            }
        }
    }

    #[test]
    fn shared_haystack_is_searched_as_a_plain_count_of_bits_says() {
        let data = rig::shared!();
        let read = |name: &str| -> Vec<[u8; 32]> {
            let text = std::fs::read_to_string(data.join("pdq").join(name)).unwrap();
            text.lines().filter_map(|l| from_hex(l.get(..64)?)).collect()
        };
        let (haystack, needles) = (read("haystack.txt"), read("needles.txt"));
        assert!(!haystack.is_empty() && !needles.is_empty());
        let set = BankSet::new(vec![bank("haystack", Kind::Pdq, &haystack)]);
        for needle in needles {
            let nearest = haystack.iter().map(|h| distance(h, &needle)).min().unwrap();
            let pdq = Pdq { hash: needle, mirror: needle, quality: 100 };
            let found = BankSet::match_pdq(&[&set], &pdq).first().map(|h| h.distance);
            assert_eq!(found, (nearest <= 31).then_some(nearest));
        }
    }
}

//! Bank files.
//!
//! As TOML, with everything that is known of the bank:
//!
//! ```toml
//! name = "campaign-2026"      # letters, digits, '-', '_' and '.'
//! version = "3"               # optional; default: from the file's SHA-256
//! kind = "pdq"                # or "sha256"
//! category = "listed"         # slug of a category
//! severity = "high"           # safe, low, medium, high, critical
//! distance = 31               # optional, PDQ only: most differing bits, at most 128
//! protected = false           # optional: negative banks have no say against it
//! verified = false            # optional: a trusted party has verified its entries
//! negative = false            # optional: lists what must not match (PDQ only)
//!
//! [[entries]]
//! hash = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
//! quality = 100               # optional, PDQ only
//! note = "poster"             # optional
//! enabled = true              # optional
//! ```
//!
//! Or as the lists that are exchanged in the field: a hash of 64 hex digits on each line, optionally followed by a
//! comma and the PDQ quality; further columns are left alone. Lines that are empty or start with `#` are passed
//! over, and so is a first line that is a header. What a list does not say, the caller does ([`ListHead`]).
//!
//! All errors of a file are reported at once, each with its line. A hash that is listed twice is kept once: it is
//! enabled if any of the two is, and a known quality or a note is kept.

use std::collections::HashMap;
use std::fmt;

use domain::{Category, Severity};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use toml::Spanned;
use toml::de::DeTable;

use super::bank::{Bank, Entry, Kind};
use crate::measure::pdq::from_hex;

/// Distance that Meta recommends for PDQ.
pub const DEFAULT_DISTANCE: u32 = 31;
/// Half of the bits: two unrelated pictures are about this far apart, so that a larger distance matches everything.
const MOST_DISTANCE: u32 = 128;

/// What is wrong with a bank file, every line of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct BankError {
    /// The file, as the caller called it.
    pub file: String,
    /// Line (from 1; 0 where it is the file as a whole) and what is wrong there.
    pub faults: Vec<(usize, String)>,
}

impl fmt::Display for BankError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bank {} cannot be used:", self.file)?;
        for (line, fault) in &self.faults {
            match line {
                0 => write!(f, "\n  {fault}")?,
                _ => write!(f, "\n  line {line}: {fault}")?,
            }
        }
        Ok(())
    }
}

/// What a plain list does not say about itself.
#[derive(Clone, Debug)]
pub struct ListHead {
    /// Name of the bank.
    pub name: String,
    /// What the hashes are of: both kinds look alike.
    pub kind: Kind,
    /// Category of its matches.
    pub category: Category,
    /// Severity of its matches.
    pub severity: Severity,
}

/// The keys of a bank, those that it must have first, each with an example.
const BANK_KEYS: [(&str, Option<&str>); 10] = [
    ("name", Some("\"campaign-2026\"")),
    ("kind", Some("\"pdq\"")),
    ("category", Some("\"listed\"")),
    ("severity", Some("\"high\"")),
    ("version", None),
    ("distance", None),
    ("protected", None),
    ("verified", None),
    ("negative", None),
    ("entries", None),
];
/// Those of an entry.
const ENTRY_KEYS: [(&str, Option<&str>); 4] =
    [("hash", Some("\"…\"")), ("quality", None), ("note", None), ("enabled", None)];

// Which keys there are is checked apart, so that all that is wrong is told at once.
#[derive(Deserialize)]
struct RawBank {
    #[serde(default = "unsaid")]
    name: Spanned<String>,
    version: Option<Version>,
    #[serde(default = "unsaid")]
    kind: Spanned<String>,
    #[serde(default = "unsaid")]
    category: Spanned<String>,
    #[serde(default = "unsaid")]
    severity: Spanned<String>,
    distance: Option<Spanned<u32>>,
    #[serde(default)]
    protected: bool,
    #[serde(default)]
    verified: bool,
    #[serde(default)]
    negative: Option<Spanned<bool>>,
    #[serde(default)]
    entries: Vec<RawEntry>,
}

#[derive(Deserialize)]
struct RawEntry {
    #[serde(default = "unsaid")]
    hash: Spanned<String>,
    quality: Option<Spanned<u32>>,
    #[serde(default)]
    note: String,
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

/// Stands for a key that is missing, which is told as such.
fn unsaid() -> Spanned<String> {
    Spanned::new(0..0, String::new())
}

fn is_said(value: &Spanned<String>) -> bool {
    !value.span().is_empty()
}

/// Collects faults with the lines they are on.
struct Faults<'a> {
    text: &'a str,
    list: Vec<(usize, String)>,
}

impl Faults<'_> {
    fn add<T>(&mut self, at: &Spanned<T>, fault: String) {
        self.list.push((line_of(self.text, at.span().start), fault));
    }

    /// Notes which keys of the table that begins at byte `start` are unknown, and which are missing.
    fn keys(&mut self, table: &DeTable<'_>, start: usize, known: &[(&str, Option<&str>)]) {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !known.iter().any(|(k, _)| *k == name) {
                let all: Vec<&str> = known.iter().map(|(k, _)| *k).collect();
                self.add(key, format!("unknown key `{name}`; write one of {}", all.join(", ")));
            }
        }
        for (name, example) in known {
            if let Some(example) = example.filter(|_| !table.contains_key(*name)) {
                let fault = format!("`{name}` is missing; write for example `{name} = {example}`");
                self.list.push((line_of(self.text, start), fault));
            }
        }
    }
}

impl Bank {
    /// Reads a bank from TOML. `file` is how errors call it.
    ///
    /// # Errors
    /// Every fault of the file at once; but what is no TOML, or of a wrong type, is reported at the first of these.
    pub fn from_toml(file: &str, text: &str) -> Result<Self, BankError> {
        let raw: RawBank = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(0, |span| line_of(text, span.start));
            BankError { file: file.to_owned(), faults: vec![(line, e.message().to_owned())] }
        })?;
        let mut faults = Faults { text, list: Vec::new() };
        check_keys(text, &mut faults);
        let kind = check_head(&raw, &mut faults);
        let mut entries = Entries::default();
        for raw in raw.entries {
            if let Some(entry) = check_entry(raw, kind, &mut faults) {
                entries.add(entry);
            }
        }
        if !faults.list.is_empty() {
            faults.list.sort();
            return Err(BankError { file: file.to_owned(), faults: faults.list });
        }
        Ok(Self {
            name: raw.name.into_inner(),
            version: raw.version.map_or_else(|| version_of(text), Version::text),
            kind,
            category: raw.category.into_inner(),
            severity: severity(raw.severity.get_ref()).unwrap_or_default(),
            distance: raw.distance.map_or(DEFAULT_DISTANCE, Spanned::into_inner),
            protected: raw.protected,
            verified: raw.verified,
            negative: raw.negative.is_some_and(Spanned::into_inner),
            entries: entries.list,
        })
    }

    /// Reads a list with one hash on each line. `file` is how errors call it.
    ///
    /// # Errors
    /// Every line that cannot be read.
    pub fn from_list(file: &str, text: &str, head: ListHead) -> Result<Self, BankError> {
        let (mut entries, mut faults) = (Entries::default(), Vec::new());
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim();
            let header =
                index == 0 && line.split(',').any(|c| c.trim().eq_ignore_ascii_case("hash"));
            if line.is_empty() || line.starts_with('#') || header {
                continue;
            }
            match list_entry(line, head.kind) {
                Ok(entry) => entries.add(entry),
                Err(fault) => faults.push((index + 1, fault)),
            }
        }
        if !faults.is_empty() {
            return Err(BankError { file: file.to_owned(), faults });
        }
        Ok(Self {
            name: head.name,
            version: version_of(text),
            kind: head.kind,
            category: slug(head.category),
            severity: head.severity,
            distance: DEFAULT_DISTANCE,
            protected: false,
            verified: false,
            negative: false,
            entries: entries.list,
        })
    }
}

fn check_keys(text: &str, faults: &mut Faults) {
    let (root, _) = DeTable::parse_recoverable(text);
    faults.keys(root.get_ref(), 0, &BANK_KEYS);
    let entries = root.get_ref().get("entries").and_then(|e| e.get_ref().as_array());
    for entry in entries.into_iter().flat_map(|e| e.iter()) {
        if let Some(table) = entry.get_ref().as_table() {
            faults.keys(table, entry.span().start, &ENTRY_KEYS);
        }
    }
}

fn check_head(raw: &RawBank, faults: &mut Faults) -> Kind {
    let name = raw.name.get_ref();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if is_said(&raw.name) && (name.is_empty() || !name.chars().all(allowed)) {
        faults.add(&raw.name, format!("name {name:?}: use letters, digits, '-', '_' and '.'"));
    }
    let kind = match raw.kind.get_ref().as_str() {
        "pdq" => Kind::Pdq,
        "sha256" => Kind::Sha256,
        _ if !is_said(&raw.kind) => Kind::Pdq,
        other => {
            faults.add(&raw.kind, format!("kind {other:?}: use \"pdq\" or \"sha256\""));
            Kind::Pdq
        }
    };
    if is_said(&raw.category)
        && let Err(e) = parse::<Category>(raw.category.get_ref())
    {
        faults.add(&raw.category, format!("category: {e}"));
    }
    if is_said(&raw.severity)
        && let Err(e) = severity(raw.severity.get_ref())
    {
        faults.add(&raw.severity, format!("severity: {e}"));
    }
    if let Some(distance) = &raw.distance {
        if kind == Kind::Sha256 {
            faults.add(distance, "distance: only PDQ has one; remove the line".to_owned());
        } else if *distance.get_ref() > MOST_DISTANCE {
            let most = format!(
                "distance {}: at most {MOST_DISTANCE}, better {DEFAULT_DISTANCE}",
                distance.get_ref()
            );
            faults.add(distance, most);
        }
    }
    if let Some(negative) = &raw.negative
        && *negative.get_ref()
        && kind == Kind::Sha256
    {
        let why = "negative: a SHA-256 is never nearer than another, so it could silence nothing; use PDQ";
        faults.add(negative, why.to_owned());
    }
    kind
}

fn check_entry(raw: RawEntry, kind: Kind, faults: &mut Faults) -> Option<Entry> {
    let hash = from_hex(raw.hash.get_ref().trim());
    if hash.is_none() && is_said(&raw.hash) {
        faults.add(&raw.hash, bad_hash(raw.hash.get_ref()));
    }
    let quality = raw.quality.as_ref().map(|q| (q, checked_quality(*q.get_ref(), kind)));
    let quality = match quality {
        Some((at, Err(fault))) => {
            faults.add(at, fault);
            None
        }
        Some((_, Ok(quality))) => Some(quality),
        None => None,
    };
    Some(Entry { hash: hash?, quality, note: raw.note, enabled: raw.enabled })
}

fn list_entry(line: &str, kind: Kind) -> Result<Entry, String> {
    let mut columns = line.split(',').map(str::trim);
    let hex = columns.next().unwrap_or_default();
    let hash = from_hex(hex).ok_or_else(|| bad_hash(hex))?;
    let quality = match (kind, columns.next()) {
        (Kind::Pdq, Some(q)) if !q.is_empty() => {
            let number =
                q.parse().map_err(|_| format!("quality {q:?}: use 0 to 100, or nothing"))?;
            Some(checked_quality(number, kind)?)
        }
        _ => None,
    };
    Ok(Entry { hash, quality, note: String::new(), enabled: true })
}

fn checked_quality(quality: u32, kind: Kind) -> Result<u8, String> {
    match u8::try_from(quality) {
        _ if kind == Kind::Sha256 => Err("quality: only PDQ has one; remove it".to_owned()),
        Ok(q) if q <= 100 => Ok(q),
        _ => Err(format!("quality {quality}: use 0 to 100, or leave it out")),
    }
}

fn bad_hash(hex: &str) -> String {
    let start: String = hex.chars().take(16).collect();
    format!("hash {start:?}…, {} characters: use 64 hex digits", hex.chars().count())
}

/// Entries, each hash once, in the order of their first appearance.
#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    places: HashMap<[u8; 32], usize>,
}

impl Entries {
    fn add(&mut self, entry: Entry) {
        let next = self.list.len();
        let place = *self.places.entry(entry.hash).or_insert(next);
        let Some(old) = self.list.get_mut(place) else {
            self.list.push(entry);
            return;
        };
        old.quality = old.quality.max(entry.quality);
        old.enabled |= entry.enabled;
        if old.note.is_empty() {
            old.note = entry.note;
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(word: &'a str) -> Result<T, ValueError> {
    let source: StrDeserializer<'a, ValueError> = word.into_deserializer();
    T::deserialize(source)
}

fn severity(word: &str) -> Result<Severity, ValueError> {
    parse(word)
}

fn slug(category: Category) -> String {
    // A unit variant always becomes a string.
    serde_json::to_value(category)
        .ok()
        .and_then(|v| v.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&b| b == b'\n').count() + 1
}

/// A version as people write it, with or without quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Version {
    Number(u64),
    Name(String),
}

impl Version {
    fn text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Name(name) => name,
        }
    }
}

fn version_of(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(6).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use domain::{Category, Severity};

    use super::{Bank, Kind, ListHead};

    const A: &str = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";
    const B: &str = "0000000000000000000000000000000000000000000000000000000000000001";

    fn head() -> ListHead {
        ListHead {
            name: "list".to_owned(),
            kind: Kind::Pdq,
            category: Category::SexualMinors,
            severity: Severity::Critical,
        }
    }

    #[test]
    fn a_whole_bank_is_read() {
        let text = format!(
            "name = \"x-1\"\nversion = \"3\"\nkind = \"pdq\"\ncategory = \"self-harm\"\nseverity = \"critical\"\n\
             distance = 20\nprotected = true\nverified = true\nnegative = true\n\
             [[entries]]\nhash = \"{A}\"\nquality = 80\nnote = \"poster\"\nenabled = false\n"
        );
        let bank = Bank::from_toml("x.toml", &text).unwrap();
        assert_eq!((bank.name.as_str(), bank.version.as_str(), bank.kind), ("x-1", "3", Kind::Pdq));
        assert_eq!((bank.category.as_str(), bank.severity), ("self-harm", Severity::Critical));
        assert_eq!(
            (bank.distance, bank.protected, bank.verified, bank.negative),
            (20, true, true, true)
        );
        let entry = &bank.entries[0];
        assert_eq!((entry.hash[0], entry.quality, entry.enabled), (0xf8, Some(80), false));
        assert_eq!(entry.note, "poster");
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let text = format!(
            "name = \"x\"\nkind = \"pdq\"\ncategory = \"listed\"\nseverity = \"high\"\n[[entries]]\nhash = \"{A}\"\n"
        );
        let bank = Bank::from_toml("x.toml", &text).unwrap();
        assert_eq!(
            (bank.distance, bank.protected, bank.verified, bank.negative),
            (31, false, false, false)
        );
        assert_eq!(
            (bank.version.len(), bank.entries[0].quality, bank.entries[0].enabled),
            (12, None, true)
        );
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let text = "name = \"a b\"\nkind = \"md5\"\ncategory = \"porn\"\nseverity = \"huge\"\ndistance = 200\n\
                    [[entries]]\nhash = \"xyz\"\n[[entries]]\nhash = \"00\"\nquality = 101\n";
        let error = Bank::from_toml("bad.toml", text).unwrap_err();
        let lines: Vec<usize> = error.faults.iter().map(|f| f.0).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 7, 9, 10], "{error}");
        assert!(error.to_string().contains("bad.toml") && error.to_string().contains("line 7: "));
    }

    #[test]
    fn unknown_keys_and_useless_negatives_are_refused() {
        let start = "kind = \"sha256\"\ncategory = \"listed\"\nseverity = \"high\"\nname = \"x\"\n";
        let error = Bank::from_toml("x", &format!("{start}distanc = 3\n")).unwrap_err();
        assert_eq!(error.faults[0].0, 5, "{error}");
        let error =
            Bank::from_toml("x", &format!("{start}negative = true\ndistance = 3\n")).unwrap_err();
        assert_eq!(error.faults.iter().map(|f| f.0).collect::<Vec<_>>(), [5, 6], "{error}");
    }

    #[test]
    fn every_unknown_and_missing_key_is_told_beside_other_faults() {
        let text = format!(
            "nam = \"x\"\nkind = \"md5\"\nserverity = \"high\"\n[[entries]]\nhsh = \"{A}\"\n[[entries]]\nhash = \"xyz\"\n"
        );
        let error = Bank::from_toml("x", &text).unwrap_err();
        let told = error.to_string();
        for fault in [
            "`nam`",
            "`name` is",
            "md5",
            "`serverity`",
            "`severity` is",
            "`category` is",
            "`hsh`",
            "`hash` is",
            "xyz",
        ] {
            assert!(told.contains(fault), "{fault}: {told}");
        }
        assert_eq!(error.faults.len(), 9, "{told}");
    }

    #[test]
    fn lists_of_the_field_are_read() {
        let text = format!(
            "\u{feff}hash,quality,file\n# comment\n\n{A},100,a.jpg\r\n{}\n",
            B.to_uppercase()
        );
        let bank = Bank::from_list("list.csv", &text, head()).unwrap();
        assert_eq!(bank.category, "sexual/minors");
        let seen: Vec<_> = bank.entries.iter().map(|e| (e.hash[31], e.quality)).collect();
        assert_eq!(seen, [(0x22, Some(100)), (1, None)]);
    }

    #[test]
    fn every_bad_line_of_a_list_is_told() {
        let text = format!("{A}\nnonsense\n{A},high\n{A},101\n");
        let error = Bank::from_list("list.csv", &text, head()).unwrap_err();
        assert_eq!(error.faults.iter().map(|f| f.0).collect::<Vec<_>>(), [2, 3, 4], "{error}");
    }

    #[test]
    fn duplicates_are_merged() {
        let text = format!("{A}\n{B}\n{A},70\n");
        let bank = Bank::from_list("list.csv", &text, head()).unwrap();
        assert_eq!(bank.entries.iter().map(|e| e.quality).collect::<Vec<_>>(), [Some(70), None]);
    }
}

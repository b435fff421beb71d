//! Whether each text of the screens is there in each language: templates, sources and scripts are walked as they lie in the tree.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use sync::request::Unanswered;

use super::{entrance, page, words};
use crate::account::{Right, Role};
use crate::requests::Unmet;
use crate::review::Tab;
use crate::tongue::Tongue;

/// What stands in a template as it is: names, and what is the same everywhere.
const NAMES: [&str; 6] = ["Weir", "· Weir", "hub", "SHA-256", "PDQ", "°C"];

/// Attributes that people read or hear.
const READ: [&str; 4] = ["aria-label=\"", "alt=\"", "title=\"", "placeholder=\""];

/// Codes that pages show as words, by `frame.word`.
#[rustfmt::skip]
const CODES: &[&str] = &[
    // Statuses, severities, actions of boxes.
    "approved", "held", "rejected", "failed",
    "safe", "low", "medium", "high", "critical",
    "allow", "flag", "hide", "reject", "ban",
    // Decisions of people, penalties, receipts.
    "approve", "dismiss", "standing",
    "good", "warned", "hidden", "banned",
    "pending", "applied", "none needed",
    // Boxes and media.
    "enrolled", "quarantined", "revoked", "offline", "this box",
    "image", "animation", "video", "audio", "text", "unknown",
    // Roll-outs, their stages, and receipts.
    "open", "paused", "finished", "taken back",
    "waits", "given", "withdrawn", "refused",
    // Models: stages, and why they came to them.
    "candidate", "shadow", "canary", "active", "retired",
    "bundle", "command", "superseded", "drift", "errors",
];

/// Sources whose sentences people meet at the screens: all of these, and of the rest those that refuse something.
const SENTENCES: [&str; 8] = [
    "src/screens",
    "src/review",
    "src/account",
    "src/approval.rs",
    "src/lists.rs",
    "src/reason.rs",
    "src/rollout/mod.rs",
    "src/rollout/known.rs",
];

/// Sentences that no page shows: logs, what only the command line says, headers, columns.
const UNSEEN: &[&str] = &[
    "a screen failed",
    "a screen cannot be made",
    "cannot hear of changes",
    "weir export",
    "weir form",
    "weir list",
    "text/",
    "default-src",
    "r.tenant = ",
    "r.assignee IS",
    "'s tenant",
    "a listed hash",
    "a passkey of nobody",
    "somebody sent",
    "the provider of identities lets nobody in",
    "no account is linked to this person",
    "a subject has 1 to 255",
    "items are not given to anybody",
    "weir turns",
    // Steps, as the audit journal has them.
    "password and code",
    "password, once more",
    "the system has no randomness",
    "the sentence says so",
    "password and passkey",
    // Why a passkey was refused, as the log and the audit journal have it.
    "passkey was refused",
    "it was not asked for, or",
    "it is nobody's, or",
    "it says that it is",
    "its counter fell back",
    "a policy could not be checked",
    "left as it is",
    "by another hub key",
    "for another account, or",
    "no key to seal with",
    // Labels of keys.
    "weir seal",
    "weir totp",
    // Of calls that no form of ours makes.
    "no cookie",
    "no QR code",
    "no entry of a list",
    "before: a number",
    "after: no place",
    "format: csv",
    "item: no such place",
    "seen: the decision",
    "severity: 0 (safe)",
];

/// What the log and the command line say of a provider of identities, part of a path each.
const LOGGED: [&str; 5] =
    ["oidc/about.rs", "oidc/keys.rs", "oidc/provider.rs", "oidc/settings.rs", "oidc/token.rs"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a folder, or the file itself.
fn files(at: &Path, ending: &str) -> Vec<PathBuf> {
    if at.is_file() {
        return vec![at.to_owned()];
    }
    let mut all: Vec<PathBuf> =
        fs::read_dir(at).unwrap().flat_map(|entry| files(&entry.unwrap().path(), ending)).collect();
    all.retain(|path| {
        let path = path.to_str().unwrap();
        path.ends_with(ending) && !LOGGED.iter().any(|logged| path.ends_with(logged))
    });
    all.sort();
    all
}

/// String literals, each with what stands before it.
fn literals(source: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut chars = source.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let after = &source[at..];
        if after.starts_with("//") {
            while chars.next_if(|(_, c)| *c != '\n').is_some() {}
        } else if c == '\'' && (after.starts_with("'\"'") || after.starts_with("'\\")) {
            // A quotation mark as a character.
            chars.next_if(|(_, c)| *c == '\\');
            chars.next();
            chars.next();
        } else if c == '"' {
            let mut text = String::new();
            while let Some((_, c)) = chars.next() {
                match c {
                    '"' => break,
                    '\\' => match chars.next() {
                        Some((_, '\n')) => {
                            while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
                        }
                        Some((_, c)) => text.push(c),
                        None => {}
                    },
                    c => text.push(c),
                }
            }
            let before = source[..at].trim_end();
            let from = before.char_indices().rev().nth(39).map_or(0, |(from, _)| from);
            all.push((before[from..].to_owned(), text));
        }
    }
    all
}

/// Words with a blank between them.
fn is_sentence(text: &str) -> bool {
    let words =
        text.split(' ').filter(|word| word.chars().filter(|c| c.is_alphabetic()).count() > 1);
    let sql = ["SELECT", "INSERT", "UPDATE", "DELETE", "WHERE", "ORDER BY", "coalesce"];
    words.count() > 1 && !sql.iter().any(|word| text.contains(word))
}

/// Texts of templates; and what stands in them without being one.
fn of_template(source: &str) -> (Vec<String>, Vec<String>) {
    let (mut texts, mut raw) = (Vec::new(), Vec::new());
    let (mut rest, mut in_tag) = (source, false);
    let mut bare = |text: &str| {
        let text = text.trim();
        if text.chars().any(char::is_alphabetic) && !text.starts_with('&') && !NAMES.contains(&text)
        {
            raw.push(text.to_owned());
        }
    };
    while !rest.is_empty() {
        let code =
            [("{{", "}}"), ("{%", "%}")].into_iter().find(|(begin, _)| rest.starts_with(begin));
        if let Some((_, end)) = code {
            let (inside, after) = rest.split_once(end).unwrap();
            let mut counted = 0;
            for (before, text) in literals(inside) {
                counted = if before.ends_with(".n(") { 1 } else { counted + 1 };
                // Of the two forms of a number the catalogue has the second one's name.
                let many = counted == 2 && inside.contains(".n(");
                if many || [".t(", ".word("].iter().any(|call| before.ends_with(call)) {
                    texts.push(text);
                }
            }
            rest = after;
            continue;
        }
        let at = rest.char_indices().skip(1).find(|(at, c)| {
            matches!(c, '<' | '>') || rest[*at..].starts_with("{{") || rest[*at..].starts_with("{%")
        });
        let (piece, after) = rest.split_at(at.map_or(rest.len(), |(at, _)| at));
        match piece.chars().next() {
            Some('<') => in_tag = true,
            Some('>') => in_tag = false,
            _ => {}
        }
        if in_tag {
            for name in READ {
                if let Some((_, value)) = piece.split_once(name) {
                    bare(value.split('"').next().unwrap_or_default());
                }
            }
        } else {
            bare(piece.strip_prefix('>').unwrap_or(piece));
        }
        rest = after;
    }
    (texts, raw)
}

/// Texts that sources have: by what is called with them, and by what reads like a sentence.
fn of_source(path: &Path) -> Vec<String> {
    let source = fs::read_to_string(path).unwrap();
    let source = source.split("#[cfg(test)]").next().unwrap();
    let screens = path.starts_with(root().join("src/screens"));
    let called = |before: &str, text: &str| {
        [".t(", "Text::from("].iter().any(|call| before.ends_with(call))
            || before.ends_with(',')
                && ["Frame::new(", "frame(tongue", "outside("]
                    .iter()
                    .any(|call| before.contains(call))
                && text.starts_with(char::is_uppercase)
    };
    let told = |before: &str, text: &str| {
        let made = before.ends_with("format!(")
            || before.ends_with("#[error(")
            || before.ends_with("include_str!(");
        // What is put together elsewhere cannot be looked up.
        is_sentence(text) && !made && (screens || !text.contains('{'))
    };
    let all = literals(source).into_iter();
    all.filter(|(before, text)| !text.is_empty() && (called(before, text) || told(before, text)))
        .map(|(_, text)| text)
        .filter(|text| !UNSEEN.iter().any(|unseen| text.contains(unseen)))
        .collect()
}

/// Every text, and where it stands.
fn wanted() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut add = |text: &str, at: &str| {
        all.entry(text.to_owned()).or_insert_with(|| at.to_owned());
    };
    for path in files(&root().join("templates"), ".html") {
        let (texts, _) = of_template(&fs::read_to_string(&path).unwrap());
        texts.iter().for_each(|text| add(text, path.to_str().unwrap()));
    }
    // What does not hold of a passkey is for the log and the audit journal.
    let skipped = ["texts.rs", "cli", "passkey/ceremony.rs", "passkey/key.rs"];
    for path in SENTENCES.iter().flat_map(|at| files(&root().join(at), ".rs")) {
        if !skipped.iter().any(|name| path.ends_with(name)) {
            of_source(&path).iter().for_each(|text| add(text, path.to_str().unwrap()));
        }
    }
    let tables = [
        page::PLACES.map(|(_, name, _)| name).to_vec(),
        page::DONE.map(|(_, text)| text).to_vec(),
        page::TITLES.map(|(_, text)| text).to_vec(),
        vec![page::OTHER, entrance::WRONG, entrance::WRONG_CODE, entrance::DIFFER],
        words::CATEGORIES.map(|(_, name)| name).to_vec(),
        words::UNITS.map(|(_, unit, _)| unit).to_vec(),
        CODES.to_vec(),
        Role::ALL.map(Role::shown).to_vec(),
        Right::ALL.map(Right::shown).to_vec(),
        Tab::ALL.map(Tab::shown).to_vec(),
    ];
    tables.iter().flatten().for_each(|text| add(text, "a table"));
    // Why a box shows nothing, as far as it is no more than a sentence.
    let boxes = [Unanswered::Busy, Unanswered::Silent, Unanswered::Gone].map(Unmet::Box);
    let unmet = [Unmet::Away, Unmet::ByBroker, Unmet::Crowded];
    boxes.iter().chain(&unmet).for_each(|why| add(&why.to_string(), "an answer of no box"));
    all
}

/// Names of the places of a text, and the marks of what is set apart in it.
fn shape(text: &str) -> (BTreeSet<String>, [usize; 2]) {
    let places = text.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let marks = ['`', '*'].map(|mark| text.matches(mark).count());
    (places.map(|(name, _)| name.to_owned()).collect(), marks)
}

fn check(tongue: Tongue, wanted: &BTreeMap<String, String>, wrong: &mut Vec<String>) {
    let code = tongue.code();
    let file = fs::read_to_string(root().join(format!("locales/{code}.toml"))).unwrap();
    let file: BTreeMap<String, toml::Value> = toml::from_str(&file).unwrap();
    for (text, at) in wanted {
        if !file.contains_key(text) {
            wrong.push(format!("{code} lacks {text:?} ({at})"));
        }
    }
    for (text, entry) in &file {
        if !wanted.contains_key(text) {
            wrong.push(format!("{code}: nothing uses {text:?}"));
        }
        let forms = match entry {
            toml::Value::String(form) => vec![("other", form.as_str())],
            toml::Value::Table(forms) => {
                forms.iter().map(|(n, form)| (n.as_str(), form.as_str().unwrap())).collect()
            }
            _ => vec![("none", "")],
        };
        for (number, form) in forms {
            let ((told, marks), (own, own_marks)) = (shape(text), shape(form));
            // The form of one may say it without the number.
            let same = own == told || number == "one" && own.is_subset(&told);
            if form.trim().is_empty() || !same || marks != own_marks {
                wrong.push(format!("{code}: {text:?} and {form:?} do not go together"));
            }
        }
    }
}

#[test]
fn every_text_is_there_in_every_language() {
    let mut wrong = Vec::new();
    let wanted = wanted();
    assert!(wanted.len() > 300, "{} texts were found", wanted.len());
    for tongue in Tongue::ALL.into_iter().filter(|tongue| *tongue != Tongue::English) {
        check(tongue, &wanted, &mut wrong);
    }
    for path in files(&root().join("templates"), ".html") {
        let (_, raw) = of_template(&fs::read_to_string(&path).unwrap());
        wrong.extend(
            raw.iter().map(|text| format!("{}: {text:?} is English for all", path.display())),
        );
    }
    for path in files(&root().join("assets/ops"), ".js") {
        let all = literals(&fs::read_to_string(&path).unwrap()).into_iter();
        let raw = all.filter(|(_, text)| is_sentence(text) && text.starts_with(char::is_uppercase));
        wrong.extend(
            raw.map(|(_, text)| format!("{}: {text:?} is English for all", path.display())),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_written_past_the_catalogue_is_found() {
    let page = "<p class=\"x\" title=\"Wide {{ a }}\">One {{ frame.t(\"two {b}\").with(\"b\", \"three four\") }}</p>{{ frame.n(\"{n} box\", \"{n} boxes\", 3) }}<b>–</b>";
    let (texts, raw) = of_template(page);
    assert_eq!(texts, ["two {b}", "{n} boxes"]);
    assert_eq!(raw, ["Wide", "One"]);
    assert!(
        is_sentence("choose a person")
            && !is_sentence("review.claim")
            && !is_sentence("SELECT a FROM b")
    );
}

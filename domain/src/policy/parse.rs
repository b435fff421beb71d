//! TOML → checked policy, with every mistake at once.

use std::collections::BTreeMap;

use super::{AudioOnly, FailMode, Policy, Rule, Undecodable, condition::Condition, evidence};
use crate::{
    Action, Category, Severity,
    reader::{At, Source, Table, parsed, pick, strings},
};

/// Reads a policy from its table; `None` after a mistake that leaves nothing to build.
pub(crate) fn policy(source: &mut Source<'_>, mut table: Table<'_, '_>) -> Option<Policy> {
    let name = slug(source, &mut table, "name", "\"photos\"");
    let version = table.integer(source, "version", 1..=u64::from(u32::MAX));
    if !table.has("version") {
        table.missing(source, "version", "1");
    }
    let description = table.string(source, "description").map(|d| d.value).unwrap_or_default();
    let max_gap_ms = table.integer(source, "max_gap_ms", 1..=600_000).map_or(1_000, |v| v.value);
    let max_gap_ms_hot = gap_when_hot(source, &mut table, max_gap_ms);
    let min_confidence = table.number(source, "min_confidence", 0.0..=1.0).map_or(0.5, |v| v.value);
    let required = table.strings(source, "required");
    let mut seen = Vec::new();
    for name in &required {
        if seen.contains(&name.value) {
            source.report(
                &name.key,
                Some(name.span.clone()),
                format!("`{}` is listed twice", name.value),
            );
        }
        seen.push(name.value.clone());
    }
    let undecodable = [("hold", Undecodable::Hold), ("fail", Undecodable::Fail)];
    let undecodable =
        table.choice(source, "undecodable", &undecodable).map_or(Undecodable::Hold, |v| v.value);
    let audio_only = [("hold", AudioOnly::Hold), ("judge", AudioOnly::Judge)];
    let audio_only =
        table.choice(source, "audio_only", &audio_only).map_or(AudioOnly::Hold, |v| v.value);
    let (fail_default, fail) = match table.table(source, "fail") {
        Some(fail) => fail_modes(source, &fail),
        None => (FailMode::Hold, BTreeMap::new()),
    };
    let serves =
        table.table(source, "serves").map(|serves| served(source, &serves)).unwrap_or_default();
    let evidence_of_minors = evidence::table(source, &mut table);
    let rules = rules(source, &mut table);
    table.finish(source);
    Some(Policy {
        name: name?,
        version: u32::try_from(version?.value).ok()?,
        description,
        max_gap_ms,
        max_gap_ms_hot,
        min_confidence,
        required: seen,
        undecodable,
        audio_only,
        fail_default,
        fail,
        serves,
        evidence_of_minors,
        rules,
        scanner: None,
    })
}

/// What is permitted when hot is more than what is promised, or it says nothing.
fn gap_when_hot(source: &mut Source<'_>, table: &mut Table<'_, '_>, usual: u64) -> Option<u64> {
    let hot = table.integer(source, "max_gap_ms_hot", 1..=600_000)?;
    if hot.value < usual {
        let message = format!("a hot machine looks at less, not at more: write {usual} or above");
        source.report(&hot.key, Some(hot.span), message);
        return None;
    }
    Some(hot.value)
}

/// A name of small letters, digits, `-` and `_`.
pub(crate) fn slug(
    source: &mut Source<'_>,
    table: &mut Table<'_, '_>,
    name: &'static str,
    example: &str,
) -> Option<String> {
    let Some(word) = table.string(source, name) else {
        if !table.has(name) {
            table.missing(source, name, example);
        }
        return None;
    };
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if word.value.is_empty() || word.value.len() > 64 || !word.value.chars().all(fits) {
        let message = format!("write 1 to 64 of a–z, 0–9, `-` and `_`, for example {example}");
        source.report(&word.key, Some(word.span), message);
        return None;
    }
    Some(word.value)
}

const MODES: [(&str, FailMode); 3] =
    [("open", FailMode::Open), ("hold", FailMode::Hold), ("closed", FailMode::Closed)];

fn fail_modes(
    source: &mut Source<'_>,
    table: &Table<'_, '_>,
) -> (FailMode, BTreeMap<Category, FailMode>) {
    let mut default = FailMode::Hold;
    let mut modes = BTreeMap::new();
    for (name, value) in table.entries() {
        let key = table.key(&name);
        let Some(word) = value.get_ref().as_str() else {
            source.report(&key, Some(value.span()), "write \"open\", \"hold\" or \"closed\"");
            continue;
        };
        let word = At { value: word.to_owned(), key: key.clone(), span: value.span() };
        let mode = pick(source, &word, &MODES);
        let category = if name == "default" {
            None
        } else {
            parsed::<Category, _>(source, &At { value: name.clone(), ..word })
        };
        match (mode, category) {
            (Some(mode), Some(category)) => drop(modes.insert(category, mode)),
            (Some(mode), None) if name == "default" => default = mode,
            _ => {}
        }
    }
    (default, modes)
}

fn served(source: &mut Source<'_>, table: &Table<'_, '_>) -> BTreeMap<String, Vec<Category>> {
    let mut serves = BTreeMap::new();
    for (detector, value) in table.entries() {
        let slugs = strings(source, &table.key(&detector), value);
        let categories = slugs.iter().filter_map(|slug| parsed(source, slug)).collect();
        serves.insert(detector, categories);
    }
    serves
}

fn rules(source: &mut Source<'_>, table: &mut Table<'_, '_>) -> Vec<Rule> {
    let tables = table.tables(source, "rule");
    if tables.is_empty() && !table.has("rule") {
        table.missing(
            source,
            "rule",
            "… (a table `[[rule]]` with id, when, category, severity and reason)",
        );
    }
    let mut rules: Vec<Rule> = Vec::new();
    for table in tables {
        let (key, span) = (table.key("id"), table.span());
        if let Some(rule) = rule(source, table) {
            if rules.iter().any(|r| r.id == rule.id) {
                source.report(
                    &key,
                    span,
                    format!("`{}` is the id of an earlier rule; choose another", rule.id),
                );
            }
            rules.push(rule);
        }
    }
    rules
}

const SEVERITIES: [(&str, Severity); 5] = [
    ("safe", Severity::Safe),
    ("low", Severity::Low),
    ("medium", Severity::Medium),
    ("high", Severity::High),
    ("critical", Severity::Critical),
];

const ACTIONS: [(&str, Action); 5] = [
    ("allow", Action::Allow),
    ("flag", Action::Flag),
    ("hide", Action::Hide),
    ("reject", Action::Reject),
    ("ban", Action::Ban),
];

fn rule(source: &mut Source<'_>, mut table: Table<'_, '_>) -> Option<Rule> {
    let id = slug(source, &mut table, "id", "\"nudity\"");
    let when = table.string(source, "when");
    let severity = table.choice(source, "severity", &SEVERITIES);
    let action = table.choice(source, "action", &ACTIONS);
    let category = table.string(source, "category");
    let category = category.and_then(|c| {
        parsed::<Category, _>(source, &c).map(|value| At { value, key: c.key, span: c.span })
    });
    let reason = slug(source, &mut table, "reason", "\"nsfw\"");
    let settles = table.boolean(source, "settles");
    let surfaces = table.strings(source, "surfaces").into_iter().map(|s| s.value).collect();
    for (name, example) in [
        ("when", "'scores.nsfw_score > 0.8'"),
        ("severity", "\"medium\""),
        ("category", "\"sexual\""),
    ] {
        if !table.has(name) {
            table.missing(source, name, example);
        }
    }
    let key = table.key("");
    let condition = when.and_then(|when| match Condition::compile(&when.value) {
        Ok(condition) => Some((condition, when)),
        Err(mistakes) => {
            let rule = id.as_deref().unwrap_or("without id");
            for mistake in mistakes {
                let message =
                    format!("{mistake} (rule `{rule}`, condition `{}`)", shown(&when.value));
                source.report(&when.key, Some(when.span.clone()), message);
            }
            None
        }
    });
    table.finish(source);
    let (condition, when) = condition?;
    let (severity, category) = (severity?.value, category?.value);
    let effective = action.as_ref().map_or(severity.default_action(), |a| a.value);
    let span = action.map_or(when.span.clone(), |a| a.span);
    let action_key = format!("{key}action");
    if let Some(message) = forbidden(&condition, category, effective) {
        source.report(&action_key, Some(span), message);
    }
    if let Some(settles) = settles.as_ref().filter(|s| s.value) {
        if effective < Action::Reject {
            let message =
                "only a rule whose action is reject or ban may end a scan; leave `settles` out";
            source.report(&settles.key, Some(settles.span.clone()), message);
        }
        if let Some(why) = condition.may_lapse() {
            let message = format!(
                "the condition {why}; a settling rule joins with && and || only found(…), highest scores above a \
                 number, the estimated age below one, and the context"
            );
            source.report(&settles.key, Some(settles.span.clone()), message);
        }
    }
    Some(Rule {
        id: id?,
        condition,
        severity,
        action: effective,
        category,
        reason: reason?,
        settles: settles.is_some_and(|s| s.value),
        surfaces,
    })
}

/// A condition on one line, cut where it is long.
fn shown(condition: &str) -> String {
    const MOST: usize = 120;
    let line = condition.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// Why the rule may not do what it says, as far as the file shows it.
fn forbidden(condition: &Condition, category: Category, action: Action) -> Option<&'static str> {
    let rejects = action >= Action::Reject;
    if category == Category::SexualMinors && !condition.needs_bank() {
        if rejects {
            return Some(
                "sexual/minors rejects or bans only on a verified match: start the condition with \
                 `found(\"hash\", \"bank:sexual/minors\") &&`, or write `action = \"hide\"`",
            );
        }
        if action < Action::Hide {
            return Some(
                "suspected sexual/minors is always held for a person: write `action = \"hide\"`",
            );
        }
    }
    if action == Action::Ban && (category == Category::Underage || condition.looks_at_age()) {
        return Some(
            "an estimated age never bans: write `action = \"reject\"` or `action = \"hide\"`",
        );
    }
    None
}

//! Reads TOML tables key by key and notes every mistake with its path and line, instead of stopping at the first.

use std::{collections::BTreeSet, fmt::Display, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::problem::{Problem, Problems, suggestion};

/// A TOML file and the mistakes found in it so far.
pub struct Source<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

impl<'t> Source<'t> {
    /// Parses the file; syntax errors are the first problems.
    pub fn parse(text: &'t str) -> (Self, DeTable<'t>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut source = Self { text, problems: Vec::new() };
        for error in errors {
            source.report("", error.span(), format!("not valid TOML: {}", error.message()));
        }
        (source, root.into_inner())
    }

    /// Notes a mistake.
    pub fn report(&mut self, key: &str, span: Option<Range<usize>>, message: impl Into<String>) {
        let line = span.and_then(|s| self.text.get(..s.start)).map(|t| t.matches('\n').count() + 1);
        self.problems.push(Problem { key: key.to_owned(), line, message: message.into() });
    }

    /// Notes a mistake found elsewhere.
    pub fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The mistakes found so far, in the order of lines.
    pub fn problems(self) -> Vec<Problem> {
        let mut problems = self.problems;
        problems.sort_by_key(|p| p.line.unwrap_or(usize::MAX));
        problems
    }

    /// The result, unless there was a mistake; mistakes in the order of lines.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Problems> {
        let problems = self.problems();
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => Err(Problems(problems)),
        }
    }
}

/// A checked value and where it stands.
#[derive(Clone, Debug)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Full path of its key.
    pub key: String,
    /// Its bytes in the text.
    pub span: Range<usize>,
}

/// A table being read; remembers which keys were asked for.
pub struct Table<'d, 't> {
    path: String,
    span: Option<Range<usize>>,
    table: &'d DeTable<'t>,
    asked: BTreeSet<&'static str>,
}

impl<'d, 't> Table<'d, 't> {
    /// The table at `path`; empty for the root.
    pub fn new(path: &str, span: Option<Range<usize>>, table: &'d DeTable<'t>) -> Self {
        Self { path: path.to_owned(), span, table, asked: BTreeSet::new() }
    }

    /// The full path of a key of this table.
    pub fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Where the table starts.
    pub fn span(&self) -> Option<Range<usize>> {
        self.span.clone()
    }

    /// Whether the key is there.
    pub fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// Keys that are names of the operator's choosing, with their values.
    pub fn entries(&self) -> Vec<(String, &'d Spanned<DeValue<'t>>)> {
        self.table.iter().map(|(k, v)| (k.get_ref().to_string(), v)).collect()
    }

    /// Notes every key that was never asked for.
    pub fn finish(self, source: &mut Source<'_>) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if !self.asked.contains(name) {
                let hint = suggestion(name, self.asked.iter().copied());
                source.report(&self.key(name), Some(key.span()), format!("unknown key{hint}"));
            }
        }
    }

    /// Notes that a key is missing; `example` shows what to write.
    pub fn missing(&self, source: &mut Source<'_>, name: &str, example: &str) {
        source.report(
            &self.key(name),
            self.span(),
            format!("missing; write for example `{name} = {example}`"),
        );
    }

    /// A string.
    pub fn string(&mut self, source: &mut Source<'_>, name: &'static str) -> Option<At<String>> {
        self.read(source, name, "a string in quotes", |v| v.as_str().map(str::to_owned))
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, source: &mut Source<'_>, name: &'static str) -> Option<At<bool>> {
        self.read(source, name, "true or false", DeValue::as_bool)
    }

    /// A whole number within `range`.
    pub fn integer(
        &mut self,
        source: &mut Source<'_>,
        name: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<At<u64>> {
        let want = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(source, name, &want, |v| {
            let int = v.as_integer()?;
            u64::from_str_radix(int.as_str(), int.radix()).ok().filter(|n| range.contains(n))
        })
    }

    /// A number within `range`.
    pub fn number(
        &mut self,
        source: &mut Source<'_>,
        name: &'static str,
        range: std::ops::RangeInclusive<f64>,
    ) -> Option<At<f64>> {
        let want = format!("a number from {} to {}", range.start(), range.end());
        self.read(source, name, &want, |v| {
            let digits = match v {
                DeValue::Integer(i) if i.radix() == 10 => i.as_str(),
                DeValue::Float(f) => f.as_str(),
                _ => return None,
            };
            digits.parse().ok().filter(|n| range.contains(n))
        })
    }

    /// A list of strings; absent is empty.
    pub fn strings(&mut self, source: &mut Source<'_>, name: &'static str) -> Vec<At<String>> {
        let Some(value) = self.value(name) else { return Vec::new() };
        strings(source, &self.key(name), value)
    }

    /// One of a few words.
    pub fn choice<T: Copy>(
        &mut self,
        source: &mut Source<'_>,
        name: &'static str,
        words: &[(&str, T)],
    ) -> Option<At<T>> {
        let word = self.string(source, name)?;
        pick(source, &word, words).map(|value| At { value, key: word.key, span: word.span })
    }

    /// A table under this one.
    pub fn table(&mut self, source: &mut Source<'_>, name: &'static str) -> Option<Table<'d, 't>> {
        let value = self.value(name)?;
        subtable(source, &self.key(name), value)
    }

    /// A list of tables (`[[name]]`); absent is empty.
    pub fn tables(&mut self, source: &mut Source<'_>, name: &'static str) -> Vec<Table<'d, 't>> {
        let Some(value) = self.value(name) else { return Vec::new() };
        let key = self.key(name);
        let Some(array) = value.get_ref().as_array() else {
            source.report(&key, Some(value.span()), format!("write a list of tables: `[[{key}]]`"));
            return Vec::new();
        };
        let items = array.iter().enumerate();
        items.filter_map(|(i, v)| subtable(source, &format!("{key}[{}]", i + 1), v)).collect()
    }

    fn value(&mut self, name: &'static str) -> Option<&'d Spanned<DeValue<'t>>> {
        self.asked.insert(name);
        self.table.get(name)
    }

    fn read<T>(
        &mut self,
        source: &mut Source<'_>,
        name: &'static str,
        want: &str,
        take: impl FnOnce(&DeValue<'t>) -> Option<T>,
    ) -> Option<At<T>> {
        let value = self.value(name)?;
        let key = self.key(name);
        match take(value.get_ref()) {
            Some(taken) => Some(At { value: taken, key, span: value.span() }),
            None => {
                source.report(&key, Some(value.span()), format!("write {want}"));
                None
            }
        }
    }
}

/// A value that must be a table.
pub fn subtable<'d, 't>(
    source: &mut Source<'_>,
    key: &str,
    value: &'d Spanned<DeValue<'t>>,
) -> Option<Table<'d, 't>> {
    match value.get_ref().as_table() {
        Some(table) => Some(Table::new(key, Some(value.span()), table)),
        None => {
            source.report(key, Some(value.span()), format!("write a table: `[{key}]`"));
            None
        }
    }
}

/// A value that must be a list of strings.
pub fn strings(
    source: &mut Source<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
) -> Vec<At<String>> {
    let Some(array) = value.get_ref().as_array() else {
        source.report(key, Some(value.span()), "write a list of strings: `[\"…\"]`");
        return Vec::new();
    };
    let mut found = Vec::new();
    for item in array.iter() {
        match item.get_ref().as_str() {
            Some(s) => {
                found.push(At { value: s.to_owned(), key: key.to_owned(), span: item.span() })
            }
            None => source.report(key, Some(item.span()), "write strings only, in quotes"),
        }
    }
    found
}

/// One of a few words; notes a mistake for any other.
pub fn pick<T: Copy>(source: &mut Source<'_>, word: &At<String>, words: &[(&str, T)]) -> Option<T> {
    let found = words.iter().find(|(w, _)| *w == word.value).map(|(_, value)| *value);
    if found.is_none() {
        let hint = suggestion(&word.value, words.iter().map(|(w, _)| *w));
        source.report(
            &word.key,
            Some(word.span.clone()),
            format!("`{}` is not known here{hint}", word.value),
        );
    }
    found
}

/// Parses the string by its own rules; notes its error.
pub fn parsed<T: std::str::FromStr<Err = E>, E: Display>(
    source: &mut Source<'_>,
    word: &At<String>,
) -> Option<T> {
    match word.value.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            source.report(&word.key, Some(word.span.clone()), error.to_string());
            None
        }
    }
}

//! What the checks found, for people on a phone's terminal and for programs.

use std::fmt::Write as _;

use serde::Serialize;

/// Characters of a line: a phone held upright shows as many over SSH.
const WIDTH: usize = 44;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is there.
    Ok,
    /// Weir works without it, and somebody should know.
    Note,
    /// Weir does not work without it.
    Missing,
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// How it is.
    pub state: State,
    /// In words.
    pub what: String,
    /// What to do, often a command.
    pub todo: Option<String>,
}

impl Line {
    /// Something that is there.
    pub fn ok(what: impl Into<String>) -> Self {
        Self { state: State::Ok, what: what.into(), todo: None }
    }

    /// Something that one should know.
    pub fn note(what: impl Into<String>, todo: Option<String>) -> Self {
        Self { state: State::Note, what: what.into(), todo }
    }

    /// Something that has to be there.
    pub fn missing(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { state: State::Missing, what: what.into(), todo: Some(todo.into()) }
    }
}

/// What one check found.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// Of what.
    pub title: &'static str,
    /// The things.
    pub lines: Vec<Line>,
}

/// What all checks found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The program's version.
    pub weir: &'static str,
    /// Whether all is here that Weir needs.
    pub ok: bool,
    /// Check by check.
    pub sections: Vec<Section>,
}

impl Report {
    /// A report of these sections.
    pub fn of(sections: Vec<Section>) -> Self {
        let ok = sections.iter().flat_map(|s| &s.lines).all(|line| line.state != State::Missing);
        Self { weir: env!("CARGO_PKG_VERSION"), ok, sections }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("Weir {}\n", self.weir);
        for section in &self.sections {
            let _ = writeln!(text, "\n{}", section.title);
            for line in &section.lines {
                let mark = match line.state {
                    State::Ok => "✓ ",
                    State::Note => "– ",
                    State::Missing => "✗ ",
                };
                wrap(&mut text, mark, "  ", &line.what);
                if let Some(todo) = &line.todo {
                    wrap(&mut text, "  → ", "    ", todo);
                }
            }
        }
        let all = || self.sections.iter().flat_map(|s| &s.lines);
        let count = |state| all().filter(|line| line.state == state).count();
        let last = match (count(State::Missing), count(State::Note)) {
            (0, 0) => "All is here.".to_owned(),
            (0, _) => "All that is required is here.".to_owned(),
            (1, _) => "1 thing that is required is missing (✗).".to_owned(),
            (n, _) => format!("{n} things that are required are missing (✗)."),
        };
        text.push('\n');
        wrap(&mut text, "", "", &last);
        text
    }
}

/// Writes words in lines of at most [`WIDTH`]; a word that is longer stands alone.
fn wrap(text: &mut String, first: &str, rest: &str, words: &str) {
    let (mut line, mut empty) = (first.to_owned(), true);
    for word in words.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{line}");
            (line, empty) = (rest.to_owned(), true);
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_as_good_as_its_worst_line_and_fits_a_phone() {
        let fine = Section { title: "One", lines: vec![Line::ok("It is here")] };
        let note = "Something that works without it, which takes more than one line of a phone";
        let noted = Section { title: "Two", lines: vec![Line::note(note, None)] };
        let todo = "apt install gstreamer1.0-plugins-base gstreamer1.0-plugins-good";
        let bad = Section { title: "Three", lines: vec![Line::missing("It is not here", todo)] };
        let good = Report::of(vec![fine.clone(), noted.clone()]);
        assert!(good.ok);
        assert!(good.text().ends_with("\nAll that is required is here.\n"));
        let report = Report::of(vec![fine, noted, bad]);
        assert!(!report.ok);
        let text = report.text();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let last = "✗ It is not here\n  → apt install gstreamer1.0-plugins-base\n    \
                    gstreamer1.0-plugins-good\n\n1 thing that is required is missing (✗).\n";
        assert!(text.ends_with(last), "{text}");
    }
}

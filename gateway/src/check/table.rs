//! Verdicts for people: one block a file, what was decided first, then why and what was seen.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use domain::Status;

use super::verdict::Verdict;

/// Columns of the widest file name that is shown whole.
const NAME_COLUMNS: usize = 34;

/// Prints verdicts as a table with aligned columns.
pub struct Table {
    colour: bool,
}

impl Table {
    /// Colours only where a person looks, and `NO_COLOR` is not set.
    pub fn new() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colour }
    }

    /// The head line.
    pub fn head(&self) -> String {
        format!(
            "{:<NAME_COLUMNS$}  {:<8}  {:<8}  WHY AND WHAT WAS SEEN\n",
            "FILE", "STATUS", "SEVERITY"
        )
    }

    /// The lines for one verdict.
    pub fn row(&self, verdict: &Verdict) -> String {
        let name = clip(verdict.file.as_deref().unwrap_or("(caption)"), NAME_COLUMNS);
        let status = label(verdict.status);
        let (on, off) = self.colours(verdict.status);
        let severity = format!("{:?}", verdict.severity).to_lowercase();
        let mut notes = notes(verdict).into_iter();
        let mut out = String::new();
        let first = notes.next().unwrap_or_default();
        let _ =
            writeln!(out, "{name:<NAME_COLUMNS$}  {on}{status:<8}{off}  {severity:<8}  {first}");
        for note in notes {
            let _ = writeln!(out, "{:<NAME_COLUMNS$}  {:<8}  {:<8}  {note}", "", "", "");
        }
        out
    }

    fn colours(&self, status: Status) -> (&'static str, &'static str) {
        if !self.colour {
            return ("", "");
        }
        let on = match status {
            Status::Approved => "\x1b[32m",
            Status::Rejected => "\x1b[31m",
            Status::Held | Status::Failed => "\x1b[33m",
        };
        (on, "\x1b[0m")
    }
}

/// A status in a word.
pub fn label(status: Status) -> &'static str {
    match status {
        Status::Approved => "approved",
        Status::Rejected => "rejected",
        Status::Held => "held",
        Status::Failed => "failed",
    }
}

/// Reasons, then matches with their times, then what is not covered.
fn notes(verdict: &Verdict) -> Vec<String> {
    let mut notes = Vec::new();
    // That no detector saw what could not be read is no news beside why it could not be.
    let bare = verdict.error.is_none();
    let told = |r: &&String| bare || !r.starts_with("detector_missing:");
    let reasons: Vec<&str> = verdict.reasons.iter().filter(told).map(String::as_str).collect();
    if !reasons.is_empty() {
        notes.push(reasons.join(", "));
    }
    notes.extend(verdict.matches().take(4));
    if let Some(error) = &verdict.error {
        notes.push(clean(error));
    }
    if bare && !verdict.coverage.detectors_missing.is_empty() {
        notes.push(format!("not looked at by: {}", verdict.coverage.detectors_missing.join(", ")));
    }
    if notes.is_empty() {
        notes.push(verdict.seen());
    }
    notes
}

impl Verdict {
    /// What was matched and when, in words; control characters and terminal escapes never get through.
    fn matches(&self) -> impl Iterator<Item = String> + '_ {
        self.findings.iter().filter(|f| f.is_telling()).map(|f| {
            let mut line = f.describe();
            if let (Some(start), Some(end)) = f.times() {
                let _ = write!(line, " at {}–{}", clock(start), clock(end));
            }
            line
        })
    }

    fn seen(&self) -> String {
        let sharp = self.scores.blur_variance.map(|v| format!("sharpness {v:.0}"));
        let looked = self.coverage.frames_seen + self.coverage.frames_skipped;
        let frames = (looked > 1).then(|| {
            let gap = self.coverage.max_gap_ms as f64 / 1000.0;
            format!("{looked} frames looked at, no two further apart than {gap:.1} s")
        });
        let seen: Vec<_> = [sharp, frames].into_iter().flatten().collect();
        if seen.is_empty() { "nothing found".to_owned() } else { seen.join(", ") }
    }
}

fn clock(ms: u64) -> String {
    format!("{}:{:02}.{}", ms / 60_000, ms / 1000 % 60, ms % 1000 / 100)
}

/// Makes text from outside safe for a terminal: no control characters, nothing that turns the writing direction or
/// piles marks on a letter, no overlong lines.
pub fn clean(text: &str) -> String {
    let unsafe_here = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
            || matches!(c, '\u{0300}'..='\u{036f}' | '\u{20d0}'..='\u{20ff}')
    };
    let mut out: String =
        text.chars().map(|c| if unsafe_here(c) { '\u{fffd}' } else { c }).take(200).collect();
    if out.len() < text.len() && out.chars().count() == 200 {
        out.push('…');
    }
    out
}

/// Cuts a name at its front, since its end tells more.
pub fn clip(name: &str, columns: usize) -> String {
    let name = clean(name);
    let length = name.chars().count();
    if length <= columns {
        return name;
    }
    let tail: String = name.chars().skip(length - columns + 1).collect();
    format!("…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_in_names_do_not_get_through() {
        assert_eq!(clean("a\x1b[2Jb\u{9b}c\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}");
        assert_eq!(clean("\u{202e}gnp.exe"), "\u{fffd}gnp.exe", "nothing turns the row around");
    }

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(clip("/very/long/name.jpg", 9), "…name.jpg");
        assert_eq!(clip("é.jpg", 9), "é.jpg");
    }

    #[test]
    fn times_read_like_a_clock() {
        assert_eq!(clock(6_040), "0:06.0");
        assert_eq!(clock(3_723_900), "62:03.9");
    }
}

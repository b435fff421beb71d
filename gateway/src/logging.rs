//! Log lines on standard error; `WEIR_LOG` filters them, `-v` raises the level. The last ones are kept in memory for the
//! support bundle, with everything cut that could name a person, a place or a secret.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io::IsTerminal as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

/// Lines that are kept, and bytes of each.
const LINES: usize = 500;
const LINE_BYTES: usize = 400;

/// Fields whose values are cut whole; that of any other one goes through [`clean`].
const CUT_FIELDS: [&str; 10] =
    ["caption", "author", "text", "url", "peer", "token", "secret", "endpoint", "tenant", "name"];

/// Stands where something was cut.
const CUT: &str = "[cut]";

static RECENT: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// Starts logging: warnings by default, `-v` info, `-vv` debug, `-vvv` everything.
pub fn start(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let shown = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(filter);
    // Events alone: a span for each call would cost every call.
    let kept = Recent.with_filter(filter_fn(|m| m.is_event() && *m.level() <= Level::INFO));
    tracing_subscriber::registry().with(shown).with(kept).init();
}

/// The last lines, the oldest first.
pub fn recent() -> Vec<String> {
    lines().iter().cloned().collect()
}

fn lines() -> MutexGuard<'static, VecDeque<String>> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the last lines.
struct Recent;

impl<S: Subscriber> Layer<S> for Recent {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let now = time::OffsetDateTime::now_utc();
        let now = now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
        let meta = event.metadata();
        let mut line = Line(format!("{now} {} {}:", meta.level(), meta.target()));
        event.record(&mut line);
        let end = line.0.floor_char_boundary(LINE_BYTES);
        line.0.truncate(end);
        let mut lines = lines();
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line.0);
    }
}

struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = if CUT_FIELDS.contains(&field.name()) {
            CUT.to_owned()
        } else {
            clean(&format!("{value:?}"))
        };
        let _ = match field.name() {
            "message" => write!(self.0, " {value}"),
            name => write!(self.0, " {name}={value}"),
        };
    }
}

/// Cuts what log lines of libraries may carry: web addresses, network addresses, quoted text, long secrets.
fn clean(text: &str) -> String {
    let mut quoted = false;
    let mut clean = String::new();
    for word in text.split_inclusive([' ', ',', '(', ')', '\n']) {
        let end = word.trim_end_matches([' ', ',', '(', ')', '\n']).len();
        let (core, tail) = word.split_at(end);
        let quotes = core.matches(['"', '“', '”']).count();
        let inside = quoted || quotes > 0;
        quoted ^= quotes % 2 == 1;
        if inside || core.contains("://") || is_address(core) || is_secret(core) {
            // Once for each run of words.
            if clean.trim_end().ends_with(CUT) {
                continue;
            }
            clean.push_str(CUT);
        } else {
            clean.push_str(core);
        }
        clean.push_str(if tail == "\n" { " " } else { tail });
    }
    clean
}

fn is_address(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != ':');
    let word = word.trim_end_matches(':');
    word.parse::<IpAddr>().is_ok()
        || word.parse::<SocketAddr>().is_ok()
        || format!("[{word}").parse::<SocketAddr>().is_ok()
}

fn is_secret(word: &str) -> bool {
    word.contains("whsec_") || word.contains("weir_") && word.len() > 30 || word.starts_with("eyJ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_name_somebody_is_cut() {
        for (line, want) in [
            ("cannot lease jobs: disk I/O error", "cannot lease jobs: disk I/O error"),
            ("GET https://cdn.example/p.jpg?sig=abc failed", "GET [cut] failed"),
            ("refused by 192.0.2.7:443, at once", "refused by [cut], at once"),
            ("peer [2001:db8::1]:443 is gone", "peer [cut] is gone"),
            ("no field \"Anna Müller\" here", "no field [cut] [cut] here"),
            ("key whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw bad", "key [cut] bad"),
            ("2026-01-31 12:30:59 is a time", "2026-01-31 12:30:59 is a time"),
        ] {
            assert_eq!(
                clean(line).replace("[cut] [cut]", "[cut]"),
                want.replace("[cut] [cut]", "[cut]")
            );
        }
    }
}

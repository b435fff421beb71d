//! Times, spans and codes as people read them. Used by the templates.

use domain::Severity;
use time::OffsetDateTime;

use crate::projection;
use crate::tongue::{Text, Tongue};

/// Categories by slug, as people read them.
pub(super) const CATEGORIES: [(&str, &str); 14] = [
    ("sexual/minors", "Sexual content with minors"),
    ("sexual", "Sexual content"),
    ("hate", "Hate"),
    ("harassment", "Harassment"),
    ("violence", "Violence"),
    ("violence/graphic", "Graphic violence"),
    ("self-harm", "Suicide and self-harm"),
    ("illicit", "Drugs, weapons, crime"),
    ("spam", "Spam and scams"),
    ("profanity", "Swearing"),
    ("underage", "Under age"),
    ("quality", "Poor quality"),
    ("listed", "On a list"),
    ("malware", "Malware"),
];

/// A category's name; a slug that is none as it is.
pub(super) fn category(tongue: Tongue, slug: &str) -> String {
    let name = CATEGORIES.iter().find(|(own, _)| *own == slug).map_or(slug, |(_, name)| name);
    tongue.told(name)
}

/// `2026-11-22 12:34`, UTC.
pub(super) fn moment(at: &f64) -> String {
    let Ok(at) = OffsetDateTime::from_unix_timestamp(*at as i64) else { return "–".into() };
    let (day, month) = (at.day(), u8::from(at.month()));
    format!("{:04}-{month:02}-{day:02} {:02}:{:02}", at.year(), at.hour(), at.minute())
}

/// How long ago: `3 min`, `5 h`, `2 d`.
pub(super) fn ago(at: &f64) -> Text {
    span(crate::account::now_s() as f64 - at)
}

/// How long until then; late where it is over.
pub(super) fn until(tongue: Tongue, at: &f64) -> Text {
    let left = at - crate::account::now_s() as f64;
    let text = tongue.t(if left < 0.0 { "{span} late" } else { "in {span}" });
    text.with("span", span(left.abs()).within(tongue))
}

/// Whether it is over.
pub(super) fn is_over(at: &f64) -> bool {
    *at < crate::account::now_s() as f64
}

/// As stored and told.
pub(super) fn grave(severity: &Severity) -> &'static str {
    projection::severity(*severity)
}

/// Units of spans: up to how many seconds, what it is in, and how many seconds that has.
pub(super) const UNITS: [(f64, &str, f64); 4] = [
    (60.0, "{n} s", 1.0),
    (3600.0, "{n} min", 60.0),
    (172_800.0, "{n} h", 3600.0),
    (f64::INFINITY, "{n} d", 86_400.0),
];

fn span(seconds: f64) -> Text {
    let seconds = seconds.max(0.0);
    let (_, unit, long) = UNITS.into_iter().find(|(most, ..)| seconds < *most).unwrap_or(UNITS[3]);
    Text::from(unit).with("n", (seconds / long).floor())
}

/// An id that people can tell from others: its last eight digits.
pub(super) fn short(id: &uuid::Uuid) -> String {
    let text = id.simple().to_string();
    text[24..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_say_them() {
        assert_eq!(moment(&1_790_000_000.7), "2026-09-21 14:13");
        assert_eq!(
            [59.9, 60.0, 7199.0, 86_400.0, 200_000.0].map(|s| span(s).to_string()),
            ["59 s", "1 min", "1 h", "24 h", "2 d"]
        );
        assert!(until(Tongue::English, &0.0).to_string().ends_with(" late"));
        assert!(until(Tongue::French, &0.0).to_string().starts_with("en retard de "));
    }
}

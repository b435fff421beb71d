//! Times and spans as people read them. Used by the templates.

use domain::Severity;
use time::OffsetDateTime;

use crate::projection;

/// `2026-11-22 12:34`, UTC.
pub(super) fn moment(at: &f64) -> String {
    let Ok(at) = OffsetDateTime::from_unix_timestamp(*at as i64) else { return "–".into() };
    let (day, month) = (at.day(), u8::from(at.month()));
    format!("{:04}-{month:02}-{day:02} {:02}:{:02}", at.year(), at.hour(), at.minute())
}

/// How long ago: `3 min`, `5 h`, `2 d`.
pub(super) fn ago(at: &f64) -> String {
    span(crate::account::now_s() as f64 - at)
}

/// How long until then; late where it is over.
pub(super) fn until(at: &f64) -> String {
    let left = at - crate::account::now_s() as f64;
    if left < 0.0 { format!("{} late", span(-left)) } else { format!("in {}", span(left)) }
}

/// Whether it is over.
pub(super) fn is_over(at: &f64) -> bool {
    *at < crate::account::now_s() as f64
}

/// As stored and told.
pub(super) fn grave(severity: &Severity) -> &'static str {
    projection::severity(*severity)
}

fn span(seconds: f64) -> String {
    match seconds.max(0.0) {
        s if s < 60.0 => format!("{s:.0} s"),
        s if s < 3600.0 => format!("{:.0} min", (s / 60.0).floor()),
        s if s < 172_800.0 => format!("{:.0} h", (s / 3600.0).floor()),
        s => format!("{:.0} d", (s / 86_400.0).floor()),
    }
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
            [59.9, 60.0, 7199.0, 86_400.0, 200_000.0].map(span),
            ["60 s", "1 min", "1 h", "24 h", "2 d"]
        );
        assert!(until(&0.0).ends_with(" late"));
    }
}

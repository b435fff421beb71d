//! Numbers in words that a tired person reads at once.

use std::time::Duration;

/// A span of time: `45 s`, `12 min`, `3 h 20 min`, `5 days`.
pub fn span(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0..=99 => format!("{s} s"),
        100..=5999 => format!("{} min", (s + 30) / 60),
        6000..=172_799 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} days", s / 86_400),
    }
}

/// Milliseconds: `0.4 ms`, `12 ms`, `1.8 s`, `2 min`.
pub fn ms(ms: f64) -> String {
    match ms {
        _ if ms < 9.95 => format!("{ms:.1} ms"),
        _ if ms < 999.5 => format!("{ms:.0} ms"),
        _ if ms < 99_500.0 => format!("{:.1} s", ms / 1e3),
        _ => span(Duration::from_secs_f64(ms / 1e3)),
    }
}

/// Bytes by powers of 1000, as disks are sold: `640 kB`, `2.1 GB`.
pub fn bytes(bytes: u64) -> String {
    let mut number = bytes as f64;
    let mut units = ["bytes", "kB", "MB", "GB", "TB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for next in units {
        if number < 999.5 {
            break;
        }
        number /= 1000.0;
        unit = next;
    }
    if number < 9.95 && unit != "bytes" {
        format!("{number:.1} {unit}")
    } else {
        format!("{number:.0} {unit}")
    }
}

/// A share in per cent; of nothing it is `–`.
pub fn share(part: u64, whole: u64) -> String {
    match (part, whole) {
        (_, 0) => "–".to_owned(),
        (0, _) => "0 %".to_owned(),
        _ => {
            let share = part as f64 * 100.0 / whole as f64;
            if share < 1.0 { "< 1 %".to_owned() } else { format!("{share:.0} %") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let s = Duration::from_secs;
        assert_eq!(
            [span(s(45)), span(s(720)), span(s(12_000)), span(s(450_000))],
            ["45 s", "12 min", "3 h 20 min", "5 days"]
        );
        assert_eq!(
            [ms(0.42), ms(12.3), ms(1840.0), ms(120_000.0)],
            ["0.4 ms", "12 ms", "1.8 s", "2 min"]
        );
        assert_eq!(
            [bytes(512), bytes(640_400), bytes(2_100_000_000), bytes(999_900)],
            ["512 bytes", "640 kB", "2.1 GB", "1.0 MB"]
        );
        assert_eq!(
            [share(0, 0), share(0, 9), share(1, 900), share(1, 3)],
            ["–", "0 %", "< 1 %", "33 %"]
        );
    }
}

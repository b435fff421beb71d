//! Whether the clock can be right: the journal, tokens and certificates all rest on it.

use std::path::Path;
use std::time::SystemTime;

use super::{Line, Machine};

/// What systemd-timesyncd and chrony leave behind once they have set the clock.
const SET: [&str; 2] = ["run/systemd/timesync/synchronized", "run/chrony/chronyd.pid"];

pub(super) fn check(machine: &Machine) -> Vec<Line> {
    let program = std::env::current_exe().and_then(std::fs::metadata);
    told(&machine.root, SystemTime::now(), program.and_then(|m| m.modified()).ok())
}

fn told(root: &Path, now: SystemTime, installed: Option<SystemTime>) -> Vec<Line> {
    let todo = "apt install systemd-timesyncd";
    // Boards without a battery begin in the past.
    if installed.is_some_and(|at| at > now) {
        return vec![Line::missing("The clock is earlier than this program's own file", todo)];
    }
    if SET.iter().any(|file| root.join(file).exists()) {
        return vec![Line::ok("set from the network")];
    }
    let what = "Nothing here says that the clock is set from the network";
    vec![Line::note(what, Some(todo.to_owned()))]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use std::time::Duration;

    use super::super::report::State;
    use super::*;

    #[test]
    fn a_clock_before_the_program_was_made_is_wrong_and_one_that_is_kept_is_right() {
        let root = tempfile::tempdir().unwrap();
        let (now, minute) = (SystemTime::now(), Duration::from_secs(60));
        let state = |installed| told(root.path(), now, installed)[0].state;
        assert_eq!(state(Some(now + minute)), State::Missing);
        assert_eq!(state(Some(now - minute)), State::Note);
        assert_eq!(state(None), State::Note);
        let file = root.path().join(SET[0]);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "").unwrap();
        let state = |installed| told(root.path(), now, installed)[0].state;
        assert_eq!(state(Some(now - minute)), State::Ok);
        assert_eq!(state(Some(now + minute)), State::Missing);
    }
}

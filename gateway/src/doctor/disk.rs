//! Room for the data folder.

use std::path::Path;

use super::{Line, Machine};
use crate::serve::sensors;

/// Room below which a box takes no uploads of usual size for long.
const LEAST_BYTES: u64 = 256 << 20;

/// Share of the disk below which somebody should look; the status page draws the same line.
const LITTLE: f64 = 0.10;

pub(super) fn check(machine: &Machine) -> Vec<Line> {
    // The folder is made at the first start; what counts is the disk on which it will lie.
    let Some(there) = machine.data.ancestors().find(|folder| folder.is_dir()) else {
        return told(&machine.data, None);
    };
    let room = sensors::room(there).map(|room| (room.free_bytes, room.total_bytes));
    told(&machine.data, room)
}

fn told(data: &Path, room: Option<(u64, u64)>) -> Vec<Line> {
    let data = data.display();
    let Some((free, total)) = room else {
        return vec![Line::missing(
            format!("no room can be told for {data}"),
            "give an existing disk by --data",
        )];
    };
    let what = format!("{} MB free for {data}", free >> 20);
    let todo = "make room before the disk is full";
    vec![if free < LEAST_BYTES {
        Line::missing(what, todo)
    } else if (free as f64) < total as f64 * LITTLE {
        Line::note(what, Some(todo.to_owned()))
    } else {
        Line::ok(what)
    }]
}

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::*;

    #[test]
    fn little_room_is_noted_and_next_to_none_is_missing() {
        let state = |room| told(Path::new("/data"), room).first().map(|line| line.state);
        assert_eq!(state(Some((50 << 30, 100 << 30))), Some(State::Ok));
        assert_eq!(state(Some((9 << 30, 100 << 30))), Some(State::Note));
        assert_eq!(state(Some((100 << 20, 1 << 30))), Some(State::Missing));
        assert_eq!(state(None), Some(State::Missing));
    }
}

//! Room for the data folder.

use std::path::Path;

use super::{Line, Machine};
use crate::serve::sensors::{self, Room};

/// Room below which a box takes no uploads of usual size for long.
const LEAST_BYTES: u64 = 256 << 20;

pub(super) fn check(machine: &Machine) -> Vec<Line> {
    // The folder is made at the first start; what counts is the disk on which it will lie.
    let Some(there) = machine.data.ancestors().find(|folder| folder.is_dir()) else {
        return told(&machine.data, None);
    };
    told(&machine.data, sensors::room(there))
}

fn told(data: &Path, room: Option<Room>) -> Vec<Line> {
    let data = data.display();
    let Some(room) = room else {
        return vec![Line::missing(
            format!("no room can be told for {data}"),
            "give an existing disk by --data",
        )];
    };
    let what = format!("{} MB free for {data}", room.free_bytes >> 20);
    let todo = "make room before the disk is full";
    vec![if room.free_bytes < LEAST_BYTES {
        Line::missing(what, todo)
    } else if room.is_little() {
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
        let state = |room: Option<(u64, u64)>| {
            let room = room.map(|(free_bytes, total_bytes)| Room { free_bytes, total_bytes });
            told(Path::new("/data"), room).first().map(|line| line.state)
        };
        assert_eq!(state(Some((50 << 30, 100 << 30))), Some(State::Ok));
        assert_eq!(state(Some((9 << 30, 100 << 30))), Some(State::Note));
        assert_eq!(state(Some((100 << 20, 1 << 30))), Some(State::Missing));
        assert_eq!(state(None), Some(State::Missing));
    }
}

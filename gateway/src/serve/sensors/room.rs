//! Room on a disk.

use std::path::Path;

use serde::Serialize;

/// Room on the disk of the data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// The room of the file system on which `path` lies.
pub fn room(path: &Path) -> Option<Room> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(Room {
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;

    #[test]
    fn the_room_of_a_folder_is_known() {
        let room = room(std::env::temp_dir().as_path()).unwrap();
        assert!(room.free_bytes > 0 && room.free_bytes <= room.total_bytes);
    }
}

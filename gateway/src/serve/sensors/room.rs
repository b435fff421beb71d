//! Room on a disk.

use std::path::Path;

use serde::Serialize;

/// Room on the disk of the data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Bytes in all that may be used: what a file system keeps for root is nobody's room.
    pub total_bytes: u64,
}

/// Below this much of a large disk somebody should look: twice the spool that a box has by default.
const LITTLE_BYTES: u64 = 16 << 30;

impl Room {
    /// Whether somebody should make room: less than a tenth of the disk is free, and of a large one less than 16 GiB.
    pub fn is_little(self) -> bool {
        self.free_bytes < LITTLE_BYTES.min(self.total_bytes.div_ceil(10))
    }
}

/// The room of the file system on which `path` lies.
pub fn room(path: &Path) -> Option<Room> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(of(stat.f_blocks, stat.f_bfree, stat.f_bavail, stat.f_frsize))
}

/// As `df` counts: ext4 keeps 5 % for root unless told otherwise, some images far more, and it is neither used nor free.
fn of(blocks: u64, free: u64, available: u64, size: u64) -> Room {
    let used = blocks.saturating_sub(free);
    Room {
        free_bytes: available.saturating_mul(size),
        total_bytes: used.saturating_add(available).saturating_mul(size),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;

    #[test]
    fn a_tenth_is_little_and_of_a_large_disk_16_gib() {
        let little = |free_bytes, total_bytes| Room { free_bytes, total_bytes }.is_little();
        assert_eq!((little(9, 100), little(10, 100)), (true, false));
        assert_eq!((little(15 << 30, 4 << 40), little(16 << 30, 4 << 40)), (true, false));
    }

    #[test]
    fn the_room_of_a_folder_is_known() {
        let room = room(std::env::temp_dir().as_path()).unwrap();
        assert!(room.free_bytes > 0 && room.free_bytes <= room.total_bytes);
    }

    #[test]
    fn what_is_kept_for_root_counts_neither_as_used_nor_as_free() {
        // 100 blocks: 20 used, 50 kept for root, 30 for everybody.
        let room = of(100, 80, 30, 4096);
        assert_eq!(room, Room { free_bytes: 30 * 4096, total_bytes: 50 * 4096 });
    }
}

//! MPEG-2 transport streams (ISO/IEC 13818-1): how many programs they have. The demuxer plays one.

use std::fs::File;

use super::{Promise, be16, stretch};
use crate::decode::Unseen;

const SYNC: u8 = 0x47;
/// How much is read at once, in packets.
const PACKETS: u64 = 4096;

/// How packets lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packets {
    /// Bytes before the sync byte: none, or the time stamp of M2TS.
    lead: usize,
    /// Bytes from packet to packet.
    stride: usize,
}

impl Packets {
    /// Tells by three sync bytes at their distance.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let layouts = [(0, 188), (4, 192), (0, 204)].map(|(lead, stride)| Self { lead, stride });
        layouts.into_iter().find(|p| (0..3).all(|n| head.get(p.lead + n * p.stride) == Some(&SYNC)))
    }
}

pub(super) fn read(file: &File, packets: Packets, promise: &mut Promise) {
    let step = packets.stride as u64 * PACKETS;
    let mut at = 0;
    loop {
        let bytes = stretch(file, at, step);
        if bytes.is_empty() {
            return;
        }
        let all = bytes.chunks(packets.stride).filter_map(|p| p.get(packets.lead..));
        if all.filter_map(programs).any(|count| count > 1) {
            promise.unseen.insert(Unseen::Track);
            return;
        }
        at += step;
    }
}

/// Number of programs in a packet that begins a program association section (2.4.4.3).
fn programs(packet: &[u8]) -> Option<usize> {
    let flags = be16(packet, 1)?;
    if *packet.first()? != SYNC || flags & 0x1fff != 0 || flags & 0x4000 == 0 {
        return None;
    }
    let field = if packet.get(3)? & 0x20 != 0 { 1 + usize::from(*packet.get(4)?) } else { 0 };
    let start = 4 + field;
    let section = packet.get(start + 1 + usize::from(*packet.get(start)?)..)?;
    let length = usize::from(be16(section, 1)? & 0x0fff);
    if *section.first()? != 0 {
        return None;
    }
    // Behind five bytes of its own head four for each program, then a checksum of four.
    let entries = section.get(8..(3 + length).saturating_sub(4).min(section.len()))?;
    // Number 0 is the network's own table.
    Some(entries.chunks_exact(4).filter(|entry| be16(entry, 0) != Some(0)).count())
}

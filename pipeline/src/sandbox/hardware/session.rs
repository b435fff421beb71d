//! One item's session in the process of the decoders.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use gstreamer as gst;

use super::link::{read, within, write};
use super::{Answered, Asked, FRAME_BYTES, FRAME_SLOTS, UNIT_BYTES, UNIT_SLOTS};
use crate::decode::video::chain::{Chain, Codec};
use crate::decode::video::decoder::{Decoder, Inlet, Shape};
use crate::decode::video::distant::{Lost, Picture};
use crate::sandbox::wire;

/// How often it is looked whether the worker is gone while no frame comes.
const TICK: Duration = Duration::from_millis(100);

/// How long a worker may take to leave once it was told all; longer than any item.
const FAREWELL: Duration = Duration::from_secs(20);

/// A unit on its way into the decoder.
struct Unit {
    rank: u32,
    caps: Option<String>,
    bytes: Vec<u8>,
}

/// What listener and speaker share.
struct Credits {
    /// Free slots of frames; `None` once the worker is gone.
    free: Mutex<Option<u32>>,
    changed: Condvar,
}

impl Credits {
    fn new() -> Self {
        Self { free: Mutex::new(Some(FRAME_SLOTS)), changed: Condvar::new() }
    }

    fn give(&self) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = free.map(|n| (n + 1).min(FRAME_SLOTS));
        self.changed.notify_all();
    }

    fn end(&self) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.changed.notify_all();
    }

    fn is_over(&self) -> bool {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Waits until the worker is gone, but not for ever.
    fn wait_until_over(&self) {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        // Whatever ends it, the session is over.
        drop(self.changed.wait_timeout_while(free, FAREWELL, |free| free.is_some()));
    }

    /// Waits for a slot; `false` when the worker is gone.
    fn take(&self) -> bool {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match free.as_mut() {
                None => return false,
                Some(0) => {}
                Some(n) => {
                    *n -= 1;
                    return true;
                }
            }
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Runs a session to its end. A worker that leaves, or makes no sense, ends its own session only.
pub(super) fn run([socket, units, frames]: [OwnedFd; 3], chains: &BTreeMap<Codec, Chain>) {
    let Ok(Asked::Begin(codec, task)) = wire::hear(&socket, None) else { return };
    let made = chains
        .get(&codec)
        .ok_or_else(|| "this codec was not promised".to_owned())
        .and_then(|chain| Decoder::of(chain, codec, &task).map_err(|e| e.to_string()));
    let decoder = match made {
        Ok(decoder) => decoder,
        Err(why) => {
            let _ = wire::tell(&socket, &Answered::Refused(why), &[]);
            return;
        }
    };
    let credits = Credits::new();
    let (unit, waiting) = sync_channel(UNIT_SLOTS as usize + 1);
    let (inlet, caps) = (decoder.inlet(), task.caps);
    std::thread::scope(|scope| {
        scope.spawn(|| listen(&socket, &units, unit, &credits));
        let line = &socket;
        scope.spawn(move || push(line, &inlet, &caps, &waiting));
        if let Err(Lost { why, .. }) = speak(&socket, &frames, &decoder, &credits) {
            let _ = wire::tell(&socket, &Answered::Refused(why), &[]);
        }
        drop(decoder);
        // The last words are still to be heard, and answered.
        credits.wait_until_over();
        let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both);
    });
}

/// Hears what the worker says. Never waits for the decoder: what makes room for frames must be heard meanwhile.
fn listen(socket: &OwnedFd, memory: &OwnedFd, unit: SyncSender<Option<Unit>>, credits: &Credits) {
    let mut number = 0u64;
    while let Ok(asked) = wire::hear(socket, None) {
        let sent = match asked {
            Asked::Unit { rank, caps, bytes: length } => {
                let Ok(length) = within(length, UNIT_BYTES) else { break };
                let mut bytes = vec![0; length];
                let offset = number % u64::from(UNIT_SLOTS) * UNIT_BYTES;
                number += 1;
                if read(memory, &mut bytes, offset).is_err() {
                    break;
                }
                // Full only when more was sent than there were slots.
                unit.try_send(Some(Unit { rank, caps, bytes })).is_ok()
            }
            // Said again where the container ends behind the last unit that is wanted.
            Asked::End => {
                let _ = unit.try_send(None);
                true
            }
            Asked::Took => {
                credits.give();
                true
            }
            Asked::Begin(..) => false,
        };
        if !sent {
            break;
        }
    }
    credits.end();
}

/// Puts units into the decoder, which makes it wait at times.
fn push(socket: &OwnedFd, inlet: &Inlet, caps: &str, waiting: &Receiver<Option<Unit>>) {
    let Ok(mut caps) = caps.parse::<gst::Caps>() else { return };
    while let Ok(Some(Unit { rank, caps: new, bytes })) = waiting.recv() {
        if let Some(new) = new.and_then(|new| new.parse().ok()) {
            caps = new;
        }
        let buffer = gst::Buffer::from_mut_slice(bytes);
        if inlet.put(rank, &caps, buffer).is_err()
            || wire::tell(socket, &Answered::Room, &[]).is_err()
        {
            return;
        }
    }
    inlet.end();
}

/// Tells what comes out of the decoder.
fn speak(
    socket: &OwnedFd,
    memory: &OwnedFd,
    decoder: &Decoder,
    credits: &Credits,
) -> Result<(), Lost> {
    let say = |answered: &Answered| {
        wire::tell(socket, answered, &[]).map_err(|error| Lost::gone(error.to_string()))
    };
    let (mut told, mut number) = (Shape::default(), 0u64);
    while !credits.is_over() {
        let sample = decoder.next(TICK);
        let shape = decoder.shape();
        if shape != told {
            say(&Answered::Shape(shape.clone()))?;
            told = shape;
        }
        let Some(sample) = sample else {
            let error = decoder.error();
            if error.is_some() || decoder.is_done() {
                return say(&Answered::Done(error));
            }
            continue;
        };
        let picture = Picture::of(&sample)
            .ok_or_else(|| Lost::gone("the decoder gives frames of no form"))?;
        let length = picture.bytes.len() as u64;
        within(length, FRAME_BYTES)?;
        if !credits.take() {
            return Ok(());
        }
        write(memory, &picture.bytes, number % u64::from(FRAME_SLOTS) * FRAME_BYTES)?;
        number += 1;
        let Picture { rank, caps, corrupted, .. } = picture;
        say(&Answered::Frame { rank, caps, corrupted, bytes: length })?;
    }
    Ok(())
}

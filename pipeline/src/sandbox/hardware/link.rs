//! The worker's end of a session: puts units in, takes frames out.

use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::{pread, pwrite};

use super::{Answered, Asked, Decodes, FRAME_BYTES, FRAME_SLOTS, UNIT_BYTES, UNIT_SLOTS};
use crate::decode::video::chain::Codec;
use crate::decode::video::decoder::Task;
use crate::decode::video::distant::{Answer, Distant, Lost, Picture};
use crate::sandbox::wire::{self, LinkError};

/// How long a unit waits for room before the other side counts as hanging.
const PATIENCE: Duration = Duration::from_secs(5);

/// The line of one item.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    units: OwnedFd,
    frames: OwnedFd,
    decodes: Vec<Decodes>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Free slots of units.
    room: u32,
    /// Units put in.
    put: u64,
    /// Frames taken out.
    taken: u64,
    /// Why this item cannot be done, as putting in has found.
    unfit: Option<Lost>,
    closed: bool,
}

impl Link {
    /// A line over these descriptors, to a process that has these decoders.
    pub(in crate::sandbox) fn new(
        [socket, units, frames]: [OwnedFd; 3],
        decodes: Vec<Decodes>,
    ) -> Self {
        let state = State { room: UNIT_SLOTS, put: 0, taken: 0, unfit: None, closed: false };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Self { socket, units, frames, decodes, state, changed }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, asked: &Asked) -> Result<(), Lost> {
        wire::tell(&self.socket, asked, &[]).map_err(|error| Lost::gone(error.to_string()))
    }

    /// The number of the next unit, once there is room for it.
    fn place(&self) -> Result<u64, Lost> {
        let start = Instant::now();
        let mut state = self.lock();
        while state.room == 0 && !state.closed {
            let left = PATIENCE.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(Lost::gone("it takes no more units"));
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.closed {
            return Err(Lost::gone("it is not listened to any more"));
        }
        state.room -= 1;
        state.put += 1;
        Ok(state.put - 1)
    }

    fn frame(
        &self,
        rank: u32,
        caps: String,
        corrupted: bool,
        length: u64,
    ) -> Result<Picture, Lost> {
        let number = {
            let mut state = self.lock();
            state.taken += 1;
            state.taken - 1
        };
        let mut bytes = vec![0; within(length, FRAME_BYTES)?];
        let offset = number % u64::from(FRAME_SLOTS) * FRAME_BYTES;
        read(&self.frames, &mut bytes, offset)?;
        self.tell(&Asked::Took)?;
        Ok(Picture { rank, caps, corrupted, bytes })
    }
}

impl Distant for Link {
    fn element(&self, codec: Codec) -> Option<&str> {
        let known = self.decodes.iter().find(|(known, _)| *known == codec);
        known.map(|(_, element)| element.as_str())
    }

    fn begin(&self, codec: Codec, task: &Task) -> Result<(), Lost> {
        self.tell(&Asked::Begin(codec, Box::new(task.clone())))
    }

    fn put(&self, rank: u32, caps: Option<&str>, bytes: &[u8]) -> Result<(), Lost> {
        let length = bytes.len() as u64;
        if let Err(unfit) = within(length, UNIT_BYTES) {
            // Whoever waits for frames hears it: the streaming thread has nobody to tell.
            self.lock().unfit = Some(unfit.clone());
            return Err(unfit);
        }
        let number = self.place()?;
        write(&self.units, bytes, number % u64::from(UNIT_SLOTS) * UNIT_BYTES)?;
        self.tell(&Asked::Unit { rank, caps: caps.map(str::to_owned), bytes: length })
    }

    fn end(&self) {
        // Where nobody listens any more the next answer says so.
        let _ = self.tell(&Asked::End);
    }

    fn next(&self, wait: Duration) -> Result<Option<Answer>, Lost> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(unfit) = self.lock().unfit.clone() {
                return Err(unfit);
            }
            let answered = match wire::hear(&self.socket, Some(deadline)) {
                Ok(answered) => answered,
                Err(LinkError::TimedOut) => return Ok(None),
                Err(error) => return Err(Lost::gone(error.to_string())),
            };
            return Ok(Some(match answered {
                Answered::Room => {
                    let mut state = self.lock();
                    state.room = (state.room + 1).min(UNIT_SLOTS);
                    drop(state);
                    self.changed.notify_all();
                    continue;
                }
                Answered::Shape(shape) => Answer::Shape(shape),
                Answered::Frame { rank, caps, corrupted, bytes } => {
                    Answer::Frame(self.frame(rank, caps, corrupted, bytes)?)
                }
                Answered::Done(error) => Answer::Done(error),
                Answered::Refused(why) => return Err(Lost::unfit(why)),
            }));
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

/// A length that fits into a slot.
pub(super) fn within(length: u64, most: u64) -> Result<usize, Lost> {
    let fits = usize::try_from(length).ok().filter(|_| length <= most);
    fits.ok_or_else(|| Lost::unfit(format!("{length} bytes at once, and {most} are the most")))
}

/// Reads a slot.
pub(super) fn read(memory: &OwnedFd, mut into: &mut [u8], mut offset: u64) -> Result<(), Lost> {
    while !into.is_empty() {
        match wire::retry(|| pread(memory, &mut *into, offset)) {
            Ok(count) if count > 0 => {
                into = into.get_mut(count..).unwrap_or_default();
                offset += count as u64;
            }
            _ => return Err(Lost::gone("the shared memory cannot be read")),
        }
    }
    Ok(())
}

/// Fills a slot.
pub(super) fn write(memory: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> Result<(), Lost> {
    while !bytes.is_empty() {
        match wire::retry(|| pwrite(memory, bytes, offset)) {
            Ok(count) if count > 0 => {
                bytes = bytes.get(count..).unwrap_or_default();
                offset += count as u64;
            }
            _ => return Err(Lost::gone("the shared memory cannot be written")),
        }
    }
    Ok(())
}

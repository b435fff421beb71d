//! The process of the decoders in hardware as the host sees it: started with the sandbox, and again with growing pauses when it
//! is lost. No item ever waits for its drivers: while it is not ready, items are decoded by cores.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{program, sealed};
use crate::decode::video::chain::{Chain, Codec};
use crate::sandbox::hardware::{
    Call, Decodes, FRAME_BYTES, FRAME_SLOTS, HARDWARE, Outfit, Ready, UNIT_BYTES, UNIT_SLOTS,
};
use crate::sandbox::wire::{self, LinkError};

/// How long drivers may take to start.
const START: Duration = Duration::from_secs(10);
/// Pause after a loss; doubles with each further one in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(300);

/// The process, and what it decodes.
#[derive(Debug)]
pub(super) struct Hardware {
    program: PathBuf,
    chains: Vec<(Codec, Chain)>,
    nice: u8,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    process: Option<Process>,
    losses: u32,
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Process {
    control: OwnedFd,
    child: Child,
    started: Instant,
    /// What it decodes, once it has said so.
    decodes: Option<Vec<Decodes>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may hang in a driver; one that has ended cannot be killed, which does no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a worker gets of a session: socket, units, frames, and what may be asked for.
pub(super) struct Line {
    pub fds: [OwnedFd; 3],
    pub decodes: Vec<Decodes>,
    /// The process that it leads to.
    pub id: u32,
}

impl Hardware {
    /// Starts it, and waits for nothing.
    pub(super) fn new(program: PathBuf, chains: Vec<(Codec, Chain)>, nice: u8) -> Self {
        let hardware = Self { program, chains, nice, state: Mutex::default() };
        hardware.run(&mut hardware.lock());
        hardware
    }

    /// A line to it for one item; `None` while it is not ready or cannot be had, which is logged once for each loss.
    pub(super) fn line(&self) -> Option<Line> {
        let mut state = self.lock();
        self.run(&mut state);
        let process = state.process.as_mut()?;
        match process
            .ready()
            .and_then(|ready| if ready { open(process).map(Some) } else { Ok(None) })
        {
            Ok(line) => line,
            Err(why) => {
                lose(&mut state, &why);
                None
            }
        }
    }

    /// Starts the process where there is none and it may be tried.
    fn run(&self, state: &mut State) {
        if state.process.is_some() || state.not_before.is_some_and(|at| at > Instant::now()) {
            return;
        }
        match self.start() {
            Ok(process) => state.process = Some(process),
            Err(why) => lose(state, &why),
        }
    }

    /// Notes that a session ended as it should.
    pub(super) fn served(&self) {
        self.lock().losses = 0;
    }

    /// Ends the process of this id, which hangs or makes no sense; another one is left alone.
    pub(super) fn lost(&self, id: u32, why: &str) {
        let mut state = self.lock();
        if state.process.as_ref().is_some_and(|process| process.child.id() == id) {
            lose(&mut state, why);
        }
    }

    /// The process's id, once it is ready.
    pub(super) fn id(&self) -> Option<u32> {
        let state = self.lock();
        let ready = state.process.as_ref().filter(|process| process.decodes.is_some());
        ready.map(|process| process.child.id())
    }

    fn start(&self) -> Result<Process, String> {
        let (control, theirs) = wire::pair().map_err(|e| e.to_string())?;
        let child = program::command(&self.program)
            .arg(HARDWARE)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| format!("cannot run {}: {e}", self.program.display()))?;
        let process = Process { control, child, started: Instant::now(), decodes: None };
        let outfit = Outfit { chains: self.chains.clone(), nice: self.nice };
        wire::tell(&process.control, &outfit, &[]).map_err(|e| e.to_string())?;
        Ok(process)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Whether it has said what it decodes; asks, and waits for nothing.
    fn ready(&mut self) -> Result<bool, String> {
        if self.decodes.is_some() {
            return Ok(true);
        }
        match wire::hear(&self.control, Some(Instant::now())) {
            Ok(Ready(decodes)) => {
                let decodes = decodes?;
                tracing::info!(?decodes, "decoders in hardware are ready");
                self.decodes = Some(decodes);
                Ok(true)
            }
            Err(LinkError::TimedOut) if self.started.elapsed() < START => Ok(false),
            Err(error) => Err(format!("it does not start: {error}")),
        }
    }
}

fn lose(state: &mut State, why: &str) {
    state.process = None;
    let doublings = state.losses.min(16);
    state.losses = state.losses.saturating_add(1);
    let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LAST_PAUSE);
    state.not_before = Some(Instant::now() + pause);
    tracing::warn!(why, ?pause, "decoders in hardware are lost; the cores decode meanwhile");
}

fn open(process: &Process) -> Result<Line, String> {
    let failed = |e: std::io::Error| e.to_string();
    let (ours, theirs) = wire::pair().map_err(|e| e.to_string())?;
    let units = sealed("weir-units", u64::from(UNIT_SLOTS) * UNIT_BYTES).map_err(failed)?;
    let frames = sealed("weir-frames", u64::from(FRAME_SLOTS) * FRAME_BYTES).map_err(failed)?;
    let fds = [theirs.as_fd(), units.as_fd(), frames.as_fd()];
    wire::tell(&process.control, &Call::Session, &fds).map_err(|e| e.to_string())?;
    let decodes = process.decodes.clone().unwrap_or_default();
    Ok(Line { fds: [ours, units, frames], decodes, id: process.child.id() })
}

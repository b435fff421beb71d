//! A zygote as the host sees it: started when first needed, and again with growing pauses when it dies.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::program;
use crate::sandbox::config::{Level, Role, SandboxConfig, Settings};
use crate::sandbox::protocol::WorkError;
use crate::sandbox::wire::{self, Handover, LinkError, Said};

/// Pause after the second death in a row; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// How long a zygote may take to end its workers and itself when it is told to.
const FAREWELL: Duration = Duration::from_millis(500);

/// One zygote and the workers that it keeps ready.
#[derive(Debug)]
pub(super) struct Pool {
    role: Role,
    program: PathBuf,
    config: Arc<SandboxConfig>,
    state: Mutex<State>,
    level: OnceLock<Level>,
}

#[derive(Debug, Default)]
struct State {
    zygote: Option<Zygote>,
    /// Deaths since a worker was last handed over.
    deaths: u32,
    not_before: Option<Instant>,
}

/// A worker that waits for its order; killed when dropped, whatever it is doing.
#[derive(Debug)]
pub(super) struct Worker {
    socket: OwnedFd,
    pidfd: OwnedFd,
    level: Level,
}

impl Worker {
    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// Whether the process has not ended.
    fn lives(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll(&mut fds, Some(&wire::timespec(Duration::ZERO))).is_ok_and(|ready| ready == 0)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A worker that has ended by itself is beyond signals; the pidfd can never mean another process.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}

impl Pool {
    pub(super) fn new(role: Role, program: PathBuf, config: Arc<SandboxConfig>) -> Self {
        Self { role, program, config, state: Mutex::default(), level: OnceLock::new() }
    }

    /// The level that the first worker reached.
    pub(super) fn level(&self) -> Option<Level> {
        self.level.get().copied()
    }

    /// Starts the zygote if it does not run; failures show when a worker is taken.
    pub(super) fn start(&self) {
        let mut state = self.lock();
        if let Err(error) = self.running(&mut state) {
            tracing::warn!(role = self.role.name(), %error, "sandbox does not start");
        }
    }

    /// A worker that is locked down and waits for its order.
    pub(super) fn take(&self, deadline: Instant) -> Result<Worker, WorkError> {
        let mut why = String::new();
        // The spare workers of a zygote that was killed are still handed over, and dead; a fresh zygote has none such.
        for _ in 0..self.spare() + 2 {
            let (socket, pidfd) = self.hand_over(deadline)?;
            let mut worker = Worker { socket, pidfd, level: Level::None };
            match wire::hear(&worker.socket, Some(deadline)) {
                Ok(Said::Ready(level)) if worker.lives() => {
                    worker.level = level;
                    let _ = self.level.set(level);
                    return Ok(worker);
                }
                Ok(said) => why = format!("a new worker ended ({said:?})"),
                Err(error) => why = format!("a new worker: {error}"),
            }
        }
        Err(self.unavailable(why))
    }

    fn hand_over(&self, deadline: Instant) -> Result<(OwnedFd, OwnedFd), WorkError> {
        let mut state = self.lock();
        // A zygote that died while idle, and its spare workers with it, is noticed here and costs no item.
        if state.zygote.as_mut().is_some_and(Zygote::is_gone) {
            self.bury(&mut state);
        }
        for _ in 0..2 {
            let zygote = self.running(&mut state)?;
            match wire::hear_with_fds(&zygote.control, Some(deadline)) {
                Ok((Handover::Worker, fds)) => {
                    let Ok([socket, pidfd]) = <[OwnedFd; 2]>::try_from(fds) else {
                        return Err(self.unavailable("no room for descriptors".to_owned()));
                    };
                    // Should this fail, the zygote is gone, which the next call finds out.
                    let _ = wire::nudge(&zygote.control, 1);
                    zygote.served = true;
                    state.deaths = 0;
                    return Ok((socket, pidfd));
                }
                Ok((Handover::Failed(why), _)) => {
                    self.bury(&mut state);
                    return Err(self.unavailable(why));
                }
                // One that has handed over workers before does not start any more: it hangs.
                Err(LinkError::TimedOut) if zygote.served => {
                    tracing::warn!(role = self.role.name(), "sandbox zygote hangs and is replaced");
                    self.bury(&mut state);
                    return Err(self.unavailable("it hung and is being replaced".to_owned()));
                }
                Err(LinkError::TimedOut) => {
                    return Err(self.unavailable("it has not started in time".to_owned()));
                }
                Err(error) => {
                    tracing::warn!(role = self.role.name(), %error, "sandbox zygote died");
                    self.bury(&mut state);
                }
            }
        }
        Err(self.unavailable("it dies again and again".to_owned()))
    }

    fn running<'s>(&self, state: &'s mut State) -> Result<&'s mut Zygote, WorkError> {
        if state.zygote.is_none() {
            if let Some(pause) =
                state.not_before.and_then(|t| t.checked_duration_since(Instant::now()))
            {
                return Err(self.unavailable(format!(
                    "it died {} times in a row; next try in {} ms",
                    state.deaths,
                    pause.as_millis()
                )));
            }
            state.zygote = Some(self.spawn()?);
        }
        state.zygote.as_mut().ok_or_else(|| self.unavailable("it is gone".to_owned()))
    }

    fn bury(&self, state: &mut State) {
        state.zygote = None;
        state.deaths = state.deaths.saturating_add(1);
        let doublings = state.deaths.saturating_sub(2).min(16);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LAST_PAUSE);
        state.not_before = (state.deaths > 1).then(|| Instant::now() + pause);
    }

    fn spawn(&self) -> Result<Zygote, WorkError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            self.unavailable(format!("{what} {}: {error}", self.program.display()))
        };
        let (control, theirs) = wire::pair().map_err(|e| failed("socket for", &e))?;
        let child = program::command(&self.program)
            .arg(self.role.name())
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| failed("cannot run", &e))?;
        let zygote = Zygote { control, child, served: false };
        let settings = Settings {
            role: self.role,
            memory_bytes: self.config.memory_bytes,
            cpu_s: self.config.cpu_s(self.role),
            spare: self.spare(),
            nice: self.config.nice,
            ocr_languages: self.config.ocr_languages.clone(),
            tessdata: self.config.tessdata.clone(),
        };
        wire::tell(&zygote.control, &settings, &[]).map_err(|e| failed("cannot speak to", &e))?;
        Ok(zygote)
    }

    fn spare(&self) -> usize {
        self.config.spare.clamp(1, 16)
    }

    fn unavailable(&self, why: String) -> WorkError {
        WorkError::Unavailable(format!("sandbox for {}: {why}", self.role.name()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is sound after every statement, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running zygote.
#[derive(Debug)]
struct Zygote {
    control: OwnedFd,
    child: Child,
    /// Whether it has handed over a worker.
    served: bool,
}

impl Zygote {
    /// Whether it has ended, or is about to: a dying process closes its sockets before it can be waited for.
    fn is_gone(&mut self) -> bool {
        let mut fds = [PollFd::new(&self.control, PollFlags::HUP)];
        let hung_up = poll(&mut fds, Some(&wire::timespec(Duration::ZERO))).is_ok_and(|n| n > 0);
        hung_up || matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        // End of file on its socket tells the zygote to reap its workers and go; killed at once, it would leave
        // them to init.
        let _ = rustix::net::shutdown(&self.control, rustix::net::Shutdown::Both);
        let gone = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
            .is_some_and(|pidfd| {
                let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
                poll(&mut fds, Some(&wire::timespec(FAREWELL))).is_ok_and(|ready| ready > 0)
            });
        if !gone {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

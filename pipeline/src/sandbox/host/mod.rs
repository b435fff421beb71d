//! The gateway's side: zygotes, and the judge of what workers say.

mod hardware;
mod inventory;
mod program;
mod session;
mod zygote;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use self::hardware::Hardware;
use self::session::Session;
use self::zygote::{Pool, Worker};
use super::config::{Level, Role, SandboxConfig};
use super::item::Item;
use super::protocol::{Observer, Report, Request, WorkError};
use super::wire::{self, LinkError, Order, Ring};
use crate::decode::DecodeError;

pub use self::inventory::{Told, inventory};

/// Decodes untrusted items in locked-down workers; made once and used from many threads.
#[derive(Debug)]
pub struct Sandbox {
    config: Arc<SandboxConfig>,
    stills: Pool,
    streams: Pool,
    hardware: Option<Hardware>,
}

impl Sandbox {
    /// Finds the program; starts nothing yet.
    ///
    /// # Errors
    /// `Unavailable` when there is no such program, naming the places that were looked at.
    pub fn new(config: SandboxConfig) -> Result<Self, WorkError> {
        let program = program::find(config.program.as_deref())?;
        let config = Arc::new(config);
        let chains = config.hardware.clone();
        let hardware =
            (!chains.is_empty()).then(|| Hardware::new(program.clone(), chains, config.nice));
        let pool = |role| Pool::new(role, program.clone(), Arc::clone(&config));
        Ok(Self { stills: pool(Role::Stills), streams: pool(Role::Streams), hardware, config })
    }

    /// The level that workers reach, as the first worker found it; starts the zygote for stills if none has run.
    pub fn level(&self) -> Level {
        if let Some(level) = self.stills.level().or_else(|| self.streams.level()) {
            return level;
        }
        let deadline = Instant::now() + Duration::from_millis(self.config.start_ms);
        self.stills.take(deadline).map_or(Level::None, |worker| worker.level())
    }

    /// Starts the zygote of a role without waiting for it; the other one starts when it is first needed.
    pub fn warm(&self, role: Role) {
        self.pool(role).start();
    }

    /// Has one worker decode `item` and tells `observer` what comes.
    ///
    /// # Errors
    /// See `WorkError`; each costs this item only. Nothing is tried twice: that is the caller's choice.
    pub fn decode(
        &self,
        item: &Item,
        request: &Request,
        observer: &mut dyn Observer,
    ) -> Result<Report, WorkError> {
        let role = Role::of(request.format);
        let unavailable = |what: &str, error: &dyn std::fmt::Display| {
            WorkError::Unavailable(format!("{what}: {error}"))
        };
        if request.bytes != item.len() {
            return Err(unavailable("request", &"its length is not that of the item"));
        }
        let ring = Ring::of(request)
            .ok_or_else(|| unavailable("request", &"its renditions need more than 128 MiB"))?;
        let memory = sealed("weir-pixels", ring.bytes());
        let memory = memory.map_err(|e| unavailable("memory for pixels", &e))?;
        let hardware = self.hardware.as_ref().filter(|_| request.hardware && role == Role::Streams);
        let line = hardware.and_then(Hardware::line);
        let hardware_there = line.as_ref().map_or_else(Vec::new, |line| line.decodes.clone());
        let order = Order { request: request.clone(), ring, hardware: hardware_there };
        let mut fds = vec![item.as_fd(), memory.as_fd()];
        fds.extend(line.iter().flat_map(|line| &line.fds).map(AsFd::as_fd));
        let worker = self.hand_to_worker(role, &order, &fds)?;
        let led_to = line.map(|line| line.id);
        let wall = Duration::from_millis(self.config.wall_ms(role).min(request.wall_ms));
        let outcome = Session::new(worker, request, ring, memory, wall).run(observer);
        if let (Some(hardware), Some(id)) = (hardware, led_to) {
            match &outcome {
                Err(WorkError::Decode(DecodeError::Lost(why))) => hardware.lost(id, why),
                Ok(_) => hardware.served(),
                Err(_) => {}
            }
        }
        outcome
    }

    /// The process of the decoders in hardware, while there is one.
    pub fn hardware_process(&self) -> Option<u32> {
        self.hardware.as_ref().and_then(Hardware::id)
    }

    fn pool(&self, role: Role) -> &Pool {
        match role {
            Role::Stills => &self.stills,
            Role::Streams => &self.streams,
        }
    }

    /// Gives the order to a worker that is fenced in well enough.
    fn hand_to_worker(
        &self,
        role: Role,
        order: &Order,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Worker, WorkError> {
        let pool = self.pool(role);
        let deadline = Instant::now() + Duration::from_millis(self.config.start_ms);
        let mut tries = 0;
        loop {
            let worker = pool.take(deadline)?;
            if worker.level() < self.config.require {
                return Err(WorkError::Unavailable(format!(
                    "workers reach the level {:?}, and {:?} is required; lower `sandbox.require` or enable \
                     Landlock and user namespaces in the kernel",
                    worker.level(),
                    self.config.require
                )));
            }
            tries += 1;
            match wire::tell(worker.socket(), order, fds) {
                Ok(()) => return Ok(worker),
                // It died with its zygote just now and has seen nothing of the item.
                Err(LinkError::Closed) if tries < 3 => {}
                Err(error) => {
                    return Err(WorkError::Crashed(format!("before it got the item: {error}")));
                }
            }
        }
    }
}

/// A memfd for slots: neither side can change its size, so that reading it never faults.
fn sealed(name: &str, bytes: u64) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&fd, bytes)?;
    fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

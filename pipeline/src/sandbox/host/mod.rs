//! The gateway's side: zygotes, and the judge of what workers say.

mod inventory;
mod program;
mod session;
mod zygote;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use self::session::Session;
use self::zygote::{Pool, Worker};
use super::config::{Level, Role, SandboxConfig};
use super::item::Item;
use super::protocol::{Observer, Report, Request, WorkError};
use super::wire::{self, LinkError, Order, Ring};

pub use self::inventory::{Told, inventory};

/// Decodes untrusted items in locked-down workers; made once and used from many threads.
#[derive(Debug)]
pub struct Sandbox {
    config: Arc<SandboxConfig>,
    stills: Pool,
    streams: Pool,
}

impl Sandbox {
    /// Finds the program; starts nothing yet.
    ///
    /// # Errors
    /// `Unavailable` when there is no such program, naming the places that were looked at.
    pub fn new(config: SandboxConfig) -> Result<Self, WorkError> {
        let program = program::find(config.program.as_deref())?;
        let config = Arc::new(config);
        let pool = |role| Pool::new(role, program.clone(), Arc::clone(&config));
        Ok(Self { stills: pool(Role::Stills), streams: pool(Role::Streams), config })
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
        let memory = ring_memory(ring).map_err(|e| unavailable("memory for pixels", &e))?;
        let order = Order { request: request.clone(), ring };
        let worker = self.hand_to_worker(role, &order, &[item.as_fd(), memory.as_fd()])?;
        let wall = Duration::from_millis(self.config.wall_ms(role).min(request.wall_ms));
        Session::new(worker, request, ring, memory, wall).run(observer)
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

/// A memfd for a ring: neither side can change its size, so that reading it never faults.
fn ring_memory(ring: Ring) -> io::Result<OwnedFd> {
    let fd = memfd_create("weir-pixels", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&fd, ring.bytes())?;
    fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

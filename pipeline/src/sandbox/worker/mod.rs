//! The other side: the program `weir-sandbox`. A zygote that loads the codecs and forks; workers that decode.

pub mod codecs;
mod courier;
mod filter;
mod inventory;
mod lockdown;
mod zygote;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use domain::Format;
use rustix::process::Pid;

use self::courier::Courier;
use self::filter::AllowList;
use super::config::{Level, Settings};
use super::hardware::Link;
use super::protocol::Report;
use super::sys::Map;
use super::wire::{self, LinkError, Order, Said};
use crate::decode::video::distant::Distant;
use crate::decode::{DecodeError, Limits, Need, Sink, Tally};

pub(super) use self::inventory::Written;
pub use self::inventory::{INVENTORY, PLAIN, inventory};
pub(super) use self::lockdown::give_up_for_hardware;
pub(super) use self::zygote::control as take_control;
pub use self::zygote::main;

/// The codecs of a zygote. The program has one implementation, [`codecs::Builtin`]; tests bring hostile ones.
pub trait Codecs {
    /// Loads all that will be needed, for a worker can open no file. Runs once, in the zygote, and may leave no
    /// thread behind.
    ///
    /// # Errors
    /// One sentence that says what is missing.
    fn preload(&mut self, settings: &Settings) -> Result<(), String>;

    /// Decodes `input` into `sink`. Runs in a locked-down worker.
    ///
    /// # Errors
    /// What the decoder says of the bytes.
    fn decode(
        &self,
        input: &Input,
        format: Format,
        need: &Need,
        limits: &Limits,
        sink: &mut dyn Sink,
    ) -> Result<Tally, DecodeError>;
}

/// An item's bytes, in memory that nobody can change.
pub struct Input {
    file: File,
    map: Map,
    distant: Option<Arc<dyn Distant>>,
}

impl Input {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        let file = File::from(fd);
        let map = Map::of(&file)?;
        Ok(Self { file, map, distant: None })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.map.bytes()
    }

    /// The line to decoders in hardware, where there is one.
    pub fn distant(&self) -> Option<&Arc<dyn Distant>> {
        self.distant.as_ref()
    }

    /// The same as a file, at its start.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// Exit status of a worker that could not be locked down, or whose host is gone.
const GAVE_UP: i32 = 3;

/// What a worker has from its zygote.
struct Rights<'a> {
    /// The level that it will reach.
    level: Level,
    /// What it has yet to give up.
    allowed: &'a AllowList,
    /// Whose child it is.
    zygote: Pid,
}

/// The whole life of a worker; gives its exit status.
fn work(socket: &OwnedFd, settings: &Settings, rights: &Rights<'_>, codecs: &dyn Codecs) -> i32 {
    // Without the floor no byte may come in. The host sees a worker that ended before it was ready.
    if lockdown::worker(settings, rights.zygote, rights.allowed).is_err()
        || wire::tell(socket, &Said::Ready(rights.level), &[]).is_err()
    {
        return GAVE_UP;
    }
    let (order, fds) = match wire::hear_with_fds::<Order>(socket, None) {
        Ok(heard) => heard,
        Err(LinkError::Closed) => return 0,
        Err(_) => return GAVE_UP,
    };
    let mut fds = fds.into_iter();
    let (Some(item), Some(pixels)) = (fds.next(), fds.next()) else { return GAVE_UP };
    let Ok(mut input) = Input::new(item) else { return GAVE_UP };
    if let Ok(line) = <[OwnedFd; 3]>::try_from(fds.collect::<Vec<_>>()) {
        input.distant = Some(Arc::new(Link::new(line, order.hardware.clone())));
    }
    let last = match decode(socket, &order, &input, &pixels, codecs) {
        Ok(report) => Said::Report(report),
        Err(error) => Said::Failed(error),
    };
    match wire::tell(socket, &last, &[]) {
        Ok(()) => 0,
        Err(_) => GAVE_UP,
    }
}

fn decode(
    socket: &OwnedFd,
    order: &Order,
    input: &Input,
    pixels: &OwnedFd,
    codecs: &dyn Codecs,
) -> Result<Report, DecodeError> {
    let request = &order.request;
    let mut renditions = request.renditions.clone();
    renditions.extend(codecs::Analyser::renditions(&request.measure));
    let need = Need {
        renditions,
        max_gap_ms: request.max_gap_ms,
        sparing: request.sparing,
        threads: request.threads,
    };
    let started = Instant::now();
    let mut courier = Courier::new(socket, order, pixels, input, codecs);
    let tally = codecs.decode(input, request.format, &need, &request.limits, &mut courier)?;
    Ok(courier.report(tally, started.elapsed()))
}

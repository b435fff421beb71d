//! The process of the decoders: loads their plugins, gives up what it can, serves sessions until its host is gone.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Answered, Call, Outfit, Ready, session};
use crate::decode::video::chain::{Chain, Codec};
use crate::decode::video::inventory;
use crate::sandbox::sys;
use crate::sandbox::wire;
use crate::sandbox::worker::{self, take_control};

/// The first argument that asks for it.
pub const HARDWARE: &str = "hardware";

/// Sessions at once; further ones are refused, and their items decoded by cores.
const SESSIONS: usize = 16;

/// The body of the process: serves the host at standard input until that is closed.
pub fn main() -> ExitCode {
    let control = match take_control() {
        Ok(control) => control,
        Err(error) => {
            eprintln!("weir-sandbox: {error}; it is started by weir and is of no use by hand");
            return ExitCode::from(64);
        }
    };
    let status = match prepare(&control) {
        Ok(chains) => {
            let decodes = chains.iter().map(|(codec, chain)| (*codec, chain.decoder.clone()));
            match wire::tell(&control, &Ready(Ok(decodes.collect())), &[]) {
                Ok(()) => serve(&control, &Arc::new(chains)),
                Err(_) => 1,
            }
        }
        Err(why) => {
            let _ = wire::tell(&control, &Ready(Err(why)), &[]);
            1
        }
    };
    // Without the libraries' destructors, some of which take drivers down badly.
    sys::exit_now(status)
}

/// Loads plugins and gives up rights; the chains that can be built.
fn prepare(control: &OwnedFd) -> Result<BTreeMap<Codec, Chain>, String> {
    let outfit: Outfit = wire::hear(control, None).map_err(|e| e.to_string())?;
    // Where the system refuses it is merely less polite.
    let _ = rustix::process::nice(i32::from(outfit.nice));
    inventory::load().map_err(|e| e.to_string())?;
    worker::give_up_for_hardware().map_err(|e| e.to_string())?;
    let chains: BTreeMap<_, _> =
        outfit.chains.into_iter().filter(|(_, chain)| inventory::can_build(chain)).collect();
    if chains.is_empty() {
        return Err("none of the decoders in hardware can be made".to_owned());
    }
    Ok(chains)
}

fn serve(control: &OwnedFd, chains: &Arc<BTreeMap<Codec, Chain>>) -> i32 {
    let running = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok((Call::Session, fds)) = wire::hear_with_fds(control, None) else { return 0 };
        let Ok(fds) = <[OwnedFd; 3]>::try_from(fds) else { continue };
        if running.fetch_add(1, Ordering::Relaxed) >= SESSIONS {
            running.fetch_sub(1, Ordering::Relaxed);
            let busy = Answered::Refused("it has enough in hand".to_owned());
            wire::tell_if_room(&fds[0], &busy);
            continue;
        }
        let (chains, done) = (Arc::clone(chains), Arc::clone(&running));
        let session = std::thread::Builder::new().name("session".to_owned()).spawn(move || {
            session::run(fds, &chains);
            done.fetch_sub(1, Ordering::Relaxed);
        });
        if session.is_err() {
            running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

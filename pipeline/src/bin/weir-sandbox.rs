//! `weir-sandbox`: the zygote and its workers, the only program of Weir that holds codecs.

use std::process::ExitCode;

use pipeline::sandbox::hardware;
use pipeline::sandbox::worker::{self, codecs::Builtin};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(worker::INVENTORY) => worker::inventory(),
        Some(hardware::HARDWARE) => hardware::main(),
        _ => worker::main(&mut Builtin),
    }
}

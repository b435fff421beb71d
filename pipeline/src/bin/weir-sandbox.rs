//! `weir-sandbox`: the zygote and its workers, the only program of Weir that holds codecs.

use std::process::ExitCode;

use pipeline::sandbox::worker::{self, codecs::Builtin};

fn main() -> ExitCode {
    worker::main(&mut Builtin)
}

//! `weir`: the edge moderation gateway.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    weir::main()
}

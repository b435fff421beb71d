//! How well decoders are fenced in here.

use pipeline::sandbox::{Level, Sandbox, SandboxConfig};

use super::{Line, Machine};

pub(super) fn check(_: &Machine) -> Vec<Line> {
    let sandbox = match Sandbox::new(SandboxConfig { spare: 1, ..SandboxConfig::default() }) {
        Ok(sandbox) => sandbox,
        Err(error) => {
            return vec![Line::missing(error.to_string(), "install weir-sandbox beside weir")];
        }
    };
    let by_kernel = |what: &str| {
        let todo =
            "a kernel with Landlock (5.13 and later) and user namespaces fences it in better";
        Line::note(what, Some(todo.to_owned()))
    };
    vec![match sandbox.level() {
        Level::None => Line::missing(
            "No decoding worker starts: media cannot be judged",
            "see what weir-sandbox says: weir -v check with any picture",
        ),
        Level::Floor => by_kernel("seccomp and limits, without Landlock"),
        Level::Landlock => by_kernel("seccomp, limits and Landlock, without namespaces"),
        Level::Namespaces => Line::ok("seccomp, limits, Landlock, namespaces"),
    }]
}

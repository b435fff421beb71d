//! Where `weir-sandbox` is, and in which environment it runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::protocol::WorkError;

/// The program's file name.
const NAME: &str = "weir-sandbox";

/// Variables that a zygote inherits; all others are cleared, so that no secret of the gateway's reaches it.
const INHERITED: [&str; 9] = [
    "GST_PLUGIN_PATH",
    "GST_PLUGIN_SYSTEM_PATH",
    "GST_REGISTRY",
    "HOME",
    "LD_LIBRARY_PATH",
    "RUST_BACKTRACE",
    "TESSDATA_PREFIX",
    "WEIR_TURBOJPEG",
    "XDG_CACHE_HOME",
];

/// What every zygote needs: no helper process for GStreamer's registry, no code made at run time (W^X), one OCR
/// thread, and few malloc arenas, each of which would reserve 64 MiB of the address space. Large blocks come in huge
/// pages: a worker starts without memory, and for pictures page faults were most of what the sandbox cost.
const FIXED: [(&str, &str); 5] = [
    ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"),
    ("GST_REGISTRY_FORK", "no"),
    ("MALLOC_ARENA_MAX", "2"),
    ("OMP_THREAD_LIMIT", "1"),
    ("ORC_CODE", "backup"),
];

/// Finds the program.
pub(super) fn find(configured: Option<&Path>) -> Result<PathBuf, WorkError> {
    let places = match configured {
        Some(path) => vec![path.to_owned()],
        None => places(),
    };
    // Absolute, for the zygote starts in the root folder.
    let found = places.iter().filter(|place| place.is_file());
    found.flat_map(|place| place.canonicalize()).next().ok_or_else(|| {
        let tried: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
        WorkError::Unavailable(format!(
            "no {NAME} at {}; install it beside weir or set WEIR_SANDBOX to its path",
            tried.join(" nor ")
        ))
    })
}

fn places() -> Vec<PathBuf> {
    if let Some(path) = std::env::var_os("WEIR_SANDBOX") {
        return vec![PathBuf::from(path)];
    }
    let Ok(running) = std::env::current_exe() else { return Vec::new() };
    let Some(folder) = running.parent() else { return Vec::new() };
    vec![folder.join(NAME), folder.join("../libexec/weir").join(NAME)]
}

/// The command that starts the program, with its environment.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(FIXED);
    command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.current_dir("/");
    command
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    #[test]
    fn a_missing_program_names_where_it_was_looked_for() {
        let error = find(Some(Path::new("/nowhere/weir-sandbox"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/weir-sandbox"), "{error}");
    }

    #[test]
    fn no_variable_of_the_gateway_reaches_the_zygote() {
        let command = command(Path::new("/bin/true"));
        assert!(command.get_envs().all(|(name, _)| name != "PATH" && name != "CARGO"));
        assert!(
            command.get_envs().any(|(name, value)| {
                name == "ORC_CODE" && value.is_some_and(|v| v == "backup")
            })
        );
    }
}

//! The power mode of a Jetson: asked of NVIDIA's own program, and never set.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where JetPack puts it.
const PROGRAM: &str = "usr/sbin/nvpmodel";

/// How long it may take: it answers at once, or its driver hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked after.
const TICK: Duration = Duration::from_millis(20);

/// Most bytes of an answer.
const MAX_BYTES: u64 = 4096;

/// The name of the power mode, for example `15W` or `MAXN`; `None` on other machines, and where the program says nothing in
/// time.
pub fn power_mode(root: &Path) -> Option<String> {
    let program = root.join(PROGRAM);
    if !program.is_file() {
        return None;
    }
    let mut child = Command::new(&program)
        .arg("-q")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .inspect_err(|error| tracing::debug!(%error, "nvpmodel cannot be started"))
        .ok()?;
    let deadline = Instant::now() + PATIENCE;
    // What it says fits into the pipe, so it can end before anybody reads.
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            tracing::warn!("nvpmodel does not answer; the power mode is not known");
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(TICK);
    }
    let mut said = String::new();
    child.stdout.take()?.take(MAX_BYTES).read_to_string(&mut said).ok()?;
    parse(&said)
}

/// `NV Power Mode: MODE_15W`, and below it the number.
fn parse(said: &str) -> Option<String> {
    let line = said.lines().find_map(|line| line.split_once("Power Mode:"))?.1.trim();
    let mode: String = line.chars().filter(|c| !c.is_control()).take(40).collect();
    let mode = mode.strip_prefix("MODE_").unwrap_or(&mode);
    (!mode.is_empty()).then(|| mode.to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::tree::tree;

    #[test]
    fn the_mode_is_the_name_that_the_program_gives() {
        assert_eq!(parse("NV Power Mode: MODE_15W\n2\n").as_deref(), Some("15W"));
        assert_eq!(parse("NV Fan Mode:quiet\nNV Power Mode: MAXN\n0\n").as_deref(), Some("MAXN"));
        assert_eq!(parse("NVPM ERROR: optMask is 1, no request for power mode\n"), None);
        assert_eq!(parse(""), None);
    }

    fn program(script: &str) -> tempfile::TempDir {
        let root = tree(&[(PROGRAM, script)]);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(root.path().join(PROGRAM), mode).unwrap();
        root
    }

    #[test]
    fn the_program_is_asked_and_never_told_to_set_anything() {
        let script = "#!/bin/sh\n[ \"$*\" = -q ] && echo 'NV Power Mode: MODE_30W'\n";
        assert_eq!(power_mode(program(script).path()).as_deref(), Some("30W"));
        assert_eq!(power_mode(tree(&[]).path()), None);
    }

    #[test]
    fn a_program_that_hangs_is_given_up() {
        let root = program("#!/bin/sh\nexec /bin/sleep 60\n");
        let start = Instant::now();
        assert_eq!(power_mode(root.path()), None);
        assert!(start.elapsed() < PATIENCE * 3);
    }
}

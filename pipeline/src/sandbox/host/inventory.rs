//! Asks the program that holds the codecs what can be decoded on this machine.

use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use super::program;
use crate::decode::video::inventory::Inventory;
use crate::sandbox::protocol::WorkError;
use crate::sandbox::wire;
use crate::sandbox::worker::{INVENTORY, PLAIN, Written};

/// Most bytes of an answer; a whole one has about ten thousand.
const MAX_BYTES: u64 = 1 << 20;

/// What was told.
#[derive(Clone, Debug)]
pub struct Told {
    /// Libraries of stills that are missing, a sentence each.
    pub stills: Vec<String>,
    /// What GStreamer has.
    pub video: Inventory,
    /// Why decoders in hardware could not be asked for; without them the rest was.
    pub hardware_failed: Option<String>,
}

/// Has a process of its own load all codecs and tell what there is, within `limit`. Where that fails once drivers are asked, once more
/// without them.
///
/// # Errors
/// `Unavailable` where the program is not there or ends badly twice.
pub fn inventory(configured: Option<&Path>, limit: Duration) -> Result<Told, WorkError> {
    let program = program::find(configured)?;
    match ask(&program, &[INVENTORY], limit) {
        Ok(Written { stills, video }) => Ok(Told { stills, video, hardware_failed: None }),
        Err(why) => {
            let Written { stills, video } =
                ask(&program, &[INVENTORY, PLAIN], limit).map_err(|again| {
                    WorkError::Unavailable(format!("{} {INVENTORY}: {again}", program.display()))
                })?;
            Ok(Told { stills, video, hardware_failed: Some(why) })
        }
    }
}

fn ask(program: &Path, arguments: &[&str], limit: Duration) -> Result<Written, String> {
    let mut child = program::command(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("cannot be started: {e}"))?;
    let heard = child.stdout.take().map_or_else(
        || Err("it has no output".to_owned()),
        |output| hear(output, Instant::now() + limit),
    );
    if heard.is_err() {
        // It may hang in a driver; one that has ended cannot be killed, which does no harm.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    let bytes = heard?;
    if !status.success() {
        return Err(format!("it ended with {status}"));
    }
    serde_json::from_slice(&bytes).map_err(|e| format!("it said something else: {e}"))
}

/// All that comes until the other side closes, or the time is over.
fn hear(mut output: std::process::ChildStdout, deadline: Instant) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(&output, PollFlags::IN)];
        let ready = wire::retry(|| poll(&mut fds, Some(&wire::timespec(left))));
        match ready {
            Ok(0) => return Err("it said nothing in time".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
        match output.read(&mut part).map_err(|e| e.to_string())? {
            0 => return Ok(bytes),
            n => bytes.extend_from_slice(part.get(..n).unwrap_or_default()),
        }
        if bytes.len() as u64 > MAX_BYTES {
            return Err("it says too much".to_owned());
        }
    }
}

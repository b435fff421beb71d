//! Building a plan: `trtexec` as a child, so that what crashes or hangs there does so outside.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use rustix::process::{Pid, Signal, kill_process_group};

use super::key::Key;

/// Lines that are kept for an error's sake.
const TAIL: usize = 12;

/// Bytes of a line at most.
const LINE: u64 = 4096;

/// How often progress is told at least.
const BEAT: Duration = Duration::from_secs(5);

/// Where NVIDIA's packages put the program.
const PACKAGED: &str = "/usr/src/tensorrt/bin/trtexec";

/// Runs what follows it and ends with its exit status. When standard input ends, for whoever started it has ended in
/// whatever way, all of the process group is killed: nobody would wait for the plan any more.
const LEASH: &str = r#"exec 3<&0 </dev/null
"$@" 3<&- & work=$!
{ read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 & leash=$!
wait "$work"; code=$?
kill "$leash"
exit "$code""#;

/// How far a build has come.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildProgress {
    /// `name@version` of the model.
    pub model: String,
    /// Since the build began.
    pub elapsed: Duration,
    /// What the program said last.
    pub line: String,
}

/// The program: the one that is named, on the path, or where the packages put it.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf, String> {
    if let Some(path) = named {
        return if path.is_file() {
            Ok(path.to_owned())
        } else {
            Err(format!("WEIR_TRTEXEC names {}, which is no file", path.display()))
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("trtexec"));
    on_path.chain([PathBuf::from(PACKAGED)]).find(|path| path.is_file()).ok_or_else(|| {
        format!("no trtexec on the path nor at {PACKAGED}: install libnvinfer-bin, or name it in WEIR_TRTEXEC")
    })
}

/// What is built.
pub(super) struct Request<'a> {
    /// The program.
    pub(super) program: &'a Path,
    /// The weights.
    pub(super) onnx: &'a Path,
    /// What for.
    pub(super) key: &'a Key,
    /// A folder of the build's own.
    pub(super) dir: &'a Path,
    /// Where timings of layers are kept from one build to the next.
    pub(super) timings: &'a Path,
    /// How long it may take.
    pub(super) limit: Duration,
}

/// Builds a plan; `heard` is told how far it has come.
///
/// # Errors
/// What the program said last, or that it took too long.
pub(super) fn build(
    request: &Request<'_>,
    heard: &mut dyn FnMut(&BuildProgress),
) -> Result<Vec<u8>, String> {
    let plan = request.dir.join("plan");
    let start = Instant::now();
    let mut child = Command::new("/bin/sh")
        .args(["-c", LEASH, "sh"])
        .arg(request.program)
        .args(arguments(request, &plan))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .current_dir(request.dir)
        // A group of its own: what it starts ends with it.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("/bin/sh, which runs trtexec, cannot be started: {error}"))?;
    // Waiting would close it, and that ends the build.
    let _leash = child.stdin.take();
    let (sender, lines) = bounded(64);
    let outputs: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as _),
        child.stderr.take().map(|pipe| Box::new(pipe) as _),
    ];
    for output in outputs.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || relay(output, &sender));
    }
    drop(sender);
    let mut tail = VecDeque::new();
    let mut progress = BuildProgress {
        model: request.key.model.clone(),
        elapsed: Duration::ZERO,
        line: String::new(),
    };
    let in_time = loop {
        let left = request.limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            break false;
        }
        match lines.recv_timeout(left.min(BEAT)) {
            Ok(line) => {
                progress.line.clone_from(&line);
                tail.push_back(line);
                tail.drain(..tail.len().saturating_sub(TAIL));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break true,
        }
        progress.elapsed = start.elapsed();
        heard(&progress);
    };
    if !in_time && let Some(group) = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0)) {
        // It may just have ended by itself.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let said = Vec::from(tail).join("\n  ");
    if !in_time {
        let minutes = request.limit.as_secs_f64() / 60.0;
        return Err(format!(
            "the build took more than {minutes:.1} minutes and was ended; its last words:\n  {said}"
        ));
    }
    if !status.success() {
        let how = match status.code() {
            // As a shell tells of signals.
            Some(code) if code > 128 => format!("signal {}", code - 128),
            _ => status.to_string(),
        };
        return Err(format!("trtexec failed ({how}); its last words:\n  {said}"));
    }
    fs::read(&plan)
        .map_err(|error| format!("trtexec left no plan: {error}; its last words:\n  {said}"))
}

fn arguments(request: &Request<'_>, plan: &Path) -> Vec<OsString> {
    let with = |key: &str, path: &Path| {
        let mut argument = OsString::from(key);
        argument.push(path);
        argument
    };
    let mut arguments = vec![
        with("--onnx=", request.onnx),
        with("--saveEngine=", plan),
        with("--timingCacheFile=", request.timings),
        // The precision is that of the weights, and no other: nothing is rounded that nobody asked to be.
        "--stronglyTyped".into(),
        "--noTF32".into(),
        "--skipInference".into(),
        format!("--memPoolSize=workspace:{}", request.key.workspace_mb).into(),
    ];
    if let Some(shapes) = &request.key.shapes {
        for (name, sides) in ["min", "opt", "max"].iter().zip(&shapes.sides) {
            let sides: Vec<String> = sides.iter().map(u32::to_string).collect();
            arguments.push(format!("--{name}Shapes={}:{}", shapes.input, sides.join("x")).into());
        }
    }
    arguments
}

/// Passes lines on, each cut to a sensible length.
fn relay(output: impl Read, lines: &Sender<String>) {
    let mut reader = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        match reader.by_ref().take(LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text: String = text.trim_end().chars().filter(|c| !c.is_control()).collect();
        if !text.is_empty() && lines.send(text).is_err() {
            return;
        }
    }
}

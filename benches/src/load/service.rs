//! The box under load: the gateway in a process of its own, over a data folder that goes with it.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use weir::embed::{Embedding, ServeArguments, run_with};

/// Sleeps 5 ms in each sync, as a slow disk does: syncs here take between 0.03 and 3 ms.
const SLOW_SYNC: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
static int by(const char *name, int fd) {
    struct timespec pause = {0, 5000000};
    nanosleep(&pause, 0);
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}
int fsync(int fd) { return by("fsync", fd); }
int fdatasync(int fd) { return by("fdatasync", fd); }
"#;

/// Runs the gateway in this process, with a bare handler beside its calls. `group` writes share a transaction.
pub fn inside(config: &Path, data: &Path, group: usize) -> Result<ExitCode> {
    let arguments = ServeArguments {
        config: Some(config.to_owned()),
        listen: Some("127.0.0.1:0".to_owned()),
        data: Some(data.to_owned()),
        profile: None,
    };
    let ordinary = store::Config::default();
    // Alone means that nobody waits for company either.
    let linger = if group == 1 { Default::default() } else { ordinary.linger };
    let embedding = Embedding {
        calls: Some(Router::new().route("/bare", get(async || StatusCode::NO_CONTENT))),
        store: store::Config { group, linger, ..ordinary },
    };
    run_with(&arguments, embedding)
}

/// A running box.
pub struct Service {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its data folder.
    pub data: PathBuf,
    _dir: tempfile::TempDir,
}

/// How a box is started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup<'a> {
    /// Its settings.
    pub settings: &'a str,
    /// Whether every sync takes 5 ms longer.
    pub slow_sync: bool,
    /// Whether each write has a transaction of its own.
    pub alone: bool,
}

impl Service {
    /// Starts one.
    pub fn start(setup: Setup<'_>) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("weir-bench").tempdir_in(work()?)?;
        let (config, data) = (dir.path().join("weir.toml"), dir.path().join("data"));
        std::fs::write(&config, setup.settings)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("inside").arg(&config).arg(&data).arg(if setup.alone { "1" } else { "64" });
        if setup.slow_sync {
            command.env("LD_PRELOAD", slow_sync(dir.path())?);
        }
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("piped")?).lines();
        let mut said = String::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else { bail!("the box did not start:\n{said}") };
            if let Some((_, rest)) = line.split_once("serving on http://") {
                break rest.split('/').next().unwrap_or_default().parse()?;
            }
            said += &(line + "\n");
        };
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(Self { child, address, data, _dir: dir })
    }

    /// Memory of all its processes in bytes: what each shares with others counts in parts (PSS).
    pub fn memory(&self) -> u64 {
        let mut all = vec![self.child.id()];
        let mut sum = 0;
        while let Some(process) = all.pop() {
            let proc = PathBuf::from(format!("/proc/{process}"));
            let rollup = std::fs::read_to_string(proc.join("smaps_rollup")).unwrap_or_default();
            let line = rollup.lines().find_map(|l| l.strip_prefix("Pss:"));
            let kilobytes = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
            sum += kilobytes.unwrap_or_default() << 10;
            for task in std::fs::read_dir(proc.join("task")).into_iter().flatten().flatten() {
                let children = std::fs::read_to_string(task.path().join("children"));
                let children = children.unwrap_or_default();
                all.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
            }
        }
        sum
    }

    /// An API key, made by the command line.
    pub fn key(&self) -> Result<String> {
        let weir = std::env::current_exe()?.with_file_name("weir");
        let made = Command::new(weir)
            .args(["token", "create", "--scope", "submit,read", "--data"])
            .arg(&self.data)
            .output()?;
        if !made.status.success() {
            bail!("no key: {}", String::from_utf8_lossy(&made.stderr));
        }
        Ok(String::from_utf8(made.stdout)?.trim().to_owned())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the bench keeps its files: on the disk of the repository, not in memory.
fn work() -> Result<PathBuf> {
    let work = PathBuf::from(".bench");
    std::fs::create_dir_all(&work)?;
    Ok(work.canonicalize()?)
}

fn slow_sync(dir: &Path) -> Result<PathBuf> {
    let (source, library) = (dir.join("slow.c"), dir.join("slow.so"));
    std::fs::write(&source, SLOW_SYNC)?;
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    if !compiler.status()?.success() {
        bail!("the C compiler failed");
    }
    Ok(library)
}

//! A Postgres of one test's own: a cluster on a Unix socket in a folder that vanishes with it.
#![expect(clippy::expect_used, reason = "the rig of the tests: a test fails by panicking")]

use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Whose the server is where the tests run as root, which Postgres refuses to run as.
const USER: &str = "postgres";

/// Says that connections are welcome.
const READY: &str = "database system is ready to accept";

/// A running server; killed, and its folder removed, with this.
pub struct Postgres {
    home: tempfile::TempDir,
    settings: Vec<String>,
    server: Option<Child>,
    said: Arc<Mutex<String>>,
}

impl Postgres {
    /// One without fsync: what it commits survives a kill, but no power cut.
    ///
    /// # Panics
    /// When there is no Postgres on this machine, or it does not start; its own words are shown.
    pub fn start() -> Self {
        Self::start_with(&["fsync=off", "synchronous_commit=on", "full_page_writes=off"])
    }

    /// One that syncs what it commits, as in service.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub fn durable() -> Self {
        Self::start_with(&["fsync=on"])
    }

    /// One with these settings, each `name=value`.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub fn start_with(settings: &[&str]) -> Self {
        Self::start_below(&std::env::temp_dir(), settings)
    }

    /// The same in a folder of this one.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub fn start_below(around: &Path, settings: &[&str]) -> Self {
        let mut postgres = Self::vacant_below(around);
        copy(&template(), &postgres.data());
        own(postgres.home.path());
        postgres.settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        postgres.restart();
        postgres
    }

    /// One that does not run, for a cluster that somebody else puts into [`Postgres::data`].
    ///
    /// # Panics
    /// Where there is no room for it.
    pub fn vacant() -> Self {
        Self::vacant_below(&std::env::temp_dir())
    }

    fn vacant_below(around: &Path) -> Self {
        let home = tempfile::Builder::new().prefix("weir-pg").tempdir_in(around);
        let home = home.expect("a folder");
        own(home.path());
        Self { home, settings: Vec::new(), server: None, said: Arc::default() }
    }

    /// The cluster's folder.
    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// How `tokio-postgres` and `psql` find it.
    pub fn url(&self) -> String {
        format!("host={} user={USER} dbname=postgres", self.home.path().display())
    }

    /// Kills the server and every process of it at once, as losing the machine would; returns when all are gone.
    ///
    /// # Panics
    /// Where the system forbids it.
    pub fn kill(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let pid = Pid::from_child(&server);
        let main = pidfd_open(pid, PidfdFlags::empty()).expect("it is ours");
        // Stopped first, so that it starts none while they are counted.
        let _ = pidfd_send_signal(&main, Signal::STOP);
        let children = children(pid);
        let _ = pidfd_send_signal(&main, Signal::KILL);
        for child in &children {
            let _ = pidfd_send_signal(child, Signal::KILL);
        }
        server.wait().expect("it can be waited for");
        for child in &children {
            poll(&mut [PollFd::new(child, PollFlags::IN)], None).expect("a process can be polled");
        }
    }

    /// Starts it again on what [`Postgres::kill`] left; returns when it welcomes connections.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub fn restart(&mut self) {
        self.kill();
        let mut command = as_owner(&program("postgres"));
        command.arg("-D").arg(self.data());
        command.arg("-c").arg(format!("unix_socket_directories={}", self.home.path().display()));
        command.args(["-c", "listen_addresses=", "-c", "max_connections=60"]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = command.spawn().expect("Postgres can be started");
        let mut lines = BufReader::new(server.stderr.take().expect("piped")).lines();
        self.server = Some(server);
        let said = Arc::clone(&self.said);
        loop {
            let Some(Ok(line)) = lines.next() else { panic!("Postgres ended:\n{}", self.said()) };
            keep(&said, &line);
            if line.contains(READY) {
                break;
            }
        }
        // Its pipe must never fill.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| keep(&said, &line)));
    }

    /// What it has written to its log since it was first started.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

fn keep(said: &Mutex<String>, line: &str) {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    said.push_str(line);
    said.push('\n');
}

fn children(of: Pid) -> Vec<OwnedFd> {
    let pid = of.as_raw_nonzero();
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let pids = listed.unwrap_or_default();
    let pids = pids.split_whitespace().filter_map(|word| Pid::from_raw(word.parse().ok()?));
    pids.filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()).collect()
}

/// A fresh cluster, made once for each version and copied for each test: `initdb` takes a second, a copy a tenth.
fn template() -> PathBuf {
    let initdb = program("initdb");
    let version = initdb.parent().and_then(Path::parent).and_then(Path::file_name);
    let version = version.map_or_else(|| "x".into(), |name| name.to_string_lossy());
    let folder = scratch();
    fs::create_dir_all(&folder).expect("a folder can be made");
    let lock = File::create(folder.join("postgres.lock")).expect("a lock can be made");
    flock(&lock, FlockOperation::LockExclusive).expect("a lock can be waited for");
    let ready = folder.join(format!("postgres-{version}"));
    if ready.is_dir() {
        return ready;
    }
    let making = tempfile::tempdir().expect("a folder can be made");
    own(making.path());
    let made = making.path().join("data");
    let output = as_owner(&initdb)
        .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "--username", USER])
        .arg("--pgdata")
        .arg(&made)
        .output()
        .expect("initdb can be started");
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    // Complete under its name or not there at all.
    let partial = folder.join(format!("postgres-{version}.partial"));
    let _ = fs::remove_dir_all(&partial);
    copy(&made, &partial);
    fs::rename(&partial, &ready).expect("a folder can be renamed");
    ready
}

/// `target/tmp` of the build that runs.
fn scratch() -> PathBuf {
    let program = std::env::current_exe().expect("every process has a program");
    let target = program.ancestors().find(|path| path.join("CACHEDIR.TAG").is_file());
    target.map_or_else(std::env::temp_dir, Path::to_path_buf).join("tmp")
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.is_ok_and(|s| s.success()), "{} was not copied", from.display());
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gives a folder to the server's user.
///
/// # Panics
/// Where it is not ours to give.
pub fn own(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("it is ours");
    if is_root() {
        let status = Command::new("chown").arg("-R").arg(USER).arg(folder).status();
        assert!(status.is_ok_and(|s| s.success()), "there is no user {USER}");
    }
}

/// A program run as the server's user.
pub fn as_owner(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    // It ends with the test, however that ends.
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--pdeathsig", "KILL", "--"]);
    command.arg(program);
    command
}

/// A program of the newest Postgres that is installed.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.is_file())
        .max()
        .expect("Postgres is installed (scripts/packages-test.txt)")
}

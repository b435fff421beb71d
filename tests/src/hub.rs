//! A real hub: `weir-hub` on a real Postgres, as an operator would set it up.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "the rig of the tests: a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::postgres::Postgres;
use crate::weir;

/// A hub that serves, until it is dropped.
pub struct Hub {
    /// Its database; may be killed and restarted.
    pub postgres: Postgres,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

fn binary() -> PathBuf {
    let binary = weir::binary().with_file_name("weir-hub");
    assert!(binary.is_file(), "{} is missing: run `make build` first", binary.display());
    binary
}

fn told(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Hub {
    /// Sets a hub up on loopback, and starts it.
    ///
    /// # Panics
    /// Where any of its commands fails.
    pub fn start() -> Self {
        let postgres = Postgres::start();
        let folder = tempfile::tempdir().unwrap();
        let mut hub = Self { postgres, folder, child: None };
        // Free a moment ago; TCP and UDP ports are handed out apart from each other.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = hub.dir();
        let init = ["init", "--name", "127.0.0.1", "--port", &port.to_string(), "--dir"];
        let url = hub.postgres.url();
        told(&hub.command(&init).arg(&dir).args(["--database", &url]).output().unwrap());
        let settings = hub.settings();
        let text = std::fs::read_to_string(&settings).unwrap().replace("0.0.0.0", "127.0.0.1");
        std::fs::write(&settings, text).unwrap();
        told(&hub.command(&["migrate"]).output().unwrap());
        hub.serve();
        hub
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("hub")
    }

    fn settings(&self) -> PathBuf {
        self.dir().join("weir-hub.toml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env("WEIR_HUB_DATABASE", self.postgres.url());
        command
    }

    /// Starts it again.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn serve(&mut self) {
        let mut command = self.command(&["serve", "--config"]);
        let mut child = command.arg(self.settings()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines.by_ref().map_while(Result::ok).find(|line| {
            eprintln!("hub: {line}");
            line.contains("serving on ")
        });
        assert!(ready.is_some(), "the hub does not start");
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| eprintln!("hub: {line}"));
        });
        self.child = Some(child);
    }

    /// Ends it as a power cut would.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the hub runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// A line by which one box enrols.
    pub fn token(&self) -> String {
        let mut command = self.command(&["token", "enroll", "--config"]);
        told(&command.arg(self.settings()).output().unwrap())
    }

    /// Enrols the box of a data folder.
    ///
    /// # Panics
    /// Where it is refused.
    pub fn enroll(&self, data: &Path) {
        let run = weir::run(["enroll", &self.token(), "--data", data.to_str().unwrap()]);
        assert_eq!(run.code, Some(0), "{run:#?}");
    }

    /// Runs a command of `weir-hub` that has to do well; what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        told(&self.command(arguments).output().unwrap())
    }

    /// Rows of a query, columns parted by `|`.
    ///
    /// # Panics
    /// Where Postgres refuses it.
    pub fn query(&self, sql: &str) -> Vec<String> {
        let mut command = Command::new("psql");
        command.args(["--no-psqlrc", "-At", "-c", sql, &self.postgres.url()]);
        told(&command.output().unwrap()).lines().map(str::to_owned).collect()
    }

    /// How many machine decisions the hub has of each submission.
    pub fn decisions(&self) -> BTreeMap<String, u64> {
        let rows = self.query(
            "SELECT submission, count(*) FROM verdicts WHERE number = 0 GROUP BY submission",
        );
        let pair = |row: &String| {
            let (id, count) = row.split_once('|').unwrap();
            (id.to_owned(), count.parse().unwrap())
        };
        rows.iter().map(pair).collect()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

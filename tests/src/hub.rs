//! A real hub: `weir-hub` on a real Postgres, as an operator would set it up.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "the rig of the tests: a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::mosquitto::Mosquitto;
use crate::postgres::Postgres;
use crate::relay::Relay;
use crate::weir;

/// A hub that serves, until it is dropped.
pub struct Hub {
    /// Its database; may be killed and restarted.
    pub postgres: Postgres,
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

/// Another node over the same database, until it is dropped.
pub struct Node {
    port: u16,
    authority: PathBuf,
    child: Child,
}

/// What the API answered.
#[derive(Debug)]
pub struct Answered {
    /// The status code.
    pub status: u16,
    /// The media type.
    pub content_type: String,
    /// Whether nobody may keep it.
    pub no_store: bool,
    /// The body.
    pub bytes: Vec<u8>,
}

impl Answered {
    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    /// Status and code of a problem.
    ///
    /// # Panics
    /// Where it is none.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.content_type, "application/problem+json", "{self:?}");
        let code = self.json()["code"].as_str().unwrap_or_default().to_owned();
        (self.status, code)
    }
}

/// A hub with a broker; boxes find its UDP port behind a relay only.
pub struct Brokered {
    /// The hub.
    pub hub: Hub,
    /// Its broker, set up by what `weir-hub init` wrote.
    pub mosquitto: Mosquitto,
    /// The way for QUIC, closed at first.
    pub udp: Relay,
    #[expect(dead_code, reason = "the broker's folder lasts as long as the broker")]
    folder: tempfile::TempDir,
}

/// The program.
///
/// # Panics
/// Where it is not built.
pub fn binary() -> PathBuf {
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
        let mut hub = Self::set_up(Postgres::start(), &[]);
        hub.serve();
        hub
    }

    /// The same with these settings beside its own, and these files in its folder that only its user reads.
    ///
    /// # Panics
    /// Where any of its commands fails.
    pub fn start_with(settings: &str, files: &[(&str, &str)]) -> Self {
        let mut hub = Self::set_up(Postgres::start(), &[]);
        let own = std::fs::read_to_string(hub.settings()).unwrap();
        std::fs::write(hub.settings(), format!("{own}\n{settings}")).unwrap();
        for (name, text) in files {
            let mut file = std::fs::OpenOptions::new();
            let file = file.write(true).create_new(true).mode(0o600).open(hub.dir().join(name));
            file.unwrap().write_all(text.as_bytes()).unwrap();
        }
        hub.serve();
        hub
    }

    /// The same with its database on this disk, synced: the disk may be filled.
    ///
    /// # Panics
    /// Where any of its commands fails.
    pub fn start_on(disk: &Path) -> Self {
        // Little that it keeps for later use, so that a full disk is one soon.
        let settings = ["fsync=on", "min_wal_size=32MB", "max_wal_size=32MB", "wal_recycle=off"];
        let mut hub = Self::set_up(Postgres::start_below(disk, &settings), &[]);
        hub.serve();
        hub
    }

    /// Sets a hub up on loopback whose UDP port boxes find behind a relay only.
    ///
    /// # Panics
    /// Where any of its commands fails.
    pub fn start_relayed() -> (Self, Relay) {
        let mut hub = Self::set_up(Postgres::start(), &[]);
        let relay = hub.relayed(true);
        hub.serve();
        (hub, relay)
    }

    /// Puts a relay before its UDP port, for boxes that enrol from now on.
    fn relayed(&self, open: bool) -> Relay {
        let relay = Relay::new(([127, 0, 0, 1], self.port).into(), open);
        let quic = |address: &str| format!("quic = [\"{address}\"]");
        self.edit(&quic(&format!("127.0.0.1:{}", self.port)), &quic(&relay.address()));
        relay
    }

    /// Sets a hub and a broker up, and starts both. Boxes are told of a way for QUIC that is closed at first.
    ///
    /// # Panics
    /// Where any of its commands fails.
    pub fn start_with_broker() -> Brokered {
        let mut set_up = None;
        let broker = tempfile::tempdir().unwrap();
        let mosquitto = Mosquitto::start(broker.path(), |[boxes, nodes], data| {
            let broker = ["--broker", &format!("127.0.0.1:{boxes}")];
            let hub = Self::set_up(Postgres::start(), &broker);
            let dir = hub.dir().join("broker");
            let text = std::fs::read_to_string(dir.join("mosquitto.conf")).unwrap();
            let next = boxes + 1;
            // The next port is not ours to choose.
            hub.edit(&format!("127.0.0.1:{next}"), &format!("127.0.0.1:{nodes}"));
            let text = text
                .replace(&format!("listener {next} "), &format!("listener {nodes} "))
                .replace("0.0.0.0", "127.0.0.1")
                .replace("/etc/mosquitto/weir", dir.to_str().unwrap())
                .replace("/var/lib/mosquitto", data.to_str().unwrap());
            set_up = Some(hub);
            text
        });
        let mut hub = set_up.unwrap();
        let udp = hub.relayed(false);
        hub.serve();
        Brokered { hub, mosquitto, udp, folder: broker }
    }

    fn set_up(postgres: Postgres, broker: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let hub = Self { postgres, folder, port, child: None };
        let init = ["init", "--name", "127.0.0.1", "--port", &port.to_string(), "--dir"];
        let url = hub.postgres.url();
        let mut command = hub.command(&init);
        told(&command.arg(hub.dir()).args(["--database", &url]).args(broker).output().unwrap());
        hub.edit("0.0.0.0", "127.0.0.1");
        told(&hub.command(&["migrate"]).output().unwrap());
        hub
    }

    /// Writes something else into the settings, for the next start.
    ///
    /// # Panics
    /// Where there is no such text.
    pub fn edit(&self, from: &str, to: &str) {
        let settings = self.settings();
        let text = std::fs::read_to_string(&settings).unwrap();
        assert!(text.contains(from), "no {from} in {text}");
        std::fs::write(&settings, text.replace(from, to)).unwrap();
    }

    /// The folder that `weir-hub init` made.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("hub")
    }

    /// Its file of settings.
    pub fn settings(&self) -> PathBuf {
        self.dir().join("weir-hub.toml")
    }

    /// A command of `weir-hub` that knows its database.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env("WEIR_HUB_DATABASE", self.postgres.url());
        command
    }

    /// Starts it again.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn serve(&mut self) {
        self.child = Some(self.spawn(&self.settings()));
    }

    fn spawn(&self, settings: &Path) -> Child {
        let mut command = self.command(&["serve", "--config"]);
        let mut child = command.arg(settings).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines.by_ref().map_while(Result::ok).find(|line| {
            eprintln!("hub: {line}");
            line.contains("serving on ")
        });
        assert!(ready.is_some(), "the hub does not start");
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| eprintln!("hub: {line}"));
        });
        child
    }

    /// Starts another node over the same database, with the same keys. Boxes know nothing of it.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn another_node(&self) -> Node {
        let port = free_port();
        let text = std::fs::read_to_string(self.settings()).unwrap();
        let settings = self.dir().join("another.toml");
        std::fs::write(&settings, text.replace(&self.port.to_string(), &port.to_string())).unwrap();
        let authority = self.dir().join("authority.pem");
        Node { port, authority, child: self.spawn(&settings) }
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

    /// Ends it in order; its exit code, where that took less than its own patience.
    ///
    /// # Panics
    /// Where it does not run, or does not end.
    pub fn stop(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("the hub runs");
        let begun = std::time::Instant::now();
        let status = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(status.success());
        let code = child.wait().unwrap().code();
        (begun.elapsed() < std::time::Duration::from_secs(8)).then_some(code).flatten()
    }

    /// A line by which one box enrols.
    pub fn token(&self) -> String {
        let mut command = self.command(&["token", "enroll", "--config"]);
        told(&command.arg(self.settings()).output().unwrap())
    }

    /// The same for a box that serves these tenants.
    pub fn token_for(&self, tenants: &[&str]) -> String {
        let mut command = self.command(&["token", "enroll", "--config"]);
        command.arg(self.settings());
        command.args(tenants.iter().flat_map(|tenant| ["--tenant", tenant]));
        told(&command.output().unwrap())
    }

    /// Orders something; the life of the journal and the number.
    ///
    /// # Panics
    /// Where the hub refuses.
    pub fn order(&self, to: &str, order: &str) -> (String, u64) {
        let mut command = self.command(&["directive", "order", "--to", to, "--config"]);
        let place = told(&command.arg(self.settings()).arg(order).output().unwrap());
        let (epoch, rest) = place.split_once(' ').unwrap();
        (epoch.to_owned(), rest.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// What each box said of a directive, by the box's name: `applied`, `pending`, or why it was refused.
    ///
    /// # Panics
    /// Where there is no such directive.
    pub fn receipts(&self, to: &str, (epoch, seq): &(String, u64)) -> BTreeMap<String, String> {
        let seq = seq.to_string();
        let text = self.run(&["directive", "show", epoch, to, &seq, "--json"]);
        let list: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let word = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let one = |it: &serde_json::Value| {
            (word(&it["name"]).unwrap(), word(&it["reason"]).or(word(&it["state"])).unwrap())
        };
        list.iter().map(one).collect()
    }

    /// Enrols the box of a data folder under a name, for these tenants.
    ///
    /// # Panics
    /// Where it is refused.
    pub fn enroll_as(&self, name: &str, data: &Path, tenants: &[&str]) {
        let token = self.token_for(tenants);
        let arguments = ["enroll", &token, "--name", name, "--data", data.to_str().unwrap()];
        let run = weir::run(arguments);
        assert_eq!(run.code, Some(0), "{run:#?}");
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

    /// Calls its API, with a token where one is given: status and body.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn get(&self, path: &str, token: &str) -> (u16, String) {
        let call = agent(&self.dir().join("authority.pem"));
        let call = call.get(format!("https://127.0.0.1:{}{path}", self.port));
        let mut answer = call.header("authorization", format!("Bearer {token}")).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    /// Where it serves.
    pub fn address(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Its process.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("the hub runs").id()
    }

    /// Asks a box through its API.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn ask(&self, token: &str, of: &str, request: &serde_json::Value) -> Answered {
        ask(&self.dir().join("authority.pem"), self.port, token, of, request)
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

    /// The same where Postgres may refuse it; what it says.
    ///
    /// # Errors
    /// What Postgres says.
    pub fn try_query(&self, sql: &str) -> Result<(), String> {
        let mut command = Command::new("psql");
        let output =
            command.args(["--no-psqlrc", "-At", "-c", sql, &self.postgres.url()]).output().unwrap();
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
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

/// Ends a hub as a power cut would, while others talk to it.
///
/// # Panics
/// Where there is no such process.
pub fn kill(id: u32) {
    let status = Command::new("kill").args(["-9", &id.to_string()]).status().unwrap();
    assert!(status.success(), "no process {id}");
}

/// Free a moment ago, for TCP and UDP: they are handed out apart from each other.
fn free_port() -> u16 {
    loop {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        if std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn agent(authority: &Path) -> ureq::Agent {
    let root = Certificate::from_pem(&std::fs::read(authority).unwrap()).unwrap();
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[root])).build();
    let agent = ureq::Agent::config_builder().tls_config(tls).http_status_as_error(false);
    agent.build().new_agent()
}

fn ask(
    authority: &Path,
    port: u16,
    token: &str,
    of: &str,
    request: &serde_json::Value,
) -> Answered {
    let call = agent(authority).post(format!("https://127.0.0.1:{port}/v1/boxes/{of}/requests"));
    let call = call.header("authorization", format!("Bearer {token}"));
    let call = call.header("content-type", "application/json");
    let mut answer = call.send(request.to_string()).unwrap();
    let header = |name: &str| {
        let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    Answered {
        status: answer.status().as_u16(),
        content_type: header("content-type"),
        no_store: header("cache-control") == "no-store",
        bytes: answer.body_mut().read_to_vec().unwrap(),
    }
}

impl Node {
    /// Asks a box through this node.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn ask(&self, token: &str, of: &str, request: &serde_json::Value) -> Answered {
        ask(&self.authority, self.port, token, of, request)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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

//! The real `weir-hub` as a process, made by `init`, and boxes enrolled by its API.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use domain::journal::BoxId;
use rig::postgres::Postgres;
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sync::Directives;
use sync::driver::{Config, Driver, Status, Switching};
use sync::identity::enrol::{EnrolError, Granted, enrol, renew};
use sync::identity::{Certified, Token};
use sync::link;
use sync::quic::{Client, Failure};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::journal::Memory;

/// Runs a command of the hub.
pub fn weir_hub(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir-hub")).args(arguments).output().unwrap()
}

/// What a command that succeeds says.
pub fn told(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

/// A hub's folder, as `init` makes it, on ports that were free a moment ago.
pub fn init(around: &Path, postgres: &Postgres) -> PathBuf {
    init_at(around, postgres, "127.0.0.1")
}

/// The same at an address of this machine.
pub fn init_at(around: &Path, postgres: &Postgres, name: &str) -> PathBuf {
    let (folder, port) = (around.join("hub"), free_port().to_string());
    let (dir, database) = (folder.to_str().unwrap(), postgres.url());
    told(&weir_hub(&[
        "init",
        "--dir",
        dir,
        "--name",
        name,
        "--port",
        &port,
        "--database",
        &database,
    ]));
    let file = folder.join("weir-hub.toml");
    let settings = fs::read_to_string(&file).unwrap();
    fs::write(&file, settings.replace("0.0.0.0:", &format!("{name}:"))).unwrap();
    told(&weir_hub(&["migrate", "--database", &database]));
    file
}

/// The same hub on another port.
pub fn another(settings: &Path) -> PathBuf {
    let text = fs::read_to_string(settings).unwrap();
    let old = text.split("127.0.0.1:").nth(1).unwrap().split('"').next().unwrap();
    let file = settings.with_file_name("another.toml");
    fs::write(&file, text.replace(old, &free_port().to_string())).unwrap();
    file
}

fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A running hub; killed with this.
pub struct Hub(Child);

impl Hub {
    /// Starts it and waits until it serves.
    pub fn start(settings: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir-hub"));
        command.args(["serve", "--config"]).arg(settings).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        loop {
            let line = lines.next().unwrap().unwrap();
            if line.contains("serving on https://") {
                break;
            }
            eprintln!("{line}");
        }
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| eprintln!("{line}"))
        });
        Self(child)
    }

    /// Bytes of memory that are its own.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// kill -9, something in between, and it serves again.
    pub fn again(&mut self, settings: &Path, between: impl FnOnce()) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        between();
        *self = Self::start(settings);
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A token that the command line printed.
pub fn token(settings: &Path) -> Token {
    token_for(settings, &[])
}

/// The same for a box that serves these tenants.
pub fn token_for(settings: &Path, tenants: &[&str]) -> Token {
    let file = settings.to_str().unwrap();
    let mut arguments = vec!["token", "enroll", "--config", file, "--name", "pier"];
    arguments.extend(tenants.iter().flat_map(|tenant| ["--tenant", tenant]));
    told(&weir_hub(&arguments)).parse().unwrap()
}

/// A key as a box makes it.
pub fn device_key() -> Vec<u8> {
    Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref().to_vec()
}

/// A box: its key, what the hub granted, its journal.
#[derive(Clone)]
pub struct Edge {
    pub of: BoxId,
    pub key: Vec<u8>,
    pub granted: Granted,
    pub journal: Arc<Memory>,
}

impl Edge {
    pub fn enrol(token: &Token, key: Vec<u8>, journal: Memory) -> Result<Self, EnrolError> {
        let journal = Arc::new(journal);
        let of = sync::Journal::of(&*journal);
        let granted = enrol(token, of, &key, None, "test")?;
        Ok(Self { of, key, granted, journal })
    }

    pub fn authority(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.granted.authority.as_bytes()).unwrap()
    }

    pub fn renew(&self) -> Result<Granted, EnrolError> {
        renew(&self.granted.hubs, &self.authority(), self.of, &self.key, "test")
    }

    /// Shows this certificate from now on.
    pub fn client_with(&self, certificate: CertificateDer<'static>) -> Client {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        Client::new(&self.authority(), Certified { chain: vec![certificate], key }).unwrap()
    }

    /// Replicates to these hubs until told to stop.
    pub fn run(&self, hubs: Vec<String>) -> Running {
        let certificate = CertificateDer::from_pem_slice(self.granted.certificate.as_bytes());
        self.run_with(certificate.unwrap(), hubs)
    }

    pub fn run_with(&self, certificate: CertificateDer<'static>, hubs: Vec<String>) -> Running {
        self.start(certificate, hubs, None)
    }

    /// Replicates to its hubs, and does as they say.
    pub fn obey(&self, directives: Arc<dyn Directives>) -> Running {
        let certificate = CertificateDer::from_pem_slice(self.granted.certificate.as_bytes());
        self.start(certificate.unwrap(), self.granted.quic.clone(), Some(directives))
    }

    fn start(
        &self,
        certificate: CertificateDer<'static>,
        hubs: Vec<String>,
        directives: Option<Arc<dyn Directives>>,
    ) -> Running {
        let client = self.client_with(certificate);
        let (pause, longest_pause) = (Duration::from_millis(100), Duration::from_millis(500));
        let switching = Switching { give_up: Duration::from_secs(2), ..Switching::default() };
        // So that acks are seen as they come, not once a second.
        let link =
            link::Config { keep_every: Duration::from_millis(20), ..link::Config::default() };
        let config = Config { hubs, pause, longest_pause, switching, link, ..Config::default() };
        let (mut driver, status) = Driver::new(config, Arc::clone(&self.journal) as _);
        directives.into_iter().for_each(|directives| driver.set_directives(directives));
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let end = driver.run(&client, &mut stopped).await;
            client.close().await;
            end
        });
        Running { status, stop, task }
    }
}

/// A box that replicates.
pub struct Running {
    pub status: watch::Receiver<Status>,
    stop: watch::Sender<bool>,
    pub task: JoinHandle<Option<Failure>>,
}

impl Running {
    /// Waits until its status is so, a minute at most.
    pub async fn until(&mut self, what: &str, so: impl Fn(&Status) -> bool) {
        let waited = self.status.wait_for(|status| so(status));
        let waited = tokio::time::timeout(Duration::from_secs(60), waited)
            .await
            .map(|status| status.is_ok());
        assert!(waited == Ok(true), "not within a minute: {what}: {:?}", *self.status.borrow());
    }

    pub async fn stop(self) -> Option<Failure> {
        self.stop.send_replace(true);
        self.task.await.unwrap()
    }
}

//! A real broker, below a folder of its own.
#![expect(clippy::expect_used, reason = "the rig of the tests: a test fails by panicking")]

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A Mosquitto on loopback. It ends with this.
pub struct Mosquitto {
    child: Option<Child>,
    dir: PathBuf,
    ports: [u16; 2],
}

/// Where Debian puts it, whatever the path of the user says.
fn program() -> PathBuf {
    let usual = PathBuf::from("/usr/sbin/mosquitto");
    if usual.is_file() { usual } else { "mosquitto".into() }
}

impl Mosquitto {
    /// Starts one below `dir`. `configure` is given two free ports and a folder for what the broker keeps, and gives the
    /// configuration that listens at both.
    ///
    /// # Panics
    /// When it is not installed or does not come up; its own words are shown.
    pub fn start(dir: &Path, configure: impl FnOnce([u16; 2], &Path) -> String) -> Self {
        let free =
            [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
        let ports = free.each_ref().map(|free| free.local_addr().expect("an address").port());
        drop(free);
        let data = dir.join("data");
        std::fs::create_dir_all(&data).expect("the folder can be made");
        // Started by root it would go on as a user that cannot read this folder.
        let text = format!("{}\nuser root\nlog_dest stderr\n", configure(ports, &data));
        std::fs::write(dir.join("mosquitto.conf"), text).expect("it can be written");
        let mut broker = Self { child: None, dir: dir.to_owned(), ports };
        broker.restart();
        broker
    }

    /// Its ports, in the order of the configuration.
    pub fn ports(&self) -> [u16; 2] {
        self.ports
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Starts it again where it does not run.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        if self.child.is_some() {
            return;
        }
        let log = File::options().append(true).create(true).open(self.dir.join("log"));
        let child = Command::new(program())
            .arg("-c")
            .arg(self.dir.join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("its log can be opened"))
            .spawn()
            .expect("mosquitto can be started (scripts/packages-test.txt names its package)");
        let child = self.child.insert(child);
        let start = Instant::now();
        while self
            .ports
            .iter()
            .any(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err())
        {
            let ended = child.try_wait().expect("it can be asked").is_some();
            if ended || start.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                panic!("mosquitto did not come up:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Fails only where it ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Takes away what it has kept, while it does not run.
    ///
    /// # Panics
    /// When the folder cannot be emptied.
    pub fn forget(&self) {
        assert!(self.child.is_none(), "it runs, and would write it again");
        let data = self.dir.join("data");
        std::fs::remove_dir_all(&data).expect("the folder can be removed");
        std::fs::create_dir(&data).expect("the folder can be made");
    }

    /// Writes what it keeps to its disk now, as it does every minute.
    ///
    /// # Panics
    /// When there is no kill(1).
    pub fn save(&self) {
        self.signal("-USR1");
    }

    /// Has it read its configuration and access list again.
    ///
    /// # Panics
    /// When there is no kill(1).
    pub fn reload(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, flag: &str) {
        if let Some(child) = &self.child {
            let id = child.id().to_string();
            let told = Command::new("kill").args([flag, &id]).status().expect("kill(1) is there");
            assert!(told.success());
        }
    }
}

/// Somebody at a listener of the broker, with a certificate or without: another client than ours.
#[derive(Debug)]
pub struct Outsider {
    /// The listener's.
    pub port: u16,
    /// The authority's certificate, PEM.
    pub authority: PathBuf,
    /// A certificate and its key, PEM.
    pub certified: Option<[PathBuf; 2]>,
}

impl Outsider {
    /// Calls one of the clients of mosquitto.
    ///
    /// # Panics
    /// When it is not installed.
    pub fn call(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(["-V", "5", "-q", "1", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command.arg("--cafile").arg(&self.authority).args(arguments);
        if let Some([certificate, key]) = &self.certified {
            command.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        command
            .output()
            .expect("the clients of mosquitto are installed (scripts/packages-test.txt)")
    }

    /// Leaves a message at a topic; whether the broker was reached.
    pub fn leave(&self, topic: &str, text: &str) -> bool {
        let output = self.call("mosquitto_pub", &["-r", "-t", topic, "-m", text]);
        println!("{topic}: {} {}", output.status, String::from_utf8_lossy(&output.stderr));
        output.status.success()
    }

    /// What was left at topics, within two seconds.
    ///
    /// # Panics
    /// When it is no text.
    pub fn left(&self, topic: &str) -> Vec<String> {
        let output = self.call("mosquitto_sub", &["-v", "-W", "2", "-t", topic]);
        let text = String::from_utf8(output.stdout).expect("it is text");
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

//! A provider of identities that others made (npm's oidc-provider): whoever types a name there is that person.
#![expect(clippy::unwrap_used, reason = "the rig of the tests: a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::provider::CLIENT;

/// Where scripts/oidc.sh puts it, and what runs it.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.weir/oidc-provider");
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/oidc-provider/server.mjs");

/// A place for one; it runs from when it is started until it is dropped.
pub struct Foreign {
    port: u16,
    child: Option<Child>,
}

impl Foreign {
    /// A free place; nothing where it is not installed.
    ///
    /// # Panics
    /// Where no port is free.
    pub fn place() -> Option<Self> {
        let installed = Path::new(FOLDER).join("installed.json").is_file();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        installed.then_some(Self { port, child: None })
    }

    /// Settings of a hub that believes it. By another name than the hub's, so that to a browser it is another site.
    pub fn settings(&self) -> String {
        format!(
            "[screens.oidc]\nissuer = \"http://localhost:{}\"\nclient_id = \"{CLIENT}\"\nclient_secret_file = \"oidc.secret\"\nlabel = \"Our people\"\n",
            self.port
        )
    }

    /// Starts it for a hub, signing by this algorithm.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start(&mut self, hub: &str, alg: &str) {
        self.stop();
        // It finds what it needs beside itself.
        let server = Path::new(FOLDER).join("server.mjs");
        std::fs::copy(SERVER, &server).unwrap();
        let mut child = Command::new("node")
            .arg(server)
            .args([&self.port.to_string(), &format!("{hub}/ops/login/oidc/back"), alg])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.by_ref().map_while(Result::ok).any(|line| line == "ready"));
        // Read on, or it would stand still with its pipe full.
        std::thread::spawn(move || lines.for_each(drop));
        self.child = Some(child);
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.stop();
    }
}

//! A box that is a hub's, with the list of what it answered 202 to. The list is the oracle: each of it has exactly one machine decision
//! at the hub in the end, and every chain holds on both sides.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "the rig of the tests: a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::hub::Hub;
use crate::power::Power;
use crate::service::{Service, multipart};
use crate::weir;

/// Longest wait for what has to come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A box as a real process, and what it accepted.
pub struct Edge {
    /// Its disk.
    pub power: Power,
    /// Nothing while it is off.
    pub service: Option<Service>,
    /// Submissions that it answered with 202.
    pub accepted: BTreeSet<String>,
    dir: tempfile::TempDir,
    count: u32,
}

impl Default for Edge {
    fn default() -> Self {
        Self::new()
    }
}

impl Edge {
    /// A new box, running.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let power = Power::new(dir.path(), &dir.path().join("data"));
        let mut edge = Self { dir, power, service: None, accepted: BTreeSet::new(), count: 0 };
        edge.start();
        edge
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Starts it again.
    pub fn start(&mut self) {
        let service = Service::start_in(&self.data(), &[], &self.power.environment());
        self.service = Some(service);
    }

    /// Ends it as a power cut would end the process.
    ///
    /// # Panics
    /// Where it is off.
    pub fn kill(&mut self) {
        self.service.take().unwrap().kill();
    }

    /// The running service.
    ///
    /// # Panics
    /// Where it is off.
    pub fn service(&self) -> &Service {
        self.service.as_ref().expect("the box is on")
    }

    /// Hands captions in; stops where the box is gone.
    ///
    /// # Panics
    /// Where it is off, or an answer makes no sense.
    pub fn submit(&mut self, many: u32) {
        for _ in 0..many {
            self.count += 1;
            let text = format!("caption {} of {}", self.count, self.dir.path().display());
            let (kind, body) = multipart(&json!({ "text": text }), &[]);
            let headers = [("content-type", kind.as_str())];
            let called = self.service().try_call("POST", "/v1/submissions", &headers, &body);
            let Ok(answer) = called else { return };
            if answer.status == 202 {
                self.accepted.insert(answer.body["id"].as_str().unwrap().to_owned());
            }
        }
    }

    /// How replication stands, by the box's own word.
    pub fn replication(&self) -> Value {
        self.service().get("/v1/status").body["replication"].clone()
    }

    /// Asks until the state of replication is as it should be.
    pub fn waits(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        until(what, || Some(self.replication()).filter(&is))
    }
}

/// Asks again and again until something is there; what it was.
///
/// # Panics
/// When it does not come in a minute.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look)
}

/// The same with another patience.
///
/// # Panics
/// When it does not come.
pub fn within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < patience, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What of a list the hub has not exactly once.
pub fn wrong(hub: &Hub, accepted: &BTreeSet<String>) -> Vec<String> {
    let has = hub.decisions();
    let count = |id: &String| has.get(id).copied().unwrap_or(0);
    accepted.iter().filter(|id| count(id) != 1).map(|id| format!("{id}: {}", count(id))).collect()
}

/// The hub has each of them in the end, once.
///
/// # Panics
/// Where one does not come, or came twice.
pub fn arrives(hub: &Hub, accepted: &BTreeSet<String>) {
    until("every decision at the hub", || {
        let has = hub.decisions();
        accepted.iter().all(|id| has.contains_key(id)).then_some(())
    });
    assert_eq!(wrong(hub, accepted), Vec::<String>::new());
}

/// The chains hold on the box, which is off, and at the hub.
///
/// # Panics
/// Where one does not.
pub fn chains_hold(hub: &Hub, data: &Path) {
    let run = weir::run(["store", "verify", "--data", data.to_str().unwrap()]);
    assert!(run.code == Some(0) && run.stdout.contains("the chains hold"), "{run:#?}");
    hub.run(&["verify"]);
}

//! What the service manager is told: ready, alive, ending.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use rig::service::Service;

/// The far end of `NOTIFY_SOCKET`.
struct Manager(UnixDatagram);

impl Manager {
    fn new(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(socket)
    }

    /// The next message.
    fn told(&self) -> String {
        let mut bytes = [0; 4096];
        let count = self.0.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }
}

/// A service that a manager watches, with a ping every 100 ms.
fn managed(dir: &Path) -> (Manager, Service) {
    let path = dir.join("notify");
    let manager = Manager::new(&path);
    let usec = Path::new("400000");
    let environment = [("NOTIFY_SOCKET", path.as_path()), ("WATCHDOG_USEC", usec)];
    (manager, Service::start_in(&dir.join("data"), &[], &environment))
}

#[test]
fn the_manager_hears_ready_alive_and_ending() {
    let dir = tempfile::tempdir().unwrap();
    let (manager, service) = managed(dir.path());
    let ready = manager.told();
    assert!(ready.lines().any(|l| l == "READY=1"), "{ready}");
    assert!(ready.contains(&format!("STATUS=serving on {}", service.base())), "{ready}");
    for _ in 0..5 {
        assert_eq!(manager.told().trim(), "WATCHDOG=1");
    }
    // Told to end; pings may still come before it has heard.
    assert_eq!(service.stop(), Some(0));
    let rest = std::iter::repeat_with(|| manager.told());
    let ending = rest.take(100).find(|told| told.trim() != "WATCHDOG=1").unwrap();
    assert!(ending.lines().any(|l| l == "STOPPING=1"), "{ending}");
}

#[test]
fn a_process_that_stands_still_pings_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (manager, service) = managed(dir.path());
    while manager.told().trim() != "WATCHDOG=1" {}
    service.signal("STOP");
    // What was sent before it stood still, and then nothing for ten times the pause between two pings.
    manager.0.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut bytes = [0; 4096];
    let heard = (0..10).take_while(|_| manager.0.recv(&mut bytes).is_ok()).count();
    assert!(heard < 3, "{heard} pings from a process that stands still");
    service.signal("CONT");
    manager.0.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(manager.told().trim(), "WATCHDOG=1");
}

//! The real virus scanner in front of the real service: ClamAV's daemon with a signature of our own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rig::media::photo;
use rig::service::Service;
use serde_json::{Value, json};

/// What the daemon of these tests takes for a virus.
const SIGNATURE: &[u8] = b"WEIR-TEST-SIGNATURE-OF-NO-HARM";

/// The daemon.
struct Clamd {
    child: Child,
    socket: PathBuf,
}

impl Clamd {
    fn start(dir: &Path) -> Self {
        let (database, socket) = (dir.join("database"), dir.join("clamd.sock"));
        std::fs::create_dir_all(&database).unwrap();
        let hex: String = SIGNATURE.iter().map(|byte| format!("{byte:02x}")).collect();
        // Any kind of file, at any offset.
        std::fs::write(database.join("weir.ndb"), format!("Weir.Test:0:*:{hex}\n")).unwrap();
        let settings = dir.join("clamd.conf");
        let text = format!(
            "LocalSocket {}\nDatabaseDirectory {}\nForeground yes\nStreamMaxLength 1M\n",
            socket.display(),
            database.display()
        );
        std::fs::write(&settings, text).unwrap();
        let _ = std::fs::remove_file(&socket);
        let child = Command::new("/usr/sbin/clamd")
            .arg(format!("--config-file={}", settings.display()))
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("clamd: {e}; scripts/packages-test.txt names its package"));
        let mut clamd = Self { child, socket };
        let start = Instant::now();
        while !clamd.answers() {
            assert_eq!(clamd.child.try_wait().unwrap(), None, "clamd ended");
            assert!(start.elapsed() < Duration::from_secs(60), "clamd does not come up");
            std::thread::yield_now();
        }
        clamd
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = UnixStream::connect(&self.socket) else { return false };
        let mut answer = String::new();
        stream.write_all(b"zPING\0").is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("PONG")
    }

    fn stop(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Clamd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A photo that any viewer shows, with the signature behind it.
fn infected(seed: u32) -> Vec<u8> {
    [&photo(seed)[..], SIGNATURE].concat()
}

fn judged(service: &Service, meta: &Value, media: &[&[u8]]) -> Value {
    let answer = service.submit_with(&[("prefer", "wait=30")], meta, media);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

fn gate(service: &Service, bytes: &[u8]) -> u16 {
    service.get(&format!("/v1/gate?sha256={}", rig::sha256(bytes))).status
}

#[test]
fn what_the_scanner_finds_is_rejected_and_without_it_nothing_is_clean() {
    let dir = tempfile::tempdir().unwrap();
    let clamd = Clamd::start(dir.path());
    let config = dir.path().join("weir.toml");
    let socket = clamd.socket.display().to_string();
    std::fs::write(&config, format!("[clamav]\nsocket = \"{socket}\"\nseconds = 10\n")).unwrap();
    let data = dir.path().join("data");
    let service = Service::start(&data, &["--config", config.to_str().unwrap()]);

    let clean = judged(&service, &json!({}), &[&photo(1)]);
    assert_eq!((&clean["status"], &clean["complete"]), (&json!("approved"), &json!(true)));
    assert!(clean["policy"].as_str().unwrap().ends_with("+clamav"), "{clean}");
    assert_eq!(gate(&service, &photo(1)), 204);
    // A caption has nothing to scan.
    let caption = judged(&service, &json!({ "text": "hello" }), &[]);
    assert_eq!((&caption["status"], &caption["complete"]), (&json!("approved"), &json!(true)));

    let found = judged(&service, &json!({}), &[&photo(2), &infected(3)]);
    assert_eq!(
        (&found["status"], &found["complete"]),
        (&json!("rejected"), &json!(true)),
        "{found}"
    );
    assert_eq!(
        (&found["reasons"][0], &found["categories"]["malware"]),
        (&json!("malware"), &json!("high"))
    );
    let findings = found["findings"].as_array().unwrap();
    let finding = findings.iter().find(|f| f["detector"] == "clamav").unwrap();
    assert!(finding["label"].as_str().unwrap().starts_with("malware:Weir.Test"), "{finding}");
    assert_eq!((gate(&service, &photo(2)), gate(&service, &infected(3))), (204, 403));

    // More than the daemon takes is not clean either.
    let large = [&photo(4)[..], &vec![0; 2 << 20]].concat();
    let unscanned = judged(&service, &json!({}), &[&large]);
    assert_eq!((&unscanned["status"], &unscanned["complete"]), (&json!("held"), &json!(false)));

    clamd.stop();
    for bytes in [photo(5), infected(6)] {
        let unknown = judged(&service, &json!({}), &[&bytes]);
        assert_eq!(
            (&unknown["status"], &unknown["complete"]),
            (&json!("held"), &json!(false)),
            "{unknown}"
        );
        assert_eq!(unknown["reasons"], json!(["detector_missing:clamav"]), "{unknown}");
        assert_eq!(gate(&service, &bytes), 403);
    }
    let _again = Clamd::start(dir.path());
    assert_eq!(judged(&service, &json!({}), &[&photo(7)])["status"], "approved");
}

#[test]
fn a_verdict_from_before_the_scanner_does_not_pass_the_gate_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    assert_eq!(judged(&service, &json!({}), &[&infected(8)])["status"], "approved");
    assert_eq!(gate(&service, &infected(8)), 204);
    assert_eq!(service.stop(), Some(0));
    let config = dir.path().join("weir.toml");
    std::fs::write(&config, "[clamav]\nsocket = \"/nowhere/clamd.sock\"\n").unwrap();
    let service = Service::start(dir.path(), &["--config", config.to_str().unwrap()]);
    assert_eq!(gate(&service, &infected(8)), 403);
}

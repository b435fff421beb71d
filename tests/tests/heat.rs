//! A box that gets hot looks at less where the policy permits it, says so, and goes back. The sensors are a tree of files.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rig::media::{Clip, encode_mp4, scene};
use rig::service::Service;
use serde_json::{Value, json};

/// It goes back after a quarter of a minute.
const PATIENCE: Duration = Duration::from_secs(60);

/// A board with one zone that slows down at 95 °C.
struct Board(tempfile::TempDir);

impl Board {
    fn new() -> Self {
        let board = Self(tempfile::tempdir().unwrap());
        let zone = "sys/class/thermal/thermal_zone0";
        board.put(&format!("{zone}/type"), "tj-thermal\n");
        board.put(&format!("{zone}/trip_point_0_type"), "passive\n");
        board.put(&format!("{zone}/trip_point_0_temp"), "95000\n");
        let gpu = "sys/class/devfreq/17000000.gpu";
        board.put(&format!("{gpu}/cur_freq"), "306000000\n");
        board.put(&format!("{gpu}/max_freq"), "918000000\n");
        board.put(&format!("{gpu}/device/load"), "120\n");
        board.put("sys/class/hwmon/hwmon1/oc1_event_cnt", "3\n");
        board.celsius(50);
        board
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Whole at once, as the kernel's files are.
        let part = path.with_extension("part");
        std::fs::write(&part, text).unwrap();
        std::fs::rename(&part, &path).unwrap();
    }

    fn celsius(&self, celsius: u32) {
        self.put("sys/class/thermal/thermal_zone0/temp", &format!("{celsius}000\n"));
    }
}

/// A profile whose policy says this of gaps.
fn profile(folder: &Path, name: &str, gaps: &str) -> PathBuf {
    let text = format!(
        "name = \"{name}\"\ntitle = \"t\"\n[detectors.hash]\nkind = \"hash\"\n[policy]\nname = \"{name}\"\nversion = 1\n\
         {gaps}\nrequired = [\"hash\"]\n[[policy.rule]]\nid = \"bank\"\nwhen = 'found(\"hash\", \"bank:\")'\n\
         category = \"listed\"\nseverity = \"high\"\nreason = \"listed\"\n"
    );
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    path
}

fn start(folder: &Path, board: &Board, gaps: &str) -> Service {
    let profile = profile(folder, "clips", gaps);
    let arguments = ["--profile", profile.to_str().unwrap()];
    Service::start_in(&folder.join("data"), &arguments, &[("WEIR_SENSORS_ROOT", board.0.path())])
}

/// Asks until the status says so.
fn wait(service: &Service, pace: &str) -> Value {
    let start = Instant::now();
    loop {
        let status = service.get("/v1/status").body;
        if status["pace"] == pace {
            return status;
        }
        assert!(start.elapsed() < PATIENCE, "not {pace}: {}", status["pace"]);
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn judged(service: &Service, media: &[u8]) -> Value {
    let answer = service.submit_with(&[("prefer", "wait=30")], &json!({}), &[media]);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// Eight seconds; every picture another one, and a key frame.
fn clip() -> Vec<u8> {
    encode_mp4(Clip { fps: 5, frames: 40, key_frames: 1 }, |n| scene(128, 96, n)).unwrap()
}

#[test]
fn a_hot_box_looks_at_less_where_the_policy_permits_it_says_so_and_goes_back() {
    let (folder, board, clip) = (tempfile::tempdir().unwrap(), Board::new(), clip());
    let service = start(folder.path(), &board, "max_gap_ms = 1000\nmax_gap_ms_hot = 4000");
    wait(&service, "normal");
    let usual = judged(&service, &clip);
    assert_eq!((&usual["status"], &usual["complete"]), (&json!("approved"), &json!(true)));
    assert_eq!(usual["coverage"]["throttled"], false);
    assert_eq!(usual["coverage"]["gap_in_force_ms"], 1000);
    assert_eq!(usual["media"][0]["decoder"]["hardware"], false, "{usual}");
    let seen = |view: &Value| view["coverage"]["frames_seen"].as_u64().unwrap();
    assert!(seen(&usual) >= 8, "{usual}");

    board.celsius(96);
    let status = wait(&service, "throttled");
    let codes: Vec<_> = status["health"]["notices"].as_array().unwrap().iter().collect();
    assert!(codes.iter().any(|n| n["code"] == "throttled"), "{codes:?}");
    assert_eq!(status["gpus"][0]["load_percent"], 12.0);
    let hot = judged(&service, &clip);
    assert_eq!((&hot["status"], &hot["complete"]), (&json!("approved"), &json!(false)));
    assert_eq!((&hot["action"], &hot["reasons"]), (&json!("flag"), &json!(["throttled"])));
    assert_eq!(hot["coverage"]["throttled"], true);
    assert_eq!(hot["coverage"]["gap_in_force_ms"], 4000);
    let gap = hot["coverage"]["max_gap_ms"].as_u64().unwrap();
    assert!(gap > 1000 && gap <= 4000 && seen(&hot) * 2 <= seen(&usual), "{hot}");
    let metrics = service.get("/metrics").body;
    let metrics = metrics.as_str().unwrap();
    for line in [
        "weir_pace{pace=\"throttled\"} 1",
        "weir_pace_changes_total{pace=\"throttled\"} 1",
        "weir_throttled{by=\"over-current 1\"} 0",
        "weir_gpu_load_ratio{gpu=\"17000000.gpu\"} 0.12",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} is not in\n{metrics}");
    }
    let page = service.get("/page/live").body;
    assert!(page.as_str().unwrap().contains("throttled"), "{page}");

    board.celsius(50);
    wait(&service, "normal");
    let again = judged(&service, &clip);
    assert_eq!((&again["status"], &again["complete"]), (&json!("approved"), &json!(true)));
    assert_eq!(again["coverage"]["throttled"], false);
    assert_eq!(seen(&again), seen(&usual));
}

#[test]
fn a_promise_that_permits_no_less_is_kept_in_the_heat_and_throttling_alone_is_heat() {
    let (folder, board, clip) = (tempfile::tempdir().unwrap(), Board::new(), clip());
    let service = start(folder.path(), &board, "max_gap_ms = 1000");
    wait(&service, "normal");
    board.put("sys/class/hwmon/hwmon1/oc1_event_cnt", "4\n");
    wait(&service, "throttled");
    let hot = judged(&service, &clip);
    assert_eq!((&hot["status"], &hot["complete"]), (&json!("approved"), &json!(true)));
    assert_eq!(hot["coverage"]["throttled"], false);
    assert_eq!(hot["coverage"]["gap_in_force_ms"], 1000);
    assert!(hot["coverage"]["max_gap_ms"].as_u64().unwrap() <= 1000, "{hot}");
}

//! A disk that fills up under the service: new work is refused, what was accepted is finished, and room helps by itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use rig::media::scene;
use rig::mount::Mount;
use rig::service::{Answer, Service};
use rig::weir;
use serde_json::json;

fn photo(seed: u32) -> Vec<u8> {
    scene(640, 480, seed).jpeg(90).unwrap()
}

fn refused(answer: &Answer) {
    assert_eq!(
        (answer.status, &answer.body["reason"]),
        (507, &json!("storage_full")),
        "{answer:?}"
    );
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}

/// Asks again until the service takes a photo.
fn taken_again(service: &Service) -> String {
    let start = Instant::now();
    loop {
        let answer = service.submit(&json!({}), &[&photo(100)]);
        if answer.status == 202 {
            return answer.body["id"].as_str().unwrap().to_owned();
        }
        refused(&answer);
        assert!(start.elapsed() < Duration::from_secs(30), "there is room, and it is refused");
        // The service looks each second whether there is room; Retry-After says 30.
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_full_disk_refuses_new_work_finishes_the_old_and_recovers() {
    // Room for what must stay free (32 MiB), and some for work.
    let Some(mount) = Mount::new("64m") else {
        eprintln!(
            "skipped: mounting is not permitted here; the store's own tests cover a full database"
        );
        return;
    };
    let data = mount.path().join("data");
    let service = Service::start(&data, &[]);
    let submit = |seed| service.submit(&json!({}), &[&photo(seed)]);
    let mut accepted = Vec::new();
    for seed in 0..12 {
        let answer = submit(seed);
        assert_eq!(answer.status, 202, "{answer:?}");
        accepted.push(answer.body["id"].as_str().unwrap().to_owned());
    }
    // To the last byte, while most of them wait.
    mount.fill("filler");
    for seed in 12..15 {
        refused(&submit(seed));
        let text = service.call(
            "POST",
            "/v1/submissions",
            &[("content-type", "application/json")],
            br#"{"text":"words alone"}"#,
        );
        refused(&text);
    }
    assert_eq!(service.get("/readyz").status, 503);
    for id in &accepted {
        let view = service.decided(id);
        assert_eq!((&view["decision"], &view["status"]), (&json!(0), &json!("approved")), "{view}");
    }
    // Half of the disk is free, and all that has to stay so is not.
    std::fs::remove_file(mount.path().join("filler")).unwrap();
    let again = taken_again(&service);
    assert_eq!(service.decided(&again)["status"], "approved");
    assert_eq!(service.get("/readyz").status, 200);
    assert_eq!(service.stop(), Some(0));
    let run = weir::run(["store", "verify", "--data", data.to_str().unwrap()]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert_eq!(std::fs::read_dir(data.join("spool/blobs")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(data.join("spool/new")).unwrap().count(), 0);
    // A start on a full disk comes up as well, and says so.
    mount.fill("filler");
    let service = Service::start(&data, &[]);
    refused(&service.submit(&json!({}), &[&photo(200)]));
    std::fs::remove_file(mount.path().join("filler")).unwrap();
    taken_again(&service);
}

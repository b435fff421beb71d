//! What a hostile client can do to the real service with sockets alone: little, and nobody else notices.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rig::media::scene;
use rig::service::{Service, multipart};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The seconds that these services give heads and bodies.
const SECONDS: Duration = Duration::from_secs(1);

/// Memory in bytes that no trick here may cost: less than half of what is sent at once.
const SPENT: u64 = 64 << 20;

fn start(dir: &Path, limits: &str) -> Service {
    let profile = dir.join("small.toml");
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles/starter.toml");
    let text = std::fs::read_to_string(starter).unwrap();
    let small = text.replacen("[messages.en]", "[limits]\nmax_bytes = 4000000\n[messages.en]", 1);
    assert_ne!(text, small);
    std::fs::write(&profile, small).unwrap();
    let config = dir.join("weir.toml");
    std::fs::write(&config, format!("[limits]\n{limits}\n")).unwrap();
    let arguments = ["--config", config.to_str().unwrap(), "--profile", profile.to_str().unwrap()];
    Service::start(&dir.join("data"), &arguments)
}

fn connect(service: &Service) -> TcpStream {
    let stream = TcpStream::connect(service.base().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that comes back until the connection ends; a reset ends it, too.
fn rest(stream: &mut TcpStream) -> String {
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(count) = stream.read(&mut piece) {
        if count == 0 {
            break;
        }
        all.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// What is said to these bytes, the last on the connection.
fn say(service: &Service, bytes: &[u8]) -> String {
    let mut stream = connect(service);
    // The service may have heard enough before the end.
    let _ = stream.write_all(bytes);
    rest(&mut stream)
}

fn status(answer: &str) -> u16 {
    let number = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    number.and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn head(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")
}

/// A value of `/proc/PID/status` in bytes.
fn memory(service: &Service, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap();
    let line = status.lines().find(|l| l.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// The service still works, and nothing without an owner lies about.
fn unharmed(service: &Service) {
    let photo = scene(320, 240, 1).jpeg(85).unwrap();
    let answer = service.submit_with(&[("prefer", "wait=30")], &json!({}), &[&photo]);
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("approved")), "{answer:?}");
    let spool = service.data().join("spool");
    let start = Instant::now();
    loop {
        let count = |folder: &str| std::fs::read_dir(spool.join(folder)).unwrap().count();
        let left = (count("new"), count("blobs"));
        if left == (0, 0) {
            return;
        }
        // What was approved a moment ago is deleted beside the calls.
        assert!(start.elapsed() < PATIENCE, "{left:?}");
        assert_eq!(service.get("/healthz").status, 200);
    }
}

#[test]
fn whoever_sends_slowly_is_cut_off_and_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), "head_seconds = 1\nbody_seconds = 1");
    // Nothing at all; a byte now and then of a head, of the preface of HTTP/2, of bodies.
    let json = "content-type: application/json\r\ncontent-length: 1000\r\n";
    let form = "content-type: multipart/form-data; boundary=b\r\ntransfer-encoding: chunked\r\n";
    let cases = [
        (String::new(), "", 0),
        (
            String::new(),
            "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: yyyyyyyyyyyyyyyyyyyyyyyyyyy",
            408,
        ),
        (String::new(), "PRI * HTTP/2.0", 0),
        (
            head("POST", "/v1/submissions", json),
            "{\"text\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            408,
        ),
        (
            head("POST", "/v1/text", json),
            "{\"text\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            408,
        ),
        (
            head("POST", "/v1/submissions", form),
            "5\r\n--b\r\n\r\n2\r\nXy\r\n1\r\nz\r\n1\r\nz\r\n1\r\nz\r\n",
            408,
        ),
    ];
    std::thread::scope(|scope| {
        for (start, drip, expected) in &cases {
            for _ in 0..20 {
                let service = &service;
                scope.spawn(move || {
                    let mut stream = connect(service);
                    let begun = Instant::now();
                    stream.write_all(start.as_bytes()).unwrap();
                    let mut answers = stream.try_clone().unwrap();
                    let listening = std::thread::spawn(move || rest(&mut answers));
                    for byte in drip.bytes() {
                        // This is the attack: a sign of life, ten times a second.
                        std::thread::sleep(Duration::from_millis(100));
                        if listening.is_finished() || stream.write_all(&[byte]).is_err() {
                            break;
                        }
                    }
                    let answer = listening.join().unwrap();
                    let took = begun.elapsed();
                    assert!(took < SECONDS * 4, "{drip}: {took:?}");
                    let told = status(&answer);
                    assert!(told == *expected || told == 0, "{drip}: {answer}");
                });
            }
        }
        for _ in 0..10 {
            let begun = Instant::now();
            assert_eq!(service.get("/healthz").status, 200);
            assert!(begun.elapsed() < SECONDS, "{:?}", begun.elapsed());
        }
    });
    unharmed(&service);
}

#[test]
fn bodies_without_measure_are_refused_and_cost_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), "body_seconds = 20");
    unharmed(&service);
    // The high-water mark begins anew here (proc(5), clear_refs).
    std::fs::write(format!("/proc/{}/clear_refs", service.id()), "5").unwrap();
    let before = memory(&service, "VmRSS");
    let json = "content-type: application/json\r\n";
    let form = "content-type: multipart/form-data; boundary=b\r\n";
    // Ten gigabytes by its own word: refused before a byte of it, and nobody is told to go on.
    for kind in [json, form] {
        let headers = format!("{kind}content-length: 10737418240\r\nexpect: 100-continue\r\n");
        let mut stream = connect(&service);
        stream.write_all(head("POST", "/v1/submissions", &headers).as_bytes()).unwrap();
        let answer = rest(&mut stream);
        assert_eq!(status(&answer), 413, "{answer}");
        assert!(answer.contains("\"too_large\""), "{answer}");
    }
    // Bodies that do not end: JSON, a medium, the head of a part, what comes before the first part.
    let chunked = |kind: &str| format!("{kind}transfer-encoding: chunked\r\n");
    let meta = "--b\r\nContent-Disposition: form-data; name=\"meta\"\r\n\r\n{}\r\n";
    let medium = format!("{meta}--b\r\nContent-Disposition: form-data; name=\"media\"\r\n\r\n");
    let endless = [
        ("/v1/submissions", chunked(json), "{\"text\":\"".to_owned(), 413),
        ("/v1/text", chunked(json), "{\"text\":\"".to_owned(), 413),
        ("/v1/submissions", chunked(form), medium, 413),
        (
            "/v1/submissions",
            chunked(form),
            "--b\r\nContent-Disposition: form-data; name=\"meta\"\r\n\r\n".to_owned(),
            413,
        ),
        (
            "/v1/submissions",
            chunked(form),
            "--b\r\nContent-Disposition: form-data; name=\"".to_owned(),
            400,
        ),
        ("/v1/submissions", chunked(form), String::new(), 400),
    ];
    for (path, headers, beginning, expected) in &endless {
        let mut stream = connect(&service);
        let mut answers = stream.try_clone().unwrap();
        let listening = std::thread::spawn(move || rest(&mut answers));
        let first = format!("{:x}\r\n{beginning}\r\n", beginning.len());
        let start = head("POST", path, headers) + if beginning.is_empty() { "" } else { &first };
        stream.write_all(start.as_bytes()).unwrap();
        let piece = format!("{:x}\r\n{}\r\n", 64 << 10, "y".repeat(64 << 10));
        let mut sent = 0u64;
        while !listening.is_finished() && stream.write_all(piece.as_bytes()).is_ok() {
            sent += piece.len() as u64;
            assert!(sent < 1 << 30, "a gigabyte was taken: {beginning}");
        }
        let answer = listening.join().unwrap();
        // The answer may be lost where the bytes that nobody wants make the kernel reset the connection.
        assert!([*expected, 0].contains(&status(&answer)), "{beginning}: {answer}");
    }
    let grown = memory(&service, "VmHWM").saturating_sub(before);
    assert!(grown < SPENT, "{grown} bytes more");
    unharmed(&service);
}

#[test]
fn a_large_medium_within_the_limit_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), "");
    let photo = scene(320, 240, 2).jpeg(85).unwrap();
    let (large, larger) = (vec![0x5a; 3_900_000], vec![0x5a; 4_000_001]);
    let answer = service.submit(&json!({}), &[&photo, &large]);
    assert_eq!(answer.status, 202, "{answer:?}");
    let (kind, body) = multipart(&json!({}), &[&larger]);
    let headers = [("content-type", kind.as_str())];
    match service.try_call("POST", "/v1/submissions", &headers, &body) {
        Ok(answer) => assert_eq!(answer.status, 413, "{answer:?}"),
        Err(error) => assert!(error.to_string().contains("reset"), "{error}"),
    }
}

#[test]
fn ten_thousand_idle_connections_leave_room_for_others() {
    const IDLE: u64 = 10_000;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if maximum.is_some_and(|most| most < IDLE + 1_000) {
        println!("SKIPPED: only {maximum:?} open files are allowed here");
        return;
    }
    // The service has to raise its own.
    setrlimit(Resource::Nofile, Rlimit { current: Some(1024), maximum }).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), "head_seconds = 120");
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    unharmed(&service);
    let before = memory(&service, "VmRSS");
    let idle: Vec<TcpStream> = (0..IDLE)
        .map(|i| {
            let mut stream = connect(&service);
            if i % 2 == 0 {
                stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: loc").unwrap();
            }
            stream
        })
        .collect();
    let text = json!({ "text": "hello" }).to_string();
    for _ in 0..20 {
        let begun = Instant::now();
        let kind = [("content-type", "application/json")];
        let answer = service.call("POST", "/v1/text", &kind, text.as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(begun.elapsed() < SECONDS, "{:?}", begun.elapsed());
    }
    let grown = memory(&service, "VmRSS").saturating_sub(before);
    assert!(grown < 32_768 * IDLE, "{} bytes for each", grown / IDLE);
    println!("{} bytes for each idle connection", grown / IDLE);
    unharmed(&service);
    // They are all still there: none was closed to make room.
    for stream in idle.iter().step_by(100) {
        stream.set_nonblocking(true).unwrap();
        let error = (&*stream).read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[test]
fn requests_that_two_readers_could_read_in_two_ways_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), "head_seconds = 1");
    let smuggled = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let json = "content-type: application/json\r\n";
    let body = format!("0\r\n\r\n{smuggled}");
    let both = |first: &str, second: &str| {
        [head("POST", "/v1/text", &format!("{json}{first}\r\n{second}\r\n")), body.clone()].concat()
    };
    let length = format!("content-length: {}", body.len());
    for (bytes, expected) in [
        (both(&length, "transfer-encoding: chunked"), 400),
        (both("transfer-encoding: chunked", &length), 400),
        (both("transfer-encoding: chunked", "transfer-encoding: identity"), 400),
        (both("transfer-encoding: xchunked", &length), 400),
        (both("transfer-encoding: chunked, gzip", "x-a: b"), 400),
        (both("transfer-encoding : chunked", &length), 400),
        (both("content-length: 5", &length), 400),
        (both("content-length: 5, 5", "x-a: b"), 400),
        (both("content-length: +5", "x-a: b"), 400),
        (both("content-length: -1", "x-a: b"), 400),
        (both("content-length: 5", "x-a: b\r\n folded"), 400),
        (head("GET", "/healthz", "host: localhost\r\n"), 200),
        (head("GET", "/v1/submissions", "host: localhost\r\n"), 400),
        ("GET /healthz HTTP/1.1\r\n\r\n".into(), 200),
        ("GET /v1/submissions HTTP/1.1\r\n\r\n".into(), 400),
        ("GET /v1/submissions HTTP/1.1\r\nhost: a\0b\r\n\r\n".into(), 400),
        ("GET  /v1/submissions HTTP/1.1\r\nhost: localhost\r\n\r\n".into(), 400),
        ("\0\u{1}\u{2}\u{3} nonsense\r\n\r\n".into(), 400),
    ] {
        let answer = say(&service, bytes.as_bytes());
        assert_eq!(status(&answer), expected, "{bytes}\n{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "one answer for one: {bytes}\n{answer}");
        assert!(!answer.contains("weir_"), "the smuggled call was answered: {bytes}");
    }
    unharmed(&service);
}

#[test]
fn heads_paths_and_parts_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), "");
    let get = |path: &str, headers: &str| {
        status(&say(
            &service,
            head("GET", path, &format!("{headers}connection: close\r\n")).as_bytes(),
        ))
    };
    assert_eq!(get("/v1/submissions", &format!("x-large: {}\r\n", "y".repeat(200_000))), 431);
    let many = (0..1000).fold(String::new(), |mut all, i| {
        let _ = write!(all, "x-{i}: y\r\n");
        all
    });
    assert_eq!(get("/v1/submissions", &many), 431);
    assert_eq!(get(&format!("/{}", "y".repeat(100_000)), ""), 414);
    for (path, expected) in [
        ("/v1/submissions/%ff%fe", 400),
        ("/v1/submissions/..%2f..%2fetc%2fpasswd", 404),
        ("/v1/submissions/%00", 404),
        ("/v1/submissions?status=%ff", 400),
        ("/../../etc/passwd", 404),
        ("//etc/passwd", 404),
    ] {
        assert_eq!(get(path, ""), expected, "{path}");
    }
    let (kind, whole) = multipart(&json!({}), &[b"x"]);
    let put = |id: &str| {
        service
            .call("PUT", &format!("/v1/submissions/{id}"), &[("content-type", &kind)], &whole)
            .status
    };
    assert_eq!((put("..%2f..%2fspool"), put("%2e%2e")), (422, 422));
    // A bomb: a kilobyte that would become a megabyte. Nothing here unpacks anything.
    for encoding in ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x"] {
        for (path, kind) in [
            ("/v1/submissions", "application/json"),
            ("/v1/text", "application/json"),
            ("/v1/submissions", kind.as_str()),
        ] {
            let headers = [("content-type", kind), ("content-encoding", encoding)];
            let answer = service.call("POST", path, &headers, &[0x1f, 0x8b, 8, 0]);
            assert_eq!(
                (answer.status, &answer.body["reason"]),
                (415, &json!("content_encoding")),
                "{path}"
            );
        }
    }
    let text = String::from_utf8(whole.clone()).unwrap();
    let long = "b".repeat(5_000);
    for boundary in ["", "\"\"", "weir-test-boundary-7f3b", &long, "a b"] {
        let kind = format!("multipart/form-data; boundary={boundary}");
        if let Ok(answer) =
            service.try_call("POST", "/v1/submissions", &[("content-type", &kind)], &whole)
        {
            assert_eq!(answer.status, 400, "{boundary}: {answer:?}");
        }
    }
    let form = [("content-type", kind.as_str())];
    let twice = multipart(&json!({}), &vec![&b"x"[..]; 400]).1;
    let duplicate = text.replacen("{}", "{\"text\":\"a\",\"text\":\"b\"}", 1);
    let deep = text.replacen("{}", &"[".repeat(100_000), 1);
    let nested = text.replacen("{}", &format!("{{\"text\":{}", "{\"a\":".repeat(50_000)), 1);
    let unnamed = text.replacen("; name=\"media\"", "", 1);
    for (body, expected) in [
        (twice, 422),
        (duplicate.into_bytes(), 422),
        (deep.into_bytes(), 422),
        (nested.into_bytes(), 422),
        (unnamed.into_bytes(), 400),
        (text.replacen("{}", "", 1).into_bytes(), 400),
        (whole[..whole.len() - 4].to_vec(), 400),
    ] {
        let answer = service.call("POST", "/v1/submissions", &form, &body);
        assert_eq!(answer.status, expected, "{answer:?}");
    }
    let mut invalid = text.replacen("{}", "{\"text\":\"?\"}", 1).into_bytes();
    let at = invalid.iter().position(|b| *b == b'?').unwrap();
    invalid[at] = 0xff;
    assert_eq!(service.call("POST", "/v1/submissions", &form, &invalid).status, 400);
    unharmed(&service);
}

#[test]
fn pages_of_other_sites_can_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), "");
    let (kind, whole) = multipart(&json!({}), &[b"x"]);
    let put = format!("/v1/submissions/{}", uuid::Uuid::now_v7());
    // What a page may send without asking first: the simple kinds, and whatever a browser lets slip.
    for (method, path) in [("POST", "/v1/submissions"), ("POST", "/v1/text"), ("PUT", put.as_str())]
    {
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/json", &kind] {
            for origin in ["https://evil.example", "null", "http://localhost.evil.example"] {
                let headers = [("content-type", kind), ("origin", origin)];
                let answer = service.call(method, path, &headers, &whole);
                assert_eq!(
                    (answer.status, &answer.body["reason"]),
                    (403, &json!("origin_foreign")),
                    "{method} {path} {kind} {origin}"
                );
            }
            let rebound = service.call(
                method,
                path,
                &[("content-type", kind), ("host", "evil.example")],
                &whole,
            );
            assert_eq!((rebound.status, &rebound.body["reason"]), (421, &json!("host_foreign")));
        }
    }
    assert_eq!(service.get("/v1/submissions").body["items"], json!([]));
    unharmed(&service);
}

#[test]
fn addresses_and_names_that_lead_inside_are_never_called() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), "");
    let inside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let port = inside.local_addr().unwrap().port();
    let kind = [("content-type", "application/json")];
    let mut accepted = 0;
    // `localhost` is the name that certainly resolves to a private address; the rest are other spellings of it.
    for host in [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
        "127.1",
    ] {
        let url = format!("http://{host}:{port}/photo.jpg");
        let body = json!({ "media": [{ "url": url }] }).to_string();
        let answer = service.call("POST", "/v1/submissions", &kind, body.as_bytes());
        if answer.status == 202 {
            accepted += 1;
        } else {
            assert!((400..500).contains(&answer.status), "{host}: {answer:?}");
        }
    }
    assert!(accepted > 0);
    // Each is tried at least once.
    let start = Instant::now();
    loop {
        let metrics = service.get("/metrics").body;
        let lines = metrics.as_str().unwrap().lines();
        let failed = lines.filter_map(|l| l.strip_prefix("weir_attempts_failed_total ")).next();
        if failed.unwrap().parse::<u32>().unwrap() >= accepted {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{failed:?}");
    }
    let called = inside.accept().map(|_| ());
    assert_eq!(called.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "it was called");
}

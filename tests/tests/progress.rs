//! What a client that waits is shown: how far upload, fetching, decoding and looking have come. Needs no outside data.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rig::endpoint::read_request;
use rig::media::{Clip, encode_mp4, photo, scene};
use rig::service::{Service, multipart};
use serde_json::{Value, json};

/// One event of a stream: its name and its data.
type Event = (String, Value);

/// The stream of a submission's events.
struct Events(BufReader<TcpStream>);

fn connect(service: &Service) -> TcpStream {
    let stream = TcpStream::connect(service.base().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

impl Events {
    /// Opens it, and waits for its first event: from then on nothing is missed.
    fn open(service: &Service, id: &str) -> (Self, Event) {
        let mut stream = connect(service);
        let head = format!(
            "GET /v1/submissions/{id}/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut events = Self(BufReader::new(stream));
        let first = events.next().unwrap();
        (events, first)
    }

    /// The next one; `None` at the end.
    fn next(&mut self) -> Option<Event> {
        let mut name = None;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(told) = line.strip_prefix("event: ") {
                name = Some(told.trim().to_owned());
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name.unwrap(), serde_json::from_str(data).unwrap()));
            }
        }
    }

    /// All up to one of which `is_it` holds.
    fn until(&mut self, is_it: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut seen = Vec::new();
        loop {
            let event = self.next();
            seen.push(event.unwrap_or_else(|| panic!("the stream ended before: {seen:#?}")));
            if is_it(seen.last().unwrap()) {
                return seen;
            }
        }
    }
}

fn stage<'a>(name: &'a str) -> impl Fn(&Event) -> bool + 'a {
    move |(_, data)| data["stage"] == name
}

fn percents(events: &[Event], name: &str) -> Vec<u64> {
    let of_stage = events.iter().filter(|event| stage(name)(event));
    of_stage.filter_map(|(_, data)| data["percent"].as_u64()).collect()
}

/// Stages in their order, each once however many events it has.
fn stages(events: &[Event]) -> Vec<String> {
    let mut names: Vec<String> = events
        .iter()
        .filter(|(name, _)| name == "progress")
        .map(|(_, data)| {
            let stage = data["stage"].as_str().unwrap();
            data["media"].as_u64().map_or(stage.to_owned(), |media| format!("{stage} {media}"))
        })
        .collect();
    names.dedup();
    names
}

/// A clip whose pictures differ, and of which there are so many that decoding takes its time.
fn clip() -> Vec<u8> {
    let clip = Clip { fps: 10, frames: 120, key_frames: 5 };
    encode_mp4(clip, |index| scene(320, 240, index / 5)).unwrap()
}

#[test]
fn an_upload_shows_how_much_is_here_and_a_video_how_far_it_is_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let id = uuid::Uuid::now_v7().to_string();
    let (mut events, (name, first)) = Events::open(&service, &id);
    assert_eq!((name.as_str(), &first["status"]), ("status", &json!("unknown")));
    let (kind, body) = multipart(&json!({}), &[&photo(1), &clip()]);
    let mut upload = connect(&service);
    let head = format!(
        "PUT /v1/submissions/{id} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let (half, rest) = body.split_at(body.len() / 2);
    upload.write_all(head.as_bytes()).unwrap();
    upload.write_all(half).unwrap();
    // Half of it is sent: what stands there is told, and nothing more.
    let mut seen = events.until(|(_, data)| data["percent"].as_u64() >= Some(49));
    assert!(percents(&seen, "uploading").iter().all(|p| *p <= 50), "{seen:#?}");
    upload.write_all(rest).unwrap();
    let mut answer = String::new();
    upload.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    seen.extend(events.until(|(name, _)| name == "verdict"));
    assert_eq!(events.next().map(|(name, _)| name), None);
    let (_, verdict) = seen.last().unwrap();
    assert_eq!(verdict["status"], "approved", "{verdict}");
    let way = stages(&seen);
    // A worker may take it up before the one who accepted it comes to say that it waits.
    let way: Vec<&str> = way.iter().map(String::as_str).filter(|s| *s != "queued").collect();
    assert_eq!(
        way,
        ["uploading", "judging", "decoding 0", "detecting 0", "decoding 1", "detecting 1"]
    );
    assert_eq!(percents(&seen, "uploading").last(), Some(&100));
    let of_clip: Vec<Event> = seen.iter().filter(|(_, data)| data["media"] == 1).cloned().collect();
    let decoded = percents(&of_clip, "decoding");
    assert!(decoded.is_sorted() && decoded.last() == Some(&100), "{decoded:?}");
    assert!(decoded.iter().any(|p| (1..100).contains(p)), "{decoded:?}");
    assert_eq!(percents(&of_clip, "detecting").last(), Some(&100));
    for name in ["uploading", "detecting"] {
        assert!(percents(&of_clip, name).is_sorted(), "{seen:#?}");
    }
}

#[test]
fn an_upload_of_unknown_length_shows_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let id = uuid::Uuid::now_v7().to_string();
    let (mut events, _) = Events::open(&service, &id);
    let (kind, body) = multipart(&json!({}), &[&photo(2)]);
    let mut upload = connect(&service);
    let head = format!(
        "PUT /v1/submissions/{id} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    upload.write_all(head.as_bytes()).unwrap();
    let mut piece = |bytes: &[u8]| {
        upload.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).unwrap();
        upload.write_all(bytes).unwrap();
        upload.write_all(b"\r\n").unwrap();
    };
    let (half, rest) = body.split_at(body.len() / 2);
    piece(half);
    let length = half.len() as u64;
    let seen = events.until(|(_, data)| data["bytes"].as_u64() == Some(length));
    assert!(seen.iter().all(|(_, data)| data["percent"].is_null()), "{seen:#?}");
    piece(rest);
    piece(b"");
    let seen = events.until(|(name, _)| name == "verdict");
    let bytes = seen.iter().filter_map(|(_, data)| data["bytes"].as_u64()).next_back();
    assert_eq!(bytes, Some(body.len() as u64), "{seen:#?}");
}

#[test]
fn fetching_shows_how_much_of_each_medium_is_here() {
    let dir = tempfile::tempdir().unwrap();
    let far = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = dir.path().join("weir.toml");
    std::fs::write(&config, "[fetch]\nallow = [\"127.0.0.0/8\"]\n").unwrap();
    let arguments = ["--config", config.to_str().unwrap()];
    let service = Service::start(&dir.path().join("data"), &arguments);
    let id = uuid::Uuid::now_v7().to_string();
    let (mut events, _) = Events::open(&service, &id);
    let url = format!("http://{}/photo.jpg", far.local_addr().unwrap());
    let meta = json!({ "media": [{ "url": url }] }).to_string();
    let kind = [("content-type", "application/json")];
    let put = service.call("PUT", &format!("/v1/submissions/{id}"), &kind, meta.as_bytes());
    assert_eq!(put.status, 202, "{put:?}");
    let (mut there, _) = far.accept().unwrap();
    read_request(&mut there).unwrap();
    let bytes = photo(3);
    let (half, rest) = bytes.split_at(bytes.len() / 2);
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len());
    there.write_all(&[head.as_bytes(), half].concat()).unwrap();
    let fetching = |(_, data): &Event| {
        data["stage"] == "fetching" && data["media"] == 0 && data["percent"].as_u64() >= Some(49)
    };
    let seen = events.until(fetching);
    assert!(percents(&seen, "fetching").iter().all(|p| *p <= 50), "{seen:#?}");
    there.write_all(rest).unwrap();
    let seen = events.until(|(name, _)| name == "verdict");
    assert_eq!(percents(&seen, "fetching").last(), Some(&100), "{seen:#?}");
}

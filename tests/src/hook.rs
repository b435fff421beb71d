//! The far end of webhooks for as long as a test runs: says yes to every message and remembers it.
#![expect(clippy::expect_used, reason = "the rig of the tests: a test fails by panicking")]

use std::net::TcpListener;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::endpoint::{ok, read_request};

/// A message as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// `webhook-id`.
    pub id: String,
    /// The body.
    pub body: Value,
}

/// The far end. Its thread ends with the process.
#[derive(Clone)]
pub struct Hook {
    port: u16,
    told: Arc<(Mutex<Vec<Message>>, Condvar)>,
}

impl Hook {
    /// Listens from now on.
    ///
    /// # Panics
    /// Where no port is free.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the endpoint works");
        let port = listener.local_addr().expect("the endpoint works").port();
        let hook = Self { port, told: Arc::default() };
        let told = Arc::clone(&hook.told);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let told = Arc::clone(&told);
                std::thread::spawn(move || one(stream, &told));
            }
        });
        hook
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// All that came so far, once `enough` of it is there.
    ///
    /// # Panics
    /// When that takes longer than `patience`.
    pub fn wait(&self, patience: Duration, enough: impl Fn(&[Message]) -> bool) -> Vec<Message> {
        let (told, came) = &*self.told;
        let told = told.lock().expect("no thread panicked with it");
        let (told, late) = came
            .wait_timeout_while(told, patience, |told| !enough(told))
            .expect("no thread panicked with it");
        assert!(!late.timed_out(), "{} messages came, and not all that were due", told.len());
        told.clone()
    }
}

fn one(mut stream: std::net::TcpStream, told: &(Mutex<Vec<Message>>, Condvar)) {
    // The far end may be killed in the middle of its message: then there was none.
    let Ok(request) = read_request(&mut stream) else { return };
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return };
    let id = head.lines().find_map(|line| line.strip_prefix("webhook-id: "));
    let message = Message {
        id: id.unwrap_or_default().to_owned(),
        body: serde_json::from_str(body).unwrap_or_default(),
    };
    told.0.lock().expect("no thread panicked with it").push(message);
    told.1.notify_all();
    let _ = std::io::Write::write_all(&mut stream, &ok(b""));
}

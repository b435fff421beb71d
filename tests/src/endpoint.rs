//! The far end of webhooks and of fetched media: a small HTTP server that answers as it is told.
#![expect(clippy::expect_used, reason = "the rig of the tests: a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Answers each call with the next of these, and gives what was asked.
///
/// # Panics
/// In its thread, when a call is cut off.
pub fn endpoint(answers: Vec<Vec<u8>>) -> (u16, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the endpoint works");
    let port = listener.local_addr().expect("the endpoint works").port();
    let thread = std::thread::spawn(move || {
        let answer = |bytes: Vec<u8>| {
            let (mut stream, _) = listener.accept().expect("the endpoint works");
            let request = read_request(&mut stream).expect("the request arrives whole");
            stream.write_all(&bytes).expect("the endpoint works");
            request
        };
        answers.into_iter().map(answer).collect()
    });
    (port, thread)
}

/// Reads one request.
///
/// # Errors
/// What the connection says; `UnexpectedEof` where it ends in the middle.
pub fn read_request(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|l| {
                let (name, value) = l.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return Ok(text);
            }
        }
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&chunk[..count]);
    }
}

/// A good answer with this body.
pub fn ok(body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

//! Calls at an even pace. One thread that never sleeps drives all connections: timers of a runtime count in milliseconds, and
//! threads that sleep wake late, so that calls would come in bunches and the client's own delays would count as the box's.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::client::Times;
use crate::gate::CONNECTIONS;

struct Connection {
    stream: TcpStream,
    /// When the call in hand was due.
    due: Option<Instant>,
    answer: Vec<u8>,
}

/// Times from when each call was due, whether or not those before were slow, to the end of its answer's head. A call that
/// finds all connections taken waits for one, and its time runs.
pub fn paced(
    to: SocketAddr,
    questions: &[Vec<u8>],
    per_second: f64,
    time: Duration,
) -> Result<Times> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        connections.push(Connection { stream, due: None, answer: Vec::with_capacity(4096) });
    }
    let (each, began) = (Duration::from_secs_f64(1.0 / per_second), Instant::now());
    let (mut due, mut asked, mut times) = (began, 0usize, Vec::new());
    while due < began + time || connections.iter().any(|c| c.due.is_some()) {
        for connection in &mut connections {
            if connection.due.is_some() {
                times.extend(hear(connection)?);
            } else if due < began + time && due <= Instant::now() {
                // A question is far smaller than what the kernel takes at once.
                connection.stream.write_all(&questions[asked % questions.len()])?;
                connection.due = Some(due);
                asked += 1;
                due += each;
            }
        }
    }
    Ok(Times::new(times))
}

/// The time of the call in hand, where its answer is here.
fn hear(connection: &mut Connection) -> Result<Option<Duration>> {
    let mut piece = [0; 2048];
    let count = match connection.stream.read(&mut piece) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
        other => other?,
    };
    ensure!(count > 0, "the connection broke");
    connection.answer.extend_from_slice(&piece[..count]);
    if !connection.answer.ends_with(b"\r\n\r\n") {
        return Ok(None);
    }
    let head = String::from_utf8_lossy(&connection.answer);
    ensure!(head.starts_with("HTTP/1.1 204 "), "{head}");
    connection.answer.clear();
    Ok(connection.due.take().map(|due| due.elapsed()))
}

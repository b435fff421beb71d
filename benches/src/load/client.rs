//! As much of an HTTP client as a bench needs: whole requests out, status and body in, over connections that stay.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Pieces in which a body is sent: less than the kernel takes at once, so that the last one is sent when it is accepted.
const PIECE: usize = 16 << 10;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// From the last byte of the request to the first of the answer.
    pub took: Duration,
    /// The body.
    pub body: Vec<u8>,
}

/// A connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A request's bytes.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    if method != "GET" {
        bytes.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    bytes.push_str("\r\n");
    [bytes.as_bytes(), body].concat()
}

impl Client {
    /// Opens one.
    pub async fn open(to: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a request and waits for its answer.
    pub async fn ask(&mut self, request: &[u8]) -> std::io::Result<Answer> {
        for piece in request.chunks(PIECE) {
            self.stream.write_all(piece).await?;
        }
        let sent = Instant::now();
        self.buffer.clear();
        let head = loop {
            self.more().await?;
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let took = sent.elapsed();
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_lowercase();
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let length = text.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
        let whole = head + length.unwrap_or(0);
        while self.buffer.len() < whole {
            self.more().await?;
        }
        Ok(Answer { status, took, body: self.buffer[head..whole].to_vec() })
    }

    async fn more(&mut self) -> std::io::Result<()> {
        let count = self.stream.read_buf(&mut self.buffer).await?;
        if count == 0 { Err(Error::from(ErrorKind::UnexpectedEof)) } else { Ok(()) }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Quantiles in milliseconds.
pub struct Times(Vec<f64>);

impl Times {
    /// Of these.
    pub fn new(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut all: Vec<f64> = times.into_iter().map(|t| t.as_secs_f64() * 1e3).collect();
        all.sort_by(f64::total_cmp);
        Self(all)
    }

    /// The time below which this share of them lies; zero of none.
    pub fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }
}

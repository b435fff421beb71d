//! The virus scanner: ClamAV's daemon, asked over its socket before anything else reads a medium (clamd(8), `INSTREAM`).
//!
//! Each scan has a connection of its own: the command, the bytes in pieces with their lengths before them, a piece of
//! length nought; the answer is `stream: OK` or `stream: NAME FOUND`, and everything else is no answer.

use domain::Coverage;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::config::{self, Socket};

/// How findings and policies name the scanner.
pub const DETECTOR: &str = "clamav";

/// Bytes of one piece.
const PIECE: usize = 128 << 10;

/// Most bytes of an answer.
const ANSWER_BYTES: usize = 4 << 10;

/// The scanner.
#[derive(Clone, Debug)]
pub struct Clamav {
    socket: Socket,
    timeout: Duration,
}

/// What the scanner says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// It knows nothing of these bytes.
    Clean,
    /// They match the signature of that name.
    Found(String),
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Clamav {
    /// As the settings say. Nothing is asked yet: the daemon may start after the service.
    pub fn new(config: &config::Clamav) -> Self {
        Self { socket: config.socket.clone(), timeout: config.timeout }
    }

    /// Has these bytes scanned.
    ///
    /// # Errors
    /// Where the daemon cannot be reached, takes too long, or says anything else than clean or found; bytes above its
    /// `StreamMaxLength` among them.
    pub fn scan(&self, bytes: &[u8]) -> io::Result<Scan> {
        let end = Instant::now() + self.timeout;
        let mut stream = self.connect()?;
        // The daemon may answer and close in the middle: then its answer says more than the broken pipe.
        let sent = send(&mut *stream, bytes, end);
        match (answer(&mut *stream, end), sent) {
            (Ok(answer), _) => meaning(&answer),
            (Err(_), Err(error)) | (Err(error), Ok(())) => Err(error),
        }
    }

    fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match &self.socket {
            Socket::Unix(path) => {
                let stream = connect_unix(path, self.timeout)?;
                stream.set_read_timeout(Some(self.timeout))?;
                Ok(Box::new(stream))
            }
            Socket::Tcp(address) => {
                let missing = || io::Error::new(io::ErrorKind::NotFound, "no such host");
                let address = address.to_socket_addrs()?.next().ok_or_else(missing)?;
                let stream = TcpStream::connect_timeout(&address, self.timeout)?;
                stream.set_read_timeout(Some(self.timeout))?;
                stream.set_write_timeout(Some(self.timeout))?;
                Ok(Box::new(stream))
            }
        }
    }
}

/// Connects within a time, which the standard library offers for TCP alone: a daemon that hangs leaves its queue full.
fn connect_unix(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(timeout))?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

fn send(stream: &mut dyn Stream, bytes: &[u8], end: Instant) -> io::Result<()> {
    stream.write_all(b"zINSTREAM\0")?;
    for piece in bytes.chunks(PIECE) {
        in_time(end)?;
        stream.write_all(&(piece.len() as u32).to_be_bytes())?;
        stream.write_all(piece)?;
    }
    stream.write_all(&[0; 4])
}

/// All up to the end, which is a nought or the end of the connection.
fn answer(stream: &mut dyn Stream, end: Instant) -> io::Result<String> {
    let (mut text, mut piece) = (Vec::new(), [0; 512]);
    loop {
        in_time(end)?;
        let count = stream.read(&mut piece)?;
        text.extend_from_slice(piece.get(..count).unwrap_or_default());
        if count == 0 || text.last() == Some(&0) || text.len() > ANSWER_BYTES {
            return Ok(String::from_utf8_lossy(&text).trim_matches(['\0', '\n', ' ']).to_owned());
        }
    }
}

fn in_time(end: Instant) -> io::Result<()> {
    if Instant::now() < end { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
}

fn meaning(answer: &str) -> io::Result<Scan> {
    let said = answer.strip_prefix("stream: ").unwrap_or_default();
    match said.strip_suffix(" FOUND") {
        Some(name) => Ok(Scan::Found(name.to_owned())),
        None if said == "OK" => Ok(Scan::Clean),
        None => Err(io::Error::other(format!("the scanner says `{answer}`"))),
    }
}

/// Writes down whether the scanner has seen what it had to see.
pub fn note(coverage: &mut Coverage, scanned: bool) {
    let list = |list: &mut Vec<String>, there: bool| {
        list.retain(|name| name != DETECTOR);
        if there {
            list.push(DETECTOR.to_owned());
            list.sort();
        }
    };
    list(&mut coverage.detectors_run, scanned);
    list(&mut coverage.detectors_missing, !scanned);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use std::os::unix::net::UnixListener;

    use super::*;

    fn clamav(path: &Path) -> Clamav {
        Clamav { socket: Socket::Unix(path.to_owned()), timeout: Duration::from_millis(200) }
    }

    #[test]
    fn only_a_plain_yes_or_no_is_an_answer() {
        assert_eq!(meaning("stream: OK").unwrap(), Scan::Clean);
        let name = "Eicar-Test-Signature";
        let found = meaning("stream: Eicar-Test-Signature FOUND").unwrap();
        assert_eq!(found, Scan::Found(name.into()));
        for other in
            ["", "OK", "stream: ", "stream: OK FOUNDLING", "INSTREAM size limit exceeded. ERROR"]
        {
            assert!(meaning(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_daemon_that_is_away_hangs_or_hangs_up_is_no_clean_bill() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clamd.sock");
        assert!(clamav(&path).scan(b"x").is_err(), "nobody is there");
        // It accepts nothing: the kernel takes the connection and a part of the bytes.
        let listener = UnixListener::bind(&path).unwrap();
        for bytes in [&b"x"[..], &vec![0; 8 << 20]] {
            assert!(clamav(&path).scan(bytes).is_err());
        }
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        let thread = std::thread::spawn(move || drop(listener.accept().unwrap()));
        assert!(clamav(&path).scan(b"x").is_err(), "it hung up");
        thread.join().unwrap();
    }
}

//! A long way: two network namespaces, and between them a relay that forwards IP packets through a TUN device at each end. It loses,
//! delays and paces them, so that TCP suffers as UDP does.
//!
//! The near end is the namespace of the process, which [`isolated`] makes one of its own; the far end is entered by threads that
//! [`Wan::far`] starts.
#![expect(clippy::expect_used, reason = "the rig of the tests: a test fails by panicking")]

use std::fs::File;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fd::AsFd as _;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tun_rs::{DeviceBuilder, SyncDevice};

/// Tells a process that it has a namespace of its own.
const MARK: &str = "WEIR_WAN";

/// What both devices are called, each in its namespace.
const DEVICE: &str = "weir0";

/// Of both devices, bytes.
const MTU: u16 = 1500;

/// The near end's address.
pub const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// The far end's.
pub const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// How long the way is, the same in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Share of packets that are lost.
    pub loss: f64,
    /// From one end to the other; half the round trip.
    pub delay: Duration,
    /// Bits a second.
    pub rate: f64,
    /// Bytes that wait where more comes than goes; beyond them packets are dropped.
    pub queue: usize,
}

/// Two namespaces, and the way between them. The far one ends with this.
pub struct Wan {
    line: Arc<Mutex<Line>>,
    /// Holds the far namespace while it runs: it waits for its input to end.
    holder: Child,
}

/// Runs this program again in a network namespace of its own, unless it is in one: then, and only then, comes back with `Ok`.
///
/// # Errors
/// Where this machine does not allow it; the text says what it says.
pub fn isolated() -> Result<(), String> {
    if std::env::var_os(MARK).is_some() {
        run("ip", &["link", "set", "lo", "up"]);
        return Ok(());
    }
    if !std::path::Path::new("/dev/net/tun").exists() {
        return Err("there is no /dev/net/tun".to_owned());
    }
    let mut flags = vec!["--net"];
    if !rustix::process::geteuid().is_root() {
        flags.extend(["--user", "--map-current-user", "--keep-caps"]);
    }
    let tried = Command::new("unshare").args(&flags).arg("true").output();
    match tried {
        Ok(tried) if tried.status.success() => {}
        Ok(tried) => return Err(String::from_utf8_lossy(&tried.stderr).trim().to_owned()),
        Err(error) => return Err(format!("unshare(1): {error}")),
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new("unshare");
    command.args(&flags).arg(own).args(std::env::args_os().skip(1)).env(MARK, "1");
    // Comes back only where it fails.
    Err(format!("unshare(1): {}", command.exec()))
}

impl Wan {
    /// A way, from the namespace of this process to another.
    ///
    /// # Panics
    /// Where the system does not allow it.
    pub fn new(line: Line) -> Self {
        // Says that it is there, then holds the namespace until it is killed.
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && echo there && read -r end"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare(1) is there");
        let mut said = String::new();
        let mut words = std::io::BufReader::new(holder.stdout.take().expect("piped"));
        std::io::BufRead::read_line(&mut words, &mut said).expect("it can be read");
        assert_eq!(said, "there\n", "the far namespace can be made");
        let wan = Self { line: Arc::new(Mutex::new(line)), holder };
        let near = Arc::new(device(NEAR));
        let far = Arc::new(wan.far(|| device(FAR)).join().expect("a device at the far end"));
        wan.carry(&near, &far, 1);
        wan.carry(&far, &near, 2);
        wan
    }

    /// Another line from now on. What is under way stays so.
    pub fn set(&self, line: Line) {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }

    /// Runs something on a thread at the far end: its sockets, and those of threads and processes that it starts, are there.
    pub fn far<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let place = format!("/proc/{}/ns/net", self.holder.id());
        let place = File::open(place).expect("the namespace is held");
        thread::spawn(move || {
            move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("the far namespace can be entered");
            work()
        })
    }

    /// One direction; ends with the process.
    fn carry(&self, from: &Arc<SyncDevice>, to: &Arc<SyncDevice>, seed: u64) {
        let (from, to, line) = (Arc::clone(from), Arc::clone(to), Arc::clone(&self.line));
        let (under_way, arriving) = channel();
        thread::spawn(move || take(&from, &line, &under_way, seed));
        thread::spawn(move || give(&to, &arriving));
    }
}

impl Drop for Wan {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.holder.stdin.take() {
            let _ = stdin.write_all(b"\n");
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

type Packet = (Instant, Vec<u8>);

/// Takes packets on their way: a few are lost, the rest leaves one after the other at the line's rate.
fn take(from: &SyncDevice, line: &Mutex<Line>, under_way: &Sender<Packet>, mut seed: u64) {
    let mut packet = [0; MTU as usize + 64];
    let mut free = Instant::now();
    while let Ok(length) = from.recv(&mut packet) {
        let Line { loss, delay, rate, queue } =
            *line.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        free = free.max(now);
        let waits = (free - now).as_secs_f64() * rate / 8.0;
        if chance(&mut seed) < loss || waits > queue as f64 {
            continue;
        }
        free += Duration::from_secs_f64(length as f64 * 8.0 / rate);
        if under_way.send((free + delay, packet[..length].to_vec())).is_err() {
            return;
        }
    }
}

/// Hands each over when it is due.
fn give(to: &SyncDevice, arriving: &Receiver<Packet>) {
    while let Ok((due, packet)) = arriving.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // A device that is gone takes nothing, and nobody waits for it.
        let _ = to.send(&packet);
    }
}

/// Between 0 and 1, the same ones for a seed (splitmix64).
fn chance(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 11) as f64 / (1u64 << 53) as f64
}

fn device(address: Ipv4Addr) -> SyncDevice {
    let device = DeviceBuilder::new().name(DEVICE).build_sync().expect("a TUN device can be made");
    run("ip", &["address", "add", &format!("{address}/24"), "dev", DEVICE]);
    run("ip", &["link", "set", DEVICE, "mtu", &MTU.to_string(), "up"]);
    device
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().expect("iproute2 is there");
    assert!(status.success(), "{program} {arguments:?}");
}

//! A way for UDP that can be closed or lose a share: whoever sends then hears nothing.
#![expect(clippy::expect_used, reason = "the rig of the tests: a test fails by panicking")]

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// How often it is seen whether the relay is to end.
const LOOK: Duration = Duration::from_millis(100);

/// What stands between boxes and a UDP port.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    open: AtomicBool,
    over: AtomicBool,
    /// Of a thousand datagrams, how many are lost in each direction.
    losing: AtomicU32,
    lost: AtomicU64,
    /// Counts datagrams: which of them are lost follows from it.
    count: AtomicU64,
}

impl Shared {
    /// Whether the next datagram gets through.
    fn carries(&self) -> bool {
        // Spread by a multiplier without a pattern that retransmissions could fall into (splitmix64's last step).
        let count = self.count.fetch_add(1, Ordering::SeqCst);
        let mixed = (count ^ (count >> 27)).wrapping_add(1).wrapping_mul(0x94d0_49bb_1331_11eb);
        let lost = (mixed >> 33) % 1000 < u64::from(self.losing.load(Ordering::SeqCst));
        self.lost.fetch_add(u64::from(lost), Ordering::SeqCst);
        self.open.load(Ordering::SeqCst) && !lost
    }
}

impl Relay {
    /// In front of a port, open or not.
    ///
    /// # Panics
    /// Where there is no free port.
    pub fn new(to: SocketAddr, open: bool) -> Self {
        let front = socket();
        let address = front.local_addr().expect("an address");
        let shared = Arc::new(Shared { open: AtomicBool::new(open), ..Shared::default() });
        let ours = Arc::clone(&shared);
        thread::spawn(move || carry(&Arc::new(front), to, &ours));
        Self { address, shared }
    }

    /// Where it listens, as `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Opens or closes it.
    pub fn open(&self, open: bool) {
        self.shared.open.store(open, Ordering::SeqCst);
    }

    /// Loses so many of a thousand datagrams in each direction from now on.
    pub fn lose(&self, per_mille: u32) {
        self.shared.losing.store(per_mille, Ordering::SeqCst);
    }

    /// How many it has lost while it was open or closed.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.set_read_timeout(Some(LOOK)).expect("a timeout can be set");
    socket
}

/// Each client gets a socket of its own towards the port, so that answers find back.
fn carry(front: &Arc<UdpSocket>, to: SocketAddr, shared: &Arc<Shared>) {
    let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut bytes = [0; 65_536];
    while !shared.over.load(Ordering::SeqCst) {
        let Ok((size, from)) = front.recv_from(&mut bytes) else { continue };
        let back = backs.entry(from).or_insert_with(|| {
            let back = Arc::new(socket());
            back.connect(to).expect("loopback can be connected to");
            let (back_too, front, shared) =
                (Arc::clone(&back), Arc::clone(front), Arc::clone(shared));
            thread::spawn(move || answer(&back_too, &front, from, &shared));
            back
        });
        if shared.carries() {
            // Refused while nobody listens behind it: lost, as on any way.
            let _ = back.send(&bytes[..size]);
        }
    }
}

fn answer(back: &UdpSocket, front: &UdpSocket, client: SocketAddr, shared: &Shared) {
    let mut bytes = [0; 65_536];
    while !shared.over.load(Ordering::SeqCst) {
        if let Ok(size) = back.recv(&mut bytes)
            && shared.carries()
        {
            let _ = front.send_to(&bytes[..size], client);
        }
    }
}

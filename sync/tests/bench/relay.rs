//! A way for UDP that can be closed: whoever sends then hears nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

pub struct Relay {
    address: SocketAddr,
    open: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

impl Relay {
    /// In front of a hub, for one box.
    pub async fn new(hub: SocketAddr, open: bool) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        back.connect(hub).await.unwrap();
        let address = front.local_addr().unwrap();
        let open = Arc::new(AtomicBool::new(open));
        let mut task = JoinSet::new();
        task.spawn(carry(front, back, Arc::clone(&open)));
        Self { address, open, _task: task }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn open(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }
}

async fn carry(front: UdpSocket, back: UdpSocket, open: Arc<AtomicBool>) {
    let (mut up, mut down) = ([0; 65_536], [0; 65_536]);
    let mut from = None;
    loop {
        tokio::select! {
            Ok((bytes, address)) = front.recv_from(&mut up) => {
                from = Some(address);
                if open.load(Ordering::SeqCst) {
                    let _ = back.send(&up[..bytes]).await;
                }
            }
            Ok(bytes) = back.recv(&mut down) => {
                if let Some(from) = from && open.load(Ordering::SeqCst) {
                    let _ = front.send_to(&down[..bytes], from).await;
                }
            }
        }
    }
}

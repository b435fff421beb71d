//! What a box tells of its load, on its way to the broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

/// Messages that may wait, also for a broker. Lossy: a few are enough.
const ROOM: usize = 32;

/// Where telemetry goes in. What finds no room is dropped and counted.
#[derive(Clone, Debug)]
pub struct Telemetry {
    queue: mpsc::Sender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

impl Telemetry {
    /// Publishes JSON under the box's telemetry topic.
    pub fn publish(&self, json: Vec<u8>) {
        if self.queue.try_send(json).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The driver's end.
pub(super) struct Queue {
    entrance: Telemetry,
    waiting: mpsc::Receiver<Vec<u8>>,
}

impl Queue {
    pub fn new() -> Self {
        let (queue, waiting) = mpsc::channel(ROOM);
        Self { entrance: Telemetry { queue, dropped: Arc::default() }, waiting }
    }

    pub fn entrance(&self) -> Telemetry {
        self.entrance.clone()
    }

    pub async fn next(&mut self) -> Vec<u8> {
        match self.waiting.recv().await {
            Some(json) => json,
            // Cannot be: we hold an entrance ourselves.
            None => std::future::pending().await,
        }
    }

    /// Whether one got through.
    pub fn passed(&self, passed: bool) {
        self.entrance.dropped.fetch_add(u64::from(!passed), Ordering::Relaxed);
    }
}

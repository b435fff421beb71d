//! What a box tells of its load, and a tenant's subscribers of decisions, on its way to the broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::journal::TenantId;
use tokio::sync::mpsc;

use crate::mqtt::Word;

/// Messages that may wait, also for a broker. Lossy; as many as a busy box decides in a few seconds.
const ROOM: usize = 256;

/// Where telemetry goes in. What finds no room is dropped and counted.
#[derive(Clone, Debug)]
pub struct Telemetry {
    queue: mpsc::Sender<Word>,
    dropped: Arc<AtomicU64>,
}

impl Telemetry {
    /// Publishes JSON under the box's telemetry topic.
    pub fn publish(&self, json: Vec<u8>) {
        self.put(Word::Telemetry(json));
    }

    /// Publishes JSON for a tenant's subscribers.
    pub fn result(&self, tenant: &TenantId, json: Vec<u8>) {
        self.put(Word::Result(tenant.clone(), json));
    }

    fn put(&self, word: Word) {
        if self.queue.try_send(word).is_err() {
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
    waiting: mpsc::Receiver<Word>,
}

impl Queue {
    pub fn new() -> Self {
        let (queue, waiting) = mpsc::channel(ROOM);
        Self { entrance: Telemetry { queue, dropped: Arc::default() }, waiting }
    }

    pub fn entrance(&self) -> Telemetry {
        self.entrance.clone()
    }

    pub async fn next(&mut self) -> Word {
        match self.waiting.recv().await {
            Some(word) => word,
            // Cannot be: we hold an entrance ourselves.
            None => std::future::pending().await,
        }
    }

    /// Whether one got through.
    pub fn passed(&self, passed: bool) {
        self.entrance.dropped.fetch_add(u64::from(!passed), Ordering::Relaxed);
    }
}

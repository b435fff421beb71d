//! The box's side: one connection to the broker, kept as long as it runs, for the journal where it goes this way, and for presence
//! and telemetry always.

use std::time::{Duration, Instant};

use domain::journal::{BoxId, Lane, TenantId};
use ring::rand::{SecureRandom as _, SystemRandom};
use rumqttc::{
    AsyncClient, Event as Polled, EventLoop, LastWill, Packet, Publish, PublishOptions, QoS,
    SubscribeReasonCode,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::broker::{Broker, Identity};
use super::{Presence, message, read, topic};
use crate::batch::Batch;
use crate::frame::{Down, Up};
use crate::link::Path;
use crate::pause::{Pause, chance};

/// Bulk batches that may wait for the broker, and frames of any other kind: few, the broker and the socket hold more.
const BULK: usize = 4;
const QUEUE: usize = 16;

/// Words that may wait for the broker; what finds no room is dropped.
const WORDS: usize = 128;

/// What the hub said and the box has not looked at yet.
const HEARD: usize = 64;

/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// What happens on the way through the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The broker takes messages, and passes on what the hub says.
    Ready,
    /// It does not, any more or at all: why. It is tried again.
    Gone(String),
    /// The hub said something, in this session.
    Heard(Down),
    /// The hub does not know this session: it wants a hello.
    Unknown,
    /// A frame of each kind can be sent.
    Room,
}

/// What goes out beside the journal, lossily.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// JSON of the box's load.
    Telemetry(Vec<u8>),
    /// JSON of a decision, for a tenant's subscribers.
    Result(TenantId, Vec<u8>),
}

/// A message to be published, under a session and, once one has answered, to a node.
struct Outgoing {
    to: Option<String>,
    message: Vec<u8>,
}

enum Told {
    Ready,
    Gone(String),
    Heard { session: u32, node: Option<String>, frame: Vec<u8> },
}

/// The box's way through the broker.
#[derive(Debug)]
pub struct Client {
    bulk: mpsc::Sender<Outgoing>,
    first: mpsc::Sender<Outgoing>,
    words: mpsc::Sender<Word>,
    told: mpsc::Receiver<Told>,
    path: watch::Sender<Option<Path>>,
    stop: watch::Sender<bool>,
    session: u32,
    /// Where the node that answered in this session listens.
    node: Option<String>,
    tasks: JoinSet<()>,
}

impl Client {
    /// Connects, and keeps connecting, as a box of a release. Needs a runtime.
    pub fn start(broker: Broker, of: BoxId, release: &str, pause: Pause) -> Self {
        let (bulk, bulks) = mpsc::channel(BULK);
        let (first, firsts) = mpsc::channel(QUEUE);
        let (words, waiting) = mpsc::channel(WORDS);
        let (tell, told) = mpsc::channel(HEARD);
        let (path, paths) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let release = release.to_owned();
        let mut tasks = JoinSet::new();
        let keeper = Keeper { broker, of, release, tell, paths, stopped };
        tasks.spawn(keeper.run(pause, Queues { bulks, firsts, words: waiting }));
        Self { bulk, first, words, told, path, stop, session: 0, node: None, tasks }
    }

    /// Sends a frame, once there is room. A hello begins a session.
    pub async fn send(&mut self, up: &Up) {
        if matches!(up, Up::Hello(_)) {
            self.session = another(self.session);
            self.node = None;
        }
        let queue = match up {
            Up::Batch(bytes) if !critical(bytes) => &self.bulk,
            _ => &self.first,
        };
        // What postcard cannot write does not occur.
        let Ok(frame) = up.encode() else { return };
        let message = message(self.session, &frame);
        // Fails only behind `close`.
        let _ = queue.send(Outgoing { to: self.node.clone(), message }).await;
    }

    /// Whether a frame of each kind can be sent without waiting.
    pub fn has_room(&self) -> bool {
        self.bulk.capacity() > 0 && self.first.capacity() > 0
    }

    /// What happens next. Where room is asked for, comes back with [`Event::Room`] once there is. May be dropped and called again.
    pub async fn next(&mut self, room: bool) -> Event {
        let Self { bulk, first, told, session, node, .. } = self;
        let room = async {
            match room {
                true => drop((bulk.reserve().await, first.reserve().await)),
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            event = heard(told, *session, node) => event,
            () = room => Event::Room,
        }
    }

    /// Publishes JSON under one of the box's topics. False where there is no room: it is dropped.
    pub fn tell(&self, word: Word) -> bool {
        self.words.try_send(word).is_ok()
    }

    /// By which way the journal goes now, for those who watch the box's presence.
    pub fn path(&self, path: Option<Path>) {
        self.path.send_if_modified(|told| std::mem::replace(told, path) != path);
    }

    /// Says that the box goes, and ends the connection.
    pub async fn close(mut self) {
        // Nobody left to stop is as good.
        let _ = self.stop.send(true);
        self.told.close();
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn heard(told: &mut mpsc::Receiver<Told>, of: u32, own: &mut Option<String>) -> Event {
    loop {
        match told.recv().await {
            // The task ends only when told to.
            None => return std::future::pending().await,
            Some(Told::Ready) => return Event::Ready,
            Some(Told::Gone(why)) => return Event::Gone(why),
            // Of an earlier hello: it may contradict what was said since.
            Some(Told::Heard { session, .. }) if session != of => {}
            Some(Told::Heard { frame, .. }) if frame.is_empty() => return Event::Unknown,
            Some(Told::Heard { node, frame, .. }) => match Down::decode(&frame) {
                Ok(down) => {
                    *own = node.or(own.take());
                    // `None` is of a later release.
                    if let Some(down) = down {
                        return Event::Heard(down);
                    }
                }
                Err(error) => tracing::warn!(%error, "the hub says what is no frame"),
            },
        }
    }
}

fn critical(batch: &[u8]) -> bool {
    matches!(Batch::place(batch), Some((_, Lane::Critical, _)))
}

/// A session's number: at random, since those of an earlier life of this process may still be under way.
fn another(before: u32) -> u32 {
    let mut bytes = [0u8; 4];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => u32::from_le_bytes(bytes),
        Err(_) => before.wrapping_add(1),
    }
}

struct Queues {
    bulks: mpsc::Receiver<Outgoing>,
    firsts: mpsc::Receiver<Outgoing>,
    words: mpsc::Receiver<Word>,
}

/// Keeps the connection.
struct Keeper {
    broker: Broker,
    of: BoxId,
    release: String,
    tell: mpsc::Sender<Told>,
    paths: watch::Receiver<Option<Path>>,
    stopped: watch::Receiver<bool>,
}

impl Keeper {
    async fn run(mut self, mut pause: Pause, mut queues: Queues) {
        let mut stopped = self.stopped.clone();
        loop {
            let begun = Instant::now();
            let Some(why) = self.connected(&mut queues).await else { return };
            // What is left over is of a session that ended with this.
            while queues.bulks.try_recv().is_ok() || queues.firsts.try_recv().is_ok() {}
            tracing::info!(broker = self.broker.address(), %why, "no connection to the broker");
            if self.tell.send(Told::Gone(why)).await.is_err() {
                return;
            }
            let pause = pause.next(begun.elapsed(), chance());
            if tokio::time::timeout(pause, stopped.wait_for(|stop| *stop)).await.is_ok() {
                return;
            }
        }
    }

    /// One connection. `None` where it was told to stop, else why it ended.
    async fn connected(&mut self, queues: &mut Queues) -> Option<String> {
        let (of, state) = (self.of, topic::state(self.of));
        let will = Presence::offline(&self.release).json();
        let will = LastWill::new(state.clone(), will, QoS::AtLeastOnce, true, None);
        let identity = Identity { name: of.to_string(), will: Some(will), by_hand: None };
        let (client, mut polled) = self.broker.open(identity);
        if let Err(error) = client.try_subscribe(topic::down(of), QoS::AtLeastOnce) {
            return Some(error.to_string());
        }
        let Queues { bulks, firsts, words } = queues;
        // All go on side by side: the loop is never kept from the socket by what waits to be published.
        let over = tokio::select! {
            why = listen(&mut polled, of, &self.tell) => Some(why),
            () = publish(&client, topic::up(of), firsts, bulks) => None,
            () = speak(&client, of, words) => None,
            () = present(&client, &state, &self.release, &mut self.paths) => None,
            _ = self.stopped.wait_for(|stop| *stop) => None,
        };
        if over.is_none() {
            let gone = PublishOptions::at_least_once().retained();
            // A broker that does not take it will find out by itself.
            let _ = client.try_publish(state, Presence::offline(&self.release).json(), gone);
            let _ = client.try_disconnect_with_timeout(FAREWELL);
            let end = async { while polled.poll().await.is_ok() {} };
            let _ = tokio::time::timeout(FAREWELL, end).await;
        }
        over
    }
}

/// Hears what comes, until the connection ends: why.
async fn listen(polled: &mut EventLoop, of: BoxId, tell: &mpsc::Sender<Told>) -> String {
    loop {
        let told = match polled.poll().await {
            Err(error) => return error.to_string(),
            Ok(Polled::Incoming(Packet::SubAck(ack))) => {
                let taken = |code| matches!(code, SubscribeReasonCode::Success(_));
                if !ack.return_codes.iter().copied().all(taken) {
                    return format!("the broker does not let us listen: {:?}", ack.return_codes);
                }
                Told::Ready
            }
            Ok(Polled::Incoming(Packet::Publish(publish))) => match said(of, &publish) {
                Some(told) => told,
                None => continue,
            },
            Ok(_) => continue,
        };
        if tell.send(told).await.is_err() {
            return "nobody listens any more".to_owned();
        }
    }
}

fn said(of: BoxId, publish: &Publish) -> Option<Told> {
    let (session, frame) = read(&publish.payload)?;
    let node = publish.properties.as_ref().and_then(|said| said.response_topic.clone());
    let node = node.filter(|node| topic::is_up_to(of, node));
    Some(Told::Heard { session, node, frame: frame.to_vec() })
}

/// Publishes frames, what is not bulk first.
async fn publish(
    client: &AsyncClient,
    any: String,
    firsts: &mut mpsc::Receiver<Outgoing>,
    bulks: &mut mpsc::Receiver<Outgoing>,
) {
    loop {
        let next = tokio::select! {
            biased;
            next = firsts.recv() => next,
            next = bulks.recv() => next,
        };
        let Some(Outgoing { to, message }) = next else { return };
        let to = to.unwrap_or_else(|| any.clone());
        // Fails only where the loop has ended, which the loop tells.
        let _ = client.publish(to, message, PublishOptions::at_least_once()).await;
    }
}

async fn speak(client: &AsyncClient, of: BoxId, queued: &mut mpsc::Receiver<Word>) {
    while let Some(word) = queued.recv().await {
        let (to, json) = match word {
            Word::Telemetry(json) => (topic::telemetry(of), json),
            Word::Result(tenant, json) => (topic::results(of, &tenant), json),
        };
        // At most once: it takes no place among what the journal has under way.
        let _ = client.publish(to, json, PublishOptions::at_most_once()).await;
    }
}

/// Says how the box is, at first and when it changes.
async fn present(
    client: &AsyncClient,
    to: &str,
    release: &str,
    paths: &mut watch::Receiver<Option<Path>>,
) {
    loop {
        let path = *paths.borrow_and_update();
        let json = Presence::online(release, path).json();
        let _ = client.publish(to, json, PublishOptions::at_least_once().retained()).await;
        if paths.changed().await.is_err() {
            return;
        }
    }
}

//! The hub's side: boxes that speak through the broker become peers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use domain::journal::BoxId;
use ring::rand::{SecureRandom as _, SystemRandom};
use rumqttc::{
    AsyncClient, Event as Polled, EventLoop, ManualAck, Packet, Publish, PublishOptions,
    PublishProperties, QoS, SubscribeReasonCode,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::broker::{Broker, Identity};
use super::session::{Incoming, Reply, Session};
use super::topic::Kind;
use super::{Presence, read, topic};
use crate::frame::Up;
use crate::identity::HUB_NAME;
use crate::pause::{Pause, chance};
use crate::peer::Peer;

/// Messages that the broker may hand us before we acknowledge. One is acknowledged once the hub's queue for its box has it, so that
/// what we hold is bounded and the rest waits at the broker.
pub(super) const UNACKED: u16 = 128;

/// Answers that wait for the broker.
const REPLIES: usize = 256;

/// The pause after a connection to the broker ended, and the longest.
const PAUSE: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];

/// How often sessions are looked through for those that went idle.
const SWEEP: Duration = Duration::from_secs(60);

/// How the hub listens.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of the shared subscription: the same at every node of a hub, and known to nobody else, since whoever
    /// subscribes under it takes a share of the hellos away.
    pub group: String,
    /// Most boxes on this way at once. One more throws the idlest out.
    pub most: usize,
    /// Without a word for so long, a session ends. A box that speaks again is asked for a hello.
    pub idle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { group: "hub".to_owned(), most: 10_000, idle: Duration::from_secs(15 * 60) }
    }
}

/// What boxes say of themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A box came, went, or changed its way.
    Presence(BoxId, Presence),
    /// JSON of a box's own.
    Telemetry(BoxId, Vec<u8>),
}

/// Takes boxes' messages from a broker.
#[derive(Debug)]
pub struct Server {
    broker: Broker,
    config: Config,
    /// Names this node, for as long as it runs.
    node: String,
    listens: watch::Sender<bool>,
}

impl Server {
    /// A node of the hub. The broker's certificate for it is in the name of [`HUB_NAME`]:
    /// [`crate::identity::Authority::client`].
    pub fn new(broker: Broker, config: Config) -> Self {
        let mut bytes = [0u8; 8];
        // Without random numbers there is no TLS either.
        let _ = SystemRandom::new().fill(&mut bytes);
        let node = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { broker, config, node, listens: watch::Sender::new(false) }
    }

    /// Whether the broker hands over what boxes say.
    pub fn listens(&self) -> watch::Receiver<bool> {
        self.listens.subscribe()
    }

    /// Hands over each box that says hello, until told to stop. `news` that find no room are dropped.
    pub async fn serve(
        self,
        peers: mpsc::Sender<Peer>,
        news: Option<mpsc::Sender<News>>,
        mut stop: watch::Receiver<bool>,
    ) {
        let (replies, mut waiting) = mpsc::channel(REPLIES);
        let mut sessions = Sessions {
            node: self.node.clone(),
            config: self.config.clone(),
            of: HashMap::new(),
            tasks: JoinSet::new(),
            peers,
            replies,
            news,
        };
        let mut pause = Pause::new(PAUSE[0], PAUSE[1]);
        let mut told = false;
        loop {
            let begun = Instant::now();
            let why = tokio::select! {
                why = self.connected(&mut sessions, &mut waiting) => why,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            // Once for each time that it goes away, however long it stays so.
            if self.listens.send_replace(false) || !told {
                tracing::warn!(broker = self.broker.address(), %why, "no connection to the broker; it is tried again");
                told = true;
            }
            let pause = pause.next(begun.elapsed(), chance());
            if tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await.is_ok() {
                break;
            }
        }
        self.listens.send_replace(false);
        sessions.tasks.shutdown().await;
    }

    /// One connection: why it ended.
    async fn connected(
        &self,
        sessions: &mut Sessions,
        waiting: &mut mpsc::Receiver<Reply>,
    ) -> String {
        let name = format!("{HUB_NAME}-{}", self.node);
        let identity = Identity { name, will: None, by_hand: Some(UNACKED) };
        let (client, mut polled) = self.broker.open(identity);
        let filters = [
            (format!("$share/{}/{}", self.config.group, topic::ANY_UP), QoS::AtLeastOnce),
            (topic::any_up_to(&self.node), QoS::AtLeastOnce),
            (topic::ANY_STATE.to_owned(), QoS::AtLeastOnce),
            (topic::ANY_TELEMETRY.to_owned(), QoS::AtMostOnce),
        ];
        let filters = filters.map(|(path, qos)| rumqttc::SubscribeFilter::new(path, qos));
        if let Err(error) = client.try_subscribe_many(filters) {
            return error.to_string();
        }
        // As many as the broker may leave unacknowledged: sending never waits.
        let (acks, mut acked) = mpsc::channel(usize::from(UNACKED) + 1);
        tokio::select! {
            why = self.listen(&client, &mut polled, sessions, &acks) => why,
            () = reply(&client, &self.node, waiting) => "the hub stops".to_owned(),
            () = acknowledge(&client, &mut acked) => "the hub stops".to_owned(),
        }
    }

    /// Hears what comes, until the connection ends: why.
    async fn listen(
        &self,
        client: &AsyncClient,
        polled: &mut EventLoop,
        sessions: &mut Sessions,
        acks: &mpsc::Sender<ManualAck>,
    ) -> String {
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            // The loop's future is kept until it is done: only what is beside it is dropped.
            let mut next = std::pin::pin!(polled.poll());
            let event = loop {
                tokio::select! {
                    event = &mut next => break event,
                    _ = sweep.tick() => sessions.sweep(Instant::now()),
                    Some(_) = sessions.tasks.join_next() => {}
                }
            };
            match event {
                Err(error) => return error.to_string(),
                Ok(Polled::Incoming(Packet::SubAck(ack))) => {
                    let taken = |code| matches!(code, SubscribeReasonCode::Success(_));
                    if !ack.return_codes.iter().copied().all(taken) {
                        let codes = &ack.return_codes;
                        return format!("the broker does not let us listen: {codes:?}");
                    }
                    self.listens.send_replace(true);
                    tracing::info!(broker = self.broker.address(), "listening at the broker");
                }
                Ok(Polled::Incoming(Packet::Publish(publish))) => {
                    let ack = client.prepare_ack(&publish);
                    sessions.heard(&publish, Ack(ack.map(|ack| (ack, acks.clone()))));
                }
                Ok(_) => {}
            }
        }
    }
}

async fn reply(client: &AsyncClient, node: &str, waiting: &mut mpsc::Receiver<Reply>) {
    while let Some(Reply { of, message }) = waiting.recv().await {
        let properties = PublishProperties {
            response_topic: Some(topic::up_to(of, node)),
            ..PublishProperties::default()
        };
        let options = PublishOptions::at_least_once().properties(properties);
        // Fails only where the loop has ended, which the loop tells.
        let _ = client.publish(topic::down(of), message, options).await;
    }
}

async fn acknowledge(client: &AsyncClient, acked: &mut mpsc::Receiver<ManualAck>) {
    while let Some(ack) = acked.recv().await {
        let _ = client.manual_ack(ack).await;
    }
}

/// Acknowledges a message when it is dropped, wherever that is: one forgotten would take a place among those unacknowledged for ever.
pub(super) struct Ack(Option<(ManualAck, mpsc::Sender<ManualAck>)>);

impl Drop for Ack {
    fn drop(&mut self) {
        if let Some((ack, acks)) = self.0.take() {
            // Where the connection is gone, so is what could be acknowledged.
            let _ = acks.try_send(ack);
        }
    }
}

/// The boxes that speak through the broker.
struct Sessions {
    node: String,
    config: Config,
    of: HashMap<BoxId, Session>,
    tasks: JoinSet<()>,
    peers: mpsc::Sender<Peer>,
    replies: mpsc::Sender<Reply>,
    news: Option<mpsc::Sender<News>>,
}

impl Sessions {
    fn heard(&mut self, publish: &Publish, ack: Ack) {
        match topic::read(&publish.topic) {
            Some((of, Kind::Up)) => self.up(of, publish, ack),
            Some((of, Kind::State)) => {
                if let Ok(presence) = serde_json::from_slice(&publish.payload) {
                    self.tell(News::Presence(of, presence));
                }
            }
            Some((of, Kind::Telemetry)) => {
                self.tell(News::Telemetry(of, publish.payload.to_vec()));
            }
            None => {}
        }
    }

    fn tell(&self, news: News) {
        if let Some(queue) = &self.news {
            // Lossy, as said: the next one is newer.
            let _ = queue.try_send(news);
        }
    }

    fn up(&mut self, of: BoxId, publish: &Publish, ack: Ack) {
        let Some((session, frame)) = read(&publish.payload) else { return };
        let up = match Up::decode(frame) {
            Ok(Some(up)) => up,
            // Of a later release.
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(of = %of, %error, "a box says what is no frame");
                return;
            }
        };
        let known = self.of.get_mut(&of).filter(|known| known.is(session));
        match (known, &up) {
            (Some(known), _) => known.hear(Incoming { up, ack }),
            (None, Up::Hello(_)) => self.begin(of, session, Incoming { up, ack }),
            (None, _) => {
                // Lost where there is no room: the box asks again.
                let _ = self.replies.try_send(Reply::unknown(of, session));
            }
        }
    }

    fn begin(&mut self, of: BoxId, session: u32, first: Incoming) {
        if !self.of.contains_key(&of) && self.of.len() >= self.config.most {
            let idlest = self.of.iter().min_by_key(|(_, known)| known.heard()).map(|(of, _)| *of);
            if let Some(of) = idlest.filter(|of| self.of.remove(of).is_some()) {
                tracing::warn!(%of, most = self.config.most, "more boxes on MQTT than this node takes: put aside");
            }
        }
        let remote = format!("MQTT, node {}", self.node);
        let (mut begun, peer, task) = Session::begin(of, session, remote, self.replies.clone());
        if self.peers.try_send(peer).is_err() {
            // The hub takes no more just now: the box says hello again.
            return;
        }
        self.tasks.spawn(task);
        begun.hear(first);
        self.of.insert(of, begun);
    }

    fn sweep(&mut self, now: Instant) {
        let idle = self.config.idle;
        self.of.retain(|_, known| known.is_alive() && now < known.heard() + idle);
    }
}

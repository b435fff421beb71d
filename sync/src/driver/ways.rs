//! Both ways to the hub, side by side: one of them carries the journal.

use std::pin::Pin;
use std::time::Duration;

use domain::journal::BoxId;

use crate::frame::{Down, Up};
use crate::link::Path;
use crate::mqtt::{self, Broker, Word};
use crate::pause::Pause;
use crate::quic::{self, Client, Congestion, Connection, Failure};

/// What happens on either.
pub(super) enum Event {
    /// The hub said something, by the way that carries.
    Heard(Down),
    /// That way has room again.
    Room,
    /// The connection over QUIC that carried is gone.
    Ended(Failure),
    /// A handshake over QUIC with a hub came to this.
    Tried(String, Result<Connection, Failure>),
    /// The broker takes messages, from now on or no longer.
    Broker(bool),
    /// The hub wants a hello through the broker.
    Unknown,
}

type Attempt<'a> = Pin<Box<dyn Future<Output = (String, Result<Connection, Failure>)> + Send + 'a>>;

pub(super) struct Ways<'a> {
    client: &'a Client,
    attempt: Option<Attempt<'a>>,
    quic: Option<Connection>,
    mqtt: Option<mqtt::Client>,
    /// Whether the broker is there.
    broker: bool,
    at: Option<Path>,
}

impl<'a> Ways<'a> {
    pub fn new(
        client: &'a Client,
        broker: Option<Broker>,
        of: BoxId,
        release: &str,
        pause: Pause,
    ) -> Self {
        let mqtt = broker.map(|broker| mqtt::Client::start(broker, of, release, pause));
        Self { client, attempt: None, quic: None, mqtt, broker: false, at: None }
    }

    /// Begins a handshake; [`Event::Tried`] tells what comes of it.
    pub fn attempt(&mut self, hub: String, congestion: Congestion) {
        let client = self.client;
        self.attempt = Some(Box::pin(async move {
            let connection = client.connect(&hub, congestion).await;
            (hub, connection)
        }));
    }

    pub fn use_quic(&mut self, connection: Connection) {
        self.leave();
        self.quic = Some(connection);
        self.at(Some(Path::Quic));
    }

    pub fn use_mqtt(&mut self) {
        self.leave();
        self.at(Some(Path::Mqtt));
    }

    /// Nothing carries any more.
    pub fn leave(&mut self) {
        if let Some(connection) = self.quic.take() {
            connection.close();
        }
        self.at(None);
    }

    fn at(&mut self, path: Option<Path>) {
        self.at = path;
        if let Some(mqtt) = &self.mqtt {
            mqtt.path(path);
        }
    }

    /// Whether there is a way on which frames can go out now.
    pub fn carries(&self) -> bool {
        match self.at {
            Some(Path::Quic) => true,
            Some(Path::Mqtt) => self.broker,
            None => false,
        }
    }

    /// Whether a frame of any kind goes out without waiting.
    pub fn has_room(&self) -> bool {
        let room = match self.at {
            Some(Path::Quic) => self.quic.as_ref().is_some_and(Connection::has_room),
            Some(Path::Mqtt) => self.mqtt.as_ref().is_some_and(mqtt::Client::has_room),
            None => false,
        };
        room && self.carries()
    }

    pub async fn send(&mut self, up: &Up) -> Result<(), Failure> {
        match (self.at, &mut self.quic, &mut self.mqtt) {
            (Some(Path::Quic), Some(connection), _) => {
                connection.send(up).await.map_err(|_| connection.failure())
            }
            (Some(Path::Mqtt), _, Some(client)) => {
                client.send(up).await;
                Ok(())
            }
            // Asked for room, there is none.
            _ => Ok(()),
        }
    }

    /// Whether the broker is there.
    pub fn has_broker(&self) -> bool {
        self.broker
    }

    /// Publishes what is lossy; false where it was dropped.
    pub fn tell(&self, word: Word) -> bool {
        self.mqtt.as_ref().is_some_and(|client| client.tell(word))
    }

    /// Whether a connection over QUIC carries, and paces itself so.
    pub fn is_paced_by(&self, congestion: Congestion) -> bool {
        self.quic.as_ref().is_some_and(|connection| connection.congestion() == congestion)
    }

    pub fn loss(&self) -> Option<f64> {
        self.quic.as_ref().and_then(Connection::loss)
    }

    pub fn rtt(&self) -> Option<Duration> {
        self.quic.as_ref().map(Connection::rtt)
    }

    /// What happens next; with [`Event::Room`] where that is asked for. May be dropped and called again.
    pub async fn next(&mut self, room: bool) -> Event {
        let [on_quic, on_mqtt] = [Path::Quic, Path::Mqtt].map(|path| self.at == Some(path));
        loop {
            let Self { attempt, quic, mqtt, .. } = self;
            let event = tokio::select! {
                event = over_quic(quic.as_mut(), room && on_quic) => return event,
                event = over_mqtt(mqtt.as_mut(), room && on_mqtt) => event,
                (hub, tried) = tried(attempt) => {
                    self.attempt = None;
                    return Event::Tried(hub, tried);
                }
            };
            match event {
                mqtt::Event::Ready => {
                    self.broker = true;
                    return Event::Broker(true);
                }
                mqtt::Event::Gone(_) => {
                    self.broker = false;
                    return Event::Broker(false);
                }
                // What is still under way of a time before QUIC carried.
                _ if !on_mqtt => {}
                mqtt::Event::Heard(down) => return Event::Heard(down),
                mqtt::Event::Unknown => return Event::Unknown,
                mqtt::Event::Room => return Event::Room,
            }
        }
    }

    /// Ends both; the hub and the broker are told.
    pub async fn close(mut self) {
        self.leave();
        if let Some(client) = self.mqtt {
            client.close().await;
        }
    }
}

async fn over_quic(connection: Option<&mut Connection>, room: bool) -> Event {
    let Some(connection) = connection else { return std::future::pending().await };
    match connection.next(room).await {
        quic::Event::Heard(down) => Event::Heard(down),
        quic::Event::Room => Event::Room,
        quic::Event::Ended => Event::Ended(connection.failure()),
    }
}

async fn over_mqtt(client: Option<&mut mqtt::Client>, room: bool) -> mqtt::Event {
    match client {
        Some(client) => client.next(room).await,
        None => std::future::pending().await,
    }
}

async fn tried(attempt: &mut Option<Attempt<'_>>) -> (String, Result<Connection, Failure>) {
    match attempt {
        Some(attempt) => attempt.await,
        None => std::future::pending().await,
    }
}

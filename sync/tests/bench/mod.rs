//! A hub with its broker, and boxes.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod hub;
pub mod journal;

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::journal::BoxId;
use rig::mosquitto::Mosquitto;
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sync::driver::{self, Driver, Status, Switching, Telemetry};
use sync::identity::{Authority, BoxRequest, Certified, HUB_NAME, request};
use sync::mqtt::{self, Broker, News};
use sync::quic;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use hub::Hub;
use journal::Paper;

/// Nothing takes longer in a test.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Bench {
    pub dir: tempfile::TempDir,
    pub authority: Authority,
    pub mosquitto: Mosquitto,
    pub hub: Arc<Hub>,
    pub udp: SocketAddr,
    pub news: mpsc::Receiver<News>,
    /// After so long a box asks anew on MQTT.
    pub retry: Duration,
    tell: mpsc::Sender<News>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// A box at work.
pub struct Running {
    pub paper: Arc<Paper>,
    pub status: watch::Receiver<Status>,
    pub telemetry: Telemetry,
    pub stop: watch::Sender<bool>,
    pub task: JoinSet<()>,
}

pub fn of(n: u128) -> BoxId {
    BoxId(uuid::Uuid::from_u128(n))
}

/// As usual, but for what takes minutes.
pub fn quick() -> Switching {
    let [short, second] = [Duration::from_millis(500), Duration::from_secs(1)];
    Switching { patience: second, probe: short, settle: second, ..Switching::default() }
}

fn write(dir: &std::path::Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

impl Bench {
    /// A broker, and a hub that listens there and at a UDP port.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = Authority::create("test").unwrap();
        let authority = Authority::open(&certificate, &key).unwrap();
        let at = dir.path();
        let names = ["127.0.0.1".to_owned()];
        let [own, own_key] = authority.server(&names).unwrap().pem();
        let paths = [
            write(at, "ca.pem", &certificate),
            write(at, "broker.pem", &own),
            write(at, "broker.key", &own_key),
            write(at, "acl", &mqtt::mosquitto::acl([])),
        ];
        let mosquitto = Mosquitto::start(at, |ports, data| {
            let [boxes, hub] = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
            let [authority, certificate, key, acl] = &paths;
            let files = mqtt::mosquitto::Files { authority, certificate, key, acl, data };
            mqtt::mosquitto::configuration(boxes, hub, files)
        });
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let certified = authority.server(&names).unwrap();
        let quic = quic::Server::new(socket, authority.certificate(), certified).unwrap();
        let udp = quic.address().unwrap();
        let (tell, news) = mpsc::channel(64);
        let (stop, stopped) = watch::channel(false);
        let mut bench = Self {
            dir,
            authority,
            mosquitto,
            hub: Hub::new(),
            udp,
            news,
            retry: Duration::from_secs(2),
            tell,
            stop,
            tasks: JoinSet::new(),
        };
        let (peers, arrived) = mpsc::channel(16);
        bench.tasks.spawn(Arc::clone(&bench.hub).serve(arrived));
        bench.tasks.spawn(quic.serve(peers, stopped));
        bench
    }

    /// One more hub node at the broker; it ends when what is given back is told so, or dropped.
    pub fn node(&mut self) -> watch::Sender<bool> {
        self.node_with(mqtt::Config::default())
    }

    pub fn node_with(&mut self, config: mqtt::Config) -> watch::Sender<bool> {
        let broker = self.broker(1, self.authority.client(HUB_NAME).unwrap());
        let (stop, stopped) = watch::channel(false);
        let (peers, arrived) = mpsc::channel(16);
        let server = mqtt::Server::new(broker, config);
        self.tasks.spawn(server.serve(peers, Some(self.tell.clone()), stopped));
        self.tasks.spawn(Arc::clone(&self.hub).serve(arrived));
        stop
    }

    pub fn broker(&self, port: usize, own: Certified) -> Broker {
        let address = format!("127.0.0.1:{}", self.mosquitto.ports()[port]);
        Broker::new(&address, self.authority.certificate(), own).unwrap()
    }

    /// The certificate of a box, for a new device key.
    pub fn certified(&self, of: BoxId) -> Certified {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let der = request(of, key.as_ref()).unwrap();
        let issued = self.authority.issue(BoxRequest::read(&der).unwrap(), 9).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_ref().to_vec()));
        Certified { chain: vec![issued.certificate], key }
    }

    /// Starts a box that knows of these hubs, and of the broker.
    pub fn start(&self, paper: &Arc<Paper>, hubs: &[String], switching: Switching) -> Running {
        let own = self.certified(sync::Journal::of(paper.as_ref()));
        let client = quic::Client::new(self.authority.certificate(), own.clone()).unwrap();
        let mut config = driver::Config {
            hubs: hubs.to_vec(),
            mqtt: Some(self.broker(0, own)),
            switching,
            ..driver::Config::default()
        };
        config.link.retry_mqtt = self.retry;
        let (mut driver, status) = Driver::new(config, Arc::clone(paper) as _);
        let telemetry = driver.telemetry();
        let (stop, mut stopped) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(async move {
            driver.run(&client, &mut stopped).await;
        });
        Running { paper: Arc::clone(paper), status, telemetry, stop, task }
    }
}

impl Running {
    /// Waits until its status is as asked for.
    pub async fn until(&mut self, what: impl FnMut(&Status) -> bool) -> Status {
        self.status.wait_for(what).await.unwrap().clone()
    }

    /// Stops it as an operator does.
    pub async fn stop(mut self) {
        self.stop.send(true).unwrap();
        self.task.join_next().await.unwrap().unwrap();
    }
}

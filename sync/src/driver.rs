//! The box's loop around the link: connects by one way or the other, reads the journal, sends, listens.

mod checkpoints;
mod choice;
mod orders;
mod status;
mod telemetry;
mod ways;
mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::journal::{Code, Lane, Seq};
use tokio::sync::watch;

use crate::directives::Directives;
use crate::frame::{Cursor, Down, Up};
use crate::journal::Journal;
use crate::link::{self, Act, Link, Path};
use crate::mqtt::Broker;
use crate::pause::{Pause, chance};
use crate::quic::{Client, Congestion, Failure};

use checkpoints::Checkpoints;
use choice::Choice;
use orders::Orders;
use telemetry::Queue;
use ways::{Event, Ways};
use work::{Done, Work};

pub use choice::Config as Switching;
pub use status::{Problem, Status};
pub use telemetry::Telemetry;

/// How the box finds its hub.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port` of each hub node, best first.
    pub hubs: Vec<String>,
    /// The hub's broker, for where UDP does not get through, and for presence and telemetry.
    pub mqtt: Option<Broker>,
    /// When to go from one way to the other.
    pub switching: Switching,
    /// The link's pace.
    pub link: link::Config,
    /// The pause after a failed attempt; doubled with each further one.
    pub pause: Duration,
    /// The longest pause. Each is drawn at random from its upper half, so that a thousand boxes do not return as one.
    pub longest_pause: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hubs: Vec::new(),
            mqtt: None,
            switching: Switching::default(),
            link: link::Config::default(),
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// A share of lost packets from which on BBR is used, as measured (see [`Congestion`]).
const LOSSY: f64 = 0.01;

/// What a loop needs to run.
pub struct Driver {
    config: Config,
    journal: Arc<dyn Journal>,
    link: Link,
    status: watch::Sender<Status>,
    work: Work,
    checkpoints: Checkpoints,
    congestion: Congestion,
    choice: Choice,
    telemetry: Queue,
    orders: Orders,
    /// Since when a connection with another pace is being made, in place of the one that carries.
    repacing: Option<Instant>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("link", &self.link).finish_non_exhaustive()
    }
}

/// Between attempts to replace a connection by one with another pace.
const REPACE: Duration = Duration::from_secs(10);

impl Driver {
    /// A driver for a journal, and where its status shows.
    pub fn new(config: Config, journal: Arc<dyn Journal>) -> (Self, watch::Receiver<Status>) {
        let (status, shown) = watch::channel(Status::default());
        let driver = Self {
            link: Link::new(config.link.clone()),
            work: Work::new(Arc::clone(&journal)),
            checkpoints: Checkpoints::default(),
            congestion: Congestion::Cubic,
            choice: choice(&config),
            telemetry: Queue::new(),
            orders: Orders::default(),
            repacing: None,
            config,
            journal,
            status,
        };
        (driver, shown)
    }

    /// Where the box's telemetry goes in.
    pub fn telemetry(&self) -> Telemetry {
        self.telemetry.entrance()
    }

    /// Who takes the hub's directives; without anybody none are asked for.
    pub fn set_directives(&mut self, directives: Arc<dyn Directives>) {
        self.orders.set(directives);
    }

    /// The broker by another certificate, or none, from the next [`Driver::run`] on.
    pub fn set_broker(&mut self, broker: Option<Broker>) {
        self.config.mqtt = broker;
    }

    /// Replicates until told to stop, or until the journal is closed. Comes back early where the hub says that the certificate has run
    /// out: the caller knows what to do about it.
    pub async fn run(
        &mut self,
        client: &Client,
        stop: &mut watch::Receiver<bool>,
    ) -> Option<Failure> {
        if self.config.hubs.is_empty() && self.config.mqtt.is_none() {
            return Some(Failure::Address(String::new(), "no hub is configured".into()));
        }
        let (of, release) = (self.journal.of(), &self.config.link.release);
        let pause = Pause::new(self.config.pause, self.config.longest_pause);
        let mut ways = Ways::new(client, self.config.mqtt.clone(), of, release, pause);
        self.choice = choice(&self.config);
        let failure = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => None,
            failure = self.replicate(&mut ways) => failure,
        };
        self.left();
        self.status.send_modify(|status| status.broker = false);
        ways.close().await;
        failure
    }

    async fn replicate(&mut self, ways: &mut Ways<'_>) -> Option<Failure> {
        let mut changes = self.journal.changes();
        changes.mark_changed();
        loop {
            self.choose(ways).await;
            if let Some(gone) = self.act(ways).await
                && let Some(last) = self.over(ways, gone)
            {
                return Some(last);
            }
            let now = Instant::now();
            self.choice.owed(self.link.is_owed(), now);
            self.show(ways.rtt(), now);
            let full = ways.carries() && !ways.has_room();
            let link = self.link.wake_at(now).filter(|_| ways.carries() && !full);
            let orders = self.orders.wake_at().filter(|_| self.link.is_open() && !full);
            let wake = link.into_iter().chain(self.choice.wake_at(now)).chain(orders).min();
            let wake = wake.unwrap_or(now + Duration::from_secs(1));
            let event = tokio::select! {
                changed = changes.changed() => match changed {
                    Ok(()) => {
                        self.work.lanes();
                        continue;
                    }
                    // The journal is closed: nothing more comes.
                    Err(_) => return None,
                },
                done = self.work.next() => {
                    self.done(done);
                    continue;
                }
                word = self.telemetry.next(), if ways.has_broker() => {
                    self.telemetry.passed(ways.tell(word));
                    continue;
                }
                event = ways.next(full) => event,
                () = tokio::time::sleep_until(wake.into()) => continue,
            };
            if let Some(gone) = self.happened(ways, event)
                && let Some(last) = self.over(ways, gone)
            {
                return Some(last);
            }
            self.repace(ways);
        }
    }

    /// Does what the choice of the way wants done.
    async fn choose(&mut self, ways: &mut Ways<'_>) {
        while let Some(act) = self.choice.next(Instant::now(), chance()) {
            match act {
                choice::Act::Try => {
                    // By turns; a handshake that is done begins again with the best.
                    let hubs = &self.config.hubs;
                    match hubs.get(self.choice.failures() as usize % hubs.len().max(1)) {
                        Some(hub) => ways.attempt(hub.clone(), self.congestion),
                        None => self.choice.failed(Instant::now(), chance()),
                    }
                }
                choice::Act::GiveUp => {
                    tracing::info!("the hub owes a word for too long: connecting anew");
                    self.left();
                    ways.leave();
                }
                choice::Act::UseMqtt => {
                    tracing::info!("the journal goes through the broker");
                    self.left();
                    ways.use_mqtt();
                    self.entered(Path::Mqtt, self.broker());
                }
            }
        }
    }

    fn broker(&self) -> String {
        self.config.mqtt.as_ref().map_or(String::new(), |broker| broker.address().to_owned())
    }

    /// The journal goes this way from now on.
    fn entered(&mut self, path: Path, hub: String) {
        self.status.send_modify(|status| {
            (status.path, status.hub) = (Some(path), Some(hub));
            status.connections += 1;
        });
        self.link.connected(path, Instant::now());
    }

    /// The journal goes nowhere.
    fn left(&mut self) {
        self.link.disconnected();
        self.orders.left();
        self.status.send_modify(|status| {
            (status.path, status.hub, status.rtt) = (None, None, None);
        });
    }

    fn happened(&mut self, ways: &mut Ways<'_>, event: Event) -> Option<Failure> {
        let now = Instant::now();
        match event {
            Event::Heard(down) => self.heard(down),
            Event::Room => {}
            Event::Ended(failure) => return Some(failure),
            Event::Tried(hub, Ok(connection)) => {
                let replaces = self.repacing.is_some() && self.choice.at() == Some(Path::Quic);
                if self.choice.connected(now, chance()) || replaces {
                    tracing::info!(%hub, "connected to the hub");
                    self.repacing = None;
                    self.left();
                    ways.use_quic(connection);
                    self.entered(Path::Quic, hub);
                } else {
                    connection.close();
                }
            }
            // The connection that carries goes on.
            Event::Tried(_, Err(_))
                if self.repacing.is_some() && self.choice.at() == Some(Path::Quic) => {}
            Event::Tried(_, Err(failure)) => {
                self.choice.failed(now, chance());
                self.complain(&failure);
                return matches!(failure, Failure::Expired).then_some(failure);
            }
            Event::Broker(there) => {
                self.choice.broker(there);
                self.status.send_modify(|status| status.broker = there);
                if self.choice.at() == Some(Path::Mqtt) {
                    // Whatever was under way is lost where the broker was away.
                    match there {
                        true => self.entered(Path::Mqtt, self.broker()),
                        false => self.left(),
                    }
                }
            }
            Event::Unknown => self.link.connected(Path::Mqtt, now),
        }
        None
    }

    /// A handshake over QUIC failed, or what came of it. Nothing to complain about while the other way carries.
    fn complain(&self, failure: &Failure) {
        let code = match failure {
            Failure::Expired => "certificate_expired",
            Failure::Refused(_) => "refused",
            Failure::Silent | Failure::Address(..) => "unreachable",
        };
        let detail = failure.to_string();
        tracing::info!(code, %detail, "the hub is not reached over QUIC");
        if !self.link.is_open() {
            self.status.send_modify(|status| status.problem = Some(Problem { code, detail }));
        }
    }

    /// Leaves the way in use, which is gone. What is given back ends the run.
    fn over(&mut self, ways: &mut Ways<'_>, gone: Failure) -> Option<Failure> {
        let now = Instant::now();
        match (gone, self.choice.at()) {
            (Failure::Expired, _) => return Some(Failure::Expired),
            (_, Some(Path::Mqtt)) => self.choice.barred(now),
            (failure, _) => {
                self.choice.lost(now, chance());
                self.link.disconnected();
                self.complain(&failure);
            }
        }
        if ways.loss().is_some_and(|loss| loss > LOSSY) {
            self.congestion = Congestion::Bbr;
        }
        self.left();
        ways.leave();
        None
    }

    /// Where the way loses much: another connection, with the pace that bears it, is made beside the one that carries, and takes its place.
    fn repace(&mut self, ways: &mut Ways<'_>) {
        let (now, hub) = (Instant::now(), self.status.borrow().hub.clone());
        let Some(hub) = hub.filter(|_| self.choice.at() == Some(Path::Quic)) else { return };
        let lossy = ways.loss().is_some_and(|loss| loss > LOSSY);
        let due = self.repacing.is_none_or(|since| now >= since + REPACE);
        if lossy && ways.is_paced_by(Congestion::Cubic) && due {
            tracing::info!("more than one packet in a hundred is lost: connecting anew with BBR");
            self.congestion = Congestion::Bbr;
            self.repacing = Some(now);
            ways.attempt(hub, self.congestion);
        }
    }

    /// Does what the link wants done, as long as the connection has room.
    async fn act(&mut self, ways: &mut Ways<'_>) -> Option<Failure> {
        while ways.has_room() {
            let Some(act) = self.link.next(Instant::now()) else { break };
            match act {
                Act::Send(up) => {
                    if matches!(up, Up::Hello(_)) {
                        self.checkpoints.begin();
                    }
                    if let Err(failure) = ways.send(&up).await {
                        return Some(failure);
                    }
                }
                Act::Read { ticket, epoch, after } => self.work.read(ticket, epoch, after),
                Act::Check(cursor) => self.work.check(cursor),
                Act::Forked(cursor) => self.forked(cursor),
                Act::Rewound(cursor) => tracing::warn!(
                    epoch = %cursor.epoch, lane = cursor.head.lane.number(), seq = cursor.head.seq.0,
                    "the hub has less than it once had: it was restored from a copy, and gets the rest again"
                ),
                Act::Lost(hole) => tracing::error!(
                    epoch = %hole.from.epoch, lane = hole.from.head.lane.number(),
                    from = hole.from.head.seq.0 + 1, to = hole.to.seq.0,
                    "the hub lacks entries that are not on this box any more"
                ),
                Act::TooNew { schema } => {
                    let detail = format!(
                        "the hub reads journals of schema {schema}, this box writes {}: upgrade the hub; entries wait here",
                        domain::journal::SCHEMA
                    );
                    self.problem("hub_too_old", detail);
                }
                Act::Damaged(cursor, what) => self.damaged(cursor, &what),
                Act::Refused(reason) => {
                    let detail = format!("the hub will not have this box: {}", reason.as_str());
                    self.problem("refused", detail.clone());
                    return Some(Failure::Refused(detail));
                }
            }
        }
        if self.link.is_open() && ways.has_room() {
            for up in self.checkpoints.due(&self.link) {
                if let Err(failure) = ways.send(&up).await {
                    return Some(failure);
                }
            }
            if self.checkpoints.wants_more(&self.link) {
                self.work.checkpoints(self.checkpoints.after());
            }
            if let Some(up) = self.orders.follow()
                && let Err(failure) = ways.send(&up).await
            {
                return Some(failure);
            }
        }
        while let Some(task) = self.orders.next(Instant::now()) {
            self.work.order(task);
        }
        None
    }

    fn heard(&mut self, down: Down) {
        self.choice.heard(Instant::now());
        if let Down::Receipt(receipt) = &down {
            if let Some(n) = self.checkpoints.receipted(receipt) {
                self.work.receipted(n, receipt.clone());
                self.status.send_modify(|status| status.receipts += 1);
            }
            return;
        }
        if let Down::Directive(directive) = down {
            return self.orders.came(directive);
        }
        if matches!(down, Down::Welcome(_)) {
            self.orders.opened(Instant::now());
        }
        let acked = matches!(down, Down::Ack(_));
        self.link.heard(down, Instant::now());
        if acked {
            self.status.send_modify(|status| status.acked = Some(Instant::now()));
        }
    }

    fn done(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Lanes(Some(lanes)) => {
                self.link.lanes(&lanes, now);
                self.checkpoints.look_again();
            }
            // The next commit brings it up again.
            Done::Lanes(None) => {}
            Done::Packed(ticket, packed) => self.link.packed(ticket, packed, now),
            Done::Fits(cursor, fit) => self.link.fits(cursor, fit, now),
            Done::Checkpoints(list) => self.checkpoints.found(list),
            Done::Taken(taken) => self.orders.taken(taken, now),
            Done::LookedUp(places) => self.orders.looked_up(places, now),
            Done::Nothing => {}
            Done::Forked => self.work.lanes(),
            Done::Failed(detail) => self.problem("journal", detail),
        }
    }

    fn forked(&mut self, cursor: Cursor) {
        tracing::error!(
            epoch = %cursor.epoch, lane = cursor.head.lane.number(), seq = cursor.head.seq.0,
            "the hub has another journal under this box's name: was its disk copied, or an old one put in? Going on in a new epoch"
        );
        self.status.send_modify(|status| status.forks += 1);
        self.work.forked(cursor);
    }

    fn damaged(&mut self, cursor: Cursor, what: &Code) {
        let Seq(seq) = cursor.head.seq;
        let detail = format!(
            "the hub does not take what follows entry {seq} of lane {}: {}. The journal on this box was altered; `weir store verify` says where",
            cursor.head.lane.number(),
            what.as_str()
        );
        self.problem("damaged", detail);
    }

    fn problem(&self, code: &'static str, detail: String) {
        tracing::error!(code, %detail, "entries do not get to the hub");
        self.status.send_modify(|status| status.problem = Some(Problem { code, detail }));
    }

    fn show(&self, rtt: Option<Duration>, now: Instant) {
        let lag = [Lane::Critical, Lane::Bulk].map(|lane| self.link.lag_of(lane));
        let open = self.link.is_open();
        self.status.send_if_modified(|status| {
            let before = (status.lag, status.problem.is_some());
            (status.lag, status.rtt) = (lag, rtt);
            if open {
                status.seen = Some(now);
            }
            // It was reached, and takes what we have.
            let transient = |problem: &Problem| {
                open && (matches!(problem.code, "unreachable" | "certificate_expired")
                    || lag == [0; 2])
            };
            if status.problem.as_ref().is_some_and(transient) {
                status.problem = None;
            }
            before != (status.lag, status.problem.is_some())
        });
    }
}

fn choice(config: &Config) -> Choice {
    let pause = Pause::new(config.pause, config.longest_pause);
    Choice::new(config.switching.clone(), pause, Instant::now())
}

//! The box's loop around the link: connects, reads the journal, sends, listens.

mod checkpoints;
mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::journal::{Code, Lane, Seq};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::watch;

use crate::frame::{Cursor, Down};
use crate::journal::Journal;
use crate::link::{self, Act, Link, Path};
use crate::quic::{Client, Congestion, Connection, Event, Failure};

use checkpoints::Checkpoints;
use work::{Done, Work};

/// How the box finds its hub.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port` of each hub node, best first.
    pub hubs: Vec<String>,
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
            link: link::Config::default(),
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// A share of lost packets from which on BBR is used, as measured (see [`Congestion`]).
const LOSSY: f64 = 0.01;

/// How replication stands, for status page, health and metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// By which way the hub is reached; `None` while it is not.
    pub path: Option<Path>,
    /// Its address.
    pub hub: Option<String>,
    /// Entries that the hub does not have, of the critical and the bulk lane.
    pub lag: [u64; 2],
    /// When the cursor last moved.
    pub acked: Option<Instant>,
    /// When there was last a connection.
    pub seen: Option<Instant>,
    /// Round-trip time.
    pub rtt: Option<Duration>,
    /// Receipts that the hub gave since the start.
    pub receipts: u64,
    /// Connections since the start.
    pub connections: u64,
    /// What keeps entries from the hub, as a word and in words for people.
    pub problem: Option<Problem>,
    /// Forks since the start: another journal goes under this box's name.
    pub forks: u64,
}

/// What is wrong between box and hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `unreachable`, `certificate_expired`, `refused`, `hub_too_old`, `damaged`, `journal`.
    pub code: &'static str,
    /// In words.
    pub detail: String,
}

/// What a loop needs to run.
pub struct Driver {
    config: Config,
    journal: Arc<dyn Journal>,
    link: Link,
    status: watch::Sender<Status>,
    work: Work,
    checkpoints: Checkpoints,
    congestion: Congestion,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("link", &self.link).finish_non_exhaustive()
    }
}

/// Why a connection is over.
enum Over {
    Stop,
    Gone(Failure),
    /// Better paced by the other controller.
    Repace,
}

impl Driver {
    /// A driver for a journal, and where its status shows.
    pub fn new(config: Config, journal: Arc<dyn Journal>) -> (Self, watch::Receiver<Status>) {
        let (status, shown) = watch::channel(Status::default());
        let driver = Self {
            link: Link::new(config.link.clone()),
            work: Work::new(Arc::clone(&journal)),
            checkpoints: Checkpoints::default(),
            congestion: Congestion::Cubic,
            config,
            journal,
            status,
        };
        (driver, shown)
    }

    /// Replicates until told to stop. Comes back early where the hub says that the certificate has run out, or that it will not have
    /// this box: the caller knows what to do about it.
    pub async fn run(
        &mut self,
        client: &Client,
        stop: &mut watch::Receiver<bool>,
    ) -> Option<Failure> {
        let mut failures = 0u32;
        loop {
            if *stop.borrow() {
                return None;
            }
            // By turns; a connection that held begins again with the best.
            let Some(hub) = self.config.hubs.get(failures as usize % self.config.hubs.len().max(1))
            else {
                return Some(Failure::Address(String::new(), "no hub is configured".into()));
            };
            let hub = hub.clone();
            let failure = match client.connect(&hub, self.congestion).await {
                Err(failure) => failure,
                Ok(connection) => {
                    let begun = Instant::now();
                    let over = self.connected(hub, connection, stop).await;
                    self.status.send_modify(|status| {
                        (status.path, status.hub, status.rtt) = (None, None, None);
                    });
                    if begun.elapsed() > self.config.longest_pause {
                        failures = 0;
                    }
                    match over {
                        Over::Stop => return None,
                        Over::Repace => continue,
                        Over::Gone(failure) => failure,
                    }
                }
            };
            let code = match failure {
                Failure::Expired => "certificate_expired",
                Failure::Refused(_) => "refused",
                Failure::Silent | Failure::Address(..) => "unreachable",
            };
            let detail = failure.to_string();
            tracing::info!(code, %detail, "the hub is not reached");
            self.status.send_modify(|status| status.problem = Some(Problem { code, detail }));
            if matches!(failure, Failure::Expired) {
                return Some(failure);
            }
            let pause = self.pause(failures);
            failures = failures.saturating_add(1);
            if tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await.is_ok() {
                return None;
            }
        }
    }

    fn pause(&self, failures: u32) -> Duration {
        let longest = self.config.longest_pause;
        let pause = self.config.pause.saturating_mul(1 << failures.min(16)).min(longest);
        let mut byte = [128u8];
        // Without random numbers nothing here would work; a pause needs none.
        let _ = SystemRandom::new().fill(&mut byte);
        pause.mul_f64(0.5 + f64::from(byte[0]) / 512.0)
    }

    async fn connected(
        &mut self,
        hub: String,
        mut connection: Connection,
        stop: &mut watch::Receiver<bool>,
    ) -> Over {
        tracing::info!(%hub, "connected to the hub");
        self.status.send_modify(|status| {
            status.path = Some(Path::Quic);
            status.hub = Some(hub);
            status.connections += 1;
        });
        self.checkpoints.begin();
        self.link.connected(Path::Quic, Instant::now());
        let mut changes = self.journal.changes();
        changes.mark_changed();
        let over = self.converse(&mut connection, &mut changes, stop).await;
        self.link.disconnected();
        if let Some(loss) = connection.loss() {
            self.congestion = if loss > LOSSY { Congestion::Bbr } else { self.congestion };
        }
        connection.close();
        over
    }

    async fn converse(
        &mut self,
        connection: &mut Connection,
        changes: &mut watch::Receiver<u64>,
        stop: &mut watch::Receiver<bool>,
    ) -> Over {
        loop {
            if let Some(over) = self.act(connection).await {
                return over;
            }
            let (rtt, now) = (connection.rtt(), Instant::now());
            self.show(Some(rtt), now);
            let wake = self.link.wake_at(now).unwrap_or(now + Duration::from_secs(1));
            let full = !connection.has_room();
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Over::Stop,
                changed = changes.changed() => match changed {
                    Ok(()) => self.work.lanes(),
                    // The journal is closed: nothing more comes.
                    Err(_) => return Over::Stop,
                },
                done = self.work.next() => self.done(done),
                event = connection.next(full) => match event {
                    Event::Heard(down) => self.heard(down),
                    Event::Room => {}
                    Event::Ended => return Over::Gone(connection.failure()),
                },
                () = tokio::time::sleep_until(wake.into()), if !full => {}
            }
            let lossy = connection.loss().is_some_and(|loss| loss > LOSSY);
            if lossy && self.congestion == Congestion::Cubic {
                tracing::info!(
                    "more than one packet in a hundred is lost: connecting anew with BBR"
                );
                self.congestion = Congestion::Bbr;
                return Over::Repace;
            }
        }
    }

    /// Does what the link wants done, as long as the connection has room.
    async fn act(&mut self, connection: &Connection) -> Option<Over> {
        while connection.has_room() {
            let Some(act) = self.link.next(Instant::now()) else { break };
            match act {
                Act::Send(up) => {
                    if connection.send(&up).await.is_err() {
                        return Some(Over::Gone(connection.failure()));
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
                    return Some(Over::Gone(Failure::Refused(detail)));
                }
            }
        }
        if self.link.is_open() && connection.has_room() {
            for up in self.checkpoints.due(&self.link) {
                if connection.send(&up).await.is_err() {
                    return Some(Over::Gone(connection.failure()));
                }
            }
            if self.checkpoints.wants_more(&self.link) {
                self.work.checkpoints(self.checkpoints.after());
            }
        }
        None
    }

    fn heard(&mut self, down: Down) {
        if let Down::Receipt(receipt) = &down {
            if let Some(n) = self.checkpoints.receipted(receipt) {
                self.work.receipted(n, receipt.clone());
                self.status.send_modify(|status| status.receipts += 1);
            }
            return;
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

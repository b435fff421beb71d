//! The box's side of the link.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use domain::journal::{Code, Epoch, Head, Lane, SCHEMA, Seq};

use super::config::Config;
use super::flow::{Flow, Standing};
use super::path::Path;
use crate::batch::Packed;
use crate::frame::{Cursor, Down, Hello, Hole, LaneState, Nak, Refusal, Up, Welcome};
use crate::journal::Fit;

/// Bytes of critical entries that may be under way whatever the hub's credit: they never wait for bulk to be committed.
const CRITICAL_BYTES: usize = 128 * 1024;

/// Bulk entries fewer than this may wait for more.
const FEW: u64 = 64;

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Send to the hub; bulk batches behind anything else.
    Send(Up),
    /// Read the entries behind `after`, pack them, and bring them with [`Link::packed`].
    Read {
        /// Goes with the answer.
        ticket: u64,
        /// The life of the database.
        epoch: Epoch,
        /// Behind which entry, and the chain there.
        after: Head,
    },
    /// Hold the hub's cursor against the journal, keep it if it fits, and tell by [`Link::fits`].
    Check(Cursor),
    /// Another journal goes under this name and epoch: begin a new epoch, and tell the new lanes.
    Forked(Cursor),
    /// The hub has less than it acknowledged once: it was restored from a copy. It gets the rest again.
    Rewound(Cursor),
    /// The hub lacks entries that are not on this box any more.
    Lost(Hole),
    /// The hub is of an older release; entries wait until it was upgraded.
    TooNew {
        /// What the hub reads.
        schema: u16,
    },
    /// The hub says that a batch of ours does not hold: the journal was altered on this box.
    Damaged(Cursor, Code),
    /// The hub will not have this box.
    Refused(Code),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    /// Hello was sent then.
    Greeting(Path, Instant),
    Open(Path),
}

/// The box's side of the link: see the module.
#[derive(Debug)]
pub struct Link {
    config: Config,
    state: State,
    /// Critical lanes first, older epochs before newer.
    flows: Vec<Flow>,
    /// The epoch that grows; the others are closed.
    current: Option<Epoch>,
    credit: usize,
    paused: Option<Instant>,
    tickets: u64,
    acts: VecDeque<Act>,
}

impl Link {
    /// A link that knows of no journal yet and is not connected.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            state: State::Down,
            flows: Vec::new(),
            current: None,
            credit: 0,
            paused: None,
            tickets: 0,
            acts: VecDeque::new(),
        }
    }

    /// How the lanes of the journal stand, the epoch that grows last; told at the start and after each commit.
    pub fn lanes(&mut self, lanes: &[LaneState], now: Instant) {
        self.current = lanes.last().map(|state| state.epoch);
        let mut unknown = false;
        for state in lanes {
            match self.flows.iter_mut().find(|flow| flow.state.flow() == state.flow()) {
                Some(flow) => {
                    flow.told(state);
                    if flow.waiting.is_none() && state.head.seq > flow.sent.seq {
                        flow.waiting = Some(now);
                    }
                }
                None => {
                    unknown = true;
                    self.flows.push(Flow::new(*state, now));
                }
            }
        }
        self.flows.retain(|flow| lanes.iter().any(|state| state.flow() == flow.state.flow()));
        // Stable: within a lane the order of the epochs stays.
        self.flows.sort_by_key(Flow::lane);
        if unknown && let State::Greeting(path, _) | State::Open(path) = self.state {
            self.connected(path, now);
        }
    }

    /// There is a connection, or a broker that takes messages.
    pub fn connected(&mut self, path: Path, now: Instant) {
        for flow in &mut self.flows {
            flow.lose();
            flow.progress = now;
        }
        self.acts.retain(|act| !matches!(act, Act::Send(_) | Act::Read { .. }));
        self.state = State::Greeting(path, now);
        let mut lanes: Vec<LaneState> = self.flows.iter().map(|flow| flow.state).collect();
        lanes.truncate(crate::MOST_LANES);
        let release = self.config.release.clone();
        self.acts.push_back(Act::Send(Up::Hello(Hello { release, schema: SCHEMA, lanes })));
    }

    /// The connection is gone.
    pub fn disconnected(&mut self) {
        self.flows.iter_mut().for_each(Flow::lose);
        self.acts.retain(|act| !matches!(act, Act::Send(_) | Act::Read { .. }));
        self.state = State::Down;
        self.paused = None;
    }

    /// The hub said something.
    pub fn heard(&mut self, frame: Down, now: Instant) {
        if self.state == State::Down {
            return;
        }
        match frame {
            Down::Welcome(welcome) => self.welcomed(&welcome, now),
            Down::Ack(cursor) => self.acked(cursor, now),
            Down::Nak(nak) => self.refused(nak, now),
            Down::Fork(cursor) => self.fork(cursor),
            // The driver's; they move nothing here.
            Down::Receipt(_) | Down::Directive(_) => {}
            Down::Refused(reason) => self.acts.push_back(Act::Refused(reason)),
        }
    }

    fn welcomed(&mut self, welcome: &Welcome, now: Instant) {
        // Also when an earlier hello was answered already: the lanes of a later one wait for theirs.
        let (State::Greeting(path, _) | State::Open(path)) = self.state else { return };
        self.state = State::Open(path);
        self.credit = usize::try_from(welcome.credit).unwrap_or(usize::MAX);
        self.paused = None;
        for cursor in &welcome.cursors {
            let waits = |flow: &Flow| {
                flow.state.flow() == cursor.flow() && flow.standing == Standing::Unknown
            };
            if self.flows.iter().any(waits) {
                self.resume(*cursor, now);
            }
        }
    }

    /// The hub names its cursor: the lane goes on from there, once it is seen to be ours.
    fn resume(&mut self, cursor: Cursor, now: Instant) {
        let Some(flow) = self.flows.iter_mut().find(|flow| flow.state.flow() == cursor.flow())
        else {
            return;
        };
        if flow.standing == Standing::Forked {
            return;
        }
        if cursor.head.seq < flow.kept {
            self.acts.push_back(Act::Rewound(cursor));
        }
        if cursor.head.seq > flow.state.head.seq {
            if self.current == Some(cursor.epoch) {
                return self.fork(cursor);
            }
            // A restored or salvaged database knows less of its earlier lives than was sent of them.
            let head = flow.state.head;
            return flow.restart(head, now);
        }
        if cursor.head.seq < flow.cursor.seq {
            flow.cursor = cursor.head;
        }
        if cursor.head.seq.0 > 0 && cursor.head.seq >= flow.state.base.seq {
            flow.standing = Standing::Checking(cursor);
            flow.progress = now;
            self.acts.push_back(Act::Check(cursor));
        } else if flow.state.base.seq > cursor.head.seq {
            let hole = Hole { from: cursor, to: flow.state.base };
            flow.standing = Standing::Hole(cursor);
            flow.progress = now;
            flow.kept = cursor.head.seq;
            // So that the journal knows that what it holds is not acknowledged any more, and keeps it.
            let acts = [Act::Check(cursor), Act::Lost(hole), Act::Send(Up::Hole(hole))];
            self.acts.extend(acts);
        } else {
            flow.restart(cursor.head, now);
        }
    }

    fn acked(&mut self, cursor: Cursor, now: Instant) {
        let Some(flow) = self.flows.iter_mut().find(|flow| flow.state.flow() == cursor.flow())
        else {
            return;
        };
        let standing = flow.standing;
        match standing {
            Standing::Forked | Standing::Unknown => {}
            Standing::Hole(_) if cursor.head == flow.state.base => flow.restart(cursor.head, now),
            // What was sent before still came through: the hole is smaller, or gone.
            Standing::Hole(from) if cursor.head.seq > from.head.seq => self.resume(cursor, now),
            Standing::Hole(_) => {}
            _ if flow.acked(cursor.head, now) => {}
            _ => self.fork(cursor),
        }
    }

    fn refused(&mut self, nak: Nak, now: Instant) {
        let Nak { cursor, why } = nak;
        let quiet = self.config.quiet;
        let newer = now + self.config.newer;
        let Some(flow) = self.flows.iter_mut().find(|flow| flow.state.flow() == cursor.flow())
        else {
            return;
        };
        if !matches!(flow.standing, Standing::Clear) {
            return;
        }
        match why {
            Refusal::Gap if flow.gap(cursor.head.seq, now, quiet) => {
                flow.lose();
                self.resume(cursor, now);
            }
            Refusal::Gap => {}
            Refusal::Newer { schema } => {
                flow.lose();
                flow.standing = Standing::Later(newer);
                self.acts.push_back(Act::TooNew { schema });
            }
            Refusal::Damaged(what) => {
                // It may have been altered on its way, where a broker reads along. If it is the journal itself that does
                // not hold, every further try says so again.
                flow.lose();
                flow.standing = Standing::Later(now + quiet);
                self.acts.push_back(Act::Damaged(cursor, what));
            }
            Refusal::Busy { after_ms } => {
                self.paused = Some(now + Duration::from_millis(u64::from(after_ms)));
                for flow in &mut self.flows {
                    let cursor = flow.cursor;
                    if flow.standing == Standing::Clear {
                        flow.restart(cursor, now);
                    }
                }
            }
        }
    }

    fn fork(&mut self, cursor: Cursor) {
        let mut news = false;
        for flow in self.flows.iter_mut().filter(|flow| flow.epoch() == cursor.epoch) {
            flow.lose();
            news |= flow.standing != Standing::Forked;
            flow.standing = Standing::Forked;
        }
        if news {
            self.acts.push_back(Act::Forked(cursor));
        }
    }

    /// The answer to [`Act::Check`].
    pub fn fits(&mut self, cursor: Cursor, fit: Fit, now: Instant) {
        let Some(flow) = self.flows.iter_mut().find(|flow| flow.state.flow() == cursor.flow())
        else {
            return;
        };
        let asked = flow.standing == Standing::Checking(cursor);
        match fit {
            Fit::Same => {
                flow.kept = flow.kept.max(cursor.head.seq);
                if asked {
                    flow.kept = cursor.head.seq;
                    flow.restart(cursor.head, now);
                }
            }
            Fit::Other => self.fork(cursor),
            // It was pruned while we looked: the lanes that are told next show it.
            Fit::Pruned if asked => {
                let hole = Hole { from: cursor, to: flow.state.base };
                flow.standing = Standing::Hole(cursor);
                flow.progress = now;
                self.acts.extend([Act::Lost(hole), Act::Send(Up::Hole(hole))]);
            }
            Fit::Pruned => {}
        }
    }

    /// The answer to [`Act::Read`]; `None` where there was nothing or it could not be read.
    pub fn packed(&mut self, ticket: u64, packed: Option<Packed>, now: Instant) {
        let Some(flow) = self.flows.iter_mut().find(|flow| flow.reading == Some(ticket)) else {
            return;
        };
        flow.reading = None;
        match packed {
            Some(packed) => {
                flow.sent(&packed, now);
                self.acts.push_back(Act::Send(Up::Batch(packed.bytes)));
            }
            // Not again at once: the next commit, or the retry, brings it up.
            None => flow.waiting = None,
        }
    }

    /// The next thing to do now, if any.
    pub fn next(&mut self, now: Instant) -> Option<Act> {
        if let Some(act) = self.acts.pop_front() {
            return Some(act);
        }
        self.keep(now);
        self.retry(now);
        if self.acts.is_empty() {
            self.read(now);
        }
        self.acts.pop_front()
    }

    /// Has the journal keep what was acknowledged, now and then.
    fn keep(&mut self, now: Instant) {
        for flow in &mut self.flows {
            let due = flow.kept_at.is_none_or(|at| now >= at + self.config.keep_every);
            if due && flow.cursor.seq > flow.kept && flow.standing == Standing::Clear {
                flow.kept_at = Some(now);
                let cursor = Cursor { epoch: flow.state.epoch, head: flow.cursor };
                self.acts.push_back(Act::Check(cursor));
            }
        }
    }

    fn retry_after(&self, path: Path) -> Duration {
        match path {
            Path::Quic => self.config.retry_quic,
            Path::Mqtt => self.config.retry_mqtt,
        }
    }

    fn retry(&mut self, now: Instant) {
        match self.state {
            State::Down => {}
            State::Greeting(path, since) if now >= since + self.retry_after(path) => {
                self.connected(path, now);
            }
            State::Greeting(..) => {}
            State::Open(path) => {
                let retry = self.retry_after(path);
                let stuck = |flow: &Flow| match flow.standing {
                    Standing::Clear => flow.is_flying() && now >= flow.progress + retry,
                    Standing::Hole(_) | Standing::Checking(_) | Standing::Unknown => {
                        now >= flow.progress + retry
                    }
                    Standing::Later(_) | Standing::Forked => false,
                };
                if self.flows.iter().any(stuck) {
                    return self.connected(path, now);
                }
                for flow in &mut self.flows {
                    if matches!(flow.standing, Standing::Later(until) if now >= until) {
                        flow.restart(flow.cursor, now);
                    }
                }
            }
        }
    }

    fn read(&mut self, now: Instant) {
        if !matches!(self.state, State::Open(_)) || self.paused.is_some_and(|until| now < until) {
            return;
        }
        self.paused = None;
        let all: usize = self.flows.iter().map(Flow::flying).sum();
        let (credit, config) = (self.credit, &self.config);
        let ready = |flow: &&mut Flow| {
            let room = match flow.lane() {
                Lane::Critical => {
                    flow.flying() < CRITICAL_BYTES.max(credit.min(config.window_bytes))
                }
                Lane::Bulk => flow.flying() < config.window_bytes && all < credit,
            };
            room && ready_at(flow, config).is_some_and(|at| now >= at)
        };
        if let Some(flow) = self.flows.iter_mut().find(ready) {
            self.tickets += 1;
            flow.reading = Some(self.tickets);
            let (epoch, after) = (flow.epoch(), flow.sent);
            self.acts.push_back(Act::Read { ticket: self.tickets, epoch, after });
        }
    }

    /// When [`Link::next`], which has nothing at `now`, may have something again if nothing is told before.
    pub fn wake_at(&self, now: Instant) -> Option<Instant> {
        let open = match self.state {
            State::Down => return None,
            State::Greeting(path, since) => return Some(since + self.retry_after(path)),
            State::Open(path) => self.retry_after(path),
        };
        let config = &self.config;
        let times = self.flows.iter().flat_map(move |flow| {
            let kept = (flow.cursor.seq > flow.kept && flow.standing == Standing::Clear)
                .then(|| flow.kept_at.map(|at| at + config.keep_every))
                .flatten();
            let retry = match flow.standing {
                Standing::Later(until) => Some(until),
                Standing::Clear if flow.is_flying() => Some(flow.progress + open),
                Standing::Hole(_) | Standing::Checking(_) | Standing::Unknown => {
                    Some(flow.progress + open)
                }
                _ => None,
            };
            [kept, retry, ready_at(flow, config)]
        });
        // What is due and was not done waits for room, which an ack brings.
        times.flatten().chain(self.paused).filter(|at| *at > now).min()
    }

    /// Entries of which the hub has not said that it has them.
    pub fn lag(&self) -> u64 {
        self.flows.iter().filter(|flow| flow.standing != Standing::Forked).map(Flow::lag).sum()
    }

    /// The same of one lane.
    pub fn lag_of(&self, lane: Lane) -> u64 {
        let of_lane = self.flows.iter().filter(|flow| flow.lane() == lane);
        of_lane.filter(|flow| flow.standing != Standing::Forked).map(Flow::lag).sum()
    }

    /// Whether the hub owes a word on entries: it was sent some, or was asked where it stands while some wait.
    pub fn is_owed(&self) -> bool {
        self.flows.iter().any(Flow::is_owed)
    }

    /// Up to where the hub has the flow named.
    pub fn cursor(&self, epoch: Epoch, lane: Lane) -> Option<Seq> {
        let flow = self.flows.iter().find(|flow| flow.state.flow() == (epoch, lane))?;
        Some(flow.cursor.seq)
    }

    /// Whether the hub has welcomed us on this connection.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }
}

/// When the next batch of a lane may be read, where anything waits and nothing forbids it.
fn ready_at(flow: &Flow, config: &Config) -> Option<Instant> {
    let waits = flow.state.head.seq.0.saturating_sub(flow.sent.seq.0);
    if flow.standing != Standing::Clear || flow.reading.is_some() || waits == 0 {
        return None;
    }
    let since = flow.waiting?;
    let lingers = flow.lane() == Lane::Bulk && flow.is_flying() && waits < FEW;
    Some(if lingers { since + config.linger } else { since })
}

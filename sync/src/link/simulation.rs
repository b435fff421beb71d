//! Box and hub over a channel that loses, repeats and reorders, with either killed at any step.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::journal::{
    Acted, Actor, Body, BoxId, Epoch, GENESIS, Head, Lane, Millis, Record, Seq, Sha256, Subject,
    link,
};

use super::{Act, Config, Judged, Link, Path, judge};
use crate::batch::{self, Batch, Entry};
use crate::frame::{Cursor, Down, Hole, LaneState, Nak, Refusal, Up, Welcome, nothing};
use crate::journal::Fit;

mod cases;

const OF: BoxId = BoxId(uuid::Uuid::from_u128(7));

fn entry(epoch: Epoch, lane: Lane, seq: u64, previous: Sha256, mark: i64) -> Entry {
    let body = Body::Acted(Acted { tenant: None, call: "drain".parse().unwrap() });
    let record = Record {
        of: OF,
        epoch,
        lane,
        seq: Seq(seq),
        at: Millis(mark),
        actor: Actor::System,
        subject: Subject::Box,
        side: None,
        body,
    };
    let record = record.encode().unwrap();
    let chain = link(previous, &record);
    Entry { seq: Seq(seq), record, chain, side: None }
}

/// A lane of the box: entries from `base` on.
#[derive(Clone, Default)]
struct LaneOf {
    base: u64,
    acked: u64,
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Paper {
    lanes: BTreeMap<(u64, Lane), LaneOf>,
    epochs: Vec<u64>,
    forked: Vec<u64>,
}

impl Paper {
    fn new() -> Self {
        let mut paper = Self { lanes: BTreeMap::new(), epochs: vec![], forked: vec![] };
        paper.begin(1);
        paper
    }

    fn begin(&mut self, epoch: u64) {
        self.epochs.push(epoch);
        for lane in Lane::ALL {
            self.lanes.insert((epoch, lane), LaneOf::default());
        }
    }

    fn write(&mut self, lane: Lane, mark: i64) {
        let epoch = *self.epochs.last().unwrap();
        let of = self.lanes.get_mut(&(epoch, lane)).unwrap();
        let (seq, previous) = of.entries.last().map_or((0, GENESIS), |e| (e.seq.0, e.chain));
        of.entries.push(entry(Epoch(epoch), lane, seq + 1, previous, mark));
    }

    fn head(&self, epoch: u64, lane: Lane, seq: u64) -> Head {
        let chain = match seq {
            0 => GENESIS,
            n => self.lanes[&(epoch, lane)].entries[n as usize - 1].chain,
        };
        Head { lane, seq: Seq(seq), chain }
    }

    fn states(&self) -> Vec<LaneState> {
        let live = self.epochs.iter().filter(|epoch| !self.forked.contains(epoch));
        live.flat_map(|epoch| Lane::ALL.map(|lane| (*epoch, lane)))
            .map(|(epoch, lane)| {
                let of = &self.lanes[&(epoch, lane)];
                let base = self.head(epoch, lane, of.base);
                let head = self.head(epoch, lane, of.entries.len() as u64);
                LaneState { epoch: Epoch(epoch), base, head }
            })
            .collect()
    }

    fn check(&mut self, cursor: Cursor) -> Fit {
        let key = (cursor.epoch.0, cursor.head.lane);
        let (seq, of) = (cursor.head.seq.0, self.lanes.get_mut(&key).unwrap());
        if seq < of.base {
            of.acked = of.base;
            return Fit::Pruned;
        }
        match of.entries.get((seq as usize).wrapping_sub(1)) {
            Some(entry) if entry.chain == cursor.head.chain => {
                of.acked = seq;
                Fit::Same
            }
            _ => Fit::Other,
        }
    }
}

/// What the hub has committed.
#[derive(Clone, Default)]
struct Hub {
    cursors: BTreeMap<(u64, Lane), Cursor>,
    rows: Vec<(u64, Lane, u64, Vec<u8>)>,
    holes: Vec<Hole>,
    /// Rows that came, also those that were known.
    heard_rows: usize,
}

impl Hub {
    fn cursor(&self, epoch: Epoch, lane: Lane) -> Cursor {
        self.cursors.get(&(epoch.0, lane)).copied().unwrap_or_else(|| nothing(epoch, lane))
    }

    fn heard(&mut self, up: Up) -> Down {
        match up {
            Up::Hello(hello) => Down::Welcome(Welcome {
                release: "test".into(),
                cursors: hello.lanes.iter().map(|s| self.cursor(s.epoch, s.head.lane)).collect(),
                credit: 4096,
            }),
            Up::Batch(bytes) => self.batch(&Batch::open(OF, &bytes).unwrap()),
            Up::Hole(hole) => {
                let key = (hole.from.epoch.0, hole.from.head.lane);
                if self.cursor(hole.from.epoch, hole.from.head.lane) == hole.from {
                    self.holes.push(hole);
                    self.cursors.insert(key, Cursor { epoch: hole.from.epoch, head: hole.to });
                }
                Down::Ack(self.cursor(hole.from.epoch, hole.from.head.lane))
            }
            Up::Checkpoint(_) | Up::Follow(_) => unreachable!("the driver sends those"),
        }
    }

    fn batch(&mut self, batch: &Batch) -> Down {
        self.heard_rows += batch.rows.len();
        let cursor = self.cursor(batch.epoch, batch.lane);
        match judge(&cursor, batch) {
            Judged::Next { skip } => {
                for row in &batch.rows[skip..] {
                    self.rows.push((batch.epoch.0, batch.lane, row.seq.0, row.raw.clone()));
                }
                let head = Head { lane: batch.lane, seq: batch.last(), chain: batch.chain() };
                let cursor = Cursor { epoch: batch.epoch, head };
                self.cursors.insert((batch.epoch.0, batch.lane), cursor);
                Down::Ack(cursor)
            }
            Judged::Known => Down::Ack(cursor),
            Judged::Gap => Down::Nak(Nak { cursor, why: Refusal::Gap }),
            Judged::Fork => Down::Fork(cursor),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(Lane, u8),
    /// The journal goes on before the link is told.
    Quiet(Lane, u8),
    /// Let frames through, each by its fate.
    Carry(Vec<Fate>),
    Wait(u16),
    Reconnect,
    KillBox,
    KillHub,
    /// Everything acknowledged goes.
    Prune,
    RewindHub,
    Busy,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrive,
    Lose,
    Twice,
    /// Behind the next one.
    Later,
}

struct World {
    now: Instant,
    paper: Paper,
    link: Link,
    hub: Hub,
    /// An older state of the hub, to which it may be put back.
    yesterday: Hub,
    /// Each under the session of its hello.
    up: Vec<(u32, Up)>,
    down: Vec<(u32, Down)>,
    session: u32,
    hub_session: u32,
    marks: i64,
    path: Path,
    forks: usize,
}

fn config() -> Config {
    Config { window_bytes: 3000, ..Config::default() }
}

impl World {
    fn new(path: Path) -> Self {
        let now = Instant::now();
        let mut world = Self {
            now,
            paper: Paper::new(),
            link: Link::new(config()),
            hub: Hub::default(),
            yesterday: Hub::default(),
            up: vec![],
            down: vec![],
            session: 0,
            hub_session: 0,
            marks: 0,
            path,
            forks: 0,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.link = Link::new(config());
        self.link.lanes(&self.paper.states(), self.now);
        self.reconnect();
    }

    fn reconnect(&mut self) {
        self.link.disconnected();
        if self.path == Path::Quic {
            self.up.clear();
            self.down.clear();
        }
        self.link.connected(self.path, self.now);
        self.act();
    }

    fn write(&mut self, lane: Lane, many: u8) {
        for _ in 0..many {
            self.marks += 1;
            self.paper.write(lane, self.marks);
        }
        self.link.lanes(&self.paper.states(), self.now);
        self.act();
    }

    fn act(&mut self) {
        while let Some(act) = self.link.next(self.now) {
            match act {
                Act::Send(up) => {
                    self.session += u32::from(matches!(up, Up::Hello(_)));
                    self.up.push((self.session, up));
                }
                Act::Read { ticket, epoch, after } => {
                    let of = &self.paper.lanes[&(epoch.0, after.lane)];
                    let rest = &of.entries[(after.seq.0 as usize).min(of.entries.len())..];
                    // Few rows a batch, so that there are many under way.
                    let rest = &rest[..rest.len().min(5)];
                    let packed = batch::pack(OF, epoch, after.lane, after.chain, rest).ok();
                    self.link.packed(ticket, packed, self.now);
                }
                Act::Check(cursor) => {
                    let fit = self.paper.check(cursor);
                    self.link.fits(cursor, fit, self.now);
                }
                Act::Forked(cursor) => {
                    self.forks += 1;
                    self.paper.forked.push(cursor.epoch.0);
                    let next = 1000 + self.paper.epochs.len() as u64;
                    self.paper.begin(next);
                    self.link.lanes(&self.paper.states(), self.now);
                }
                Act::Rewound(_) | Act::Lost(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Lets frames of both directions through. What has no fate arrives.
    fn carry(&mut self, fates: &[Fate]) {
        let mut fates = fates.iter().copied();
        for up in fated(std::mem::take(&mut self.up), &mut fates) {
            self.hear(up);
        }
        for down in fated(std::mem::take(&mut self.down), &mut fates) {
            if down.0 == self.session {
                self.link.heard(down.1, self.now);
            }
        }
        self.act();
    }

    /// The hub answers under the session of the hello that it heard last.
    fn hear(&mut self, (session, up): (u32, Up)) {
        if matches!(up, Up::Hello(_)) {
            self.hub_session = session;
        }
        if session == self.hub_session {
            let answer = self.hub.heard(up);
            self.down.push((session, answer));
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write(lane, many) => self.write(*lane, *many),
            Step::Quiet(lane, many) => {
                for _ in 0..*many {
                    self.marks += 1;
                    self.paper.write(*lane, self.marks);
                }
            }
            // A connection keeps order and loses nothing while it lives.
            Step::Carry(_) if self.path == Path::Quic => self.carry(&[]),
            Step::Carry(fates) => self.carry(fates),
            Step::Wait(ms) => {
                self.now += Duration::from_millis(u64::from(*ms));
                self.act();
            }
            Step::Reconnect => self.reconnect(),
            Step::KillBox => self.begin(),
            Step::KillHub => {
                // It committed what had come, and its answers are lost.
                for up in std::mem::take(&mut self.up) {
                    self.hear(up);
                }
                self.down.clear();
                self.reconnect();
            }
            Step::Prune => {
                for of in self.paper.lanes.values_mut() {
                    of.base = of.base.max(of.acked);
                }
                self.link.lanes(&self.paper.states(), self.now);
                self.yesterday = self.hub.clone();
            }
            Step::RewindHub => {
                self.hub = self.yesterday.clone();
                self.reconnect();
            }
            Step::Busy => {
                let cursor = self.hub.cursor(Epoch(1), Lane::Bulk);
                let why = Refusal::Busy { after_ms: 500 };
                self.link.heard(Down::Nak(Nak { cursor, why }), self.now);
                self.act();
            }
        }
    }

    /// The network heals. True once nothing is left to send.
    fn settle(&mut self) -> bool {
        self.link.lanes(&self.paper.states(), self.now);
        self.act();
        for _ in 0..2000 {
            self.carry(&[]);
            if self.up.is_empty() && self.down.is_empty() {
                if self.link.lag() == 0 && self.link.is_open() {
                    return true;
                }
                // Nothing under way: only time can bring more.
                self.now = self.link.wake_at(self.now).unwrap_or(self.now + Duration::from_secs(1));
                self.act();
            }
        }
        false
    }

    /// The hub's rows of a lane are the box's entries, each once and in order, but for holes that it knows of.
    fn check(&self) {
        for ((epoch, lane), of) in &self.paper.lanes {
            if self.paper.forked.contains(epoch) {
                continue;
            }
            let theirs: Vec<(u64, &[u8])> = self
                .hub
                .rows
                .iter()
                .filter(|row| (row.0, row.1) == (*epoch, *lane))
                .map(|row| (row.2, row.3.as_slice()))
                .collect();
            let holed = |seq: u64| {
                self.hub.holes.iter().any(|hole| {
                    let flow = (hole.from.epoch.0, hole.from.head.lane) == (*epoch, *lane);
                    flow && hole.from.head.seq.0 < seq && seq <= hole.to.seq.0
                })
            };
            let ours: Vec<(u64, &[u8])> = of
                .entries
                .iter()
                .filter(|entry| !holed(entry.seq.0))
                .map(|entry| (entry.seq.0, entry.record.as_slice()))
                .collect();
            assert_eq!(theirs, ours, "epoch {epoch}, {lane:?}");
        }
    }
}

fn fated<T: Clone>(frames: Vec<T>, fates: &mut impl Iterator<Item = Fate>) -> Vec<T> {
    let (mut out, mut held) = (Vec::new(), None);
    for frame in frames {
        match fates.next().unwrap_or(Fate::Arrive) {
            Fate::Arrive => out.push(frame),
            Fate::Lose => {}
            Fate::Twice => out.extend([frame.clone(), frame]),
            Fate::Later => {
                out.extend(held.replace(frame));
                continue;
            }
        }
        out.extend(held.take());
    }
    out.extend(held);
    out
}

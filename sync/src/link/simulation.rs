//! Box and hub over a channel that loses, repeats and reorders, with either killed at any step.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::journal::{
    Acted, Actor, Body, BoxId, Epoch, GENESIS, Head, Lane, Millis, Record, Seq, Sha256, Subject,
    link,
};
use proptest::prelude::*;

use super::{Act, Config, Judged, Link, Path, judge};
use crate::batch::{self, Batch, Entry};
use crate::frame::{Cursor, Down, Hole, LaneState, Nak, Refusal, Up, Welcome, nothing};
use crate::journal::Fit;

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
            Up::Checkpoint(_) => unreachable!("the driver sends those"),
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

fn lane() -> impl Strategy<Value = Lane> {
    prop_oneof![Just(Lane::Critical), Just(Lane::Bulk)]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![4 => Just(Fate::Arrive), 1 => Just(Fate::Lose), 1 => Just(Fate::Twice), 1 => Just(Fate::Later)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (lane(), 1..40u8).prop_map(|(lane, many)| Step::Write(lane, many)),
        2 => (lane(), 1..9u8).prop_map(|(lane, many)| Step::Quiet(lane, many)),
        8 => prop::collection::vec(fate(), 0..20).prop_map(Step::Carry),
        3 => (0..15_000u16).prop_map(Step::Wait),
        1 => Just(Step::Reconnect),
        1 => Just(Step::KillBox),
        1 => Just(Step::KillHub),
        1 => Just(Step::Prune),
        1 => Just(Step::Busy),
        1 => Just(Step::RewindHub),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens: each entry is committed once, in order, and none is missing but those of which both know.
    #[test]
    fn nothing_is_lost_or_doubled(
        path in prop_oneof![Just(Path::Quic), Just(Path::Mqtt)],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(path);
        for one in &steps {
            world.step(one);
        }
        prop_assert!(world.settle(), "it does not come to rest: {:?}", world.link);
        prop_assert_eq!(world.forks, 0, "an alarm without a cause");
        world.check();
    }
}

#[test]
fn critical_entries_overtake_a_backlog() {
    let mut world = World::new(Path::Quic);
    world.carry(&[]);
    world.write(Lane::Bulk, 250);
    let waiting = world.link.lag_of(Lane::Bulk);
    assert!(world.up.len() < 50, "the window holds the rest back");
    world.write(Lane::Critical, 1);
    world.carry(&[]);
    assert_eq!(world.link.lag_of(Lane::Critical), 0);
    assert!(world.link.lag_of(Lane::Bulk) > 0 && world.link.lag_of(Lane::Bulk) < waiting);
}

/// As at a start: the connection is there before the journal was looked at, and then nothing more is written.
#[test]
fn lanes_that_are_told_between_hello_and_welcome_are_sent() {
    let mut world = World::new(Path::Quic);
    for _ in 0..4 {
        world.paper.write(Lane::Bulk, 1);
    }
    world.link = Link::new(config());
    (world.up, world.down) = (vec![], vec![]);
    world.link.connected(Path::Quic, world.now);
    world.act();
    world.link.lanes(&world.paper.states(), world.now);
    world.act();
    for _ in 0..4 {
        world.carry(&[]);
    }
    assert_eq!(world.link.lag(), 0, "no time has passed");
    world.check();
}

#[test]
fn of_two_lanes_the_critical_one_is_read_first() {
    let mut world = World::new(Path::Quic);
    world.carry(&[]);
    world.paper.write(Lane::Bulk, 1);
    world.paper.write(Lane::Critical, 2);
    world.link.lanes(&world.paper.states(), world.now);
    let Some(Act::Read { after, .. }) = world.link.next(world.now) else { panic!() };
    assert_eq!(after.lane, Lane::Critical);
}

#[test]
fn a_batch_that_is_lost_is_sent_again_at_once_and_nothing_else_is() {
    let mut world = World::new(Path::Mqtt);
    world.carry(&[]);
    world.write(Lane::Bulk, 200);
    assert!(world.up.len() > 3);
    world.carry(&[Fate::Arrive, Fate::Lose]);
    let begun = world.now;
    for _ in 0..100 {
        world.carry(&[]);
        // What is left at the end lingers.
        world.now += Duration::from_millis(1);
        world.act();
    }
    assert_eq!(world.link.lag(), 0);
    assert!(world.now < begun + config().quiet);
    world.check();
    // In order all through, one answer at a time: nothing is sent twice.
    let mut world = World::new(Path::Quic);
    world.carry(&[]);
    world.write(Lane::Bulk, 250);
    while world.link.lag() > 0 {
        for up in std::mem::take(&mut world.up) {
            world.hear(up);
        }
        for (_, down) in std::mem::take(&mut world.down) {
            world.link.heard(down, world.now);
            world.act();
        }
        world.now += Duration::from_millis(1);
        world.act();
    }
    assert_eq!(world.hub.heard_rows, 250);
}

#[test]
fn a_clone_that_has_come_further_than_the_hub_is_told_by_its_chain() {
    let mut world = World::new(Path::Quic);
    world.write(Lane::Bulk, 10);
    let mut clone = world.paper.clone();
    world.write(Lane::Bulk, 10);
    assert!(world.settle());
    world.marks += 100;
    (0..30).for_each(|mark| clone.write(Lane::Bulk, 1000 + mark));
    world.paper = clone;
    world.begin();
    assert!(world.settle());
    assert_eq!(world.forks, 1);
    let others: Vec<_> = world.hub.rows.iter().filter(|row| row.2 > 20).collect();
    assert!(others.is_empty(), "nothing of the clone's went on top of the other's: {others:?}");
}

#[test]
fn a_box_put_back_in_time_forks_and_goes_on_in_a_new_epoch() {
    let mut world = World::new(Path::Quic);
    world.write(Lane::Bulk, 10);
    let old = world.paper.clone();
    world.write(Lane::Bulk, 10);
    assert!(world.settle());
    // Yesterday's copy, which then went another way.
    world.paper = old;
    world.begin();
    world.write(Lane::Bulk, 30);
    assert!(world.settle());
    assert_eq!(world.forks, 1);
    world.write(Lane::Bulk, 3);
    assert!(world.settle());
    assert_eq!(world.forks, 1, "once an epoch");
    world.check();
}

#[test]
fn a_database_restored_by_command_raises_no_alarm_and_sends_what_is_new() {
    let mut world = World::new(Path::Quic);
    world.write(Lane::Bulk, 10);
    let mut old = world.paper.clone();
    world.write(Lane::Bulk, 10);
    assert!(world.settle());
    old.begin(2);
    world.paper = old;
    world.begin();
    world.write(Lane::Bulk, 5);
    assert!(world.settle());
    assert_eq!(world.forks, 0);
    let rows = |epoch| world.hub.rows.iter().filter(|row| row.0 == epoch).count();
    assert_eq!((rows(1), rows(2)), (20, 5), "the hub keeps what the box does not know any more");
}

#[test]
fn entries_that_nobody_has_any_more_are_told_of() {
    let mut world = World::new(Path::Quic);
    world.write(Lane::Bulk, 12);
    assert!(world.settle());
    // So that the journal knows of the last ack.
    world.now += Duration::from_secs(2);
    world.act();
    let empty = std::mem::take(&mut world.yesterday);
    world.step(&Step::Prune);
    world.hub = empty;
    world.reconnect();
    world.write(Lane::Bulk, 2);
    assert!(world.settle());
    assert_eq!(world.hub.holes.len(), 1);
    assert_eq!((world.hub.holes[0].from.head.seq, world.hub.holes[0].to.seq), (Seq(0), Seq(12)));
    world.check();
}

#[test]
fn a_hub_that_reads_only_older_entries_is_asked_again_later() {
    let mut world = World::new(Path::Quic);
    world.carry(&[]);
    world.write(Lane::Bulk, 4);
    world.up.clear();
    let cursor = world.hub.cursor(Epoch(1), Lane::Bulk);
    world.link.heard(Down::Nak(Nak { cursor, why: Refusal::Newer { schema: 0 } }), world.now);
    assert_eq!(world.link.next(world.now), Some(Act::TooNew { schema: 0 }));
    assert_eq!(world.link.next(world.now + Duration::from_secs(59)), None, "left alone");
    world.now += Duration::from_secs(60);
    assert!(world.settle(), "upgraded meanwhile");
    world.check();
}

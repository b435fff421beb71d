//! The box's own link against the real ingest, over a channel that loses, repeats and reorders, with either side killed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::{Paper, count, ingest, migrated};
use domain::journal::{Epoch, Lane};
use hub::Database;
use hub::ingest::{Config, Ingest, Pending};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use rig::postgres::Postgres;
use sync::batch::pack;
use sync::frame::{Cursor, Down, Up};
use sync::journal::Fit;
use sync::link::{Act, Config as Pace, Link, Path};
use tokio::task::JoinSet;

#[derive(Clone, Debug)]
enum Step {
    Write(bool, u8),
    Carry(Vec<Fate>),
    Wait(u16),
    Reconnect,
    KillBox,
    KillHub,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrive,
    Lose,
    Twice,
    Later,
}

struct World<'a> {
    database: &'a Database,
    hub: (Ingest, JoinSet<()>),
    paper: Paper,
    link: Link,
    now: Instant,
    up: Vec<Up>,
    down: Vec<Down>,
}

fn pace() -> Pace {
    Pace { window_bytes: 3000, ..Pace::default() }
}

fn fresh(database: &Database) -> (Ingest, JoinSet<()>) {
    // No lingering: every step waits for its commits.
    ingest(database, Config { linger: Duration::ZERO, ..Config::default() })
}

impl<'a> World<'a> {
    fn new(database: &'a Database, number: u128) -> Self {
        let mut world = Self {
            database,
            hub: fresh(database),
            paper: Paper::new(number),
            link: Link::new(pace()),
            now: Instant::now(),
            up: vec![],
            down: vec![],
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.link = Link::new(pace());
        self.link.lanes(&self.paper.states(), self.now);
        self.reconnect();
    }

    fn reconnect(&mut self) {
        self.link.disconnected();
        self.link.connected(Path::Mqtt, self.now);
        self.act();
    }

    fn act(&mut self) {
        while let Some(act) = self.link.next(self.now) {
            match act {
                Act::Send(up) => self.up.push(up),
                Act::Read { ticket, epoch, after } => {
                    let entries = &self.paper.lanes[usize::from(after.lane.number())];
                    let rest = &entries[(after.seq.0 as usize).min(entries.len())..];
                    let rest = &rest[..rest.len().min(5)];
                    let packed = pack(self.paper.of, epoch, after.lane, after.chain, rest).ok();
                    self.link.packed(ticket, packed, self.now);
                }
                Act::Check(cursor) => {
                    let fit = self.check(cursor);
                    self.link.fits(cursor, fit, self.now);
                }
                Act::Rewound(_) | Act::Lost(_) => {}
                other => panic!("an alarm without a cause: {other:?}"),
            }
        }
    }

    fn check(&self, cursor: Cursor) -> Fit {
        let entries = &self.paper.lanes[usize::from(cursor.head.lane.number())];
        match cursor.head.seq.0.checked_sub(1).map(|at| entries.get(at as usize)) {
            None => Fit::Same,
            Some(Some(entry)) if entry.chain == cursor.head.chain => Fit::Same,
            Some(_) => Fit::Other,
        }
    }

    async fn carry(&mut self, fates: &[Fate]) {
        let mut fates = fates.iter().copied();
        let mut pending: Vec<Pending> = Vec::new();
        for up in fated(std::mem::take(&mut self.up), &mut fates) {
            match up {
                Up::Hello(hello) => {
                    let welcome = self.hub.0.hello(self.paper.of, &hello).await.unwrap();
                    self.down.push(Down::Welcome(welcome));
                }
                // All are handed in before any is answered.
                Up::Batch(bytes) => {
                    pending.push(self.hub.0.batch(self.paper.of, &bytes).await.unwrap());
                }
                Up::Hole(hole) => pending.push(self.hub.0.hole(self.paper.of, hole).await.unwrap()),
                Up::Checkpoint(_) | Up::Follow(_) => unreachable!("the driver sends those"),
            }
        }
        for one in pending {
            self.down.push(one.answer().await.unwrap());
        }
        for down in fated(std::mem::take(&mut self.down), &mut fates) {
            self.link.heard(down, self.now);
        }
        self.act();
    }

    /// What had come is committed or not; nobody hears of it.
    async fn kill_hub(&mut self) {
        for up in std::mem::take(&mut self.up) {
            if let Up::Batch(bytes) = up {
                drop(self.hub.0.batch(self.paper.of, &bytes).await.unwrap());
            }
        }
        self.hub.1.abort_all();
        self.hub = fresh(self.database);
        self.down.clear();
        self.reconnect();
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Write(urgent, many) => {
                let lane = if *urgent { Lane::Critical } else { Lane::Bulk };
                for _ in 0..*many {
                    self.paper.photo(lane, None);
                }
                self.link.lanes(&self.paper.states(), self.now);
                self.act();
            }
            Step::Carry(fates) => self.carry(fates).await,
            Step::Wait(ms) => {
                self.now += Duration::from_millis(u64::from(*ms));
                self.act();
            }
            Step::Reconnect => self.reconnect(),
            Step::KillBox => self.begin(),
            Step::KillHub => self.kill_hub().await,
        }
    }

    async fn settle(&mut self) -> bool {
        for _ in 0..500 {
            self.carry(&[]).await;
            if self.up.is_empty() && self.down.is_empty() {
                if self.link.lag() == 0 && self.link.is_open() {
                    return true;
                }
                self.now = self.link.wake_at(self.now).unwrap_or(self.now + Duration::from_secs(1));
                self.act();
            }
        }
        false
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

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![4 => Just(Fate::Arrive), 1 => Just(Fate::Lose), 1 => Just(Fate::Twice), 1 => Just(Fate::Later)];
    prop_oneof![
        6 => (any::<bool>(), 1..20u8).prop_map(|(urgent, many)| Step::Write(urgent, many)),
        8 => prop::collection::vec(fate, 0..20).prop_map(Step::Carry),
        3 => (0..15_000u16).prop_map(Step::Wait),
        1 => Just(Step::Reconnect),
        1 => Just(Step::KillBox),
        1 => Just(Step::KillHub),
    ]
}

/// Whatever happens: each entry is committed once, in order, and no false alarm is raised.
#[test]
fn nothing_is_lost_or_doubled_by_the_real_ingest() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let postgres = Postgres::start();
    let database = runtime.block_on(migrated(&postgres));
    let number = std::cell::Cell::new(1u128);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) };
    let outcome = TestRunner::new(config).run(&prop::collection::vec(step(), 1..40), |steps| {
        number.set(number.get() + 1);
        runtime.block_on(async {
            let mut world = World::new(&database, number.get());
            for one in &steps {
                world.step(one).await;
            }
            if !world.settle().await {
                return Err(TestCaseError::fail(format!(
                    "it does not come to rest: {:?}",
                    world.link
                )));
            }
            for lane in Lane::ALL {
                world.paper.assert_stored(&database, lane).await;
            }
            assert_ne!(world.paper.epoch, Epoch(0));
            Ok(())
        })
    });
    outcome.unwrap();
    assert_eq!(runtime.block_on(count(&database, "SELECT count(*) FROM alarms")), 0);
    let entries = "SELECT count(*) FROM entries";
    assert!(runtime.block_on(count(&database, entries)) > 1000, "much went through");
}

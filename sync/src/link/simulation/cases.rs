//! What must hold in it, whatever happens and case by case.

use proptest::prelude::*;

use super::*;

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

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn choice(now: Instant) -> Choice {
    Choice::new(Config::default(), Pause::new(SECOND, 60 * SECOND), now)
}

/// What happens, and what is to be done then: everything, in order.
enum Row {
    Broker(bool),
    Owed(bool),
    Heard,
    Failed,
    Connected(bool),
    Lost,
    Barred,
    After(u64),
    Acts(&'static [Act]),
    At(Option<Path>),
}

fn run(rows: &[Row]) {
    let begun = Instant::now();
    let mut now = begun;
    let mut choice = choice(now);
    for (n, row) in rows.iter().enumerate() {
        match row {
            Broker(there) => choice.broker(*there),
            Owed(owed) => choice.owed(*owed, now),
            Heard => choice.heard(now),
            Failed => choice.failed(now, 0.0),
            Connected(used) => assert_eq!(choice.connected(now, 0.0), *used, "row {n}"),
            Lost => choice.lost(now, 0.0),
            Barred => choice.barred(now),
            After(ms) => now += Duration::from_millis(*ms),
            Acts(acts) => {
                let done: Vec<_> = std::iter::from_fn(|| choice.next(now, 0.0)).collect();
                assert_eq!(done, *acts, "row {n}, {:?}", now - begun);
            }
            At(path) => assert_eq!(choice.at(), *path, "row {n}"),
        }
    }
}

use Act::{GiveUp, Try, UseMqtt};
use Row::{Acts, After, At, Barred, Broker, Connected, Failed, Heard, Lost, Owed};

#[test]
fn quic_comes_first_also_where_a_broker_is() {
    run(&[Broker(true), Acts(&[Try]), Connected(true), At(Some(Path::Quic)), Acts(&[])]);
}

#[test]
fn three_failed_handshakes_lead_to_mqtt_and_not_two() {
    run(&[
        Broker(true),
        Acts(&[Try]),
        Failed,
        Acts(&[]),
        After(1000),
        Acts(&[Try]),
        Failed,
        After(1000),
        Acts(&[Try]),
        Acts(&[]),
        Failed,
        Acts(&[UseMqtt]),
        At(Some(Path::Mqtt)),
    ]);
}

#[test]
fn five_silent_seconds_lead_to_mqtt_only_while_a_word_is_owed() {
    run(&[
        Broker(true),
        Acts(&[Try]),
        Connected(true),
        After(100_000),
        Acts(&[]),
        Owed(true),
        After(4999),
        Acts(&[]),
        Heard,
        After(4999),
        Owed(false),
        After(1),
        Acts(&[]),
        Owed(true),
        After(4000),
        Owed(true),
        After(1000),
        Acts(&[UseMqtt]),
        Acts(&[]),
    ]);
}

#[test]
fn ten_silent_seconds_end_a_connection_where_there_is_no_broker() {
    run(&[
        Acts(&[Try]),
        Connected(true),
        After(100_000),
        Acts(&[]),
        Owed(true),
        After(9999),
        Acts(&[]),
        Heard,
        After(9999),
        Acts(&[]),
        After(1),
        Acts(&[GiveUp, Try]),
        At(None),
        Connected(true),
        At(Some(Path::Quic)),
        After(9999),
        Acts(&[]),
    ]);
}

#[test]
fn without_a_broker_quic_goes_on_being_tried() {
    run(&[
        Owed(true),
        Acts(&[Try]),
        Failed,
        After(6000),
        Acts(&[Try]),
        Failed,
        After(6000),
        Acts(&[Try]),
        Failed,
        After(6000),
        Broker(true),
        Acts(&[UseMqtt]),
    ]);
}

#[test]
fn on_mqtt_quic_is_probed_once_a_minute_and_taken_when_it_answers() {
    run(&[
        Broker(true),
        Owed(true),
        Acts(&[Try]),
        After(5000),
        Acts(&[UseMqtt]),
        Failed,
        Owed(false),
        After(59_999),
        Acts(&[]),
        After(1),
        Acts(&[Try]),
        Failed,
        After(59_999),
        Acts(&[]),
        After(1),
        Acts(&[Try]),
        Connected(true),
        At(Some(Path::Quic)),
    ]);
}

#[test]
fn a_handshake_that_ends_just_behind_a_switch_is_not_used() {
    run(&[
        Broker(true),
        Acts(&[Try]),
        Connected(true),
        Lost,
        Owed(true),
        After(5000),
        Acts(&[UseMqtt]),
        Acts(&[]),
        After(60_000),
        Heard,
        Acts(&[Try]),
        Connected(true),
    ]);
    run(&[
        Broker(true),
        Acts(&[Try]),
        Connected(true),
        Lost,
        After(1000),
        Acts(&[Try]),
        Owed(true),
        After(5000),
        Acts(&[UseMqtt]),
        After(100),
        Connected(false),
        At(Some(Path::Mqtt)),
    ]);
}

#[test]
fn where_the_broker_goes_away_quic_is_tried_as_soon_as_a_switch_is_allowed() {
    run(&[
        Broker(true),
        Acts(&[Try]),
        Connected(true),
        Owed(true),
        After(5000),
        Acts(&[UseMqtt]),
        Owed(false),
        After(30_000),
        Broker(false),
        Acts(&[]),
        After(30_000),
        Acts(&[Try]),
        Failed,
        After(500),
        Acts(&[Try]),
        Connected(true),
    ]);
}

#[test]
fn a_hub_that_refuses_through_the_broker_is_left_alone_for_a_minute() {
    run(&[
        Broker(true),
        Owed(true),
        Acts(&[Try]),
        Failed,
        After(5000),
        Acts(&[UseMqtt]),
        Barred,
        Acts(&[Try]),
        Failed,
        After(59_999),
        Acts(&[Try]),
        Failed,
        After(1),
        Acts(&[UseMqtt]),
    ]);
}

#[test]
fn returns_that_do_not_last_make_probes_rare() {
    let mut now = Instant::now();
    let mut choice = choice(now);
    choice.broker(true);
    assert_eq!(choice.next(now, 0.0), Some(Try));
    assert!(choice.connected(now, 0.0));
    let mut pauses = Vec::new();
    for _ in 0..6 {
        // Handshakes get through, and nothing else.
        choice.owed(true, now);
        while choice.next(now, 0.0) != Some(UseMqtt) {
            now += SECOND;
        }
        choice.owed(false, now);
        let since = now;
        while choice.next(now, 0.0) != Some(Try) {
            now += SECOND;
        }
        pauses.push((now - since).as_secs());
        assert!(choice.connected(now, 0.0));
    }
    assert_eq!(pauses, [60, 120, 240, 480, 900, 900]);
}

/// Paths that come and go, seen through the choice: each second, a tick.
struct World {
    now: Instant,
    choice: Choice,
    switches: Vec<Instant>,
    trying: Option<u32>,
    lost: u32,
}

impl World {
    fn second(&mut self, quic: bool, broker: bool, waits: bool, chance: f64) {
        self.now += SECOND;
        let now = self.now;
        self.choice.broker(broker);
        let works = match self.choice.at() {
            Some(Path::Quic) => quic,
            Some(Path::Mqtt) => broker,
            None => false,
        };
        self.choice.owed(waits, now);
        if works {
            self.choice.heard(now);
        }
        // A connection without an answer ends by itself after a minute.
        self.lost = if self.choice.at() == Some(Path::Quic) && !quic { self.lost + 1 } else { 0 };
        if self.lost > 60 {
            self.choice.lost(now, chance);
        }
        if let Some(seconds) = self.trying.as_mut() {
            *seconds += 1;
            if quic {
                self.trying = None;
                self.told(|choice| _ = choice.connected(now, chance));
            } else if *seconds >= 5 {
                self.trying = None;
                self.told(|choice| choice.failed(now, chance));
            }
        }
        for _ in 0..4 {
            let mut act = None;
            self.told(|choice| act = choice.next(now, chance));
            match act {
                Some(Try) => self.trying = Some(0),
                Some(UseMqtt | GiveUp) => {}
                None => return,
            }
        }
        panic!("it finds no rest");
    }

    /// Notes a change of the way in use, whatever was between.
    fn told(&mut self, tell: impl FnOnce(&mut Choice)) {
        let before = self.choice.last.map(|(path, _)| path);
        tell(&mut self.choice);
        let after = self.choice.last.map(|(path, _)| path);
        if before.is_some() && before != after {
            self.switches.push(self.now);
        }
    }
}

fn world() -> World {
    let now = Instant::now();
    World { now, choice: choice(now), switches: vec![], trying: None, lost: 0 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn at_most_one_switch_a_minute_and_it_ends_on_a_path_that_works(
        spells in prop::collection::vec((1..40u32, any::<bool>(), any::<bool>(), any::<bool>()), 1..60),
        chance in 0.0..1.0f64,
        end in prop_oneof![Just((true, true)), Just((true, false)), Just((false, true))],
    ) {
        let mut world = world();
        for (seconds, quic, broker, waits) in spells {
            (0..seconds).for_each(|_| world.second(quic, broker, waits, chance));
        }
        // A probe may be a quarter of an hour away.
        (0..1300).for_each(|_| world.second(end.0, end.1, true, chance));
        for pair in world.switches.windows(2) {
            prop_assert!(pair[1] - pair[0] >= 60 * SECOND, "{:?}", pair[1] - pair[0]);
        }
        // QUIC wherever it works.
        let expected = if end.0 { Path::Quic } else { Path::Mqtt };
        prop_assert_eq!(world.choice.at(), Some(expected));
    }
}

#[test]
fn a_path_that_flaps_every_seven_seconds_makes_nobody_thrash() {
    let mut world = world();
    for second in 0..1800 {
        world.second(second / 7 % 2 == 0, true, true, 0.5);
    }
    assert!(world.switches.len() <= 30, "{}", world.switches.len());
    let last = world.switches.last().unwrap();
    assert!(world.now - *last < 1800 * SECOND);
    (0..1200).for_each(|_| world.second(true, true, true, 0.5));
    assert_eq!(world.choice.at(), Some(Path::Quic));
}

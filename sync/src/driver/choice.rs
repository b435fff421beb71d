//! By which way the journal goes. Decides; does nothing.
//!
//! # Rules
//! - QUIC first. Without a connection it is tried again after a pause that doubles.
//! - MQTT after three failed handshakes in a row, or once the hub owed a word for five seconds, if the broker is there.
//! - A connection over QUIC on which the hub owed a word for ten seconds is given up and made anew, where there is no other way: a hub that was
//!   killed says nothing, and QUIC itself waits far longer.
//! - On MQTT, QUIC is probed every minute or somewhat later, at once where MQTT does not work either. A handshake takes the journal back.
//! - Between two switches there is a minute at least, whatever the paths do: one that comes and goes makes nobody thrash. A connection
//!   that is lost and made anew on the same way is no switch.
//! - A return to QUIC that did not last makes the next probe come later, up to a quarter of an hour: where handshakes get through and
//!   nothing else does, every probe costs seconds of silence.

use std::time::{Duration, Instant};

use crate::link::Path;
use crate::pause::Pause;

/// When to change the way.
#[derive(Clone, Debug)]
pub struct Config {
    /// Handshakes that fail in a row before MQTT is taken.
    pub handshakes: u32,
    /// For so long the hub may owe a word before MQTT is taken.
    pub patience: Duration,
    /// For so long the hub may owe a word on a connection that is not given up for another.
    pub give_up: Duration,
    /// How often QUIC is probed while MQTT carries; each time somewhat later, at random.
    pub probe: Duration,
    /// The longest pause between probes, where returns did not last.
    pub longest_probe: Duration,
    /// At least so long between two switches.
    pub settle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            handshakes: 3,
            patience: Duration::from_secs(5),
            give_up: Duration::from_secs(10),
            probe: Duration::from_secs(60),
            longest_probe: Duration::from_secs(15 * 60),
            settle: Duration::from_secs(60),
        }
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Try a handshake over QUIC.
    Try,
    /// Carry the journal through the broker.
    UseMqtt,
    /// Give the connection over QUIC up; a handshake follows.
    GiveUp,
}

#[derive(Debug)]
pub(super) struct Choice {
    config: Config,
    pause: Pause,
    at: Option<Path>,
    /// The way that was last in use, and since when it was or is.
    last: Option<(Path, Instant)>,
    switched: Option<Instant>,
    /// When the journal last came back to QUIC from MQTT.
    returned: Option<Instant>,
    broker: bool,
    /// The hub refused us there: not before.
    barred: Option<Instant>,
    trying: bool,
    failures: u32,
    /// When QUIC is tried while nothing works, and while MQTT does.
    retry_at: Instant,
    probe_at: Instant,
    probe: Duration,
    /// Since when the hub owes a word and says none.
    silent: Option<Instant>,
}

impl Choice {
    pub fn new(config: Config, pause: Pause, now: Instant) -> Self {
        Self {
            probe: config.probe,
            config,
            pause,
            at: None,
            last: None,
            switched: None,
            returned: None,
            broker: false,
            barred: None,
            trying: false,
            failures: 0,
            retry_at: now,
            probe_at: now,
            silent: None,
        }
    }

    /// By which way the journal goes.
    pub fn at(&self) -> Option<Path> {
        self.at
    }

    /// Handshakes that failed since one did not.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The next thing to do now, if any.
    pub fn next(&mut self, now: Instant, chance: f64) -> Option<Act> {
        let wanted =
            self.stalls(now) || self.at.is_none() && self.failures >= self.config.handshakes;
        let there = self.broker && self.barred.is_none_or(|until| now >= until);
        if self.at != Some(Path::Mqtt) && wanted && there && self.may(Path::Mqtt, now) {
            let short = |at| now < at + 10 * self.config.probe;
            self.probe = match self.returned.take().is_some_and(short) {
                true => (2 * self.probe).min(self.config.longest_probe),
                false => self.config.probe,
            };
            self.take(Path::Mqtt, now);
            self.probe_at = self.later(now, chance);
            return Some(Act::UseMqtt);
        }
        let alone = self.at == Some(Path::Quic) && !self.broker;
        if alone && self.silent_for(self.config.give_up, now) {
            self.again(now);
            self.silent = Some(now);
            return Some(Act::GiveUp);
        }
        let works = self.at == Some(Path::Mqtt) && self.broker && !self.stalls(now);
        let due = now >= if works { self.probe_at } else { self.retry_at };
        let tries = self.at != Some(Path::Quic) && !self.trying;
        if tries && due && self.may(Path::Quic, now) {
            self.trying = true;
            return Some(Act::Try);
        }
        None
    }

    /// When [`Choice::next`], which has nothing at `now`, may have something again if nothing is told before.
    pub fn wake_at(&self, now: Instant) -> Option<Instant> {
        let tries = self.at != Some(Path::Quic) && !self.trying;
        let times = [
            self.silent.map(|since| since + self.config.patience),
            self.silent.filter(|_| !self.broker).map(|since| since + self.config.give_up),
            self.switched.map(|at| at + self.config.settle),
            self.barred,
            tries.then_some(self.probe_at),
            tries.then_some(self.retry_at),
        ];
        times.into_iter().flatten().filter(|at| *at > now).min()
    }

    /// A handshake was done. Whether to use the connection: not if the journal went to MQTT meanwhile, and has to stay.
    pub fn connected(&mut self, now: Instant, chance: f64) -> bool {
        self.trying = false;
        self.failures = 0;
        let take = self.at != Some(Path::Quic) && self.may(Path::Quic, now);
        if take {
            self.take(Path::Quic, now);
        } else {
            self.probe_at = self.later(now, chance);
        }
        take
    }

    /// A handshake failed.
    pub fn failed(&mut self, now: Instant, chance: f64) {
        self.trying = false;
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + self.pause.next(Duration::ZERO, chance);
        self.probe_at = self.later(now, chance);
    }

    /// The connection over QUIC is gone.
    pub fn lost(&mut self, now: Instant, chance: f64) {
        let held = self.last.map_or(Duration::ZERO, |(_, since)| now - since);
        self.at = None;
        self.retry_at = now + self.pause.next(held, chance);
    }

    /// The connection over QUIC was given up for another of its kind, to be made at once.
    pub fn again(&mut self, now: Instant) {
        self.at = None;
        self.retry_at = now;
    }

    /// The hub will not have us through the broker; asked again after a while.
    pub fn barred(&mut self, now: Instant) {
        self.at = None;
        self.barred = Some(now + self.config.settle);
    }

    /// Whether the broker is there.
    pub fn broker(&mut self, there: bool) {
        self.broker = there;
    }

    /// Whether the hub owes a word.
    pub fn owed(&mut self, owed: bool, now: Instant) {
        self.silent = owed.then_some(self.silent.unwrap_or(now));
    }

    /// The hub said something.
    pub fn heard(&mut self, now: Instant) {
        self.silent = self.silent.map(|_| now);
    }

    fn stalls(&self, now: Instant) -> bool {
        self.silent_for(self.config.patience, now)
    }

    fn silent_for(&self, time: Duration, now: Instant) -> bool {
        self.silent.is_some_and(|since| now >= since + time)
    }

    /// Whether the way may be taken: it is the last one, or the last switch is long ago.
    fn may(&self, path: Path, now: Instant) -> bool {
        self.last.is_none_or(|(last, _)| last == path)
            || self.switched.is_none_or(|at| now >= at + self.config.settle)
    }

    fn take(&mut self, path: Path, now: Instant) {
        if self.last.is_some_and(|(last, _)| last != path) {
            self.switched = Some(now);
            self.returned = (path == Path::Quic).then_some(now);
        }
        self.at = Some(path);
        self.last = Some((path, now));
        // What was owed on the other way is asked for anew.
        self.silent = self.silent.map(|_| now);
    }

    fn later(&self, now: Instant, chance: f64) -> Instant {
        now + self.probe.mul_f64(1.0 + chance.clamp(0.0, 1.0) / 4.0)
    }
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;

//! Whether the service makes progress, for the watchdog of the service manager.
//!
//! Each part notes that it got on; a thread of its own, which hangs with none of them, pings the manager only while all
//! did within [`GRACE`]. A process that runs and gets nowhere is thus ended and started anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::App;

/// How long a part may take for one step. 8 s: with the 10 s of `WatchdogSec=` a box that hangs is started anew within 20
/// (fault 30 of the matrix), and a slow disk has time for what it was told.
const GRACE: Duration = Duration::from_secs(8);

/// How often parts that have nothing to do note that they would.
const TICK: Duration = Duration::from_secs(1);

/// What must get on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The threads that answer calls.
    Calls,
    /// The store's writer.
    Writer,
    /// The loop that hands out jobs.
    Work,
}

const PARTS: [Part; 3] = [Part::Calls, Part::Writer, Part::Work];

/// A part that has ended as it should.
const ENDED: u64 = u64::MAX;

/// When each part last got on.
#[derive(Debug)]
pub struct Pulse {
    start: Instant,
    /// In milliseconds since `start`.
    beats: [AtomicU64; PARTS.len()],
}

impl Pulse {
    /// All parts have the grace to begin with.
    pub fn new() -> Self {
        Self { start: Instant::now(), beats: Default::default() }
    }

    /// A part got on.
    pub fn beat(&self, part: Part) {
        self.beat_at(part, self.start.elapsed());
    }

    fn beat_at(&self, part: Part, at: Duration) {
        let at = u64::try_from(at.as_millis()).unwrap_or(ENDED - 1);
        self.beats[part as usize].fetch_max(at, Ordering::Relaxed);
    }

    /// A part has ended as it should, and is not waited for.
    pub fn ended(&self, part: Part) {
        self.beats[part as usize].store(ENDED, Ordering::Relaxed);
    }

    /// A part that has not got on for longer than the grace.
    fn stalled(&self, now: Duration) -> Option<Part> {
        PARTS.into_iter().find(|part| {
            let beat = self.beats[*part as usize].load(Ordering::Relaxed);
            now.saturating_sub(Duration::from_millis(beat)) > GRACE
        })
    }
}

/// Notes that calls are answered and that the writer writes, until the service is told to end.
pub async fn run(app: Arc<App>) {
    let mut stop = app.stop.clone();
    let calls = async {
        loop {
            app.pulse.beat(Part::Calls);
            tokio::time::sleep(TICK).await;
        }
    };
    let writer = async {
        let mut commits = app.store.changes();
        loop {
            // Also looks anew whether there is room, which no refused call does.
            let answer = app.store.probe().await;
            let wrote = commits.has_changed().unwrap_or(false);
            commits.mark_unchanged();
            if writes(&answer, wrote) {
                app.pulse.beat(Part::Writer);
            }
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        () = async { tokio::join!(calls, writer); } => {}
    }
    // The drain has its own bounds.
    for part in PARTS {
        app.pulse.ended(part);
    }
}

/// Whether the writer gets on. Any answer shows that somebody is there; a full queue does not, but it may be one that moves: a
/// box that is merely overloaded must not be started anew.
fn writes(answer: &Result<(), store::Error>, wrote: bool) -> bool {
    match answer {
        Err(store::Error::Busy(_) | store::Error::Closed) => wrote,
        Ok(()) | Err(_) => true,
    }
}

/// The service manager, where there is one.
pub struct Manager(Option<Sender<()>>, Option<std::thread::JoinHandle<()>>);

impl Manager {
    /// Tells that calls are answered, and pings from now on as long as all parts get on.
    pub fn ready(app: &Arc<App>, status: &str) -> Self {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
        let Some(within) = sd_notify::watchdog_enabled() else { return Self(None, None) };
        let (end, ended) = channel();
        let app = Arc::clone(app);
        let ping = move || ping(&app.pulse, within / 4, &ended, || tell(&[NotifyState::Watchdog]));
        match std::thread::Builder::new().name("weir-watchdog".into()).spawn(ping) {
            Ok(thread) => Self(Some(end), Some(thread)),
            Err(error) => {
                tracing::error!(%error, "no thread for the watchdog; the manager will start the service anew");
                Self(None, None)
            }
        }
    }

    /// Tells that the service ends; pings go on until this is dropped.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("finishing what is in hand")]);
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.0 = None;
        if let Some(thread) = self.1.take() {
            let _ = thread.join();
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// Calls `tell` every `every`, unless a part has stalled, until the far end of `ended` is dropped.
fn ping(pulse: &Pulse, every: Duration, ended: &Receiver<()>, tell: impl Fn()) {
    let mut silent = false;
    loop {
        match pulse.stalled(pulse.start.elapsed()) {
            None => {
                silent = false;
                tell();
            }
            Some(part) if !silent => {
                silent = true;
                tracing::error!(?part, "it does not get on; the watchdog is not pinged");
            }
            Some(_) => {}
        }
        if ended.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn one_part_that_stalls_is_enough() {
        for stuck in PARTS {
            let pulse = Pulse::new();
            for second in 1..=20u32 {
                let now = Duration::from_secs(second.into());
                for part in PARTS.into_iter().filter(|part| *part != stuck || second <= 5) {
                    pulse.beat_at(part, now);
                }
                let expected = (now > Duration::from_secs(5) + GRACE).then_some(stuck);
                assert_eq!(pulse.stalled(now), expected, "{stuck:?} at {now:?}");
            }
            // It got on after all.
            pulse.beat_at(stuck, Duration::from_secs(20));
            assert_eq!(pulse.stalled(Duration::from_secs(20)), None);
        }
    }

    #[test]
    fn a_full_queue_that_moves_is_no_stall() {
        use store::Error::{Busy, Full};
        for (answer, wrote, on) in [
            (Ok(()), false, true),
            (Err(Full), false, true),
            (Err(Busy(256)), false, false),
            (Err(Busy(256)), true, true),
        ] {
            assert_eq!(writes(&answer, wrote), on, "{answer:?} {wrote}");
        }
    }

    #[test]
    fn a_start_has_the_grace_and_an_end_is_no_stall() {
        let pulse = Pulse::new();
        assert_eq!(pulse.stalled(GRACE), None);
        assert_eq!(pulse.stalled(GRACE + MS), Some(Part::Calls));
        for part in PARTS {
            pulse.ended(part);
            pulse.beat_at(part, MS);
        }
        assert_eq!(pulse.stalled(Duration::from_secs(3600)), None);
    }

    #[test]
    fn nobody_is_pinged_while_a_part_stalls() {
        for stalls in [false, true] {
            let mut pulse = Pulse::new();
            if stalls {
                // Nothing has happened since a time longer ago than the grace.
                let Some(past) = pulse.start.checked_sub(GRACE + MS) else { return };
                pulse.start = past;
            }
            let (end, ended) = channel();
            let pings = AtomicU64::new(0);
            // One round: the far end is gone.
            drop(end);
            ping(&pulse, MS, &ended, || {
                pings.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(pings.into_inner(), u64::from(!stalls));
        }
    }
}

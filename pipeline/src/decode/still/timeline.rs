//! Which frames of an animation are handed out, and what that leaves unseen.

use super::Job;
use super::canvas::Flat;
use super::orient::Orientation;
use crate::decode::{Facts, Flow, Frame, Sink, Tally};
use crate::measure::blocks::Signature;
use domain::MediaKind;

/// Browsers show frames that claim 10 ms or less for 100 ms; so a claim of zero hides nothing here.
const SHORTEST_MS: u64 = 10;
const SHORT_SHOWN_AS_MS: u64 = 100;

/// Most bytes of RGB handed out for one animation; beyond, fewer frames are, and the gap says so. That is 600
/// frames of 1920 × 1080.
const HANDED_OUT_BYTES: u64 = 4 << 30;

/// The time for which a frame is on show, from its claim.
pub(super) fn shown_ms(claim_ms: u64) -> u64 {
    if claim_ms <= SHORTEST_MS { SHORT_SHOWN_AS_MS } else { claim_ms }
}

/// The plan for an animation: all frames where they fit into the budget, else such that no span of the time line
/// longer than `duration / (budget - 1)` goes unseen, the first and the last always. Where the need is sparing: as few as
/// leave no span longer than its gap unseen.
pub(super) struct Timeline {
    /// Start of each frame, and at the end that of the one after the last.
    starts: Vec<u64>,
    /// Whether the frame at the same place is wanted.
    wanted: Vec<bool>,
}

impl Timeline {
    /// From the time in milliseconds that each frame is shown, for frames of `size`.
    pub(super) fn new(
        shown: impl IntoIterator<Item = u64>,
        (width, height): (u32, u32),
        job: &Job<'_>,
    ) -> Self {
        let mut starts = vec![0u64];
        let mut now = 0u64;
        for ms in shown {
            now = now.saturating_add(ms);
            starts.push(now);
        }
        let frames = starts.len() - 1;
        let bytes = (u64::from(width) * u64::from(height) * 3).max(1);
        let budget = u64::from(job.limits.max_frames).min(HANDED_OUT_BYTES / bytes).max(1);
        if job.need.sparing {
            let few = sparing(&starts, job.need.max_gap_ms);
            if few.len() as u64 <= budget {
                let wanted = (0..frames).map(|frame| few.binary_search(&frame).is_ok()).collect();
                return Self { starts, wanted };
            }
        }
        let mut wanted = vec![(frames as u64) <= budget; frames];
        if frames as u64 > budget {
            let last = starts.get(frames - 1).copied().unwrap_or(0);
            for step in 0..budget {
                // Integer arithmetic in 128 bits: a hostile time line may be centuries long.
                let instant = u128::from(last) * u128::from(step) / u128::from((budget - 1).max(1));
                let index =
                    starts.partition_point(|start| u128::from(*start) <= instant).saturating_sub(1);
                if let Some(want) = wanted.get_mut(index) {
                    *want = true;
                }
            }
        }
        Self { starts, wanted }
    }

    /// Number of frames.
    pub(super) fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Length in milliseconds.
    pub(super) fn duration_ms(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Facts of an animation of this upright size.
    pub(super) fn facts(&self, job: &Job<'_>, (width, height): (u32, u32)) -> Facts {
        let moves = self.len() > 1;
        Facts {
            kind: if moves { MediaKind::Animation } else { MediaKind::Image },
            format: job.format,
            width,
            height,
            duration_ms: moves.then(|| self.duration_ms()),
            frames: Some(self.len() as u64),
        }
    }

    /// Starts handing out.
    pub(super) fn play<'a>(&'a self, sink: &'a mut dyn Sink, turn: Orientation) -> Player<'a> {
        Player {
            timeline: self,
            sink,
            turn,
            next: 0,
            seen_until: 0,
            black: None,
            tally: Tally::default(),
        }
    }
}

/// The fewest frames, the first and the last among them, between which no more than `gap` goes unseen.
fn sparing(starts: &[u64], gap: u64) -> Vec<usize> {
    let Some(last) = starts.len().checked_sub(2) else { return Vec::new() };
    let mut chosen = vec![0];
    let mut at = 0;
    while at < last {
        // From where the frame in hand is over until the next one begins nothing is looked at.
        let over = starts.get(at + 1).copied().unwrap_or(u64::MAX);
        let reach = starts.partition_point(|start| *start <= over.saturating_add(gap));
        at = reach.saturating_sub(1).clamp(at + 1, last);
        chosen.push(at);
    }
    chosen
}

/// Hands out the wanted frames in order and keeps the tally.
///
/// A frame is looked at for as long as it is shown; a gap is time for which frames are shown that were not
/// handed out.
pub(super) struct Player<'a> {
    timeline: &'a Timeline,
    sink: &'a mut dyn Sink,
    turn: Orientation,
    next: usize,
    seen_until: u64,
    /// The last frame that was handed out as a black page shows it.
    black: Option<Signature>,
    tally: Tally,
}

impl Player<'_> {
    /// Takes the next frame; `image` is only made where the frame is wanted.
    pub(super) fn frame<E>(&mut self, image: impl FnOnce() -> Result<Flat, E>) -> Result<Flow, E> {
        let index = self.next;
        self.next += 1;
        if self.timeline.wanted.get(index) != Some(&true) {
            return Ok(if index < self.timeline.len() { Flow::More } else { Flow::Enough });
        }
        let start = self.timeline.starts.get(index).copied().unwrap_or(0);
        self.tally.max_gap_ms = self.tally.max_gap_ms.max(start - self.seen_until.min(start));
        self.seen_until = self.timeline.starts.get(index + 1).copied().unwrap_or(start);
        self.tally.frames += 1;
        let Flat { white, black } = image()?;
        let flow = self.sink.frame(Frame { pts_ms: start, image: self.turn.apply(white) });
        let Some(black) = black.filter(|_| flow == Flow::More) else { return Ok(flow) };
        let signature = Signature::of(&black);
        if self.black.as_ref().is_some_and(|last| !signature.differs(last)) {
            return Ok(flow);
        }
        self.black = Some(signature);
        Ok(self.sink.frame(Frame { pts_ms: start, image: self.turn.apply(black) }))
    }

    /// Ends with the tally. What was not reached is a gap, unless the sink wanted no more.
    pub(super) fn end(mut self, damaged: bool) -> Tally {
        let unseen = self.timeline.duration_ms().saturating_sub(self.seen_until);
        self.tally.max_gap_ms = self.tally.max_gap_ms.max(unseen);
        self.tally.damaged = damaged;
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::sparing;

    #[test]
    fn a_sparing_look_leaves_no_longer_stretch_unseen_than_it_may() {
        // Ten frames of 100 ms.
        let starts: Vec<u64> = (0..=10).map(|n| n * 100).collect();
        assert_eq!(sparing(&starts, 0), (0..10).collect::<Vec<_>>());
        assert_eq!(sparing(&starts, 250), [0, 3, 6, 9]);
        assert_eq!(sparing(&starts, 10_000), [0, 9]);
        // A long frame hides nothing while it is shown.
        assert_eq!(sparing(&[0, 100, 5_000, 5_100, 5_200], 100), [0, 1, 3]);
        assert_eq!(sparing(&[0, 100], 100), [0]);
        assert_eq!(sparing(&[0], 100), Vec::<usize>::new());
    }
}

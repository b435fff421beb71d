//! What a group of jobs comes to: pure, so that it can be made again when the fence says that the cursors were old.

use std::collections::BTreeMap;

use domain::journal::{Body, BoxId, Code, EpochCause, Head, Lane};
use sync::batch::Batch;
use sync::frame::{Cursor, Down, Hole, Nak, Refusal};
use sync::link::{Judged, judge};

use super::cursors::{Cursors, Flow};
use crate::alarm::AlarmKind;
use crate::projection::Projection;

/// What a box wants done, in the order in which it came.
#[derive(Debug)]
pub(crate) enum Work {
    /// Entries that hold in themselves.
    Batch(Batch),
    /// Entries that do not.
    Bad { flow: Flow, why: Refusal, kind: AlarmKind, code: Code },
    /// Entries that nobody has any more.
    Hole(Hole),
}

impl Work {
    pub fn flow(&self, of: BoxId) -> Flow {
        match self {
            Self::Batch(batch) => (of, batch.epoch, batch.lane),
            Self::Bad { flow, .. } => *flow,
            Self::Hole(hole) => (of, hole.from.epoch, hole.from.head.lane),
        }
    }

    /// Whether somebody waits for it.
    pub fn is_critical(&self) -> bool {
        let lane = match self {
            Self::Batch(batch) => batch.lane,
            Self::Bad { flow, .. } => flow.2,
            Self::Hole(hole) => hole.from.head.lane,
        };
        lane == Lane::Critical
    }

    /// Rows that it may write.
    pub fn rows(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.rows.len(),
            Self::Bad { .. } | Self::Hole(_) => 1,
        }
    }

    /// About how many bytes it holds.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Batch(batch) => {
                let side = |row: &sync::batch::Row| row.side.as_ref().map_or(0, |s| s.bytes.len());
                batch.rows.iter().map(|row| row.raw.len() + side(row)).sum()
            }
            Self::Bad { .. } | Self::Hole(_) => 0,
        }
    }
}

/// One transaction.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Lanes that move: from where to where, in the order in which they are locked.
    pub moves: BTreeMap<Flow, (Cursor, Cursor)>,
    pub rows: Projection,
    pub holes: Vec<(BoxId, Hole)>,
    pub alarms: Vec<(BoxId, AlarmKind, Code)>,
    /// Epochs under whose name another journal goes.
    pub forks: Vec<Flow>,
    /// One for each job. They may be told once the transaction is committed.
    pub answers: Vec<Down>,
}

/// Cursors that must be read again before anything can be said.
#[derive(Debug)]
pub(crate) struct Stale(pub Vec<Flow>);

/// Judges jobs in order, each on what the ones before it left.
pub(crate) fn plan<'a>(
    jobs: impl Iterator<Item = (BoxId, &'a Work)>,
    cursors: &Cursors,
    received_us: i64,
) -> Result<Plan, Stale> {
    let mut plan = Plan {
        moves: BTreeMap::new(),
        rows: Projection::new(received_us),
        holes: Vec::new(),
        alarms: Vec::new(),
        forks: Vec::new(),
        answers: Vec::new(),
    };
    let mut stale = Vec::new();
    for (of, work) in jobs {
        let flow = work.flow(of);
        let Some(known) = cursors.get(flow) else {
            stale.push(flow);
            continue;
        };
        let cursor = plan.moves.get(&flow).map_or(known.cursor, |(_, now)| *now);
        if known.forked || plan.forks.iter().any(|fork| (fork.0, fork.1) == (flow.0, flow.1)) {
            plan.answers.push(Down::Fork(cursor));
            continue;
        }
        match plan.judge(of, work, flow, cursor) {
            Some(answer) => plan.answers.push(answer),
            None if cursors.is_fresh(flow) => plan.refuse(of, work, flow, cursor),
            // What looks wrong may be this node's old idea of the cursor.
            None => stale.push(flow),
        }
    }
    if stale.is_empty() { Ok(plan) } else { Err(Stale(stale)) }
}

impl Plan {
    /// The answer where the work fits or is done already.
    fn judge(&mut self, of: BoxId, work: &Work, flow: Flow, cursor: Cursor) -> Option<Down> {
        let head = match work {
            Work::Batch(batch) => match judge(&cursor, batch) {
                Judged::Next { skip } => {
                    for row in batch.rows.iter().skip(skip) {
                        self.rows.add(of, batch.epoch, batch.lane, row);
                        match &row.record.body {
                            // Boxes see most forks themselves, when they hear where the hub is.
                            Body::EpochBegan(began) if began.cause == EpochCause::Forked => {
                                let code = Code::lossy("told_by_the_box");
                                self.alarms.push((of, AlarmKind::Fork, code));
                            }
                            Body::Distrusted(what) => {
                                self.alarms.push((of, AlarmKind::Directive, what.why.clone()));
                            }
                            _ => {}
                        }
                    }
                    Head { lane: batch.lane, seq: batch.last(), chain: batch.chain() }
                }
                Judged::Known => return Some(Down::Ack(cursor)),
                Judged::Gap | Judged::Fork => return None,
            },
            Work::Hole(hole) if hole.from == cursor && hole.to.seq > cursor.head.seq => {
                self.holes.push((of, *hole));
                let code = Code::lossy(&format!("lane/{}", cursor.head.lane.number()));
                self.alarms.push((of, AlarmKind::Hole, code));
                hole.to
            }
            Work::Hole(_) | Work::Bad { .. } => return None,
        };
        let now = Cursor { epoch: cursor.epoch, head };
        self.moves.entry(flow).or_insert((cursor, cursor)).1 = now;
        Some(Down::Ack(now))
    }

    fn refuse(&mut self, of: BoxId, work: &Work, flow: Flow, cursor: Cursor) {
        let answer = match work {
            Work::Batch(batch) if judge(&cursor, batch) == Judged::Gap => {
                Down::Nak(Nak { cursor, why: Refusal::Gap })
            }
            Work::Batch(_) => {
                self.forks.push(flow);
                self.alarms.push((of, AlarmKind::Fork, Code::lossy(&format!("epoch/{}", flow.1))));
                Down::Fork(cursor)
            }
            // The hub knows more than the box thought: it goes on from there.
            Work::Hole(_) => Down::Ack(cursor),
            Work::Bad { why, kind, code, .. } => {
                self.alarms.push((of, *kind, code.clone()));
                Down::Nak(Nak { cursor, why: why.clone() })
            }
        };
        self.answers.push(answer);
    }
}

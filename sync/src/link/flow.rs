//! One lane of one epoch on its way to the hub.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use domain::journal::{Epoch, Head, Lane, Seq};

use crate::batch::Packed;
use crate::frame::{Cursor, LaneState};

/// What is known of how the hub's cursor fits our entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The hub has not named its cursor on this connection.
    Unknown,
    /// It has; the journal looks whether the chain there is ours.
    Checking(Cursor),
    /// It is: entries may be sent.
    Clear,
    /// The hub lacks entries that we do not have any more, and was told so.
    Hole(Cursor),
    /// The hub takes none of ours for now; asked again then.
    Later(Instant),
    /// The hub's chain is another one. Nothing of this epoch is sent any more.
    Forked,
}

/// A batch under way.
#[derive(Debug)]
struct Flight {
    last: Head,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Flow {
    pub state: LaneState,
    pub standing: Standing,
    /// What the hub has, as far as it told us and it is ours.
    pub cursor: Head,
    /// The last entry that was sent on this connection.
    pub sent: Head,
    flying: VecDeque<Flight>,
    /// The read that is under way, by its ticket.
    pub reading: Option<u64>,
    /// Since when entries wait to be sent.
    pub waiting: Option<Instant>,
    /// When the cursor last moved, or the first batch went out after none was under way.
    pub progress: Instant,
    /// The gap to which we went back, and when: a second complaint about it is of a batch that was sent before.
    gone_back: Option<(Seq, Instant)>,
    /// What the journal keeps as acknowledged, and when it was last told.
    pub kept: Seq,
    pub kept_at: Option<Instant>,
}

impl Flow {
    pub fn new(state: LaneState, now: Instant) -> Self {
        Self {
            state,
            standing: Standing::Unknown,
            cursor: state.base,
            sent: state.base,
            flying: VecDeque::new(),
            reading: None,
            waiting: None,
            progress: now,
            gone_back: None,
            kept: Seq(0),
            kept_at: None,
        }
    }

    /// How the journal stands. What was read may be newer than what is told here.
    pub fn told(&mut self, state: &LaneState) {
        if state.head.seq > self.state.head.seq {
            self.state.head = state.head;
        }
        if state.base.seq > self.state.base.seq {
            self.state.base = state.base;
        }
    }

    pub fn epoch(&self) -> Epoch {
        self.state.epoch
    }

    pub fn lane(&self) -> Lane {
        self.state.head.lane
    }

    /// Entries that the hub does not have.
    pub fn lag(&self) -> u64 {
        self.state.head.seq.0.saturating_sub(self.cursor.seq.0)
    }

    /// Bytes under way.
    pub fn flying(&self) -> usize {
        self.flying.iter().map(|flight| flight.bytes).sum()
    }

    pub fn is_flying(&self) -> bool {
        !self.flying.is_empty()
    }

    /// Whether the hub owes a word on entries. Not while it said to wait, nor while our own disk is asked.
    pub fn is_owed(&self) -> bool {
        match self.standing {
            Standing::Unknown => self.lag() > 0,
            Standing::Clear => self.is_flying(),
            Standing::Hole(_) => true,
            Standing::Checking(_) | Standing::Later(_) | Standing::Forked => false,
        }
    }

    /// The connection is gone, and with it all that was under way.
    pub fn lose(&mut self) {
        self.flying.clear();
        self.reading = None;
        self.gone_back = None;
        if self.standing != Standing::Forked {
            self.standing = Standing::Unknown;
        }
    }

    /// Everything behind the cursor is to be sent, again where it was sent already.
    pub fn restart(&mut self, cursor: Head, now: Instant) {
        self.cursor = cursor;
        self.sent = cursor;
        self.flying.clear();
        self.reading = None;
        self.standing = Standing::Clear;
        self.progress = now;
        self.waiting = (self.state.head.seq > cursor.seq).then_some(now);
    }

    /// The hub misses what follows its cursor. Whether to go back: not if we just did, for this very gap.
    pub fn gap(&mut self, at: Seq, now: Instant, quiet: Duration) -> bool {
        let again = self.gone_back.is_some_and(|(seq, when)| seq == at && now < when + quiet);
        if !again {
            self.gone_back = Some((at, now));
        }
        !again
    }

    pub fn sent(&mut self, packed: &Packed, now: Instant) {
        if self.flying.is_empty() {
            self.progress = now;
        }
        let last = Head { lane: self.lane(), seq: packed.last, chain: packed.chain };
        if last.seq > self.state.head.seq {
            self.state.head = last;
        }
        self.sent = last;
        self.flying.push_back(Flight { last, bytes: packed.bytes.len() });
        self.waiting = (self.state.head.seq > last.seq).then_some(now);
    }

    /// The hub has committed up to here. False where it names another chain than we sent: a fork.
    pub fn acked(&mut self, head: Head, now: Instant) -> bool {
        if head.seq <= self.cursor.seq {
            return true;
        }
        let ours = self.flying.iter().find(|flight| flight.last.seq == head.seq);
        if head.seq > self.state.head.seq
            || ours.is_some_and(|flight| flight.last.chain != head.chain)
        {
            return false;
        }
        while self.flying.front().is_some_and(|flight| flight.last.seq <= head.seq) {
            self.flying.pop_front();
        }
        self.cursor = head;
        self.progress = now;
        self.gone_back = None;
        if self.sent.seq < head.seq {
            // It got through before we went back.
            self.sent = head;
            self.reading = None;
        }
        true
    }
}

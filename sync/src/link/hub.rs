//! The hub's side: how a batch fits what is committed.

use crate::batch::Batch;
use crate::frame::Cursor;

/// How a batch fits a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It goes on where the cursor is, once so many of its first rows are left out that were committed before.
    Next {
        /// Rows to leave out.
        skip: usize,
    },
    /// All of it was committed before: acknowledge again, since the first ack may have been lost.
    Known,
    /// Something before it is missing.
    Gap,
    /// It shares a place with what was committed, and has another chain there.
    Fork,
}

/// Holds a batch against the cursor of its lane.
pub fn judge(cursor: &Cursor, batch: &Batch) -> Judged {
    let (have, first, last) = (cursor.head.seq, batch.first(), batch.last());
    if first > have.next() {
        return Judged::Gap;
    }
    if first == have.next() {
        return match batch.previous == cursor.head.chain {
            true => Judged::Next { skip: 0 },
            false => Judged::Fork,
        };
    }
    let Some(at) = batch.rows.iter().position(|row| row.seq == have) else {
        // It ends before the cursor. Whether its chain is ours was seen when those places were committed.
        return Judged::Known;
    };
    match (batch.rows[at].chain == cursor.head.chain, last == have) {
        (false, _) => Judged::Fork,
        (true, true) => Judged::Known,
        (true, false) => Judged::Next { skip: at + 1 },
    }
}

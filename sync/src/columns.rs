//! The rows of a batch, field by field rather than entry by entry: like lies beside like, and what another field tells is left out.
//!
//! # Layout
//! Nine byte strings, each with its length before it (postcard), one for each field, in the order of the rows:
//!
//! | | field | |
//! |---|---|---|
//! | 1 | at | signed difference to the row before; the first one to 0 |
//! | 2 | kind | number of the body |
//! | 3 | actor | postcard |
//! | 4 | subject | how many rows back the same one stands, at most [`FAR`]; 0 is a new one: then which kind it is (0 submission, 1 other) |
//! | 5 | time | of each new submission the first 48 bits of its id (UUIDv7: milliseconds), as signed difference to the one before |
//! | 6 | side | 0 none, 1 commitment alone (it was erased), 2 side record (the commitment follows from it), 3 both, for they do not agree |
//! | 7 | length | of the body |
//! | 8 | bodies | sorted by kind, within a kind in the order of the rows: bodies of one kind differ in few places |
//! | 9 | rest | row by row: of a new submission the other 80 bits, of another new subject its postcard with its length before it; commitment; salt, and text with its length before it |
//!
//! Numbers are postcard's varints. What a row's place tells (schema, box, epoch, lane, number) is not sent at all.

use std::collections::HashMap;

use domain::journal::{
    Actor, BoxId, Epoch, Lane, Millis, NotRecord, Parts, Seq, Sha256, Side, Subject, SubmissionId,
};
use serde::{Deserialize, Serialize};

/// So many rows back a subject is looked for.
const FAR: usize = 512;

/// Where the rows of a batch begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub of: BoxId,
    pub epoch: Epoch,
    pub lane: Lane,
    pub first: Seq,
}

/// A row put together: the bytes of its record, and its side record.
pub(crate) type Bare = (Vec<u8>, Option<Side>);

#[derive(Default, Serialize, Deserialize)]
struct Columns<'a> {
    #[serde(borrow)]
    at: &'a [u8],
    kind: &'a [u8],
    actor: &'a [u8],
    subject: &'a [u8],
    time: &'a [u8],
    side: &'a [u8],
    length: &'a [u8],
    bodies: &'a [u8],
    rest: &'a [u8],
}

/// Writes fields one behind the other.
#[derive(Default)]
struct Writer {
    at: Vec<u8>,
    kind: Vec<u8>,
    actor: Vec<u8>,
    subject: Vec<u8>,
    time: Vec<u8>,
    side: Vec<u8>,
    length: Vec<u8>,
    rest: Vec<u8>,
    last_at: i64,
    last_time: i64,
}

fn put(column: &mut Vec<u8>, value: &impl Serialize) -> Result<(), NotRecord> {
    *column = postcard::to_extend(value, std::mem::take(column))?;
    Ok(())
}

/// A subject as a key: entries about the same thing lie near each other.
fn key(subject: Subject) -> Result<Vec<u8>, NotRecord> {
    Ok(postcard::to_stdvec(&subject)?)
}

/// First 48 bits, as a number.
fn time_of(id: &SubmissionId) -> i64 {
    i64::try_from(id.0.as_u128() >> 80).unwrap_or_default()
}

impl Writer {
    fn row(
        &mut self,
        parts: &Parts<'_>,
        side: Option<&Side>,
        back: usize,
    ) -> Result<(), NotRecord> {
        put(&mut self.at, &parts.at.0.wrapping_sub(self.last_at))?;
        self.last_at = parts.at.0;
        put(&mut self.kind, &parts.kind)?;
        put(&mut self.actor, &parts.actor)?;
        put(&mut self.subject, &back)?;
        if back == 0 {
            self.new_subject(parts.subject)?;
        }
        let derived = side.map(Side::commitment);
        let tag: u8 = match (parts.side, derived) {
            (None, None) => 0,
            (Some(_), None) => 1,
            (ours, derived) if ours == derived => 2,
            _ => 3,
        };
        put(&mut self.side, &tag)?;
        if matches!(tag, 1 | 3) {
            put(&mut self.rest, &parts.side)?;
        }
        if let Some(side) = side {
            put(&mut self.rest, side)?;
        }
        put(&mut self.length, &parts.body.len())
    }

    fn new_subject(&mut self, subject: Subject) -> Result<(), NotRecord> {
        if let Subject::Submission(id) = subject {
            put(&mut self.subject, &0u8)?;
            let time = time_of(&id);
            put(&mut self.time, &(time - self.last_time))?;
            self.last_time = time;
            self.rest.extend_from_slice(&id.0.as_bytes()[6..]);
            return Ok(());
        }
        put(&mut self.subject, &1u8)?;
        put(&mut self.rest, &subject)
    }
}

/// Rows as they are sent, before compression.
///
/// # Errors
/// Where a row is no entry of ours, or not in its place.
pub(crate) fn write(place: Place, rows: &[(&[u8], Option<&Side>)]) -> Result<Vec<u8>, NotRecord> {
    let mut writer = Writer::default();
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut bodies: Vec<(u16, &[u8])> = Vec::with_capacity(rows.len());
    for (n, (record, side)) in rows.iter().enumerate() {
        let parts = Parts::split(record)?;
        let here = Seq(place.first.0 + n as u64);
        if (parts.of, parts.epoch, parts.lane, parts.seq)
            != (place.of, place.epoch, place.lane, here)
        {
            return Err(NotRecord::Damaged("it says that it stands elsewhere".into()));
        }
        let before = seen.insert(key(parts.subject)?, n);
        let back = before.map_or(0, |before| n - before);
        writer.row(&parts, *side, if back > FAR { 0 } else { back })?;
        bodies.push((parts.kind, parts.body));
    }
    // Stable: within a kind the order stays.
    bodies.sort_by_key(|(kind, _)| *kind);
    let bodies: Vec<u8> = bodies.into_iter().flat_map(|(_, body)| body.iter().copied()).collect();
    Ok(postcard::to_stdvec(&Columns {
        at: &writer.at,
        kind: &writer.kind,
        actor: &writer.actor,
        subject: &writer.subject,
        time: &writer.time,
        side: &writer.side,
        length: &writer.length,
        bodies: &bodies,
        rest: &writer.rest,
    })?)
}

fn take<'a, T: Deserialize<'a>>(column: &mut &'a [u8]) -> Result<T, NotRecord> {
    let (value, rest) = postcard::take_from_bytes(column)?;
    *column = rest;
    Ok(value)
}

fn bytes<'a>(column: &mut &'a [u8], count: usize) -> Result<&'a [u8], NotRecord> {
    let short = || NotRecord::Damaged("a column is too short".into());
    let (bytes, rest) = column.split_at_checked(count).ok_or_else(short)?;
    *column = rest;
    Ok(bytes)
}

/// What was read of the subjects so far.
#[derive(Default)]
struct Subjects {
    all: Vec<Subject>,
    time: i64,
}

impl Subjects {
    fn next(&mut self, columns: &mut Columns<'_>) -> Result<Subject, NotRecord> {
        let back: usize = take(&mut columns.subject)?;
        let subject = match back {
            0 => match take::<u8>(&mut columns.subject)? {
                0 => {
                    self.time = self.time.wrapping_add(take::<i64>(&mut columns.time)?);
                    let mut id = [0; 16];
                    id[..6].copy_from_slice(&self.time.to_be_bytes()[2..]);
                    id[6..].copy_from_slice(bytes(&mut columns.rest, 10)?);
                    Subject::Submission(SubmissionId(uuid::Uuid::from_bytes(id)))
                }
                _ => take(&mut columns.rest)?,
            },
            back => {
                let at = self.all.len().checked_sub(back);
                let at = at.and_then(|at| self.all.get(at)).copied();
                at.ok_or_else(|| NotRecord::Damaged("a subject before the first".into()))?
            }
        };
        self.all.push(subject);
        Ok(subject)
    }
}

/// Puts the rows of a batch together again: their bytes and side records. Nothing is believed of them yet but their place.
///
/// # Errors
/// Where the columns do not hold so many rows, or more.
pub(crate) fn read(place: Place, count: usize, raw: &[u8]) -> Result<Vec<Bare>, NotRecord> {
    let (mut columns, left) = postcard::take_from_bytes::<Columns<'_>>(raw)?;
    let kinds = (0..count).map(|_| take(&mut columns.kind)).collect::<Result<Vec<u16>, _>>()?;
    let lengths =
        (0..count).map(|_| take(&mut columns.length)).collect::<Result<Vec<usize>, _>>()?;
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|n| kinds[*n]);
    let mut bodies: Vec<&[u8]> = vec![&[]; count];
    for n in order {
        bodies[n] = bytes(&mut columns.bodies, lengths[n])?;
    }
    let mut subjects = Subjects::default();
    let mut at = 0i64;
    let mut rows = Vec::with_capacity(count);
    for n in 0..count {
        at = at.wrapping_add(take::<i64>(&mut columns.at)?);
        let actor: Actor = take(&mut columns.actor)?;
        let subject = subjects.next(&mut columns)?;
        let tag: u8 = take(&mut columns.side)?;
        let told: Option<Sha256> =
            if matches!(tag, 1 | 3) { take(&mut columns.rest)? } else { None };
        let side: Option<Side> =
            if matches!(tag, 2 | 3) { Some(take(&mut columns.rest)?) } else { None };
        let commitment = if tag == 2 { side.as_ref().map(Side::commitment) } else { told };
        let parts = Parts {
            of: place.of,
            epoch: place.epoch,
            lane: place.lane,
            seq: Seq(place.first.0 + n as u64),
            at: Millis(at),
            kind: kinds[n],
            actor,
            subject,
            side: commitment,
            body: bodies[n],
        };
        rows.push((parts.join()?, side));
    }
    let Columns { at, kind, actor, subject, time, side, length, bodies, rest } = columns;
    let ends = [at, kind, actor, subject, time, side, length, bodies, rest, left];
    match ends.iter().all(|column| column.is_empty()) {
        true => Ok(rows),
        false => Err(NotRecord::Damaged("more than its rows".into())),
    }
}

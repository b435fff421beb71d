#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use domain::journal::{
    Acted, Actor, Body, FlagSet, GENESIS, ItemId, Millis, Subject, SubmissionId,
};

use super::*;

const OF: BoxId = BoxId(uuid::Uuid::from_u128(0x0102));
const EPOCH: Epoch = Epoch(300);

fn side(text: &str) -> Side {
    Side { salt: [9; 32], bytes: text.as_bytes().to_vec() }
}

fn entries(many: u64, with: impl Fn(u64) -> Option<Side>) -> Vec<Entry> {
    let mut chain = GENESIS;
    (1..=many)
        .map(|seq| {
            let side = with(seq);
            let record = Record {
                of: OF,
                epoch: EPOCH,
                lane: Lane::Bulk,
                seq: Seq(seq),
                at: Millis(-1),
                actor: Actor::System,
                subject: Subject::Box,
                side: side.as_ref().map(Side::commitment),
                body: Body::Acted(Acted { tenant: None, call: "drain".parse().unwrap() }),
            };
            let record = record.encode().unwrap();
            chain = link(chain, &record);
            Entry { seq: Seq(seq), record, chain, side }
        })
        .collect()
}

fn packed(entries: &[Entry]) -> Packed {
    pack(OF, EPOCH, Lane::Bulk, GENESIS, entries).unwrap()
}

/// Written down by hand from the tables in `batch`, `columns` and `domain::journal`, and postcard's specification.
#[test]
fn a_batch_of_one_has_these_bytes() {
    let entries = entries(1, |_| None);
    // schema, box, epoch 300, lane, number: not sent.
    let beginning = [&[1u8][..], &[0; 14], &[0x01, 0x02, 0xac, 0x02, 1, 1]].concat();
    // at −1, kind 16, actor System, subject Box, no side record, body of 7 bytes: no tenant, `drain`.
    let rest = [&[1u8, 16, 0, 0, 0, 7, 0, 5][..], b"drain"].concat();
    assert_eq!(entries[0].record, [&beginning[..], &rest].concat());

    let mut expected = b"WB".to_vec();
    expected.extend([1, 0]); // version; not compressed, since that would be longer
    expected.extend([1, 0, 1]); // schema, lane
    expected.extend([0x2c, 1, 0, 0, 0, 0, 0, 0]); // epoch
    expected.extend([1, 0, 0, 0, 0, 0, 0, 0]); // first
    expected.extend([1, 0]); // count
    expected.extend([24, 0, 0, 0]); // bytes of rows
    expected.extend([0; 32]); // previous
    expected.extend(Sha256::of_parts(&[&[0], &[0; 32], &entries[0].record]).0);
    assert_eq!(expected.len(), HEADER_BYTES);
    expected.extend([1, 1, 1, 16, 1, 0]); // at −1, kind 16, actor System
    expected.extend([2, 0, 1]); // a new subject, no submission
    expected.extend([0, 1, 0, 1, 7]); // no time, no side record, length 7
    expected.extend([7, 0, 5]);
    expected.extend(b"drain");
    expected.extend([1, 0]); // subject Box
    assert_eq!(packed(&entries).bytes, expected);
    assert_eq!(Batch::place(&expected), Some((EPOCH, Lane::Bulk, Seq(1))));
}

/// Rows about several things in turn, with every state of a side record.
#[test]
fn rows_are_put_together_from_their_columns() {
    let id = |n: u128| SubmissionId(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000 << 48 | n));
    let item = ItemId(uuid::Uuid::from_u128(5));
    let subjects = [
        Subject::Submission(id(1)),
        Subject::Submission(id(2)),
        Subject::Item(item),
        Subject::Submission(id(1)),
        Subject::Submission(id(2)),
        Subject::Item(item),
        Subject::Media(Sha256::of(b"m")),
    ];
    let mut chain = GENESIS;
    let entries: Vec<Entry> = (1..)
        .zip(subjects)
        .map(|(seq, subject)| {
            let side = (seq % 2 == 0).then(|| side(&format!("text {seq}")));
            let flag = FlagSet { name: "f".parse().unwrap(), on: true };
            let record = Record {
                of: OF,
                epoch: EPOCH,
                lane: Lane::Bulk,
                seq: Seq(seq),
                at: Millis(1_000_000 - 7 * seq as i64),
                actor: if seq % 3 == 0 { Actor::Key(item) } else { Actor::Machine },
                subject,
                side: side.as_ref().map(Side::commitment),
                body: match seq % 2 {
                    0 => Body::FlagSet(flag),
                    _ => Body::Acted(Acted { tenant: None, call: "drain".parse().unwrap() }),
                },
            };
            let record = record.encode().unwrap();
            chain = link(chain, &record);
            // One was erased.
            Entry { seq: Seq(seq), record, chain, side: side.filter(|_| seq != 4) }
        })
        .collect();
    let batch = Batch::open(OF, &packed(&entries).bytes).unwrap();
    let read: Vec<Entry> = batch
        .rows
        .into_iter()
        .map(|row| Entry { seq: row.seq, record: row.raw, chain: row.chain, side: row.side })
        .collect();
    assert_eq!(read, entries);
}

#[test]
fn what_was_packed_is_opened_as_it_was_with_and_without_compression() {
    for many in [1, 2, 100] {
        let entries = entries(many, |seq| (seq % 3 == 0).then(|| side(&format!("caption {seq}"))));
        let packed = packed(&entries);
        assert_eq!(packed.bytes[3], u8::from(many == 100), "codec");
        let batch = Batch::open(OF, &packed.bytes).unwrap();
        assert_eq!((batch.first(), batch.last()), (Seq(1), Seq(many)));
        assert_eq!(batch.chain(), entries.last().unwrap().chain);
        let read: Vec<Entry> = batch
            .rows
            .into_iter()
            .map(|row| Entry { seq: row.seq, record: row.raw, chain: row.chain, side: row.side })
            .collect();
        assert_eq!(read, entries);
    }
}

#[test]
fn a_batch_is_closed_at_its_mark_and_goes_on_behind_it() {
    let many = entries(1000, |_| None);
    assert_eq!(packed(&many).last, Seq(512));
    let large = entries(20, |_| Some(side(&"x".repeat(5000))));
    let first = packed(&large);
    assert_eq!(first.last, Seq(7), "the entry that passes 32 KiB is the last one");
    let next = pack(OF, EPOCH, Lane::Bulk, first.chain, &large[7..]).unwrap();
    let batch = Batch::open(OF, &next.bytes).unwrap();
    assert_eq!((batch.first(), batch.previous), (Seq(8), first.chain));
    let huge = entries(1, |_| Some(side(&"x".repeat(MOST_RAW_BYTES))));
    let refused = pack(OF, EPOCH, Lane::Bulk, GENESIS, &huge).unwrap_err();
    assert!(matches!(refused, BadBatch::TooLarge { rows: 1, .. }), "{refused}");
}

#[test]
fn whatever_is_altered_cut_or_of_another_box_is_refused() {
    let entries = entries(3, |seq| (seq == 2).then(|| side("caption")));
    let whole = packed(&entries).bytes;
    assert!(Batch::open(OF, &whole).is_ok());
    for end in 0..whole.len() {
        assert!(Batch::open(OF, &whole[..end]).is_err(), "cut at {end}");
    }
    for place in 0..whole.len() {
        let mut altered = whole.clone();
        altered[place] ^= 1;
        assert!(Batch::open(OF, &altered).is_err(), "altered at {place}");
    }
    let other = BoxId(uuid::Uuid::from_u128(8));
    assert_eq!(Batch::open(other, &whole), Err(BadBatch::Chain(Seq(1))));
}

#[test]
fn a_side_record_that_was_exchanged_is_named_and_an_erased_one_is_no_fault() {
    let mut entries = entries(3, |seq| (seq == 2).then(|| side("caption")));
    entries[1].side = None;
    assert_eq!(Batch::open(OF, &packed(&entries).bytes).unwrap().rows[1].side, None);
    entries[1].side = Some(side("another"));
    assert_eq!(Batch::open(OF, &packed(&entries).bytes), Err(BadBatch::Side(Seq(2))));
    entries[1].side = None;
    entries[0].side = Some(side("of nobody"));
    assert_eq!(Batch::open(OF, &packed(&entries).bytes), Err(BadBatch::Side(Seq(1))));
}

#[test]
fn a_later_release_is_told_from_damage() {
    let mut newer = packed(&entries(1, |_| None)).bytes;
    newer[4] = 2;
    let refused = Batch::open(OF, &newer);
    assert_eq!(refused, Err(BadBatch::Newer { found: 2, kind: None }));
    let mut entry = entries(1, |_| None).remove(0);
    // A kind that this release does not know, at its place behind beginning and time.
    entry.record[22] = 99;
    entry.chain = link(GENESIS, &entry.record);
    let refused = Batch::open(OF, &packed(&[entry]).bytes);
    assert_eq!(refused, Err(BadBatch::Newer { found: 1, kind: Some(99) }));
}

#[test]
fn a_bomb_is_not_unpacked() {
    let rows = zstd::bulk::compress(&vec![0; 64 * 1024 * 1024], 3).unwrap();
    let header = Header {
        codec: ZSTD,
        lane: Lane::Bulk,
        epoch: EPOCH,
        first: Seq(1),
        count: 1,
        raw: 1000,
        previous: GENESIS,
        last: GENESIS,
    };
    let refused = Batch::open(OF, &[header.write(), rows.clone()].concat());
    assert!(matches!(refused, Err(BadBatch::Damaged(_))), "{refused:?}");
    let larger = Header { raw: MOST_RAW_BYTES + 1, ..header };
    let refused = Batch::open(OF, &[larger.write(), rows].concat());
    assert!(matches!(refused, Err(BadBatch::TooLarge { .. })), "{refused:?}");
}

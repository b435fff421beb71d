//! A hub's database and boxes on paper.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod journal;
pub mod obeys;
pub mod service;

use std::sync::Arc;

use domain::journal::{
    Accepted, Actor, AuthorNumber, Body, BoxId, Checkpoint, Decided, Epoch, Erased, GENESIS, Head,
    Lane, MediaNote, Millis, Record, Seq, Sha256, Side, SignedCheckpoint, Subject, SubmissionId,
    link,
};
use domain::{Action, Category, MediaKind, Severity, Status};
use hub::ingest::{Config, Ingest};
use hub::receipt::HubKey;
use hub::{Database, Pool, fleet, schema};
use rig::postgres::Postgres;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sync::batch::{Entry, pack};
use sync::frame::{Down, LaneState};
use tokio::task::JoinSet;
use uuid::Uuid;

/// A Postgres with the hub's tables.
pub async fn migrated(postgres: &Postgres) -> Database {
    let database = Database::new(&postgres.url()).unwrap();
    schema::migrate(&mut database.connect().await.unwrap()).await.unwrap();
    database
}

/// An ingest over it, whose tasks end with the set.
pub fn ingest(database: &Database, config: Config) -> (Ingest, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    let pool = Arc::new(Pool::new(database.clone(), 4));
    let key = Arc::new(HubKey::new(&HubKey::generate().unwrap()).unwrap());
    (Ingest::start(config, pool, key, &mut tasks), tasks)
}

/// A box: what its journal holds, by lane.
#[derive(Clone)]
pub struct Paper {
    pub of: BoxId,
    pub epoch: Epoch,
    pub lanes: [Vec<Entry>; 2],
    next: u128,
}

impl Paper {
    pub fn new(number: u128) -> Self {
        let of = BoxId(Uuid::from_u128(number));
        let epoch = Epoch(u64::MAX - number as u64);
        Self { of, epoch, lanes: [vec![], vec![]], next: number << 64 }
    }

    pub fn key(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[self.of.0.as_bytes()[15]; 32]).unwrap()
    }

    pub async fn enrol(&self, database: &Database) {
        let client = database.connect().await.unwrap();
        let key = self.key();
        fleet::enrol(&client, self.of, "box", key.public_key().as_ref(), &[1]).await.unwrap();
    }

    pub fn append(&mut self, lane: Lane, subject: Subject, body: Body, side: Option<Side>) {
        let head = self.head(lane);
        let record = Record {
            of: self.of,
            epoch: self.epoch,
            lane,
            seq: head.seq.next(),
            at: Millis(1_700_000_000_000),
            actor: Actor::Machine,
            subject,
            side: side.as_ref().map(Side::commitment),
            body,
        };
        let record = record.encode().unwrap();
        let chain = link(head.chain, &record);
        let entry = Entry { seq: head.seq.next(), record, chain, side };
        self.lanes[usize::from(lane.number())].push(entry);
    }

    /// The same entries, told in another epoch.
    pub fn again(&self, epoch: Epoch) -> Self {
        let mut again = Self { epoch, lanes: [vec![], vec![]], ..self.clone() };
        for lane in Lane::ALL {
            for entry in &self.lanes[usize::from(lane.number())] {
                let record = Record::decode(&entry.record).unwrap();
                again.append(lane, record.subject, record.body, entry.side.clone());
            }
        }
        again
    }

    /// A photo is accepted and judged: two entries.
    pub fn photo(&mut self, lane: Lane, author: Option<u64>) -> SubmissionId {
        self.next += 1;
        let id = SubmissionId(Uuid::from_u128(self.next));
        let body = Body::Accepted(accepted(author, self.next));
        self.append(lane, Subject::Submission(id), body, Some(side(1)));
        self.append(lane, Subject::Submission(id), decided(), Some(side(2)));
        id
    }

    pub fn photos(&mut self, many: usize) {
        for _ in 0..many {
            self.photo(Lane::Bulk, None);
        }
    }

    pub fn erase(&mut self, author: u64) {
        let tenant = "acme".parse().unwrap();
        let body = Body::Erased(Erased { tenant, submissions: 1, sides: 1 });
        self.append(Lane::Critical, Subject::Author(AuthorNumber(author)), body, None);
    }

    pub fn head(&self, lane: Lane) -> Head {
        let last = self.lanes[usize::from(lane.number())].last();
        last.map_or(Head { lane, seq: Seq(0), chain: GENESIS }, |e| Head {
            lane,
            seq: e.seq,
            chain: e.chain,
        })
    }

    /// A batch of what lies behind a place, at most so many rows.
    pub fn batch(&self, lane: Lane, after: u64, most: usize) -> Vec<u8> {
        let entries = &self.lanes[usize::from(lane.number())];
        let at = usize::try_from(after).unwrap();
        let previous = if at == 0 { GENESIS } else { entries[at - 1].chain };
        let rest = &entries[at..(at + most).min(entries.len())];
        pack(self.of, self.epoch, lane, previous, rest).unwrap().bytes
    }

    /// All of a lane in batches of so many rows.
    pub fn batches(&self, lane: Lane, rows: usize) -> Vec<Vec<u8>> {
        let count = self.lanes[usize::from(lane.number())].len();
        (0..count).step_by(rows).map(|after| self.batch(lane, after as u64, rows)).collect()
    }

    pub fn checkpoint(&self) -> SignedCheckpoint {
        let heads = Lane::ALL.map(|lane| self.head(lane)).to_vec();
        let (of, epoch) = (self.of, self.epoch);
        Checkpoint { of, epoch, at: Millis(1), heads }.sign(&self.key()).unwrap()
    }

    pub fn states(&self) -> Vec<LaneState> {
        let state = |lane| LaneState {
            epoch: self.epoch,
            base: Head { lane, seq: Seq(0), chain: GENESIS },
            head: self.head(lane),
        };
        Lane::ALL.map(state).to_vec()
    }

    /// What the hub has of a lane, byte for byte, each row once.
    pub async fn stored(&self, database: &Database, lane: Lane) -> Vec<(u64, Vec<u8>)> {
        let client = database.connect().await.unwrap();
        let query = "SELECT seq, record FROM entries WHERE box = $1 AND epoch = $2 AND lane = $3 ORDER BY seq";
        let (epoch, lane) = (self.epoch.0.cast_signed(), i16::from(lane.number()));
        let rows = client.query(query, &[&self.of.0, &epoch, &lane]).await.unwrap();
        rows.iter().map(|row| (row.get::<_, i64>(0).cast_unsigned(), row.get(1))).collect()
    }

    /// The hub has of this lane exactly the box's entries, each once.
    pub async fn assert_stored(&self, database: &Database, lane: Lane) {
        let ours = self.lanes[usize::from(lane.number())].iter();
        let ours: Vec<_> = ours.map(|entry| (entry.seq.0, entry.record.clone())).collect();
        assert!(self.stored(database, lane).await == ours, "{} {lane:?}", self.of);
    }
}

pub fn side(salt: u8) -> Side {
    Side { salt: [salt; 32], bytes: b"a caption that somebody wrote".to_vec() }
}

pub fn accepted(author: Option<u64>, mark: u128) -> Accepted {
    let sha256 = Some(Sha256::of(&mark.to_be_bytes()));
    Accepted {
        tenant: "acme".parse().unwrap(),
        surface: "post".parse().unwrap(),
        author: author.map(AuthorNumber),
        priority: 1,
        media: vec![MediaNote { sha256, bytes: Some(100_000), kind: MediaKind::Image }],
        has_text: true,
    }
}

pub fn decided() -> Body {
    Body::Decided(Decided {
        tenant: "acme".parse().unwrap(),
        number: 0,
        supersedes: None,
        status: Status::Rejected,
        complete: true,
        severity: Severity::High,
        action: Action::Reject,
        reasons: vec!["nsfw".parse().unwrap()],
        categories: vec![(Category::Sexual, Severity::High, 970)],
        policy: "starter@1".parse().unwrap(),
        models: vec!["nsfw@2".parse().unwrap()],
        standing: None,
    })
}

/// The number up to which an answer acknowledges.
pub fn acked(answer: &Down) -> u64 {
    match answer {
        Down::Ack(cursor) => cursor.head.seq.0,
        other => panic!("{other:?}"),
    }
}

/// A single number out of the database.
pub async fn count(database: &Database, query: &str) -> i64 {
    let client = database.connect().await.unwrap();
    client.query_one(query, &[]).await.unwrap().get(0)
}

//! One write inside a group's transaction, and the journal's tip.

use std::cell::RefCell;

use domain::journal::{
    Actor, Body, BoxId, Epoch, GENESIS, Head, Lane, Millis, Record, Seq, Sha256, Side, Subject,
    SubmissionId, link,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use rusqlite::{Connection, params};

use crate::{Config, Error, memory::Void, rows::bits};

/// Where the journal has come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tip {
    pub of: BoxId,
    pub epoch: Epoch,
    /// In the order of [`Lane::ALL`].
    pub heads: [Head; 2],
}

impl Tip {
    /// A new epoch, random.
    pub fn mint(of: BoxId) -> Result<Self, Error> {
        let epoch = Epoch(u64::from_le_bytes(random()?));
        let heads = Lane::ALL.map(|lane| Head { lane, seq: Seq(0), chain: GENESIS });
        Ok(Self { of, epoch, heads })
    }

    pub fn head(&mut self, lane: Lane) -> &mut Head {
        let [critical, bulk] = &mut self.heads;
        match lane {
            Lane::Critical => critical,
            Lane::Bulk => bulk,
        }
    }
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The life of the database.
    pub epoch: Epoch,
    /// The lane.
    pub lane: Lane,
    /// The number in it.
    pub seq: Seq,
}

/// An entry to append.
pub(crate) struct Entry<'a> {
    pub lane: Lane,
    pub actor: &'a Actor,
    pub subject: Subject,
    pub body: Body,
    pub side: Option<NewSide<'a>>,
}

/// A side record to lay beside it.
pub(crate) struct NewSide<'a> {
    pub kind: SideKind,
    pub submission: Option<SubmissionId>,
    pub author: Option<domain::journal::AuthorNumber>,
    pub bytes: &'a [u8],
    /// That of the record it is a copy of; `None` draws one.
    pub salt: Option<[u8; 32]>,
}

/// What a side record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SideKind {
    /// The caption of a submission.
    Caption,
    /// Text read from media and words matched.
    Words,
    /// What a reporter wrote.
    Report,
    /// What an author wrote in an appeal.
    Appeal,
    /// The directive that the hub told, beside the receipt for it.
    Order,
}

impl SideKind {
    /// What is stored so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Caption, Self::Words, Self::Report, Self::Appeal, Self::Order]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caption => "caption",
            Self::Words => "words",
            Self::Report => "report",
            Self::Appeal => "appeal",
            Self::Order => "order",
        }
    }
}

/// What a write sees: the connection inside the transaction, the time, the journal.
pub(crate) struct Txn<'c> {
    pub conn: &'c Connection,
    pub now: Millis,
    pub tip: &'c mut Tip,
    pub config: &'c Config,
    pub incarnation: u64,
    /// Entries appended since the last checkpoint.
    pub appended: u64,
    /// Whether the log is to be emptied after the commit: erased bytes would stay in it.
    pub truncate_log: bool,
    /// What memory must not answer any more once this is committed.
    pub voids: RefCell<Vec<Void>>,
}

impl Txn<'_> {
    /// Once this is committed, memory does not answer so any more.
    pub fn void(&self, void: Void) {
        self.voids.borrow_mut().push(void);
    }

    /// Appends to the journal; it is there when the transaction is.
    pub fn append(&mut self, entry: Entry<'_>) -> Result<Place, Error> {
        let side = match &entry.side {
            Some(new) => {
                let salt = new.salt.map_or_else(random::<32>, Ok)?;
                Some(Side { salt, bytes: new.bytes.to_vec() })
            }
            None => None,
        };
        let Tip { of, epoch, .. } = *self.tip;
        let head = self.tip.head(entry.lane);
        let seq = head.seq.next();
        let record = Record {
            of,
            epoch,
            lane: entry.lane,
            seq,
            at: self.now,
            actor: entry.actor.clone(),
            subject: entry.subject,
            side: side.as_ref().map(Side::commitment),
            body: entry.body,
        };
        let bytes = record.encode().map_err(|e| Error::damaged(e.to_string()))?;
        let chain = link(head.chain, &bytes);
        self.conn.prepare_cached("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?)")?.execute(
            params![bits(epoch.0), entry.lane.number(), bits(seq.0), self.now.0, bytes, chain.0],
        )?;
        if let (Some(side), Some(new)) = (side, entry.side) {
            self.conn
                .prepare_cached("INSERT INTO sides VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?
                .execute(params![
                    bits(epoch.0),
                    entry.lane.number(),
                    bits(seq.0),
                    new.kind.as_str(),
                    new.submission.map(|id| id.0),
                    new.author.map(|author| bits(author.0)),
                    side.salt,
                    side.bytes
                ])?;
        }
        *head = Head { lane: entry.lane, seq, chain };
        self.appended += 1;
        Ok(Place { epoch, lane: entry.lane, seq })
    }
}

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::Invalid("the system gave no random bytes: is /dev/urandom there?"))?;
    Ok(bytes)
}

/// The head of a lane as the journal's rows tell it.
pub(crate) fn head_of(conn: &Connection, epoch: Epoch, lane: Lane) -> Result<Head, Error> {
    let place = params![bits(epoch.0), lane.number()];
    let last =
        "SELECT seq, chain FROM journal WHERE epoch = ? AND lane = ? ORDER BY seq DESC LIMIT 1";
    let base = "SELECT base_seq, base_chain FROM lanes WHERE epoch = ? AND lane = ?";
    for query in [last, base] {
        let mut statement = conn.prepare_cached(query)?;
        let mut rows = statement.query(place)?;
        if let Some(row) = rows.next()? {
            let seq = Seq(row.get::<_, i64>(0)?.cast_unsigned());
            return Ok(Head { lane, seq, chain: Sha256(row.get(1)?) });
        }
    }
    Ok(Head { lane, seq: Seq(0), chain: GENESIS })
}

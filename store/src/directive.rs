//! Directives of the hub: how far each lane was taken, the releases in force, and changes of lists that are still to be matched with
//! what was seen.
//!
//! What a directive orders is done before; the place moves with the receipt, so that a crash in between has it done once more.

use domain::directive::{self, Address, Bundle, Release, ReleaseKind};
use domain::journal::{
    Actor, Body, Code, Directed, Distrusted, Epoch, Lane, Millis, Seq, Subject, TenantId,
};
use rusqlite::{OptionalExtension as _, Row, params};

use crate::{
    Error, Hash, NewBankEntry, Reply, Store, bank, bundle,
    rows::{self, bits},
    store::Way,
    txn::{Entry, NewSide, Place, SideKind, Txn},
};

/// A change of a tenant's list that is still to be matched with what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rematch {
    /// Whose list.
    pub tenant: TenantId,
    /// Whether the entry came or went.
    pub added: bool,
    /// The entry.
    pub entry: NewBankEntry,
}

/// What is kept with the receipt for a directive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// In the place of the one of its kind, name and scope.
    pub release: Option<Release>,
    /// To be done afterwards, in this order.
    pub rematches: Vec<Rematch>,
    /// To be fetched and installed afterwards.
    pub bundle: Option<Bundle>,
    /// The directive itself, as [`directive::Copied`] writes it: goes along with the receipt until the entry is pruned.
    pub copy: Option<Vec<u8>>,
}

/// The directive that was taken last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastDirected {
    /// Where it stands.
    pub place: directive::Place,
    /// Kind of its order.
    pub kind: u16,
    /// Why it was not applied; nothing where it was.
    pub refused: Option<Code>,
    /// When it was taken.
    pub at: Millis,
}

impl Store {
    /// How far each lane of each epoch was taken.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn directives_taken(&self) -> Result<Vec<directive::Place>, Error> {
        self.read(|conn| {
            let mut statement =
                conn.prepare_cached("SELECT * FROM directed ORDER BY epoch, lane")?;
            let places = statement.query_map([], place)?;
            Ok(places.collect::<Result<_, _>>()?)
        })
    }

    /// The directive that was taken last, of all lanes.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn last_directed(&self) -> Result<Option<LastDirected>, Error> {
        self.read(|conn| {
            let last = conn
                .prepare_cached("SELECT * FROM directed ORDER BY at DESC LIMIT 1")?
                .query_row([], |row| {
                    let (place, at) = (place(row)?, rows::millis(row, "at")?);
                    let refused: Option<String> = row.get("refused")?;
                    let refused = refused.map(|code| Code::lossy(&code));
                    Ok(LastDirected { place, kind: row.get("kind")?, refused, at })
                })
                .optional()?;
            Ok(last)
        })
    }

    /// A directive was applied, or refused: its place moves, the receipt goes into the journal, and what is to be kept is. Where it is
    /// not the next one of its lane nothing happens, and the answer is false.
    pub fn directed(
        &self,
        place: directive::Place,
        order: u16,
        refused: Option<Code>,
        kept: Kept,
    ) -> Reply<bool> {
        self.write(Way::Urgent, move |txn| {
            let (epoch, lane) = (bits(place.epoch.0), place.to.to_string());
            let last: Option<i64> = txn
                .conn
                .prepare_cached("SELECT seq FROM directed WHERE epoch = ? AND lane = ?")?
                .query_row(params![epoch, lane], |row| row.get(0))
                .optional()?;
            if Seq(last.unwrap_or(0).cast_unsigned()).next() != place.seq {
                return Ok(false);
            }
            let code = refused.as_ref().map(Code::as_str);
            txn.conn
                .prepare_cached("INSERT OR REPLACE INTO directed VALUES (?, ?, ?, ?, ?, ?)")?
                .execute(params![epoch, lane, bits(place.seq.0), order, code, txn.now.0])?;
            if let Some(release) = &kept.release {
                keep_release(txn, release)?;
            }
            kept.rematches.iter().try_for_each(|rematch| keep_rematch(txn, rematch))?;
            if let Some(bundle) = &kept.bundle {
                bundle::keep(txn, bundle)?;
            }
            let (place, refused) = (place.clone(), refused.clone());
            append(txn, Body::Directed(Directed { place, order, refused }), kept.copy.as_deref())?;
            Ok(true)
        })
    }

    /// So many came in the hub's name, since this was last told, that were passed over for this reason.
    pub fn distrusted(&self, why: Code, count: u32) -> Reply<Place> {
        self.write(Way::Normal, move |txn| {
            append(txn, Body::Distrusted(Distrusted { why: why.clone(), count }), None)
        })
    }

    /// The releases in force.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn releases(&self) -> Result<Vec<Release>, Error> {
        self.read(|conn| {
            let mut statement =
                conn.prepare_cached("SELECT * FROM releases ORDER BY kind, name, scope")?;
            let releases = statement.query_map([], |row| {
                Ok(Release {
                    kind: named(&row.get::<_, String>("kind")?),
                    name: rows::word(row, "name")?,
                    version: row.get::<_, i64>("version")?.cast_unsigned(),
                    to: rows::word(row, "scope")?,
                    text: row.get("text")?,
                })
            })?;
            Ok(releases.collect::<Result<_, _>>()?)
        })
    }

    /// The oldest change of a list that is still to be matched with what was seen, and its number.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn next_rematch(&self) -> Result<Option<(i64, Rematch)>, Error> {
        self.read(|conn| {
            let next = conn
                .prepare_cached("SELECT * FROM rematches ORDER BY n LIMIT 1")?
                .query_row([], |row| Ok((row.get("n")?, rematch(row)?)))
                .optional()?;
            Ok(next)
        })
    }

    /// It was matched.
    pub fn rematched(&self, n: i64) -> Reply<()> {
        self.write(Way::Normal, move |txn| {
            txn.conn.execute("DELETE FROM rematches WHERE n = ?", [n])?;
            Ok(())
        })
    }
}

fn append(txn: &mut Txn<'_>, body: Body, copy: Option<&[u8]>) -> Result<Place, Error> {
    let (actor, subject) = (&Actor::Hub, Subject::Box);
    let side = copy.map(|bytes| NewSide {
        kind: SideKind::Order,
        submission: None,
        author: None,
        bytes,
        salt: None,
    });
    txn.append(Entry { lane: Lane::Critical, actor, subject, body, side })
}

fn keep_release(txn: &Txn<'_>, release: &Release) -> Result<(), Error> {
    let Release { kind, name, version, to, text } = release;
    txn.conn.prepare_cached("INSERT OR REPLACE INTO releases VALUES (?, ?, ?, ?, ?, ?)")?.execute(
        params![name_of(*kind), name.as_str(), to.to_string(), bits(*version), text, txn.now.0],
    )?;
    Ok(())
}

pub(crate) fn keep_rematch(txn: &Txn<'_>, rematch: &Rematch) -> Result<(), Error> {
    let entry = &rematch.entry;
    let (hash, distance) = bank::parts(&entry.hash);
    txn.conn
        .prepare_cached(
            "INSERT INTO rematches (tenant, added, negative, hash, distance, label, protected) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            rematch.tenant.as_str(),
            rematch.added,
            entry.negative,
            hash,
            distance,
            entry.label.as_str(),
            entry.protected
        ])?;
    Ok(())
}

fn place(row: &Row<'_>) -> rusqlite::Result<directive::Place> {
    let number = |name| row.get::<_, i64>(name).map(i64::cast_unsigned);
    let to: Address = rows::word(row, "lane")?;
    Ok(directive::Place { epoch: Epoch(number("epoch")?), to, seq: Seq(number("seq")?) })
}

fn rematch(row: &Row<'_>) -> rusqlite::Result<Rematch> {
    let bytes: [u8; 32] = row.get("hash")?;
    let distance: Option<u16> = row.get("distance")?;
    let sha256 = domain::journal::Sha256(bytes);
    let entry = NewBankEntry {
        negative: row.get("negative")?,
        hash: distance.map_or(Hash::Sha256(sha256), |distance| Hash::Pdq(bytes, distance)),
        label: rows::word(row, "label")?,
        protected: row.get("protected")?,
    };
    Ok(Rematch { tenant: rows::word(row, "tenant")?, added: row.get("added")?, entry })
}

fn name_of(kind: ReleaseKind) -> &'static str {
    match kind {
        ReleaseKind::Policy => "policy",
        ReleaseKind::Bank => "bank",
    }
}

/// Written by [`name_of`] alone.
fn named(kind: &str) -> ReleaseKind {
    if kind == "bank" { ReleaseKind::Bank } else { ReleaseKind::Policy }
}

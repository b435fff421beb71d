//! What was handed in: accepted in one transaction, so that an answer means that nothing of it can be lost.

use std::{net::IpAddr, time::Duration};

use domain::{
    MediaKind,
    journal::{
        Accepted, AcceptedIn, Actor, AuthorNumber, Body, Code, Lane, MediaNote, Millis, Sha256,
        Subject, SubmissionId, TenantId,
    },
    standing::{Ladder, Level},
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Reply, Store, author, blob,
    decision::{self, DecisionRow},
    job::JobKind,
    rows::{self, bits},
    store::Way,
    txn::{Entry, NewSide, SideKind, Txn},
};

/// Most media of one submission (FEATURES P2).
pub const MOST_MEDIA: usize = 9;

/// Highest priority; each step lets a submission pass a thousand that came before it.
pub const HIGHEST_PRIORITY: u8 = 9;

/// A submission to accept.
#[derive(Clone, Debug)]
pub struct NewSubmission {
    /// Its name: a UUIDv7, of the client's choice or made by the gateway.
    pub id: SubmissionId,
    /// Whose, by the credential.
    pub tenant: TenantId,
    /// Who handed it in.
    pub actor: Actor,
    /// Kind of place it would appear.
    pub surface: Code,
    /// BCP 47 language of the caption, where told.
    pub language: Option<Code>,
    /// HMAC of the platform's author id with the tenant's secret, where told.
    pub author: Option<[u8; 32]>,
    /// 0 to 9, higher goes first.
    pub priority: u8,
    /// Goes at once and even when room is short, and in the critical lane.
    pub critical: bool,
    /// Echoed to the client; never journaled.
    pub client_tag: Option<String>,
    /// The client's idempotency key.
    pub idempotency_key: Option<String>,
    /// Hash over all that the client asked: the same key or name with another hash is a conflict.
    pub request: Sha256,
    /// Where it came from.
    pub ip: Option<IpAddr>,
    /// The caption.
    pub caption: Option<String>,
    /// The media, in order.
    pub media: Vec<NewMedia>,
    /// Media that this author may hand in within an hour.
    pub per_author_hour: Option<u32>,
    /// The tenant's rules for strikes: who is barred by them is refused.
    pub ladder: Ladder,
}

/// A medium to accept.
#[derive(Clone, Debug)]
pub enum NewMedia {
    /// Bytes that lie in the spool, synced, under this name.
    Stored(StoredMedia),
    /// To be fetched by the submission's job. The address is a secret: it is in no journal, and gone when fetched.
    Address(String),
}

/// Bytes in the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMedia {
    /// Their hash.
    pub sha256: Sha256,
    /// Their number.
    pub bytes: u64,
    /// Their kind as far as is known.
    pub kind: MediaKind,
    /// Name of the file in the spool. Two submissions may name the same.
    pub blob: String,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// Accepted now.
    New(SubmissionId),
    /// The same request was accepted before, under this name; the new bytes in the spool belong to nobody.
    Same(SubmissionId),
}

impl Acceptance {
    /// The submission's name.
    pub fn id(self) -> SubmissionId {
        match self {
            Self::New(id) | Self::Same(id) => id,
        }
    }
}

/// Where a submission stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No decision yet.
    Pending,
    /// May be shown.
    Approved,
    /// May not be shown.
    Rejected,
    /// Waits for a person.
    Held,
    /// Cannot be judged, or its job is a dead letter.
    Failed,
}

impl From<domain::Status> for State {
    fn from(status: domain::Status) -> Self {
        match status {
            domain::Status::Approved => Self::Approved,
            domain::Status::Rejected => Self::Rejected,
            domain::Status::Held => Self::Held,
            domain::Status::Failed => Self::Failed,
        }
    }
}

/// A submission as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// Its name.
    pub id: SubmissionId,
    /// Whose.
    pub tenant: TenantId,
    /// Kind of place.
    pub surface: Code,
    /// BCP 47 language of the caption.
    pub language: Option<Code>,
    /// By whom.
    pub author: Option<AuthorNumber>,
    /// 0 to 9.
    pub priority: u8,
    /// The client's own name for it.
    pub client_tag: Option<String>,
    /// Where it came from, masked after a time.
    pub ip: Option<String>,
    /// When it was accepted.
    pub received_at: Millis,
    /// Where it stands.
    pub state: State,
    /// Failed attempts of the job in hand; 0 when there is none.
    pub retries: u32,
    /// The caption, unless erased.
    pub caption: Option<String>,
    /// The media, in order.
    pub media: Vec<MediaRow>,
    /// The decision in force.
    pub decision: Option<DecisionRow>,
}

/// A medium as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRow {
    /// Hash of the bytes, once they are here.
    pub sha256: Option<Sha256>,
    /// Their number.
    pub bytes: Option<u64>,
    /// Their kind.
    pub kind: MediaKind,
    /// Name of the file in the spool, while there is one.
    pub blob: Option<String>,
    /// Address, while it is still to be fetched.
    pub url: Option<String>,
}

/// Which submissions to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only in this state.
    pub state: Option<State>,
    /// Only by this author.
    pub author: Option<AuthorNumber>,
    /// Only accepted at or after this time.
    pub since: Option<Millis>,
    /// Only those before this one in the listing's order (newest first): the last one of the page before.
    pub before: Option<SubmissionId>,
}

impl Store {
    /// Accepts a submission.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Busy`], [`Error::Conflict`], [`Error::AuthorLimit`], [`Error::Barred`], [`Error::BlobGoing`], [`Error::Invalid`].
    pub fn accept(&self, new: NewSubmission) -> Reply<Acceptance> {
        let way = if new.critical { Way::Urgent } else { Way::Growing };
        self.write(way, move |txn| accept(txn, &new))
    }

    /// A submission of a tenant.
    ///
    /// # Errors
    /// [`Error::NotFound`] also where it is another tenant's.
    pub fn submission(&self, tenant: &TenantId, id: SubmissionId) -> Result<Submission, Error> {
        self.read(|conn| {
            read(conn, id)?
                .filter(|found| found.tenant == *tenant)
                .ok_or(Error::NotFound("submission"))
        })
    }

    /// Submissions of a tenant, newest first, at most `limit`.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn submissions(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        limit: u32,
    ) -> Result<Vec<Submission>, Error> {
        let state = filter.state.map(|state| rows::slug(&state)).transpose()?;
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT id FROM submissions WHERE tenant = ?1 AND (?2 IS NULL OR state = ?2)
                 AND (?3 IS NULL OR author = ?3) AND (?4 IS NULL OR received_at >= ?4)
                 AND (?5 IS NULL OR id < ?5) ORDER BY id DESC LIMIT ?6",
            )?;
            let ids: Vec<uuid::Uuid> = statement
                .query_map(
                    params![
                        tenant.as_str(),
                        state,
                        filter.author.map(|a| bits(a.0)),
                        filter.since.map(|t| t.0),
                        filter.before.map(|id| id.0),
                        limit
                    ],
                    |row| row.get(0),
                )?
                .collect::<Result<_, _>>()?;
            ids.into_iter().filter_map(|id| read(conn, SubmissionId(id)).transpose()).collect()
        })
    }

    /// How many submissions of all tenants are in which state: for metrics.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn count_by_state(&self) -> Result<Vec<(State, u64)>, Error> {
        self.read(|conn| {
            let mut statement =
                conn.prepare_cached("SELECT state, count(*) AS n FROM submissions GROUP BY state")?;
            let counts = statement
                .query_map([], |row| Ok((rows::unslug(row, "state")?, row.get::<_, i64>("n")?)))?
                .map(|row| row.map(|(state, n)| (state, n.cast_unsigned())))
                .collect::<Result<_, _>>()?;
            Ok(counts)
        })
    }
}

fn accept(txn: &mut Txn<'_>, new: &NewSubmission) -> Result<Acceptance, Error> {
    if !new.id.is_v7() {
        return Err(Error::Invalid("the name of a submission is a UUID of version 7"));
    }
    if new.media.len() > MOST_MEDIA || (new.media.is_empty() && new.caption.is_none()) {
        return Err(Error::Invalid("a submission has a caption or 1 to 9 media"));
    }
    if let Some(known) = known(txn.conn, new)? {
        return Ok(Acceptance::Same(known));
    }
    let number = match &new.author {
        Some(key) => Some(author::number(txn, &new.tenant, key)?),
        None => None,
    };
    if let Some(author) = number {
        let standing = author::standing(txn.conn, author, txn.now)?;
        let (level, until) = standing.level(&new.ladder, txn.now);
        if level >= Level::Rejected {
            return Err(Error::Barred { until });
        }
    }
    if let (Some(author), Some(limit)) = (number, new.per_author_hour) {
        within_hour(txn, author, new.media.len(), limit)?;
    }
    let pending = rows::slug(&State::Pending)?;
    txn.conn
        .prepare_cached(
            "INSERT INTO submissions (id, tenant, surface, language, author, priority, client_tag,
             idempotency_key, request, ip, received_at, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            new.id.0,
            new.tenant.as_str(),
            new.surface.as_str(),
            new.language.as_ref().map(Code::as_str),
            number.map(|n| bits(n.0)),
            new.priority.min(HIGHEST_PRIORITY),
            new.client_tag,
            new.idempotency_key,
            new.request.0,
            new.ip.map(|ip| ip.to_string()),
            txn.now.0,
            pending
        ])?;
    for (n, media) in new.media.iter().enumerate() {
        insert_media(txn, new.id, n, media)?;
    }
    let to_fetch = new.media.iter().any(|m| matches!(m, NewMedia::Address(_)));
    let kind = if to_fetch { JobKind::Fetch } else { JobKind::Judge };
    txn.conn
        .prepare_cached(
            "INSERT INTO jobs (submission, tenant, kind, priority, state, not_before, set_at)
             VALUES (?1, ?2, ?3, ?4, 'queued', ?5, ?5)",
        )?
        .execute(params![
            new.id.0,
            new.tenant.as_str(),
            rows::slug(&kind)?,
            new.priority.min(HIGHEST_PRIORITY),
            txn.now.0
        ])?;
    journal(txn, new, number)?;
    Ok(Acceptance::New(new.id))
}

/// The submission that the same request made before.
fn known(conn: &Connection, new: &NewSubmission) -> Result<Option<SubmissionId>, Error> {
    let same =
        |tenant: &str, request: [u8; 32]| tenant == new.tenant.as_str() && request == new.request.0;
    let by_id: Option<(String, [u8; 32])> = conn
        .prepare_cached("SELECT tenant, request FROM submissions WHERE id = ?")?
        .query_row(params![new.id.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match by_id {
        Some((tenant, request)) if same(&tenant, request) => return Ok(Some(new.id)),
        Some(_) => return Err(Error::Conflict("this name stands for another submission already")),
        None => {}
    }
    let by_key: Option<(uuid::Uuid, [u8; 32])> = conn
        .prepare_cached(
            "SELECT id, request FROM submissions WHERE tenant = ? AND idempotency_key = ?",
        )?
        .query_row(params![new.tenant.as_str(), new.idempotency_key], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    match by_key {
        Some((id, request)) if request == new.request.0 => Ok(Some(SubmissionId(id))),
        Some(_) => Err(Error::Conflict("this Idempotency-Key was used with another request")),
        None => Ok(None),
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// Refuses what goes beyond an author's share of the trailing hour. Counted from the rows, so that it survives a restart.
fn within_hour(txn: &Txn<'_>, author: AuthorNumber, more: usize, limit: u32) -> Result<(), Error> {
    let from = txn.now.before(HOUR);
    let (count, oldest): (i64, Option<i64>) = txn
        .conn
        .prepare_cached(
            // Up to now only: rows from before a clock that was set back do not count for years.
            "SELECT count(*), min(received_at) FROM submissions JOIN media ON submission = id
             WHERE author = ? AND received_at > ? AND received_at <= ?",
        )?
        .query_row(params![bits(author.0), from.0, txn.now.0], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    if count.cast_unsigned() + more as u64 <= u64::from(limit) {
        return Ok(());
    }
    let wait_ms = oldest.map_or(0, |oldest| oldest - from.0).max(1_000);
    Err(Error::AuthorLimit { limit, retry_after: Duration::from_millis(wait_ms.cast_unsigned()) })
}

fn insert_media(txn: &Txn<'_>, id: SubmissionId, n: usize, media: &NewMedia) -> Result<(), Error> {
    let (stored, url) = match media {
        NewMedia::Stored(stored) => (Some(stored), None),
        NewMedia::Address(url) => (None, Some(url)),
    };
    if let Some(stored) = stored {
        blob::hold(txn, stored)?;
    }
    let kind = stored.map_or(MediaKind::Unknown, |s| s.kind);
    txn.conn
        .prepare_cached(
            "INSERT INTO media (submission, n, sha256, bytes, kind, blob, url) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            id.0,
            n as i64,
            stored.map(|s| s.sha256.0),
            stored.map(|s| bits(s.bytes)),
            rows::slug(&kind)?,
            stored.map(|s| &s.blob),
            url
        ])?;
    Ok(())
}

fn journal(
    txn: &mut Txn<'_>,
    new: &NewSubmission,
    author: Option<AuthorNumber>,
) -> Result<(), Error> {
    let media = new.media.iter().map(|media| match media {
        NewMedia::Stored(s) => note(s),
        NewMedia::Address(_) => MediaNote { sha256: None, bytes: None, kind: MediaKind::Unknown },
    });
    let accepted = Accepted {
        tenant: new.tenant.clone(),
        surface: new.surface.clone(),
        author,
        priority: new.priority.min(HIGHEST_PRIORITY),
        media: media.collect(),
        has_text: new.caption.is_some(),
    };
    let body = match new.language.clone() {
        Some(language) => Body::AcceptedIn(AcceptedIn { accepted, language }),
        None => Body::Accepted(accepted),
    };
    let side = new.caption.as_deref().map(|text| NewSide {
        kind: SideKind::Caption,
        submission: Some(new.id),
        author,
        bytes: text.as_bytes(),
        salt: None,
    });
    let lane = if new.critical { Lane::Critical } else { Lane::Bulk };
    let subject = Subject::Submission(new.id);
    txn.append(Entry { lane, actor: &new.actor, subject, body, side }).map(drop)
}

/// A medium as the journal names it.
pub(crate) fn note(stored: &StoredMedia) -> MediaNote {
    MediaNote { sha256: Some(stored.sha256), bytes: Some(stored.bytes), kind: stored.kind }
}

/// A submission, of whichever tenant.
pub(crate) fn read(conn: &Connection, id: SubmissionId) -> Result<Option<Submission>, Error> {
    let found = conn
        .prepare_cached(
            "SELECT s.*, coalesce(j.failures, 0) AS failures,
             (SELECT bytes FROM sides WHERE submission = s.id AND kind = 'caption') AS caption
             FROM submissions s LEFT JOIN jobs j ON j.submission = s.id WHERE s.id = ?",
        )?
        .query_row(params![id.0], |row| head(row, id))
        .optional()?;
    let Some((mut submission, decision)) = found else { return Ok(None) };
    submission.media = media(conn, id)?;
    if let Some(number) = decision {
        submission.decision = decision::read(conn, id, number)?;
    }
    Ok(Some(submission))
}

fn head(row: &Row<'_>, id: SubmissionId) -> rusqlite::Result<(Submission, Option<u32>)> {
    let caption: Option<Vec<u8>> = row.get("caption")?;
    let language: Option<String> = row.get("language")?;
    let submission = Submission {
        id,
        tenant: rows::word(row, "tenant")?,
        surface: rows::word(row, "surface")?,
        language: language.map(|text| Code::lossy(&text)),
        author: rows::author(row, "author")?,
        priority: row.get("priority")?,
        client_tag: row.get("client_tag")?,
        ip: row.get("ip")?,
        received_at: rows::millis(row, "received_at")?,
        state: rows::unslug(row, "state")?,
        retries: row.get("failures")?,
        caption: caption.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        media: Vec::new(),
        decision: None,
    };
    Ok((submission, row.get("decision")?))
}

fn media(conn: &Connection, id: SubmissionId) -> Result<Vec<MediaRow>, Error> {
    let mut statement =
        conn.prepare_cached("SELECT * FROM media WHERE submission = ? ORDER BY n")?;
    let rows = statement.query_map(params![id.0], |row| {
        Ok(MediaRow {
            sha256: rows::sha256(row, "sha256")?,
            bytes: row.get::<_, Option<i64>>("bytes")?.map(i64::cast_unsigned),
            kind: rows::unslug(row, "kind")?,
            blob: row.get("blob")?,
            url: row.get("url")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

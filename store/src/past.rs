//! What was decided before, read beside a running service: for asking what another policy would have said.

use std::ops::ControlFlow;
use std::path::Path;

use domain::Decision;
use domain::journal::{Actor, Code, Millis, SubmissionId, TenantId};
use rusqlite::params;

use crate::{Error, rows, schema};

/// A decision of the machine's.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// What was decided on.
    pub submission: SubmissionId,
    /// Whose.
    pub tenant: TenantId,
    /// Where it would appear.
    pub surface: Code,
    /// When it was decided.
    pub at: Millis,
    /// The first decision.
    pub decision: Decision,
    /// What it rests on, as it was stored; `None` once it was erased.
    pub detail: Option<String>,
}

/// Which decisions are shown, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// All that were made since, the oldest first.
    Oldest,
    /// Those on what was handed in since, the newest first: for who cannot wait for all.
    Newest,
}

/// Shows the machine's first decisions since an instant, until `each` has seen enough. One instant of the database is read, however long
/// that takes.
///
/// # Errors
/// Where the database cannot be read.
pub fn past(
    dir: &Path,
    tenant: Option<&TenantId>,
    since: Millis,
    first: First,
    each: &mut dyn FnMut(Past) -> ControlFlow<()>,
) -> Result<(), Error> {
    let conn = schema::open_reader(&dir.join(schema::DATABASE))?;
    schema::refuse_newer(&conn, dir)?;
    let snapshot = conn.unchecked_transaction()?;
    let of = tenant.map_or("?2 IS NULL", |_| "s.tenant = ?2");
    // Names rise with time: from the newest on nothing has to be read behind the first that is too old.
    let order = match first {
        First::Oldest => "d.at >= ?1 ORDER BY s.id",
        First::Newest => "?1 IS NOT NULL ORDER BY s.id DESC",
    };
    let mut statement = snapshot.prepare(&format!(
        "SELECT s.id, s.tenant, s.surface, s.received_at, d.at, d.decision, d.detail FROM submissions s \
         JOIN decisions d ON d.submission = s.id AND d.number = 0 WHERE {of} AND d.actor = ?3 AND {order}",
    ))?;
    let machine = rows::to_json(&Actor::Machine)?;
    let mut found = statement.query(params![since.0, tenant.map(TenantId::as_str), machine])?;
    while let Some(row) = found.next()? {
        if first == First::Newest && rows::millis(row, "received_at")? < since {
            break;
        }
        let past = Past {
            submission: SubmissionId(row.get("id")?),
            tenant: rows::word(row, "tenant")?,
            surface: rows::word(row, "surface")?,
            at: rows::millis(row, "at")?,
            decision: rows::json(row, "decision")?,
            detail: row.get("detail")?,
        };
        if each(past).is_break() {
            break;
        }
    }
    Ok(())
}

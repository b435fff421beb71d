//! What waits for a person: submissions that boxes flagged or held, reports, appeals, authors.
//!
//! The ingest puts items in and takes them out as decisions come ([`Intake`]), in the transaction that brings the entries. A person claims an item
//! for a quarter of an hour ([`claim`]) and decides it ([`decide`]): decision, directive to the box and audit entry are one transaction. The box's
//! receipt says what came of it; where it refused, the item comes back.

pub mod claim;
pub mod decide;
mod intake;
pub mod news;
pub mod queue;
pub mod tally;
pub mod turns;
pub mod undo;

use domain::{Category, Severity};
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

pub(crate) use intake::Intake;

use crate::Error;

/// Which part of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tab {
    /// Seen whole, and the policy wants a person's eyes.
    Flagged,
    /// Not seen whole: a detector was missing or failed.
    Held,
    /// Somebody reported it.
    Reports,
    /// Its author appealed.
    Appeals,
    /// Authors whom strikes brought a heavy penalty.
    Accounts,
}

impl Tab {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 5] =
        [Self::Flagged, Self::Held, Self::Reports, Self::Appeals, Self::Accounts];

    /// As stored and in addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flagged => "flagged",
            Self::Held => "held",
            Self::Reports => "reports",
            Self::Appeals => "appeals",
            Self::Accounts => "accounts",
        }
    }

    /// As people read it.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Flagged => "Flagged",
            Self::Held => "Incomplete",
            Self::Reports => "Reports",
            Self::Appeals => "Appeals",
            Self::Accounts => "Accounts",
        }
    }

    /// Reads a word.
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tab| tab.as_str() == word)
    }
}

/// Minutes within which a person decides (FEATURES K7).
const CRITICAL_MIN: i64 = 60;
const HATE_MIN: i64 = 6 * 60;
const OTHER_MIN: i64 = 24 * 60;

/// Within how many minutes it is to be decided.
pub fn due_in_min(severity: Severity, categories: &[Category]) -> i64 {
    let urgent = |category: &Category| matches!(category, Category::Hate | Category::Harassment);
    match severity {
        Severity::Critical => CRITICAL_MIN,
        _ if categories.iter().any(urgent) => HATE_MIN,
        _ => OTHER_MIN,
    }
}

/// An item.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    /// Whose it is.
    #[serde(rename = "box")]
    pub of: Uuid,
    /// The submission, or the author's number in the last 64 bits.
    pub subject: Uuid,
    /// Where it waits.
    pub tab: Tab,
    /// Whose.
    pub tenant: String,
    /// How grave, as the machine or the reports have it.
    pub severity: Severity,
    /// The gravest category.
    pub category: Option<String>,
    /// All.
    pub categories: Vec<String>,
    /// The decision in force.
    pub number: Option<i64>,
    /// How many reports.
    pub reports: i32,
    /// The decision that was appealed against.
    pub appealed: Option<i64>,
    /// Since when it waits, seconds since 1970.
    pub since: f64,
    /// By when it is to be decided.
    pub due_at: f64,
    /// Whether it waits still.
    pub open: bool,
    /// Whether it is for a senior moderator.
    pub escalated: bool,
    /// To whom it was given.
    pub assignee: Option<Uuid>,
    /// Who has it in hand, and as colleagues see them.
    pub claimed_by: Option<Uuid>,
    /// As colleagues see them.
    pub claimed_shown: Option<String>,
    /// Until when.
    pub claimed_until: Option<f64>,
    /// Why it came back.
    pub refused: Option<String>,
    /// What the box is called, and where it stands.
    pub box_name: String,
    /// Where that is.
    pub region: String,
    /// What its platform said it is in: the first part of the tag.
    pub language: Option<String>,
}

impl Item {
    /// Whether it takes a senior moderator.
    pub fn is_senior(&self) -> bool {
        let children =
            self.categories.iter().any(|category| category == Category::SexualMinors.as_str());
        self.escalated || children || self.tab == Tab::Appeals
    }

    /// Whether somebody else has it in hand.
    pub fn is_others(&self, me: Uuid) -> bool {
        self.claimed_by.is_some_and(|by| by != me)
    }
}

/// Columns of an [`Item`]; a claim that is over is none.
pub(crate) const COLUMNS: &str = "SELECT r.box, r.subject, r.tab, r.tenant, r.severity, r.category, r.categories,
    coalesce(r.number, (SELECT max(v.number) FROM verdicts v WHERE v.submission = r.subject AND v.box = r.box)), r.reports, r.appealed,
    extract(epoch FROM r.since)::float8, extract(epoch FROM r.due_at)::float8, r.open, r.escalated, r.assignee,
    CASE WHEN r.claimed_until > now() THEN r.claimed_by END,
    CASE WHEN r.claimed_until > now() THEN (SELECT a.shown FROM accounts a WHERE a.account = r.claimed_by) END,
    CASE WHEN r.claimed_until > now() THEN extract(epoch FROM r.claimed_until)::float8 END,
    r.refused, coalesce(b.name, ''), coalesce(b.region, ''), r.language FROM reviews r LEFT JOIN boxes b USING (box)";

pub(crate) fn item(row: &Row) -> Result<Item, Error> {
    let tab: &str = row.try_get(2)?;
    let severity: i16 = row.try_get(4)?;
    Ok(Item {
        of: row.try_get(0)?,
        subject: row.try_get(1)?,
        tab: Tab::read(tab).ok_or_else(|| Error::Damaged(format!("an item under `{tab}`")))?,
        tenant: row.try_get(3)?,
        severity: usize::try_from(severity)
            .ok()
            .and_then(|n| Severity::ALL.get(n).copied())
            .ok_or_else(|| Error::Damaged(format!("an item of severity {severity}")))?,
        category: row.try_get(5)?,
        categories: row.try_get(6)?,
        number: row.try_get(7)?,
        reports: row.try_get(8)?,
        appealed: row.try_get(9)?,
        since: row.try_get(10)?,
        due_at: row.try_get(11)?,
        open: row.try_get(12)?,
        escalated: row.try_get(13)?,
        assignee: row.try_get(14)?,
        claimed_by: row.try_get(15)?,
        claimed_shown: row.try_get(16)?,
        claimed_until: row.try_get(17)?,
        refused: row.try_get(18)?,
        box_name: row.try_get(19)?,
        region: row.try_get(20)?,
        language: row.try_get(21)?,
    })
}

/// As stored.
pub(crate) fn rank(severity: Severity) -> i16 {
    Severity::ALL.iter().position(|own| *own == severity).unwrap_or(0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_are_those_that_were_promised() {
        assert_eq!(due_in_min(Severity::Critical, &[Category::Spam]), 60);
        assert_eq!(due_in_min(Severity::High, &[Category::Spam, Category::Hate]), 360);
        assert_eq!(due_in_min(Severity::Low, &[Category::Harassment]), 360);
        assert_eq!(due_in_min(Severity::High, &[Category::Spam]), 1440);
    }
}

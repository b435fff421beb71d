//! What entries mean for the queue. Collected while a group is projected, one line a subject; written behind its rows.

use std::collections::BTreeMap;

use domain::journal::{Actor, Appealed, Decided, Record, Reported, StandingNote};
use domain::standing::Level;
use domain::{Action, Category, Severity, Status};
use tokio_postgres::Client;
use uuid::Uuid;

use super::{Tab, due_in_min, rank};
use crate::Error;

/// What came of each subject, by box.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    subjects: BTreeMap<(Uuid, Uuid), Change>,
    /// Where reports stand in the journals, by column: what a reporter wrote hangs on the reporter, not on the submission.
    reports: Reports,
    /// In which languages submissions are, by column: boxes, submissions, languages.
    languages: (Vec<Uuid>, Vec<Uuid>, Vec<String>),
}

/// Boxes, subjects, epochs, lanes, numbers.
type Reports = (Vec<Uuid>, Vec<Uuid>, Vec<i64>, Vec<i16>, Vec<i64>);

/// In one group. The last decision counts, reports add up.
#[derive(Debug, Default)]
struct Change {
    tenant: String,
    /// A tab, where the decision in force wants a person.
    decided: Option<(i64, Option<Tab>)>,
    /// Whether a person made that decision.
    by_person: bool,
    severity: Severity,
    categories: Vec<(Category, Severity)>,
    reports: i32,
    appealed: Option<i64>,
    standing: bool,
}

impl Change {
    fn tab(&self) -> Option<Tab> {
        match self {
            Self { appealed: Some(_), .. } => Some(Tab::Appeals),
            Self { reports: 1.., .. } => Some(Tab::Reports),
            Self { standing: true, .. } => Some(Tab::Accounts),
            Self { decided: Some((_, tab)), .. } => *tab,
            _ => None,
        }
    }
}

impl Intake {
    /// Takes in a decision. One of the machine's that lets something pass, as nearly all do, means nothing here.
    pub fn decided(&mut self, of: Uuid, submission: Uuid, record: &Record, decided: &Decided) {
        let because = |word: &str| decided.reasons.iter().any(|reason| reason.as_str() == word);
        let tab = match (decided.status, decided.action) {
            // Somebody took their word back: whatever stands again, a person was about to decide.
            _ if because("reopened") => Some(Tab::Flagged),
            (Status::Held, _) if because("reports") => Some(Tab::Reports),
            (Status::Held, _) if decided.complete => Some(Tab::Flagged),
            (Status::Held | Status::Failed, _) => Some(Tab::Held),
            // A person who let it pass has seen it.
            (Status::Approved, Action::Flag) if record.actor == Actor::Machine => {
                Some(Tab::Flagged)
            }
            _ => None,
        };
        if tab.is_none() && decided.number == 0 {
            return;
        }
        let change = self.subjects.entry((of, submission)).or_default();
        decided.tenant.as_str().clone_into(&mut change.tenant);
        change.decided = Some((i64::from(decided.number), tab));
        change.by_person = record.actor != Actor::Machine;
        change.severity = change.severity.max(decided.severity);
        let touched =
            decided.categories.iter().map(|(category, severity, _)| (*category, *severity));
        // What reports of the same moment say stays beside it.
        let told = std::mem::take(&mut change.categories);
        change.categories = touched.chain(told).collect();
    }

    /// Takes in a report about a submission.
    pub fn reported(&mut self, place: (Uuid, i64, i16, i64), submission: Uuid, report: &Reported) {
        let (of, epoch, lane, seq) = place;
        self.reports.0.push(of);
        self.reports.1.push(submission);
        self.reports.2.push(epoch);
        self.reports.3.push(lane);
        self.reports.4.push(seq);
        let change = self.subjects.entry((of, submission)).or_default();
        report.tenant.as_str().clone_into(&mut change.tenant);
        let (category, severity) = meant(report.reason.as_str());
        change.reports += 1;
        change.severity = change.severity.max(severity);
        if let Some(category) =
            category.filter(|own| change.categories.iter().all(|(c, _)| c != own))
        {
            change.categories.push((category, severity));
        }
    }

    /// Takes in an appeal.
    pub fn appealed(&mut self, of: Uuid, submission: Uuid, appeal: &Appealed) {
        let change = self.subjects.entry((of, submission)).or_default();
        appeal.tenant.as_str().clone_into(&mut change.tenant);
        change.appealed = Some(i64::from(appeal.decision));
        change.severity = change.severity.max(Severity::Medium);
    }

    /// Takes in what strikes came to: a person looks at heavy penalties.
    pub fn standing(&mut self, of: Uuid, tenant: &str, note: &StandingNote) {
        if !note.struck || note.level < Level::Rejected {
            return;
        }
        let subject = Uuid::from_u128(u128::from(note.author.0));
        let change = self.subjects.entry((of, subject)).or_default();
        tenant.clone_into(&mut change.tenant);
        change.standing = true;
        change.severity = change.severity.max(Severity::High);
    }

    /// Takes in the language of a submission, as a tag: of `sw-KE` the `sw` counts.
    pub fn language(&mut self, of: Uuid, submission: Uuid, tag: &str) {
        self.languages.0.push(of);
        self.languages.1.push(submission);
        self.languages.2.push(tag.split('-').next().unwrap_or(tag).to_ascii_lowercase());
    }

    /// Writes it down.
    pub async fn write(self, client: &Client, received_us: i64) -> Result<(), Error> {
        let mut opened = Lines::default();
        let (mut boxes, mut subjects, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        let mut people = Vec::new();
        for ((of, subject), change) in self.subjects {
            match change.tab() {
                Some(tab) => opened.push(of, subject, tab, change),
                None => {
                    let Some((number, _)) = change.decided else { continue };
                    boxes.push(of);
                    subjects.push(subject);
                    numbers.push(number);
                    people.push(change.by_person);
                }
            }
        }
        let (of, about, epochs, lanes, seqs) = &self.reports;
        if !of.is_empty() {
            client.execute(REPORTS, &[of, about, epochs, lanes, seqs]).await?;
        }
        if !boxes.is_empty() {
            client.execute(CLOSE, &[&boxes, &subjects, &numbers, &people]).await?;
        }
        opened.write(client, received_us).await?;
        let (of, about, languages) = &self.languages;
        if !of.is_empty() {
            client.execute(LANGUAGES, &[of, about, languages]).await?;
        }
        Ok(())
    }
}

/// What the platform's reasons for a report mean.
fn meant(reason: &str) -> (Option<Category>, Severity) {
    match reason {
        "child_safety" => (Some(Category::SexualMinors), Severity::Critical),
        "self_harm" => (Some(Category::SelfHarm), Severity::Critical),
        "hate" => (Some(Category::Hate), Severity::High),
        "harassment" => (Some(Category::Harassment), Severity::High),
        "nudity" => (Some(Category::Sexual), Severity::Medium),
        "violence" => (Some(Category::Violence), Severity::Medium),
        "spam" | "scam" => (Some(Category::Spam), Severity::Low),
        _ => (None, Severity::Low),
    }
}

/// A newer decision that wants no person ends the waiting; that of a report or an appeal only a person's, and of an appeal one that came after it.
const CLOSE: &str = "UPDATE reviews r SET open = false, closed_at = now(), number = n.number, claimed_by = NULL, claimed_until = NULL, refused = NULL
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::boolean[]) n(box, subject, number, by_person)
    WHERE r.box = n.box AND r.subject = n.subject AND (r.number IS NULL OR r.number < n.number)
      AND (r.appealed IS NULL OR r.appealed < n.number)
      AND (n.by_person OR r.tab NOT IN ('reports', 'appeals'))";

const REPORTS: &str = "INSERT INTO review_reports (box, subject, epoch, lane, seq)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::smallint[], $5::bigint[]) ON CONFLICT DO NOTHING";

/// What was decided may be told before what was accepted.
const LANGUAGES: &str = "UPDATE reviews r SET language = n.language FROM unnest($1::uuid[], $2::uuid[], $3::text[]) n(box, subject, language)
    WHERE r.box = n.box AND r.subject = n.subject";

/// The other way round. Both come within moments, or once a box that was away is back: few days are looked through, not all.
const OPENED: &str = "UPDATE reviews r SET language = lower(split_part(u.language, '-', 1))
    FROM unnest($1::uuid[], $2::uuid[]) n(box, subject), submissions u
    WHERE r.box = n.box AND r.subject = n.subject AND r.language IS NULL
      AND u.box = n.box AND u.submission = n.subject AND u.received_at > now() - interval '8 days' AND u.language IS NOT NULL";

/// Rows of the queue, column by column.
#[derive(Default)]
struct Lines {
    boxes: Vec<Uuid>,
    subjects: Vec<Uuid>,
    tabs: Vec<&'static str>,
    tenants: Vec<String>,
    severities: Vec<i16>,
    gravest: Vec<Option<&'static str>>,
    /// Parted by commas: an array of arrays would have to be a rectangle.
    categories: Vec<String>,
    numbers: Vec<Option<i64>>,
    reports: Vec<i32>,
    appealed: Vec<Option<i64>>,
    due: Vec<i64>,
}

impl Lines {
    fn push(&mut self, of: Uuid, subject: Uuid, tab: Tab, change: Change) {
        let mut categories = change.categories;
        categories.sort_by_key(|(_, severity)| std::cmp::Reverse(*severity));
        let categories: Vec<Category> =
            categories.into_iter().map(|(category, _)| category).collect();
        self.boxes.push(of);
        self.subjects.push(subject);
        self.tabs.push(tab.as_str());
        self.tenants.push(change.tenant);
        self.severities.push(rank(change.severity));
        self.gravest.push(categories.first().map(|category| category.as_str()));
        let slugs: Vec<&str> = categories.iter().map(|category| category.as_str()).collect();
        self.categories.push(slugs.join(","));
        self.numbers.push(change.decided.map(|(number, _)| number));
        self.reports.push(change.reports);
        self.appealed.push(change.appealed);
        self.due.push(due_in_min(change.severity, &categories));
    }

    async fn write(self, client: &Client, received_us: i64) -> Result<(), Error> {
        if self.boxes.is_empty() {
            return Ok(());
        }
        client
            .execute(
                OPEN,
                &[
                    &self.boxes,
                    &self.subjects,
                    &self.tabs,
                    &self.tenants,
                    &self.severities,
                    &self.gravest,
                    &self.categories,
                    &self.numbers,
                    &self.reports,
                    &self.appealed,
                    &self.due,
                    &received_us,
                ],
            )
            .await?;
        client.execute(OPENED, &[&self.boxes, &self.subjects]).await?;
        Ok(())
    }
}

/// Of what waits already the clock goes on, and the graver counts. A decision that is told again, or is older than what is known, changes nothing.
const OPEN: &str = "INSERT INTO reviews AS r (box, subject, tab, tenant, severity, category, categories, number, reports, appealed, since, due_at)
    SELECT n.box, n.subject, n.tab, n.tenant, n.severity, n.gravest, string_to_array(n.categories, ','), n.number, n.reports, n.appealed,
        t.at, t.at + make_interval(mins => n.due::int)
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::text[], $8::bigint[], $9::int[], $10::bigint[], $11::bigint[])
        n(box, subject, tab, tenant, severity, gravest, categories, number, reports, appealed, due),
        (SELECT timestamptz 'epoch' + $12::bigint * interval '1 microsecond' AS at) t
    ON CONFLICT (box, subject) DO UPDATE SET
        tab = CASE WHEN NOT r.open THEN excluded.tab WHEN r.tab = 'appeals' OR excluded.tab = 'appeals' THEN 'appeals'
                   WHEN r.tab = 'reports' OR excluded.tab = 'reports' THEN 'reports' ELSE excluded.tab END,
        severity = CASE WHEN r.open THEN greatest(r.severity, excluded.severity) ELSE excluded.severity END,
        category = CASE WHEN r.category IS NULL OR excluded.severity > r.severity OR NOT r.open THEN coalesce(excluded.category, r.category) ELSE r.category END,
        categories = ARRAY(SELECT DISTINCT c FROM unnest(CASE WHEN r.open THEN r.categories ELSE '{}' END || excluded.categories) c WHERE c <> ''),
        number = greatest(r.number, excluded.number),
        reports = r.reports + excluded.reports,
        appealed = coalesce(excluded.appealed, r.appealed),
        since = CASE WHEN r.open THEN r.since ELSE excluded.since END,
        due_at = CASE WHEN r.open THEN least(r.due_at, excluded.due_at) ELSE excluded.due_at END,
        open = true, closed_at = NULL,
        escalated = r.open AND r.escalated
    WHERE excluded.number IS NULL OR r.number IS NULL OR excluded.number > r.number";

//! What an entry becomes in the tables: its raw bytes, and what people search by.

use std::fmt::Write as _;

use domain::journal::{
    Accepted, AcceptedIn, Body, BoxId, Decided, Directed, Epoch, FlagSet, Hashed, Lane, Record,
    Side, Subject,
};
use domain::{Action, MediaKind, Severity, Status};
use sync::batch::Row;
use uuid::Uuid;

use crate::copy::Copy;
use crate::models;
use crate::pdq::Pdq;
use crate::review::Intake;

/// Table and columns of each `COPY`, in the order of [`Projection`]'s fields.
pub(crate) const COPIES: [&str; 6] = [
    "COPY entries (box, epoch, lane, seq, kind, at, received_at, chain, record) FROM STDIN (FORMAT binary)",
    "COPY verdicts (box, epoch, lane, seq, submission, number, supersedes, complete, at, received_at, tenant, status, severity, action, policy, reasons, categories) FROM STDIN (FORMAT binary)",
    "COPY submissions (box, submission, tenant, surface, author, has_text, at, received_at, language) FROM STDIN (FORMAT binary)",
    "COPY media (box, submission, sha256, kind, bytes, received_at) FROM STDIN (FORMAT binary)",
    "COPY sides (box, epoch, lane, seq, submission, author, received_at, salt, bytes) FROM STDIN (FORMAT binary)",
    "COPY pdqs (box, submission, tenant, place, n, pdq, quality, received_at) FROM STDIN (FORMAT binary)",
];

/// Rows of one transaction.
#[derive(Debug)]
pub(crate) struct Projection {
    /// Microseconds since 1970 by the hub's clock: the same for the whole transaction.
    received_us: i64,
    entries: Copy,
    verdicts: Copy,
    submissions: Copy,
    media: Copy,
    sides: Copy,
    pdqs: Copy,
    /// Submissions and authors that this brings side records of or names an author for, with their boxes: those of the erased are
    /// swept out of the same transaction.
    pub personal: Personal,
    /// Authors who are erased by it: box, author, tenant.
    pub erased: Vec<(Uuid, i64, String)>,
    /// Receipts for directives.
    pub receipts: Vec<Taken>,
    /// Boxes and submissions of entries that a box tells again after a fork. The hub may have them from the journal that forked.
    pub again: (Vec<Uuid>, Vec<Uuid>),
    /// What it means for the queue of reviews.
    pub intake: Intake,
    /// What boxes say of their models, in order: box, its clock, what.
    pub models: Vec<(Uuid, i64, models::Said)>,
    /// The same of flags.
    pub flags: Vec<(Uuid, i64, FlagSet)>,
}

/// A directive that a box took.
#[derive(Debug)]
pub(crate) struct Taken {
    pub of: Uuid,
    /// By the box's clock.
    pub at: i64,
    pub directed: Directed,
    /// The directive itself, as [`domain::directive::Copied`] writes it.
    pub copy: Option<Vec<u8>>,
}

/// Of whom something personal came, column by column.
#[derive(Debug, Default)]
pub(crate) struct Personal {
    pub boxes: Vec<Uuid>,
    pub submissions: Vec<Uuid>,
    pub authors: Vec<i64>,
}

impl Projection {
    pub fn new(received_us: i64) -> Self {
        Self {
            received_us,
            entries: Copy::new(9),
            verdicts: Copy::new(17),
            submissions: Copy::new(9),
            media: Copy::new(6),
            sides: Copy::new(9),
            pdqs: Copy::new(8),
            personal: Personal::default(),
            erased: Vec::new(),
            receipts: Vec::new(),
            again: Default::default(),
            intake: Intake::default(),
            models: Vec::new(),
            flags: Vec::new(),
        }
    }

    /// Entries so far.
    pub fn rows(&self) -> u64 {
        self.entries.rows()
    }

    /// Rows for each of [`COPIES`].
    pub fn copies(self) -> [Copy; 6] {
        [self.entries, self.verdicts, self.submissions, self.media, self.sides, self.pdqs]
    }

    pub fn add(&mut self, of: BoxId, epoch: Epoch, lane: Lane, row: &Row) {
        let place =
            (of.0, epoch.0.cast_signed(), i16::from(lane.number()), row.seq.0.cast_signed());
        let (received, record) = (self.received_us, &row.record);
        let kind = i16::try_from(record.body.kind()).unwrap_or(i16::MAX);
        put_place(self.entries.row(), place);
        self.entries.int2(kind).int8(record.at.0).time(received).bytes(&row.chain.0);
        self.entries.bytes(&row.raw);
        // What is told again after a fork means what it meant; it stands where it is told.
        let Body::Carried(carried) = &record.body else {
            return self.meaning(place, record, row.side.as_ref());
        };
        if let Ok(inner) = Record::decode(&carried.record) {
            if let Subject::Submission(id) = inner.subject {
                self.again.0.push(of.0);
                self.again.1.push(id.0);
            }
            self.meaning(place, &inner, row.side.as_ref());
        }
    }

    /// What people search by.
    fn meaning(&mut self, place: Place, record: &Record, side: Option<&Side>) {
        let (of, received) = (place.0, self.received_us);
        let submission = match record.subject {
            Subject::Submission(id) => Some(id.0),
            _ => None,
        };
        match (&record.body, submission) {
            (Body::Accepted(accepted), Some(id)) => self.accepted(of, id, record, accepted, None),
            (Body::AcceptedIn(told), Some(id)) => {
                self.accepted(of, id, record, &told.accepted, Some(told.language.as_str()));
            }
            (Body::Fetched(fetched), Some(id)) => self.medium(of, id, &fetched.media),
            (Body::Hashed(hashed), Some(id)) => self.hashes(of, id, hashed),
            (Body::Decided(decided), Some(id)) => {
                self.verdict(place, id, record, decided);
                self.intake.decided(of, id, record, decided);
                if let Some(note) = &decided.standing {
                    self.intake.standing(of, decided.tenant.as_str(), note);
                }
            }
            (Body::Reported(report), Some(id)) => self.intake.reported(place, id, report),
            (Body::Appealed(appeal), Some(id)) => self.intake.appealed(of, id, appeal),
            (Body::Directed(directed), _) => {
                let (at, directed) = (record.at.0, directed.clone());
                let copy = side.map(|side| side.bytes.clone());
                // The hub has it among its directives: nothing more is kept of it.
                return self.receipts.push(Taken { of, at, directed, copy });
            }
            (Body::ModelChanged(changed), _) => {
                self.models.push((of, record.at.0, models::Said::Changed(changed.clone())));
            }
            (Body::Acted(acted), _) => {
                let outcome = models::Outcome::read(acted).map(models::Said::Bundle);
                self.models.extend(outcome.map(|said| (of, record.at.0, said)));
            }
            (Body::FlagSet(flag), _) => self.flags.push((of, record.at.0, flag.clone())),
            (Body::Erased(erased), _) => {
                if let Subject::Author(author) = record.subject {
                    let tenant = erased.tenant.as_str().to_owned();
                    self.erased.push((of, author.0.cast_signed(), tenant));
                }
            }
            _ => {}
        }
        if let Some(side) = side {
            // What somebody reported is the reporter's, not the author's of what was reported.
            let (submission, author) = match &record.body {
                Body::Reported(report) => (None, report.reporter),
                Body::Accepted(accepted) | Body::AcceptedIn(AcceptedIn { accepted, .. }) => {
                    (submission, accepted.author)
                }
                _ => (submission, None),
            };
            let author = author.map(|author| author.0.cast_signed());
            put_place(self.sides.row(), place);
            self.sides.uuid_or_null(submission).int8_or_null(author).time(received);
            self.sides.bytes(&side.salt).bytes(&side.bytes);
            self.personal.add(of, submission, author);
        }
    }

    fn accepted(
        &mut self,
        of: Uuid,
        id: Uuid,
        record: &Record,
        accepted: &Accepted,
        language: Option<&str>,
    ) {
        let author = accepted.author.map(|author| author.0.cast_signed());
        self.submissions.row().uuid(of).uuid(id);
        self.submissions.text(accepted.tenant.as_str()).text(accepted.surface.as_str());
        self.submissions.int8_or_null(author).bool(accepted.has_text);
        self.submissions.int8(record.at.0).time(self.received_us);
        match language {
            Some(language) => self.submissions.text(language),
            None => self.submissions.null(),
        };
        if let Some(language) = language {
            self.intake.language(of, id, language);
        }
        if author.is_some() {
            self.personal.add(of, Some(id), author);
        }
        accepted.media.iter().for_each(|note| self.medium(of, id, note));
    }

    fn medium(&mut self, of: Uuid, submission: Uuid, note: &domain::journal::MediaNote) {
        let Some(sha256) = note.sha256 else { return };
        let bytes = note.bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        self.media.row().uuid(of).uuid(submission).bytes(&sha256.0);
        self.media.text(media_kind(note.kind)).int8_or_null(bytes).time(self.received_us);
    }

    fn hashes(&mut self, of: Uuid, submission: Uuid, hashed: &Hashed) {
        for (n, note) in (0..).zip(&hashed.pdqs) {
            self.pdqs.row().uuid(of).uuid(submission).text(hashed.tenant.as_str());
            self.pdqs.int2(i16::from(note.index)).int2(n).pdq(Pdq(note.pdq.0));
            match note.quality {
                Some(quality) => self.pdqs.int2(i16::from(quality)),
                None => self.pdqs.null(),
            };
            self.pdqs.time(self.received_us);
        }
    }

    fn verdict(&mut self, place: Place, submission: Uuid, record: &Record, decided: &Decided) {
        let verdicts = &mut self.verdicts;
        put_place(verdicts.row(), place);
        verdicts.uuid(submission).int8(i64::from(decided.number));
        verdicts.int8_or_null(decided.supersedes.map(i64::from)).bool(decided.complete);
        verdicts.int8(record.at.0).time(self.received_us).text(decided.tenant.as_str());
        verdicts.text(status(decided.status)).text(severity(decided.severity));
        verdicts.text(action(decided.action)).text(decided.policy.as_str());
        // Codes and slugs need no escapes in JSON.
        let mut json = String::from("[");
        for (n, reason) in decided.reasons.iter().enumerate() {
            let _ = write!(json, "{}\"{reason}\"", if n == 0 { "" } else { "," });
        }
        json.push(']');
        verdicts.json(&json);
        json.clear();
        json.push('{');
        for (n, (category, grave, score)) in decided.categories.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            let grave = severity(*grave);
            let _ = write!(
                json,
                "{comma}\"{category}\":{{\"severity\":\"{grave}\",\"score_thousandths\":{score}}}"
            );
        }
        json.push('}');
        verdicts.json(&json);
    }
}

impl Personal {
    fn add(&mut self, of: Uuid, submission: Option<Uuid>, author: Option<i64>) {
        // Rows of one box come together; a box named twice does no harm.
        if self.boxes.last() != Some(&of) {
            self.boxes.push(of);
        }
        self.submissions.extend(submission);
        self.authors.extend(author);
    }
}

type Place = (Uuid, i64, i16, i64);

fn put_place(copy: &mut Copy, (of, epoch, lane, seq): Place) {
    copy.uuid(of).int8(epoch).int2(lane).int8(seq);
}

/// As stored and told.
pub(crate) fn status(status: Status) -> &'static str {
    match status {
        Status::Approved => "approved",
        Status::Rejected => "rejected",
        Status::Held => "held",
        Status::Failed => "failed",
    }
}

/// As stored and told.
pub(crate) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Safe => "safe",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

/// As stored and told.
pub(crate) fn action(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Flag => "flag",
        Action::Hide => "hide",
        Action::Reject => "reject",
        Action::Ban => "ban",
    }
}

fn media_kind(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image",
        MediaKind::Animation => "animation",
        MediaKind::Video => "video",
        MediaKind::Audio => "audio",
        MediaKind::Text => "text",
        MediaKind::Unknown => "unknown",
    }
}

//! What an entry means, read from its bytes alone.

use domain::journal::{
    Actor, Body, Code, Decided, Epoch, Lane, Millis, NotRecord, Parts, Record, Seq, Sha256,
    Subject, SubmissionId, TenantId,
};
use domain::{Action, Category, Severity, Status};
use serde::Serialize;

use super::{Place, fields, verify::BadProof};

/// An entry may be told again after a fork, and once more after another; nobody forks more often than that.
const MOST_AGAIN: usize = 8;

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Meaning {
    /// Milliseconds since 1970, by the box's clock.
    pub at_ms: Millis,
    /// The number of what happened, as `domain::journal::Body` has it.
    pub kind: u16,
    /// Who acted.
    pub actor: String,
    /// The decision, where it is one.
    pub decision: Option<Decision>,
    /// Where it stood first, where its journal forked and this entry tells it again.
    pub stood: Option<Stood>,
    /// The commitment to the side record: SHA-256 of its salt and bytes.
    pub side: Option<Sha256>,
}

/// A decision, as the box wrote it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// On what.
    pub submission: SubmissionId,
    /// Whose.
    pub tenant: TenantId,
    /// 0 is the machine's.
    pub number: u32,
    /// The decision that this one replaces.
    pub supersedes: Option<u32>,
    /// What the platform is told.
    pub status: Status,
    /// Whether all that the policy demands was seen.
    pub complete: bool,
    /// How grave.
    pub severity: Severity,
    /// What is done.
    pub action: Action,
    /// Why, gravest first.
    pub reasons: Vec<Code>,
    /// Severity and highest score in thousandths for each category touched.
    pub categories: Vec<(Category, Severity, u16)>,
    /// `name@version` of the policy.
    pub policy: Code,
    /// `name@version` of models, banks and lists that took part.
    pub models: Vec<Code>,
}

/// The place that an entry had before it was told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stood {
    /// The life of the database, which forked.
    #[serde(with = "fields::epoch")]
    pub epoch: Epoch,
    /// The lane.
    #[serde(with = "fields::lane")]
    pub lane: Lane,
    /// The number.
    pub seq: Seq,
}

impl Meaning {
    /// Reads an entry. One of a kind that a later release added keeps its number and means nothing here.
    pub(super) fn read(place: Place, bytes: &[u8]) -> Result<Self, BadProof> {
        let bad = |why: NotRecord| BadProof::Record { place, why: why.to_string() };
        let (mut bytes, mut stood) = (bytes.to_vec(), None);
        for again in 0..=MOST_AGAIN {
            let parts = Parts::split(&bytes).map_err(bad)?;
            if parts.of != place.of {
                let why = "it tells again what another box wrote".to_owned();
                return Err(BadProof::Record { place, why });
            }
            if again > 0 {
                let Parts { epoch, lane, seq, .. } = parts;
                stood = Some(Stood { epoch, lane, seq });
            }
            match Record::decode(&bytes) {
                Ok(Record { body: Body::Carried(carried), .. }) => bytes = carried.record,
                Ok(record) => return Ok(Self::of(record, stood)),
                Err(NotRecord::Kind(kind)) => {
                    let (at_ms, side, actor) = (parts.at, parts.side, actor(&parts.actor));
                    return Ok(Self { at_ms, kind, actor, decision: None, stood, side });
                }
                Err(why) => return Err(bad(why)),
            }
        }
        let why = format!("it was told again more than {MOST_AGAIN} times");
        Err(BadProof::Record { place, why })
    }

    fn of(record: Record, stood: Option<Stood>) -> Self {
        let decision = match (&record.body, record.subject) {
            (Body::Decided(decided), Subject::Submission(id)) => Some(decision(id, decided)),
            _ => None,
        };
        let kind = record.body.kind();
        let actor = actor(&record.actor);
        Self { at_ms: record.at, kind, actor, decision, stood, side: record.side }
    }
}

fn decision(submission: SubmissionId, decided: &Decided) -> Decision {
    let Decided { tenant, number, supersedes, status, complete, severity, action, .. } = decided;
    Decision {
        submission,
        tenant: tenant.clone(),
        number: *number,
        supersedes: *supersedes,
        status: *status,
        complete: *complete,
        severity: *severity,
        action: *action,
        reasons: decided.reasons.clone(),
        categories: decided.categories.clone(),
        policy: decided.policy.clone(),
        models: decided.models.clone(),
    }
}

fn actor(actor: &Actor) -> String {
    match actor {
        Actor::System => "the box".to_owned(),
        Actor::Machine => "the machine".to_owned(),
        Actor::Key(id) => format!("API key {id}"),
        Actor::Person(code) => format!("person {code}"),
        Actor::Console => "the console".to_owned(),
        Actor::Technician => "the technician".to_owned(),
        Actor::Anonymous => "somebody without a credential".to_owned(),
        Actor::Hub => "the hub".to_owned(),
    }
}

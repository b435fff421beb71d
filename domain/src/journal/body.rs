//! What an entry can say. Each body is its own type; none has a field for free text.

use serde::{Deserialize, Serialize};

use super::{AuthorNumber, Code, Epoch, Head, ItemId, Millis, NotRecord, Sha256, TenantId};
use crate::directive::Place;
use crate::{Action, Category, MediaKind, Severity, Status, standing::Level};

/// A life of the database begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochBegan {
    /// Why.
    pub cause: EpochCause,
    /// Where the lives that this database knows of had come to.
    pub previous: Vec<(Epoch, Head)>,
}

/// Why a database has a new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EpochCause {
    /// The first start of a box.
    Fresh,
    /// The database was damaged, and what could be read was carried over.
    Salvaged,
    /// A snapshot was restored by command.
    Restored,
    /// The database is older than what this box had already acknowledged: its log was lost, or an old copy put in its place.
    Rewound,
    /// The hub has another journal under this box's name and epoch: a disk was copied, or an old one put in.
    Forked,
}

/// A submission was accepted. Its caption is the side record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Whose.
    pub tenant: TenantId,
    /// Kind of place.
    pub surface: Code,
    /// By whom, where told.
    pub author: Option<AuthorNumber>,
    /// Higher goes first.
    pub priority: u8,
    /// Its media; of one that is still to be fetched neither hash nor size is known.
    pub media: Vec<MediaNote>,
    /// Whether there is a caption.
    pub has_text: bool,
}

/// A submission was accepted of which the platform said in which language it is. An entry of its own kind: what says none stays as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedIn {
    /// All else.
    pub accepted: Accepted,
    /// A tag such as `fr` or `sw-KE`.
    pub language: Code,
}

/// A medium as the journal names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaNote {
    /// Hash of the bytes.
    pub sha256: Option<Sha256>,
    /// Number of bytes.
    pub bytes: Option<u64>,
    /// Kind by content.
    pub kind: MediaKind,
}

/// A medium named by address was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// Place in the submission.
    pub index: u8,
    /// What came.
    pub media: MediaNote,
}

/// A decision. Text read and words matched are the side record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// Whose submission.
    pub tenant: TenantId,
    /// 0 is the machine's.
    pub number: u32,
    /// The decision that this one replaces; only number 0 replaces none.
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
    /// The author's standing after it, where it changed.
    pub standing: Option<StandingNote>,
}

/// A change of an author's standing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingNote {
    /// Whose.
    pub author: AuthorNumber,
    /// Whether a strike was added (else lifted, expired or set).
    pub struck: bool,
    /// Strikes in force afterwards.
    pub strikes: u32,
    /// The penalty in force afterwards.
    pub level: Level,
    /// When it ends; `None` is never.
    pub until: Option<Millis>,
}

/// Work was given up, or taken up again by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobNote {
    /// Whose submission.
    pub tenant: TenantId,
    /// What happened to the job.
    pub what: JobChange,
    /// How often it was leased.
    pub attempts: u32,
    /// The last reason.
    pub reason: Code,
}

/// What can happen to a job that the journal should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobChange {
    /// No more retries.
    Dead,
    /// Retried by hand, with a fresh count.
    Retried,
}

/// Somebody reported something. What they wrote is the side record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// Where.
    pub tenant: TenantId,
    /// Name of the report.
    pub report: ItemId,
    /// From the platform's list of reasons.
    pub reason: Code,
    /// By whom, where told.
    pub reporter: Option<AuthorNumber>,
}

/// An author appealed. What they wrote is the side record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appealed {
    /// Where.
    pub tenant: TenantId,
    /// Name of the appeal.
    pub appeal: ItemId,
    /// The decision against which.
    pub decision: u32,
}

/// A tenant's bank changed. The subject is the entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BankChanged {
    /// Whose bank.
    pub tenant: TenantId,
    /// Whether the entry came or went.
    pub added: bool,
    /// Whether it clears rather than matches.
    pub negative: bool,
    /// The hash, 32 bytes of either kind.
    pub hash: Sha256,
    /// For PDQ the largest distance that matches; `None` is an exact SHA-256.
    pub distance: Option<u16>,
    /// Label of its findings.
    pub label: Code,
    /// Whether a negative entry may not silence it.
    pub protected: bool,
}

/// An API key was made or revoked. The subject is the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChanged {
    /// For whom it speaks.
    pub tenant: TenantId,
    /// Whether it came or went.
    pub added: bool,
    /// What it may.
    pub scopes: Vec<Code>,
}

/// A feature flag was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagSet {
    /// Name.
    pub name: Code,
    /// On or off.
    pub on: bool,
}

/// Tombstone of an author: how much went. The subject is the author's number, which now stands for nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// Where.
    pub tenant: TenantId,
    /// Submissions that lost what was personal in them.
    pub submissions: u32,
    /// Side records that are gone.
    pub sides: u32,
}

/// Bytes were deleted. The subject is the medium where its hash is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobDeleted {
    /// Number of bytes.
    pub bytes: u64,
}

/// A message to an endpoint was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyFailed {
    /// Where.
    pub tenant: TenantId,
    /// Name of the endpoint in the configuration, never its address.
    pub endpoint: Code,
    /// Attempts made.
    pub attempts: u32,
    /// The last reason.
    pub reason: Code,
}

/// A policy came into force for a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyInForce {
    /// Whose.
    pub tenant: TenantId,
    /// `name@version`.
    pub policy: Code,
}

/// Any other call that changed something: what was called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acted {
    /// Where, if it concerns one tenant.
    pub tenant: Option<TenantId>,
    /// Which call, for example `drain`, `effect.replay`.
    pub call: Code,
}

/// A version of a model came to another stage of its life: candidate, shadow, canary, active, retired. The numbers are
/// those on which a machine's change rests; 0 where a person made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelChanged {
    /// `name@version`.
    pub model: Code,
    /// From which stage.
    pub from: Code,
    /// To which stage.
    pub to: Code,
    /// Why: `command`, `superseded`, `drift`, `errors`.
    pub cause: Code,
    /// Submissions that it took part in.
    pub seen: u64,
    /// Those of them that were not approved.
    pub refused: u64,
    /// Those on which it failed.
    pub errors: u64,
    /// Submissions of the version that it was held against.
    pub control_seen: u64,
    /// Those of them that were not approved.
    pub control_refused: u64,
}

/// An entry of an epoch that forked, told again in the next one: the hub takes no more of its own epoch. The side record, if it
/// has one, lies beside this entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The entry's bytes, with the place that it had.
    pub record: Vec<u8>,
}

/// The PDQs by which media of a submission were matched: near ones are looked for at the hub. Follows the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashed {
    /// Whose submission.
    pub tenant: TenantId,
    /// Of a video its best frames.
    pub pdqs: Vec<PdqNote>,
}

/// A PDQ of a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PdqNote {
    /// Place in the submission.
    pub index: u8,
    /// 256 bits, as PDQ's reference writes them.
    pub pdq: Sha256,
    /// 0 to 100.
    pub quality: Option<u8>,
}

/// A directive of the hub was taken: applied, or refused. The entry is the box's receipt for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directed {
    /// Which directive.
    pub place: Place,
    /// Kind of its order.
    pub order: u16,
    /// Why it was not applied; nothing where it was.
    pub refused: Option<Code>,
}

/// Something came in the hub's name that was not by it, not for this box, or not for the first time: it was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distrusted {
    /// What was wrong: `unsigned`, `damaged`, `not_for_us`, `replayed`, `older_epoch`.
    pub why: Code,
    /// So many since the last entry of this kind.
    pub count: u32,
}

macro_rules! bodies {
    ($($number:literal $name:ident)*) => {
        /// What happened. The kind is stored as a number of its own, so that a later release can add to the list.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is named as its body, which is documented")]
        pub enum Body {
            $($name($name),)*
        }

        impl Body {
            /// The number under which it is stored. Numbers are never used twice.
            pub fn kind(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $number,)*
                }
            }

            pub(super) fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
                match self {
                    $(Self::$name(body) => postcard::to_stdvec(body),)*
                }
            }

            pub(super) fn decode(kind: u16, bytes: &[u8]) -> Result<Self, NotRecord> {
                match kind {
                    $($number => whole(bytes).map(Self::$name),)*
                    other => Err(NotRecord::Kind(other)),
                }
            }
        }
    };
}

bodies! {
    1 EpochBegan
    2 Accepted
    3 Fetched
    4 Decided
    5 JobNote
    6 Reported
    7 Appealed
    8 BankChanged
    9 KeyChanged
    10 FlagSet
    11 Erased
    12 BlobDeleted
    13 NotifyFailed
    14 PolicyInForce
    15 StandingNote
    16 Acted
    17 ModelChanged
    18 Carried
    19 Hashed
    20 Directed
    21 Distrusted
    22 AcceptedIn
}

fn whole<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, NotRecord> {
    match postcard::take_from_bytes(bytes)? {
        (value, []) => Ok(value),
        (_, rest) => Err(NotRecord::Damaged(format!("{} bytes too many", rest.len()))),
    }
}

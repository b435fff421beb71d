//! Policy as data: TOML with CEL conditions over what the detectors saw, and the pure decision.
//!
//! # File
//! ```toml
//! name = "photos"            # with the version, it names the policy in every decision
//! version = 3                # rises with every change
//! description = "…"
//! max_gap_ms = 1000          # largest stretch of a video that may go unseen
//! max_gap_ms_hot = 4000      # optional: the same while the machine is too hot; such a verdict is flagged
//! min_confidence = 0.5       # findings below do not count for `found` and `findings`
//! required = ["hash", "nsfw"]    # without these nothing is clean
//! undecodable = "hold"       # or "fail": what cannot ever be decoded is refused without asking a person
//! audio_only = "hold"        # or "judge": sound is judged by its name and caption alone
//!
//! [fail]                     # when a required detector is missing: open, closed or hold
//! default = "hold"
//! spam = "open"
//! [serves]                   # which categories a detector is there for
//! nsfw = ["sexual"]
//! [evidence]                 # what may be kept for a review or an appeal
//! sexual_minors = false      # also of what touches sexual/minors
//!
//! [[rule]]
//! id = "nudity"
//! when = 'nsfw.porn > 0.8'
//! category = "sexual"
//! severity = "high"
//! reason = "nsfw"
//! action = "reject"          # optional: by severity (safe allow, low flag, medium hide, high reject, critical ban)
//! settles = true             # optional: once it holds, the rest need not be looked at
//! surfaces = ["avatar"]      # optional: only there
//! ```
//!
//! # Conditions
//! Variables: `scores`, `nsfw` (label → score), `labels` (detector → label → score), `findings`, `media`, `coverage`,
//! `context`. Functions: `found(detector, label prefix)`, `top(detector, label)`, and of CEL `size`, `contains`,
//! `startsWith`, `endsWith`, `matches`, `int`, `double`, `in`, `has`, `exists`, `all`, `filter`, `map`.
//!
//! - **Not measured is not zero.** A value that was not measured is absent; so is `found`'s "no" for a detector that did
//!   not run to its end. A condition that needs an absent value does not fire, negated or not, and that is no error.
//!   `a || b` fires when `b` holds though `a` is absent; `has(scores.x)` asks.
//! - **Mistakes show before they matter.** Every branch is checked when the policy is read: names, fields, kinds,
//!   literals. What is left (a division by zero) is a fault: the item is held with reason `rule_error:<id>`.
//! - **Bounded.** At most 2,000 bytes, 48 levels of nesting, two loops within one another, 256 findings (the gravest).
//! - **`settles`** rules can only become true as more is seen: `&&` and `||` over `found`, `top`, `nsfw`, `labels`,
//!   `scores.nsfw_score` and `scores.face_count` above a number, `scores.estimated_age` below one, and `context`.
//!
//! # Invariants, whatever a policy says
//! 1. A failure (undecodable, time-out, crash) is never approved; a missing detector or an unseen stretch is approved
//!    only where the fail mode is `open`, or the stretch is no longer than `max_gap_ms_hot` on a machine that was hot, with
//!    action `flag` and `complete: false`.
//! 2. A classifier's or heuristic's `sexual/minors` is held for a person. Only a match in a hash bank of that category
//!    (`bank:sexual/minors:…` by detector `hash`) rejects or bans.
//! 3. `underage`, and anything that leans on an estimated age, never bans.

pub mod cases;
mod condition;
mod decide;
mod evidence;
mod facts;
mod kind;
mod parse;
mod sample;
mod scanner;
mod shape;
mod typing;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use decide::decide;
pub(crate) use parse::{policy as read, slug};
pub use scanner::MALWARE;

use crate::{
    Action, Category, Decision, Evidence, Pace, Sampling, Severity, problem::Problems,
    reader::Source,
};

/// The detector whose bank matches are verified.
pub(crate) const BANK_DETECTOR: &str = "hash";
/// What the label of a match in a bank of sexual/minors starts with.
pub(crate) const MINORS_BANK: &str = "bank:sexual/minors";

/// A checked policy.
#[derive(Debug)]
pub struct Policy {
    name: String,
    version: u32,
    description: String,
    max_gap_ms: u64,
    max_gap_ms_hot: Option<u64>,
    min_confidence: f64,
    required: Vec<String>,
    undecodable: Undecodable,
    audio_only: AudioOnly,
    fail_default: FailMode,
    fail: BTreeMap<Category, FailMode>,
    serves: BTreeMap<String, Vec<Category>>,
    /// Whether evidence may be kept of what touches `sexual/minors`.
    evidence_of_minors: bool,
    rules: Vec<Rule>,
    /// The virus scanner in front, see [`Policy::add_scanner`].
    scanner: Option<String>,
}

/// What becomes of an item when a required detector is missing, in rising caution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailMode {
    /// Approved with action flag and `complete: false`.
    Open,
    /// Held for a person.
    Hold,
    /// Rejected.
    Closed,
}

/// What becomes of media that can never be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// Held for a person.
    Hold,
    /// Failed: refused without asking a person.
    Fail,
}

/// What becomes of media that are sound only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioOnly {
    /// Held for a person.
    Hold,
    /// Judged by name and caption.
    Judge,
}

/// One rule of a policy.
#[derive(Debug)]
struct Rule {
    id: String,
    condition: condition::Condition,
    severity: Severity,
    action: Action,
    category: Category,
    reason: String,
    settles: bool,
    surfaces: Vec<String>,
}

impl Policy {
    /// Reads and checks a policy file.
    ///
    /// # Errors
    /// Every mistake in the file, each with its key, its line where known, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let (mut source, root) = Source::parse(text);
        let table = crate::reader::Table::new("", None, &root);
        let policy = parse::policy(&mut source, table);
        source.finish(policy)
    }

    /// `name@version`, with `+scanner` where there is one.
    pub fn id(&self) -> String {
        match &self.scanner {
            Some(scanner) => format!("{}@{}+{scanner}", self.name, self.version),
            None => format!("{}@{}", self.name, self.version),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version; rises with every change.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// One sentence for people.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Largest stretch of a time line in milliseconds that may go unseen.
    pub fn max_gap_ms(&self) -> u64 {
        self.max_gap_ms
    }

    /// The same while the machine is too hot, where the policy permits more.
    pub fn max_gap_ms_hot(&self) -> Option<u64> {
        self.max_gap_ms_hot
    }

    /// How densely time lines are looked at, at this pace.
    pub fn sampling(&self, pace: Pace) -> Sampling {
        Sampling::at(pace, self.max_gap_ms, self.max_gap_ms_hot)
    }

    /// Findings with a lower score do not count for `found` and `findings`.
    pub fn min_confidence(&self) -> f64 {
        self.min_confidence
    }

    /// Detectors without which nothing is clean, as the policy lists them.
    pub fn required(&self) -> &[String] {
        &self.required
    }

    /// What becomes of an item when this detector is missing: the gravest mode of the categories it serves.
    pub fn fail_mode(&self, detector: &str) -> FailMode {
        let served = self.serves.get(detector).into_iter().flatten();
        let modes =
            served.map(|category| self.fail.get(category).copied().unwrap_or(self.fail_default));
        modes.max().unwrap_or(self.fail_default)
    }

    /// Every detector that the policy requires or names in a condition, sorted, each once.
    pub fn detectors(&self) -> Vec<String> {
        let named = self.rules.iter().flat_map(|rule| rule.condition.detectors());
        let mut all: Vec<String> = named.chain(self.required.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Reasons that its rules may give, in the order of the file, each once.
    pub fn reasons(&self) -> Vec<&str> {
        let mut reasons: Vec<&str> = Vec::new();
        for rule in &self.rules {
            if !reasons.contains(&rule.reason.as_str()) {
                reasons.push(&rule.reason);
            }
        }
        reasons
    }

    /// Surfaces that its rules name.
    pub(crate) fn surfaces(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().flat_map(|rule| rule.surfaces.iter().map(String::as_str))
    }

    /// Judges: see [`decide()`].
    pub fn decide(&self, evidence: &Evidence) -> Decision {
        decide(self, evidence)
    }

    /// Whether a rejection is already certain, so that the rest of the scan may be left out.
    ///
    /// True only when a rule marked `settles` holds and ends in reject or ban; more evidence cannot undo that.
    pub fn settled(&self, evidence: &Evidence) -> bool {
        decide::settled(self, evidence)
    }
}

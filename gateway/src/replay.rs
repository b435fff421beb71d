//! `weir policy replay`: what another policy would have decided on what a box has seen, from the evidence that it stored.
//!
//! Nothing is looked at again, and nothing changes. A policy that asks for a detector which did not run then holds what it
//! cannot judge, here as it would there; a scan that the old policy ended early is told apart, for more might have been found.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use domain::journal::{Millis, SubmissionId, TenantId};
use domain::{Decision, Evidence, Policy, Status};
use serde::{Deserialize, Serialize, Serializer};
use store::{First, Past};

use crate::cli::ReplayArguments;
use crate::paths;
use crate::policy_command::named;
use crate::serve::gravest;

/// What would change, and what not.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// `name@version` of the policy.
    pub policy: String,
    /// Decisions that were looked at.
    pub decisions: u64,
    /// Whose evidence is gone, or was never stored.
    pub without_evidence: u64,
    /// Decided anew with another status.
    pub changed: u64,
    /// Decided anew with the same status for other reasons.
    pub other_reasons: u64,
    /// Of those that changed: a scan that ended early may have missed what the new policy asks about.
    pub ended_early: u64,
    /// From a status to a status: how many, and some of them.
    #[serde(serialize_with = "by_name")]
    pub moves: BTreeMap<Statuses, Move>,
    /// How often each reason was given before and would be given now.
    reasons: BTreeMap<String, Times>,
}

/// From which to which, in words.
pub type Statuses = (&'static str, &'static str);

/// Decisions that would go from one status to another.
#[derive(Debug, Default, Serialize)]
pub struct Move {
    /// How many.
    pub count: u64,
    /// Some of them.
    pub samples: Vec<Sample>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub struct Sample {
    /// Which.
    pub submission: SubmissionId,
    tenant: TenantId,
    surface: String,
    before: Vec<String>,
    after: Vec<String>,
}

/// Before and after.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Times {
    before: u64,
    after: u64,
}

/// What is needed of a stored detail.
#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    parts: Vec<Evidence>,
}

/// Runs the command.
pub fn run(arguments: &ReplayArguments) -> anyhow::Result<ExitCode> {
    let policy = named(&arguments.file)?;
    let data = arguments.data.clone().unwrap_or_else(paths::data_dir);
    let tenant: Option<TenantId> = match &arguments.tenant {
        Some(name) => Some(name.parse().with_context(|| format!("`{name}` names no tenant"))?),
        None => None,
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let since = now.saturating_sub(Duration::from_secs(u64::from(arguments.days) * 24 * 3600));
    let since = Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    let mut report = Report::of(&policy);
    store::past(&data, tenant.as_ref(), since, First::Oldest, &mut |past| {
        report.add(&policy, past, arguments.samples);
        ControlFlow::Continue(())
    })
    .with_context(|| format!("cannot read the decisions in {}", data.display()))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.text(arguments));
    }
    Ok(ExitCode::SUCCESS)
}

/// What a policy says of evidence, part by part as the service decides.
fn decide(policy: &Policy, parts: &[Evidence]) -> Decision {
    gravest(parts.iter().map(|part| policy.decide(part)).collect(), policy.id())
}

fn name((from, to): Statuses) -> String {
    format!("{from} → {to}")
}

fn by_name<S: Serializer>(
    moves: &BTreeMap<Statuses, Move>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(moves.iter().map(|(statuses, moved)| (name(*statuses), moved)))
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Approved => "approved",
        Status::Held => "held",
        Status::Rejected => "rejected",
        Status::Failed => "failed",
    }
}

impl Report {
    /// Nothing was looked at yet.
    pub fn of(policy: &Policy) -> Self {
        Self { policy: policy.id(), ..Self::default() }
    }

    /// Decides one anew, and counts it; of each kind of change so many samples are kept.
    pub fn add(&mut self, policy: &Policy, past: Past, samples: usize) {
        self.decisions += 1;
        let stored = past.detail.as_deref().and_then(|d| serde_json::from_str::<Stored>(d).ok());
        let Some(parts) = stored.map(|stored| stored.parts).filter(|parts| !parts.is_empty())
        else {
            self.without_evidence += 1;
            return;
        };
        let (before, after) = (past.decision, decide(policy, &parts));
        for reason in &before.reasons {
            self.reasons.entry(reason.clone()).or_default().before += 1;
        }
        for reason in &after.reasons {
            self.reasons.entry(reason.clone()).or_default().after += 1;
        }
        if before.status == after.status {
            self.other_reasons += u64::from(before.reasons != after.reasons);
            return;
        }
        self.changed += 1;
        self.ended_early += u64::from(parts.iter().any(|part| part.coverage.ended_early));
        let moved = self.moves.entry((word(before.status), word(after.status))).or_default();
        moved.count += 1;
        if moved.samples.len() < samples {
            moved.samples.push(Sample {
                submission: past.submission,
                tenant: past.tenant,
                surface: past.surface.as_str().to_owned(),
                before: before.reasons,
                after: after.reasons,
            });
        }
    }

    fn text(&self, arguments: &ReplayArguments) -> String {
        use std::fmt::Write as _;
        let mut out = String::new();
        let judged = self.decisions - self.without_evidence;
        let _ = writeln!(
            out,
            "{judged} decisions of the last {} days under {}: {} would change, {} keep their status for other reasons",
            arguments.days, self.policy, self.changed, self.other_reasons
        );
        if self.without_evidence > 0 {
            let _ = writeln!(
                out,
                "{} more cannot be decided anew: their evidence was erased, or never stored",
                self.without_evidence
            );
        }
        if self.ended_early > 0 {
            let _ = writeln!(
                out,
                "{} of the changes rest on scans that a rejection had ended early: more might have been found",
                self.ended_early
            );
        }
        for (statuses, moved) in &self.moves {
            let _ = writeln!(out, "\n{}: {}", name(*statuses), moved.count);
            for sample in &moved.samples {
                let list = |reasons: &[String]| {
                    if reasons.is_empty() { "no reason".to_owned() } else { reasons.join(", ") }
                };
                let _ = writeln!(
                    out,
                    "  {} ({}): {} → {}",
                    sample.submission,
                    sample.tenant,
                    list(&sample.before),
                    list(&sample.after)
                );
            }
        }
        let moved: Vec<_> = self.reasons.iter().filter(|(_, t)| t.before != t.after).collect();
        if !moved.is_empty() {
            let _ = writeln!(out, "\n{:<32} {:>8} {:>8}", "REASON", "BEFORE", "AFTER");
            for (reason, times) in moved {
                let _ = writeln!(out, "{reason:<32} {:>8} {:>8}", times.before, times.after);
            }
        }
        out
    }
}

//! A profile made ready: a submission in, its decision and all that it rests on out.
//!
//! Caption and media are judged each by itself, so that a rejected caption does not poison its picture; the submission's
//! decision is the gravest of theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::journal::Code;
use domain::policy::MALWARE;
use domain::{
    Action, Category, Context, Coverage, Decision, Evidence, Failure, Finding, Pace, Profile,
    Scores, Severity, Status,
};
use pipeline::hash::BankSet;
use pipeline::inspect::{
    Inspection, Inspector, Progress, Shadow, Submission, Timings, Trials, Watch,
};
use pipeline::sandbox::{Item, Level, Role};
use serde::Serialize;

use super::clamav::{self, Clamav, Scan};
use super::evidence::moments;
use super::merge::{merge_coverage, merge_scores};
use super::trial::{Choice, Lineup, Ran, gravity};
use crate::check::verdict::{FindingView, MediaView, TimingsView};
use crate::inference::{Cited, InUse};
use crate::paths;
use crate::profile::{self, Effort};

/// A profile made ready. Shared by all workers.
pub struct Engine {
    inspector: Inspector,
    profile: Arc<Profile>,
    lineup: Lineup,
    basis: Code,
    in_use: InUse,
    decode_threads: u32,
    scanner: Option<Clamav>,
}

/// What a tenant sees of a judgement; stored as JSON, erased with the author.
#[derive(Debug, Default, Serialize)]
pub struct Detail {
    /// Numbers over all media.
    pub scores: Scores,
    /// The media in order.
    pub media: Vec<MediaView>,
    /// What was found.
    pub findings: Vec<FindingView>,
    /// What versions of models beside those that judge have found; it decides nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<FindingView>,
    /// What was looked at.
    pub coverage: Coverage,
    /// `name@version` of all that took part.
    pub models: BTreeSet<String>,
    /// On what the models ran; `None` where the profile has none.
    pub engine: Option<Cited>,
    /// Milliseconds of each stage.
    pub timings_ms: TimingsView,
    /// Why something could not be looked at.
    pub error: Option<String>,
    /// All that each part was decided on, for asking what another policy would have said; not shown to the tenant.
    pub parts: Vec<Evidence>,
}

/// One medium by itself.
#[derive(Clone, Debug)]
pub struct Single {
    /// Its decision; `None` where a settled rejection of another ended the scan before it.
    pub decision: Option<Decision>,
    /// PDQ in hexadecimal, and its quality.
    pub pdq: Option<(String, Option<u8>)>,
    /// Moments of its time line in milliseconds that say most.
    pub moments_ms: Vec<u64>,
}

/// In what manner is judged.
#[derive(Clone, Copy)]
pub struct Manner<'a> {
    /// The tenant's own lists, besides the profile's banks.
    pub lists: Option<&'a BankSet>,
    /// Which versions of models take part.
    pub choice: &'a Choice<'a>,
    /// How well the machine keeps up.
    pub pace: Pace,
}

/// A judgement.
#[derive(Debug)]
pub struct Judged {
    /// The gravest of its parts.
    pub decision: Decision,
    /// Each medium by itself, in order.
    pub media: Vec<Single>,
    /// Whether a bank that is verified says so.
    pub verified: bool,
    /// Words read and matched: free text.
    pub words: Option<String>,
    /// Highest score for each category, for the journal.
    pub categories: BTreeMap<Category, f32>,
    /// Which versions of models took part.
    pub ran: Ran,
    /// For the tenant.
    pub detail: Detail,
}

impl Engine {
    /// Reads policy and banks, loads the models and starts the sandbox, as `effort` says. With a scanner, no medium is decoded
    /// before it has been asked.
    ///
    /// # Errors
    /// What is missing, with the command that brings it.
    pub fn new(
        mut profile: Profile,
        effort: Effort,
        scanner: Option<Clamav>,
    ) -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let decode_threads = u32::try_from((cores / effort.jobs.max(1)).max(1)).unwrap_or(1);
        if scanner.is_some() {
            profile.policy.add_scanner(clamav::DETECTOR).map_err(anyhow::Error::msg)?;
        }
        // Before the files are loaded: one that changes meanwhile then counts as changed the next time.
        let basis = profile::basis(&profile)?;
        let (inspector, in_use) = profile::inspector(&profile, &[], effort, Role::Stills)?;
        let lineup = Lineup::new(inspector.detectors(), &profile::roster(&paths::models_dir())?);
        let profile = Arc::new(profile);
        Ok(Self { inspector, profile, lineup, basis, in_use, decode_threads, scanner })
    }

    /// Its networks.
    pub fn lineup(&self) -> &Lineup {
        &self.lineup
    }

    /// The profile that was made ready.
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// What its verdicts rest on.
    pub fn basis(&self) -> &Code {
        &self.basis
    }

    /// How well decoders are fenced in; starts one where none has run.
    pub fn sandbox(&self) -> Level {
        self.inspector.sandbox_level()
    }

    /// What looks at media, for pictures of them.
    pub fn inspector(&self) -> &Inspector {
        &self.inspector
    }

    /// On what the models run.
    pub fn runs_on(&self) -> &InUse {
        &self.in_use
    }

    /// Judges. Of media whose bytes could not be had stands why. `heard` is told how far it has come.
    pub fn judge(
        &self,
        caption: Option<&str>,
        media: &[Result<Item, Failure>],
        context: &Context,
        manner: &Manner<'_>,
        heard: &dyn Fn(Progress),
    ) -> Judged {
        let start = Instant::now();
        let mut sum = Sum::default();
        let Manner { lists, choice, pace } = *manner;
        let trials = self.lineup.trials(choice);
        let asked = Asked { context, lists, trials: &trials, pace, heard: &|_| {} };
        if caption.is_some() || media.is_empty() {
            sum.add(None, self.one(caption, &[], None, &asked));
        }
        for (index, item) in media.iter().enumerate() {
            if sum.settled {
                sum.skip();
                continue;
            }
            let asked = Asked { heard: &|step| heard(Progress { media: index, ..step }), ..asked };
            let part = match item {
                Ok(item) => self.one(None, std::slice::from_ref(item), None, &asked),
                Err(failure) => self.one(None, &[], Some(failure.clone()), &asked),
            };
            sum.add(Some(index), part);
        }
        sum.detail.engine = self.in_use.cited();
        sum.finish(self.profile.policy.id(), start.elapsed())
    }

    /// What the policy says of one finding alone, in the place of a submission.
    pub fn decide_on(&self, finding: Finding, submission: &store::Submission) -> Decision {
        let language = submission.language.as_ref().map_or("", Code::as_str);
        let detectors_run = self.profile.policy.required().to_vec();
        let evidence = Evidence {
            context: Context {
                surface: submission.surface.as_str().to_owned(),
                language: language.to_owned(),
            },
            findings: vec![finding],
            has_text: true,
            coverage: Coverage { detectors_run, ..Coverage::default() },
            ..Evidence::default()
        };
        self.profile.policy.decide(&evidence)
    }

    fn one(
        &self,
        caption: Option<&str>,
        media: &[Item],
        unread: Option<Failure>,
        asked: &Asked<'_>,
    ) -> Part {
        let policy = &self.profile.policy;
        let scanned = match self.scan(media) {
            Ok(Scan::Clean) => unread.is_none(),
            Ok(Scan::Found(name)) => return self.infected(&name, asked.context),
            Err(error) => {
                tracing::warn!(%error, "the virus scanner did not answer; its fail mode decides");
                false
            }
        };
        let context = asked.context.clone();
        let submission = Submission { caption, name: None, context, media };
        let look = |trials: &Trials| {
            let watch = Watch {
                required: policy.required(),
                sampling: policy.sampling(asked.pace),
                settled: &|evidence| policy.settled(evidence),
                lists: asked.lists,
                trials,
                decode_threads: self.decode_threads,
                decoded: &|| {},
                progress: asked.heard,
            };
            self.inspector.inspect(&submission, &watch)
        };
        let (mut trials, mut ran) = (asked.trials.clone(), Ran::default());
        let mut inspection = look(&trials);
        if !inspection.broken.is_disjoint(&trials.instead) {
            // That a version on trial fails is nothing that a submission should suffer from.
            ran.fail(&self.lineup, &inspection, &trials);
            trials.instead.retain(|detector| !inspection.broken.contains(detector));
            inspection = look(&trials);
        }
        let instead = inspection.instead.take();
        inspection.evidence.failures.extend(unread);
        if self.scanner.is_some() {
            clamav::note(&mut inspection.evidence.coverage, scanned);
        }
        let deciding = Instant::now();
        let decision = policy.decide(&inspection.evidence);
        let settled = policy.settled(&inspection.evidence);
        let decide = deciding.elapsed();
        let instead = instead.map(|mut evidence| {
            evidence.coverage.clone_from(&inspection.evidence.coverage);
            policy.decide(&evidence).status
        });
        ran.note(&self.lineup, &inspection, &trials, decision.status, instead);
        Part { decision, settled, inspection, ran, decide }
    }

    /// Asks the scanner about every medium. Without a scanner, and for a caption, there is nothing to find.
    fn scan(&self, media: &[Item]) -> std::io::Result<Scan> {
        for item in media {
            if let Some(scanner) = &self.scanner
                && let Scan::Found(name) = scanner.scan(item.bytes())?
            {
                return Ok(Scan::Found(name));
            }
        }
        Ok(Scan::Clean)
    }

    /// What is known of a medium in which the scanner found something: no more, for nothing else may read it.
    fn infected(&self, signature: &str, context: &Context) -> Part {
        let finding = Finding {
            detector: clamav::DETECTOR.into(),
            model: clamav::DETECTOR.into(),
            label: format!("{MALWARE}{}", Code::lossy(signature)),
            score: 1.0,
            span: None,
            bbox: None,
            media: Some(0),
            text: None,
        };
        let coverage = Coverage {
            detectors_run: vec![clamav::DETECTOR.into()],
            ended_early: true,
            ..Coverage::default()
        };
        let (context, findings) = (context.clone(), vec![finding]);
        let evidence = Evidence { context, findings, coverage, ..Evidence::default() };
        let policy = &self.profile.policy;
        let (decision, settled) = (policy.decide(&evidence), policy.settled(&evidence));
        let inspection = Inspection {
            evidence,
            models: Vec::new(),
            unseen: BTreeMap::new(),
            broken: BTreeSet::new(),
            shadow: Shadow::default(),
            instead: None,
            decoders: BTreeMap::new(),
            timings: Timings::default(),
        };
        let mut ran = Ran::default();
        ran.note(&self.lineup, &inspection, Trials::NONE, decision.status, None);
        Part { decision, settled, inspection, ran, decide: Duration::ZERO }
    }
}

/// What all parts of a submission share.
#[derive(Clone, Copy)]
struct Asked<'a> {
    context: &'a Context,
    lists: Option<&'a BankSet>,
    trials: &'a Trials,
    pace: Pace,
    heard: &'a dyn Fn(Progress),
}

/// Caption or one medium.
struct Part {
    decision: Decision,
    settled: bool,
    inspection: Inspection,
    ran: Ran,
    decide: Duration,
}

/// Parts put together.
#[derive(Default)]
struct Sum {
    decisions: Vec<Decision>,
    media: Vec<Single>,
    settled: bool,
    verified: bool,
    words: Vec<String>,
    categories: BTreeMap<Category, f32>,
    errors: Vec<String>,
    ran: Ran,
    detail: Detail,
    spent: [Duration; 3],
}

impl Sum {
    fn add(&mut self, index: Option<usize>, part: Part) {
        self.detail.parts.push(part.inspection.evidence.clone());
        let Evidence { findings, scores, media, coverage, failures, .. } = part.inspection.evidence;
        self.settled |= part.settled;
        if index.is_some() {
            let pdq = media.first().and_then(|m| Some((m.pdq.clone()?, m.pdq_quality)));
            let (decision, moments_ms) = (Some(part.decision.clone()), moments(&findings));
            self.media.push(Single { decision, pdq, moments_ms });
        }
        self.decisions.push(part.decision);
        for finding in &findings {
            self.verified |= finding.label.starts_with("bank:");
            // `term:hate:high`, `bank:violence:own`: the second word is the category.
            let category = finding.label.split(':').nth(1).and_then(|slug| slug.parse().ok());
            self.raise(category, Some(finding.score));
            self.words.extend(finding.text.iter().map(|t| format!("{}: {t}", finding.label)));
        }
        self.raise(Some(Category::Sexual), scores.nsfw_score);
        self.words.extend(scores.ocr_text.iter().cloned());
        let view = |mut f: Finding| {
            f.media = index;
            FindingView::from(f)
        };
        self.detail.findings.extend(findings.into_iter().map(view));
        self.detail.shadow.extend(part.inspection.shadow.findings.into_iter().map(view));
        self.ran.add(part.ran);
        self.detail.media.extend(MediaView::all(media, &part.inspection.decoders));
        self.detail.models.extend(part.inspection.models);
        self.errors.extend(failures.iter().map(|f| format!("{}: {}", f.reason, f.detail)));
        merge_scores(&mut self.detail.scores, scores);
        merge_coverage(&mut self.detail.coverage, coverage);
        self.spent[0] += part.inspection.timings.decode;
        self.spent[1] += part.inspection.timings.detect;
        self.spent[2] += part.decide;
    }

    fn raise(&mut self, category: Option<Category>, score: Option<f32>) {
        if let (Some(category), Some(score)) = (category, score) {
            let highest = self.categories.entry(category).or_insert(score);
            *highest = highest.max(score);
        }
    }

    /// A medium that nobody looked at, since the matter was settled.
    fn skip(&mut self) {
        self.detail.coverage.ended_early = true;
        self.media.push(Single { decision: None, pdq: None, moments_ms: Vec::new() });
    }

    fn finish(mut self, policy: String, total: Duration) -> Judged {
        let ms = |d: Duration| (d.as_secs_f64() * 1e5).round() / 100.0;
        let [decode, detect, decide] = self.spent.map(ms);
        self.detail.timings_ms = TimingsView { decode, detect, decide, total: ms(total) };
        self.detail.error = (!self.errors.is_empty()).then(|| self.errors.join("; "));
        Judged {
            decision: gravest(self.decisions, policy),
            media: self.media,
            verified: self.verified,
            categories: self.categories,
            words: (!self.words.is_empty()).then(|| self.words.join("\n")),
            ran: self.ran,
            detail: self.detail,
        }
    }
}

/// The gravest of the decisions on the parts. A rejection is complete when that of its part is; everything else only when
/// every part is.
pub fn gravest(decisions: Vec<Decision>, policy: String) -> Decision {
    let mut all = decisions;
    // Stable: of equals the caption, then the first medium, speaks first.
    all.sort_by_key(|d| std::cmp::Reverse((gravity(d.status), d.severity, d.action)));
    let status = all.first().map_or(Status::Held, |d| d.status);
    let complete = match status {
        Status::Rejected => all.iter().any(|d| d.status == Status::Rejected && d.complete),
        _ => !all.is_empty() && all.iter().all(|d| d.complete),
    };
    let mut categories: BTreeMap<_, Severity> = BTreeMap::new();
    let mut reasons = Vec::new();
    for decision in &all {
        for (category, severity) in &decision.categories {
            let gravest = categories.entry(*category).or_default();
            *gravest = (*gravest).max(*severity);
        }
        for reason in &decision.reasons {
            if !reasons.contains(reason) {
                reasons.push(reason.clone());
            }
        }
    }
    Decision {
        status,
        complete,
        severity: all.iter().map(|d| d.severity).max().unwrap_or_default(),
        action: all.iter().map(|d| d.action).max().unwrap_or(Action::Hide),
        reasons,
        categories,
        policy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(status: Status, complete: bool, reason: &str) -> Decision {
        Decision {
            status,
            complete,
            severity: if status == Status::Rejected { Severity::High } else { Severity::Safe },
            action: if status == Status::Rejected { Action::Reject } else { Action::Allow },
            reasons: vec![reason.to_owned()],
            categories: BTreeMap::new(),
            policy: "p@1".into(),
        }
    }

    #[test]
    fn the_gravest_part_decides_and_an_unseen_part_is_not_forgotten() {
        use Status::{Approved, Failed, Held, Rejected};
        let of = |parts: &[(Status, bool)]| {
            let parts = parts.iter().map(|(s, c)| decision(*s, *c, &format!("{s:?}"))).collect();
            let whole = gravest(parts, "p@1".into());
            (whole.status, whole.complete, whole.reasons.first().cloned().unwrap_or_default())
        };
        assert_eq!(of(&[(Approved, true), (Approved, true)]), (Approved, true, "Approved".into()));
        assert_eq!(
            of(&[(Approved, true), (Approved, false)]),
            (Approved, false, "Approved".into())
        );
        assert_eq!(of(&[(Approved, true), (Failed, false)]), (Failed, false, "Failed".into()));
        assert_eq!(of(&[(Failed, false), (Held, false)]), (Held, false, "Held".into()));
        assert_eq!(of(&[(Held, false), (Rejected, true)]), (Rejected, true, "Rejected".into()));
        // Nothing judged is never clean.
        assert_eq!(of(&[]).0, Held);
    }
}

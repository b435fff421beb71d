//! Who of two versions of a model judges a submission, and what came of it.

use std::collections::BTreeSet;

use domain::Status;
use models::life::{Roster, Stage};
use pipeline::inspect::{Detectors, Inspection, Trials};
use ring::digest::{SHA256, digest};

/// A version on trial at its detector.
#[derive(Clone, Debug, PartialEq)]
struct OnTrial {
    id: String,
    stage: Stage,
    share: f64,
}

/// A detector that is a network.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    detector: String,
    active: String,
    trial: Option<OnTrial>,
}

/// The networks of a profile, with the versions on trial that were loaded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lineup(Vec<Place>);

/// What decides who judges.
pub struct Choice<'a> {
    /// The submission's id: the same one is always judged by the same version.
    pub submission: &'a str,
    /// Whether there is room for versions beside.
    pub beside: bool,
    /// Whether a version, by `name@version`, was withdrawn a moment ago.
    pub is_off: &'a dyn Fn(&str) -> bool,
}

impl Choice<'_> {
    /// Of what has no pictures, and is no submission: active versions alone.
    pub const NONE: Self = Self { submission: "", beside: false, is_off: &|_| true };
}

impl Lineup {
    /// The networks that were loaded.
    pub fn new(detectors: &Detectors, roster: &Roster) -> Self {
        let places = detectors.neural().map(|neural| {
            let active = neural.runner.manifest();
            let known = roster.trial(&active.name);
            let trial = neural.trial.as_ref().zip(known).and_then(|(runner, trial)| {
                let id = runner.manifest().id();
                let same = id == trial.manifest.id();
                same.then_some(OnTrial { id, stage: trial.stage, share: trial.share })
            });
            Place { detector: neural.name.clone(), active: active.id(), trial }
        });
        Self(places.collect())
    }

    /// Who takes part in judging a submission.
    pub fn trials(&self, choice: &Choice<'_>) -> Trials {
        let mut trials = Trials::default();
        for Place { detector, trial, .. } in &self.0 {
            let Some(trial) = trial.as_ref().filter(|trial| !(choice.is_off)(&trial.id)) else {
                continue;
            };
            match trial.stage {
                Stage::Canary if lot(&trial.id, choice.submission) < trial.share => {
                    trials.instead.insert(detector.clone());
                }
                Stage::Shadow if choice.beside => {
                    trials.beside.insert(detector.clone());
                }
                _ => {}
            }
        }
        trials
    }

    /// `name@version` of each network, and of that on trial with its stage and share.
    pub fn each(&self) -> impl Iterator<Item = (&str, Option<(&str, Stage, f64)>)> {
        self.0.iter().map(|place| {
            let trial = place.trial.as_ref().map(|t| (t.id.as_str(), t.stage, t.share));
            (place.active.as_str(), trial)
        })
    }

    /// Each in a word, those on trial too.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        for (active, trial) in self.each() {
            words.push(active.to_owned());
            words.extend(trial.map(|(id, stage, share)| match stage {
                Stage::Canary => format!("{id} (canary, {:.1} %)", share * 100.0),
                stage => format!("{id} ({stage})"),
            }));
        }
        words.sort();
        words.dedup();
        words
    }

    /// The version that judges at a detector.
    fn judge(&self, detector: &str, trials: &Trials) -> Option<&str> {
        let place = self.0.iter().find(|place| place.detector == detector)?;
        let trial = place.trial.as_ref().filter(|_| trials.instead.contains(detector));
        Some(trial.map_or(place.active.as_str(), |trial| trial.id.as_str()))
    }
}

/// A number from 0 to 1 that a version and a submission have together, as good as drawn by lot.
fn lot(version: &str, submission: &str) -> f64 {
    let hash =
        digest(&SHA256, [version.as_bytes(), b"\0", submission.as_bytes()].concat().as_slice());
    let mut first = [0; 4];
    first.copy_from_slice(hash.as_ref().get(..4).unwrap_or(&[0; 4]));
    f64::from(u32::from_be_bytes(first)) / (f64::from(u32::MAX) + 1.0)
}

/// Rejected before held before failed before approved.
pub fn gravity(status: Status) -> u8 {
    match status {
        Status::Rejected => 3,
        Status::Held => 2,
        Status::Failed => 1,
        Status::Approved => 0,
    }
}

/// What would have come of it, had the version beside judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// The same.
    Same,
    /// Something graver.
    Stricter,
    /// Something less grave.
    Laxer,
    /// Nobody knows: it was not shown all, or not in time.
    Skipped,
    /// Nobody knows: it failed.
    Failed,
}

impl Agreement {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Stricter => "stricter",
            Self::Laxer => "laxer",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// Which versions took part in judging a submission.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ran {
    /// Those on whose word the verdict rests.
    pub judged: BTreeSet<String>,
    /// Those that failed: one on trial, in whose place the active one was asked again, or an active one.
    pub failed: BTreeSet<String>,
    /// Those beside.
    pub beside: BTreeSet<String>,
    skipped: u64,
    broken: u64,
    /// The gravest status of all parts, as it is and as it would be.
    gravest: (u8, u8),
}

impl Ran {
    /// Notes a part.
    pub fn note(
        &mut self,
        lineup: &Lineup,
        inspection: &Inspection,
        trials: &Trials,
        status: Status,
        instead: Option<Status>,
    ) {
        for place in &lineup.0 {
            let judge = lineup.judge(&place.detector, trials);
            let judge = judge.filter(|id| inspection.models.iter().any(|model| model == id));
            let shadow = place.trial.as_ref().filter(|trial| trial.stage == Stage::Shadow);
            if let Some(shadow) = shadow.filter(|_| judge.is_some())
                && !trials.beside.contains(&place.detector)
            {
                // There was no room for it, and there were pictures.
                self.beside.insert(shadow.id.clone());
                self.skipped += 1;
            }
            self.judged.extend(judge.map(str::to_owned));
        }
        self.fail(lineup, inspection, trials);
        self.beside.extend(inspection.shadow.models.iter().cloned());
        self.skipped += inspection.shadow.skipped;
        self.broken += inspection.shadow.failed;
        let (is, would) = &mut self.gravest;
        *is = (*is).max(gravity(status));
        *would = (*would).max(gravity(instead.unwrap_or(status)));
    }

    /// Notes the versions that failed.
    pub fn fail(&mut self, lineup: &Lineup, inspection: &Inspection, trials: &Trials) {
        let broken = inspection.broken.iter().filter_map(|name| lineup.judge(name, trials));
        self.failed.extend(broken.map(str::to_owned));
    }

    /// Adds what was noted elsewhere.
    pub fn add(&mut self, other: Self) {
        self.judged.extend(other.judged);
        self.failed.extend(other.failed);
        self.beside.extend(other.beside);
        self.skipped += other.skipped;
        self.broken += other.broken;
        self.gravest.0 = self.gravest.0.max(other.gravest.0);
        self.gravest.1 = self.gravest.1.max(other.gravest.1);
    }

    /// Whether those beside would have come to the same.
    pub fn agreement(&self) -> Agreement {
        let (is, would) = self.gravest;
        match would.cmp(&is) {
            _ if self.broken > 0 => Agreement::Failed,
            _ if self.skipped > 0 => Agreement::Skipped,
            std::cmp::Ordering::Equal => Agreement::Same,
            std::cmp::Ordering::Greater => Agreement::Stricter,
            std::cmp::Ordering::Less => Agreement::Laxer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineup(stage: Stage, share: f64) -> Lineup {
        let trial = Some(OnTrial { id: "m@2".into(), stage, share });
        Lineup(vec![Place { detector: "nsfw".into(), active: "m@1".into(), trial }])
    }

    fn judges(lineup: &Lineup, submission: &str, beside: bool, off: bool) -> (bool, bool) {
        let trials = lineup.trials(&Choice { submission, beside, is_off: &|_| off });
        (trials.instead.contains("nsfw"), trials.beside.contains("nsfw"))
    }

    #[test]
    fn a_canary_judges_its_share_and_a_submission_keeps_its_judge() {
        let canary = lineup(Stage::Canary, 0.25);
        let ids: Vec<String> = (0..4_000).map(|n| format!("0190-{n}")).collect();
        let chosen = ids.iter().filter(|id| judges(&canary, id, true, false).0).count();
        // Four standard deviations of a quarter of 4,000 are 110.
        assert!((890..1_110).contains(&chosen), "{chosen}");
        for id in &ids {
            assert_eq!(judges(&canary, id, true, false), judges(&canary, id, false, false));
            assert_eq!(judges(&canary, id, true, true), (false, false), "withdrawn");
        }
        // A larger share keeps those that were chosen.
        let half = lineup(Stage::Canary, 0.5);
        assert!(
            ids.iter()
                .all(|id| !judges(&canary, id, true, false).0 || judges(&half, id, true, false).0)
        );
        assert!(ids.iter().all(|id| judges(&lineup(Stage::Canary, 1.0), id, true, false).0));
    }

    #[test]
    fn a_shadow_judges_nothing_and_gives_way() {
        let shadow = lineup(Stage::Shadow, 1.0);
        assert_eq!(judges(&shadow, "a", true, false), (false, true));
        assert_eq!(judges(&shadow, "a", false, false), (false, false), "no room");
        assert_eq!(judges(&shadow, "a", true, true), (false, false), "withdrawn");
    }
}

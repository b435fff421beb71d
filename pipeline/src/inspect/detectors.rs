//! The detectors of one profile, ready to run.

use std::sync::Arc;

use domain::Finding;
use models::{Rendition, RgbImage, Runner};

use super::trials::Trials;
use crate::hash::{Bank, BankSet, Hit};
use crate::link::LinkDetector;
use crate::measure::pdq::Pdq;
use crate::measure::{Ocr, Plan, ocr, qr};
use crate::text::TextDetector;

/// A detector that is a neural network.
pub struct Neural {
    /// The detector's name in the profile.
    pub name: String,
    /// The loaded model.
    pub runner: Runner,
    /// A version on trial; runs only where an inspection's [`Trials`] say so.
    pub trial: Option<Runner>,
    /// Scores below this make no finding; a classifier's still count as scores.
    pub min_score: f32,
}

impl Neural {
    /// The model that judges in an inspection.
    pub(super) fn judge(&self, trials: &Trials) -> &Runner {
        let trial = self.trial.as_ref().filter(|_| trials.instead.contains(&self.name));
        trial.unwrap_or(&self.runner)
    }

    /// Whether a version on trial runs beside it.
    pub(super) fn has_beside(&self, trials: &Trials) -> bool {
        self.trial.is_some() && trials.beside.contains(&self.name)
    }

    /// The size in which a version beside it wants pictures, where that is another one.
    fn other_rendition(&self, trials: &Trials) -> Option<Rendition> {
        let trial = self.trial.as_ref().filter(|_| self.has_beside(trials))?;
        Some(trial.rendition()).filter(|own| *own != self.judge(trials).rendition())
    }
}

/// The detectors of one profile. Those of kinds that exist once carry the name that the profile gave them.
#[derive(Default)]
pub struct Detectors {
    /// Hash banks.
    pub hash: Option<(String, BankSet)>,
    /// Sharpness.
    pub quality: Option<String>,
    /// Picture classifiers.
    pub classifiers: Vec<Neural>,
    /// Face detector.
    pub faces: Option<Neural>,
    /// Age on face crops; runs only beside a face detector.
    pub age: Option<Neural>,
    /// Terms and patterns in words.
    pub text: Option<(String, TextDetector)>,
    /// Links in words and QR codes.
    pub link: Option<(String, LinkDetector)>,
    /// Words in pictures, and when they are read.
    pub ocr: Option<(String, Ocr)>,
    /// QR codes.
    pub qr: Option<String>,
}

/// A frame as one detector gets it.
pub(super) struct Dealt<'a> {
    pub neural: &'a Neural,
    pub picture: Arc<RgbImage>,
    /// For the version beside it, where one runs.
    pub beside: Option<Arc<RgbImage>>,
}

/// What a detector looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// The bytes, and the pictures where there are any.
    Bytes,
    /// Pictures.
    Pictures,
    /// Words.
    Words,
}

impl Detectors {
    /// Every configured detector and what it looks at.
    pub(super) fn each(&self) -> Vec<(&str, Sight)> {
        let mut all: Vec<(&str, Sight)> = Vec::new();
        all.extend(self.hash.as_ref().map(|(n, _)| (n.as_str(), Sight::Bytes)));
        all.extend(self.quality.as_ref().map(|n| (n.as_str(), Sight::Pictures)));
        all.extend(self.neural().map(|n| (n.name.as_str(), Sight::Pictures)));
        all.extend(self.ocr.as_ref().map(|(n, _)| (n.as_str(), Sight::Pictures)));
        all.extend(self.qr.as_ref().map(|n| (n.as_str(), Sight::Pictures)));
        all.extend(self.text.as_ref().map(|(n, _)| (n.as_str(), Sight::Words)));
        all.extend(self.link.as_ref().map(|(n, _)| (n.as_str(), Sight::Words)));
        all
    }

    /// Every detector that is a network.
    pub fn neural(&self) -> impl Iterator<Item = &Neural> {
        self.classifiers.iter().chain(&self.faces).chain(&self.age)
    }

    /// Whether a classifier is the one of this name, or the only one: its score is `nsfw_score`.
    pub(super) fn is_first(&self, neural: &Neural) -> bool {
        neural.name == "nsfw" || self.classifiers.len() == 1
    }

    /// `name@version` of every bank and list, and with `pictures` of every model and reader, sorted.
    pub(super) fn models(&self, pictures: bool, trials: &Trials) -> Vec<String> {
        let neural = self.neural().filter(|_| pictures);
        let mut names: Vec<String> = neural.map(|n| n.judge(trials).manifest().id()).collect();
        names.extend(self.hash.iter().flat_map(|(_, banks)| banks.banks().iter().map(Bank::id)));
        names.extend(self.ocr.iter().filter(|_| pictures).map(|_| ocr::MODEL.to_owned()));
        names.extend(self.qr.iter().filter(|_| pictures).map(|_| qr::MODEL.to_owned()));
        names.extend(self.text.iter().flat_map(|(_, text)| text.models()));
        names.sort();
        names.dedup();
        names
    }

    /// What the worker measures on every frame.
    pub(super) fn measure_plan(&self) -> Plan {
        Plan {
            pdq: self.hash.is_some(),
            blur: self.quality.is_some(),
            qr: self.qr.is_some(),
            ocr: self.ocr.as_ref().map_or(Ocr::Off, |(_, when)| *when),
        }
    }

    /// The sizes at which the models want every frame: one for each classifier, then one for faces; behind each another
    /// one, where a version beside it wants another size.
    pub(super) fn renditions(&self, trials: &Trials) -> Vec<Rendition> {
        let each = self.classifiers.iter().chain(&self.faces);
        each.flat_map(|n| [Some(n.judge(trials).rendition()), n.other_rendition(trials)])
            .flatten()
            .collect()
    }

    /// The pictures of a frame for each of the same, with that of the version beside it.
    pub(super) fn dealt<'a>(
        &'a self,
        trials: &Trials,
        pictures: impl IntoIterator<Item = RgbImage>,
    ) -> Vec<Dealt<'a>> {
        let mut pictures = pictures.into_iter().map(Arc::new);
        let mut dealt = Vec::new();
        for neural in self.classifiers.iter().chain(&self.faces) {
            let Some(picture) = pictures.next() else { break };
            let beside = match neural.other_rendition(trials) {
                Some(_) => pictures.next(),
                None => neural.has_beside(trials).then(|| Arc::clone(&picture)),
            };
            dealt.push(Dealt { neural, picture, beside });
        }
        dealt
    }

    /// Scans words: caption, text file, OCR, QR. Gives the names of detectors that could not read all of it.
    pub(super) fn read_text(
        &self,
        words: &str,
        media: Option<usize>,
        out: &mut Vec<Finding>,
    ) -> Vec<String> {
        let before = out.len();
        let found = self.text.iter().flat_map(|(name, text)| named(name, text.scan(words, media)));
        out.extend(found);
        let found = self.link.iter().flat_map(|(name, link)| named(name, link.scan(words)));
        out.extend(found.map(|f| Finding { media, ..f }));
        let cut = |f: &&Finding| PARTLY_READ.contains(&f.label.as_str());
        out.iter().skip(before).filter(cut).map(|f| f.detector.clone()).collect()
    }

    /// Looks the bytes' SHA-256 up in the banks and the tenant's own `lists`.
    pub(super) fn match_bytes(
        &self,
        lists: Option<&BankSet>,
        sha256: &[u8; 32],
        media: usize,
        out: &mut Vec<Finding>,
    ) {
        let Some((name, banks)) = &self.hash else { return };
        let sets = [Some(banks), lists];
        let hits = sets.iter().flatten().flat_map(|set| set.match_sha256(sha256));
        let found = named(name, hits.map(|hit| hit.finding()).collect());
        out.extend(found.map(|f| Finding { media: Some(media), ..f }));
    }

    /// Looks a picture up in the banks and the tenant's own `lists`.
    pub(super) fn match_picture(&self, lists: Option<&BankSet>, pdq: &Pdq) -> Vec<Finding> {
        let Some((name, banks)) = &self.hash else { return Vec::new() };
        let sets: Vec<&BankSet> = [Some(banks), lists].into_iter().flatten().collect();
        named(name, BankSet::match_pdq(&sets, pdq).iter().map(Hit::finding).collect()).collect()
    }
}

/// Labels by which the detectors of words say that there was more than they read.
const PARTLY_READ: [&str; 3] = ["text:truncated", "link:truncated", "link:many"];

/// Findings under the name that the profile gave their detector.
pub(super) fn named(name: &str, found: Vec<Finding>) -> impl Iterator<Item = Finding> {
    found.into_iter().map(move |f| Finding { detector: name.to_owned(), ..f })
}

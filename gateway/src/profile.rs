//! Makes a profile ready to run: its file or built-in text, its detectors, its weights.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use domain::Policy;
use domain::journal::{Code, Sha256};
use domain::profile::{Detector, Profile, policy_of};
use models::Catalogue;
use models::life::{Roster, Stage};
use pipeline::decode::Limits;
use pipeline::decode::video::chain::{Chain, Codec, Family, choose};
use pipeline::hash::{Bank, BankSet};
use pipeline::inspect::{Detectors, Inspector};
use pipeline::link::{self, LinkDetector};
use pipeline::measure::{Ocr, ocr};
use pipeline::sandbox::{self, Role, Sandbox, SandboxConfig};
use pipeline::text::{self, TextDetector};

use crate::cli::JudgingArguments;
use crate::inference::{InUse, Inference};
use crate::paths;
use crate::weights::Weights;

/// How long drivers may take to tell what they decode.
const DRIVERS: Duration = Duration::from_secs(20);

/// A built-in profile by name, or a file by path.
pub fn load(name: &str) -> anyhow::Result<Profile> {
    if Profile::embedded_text(name).is_some() {
        return Ok(Profile::embedded(name)?);
    }
    let path = Path::new(name);
    if path.extension().is_none() && !path.exists() {
        let known = Profile::names().join(", ");
        bail!(
            "there is no profile called `{name}`; built in are {known}; a file is given by its path"
        );
    }
    let text = read(path)?;
    Profile::parse(&text)
        .map_err(|problems| anyhow!("{} is not a usable profile:\n{problems}", path.display()))
}

/// The profile of a command line, with the policy that it names.
pub fn of(arguments: &JudgingArguments) -> anyhow::Result<Profile> {
    let profile = load(&arguments.profile)?;
    match &arguments.policy {
        Some(file) => with_policy_file(profile, file),
        None => Ok(profile),
    }
}

/// The profile with another policy in the place of its own.
pub fn with_policy_file(profile: Profile, file: &Path) -> anyhow::Result<Profile> {
    let say = |problems| anyhow!("{} is not a usable policy:\n{problems}", file.display());
    let policy: Policy = policy_of(&read(file)?).map_err(say)?;
    profile.with_policy(policy).map_err(say)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// What verdicts of a profile rest on, in a word: its policy's name and version, and a hash over its text, its lists and
/// its models, so that a change of any of them shows even where nobody raised the version.
///
/// # Errors
/// Where a file of it cannot be read.
pub fn basis(profile: &Profile) -> anyhow::Result<Code> {
    let files = profile.detectors.values().flat_map(|detector| match detector {
        Detector::Hash(hash) => hash.banks.as_slice(),
        Detector::Text(text) => text.files.as_slice(),
        Detector::Link(link) => link.files.as_slice(),
        _ => &[],
    });
    let mut hashes = vec![profile.digest];
    for file in files {
        hashes.push(Sha256::of(read(Path::new(file))?.as_bytes()));
    }
    let names = profile.models();
    if !names.is_empty() {
        let roster = roster(&paths::models_dir())?;
        for name in names {
            hashes.push(Sha256::of(roster.active().find(name)?.pin.sha256.as_bytes()));
            // What a canary says is void with it, as with every other model.
            if let Some(trial) = roster.trial(name).filter(|trial| trial.stage == Stage::Canary) {
                hashes.push(Sha256::of(trial.manifest.pin.sha256.as_bytes()));
            }
        }
    }
    let parts: Vec<&[u8]> = hashes.iter().map(|hash| hash.0.as_slice()).collect();
    let digest = Sha256::of_parts(&parts).to_string();
    // A code has 96 characters: a long name gives way, the hash does not.
    let id: String = profile.policy.id().chars().take(80).collect();
    Ok(Code::lossy(&format!("{id}:{}", digest.get(..12).unwrap_or(&digest))))
}

/// How much of the machine judging may take.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Items at once.
    pub jobs: usize,
    /// How far decoding and models give way to other threads (nice value).
    pub nice: u8,
    /// On what models are to run.
    pub inference: Inference,
    /// Whether versions of models on trial are loaded too.
    pub trials: bool,
    /// Whether decoders in hardware are used where there are any.
    pub hardware: bool,
}

impl Effort {
    /// Behind calls: a platform waits for its 202 by the millisecond, for a verdict by the second. With 5 judging still
    /// gets a quarter of a core that calls alone could fill, so that no time limit runs out meanwhile.
    pub fn behind_calls(jobs: usize, inference: Inference) -> Self {
        Self { jobs, nice: 5, inference, trials: true, hardware: false }
    }

    /// All of it.
    pub fn whole(jobs: usize, inference: Inference) -> Self {
        Self { jobs, nice: 0, inference, trials: false, hardware: false }
    }
}

/// Loads the detectors of a profile, and starts the half of the sandbox that is needed first; says on what models run.
pub fn inspector(
    profile: &Profile,
    banks: &[PathBuf],
    effort: Effort,
    first: Role,
) -> anyhow::Result<(Inspector, InUse)> {
    languages_are_here(profile)?;
    let config = SandboxConfig {
        spare: effort.jobs.clamp(1, 16),
        nice: effort.nice,
        hardware: if effort.hardware { hardware_chains() } else { Vec::new() },
        ocr_languages: ocr_languages(profile),
        ..SandboxConfig::default()
    };
    let sandbox =
        Sandbox::new(config).map_err(|e| anyhow!("the decoding sandbox cannot start: {e}"))?;
    // The zygote loads its libraries while models and lists are loaded here.
    sandbox.warm(first);
    let (detectors, in_use) = detectors(profile, banks, effort)?;
    let limits = Limits { max_pixels: profile.limits.max_pixels, ..Limits::default() };
    let most_ms = profile.limits.max_duration_ms;
    Ok((Inspector::new(Arc::new(sandbox), detectors, limits, most_ms), in_use))
}

/// Chains of the decoders in hardware that this machine has, asked once, for drivers take their time. Where there are none
/// the cores decode, which is logged.
fn hardware_chains() -> Vec<(Codec, Chain)> {
    static ASKED: OnceLock<Vec<(Codec, Chain)>> = OnceLock::new();
    let ask = || {
        let told = match sandbox::inventory(None, DRIVERS) {
            Ok(told) => told,
            Err(error) => {
                tracing::warn!(%error, "decoders in hardware cannot be asked; the cores decode");
                return Vec::new();
            }
        };
        let choices = Codec::ALL.map(|codec| choose(codec, &told.video.installed));
        let chains: Vec<_> = choices
            .into_iter()
            .filter_map(|choice| Some((choice.codec, choice.chain?)))
            .filter(|(_, chain)| chain.family != Family::Software)
            .collect();
        if chains.is_empty() {
            tracing::warn!(
                "decode.hardware is set and no decoder in hardware is here; `weir doctor` says what is missing"
            );
        }
        for (codec, chain) in &chains {
            tracing::info!(codec = codec.name(), family = chain.family.name(), %chain, "decodes in hardware");
        }
        chains
    };
    ASKED.get_or_init(ask).clone()
}

/// Refuses a profile that reads languages whose data are not installed, all of them named.
fn languages_are_here(profile: &Profile) -> anyhow::Result<()> {
    let missing = ocr::problems(&ocr_languages(profile), Path::new(ocr::DEFAULT_TESSDATA));
    if missing.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = missing.iter().map(|problem| format!("  {problem}")).collect();
    bail!("the profile `{}` cannot read words:\n{}", profile.name, lines.join("\n"))
}

/// Languages that the sandbox loads for reading words: none where the profile reads none.
fn ocr_languages(profile: &Profile) -> Vec<String> {
    let read = profile.detectors.values().filter_map(|detector| match detector {
        Detector::Ocr(ocr) => Some(ocr.languages.clone()),
        _ => None,
    });
    read.flatten().collect()
}

fn detectors(
    profile: &Profile,
    banks: &[PathBuf],
    effort: Effort,
) -> anyhow::Result<(Detectors, InUse)> {
    let mut ready = Detectors::default();
    let (mut models, in_use) = Weights::new(profile, effort)?.load(profile)?;
    let mut model = |name: &str| models.remove(name).context("a model was named and not loaded");
    for (name, detector) in &profile.detectors {
        let name = name.clone();
        match detector {
            Detector::Hash(hash) => {
                let files = hash.banks.iter().map(PathBuf::from).chain(banks.iter().cloned());
                ready.hash = Some((name, bank_set(files)?));
            }
            Detector::Quality => ready.quality = Some(name),
            Detector::Classifier(_) => ready.classifiers.push(model(&name)?),
            Detector::Faces(_) => ready.faces = Some(model(&name)?),
            Detector::Age(_) => ready.age = Some(model(&name)?),
            Detector::Text(t) => ready.text = Some((name, text_detector(t)?)),
            Detector::Ocr(o) => {
                let percent = (o.min_likelihood * 100.0).round() as u8;
                ready.ocr =
                    Some((name, if percent == 0 { Ocr::Always } else { Ocr::Gated(percent) }));
            }
            Detector::Qr => ready.qr = Some(name),
            Detector::Link(l) => ready.link = Some((name, link_detector(l)?)),
        }
    }
    if ready.hash.is_none() && !banks.is_empty() {
        bail!("--bank needs a detector of kind hash, and the profile `{}` has none", profile.name);
    }
    Ok((ready, in_use))
}

fn bank_set(files: impl Iterator<Item = PathBuf>) -> anyhow::Result<BankSet> {
    let mut banks = Vec::new();
    for file in files {
        let text = read(&file)?;
        banks.push(Bank::from_toml(&file.display().to_string(), &text)?);
    }
    Ok(BankSet::new(banks))
}

fn text_detector(settings: &domain::profile::Text) -> anyhow::Result<TextDetector> {
    let mut config = text::Config {
        files: settings.files.iter().map(PathBuf::from).collect(),
        ..text::Config::default()
    };
    if let Some(lists) = &settings.lists {
        config.lists.clone_from(lists);
    }
    for (name, pattern) in &settings.patterns {
        config.patterns.push(text::PatternConfig { name: name.clone(), regex: pattern.clone() });
    }
    Ok(TextDetector::new(&config)?)
}

fn link_detector(settings: &domain::profile::Link) -> anyhow::Result<LinkDetector> {
    Ok(LinkDetector::new(&link::Config {
        blocked: settings.blocked.clone(),
        blocked_files: settings.files.iter().map(PathBuf::from).collect(),
        brands: settings.protected.clone(),
        ..link::Config::default()
    })?)
}

/// The models that judge: the built-in ones, those whose manifests lie in `dir`, and in their place what was installed
/// there and promoted.
pub fn catalogue(dir: &Path) -> anyhow::Result<Catalogue> {
    roster(dir).map(Roster::into_active)
}

/// The same with the versions on trial. One that cannot be used is left out, and named there.
pub fn roster(dir: &Path) -> anyhow::Result<Roster> {
    Roster::load(dir).map_err(|lines| anyhow!("some models cannot be used:\n{}", lines.join("\n")))
}

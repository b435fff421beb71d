//! The hub's releases in force: policies, each in the place of that of the profile whose name it has, and hash lists beside those that
//! profiles name.
//!
//! Of two of one name the one that was released to the box goes before the tenant's, and that before the fleet's; one that was withdrawn is kept for
//! its version alone. Lists lie as files in
//! `hub/lists` of the data folder, named by their hash: the store has them, so that a file that is gone is written again.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, ensure};
use domain::directive::{Address, Release, ReleaseKind};
use domain::journal::{Code, Sha256, TenantId};
use domain::profile::{Detector, Tried};
use domain::{Policy, Profile};
use pipeline::hash::Bank;
use store::Store;

/// Folder of hash lists, in the data folder.
const LISTS: &str = "hub/lists";

/// The hub's releases.
#[derive(Clone, Debug, Default)]
pub struct Releases(Vec<Release>);

/// Those that are in force for a profile and a tenant.
#[derive(Clone, Debug)]
pub struct Chosen<'a> {
    policy: Option<&'a Release>,
    banks: Vec<&'a Release>,
}

/// What tells one choice from another.
type Key<'a> = (Option<&'a Address>, Vec<(&'a Code, &'a Address)>);

impl Releases {
    /// Those that the store keeps.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(store: &Store) -> Result<Self, store::Error> {
        Ok(Self(store.releases()?))
    }

    /// The one whose place another would take.
    pub fn same(&self, other: &Release) -> Option<&Release> {
        self.0.iter().find(|known| is_of(known, other))
    }

    /// These with another.
    pub fn with(mut self, release: Release) -> Self {
        self.0.retain(|known| !is_of(known, &release));
        self.0.push(release);
        self
    }

    /// Those in force for a profile and a tenant.
    pub fn of(&self, profile: &str, tenant: &TenantId) -> Chosen<'_> {
        let mut names: Vec<&Code> =
            self.0.iter().filter(|r| r.kind == ReleaseKind::Bank).map(|r| &r.name).collect();
        names.sort();
        names.dedup();
        let best = |kind, name: &str| {
            let all = self.0.iter().filter(|r| (r.kind, r.name.as_str()) == (kind, name));
            let all = all.filter(|r| !r.withdraws() && rank(r, tenant).is_some());
            all.max_by_key(|r| rank(r, tenant))
        };
        Chosen {
            policy: best(ReleaseKind::Policy, profile),
            banks: names.iter().filter_map(|n| best(ReleaseKind::Bank, n.as_str())).collect(),
        }
    }

    /// Removes files of lists that are none of these.
    pub fn sweep(&self, data: &Path) {
        let known: BTreeSet<PathBuf> = self.0.iter().map(|release| file(data, release)).collect();
        for entry in fs::read_dir(data.join(LISTS)).into_iter().flatten().flatten() {
            if !known.contains(&entry.path())
                && let Err(error) = fs::remove_file(entry.path())
            {
                tracing::warn!(%error, file = %entry.path().display(), "a hash list that is not used any more stays");
            }
        }
    }
}

impl<'a> Chosen<'a> {
    /// What tells it from another choice of the same releases.
    pub fn key(&self) -> Key<'a> {
        let banks = self.banks.iter().map(|bank| (&bank.name, &bank.to)).collect();
        (self.policy.map(|policy| &policy.to), banks)
    }

    /// The profile under them.
    ///
    /// # Errors
    /// Where one of them cannot be used with it.
    pub fn put(&self, mut profile: Profile, data: &Path) -> anyhow::Result<Profile> {
        if let Some(release) = self.policy {
            profile = put_policy(profile, release)?;
        }
        let hash = profile.detectors.values_mut().find_map(|detector| match detector {
            Detector::Hash(hash) => Some(hash),
            _ => None,
        });
        // A profile that looks at no hashes has no use for them.
        if let Some(hash) = hash {
            for bank in &self.banks {
                hash.banks.push(keep(data, bank)?.display().to_string());
            }
        }
        Ok(profile)
    }

    /// The same where nothing may keep the service from starting: where one does not fit, the profile judges as it is.
    pub fn put_or_leave(
        &self,
        load: impl Fn() -> anyhow::Result<Profile>,
        data: &Path,
    ) -> anyhow::Result<Profile> {
        let profile = load()?;
        let name = profile.name.clone();
        self.put(profile, data).or_else(|error| {
            let error = format!("{error:#}");
            tracing::error!(
                error,
                profile = name,
                "the hub's releases cannot be used; the profile judges as it is"
            );
            load()
        })
    }
}

fn is_of(one: &Release, other: &Release) -> bool {
    (one.kind, &one.name, &one.to) == (other.kind, &other.name, &other.to)
}

/// The higher goes before; nothing where it is not for the tenant.
fn rank(release: &Release, tenant: &TenantId) -> Option<u8> {
    match &release.to {
        Address::Box(_) => Some(2),
        Address::Tenant(of) => (of == tenant).then_some(1),
        Address::Fleet => Some(0),
    }
}

/// Reads the text of a policy's release. It may carry cases as `weir policy test` takes them, beside the policy; all must pass.
///
/// # Errors
/// What is wrong with it.
pub fn parse_policy(text: &str) -> anyhow::Result<Policy> {
    let tried = Tried::read(text).map_err(|problems| anyhow!("{problems}"))?;
    match tried.failed() {
        Some(verdict) => Err(anyhow!("a case of its own fails: {verdict}")),
        None => Ok(tried.policy),
    }
}

/// Reads the text of a list's release.
///
/// # Errors
/// What is wrong with it.
pub fn parse_bank(release: &Release) -> anyhow::Result<()> {
    let bank = Bank::from_toml(release.name.as_str(), &release.text)?;
    ensure!(
        bank.name == release.name.as_str(),
        "it was released as {}, and calls itself {}",
        release.name,
        bank.name
    );
    Ok(())
}

fn put_policy(profile: Profile, release: &Release) -> anyhow::Result<Profile> {
    let policy = parse_policy(&release.text)?;
    let mut profile = profile.with_policy(policy).map_err(|problems| anyhow!("{problems}"))?;
    // Verdicts rest on another text now, whatever its version says.
    let text = Sha256::of(release.text.as_bytes());
    profile.digest = Sha256::of_parts(&[profile.digest.0.as_slice(), text.0.as_slice()]);
    Ok(profile)
}

fn file(data: &Path, release: &Release) -> PathBuf {
    data.join(LISTS).join(format!("{}.toml", Sha256::of(release.text.as_bytes())))
}

/// Writes a list where its file is not there.
fn keep(data: &Path, release: &Release) -> anyhow::Result<PathBuf> {
    let path = file(data, release);
    // A file that somebody changed is none of the hub's.
    if fs::read(&path).is_ok_and(|bytes| bytes == release.text.as_bytes()) {
        return Ok(path);
    }
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(data.join(LISTS))?;
        let new = path.with_extension("new");
        let mut to = fs::File::create(&new)?;
        to.write_all(release.text.as_bytes())?;
        to.sync_all()?;
        fs::rename(&new, &path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

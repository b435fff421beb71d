//! The hub's policies in force, each in the place of that of the profile whose name it has.
//!
//! The one that was released to the box goes before the tenant's, and that before the fleet's.

use anyhow::{anyhow, ensure};
use domain::directive::{Address, Release, ReleaseKind};
use domain::journal::{Sha256, TenantId};
use domain::policy::cases::Cases;
use domain::profile::policy_of;
use domain::{Policy, Profile};
use store::Store;

/// The hub's policies.
#[derive(Clone, Debug, Default)]
pub struct Policies(Vec<Release>);

impl Policies {
    /// Those that the store keeps.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(store: &Store) -> Result<Self, store::Error> {
        let all = store.releases()?.into_iter();
        Ok(Self(all.filter(|release| release.kind == ReleaseKind::Policy).collect()))
    }

    /// The one whose place another would take.
    pub fn same(&self, other: &Release) -> Option<&Release> {
        self.0.iter().find(|known| (&known.name, &known.to) == (&other.name, &other.to))
    }

    /// These with another.
    pub fn with(mut self, release: Release) -> Self {
        self.0.retain(|known| (&known.name, &known.to) != (&release.name, &release.to));
        self.0.push(release);
        self
    }

    /// The one in force for a profile and a tenant; none where the profile's own is.
    pub fn of(&self, profile: &str, tenant: &TenantId) -> Option<&Release> {
        let rank = |release: &&Release| match &release.to {
            Address::Box(_) => Some(2),
            Address::Tenant(of) => (of == tenant).then_some(1),
            Address::Fleet => Some(0),
        };
        let all = self.0.iter().filter(|release| release.name.as_str() == profile);
        all.filter(|release| rank(release).is_some()).max_by_key(rank)
    }

    /// Reads the text of a release. It may carry cases as `weir policy test` takes them, beside the policy; all must pass.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> anyhow::Result<Policy> {
        let mut root: toml::Table =
            toml::from_str(text).map_err(|error| anyhow!("not valid TOML: {}", error.message()))?;
        let Some(cases) = root.remove("case") else {
            return policy_of(text).map_err(|problems| anyhow!("{problems}"));
        };
        let policy =
            policy_of(&toml::to_string(&root)?).map_err(|problems| anyhow!("{problems}"))?;
        let cases = toml::Table::from_iter([("case".to_owned(), cases)]);
        let cases = Cases::parse(&toml::to_string(&cases)?).map_err(|p| anyhow!("{p}"))?;
        let failed = cases.run(&policy).into_iter().find(|verdict| !verdict.passed());
        match failed {
            Some(verdict) => Err(anyhow!("a case of its own fails: {verdict}")),
            None => Ok(policy),
        }
    }

    /// A profile with a release in the place of its policy.
    ///
    /// # Errors
    /// Where it is of another profile, cannot be read, or names detectors that the profile has not configured.
    pub fn put(profile: Profile, release: &Release) -> anyhow::Result<Profile> {
        ensure!(
            profile.name == release.name.as_str(),
            "it is a policy for the profile {}, this is {}",
            release.name,
            profile.name
        );
        let policy = Self::parse(&release.text)?;
        let mut profile = profile.with_policy(policy).map_err(|problems| anyhow!("{problems}"))?;
        // Verdicts rest on another text now, whatever its version says.
        let parts = [profile.digest, Sha256::of(release.text.as_bytes())];
        profile.digest = Sha256::of_parts(&[parts[0].0.as_slice(), parts[1].0.as_slice()]);
        Ok(profile)
    }

    /// The same where nothing may keep the service from starting: what does not fit is left out, and the profile's own policy judges.
    pub fn put_or_leave(
        profile: &str,
        load: impl Fn() -> anyhow::Result<Profile>,
        release: &Release,
    ) -> anyhow::Result<Profile> {
        match Self::put(load()?, release) {
            Ok(profile) => Ok(profile),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, profile, version = release.version, scope = %release.to,
                    "the hub's policy cannot be used; the profile's own judges in its place");
                load()
            }
        }
    }
}

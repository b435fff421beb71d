//! Policies and hash lists that were released.

use domain::directive::{Address, BadRelease, Release, ReleaseKind, Released};
use domain::journal::{Actor, TenantId};
use store::Kept;

use super::{App, Outcome, Stop, refuse};
use crate::config::Config;
use crate::profile;
use crate::serve::releases::{self, Releases};
use crate::serve::reload::{self, Turn};

/// Takes a release up in the place of the one in force: tried first, put in force, kept with the receipt.
pub fn take_up(
    app: &App,
    turn: &Turn<'_>,
    to: &Address,
    released: &Released,
    key: Option<&[u8]>,
) -> Outcome {
    let Some(key) = key else {
        let detail = "this box knows no release key: enrol it again at a hub that has one";
        return refuse("no_release_key", detail);
    };
    let release = match released.open(key) {
        Ok(release) => release,
        Err(error @ BadRelease::Signature) => return refuse("bad_signature", error.to_string()),
        Err(error @ BadRelease::Damaged(_)) => return refuse("bad_content", error.to_string()),
    };
    if release.to != *to {
        return refuse("not_for_us", format!("it was released to {}", release.to));
    }
    let releases = Releases::read(&app.store)?;
    if let Some(known) = releases.same(&release) {
        if *known == release {
            return Ok(Kept::default());
        }
        if known.version >= release.version {
            let detail = format!("version {} after {}", release.version, known.version);
            return refuse("older_version", detail);
        }
    }
    let releases = releases.with(release.clone());
    let config = turn.as_ref().unwrap_or(&app.config);
    if let Err(error) = check(config, &releases, &release) {
        return refuse("unusable", format!("{error:#}"));
    }
    if let Err(error) = reload::take_releases(app, turn, &releases, &Actor::Hub) {
        return match error.chain().any(|cause| cause.is::<store::Error>()) {
            true => Err(Stop::Trouble(format!("{error:#}").into())),
            false => refuse("unusable", format!("{error:#}")),
        };
    }
    Ok(Kept { release: Some(release), ..Kept::default() })
}

/// Whether it reads, passes its own cases, and fits the profiles of all tenants whom it concerns.
fn check(config: &Config, releases: &Releases, release: &Release) -> anyhow::Result<()> {
    match release.kind {
        _ if release.withdraws() => {}
        ReleaseKind::Policy => releases::parse_policy(&release.text).map(drop)?,
        ReleaseKind::Bank => releases::parse_bank(release)?,
    }
    let concerned = |id: &TenantId| match &release.to {
        Address::Tenant(tenant) => tenant == id,
        Address::Fleet | Address::Box(_) => true,
    };
    for (id, tenant) in config.tenants.iter().filter(|(id, _)| concerned(id)) {
        let profile = profile::load(&tenant.profile)?;
        let chosen = releases.of(&profile.name, id);
        let fits = chosen.put(profile, &config.data);
        fits.map_err(|error| error.context(format!("for the tenant {id}")))?;
    }
    Ok(())
}

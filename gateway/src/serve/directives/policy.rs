//! Policies that were released.

use domain::directive::{Address, BadRelease, Release, ReleaseKind, Released};
use domain::journal::{Actor, TenantId};
use store::Kept;

use super::{App, Outcome, Stop, refuse};
use crate::config::Config;
use crate::profile;
use crate::serve::page::self_test;
use crate::serve::policies::Policies;
use crate::serve::reload::{self, Turn};

/// Takes a policy up in the place of the one in force: tried first, put in force, kept with the receipt.
pub fn take_up(
    app: &App,
    turn: &Turn<'_>,
    to: &Address,
    released: &Released,
    key: Option<&[u8]>,
) -> Outcome {
    let Some(key) = key else {
        return refuse(
            "no_release_key",
            "this box knows no release key: enrol it again at a hub that has one",
        );
    };
    let release = match released.open(key) {
        Ok(release) => release,
        Err(error @ BadRelease::Signature) => return refuse("bad_signature", error.to_string()),
        Err(error @ BadRelease::Damaged(_)) => return refuse("bad_content", error.to_string()),
    };
    if release.kind != ReleaseKind::Policy {
        return refuse("unknown_order", "this release takes no hash lists of the hub yet");
    }
    if release.to != *to {
        return refuse("not_for_us", format!("it was released to {}", release.to));
    }
    let policies = Policies::read(&app.store)?;
    if let Some(known) = policies.same(&release) {
        if *known == release {
            return Ok(Kept::default());
        }
        if known.version >= release.version {
            let detail = format!("version {} after {}", release.version, known.version);
            return refuse("older_version", detail);
        }
    }
    let config = turn.as_ref().unwrap_or(&app.config);
    check(app, config, &release)?;
    let policies = policies.with(release.clone());
    if let Err(error) = reload::take_policies(app, turn, &policies, &Actor::Hub) {
        return match error.chain().any(|cause| cause.is::<store::Error>()) {
            true => Err(Stop::Trouble(format!("{error:#}").into())),
            false => refuse("unusable", format!("{error:#}")),
        };
    }
    Ok(Kept { release: Some(release), rematches: Vec::new() })
}

/// Whether it reads, passes its own cases, and fits the profiles of all tenants whom it concerns.
fn check(app: &App, config: &Config, release: &Release) -> Result<(), Stop> {
    if let Err(error) = Policies::parse(&release.text) {
        return refuse("unusable", format!("{error:#}"));
    }
    let concerned = |id: &TenantId| match &release.to {
        Address::Tenant(tenant) => tenant == id,
        Address::Fleet => true,
        Address::Box(of) => *of == app.store.box_id(),
    };
    let tenants = config.tenants.iter().filter(|(id, _)| !self_test::is_own(id) && concerned(id));
    for (id, tenant) in tenants {
        let fits = profile::load(&tenant.profile).and_then(|profile| {
            match profile.name == release.name.as_str() {
                true => Policies::put(profile, release).map(drop),
                false => Ok(()),
            }
        });
        if let Err(error) = fits {
            return refuse("unusable", format!("for the tenant {id}: {error:#}"));
        }
    }
    Ok(())
}

//! The keys that a box trusts, and how another takes the place of one.

use std::sync::{Mutex, PoisonError};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::directive::{KeyUse, Rotate};
use store::Kept;

use super::{App, Outcome, Stop, refuse};
use crate::enrolment::{self, Enrolment};

/// Public keys, Ed25519, 32 bytes each.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Of directives.
    pub hub: Vec<u8>,
    /// Of policies and hash lists; none where the fleet has none, and then none are taken.
    pub release: Option<Vec<u8>>,
}

impl Keys {
    /// Those of an enrolment.
    pub fn of(enrolment: &Enrolment) -> Self {
        Self { hub: enrolment.hub_key.clone(), release: enrolment.release_key.clone() }
    }
}

/// Another key takes the place of one: in the file first, so that it is still trusted after a crash.
pub fn rotate(app: &App, keys: &Mutex<Keys>, rotate: &Rotate) -> Outcome {
    let mut keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
    let new = rotate.key.0.to_vec();
    let text = BASE64_STANDARD.encode(&new);
    match rotate.of {
        KeyUse::Hub => {
            write(app, |granted| granted.hub_key = text)?;
            keys.hub = new;
        }
        KeyUse::Release => {
            let Some(old) = &keys.release else {
                return refuse("no_release_key", "there is none here whose place it could take");
            };
            // The old one is gone where this comes once more.
            if *old == new {
                return Ok(Kept::default());
            }
            if !rotate.is_by(old) {
                return refuse("bad_signature", "the old release key has not signed the new one");
            }
            write(app, |granted| granted.release_key = Some(text))?;
            keys.release = Some(new);
        }
    }
    tracing::warn!(of = ?rotate.of, "the hub replaced a key");
    Ok(Kept::default())
}

fn write(app: &App, change: impl FnOnce(&mut sync::identity::enrol::Granted)) -> Result<(), Stop> {
    let written = enrolment::change(app.store.dir(), app.store.box_id(), change);
    written.map_err(|error| Stop::Trouble(format!("{error:#}").into()))
}

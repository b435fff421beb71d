//! Orders that switch something: flags, and the box as a whole.

use domain::directive::{Address, Bundle, Drain, Flag};
use domain::journal::{Actor, Code};
use store::Kept;

use super::{App, Outcome, refuse};
use sync::blob::MOST_BLOB_BYTES;

/// A flag. At the address of a tenant it is called `tenant/NAME:FLAG`, for the flags of a box are one list.
pub fn flag(app: &App, to: &Address, flag: &Flag) -> Outcome {
    let name = match to {
        Address::Tenant(_) => match format!("{to}:{}", flag.name).parse::<Code>() {
            Ok(name) => name,
            Err(error) => return refuse("bad_content", error.to_string()),
        },
        Address::Fleet | Address::Box(_) => flag.name.clone(),
    };
    app.store.set_flag(name, flag.on, Actor::Hub).wait()?;
    Ok(Kept::default())
}

/// Out of service, or back in: what a technician's button does. A restart takes new work again, whoever drained the box.
pub fn drain(app: &App, to: &Address, drain: Drain) -> Outcome {
    if matches!(to, Address::Tenant(_)) {
        return refuse(
            "wrong_address",
            "a box is drained for all its tenants: order it by box or fleet",
        );
    }
    let call = if drain.on { "box.drain" } else { "box.resume" };
    app.store.note(None, Code::lossy(call), Actor::Hub).wait()?;
    app.desk.drain(drain.on);
    tracing::warn!(call, "by the hub");
    Ok(Kept::default())
}

/// A bundle of a model: it is kept that it is wanted; fetching and installing it comes afterwards, and holds up no lane.
pub fn bundle(to: &Address, bundle: Bundle) -> Outcome {
    if matches!(to, Address::Tenant(_)) {
        return refuse("wrong_address", "models are the box's: order it by box or fleet");
    }
    if !(1..=MOST_BLOB_BYTES).contains(&bundle.bytes) {
        return refuse("bad_content", format!("a bundle of {} bytes", bundle.bytes));
    }
    Ok(Kept { bundle: Some(bundle), ..Kept::default() })
}

//! A moderator's word on a submission, taken back.

use domain::directive::{Address, Reopen};
use store::{Error, Kept};

use super::{App, Outcome, refuse};
use crate::serve::notify;

/// What stood before the moderator's decision stands again.
pub fn take_back(app: &App, to: &Address, reopen: &Reopen) -> Outcome {
    if !matches!(to, Address::Box(_)) {
        return refuse("wrong_address", "a submission is one box's: order it by box");
    }
    let Some(tenant) = app.tenants.get(&reopen.tenant) else {
        return refuse("unknown_tenant", format!("the tenant {} is not served", reopen.tenant));
    };
    let (of, id, ladder) = (reopen.tenant.clone(), reopen.submission, tenant.ladder());
    match app.store.reopen(of, id, reopen.seen, ladder, notify::tell(&tenant)).wait() {
        Err(Error::NotFound(_)) => {
            return refuse("unknown_submission", "it is not here, or not any more");
        }
        Err(Error::Conflict(why)) => {
            return refuse("superseded", format!("decision {}: {why}", reopen.seen));
        }
        other => other?,
    }
    app.effects_ready.notify_one();
    app.messages_ready.notify_one();
    app.directives.rematch_ready.notify_one();
    Ok(Kept::default())
}

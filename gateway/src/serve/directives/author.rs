//! Orders on authors.

use domain::directive::{Address, AuthorRef, Erase, SetStanding};
use domain::journal::{Actor, AuthorNumber, TenantId};
use store::{Error, Kept};

use super::{Hub, Outcome, Stop, lane_is_of, refuse};
use crate::serve::tenant;

/// A penalty, or its end. By a key it holds for an author too whom this box has not met yet.
pub fn set_standing(hub: &Hub, to: &Address, order: &SetStanding) -> Outcome {
    let app = &hub.app;
    lane_is_of(to, &order.tenant)?;
    let Some(tenant) = app.tenants.get(&order.tenant) else {
        return refuse("unknown_tenant", format!("the tenant {} is not served", order.tenant));
    };
    let (of, ladder) = (order.tenant.clone(), tenant.ladder());
    let (level, until) = (order.level, order.until);
    match order.author {
        AuthorRef::Key(key) => {
            key_is_ours(hub, &order.tenant)?;
            app.store.set_standing_of(of, key.0, level, until, ladder, Actor::Hub).wait()?;
        }
        AuthorRef::Number(number) => {
            number_is_ours(to)?;
            match app.store.set_standing(of, number, level, until, ladder, Actor::Hub).wait() {
                Ok(_) => {}
                Err(Error::NotFound(_)) => return refuse("unknown_author", "no such author here"),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(Kept::default())
}

/// Erases an author. One who is not here, or not any more, is as the order wants it; the tenant need not be served any more either.
pub fn erase(hub: &Hub, to: &Address, order: &Erase) -> Outcome {
    let app = &hub.app;
    lane_is_of(to, &order.tenant)?;
    let number: Option<AuthorNumber> = match order.author {
        AuthorRef::Key(key) => match app.store.author(&order.tenant, &key.0) {
            Ok(number) => Some(number),
            Err(Error::NotFound(_)) => {
                // That nobody is here is only worth a receipt where they would be known by that name.
                if app.store.has_authors(&order.tenant)? {
                    key_is_ours(hub, &order.tenant)?;
                }
                None
            }
            Err(error) => return Err(error.into()),
        },
        AuthorRef::Number(number) => {
            number_is_ours(to)?;
            Some(number)
        }
    };
    let Some(number) = number else { return Ok(Kept::default()) };
    match app.store.erase_author(order.tenant.clone(), number, Actor::Hub).wait() {
        Ok(_) => app.effects_ready.notify_one(),
        Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Kept::default())
}

/// The hub names authors by a secret of its own: one who is named here by another is not found, which is not to be taken for gone.
fn key_is_ours(hub: &Hub, tenant: &TenantId) -> Result<(), Stop> {
    let same = match hub.secrets.get(tenant) {
        Some(secret) => tenant::is_secret(hub.app.store.dir(), tenant, secret)
            .map_err(|error| Stop::Trouble(format!("{error:#}").into()))?,
        None => false,
    };
    match same {
        true => Ok(()),
        false => refuse(
            "other_secret",
            format!("authors of {tenant} have their names here by another secret than the hub's"),
        ),
    }
}

/// A number was drawn by one box and means somebody else, or nobody, on another.
fn number_is_ours(to: &Address) -> Result<(), Stop> {
    match to {
        Address::Box(_) => Ok(()),
        _ => refuse("wrong_address", "an author's number is one box's: order it by box, or by key"),
    }
}

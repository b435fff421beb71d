//! Orders on authors.

use domain::directive::{Address, AuthorRef, Erase, SetStanding};
use domain::journal::{Actor, AuthorNumber};
use store::{Error, Kept};

use super::{App, Outcome, Stop, lane_is_of, refuse};

/// A penalty, or its end. By a key it holds for an author too whom this box has not met yet.
pub fn set_standing(app: &App, to: &Address, order: &SetStanding) -> Outcome {
    lane_is_of(to, &order.tenant)?;
    let Some(tenant) = app.tenants.get(&order.tenant) else {
        return refuse("unknown_tenant", format!("the tenant {} is not served", order.tenant));
    };
    let (of, ladder) = (order.tenant.clone(), tenant.ladder());
    let (level, until) = (order.level, order.until);
    match order.author {
        AuthorRef::Key(key) => {
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
pub fn erase(app: &App, to: &Address, order: &Erase) -> Outcome {
    lane_is_of(to, &order.tenant)?;
    let number: Option<AuthorNumber> = match order.author {
        AuthorRef::Key(key) => match app.store.author(&order.tenant, &key.0) {
            Ok(number) => Some(number),
            Err(Error::NotFound(_)) => None,
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

/// A number was drawn by one box and means somebody else, or nobody, on another.
fn number_is_ours(to: &Address) -> Result<(), Stop> {
    match to {
        Address::Box(_) => Ok(()),
        _ => refuse("wrong_address", "an author's number is one box's: order it by box, or by key"),
    }
}

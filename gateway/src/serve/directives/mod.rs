//! The hub's directives as a box takes them: who they are by and for whom, in which order, and what becomes of them.
//!
//! One at a time. What a directive orders is done first; then its place moves and the receipt goes into the journal, in one
//! transaction. A crash in between has it done once more, which every order bears. What cannot be done is refused with a word for why
//! (docs/directives.md), and its lane goes on: one bad order must not hold up those behind it.

mod author;
mod keys;
mod list;
mod release;
mod rematches;
mod reopen;
#[cfg(test)]
mod reopen_tests;
#[cfg(test)]
pub mod rig;
mod rule;
mod switch;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::directive::{Address, Copied, Distrust, Order, Place, SignedDirective, Told};
use domain::journal::{Code, Seq, TenantId};
use store::Kept;
use sync::directives::{self, Taken};
use sync::journal::Trouble;
use tokio::sync::Notify;

use super::App;
use super::page::self_test;
use super::reload::Turn;
use crate::enrolment::Enrolment;
use keys::Keys;
pub use rematches::run;
pub use tally::{Tally, View};

/// What the service knows of directives beside the store.
#[derive(Debug, Default)]
pub struct Directives {
    /// Held while one is taken: a connection that ends may leave one under way when the next begins.
    turn: Mutex<()>,
    /// What was taken and passed over.
    pub tally: Tally,
    /// A list has changed that is still to be matched with what was seen.
    rematch_ready: Notify,
}

/// The hub whose directives are taken.
pub struct Hub {
    app: Arc<App>,
    keys: Mutex<Keys>,
    secrets: Secrets,
}

/// By which the hub names the authors of its tenants.
type Secrets = BTreeMap<TenantId, [u8; 32]>;

/// Why an order was not done.
enum Stop {
    /// It cannot be done, now or later: for the receipt in a word, for the log in words.
    Refused(&'static str, String),
    /// The box is in trouble: it comes again.
    Trouble(Trouble),
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Self {
        Self::Trouble(error.into())
    }
}

/// What is to be kept with the receipt, or why it was not done.
type Outcome = Result<Kept, Stop>;

fn refuse<T>(code: &'static str, detail: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Refused(code, detail.into()))
}

impl Hub {
    /// The hub that granted an enrolment.
    pub fn new(app: Arc<App>, enrolment: &Enrolment) -> Self {
        Self::trusting(app, Keys::of(enrolment), enrolment.secrets.clone())
    }

    fn trusting(app: Arc<App>, keys: Keys, secrets: Secrets) -> Self {
        Self { app, keys: Mutex::new(keys), secrets }
    }

    fn keys(&self) -> Keys {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_for_us(&self, to: &Address) -> bool {
        match to {
            Address::Fleet => true,
            Address::Tenant(tenant) => serves(&self.app, tenant),
            Address::Box(of) => *of == self.app.store.box_id(),
        }
    }

    fn last(&self, place: &Place) -> Result<Seq, store::Error> {
        let all = self.app.store.directives_taken()?;
        let lane = all.iter().find(|known| (known.epoch, &known.to) == (place.epoch, &place.to));
        Ok(lane.map_or(Seq(0), |known| known.seq))
    }

    fn distrust(&self, why: &'static str, detail: &str) -> Taken {
        self.app.directives.tally.distrusted(&self.app.store, why, detail);
        Taken::Distrusted
    }

    /// Does what is ordered. What comes with it is to be kept until the receipt is: a reload in between would put in force again what
    /// a release replaces.
    fn apply(&self, told: &Told) -> (Outcome, Option<Turn<'_>>) {
        let (app, to) = (&self.app, &told.place.to);
        let outcome = match &told.order {
            None => refuse("unknown_order", format!("order {} is of a later release", told.kind)),
            Some(Order::Flag(flag)) => switch::flag(app, to, flag),
            Some(Order::Drain(drain)) => switch::drain(app, to, *drain),
            Some(Order::List(list)) => list::change(app, told, list),
            Some(Order::SetStanding(standing)) => author::set_standing(self, to, standing),
            Some(Order::Erase(erase)) => author::erase(self, to, erase),
            Some(Order::Rule(rule)) => rule::decide(app, told, rule),
            Some(Order::Reopen(reopen)) => reopen::take_back(app, to, reopen),
            Some(Order::Released(released)) => {
                let turn = app.reload.turn();
                let key = self.keys().release;
                let outcome = release::take_up(app, &turn, to, released, key.as_deref());
                return (outcome, Some(turn));
            }
            Some(Order::Bundle(bundle)) => switch::bundle(to, *bundle),
            Some(Order::Rotate(rotate)) => keys::rotate(app, &self.keys, rotate),
        };
        (outcome, None)
    }

    /// Does what is ordered, and keeps the receipt.
    fn settle(&self, signed: &SignedDirective, told: &Told) -> Result<Taken, Trouble> {
        let (outcome, _turn) = self.apply(told);
        let (mut kept, refused) = match outcome {
            Ok(kept) => (kept, None),
            Err(Stop::Refused(code, detail)) => (Kept::default(), Some((code, detail))),
            Err(Stop::Trouble(trouble)) => return Err(trouble),
        };
        let (rematches, bundle) = (!kept.rematches.is_empty(), kept.bundle.is_some());
        let secret = |tenant: &TenantId| self.secrets.get(tenant).copied();
        let order = told.order.as_ref();
        let copied = order.and_then(|order| Copied::of(signed, order, secret));
        kept.copy = copied.and_then(|copied| copied.encode());
        let code = refused.as_ref().map(|(code, _)| Code::lossy(code));
        let place = told.place.clone();
        if !self.app.store.directed(place, told.kind, code, kept).wait()? {
            return Ok(Taken::Known);
        }
        self.app.directives.tally.taken(told, refused.as_ref());
        if rematches {
            self.app.directives.rematch_ready.notify_one();
        }
        if bundle {
            self.app.bundles_ready.notify_one();
        }
        Ok(Taken::Done)
    }
}

impl directives::Directives for Hub {
    fn taken(&self) -> Result<Vec<Place>, Trouble> {
        // The driver asks each minute: what was counted since the last entry is told at the latest then.
        self.app.directives.tally.flush(&self.app.store);
        Ok(self.app.store.directives_taken()?)
    }

    fn take(&self, signed: &SignedDirective) -> Result<Taken, Trouble> {
        let _turn = self.app.directives.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let told = match signed.open(&self.keys().hub) {
            Ok(told) => told,
            Err(error @ Distrust::Unsigned) => {
                return Ok(self.distrust("unsigned", &error.to_string()));
            }
            Err(error @ Distrust::Not(_)) => {
                return Ok(self.distrust("damaged", &error.to_string()));
            }
        };
        if !self.is_for_us(&told.place.to) {
            let detail = format!("it is for {}", told.place.to);
            return Ok(self.distrust("not_for_us", &detail));
        }
        let last = self.last(&told.place)?;
        if told.place.seq <= last {
            self.app.directives.tally.repeated();
            return Ok(Taken::Known);
        }
        if told.place.seq > last.next() {
            return Ok(Taken::Gap);
        }
        self.settle(signed, &told)
    }
}

/// Whether the box serves a tenant; those of its own are nobody's to command.
fn serves(app: &App, tenant: &TenantId) -> bool {
    !self_test::is_own(tenant) && app.tenants.get(tenant).is_some()
}

/// Refuses an order on a tenant that came in another tenant's lane.
fn lane_is_of(to: &Address, tenant: &TenantId) -> Result<(), Stop> {
    match to {
        Address::Tenant(lane) if lane != tenant => {
            refuse("wrong_address", format!("it concerns the tenant {tenant}"))
        }
        _ => Ok(()),
    }
}

//! Directives on their way in: taken one at a time, in the order in which they come. What was missed is asked for by telling the
//! hub anew how far the box has come.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::directive::{Place, SignedDirective};

use crate::directives::{Directives, Taken};
use crate::frame::Up;

/// Directives that may wait; what comes beyond is dropped, and asked for once these are taken.
const MOST: usize = 64;

/// How often the hub is told where the box stands, whatever happens: a broker may lose what nobody misses.
const EVERY: Duration = Duration::from_secs(60);

/// The pause after a gap, so that what is under way does not ask for the same again.
const GAP: Duration = Duration::from_secs(1);

/// The pause after a directive that could not be taken.
const TROUBLE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Orders {
    directives: Option<Arc<dyn Directives>>,
    queue: VecDeque<SignedDirective>,
    /// Whether one is being taken, or looked up how far the box has come.
    busy: bool,
    /// Whether some were dropped.
    missed: bool,
    /// When to tell the hub how far the box has come; nothing where there is no connection.
    due: Option<Instant>,
    /// What to tell it.
    places: Option<Vec<Place>>,
}

/// What to do next on a thread of its own.
pub(super) enum Task {
    LookUp(Arc<dyn Directives>),
    Take(Arc<dyn Directives>, SignedDirective),
}

impl Orders {
    pub fn set(&mut self, directives: Arc<dyn Directives>) {
        self.directives = Some(directives);
    }

    /// The hub is there and listens.
    pub fn opened(&mut self, now: Instant) {
        self.due = Some(now);
    }

    /// It is gone. What it told is still taken.
    pub fn left(&mut self) {
        (self.due, self.places) = (None, None);
    }

    pub fn came(&mut self, directive: SignedDirective) {
        if self.directives.is_none() {
            return;
        }
        match self.queue.len() < MOST {
            true => self.queue.push_back(directive),
            false => self.missed = true,
        }
    }

    /// The next thing to do, where nothing is under way.
    pub fn next(&mut self, now: Instant) -> Option<Task> {
        let directives = self.directives.clone().filter(|_| !self.busy)?;
        if let Some(directive) = self.queue.pop_front() {
            self.busy = true;
            return Some(Task::Take(directives, directive));
        }
        if self.missed && self.due.is_some() {
            (self.missed, self.due) = (false, Some(now));
        }
        if self.due.is_some_and(|due| now >= due) {
            (self.busy, self.due) = (true, Some(now + EVERY));
            return Some(Task::LookUp(directives));
        }
        None
    }

    pub fn wake_at(&self) -> Option<Instant> {
        self.due.filter(|_| self.directives.is_some() && !self.busy)
    }

    /// Whether the one that was being taken is; `None` where the store could not.
    pub fn taken(&mut self, taken: Option<Taken>, now: Instant) {
        self.busy = false;
        let pause = match taken {
            Some(Taken::Done | Taken::Known | Taken::Distrusted) => return,
            Some(Taken::Gap) => GAP,
            None => TROUBLE,
        };
        // What waits is behind it in all likelihood; the rest comes again in any case.
        self.queue.clear();
        self.due = self.due.map(|_| now + pause);
    }

    pub fn looked_up(&mut self, places: Option<Vec<Place>>, now: Instant) {
        self.busy = false;
        match places {
            Some(places) if self.due.is_some() => self.places = Some(places),
            Some(_) => {}
            None => self.due = self.due.map(|_| now + TROUBLE),
        }
    }

    /// What to tell the hub.
    pub fn follow(&mut self) -> Option<Up> {
        self.places.take().map(Up::Follow)
    }
}

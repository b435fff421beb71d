//! Directives on their way in: taken one at a time, in the order in which they come. Whenever all are taken the hub is told, since
//! it has only so many under way; what was missed is asked for by telling it anew how far the box has come.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::directive::{Place, SignedDirective};

use crate::directives::{Directives, Taken};
use crate::frame::{Follow, Up};

/// Directives that may wait; what comes beyond is dropped, and asked for once these are taken. More than a hub has under way.
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
    /// Whether some were taken since the hub was last told.
    progress: bool,
    /// When to ask the hub anew; nothing where there is no connection.
    due: Option<Instant>,
    /// Whether what is being looked up asks anew.
    anew: bool,
    /// What to tell the hub.
    told: Option<Follow>,
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
        (self.due, self.told) = (None, None);
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
        let due = self.due?;
        if self.missed || now >= due {
            self.anew = true;
        } else if !self.progress {
            return None;
        }
        if self.anew {
            self.due = Some(now + EVERY);
        }
        (self.busy, self.missed, self.progress) = (true, false, false);
        Some(Task::LookUp(directives))
    }

    pub fn wake_at(&self) -> Option<Instant> {
        self.due.filter(|_| self.directives.is_some() && !self.busy)
    }

    /// What became of the one that was being taken; `None` where the store could not.
    pub fn taken(&mut self, taken: Option<Taken>, now: Instant) {
        self.busy = false;
        let pause = match taken {
            Some(Taken::Done | Taken::Known) => {
                self.progress = true;
                return;
            }
            Some(Taken::Distrusted) => return,
            Some(Taken::Gap) => GAP,
            None => TROUBLE,
        };
        // What waits is behind it in all likelihood; the rest comes again in any case.
        self.queue.clear();
        self.due = self.due.map(|_| now + pause);
    }

    pub fn looked_up(&mut self, places: Option<Vec<Place>>, now: Instant) {
        self.busy = false;
        let anew = std::mem::take(&mut self.anew);
        match places {
            Some(places) if self.due.is_some() => {
                let anew = anew || self.told.as_ref().is_some_and(|told| told.anew);
                self.told = Some(Follow { places, anew });
            }
            Some(_) => {}
            None => self.due = self.due.map(|_| now + TROUBLE),
        }
    }

    /// What to tell the hub.
    pub fn follow(&mut self) -> Option<Up> {
        self.told.take().map(Up::Follow)
    }
}

#[cfg(test)]
#[path = "orders_tests.rs"]
mod tests;

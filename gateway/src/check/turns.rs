//! Hands out the inputs one after the other, never further ahead of the printed ones than memory should hold.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Whose turn it is.
pub struct Turns {
    state: Mutex<State>,
    moved: Condvar,
    ahead: usize,
}

struct State {
    next: usize,
    total: usize,
    printed: usize,
}

impl Turns {
    /// Turns for `total` inputs, at most `ahead` beyond the printed ones.
    pub fn new(total: usize, ahead: usize) -> Self {
        let state = Mutex::new(State { next: 0, total, printed: 0 });
        Self { state, moved: Condvar::new(), ahead: ahead.max(1) }
    }

    /// The next input's index; waits while too many verdicts wait to be printed. `None` when there is none left.
    pub fn next(&self) -> Option<usize> {
        let mut state = self.lock();
        while state.next < state.total && state.next >= state.printed + self.ahead {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let index = state.next;
        (index < state.total).then(|| {
            state.next += 1;
            index
        })
    }

    /// So many verdicts are printed.
    pub fn printed(&self, count: usize) {
        self.lock().printed = count;
        self.moved.notify_all();
    }

    /// Hands out no more.
    pub fn close(&self) {
        self.lock().total = 0;
        self.moved.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is sound after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_has_one_turn_and_nobody_runs_ahead() {
        let turns = Turns::new(5, 2);
        assert_eq!((turns.next(), turns.next()), (Some(0), Some(1)));
        std::thread::scope(|scope| {
            let third = scope.spawn(|| turns.next());
            turns.printed(1);
            assert_eq!(third.join().ok().flatten(), Some(2));
        });
        turns.printed(5);
        assert_eq!((turns.next(), turns.next(), turns.next()), (Some(3), Some(4), None));
    }

    #[test]
    fn who_waits_is_released_when_it_is_closed() {
        let turns = Turns::new(5, 1);
        assert_eq!(turns.next(), Some(0));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| turns.next());
            turns.close();
            assert_eq!(waiting.join().ok().flatten(), None);
        });
    }
}

//! How often strangers may ask for certificates: each call costs a signature and a transaction.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::account::knock::network;

/// The time over which calls are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// Calls of one address (a /64 of the newer kind) in that time: many boxes may sit behind one.
const OF_ONE: u32 = 60;

/// Calls of all together, which also bounds the memory that counting takes.
const OF_ALL: usize = 600;

/// Counts calls of this node.
#[derive(Debug, Default)]
pub(super) struct Rate(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    calls: usize,
    of: HashMap<IpAddr, u32>,
}

impl Rate {
    /// Whether this call may go on.
    pub fn admits(&self, from: IpAddr, now: Instant) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.is_none_or(|began| now.duration_since(began) >= WINDOW) {
            *window = Window { began: Some(now), ..Window::default() };
        }
        let Window { calls, of, .. } = &mut *window;
        if *calls >= OF_ALL {
            return false;
        }
        let own = of.entry(network(from)).or_default();
        let admits = *own < OF_ONE;
        if admits {
            *own += 1;
            *calls += 1;
        }
        admits
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn one_address_does_not_use_up_what_all_have_and_all_have_a_bound() {
        let (rate, now) = (Rate::default(), Instant::now());
        let admitted = |from: &str, many: usize| {
            let from = from.parse().unwrap();
            (0..many).filter(|_| rate.admits(from, now)).count()
        };
        assert_eq!(admitted("192.0.2.1", 100), 60);
        assert_eq!(admitted("::ffff:192.0.2.1", 1), 0, "the same in its mapped form");
        assert_eq!(admitted("2001:db8::1", 40) + admitted("2001:db8::2", 40), 60);
        let others: usize = (1..100u8).map(|n| admitted(&format!("198.51.100.{n}"), 60)).sum();
        assert_eq!(others, 600 - 120);
        assert!(rate.admits("192.0.2.1".parse().unwrap(), now + WINDOW));
    }
}

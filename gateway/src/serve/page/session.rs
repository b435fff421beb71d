//! Who is in by PIN: sessions, and the count of wrong PINs. Takes the time as an argument.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::pin::hex;

/// How long a PIN holds.
pub const SESSION: Duration = Duration::from_secs(15 * 60);

/// How long a wrong PIN counts.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// Wrong PINs within it, from one address and from all.
const FROM_ONE: usize = 5;
const FROM_ALL: usize = 20;

/// Sessions at once; the oldest gives way.
const SESSIONS: usize = 8;

/// The cookie.
pub const COOKIE: &str = "weir_technician";

/// Sessions and wrong PINs. Gone with the process: a restart asks for the PIN again.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: VecDeque<Session>,
    /// Attempts that failed or are being checked, the oldest first; never more than [`FROM_ALL`].
    wrong: VecDeque<(Duration, IpAddr)>,
}

#[derive(Clone, Debug)]
struct Session {
    /// SHA-256 of the cookie's value, so that the look-up's time tells nothing of it.
    cookie: [u8; 32],
    /// What its forms carry.
    token: String,
    until: Duration,
}

/// An attempt that is being checked: it counts as wrong until it turns out right.
#[derive(Debug)]
pub struct Attempt(Duration, IpAddr);

impl Sessions {
    /// Begins an attempt. Counted before the PIN is looked at, so that many at once are no way around the limit.
    ///
    /// # Errors
    /// How long to wait where there were too many.
    pub fn attempt(&self, now: Duration, from: IpAddr) -> Result<Attempt, Duration> {
        let from = network(from);
        let mut inner = self.inner();
        while inner.wrong.front().is_some_and(|(at, _)| *at + WINDOW <= now) {
            inner.wrong.pop_front();
        }
        let (all, one): (Vec<_>, Vec<_>) = (
            inner.wrong.iter().map(|(at, _)| *at).collect(),
            inner.wrong.iter().filter(|(_, ip)| *ip == from).map(|(at, _)| *at).collect(),
        );
        for (wrong, most) in [(one, FROM_ONE), (all, FROM_ALL)] {
            if wrong.len() >= most {
                let first = wrong[wrong.len() - most];
                return Err(first + WINDOW - now);
            }
        }
        inner.wrong.push_back((now, from));
        Ok(Attempt(now, from))
    }

    /// The PIN was right: a session. Its cookie's value; `None` where the system gives no random numbers.
    pub fn open(&self, now: Duration, attempt: &Attempt) -> Option<String> {
        let (cookie, token) = (random()?, random()?);
        let mut inner = self.inner();
        let mine = inner.wrong.iter().position(|(at, ip)| (*at, *ip) == (attempt.0, attempt.1));
        if let Some(mine) = mine {
            inner.wrong.remove(mine);
        }
        inner.open.retain(|s| s.until > now);
        while inner.open.len() >= SESSIONS {
            inner.open.pop_front();
        }
        let session = Session { cookie: hashed(&cookie), token, until: now + SESSION };
        inner.open.push_back(session);
        Some(cookie)
    }

    /// The token of the forms of a session, and how long it still holds.
    pub fn token(&self, now: Duration, cookie: &str) -> Option<(String, Duration)> {
        let cookie = hashed(cookie);
        let inner = self.inner();
        let session = inner.open.iter().find(|s| s.cookie == cookie && s.until > now)?;
        Some((session.token.clone(), session.until - now))
    }

    /// Whether a form comes from a page of this session.
    pub fn may(&self, now: Duration, cookie: &str, token: &str) -> bool {
        // Both are compared by hash: no byte of either tells how far a guess was right.
        self.token(now, cookie).is_some_and(|(ours, _)| hashed(&ours) == hashed(token))
    }

    /// Ends a session.
    pub fn close(&self, cookie: &str) {
        let cookie = hashed(cookie);
        self.inner().open.retain(|s| s.cookie != cookie);
    }

    /// Ends all sessions and forgets all wrong PINs: there is a new PIN.
    pub fn reset(&self) {
        *self.inner() = Inner::default();
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever has an IPv6 address has 64 bits of them.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 => v4,
    }
}

fn random() -> Option<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(hex(&bytes))
}

fn hashed(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn the_sixth_wrong_pin_of_an_address_waits_and_others_may_still_try() {
        let sessions = Sessions::default();
        for n in 0..5 {
            sessions.attempt(S(n), ip("2001:db8::1")).unwrap();
        }
        // The same 64 bits are the same person.
        assert_eq!(sessions.attempt(S(10), ip("2001:db8::2")).unwrap_err(), S(890));
        assert_eq!(sessions.attempt(S(899), ip("2001:db8::1")).unwrap_err(), S(1));
        sessions.attempt(S(899), ip("192.0.2.1")).unwrap();
        sessions.attempt(S(900), ip("2001:db8::1")).unwrap();
        assert_eq!(sessions.attempt(S(900), ip("2001:db8::1")).unwrap_err(), S(1));
    }

    #[test]
    fn twenty_wrong_pins_of_many_addresses_stop_all() {
        let sessions = Sessions::default();
        for n in 0..20 {
            sessions.attempt(S(n), ip(&format!("192.0.2.{n}"))).unwrap();
        }
        assert_eq!(sessions.attempt(S(30), ip("198.51.100.1")).unwrap_err(), S(870));
        sessions.reset();
        sessions.attempt(S(31), ip("198.51.100.1")).unwrap();
    }

    #[test]
    fn a_right_pin_does_not_count_and_holds_for_a_quarter_of_an_hour() {
        let sessions = Sessions::default();
        for n in 0..30 {
            let attempt = sessions.attempt(S(n), ip("192.0.2.1")).unwrap();
            sessions.open(S(n), &attempt).unwrap();
        }
        let attempt = sessions.attempt(S(40), ip("192.0.2.1")).unwrap();
        let cookie = sessions.open(S(40), &attempt).unwrap();
        let (token, left) = sessions.token(S(41), &cookie).unwrap();
        assert_eq!(left, S(899));
        assert!(sessions.may(S(41), &cookie, &token));
        assert!(!sessions.may(S(41), &cookie, "") && !sessions.may(S(41), &token, &cookie));
        assert!(!sessions.may(S(940), &cookie, &token), "it is over");
        assert!(sessions.inner().open.len() <= SESSIONS);
        sessions.close(&cookie);
        assert!(!sessions.may(S(41), &cookie, &token));
    }
}

//! Passwords: argon2id with the crate's defaults (19 MiB, two passes: OWASP's recommendation), off the runtime's threads.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;

use crate::Error;

/// Characters of a password: NIST SP 800-63B asks for no mixture, only for length where it is one of two factors; longer ones cost
/// nothing but time.
pub const LEAST: usize = 12;
const MOST: usize = 256;

/// Passwords hashed at once: each takes 19 MiB, and a core for tens of milliseconds.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// Of no password: what is verified where there is no such account, so that time does not tell.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$d2VpciBub2JvZHkgaGVyZQ$K1ClRgQoXxMlLo1YMg0cuYpuGUtgSPKRSq6T8Ne8DvA";

/// Whether a password may be one.
///
/// # Errors
/// [`Error::Invalid`] with what to do.
pub fn check(password: &str, name: &str) -> Result<(), Error> {
    let invalid = |what: String| Err(Error::Invalid(what));
    let length = password.chars().count();
    if length < LEAST {
        const { assert!(LEAST == 12, "the sentence says so, in every language") };
        return invalid("a password has at least 12 characters; some words will do".into());
    }
    if length > MOST {
        return invalid(format!("a password has at most {MOST} characters"));
    }
    let lower = password.to_lowercase();
    let first = lower.chars().next();
    let named = name.len() >= 4 && lower.contains(name);
    if named || lower.contains("password") || lower.chars().all(|c| Some(c) == first) {
        return invalid(
            "that password is among the first that somebody would try: take another".into(),
        );
    }
    Ok(())
}

/// The PHC string to keep.
///
/// # Errors
/// Where the system has no randomness.
pub async fn hash(password: String) -> Result<String, Error> {
    let hashed = off(move || {
        let hash = Argon2::default().hash_password(password.as_bytes());
        hash.map(|hash| hash.to_string()).map_err(|error| error.to_string())
    });
    hashed.await?.map_err(|error| Error::Invalid(format!("the password cannot be hashed: {error}")))
}

/// Whether it is the password; takes as long where there is none.
///
/// # Errors
/// Where the hub is stopping.
pub async fn verify(password: String, kept: Option<String>) -> Result<bool, Error> {
    off(move || {
        let text = kept.as_deref().unwrap_or(NOBODY);
        let Ok(hash) = PasswordHash::new(text) else { return false };
        let right = Argon2::default().verify_password(password.as_bytes(), &hash).is_ok();
        right && kept.is_some()
    })
    .await
}

async fn off<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let _turn = AT_ONCE.acquire().await.map_err(|_| Error::Closed)?;
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_nobody_has_none() {
        let kept = hash("correct horse battery".into()).await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(verify("correct horse battery".into(), Some(kept.clone())).await.unwrap());
        assert!(!verify("correct horse batter".into(), Some(kept)).await.unwrap());
        assert!(!verify(String::new(), None).await.unwrap());
        assert!(PasswordHash::new(NOBODY).is_ok(), "it is verified in earnest");
    }

    #[test]
    fn what_would_be_tried_first_is_refused() {
        for bad in ["short", "aaaaaaaaaaaaaaaa", "my password is", "anna anna anna"] {
            assert!(check(bad, "anna").is_err(), "{bad}");
        }
        check("three small words", "anna").unwrap();
    }
}

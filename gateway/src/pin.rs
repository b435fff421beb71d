//! The technician's PIN: `weir pin`, and how it is kept.
//!
//! Kept as `pbkdf2-sha256$ROUNDS$SALT$HASH` (PBKDF2-HMAC-SHA256, salt and hash in hexadecimal), in the database.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::num::NonZeroU32;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use ring::pbkdf2;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::cli::{PinArguments, PinCommand};
use crate::control::{Request, ask, data_dir};

/// Rounds of PBKDF2-HMAC-SHA256, by OWASP's advice of 2023: a fifth of a second on a small box.
const ROUNDS: NonZeroU32 = match NonZeroU32::new(600_000) {
    Some(rounds) => rounds,
    None => NonZeroU32::MIN,
};

/// More rounds than this are a damaged row, not a hash.
const MOST_ROUNDS: u32 = 10_000_000;

/// Digits of a PIN.
const DIGITS: std::ops::RangeInclusive<usize> = 6..=32;

const METHOD: &str = "pbkdf2-sha256";

/// Runs `weir pin`.
pub fn run(arguments: PinArguments) -> anyhow::Result<ExitCode> {
    let data = data_dir(arguments.data);
    match arguments.command {
        PinCommand::Set { generate } => {
            let pin = if generate { make()? } else { read()? };
            ask(&data, Request::PinSet { hash: Some(hash(&pin)?) })?;
            if generate {
                writeln!(std::io::stdout().lock(), "{pin}")?;
                eprintln!("weir: the PIN is shown this once and kept nowhere in clear");
            } else {
                eprintln!("weir: the PIN is set");
            }
        }
        PinCommand::Clear => {
            ask(&data, Request::PinSet { hash: None })?;
            eprintln!("weir: the PIN is removed; nobody can act by PIN");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// From standard input, never from the command line, which others on the machine can read.
fn read() -> anyhow::Result<String> {
    let input = std::io::stdin();
    if input.is_terminal() {
        eprint!("weir: type the new PIN ({} to {} digits): ", DIGITS.start(), DIGITS.end());
    }
    let mut line = String::new();
    input.lock().take(1 << 10).read_line(&mut line).context("cannot read the PIN")?;
    let pin = line.trim();
    ensure!(
        DIGITS.contains(&pin.len()) && pin.bytes().all(|b| b.is_ascii_digit()),
        "a PIN has {} to {} digits and nothing else; `weir pin set --generate` makes one",
        DIGITS.start(),
        DIGITS.end()
    );
    let same = pin.bytes().all(|b| Some(b) == pin.bytes().next());
    if same || "01234567890123456789".contains(pin) || "98765432109876543210".contains(pin) {
        bail!("this PIN is the first that anybody tries; take another");
    }
    Ok(pin.to_owned())
}

/// Eight digits, each as likely as the next.
fn make() -> anyhow::Result<String> {
    let random = SystemRandom::new();
    let mut pin = String::new();
    while pin.len() < 8 {
        let mut byte = [0];
        random
            .fill(&mut byte)
            .map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
        // 250 is the largest multiple of ten here: beyond it low digits would come more often.
        if byte[0] < 250 {
            pin.push(char::from(b'0' + byte[0] % 10));
        }
    }
    Ok(pin)
}

/// As the PIN is kept. Slow on purpose.
///
/// # Errors
/// Where the system gives no random numbers.
pub fn hash(pin: &str) -> anyhow::Result<String> {
    let mut salt = [0; 16];
    SystemRandom::new()
        .fill(&mut salt)
        .map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    let mut hash = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, &salt, pin.as_bytes(), &mut hash);
    Ok(format!("{METHOD}${ROUNDS}${}${}", hex(&salt), hex(&hash)))
}

/// Whether this is the PIN. Slow on purpose; compares in constant time. What cannot be read matches nothing.
pub fn matches(kept: &str, pin: &str) -> bool {
    let mut parts = kept.split('$');
    let (Some(METHOD), Some(rounds), Some(salt), Some(hash), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let rounds = rounds.parse().ok().filter(|n| *n <= MOST_ROUNDS).and_then(NonZeroU32::new);
    let (Some(rounds), Some(salt), Some(hash)) = (rounds, unhex(salt), unhex(hash)) else {
        return false;
    };
    hash.len() == 32
        && pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, pin.as_bytes(), &hash).is_ok()
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|n| u8::from_str_radix(text.get(n..n + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;

    #[test]
    fn only_the_pin_itself_matches_its_hash() {
        // PBKDF2-HMAC-SHA256, password "password", salt "salt", 1 round: the usual test vector.
        let vector = "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b";
        assert!(matches(&format!("{METHOD}$1$73616c74${vector}"), "password"));
        assert!(!matches(&format!("{METHOD}$1$73616c74${vector}"), "Password"));
        for broken in ["", "plain", "pbkdf2-sha256$0$73$00", "pbkdf2-sha256$1$73616c74$", "a$1$é$b"]
        {
            assert!(!matches(broken, ""), "{broken}");
        }
        let kept = hash("48151623").unwrap();
        assert!(kept.starts_with("pbkdf2-sha256$600000$") && !kept.contains("48151623"));
        assert!(matches(&kept, "48151623") && !matches(&kept, "48151624"));
        assert_ne!(kept, hash("48151623").unwrap());
    }

    #[test]
    fn a_made_pin_has_eight_digits() {
        let pin = make().unwrap();
        assert!(pin.len() == 8 && pin.bytes().all(|b| b.is_ascii_digit()), "{pin}");
    }
}

//! The `link` detector: web addresses in captions, OCR text and QR payloads.
//!
//! Labels: `link:blocked` (on the operator's list, subdomains included; or written to be read as one that is, in letters
//! of other scripts or with digits), `link:lookalike` (drawn or spelled like a protected
//! brand), `link:punycode` (an encoded label, or one that mixes scripts), `link:shortener`, `link:userinfo` (a name before
//! `@` to be taken for the host), `link:ip` (a bare IP address), `link:many` (more hosts than are compared with brands),
//! `link:truncated` (a text longer than [`fold::MAX_BYTES`]: the links in its end were not read).

mod extract;
mod lookalike;
mod refang;

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use domain::Finding;
use serde::Deserialize;
use thiserror::Error;

use crate::text::fold;
pub use extract::{Link, links};
use lookalike::{Brand, skeleton};

/// The detector's name in findings and coverage.
pub const DETECTOR: &str = "link";

/// `model` of what needs no list.
const RULES: &str = "link-rules@1";

/// Most distinct hosts of one text that are compared with the brands; all are looked up in the block list.
const MAX_COMPARED_HOSTS: usize = 256;

/// Public URL shorteners: what is behind them cannot be judged from the text.
const SHORTENERS: [&str; 36] = [
    "bit.ly",
    "tinyurl.com",
    "t.co",
    "goo.gl",
    "ow.ly",
    "is.gd",
    "v.gd",
    "buff.ly",
    "rebrand.ly",
    "cutt.ly",
    "shorturl.at",
    "rb.gy",
    "t.ly",
    "tiny.cc",
    "bl.ink",
    "lnkd.in",
    "adf.ly",
    "shorte.st",
    "bc.vc",
    "s.id",
    "soo.gd",
    "clck.ru",
    "u.to",
    "qr.ae",
    "tr.im",
    "x.co",
    "snip.ly",
    "short.io",
    "urlz.fr",
    "lc.cx",
    "dub.sh",
    "1url.com",
    "shrtco.de",
    "n9.cl",
    "qrco.de",
    "me-qr.com",
];

/// Brands that phishing reports name most; the operator adds its own.
const BRANDS: [&str; 40] = [
    "paypal.com",
    "google.com",
    "microsoft.com",
    "apple.com",
    "icloud.com",
    "amazon.com",
    "facebook.com",
    "instagram.com",
    "whatsapp.com",
    "netflix.com",
    "linkedin.com",
    "twitter.com",
    "tiktok.com",
    "snapchat.com",
    "discord.com",
    "telegram.org",
    "dropbox.com",
    "adobe.com",
    "docusign.com",
    "office365.com",
    "outlook.com",
    "yahoo.com",
    "github.com",
    "steamcommunity.com",
    "roblox.com",
    "spotify.com",
    "ebay.com",
    "coinbase.com",
    "binance.com",
    "metamask.io",
    "blockchain.com",
    "wellsfargo.com",
    "bankofamerica.com",
    "desjardins.com",
    "interac.ca",
    "canadapost.ca",
    "laposte.fr",
    "safaricom.co.ke",
    "mastercard.com",
    "westernunion.com",
];

/// Why the detector cannot be built.
#[derive(Debug, Error)]
pub enum LinkError {
    /// A list of domains cannot be read.
    #[error(
        "cannot read the domain list {path}: {source}; check the path under [link] blocked_files"
    )]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Entries that are no domain names, every one of them.
    #[error("these are no domain names: {}; write one a line, like evil.example", .0.join(", "))]
    Domains(Vec<String>),
}

/// What the detector looks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Blocked domains; each blocks its subdomains too.
    pub blocked: Vec<String>,
    /// Files of blocked domains, one a line, `#` begins a comment; lines of hosts files (`0.0.0.0 name`) are understood.
    pub blocked_files: Vec<PathBuf>,
    /// Domains of brands to protect besides the shipped ones.
    pub brands: Vec<String>,
    /// Domains that are never found fault with, subdomains included.
    pub trusted: Vec<String>,
}

/// Finds suspicious links in text. Immutable once built; share it between threads.
pub struct LinkDetector {
    blocked: HashSet<String>,
    /// What a hurried reader sees of the blocked domains.
    blocked_skeletons: HashSet<String>,
    trusted: HashSet<String>,
    brands: Vec<Brand>,
}

impl LinkDetector {
    /// Reads the lists.
    ///
    /// # Errors
    /// A file that cannot be read, or every entry that is no domain.
    pub fn new(config: &Config) -> Result<Self, LinkError> {
        let mut entries = config.blocked.clone();
        for path in &config.blocked_files {
            let text = std::fs::read_to_string(path)
                .map_err(|source| LinkError::Read { path: path.display().to_string(), source })?;
            let line = |l: &str| {
                let l = l.split('#').next().unwrap_or_default();
                l.split_whitespace().next_back().map(str::to_owned)
            };
            entries.extend(text.lines().filter_map(line));
        }
        let mut bad = Vec::new();
        let mut domains = |entries: &[String]| -> HashSet<String> {
            let good = entries.iter().filter_map(|e| {
                let name = e.trim().trim_start_matches("*.").trim_matches('.');
                let ascii = idna::domain_to_ascii(name).ok().filter(|a| !a.is_empty());
                if ascii.is_none() {
                    bad.push(format!("{e:?}"));
                }
                ascii
            });
            good.collect()
        };
        let (blocked, trusted) = (domains(&entries), domains(&config.trusted));
        let shipped = BRANDS.iter().copied();
        let brands = shipped
            .chain(domains(&config.brands).iter().map(String::as_str))
            .map(Brand::new)
            .collect();
        if bad.is_empty() {
            let seen = |domain: &String| skeleton(&idna::domain_to_unicode(domain).0);
            let blocked_skeletons = blocked.iter().map(seen).collect();
            Ok(Self { blocked, blocked_skeletons, trusted, brands })
        } else {
            Err(LinkError::Domains(bad))
        }
    }

    /// What is suspicious about the links in `text`, each label once a host.
    pub fn scan(&self, text: &str) -> Vec<Finding> {
        let mut seen = HashSet::new();
        let mut compared = HashSet::new();
        let mut findings = Vec::new();
        for link in links(text) {
            let matched = text.get(link.bytes.clone()).unwrap_or_default();
            let compare = compared.len() < MAX_COMPARED_HOSTS || compared.contains(&link.host);
            for (label, model, score) in self.judge(&link, compare) {
                if seen.insert((label, link.host.clone())) {
                    findings.push(finding(label, model, score, Some(matched)));
                }
            }
            if compare {
                compared.insert(link.host);
            } else if seen.insert(("link:many", String::new())) {
                findings.push(finding("link:many", RULES, 1.0, None));
            }
        }
        if fold::head(text).len() < text.len() {
            findings.push(finding("link:truncated", RULES, 1.0, None));
        }
        findings
    }

    /// Label, model and score of all that is wrong with one link.
    fn judge(&self, link: &Link, compare: bool) -> Vec<(&'static str, &'static str, f32)> {
        let ascii = idna::domain_to_ascii(&link.host).unwrap_or_else(|_| link.host.to_lowercase());
        let mut found = Vec::new();
        if self.is_listed(&self.blocked, &ascii) {
            found.push(("link:blocked", "link-blocked@config", 1.0));
        }
        if link.userinfo.is_some() {
            found.push(("link:userinfo", RULES, 0.9));
        }
        if self.is_listed(&self.trusted, &ascii) {
            return found;
        }
        if is_ip(&link.host) {
            found.push(("link:ip", RULES, 0.8));
            return found;
        }
        let (unicode, _) = idna::domain_to_unicode(&ascii);
        if let Some((label, score)) = self.blocked_lookalike(&unicode) {
            found.push((label, "link-blocked@config", score));
        }
        if SHORTENERS.iter().any(|s| is_within(&ascii, s)) {
            found.push(("link:shortener", "link-shorteners@1", 1.0));
        }
        let encoded = link.host.split('.').any(|l| l.starts_with("xn--"));
        if unicode.split('.').any(mixes_scripts) {
            found.push(("link:punycode", RULES, 0.9));
        } else if encoded {
            found.push(("link:punycode", RULES, 0.5));
        }
        let likeness = |b: &Brand| b.likeness(&unicode);
        let best = self.brands.iter().filter(|_| compare).map(likeness).fold(0.0, f32::max);
        let own = self.brands.iter().any(|b| is_within(&unicode, &b.domain));
        if best > 0.0 && !own {
            found.push(("link:lookalike", "link-brands@1", best));
        }
        found
    }

    /// Whether a host is no blocked one and is read as one: with foreign letters or digits for letters that is no
    /// chance; where only letters such as `rn` and `m` differ, the two may be neighbours (`clay` and `day`).
    fn blocked_lookalike(&self, host: &str) -> Option<(&'static str, f32)> {
        if self.blocked_skeletons.is_empty() {
            return None;
        }
        let ascii = idna::domain_to_ascii(host).unwrap_or_default();
        if self.is_listed(&self.blocked, &ascii)
            || !self.is_listed(&self.blocked_skeletons, &skeleton(host))
        {
            return None;
        }
        let disguised = host.chars().any(|c| !c.is_ascii() || c.is_ascii_digit());
        Some(if disguised { ("link:blocked", 0.9) } else { ("link:lookalike", 0.9) })
    }

    /// Whether `host` or a domain above it is in `set`.
    fn is_listed(&self, set: &HashSet<String>, host: &str) -> bool {
        if set.is_empty() {
            return false;
        }
        let mut rest = host;
        loop {
            if set.contains(rest) {
                return true;
            }
            match rest.split_once('.') {
                Some((_, parent)) => rest = parent,
                None => return false,
            }
        }
    }
}

/// Whether `host` is `domain` or lies below it.
fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// An IP address in any notation that browsers take: dotted, one number, hexadecimal, IPv6.
fn is_ip(host: &str) -> bool {
    let number = |p: &str| {
        let (digits, hex) = p.strip_prefix("0x").map_or((p, false), |d| (d, true));
        !digits.is_empty()
            && digits.chars().all(|c| if hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() })
    };
    host.parse::<Ipv4Addr>().is_ok()
        || host.parse::<Ipv6Addr>().is_ok()
        || (host.split('.').count() <= 4 && host.split('.').all(number))
}

/// Whether a label has Latin letters beside Cyrillic, Greek, Armenian or Cherokee ones. Whole labels of one script, and
/// Latin beside Chinese or Japanese, are how people write.
fn mixes_scripts(label: &str) -> bool {
    let latin = label.chars().any(|c| c.is_ascii_alphabetic() || matches!(c, '\u{c0}'..='\u{24f}'));
    let other = label.chars().any(
        |c| matches!(c, '\u{370}'..='\u{58f}' | '\u{13a0}'..='\u{13ff}' | '\u{1f00}'..='\u{1fff}'),
    );
    latin && other
}

fn finding(label: &str, model: &str, score: f32, matched: Option<&str>) -> Finding {
    Finding {
        detector: DETECTOR.to_owned(),
        model: model.to_owned(),
        label: label.to_owned(),
        score,
        span: None,
        bbox: None,
        media: None,
        text: matched.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests;

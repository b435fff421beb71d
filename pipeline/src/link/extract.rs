//! URLs and bare domain names in running text, defanged ones included.

use std::ops::Range;

use super::refang::refang;
use crate::text::fold::head;

/// Longest candidate, in bytes; longer words are looked at as far as this.
const MAX_CANDIDATE_BYTES: usize = 2048;

/// Longest name that DNS resolves, in characters (RFC 1035, 2.3.4); it bounds the work of IDNA, too.
const MAX_HOST_CHARS: usize = 253;

/// A web address found in text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Lower-case scheme, when one was written.
    pub scheme: Option<String>,
    /// What stood before an `@` in the authority.
    pub userinfo: Option<String>,
    /// The host as written, refanged.
    pub host: String,
    /// Where it stood in the text, in bytes.
    pub bytes: Range<usize>,
}

/// Every address in the first [`crate::text::fold::MAX_BYTES`] of `text`, in order. Linear in the text: each word is read
/// a fixed number of times.
pub fn links(text: &str) -> Vec<Link> {
    let text = head(text);
    let (plain, origin) = refang(text);
    let mut found = Vec::new();
    let mut at = 0;
    for word in plain.split_inclusive(is_divider) {
        let start = at;
        at += word.len();
        let word = word.trim_end_matches(is_divider);
        if !word.contains(['.', ':']) {
            continue;
        }
        if let Some(mut link) = parse(word) {
            let byte = |i: usize| origin.get(i).map_or(text.len(), |o| *o as usize);
            link.bytes = byte(start + link.bytes.start)..byte(start + link.bytes.end);
            found.push(link);
        }
    }
    found
}

fn is_divider(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '"' | '<' | '>' | '`' | '|' | '«' | '»' | '“' | '”' | ',' | ';')
}

/// Reads one word as an address.
fn parse(word: &str) -> Option<Link> {
    let mut cut = word.len().min(MAX_CANDIDATE_BYTES);
    while !word.is_char_boundary(cut) {
        cut -= 1;
    }
    let word = word.get(..cut)?;
    let lead = word.len() - word.trim_start_matches(|c: char| "([{'*_~-.:!".contains(c)).len();
    let body = word.get(lead..)?.trim_end_matches(|c: char| ")]}'*_~-.:!?".contains(c));
    let (scheme, slashes, rest) = scheme(body);
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let (userinfo, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, authority),
    };
    // `name@host` without a scheme is a mail address: its domain counts, its user part is no trick.
    let userinfo = userinfo.filter(|u| scheme.is_some() && !u.is_empty());
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None => host.split(':').next()?,
    };
    let host = host.trim_matches('.').to_lowercase();
    // Behind `https:` without slashes, and behind `//` alone, prose may stand.
    let written = scheme.is_some() && slashes > 0;
    let fits = host.chars().take(MAX_HOST_CHARS + 1).count() <= MAX_HOST_CHARS;
    let plausible = fits && if written { !host.is_empty() } else { is_domain(&host) };
    plausible.then(|| Link { scheme, userinfo, host, bytes: lead..lead + body.len() })
}

/// The scheme in small letters, the number of slashes behind it, and what follows. Browsers take any number of slashes, of either
/// kind, behind `https:` (WHATWG URL, 4.4, "special authority slashes state"), and `//host` for a host.
fn scheme(body: &str) -> (Option<String>, usize, &str) {
    let slashes = |text: &str| text.len() - text.trim_start_matches(['/', '\\']).len();
    for (at, _) in body.match_indices(':') {
        let (before, after) =
            (body.get(..at).unwrap_or_default(), body.get(at + 1..).unwrap_or_default());
        let start = before
            .char_indices()
            .rev()
            .take_while(|(_, c)| c.is_ascii_alphanumeric() || *c == '+')
            .last()
            .map_or(at, |(i, _)| i);
        let name = before.get(start..).unwrap_or_default().to_ascii_lowercase();
        let web = matches!(name.as_str(), "http" | "https" | "ftp" | "ws" | "wss");
        if web || (!name.is_empty() && after.starts_with("//")) {
            let count = slashes(after);
            return (Some(name), count, after.get(count..).unwrap_or_default());
        }
    }
    let count = slashes(body);
    let lead = if count >= 2 { count } else { 0 };
    (None, count, body.get(lead..).unwrap_or_default())
}

/// Whether a word without a scheme is a domain: labels of letters, digits and hyphens, and at the end a top-level domain
/// that is common, or punycode, or in another script. `end.of` and `3.14` are none.
fn is_domain(host: &str) -> bool {
    let mut labels = host.rsplit('.');
    let Some(tld) = labels.next() else { return false };
    let mut rest = labels.peekable();
    let known = is_common_tld(tld)
        || tld.starts_with("xn--")
        || (tld.chars().count() >= 2 && !tld.is_ascii() && tld.chars().all(char::is_alphabetic));
    let label =
        |l: &str| !l.is_empty() && l.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
    let numeric = host.split('.').count() == 4 && host.parse::<std::net::Ipv4Addr>().is_ok();
    numeric || (known && rest.peek().is_some() && rest.all(label))
}

/// Top-level domains that bare names in chat end with: the large generic and country ones, and those that the
/// Spamhaus and Interisle phishing reports name most often.
pub(super) fn is_common_tld(label: &str) -> bool {
    const TLDS: &str = " com net org info biz edu gov mil int io co me tv cc gg ly gl be ca us uk fr de es it pt nl ch at se no fi dk pl cz sk hu ro bg gr tr ru ua by kz cn jp kr tw hk in pk bd lk id my sg th vn ph au nz br ar mx cl pe ve za ke tz ug rw et ng gh eg ma dz tn cd cm ci sn il ae sa qa ir iq eu asia africa app dev page web site online store shop xyz top club vip icu cyou buzz live life fun link click world today news space website tech pro mobi name zip mov bond sbs cfd rest tk ml ga cf gq pw ws su st to sh ai ee lt lv rs hr si is ie lu mc quebec montreal paris win bid loan men date download racing review trade work party stream science faith cricket cam monster quest skin hair beauty support finance money cash bank example test invalid ";
    !label.is_empty()
        && label.bytes().all(|b| b.is_ascii_lowercase())
        && TLDS.contains(&format!(" {label} "))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn hosts(text: &str) -> Vec<String> {
        links(text).into_iter().map(|l| l.host).collect()
    }

    #[test]
    fn addresses_are_found_however_they_are_written() {
        for text in [
            "see http://evil.example/x?y now",
            "see HTTPS://EVIL.EXAMPLE:8443.",
            "hxxps://evil[.]example/login",
            "evil dot example",
            "(evil.example)",
            "**evil.example**",
            "evil\u{200b}.example",
            "evil。example",
            "<a href=\"http://evil.example\">",
            "link:http://evil.example",
            "https://evil%2Eexample/x",
            "https://%65vil%E3%80%82example",
            "https:/\\evil.example",
            "https:\\\\evil.example/",
            "https:evil.example",
            "https:////evil.example",
            "//evil.example/x",
            "evil\u{fe52}example",
            "evil\u{ff0e}example",
            "evil\u{b7}example",
            "evil . example",
            "evil .example",
            "evil [.] example",
            "evil ( dot ) example",
            "h**ps://evil{.}example",
            "https://good.example\u{40}evil.example",
            "https://evil.example\\@good.example",
            "https://good.example%2F@evil.example",
        ] {
            assert_eq!(hosts(text), ["evil.example"], "{text}");
        }
    }

    #[test]
    fn prose_and_numbers_are_no_addresses() {
        for text in [
            "polka dot dress",
            "It ended.Then",
            "3.14",
            "e.g. this",
            "v1.2.3",
            "wait...what",
            "a.b",
            "note: this and that",
            "// a comment",
            "he ended. It was late. So we went.",
            "90%25 of it",
            "l\u{b7}lusió",
            "and/or (at) [dot] {x}",
        ] {
            assert!(hosts(text).is_empty(), "{text}: {:?}", hosts(text));
        }
    }

    #[test]
    fn the_span_and_the_userinfo_are_kept() {
        let text = "go to hxxp://paypal.com@evil[.]example/x!";
        let link = links(text).pop().unwrap();
        assert_eq!(&text[link.bytes.clone()], "hxxp://paypal.com@evil[.]example/x");
        assert_eq!(
            (link.userinfo.as_deref(), link.host.as_str()),
            (Some("paypal.com"), "evil.example")
        );
        assert!(links("mail bob@evil.example").pop().unwrap().userinfo.is_none());
    }
}

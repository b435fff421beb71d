//! URLs and bare domain names in running text, defanged ones included.

use std::ops::Range;

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
        if word.is_empty() || !word.contains('.') && !word.contains("://") {
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

/// Undoes the usual ways of writing an address so that it is no link: `hxxp`, `[.]`, `(dot)`, ` dot `, full-width stops and
/// invisible characters. Gives the text and, for each of its bytes and its end, the byte in the original.
fn refang(text: &str) -> (String, Vec<u32>) {
    const RULES: [(&str, &str); 14] = [
        ("hxxp", "http"),
        ("[.]", "."),
        ("(.)", "."),
        ("{.}", "."),
        ("[dot]", "."),
        ("(dot)", "."),
        ("{dot}", "."),
        (" dot ", "."),
        (" point ", "."),
        ("[:]", ":"),
        ("[at]", "@"),
        ("(at)", "@"),
        ("[/]", "/"),
        ("[://]", "://"),
    ];
    let mut plain = String::with_capacity(text.len());
    let mut origin = Vec::with_capacity(text.len() + 1);
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let Some(c) = rest.chars().next() else { break };
        let starts = |from: &str| {
            rest.as_bytes()
                .get(..from.len())
                .is_some_and(|h| h.eq_ignore_ascii_case(from.as_bytes()))
        };
        let rule = matches!(c, 'h' | 'H' | '[' | '(' | '{' | ' ')
            .then(|| RULES.iter().find(|(from, _)| starts(from)))
            .flatten()
            .filter(|(from, _)| !from.starts_with(' ') || spells_domain(&plain, rest, from.len()));
        let mut buffer = [0; 4];
        let (written, len) = match (rule, c) {
            (Some((from, to)), _) => (*to, from.len()),
            (None, '\u{ff0e}' | '\u{3002}' | '\u{ff61}' | '\u{2024}') => (".", c.len_utf8()),
            (None, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}') => {
                ("", c.len_utf8())
            }
            (None, _) => (&*c.encode_utf8(&mut buffer), c.len_utf8()),
        };
        plain.push_str(written);
        origin.extend(written.bytes().map(|_| at as u32));
        at += len;
    }
    origin.push(at as u32);
    (plain, origin)
}

/// Whether ` dot ` divides two labels, the second of them a common top-level domain: not in `polka dot dress`.
fn spells_domain(before: &str, rest: &str, skip: usize) -> bool {
    let left = before.chars().next_back().is_some_and(char::is_alphanumeric);
    let tail = rest.get(skip..).unwrap_or_default();
    let label: String = tail.chars().take_while(char::is_ascii_alphanumeric).take(8).collect();
    left && is_common_tld(&label.to_ascii_lowercase())
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
    let (scheme, rest) = match body.find("://") {
        Some(i) => {
            let before = body.get(..i)?;
            let from =
                before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '+').map_or(0, |j| {
                    j + before.get(j..).and_then(|s| s.chars().next()).map_or(1, char::len_utf8)
                });
            (Some(before.get(from..)?.to_ascii_lowercase()), body.get(i + 3..)?)
        }
        None => (None, body),
    };
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
    let written = scheme.is_some();
    let fits = host.chars().take(MAX_HOST_CHARS + 1).count() <= MAX_HOST_CHARS;
    let plausible = fits && if written { !host.is_empty() } else { is_domain(&host) };
    plausible.then(|| Link { scheme, userinfo, host, bytes: lead..lead + body.len() })
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
fn is_common_tld(label: &str) -> bool {
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

//! Hosts that are made to be read as a protected brand's.

use crate::text::fold::{I_OR_L, fold};

/// Shortest brand name for which a typing error counts: shorter names have innocent neighbours.
const MIN_TYPO_CHARS: usize = 6;

/// Ordinary words one letter from a shipped brand (binance, interac, paypal, google, discord, amazon, outlook).
const NEIGHBOURS: [&str; 8] =
    ["finance", "interact", "papal", "goggle", "discords", "amazons", "outlooks", "interacts"];

/// Words that phishing pages put beside a brand, after the APWG trend reports.
const BAIT: [&str; 24] = [
    "login",
    "signin",
    "secure",
    "security",
    "verify",
    "verification",
    "account",
    "accounts",
    "support",
    "service",
    "update",
    "billing",
    "wallet",
    "payment",
    "pay",
    "help",
    "auth",
    "confirm",
    "unlock",
    "recover",
    "connexion",
    "compte",
    "securite",
    "verif",
];

/// A brand and the domain that is its own.
#[derive(Clone, Debug)]
pub(super) struct Brand {
    pub domain: String,
    name: String,
    skeleton: String,
}

impl Brand {
    /// `paypal.com` → the brand `paypal`.
    pub fn new(domain: &str) -> Self {
        let domain = domain.to_lowercase();
        let name = domain.split('.').next().unwrap_or_default().to_owned();
        let skeleton = skeleton(&name);
        Self { domain, name, skeleton }
    }

    /// How surely `host`, in its Unicode form, passes itself off as the brand; 0 when it does not.
    pub fn likeness(&self, host: &str) -> f32 {
        if super::is_within(host, &self.domain) {
            return 0.0;
        }
        // `google.com.au`: below `com.au` only its owner registers the brand's name.
        let country = host.strip_prefix(&self.domain).and_then(|rest| rest.strip_prefix('.'));
        if country.is_some_and(|c| c.len() == 2 && c.bytes().all(|b| b.is_ascii_lowercase())) {
            return 0.0;
        }
        if host.starts_with(&format!("{}.", self.domain))
            || host.contains(&format!(".{}.", self.domain))
        {
            return 1.0;
        }
        let mut labels: Vec<&str> = host.split('.').collect();
        labels.pop();
        let likeness = labels.iter().map(|label| self.label(label)).fold(0.0, f32::max);
        // `paypall.com`, `paypall.co.uk`: a typing error counts in the registered name only.
        let registered = labels.iter().rev().find(|l| l.len() > 2);
        let typo = registered.is_some_and(|label| {
            self.name.len() >= MIN_TYPO_CHARS
                && !NEIGHBOURS.contains(label)
                && is_one_edit(label.as_bytes(), self.name.as_bytes())
        });
        if typo { likeness.max(0.7) } else { likeness }
    }

    fn label(&self, label: &str) -> f32 {
        if label == self.name {
            // The brand under another top-level domain is most often its own: `google.ca`.
            return 0.0;
        }
        if skeleton(label) == self.skeleton {
            return 0.95;
        }
        let parts: Vec<&str> = label.split(['-', '_']).collect();
        let brand = parts.iter().any(|p| *p == self.name || skeleton(p) == self.skeleton);
        let disguised = parts.iter().any(|p| *p != self.name && skeleton(p) == self.skeleton);
        if parts.len() > 1 && brand && (disguised || parts.iter().any(|p| BAIT.contains(p))) {
            return 0.9;
        }
        let glued = label.strip_prefix(&self.name).or_else(|| label.strip_suffix(&self.name));
        if self.name.len() >= MIN_TYPO_CHARS && glued.is_some_and(|rest| BAIT.contains(&rest)) {
            return 0.9;
        }
        0.0
    }
}

/// What a hurried reader sees: folded, with the letters that are drawn alike made one (Unicode TR 39's idea of a
/// skeleton, narrowed to what is legal in a host name).
pub(super) fn skeleton(label: &str) -> String {
    let mapped: String = fold(label)
        .units
        .iter()
        .map(|u| match u.ch {
            '0' => 'o',
            '1' | 'i' | '!' | '|' | I_OR_L => 'l',
            '3' => 'e',
            '4' | '@' => 'a',
            '5' | '$' => 's',
            '7' => 't',
            '8' => 'b',
            '9' | 'q' => 'g',
            c => c,
        })
        .collect();
    mapped.replace("rn", "m").replace("vv", "w").replace("cl", "d")
}

/// Whether one insertion, deletion, substitution or swap of neighbours (Damerau 1964) lies between `a` and `b`.
fn is_one_edit(a: &[u8], b: &[u8]) -> bool {
    if a.len().abs_diff(b.len()) > 1 || a == b {
        return false;
    }
    let head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (a.get(head..).unwrap_or_default(), b.get(head..).unwrap_or_default());
    let tail = |s: &'_ [u8], n: usize| s.get(n..).unwrap_or_default().to_vec();
    match a.len().cmp(&b.len()) {
        std::cmp::Ordering::Less => tail(b, 1) == a,
        std::cmp::Ordering::Greater => tail(a, 1) == b,
        std::cmp::Ordering::Equal => {
            let swapped = a.len() > 1 && a.first() == b.get(1) && a.get(1) == b.first();
            tail(a, 1) == tail(b, 1) || (swapped && tail(a, 2) == tail(b, 2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disguises_of_a_brand_are_seen_and_its_own_hosts_are_not() {
        let paypal = Brand::new("paypal.com");
        for host in [
            "paypa1.com",
            "раураl.com",
            "paypal.com.evil.example",
            "paypal-login.example",
            "paypall.com",
            "payapl.com",
            "secure-paypa1.example",
            "paypalsupport.example",
            "www.pаypal.com",
        ] {
            assert!(paypal.likeness(host) > 0.5, "{host}");
        }
        for host in [
            "paypal.com",
            "www.paypal.com",
            "paypal.ca",
            "pay.example",
            "payday.example",
            "papal.va",
        ] {
            assert!(paypal.likeness(host) == 0.0, "{host}: {}", paypal.likeness(host));
        }
        for (brand, host) in [("binance.com", "finance.yahoo.com"), ("interac.ca", "interact.com")]
        {
            assert!(Brand::new(brand).likeness(host) == 0.0, "{host}");
        }
        assert!(Brand::new("google.com").likeness("g00gle.com") > 0.9);
        assert!(Brand::new("microsoft.com").likeness("rnicrosoft.com") > 0.9);
    }
}

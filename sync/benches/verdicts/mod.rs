//! Verdicts as boxes write them, for benches: three entries each, with everything random in them that is random in service.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each bench uses its part, and may stop at what it does not expect"
)]

use domain::journal::{
    Accepted, AuthorNumber, Body, Code, Decided, Hashed, MediaNote, PdqNote, Sha256, SubmissionId,
};
use domain::{Action, Category, MediaKind, Severity, Status};
use ring::rand::{SecureRandom as _, SystemRandom};

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).unwrap();
    bytes
}

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

/// The three entries of a verdict on a picture, and the same as the API tells it.
pub fn verdict(n: usize) -> (SubmissionId, Vec<Body>, serde_json::Value) {
    let at = 1_790_000_000 + n as u64 / 9;
    let stamp = uuid::Timestamp::from_unix(uuid::NoContext, at, (n as u32 % 9) * 110_000_000);
    let id = SubmissionId(uuid::Uuid::new_v7(stamp));
    let tenant: domain::journal::TenantId =
        ["campus-north", "campus-south", "dating"][n % 3].parse().unwrap();
    let (sha256, pdq) = (Sha256(random()), Sha256(random()));
    let bad = n.is_multiple_of(12);
    let score =
        u16::from_le_bytes(random()) % if bad { 150 } else { 80 } + if bad { 850 } else { 1 };
    let media = MediaNote {
        sha256: Some(sha256),
        bytes: Some(20_000 + u64::from(u16::from_le_bytes(random()))),
        kind: MediaKind::Image,
    };
    let accepted = Accepted {
        tenant: tenant.clone(),
        surface: code(["post", "avatar", "chat"][n % 3]),
        author: Some(AuthorNumber(u64::from_le_bytes(random()))),
        priority: 0,
        media: vec![media],
        has_text: false,
    };
    let (status, action, severity) = match bad {
        true => (Status::Rejected, Action::Reject, Severity::High),
        false => (Status::Approved, Action::Allow, Severity::Safe),
    };
    let decided = Decided {
        tenant: tenant.clone(),
        number: 0,
        supersedes: None,
        status,
        complete: true,
        severity,
        action,
        reasons: if bad { vec![code("explicit")] } else { vec![] },
        categories: vec![(Category::Sexual, severity, score)],
        policy: code("starter@1"),
        models: vec![code("nsfwjs-mobilenet@2"), code("face-yunet@2"), code("age-gender@1")],
        standing: None,
    };
    let json = serde_json::json!({
        "id": id, "tenant": tenant, "surface": accepted.surface, "author": accepted.author, "status": format!("{status:?}").to_lowercase(),
        "decision": 0, "complete": true, "severity": format!("{severity:?}").to_lowercase(), "reasons": decided.reasons,
        "categories": [{"category": "sexual", "score": f64::from(score) / 1000.0}], "policy": decided.policy, "models": decided.models,
        "media": [{"sha256": sha256, "pdq": pdq, "kind": "image"}], "moderated_at": at,
    });
    let hashed = Hashed { tenant, pdqs: vec![PdqNote { index: 0, pdq, quality: Some(90) }] };
    (id, vec![Body::Accepted(accepted), Body::Decided(decided), Body::Hashed(hashed)], json)
}

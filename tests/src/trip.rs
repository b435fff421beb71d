//! Trips to a provider of identities and back, as a browser makes them.
#![expect(clippy::unwrap_used, reason = "the rig of the tests: a test fails by panicking")]

use crate::hub::Hub;
use crate::ops::{Page, Person};
use crate::provider::{Provider, SECRET, visit};

/// Who is at the provider.
pub const SUBJECT: &str = "8f2c-ann";

/// A hub that believes a provider.
///
/// # Panics
/// Where a step is refused that has to do.
pub fn hub(provider: &Provider) -> Hub {
    hub_with(provider, "")
}

/// The same with more of its settings.
///
/// # Panics
/// Where a step is refused that has to do.
pub fn hub_with(provider: &Provider, more: &str) -> Hub {
    Hub::start_with(&format!("{}{more}", provider.settings()), &[("oidc.secret", SECRET)])
}

/// A command about an account.
///
/// # Panics
/// Where a step is refused that has to do.
pub fn account(hub: &Hub, words: &[&str]) -> bool {
    let settings = hub.settings();
    let config = ["--config", settings.to_str().unwrap()];
    hub.command(&[&["account"], words, &config].concat()).output().unwrap().status.success()
}

/// Links an account by the command line.
///
/// # Panics
/// Where a step is refused that has to do.
pub fn link(hub: &Hub, name: &str, subject: &str) -> bool {
    account(hub, &["link", name, "--subject", subject])
}

/// Somebody with an account that is linked.
///
/// # Panics
/// Where a step is refused that has to do.
pub fn linked(hub: &Hub) -> Person {
    let ann = Person::new(hub, "ann", "moderator", &[]);
    assert!(link(hub, "ann", SUBJECT));
    ann
}

/// Out to the provider: the cookie of the browser, and where it is sent.
///
/// # Panics
/// Where a step is refused that has to do.
pub fn out(hub: &Hub) -> (String, String) {
    let page = hub.see("/ops/login/oidc?next=/ops/me", "");
    assert_eq!(page.status, 303, "{page:?}");
    (page.cookie("__Host-weir-sent"), page.location)
}

/// There: where the provider sends the browser back to.
///
/// # Panics
/// Where a step is refused that has to do.
pub fn there(hub: &Hub, way: &str) -> String {
    let (status, back) = visit(way);
    assert_eq!(status, 302, "{back}");
    // By the hub's own name, whatever a call says.
    let start = format!("{}/ops/login/oidc/back?", hub.address());
    assert!(back.starts_with(&start), "{back}");
    back[hub.address().len()..].to_owned()
}

/// Out, there, and back.
///
/// # Panics
/// Where a step is refused that has to do.
pub fn come(hub: &Hub) -> Page {
    let (cookie, way) = out(hub);
    hub.see(&there(hub, &way), &cookie)
}

/// Whether a page sets a cookie.
pub fn sets(page: &Page, name: &str) -> bool {
    let start = format!("{name}=");
    page.cookies.iter().any(|it| it.strip_prefix(&start).is_some_and(|it| !it.starts_with(';')))
}

/// Whether it leads to the second factor; if not, it opens nothing.
///
/// # Panics
/// Where a step is refused that has to do.
pub fn lets_on(page: &Page) -> bool {
    let on = page.status == 303 && page.location.starts_with("/ops/login/code?next=");
    assert_eq!(on, sets(page, "__Host-weir-half"), "{page:?}");
    assert!(!sets(page, "__Host-weir"), "{page:?}");
    on
}

/// Entries of the audit journal: action, actor, subject, and what is told of it.
///
/// # Panics
/// Where a step is refused that has to do.
pub fn journal(hub: &Hub, actions: &str) -> Vec<String> {
    hub.query(&format!("SELECT action, actor, subject, coalesce(d->>'by', d->>'step', d->>'subject', '') FROM
        (SELECT *, convert_from(record, 'utf8')::json->'detail' AS d FROM audit) AS a WHERE action ~ '{actions}' ORDER BY seq"))
}

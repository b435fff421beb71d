//! axe-core in a page: what it finds against WCAG A and AA.
#![expect(clippy::unwrap_used, reason = "the rig of the tests: a test fails by panicking")]

use std::path::Path;

use crate::browser::Browser;

/// The script, as it was fetched.
///
/// # Panics
/// Where it was not.
pub fn script() -> String {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.weir/axe-core/axe.min.js"));
    std::fs::read_to_string(file)
        .unwrap_or_else(|_| panic!("{} is missing: scripts/axe.sh fetches it", file.display()))
}

/// What axe-core finds: the rule, and where.
///
/// # Panics
/// Where it does not come to an end.
pub fn violations(browser: &Browser, axe: &str) -> Vec<String> {
    browser.run(&format!("{axe}; return true"));
    browser.run("window.found = null; axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }).then((all) => { window.found = all.violations; }); return true");
    browser.until("return window.found !== null");
    let found = browser.run("return window.found.map((one) => one.id + ': ' + one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160) + ' ' + (node.any[0]?.message ?? '')).join(' | '))");
    found.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

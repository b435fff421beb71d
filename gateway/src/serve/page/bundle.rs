//! The support bundle: one JSON file that a technician can send on without a second thought.
//!
//! What goes in is named here one by one, never taken whole and then cleaned: settings by a list of harmless keys, log lines
//! through [`crate::logging::recent`], which cuts queries, addresses and quoted text. It holds no media, caption, author,
//! tenant, secret or network address.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::show;
use crate::config::{Config, Shown};
use crate::serve::App;
use crate::serve::http::{self, Problem};

/// How long the journal's chains may take to be computed anew; a large one is verified by `weir store verify`.
const VERIFY: Duration = Duration::from_secs(20);

/// Settings whose values are numbers or switches and say nothing of people or places.
const HARMLESS: [&str; 5] =
    ["workers", "drain_seconds", "auth.required", "fetch.seconds", "decode.hardware"];

/// Stands where a value is left out.
const CUT: &str = "[cut]";

/// A bundle.
pub struct Bundle {
    /// Time for the file's name: `20260131-235959`.
    pub stamp: String,
    /// The file.
    pub text: String,
}

/// The settings as a bundle shows them.
pub fn settings(config: &Config, shown: &[Shown]) -> Vec<Value> {
    let value = |shown: &Shown| match shown.key {
        "listen" => {
            let place = if config.listen.ip().is_loopback() { "loopback" } else { "network" };
            format!("{place}, port {}", config.listen.port())
        }
        "profile" if domain::Profile::embedded_text(&shown.value).is_some() => shown.value.clone(),
        key if HARMLESS.contains(&key) || key.starts_with("limits.") => shown.value.clone(),
        _ if shown.value.is_empty() || shown.value == "(none)" => shown.value.clone(),
        _ => CUT.to_owned(),
    };
    let origin = |shown: &Shown| match shown.origin {
        crate::config::Origin::Default => "default",
        _ => "set",
    };
    shown.iter().map(|s| json!({ "key": s.key, "value": value(s), "origin": origin(s) })).collect()
}

/// Makes it.
///
/// # Errors
/// Where the box cannot tell its own state.
pub async fn make(app: &Arc<App>) -> Result<Bundle, Problem> {
    let status = show::take(app).await?;
    let stamp: String = status
        .at
        .as_str()
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_digit() || *c == 'T')
        .take(15)
        .map(|c| if c == 'T' { '-' } else { c })
        .collect();
    let metrics = http::metrics(app).await?;
    let mut settings = app.desk.settings.clone();
    let all = app.tenants.all();
    let tenants = || all.iter().filter(|(id, _)| !super::self_test::is_own(id));
    let hooks: usize = tenants().map(|(_, tenant)| tenant.endpoints.len()).sum();
    settings.push(json!({ "key": "tenants", "value": tenants().count() }));
    settings.push(json!({ "key": "webhooks", "value": hooks }));
    let bundle = json!({
        "format": "weir-support/1",
        "status": status,
        "sensors": *app.climate.readings(),
        "system": system(),
        "settings": settings,
        "self_test": app.desk.last_test(),
        "store": verified(app).await,
        "metrics": metrics.lines().collect::<Vec<_>>(),
        "log": crate::logging::recent(),
    });
    let text = serde_json::to_string_pretty(&bundle).map_err(|error| Problem::internal(&error))?;
    Ok(Bundle { stamp, text })
}

/// The machine: kernel, processor, memory. Not its name.
fn system() -> Value {
    let first = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let os = first("/etc/os-release");
    let os = os.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=")).unwrap_or("?");
    let memory = first("/proc/meminfo");
    let memory: Vec<&str> = memory.lines().take(3).collect();
    json!({
        "os": os.trim_matches('"'),
        "kernel": first("/proc/sys/kernel/osrelease").trim(),
        "arch": std::env::consts::ARCH,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "load": first("/proc/loadavg").trim(),
        "memory": memory,
    })
}

/// What `weir store verify` would say, if it is quick enough.
async fn verified(app: &Arc<App>) -> Value {
    if app.desk.verifying.swap(true, Ordering::Relaxed) {
        return json!("another verification is still under way");
    }
    let theirs = Arc::clone(app);
    let verifying = tokio::task::spawn_blocking(move || {
        let verified = store::verify(theirs.store.dir());
        theirs.desk.verifying.store(false, Ordering::Relaxed);
        verified
    });
    match tokio::time::timeout(VERIFY, verifying).await {
        Ok(Ok(Ok(found))) => json!({
            "epochs": found.epochs,
            "entries": found.entries,
            "checkpoints": found.checkpoints,
            "decisions": found.decisions,
            "sides": found.sides,
            "sides_erased": found.sides_gone,
            "problems": found.problems,
        }),
        Ok(Ok(Err(_)) | Err(_)) => {
            json!("the database cannot be verified; `weir store verify` says why")
        }
        Err(_) => json!("not verified within 20 seconds; `weir store verify` takes its time"),
    }
}

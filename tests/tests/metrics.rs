//! `/metrics` read as strictly as Prometheus reads it, and the dashboard that builds on it. Needs no outside data.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use rig::endpoint::{endpoint, ok};
use rig::media::{qr_code, scene};
use rig::service::Service;
use serde_json::{Value, json};

/// A metric: its kind, and its samples by full name and labels.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    samples: BTreeMap<(String, Vec<(String, String)>), f64>,
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Reads the exposition: HELP, TYPE, then the samples of that metric and of no other, each once.
fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n') && !text.contains('\r'));
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let (mut helped, mut current) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(is_name(name) && help.ends_with('.') && !families.contains_key(name), "{line}");
            helped = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, helped, "TYPE follows its HELP");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            name.clone_into(&mut current);
            families.insert(current.clone(), Family { kind: kind.to_owned(), ..Family::default() });
        } else {
            let (name, labels, value) = sample(line);
            let family = families.get_mut(&current).unwrap();
            let suffix = name
                .strip_prefix(current.as_str())
                .unwrap_or_else(|| panic!("{line} in {current}"));
            let may: &[&str] =
                if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(may.contains(&suffix), "{line}");
            assert!(family.samples.insert((name, labels), value).is_none(), "twice: {line}");
        }
    }
    families
}

fn sample(line: &str) -> (String, Vec<(String, String)>, f64) {
    let (head, value) = line.rsplit_once(' ').unwrap();
    let value = value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
    let Some((name, rest)) = head.split_once('{') else {
        assert!(is_name(head), "{line}");
        return (head.to_owned(), Vec::new(), value);
    };
    let rest = rest.strip_suffix('}').unwrap_or_else(|| panic!("{line}"));
    let mut labels = Vec::new();
    let mut left = rest;
    loop {
        let (label, after) = left.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        assert!(is_name(label), "{line}");
        let mut end = 0;
        let bytes = after.as_bytes();
        while bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        labels.push((label.to_owned(), after[..end].to_owned()));
        match after[end + 1..].strip_prefix(',') {
            Some(more) => left = more,
            None => {
                assert_eq!(after[end + 1..].len(), 0, "{line}");
                break;
            }
        }
    }
    let names: BTreeSet<_> = labels.iter().map(|(n, _)| n).collect();
    assert_eq!(names.len(), labels.len(), "{line}");
    (name.to_owned(), labels, value)
}

/// Names and values.
type Labels = Vec<(String, String)>;

/// Buckets rise, the last one is `+Inf` and equals the count.
fn check_histogram(name: &str, family: &Family) {
    let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for ((full, labels), value) in &family.samples {
        if full.ends_with("_bucket") {
            let (le, rest): (Vec<_>, Vec<_>) = labels.iter().cloned().partition(|(n, _)| n == "le");
            let bound = le[0].1.replace("+Inf", "inf").parse().unwrap();
            series.entry(rest).or_default().push((bound, *value));
        }
    }
    for (labels, mut buckets) in series {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name}: {buckets:?}");
        let (bound, last) = *buckets.last().unwrap();
        assert!(bound.is_infinite());
        assert_eq!(family.samples[&(format!("{name}_count"), labels.clone())], last);
        assert!(family.samples.contains_key(&(format!("{name}_sum"), labels)));
    }
}

fn scrape(service: &Service) -> BTreeMap<String, Family> {
    let answer = service.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let families = parse(answer.body.as_str().unwrap());
    for (name, family) in &families {
        assert!(name.starts_with("weir_"), "{name}");
        assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name}");
        if family.kind == "histogram" {
            check_histogram(name, family);
        }
    }
    families
}

fn value(families: &BTreeMap<String, Family>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let family = families.iter().find(|(n, _)| {
        name.starts_with(n.as_str()) && {
            let rest = &name[n.len()..];
            ["", "_bucket", "_sum", "_count"].contains(&rest)
        }
    });
    let (_, family) = family.unwrap_or_else(|| panic!("no {name}"));
    let labels: Vec<_> = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    *family
        .samples
        .get(&(name.to_owned(), labels))
        .unwrap_or_else(|| panic!("{name} in {family:#?}"))
}

#[test]
fn the_numbers_are_well_formed_and_count_what_happened() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    // An empty box has well-formed numbers too.
    scrape(&service);
    let photo = scene(320, 240, 1).jpeg(85).unwrap();
    let scam = qr_code("https://login.scam.example/win", 6).unwrap().png().unwrap();
    for media in [&photo, &photo, &scam] {
        let answer = service.submit_with(&[("prefer", "wait=30")], &json!({}), &[media]);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    service.get("/v1/nothing/here?secret=1");
    service.get("/v1/submissions/not-an-id");
    let families = scrape(&service);
    let is = |name: &str, labels: &[(&str, &str)], want: f64| {
        assert_eq!(value(&families, name, labels), want, "{name} {labels:?}");
    };
    is("weir_submissions_accepted_total", &[], 3.0);
    is("weir_decisions_total", &[("status", "approved")], 2.0);
    is("weir_decision_reasons_total", &[("status", "rejected"), ("reason", "scam_link")], 1.0);
    for stage in ["queue_wait", "decode", "detect", "decide", "total"] {
        is("weir_stage_seconds_count", &[("stage", stage)], 3.0);
    }
    is("weir_score_ratio_count", &[("detector", "text_likelihood")], 3.0);
    let call = |route, status| [("route", route), ("method", "GET"), ("status", status)];
    is("weir_requests_total", &call("none", "404"), 1.0);
    is("weir_requests_total", &call("/v1/submissions/{id}", "404"), 1.0);
    is("weir_queue_jobs", &[], 0.0);
    is("weir_queue_age_seconds", &[], 0.0);
    is("weir_drained", &[], 0.0);
    assert!(value(&families, "weir_disk_free_bytes", &[]) > 0.0);
    let build = [("version", env!("CARGO_PKG_VERSION")), ("schema", "6")];
    is("weir_build_info", &build, 1.0);
}

#[test]
fn messages_to_endpoints_are_counted_by_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("hook.secret");
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (port, heard) = endpoint(vec![ok(b"{}")]);
    let config = dir.path().join("weir.toml");
    let text = format!(
        "[fetch]\nallow = [\"127.0.0.0/8\"]\n[[tenant.default.webhook]]\nurl = \"http://127.0.0.1:{port}/\"\nsecret_file = \"{}\"\n",
        secret.display()
    );
    std::fs::write(&config, text).unwrap();
    let data = dir.path().join("data");
    let service = Service::start(&data, &["--config", config.to_str().unwrap()]);
    let answer = service.submit_with(&[("prefer", "wait=30")], &json!({ "text": "hello" }), &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    heard.join().unwrap();
    let start = std::time::Instant::now();
    // The count comes after the endpoint's answer, of which nobody here is told.
    loop {
        let families = scrape(&service);
        let family = &families["weir_webhook_attempts_total"];
        let key = (
            "weir_webhook_attempts_total".to_owned(),
            vec![("outcome".to_owned(), "delivered".to_owned())],
        );
        if family.samples.get(&key) == Some(&1.0) {
            break;
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(10), "{family:?}");
    }
}

/// Names of metrics in a query of the dashboard.
fn names(query: &str) -> Vec<String> {
    let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|w| w.starts_with("weir_")).map(str::to_owned).collect()
}

fn queries(panel: &Value, found: &mut Vec<String>) {
    match panel {
        Value::Object(map) => {
            found.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|v| queries(v, found));
        }
        Value::Array(all) => all.iter().for_each(|v| queries(v, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_nothing_that_is_not_there() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/grafana/weir-edge.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut asked = Vec::new();
    queries(&dashboard, &mut asked);
    assert!(asked.len() >= 10, "{asked:?}");
    let dir = tempfile::tempdir().unwrap();
    let families = scrape(&Service::start(dir.path(), &[]));
    for query in &asked {
        let named = names(query);
        assert!(!named.is_empty(), "{query}");
        for name in named {
            let known = families.iter().any(|(family, of)| match of.kind.as_str() {
                "histogram" => {
                    ["_bucket", "_sum", "_count"].iter().any(|s| name == format!("{family}{s}"))
                }
                _ => *family == name,
            });
            assert!(known, "{name} of `{query}` is not in /metrics");
        }
    }
    // What nobody looks at is not found when it matters.
    let named: BTreeSet<_> = asked.iter().flat_map(|query| names(query)).collect();
    for name in [
        "weir_engine_info",
        "weir_engine_fallback",
        "weir_pace",
        "weir_throttled",
        "weir_model_trial_unusable",
        "weir_model_verdicts_total",
        "weir_model_shadow_total",
        "weir_model_withdrawals_total",
    ] {
        assert!(named.contains(name), "no panel shows {name}");
    }
    let ids: Vec<_> =
        dashboard["panels"].as_array().unwrap().iter().map(|p| p["id"].as_u64()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "ids of panels");
}

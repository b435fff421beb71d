//! `/metrics`, in the text format of Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::Api;
use crate::ingest::BUCKETS_MS;

/// `GET /metrics`: what this node did since it began. Knows no names, so that it needs no token.
pub(super) async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    let ingest = api.sessions.ingest();
    let done = ingest.metrics();
    let mut text = String::new();
    for (name, kind, help, value) in [
        ("entries_total", "counter", "Entries committed.", done.rows.load(Relaxed)),
        ("groups_total", "counter", "Groups of jobs taken up.", done.groups.load(Relaxed)),
        (
            "fence_lost_total",
            "counter",
            "Times another node had moved a cursor first.",
            done.fenced.load(Relaxed),
        ),
        ("busy_total", "counter", "Jobs answered with Busy.", done.busy.load(Relaxed)),
        ("forks_total", "counter", "Epochs with two journals.", done.forks.load(Relaxed)),
        ("bad_batches_total", "counter", "Batches that do not hold.", done.bad.load(Relaxed)),
        (
            "blob_bytes_total",
            "counter",
            "Bytes of blobs sent to boxes.",
            api.sessions.blobs().map_or(0, |blobs| blobs.served()),
        ),
        (
            "logins_refused_total",
            "counter",
            "Logins to the ops screens that failed, names that nobody has included.",
            api.refused.load(Relaxed),
        ),
        ("queue_jobs", "gauge", "Jobs that wait.", ingest.waiting() as u64),
        (
            "connections",
            "gauge",
            "Boxes connected to this node, by all paths.",
            api.sessions.connected().len() as u64,
        ),
    ] {
        let _ = writeln!(
            text,
            "# HELP weir_hub_{name} {help}\n# TYPE weir_hub_{name} {kind}\nweir_hub_{name} {value}"
        );
    }
    if let Some(broker) = &api.broker {
        let name = "weir_hub_broker_connected";
        let help = "Whether this node hears boxes at the broker.";
        let heard = u8::from(*broker.borrow());
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {heard}");
    }
    let name = "weir_hub_commit_seconds";
    let _ = writeln!(text, "# HELP {name} How long transactions took.\n# TYPE {name} histogram");
    let mut sum = 0;
    for (bound, bucket) in BUCKETS_MS.iter().zip(&done.buckets) {
        sum += bucket.load(Relaxed);
        let _ = writeln!(text, "{name}_bucket{{le=\"{}\"}} {sum}", *bound as f64 / 1000.0);
    }
    let count = done.commits.load(Relaxed);
    let seconds = done.commit_us.load(Relaxed) as f64 / 1e6;
    let _ = writeln!(
        text,
        "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {seconds}\n{name}_count {count}"
    );
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

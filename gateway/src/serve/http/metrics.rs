//! `/metrics`, in the text format of Prometheus, and the count of all calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::Pace;

use super::problem::{Outcome, Problem};
use crate::serve::App;
use crate::serve::directives;
use crate::serve::metrics::Page;
use crate::serve::replication::View;
use crate::serve::sensors::{self, Readings};
use crate::serve::tenant::{self, All};

/// Methods by name; others are counted together, for a client may make up any.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];

/// The layer that counts calls.
pub async fn layer(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = next.run(request).await;
    count(&app, route.as_ref().map_or("none", MatchedPath::as_str), &method, response.status());
    response
}

/// Counts a call that was answered.
pub fn count(app: &App, route: &str, method: &Method, status: StatusCode) {
    let known = METHODS.iter().find(|m| **m == method.as_str()).copied();
    app.metrics.called(route, known.unwrap_or("other"), status.as_u16());
}

/// All metrics.
pub async fn show(State(app): State<Arc<App>>) -> Outcome<impl IntoResponse> {
    let text = text(&app).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

/// On what the models of each profile run.
fn engines(tenants: &All, page: &mut Page) {
    let known: BTreeMap<_, _> =
        tenants.values().map(|t| (t.profile.name.as_str(), t.engine.runs_on())).collect();
    page.family("weir_engine_info", "gauge", "On what models run; always 1.");
    for (profile, engine) in &known {
        let labels = [
            ("profile", *profile),
            ("engine", engine.name),
            ("version", &engine.version),
            ("device", &engine.device),
        ];
        page.sample("", &labels, 1.0);
    }
    let help = "Whether models run on another engine than the wanted one.";
    page.family("weir_engine_fallback", "gauge", help);
    for (profile, engine) in known {
        let fallback = f64::from(u8::from(engine.fallback.is_some()));
        page.sample("", &[("profile", profile)], fallback);
    }
    let help = "Versions of models on trial that cannot be used; 1 for each.";
    page.family("weir_model_trial_unusable", "gauge", help);
    for left in tenant::left_out(tenants) {
        page.sample("", &[("model", left.model.as_str())], 1.0);
    }
}

/// The way to the hub; nothing where the box is no hub's.
fn replication(view: &View, page: &mut Page) {
    let help = "1 for the way by which the hub is reached, 0 for others.";
    page.family("weir_replication_path", "gauge", help);
    for path in ["quic", "mqtt"] {
        page.sample("", &[("path", path)], f64::from(u8::from(view.path == Some(path))));
    }
    let help = "Entries of the journal that the hub has not acknowledged.";
    page.family("weir_replication_lag_entries", "gauge", help);
    page.sample("", &[("lane", "critical")], view.critical_lag as f64);
    page.sample("", &[("lane", "bulk")], view.bulk_lag as f64);
    let away = view.away_seconds as f64;
    page.gauge("weir_replication_away_seconds", "Time without a connection to the hub.", away);
    page.family("weir_replication_receipts_total", "counter", "Receipts for checkpoints.");
    page.sample("", &[], view.receipts as f64);
    let help = "Forks: the hub had another journal under this box's name.";
    page.family("weir_replication_forks_total", "counter", help);
    page.sample("", &[], view.forks as f64);
}

/// What came of the hub's directives.
fn directives(view: &directives::View, page: &mut Page) {
    page.family("weir_directives_total", "counter", "Directives of the hub by what came of them.");
    let counts =
        [("applied", view.applied), ("refused", view.refused), ("repeated", view.repeated)];
    for (outcome, count) in counts {
        page.sample("", &[("outcome", outcome)], count as f64);
    }
    let help = "What came in the hub's name and was not by it, or not for this box.";
    page.family("weir_directives_distrusted_total", "counter", help);
    for (why, count) in &view.distrusted {
        page.sample("", &[("why", *why)], *count as f64);
    }
}

/// All metrics as text.
///
/// # Errors
/// Where the database does not answer.
pub async fn text(app: &App) -> Outcome<String> {
    let (states, depth, now) =
        app.read(|store| Ok((store.count_by_state()?, store.queue_depth()?, store.now()))).await?;
    let data = app.store.dir().to_owned();
    let room = tokio::task::spawn_blocking(move || sensors::room(&data)).await;
    let room = room.map_err(|error| Problem::internal(&error))?;
    let mut page = Page::default();
    page.family("weir_build_info", "gauge", "What runs; always 1.");
    let (version, schema) = (env!("CARGO_PKG_VERSION"), store::SCHEMA.to_string());
    page.sample("", &[("version", version), ("schema", schema.as_str())], 1.0);
    engines(&app.tenants.all(), &mut page);
    page.gauge("weir_uptime_seconds", "Time since the start.", app.desk.hour.age().as_secs_f64());
    app.metrics.write(&mut page);
    let age = depth.oldest.map_or(0, |oldest| (now.0 - oldest.0).max(0));
    page.gauge("weir_queue_jobs", "Jobs that wait.", depth.queued as f64);
    page.gauge("weir_queue_leased_jobs", "Jobs in hand.", depth.leased as f64);
    page.gauge("weir_queue_dead_jobs", "Dead letters.", depth.dead as f64);
    page.gauge("weir_queue_age_seconds", "Age of the oldest waiting job.", age as f64 / 1000.0);
    page.gauge("weir_workers", "Items that may be judged at once.", app.config.workers as f64);
    let used = app.spool.used() as f64;
    page.gauge("weir_spool_bytes", "Bytes in the spool, evidence included.", used);
    page.gauge("weir_evidence_bytes", "Bytes of evidence.", app.vault.used() as f64);
    page.gauge("weir_store_waiting_writes", "Writes that wait.", app.store.waiting() as f64);
    let gone = app.gone.names().len() as f64;
    page.gauge("weir_webhooks_gone", "Endpoints that said 410 and are not called.", gone);
    if let Some(view) = app.replication.view() {
        replication(&view, &mut page);
        directives(&app.directives.tally.view(None), &mut page);
    }
    let drained = f64::from(u8::from(app.desk.is_drained()));
    page.gauge("weir_drained", "1 while a technician or the hub has stopped new work.", drained);
    if let Some(room) = room {
        page.gauge(
            "weir_disk_free_bytes",
            "Room on the data folder's disk.",
            room.free_bytes as f64,
        );
        page.gauge("weir_disk_size_bytes", "Size of that disk.", room.total_bytes as f64);
    }
    page.family(
        "weir_temperature_celsius",
        "gauge",
        "Temperature by the kernel's name of the zone.",
    );
    let readings = app.climate.readings();
    let zones = &readings.temperatures;
    for (n, zone) in zones.iter().enumerate() {
        // Two zones may have one name.
        let twin = zones[..n].iter().filter(|z| z.name == zone.name).count().to_string();
        page.sample("", &[("zone", zone.name.as_str()), ("twin", twin.as_str())], zone.celsius);
    }
    machine(&mut page, app, &readings);
    page.family("weir_submissions", "gauge", "Submissions kept, by state.");
    for (state, count) in states {
        let state = serde_json::to_value(state).unwrap_or_default();
        page.sample("", &[("state", state.as_str().unwrap_or_default())], count as f64);
    }
    Ok(page.finish())
}

/// Pace, throttles, clocks and graphics processors.
fn machine(page: &mut Page, app: &App, readings: &Readings) {
    let flag = |is: bool| f64::from(u8::from(is));
    let pace = app.climate.pace();
    page.family("weir_pace", "gauge", "1 for the pace in force: normal, warm or throttled.");
    for one in Pace::ALL {
        page.sample("", &[("pace", one.name())], flag(one == pace));
    }
    page.family("weir_pace_changes_total", "counter", "Changes to each pace.");
    for (one, count) in Pace::ALL.iter().zip(app.climate.changes()) {
        page.sample("", &[("pace", one.name())], count as f64);
    }
    page.family("weir_throttled", "gauge", "1 while this slows the machine down.");
    for throttle in &readings.throttles {
        page.sample("", &[("by", throttle.name.as_str())], flag(throttle.active));
    }
    page.family("weir_power_mode_info", "gauge", "The power mode of a Jetson; always 1.");
    if let Some(mode) = &readings.power_mode {
        page.sample("", &[("mode", mode.as_str())], 1.0);
    }
    if let Some(clock) = readings.cpu {
        let ratio = clock.cap_percent() as f64 / 100.0;
        let help = "What the cores may be clocked at, of what they could.";
        page.gauge("weir_cpu_clock_cap_ratio", help, ratio);
    }
    page.family("weir_gpu_load_ratio", "gauge", "How busy a graphics processor is.");
    for gpu in &readings.gpus {
        if let Some(percent) = gpu.load_percent {
            page.sample("", &[("gpu", gpu.name.as_str())], percent / 100.0);
        }
    }
    page.family("weir_gpu_clock_hertz", "gauge", "Clock of a graphics processor.");
    for gpu in &readings.gpus {
        if let Some(clock) = gpu.clock {
            page.sample("", &[("gpu", gpu.name.as_str())], clock.mhz as f64 * 1e6);
        }
    }
}

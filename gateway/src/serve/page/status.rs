//! The state of the box as the page shows it and `GET /v1/status` tells it.
//!
//! It names no tenant, author, caption, medium or address: whoever stands before the box may read it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::Pace;
use pipeline::sandbox::Level as Fence;
use serde::Serialize;
use store::QueueDepth;

use super::health::{self, Facts, Health};
use super::hour::Summary;
use super::verdicts::Seen;
use crate::serve::directives;
use crate::serve::replication::View;
use crate::serve::sensors::{self, Clock, Gpu, Room, Zone};
use crate::serve::{App, tenant};

/// The state of the box.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// How it is, and why.
    pub health: Health,
    /// When this was told.
    pub at: serde_json::Value,
    /// Whether a technician or the hub has stopped new work.
    pub drained: bool,
    /// What runs.
    pub versions: Versions,
    /// How well decoders are fenced in: none, floor, landlock or namespaces.
    pub sandbox: Fence,
    /// Work that waits.
    pub queue: Queue,
    /// Items that may be judged at once.
    pub workers: usize,
    /// Room on the disk of the data folder, where it can be told.
    pub disk: Option<Room>,
    /// Bytes of media that wait or are kept, and how many may be.
    pub spool_bytes: u64,
    /// The most bytes of the spool.
    pub spool_limit_bytes: u64,
    /// The hottest first; none where the machine has no sensor.
    pub temperatures: Vec<Zone>,
    /// How fast judging may go: normal, warm, throttled.
    pub pace: Pace,
    /// What slows the machine down at this moment.
    pub slowed_by: Vec<String>,
    /// Graphics processors, with load and clocks as far as they tell.
    pub gpus: Vec<Gpu>,
    /// The clock of the processor's cores.
    pub cpu: Option<Clock>,
    /// The power mode of a Jetson.
    pub power_mode: Option<String>,
    /// How the hub is reached; none where the box is no hub's.
    pub replication: Option<View>,
    /// What came of the hub's directives; none where the box is no hub's.
    pub directives: Option<directives::View>,
    /// The last hour.
    pub hour: Summary,
    /// The last verdicts, the newest first.
    pub verdicts: Vec<Seen>,
}

impl Status {
    /// The few numbers that go out as telemetry.
    pub fn brief(&self) -> serde_json::Value {
        let codes: Vec<_> = self.health.notices.iter().map(|notice| notice.code).collect();
        let hottest = self.temperatures.first().map(|zone| zone.celsius);
        let lag = self.replication.as_ref().map(|view| view.critical_lag + view.bulk_lag);
        serde_json::json!({
            "at": self.at, "release": self.versions.weir, "uptime_seconds": self.versions.uptime_seconds,
            "health": self.health.level, "notices": codes, "drained": self.drained,
            "queue": self.queue.waiting, "in_hand": self.queue.in_hand, "dead_letters": self.queue.dead_letters,
            "lag": lag, "pace": self.pace, "celsius": hottest, "disk": self.disk,
        })
    }
}

/// Work that waits.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Queue {
    /// Jobs that wait.
    pub waiting: u64,
    /// Jobs in hand.
    pub in_hand: u64,
    /// Jobs that were given up.
    pub dead_letters: u64,
    /// Wait of the oldest in seconds; 0 where none waits.
    pub oldest_seconds: u64,
    /// As many may wait.
    pub limit: u64,
}

/// What runs.
#[derive(Clone, Debug, Serialize)]
pub struct Versions {
    /// Of the program.
    pub weir: &'static str,
    /// Of the database.
    pub schema: u32,
    /// The box.
    pub r#box: String,
    /// How long it has run, in seconds.
    pub uptime_seconds: u64,
    /// Each profile in use.
    pub profiles: Vec<ProfileView>,
}

/// A profile in use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ProfileView {
    /// Its name.
    pub name: String,
    /// `name@version` of its policy.
    pub policy: String,
    /// `name@version` of its models; behind one that is on trial its stage.
    pub models: Vec<String>,
    /// On what they run; `none` where there are none.
    pub engine: &'static str,
    /// Version of the engine's library.
    pub engine_version: String,
    /// The processor or the GPU.
    pub device: String,
    /// In what numbers the models compute.
    pub precisions: Vec<&'static str>,
    /// Why it is not the engine that was wanted.
    pub fallback: Option<String>,
}

/// How well the decoders of all profiles are fenced in, and each profile in use once.
fn profiles(app: &App) -> (Fence, BTreeSet<ProfileView>) {
    let mut fence = Fence::Namespaces;
    let mut profiles = BTreeSet::new();
    for tenant in app.tenants.all().values() {
        fence = fence.min(tenant.engine.sandbox());
        let engine = tenant.engine.runs_on();
        profiles.insert(ProfileView {
            name: tenant.profile.name.clone(),
            policy: tenant.profile.policy.id(),
            models: tenant.engine.lineup().words(),
            engine: engine.name,
            engine_version: engine.version.clone(),
            device: engine.device.clone(),
            precisions: engine.precisions.iter().copied().collect(),
            fallback: engine.fallback.clone(),
        });
    }
    (fence, profiles)
}

fn queue(depth: &QueueDepth, oldest: Option<Duration>, limit: u64) -> Queue {
    Queue {
        waiting: depth.queued,
        in_hand: depth.leased,
        dead_letters: depth.dead,
        oldest_seconds: oldest.unwrap_or_default().as_secs(),
        limit,
    }
}

/// Takes the state. Reads the database and sysfs: not for threads of the runtime.
pub fn take(app: &Arc<App>) -> Status {
    let depth = app.store.queue_depth();
    let (readings, pace) = (app.climate.readings(), app.climate.pace());
    let disk = sensors::room(app.store.dir());
    let (fence, profiles) = profiles(app);
    let answers = depth.is_ok();
    let depth = depth.unwrap_or(QueueDepth { queued: 0, leased: 0, dead: 0, oldest: None });
    let now = app.store.now();
    let waited = depth.oldest.map(|at| (now.0 - at.0).max(0).cast_unsigned());
    let oldest = waited.map(Duration::from_millis);
    let hour = app.desk.hour.summary();
    let gone = app.gone.names().iter().map(|(t, n)| format!("{t}/{n}")).collect::<Vec<_>>();
    let fallback = profiles.iter().find_map(|profile| profile.fallback.clone());
    let withdrawn = app.life.withdrawn();
    let tenants = app.tenants.all();
    let engine: BTreeSet<_> =
        tenants.values().flat_map(|tenant| tenant.engine.runs_on().warnings()).collect();
    let engine = Vec::from_iter(engine);
    let left_out: Vec<_> =
        tenant::left_out(&tenants).iter().map(|l| format!("{} ({})", l.model, l.why)).collect();
    let replication = app.replication.view();
    let last = || app.store.last_directed().ok().flatten();
    let directives = replication.is_some().then(|| app.directives.tally.view(last()));
    let facts = Facts {
        ending: app.is_draining(),
        drained: app.desk.is_drained(),
        store_answers: answers,
        tight: app.store.is_tight(),
        waiting: depth.queued,
        most_waiting: app.config.limits.queue,
        oldest,
        dead: depth.dead,
        room: disk,
        spool: app.spool.used(),
        most_spool: app.config.limits.spool_bytes,
        hottest: readings.temperatures.first(),
        slowed_by: &readings.slowed_by(),
        pace,
        fence,
        fallback: fallback.as_deref(),
        engine: &engine,
        gone: &gone,
        withdrawn: &withdrawn,
        left_out: &left_out,
        replication: replication.as_ref(),
        distrusted: directives.as_ref().map_or(0, |view| view.distrusted_last_minute),
        hour: &hour,
    };
    Status {
        health: health::tell(&facts),
        at: crate::serve::http::time(now),
        drained: facts.drained,
        versions: Versions {
            weir: env!("CARGO_PKG_VERSION"),
            schema: store::SCHEMA,
            r#box: app.store.box_id().to_string(),
            uptime_seconds: app.desk.hour.age().as_secs(),
            profiles: profiles.into_iter().collect(),
        },
        sandbox: fence,
        queue: queue(&depth, oldest, app.config.limits.queue),
        workers: app.config.workers,
        disk,
        spool_bytes: facts.spool,
        spool_limit_bytes: facts.most_spool,
        temperatures: readings.temperatures.clone(),
        pace,
        slowed_by: readings.slowed_by().into_iter().map(str::to_owned).collect(),
        gpus: readings.gpus.clone(),
        cpu: readings.cpu,
        power_mode: readings.power_mode.clone(),
        replication: replication.clone(),
        directives,
        hour,
        verdicts: app.desk.verdicts.newest(),
    }
}

//! `weir serve`: takes submissions in over HTTP, judges behind, remembers, tells.

mod bundles;
mod chores;
mod clamav;
mod climate;
mod control;
mod deletions;
mod directives;
mod ending;
mod engine;
mod evidence;
mod fetch;
mod gone;
mod help;
mod housekeeping;
mod http;
mod jwt;
mod life;
mod lists;
mod lost;
mod merge;
mod metrics;
mod notify;
mod outbound;
mod page;
mod patience;
mod progress;
mod pulse;
mod releases;
mod reload;
mod rematch;
mod replication;
mod requests;
pub mod sensors;
mod server;
mod spool;
pub mod tenant;
mod tls;
mod trial;
mod vault;
mod work;

use std::os::unix::fs::DirBuilderExt as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use domain::journal::{Actor, Code, SubmissionId, TenantId};
use domain::{Problem as Mistake, Problems};
use store::{Again, Effect, Store};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use crate::cli::ServeArguments;
use crate::config::{self, Config};
use crate::{enrolment, paths};
use climate::Climate;
use directives::Directives;
use ending::Ending;
pub use engine::gravest;
use gone::Gone;
pub use http::time;
use http::{Gatekeeper, Problem, Turns};
use life::Life;
use lost::LostGpu;
use metrics::Metrics;
use page::Desk;
pub use page::self_test::OWN;
use progress::{Progress, Stage};
use pulse::{Manager, Pulse};
use releases::Releases;
use reload::Reload;
use replication::Replication;
use server::Server;
use spool::Spool;
pub use tenant::author_key;
use tenant::{Tenant, Tenants};
use tls::Certificate;
use vault::Vault;

/// Open files besides connections: the database, the spool, the sandbox.
const OWN_FILES: u64 = 512;

/// Connections that may wait to be accepted; the system may allow fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// All that calls and workers share.
pub struct App {
    config: Config,
    store: Store,
    spool: Spool,
    /// Of bodies at being received.
    turns: Turns,
    /// What is kept of media that were not approved.
    vault: Vault,
    tenants: Tenants,
    /// The command line and the settings in force, for a reload.
    reload: Reload,
    gatekeeper: Gatekeeper,
    progress: Progress,
    metrics: Metrics,
    /// What the status page remembers.
    desk: Desk,
    /// For media that are named by address.
    agent: ureq::Agent,
    /// There is a job that nobody was told of.
    work_ready: Notify,
    /// There is a file to delete.
    effects_ready: Notify,
    /// There is evidence to make.
    evidence_ready: Notify,
    /// The hub has ordered a bundle.
    bundles_ready: Notify,
    /// Held by who deletes files, so that another one can wait until they are gone.
    deleting: tokio::sync::Mutex<()>,
    /// There is somebody to tell.
    messages_ready: Notify,
    /// Endpoints that are not called any more.
    gone: Gone,
    gpu: LostGpu,
    /// What is known of versions of models that are new.
    life: Life,
    /// Jobs that waited when they were last counted.
    queued: AtomicU64,
    /// Whether the service gets on.
    pulse: Pulse,
    /// How hot the box is.
    climate: Climate,
    /// How the hub is reached.
    replication: Replication,
    /// What came of the hub's directives.
    directives: Directives,
    stop: watch::Receiver<bool>,
}

impl App {
    /// A tenant of the configuration.
    fn tenant(&self, id: &TenantId) -> Result<Arc<Tenant>, Problem> {
        self.tenants.get(id).ok_or_else(|| {
            let detail = "this credential's tenant is not served by this box any more";
            Problem::new(axum::http::StatusCode::FORBIDDEN, "tenant_gone", detail)
        })
    }

    /// Reads from the store, away from the threads that serve.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, store::Error> + Send + 'static,
    ) -> Result<T, Problem> {
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || read(&store)).await;
        Ok(read.map_err(|error| Problem::internal(&error))??)
    }

    /// Notes what became of an effect. What this process has leased nobody else takes up before the next start, so that a
    /// store that is busy or full is asked until it takes the note, or the service is told to end.
    async fn insist<T>(&self, call: impl Fn(&Store) -> store::Reply<T>) -> Result<T, store::Error> {
        let mut pause = Duration::from_millis(100);
        loop {
            let refused = match call(&self.store).await {
                Err(error @ (store::Error::Busy(_) | store::Error::Full)) => error,
                other => return other,
            };
            if self.is_draining() {
                return Err(refused);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    /// Notes that an effect failed.
    async fn failed(
        &self,
        effect: &Effect,
        reason: Code,
        detail: String,
        again: Again,
    ) -> Result<(), store::Error> {
        self.insist(|store| store.effect_failed(effect, reason.clone(), detail.clone(), again))
            .await
    }

    /// Refuses new work before any of its bytes are read, where it could not be kept or done.
    fn refuse_when_loaded(&self) -> Result<(), Problem> {
        if self.is_draining() {
            let detail = "the box is about to restart: try again in a moment, or on another box";
            return Err(Problem::unavailable("draining", detail, Duration::from_secs(5)));
        }
        if self.desk.is_drained() {
            let detail = "a technician works on this box: try again later, or on another box";
            return Err(Problem::unavailable("draining", detail, Duration::from_secs(60)));
        }
        if self.store.is_tight() {
            return Err(Problem::full());
        }
        if self.is_crowded() {
            let detail =
                "too many submissions wait to be judged: try again later, or on another box";
            return Err(Problem::unavailable("queue_full", detail, Duration::from_secs(10)));
        }
        Ok(())
    }

    fn is_crowded(&self) -> bool {
        self.queued.load(Ordering::Relaxed) >= self.config.limits.queue
    }

    fn is_draining(&self) -> bool {
        *self.stop.borrow()
    }

    /// Deletes files that no row names. What fails is found by the sweep at the next start.
    fn forget_blobs(&self, names: Vec<String>) {
        if names.is_empty() {
            return;
        }
        let spool = self.spool.clone();
        // Off the threads that serve: a file of gigabytes takes its time to go.
        drop(tokio::task::spawn_blocking(move || {
            for name in names {
                if let Err(error) = spool.delete(&name) {
                    tracing::warn!(%error, name, "a file without an owner stays until the next start");
                }
            }
        }));
    }

    /// Waits until a submission is decided, or the time is over.
    async fn settled(&self, tenant: &TenantId, id: SubmissionId, time: Duration) {
        let Ok(mut listener) = self.progress.listen(tenant, id) else { return };
        let (of, waiting) = (tenant.clone(), async {
            // What was missed does not matter: the caller looks at the state.
            listener.reach(Stage::Settled).await;
        });
        let decided =
            self.read(move |store| Ok(store.submission(&of, id)?.decision.is_some())).await;
        if decided != Ok(true) {
            let _ = tokio::time::timeout(time, waiting).await;
        }
    }
}

/// What a program that embeds the service, such as a bench, has otherwise than the box.
#[derive(Default)]
pub struct Embedding {
    /// Further calls, beside those of the API and without its layers.
    pub calls: Option<axum::Router>,
    /// How the store behaves, where the settings say nothing.
    pub store: store::Config,
}

/// Runs the service until it is told to end.
pub fn run(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    run_with(arguments, Embedding::default())
}

/// The same with something else beside it.
///
/// # Errors
/// What keeps it from starting.
pub fn run_with(arguments: &ServeArguments, mut embedding: Embedding) -> anyhow::Result<ExitCode> {
    let calls = embedding.calls.take().unwrap_or_default();
    let (config, shown) = config::load(arguments)?;
    let unusable = unusable_files(&config);
    if !unusable.is_empty() {
        bail!("the settings cannot be used:\n{}", Problems(unusable));
    }
    let listener = std::net::TcpListener::bind(config.listen).with_context(|| {
        format!(
            "cannot listen on {}; is another service there? choose another with --listen",
            config.listen
        )
    })?;
    listener.set_nonblocking(true).context("cannot set up the socket")?;
    // The library's 128 are too few for a site that opens hundreds at once: those that find no room are reset.
    rustix::net::listen(&listener, BACKLOG).context("cannot set up the socket")?;
    raise_open_files(config.limits.max_connections);
    let (tell_stop, stop) = watch::channel(false);
    let reload = Reload::new(arguments.clone(), shown);
    let app = Arc::new(open(config, reload, embedding, stop)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("weir-serve")
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(serve(app, calls, listener, tell_stop));
    // What is still being judged or called after the drain must not hold up the end; the next start takes it up.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn serve(
    app: Arc<App>,
    calls: axum::Router,
    listener: std::net::TcpListener,
    tell_stop: watch::Sender<bool>,
) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::from_std(listener).context("cannot set up the socket")?;
    let address = listener.local_addr().context("cannot tell the address")?;
    chores::sweep(&app).await?;
    let socket = control::bind(&app.config.data)?;
    let control = tokio::spawn(control::run(Arc::clone(&app), socket));
    let work = tokio::spawn(work::run(Arc::clone(&app)));
    let keys = tokio::spawn(jwt::run(Arc::clone(&app)));
    let messages = tokio::spawn(notify::run(Arc::clone(&app)));
    let chores = tokio::spawn(chores::run(Arc::clone(&app)));
    let deletions = tokio::spawn(deletions::run(Arc::clone(&app)));
    let evidence = tokio::spawn(evidence::run(Arc::clone(&app)));
    let old = tokio::spawn(housekeeping::run(Arc::clone(&app)));
    let pulse = tokio::spawn(pulse::run(Arc::clone(&app)));
    let life = tokio::spawn(life::run(Arc::clone(&app)));
    let climate = tokio::spawn(climate::run(Arc::clone(&app)));
    let replication = tokio::spawn(replication::run(Arc::clone(&app)));
    let directives = tokio::spawn(directives::run(Arc::clone(&app)));
    let reload = tokio::spawn(reload::run(Arc::clone(&app), reload::hang_up()?));
    let certificate = app.config.tls.as_ref().map(Certificate::open).transpose()?;
    let server = Server {
        router: http::router(Arc::clone(&app)).merge(calls),
        tls: certificate.as_ref().map(Certificate::acceptor).transpose()?,
        connections: app.config.limits.max_connections,
        head: app.config.limits.head,
        drain: app.config.drain,
    };
    let serving = tokio::spawn(server.serve(listener, app.stop.clone()));
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let certificate = tokio::spawn(tls::run(certificate, app.stop.clone()));
    let mut ending = Ending::new()?;
    tracing::info!(%address, "ready");
    eprintln!("weir: serving on {scheme}://{address}/ (data in {})", app.config.data.display());
    let manager = Manager::ready(&app, &format!("serving on {scheme}://{address}/"));
    ending.wait().await;
    manager.stopping();
    eprintln!("weir: ending; a second signal ends at once");
    tokio::spawn(async move {
        ending.wait().await;
        std::process::exit(130);
    });
    tell_stop.send_replace(true);
    app.work_ready.notify_one();
    app.effects_ready.notify_one();
    app.messages_ready.notify_one();
    app.evidence_ready.notify_one();
    for (name, task) in [
        ("calls", serving),
        ("work", work),
        ("messages", messages),
        ("chores", chores),
        ("deletions", deletions),
        ("evidence", evidence),
        ("keys of issuers", keys),
        ("certificate", certificate),
        ("housekeeping", old),
        ("pulse", pulse),
        ("models", life),
        ("reload", reload),
        ("climate", climate),
        ("replication", replication),
        ("directives", directives),
        ("control", control),
    ] {
        if let Err(error) = task.await {
            tracing::error!(%error, name, "a part of the service ended badly");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Files that the settings name and that cannot be used: what `weir config check` tells beyond the settings themselves.
pub fn unusable_files(config: &Config) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut note = |key: String, outcome: anyhow::Result<()>| {
        if let Err(error) = outcome {
            mistakes.push(Mistake { key, line: None, message: format!("{error:#}") });
        }
    };
    if let Some(files) = &config.tls {
        note("tls".into(), Certificate::open(files).map(drop));
    }
    let agent = outbound::agent(config.fetch.allow.clone(), config.fetch.timeout);
    for (name, tenant) in &config.tenants {
        for hook in &tenant.webhooks {
            let opened = notify::Endpoint::open(hook).map(drop);
            note(format!("tenant.{name}.webhook `{}`", hook.name), opened);
        }
        let help = help::Help::open(tenant.help.as_deref()).map(drop);
        note(format!("tenant.{name}.help"), help);
        if let Some(jwt) = &tenant.jwt {
            note(format!("tenant.{name}.jwt.jwks"), jwt::check_file(&jwt.jwks, &agent));
        }
    }
    mistakes
}

/// The store's settings, where the service's say something.
fn store_config(config: &Config, otherwise: store::Config) -> store::Config {
    let keep = &config.retention;
    store::Config {
        submissions_keep: keep.submissions,
        ip_mask_after: keep.addresses,
        effects_keep: keep.messages,
        journal_keep: keep.journal,
        ..otherwise
    }
}

/// Opens all that the service needs; nothing is served before.
fn open(
    config: Config,
    reload: Reload,
    embedding: Embedding,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<App> {
    // What people upload and write is nobody else's to read.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.data)
        .with_context(|| format!("cannot make the data folder {}", config.data.display()))?;
    let (store, opened) = Store::open(&config.data, store_config(&config, embedding.store))
        .with_context(|| format!("cannot open the store in {}", config.data.display()))?;
    if let Some(salvaged) = &opened.salvaged {
        tracing::error!(?salvaged, "the database was damaged; what could be saved was saved");
    }
    tracing::info!(box_id = %store.box_id(), requeued = opened.requeued, "store opened");
    let spool = Spool::open(&config.data, config.limits.spool_bytes)
        .with_context(|| format!("cannot open the spool in {}", config.data.display()))?;
    let vault = Vault::open(&config.data, spool.clone())
        .with_context(|| format!("cannot open the evidence in {}", config.data.display()))?;
    enrolment::adopt(&store).context("cannot take over what the hub says of the tenants")?;
    let releases = Releases::read(&store).context("cannot read the hub's releases")?;
    let tenants = Arc::new(tenant::open_all(&config, &releases, &|_| None)?);
    tenant::put_in_force(&tenants, &store, &Actor::System)?;
    let gone = Gone::default();
    gone.follow(&store, &tenants, &Actor::System)
        .context("cannot read which endpoints are gone")?;
    let (life, models) = (Life::default(), paths::models_dir());
    life.follow(&models::life::State::read(&models)?, &tenants);
    let climate = Climate::new(config.sensors_root.clone());
    Ok(App {
        gatekeeper: Gatekeeper::new(&config),
        desk: Desk::new(&config, reload.shown()),
        agent: outbound::agent(config.fetch.allow.clone(), config.fetch.timeout),
        config,
        store,
        spool,
        turns: Turns::default(),
        vault,
        tenants: Tenants::new(tenants),
        reload,
        progress: Progress::default(),
        metrics: Metrics::default(),
        work_ready: Notify::new(),
        effects_ready: Notify::new(),
        evidence_ready: Notify::new(),
        bundles_ready: Notify::new(),
        deleting: tokio::sync::Mutex::default(),
        messages_ready: Notify::new(),
        gone,
        gpu: LostGpu::default(),
        life,
        queued: AtomicU64::new(0),
        pulse: Pulse::new(),
        climate,
        replication: Replication::default(),
        directives: Directives::default(),
        stop,
    })
}

/// Lets the process have as many open files as the system allows it: each connection is one.
fn raise_open_files(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "cannot raise the limit on open files");
    }
    let needed = connections as u64 + OWN_FILES;
    if let Some(limit) = getrlimit(Resource::Nofile).current.filter(|limit| *limit < needed) {
        tracing::warn!(
            limit,
            needed,
            "fewer open files are allowed than limits.max_connections needs; raise LimitNOFILE"
        );
    }
}

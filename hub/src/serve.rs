//! `weir-hub serve`: everything put together, and its end.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sync::mqtt::News;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::account::oidc::Provider;
use crate::account::seal;
use crate::blob::Blobs;
use crate::config::{Assign, Config};
use crate::directives::Feed;
use crate::fleet::{self, Barred};
use crate::http::{Api, server};
use crate::receipt::{self, HubKey};
use crate::renewal::Certificates;
use crate::requests::Desk;
use crate::session::Sessions;
use crate::transports::Arrivals;
use crate::{Database, Ingest, Pool, broker, life, presence, review, schema, transports};

/// Connections for hellos, checkpoints and alarms; and those for the API.
const INGEST_POOL: usize = 4;
const API_POOL: usize = 8;
/// For what boxes fetch.
const BLOB_POOL: usize = 2;
/// For requests to boxes: an answer takes its time to go through.
const DESK_POOL: usize = 4;

/// How long a statement of a call may take: less than the call.
const STATEMENT: Duration = Duration::from_secs(25);

/// How often partitions are made ahead and old ones dropped.
const CHORES: Duration = Duration::from_secs(3600);

/// How long an orderly end may take.
const DRAIN: Duration = Duration::from_secs(10);

/// Runs until told to stop.
///
/// # Errors
/// Where it cannot start: no such database, another schema, no key, the address taken.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let key = Arc::new(hub_key(&config.key)?);
    let barred = look(&config.database, &key).await?;
    let own = config.authority.as_ref().map(Certificates::open).transpose()?;
    let provider = config.oidc.clone().map(|oidc| Provider::open(oidc, &config.address));
    let provider = provider.transpose()?.map(Arc::new);
    let mut committing = JoinSet::new();
    let pool = Arc::new(Pool::new(config.database.clone(), INGEST_POOL));
    let ingest = Ingest::start(config.ingest.clone(), pool, Arc::clone(&key), &mut committing);
    let (told, barred) = watch::channel(barred);
    let feed = Feed::default();
    let blobs = Blobs::new(Arc::new(Pool::new(config.database.clone(), BLOB_POOL)));
    let sessions = Arc::new(Sessions::new(ingest, barred.clone(), feed.clone()).serving(blobs));
    let mut chores = JoinSet::new();
    chores.spawn(feed.run(config.database.clone()));
    chores.spawn(fleet::watch(config.database.clone(), told));
    chores.spawn(keep_days(Pool::new(config.database.clone(), 1), config.retention_days));

    let (stop, stopped) = watch::channel(false);
    // Held for as long as the hub serves: transports get clones of it.
    let (door, arriving) = transports::arrivals();
    let boxes = tokio::spawn(transports::serve(Arc::clone(&sessions), arriving, stopped.clone()));
    let (tell, news) = mpsc::channel(presence::NEWS);
    let doors = Doors { door: &door, tell, stopped: &stopped };
    let mut ways = JoinSet::new();
    let mut broker = None;
    if let Some(own) = &own {
        broker = doors.open(&config, own, &mut ways)?;
        chores.spawn(own.clone().run());
    }
    if let Some(acl) = config.mqtt.as_ref().and_then(|mqtt| mqtt.acl.clone()) {
        chores.spawn(broker::guard(acl, barred));
    }
    let pool = Pool::new(config.database.clone(), 1);
    chores.spawn(presence::Keeper::new(pool, &sessions).run(news));
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let pool = Arc::new(Pool::new(config.database.clone(), DESK_POOL));
    let desk = Desk::new(pool, &sessions);
    chores.spawn(desk.clone().run(config.database.clone()));
    let (tell, news) = watch::channel(0);
    chores.spawn(review::news::follow(config.database.clone(), tell));
    if config.assign == Assign::Turns {
        chores.spawn(review::turns::keep(Pool::new(config.database.clone(), 1)));
    }
    let pool = Arc::new(Pool::new(config.database.within(STATEMENT), API_POOL));
    let api = Api::new(pool, Arc::clone(&sessions)).hearing(broker).asking(desk);
    let api = api.ordering(Arc::clone(&key)).believing(provider);
    let mut api = api.told(news, stopped.clone());
    if let Some(own) = &own {
        api = api.enrolling(Arc::clone(&own.issuer), key.public_key());
    }
    let tls = own.as_ref().filter(|_| !config.plain).map(|own| server::tls(&own.server));
    let tls = tls.transpose()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let api = tokio::spawn(server::serve(listener, api.router(), tls, stopped.clone()));
    eprintln!("weir-hub: serving on {scheme}://{address}/");

    let mut signals = Signals::listen()?;
    signals.next().await;
    tracing::info!("stopping");
    stop.send_replace(true);
    let drained = async {
        boxes.await?;
        api.await?;
        while ways.join_next().await.is_some() {}
        // The shards end once nobody can bring anything any more.
        drop(sessions);
        while committing.join_next().await.is_some() {}
        anyhow::Ok(())
    };
    tokio::select! {
        result = tokio::time::timeout(DRAIN, drained) => match result {
            Ok(result) => result?,
            Err(_) => tracing::warn!("not everything ended in time"),
        },
        () = signals.next() => tracing::warn!("ended at once"),
    }
    chores.shutdown().await;
    Ok(())
}

/// What tells the hub to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
        Ok(Self { interrupt: signal(interrupt)?, terminate: signal(terminate)? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Looks at the database before anything is begun: whether it is ours, and who is barred. The key is remembered there.
async fn look(database: &Database, key: &HubKey) -> anyhow::Result<Barred> {
    let mut client = database.connect().await.context("cannot reach the database")?;
    schema::check(&client).await?;
    if life::begin(&mut client).await?.is_some() {
        eprintln!("weir-hub: {}", life::NEWS);
    }
    receipt::remember(&client, key).await?;
    let sealed = seal::all(&client, key).await?;
    if sealed > 0 {
        tracing::info!(sealed, "secrets of second factors are sealed now");
    }
    Ok(fleet::barred(&client).await?)
}

/// What every way needs by which boxes come.
struct Doors<'a> {
    door: &'a Arrivals,
    tell: mpsc::Sender<News>,
    stopped: &'a watch::Receiver<bool>,
}

impl Doors<'_> {
    /// Opens what is configured; whether the broker is heard, where there is one.
    fn open(
        self,
        config: &Config,
        own: &Certificates,
        ways: &mut JoinSet<()>,
    ) -> anyhow::Result<Option<watch::Receiver<bool>>> {
        let Self { door, tell, stopped } = self;
        if let Some(listen) = config.quic {
            let server = transports::quic(listen, own)?;
            eprintln!("weir-hub: boxes connect to UDP {}", server.address()?);
            ways.spawn(server.serve(door.clone(), stopped.clone()));
        }
        let Some(at) = &config.mqtt else { return Ok(None) };
        let server = broker::listener(at, own)?;
        eprintln!("weir-hub: boxes are heard at the broker {}", at.address);
        let heard = server.listens();
        ways.spawn(server.serve(door.clone(), Some(tell), stopped.clone()));
        Ok(Some(heard))
    }
}

/// Partitions of the days to come, and the end of those that are past their time.
async fn keep_days(pool: Pool, retention_days: Option<u16>) {
    loop {
        let kept = async {
            let client = pool.take().await?;
            let ahead = "SELECT ensure_day((now() AT TIME ZONE 'UTC')::date + n) FROM generate_series(0, 1) n";
            client.batch_execute(ahead).await?;
            if let Some(days) = retention_days {
                let days = i32::from(days);
                let drop = "SELECT drop_days_before((now() AT TIME ZONE 'UTC')::date - $1::int)";
                let gone: i32 = client.query_one(drop, &[&days]).await?.try_get(0)?;
                if gone > 0 {
                    tracing::info!(partitions = gone, "dropped by retention");
                }
            }
            Ok::<_, crate::Error>(())
        };
        if let Err(error) = kept.await {
            tracing::warn!(%error, "partitions were not kept; an hour from now it is tried again");
        }
        tokio::time::sleep(CHORES).await;
    }
}

/// Reads the hub's key, or makes one that only the hub's user can read.
///
/// # Errors
/// Where it cannot be read or made.
pub(crate) fn hub_key(path: &Path) -> anyhow::Result<HubKey> {
    if !path.exists() {
        let key = HubKey::generate()?;
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(path);
        let mut file = file.with_context(|| format!("cannot make the key {}", path.display()))?;
        file.write_all(&key).and_then(|()| file.sync_all()).context("cannot write the key")?;
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(HubKey::new(&bytes)?)
}

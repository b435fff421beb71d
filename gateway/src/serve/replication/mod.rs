//! Replication to the hub, for as long as the service runs: enrolment, certificate, connection.
//!
//! A box without a hub works; one that becomes a hub's while it runs connects by itself.

mod journal;
mod results;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use domain::journal::Actor;
use serde::Serialize;
use sync::driver::{self, Driver, Problem, Telemetry};
use sync::identity::enrol;
use sync::link::Path;
use sync::mqtt::Broker;
use sync::quic::{Client, Failure};
use tokio::sync::watch;

use super::App;
use super::bundles;
use super::directives::Hub;
use super::page::state_of;
use super::reload;
use super::requests::Answers;
use crate::enrolment::{self, Enrolment, RELEASE};
use journal::StoreJournal;

/// How often a box that is no hub's looks whether it has become one.
const LOOK: Duration = Duration::from_secs(2);

/// How often it is seen whether the certificate is to be renewed.
const RENEWAL: Duration = Duration::from_secs(3600);

/// How often telemetry goes out.
const TELEMETRY: Duration = Duration::from_secs(30);

/// The pause after an attempt to renew that failed, or anything else that kept replication from starting.
const PAUSE: Duration = Duration::from_secs(30);

/// How replication stands.
#[derive(Debug, Default)]
pub struct Replication {
    shown: Mutex<Option<watch::Receiver<driver::Status>>>,
    begun: Mutex<Option<Instant>>,
}

/// The same, as it is told.
#[derive(Clone, Debug, Serialize)]
pub struct View {
    /// By which way the hub is reached: quic, mqtt; none while it is not.
    pub path: Option<&'static str>,
    /// Its address.
    pub hub: Option<String>,
    /// Entries of the critical lane that the hub does not have.
    pub critical_lag: u64,
    /// Entries of the bulk lane that the hub does not have.
    pub bulk_lag: u64,
    /// How long ago the hub last acknowledged anything, in seconds.
    pub acknowledged_seconds: Option<u64>,
    /// How long ago there was last a connection, in seconds; since the start where there was none.
    pub away_seconds: u64,
    /// Round-trip time in milliseconds.
    pub rtt_ms: Option<u64>,
    /// Checkpoints for which the hub gave a receipt since the start.
    pub receipts: u64,
    /// Forks since the start.
    pub forks: u64,
    /// What keeps entries from the hub.
    pub problem: Option<Trouble>,
}

/// What keeps entries from the hub.
#[derive(Clone, Debug, Serialize)]
pub struct Trouble {
    /// Machine-readable.
    pub code: &'static str,
    /// In words.
    pub detail: String,
}

impl Replication {
    /// How it stands; `None` where the box is no hub's.
    pub fn view(&self) -> Option<View> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let begun = *self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let status = shown.borrow().clone();
        let [critical_lag, bulk_lag] = status.lag;
        let away = match status.path {
            Some(_) => Duration::ZERO,
            None => status.seen.or(begun).map_or(Duration::ZERO, |at| at.elapsed()),
        };
        Some(View {
            path: status.path.map(|path| match path {
                Path::Quic => "quic",
                Path::Mqtt => "mqtt",
            }),
            hub: status.hub,
            critical_lag,
            bulk_lag,
            acknowledged_seconds: status.acked.map(|at| at.elapsed().as_secs()),
            away_seconds: away.as_secs(),
            rtt_ms: status.rtt.map(|rtt| u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX)),
            receipts: status.receipts,
            forks: status.forks,
            problem: status.problem.map(|Problem { code, detail }| Trouble { code, detail }),
        })
    }

    fn show(&self, shown: watch::Receiver<driver::Status>) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.get_or_insert_with(Instant::now);
    }
}

/// Replicates until the service ends.
pub async fn run(app: Arc<App>) {
    let mut stop = app.stop.clone();
    loop {
        let enrolment = match read(&app).await {
            Ok(Some(enrolment)) => enrolment,
            Ok(None) => {
                if waits(LOOK, &mut stop).await {
                    return;
                }
                continue;
            }
            Err(error) => {
                tracing::error!(%error, "this box cannot reach its hub");
                if waits(PAUSE, &mut stop).await {
                    return;
                }
                continue;
            }
        };
        match replicate(&app, &enrolment, &mut stop).await {
            Ok(Next::End) => return,
            Ok(Next::Again) => {}
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "replication stands still");
                if waits(PAUSE, &mut stop).await {
                    return;
                }
            }
        }
    }
}

/// Waits; true when the service ends meanwhile.
async fn waits(time: Duration, stop: &mut watch::Receiver<bool>) -> bool {
    tokio::time::timeout(time, stop.wait_for(|stop| *stop)).await.is_ok()
}

async fn read(app: &Arc<App>) -> anyhow::Result<Option<Enrolment>> {
    let (data, of) = (app.store.dir().to_owned(), app.store.box_id());
    tokio::task::spawn_blocking(move || Enrolment::read(&data, of)).await?
}

/// What comes after a driver's end.
enum Next {
    End,
    /// With what is in the file then.
    Again,
}

/// Runs the driver with one certificate.
async fn replicate(
    app: &Arc<App>,
    enrolment: &Enrolment,
    stop: &mut watch::Receiver<bool>,
) -> anyhow::Result<Next> {
    if enrolment.wants_renewal(now()) {
        // Before it runs out; where the hub is away, there is still time.
        if let Err(error) = renew(app, enrolment).await {
            tracing::warn!(error = format!("{error:#}"), "the certificate was not renewed");
        } else {
            return Ok(Next::Again);
        }
    }
    let (store, hub_key) = (app.store.clone(), enrolment.hub_key.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let key = store.device_key()?;
        Ok::<_, store::Error>((StoreJournal::new(store, hub_key)?, key))
    });
    let (journal, key) = opened.await??;
    let client = Client::new(&enrolment.authority, enrolment.certified(&key))?
        .answering(Arc::new(Answers::new(Arc::clone(app))));
    let broker = enrolment.granted.mqtt.as_deref();
    let broker = broker.map(|at| Broker::new(at, &enrolment.authority, enrolment.certified(&key)));
    let config = driver::Config {
        hubs: enrolment.granted.quic.clone(),
        mqtt: broker.transpose()?,
        ..Default::default()
    };
    let (mut driver, shown) = Driver::new(config, Arc::new(journal));
    driver.set_directives(Arc::new(Hub::new(Arc::clone(app), enrolment)));
    app.replication.show(shown);
    let telemetry = driver.telemetry();
    let (tell_end, mut end) = watch::channel(false);
    let failure = {
        let mut driving = std::pin::pin!(driver.run(&client, &mut end));
        tokio::select! {
            failure = &mut driving => failure,
            () = report(app, &telemetry) => None,
            () = bundles::run(app, client.fetcher()) => None,
            () = results::tell(app.store.clone(), telemetry.clone()), if enrolment.granted.mqtt.is_some() => None,
            () = due(app, enrolment, stop) => {
                tell_end.send_replace(true);
                driving.await
            }
        }
    };
    client.close().await;
    if *stop.borrow() {
        return Ok(Next::End);
    }
    if matches!(failure, Some(Failure::Expired)) {
        renew(app, enrolment).await?;
    }
    Ok(Next::Again)
}

/// Comes back when the service ends, the box was enrolled anew, or the certificate is to be renewed.
async fn due(app: &Arc<App>, enrolment: &Enrolment, stop: &mut watch::Receiver<bool>) {
    let begun = Instant::now();
    loop {
        if waits(LOOK, stop).await {
            return;
        }
        let anew = read(app).await.ok().flatten();
        if anew.is_some_and(|anew| anew.granted != enrolment.granted) {
            return;
        }
        if begun.elapsed() > RENEWAL && enrolment.wants_renewal(now()) {
            return;
        }
    }
}

/// Tells the broker now and then how the box is; lossily, and for nobody to act upon. Never comes back.
async fn report(app: &Arc<App>, telemetry: &Telemetry) {
    loop {
        let ours = Arc::clone(app);
        let taken = tokio::task::spawn_blocking(move || state_of(&ours)).await;
        match taken.map(|status| serde_json::to_vec(&status.brief())) {
            Ok(Ok(json)) => telemetry.publish(json),
            Ok(Err(error)) => tracing::warn!(%error, "no telemetry"),
            Err(error) => tracing::warn!(%error, "no telemetry"),
        }
        tokio::time::sleep(TELEMETRY).await;
    }
}

async fn renew(app: &Arc<App>, enrolment: &Enrolment) -> anyhow::Result<()> {
    let (app, enrolment) = (Arc::clone(app), enrolment.clone());
    tokio::task::spawn_blocking(move || {
        let store = &app.store;
        let (of, key) = (store.box_id(), store.device_key()?);
        let hubs = &enrolment.granted.hubs;
        let granted = enrol::renew(hubs, &enrolment.authority, of, &key, RELEASE)?;
        enrolment::keep_renewed(store.dir(), of, granted)?;
        tracing::info!("the certificate was renewed");
        // It may be assigned to further tenants since.
        reload::adopt(&app, &Actor::System)
    })
    .await?
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

//! Simulated boxes: the driver of a real box over a journal in memory, with certificates of the hub's own authority.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each bench uses its part, and may stop at what it does not expect"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::journal::BoxId;
use hub::{Database, fleet};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sync::driver::{Config, Driver, Status};
use sync::identity::{Authority, BoxRequest, Certified, request};
use sync::quic::Client;
use sync::{Directives, link};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::ledger::Ledger;

/// How long a box is good for.
const DAYS: i64 = 9;

/// A box that is enrolled.
pub struct Simulated {
    pub ledger: Arc<Ledger>,
    pub authority: rustls::pki_types::CertificateDer<'static>,
    own: Certified,
}

/// A box that replicates.
pub struct Running {
    pub status: watch::Receiver<Status>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// The hub's authority, as `weir-hub init` made it beside the settings.
pub fn authority(settings: &Path) -> Authority {
    let text = |name| std::fs::read_to_string(settings.with_file_name(name)).unwrap();
    Authority::open(&text("authority.pem"), &text("authority.key")).unwrap()
}

impl Simulated {
    /// Enrols a box past the API, which takes sixty a minute.
    pub async fn enrol(authority: &Authority, database: &Database, number: u128) -> Self {
        let of = BoxId(Uuid::from_u128(number << 64 | number));
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let der = request(of, key.as_ref()).unwrap();
        let issued = authority.issue(BoxRequest::read(&der).unwrap(), DAYS).unwrap();
        let public = Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap();
        let client = database.connect().await.unwrap();
        let public = public.public_key().as_ref();
        fleet::enrol(&client, of, &format!("box-{number}"), public, &issued.serial).await.unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_ref().to_vec()));
        Self {
            ledger: Arc::new(Ledger::new(of)),
            authority: authority.certificate().clone(),
            own: Certified { chain: vec![issued.certificate], key },
        }
    }

    /// What it shows.
    pub fn certified(&self) -> Certified {
        Certified { chain: self.own.chain.clone(), key: self.own.key.clone_key() }
    }

    /// Replicates to a hub at `host:port` until it is stopped.
    pub fn start(&self, hub: &str, directives: Option<Arc<dyn Directives>>) -> Running {
        let client = Client::new(&self.authority, self.certified()).unwrap();
        // So that acks are seen as they come, not once a second.
        let link =
            link::Config { keep_every: Duration::from_millis(20), ..link::Config::default() };
        let config = Config { hubs: vec![hub.to_owned()], link, ..Config::default() };
        let (mut driver, status) = Driver::new(config, Arc::clone(&self.ledger) as _);
        directives.into_iter().for_each(|directives| driver.set_directives(directives));
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            driver.run(&client, &mut stopped).await;
            client.close().await;
        });
        Running { status, stop, task }
    }
}

impl Running {
    /// Waits until its status is so; whether it was in time.
    pub async fn until(&mut self, within: Duration, so: impl FnMut(&Status) -> bool) -> bool {
        let waited = tokio::time::timeout(within, self.status.wait_for(so)).await;
        waited.is_ok_and(|status| status.is_ok())
    }

    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

/// A share of sorted durations, in milliseconds.
pub fn at(took: &[Duration], share: f64) -> f64 {
    let last = took.len().saturating_sub(1);
    took.get((last as f64 * share) as usize).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
}

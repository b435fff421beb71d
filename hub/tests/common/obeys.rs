//! A box that takes directives, in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::directive::{Address, Distrust, KeyUse, Order, Place, SignedDirective};
use domain::journal::{Body, Directed, Epoch, Lane, Seq, Subject};
use sync::directives::{Directives, Taken};
use sync::journal::Trouble;
use tokio::sync::watch;

use super::Paper;
use super::journal::Memory;
use super::service::{Edge, device_key, token_for};

/// A box that does as it is told: keeps where it stands, a list of what it took, and the receipts in its journal.
pub struct Obeys {
    pub edge: Edge,
    pub inner: Mutex<Kept>,
    pub count: watch::Sender<usize>,
}

#[derive(Default)]
pub struct Kept {
    hub_key: Vec<u8>,
    cursors: BTreeMap<(Epoch, Address), u64>,
    took: Vec<(String, u64, &'static str)>,
    pub distrusted: usize,
}

impl Obeys {
    pub fn new(settings: &Path, number: u128, tenants: &[&str]) -> Arc<Self> {
        let token = token_for(settings, tenants);
        let edge = Edge::enrol(&token, device_key(), Memory::new(Paper::new(number))).unwrap();
        assert!(edge.granted.tenants.keys().eq(tenants.iter()), "told of its tenants");
        let hub_key = BASE64_STANDARD.decode(&edge.granted.hub_key).unwrap();
        let inner = Mutex::new(Kept { hub_key, ..Kept::default() });
        Arc::new(Self { edge, inner, count: watch::Sender::new(0) })
    }

    pub fn took(&self) -> Vec<(String, u64, &'static str)> {
        self.inner.lock().unwrap().took.clone()
    }

    /// Waits until it has taken so many.
    pub async fn has(&self, many: usize) {
        let mut count = self.count.subscribe();
        let wait = count.wait_for(|count| *count >= many);
        let there = tokio::time::timeout(Duration::from_secs(60), wait).await.is_ok();
        assert!(there, "{:?}", self.took());
    }
}

impl Directives for Obeys {
    fn taken(&self) -> Result<Vec<Place>, Trouble> {
        let inner = self.inner.lock().unwrap();
        let place = |((epoch, to), seq): (&(Epoch, Address), &u64)| Place {
            epoch: *epoch,
            to: to.clone(),
            seq: Seq(*seq),
        };
        Ok(inner.cursors.iter().map(place).collect())
    }

    fn take(&self, signed: &SignedDirective) -> Result<Taken, Trouble> {
        let mut inner = self.inner.lock().unwrap();
        let told = match signed.open(&inner.hub_key) {
            Ok(told) => told,
            Err(Distrust::Unsigned | Distrust::Not(_)) => {
                inner.distrusted += 1;
                return Ok(Taken::Distrusted);
            }
        };
        let Place { epoch, to, seq } = told.place.clone();
        // A tenant that this box does not serve, whatever the hub thinks.
        if to.to_string() == "tenant/strange" {
            inner.distrusted += 1;
            return Ok(Taken::Distrusted);
        }
        let cursor = inner.cursors.entry((epoch, to.clone())).or_default();
        match seq.0.checked_sub(*cursor + 1) {
            None => return Ok(Taken::Known),
            Some(0) => *cursor = seq.0,
            Some(_) => return Ok(Taken::Gap),
        }
        let order = told.order.unwrap();
        if let Order::Rotate(rotate) = &order
            && rotate.of == KeyUse::Hub
        {
            inner.hub_key = rotate.key.0.to_vec();
        }
        // Whatever is called so is refused by this box.
        let refuses =
            matches!(&order, Order::Flag(flag) if flag.name.as_str() == "refuse").then(|| "test");
        inner.took.push((to.to_string(), seq.0, order.word()));
        let receipt = Body::Directed(Directed {
            place: told.place,
            order: order.kind(),
            refused: refuses.map(|code| code.parse().unwrap()),
        });
        self.edge.journal.write(|paper| paper.append(Lane::Critical, Subject::Box, receipt, None));
        self.count.send_replace(inner.took.len());
        Ok(Taken::Done)
    }
}

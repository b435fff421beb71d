//! How much waits under each tab, counted once for all who look: with a hundred thousand open items that is the dearest part of the queue's page.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::queue::{self, Count};
use crate::account::session::Who;
use crate::{Error, Pool};

/// So long a count stands where the queue changes all the time, and where nothing is heard: clocks run out also then.
const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(15);

/// Whose counts are kept, at most.
const MOST: usize = 256;

/// Of what one sees: some tenants', or all.
type Seen = Option<Vec<String>>;

/// The last count. Whoever holds it counts; the others wait for that instead of counting too.
type Last = Arc<Mutex<Option<Counted>>>;

#[derive(Clone, Debug)]
struct Counted {
    at: Instant,
    /// How far the queue's news were before it was counted.
    news: u64,
    counts: Vec<Count>,
}

/// The newest counts. Clones would be others: it is kept behind an [`Arc`].
#[derive(Debug, Default)]
pub struct Tally(std::sync::Mutex<HashMap<Seen, Last>>);

impl Tally {
    /// What waits for somebody, with the queue's news being so far: never older than fifteen seconds, nor than a second where there were news.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn counts(&self, pool: &Pool, who: &Who, news: u64) -> Result<Vec<Count>, Error> {
        let last = self.last(&who.account.tenants);
        let mut last = last.lock().await;
        if let Some(counted) = last.as_ref() {
            let age = counted.at.elapsed();
            if age < SHORT || counted.news == news && age < LONG {
                return Ok(counted.counts.clone());
            }
        }
        let counts = queue::counts(&*pool.take().await?, who).await?;
        *last = Some(Counted { at: Instant::now(), news, counts: counts.clone() });
        Ok(counts)
    }

    fn last(&self, seen: &Seen) -> Last {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(seen) {
            all.clear();
        }
        all.entry(seen.clone()).or_default().clone()
    }
}

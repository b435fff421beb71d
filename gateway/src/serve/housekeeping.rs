//! What goes with time, on a schedule: addresses are masked, old rows and entries deleted, snapshots made and dropped.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::journal::Millis;
use store::Store;

use super::App;
use crate::config::Snapshots;

/// Pause after the start: the first minute belongs to what waited.
const FIRST: Duration = Duration::from_secs(60);

/// Pause between two rounds: no promise of retention is finer than a day.
const EVERY: Duration = Duration::from_secs(3600);

/// Rows in one portion, a few milliseconds of the writer's time.
const PORTION: u32 = 256;

/// Portions in one round; what is left over waits for the next.
const PORTIONS: u32 = 4_000;

/// Between the folder and the time in the names of snapshots made here; others are a person's, and stay.
const PREFIX: &str = "auto-";

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Addresses masked.
    pub masked: u64,
    /// Submissions deleted.
    pub submissions: u64,
    /// Other rows deleted.
    pub rows: u64,
    /// Entries of the journal deleted.
    pub entries: u64,
}

/// Runs until the service is told to end.
pub async fn run(app: Arc<App>) {
    let mut stop = app.stop.clone();
    let mut pause = FIRST;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        pause = EVERY;
        match round(&app.store).await {
            Ok(done) if done == Round::default() => {}
            Ok(done) => tracing::info!(?done, "what is too old is gone"),
            Err(error) => {
                tracing::warn!(%error, "cannot delete what is too old; tried again in an hour")
            }
        }
        snapshot(&app).await;
    }
}

/// Deletes what is due, portion by portion, so that no acceptance waits behind it.
///
/// # Errors
/// What the store says.
pub async fn round(store: &Store) -> Result<Round, store::Error> {
    let mut done = Round::default();
    for _ in 0..PORTIONS {
        let retained = store.retain(PORTION).await?;
        done.masked += u64::from(retained.masked);
        done.submissions += u64::from(retained.submissions);
        done.rows += u64::from(retained.rows);
        let entries = store.prune_journal(PORTION).await?;
        done.entries += entries;
        if retained == store::Retained::default() && entries == 0 {
            break;
        }
    }
    Ok(done)
}

/// Makes the snapshot that is due and drops those beyond the number to keep.
async fn snapshot(app: &Arc<App>) {
    // A copy of the database is the last thing that a full disk needs.
    if app.store.is_tight() {
        return;
    }
    let (store, plan) = (app.store.clone(), app.config.snapshots.clone());
    let made = tokio::task::spawn_blocking(move || keep_snapshots(&store, &plan)).await;
    match made {
        Ok(Ok(Some(path))) => tracing::info!(path = %path.display(), "snapshot made"),
        Ok(Ok(None)) => {}
        Ok(Err(error)) => tracing::error!(%error, "no snapshot could be made"),
        Err(error) => tracing::error!(%error, "no snapshot could be made"),
    }
}

/// Makes the snapshot that is due, if one is, and then drops those beyond the number to keep.
///
/// # Errors
/// What the file system or the store says.
pub fn keep_snapshots(store: &Store, plan: &Snapshots) -> anyhow::Result<Option<PathBuf>> {
    let Some(every) = plan.every else { return Ok(None) };
    let folder = store.dir().join("snapshots");
    std::fs::create_dir_all(&folder)?;
    let now = store.now();
    // Those of a clock that was ahead neither keep the next ones away nor outlive them.
    let (mut times, known): (Vec<_>, Vec<_>) =
        snapshots(&folder)?.into_iter().partition(|time| *time > now);
    let due = known.last().is_none_or(|last| last.after(every) <= now);
    times.extend(known);
    let made = due.then(|| folder.join(format!("{PREFIX}{}.db", now.0)));
    if let Some(path) = &made {
        store::snapshot(store.dir(), path)?;
        times.push(now);
    }
    let surplus = times.len().saturating_sub(plan.keep);
    for old in times.into_iter().take(surplus) {
        std::fs::remove_file(folder.join(format!("{PREFIX}{}.db", old.0)))?;
    }
    Ok(made)
}

/// When the snapshots in a folder were made, in order.
fn snapshots(folder: &Path) -> std::io::Result<Vec<Millis>> {
    let mut times = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let time = name.to_str().and_then(|n| n.strip_prefix(PREFIX)?.strip_suffix(".db"));
        times.extend(time.and_then(|time| time.parse().ok()).map(Millis));
    }
    times.sort_unstable();
    Ok(times)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use std::sync::atomic::{AtomicI64, Ordering};

    use domain::journal::{Actor, Sha256, SubmissionId, TenantId};
    use store::{Clock, NewSubmission};

    use super::*;

    const DAY: i64 = 24 * 3600 * 1000;

    fn open(dir: &Path) -> (Store, Arc<AtomicI64>) {
        let time = Arc::new(AtomicI64::new(1_800_000_000_000));
        let now = Arc::clone(&time);
        let clock = Clock::new(move || Millis(now.load(Ordering::SeqCst)));
        let config = store::Config { clock, reserve_bytes: 0, ..store::Config::default() };
        (Store::open(dir, config).unwrap().0, time)
    }

    fn caption() -> NewSubmission {
        NewSubmission {
            id: SubmissionId(uuid::Uuid::now_v7()),
            tenant: tenant(),
            actor: Actor::Anonymous,
            surface: "post".parse().unwrap(),
            language: None,
            author: None,
            priority: 0,
            critical: false,
            client_tag: None,
            idempotency_key: None,
            request: Sha256::of(b"x"),
            ip: Some("203.0.113.77".parse().unwrap()),
            caption: Some("words".to_owned()),
            media: Vec::new(),
            per_author_hour: None,
            ladder: domain::standing::Ladder::default(),
        }
    }

    fn tenant() -> TenantId {
        "acme".parse().unwrap()
    }

    #[tokio::test]
    async fn an_address_is_masked_after_thirty_days_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let (store, time) = open(dir.path());
        let id = store.accept(caption()).await.unwrap().id();
        let ip = || store.submission(&tenant(), id).unwrap().ip.unwrap();
        time.fetch_add(29 * DAY, Ordering::SeqCst);
        assert_eq!(round(&store).await.unwrap().masked, 0);
        assert_eq!(ip(), "203.0.113.77");
        time.fetch_add(2 * DAY, Ordering::SeqCst);
        assert_eq!(round(&store).await.unwrap().masked, 1);
        assert_eq!(ip(), "203.0.113.0/24");
        assert_eq!(round(&store).await.unwrap(), Round::default());
        // What is not decided stays, however old.
        time.fetch_add(900 * DAY, Ordering::SeqCst);
        assert_eq!(round(&store).await.unwrap().submissions, 0);
    }

    #[tokio::test]
    async fn more_than_a_portion_is_done_in_one_round() {
        let dir = tempfile::tempdir().unwrap();
        let (store, time) = open(dir.path());
        let many = u64::from(PORTION) + 20;
        let replies: Vec<_> = (0..many).map(|_| store.accept(caption())).collect();
        for reply in replies {
            reply.await.unwrap();
        }
        time.fetch_add(31 * DAY, Ordering::SeqCst);
        assert_eq!(round(&store).await.unwrap().masked, many);
    }

    #[tokio::test]
    async fn a_snapshot_is_made_each_day_and_the_last_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (store, time) = open(dir.path());
        let plan = Snapshots { every: Some(Duration::from_secs(24 * 3600)), keep: 3 };
        let folder = dir.path().join("snapshots");
        let first = keep_snapshots(&store, &plan).unwrap().unwrap();
        assert_eq!(keep_snapshots(&store, &plan).unwrap(), None, "there is one of today");
        std::fs::write(folder.join("mine.db"), "a person's").unwrap();
        for _ in 0..5 {
            time.fetch_add(DAY, Ordering::SeqCst);
            assert!(keep_snapshots(&store, &plan).unwrap().is_some());
        }
        assert_eq!(snapshots(&folder).unwrap().len(), 3);
        assert!(!first.exists() && folder.join("mine.db").exists());
        // A clock that was a year ahead does not keep the next ones away.
        time.fetch_add(-365 * DAY, Ordering::SeqCst);
        let newest = keep_snapshots(&store, &plan).unwrap().unwrap();
        assert!(newest.exists());
        // What was made can be put back, in another folder.
        let other = tempfile::tempdir().unwrap();
        store::restore(other.path(), &newest, &store::Config::default()).unwrap();
        let off = Snapshots { every: None, keep: 3 };
        time.fetch_add(DAY, Ordering::SeqCst);
        assert_eq!(keep_snapshots(&store, &off).unwrap(), None);
    }
}

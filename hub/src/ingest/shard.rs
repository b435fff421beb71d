//! A task that commits for its share of the boxes, over a connection of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use domain::journal::BoxId;
use sync::frame::{Down, Nak, Refusal, nothing};
use tokio::sync::{mpsc, oneshot};

use super::cursors::Cursors;
use super::plan::{Stale, Work, plan};
use super::writer::{Writer, Written};
use super::{Config, Metrics};
use crate::Error;
use crate::database::Database;
use crate::receipt::HubKey;

/// Something to be done for a box, and who waits for the answer.
#[derive(Debug)]
pub(crate) struct Job {
    pub of: BoxId,
    pub work: Work,
    pub reply: oneshot::Sender<Down>,
}

/// Most bytes of rows in one transaction: what a shard holds besides its queue.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Most rows of a group that holds something critical: its commit is not to wait for a full group of bulk.
const URGENT_ROWS: usize = 512;

/// How often a group is judged again because another node was faster. Each time that node made progress.
const MOST_TRIES: u32 = 8;

/// Between attempts to reach the database: doubled from the first to the last.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

pub(crate) struct Shard {
    pub database: Database,
    pub config: Config,
    pub key: Arc<HubKey>,
    pub urgent: mpsc::Receiver<Job>,
    pub normal: mpsc::Receiver<Job>,
    pub metrics: Arc<Metrics>,
    pub writer: Option<Writer>,
    pub cursors: Cursors,
    pub away: Option<Away>,
}

/// The database is away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Away {
    until: Instant,
    pause: Duration,
}

impl Shard {
    /// Serves until nobody can send any more.
    pub async fn serve(mut self) {
        while let Some(group) = self.gather().await {
            self.metrics.groups.fetch_add(1, Relaxed);
            self.commit(group).await;
        }
    }

    /// What came within `linger` of the first job, critical entries first. While one group is written the next one collects in
    /// the queues, so that a busy hub waits for nothing.
    async fn gather(&mut self) -> Option<Vec<Job>> {
        let first = self.next().await?;
        let (mut rows, mut bytes) = (first.work.rows(), first.work.bytes());
        let mut group = vec![first];
        let deadline = tokio::time::Instant::now() + self.config.linger;
        let mut most = self.config.group_rows;
        loop {
            if group.last().is_some_and(|job| job.work.is_critical()) {
                most = most.min(URGENT_ROWS);
            }
            if rows >= most || bytes >= MOST_BYTES {
                break;
            }
            match tokio::time::timeout_at(deadline, self.next()).await {
                Ok(Some(job)) => {
                    rows += job.work.rows();
                    bytes += job.work.bytes();
                    group.push(job);
                }
                Ok(None) | Err(_) => break,
            }
        }
        Some(group)
    }

    async fn next(&mut self) -> Option<Job> {
        tokio::select! {
            biased;
            Some(job) = self.urgent.recv() => Some(job),
            Some(job) = self.normal.recv() => Some(job),
            else => None,
        }
    }

    async fn commit(&mut self, mut group: Vec<Job>) {
        // Whoever asked and went away will ask again.
        group.retain(|job| !job.reply.is_closed());
        if group.is_empty() {
            return;
        }
        match self.attempt(&group).await {
            Ok(answers) => self.tell(group, answers),
            Err(error) if error.is_of_the_data() && group.len() > 1 => {
                // One box's rows are the cause: the others are not to suffer for it.
                for job in group {
                    let one = vec![job];
                    match self.attempt(&one).await {
                        Ok(answers) => self.tell(one, answers),
                        Err(error) => self.give_up(one, &error),
                    }
                }
            }
            Err(error) => self.give_up(group, &error),
        }
    }

    async fn attempt(&mut self, group: &[Job]) -> Result<Vec<Down>, Error> {
        if self.away.is_some_and(|away| Instant::now() < away.until) {
            return Err(Error::Slow(Duration::ZERO));
        }
        let limit = self.config.patience;
        let result = match tokio::time::timeout(limit, self.transact(group)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Slow(limit)),
        };
        match &result {
            Ok(_) => self.away = None,
            Err(error) if error.is_of_the_data() => self.cursors.clear(),
            Err(_) => {
                // What it was in the midst of is rolled back with the connection, or was committed and will be known.
                self.writer = None;
                self.cursors.clear();
                let pause = self.away.map_or(BACK_OFF.0, |a| (a.pause * 2).min(BACK_OFF.1));
                self.away = Some(Away { until: Instant::now() + pause, pause });
            }
        }
        result
    }

    async fn transact(&mut self, group: &[Job]) -> Result<Vec<Down>, Error> {
        let writer = match &mut self.writer {
            Some(writer) if !writer.client.is_closed() => writer,
            other => {
                self.cursors.clear();
                other.insert(Writer::connect(&self.database, Arc::clone(&self.key)).await?)
            }
        };
        self.cursors.begin();
        for _ in 0..MOST_TRIES {
            let received_us = now_us();
            let jobs = || group.iter().map(|job| (job.of, &job.work));
            let mut made = match plan(jobs(), &self.cursors, received_us) {
                Ok(plan) => plan,
                Err(Stale(flows)) => {
                    self.cursors.load(&writer.client, flows).await?;
                    continue;
                }
            };
            let (moves, rows) = (made.moves.clone(), made.rows.rows());
            let (answers, forks) = (std::mem::take(&mut made.answers), made.forks.clone());
            let begun = Instant::now();
            match writer.write(made, received_us).await {
                Ok(Written::Committed) => {
                    self.metrics.committed(rows, begun.elapsed());
                    for (flow, (_, cursor)) in moves {
                        self.cursors.moved(flow, cursor);
                    }
                    for (of, epoch, _) in forks {
                        self.metrics.forks.fetch_add(1, Relaxed);
                        self.cursors.forked(of, epoch);
                    }
                    return Ok(answers);
                }
                Ok(Written::Fenced) => {
                    self.metrics.fenced.fetch_add(1, Relaxed);
                    self.cursors.load(&writer.client, moves.into_keys()).await?;
                }
                Err(error) if error.is_conflict() => self.cursors.clear(),
                Err(error) => return Err(error),
            }
        }
        Err(Error::Slow(self.config.patience))
    }

    fn tell(&self, group: Vec<Job>, answers: Vec<Down>) {
        for (job, answer) in group.into_iter().zip(answers) {
            // Whoever asked may have gone; what is committed stands.
            let _ = job.reply.send(answer);
        }
    }

    fn give_up(&self, group: Vec<Job>, error: &Error) {
        let after = self.away.map_or(self.config.busy, |away| {
            away.until.saturating_duration_since(Instant::now()).max(self.config.busy)
        });
        let after_ms = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
        tracing::warn!(%error, jobs = group.len(), after_ms, "not committed; the boxes will send it again");
        self.metrics.busy.fetch_add(group.len() as u64, Relaxed);
        for job in group {
            let (_, epoch, lane) = job.work.flow(job.of);
            let nak = Nak { cursor: nothing(epoch, lane), why: Refusal::Busy { after_ms } };
            let _ = job.reply.send(Down::Nak(nak));
        }
    }
}

/// Microseconds since 1970 by this machine's clock.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

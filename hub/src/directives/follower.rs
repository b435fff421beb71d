//! One box's way through the directives that are for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::directive::SignedDirective;
use domain::journal::BoxId;
use sync::frame::Follow;
use tokio::sync::watch;

use super::feed::Behind;
use super::{Feed, behind, lanes_of};
use crate::{Error, Pool};

/// Directives that a box may have been told and not yet taken. Less than its queue.
const WINDOW: usize = 48;

/// The same for one lane: what a box never takes, of a tenant that it does not serve say, must not keep the others from it.
const LANE_WINDOW: usize = 16;

/// Between attempts while the database is away.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a box stands in a lane of one life of the journal.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// Taken, by its word.
    taken: i64,
    /// Told.
    told: i64,
}

/// What a box follows, and how far it has come. Tells nothing before the box has said that it listens.
#[derive(Debug)]
pub struct Follower {
    of: BoxId,
    pool: Arc<Pool>,
    feed: Feed,
    news: watch::Receiver<u64>,
    /// The news up to which there is nothing more to tell.
    seen: Option<u64>,
    listens: bool,
    /// The lanes that it may follow, as of which assignment.
    lanes: Option<(u64, Vec<String>)>,
    cursors: HashMap<Key, Cursor>,
}

/// Life of the journal, and lane.
type Key = (i64, String);

impl Follower {
    /// Of a box.
    pub fn new(of: BoxId, pool: Arc<Pool>, feed: Feed) -> Self {
        let news = feed.news();
        let cursors = HashMap::new();
        Self { of, pool, feed, news, seen: None, listens: false, lanes: None, cursors }
    }

    /// The box said how far it has come.
    pub fn follow(&mut self, follow: &Follow) {
        if follow.anew {
            self.cursors.clear();
            self.lanes = None;
        }
        for place in &follow.places {
            let key = (place.epoch.0.cast_signed(), place.to.to_string());
            let taken = place.seq.0.cast_signed();
            let cursor = self.cursors.entry(key).or_default();
            cursor.taken = cursor.taken.max(taken);
            cursor.told = cursor.told.max(taken);
        }
        (self.listens, self.seen) = (true, None);
    }

    /// The next directives for the box; waits until there are some. May be dropped and called again: only what is given back counts
    /// as told.
    pub async fn next(&mut self) -> Vec<SignedDirective> {
        loop {
            if !self.listens {
                return std::future::pending().await;
            }
            let seen = self.seen;
            let Ok(news) = self.news.wait_for(|count| seen != Some(*count)).await.map(|n| *n)
            else {
                return std::future::pending().await;
            };
            match self.look().await {
                Ok(found) if found.is_empty() => self.seen = Some(news),
                Ok(found) => {
                    let directives = found.into_iter().map(|(key, seq, directive)| {
                        self.cursors.entry(key).or_default().told = seq;
                        directive
                    });
                    return directives.collect();
                }
                Err(error) => {
                    tracing::warn!(box = %self.of, %error, "directives cannot be read");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// What is to be told now, as far as the window has room; the box's next word makes some.
    async fn look(&mut self) -> Result<Vec<(Key, i64, SignedDirective)>, Error> {
        let assigned = self.feed.assigned();
        let lanes = match &self.lanes {
            Some((as_of, lanes)) if *as_of == assigned => lanes,
            _ => {
                let lanes = lanes_of(&*self.pool.take().await?, self.of).await?;
                &self.lanes.insert((assigned, lanes)).1
            }
        };
        let under_way: i64 = self.cursors.values().map(|cursor| cursor.told - cursor.taken).sum();
        let mut room = WINDOW.saturating_sub(usize::try_from(under_way).unwrap_or(WINDOW));
        let mut found = Vec::new();
        for lane in lanes {
            for epoch in self.feed.epochs(lane) {
                if room == 0 {
                    return Ok(found);
                }
                let key = (epoch, lane.clone());
                let Cursor { taken, told } = self.cursors.get(&key).copied().unwrap_or_default();
                let under_way = usize::try_from(told - taken).unwrap_or(LANE_WINDOW);
                let most = room.min(LANE_WINDOW.saturating_sub(under_way));
                if most == 0 {
                    continue;
                }
                let news = match self.feed.behind(epoch, lane, told, most) {
                    Behind::Here(news) => news,
                    Behind::Ask => {
                        let most = i64::try_from(most).unwrap_or(i64::MAX);
                        behind(&*self.pool.take().await?, epoch, lane, told, most).await?
                    }
                };
                room = room.saturating_sub(news.len());
                found.extend(news.into_iter().map(|(seq, signed)| (key.clone(), seq, signed)));
            }
        }
        Ok(found)
    }
}

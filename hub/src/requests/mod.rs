//! Asking a box for what the journal does not carry: findings, previews, a support bundle.
//!
//! Each request is in `request_log` before the box is asked. A box that is connected here is asked at once; one that is connected to
//! another node by way of the database: the request goes into `box_requests`, `NOTIFY` wakes the nodes (and looking each second, where
//! telling fails), the one that has the box asks it and puts the answer into `box_answers`, and who asked takes it from there. Both
//! tables are unlogged, and what nobody fetched is swept after a minute at most.

mod log;
mod relay;

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use domain::journal::{BoxId, Code};
use sync::quic::Asker;
use sync::request::{Answer, Ask, Unanswered};
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use crate::fleet::{self, State};
use crate::session::{Reach, Sessions};
use crate::{Error, Pool};

/// Requests that a node has in hand at once: of each an answer may lie in memory.
const MOST: usize = 16;

/// How much longer than the box the node may take that asks it for us.
const DETOUR: Duration = Duration::from_secs(2);

/// What is asked of whom, by whom.
#[derive(Clone, Debug)]
pub struct Question {
    /// The box.
    pub of: BoxId,
    /// What.
    pub ask: Ask,
    /// The token by which it is asked.
    pub token: String,
    /// In whose name.
    pub by: Code,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unmet {
    /// The box, or the way to it.
    #[error("{0}")]
    Box(#[from] Unanswered),
    /// It is connected to no node.
    #[error("the box is not connected to the hub")]
    Away,
    /// It is connected by the broker only.
    #[error(
        "the box is connected by the broker only, and what it would answer is not for a broker: ask again once it is connected over QUIC"
    )]
    ByBroker,
    /// It is revoked or quarantined.
    #[error("the box is {}: it is not asked", .0.as_str())]
    Barred(State),
    /// This node has too many requests in hand.
    #[error("this node has too many requests in hand")]
    Crowded,
    /// The hub itself.
    #[error(transparent)]
    Hub(#[from] Error),
}

impl Unmet {
    /// The same in a word, as it is logged and told.
    pub fn code(&self) -> &str {
        match self {
            Self::Box(Unanswered::Refused(code)) => code.as_str(),
            Self::Box(Unanswered::Busy) => "box_busy",
            Self::Box(Unanswered::Silent) => "box_silent",
            Self::Box(Unanswered::Gone) | Self::Away => "box_away",
            Self::Box(Unanswered::Misbehaved(_)) => "box_misbehaved",
            Self::ByBroker => "box_by_broker",
            Self::Barred(_) => "box_barred",
            Self::Crowded => "hub_busy",
            Self::Hub(_) => "hub",
        }
    }
}

/// Where requests are handed in. Clones are the same desk.
#[derive(Clone, Debug)]
pub struct Desk {
    pool: Arc<Pool>,
    sessions: Weak<Sessions>,
    /// Of those that ask here, and of what is asked for other nodes.
    places: [Arc<Semaphore>; 2],
    /// Moves when some answer came by way of the database.
    answered: watch::Sender<u64>,
}

/// Nodes tell each other every two seconds who is connected: for so long a box is looked for before it is said to be away.
const TOLD: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(300);

/// How long a box may take. Below the time of a call.
pub fn patience(ask: &Ask) -> Duration {
    Duration::from_secs(match ask {
        Ask::Findings(_) | Ask::Text(_) => 10,
        // The decoder's time on a box, and the way.
        Ask::Preview(_) => 18,
        // It verifies its journal; it counts for 15 seconds.
        Ask::Support | Ask::Replay(_) => 25,
    })
}

impl Desk {
    /// Of a node, over its sessions. Weakly: it must not hold up the node's end.
    pub fn new(pool: Arc<Pool>, sessions: &Arc<Sessions>) -> Self {
        let places = [MOST, MOST].map(|most| Arc::new(Semaphore::new(most)));
        let (answered, _) = watch::channel(0);
        Self { pool, sessions: Arc::downgrade(sessions), places, answered }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// See [`Unmet`].
    pub async fn ask(&self, question: &Question) -> Result<Answer, Unmet> {
        let _place = self.places[0].try_acquire().map_err(|_| Unmet::Crowded)?;
        let state = fleet::state(&*self.pool.take().await?, question.of).await?;
        let unknown = || Error::NotFound(format!("no box {} is enrolled here", question.of));
        match state.ok_or_else(unknown)? {
            State::Enrolled => {}
            barred => return Err(Unmet::Barred(barred)),
        }
        let id = Uuid::now_v7();
        log::asked(&*self.pool.take().await?, id, question).await?;
        let answer = self.get(id, question.of, &question.ask).await;
        let outcome = answer.as_ref().map(|answer| answer.bytes.len()).map_err(Unmet::code);
        log::ended(&*self.pool.take().await?, id, question.of, outcome).await?;
        answer
    }

    async fn get(&self, id: Uuid, of: BoxId, ask: &Ask) -> Result<Answer, Unmet> {
        let end = Instant::now() + TOLD;
        loop {
            let here = self.reach(of);
            if let Reach::Quic(asker) = here {
                return Ok(asker.ask(ask, patience(ask)).await?);
            }
            match relay::path(&*self.pool.take().await?, of).await? {
                Some("quic") => return self.by_another_node(id, of, ask).await,
                Some(_) => return Err(Unmet::ByBroker),
                None if matches!(here, Reach::Mqtt) => return Err(Unmet::ByBroker),
                None if Instant::now() >= end => return Err(Unmet::Away),
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    fn reach(&self, of: BoxId) -> Reach {
        self.sessions.upgrade().map_or(Reach::Nowhere, |sessions| sessions.reach(of))
    }

    /// The connection of a box that is connected here over QUIC.
    fn asker(&self, of: BoxId) -> Option<Asker> {
        match self.reach(of) {
            Reach::Quic(asker) => Some(asker),
            _ => None,
        }
    }
}

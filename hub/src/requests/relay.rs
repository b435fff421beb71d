//! By way of the database, to a box that is connected to another node.

use std::time::{Duration, Instant};

use domain::journal::{BoxId, Code};
use sync::quic::Asker;
use sync::request::{Answer, Ask, Unanswered};
use tokio::task::JoinSet;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::{DETOUR, Desk, Unmet, patience};
use crate::Error;
use crate::database::Database;

/// What nodes listen to; only that there is something is told, never what.
const CHANNEL: &str = "weir_requests";
const ASKED: &str = "asked";
const ANSWERED: &str = "answered";

/// How often is looked although nobody told.
const POLL: Duration = Duration::from_secs(1);
const POLL_ANSWER: Duration = Duration::from_millis(500);

/// After the connection to the database was lost.
const PAUSE: Duration = Duration::from_secs(1);

/// What nobody fetched goes; asked each second, so that nothing lies for a minute.
const SWEEP: &str =
    "WITH old AS (DELETE FROM box_requests WHERE asked_at < now() - interval '50 seconds')
    DELETE FROM box_answers WHERE at < now() - interval '50 seconds'";

/// By which way a box is connected to any node that runs, the better one where it is both.
pub(super) async fn path(client: &Client, of: BoxId) -> Result<Option<&'static str>, Error> {
    let query = "SELECT bool_or(c.path = 'quic') FROM connections c JOIN nodes n USING (node)
        WHERE c.box = $1 AND n.seen_at > now() - interval '10 seconds'";
    let quic: Option<bool> = client.query_one(query, &[&of.0]).await?.try_get(0)?;
    Ok(quic.map(|quic| if quic { "quic" } else { "mqtt" }))
}

impl Desk {
    /// Has another node ask, and waits for what it puts down.
    pub(super) async fn by_another_node(
        &self,
        id: Uuid,
        of: BoxId,
        ask: &Ask,
    ) -> Result<Answer, Unmet> {
        let bytes = ask.encode().map_err(|error| Error::Invalid(error.to_string()))?;
        let mut answered = self.answered.subscribe();
        let put = "WITH put AS (INSERT INTO box_requests (box, id, ask) VALUES ($1, $2, $3))
            SELECT pg_notify($4, $5)";
        let client = self.pool.take().await?;
        let told = client.execute(put, &[&of.0, &id, &bytes, &CHANNEL, &ASKED]).await;
        drop(client);
        told.map_err(Error::from)?;
        let end = Instant::now() + patience(ask) + DETOUR;
        loop {
            if let Some(answer) = fetch(&*self.pool.take().await?, of, id).await? {
                return Ok(answer?);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // The desk itself holds the other end: it does not close.
            let _ = tokio::time::timeout(left.min(POLL_ANSWER), answered.changed()).await;
        }
        // Nobody waits for it: who has not taken it up shall not.
        let drop = "DELETE FROM box_requests WHERE box = $1 AND id = $2";
        self.pool.take().await?.execute(drop, &[&of.0, &id]).await.map_err(Error::from)?;
        Err(Unanswered::Silent.into())
    }

    /// Asks the boxes that are connected here for other nodes, wakes who waits here for another's answer, and sweeps. Runs until the
    /// node's sessions are gone; to be spawned.
    pub async fn run(self, database: Database) {
        let mut asking = JoinSet::new();
        while self.sessions.strong_count() > 0 {
            if let Err(error) = self.follow(&database, &mut asking).await {
                tracing::warn!(%error, "cannot follow what other nodes ask");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn follow(&self, database: &Database, asking: &mut JoinSet<()>) -> Result<(), Error> {
        let (client, mut told) = database.listen(CHANNEL).await?;
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.sessions.strong_count() > 0 {
            tokio::select! {
                _ = poll.tick() => {
                    client.execute(SWEEP, &[]).await?;
                    self.take_up(&client, asking).await?;
                }
                Some(_) = asking.join_next() => {}
                word = told.recv() => match word.as_deref() {
                    Some(ANSWERED) => self.answered.send_modify(|count| *count += 1),
                    Some(_) => self.take_up(&client, asking).await?,
                    None => return Err(Error::Closed),
                },
            }
        }
        Ok(())
    }

    /// Takes up what is asked of boxes that are connected here.
    async fn take_up(&self, client: &Client, asking: &mut JoinSet<()>) -> Result<(), Error> {
        let open = client.query("SELECT box, id FROM box_requests WHERE NOT taken", &[]).await?;
        for row in open {
            let (of, id) = (BoxId(row.try_get(0)?), row.try_get::<_, Uuid>(1)?);
            let Some(asker) = self.asker(of) else { continue };
            let Ok(place) = self.places[1].clone().try_acquire_owned() else { return Ok(()) };
            let take = "UPDATE box_requests SET taken = true WHERE box = $1 AND id = $2 AND NOT taken RETURNING ask";
            let Some(row) = client.query_opt(take, &[&of.0, &id]).await? else { continue };
            let ask: Vec<u8> = row.try_get(0)?;
            let desk = self.clone();
            asking.spawn(async move {
                if let Err(error) = desk.ask_for_another(asker, of, id, &ask).await {
                    tracing::warn!(box = %of, %error, "an answer did not get to the node that asked");
                }
                drop(place);
            });
        }
        Ok(())
    }

    async fn ask_for_another(
        &self,
        asker: Asker,
        of: BoxId,
        id: Uuid,
        ask: &[u8],
    ) -> Result<(), Error> {
        let answer = match Ask::decode(ask) {
            Ok(Some(ask)) => asker.ask(&ask, patience(&ask)).await,
            // A node of a later release asks.
            _ => Err(Unanswered::Refused(Code::lossy(sync::request::UNKNOWN))),
        };
        let (outcome, content_type, bytes) = match answer {
            Ok(answer) => ("answered".to_owned(), answer.content_type, answer.bytes),
            Err(why) => (word(&why), String::new(), Vec::new()),
        };
        // Where whoever asked has given up, nothing is put down.
        let put = "WITH done AS (DELETE FROM box_requests WHERE box = $1 AND id = $2 RETURNING box, id),
                put AS (INSERT INTO box_answers (box, id, outcome, content_type, bytes) SELECT box, id, $3, $4, $5 FROM done)
            SELECT pg_notify($6, $7)";
        let client = self.pool.take().await?;
        client
            .execute(put, &[&of.0, &id, &outcome, &content_type, &bytes, &CHANNEL, &ANSWERED])
            .await?;
        Ok(())
    }
}

/// Takes an answer out of the database, where it is there.
async fn fetch(
    client: &Client,
    of: BoxId,
    id: Uuid,
) -> Result<Option<Result<Answer, Unanswered>>, Error> {
    let query =
        "DELETE FROM box_answers WHERE box = $1 AND id = $2 RETURNING outcome, content_type, bytes";
    let row = client.query_opt(query, &[&of.0, &id]).await?;
    row.map(|row| answer(&row)).transpose()
}

fn answer(row: &Row) -> Result<Result<Answer, Unanswered>, Error> {
    let outcome: String = row.try_get(0)?;
    if outcome == "answered" {
        return Ok(Ok(Answer { content_type: row.try_get(1)?, bytes: row.try_get(2)? }));
    }
    Ok(Err(unanswered(&outcome)))
}

/// Why there is no answer, as the other node is told.
fn word(why: &Unanswered) -> String {
    match why {
        Unanswered::Refused(code) => format!("refused {}", code.as_str()),
        Unanswered::Busy => "busy".to_owned(),
        Unanswered::Silent => "silent".to_owned(),
        Unanswered::Gone => "gone".to_owned(),
        Unanswered::Misbehaved(what) => format!("misbehaved {what}"),
    }
}

fn unanswered(word: &str) -> Unanswered {
    match word.split_once(' ').unwrap_or((word, "")) {
        ("refused", code) => Unanswered::Refused(Code::lossy(code)),
        ("busy", _) => Unanswered::Busy,
        ("gone", _) => Unanswered::Gone,
        ("misbehaved", what) => Unanswered::Misbehaved(what.to_owned()),
        _ => Unanswered::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_node_is_told_why() {
        for why in [
            Unanswered::Refused(Code::lossy("gone")),
            Unanswered::Busy,
            Unanswered::Silent,
            Unanswered::Gone,
            Unanswered::Misbehaved("a body of 9 bytes".into()),
        ] {
            assert_eq!(unanswered(&word(&why)), why);
        }
    }
}

//! Who is there: what this node's sessions know, and what boxes say of themselves at the broker. It is kept in the database, so that
//! every node shows the same, and shown to people. Nothing else goes by it: a box could say anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use domain::journal::BoxId;
use sync::link::Path;
use sync::mqtt::News;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::session::Sessions;
use crate::{Error, Pool};

/// How often a node says who is connected to it, and writes down what boxes said.
const BEAT: Duration = Duration::from_secs(2);

/// For how long a write may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// News that may wait; what finds no room is dropped.
pub const NEWS: usize = 1024;

/// Most boxes of which something waits to be written. At a start the broker tells of every box at once.
const MOST_WAITING: usize = 20_000;

/// Most bytes of telemetry; what is longer is not kept.
pub const MOST_TELEMETRY_BYTES: usize = 8192;

/// What a box last said, where it is not written yet.
#[derive(Debug, Default)]
struct Said {
    presence: Option<(bool, Option<&'static str>)>,
    telemetry: Option<String>,
}

/// A connection as the table has it: box, path, from where.
type Line = (Uuid, &'static str, String);

/// Keeps it, for as long as the node serves. Weakly: it must not hold up the node's end.
#[derive(Debug)]
pub struct Keeper {
    pool: Pool,
    node: Uuid,
    sessions: Weak<Sessions>,
    /// What the table has of this node; nothing where that is not known.
    written: Option<Vec<Line>>,
    waiting: BTreeMap<BoxId, Said>,
}

impl Keeper {
    /// Of a node that begins.
    pub fn new(pool: Pool, sessions: &Arc<Sessions>) -> Self {
        Self {
            pool,
            node: Uuid::now_v7(),
            sessions: Arc::downgrade(sessions),
            written: None,
            waiting: BTreeMap::new(),
        }
    }

    /// Runs until the node's sessions are gone.
    pub async fn run(mut self, mut news: mpsc::Receiver<News>) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut away = false;
        loop {
            tokio::select! {
                Some(news) = news.recv() => self.hear(news),
                _ = beat.tick() => {
                    let Some(sessions) = self.sessions.upgrade() else { return };
                    let mut lines: Vec<_> = sessions.connected().into_iter().map(line).collect();
                    drop(sessions);
                    lines.sort_unstable();
                    // What comes meanwhile waits in the queue, and is lost where that is full.
                    let result = tokio::time::timeout(PATIENCE, self.write(lines)).await;
                    let result = result.unwrap_or(Err(Error::Slow(PATIENCE)));
                    if let (Err(error), false) = (&result, away) {
                        tracing::warn!(%error, "who is connected is not written down; it is tried again");
                    }
                    away = result.is_err();
                }
            }
        }
    }

    fn hear(&mut self, news: News) {
        let of = match &news {
            News::Presence(of, _) | News::Telemetry(of, _) => *of,
        };
        if self.waiting.len() >= MOST_WAITING && !self.waiting.contains_key(&of) {
            return;
        }
        let said = self.waiting.entry(of).or_default();
        match news {
            News::Presence(_, presence) => {
                let path =
                    ["quic", "mqtt"].into_iter().find(|p| presence.path.as_deref() == Some(p));
                said.presence = Some((presence.online, path));
            }
            News::Telemetry(_, json) => match telemetry(&json) {
                Some(json) => said.telemetry = Some(json),
                None => tracing::debug!(box = %of, "telemetry that is no object, or too long"),
            },
        }
    }

    async fn write(&mut self, lines: Vec<Line>) -> Result<(), Error> {
        let client = self.pool.take().await?;
        let beat =
            "INSERT INTO nodes (node) VALUES ($1) ON CONFLICT (node) DO UPDATE SET seen_at = now()";
        client.execute(beat, &[&self.node]).await?;
        if self.written.as_ref() != Some(&lines) {
            self.written = None;
            let boxes: Vec<Uuid> = lines.iter().map(|line| line.0).collect();
            let paths: Vec<&str> = lines.iter().map(|line| line.1).collect();
            let remotes: Vec<&str> = lines.iter().map(|line| line.2.as_str()).collect();
            client
                .execute(
                    "WITH live AS (SELECT * FROM unnest($2::uuid[], $3::text[], $4::text[]) AS live(box, path, remote)),
                        gone AS (DELETE FROM connections c WHERE node = $1
                            AND NOT EXISTS (SELECT FROM live WHERE live.box = c.box AND live.path = c.path))
                     INSERT INTO connections (box, node, path, remote) SELECT box, $1, path, remote FROM live
                     ON CONFLICT (box, node, path) DO UPDATE SET remote = excluded.remote, since = now()
                     WHERE connections.remote <> excluded.remote",
                    &[&self.node, &boxes, &paths, &remotes],
                )
                .await?;
            // Nodes that are gone for good, with what was connected to them.
            let gone = "DELETE FROM nodes WHERE seen_at < now() - interval '1 hour'";
            client.execute(gone, &[]).await?;
            self.written = Some(lines);
        }
        if !self.waiting.is_empty() {
            told(&client, &self.waiting).await?;
            self.waiting.clear();
        }
        Ok(())
    }
}

/// Writes what enrolled boxes said. Every node hears the same: only what changes something is written. In the order of the boxes, so
/// that two nodes do not wait for each other.
async fn told(client: &tokio_postgres::Client, said: &BTreeMap<BoxId, Said>) -> Result<(), Error> {
    let present: Vec<_> = said.iter().filter_map(|(of, s)| Some((of.0, s.presence?))).collect();
    let boxes: Vec<Uuid> = present.iter().map(|one| one.0).collect();
    let online: Vec<bool> = present.iter().map(|one| one.1.0).collect();
    let paths: Vec<Option<&str>> = present.iter().map(|one| one.1.1).collect();
    let query = "INSERT INTO presence (box, online, path)
        SELECT box, online, path FROM unnest($1::uuid[], $2::boolean[], $3::text[]) AS said(box, online, path)
        JOIN boxes USING (box) WHERE state = 'enrolled' ORDER BY box
        ON CONFLICT (box) DO UPDATE SET online = excluded.online, path = excluded.path, since = now()
        WHERE (presence.online, presence.path) IS DISTINCT FROM (excluded.online, excluded.path)";
    client.execute(query, &[&boxes, &online, &paths]).await?;
    let measured = said.iter().filter_map(|(of, s)| Some((of.0, s.telemetry.as_deref()?)));
    let (boxes, json): (Vec<Uuid>, Vec<&str>) = measured.unzip();
    let query = "INSERT INTO presence (box, telemetry, telemetry_at)
        SELECT box, json, now() FROM unnest($1::uuid[], $2::text[]) AS said(box, json)
        JOIN boxes USING (box) WHERE state = 'enrolled' ORDER BY box
        ON CONFLICT (box) DO UPDATE SET telemetry = excluded.telemetry, telemetry_at = now()
        WHERE presence.telemetry IS DISTINCT FROM excluded.telemetry";
    client.execute(query, &[&boxes, &json]).await?;
    Ok(())
}

fn line(connected: crate::session::Connected) -> Line {
    let path = match connected.path {
        Path::Quic => "quic",
        Path::Mqtt => "mqtt",
    };
    (connected.of.0, path, connected.remote)
}

/// Telemetry as it is kept: a JSON object, written anew so that nothing odd is in it.
fn telemetry(json: &[u8]) -> Option<String> {
    if json.len() > MOST_TELEMETRY_BYTES {
        return None;
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(json).ok()?;
    let text = serde_json::to_string(&object).ok()?;
    (text.len() <= MOST_TELEMETRY_BYTES).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_is_an_object_of_bounded_size_or_nothing() {
        assert_eq!(telemetry(b" {\"load\": 1}").as_deref(), Some("{\"load\":1}"));
        // Postgres takes no NUL; as an escape it is harmless.
        assert_eq!(telemetry(b"{\"a\":\"\\u0000\"}").as_deref(), Some("{\"a\":\"\\u0000\"}"));
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MOST_TELEMETRY_BYTES));
        for refused in [b"".as_slice(), b"[1]", b"7", b"{", b"\xff", long.as_bytes()] {
            assert_eq!(telemetry(refused), None);
        }
    }
}

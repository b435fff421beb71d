//! The box's side of a request.

use std::sync::Arc;
use std::time::Duration;

use domain::journal::Code;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{MISUSED, read, write};
use crate::request::{Answer, Ask, Described, Head, MOST_BODY_BYTES, Requests, TOO_LARGE, UNKNOWN};

/// Requests that are answered at once; the box's own work goes first.
const THINKING: usize = 2;

/// How long a request may take to come in; the hub writes it in one go.
const INCOMING: Duration = Duration::from_secs(5);

/// How long an answer may take to go out. The hub has given up before.
const OUTGOING: Duration = Duration::from_secs(60);

/// As urgent as the backlog, and less than whatever is critical: a preview shares the line with the one and waits for the other.
const PRIORITY: i32 = 0;

/// Answers requests. Clones share their turns, so that connections that come and go do not add up.
#[derive(Clone)]
pub(super) struct Answers {
    requests: Option<Arc<dyn Requests>>,
    thinking: Arc<Semaphore>,
    /// One answer is under way at a time: more would take the room of the lanes.
    sending: Arc<Semaphore>,
}

impl Default for Answers {
    fn default() -> Self {
        let [thinking, sending] = [THINKING, 1].map(|most| Arc::new(Semaphore::new(most)));
        Self { requests: None, thinking, sending }
    }
}

impl Answers {
    pub fn set(&mut self, requests: Arc<dyn Requests>) {
        self.requests = Some(requests);
    }

    /// Answers what the hub asks on a connection, to its end.
    pub async fn serve(self, connection: quinn::Connection) {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                opened = connection.accept_bi() => {
                    let Ok((send, receive)) = opened else { return };
                    tasks.spawn(self.clone().one(send, receive));
                }
                Some(_) = tasks.join_next() => {}
            }
        }
    }

    async fn one(self, mut send: quinn::SendStream, mut receive: quinn::RecvStream) {
        let _ = send.set_priority(PRIORITY);
        let ask = match tokio::time::timeout(INCOMING, read(&mut receive)).await {
            Ok(Ok(Some(frame))) => Ask::decode(&frame),
            // The hub gave up, or is none.
            _ => return drop(send.reset(MISUSED)),
        };
        let stopped = send.stopped();
        let answer = tokio::select! {
            answer = self.answer(ask) => answer,
            _ = stopped => return,
        };
        let Ok(_turn) = self.sending.acquire().await else { return };
        match tokio::time::timeout(OUTGOING, tell(&mut send, answer)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an answer did not go out"),
            Err(_) => drop(send.reset(MISUSED)),
        }
    }

    async fn answer(
        &self,
        ask: Result<Option<Ask>, crate::frame::BadFrame>,
    ) -> Result<Answer, Code> {
        let (Ok(Some(ask)), Some(requests)) = (ask, self.requests.clone()) else {
            return Err(Code::lossy(UNKNOWN));
        };
        let ended = || Code::lossy("internal");
        let turn = Arc::clone(&self.thinking).acquire_owned().await.map_err(|_| ended())?;
        let answered = tokio::task::spawn_blocking(move || {
            // Held by the thread: it works on where nobody waits any more.
            let _turn = turn;
            requests.answer(&ask)
        });
        let answer = answered.await.map_err(|error| {
            tracing::error!(%error, "a request could not be answered");
            ended()
        })??;
        match answer.bytes.len() > MOST_BODY_BYTES {
            true => Err(Code::lossy(TOO_LARGE)),
            false => Ok(answer),
        }
    }
}

async fn tell(send: &mut quinn::SendStream, answer: Result<Answer, Code>) -> std::io::Result<()> {
    let (head, body) = match answer {
        Ok(Answer { content_type, bytes }) => {
            let described = Described { content_type, bytes: bytes.len() as u64 };
            (Head::Body(described), bytes)
        }
        Err(code) => (Head::Refused(code), Vec::new()),
    };
    write(send, &head.encode().map_err(std::io::Error::other)?).await?;
    send.write_all(&body).await?;
    send.finish().map_err(std::io::Error::other)?;
    // Until the hub has it all, or has gone: only then is the line free for the next.
    let _ = send.stopped().await;
    Ok(())
}

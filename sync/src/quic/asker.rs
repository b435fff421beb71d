//! The hub's side of a request.

use std::sync::Arc;
use std::time::Duration;

use quinn::{ConnectionError, ReadError, ReadToEndError, RecvStream};
use tokio::sync::Semaphore;

use super::{read, write};
use crate::request::{Answer, Ask, Head, MOST_BODY_BYTES, MOST_REQUESTS, Unanswered};

/// Asks one box over its connection.
#[derive(Clone, Debug)]
pub struct Asker {
    connection: quinn::Connection,
    places: Arc<Semaphore>,
}

impl Asker {
    pub(super) fn new(connection: quinn::Connection) -> Self {
        Self { connection, places: Arc::new(Semaphore::new(MOST_REQUESTS)) }
    }

    /// Asks, and waits so long for the whole answer. What the box sends is read as it comes: nobody else's lane waits for it.
    ///
    /// # Errors
    /// See [`Unanswered`].
    pub async fn ask(&self, ask: &Ask, patience: Duration) -> Result<Answer, Unanswered> {
        let _place = self.places.try_acquire().map_err(|_| Unanswered::Busy)?;
        // A stream that is dropped tells the box that nobody waits any more.
        let answer = tokio::time::timeout(patience, self.answer(ask)).await;
        answer.unwrap_or(Err(Unanswered::Silent))
    }

    async fn answer(&self, ask: &Ask) -> Result<Answer, Unanswered> {
        let odd = |error: String| Unanswered::Misbehaved(error);
        let frame = ask.encode().map_err(|error| odd(error.to_string()))?;
        let (mut send, mut receive) =
            self.connection.open_bi().await.map_err(|error| gone(&error))?;
        if write(&mut send, &frame).await.is_err() {
            return Err(self.broken("the stream was closed"));
        }
        // Fails only on a stream that is closed, which reading tells.
        let _ = send.finish();
        let head = match read(&mut receive).await {
            Ok(Some(head)) => Head::decode(&head).map_err(|error| odd(error.to_string()))?,
            Ok(None) => return Err(self.broken("nothing")),
            Err(error) => return Err(self.broken(&error.to_string())),
        };
        let described = match head {
            Head::Body(described) => described,
            Head::Refused(code) => return Err(Unanswered::Refused(code)),
        };
        let bytes = usize::try_from(described.bytes).unwrap_or(usize::MAX);
        if bytes > MOST_BODY_BYTES {
            return Err(odd(format!("a body of {bytes} bytes")));
        }
        let body = whole(&mut receive, bytes).await?;
        Ok(Answer { content_type: described.content_type, bytes: body })
    }

    /// Why reading ended: the connection did, or the box closed the stream.
    fn broken(&self, what: &str) -> Unanswered {
        match self.connection.close_reason() {
            Some(error) => gone(&error),
            None => Unanswered::Misbehaved(what.to_owned()),
        }
    }
}

/// A body of just so many bytes.
async fn whole(receive: &mut RecvStream, bytes: usize) -> Result<Vec<u8>, Unanswered> {
    let body = receive.read_to_end(bytes).await.map_err(|error| match error {
        ReadToEndError::TooLong => Unanswered::Misbehaved("more than it announced".into()),
        ReadToEndError::Read(ReadError::ConnectionLost(error)) => gone(&error),
        ReadToEndError::Read(error) => Unanswered::Misbehaved(error.to_string()),
    })?;
    match body.len() == bytes {
        true => Ok(body),
        false => Err(Unanswered::Misbehaved("less than it announced".into())),
    }
}

fn gone(error: &ConnectionError) -> Unanswered {
    tracing::debug!(%error, "a connection ended over a request");
    match error {
        ConnectionError::TimedOut => Unanswered::Silent,
        _ => Unanswered::Gone,
    }
}

#[cfg(test)]
impl Asker {
    /// For tests that ask in ways of their own.
    pub(super) fn connection(&self) -> &quinn::Connection {
        &self.connection
    }
}

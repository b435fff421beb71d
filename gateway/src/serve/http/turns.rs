//! Turns at being received. Bodies that come at the same time are read some after others instead of all at once a piece
//! each: those that are whole are made durable while others are still read, and few of them lie in memory. The rest wait
//! in the kernel, which lets their senders wait.
//!
//! A body of which nothing comes gives its place away, and one that takes long goes to the end of the line: whoever sends
//! slowly holds up nobody for long, and who has waited too long for a turn is read without one.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::{StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies that are read at once: enough that disk and cores are busy; with a photo of each in memory 32 MiB at most.
const PLACES: usize = 64;

/// How long nothing may come before the place goes to another.
const IDLE: Duration = Duration::from_millis(5);

/// How long a place is kept while others wait.
const TURN: Duration = Duration::from_millis(100);

/// How long a body waits for a place at most; then it is read without one. Order is for speed, and a disk that stands still
/// or callers who dawdle must not make others wait for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The places. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PLACES)))
    }
}

impl Turns {
    /// A turn for one body.
    pub fn turn(&self) -> Turn {
        Turn { places: Arc::clone(&self.0), place: Arc::default() }
    }
}

/// A place, and since when it is taken.
type Place = Option<(OwnedSemaphorePermit, Instant)>;

/// The turn of one body. It is over when this is dropped: a body counts while it is made durable.
pub struct Turn {
    places: Arc<Semaphore>,
    place: Arc<Mutex<Place>>,
}

impl Turn {
    /// The body, received in turn.
    pub fn body(&self, body: Body) -> Body {
        let receiving = Receiving {
            inner: body.into_data_stream(),
            places: Some(Arc::clone(&self.places)),
            place: Arc::clone(&self.place),
        };
        Body::from_stream(stream::unfold(receiving, |mut receiving| async move {
            Some((receiving.next().await?, receiving))
        }))
    }
}

struct Receiving {
    inner: BodyDataStream,
    /// `None` once it has waited too long.
    places: Option<Arc<Semaphore>>,
    place: Arc<Mutex<Place>>,
}

impl Receiving {
    async fn next(&mut self) -> Option<Result<Bytes, axum::Error>> {
        let taken = {
            let mut place = self.place();
            // Whose time is over goes to the end of the line.
            place.take_if(|(_, since)| since.elapsed() > TURN);
            place.is_some()
        };
        if let (false, Some(places)) = (taken, &self.places) {
            let waiting = tokio::time::timeout(PATIENCE, Arc::clone(places).acquire_owned());
            match waiting.await {
                Ok(Ok(place)) => *self.place() = Some((place, Instant::now())),
                // Nobody closes them.
                Ok(Err(_)) | Err(_) => self.places = None,
            }
        }
        let mut next = pin!(self.inner.next());
        match tokio::time::timeout(IDLE, &mut next).await {
            Ok(item) => item,
            Err(_) => {
                self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
                next.await
            }
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        // Whole after every statement.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use tokio::sync::mpsc;

    use super::*;

    fn one_place() -> Turns {
        Turns(Arc::new(Semaphore::new(1)))
    }

    fn body(turn: &Turn) -> (mpsc::Sender<&'static str>, BodyDataStream) {
        let (sender, receiver) = mpsc::channel::<&'static str>(8);
        let pieces = stream::unfold(receiver, |mut receiver| async move {
            let piece = receiver.recv().await?;
            Some((Ok::<_, axum::Error>(Bytes::from(piece)), receiver))
        });
        (sender, turn.body(Body::from_stream(pieces)).into_data_stream())
    }

    async fn piece(stream: &mut BodyDataStream) -> Bytes {
        stream.next().await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_body_waits_for_its_turn_and_takes_it_when_another_is_done() {
        let turns = one_place();
        let (turn, other) = (turns.turn(), turns.turn());
        let ((first, mut one), (second, mut two)) = (body(&turn), body(&other));
        first.send("a").await.unwrap();
        second.send("b").await.unwrap();
        assert_eq!(piece(&mut one).await, "a");
        // Its last byte is read, and it is being made durable: the other one still waits.
        drop(first);
        assert!(one.next().await.is_none());
        let early = tokio::time::timeout(Duration::from_millis(30), two.next()).await;
        assert!(early.is_err(), "{early:?}");
        drop(turn);
        assert_eq!(piece(&mut two).await, "b");
    }

    #[tokio::test]
    async fn whoever_has_waited_too_long_is_read_without_a_place() {
        let turns = one_place();
        let (turn, other) = (turns.turn(), turns.turn());
        let ((first, mut one), (second, mut two)) = (body(&turn), body(&other));
        first.send("a").await.unwrap();
        assert_eq!(piece(&mut one).await, "a");
        for letter in ["b", "c"] {
            second.send(letter).await.unwrap();
            assert_eq!(piece(&mut two).await, letter, "the disk stands still, and `one` is held");
        }
    }

    #[tokio::test]
    async fn a_silent_body_gives_its_place_away_and_loses_nothing() {
        let turns = one_place();
        let (turn, other) = (turns.turn(), turns.turn());
        let ((first, mut one), (second, mut two)) = (body(&turn), body(&other));
        let silent = tokio::spawn(async move { piece(&mut one).await });
        second.send("b").await.unwrap();
        assert_eq!(piece(&mut two).await, "b");
        drop((second, two, other));
        first.send("a").await.unwrap();
        assert_eq!(silent.await.unwrap(), "a");
    }

    #[tokio::test]
    async fn a_long_body_goes_to_the_end_of_the_line() {
        let turns = one_place();
        let (turn, other) = (turns.turn(), turns.turn());
        let ((first, mut one), (second, mut two)) = (body(&turn), body(&other));
        first.send("a").await.unwrap();
        assert_eq!(piece(&mut one).await, "a");
        second.send("b").await.unwrap();
        let waiting = tokio::spawn(async move { piece(&mut two).await });
        tokio::time::sleep(TURN + Duration::from_millis(20)).await;
        first.send("c").await.unwrap();
        let after = tokio::spawn(async move { piece(&mut one).await });
        assert_eq!(waiting.await.unwrap(), "b");
        assert_eq!(after.await.unwrap(), "c");
    }
}

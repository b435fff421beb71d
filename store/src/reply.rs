//! The answer to a write: comes after its COMMIT, never before.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use crate::Error;

/// A write on its way. Await it, or [`Reply::wait`] on a thread. Dropping it does not undo the write.
#[must_use = "a write is acknowledged only when its reply has come"]
#[derive(Debug)]
pub struct Reply<T>(State<T>);

#[derive(Debug)]
enum State<T> {
    Refused(Option<Error>),
    Sent(oneshot::Receiver<Result<T, Error>>),
}

impl<T> Reply<T> {
    pub(crate) fn refused(error: Error) -> Self {
        Self(State::Refused(Some(error)))
    }

    pub(crate) fn sent(receiver: oneshot::Receiver<Result<T, Error>>) -> Self {
        Self(State::Sent(receiver))
    }

    /// Blocks until the answer comes. Not for threads of an async runtime.
    ///
    /// # Errors
    /// Why the write did not happen.
    pub fn wait(self) -> Result<T, Error> {
        match self.0 {
            State::Refused(error) => Err(error.unwrap_or(Error::Closed)),
            State::Sent(receiver) => receiver.blocking_recv().unwrap_or(Err(Error::Closed)),
        }
    }
}

impl<T> Future for Reply<T>
where
    Self: Unpin,
{
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Refused(error) => Poll::Ready(Err(error.take().unwrap_or(Error::Closed))),
            State::Sent(receiver) => {
                Pin::new(receiver).poll(context).map(|reply| reply.unwrap_or(Err(Error::Closed)))
            }
        }
    }
}

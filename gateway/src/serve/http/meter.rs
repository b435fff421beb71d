//! Bounds what the reader of multipart bodies may hold. It takes from the network as much as is there, and looks for the end
//! of a part's head as long as it takes; so nothing is handed to it while too much has gone in that has not come out.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::Stream;

/// Bytes that may have gone in and not come out as data: heads of parts, boundaries, what is read ahead.
const AHEAD: u64 = 256 << 10;

/// Counts what goes in and what comes out. Shared with the body that it measures.
#[derive(Clone, Default)]
pub struct Meter(Arc<Counts>);

#[derive(Default)]
struct Counts {
    ahead: AtomicU64,
    /// How often the reader asked for more, with too much ahead, since it last came to something.
    starved: AtomicU8,
}

impl Meter {
    /// The body, measured.
    pub fn body(&self, body: Body) -> Body {
        Body::from_stream(Measured { inner: body.into_data_stream(), counts: Arc::clone(&self.0) })
    }

    /// The reader came to something: data of so many bytes, or the next part.
    pub fn came_out(&self, bytes: usize) {
        self.0.starved.store(0, Ordering::Relaxed);
        let less = |ahead: u64| Some(ahead.saturating_sub(bytes as u64));
        let _ = self.0.ahead.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

struct Measured {
    inner: BodyDataStream,
    counts: Arc<Counts>,
}

impl Stream for Measured {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.counts.ahead.load(Ordering::Relaxed) > AHEAD {
            // Once it is told to make do with what it has. Asking a second time, it has found nothing in all that.
            if self.counts.starved.fetch_add(1, Ordering::Relaxed) > 0 {
                let message = "the head of a part, or what lies between parts, is too long";
                return Poll::Ready(Some(Err(axum::Error::new(std::io::Error::other(message)))));
            }
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.inner).poll_next(context);
        if let Poll::Ready(Some(Ok(bytes))) = &polled {
            self.counts.ahead.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use axum::extract::{FromRequest as _, Multipart, Request};

    use super::*;

    fn parts(body: &[u8], meter: &Meter) -> Request {
        // All is there at once, in pieces as a socket gives them.
        let pieces: Vec<_> = body
            .chunks(16 << 10)
            .map(|p| Ok::<_, axum::Error>(Bytes::copy_from_slice(p)))
            .collect();
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        Request::builder()
            .header("content-type", "multipart/form-data; boundary=b")
            .body(meter.body(body))
            .unwrap()
    }

    async fn read(body: &[u8]) -> Result<usize, String> {
        let meter = Meter::default();
        let mut parts = Multipart::from_request(parts(body, &meter), &()).await.unwrap();
        let (mut total, mut most) = (0, 0);
        loop {
            meter.came_out(0);
            let Some(mut field) = parts.next_field().await.map_err(|e| e.body_text())? else {
                assert!(most <= AHEAD + (16 << 10), "{most} bytes ahead");
                return Ok(total);
            };
            loop {
                meter.came_out(0);
                let Some(chunk) = field.chunk().await.map_err(|e| e.body_text())? else { break };
                most = most.max(meter.0.ahead.load(Ordering::Relaxed));
                meter.came_out(chunk.len());
                total += chunk.len();
            }
        }
    }

    #[tokio::test]
    async fn large_and_many_parts_come_through_and_endless_heads_do_not() {
        let part = |bytes: usize| {
            let head = b"--b\r\nContent-Disposition: form-data; name=\"media\"\r\n\r\n";
            [&head[..], &vec![b'x'; bytes], b"\r\n"].concat()
        };
        let end = b"--b--\r\n".to_vec();
        for (count, bytes) in [(1, 1), (1, 1_500_000), (9, 190_000), (600, 1000)] {
            let body = [vec![part(bytes); count].concat(), end.clone()].concat();
            assert_eq!(read(&body).await, Ok(count * bytes));
        }
        let long = |start: &[u8]| [start, &vec![b'y'; 1_000_000]].concat();
        for body in [
            long(b""),
            long(b"--b\r\nContent-Disposition: form-data; name=\""),
            long(b"--b\r\nX-Head: 1\r\nContent-Disposition: "),
        ] {
            assert!(read(&body).await.is_err());
        }
    }
}

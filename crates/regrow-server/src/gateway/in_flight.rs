//! What is kept with an answer's body until the client has all of it, or has gone.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use regrow_process::InFlight;

/// What is dropped with a body.
pub(super) trait Kept: Send + Unpin + 'static {
    /// The body broke off before its end.
    fn broken_off(&self) {}
}

/// The agent is busy with the body. A tunnel has none, so nobody waits for its end.
impl Kept for InFlight {}

/// The same body, and something that lives as long.
pub(super) fn with_body(body: Body, kept: impl Kept) -> Body {
    Body::new(WithBody { body, kept })
}

struct WithBody<K> {
    body: Body,
    kept: K,
}

impl<K: Kept> hyper::body::Body for WithBody<K> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(context);
        if let Poll::Ready(Some(Err(_))) = &frame {
            this.kept.broken_off();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

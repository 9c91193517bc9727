//! An answer's body that counts as being in flight until the client has all of it, or has gone.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use regrow_process::InFlight;

/// The same body; the agent is busy with it until it is dropped. A tunnel has none, so nobody waits for its end.
pub(super) fn counted(body: Body, in_flight: Option<InFlight>) -> Body {
    match in_flight {
        Some(in_flight) => Body::new(Counted {
            body,
            _in_flight: in_flight,
        }),
        None => body,
    }
}

struct Counted {
    body: Body,
    _in_flight: InFlight,
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

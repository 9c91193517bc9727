//! The body of a request on its way to an agent: bounded, and watched for whom it waits for.
//!
//! Where no answer comes, that tells apart whose fault it is: the agent's, or that of a client which is slow, or has broken off.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::http::Request;
use http_body_util::{LengthLimitError, Limited};
use hyper::body::{Frame, SizeHint};

use super::MAX_BODY_BYTES;

/// How the body of a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Uploaded {
    /// The client has sent what was asked of it: all, or as much as the agent takes.
    Given,
    /// The client is waited for.
    Awaited,
    /// It is over the limit.
    TooLarge,
    /// The client has broken it off.
    BrokenOff,
}

/// What becomes of the body of one request.
#[derive(Debug, Clone)]
pub(super) struct Upload(Arc<Mutex<Uploaded>>);

impl Upload {
    /// The request with its body bounded, and what tells of that.
    pub(super) fn watched(request: Request<Body>) -> (Request<Body>, Self) {
        let upload = Self(Arc::new(Mutex::new(Uploaded::Given)));
        let most = usize::try_from(MAX_BODY_BYTES).unwrap_or(usize::MAX);
        let watched = request.map(|body| {
            Body::new(Watched {
                body: Limited::new(body, most),
                upload: upload.clone(),
            })
        });
        (watched, upload)
    }

    /// How it stands.
    pub(super) fn uploaded(&self) -> Uploaded {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, uploaded: Uploaded) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = uploaded;
    }
}

struct Watched {
    body: Limited<Body>,
    upload: Upload,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { body, upload } = self.get_mut();
        upload.note(Uploaded::Awaited);
        let frame = ready!(Pin::new(body).poll_frame(context));
        upload.note(match &frame {
            Some(Err(error)) if error.is::<LengthLimitError>() => Uploaded::TooLarge,
            Some(Err(_)) => Uploaded::BrokenOff,
            Some(Ok(_)) | None => Uploaded::Given,
        });
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

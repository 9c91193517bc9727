//! An end that leaves nobody without an answer.
//!
//! hyper takes a connection on which nothing has been said yet for one that may be closed. Whoever has just connected would be turned away.
//! So an agent that is asked to stop takes no new connections, hears those out that it has taken, and ends then.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// How many connections are open on which nothing was said yet.
#[derive(Debug, Clone)]
pub(super) struct Silence(watch::Sender<usize>);

impl Silence {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Waits until something was said on each.
    pub(super) async fn broken(&self) {
        // We have a sender, so it cannot be closed.
        drop(self.0.subscribe().wait_for(|silent| *silent == 0).await);
    }

    fn one(&self) -> Silent {
        self.0.send_modify(|silent| *silent += 1);
        Silent(self.clone())
    }
}

/// One connection on which nothing was said yet.
struct Silent(Silence);

impl Drop for Silent {
    fn drop(&mut self) {
        self.0.0.send_modify(|silent| *silent -= 1);
    }
}

/// A listener that takes connections until it is told to stop.
pub(super) struct UntilTold<L> {
    pub(super) listener: L,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) silence: Silence,
}

impl<L: Listener> Listener for UntilTold<L> {
    type Io = Heard<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let told = async { drop(self.stop.wait_for(|stop| *stop).await) };
        let taken = tokio::select! {
            biased;
            () = told => None,
            taken = self.listener.accept() => Some(taken),
        };
        let Some((stream, from)) = taken else {
            return std::future::pending().await;
        };
        let silent = Some(self.silence.one());
        (Heard { stream, silent }, from)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that is silent until something was read from it.
pub(super) struct Heard<S> {
    stream: S,
    silent: Option<Silent>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        waker: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(waker, into));
        self.silent = None;
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        waker: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(waker, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, waker: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(waker)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, waker: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(waker)
    }
}

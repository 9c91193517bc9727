//! A stream of jobs through a pool, with demand: the source is asked for as much as is being done, and no more.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream, StreamExt as _};
use ractor::{Message, RpcReplyPort};

use super::error::PoolError;
use super::handle::PoolRef;

type Doing<T> = Pin<Box<dyn Future<Output = Result<T, PoolError>> + Send>>;

/// What the jobs of a stream come to, in the order in which they end.
#[must_use = "nothing is done until it is polled"]
pub struct Results<S, M: Send + 'static, T, F> {
    source: Option<Pin<Box<S>>>,
    pool: PoolRef<M>,
    message: Arc<F>,
    doing: FuturesUnordered<Doing<T>>,
    most: usize,
    /// It is asked for more until there are as many as may be.
    asks: bool,
}

impl<S, M: Send + 'static, T, F> fmt::Debug for Results<S, M, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results")
            .field("doing", &self.doing.len())
            .finish_non_exhaustive()
    }
}

impl<M: Message> PoolRef<M> {
    /// Has a job done for each item of a stream. At most `most` items are under way at once, and when half of them are done the source is
    /// asked for as many again: `GenStage`'s demand. A full queue is waited for, not refused.
    ///
    /// Results come in the order in which they end. Dropped, it takes back what was not begun.
    pub fn stream<S, T, F>(&self, most: usize, source: S, message: F) -> Results<S, M, T, F>
    where
        S: Stream<Item: Send + 'static>,
        T: Send + 'static,
        F: Fn(S::Item, RpcReplyPort<T>) -> M + Send + Sync + 'static,
    {
        Results {
            source: Some(Box::pin(source)),
            pool: self.clone(),
            message: Arc::new(message),
            doing: FuturesUnordered::new(),
            most: most.max(1),
            asks: true,
        }
    }
}

impl<S, M, T, F> Results<S, M, T, F>
where
    S: Stream<Item: Send + 'static>,
    M: Message,
    T: Send + 'static,
    F: Fn(S::Item, RpcReplyPort<T>) -> M + Send + Sync + 'static,
{
    fn begin(&self, item: S::Item) -> Doing<T> {
        let (pool, message) = (self.pool.clone(), Arc::clone(&self.message));
        Box::pin(async move {
            let message = |reply| message(item, reply);
            pool.submit_for_good(message).await
        })
    }

    /// Asks the source for as many as may be under way.
    fn fill(&mut self, context: &mut Context<'_>) {
        if self.doing.len() <= self.most / 2 {
            self.asks = true;
        }
        while self.asks {
            if self.doing.len() == self.most {
                self.asks = false;
                return;
            }
            let Some(source) = &mut self.source else {
                return;
            };
            match source.as_mut().poll_next(context) {
                Poll::Ready(Some(item)) => self.doing.push(self.begin(item)),
                Poll::Ready(None) => self.source = None,
                Poll::Pending => return,
            }
        }
    }
}

impl<S, M, T, F> Stream for Results<S, M, T, F>
where
    S: Stream<Item: Send + 'static>,
    M: Message,
    T: Send + 'static,
    F: Fn(S::Item, RpcReplyPort<T>) -> M + Send + Sync + 'static,
{
    type Item = Result<T, PoolError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.fill(context);
        match self.doing.poll_next_unpin(context) {
            Poll::Ready(Some(done)) => Poll::Ready(Some(done)),
            // Nothing is under way: it is over if nothing comes any more.
            Poll::Ready(None) if self.source.is_none() => Poll::Ready(None),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

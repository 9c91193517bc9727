//! A copy of what regrow's adapter does for a message, but for what it counts and times: what is left out is what telemetry costs.

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::worker::{Order, Up, Worker};

thread_local! {
    static POLL: Cell<u64> = const { Cell::new(0) };
    static POLLS: Cell<u64> = const { Cell::new(0) };
}

/// A worker whose panics are caught, and nothing else.
pub struct Uncounted;

impl Actor for Uncounted {
    type Msg = Order;
    type State = Option<()>;
    type Arguments = Up;

    async fn pre_start(
        &self,
        myself: ActorRef<Order>,
        up: Up,
    ) -> Result<Self::State, ActorProcessingErr> {
        Worker.pre_start(myself, up).await.map(Some)
    }

    async fn handle(
        &self,
        myself: ActorRef<Order>,
        order: Order,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let state = state.as_mut().ok_or("there is no state")?;
        let mut handler = pin!(async { Worker.handle(myself, order, state).await });
        let guarded = poll_fn(|context| {
            let poll = POLLS.get() + 1;
            POLLS.set(poll);
            let outer = POLL.replace(poll);
            let result = catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context)));
            POLL.set(outer);
            match result {
                Ok(poll) => poll,
                Err(_) => Poll::Ready(Err("it panicked".into())),
            }
        });
        guarded.await
    }
}

//! What runs a user's actor: the same messages, no extra hop, and what `ractor` does not tell.
//!
//! [`Supervised`] forwards every hook. It catches panics with their place, tells an orderly end from a kill, and drops the state
//! where a panicking `Drop` harms nobody.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::exit::ExitReason;
use crate::panics::catch;
use crate::telemetry::{Handled, Vitals};
use crate::whose::{Whose, run_as};

/// A user's actor in its adapter.
pub(crate) struct Supervised<A> {
    pub(crate) actor: A,
    pub(crate) vitals: Arc<Vitals>,
    /// To tell of messages that carry a trace.
    #[cfg(feature = "trace-messages")]
    pub(crate) context: Box<crate::child::StartContext>,
}

/// What one life has beside its messages.
pub(crate) struct Life<S> {
    /// The user's state; taken out when it is dropped under guard.
    state: Option<S>,
    /// Says in each poll whose code runs.
    whose: Whose,
}

impl<S> Life<S> {
    fn get(&mut self) -> Result<(&mut S, &mut Whose), ActorProcessingErr> {
        let dropped = "the state was dropped before its actor ended";
        let state = self.state.as_mut().ok_or(dropped)?;
        Ok((state, &mut self.whose))
    }

    fn drop_guarded(&mut self) -> Result<(), ExitReason> {
        let state = self.state.take();
        catch(move || drop(state)).map_err(|panic| ExitReason::Panic(Arc::new(panic)))
    }
}

/// Lets others run first, and idle threads take this task from the one that it is on. `yield_now` would keep it from them: whoever
/// blocks this thread next would block this task too.
pub(crate) async fn step_aside() {
    let mut is_aside = false;
    poll_fn(|context| {
        if std::mem::replace(&mut is_aside, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs one hook; a panic or an error becomes the boxed [`ExitReason`] that the supervisor reads.
///
/// Not an `async fn`: that would be one state more to carry around with each message.
fn hook<T>(
    whose: &mut Whose,
    mut future: Pin<&mut impl Future<Output = Result<T, ActorProcessingErr>>>,
) -> impl Future<Output = Result<T, ActorProcessingErr>> {
    poll_fn(
        move |context| match run_as(whose, || catch(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(value))) => Poll::Ready(Ok(value)),
            Ok(Poll::Ready(Err(error))) => Poll::Ready(Err(failed(ExitReason::error(error)))),
            Err(panic) => Poll::Ready(Err(failed(ExitReason::Panic(Arc::new(panic))))),
        },
    )
}

#[cold]
fn failed(reason: ExitReason) -> ActorProcessingErr {
    Box::new(reason)
}

/// What [`hook`] has made of a handler's end.
fn handled(result: &Result<(), ActorProcessingErr>) -> Handled {
    match result {
        Ok(()) => Handled::Ok,
        Err(error) if matches!(error.downcast_ref(), Some(ExitReason::Panic(_))) => Handled::Panic,
        Err(_) => Handled::Error,
    }
}

impl<A: Actor> Supervised<A> {
    /// After a failure the state is dropped here, under guard, and not inside the supervisor.
    fn settle<T>(
        result: Result<T, ActorProcessingErr>,
        life: &mut Life<A::State>,
    ) -> Result<T, ActorProcessingErr> {
        if result.is_err() {
            // The failure that came first is the one to tell.
            drop(life.drop_guarded());
        }
        result
    }
}

#[cfg(feature = "trace-messages")]
impl<A: Actor> Supervised<A> {
    /// Runs a handler inside a span that links to the sender's, if its message carries one.
    async fn traced(
        &self,
        handler: impl Future<Output = Result<(), ActorProcessingErr>>,
    ) -> Result<(), ActorProcessingErr> {
        let mut handler = std::pin::pin!(handler);
        let Some(carried) = crate::trace::carrier::carried() else {
            return handler.await;
        };
        let span = self
            .context
            .span_of_message(carried, std::any::type_name::<A::Msg>());
        let result = crate::trace::with_context(span.context(), handler.as_mut()).await;
        match &result {
            Ok(()) => span.stop(),
            Err(error) => span.exception(error.to_string()),
        }
        result
    }
}

#[ractor::actor(message = A::Msg, state = Life<A::State>, arguments = A::Arguments)]
impl<A: Actor> Supervised<A> {
    async fn pre_start(
        &self,
        myself: ActorRef<A::Msg>,
        arguments: A::Arguments,
    ) -> Result<Life<A::State>, ActorProcessingErr> {
        let mut whose = Some(Arc::clone(self.vitals.identity()));
        let start = pin!(async { self.actor.pre_start(myself, arguments).await });
        let state = Some(hook(&mut whose, start).await?);
        Ok(Life { state, whose })
    }

    async fn post_start(
        &self,
        myself: ActorRef<A::Msg>,
        life: &mut Life<A::State>,
    ) -> Result<(), ActorProcessingErr> {
        let (state, whose) = life.get()?;
        let result = hook(
            whose,
            pin!(async { self.actor.post_start(myself, state).await }),
        )
        .await;
        Self::settle(result, life)
    }

    async fn post_stop(
        &self,
        myself: ActorRef<A::Msg>,
        life: &mut Life<A::State>,
    ) -> Result<(), ActorProcessingErr> {
        let (state, whose) = life.get()?;
        let result = hook(
            whose,
            pin!(async { self.actor.post_stop(myself, state).await }),
        )
        .await;
        Self::settle(result, life)?;
        life.drop_guarded()?;
        self.vitals.set_orderly();
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<A::Msg>,
        message: A::Msg,
        life: &mut Life<A::State>,
    ) -> Result<(), ActorProcessingErr> {
        let (state, whose) = life.get()?;
        if self.vitals.is_untouched() && !self.vitals.is_noticed() {
            // That this life has started was just told to the supervisor, which may wait in a slot of this very thread that no
            // other can take from. A first handler that blocks its thread would block the supervisor with it.
            step_aside().await;
        }
        let timed = self.vitals.begin();
        let result = {
            let future = pin!(self.actor.handle(myself, message, state));
            let handler = hook(whose, future);
            #[cfg(feature = "trace-messages")]
            let handler = self.traced(handler);
            handler.await
        };
        self.vitals.end(timed, handled(&result));
        Self::settle(result, life)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<A::Msg>,
        event: SupervisionEvent,
        life: &mut Life<A::State>,
    ) -> Result<(), ActorProcessingErr> {
        let (state, whose) = life.get()?;
        let result = {
            let event = self.actor.handle_supervisor_evt(myself, event, state);
            hook(whose, pin!(event)).await
        };
        Self::settle(result, life)
    }
}

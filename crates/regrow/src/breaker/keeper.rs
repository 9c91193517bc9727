//! The child: it keeps the time of a breaker and tells what happens to it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use regrow_core::circuit::{CircuitState, Ended, Transition};
use regrow_core::{ChildKind, Phase};
use thiserror::Error;

use super::Breaker;
use super::shared::{News, Shared};
use crate::child::ChildSpec;
use crate::exit::BoxError;
use crate::path::ChildPath;
use crate::task::TaskContext;
use crate::telemetry::Payload;
use crate::time;

/// How often it is told at most that calls are refused.
const REJECTIONS: Duration = Duration::from_secs(1);

impl From<&Breaker> for ChildSpec {
    /// The child that keeps this breaker's time. Its end, however it comes about, leaves the circuit as it is.
    fn from(breaker: &Breaker) -> Self {
        let keeper = breaker.clone();
        Self::task(Arc::clone(&breaker.shared.id), move |context| {
            keep(keeper.clone(), context)
        })
        .announced()
        .kind(ChildKind::Breaker)
    }
}

impl From<Breaker> for ChildSpec {
    fn from(breaker: Breaker) -> Self {
        Self::from(&breaker)
    }
}

/// A breaker tells its path, and one has no two.
#[derive(Debug, Error)]
#[error(
    "breaker \"{id}\" is kept at \"{path}\" already; it can be the child of one place at a time"
)]
struct KeptElsewhere {
    id: Arc<str>,
    path: ChildPath,
}

/// The breaker is at a place, until this is dropped.
struct Stay<'a>(&'a Shared);

impl<'a> Stay<'a> {
    fn at(shared: &'a Shared, path: &ChildPath) -> Result<Self, KeptElsewhere> {
        let mut kept_at = shared
            .kept_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &*kept_at {
            return Err(KeptElsewhere {
                id: Arc::clone(&shared.id),
                path: path.clone(),
            });
        }
        *kept_at = Some(path.clone());
        drop(kept_at);
        Ok(Self(shared))
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        let kept_at = self.0.kept_at.lock();
        *kept_at.unwrap_or_else(PoisonError::into_inner) = None;
    }
}

async fn keep(breaker: Breaker, context: TaskContext) -> Result<(), BoxError> {
    let shared = &breaker.shared;
    let _stay = Stay::at(shared, context.path())?;
    context.keep_breaker(&breaker);
    // Until when it is not told again that calls are refused.
    let mut quiet_until = time::now();
    let mut standing = Readiness::default();
    say(&context, &breaker, &mut standing);
    // Only now it is up: who waits until it is ready does not begin while it is open.
    context.announce();
    loop {
        let mut wakeup = shared.wake_up();
        let now = time::now();
        let news = shared.take_news(now >= quiet_until);
        if news.refused.is_some() {
            quiet_until = now + REJECTIONS;
        }
        if news.more {
            wakeup = Some(wakeup.map_or(quiet_until, |at| at.min(quiet_until)));
        }
        tell(&context, news);
        say(&context, &breaker, &mut standing);
        let alarm = async {
            match wakeup {
                Some(at) => time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = context.stopped() => break,
            () = shared.news.notified() => {}
            () = alarm => {}
        }
    }
    tell(&context, shared.take_news(true));
    Ok(())
}

/// Whether the child is ready, as it has last said: it is while calls are let through.
#[derive(Default)]
struct Readiness(Option<bool>);

impl Readiness {
    /// What it has to say in this state, if that is news.
    fn changed(&mut self, state: CircuitState) -> Option<bool> {
        let ready = match state {
            CircuitState::Open | CircuitState::ForcedOpen => false,
            CircuitState::Closed
            | CircuitState::HalfOpen
            | CircuitState::Disabled
            | CircuitState::MetricsOnly => true,
        };
        (self.0.replace(ready) != Some(ready)).then_some(ready)
    }
}

/// Says whether it is ready, if that is news.
fn say(context: &TaskContext, breaker: &Breaker, standing: &mut Readiness) {
    match standing.changed(breaker.state()) {
        Some(true) => context.ready(),
        Some(false) => context.unready(format!("breaker {:?} is open", breaker.id())),
        None => {}
    }
}

/// Tells each change by one event, in the order in which they came, then what was summed up.
fn tell(context: &TaskContext, news: News) {
    let emit = |payload: Payload| context.emit(Phase::Running, || payload);
    if news.missed > 0 {
        emit(Payload::TelemetryQueueDropped {
            dropped: news.missed,
            handler: format!("breaker {}", context.path()).into(),
        });
    }
    for changed in news.changes {
        emit(told(&changed));
    }
    if let Some((cause, figures)) = news.would_open {
        emit(Payload::BreakerWouldOpen {
            failure_ratio: figures.failure_ratio(),
            slow_ratio: figures.slow_ratio(),
            calls: figures.calls,
            cause,
        });
    }
    if let Some(refused) = news.refused {
        emit(Payload::BreakerRejected {
            calls: news.rejected,
            retry_after: refused.retry_after,
            state: refused.state,
        });
    }
    if news.late > 0 {
        emit(Payload::BreakerLateResult { calls: news.late });
    }
    if let Some((ended, took)) = news.example {
        emit(Payload::BreakerCall {
            took,
            outcome: outcome(ended),
        });
    }
}

fn told(changed: &Transition) -> Payload {
    Payload::BreakerStateChanged {
        failure_ratio: changed.figures.failure_ratio(),
        slow_ratio: changed.figures.slow_ratio(),
        calls: changed.figures.calls,
        in_state: changed.in_state,
        retry_after: changed.wait,
        state_generation: changed.generation,
        from: changed.from,
        to: changed.to,
        cause: changed.cause,
    }
}

/// The word in events and metric labels.
const fn outcome(ended: Ended) -> &'static str {
    match ended {
        Ended::Success => "success",
        Ended::Failure | Ended::Trip(_) => "failure",
        Ended::Ignored => "ignored",
        Ended::Cancelled => "cancelled",
    }
}

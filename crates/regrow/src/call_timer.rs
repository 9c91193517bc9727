//! One timer for the deadlines of all calls of a system: a timer for each costs more than the call.
//!
//! [`Deadlines`] decides; this holds who is to be woken, and a task that brings the ticks. The task is there only while somebody
//! waits. It runs on the runtime of the caller that first needs it; if that ends, the next caller's takes over.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use regrow_core::deadlines::{Deadlines, Ticket};
use tokio::sync::{Notify, oneshot};

use crate::time;

/// How long after it began a wait gets its deadline, at most; and how late a deadline is told, at most.
const TICK: Duration = Duration::from_millis(10);

/// A shorter limit has a timer of its own: ten milliseconds more would matter.
const EXACT_BELOW: Duration = Duration::from_millis(100);

/// Callers of different children seldom wait for each other.
const SHARDS: usize = 8;

/// The deadlines of all calls of one system.
#[derive(Debug, Default)]
pub(crate) struct CallTimer {
    shards: [Mutex<Shard>; SHARDS],
    /// Whether the task is there. Taken before a shard, never after.
    is_running: Mutex<bool>,
    /// There are waits without a deadline.
    news: Notify,
}

#[derive(Debug, Default)]
struct Shard {
    deadlines: Deadlines,
    /// By the number of the wait.
    wakers: Vec<Option<Waker>>,
    /// The task knows, or is about to be told, that there are waits without a deadline.
    is_attended: bool,
}

/// The time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elapsed;

impl CallTimer {
    /// Waits for an answer, at most so long. Callers with the same `place` share a lock.
    pub(crate) async fn within<T>(
        self: &Arc<Self>,
        timeout: Duration,
        place: usize,
        answer: oneshot::Receiver<T>,
    ) -> Result<Result<T, oneshot::error::RecvError>, Elapsed> {
        if timeout < EXACT_BELOW {
            return tokio::time::timeout(timeout, answer)
                .await
                .map_err(|_| Elapsed);
        }
        Within {
            timer: self,
            timeout,
            shard: place % SHARDS,
            answer,
            ticket: None,
        }
        .await
    }

    fn shard(&self, shard: usize) -> MutexGuard<'_, Shard> {
        self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that the task is there.
    fn attend(self: &Arc<Self>) {
        let is_there = std::mem::replace(&mut *self.lock_task(), true);
        if !is_there {
            // Without the lock: where there is no runtime, or none that lives, what is made here is dropped at once.
            tokio::spawn(ticks(Running {
                timer: Arc::clone(self),
                is_over: false,
            }));
        }
    }

    fn lock_task(&self) -> MutexGuard<'_, bool> {
        self.is_running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self, now: Instant) {
        let mut expired = Vec::new();
        for shard in 0..SHARDS {
            let mut shard = self.shard(shard);
            let Shard {
                deadlines,
                wakers,
                is_attended,
            } = &mut *shard;
            deadlines.on_tick(now, &mut expired);
            *is_attended = false;
            let waker = |number| wakers.get_mut(number as usize).and_then(Option::take);
            let woken: Vec<Waker> = expired.drain(..).filter_map(waker).collect();
            drop(shard);
            woken.into_iter().for_each(Waker::wake);
        }
    }

    /// What the task waits for: a tick soon, a deadline, or news; or nobody waits.
    fn next(&self) -> Next {
        let mut next = Next::Idle;
        for shard in 0..SHARDS {
            let deadlines = &self.shard(shard).deadlines;
            if deadlines.is_fresh() {
                return Next::Tick;
            }
            next = match (next, deadlines.next_wakeup()) {
                (Next::Deadline(Some(one)), Some(other)) => Next::Deadline(Some(one.min(other))),
                (Next::Deadline(one), other) => Next::Deadline(one.or(other)),
                (_, Some(at)) => Next::Deadline(Some(at)),
                (_, None) if deadlines.is_idle() => next,
                (_, None) => Next::Deadline(None),
            };
        }
        next
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Idle,
    Tick,
    /// `None`: all who wait do so for ever.
    Deadline(Option<Instant>),
}

/// The task is there. When it is ended by its runtime, others may take over.
struct Running {
    timer: Arc<CallTimer>,
    is_over: bool,
}

impl Running {
    /// Whether nobody waits; then the task is no more, and whoever comes next starts another.
    fn is_over(&mut self) -> bool {
        // Whoever comes from now on has to wait for this lock, and then finds no task.
        let mut is_running = self.timer.lock_task();
        self.is_over = self.timer.next() == Next::Idle;
        *is_running = !self.is_over;
        self.is_over
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        *self.timer.lock_task() = false;
        // Whoever still waits looks again, and brings the ticks to a runtime that lives.
        for shard in 0..SHARDS {
            let woken: Vec<Waker> = {
                let mut shard = self.timer.shard(shard);
                shard.is_attended = false;
                shard.wakers.iter_mut().filter_map(Option::take).collect()
            };
            woken.into_iter().for_each(Waker::wake);
        }
    }
}

async fn ticks(mut running: Running) {
    loop {
        let timer = Arc::clone(&running.timer);
        let news = timer.news.notified();
        match timer.next() {
            Next::Idle if running.is_over() => return,
            Next::Idle => {}
            Next::Tick => {
                time::sleep_until(time::now() + TICK).await;
                timer.tick(time::now());
            }
            Next::Deadline(None) => news.await,
            Next::Deadline(Some(at)) => {
                tokio::select! {
                    () = news => {}
                    () = time::sleep_until(at) => timer.tick(time::now()),
                }
            }
        }
    }
}

/// An answer that is waited for; see [`CallTimer::within`].
struct Within<'a, T> {
    timer: &'a Arc<CallTimer>,
    timeout: Duration,
    shard: usize,
    answer: oneshot::Receiver<T>,
    ticket: Option<Ticket>,
}

impl<T> Future for Within<'_, T> {
    type Output = Result<Result<T, oneshot::error::RecvError>, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(answer) = Pin::new(&mut self.answer).poll(context) {
            return Poll::Ready(Ok(answer));
        }
        let this = &mut *self;
        let mut shard = this.timer.shard(this.shard);
        let Shard {
            deadlines,
            wakers,
            is_attended,
        } = &mut *shard;
        let is_new = this.ticket.is_none();
        let ticket = this
            .ticket
            .get_or_insert_with(|| deadlines.begin(this.timeout));
        if deadlines.is_expired(ticket) {
            return Poll::Ready(Err(Elapsed));
        }
        let number = ticket.number() as usize;
        if wakers.len() <= number {
            wakers.resize(number + 1, None);
        }
        let before = match &wakers[number] {
            Some(waker) if waker.will_wake(context.waker()) => None,
            _ => wakers[number].replace(context.waker().clone()),
        };
        let is_news = is_new && !std::mem::replace(is_attended, *is_attended || is_new);
        drop(shard);
        drop(before);
        if is_news || !is_new {
            // One that is not new may have been woken because there is no task any more.
            this.timer.attend();
        }
        if is_news {
            this.timer.news.notify_one();
        }
        Poll::Pending
    }
}

impl<T> Drop for Within<'_, T> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let mut shard = self.timer.shard(self.shard);
        let number = ticket.number() as usize;
        shard.deadlines.end(ticket);
        let waker = shard.wakers[number].take();
        drop(shard);
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn is_running(timer: &CallTimer) -> bool {
        *timer.lock_task()
    }

    /// How late a limit is told that nobody answers within.
    async fn lateness(timer: &Arc<CallTimer>, timeout: Duration, place: usize) -> Duration {
        let (_reply, answer) = oneshot::channel::<()>();
        let began = time::now();
        let result = timer.within(timeout, place, answer).await;
        assert_eq!(result, Err(Elapsed));
        time::now()
            .checked_duration_since(began + timeout)
            .expect("a limit is never early")
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_is_never_early_and_at_most_two_ticks_late() {
        let timer = Arc::<CallTimer>::default();
        let millis = [99, 100, 101, 105, 1_000, 1_003, 60_000].map(Duration::from_millis);
        for timeout in millis {
            let late = lateness(&timer, timeout, 0).await;
            let most = if timeout < EXACT_BELOW {
                Duration::from_millis(1)
            } else {
                TICK * 2
            };
            assert!(late <= most, "{timeout:?}: {late:?}");
        }
        // Of several at once each keeps its own.
        let late = tokio::join!(
            lateness(&timer, SECOND * 3, 1),
            lateness(&timer, SECOND, 2),
            lateness(&timer, SECOND * 2, 1),
        );
        for late in [late.0, late.1, late.2] {
            assert!(late <= TICK * 2, "{late:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_come_in_time_leave_nothing_and_then_there_is_no_task() {
        let timer = Arc::<CallTimer>::default();
        for place in 0..100 {
            let (reply, answer) = oneshot::channel();
            let (answer, ()) = tokio::join!(timer.within(SECOND, place, answer), async {
                tokio::task::yield_now().await;
                reply.send(place).expect("somebody waits");
            });
            assert_eq!(answer, Ok(Ok(place)));
        }
        for shard in 0..SHARDS {
            assert!(timer.shard(shard).deadlines.is_idle());
            assert_eq!(timer.shard(shard).wakers.len(), 1);
        }
        assert!(is_running(&timer));
        tokio::time::advance(TICK * 2).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!is_running(&timer));
        assert!(lateness(&timer, SECOND, 0).await <= TICK * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_given_up_is_forgotten() {
        let timer = Arc::<CallTimer>::default();
        let (_reply, answer) = oneshot::channel::<()>();
        {
            let mut wait = std::pin::pin!(timer.within(SECOND, 0, answer));
            let first = std::future::poll_fn(|context| Poll::Ready(wait.as_mut().poll(context)));
            assert!(first.await.is_pending());
            assert!(!timer.shard(0).deadlines.is_idle());
        }
        assert!(timer.shard(0).deadlines.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn while_all_wait_for_ever_there_are_no_ticks_and_a_new_limit_is_kept() {
        let timer = Arc::<CallTimer>::default();
        let (reply, answer) = oneshot::channel();
        let waits = Arc::clone(&timer);
        let waits = tokio::spawn(async move { waits.within(Duration::MAX, 0, answer).await });
        tokio::time::advance(SECOND * 1_000_000).await;
        assert!(lateness(&timer, SECOND, 0).await <= TICK * 2);
        reply.send(7).expect("somebody waits");
        assert_eq!(waits.await.expect("it does not panic"), Ok(Ok(7)));
    }

    #[test]
    fn when_the_runtime_of_the_task_ends_that_of_another_caller_takes_over() {
        let runtime = || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_time().build().expect("it starts")
        };
        let timer = Arc::<CallTimer>::default();
        let (first, second) = (runtime(), runtime());
        let begin = |timer: &Arc<CallTimer>| {
            let (timer, (reply, answer)) = (Arc::clone(timer), oneshot::channel::<()>());
            tokio::spawn(async move {
                let result = timer.within(EXACT_BELOW, 0, answer).await;
                drop(reply);
                result
            })
        };
        let run = |runtime: &tokio::runtime::Runtime| {
            let _entered = runtime.enter();
            let waits = begin(&timer);
            runtime.block_on(tokio::task::yield_now());
            waits
        };
        let brings_ticks = run(&first);
        assert!(is_running(&timer));
        let waits = run(&second);
        drop(first);
        assert!(brings_ticks.is_finished());
        assert!(!is_running(&timer));
        let result = second.block_on(waits).expect("it does not panic");
        assert_eq!(result, Err(Elapsed));
    }
}

//! What all handles of a breaker share: the circuit behind its lock, what of it can be read without, and what is to be told.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rapidhash::quality::RandomState;
use regrow_core::circuit::{
    Circuit, CircuitCause, CircuitMode, CircuitRules, CircuitState, CircuitStatus, Ended, Figures,
    InvalidRules, Refused, Settled, Standing, Ticket, Transition,
};
use tokio::sync::{Notify, watch};

use super::error::Rejected;
use super::nanos;
use crate::path::ChildPath;
use crate::time;

/// How many changes of the state wait to be told at most; beyond that the oldest are not.
const MAX_CHANGES: usize = 64;

/// One call in so many is timed, and told as an example.
const SAMPLE: u8 = 64;

/// The next call is to be timed.
const TIME_ONCE: u8 = 1;
/// Every call is: it matters how long they take.
const TIME_ALWAYS: u8 = 2;

pub(super) struct Shared {
    pub(super) id: Arc<str>,
    /// The present [`Standing`]: whoever reads that all calls are let through needs no lock. Written under the lock.
    standing: AtomicU64,
    /// Whether a call that begins now looks at the clock.
    timing: AtomicU8,
    call_timeout: AtomicU64,
    machine: Mutex<Machine>,
    /// There is something to tell, or another time to wake up at.
    pub(super) news: Notify,
    states: watch::Sender<CircuitState>,
    /// Of which place a life is up.
    pub(super) kept_at: Mutex<Option<ChildPath>>,
}

/// What the lock is for.
pub(super) struct Machine {
    pub(super) circuit: Circuit,
    pub(super) news: News,
    /// How often it has changed, from where to where and why.
    pub(super) transitions: BTreeMap<(CircuitState, CircuitState, CircuitCause), u64>,
    /// Calls since the last that was an example.
    unsampled: u8,
}

/// What has happened and is not told. It takes no memory that grows: what comes too fast is summed up.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) changes: VecDeque<Transition>,
    /// Changes that nobody came for.
    pub(super) missed: u64,
    pub(super) would_open: Option<(CircuitCause, Figures)>,
    pub(super) rejected: u64,
    /// The last of them.
    pub(super) refused: Option<Refused>,
    /// Whether there are more that are not to be told yet.
    pub(super) more: bool,
    pub(super) late: u64,
    pub(super) example: Option<(Ended, Duration)>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(
        id: Arc<str>,
        rules: CircuitRules,
        mode: CircuitMode,
    ) -> Result<Self, InvalidRules> {
        let seed = RandomState::default().hash_one(&id);
        let circuit = Circuit::new(rules, mode, seed, time::now())?;
        let shared = Self {
            id,
            standing: AtomicU64::new(circuit.standing().to_bits()),
            timing: AtomicU8::new(TIME_ONCE),
            call_timeout: AtomicU64::new(0),
            states: watch::Sender::new(circuit.standing().state),
            machine: Mutex::new(Machine {
                circuit,
                news: News {
                    changes: VecDeque::with_capacity(MAX_CHANGES),
                    ..News::default()
                },
                transitions: BTreeMap::new(),
                unsampled: SAMPLE - 1,
            }),
            news: Notify::new(),
            kept_at: Mutex::default(),
        };
        shared.publish(&shared.lock());
        Ok(shared)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Machine> {
        // The machine's own steps do not panic; whatever else does cannot have left it half done.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn standing(&self) -> Standing {
        Standing::from_bits(self.standing.load(Ordering::Acquire))
    }

    pub(super) fn path(&self) -> Option<ChildPath> {
        let kept_at = self.kept_at.lock().unwrap_or_else(PoisonError::into_inner);
        kept_at.clone()
    }

    pub(super) fn call_timeout(&self) -> Option<Duration> {
        let nanos = self.call_timeout.load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    pub(super) fn status(&self) -> CircuitStatus {
        let now = time::now();
        self.lock().circuit.status(now)
    }

    /// May a call be made?
    #[inline]
    pub(super) fn acquire(&self) -> Result<Ticket, Rejected> {
        match self.standing().admit(None) {
            Some(ticket) if self.timing.load(Ordering::Relaxed) == 0 => Ok(ticket),
            _ => self.acquire_timed(),
        }
    }

    /// The call begins now.
    fn acquire_timed(&self) -> Result<Ticket, Rejected> {
        let now = time::now();
        match self.standing().admit(Some(now)) {
            Some(ticket) => {
                self.timing.fetch_and(!TIME_ONCE, Ordering::Relaxed);
                Ok(ticket)
            }
            None => self.ask(now),
        }
    }

    /// The circuit has to be asked.
    fn ask(&self, now: Instant) -> Result<Ticket, Rejected> {
        let mut machine = self.lock();
        let acquired = machine.circuit.try_acquire(now);
        let mut is_news = self.note(&mut machine, acquired.changed);
        if let Err(refused) = acquired.ticket {
            is_news |= machine.news.rejected == 0;
            machine.news.rejected += 1;
            machine.news.refused = Some(refused);
        }
        drop(machine);
        self.ring(is_news);
        acquired.ticket.map_err(|refused| Rejected {
            breaker: Arc::clone(&self.id),
            state: refused.state,
            retry_after: refused.retry_after,
        })
    }

    /// A call is over.
    pub(super) fn settle(&self, ticket: Ticket, ended: Ended) {
        let is_trial = ticket.admitted_in().state == CircuitState::HalfOpen;
        let now = time::now();
        let mut machine = self.lock();
        let settled = machine.circuit.on_result(ticket, ended, now);
        let mut is_news = self.note(&mut machine, settled.changed);
        is_news |= machine.heed(&settled, now);
        is_news |= machine.sample(&settled, ended, &self.timing);
        drop(machine);
        // A trial that is back moves the deadline of the others.
        self.ring(is_news || is_trial);
    }

    /// Time has passed. When it wants to be told again.
    pub(super) fn wake_up(&self) -> Option<Instant> {
        let now = time::now();
        let mut machine = self.lock();
        let changed = machine.circuit.on_wakeup(now);
        let _told_by_the_caller = self.note(&mut machine, changed);
        machine.circuit.next_wakeup()
    }

    /// An operator wants something.
    pub(super) fn order<E>(
        &self,
        order: impl FnOnce(&mut Circuit, Instant) -> Result<Option<Transition>, E>,
    ) -> Result<(), E> {
        let now = time::now();
        let mut machine = self.lock();
        let changed = order(&mut machine.circuit, now)?;
        let _rung_anyway = self.note(&mut machine, changed);
        // What is not told changes the generation all the same, and perhaps the rules.
        self.publish(&machine);
        drop(machine);
        self.ring(true);
        Ok(())
    }

    /// Takes what there is to tell; rejections only if it is time for them.
    pub(super) fn take_news(&self, with_rejections: bool) -> News {
        let mut machine = self.lock();
        let news = &mut machine.news;
        let (rejected, refused) = if with_rejections {
            (std::mem::take(&mut news.rejected), news.refused.take())
        } else {
            (0, None)
        };
        News {
            changes: news.changes.drain(..).collect(),
            missed: std::mem::take(&mut news.missed),
            would_open: news.would_open.take(),
            more: news.rejected > 0,
            rejected,
            refused,
            late: std::mem::take(&mut news.late),
            example: news.example.take(),
        }
    }

    pub(super) async fn until(&self, mut wanted: impl FnMut(CircuitState) -> bool) -> CircuitState {
        let mut states = self.states.subscribe();
        match states.wait_for(|state| wanted(*state)).await {
            Ok(state) => *state,
            Err(_) => unreachable!("the sender is ours"),
        }
    }

    /// Publishes a change and puts it among the news; whether there is one.
    #[inline]
    fn note(&self, machine: &mut Machine, changed: Option<Transition>) -> bool {
        let Some(changed) = changed else { return false };
        self.publish(machine);
        machine.change(changed);
        true
    }

    /// Called under the lock: so the last to write is the last to have changed it.
    #[cold]
    fn publish(&self, machine: &Machine) {
        let standing = machine.circuit.standing();
        self.standing.store(standing.to_bits(), Ordering::Release);
        let rules = machine.circuit.rules();
        let always = if rules.slow_after().is_some() {
            TIME_ALWAYS
        } else {
            0
        };
        self.timing.store(always | TIME_ONCE, Ordering::Relaxed);
        self.call_timeout
            .store(nanos(rules.timeout()), Ordering::Relaxed);
        self.states
            .send_if_modified(|state| std::mem::replace(state, standing.state) != standing.state);
    }

    #[inline]
    fn ring(&self, is_news: bool) {
        if is_news {
            self.news.notify_one();
        }
    }
}

impl Machine {
    #[cold]
    fn change(&mut self, changed: Transition) {
        let key = (changed.from, changed.to, changed.cause);
        *self.transitions.entry(key).or_default() += 1;
        if self.news.changes.len() == MAX_CHANGES {
            self.news.changes.pop_front();
            self.news.missed += 1;
        }
        self.news.changes.push_back(changed);
    }

    /// What of a result is to be told; whether there is something that was not before.
    #[inline]
    fn heed(&mut self, settled: &Settled, now: Instant) -> bool {
        let mut is_news = false;
        if settled.late {
            is_news = self.news.late == 0;
            self.news.late += 1;
        }
        if let Some(cause) = settled.would_open {
            is_news = true;
            let figures = self.circuit.status(now).figures;
            self.news.would_open = Some((cause, figures));
        }
        is_news
    }

    /// One call in so many is an example. The next to begin is timed for it.
    #[inline]
    fn sample(&mut self, settled: &Settled, ended: Ended, timing: &AtomicU8) -> bool {
        if self.unsampled < SAMPLE - 1 {
            self.unsampled += 1;
            if self.unsampled == SAMPLE - 1 {
                timing.fetch_or(TIME_ONCE, Ordering::Relaxed);
            }
            return false;
        }
        let Some(took) = settled.took.filter(|_| ended.is_judged()) else {
            // It was not timed, or says nothing: the next that is.
            timing.fetch_or(TIME_ONCE, Ordering::Relaxed);
            return false;
        };
        self.unsampled = 0;
        let is_news = self.news.example.is_none();
        self.news.example = Some((ended, took));
        is_news
    }
}

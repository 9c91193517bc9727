//! What each actor does, at a cost that a message does not feel.
//!
//! An actor counts what it has begun and done in cells of its own; whoever looks adds them up by type. A clock is read for one
//! message in [`SAMPLE_EVERY`] only. Waiting is measured on the messages sent through an [`Address`](crate::Address), one at a
//! time; what is sent past it is not seen.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use metrics::{Histogram, Recorder};
use regrow_core::progress::{Busy, Look};

use super::Identity;
use super::metrics::actor_histograms;
#[cfg(any(feature = "prometheus", feature = "otlp", feature = "statsd"))]
use super::metrics::look_up_histogram;
use super::roll::Roll;
use crate::path::ChildPath;
use crate::registry::Operation;
use crate::time;

/// One message in so many is timed.
pub(crate) const SAMPLE_EVERY: u64 = 64;

/// What one life of one actor tells without a message.
///
/// Whoever sends writes one cell for each message, and the actor others: they are kept so far apart that neither has to wait for the
/// other's processor.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Vitals {
    sent: AtomicU64,
    _apart: Apart,
    begun: AtomicU64,
    done: AtomicU64,
    /// The actor has finished `post_stop`: it was not killed.
    orderly: AtomicBool,
    /// The supervisor has heard from the actor itself that it runs.
    noticed: AtomicBool,
    /// The number of the message whose wait is being measured; 0 for none.
    waiting: AtomicU64,
    /// When that message was sent.
    waits_since: Mutex<Option<Instant>>,
    /// What was begun when somebody last looked, and since when that is known.
    seen: Mutex<(u64, Option<Instant>)>,
    identity: Arc<Identity>,
    generation: u32,
    stats: Arc<TypeStats>,
    /// Its place in the roll of its type.
    place: usize,
}

/// As long as what processors pass to each other at once.
#[derive(Debug, Default)]
struct Apart {
    _room: [u64; 8],
}

/// How a handler has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handled {
    Ok,
    Error,
    Panic,
}

/// All actors of one type.
#[derive(Debug)]
pub(crate) struct TypeStats {
    type_name: Arc<str>,
    errors: AtomicU64,
    panics: AtomicU64,
    /// The greatest number of messages handled well that was ever told.
    told: AtomicU64,
    timed: ArcSwap<Vec<Timed>>,
    living: Roll<Vitals>,
    /// What the dead have handled.
    handled_before: AtomicU64,
}

/// The histograms of one type in one recorder.
#[derive(Clone, Debug)]
struct Timed {
    /// Tells recorders apart.
    #[cfg_attr(
        not(any(feature = "prometheus", feature = "otlp", feature = "statsd")),
        expect(dead_code, reason = "only exporters take a recorder off")
    )]
    recorder: Weak<Registered>,
    wait: Histogram,
    handle: Histogram,
}

/// What all actors of a type do, at this moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TypeReport {
    pub(crate) type_name: Arc<str>,
    pub(crate) ok: u64,
    pub(crate) errors: u64,
    pub(crate) panics: u64,
    pub(crate) queued: u64,
    pub(crate) longest_queue: u64,
    pub(crate) busy: u64,
    pub(crate) oldest_wait: Duration,
    pub(crate) longest_handler: Duration,
}

/// What one actor does, at this moment: for lists of the busiest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActorReport {
    /// Where it stands.
    pub path: ChildPath,
    /// What it is in the user's words.
    pub type_name: Arc<str>,
    /// How many messages it has handled in this life.
    pub handled: u64,
    /// How many of the messages that were sent to its address wait.
    pub queued: u64,
    /// How long its present handler has been seen running; zero when it is idle. Known only between two looks.
    pub busy_for: Duration,
}

/// Every actor of a system, by type.
#[derive(Debug, Default)]
pub(crate) struct Workforce {
    staff: Mutex<Staff>,
    /// Who is told how long it takes to find somebody.
    look_ups: ArcSwap<Vec<TimedLookUps>>,
}

/// The histograms of the registry in one recorder.
#[derive(Clone, Debug)]
struct TimedLookUps {
    /// Tells recorders apart.
    #[cfg_attr(
        not(any(feature = "prometheus", feature = "otlp", feature = "statsd")),
        expect(dead_code, reason = "only exporters take a recorder off")
    )]
    recorder: Weak<Registered>,
    lookup: Histogram,
    query: Histogram,
}

#[derive(Debug, Default)]
struct Staff {
    types: HashMap<Arc<str>, Arc<TypeStats>>,
    recorders: Vec<Weak<Registered>>,
}

/// A recorder into which times are written.
struct Registered(Arc<dyn Recorder + Send + Sync>);

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered").finish_non_exhaustive()
    }
}

#[cfg(any(feature = "prometheus", feature = "otlp", feature = "statsd"))]
/// As long as this is held, a recorder gets the times of messages.
#[derive(Debug)]
#[must_use = "dropping it takes the recorder off"]
pub(crate) struct Equipment {
    workforce: Weak<Workforce>,
    recorder: Arc<Registered>,
}

#[cfg(any(feature = "prometheus", feature = "otlp", feature = "statsd"))]
impl Drop for Equipment {
    fn drop(&mut self) {
        let Some(workforce) = self.workforce.upgrade() else {
            return;
        };
        let gone = Arc::downgrade(&self.recorder);
        let mut staff = workforce.lock();
        staff.recorders.retain(|recorder| !recorder.ptr_eq(&gone));
        for stats in staff.types.values() {
            let others = |timed: &&Timed| !timed.recorder.ptr_eq(&gone);
            let left = stats.timed.load().iter().filter(others).cloned().collect();
            stats.timed.store(Arc::new(left));
        }
        let look_ups = workforce.look_ups.load();
        let left = look_ups
            .iter()
            .filter(|timed| !timed.recorder.ptr_eq(&gone));
        workforce.look_ups.store(Arc::new(left.cloned().collect()));
    }
}

/// How many types are told apart; more fold into `other`.
const MAX_TYPES: usize = 200;

impl Workforce {
    fn lock(&self) -> MutexGuard<'_, Staff> {
        self.staff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cells for one more life. Those of its type are kept with its class: nothing is looked up but the first time.
    pub(crate) fn hire(&self, identity: &Arc<Identity>, generation: u32) -> Arc<Vitals> {
        let stats = match &identity.class {
            Some(class) => Arc::clone(class.staff.get_or_init(|| self.of(&identity.type_name))),
            None => self.of(&identity.type_name),
        };
        let of_type = Arc::clone(&stats);
        stats
            .living
            .enter(|place| Vitals::new(Arc::clone(identity), generation, of_type, place))
    }

    fn of(&self, type_name: &Arc<str>) -> Arc<TypeStats> {
        let mut staff = self.lock();
        let Staff { types, recorders } = &mut *staff;
        let full = types.len() >= MAX_TYPES && !types.contains_key(type_name);
        let type_name = if full {
            Arc::from("other")
        } else {
            Arc::clone(type_name)
        };
        let stats = types.entry(Arc::clone(&type_name)).or_insert_with(|| {
            let stats = TypeStats::new(type_name);
            recorders
                .iter()
                .for_each(|recorder| stats.time_into(recorder));
            Arc::new(stats)
        });
        Arc::clone(stats)
    }

    /// From now on this recorder gets the wait and handle times of all types, beside those that have them already.
    #[cfg(any(feature = "prometheus", feature = "otlp", feature = "statsd"))]
    pub(crate) fn equip(self: &Arc<Self>, recorder: Arc<dyn Recorder + Send + Sync>) -> Equipment {
        let recorder = Arc::new(Registered(recorder));
        let known = Arc::downgrade(&recorder);
        let mut staff = self.lock();
        for stats in staff.types.values() {
            stats.time_into(&known);
        }
        let mut look_ups = Vec::clone(&self.look_ups.load());
        look_ups.push(TimedLookUps {
            lookup: look_up_histogram(&*recorder.0, Operation::Lookup),
            query: look_up_histogram(&*recorder.0, Operation::Query),
            recorder: Weak::clone(&known),
        });
        // Under the lock, like the types: nobody else changes it meanwhile.
        self.look_ups.store(Arc::new(look_ups));
        staff.recorders.push(known);
        Equipment {
            workforce: Arc::downgrade(self),
            recorder,
        }
    }

    /// Somebody was looked for in the registry, and it took so long.
    pub(crate) fn looked(&self, operation: Operation, took: Duration) {
        for timed in self.look_ups.load().iter() {
            let histogram = match operation {
                Operation::Lookup => &timed.lookup,
                Operation::Query => &timed.query,
                Operation::Register
                | Operation::Unregister
                | Operation::Claim
                | Operation::Release
                | Operation::Join
                | Operation::Leave => continue,
            };
            histogram.record(took.as_secs_f64());
        }
    }

    pub(crate) fn report(&self) -> Vec<TypeReport> {
        self.stats().iter().map(|stats| stats.report()).collect()
    }

    /// Every actor that is there.
    pub(crate) fn each(&self, mut look: impl FnMut(&Arc<Vitals>)) {
        for stats in self.stats() {
            stats.living.walk(&mut look);
        }
    }

    /// The `n` actors with the most messages waiting, then those with the longest handlers.
    pub(crate) fn busiest(&self, n: usize) -> Vec<ActorReport> {
        let now = time::now();
        let mut all = Vec::new();
        for stats in self.stats() {
            stats.living.walk(|vitals| all.push(vitals.report(now)));
        }
        all.sort_by_key(|actor| std::cmp::Reverse((actor.queued, actor.busy_for)));
        all.truncate(n);
        all
    }

    fn stats(&self) -> Vec<Arc<TypeStats>> {
        let mut stats: Vec<Arc<TypeStats>> = self.lock().types.values().cloned().collect();
        stats.sort_by(|a, b| a.type_name.cmp(&b.type_name));
        stats
    }
}

impl TypeStats {
    fn new(type_name: Arc<str>) -> Self {
        Self {
            type_name,
            errors: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            told: AtomicU64::new(0),
            timed: ArcSwap::default(),
            living: Roll::default(),
            handled_before: AtomicU64::new(0),
        }
    }

    fn time_into(&self, recorder: &Weak<Registered>) {
        let Some(registered) = recorder.upgrade() else {
            return;
        };
        let (wait, handle) = actor_histograms(&*registered.0, &self.type_name);
        let one = Timed {
            recorder: Weak::clone(recorder),
            wait,
            handle,
        };
        let before = self.timed.load();
        let timed = before.iter().cloned().chain([one]).collect();
        self.timed.store(Arc::new(timed));
    }

    fn report(&self) -> TypeReport {
        let now = time::now();
        let mut report = TypeReport {
            type_name: Arc::clone(&self.type_name),
            // Read before the living are, so that nobody is in both.
            ok: self.handled_before.load(Ordering::Acquire),
            errors: self.errors.load(Ordering::Relaxed),
            panics: self.panics.load(Ordering::Relaxed),
            queued: 0,
            longest_queue: 0,
            busy: 0,
            oldest_wait: Duration::ZERO,
            longest_handler: Duration::ZERO,
        };
        self.living.walk(|vitals| {
            let one = vitals.report(now);
            report.ok += one.handled;
            report.queued += one.queued;
            report.longest_queue = report.longest_queue.max(one.queued);
            report.busy += u64::from(vitals.is_busy());
            report.oldest_wait = report.oldest_wait.max(vitals.waits_for(now));
            report.longest_handler = report.longest_handler.max(one.busy_for);
        });
        let ok = report.ok.saturating_sub(report.errors + report.panics);
        // A life that ends while we look may be in neither sum for a moment; a counter must not fall for it.
        report.ok = self.told.fetch_max(ok, Ordering::Relaxed).max(ok);
        report
    }
}

impl Vitals {
    fn new(identity: Arc<Identity>, generation: u32, stats: Arc<TypeStats>, place: usize) -> Self {
        Self {
            sent: AtomicU64::new(0),
            _apart: Apart::default(),
            begun: AtomicU64::new(0),
            done: AtomicU64::new(0),
            orderly: AtomicBool::new(false),
            noticed: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            waits_since: Mutex::new(None),
            seen: Mutex::new((0, None)),
            identity,
            generation,
            stats,
            place,
        }
    }

    /// Whose they are.
    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// Of which life they are.
    pub(crate) const fn generation(&self) -> u32 {
        self.generation
    }

    /// The supervisor has heard that it runs, so it need not be let run before the first message.
    pub(crate) fn notice(&self) {
        self.noticed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_noticed(&self) -> bool {
        self.noticed.load(Ordering::Relaxed)
    }

    /// It has ended in order: `post_stop` is done.
    pub(crate) fn set_orderly(&self) {
        self.orderly.store(true, Ordering::Release);
    }

    pub(crate) fn is_orderly(&self) -> bool {
        self.orderly.load(Ordering::Acquire)
    }

    pub(crate) fn handled(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// No message has been begun yet.
    #[inline]
    pub(crate) fn is_untouched(&self) -> bool {
        self.begun.load(Ordering::Relaxed) == 0
    }

    /// A message is being sent to the address. One addition; a clock for one in [`SAMPLE_EVERY`].
    #[inline]
    pub(crate) fn sending(&self) {
        let number = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        if number.is_multiple_of(SAMPLE_EVERY) {
            self.begin_wait(number);
        }
    }

    #[cold]
    fn begin_wait(&self, number: u64) {
        let free = self
            .waiting
            .compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
        if free.is_ok() {
            *self
                .waits_since
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(time::now());
        }
    }

    /// A message is about to be handled; the instant is there when it is timed. Called by the actor alone.
    #[inline]
    pub(crate) fn begin(&self) -> Option<Instant> {
        let number = self.begun.load(Ordering::Relaxed) + 1;
        self.begun.store(number, Ordering::Relaxed);
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting != 0 && number >= waiting {
            self.end_wait();
        }
        number.is_multiple_of(SAMPLE_EVERY).then(time::now)
    }

    #[cold]
    fn end_wait(&self) {
        let since = self
            .waits_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // Without an instant the sender is just about to write it; the next message will find it.
        if let Some(since) = since {
            self.waiting.store(0, Ordering::Relaxed);
            let waited = time::now().saturating_duration_since(since).as_secs_f64();
            for timed in self.stats.timed.load().iter() {
                timed.wait.record(waited);
            }
        }
    }

    /// The message that was begun last is done.
    #[inline]
    pub(crate) fn end(&self, timed: Option<Instant>, handled: Handled) {
        self.done
            .store(self.begun.load(Ordering::Relaxed), Ordering::Relaxed);
        if let Some(began) = timed {
            self.note_time(began);
        }
        match handled {
            Handled::Ok => {}
            Handled::Error => drop(self.stats.errors.fetch_add(1, Ordering::Relaxed)),
            Handled::Panic => drop(self.stats.panics.fetch_add(1, Ordering::Relaxed)),
        }
    }

    #[cold]
    fn note_time(&self, began: Instant) {
        let took = time::now().saturating_duration_since(began).as_secs_f64();
        for timed in self.stats.timed.load().iter() {
            timed.handle.record(took);
        }
    }

    /// How it gets on, as it is seen now. Since when it is busy is known from whoever has looked first.
    pub(crate) fn look(&self, now: Instant) -> Look {
        let handled = self.done.load(Ordering::Relaxed);
        let begun = self.begun.load(Ordering::Relaxed);
        let busy = if begun > handled {
            Busy::Since(now.checked_sub(self.busy_for(now)).unwrap_or(now))
        } else {
            Busy::No
        };
        Look {
            handled,
            busy,
            queued: self.sent.load(Ordering::Relaxed).saturating_sub(begun),
        }
    }

    /// How long the oldest message whose wait is being measured has waited by `now`.
    pub(crate) fn oldest_wait(&self, now: Instant) -> Option<Duration> {
        let waits = self.waits_for(now);
        (!waits.is_zero()).then_some(waits)
    }

    fn is_busy(&self) -> bool {
        self.begun.load(Ordering::Relaxed) > self.done.load(Ordering::Relaxed)
    }

    fn waits_for(&self, now: Instant) -> Duration {
        let since = *self
            .waits_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// How long it has been seen to handle the message that it handles.
    pub(crate) fn busy_for(&self, now: Instant) -> Duration {
        let (begun, done) = (
            self.begun.load(Ordering::Relaxed),
            self.done.load(Ordering::Relaxed),
        );
        if begun == done {
            // Nearly everybody: what was seen before is told from the present by its number.
            return Duration::ZERO;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0 != begun || seen.1.is_none() {
            *seen = (begun, Some(now));
        }
        seen.1
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    fn report(&self, now: Instant) -> ActorReport {
        let (begun, done) = (
            self.begun.load(Ordering::Relaxed),
            self.done.load(Ordering::Relaxed),
        );
        let busy_for = self.busy_for(now);
        ActorReport {
            path: self.identity.path.clone(),
            type_name: Arc::clone(&self.stats.type_name),
            handled: done,
            queued: self.sent.load(Ordering::Relaxed).saturating_sub(begun),
            busy_for,
        }
    }
}

impl Drop for Vitals {
    fn drop(&mut self) {
        let handled = self.done.load(Ordering::Relaxed);
        self.stats
            .handled_before
            .fetch_add(handled, Ordering::Release);
        self.stats.living.leave(self.place);
    }
}

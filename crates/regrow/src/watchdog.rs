//! Actors that get nowhere: handlers that do not come back, and actors that wait for each other in a ring.
//!
//! Every system has a watchdog. It looks twice in each period at what actors do, sends nobody a message, and tells what it finds:
//! `regrow.actor.stuck` of a handler that runs for too long, with whom it waits for if it calls somebody, and
//! `regrow.actor.deadlock` of actors whose [calls](crate::Address::call) go round in a ring, each named once. What follows is up to the
//! [`Remedy`]: to report it, which is the default, or to restart.
//!
//! ```
//! use regrow::watchdog::{Remedy, Watchdog};
//! # use regrow::Supervisor;
//!
//! let tree = Supervisor::new("root").watchdog(Watchdog::default().on_deadlock(Remedy::Restart));
//! ```
//!
//! A ring is told when it is seen at two looks in a row with the same calls in it, so within one period; calls with a limit end such
//! a ring by themselves, as an error of one of them. What is seen are calls through an [`Address`](crate::Address) from code of an actor itself, not from
//! what it has spawned; of several calls that one handler awaits at once, the last that is under way. A call costs two stores and a reference count for it, a look at `n` actors a few
//! nanoseconds for each.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use regrow_core::waits::{Cycle, Waits};
use regrow_core::{Phase, StopCause};
use tokio::sync::watch;

use crate::address::Place;
use crate::exit::ExitReason;
use crate::panics::catch;
use crate::path::ChildPath;
use crate::supervisor::{Tree, Verdict};
use crate::telemetry::{Identity, Payload, Subject, Vitals};
use crate::time;

/// What is looked for, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Watchdog {
    is_off: bool,
    period: Duration,
    stall: Duration,
    stuck: Remedy,
    deadlock: Remedy,
}

/// What is done about actors that get nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remedy {
    /// It is told, and left as it is.
    #[default]
    Report,
    /// The actor is restarted, with the cause `stalled`, which is a failure. Of a ring it is the first by name: the others get an error
    /// for their call, and go on.
    Restart,
}

impl Default for Watchdog {
    /// Every 5 s, stuck after 30 s, and only told.
    fn default() -> Self {
        Self {
            is_off: false,
            period: Duration::from_secs(5),
            stall: regrow_core::progress::Progress::STALL,
            stuck: Remedy::Report,
            deadlock: Remedy::Report,
        }
    }
}

impl Watchdog {
    /// None: a system in which nothing happens wakes nobody then.
    pub fn off() -> Self {
        Self {
            is_off: true,
            ..Self::default()
        }
    }

    /// Within how long a ring is found; 5 s by default. At least 10 ms.
    pub fn period(mut self, period: Duration) -> Self {
        self.period = period.max(Duration::from_millis(10));
        self
    }

    /// How long a handler may run before it is told as stuck; 30 s by default.
    pub const fn stall(mut self, stall: Duration) -> Self {
        self.stall = stall;
        self
    }

    /// What is done about a handler that is stuck; it is told by default.
    pub const fn on_stuck(mut self, remedy: Remedy) -> Self {
        self.stuck = remedy;
        self
    }

    /// What is done about actors that wait for each other in a ring; it is told by default.
    pub const fn on_deadlock(mut self, remedy: Remedy) -> Self {
        self.deadlock = remedy;
        self
    }
}

/// For whom the code of an actor waits: written by that actor, read by the watchdog.
#[derive(Debug, Default)]
pub(crate) struct WaitsFor {
    /// Which place, by its address; 0 for none.
    place: AtomicUsize,
    /// The number of that call.
    current: AtomicU32,
    /// Counts the calls, round and round.
    calls: AtomicU32,
    /// How many are under way.
    open: AtomicU32,
    /// Those under way but the last: of code that awaits several at once.
    others: OnceLock<Box<Mutex<Vec<Call>>>>,
}

impl WaitsFor {
    /// Which call of it is under way, and to which place.
    fn seen(&self) -> Option<Call> {
        let number = self.current.load(Ordering::Acquire);
        let place = self.place.load(Ordering::Relaxed);
        (place != 0).then_some(Call { place, number })
    }
}

impl WaitsFor {
    /// From now on this call is the one that is seen.
    fn show(&self, place: usize, number: u32) {
        self.place.store(place, Ordering::Relaxed);
        self.current.store(number, Ordering::Release);
    }

    fn others(&self) -> MutexGuard<'_, Vec<Call>> {
        let others = self.others.get_or_init(Box::default);
        others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call, as it is seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Call {
    place: usize,
    number: u32,
}

/// A call under way. When it is over, its actor waits for whom it has called besides, or for nobody.
#[derive(Debug)]
pub(crate) struct Waiting {
    caller: Arc<Identity>,
    number: u32,
}

impl Waiting {
    /// The code of `caller` waits for an answer of `place` from now on.
    pub(crate) fn begin(caller: &Arc<Identity>, place: &Arc<Place>) -> Self {
        let waits = &caller.waits_for;
        // Only the actor itself calls, one thing after the other: it need not be one step.
        let number = waits.calls.load(Ordering::Relaxed).wrapping_add(1);
        waits.calls.store(number, Ordering::Relaxed);
        let open = waits.open.load(Ordering::Relaxed);
        waits.open.store(open + 1, Ordering::Relaxed);
        if open > 0 {
            waits.others().extend(waits.seen());
        }
        waits.show(Arc::as_ptr(place).addr(), number);
        Self {
            caller: Arc::clone(caller),
            number,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let waits = &self.caller.waits_for;
        let open = waits.open.load(Ordering::Relaxed).saturating_sub(1);
        waits.open.store(open, Ordering::Relaxed);
        if open == 0 {
            return waits.place.store(0, Ordering::Relaxed);
        }
        // Calls that are awaited at once end in any order.
        let mut others = waits.others();
        if waits.current.load(Ordering::Relaxed) == self.number {
            if let Some(call) = others.pop() {
                waits.show(call.place, call.number);
            }
        } else {
            others.retain(|call| call.number != self.number);
        }
    }
}

/// Looks until the system has ended.
pub(crate) async fn keep(
    tree: Weak<Tree>,
    watchdog: Watchdog,
    mut ended: watch::Receiver<Option<ExitReason>>,
) {
    if watchdog.is_off {
        return;
    }
    let mut rounds = Rounds::new(watchdog);
    loop {
        let next = time::now() + watchdog.period / 2;
        tokio::select! {
            _ = ended.wait_for(Option::is_some) => return,
            () = time::sleep_until(next) => {}
        }
        let Some(tree) = tree.upgrade() else {
            return;
        };
        if let Err(panic) = catch(|| rounds.look(&tree, time::now())) {
            tracing::error!(target: "regrow", %panic, "the watchdog panicked; it begins anew");
            rounds = Rounds::new(watchdog);
        }
    }
}

/// An actor that waits, at one look.
struct Caller {
    path: ChildPath,
    identity: Arc<Identity>,
    generation: u32,
    call: Call,
    since: Instant,
}

/// What was seen so far.
struct Rounds {
    watchdog: Watchdog,
    /// The calls that were under way at the last look, by the place of the caller, and since when they have been seen.
    calls: HashMap<usize, (Call, Instant)>,
    /// The rings that have been told and are still there.
    rings: HashSet<Vec<(usize, Call)>>,
    /// Those that have been told as stuck, by the address of what they count with.
    stuck: HashMap<usize, (Weak<Vitals>, Subject)>,
}

impl Rounds {
    fn new(watchdog: Watchdog) -> Self {
        Self {
            watchdog,
            calls: HashMap::new(),
            rings: HashSet::new(),
            stuck: HashMap::new(),
        }
    }

    fn look(&mut self, tree: &Tree, now: Instant) {
        let mut callers = HashMap::new();
        let mut stuck = Vec::new();
        tree.workforce.each(|vitals| {
            let identity = vitals.identity();
            if let Some(call) = identity.waits_for.seen()
                && let Some(place) = tree.place(identity.path.as_str())
                && place.generation() == vitals.generation()
            {
                let caller = Caller {
                    path: identity.path.clone(),
                    identity: Arc::clone(identity),
                    generation: vitals.generation(),
                    call,
                    since: now,
                };
                callers.insert(Arc::as_ptr(&place).addr(), caller);
            }
            let busy_for = vitals.busy_for(now);
            if busy_for >= self.watchdog.stall {
                stuck.push((Arc::clone(vitals), busy_for));
            }
        });
        self.recognise(&mut callers);
        self.tell_stuck(tree, stuck, &callers);
        self.tell_rings(tree, &callers, now);
        let seen = callers.iter();
        self.calls = seen
            .map(|(place, caller)| (*place, (caller.call, caller.since)))
            .collect();
    }

    /// A call that was under way at the last look is as old as that.
    fn recognise(&self, callers: &mut HashMap<usize, Caller>) {
        for (place, caller) in callers {
            if let Some((call, since)) = self.calls.get(place)
                && *call == caller.call
            {
                caller.since = *since;
            }
        }
    }

    fn tell_stuck(
        &mut self,
        tree: &Tree,
        found: Vec<(Arc<Vitals>, Duration)>,
        callers: &HashMap<usize, Caller>,
    ) {
        let key = |vitals: &Arc<Vitals>| Arc::as_ptr(vitals).addr();
        let present: HashSet<usize> = found.iter().map(|(vitals, _)| key(vitals)).collect();
        self.stuck.retain(|address, (vitals, subject)| {
            let goes_on = present.contains(address);
            // Who has ended since needs no good news.
            if !goes_on && vitals.strong_count() > 0 {
                let subject = subject.clone();
                tree.telemetry.emit(|| subject, || Payload::ActorUnstuck {});
            }
            goes_on
        });
        for (vitals, busy_for) in found {
            if self.stuck.contains_key(&key(&vitals)) {
                continue;
            }
            let subject = subject(vitals.identity(), vitals.generation());
            self.stuck
                .insert(key(&vitals), (Arc::downgrade(&vitals), subject.clone()));
            let waiting_on = whom(vitals.identity(), tree, callers);
            let why = format!("one of its messages has been handled for {busy_for:.1?}");
            let (whose, generation) = (subject.path.clone(), subject.generation);
            tree.telemetry.emit(
                || subject,
                || Payload::ActorStuck {
                    busy_for,
                    waiting_on,
                },
            );
            let remedy = self.watchdog.stuck;
            remedy.apply(tree, &whose, generation, why);
        }
    }

    fn tell_rings(&mut self, tree: &Tree, callers: &HashMap<usize, Caller>, now: Instant) {
        let mut waits = Waits::default();
        for (place, caller) in callers {
            // By path, so that a ring is told from its first by name on.
            let Some(to) = callers.get(&caller.call.place) else {
                continue;
            };
            let from = (caller.path.clone(), *place);
            let to = (to.path.clone(), caller.call.place);
            // The graph is made anew at each look: nothing is ended.
            drop(waits.begin(from, to, caller.since));
        }
        // What is new at this look may be over before anybody reads of it.
        let rings = waits.cycles(Duration::from_nanos(1), now);
        let key = |ring: &Cycle<(ChildPath, usize)>| {
            let places = ring.places.iter();
            places
                .filter_map(|(_, place)| Some((*place, callers.get(place)?.call)))
                .collect::<Vec<_>>()
        };
        let present: HashSet<Vec<(usize, Call)>> = rings.iter().map(key).collect();
        self.rings.retain(|ring| present.contains(ring));
        for ring in rings {
            if self.rings.insert(key(&ring)) {
                self.tell_ring(tree, &ring, callers);
            }
        }
    }

    fn tell_ring(
        &self,
        tree: &Tree,
        ring: &Cycle<(ChildPath, usize)>,
        callers: &HashMap<usize, Caller>,
    ) {
        let Some(first) = ring
            .places
            .first()
            .and_then(|(_, place)| callers.get(place))
        else {
            return;
        };
        let subject = subject(&first.identity, first.generation);
        let cycle: Vec<Arc<str>> = ring.places.iter().map(|(path, _)| path.shared()).collect();
        let why = format!("waits for itself: {} -> {}", cycle.join(" -> "), first.path);
        let generation = first.generation;
        tree.telemetry.emit(
            || subject,
            || Payload::ActorDeadlock {
                cycle_len: u32::try_from(cycle.len()).unwrap_or(u32::MAX),
                cycle,
            },
        );
        let remedy = self.watchdog.deadlock;
        remedy.apply(tree, &first.path, generation, why);
    }
}

impl Remedy {
    fn apply(self, tree: &Tree, path: &ChildPath, generation: u32, why: String) {
        match self {
            Self::Report => {}
            Self::Restart => {
                let verdict = Verdict {
                    cause: StopCause::Stalled,
                    why: why.into(),
                    grace: None,
                };
                tree.condemn(path, generation, verdict);
            }
        }
    }
}

/// Whom an actor waits for, if it calls somebody.
fn whom(identity: &Identity, tree: &Tree, callers: &HashMap<usize, Caller>) -> Option<ChildPath> {
    let call = identity.waits_for.seen()?;
    if let Some(callee) = callers.get(&call.place) {
        return Some(callee.path.clone());
    }
    let mut found = None;
    tree.each_place(|place| {
        if Arc::as_ptr(place).addr() == call.place {
            found = Some(place.path().clone());
        }
    });
    found
}

fn subject(identity: &Arc<Identity>, generation: u32) -> Subject {
    Subject {
        identity: Arc::clone(identity),
        generation,
        phase: Phase::Running,
    }
}

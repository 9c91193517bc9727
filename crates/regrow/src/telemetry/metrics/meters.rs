//! The handles that a class of children keeps for each handler: an event that is counted costs an atomic, no look-up and no lock.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use metrics::{Counter, Histogram};
use regrow_core::{ExitKind, Strategy};

use crate::telemetry::{Outcome, Stream};

/// Tells one handler from others, as long as anybody remembers it.
pub(super) type Owner = Arc<()>;

/// A handle, with the counter to raise when its label set had to be folded into `other`.
pub(super) struct Kept<H> {
    pub(super) handle: H,
    pub(super) overflows: Option<Counter>,
}

impl<H> Kept<H> {
    fn note_overflow(&self) {
        if let Some(overflows) = &self.overflows {
            overflows.increment(1);
        }
    }
}

impl Kept<Counter> {
    pub(super) fn raise(&self, by: u64) {
        self.handle.increment(by);
        self.note_overflow();
    }
}

impl Kept<Histogram> {
    pub(super) fn record(&self, value: Duration) {
        self.handle.record(value.as_secs_f64());
        self.note_overflow();
    }
}

/// Where a handle is kept once it is known.
pub(super) type Cell<H> = OnceLock<Kept<H>>;

/// Handles that differ in one label. Made when the first is needed: most children never fail.
#[derive(Default)]
pub(super) struct Row<const N: usize>(OnceLock<Box<[Cell<Counter>; N]>>);

impl<const N: usize> Row<N>
where
    [Cell<Counter>; N]: Default,
{
    fn at(&self, place: usize) -> &Cell<Counter> {
        &self.0.get_or_init(Box::default)[place]
    }
}

/// How many reasons there are.
const REASONS: usize = ExitKind::ALL.len();

/// What one handler counts for one class of children.
#[derive(Default)]
pub(super) struct Meters {
    owner: Weak<()>,
    pub(super) starts: Cell<Counter>,
    pub(super) start_seconds: Cell<Histogram>,
    pub(super) lifetime_seconds: Cell<Histogram>,
    pub(super) backoff_seconds: Cell<Histogram>,
    pub(super) recovery_seconds: Cell<Histogram>,
    /// Of the supervisor, there from the first child on.
    pub(super) meltdowns: Cell<Counter>,
    start_failures: Row<REASONS>,
    terminations: Row<REASONS>,
    /// By strategy.
    restarts: [Row<REASONS>; 3],
    process_exits: Row<REASONS>,
    process_output: Row<2>,
    process_dropped: Row<2>,
    /// By outcome.
    pub(super) stop_seconds: [Cell<Histogram>; 5],
}

impl Meters {
    pub(super) fn start_failures(&self, reason: ExitKind) -> &Cell<Counter> {
        self.start_failures.at(reason_at(reason))
    }

    pub(super) fn terminations(&self, reason: ExitKind) -> &Cell<Counter> {
        self.terminations.at(reason_at(reason))
    }

    pub(super) fn restarts(&self, reason: ExitKind, strategy: Strategy) -> &Cell<Counter> {
        let row = match strategy {
            Strategy::OneForOne => 0,
            Strategy::OneForAll => 1,
            Strategy::RestForOne => 2,
        };
        self.restarts[row].at(reason_at(reason))
    }

    pub(super) fn process_exits(&self, reason: ExitKind) -> &Cell<Counter> {
        self.process_exits.at(reason_at(reason))
    }

    pub(super) fn process_output(&self, stream: Stream) -> &Cell<Counter> {
        self.process_output.at(stream as usize)
    }

    pub(super) fn process_dropped(&self, stream: Stream) -> &Cell<Counter> {
        self.process_dropped.at(stream as usize)
    }

    pub(super) fn stop_seconds(&self, outcome: Outcome) -> &Cell<Histogram> {
        &self.stop_seconds[outcome as usize]
    }
}

/// The place of a reason in [`ExitKind::ALL`], whatever its argument.
const fn reason_at(reason: ExitKind) -> usize {
    match reason {
        ExitKind::Normal => 0,
        ExitKind::Shutdown => 1,
        ExitKind::Error => 2,
        ExitKind::Panic => 3,
        ExitKind::Killed => 4,
        ExitKind::StartFailed => 5,
        ExitKind::StartTimeout => 6,
        ExitKind::Intensity => 7,
        ExitKind::Cancelled => 8,
        ExitKind::Unresponsive => 9,
        ExitKind::Exit(_) => 10,
        ExitKind::Signal(_) => 11,
    }
}

/// The meters of one class, for each handler that counts. Those of a handler that is gone go when the next one comes; the first
/// has a place of its own, which is found without a step that others would notice.
#[derive(Default)]
pub(crate) struct Metered {
    first: OnceLock<Arc<Meters>>,
    others: ArcSwap<Vec<Arc<Meters>>>,
}

impl fmt::Debug for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metered").finish_non_exhaustive()
    }
}

/// The meters of one handler, borrowed.
pub(super) enum Held<'a> {
    First(&'a Meters),
    Other {
        all: Guard<Arc<Vec<Arc<Meters>>>>,
        at: usize,
    },
}

impl Deref for Held<'_> {
    type Target = Meters;

    fn deref(&self) -> &Meters {
        match self {
            Self::First(meters) => meters,
            Self::Other { all, at } => &all[*at],
        }
    }
}

impl Metered {
    /// Those of one handler. There are as many as there are handlers that count: one, or a few.
    pub(super) fn of(&self, owner: &Owner) -> Held<'_> {
        let first = self.first.get_or_init(|| Meters::of(owner));
        if first.is_of(owner) {
            return Held::First(first);
        }
        self.find(owner).unwrap_or_else(|| {
            self.others.rcu(|all| {
                let known = |meters: &&Arc<Meters>| meters.owner.strong_count() > 0;
                let mut all: Vec<Arc<Meters>> = all.iter().filter(known).cloned().collect();
                if !all.iter().any(|meters| meters.is_of(owner)) {
                    all.push(Meters::of(owner));
                }
                all
            });
            self.find(owner)
                .expect("it was put in, and is not taken out while its handler lives")
        })
    }

    fn find(&self, owner: &Owner) -> Option<Held<'_>> {
        let all = self.others.load();
        let at = all.iter().position(|meters| meters.is_of(owner))?;
        Some(Held::Other { all, at })
    }
}

impl Meters {
    fn of(owner: &Owner) -> Arc<Self> {
        Arc::new(Self {
            owner: Arc::downgrade(owner),
            ..Self::default()
        })
    }

    /// A number is not given twice while somebody refers to it, so the address will do.
    fn is_of(&self, owner: &Owner) -> bool {
        self.owner.as_ptr() == Arc::as_ptr(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_the_place_that_it_has_in_the_list_of_all() {
        for (place, reason) in ExitKind::ALL.into_iter().enumerate() {
            assert_eq!(reason_at(reason), place, "{reason:?}");
        }
    }

    #[test]
    fn each_handler_has_meters_of_its_own_and_those_of_one_that_is_gone_make_room() {
        let metered = Metered::default();
        let (first, second, third) = (Owner::default(), Owner::default(), Owner::default());
        let (of_first, of_second) = (metered.of(&first), metered.of(&second));
        assert!(!std::ptr::eq(&*of_first, &*of_second));
        assert!(std::ptr::eq(&*of_first, &*metered.of(&first)));
        assert!(std::ptr::eq(&*of_second, &*metered.of(&second)));
        drop(of_second);
        drop(second);
        drop(metered.of(&third));
        assert_eq!(metered.others.load().len(), 1, "the third");
    }
}

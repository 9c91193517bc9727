//! The places in which jobs wait.

use std::time::{Duration, Instant};

use super::job::{Priority, Terms, Ticket};
use super::list::{Links, NIL};

/// A place. It is used again after its job has left.
#[derive(Debug)]
pub(super) struct Slot<T> {
    /// The job's number; 0 is none.
    number: u64,
    pub(super) since: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) cost: u32,
    /// Its tenant, in its class.
    pub(super) lane: u32,
    pub(super) priority: Priority,
    /// By how many classes it has moved up.
    pub(super) steps: u8,
    pub(super) by_age: Links,
    pub(super) in_lane: Links,
    payload: Option<T>,
}

/// One that goes in.
pub(super) struct Arrival<T> {
    pub(super) payload: T,
    pub(super) priority: Priority,
    pub(super) cost: u32,
    pub(super) deadline: Option<Instant>,
    pub(super) since: Instant,
    pub(super) steps: u8,
    pub(super) lane: u32,
}

/// One that has come out.
pub(super) struct Departed<T> {
    pub(super) payload: T,
    pub(super) ticket: Ticket,
    pub(super) terms: Terms,
    pub(super) since: Instant,
}

impl<T> Slot<T> {
    pub(super) const fn by_age(&mut self) -> &mut Links {
        &mut self.by_age
    }

    pub(super) const fn in_lane(&mut self) -> &mut Links {
        &mut self.in_lane
    }

    /// Jobs that began in the same class and have moved up by as much: they are in order of age.
    #[inline]
    pub(super) fn cohort(&self) -> usize {
        cohort(self.priority as usize, self.steps.into())
    }

    /// The class in which it is by now.
    #[inline]
    pub(super) fn class(&self) -> usize {
        self.priority as usize + usize::from(self.steps)
    }

    /// Since when it is in this class; and who came first, of two at once.
    pub(super) fn entered(&self, ageing: Duration) -> (Instant, u64) {
        let aged = after(self.since, ageing, self.steps);
        (aged.unwrap_or(self.since), self.number)
    }

    /// When it moves up again, if it can.
    pub(super) fn rises(&self, ageing: Duration) -> Option<(Instant, u64)> {
        Some((after(self.since, ageing, self.steps + 1)?, self.number))
    }

    /// Which came first.
    pub(super) const fn age(&self) -> (Instant, u64) {
        (self.since, self.number)
    }

    pub(super) const fn is_taken(&self) -> bool {
        self.number != 0
    }
}

/// See [`Slot::cohort`].
pub(super) const fn cohort(priority: usize, steps: usize) -> usize {
    priority * Priority::ALL.len() + steps
}

/// When so many steps are over; never, if that is beyond what time can say.
pub(super) fn after(since: Instant, ageing: Duration, steps: u8) -> Option<Instant> {
    since.checked_add(ageing.checked_mul(steps.into())?)
}

/// All places.
#[derive(Debug)]
pub(super) struct Slots<T> {
    pub(super) all: Vec<Slot<T>>,
    free: Vec<u32>,
    /// How many jobs there have been.
    count: u64,
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Self {
            all: Vec::new(),
            free: Vec::new(),
            count: 0,
        }
    }

    pub(super) fn get(&self, at: u32) -> Option<&Slot<T>> {
        self.all.get(at as usize)
    }

    #[inline]
    pub(super) fn ticket(&self, at: u32) -> Ticket {
        let number = self.all[at as usize].number;
        Ticket { number, slot: at }
    }

    /// Whether the job is there.
    #[inline]
    pub(super) fn holds(&self, ticket: Ticket) -> bool {
        self.get(ticket.slot)
            .is_some_and(|slot| slot.number == ticket.number)
    }

    #[inline]
    pub(super) fn insert(&mut self, arrival: Arrival<T>) -> Ticket {
        self.count += 1;
        let slot = Slot {
            number: self.count,
            since: arrival.since,
            deadline: arrival.deadline,
            cost: arrival.cost,
            lane: arrival.lane,
            priority: arrival.priority,
            steps: arrival.steps,
            by_age: Links::NONE,
            in_lane: Links::NONE,
            payload: Some(arrival.payload),
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.all[at as usize] = slot;
                at
            }
            None => {
                let at = u32::try_from(self.all.len()).unwrap_or(NIL);
                assert!(at != NIL, "fewer than four thousand million wait");
                self.all.push(slot);
                at
            }
        };
        let number = self.count;
        Ticket { number, slot: at }
    }

    /// Takes one out that is there, and in no list any more.
    #[inline]
    pub(super) fn remove(&mut self, at: u32) -> T {
        let slot = &mut self.all[at as usize];
        slot.number = 0;
        let payload = slot.payload.take();
        self.free.push(at);
        payload.expect("a place that is taken holds a job")
    }
}

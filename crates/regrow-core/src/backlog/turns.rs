//! Whose turn it is: deficit round robin over the tenants of a class.
//!
//! Shreedhar and Varghese, *Efficient fair queuing using deficit round robin* (1996). Who has jobs in a class stands in its round. In
//! each round each gets its quantum, the weight times a unit that is the same for all of the round; it is served as long as what it has
//! got covers the cost of its next job, keeps the rest, which is less than that cost, and stands at the end. Who has no job any more is
//! forgotten, and who is new begins with nothing at the end.
//!
//! So of two that have jobs throughout, whatever comes and goes beside them, each gets as many quanta as the other, give or take one:
//! what is served of them, by weight, differs at most by one unit and, for each, the cost of one job.

use std::collections::HashMap;
use std::sync::Arc;

use super::job::Priority;
use super::list::{Links, List, NIL};

/// The classes.
pub(super) const CLASSES: usize = Priority::ALL.len();

/// The tenants of all classes.
#[derive(Debug)]
pub(super) struct Turns {
    classes: [Class; CLASSES],
    /// The first are those of nobody's jobs, one for each class; they stay. Others are there as long as they have jobs.
    lanes: Vec<Lane>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Class {
    /// Those that have jobs, who is next first.
    round: List,
    by_name: HashMap<Arc<str>, u32>,
    /// Counts the rounds.
    number: u64,
    /// What a weight of 1 gets in this one.
    unit: u64,
    /// Whether the first has got its quantum and is being served.
    is_served: bool,
}

impl Class {
    fn new() -> Self {
        Self {
            round: List::EMPTY,
            by_name: HashMap::new(),
            number: 0,
            unit: 1,
            is_served: false,
        }
    }
}

/// The jobs of one tenant in one class.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) jobs: List,
    pub(super) tenant: Option<Arc<str>>,
    class: usize,
    weight: u32,
    /// What it has got and not used.
    deficit: u64,
    /// The round in which it got something last, or joined.
    seen: u64,
    links: Links,
}

impl Lane {
    const fn new(class: usize, tenant: Option<Arc<str>>, weight: u32, seen: u64) -> Self {
        Self {
            jobs: List::EMPTY,
            tenant,
            class,
            weight,
            deficit: 0,
            seen,
            links: Links::NONE,
        }
    }

    const fn links(&mut self) -> &mut Links {
        &mut self.links
    }

    /// What it gets in a round.
    fn quantum(&self, unit: u64) -> u64 {
        u64::from(self.weight) * unit
    }
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            classes: std::array::from_fn(|_| Class::new()),
            lanes: (0..CLASSES)
                .map(|class| Lane::new(class, None, 1, 0))
                .collect(),
            free: Vec::new(),
        }
    }

    pub(super) fn lane(&self, at: u32) -> &Lane {
        &self.lanes[at as usize]
    }

    pub(super) fn jobs(&mut self, at: u32) -> &mut List {
        &mut self.lanes[at as usize].jobs
    }

    /// Whether a class has no jobs.
    #[inline]
    pub(super) const fn is_empty(&self, class: usize) -> bool {
        self.classes[class].round.is_empty()
    }

    /// The highest class that has jobs.
    #[inline]
    pub(super) fn highest(&self) -> Option<usize> {
        (0..CLASSES).rev().find(|class| !self.is_empty(*class))
    }

    /// The lane of a tenant that is about to get a job.
    #[inline]
    pub(super) fn enter(
        &mut self,
        class: usize,
        tenant: Option<Arc<str>>,
        weight: impl FnOnce(&str) -> u32,
    ) -> u32 {
        let at = match tenant {
            None => {
                let at = u32::try_from(class).unwrap_or(NIL);
                if !self.lanes[class].jobs.is_empty() {
                    return at;
                }
                self.lanes[class].seen = self.classes[class].number;
                at
            }
            Some(tenant) => {
                if let Some(at) = self.classes[class].by_name.get(&tenant) {
                    return *at;
                }
                self.add(class, tenant, weight)
            }
        };
        let round = &mut self.classes[class].round;
        round.push(at, &mut self.lanes, Lane::links);
        at
    }

    fn add(&mut self, class: usize, tenant: Arc<str>, weight: impl FnOnce(&str) -> u32) -> u32 {
        let of = &mut self.classes[class];
        let lane = Lane::new(class, Some(Arc::clone(&tenant)), weight(&tenant), of.number);
        let at = match self.free.pop() {
            Some(at) => {
                self.lanes[at as usize] = lane;
                at
            }
            None => {
                self.lanes.push(lane);
                u32::try_from(self.lanes.len() - 1).expect("no more tenants than jobs")
            }
        };
        of.by_name.insert(tenant, at);
        at
    }

    /// A job has left its lane: a lane without jobs leaves the round and is forgotten.
    #[inline]
    pub(super) fn leave(&mut self, at: u32) {
        let lane = &mut self.lanes[at as usize];
        if !lane.jobs.is_empty() {
            return;
        }
        lane.deficit = 0;
        let class = &mut self.classes[lane.class];
        if let Some(tenant) = lane.tenant.take() {
            class.by_name.remove(&tenant);
            self.free.push(at);
        }
        if class.round.first == at {
            class.is_served = false;
        }
        class.round.remove(at, &mut self.lanes, Lane::links);
    }

    /// Whose turn it is in a class that has jobs: the cost of its next one is covered by what it has got. `unit` is what a weight of 1
    /// gets in a round that begins now, and `cost` that of the next job of a lane.
    ///
    /// O(1) where the unit is about the mean cost, and O(tenants) at worst: rounds in which nobody could be served are not gone
    /// through.
    #[inline]
    pub(super) fn next(&mut self, class: usize, unit: u64, cost: impl Fn(&Lane) -> u64) -> u32 {
        let mut begun = 0;
        loop {
            let of = &mut self.classes[class];
            let at = of.round.first;
            if !of.is_served {
                if self.lanes[at as usize].seen == of.number {
                    // All have had their turn.
                    begun += 1;
                    if begun > 1 {
                        self.skip(class, &cost);
                    }
                    let of = &mut self.classes[class];
                    of.number += 1;
                    of.unit = unit;
                }
                let of = &mut self.classes[class];
                of.is_served = true;
                let lane = &mut self.lanes[at as usize];
                lane.seen = of.number;
                lane.deficit += lane.quantum(of.unit);
            }
            let lane = &self.lanes[at as usize];
            if cost(lane) <= lane.deficit {
                return at;
            }
            let of = &mut self.classes[class];
            of.is_served = false;
            of.round.rotate(&mut self.lanes, Lane::links);
        }
    }

    /// Between two rounds, after one in which nobody was served: as many rounds at once as pass before somebody is.
    #[cold]
    fn skip(&mut self, class: usize, cost: impl Fn(&Lane) -> u64) {
        let of = &mut self.classes[class];
        let unit = of.unit;
        let mut passing = u64::MAX;
        let mut at = of.round.first;
        while at != NIL {
            let lane = &self.lanes[at as usize];
            let wanting = cost(lane).saturating_sub(lane.deficit);
            passing = passing.min(wanting.div_ceil(lane.quantum(unit)).saturating_sub(1));
            at = lane.links.behind();
        }
        of.number += passing;
        at = of.round.first;
        while at != NIL {
            let lane = &mut self.lanes[at as usize];
            // Less than its cost, since it is not served in these rounds.
            lane.deficit += passing * lane.quantum(unit);
            lane.seen = of.number;
            at = lane.links.behind();
        }
    }

    /// A job is served.
    #[inline]
    pub(super) fn charge(&mut self, at: u32, cost: u64) {
        let lane = &mut self.lanes[at as usize];
        lane.deficit = lane.deficit.saturating_sub(cost);
    }

    /// How many rounds have begun, in all classes together.
    pub(super) fn rounds(&self) -> u64 {
        self.classes.iter().map(|class| class.number).sum()
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> usize {
        let names = |lane: &&Lane| lane.tenant.is_some();
        let known: usize = self.classes.iter().map(|class| class.by_name.len()).sum();
        assert_eq!(self.lanes.iter().filter(names).count(), known);
        known
    }
}

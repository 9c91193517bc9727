//! The rules of a backlog as plainly as they can be told: one list of jobs, in which everything is looked for from the front, and
//! rounds that are gone through one by one.

use std::collections::VecDeque;

use super::*;

/// A job, by its number in the history.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: u32,
    pub(super) terms: Terms,
    pub(super) since: Instant,
    /// Which of two of the same time came first.
    turn: u64,
    class: usize,
    /// Since when it is in its class, and who came first.
    entered: (Instant, u64),
}

#[derive(Clone, Debug)]
struct Tenant {
    name: Option<String>,
    deficit: u64,
    jobs: Vec<Job>,
}

#[derive(Clone, Debug, Default)]
struct Class {
    round: VecDeque<Tenant>,
    /// How many have not had their turn in this round; the first of them is being served, or not yet.
    to_come: usize,
    is_served: bool,
    unit: u64,
}

#[derive(Debug)]
pub(super) struct Model {
    rules: BacklogRules,
    classes: [Class; 4],
    turn: u64,
    mean_cost: Option<u64>,
    /// The waits of the interval, and when it ends.
    waits: Option<(Vec<Duration>, Instant)>,
    service: Duration,
    pub(super) overloaded: bool,
    pub(super) refused: Vec<(u32, Refusal)>,
}

fn name(terms: &Terms) -> Option<String> {
    terms.tenant.as_deref().map(str::to_owned)
}

impl Model {
    pub(super) fn new(rules: BacklogRules) -> Self {
        Self {
            rules,
            classes: Default::default(),
            turn: 0,
            mean_cost: None,
            waits: None,
            service: Duration::ZERO,
            overloaded: false,
            refused: Vec::new(),
        }
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = &Job> {
        let tenants = self.classes.iter().flat_map(|class| &class.round);
        tenants.flat_map(|tenant| &tenant.jobs)
    }

    pub(super) fn highest(&self) -> Option<Priority> {
        let class = (0..4)
            .rev()
            .find(|class| !self.classes[*class].round.is_empty())?;
        Some(Priority::ALL[class])
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Job> {
        let class = self.jobs().find(|job| job.id == id)?.class;
        let class = &mut self.classes[class];
        let find = |tenant: &Tenant| tenant.jobs.iter().position(|job| job.id == id);
        let at = class
            .round
            .iter()
            .position(|tenant| find(tenant).is_some())?;
        let jobs = &mut class.round[at].jobs;
        let job = jobs.remove(jobs.iter().position(|job| job.id == id)?);
        if jobs.is_empty() {
            class.round.remove(at);
            class.is_served &= at != 0;
            class.to_come -= usize::from(at < class.to_come);
        }
        Some(job)
    }

    fn enter(&mut self, job: Job) {
        let class = &mut self.classes[job.class];
        let name = name(&job.terms);
        match class.round.iter_mut().find(|tenant| tenant.name == name) {
            Some(tenant) => tenant.jobs.push(job),
            None => class.round.push_back(Tenant {
                name,
                deficit: 0,
                jobs: vec![job],
            }),
        }
    }

    /// What time has changed.
    pub(super) fn settle(&mut self, now: Instant) {
        let over: Vec<_> = self
            .jobs()
            .filter(|job| job.terms.is_over(now))
            .map(|job| job.id)
            .collect();
        self.refuse(over, Refusal::Expired);
        loop {
            let ageing = self.rules.ageing;
            let rising = self.jobs().filter(|job| job.class < 3);
            let rising = rising.map(|job| ((job.entered.0 + ageing, job.turn), job.id));
            let Some(((at, turn), id)) = rising.min().filter(|((at, _), _)| *at <= now) else {
                return;
            };
            let mut job = self.remove(id).unwrap();
            job.class += 1;
            job.entered = (at, turn);
            self.enter(job);
        }
    }

    fn refuse(&mut self, ids: Vec<u32>, why: Refusal) {
        for id in ids {
            self.remove(id).unwrap();
            self.refused.push((id, why));
        }
    }

    pub(super) fn push(&mut self, id: u32, terms: Terms, since: Instant) {
        self.turn += 1;
        let cost = u64::from(terms.cost);
        self.mean_cost = Some(match self.mean_cost {
            Some(mean) => mean - mean / 16 + cost * 256 / 16,
            None => cost * 256,
        });
        let job = Job {
            id,
            class: terms.priority as usize,
            terms,
            since,
            turn: self.turn,
            entered: (since, self.turn),
        };
        self.enter(job);
    }

    /// Who would have to make room.
    pub(super) fn victim(&self, priority: Priority) -> Option<u32> {
        let lowest = self.jobs().map(|job| job.class).min()?;
        let of_lowest = self.jobs().filter(|job| job.class == lowest);
        let job = match self.rules.overflow {
            Overflow::Wait | Overflow::Reject => None,
            Overflow::DropOldest if lowest > priority as usize => None,
            Overflow::DropNewest if lowest >= priority as usize => None,
            Overflow::DropOldest => of_lowest.min_by_key(|job| (job.since, job.turn)),
            Overflow::DropNewest => of_lowest.max_by_key(|job| (job.since, job.turn)),
        };
        Some(job?.id)
    }

    /// Whose turn it is, and which of its jobs.
    fn next(&mut self) -> Option<(usize, u32)> {
        let number = self.highest()? as usize;
        let unit = (self.mean_cost? / 256).max(1);
        let class = &mut self.classes[number];
        loop {
            if class.to_come == 0 {
                class.to_come = class.round.len();
                class.unit = unit;
            }
            let tenant = &mut class.round[0];
            if !class.is_served {
                let weight = tenant
                    .name
                    .as_deref()
                    .and_then(|name| self.rules.weights.get(name));
                tenant.deficit += class.unit * u64::from(*weight.unwrap_or(&1));
                class.is_served = true;
            }
            let next = if self.overloaded {
                tenant.jobs.last()
            } else {
                tenant.jobs.first()
            }?;
            if u64::from(next.terms.cost) <= tenant.deficit {
                return Some((number, next.id));
            }
            class.is_served = false;
            class.to_come -= 1;
            class.round.rotate_left(1);
        }
    }

    fn watch(&mut self, waited: Duration, now: Instant) -> bool {
        let Some(rules) = self.rules.overload else {
            return false;
        };
        let target = rules.target(self.service);
        if let Some((waits, end)) = &mut self.waits {
            if now <= *end {
                waits.push(waited);
                return self.overloaded;
            }
            self.overloaded = waits.iter().all(|wait| *wait > target);
        }
        self.waits = Some((vec![waited], now + rules.interval_for(target)));
        false
    }

    pub(super) fn pop(&mut self, now: Instant) -> Option<u32> {
        self.settle(now);
        let next = self.next();
        let oldest = next.map(|(class, _)| self.classes[class].round[0].jobs[0].since);
        let waited = oldest.map_or(Duration::ZERO, |since| now - since);
        if self.watch(waited, now) {
            let patience = self.rules.overload?.target(self.service) * 2;
            let late = self.jobs().filter(|job| now - job.since > patience);
            let late = late.map(|job| job.id).collect();
            self.refuse(late, Refusal::Shed);
        }
        let (class, id) = self.next()?;
        let tenant = &mut self.classes[class].round[0];
        let job = tenant.jobs.iter().find(|job| job.id == id)?;
        tenant.deficit -= u64::from(job.terms.cost);
        self.remove(id);
        Some(id)
    }

    pub(super) fn served(&mut self, took: Duration) {
        self.service = if self.service.is_zero() {
            took
        } else {
            (self.service * 7 + took) / 8
        };
    }

    pub(super) fn drain(&mut self) -> Vec<Job> {
        let mut jobs: Vec<Job> = self.jobs().cloned().collect();
        jobs.sort_by_key(|job| (job.since, job.turn));
        for job in &jobs {
            self.remove(job.id);
        }
        jobs
    }

    pub(super) fn adopt(&mut self, jobs: Vec<Job>, now: Instant) {
        self.settle(now);
        for mut job in jobs {
            // Before it goes in, so that it joins the tenants of the class that is its.
            job.class = job.terms.priority as usize;
            self.turn += 1;
            job.turn = self.turn;
            job.entered = (job.since, job.turn);
            while job.class < 3 && job.entered.0 + self.rules.ageing <= now {
                job.entered.0 += self.rules.ageing;
                job.class += 1;
            }
            let cost = u64::from(job.terms.cost) * 16;
            self.mean_cost = Some(
                self.mean_cost
                    .map_or(cost * 16, |mean| mean - mean / 16 + cost),
            );
            self.enter(job);
        }
        for tenant in self.classes.iter_mut().flat_map(|class| &mut class.round) {
            tenant.jobs.sort_by_key(|job| job.entered);
        }
        self.settle(now);
    }
}

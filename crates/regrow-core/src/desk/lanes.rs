//! The backlogs of a desk: one for jobs that anybody may have, and one for each worker and tag for which there are others.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{InvalidRules, Request};
use crate::backlog::{
    Backlog, BacklogRules, Next, OverloadChange, Priority, Refused, Terms, Ticket, Waiting,
};
use crate::crew::Wanted;

/// For whom the jobs of a backlog are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Whoever has room.
    Any,
    /// One worker.
    Worker(u32),
    /// Whoever has this tag.
    Tag(Arc<str>),
    /// Nobody yet: their keys lead to no worker.
    Nobody,
}

/// Which job of a desk. It names one job while that waits where it was put; one that was moved is named no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobId {
    lane: Lane,
    line: u64,
    ticket: Ticket,
    /// How often jobs had been moved when it was put there.
    moves: u64,
}

/// A job in its backlog, and for whom it is: by itself, for what is for anybody is to be small.
#[derive(Debug)]
struct Entry<T> {
    job: T,
    wanted: Option<Box<Wanted>>,
}

impl<T> Entry<T> {
    fn new(job: T, wanted: Wanted) -> Self {
        let is_plain = wanted.key.is_none() && wanted.tag.is_none();
        let wanted = (!is_plain).then(|| Box::new(wanted));
        Self { job, wanted }
    }
}

/// What waits in one lane, from when something does until nothing does any more.
#[derive(Debug)]
struct Line<T> {
    /// Which it is, of all that there were: tickets are told apart only within one.
    number: u64,
    /// When a job was taken last, or it began: of lanes that are as good the one comes first that has waited for longest.
    served: u64,
    backlog: Backlog<Entry<T>>,
}

/// All that waits.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    any: Line<T>,
    /// Those in which something waits.
    others: BTreeMap<Lane, Line<T>>,
    /// Counts the lines.
    lines: u64,
    /// Counts the jobs that were taken.
    taken: u64,
    /// Counts how often jobs were moved.
    moves: u64,
    /// Those that were refused in a push or a pop, until they are asked for.
    refused: Vec<Refused<T>>,
    /// What a pop has changed, until that is asked for.
    overload: Option<OverloadChange>,
}

/// What left the lanes while jobs were moved.
pub(super) struct Left<T> {
    /// Their deadline was over.
    pub(super) refused: Vec<Refused<T>>,
    /// Nobody waited for them any more.
    pub(super) abandoned: Vec<T>,
}

impl<T> Lanes<T> {
    pub(super) fn new(rules: BacklogRules) -> Result<Self, InvalidRules> {
        Ok(Self {
            any: Line {
                number: 0,
                served: 0,
                backlog: Backlog::new(rules)?,
            },
            others: BTreeMap::new(),
            lines: 0,
            taken: 0,
            moves: 0,
            refused: Vec::new(),
            overload: None,
        })
    }

    /// Whether nothing waits but what anybody may have.
    pub(super) fn is_plain(&self) -> bool {
        self.others.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        let others = self.others.values().map(|line| line.backlog.len());
        self.any.backlog.len() + others.sum::<usize>()
    }

    /// How many wait in one lane.
    pub(super) fn len_of(&self, lane: &Lane) -> usize {
        self.get(lane).map_or(0, |line| line.backlog.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.any.backlog.is_empty() && self.others.is_empty()
    }

    /// For how long the oldest of all has waited.
    pub(super) fn oldest(&self, now: Instant) -> Option<Duration> {
        self.all().filter_map(|backlog| backlog.oldest(now)).max()
    }

    pub(super) fn is_overloaded(&self) -> bool {
        self.all().any(Backlog::is_overloaded)
    }

    /// How long jobs should wait at most, where that is looked at.
    pub(super) fn target(&self) -> Option<Duration> {
        self.any.backlog.target()
    }

    /// One that waits there goes, if the rules want it, to make room for one on these terms.
    pub(super) fn make_room(
        &mut self,
        lane: &Lane,
        terms: &Terms,
        now: Instant,
    ) -> Option<Refused<T>> {
        let line = self.get_mut(lane)?;
        let refused = line.backlog.make_room(terms.priority, now)?;
        self.sweep(lane);
        Some(unwrapped(refused))
    }

    /// Whether one would go there to make room for another.
    pub(super) fn makes_room(&self, lane: &Lane, terms: &Terms) -> bool {
        let line = self.get(lane);
        line.is_some_and(|line| line.backlog.makes_room(terms.priority))
    }

    /// Puts a job in. Those whose deadline is over are in [`Lanes::take_refused`].
    pub(super) fn push(&mut self, lane: Lane, request: Request<T>, now: Instant) -> JobId {
        let Request { job, terms, wanted } = request;
        let entry = Entry::new(job, wanted);
        let line = self.or_new(&lane);
        let ticket = line.backlog.push(entry, terms, now);
        let (line, has_refused) = (line.number, line.backlog.has_refused());
        if has_refused {
            self.collect(&lane);
        }
        JobId {
            line,
            moves: self.moves,
            lane,
            ticket,
        }
    }

    /// Those that were refused in a push or a pop, since this was asked last. Allocates nothing when there are none.
    pub(super) fn take_refused(&mut self) -> Vec<Refused<T>> {
        std::mem::take(&mut self.refused)
    }

    /// Whether there is anything to be asked for: by [`Lanes::take_refused`] or [`Lanes::take_overload_change`].
    pub(super) fn has_news(&self) -> bool {
        !self.refused.is_empty() || self.overload.is_some()
    }

    /// What a pop has changed, since this was asked last.
    pub(super) const fn take_overload_change(&mut self) -> Option<OverloadChange> {
        self.overload.take()
    }

    #[cold]
    fn collect(&mut self, lane: &Lane) {
        let Some(line) = self.get_mut(lane) else {
            return;
        };
        let refused = line.backlog.take_refused();
        self.refused.extend(refused.into_iter().map(unwrapped));
    }

    pub(super) fn cancel(&mut self, id: &JobId) -> Option<T> {
        let line = self.get_mut(&id.lane)?;
        if line.number != id.line {
            return None;
        }
        let entry = line.backlog.cancel(id.ticket)?;
        self.sweep(&id.lane);
        Some(entry.job)
    }

    /// Whether this job may have been moved, so that it is not found by its name.
    pub(super) fn may_have_moved(&self, id: &JobId) -> bool {
        is_keyed(&id.lane) && id.moves != self.moves
    }

    /// The next job of a lane. Those that are refused instead are in [`Lanes::take_refused`].
    pub(super) fn pop(&mut self, lane: &Lane, now: Instant) -> Option<Next<T>> {
        let turn = self.taken + 1;
        let line = self.get_mut(lane)?;
        let taken = line.backlog.pop_next(now);
        if taken.is_some() {
            line.served = turn;
        }
        let (change, has_refused) = (
            line.backlog.take_overload_change(),
            line.backlog.has_refused(),
        );
        if change.is_some() {
            self.overload = change;
        }
        if has_refused {
            self.collect(lane);
        }
        self.sweep(lane);
        let taken = taken?;
        self.taken = turn;
        Some(Next {
            payload: taken.payload.job,
            priority: taken.priority,
            waited: taken.waited,
        })
    }

    /// The lanes in which something waits, of those that are asked for: the highest class first, and of equals each in turn.
    /// Those that the look at them refused are in [`Lanes::take_refused`].
    pub(super) fn best_first(
        &mut self,
        is_asked_for: impl Fn(&Lane) -> bool,
        now: Instant,
    ) -> Vec<Lane> {
        let any = (&Lane::Any, &mut self.any);
        let refused = &mut self.refused;
        let all = self.others.iter_mut().chain([any]);
        let asked = all.filter(|(lane, _)| is_asked_for(lane));
        let mut lanes: Vec<(Reverse<Priority>, u64, Lane)> = asked
            .filter_map(|(lane, line)| {
                let class = line.backlog.highest(now);
                if line.backlog.has_refused() {
                    let seen = line.backlog.take_refused();
                    refused.extend(seen.into_iter().map(unwrapped));
                }
                let class = class?;
                Some((Reverse(class), line.served, lane.clone()))
            })
            .collect();
        if !self.refused.is_empty() {
            // A lane without work is none.
            self.others.retain(|_, line| !line.backlog.is_empty());
        }
        lanes.sort_by_key(|(class, served, _)| (*class, *served));
        lanes.into_iter().map(|(_, _, lane)| lane).collect()
    }

    /// A job has taken so long.
    pub(super) fn served(&mut self, took: Duration) {
        self.all_mut().for_each(|backlog| backlog.served(took));
    }

    /// Time has passed; those that may not be begun any more.
    pub(super) fn on_wakeup(&mut self, now: Instant) -> Vec<Refused<T>> {
        let mut refused = Vec::new();
        for backlog in self.all_mut() {
            backlog.on_wakeup(now);
            refused.extend(backlog.take_refused().into_iter().map(unwrapped));
        }
        self.others.retain(|_, line| !line.backlog.is_empty());
        refused
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.all().filter_map(Backlog::next_wakeup).min()
    }

    /// All that waits goes; those that were refused before as well.
    pub(super) fn drain(&mut self) -> (Vec<T>, Vec<Refused<T>>) {
        let (mut waiting, mut refused) = (Vec::new(), Vec::new());
        for backlog in self.all_mut() {
            waiting.extend(
                backlog
                    .drain()
                    .into_iter()
                    .map(|waiting| waiting.payload.job),
            );
            refused.extend(backlog.take_refused().into_iter().map(unwrapped));
        }
        self.others.clear();
        (waiting, refused)
    }

    /// Workers have come or gone: jobs with a key go to where that leads now. O(n log n) in those that have one; their tickets are
    /// over. Those whose deadline was over meanwhile are returned, and those that nobody waits for.
    pub(super) fn reroute(
        &mut self,
        leads_to: impl Fn(&Wanted) -> Lane,
        is_abandoned: impl Fn(&T) -> bool,
        now: Instant,
    ) -> Left<T> {
        let mut abandoned = Vec::new();
        if !self.others.keys().any(is_keyed) {
            let refused = Vec::new();
            return Left { refused, abandoned };
        }
        self.moves += 1;
        let mut moved: BTreeMap<Lane, Vec<Waiting<Entry<T>>>> = BTreeMap::new();
        let mut refused = Vec::new();
        let lanes: Vec<Lane> = self
            .others
            .keys()
            .filter(|lane| is_keyed(lane))
            .cloned()
            .collect();
        for lane in lanes {
            let Some(Line { mut backlog, .. }) = self.others.remove(&lane) else {
                continue;
            };
            for waiting in backlog.drain() {
                if is_abandoned(&waiting.payload.job) {
                    abandoned.push(waiting.payload.job);
                    continue;
                }
                let to = match &waiting.payload.wanted {
                    Some(wanted) => leads_to(wanted),
                    None => Lane::Any,
                };
                moved.entry(to).or_default().push(waiting);
            }
            refused.extend(backlog.take_refused().into_iter().map(unwrapped));
        }
        for (lane, waiting) in moved {
            let backlog = &mut self.or_new(&lane).backlog;
            backlog.adopt(waiting, now);
            refused.extend(backlog.take_refused().into_iter().map(unwrapped));
            self.sweep(&lane);
        }
        Left { refused, abandoned }
    }

    fn all(&self) -> impl Iterator<Item = &Backlog<Entry<T>>> {
        let lines = self.others.values().chain([&self.any]);
        lines.map(|line| &line.backlog)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Backlog<Entry<T>>> {
        let lines = self.others.values_mut().chain([&mut self.any]);
        lines.map(|line| &mut line.backlog)
    }

    fn get(&self, lane: &Lane) -> Option<&Line<T>> {
        match lane {
            Lane::Any => Some(&self.any),
            Lane::Worker(_) | Lane::Tag(_) | Lane::Nobody => self.others.get(lane),
        }
    }

    fn get_mut(&mut self, lane: &Lane) -> Option<&mut Line<T>> {
        match lane {
            Lane::Any => Some(&mut self.any),
            Lane::Worker(_) | Lane::Tag(_) | Lane::Nobody => self.others.get_mut(lane),
        }
    }

    fn or_new(&mut self, lane: &Lane) -> &mut Line<T> {
        if *lane == Lane::Any {
            return &mut self.any;
        }
        let (any, lines, served) = (&self.any, &mut self.lines, self.taken);
        let others = self.others.entry(lane.clone());
        others.or_insert_with(|| {
            *lines += 1;
            Line {
                number: *lines,
                served,
                backlog: any.backlog.another(),
            }
        })
    }

    /// A lane without work is none.
    fn sweep(&mut self, lane: &Lane) {
        if *lane == Lane::Any {
            return;
        }
        let line = self.others.get(lane);
        if line.is_some_and(|line| line.backlog.is_empty()) {
            self.others.remove(lane);
        }
    }
}

/// Whether its jobs go where a key leads.
const fn is_keyed(lane: &Lane) -> bool {
    matches!(lane, Lane::Worker(_) | Lane::Nobody)
}

fn unwrapped<T>(refused: Refused<Entry<T>>) -> Refused<T> {
    Refused {
        payload: refused.payload.job,
        ticket: refused.ticket,
        terms: refused.terms,
        waited: refused.waited,
        why: refused.why,
    }
}

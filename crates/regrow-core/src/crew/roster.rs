//! Workers by number: a step away, since there is a look at one with each job. All of them cost what there are, not what there were: four
//! bytes are kept for each number between the first that there is and the last, and nothing is looked at for those that have gone.

use std::collections::VecDeque;

use super::worker::Worker;

/// No place.
const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(super) struct Roster<S> {
    /// By number.
    workers: Vec<(u32, Box<Worker<S>>)>,
    /// Where each number stands among them.
    places: VecDeque<u32>,
    /// The number to which the first place belongs.
    first: u32,
}

impl<S> Roster<S> {
    pub(super) const fn new() -> Self {
        Self {
            workers: Vec::new(),
            places: VecDeque::new(),
            first: 0,
        }
    }

    pub(super) fn insert(&mut self, number: u32, worker: Worker<S>) {
        let worker = Box::new(worker);
        match self.place(number) {
            Some(at) => self.workers[at] = (number, worker),
            None => {
                let at = self.workers.partition_point(|(other, _)| *other < number);
                self.workers.insert(at, (number, worker));
                self.reach(number);
                self.renumber(at);
            }
        }
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<Worker<S>> {
        let at = self.place(number)?;
        let (_, worker) = self.workers.remove(at);
        self.places[(number - self.first) as usize] = NONE;
        self.renumber(at);
        while self.places.front() == Some(&NONE) {
            self.places.pop_front();
            self.first = self.first.saturating_add(1);
        }
        while self.places.back() == Some(&NONE) {
            self.places.pop_back();
        }
        Some(*worker)
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&Worker<S>> {
        let at = self.place(number)?;
        Some(&self.workers.get(at)?.1)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Worker<S>> {
        let at = self.place(number)?;
        Some(&mut self.workers.get_mut(at)?.1)
    }

    /// By number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Worker<S>)> {
        self.workers
            .iter()
            .map(|(number, worker)| (*number, &**worker))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Worker<S>> {
        self.workers.iter().map(|(_, worker)| &**worker)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Worker<S>> {
        self.workers.iter_mut().map(|(_, worker)| &mut **worker)
    }

    #[inline]
    fn place(&self, number: u32) -> Option<usize> {
        let at = number.checked_sub(self.first)?;
        let place = *self.places.get(at as usize)?;
        (place != NONE).then_some(place as usize)
    }

    /// There is a place for this number.
    fn reach(&mut self, number: u32) {
        if self.places.is_empty() {
            self.first = number;
        }
        while number < self.first {
            self.places.push_front(NONE);
            self.first -= 1;
        }
        let at = (number - self.first) as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, NONE);
        }
    }

    /// Those from here on stand somewhere else. Workers come and go seldom.
    fn renumber(&mut self, from: usize) {
        for (at, (number, _)) in (0_u32..).zip(&self.workers).skip(from) {
            self.places[(*number - self.first) as usize] = at;
        }
    }
}

//! Workers by number: a step away, since there is a look at one with each job. Costs eight bytes for each number that was ever given.

use super::worker::Worker;

#[derive(Clone, Debug)]
pub(super) struct Roster<S>(Vec<Option<Box<Worker<S>>>>);

impl<S> Roster<S> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn insert(&mut self, number: u32, worker: Worker<S>) {
        let at = number as usize;
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        self.0[at] = Some(Box::new(worker));
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<Worker<S>> {
        let worker = self.0.get_mut(number as usize)?.take()?;
        Some(*worker)
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&Worker<S>> {
        self.0.get(number as usize)?.as_deref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Worker<S>> {
        self.0.get_mut(number as usize)?.as_deref_mut()
    }

    /// By number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Worker<S>)> {
        let all = (0_u32..).zip(&self.0);
        all.filter_map(|(number, worker)| Some((number, worker.as_deref()?)))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Worker<S>> {
        self.0.iter().filter_map(Option::as_deref)
    }
}

//! Which breakers a system has.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use regrow_core::circuit::{CircuitCause, CircuitState, CircuitStatus};

use super::Breaker;
use crate::path::ChildPath;
use crate::registry::Registered;
use crate::time;

/// The breakers of one system, by path. One stays here as long as its place does, whether a life of it is up or not.
#[derive(Debug, Default)]
pub(crate) struct Breakers(Mutex<BTreeMap<ChildPath, (Breaker, Registered)>>);

/// One breaker as it is, for metrics.
pub(crate) struct Reading {
    pub(crate) path: ChildPath,
    pub(crate) status: CircuitStatus,
    pub(crate) transitions: Vec<((CircuitState, CircuitState, CircuitCause), u64)>,
}

impl Breakers {
    /// A life of its child is up there.
    pub(crate) fn enter(&self, breaker: &Breaker, place: Registered) {
        let path = place.path().clone();
        self.lock().insert(path, (breaker.clone(), place));
    }

    pub(crate) fn all(&self) -> Vec<(ChildPath, Breaker)> {
        let known = self.lock();
        let known = known.iter();
        known
            .map(|(path, (breaker, _))| (path.clone(), breaker.clone()))
            .collect()
    }

    pub(crate) fn at(&self, path: &str) -> Option<Breaker> {
        self.lock().get(path).map(|(breaker, _)| breaker.clone())
    }

    pub(crate) fn readings(&self) -> Vec<Reading> {
        let now = time::now();
        let read = |(path, breaker): (ChildPath, Breaker)| {
            let mut machine = breaker.shared.lock();
            let transitions = machine.transitions.iter();
            Reading {
                transitions: transitions.map(|(key, count)| (*key, *count)).collect(),
                status: machine.circuit.status(now),
                path,
            }
        };
        self.all().into_iter().map(read).collect()
    }

    /// Without those whose place has been taken out of the tree.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ChildPath, (Breaker, Registered)>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (_, place)| !place.is_gone());
        known
    }
}

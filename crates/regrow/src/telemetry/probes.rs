//! How many probes of each name say that all is well: a gauge that is computed when somebody looks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use regrow_core::probe::ProbeKind;

/// How many names are told apart; what is beyond is one more, [`OTHER`].
const MAX_NAMES: usize = 200;

/// The name of those that are beyond.
const OTHER: &str = "other";

/// The probes of all lives of a system, by name and kind.
#[derive(Debug, Default)]
pub(crate) struct ProbesBook(Mutex<BTreeMap<(Arc<str>, ProbeKind), Tally>>);

#[derive(Debug, Default)]
struct Tally {
    all: u64,
    well: u64,
}

impl ProbesBook {
    /// One more probe of a life.
    pub(crate) fn enter(
        self: &Arc<Self>,
        name: Arc<str>,
        kind: ProbeKind,
        is_well: bool,
    ) -> ProbeGauge {
        let mut names = self.lock();
        let key = (name, kind);
        let key = if names.contains_key(&key) || names.len() < MAX_NAMES {
            key
        } else {
            (OTHER.into(), kind)
        };
        let tally = names.entry(key.clone()).or_default();
        tally.all += 1;
        tally.well += u64::from(is_well);
        drop(names);
        ProbeGauge {
            book: Arc::clone(self),
            key,
            is_well,
        }
    }

    /// For each name and kind of which there was ever one: whether all that there are now say that all is well.
    pub(crate) fn each(&self, mut tell: impl FnMut(&str, ProbeKind, bool)) {
        for ((name, kind), tally) in self.lock().iter() {
            tell(name, *kind, tally.all > 0 && tally.well == tally.all);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Arc<str>, ProbeKind), Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one probe of one life; not any more, when it is dropped.
#[derive(Debug)]
pub(crate) struct ProbeGauge {
    book: Arc<ProbesBook>,
    key: (Arc<str>, ProbeKind),
    is_well: bool,
}

impl ProbeGauge {
    /// It says so now.
    pub(crate) fn set(&mut self, is_well: bool) {
        if self.is_well == is_well {
            return;
        }
        self.is_well = is_well;
        self.edit(|tally| {
            if is_well {
                tally.well += 1;
            } else {
                tally.well -= 1;
            }
        });
    }

    fn edit(&self, edit: impl FnOnce(&mut Tally)) {
        if let Some(tally) = self.book.lock().get_mut(&self.key) {
            edit(tally);
        }
    }
}

impl Drop for ProbeGauge {
    fn drop(&mut self) {
        let well = u64::from(self.is_well);
        self.edit(|tally| {
            tally.all -= 1;
            tally.well -= well;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(book: &ProbesBook) -> Vec<(String, bool)> {
        let mut all = Vec::new();
        book.each(|name, _, up| all.push((name.to_owned(), up)));
        all
    }

    #[test]
    fn a_name_is_up_while_all_of_it_are_and_stays_known_when_none_is_left() {
        let book = Arc::new(ProbesBook::default());
        let enter = |well| book.enter("worker/ready".into(), ProbeKind::Readiness, well);
        let (mut first, second) = (enter(true), enter(true));
        assert_eq!(up(&book), [("worker/ready".to_owned(), true)]);
        first.set(false);
        first.set(false);
        assert_eq!(up(&book), [("worker/ready".to_owned(), false)]);
        drop(first);
        assert_eq!(up(&book), [("worker/ready".to_owned(), true)]);
        drop(second);
        assert_eq!(up(&book), [("worker/ready".to_owned(), false)]);
    }

    #[test]
    fn so_many_names_are_told_apart_and_no_more() {
        let book = Arc::new(ProbesBook::default());
        let gauges: Vec<ProbeGauge> = (0..MAX_NAMES + 5)
            .map(|n| book.enter(format!("p{n}").into(), ProbeKind::Custom, true))
            .collect();
        assert_eq!(up(&book).len(), MAX_NAMES + 1);
        assert!(up(&book).contains(&(OTHER.to_owned(), true)));
        drop(gauges);
    }
}

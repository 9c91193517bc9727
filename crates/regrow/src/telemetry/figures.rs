//! What the OS processes of each type use: gauges of those that run, and counters that go on when one has ended.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use regrow_core::figures::{Figures, Spent};

/// How many types are told apart; what is beyond is one more, [`OTHER`].
const MAX_TYPES: usize = 200;

/// The type of those that are beyond.
const OTHER: &str = "other";

/// The figures of all processes of a system.
#[derive(Debug, Default)]
pub(crate) struct FiguresBook(Mutex<BTreeMap<Arc<str>, OfType>>);

/// The figures of one type.
#[derive(Debug, Default)]
struct OfType {
    /// Those of the lives that go on, by a number that each of them has.
    lives: BTreeMap<u64, Figures>,
    next: u64,
    /// What those have used up that have ended.
    gone: Spent,
}

impl FiguresBook {
    /// A place for the figures of one more life.
    pub(crate) fn enter(self: &Arc<Self>, type_name: &Arc<str>) -> FiguresGauge {
        let mut types = self.types();
        let is_known = types.contains_key(type_name);
        let type_name = if is_known || types.len() < MAX_TYPES {
            Arc::clone(type_name)
        } else {
            OTHER.into()
        };
        let of_type = types.entry(Arc::clone(&type_name)).or_default();
        let place = of_type.next;
        of_type.next += 1;
        FiguresGauge {
            book: Arc::clone(self),
            type_name,
            place,
            follower: Follower(None),
        }
    }

    fn types(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, OfType>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For each type of which there was ever a figure: what those that run use, and what all have used up.
    pub(crate) fn each_type(&self, mut tell: impl FnMut(&str, &Figures)) {
        for (type_name, of_type) in self.types().iter() {
            let mut sum = Figures {
                spent: of_type.gone,
                ..Figures::default()
            };
            for figures in of_type.lives.values() {
                sum.processes = sum.processes.saturating_add(figures.processes);
                sum.threads = sum.threads.saturating_add(figures.threads);
                sum.descriptors = sum.descriptors.saturating_add(figures.descriptors);
                sum.memory_bytes = sum.memory_bytes.saturating_add(figures.memory_bytes);
                sum.cpu_cores += figures.cpu_cores;
                sum.spent = sum.spent.plus(figures.spent);
            }
            tell(type_name, &sum);
        }
    }
}

/// Where the figures of one life are shown, for metrics by its type. Dropped, what the life has used up stays counted, and the rest
/// is no more.
#[derive(Debug)]
pub struct FiguresGauge {
    book: Arc<FiguresBook>,
    type_name: Arc<str>,
    place: u64,
    follower: Follower,
}

/// Who else wants to know how much memory there is.
struct Follower(Option<Box<dyn Fn(u64) + Send + Sync>>);

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Follower").finish_non_exhaustive()
    }
}

impl FiguresGauge {
    /// Somebody else hears how much memory there is, whenever that is shown.
    pub(crate) fn followed(mut self, tell: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.follower = Follower(Some(Box::new(tell)));
        self
    }

    /// Shows these figures from now on.
    pub fn set(&self, figures: &Figures) {
        if let Some(of_type) = self.book.types().get_mut(&self.type_name) {
            of_type.lives.insert(self.place, *figures);
        }
        if let Follower(Some(tell)) = &self.follower {
            tell(figures.memory_bytes);
        }
    }
}

impl Drop for FiguresGauge {
    fn drop(&mut self) {
        if let Some(of_type) = self.book.types().get_mut(&self.type_name)
            && let Some(last) = of_type.lives.remove(&self.place)
        {
            of_type.gone = of_type.gone.plus(last.spent);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn using(processes: u32, seconds: u64) -> Figures {
        Figures {
            processes,
            cpu_cores: 0.5,
            spent: Spent {
                cpu: Duration::from_secs(seconds),
                ..Spent::default()
            },
            ..Figures::default()
        }
    }

    /// Processes, cores and seconds of each type.
    fn told(book: &FiguresBook) -> Vec<(String, u32, f64, u64)> {
        let mut told = Vec::new();
        book.each_type(|type_name, sum| {
            let seconds = sum.spent.cpu.as_secs();
            told.push((type_name.to_owned(), sum.processes, sum.cpu_cores, seconds));
        });
        told
    }

    #[test]
    fn figures_are_added_up_by_type_and_what_was_used_outlives_who_used_it() {
        let book = Arc::<FiguresBook>::default();
        let coder: Arc<str> = "coder".into();
        let (one, two) = (book.enter(&coder), book.enter(&coder));
        one.set(&using(2, 5));
        two.set(&using(1, 7));
        assert_eq!(told(&book), [("coder".to_owned(), 3, 1.0, 12)]);
        one.set(&using(3, 6));
        drop(two);
        assert_eq!(told(&book), [("coder".to_owned(), 3, 0.5, 13)]);
        drop(one);
        let again = book.enter(&coder);
        assert_eq!(told(&book), [("coder".to_owned(), 0, 0.0, 13)]);
        again.set(&using(1, 1));
        assert_eq!(told(&book), [("coder".to_owned(), 1, 0.5, 14)]);
    }

    #[test]
    fn types_beyond_two_hundred_are_one_more() {
        let book = Arc::<FiguresBook>::default();
        let gauges: Vec<FiguresGauge> = (0..210)
            .map(|number| book.enter(&format!("type-{number:03}").into()))
            .collect();
        gauges.iter().for_each(|gauge| gauge.set(&using(1, 1)));
        let told = told(&book);
        assert_eq!(told.len(), MAX_TYPES + 1);
        assert_eq!(told[0], (OTHER.to_owned(), 10, 5.0, 10));
    }
}

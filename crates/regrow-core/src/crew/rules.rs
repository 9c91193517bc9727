//! By which rules workers are chosen, and when one has served long enough.

use std::sync::Arc;
use std::time::Duration;

use crate::circuit::InvalidRules;
use crate::words::words;

words! {
    /// Who of those with room gets a job that anybody may have.
    pub enum Dispatch {
        /// Who has least to do; of those who have nothing, by [`IdleOrder`].
        LeastLoaded = "least_loaded",
        /// Who has not been given any for longest.
        RoundRobin = "round_robin",
        /// Any.
        Random = "random",
    }
}

words! {
    /// Who of those that have nothing to do comes first.
    pub enum IdleOrder {
        /// Who has worked last: the others age, and can go.
        Lifo = "lifo",
        /// Who has not worked for longest.
        Fifo = "fifo",
    }
}

/// The rules of a crew. Nobody is too old or has done too much by default.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct CrewRules {
    pub(super) concurrency: u32,
    pub(super) dispatch: Dispatch,
    pub(super) idle: IdleOrder,
    pub(super) max_jobs: Option<u64>,
    pub(super) max_age: Option<Duration>,
    pub(super) max_memory: Option<u64>,
    pub(super) kept: Vec<Arc<str>>,
    pub(super) seed: u64,
}

impl Default for CrewRules {
    fn default() -> Self {
        Self {
            concurrency: 1,
            dispatch: Dispatch::LeastLoaded,
            idle: IdleOrder::Lifo,
            max_jobs: None,
            max_age: None,
            max_memory: None,
            kept: Vec::new(),
            seed: 0,
        }
    }
}

impl CrewRules {
    /// How many jobs a worker has at once; 1 by default, and at least.
    pub const fn concurrency(mut self, jobs: u32) -> Self {
        self.concurrency = if jobs == 0 { 1 } else { jobs };
        self
    }

    /// Who gets a job that anybody may have; the least loaded by default.
    pub const fn dispatch(mut self, dispatch: Dispatch) -> Self {
        self.dispatch = dispatch;
        self
    }

    /// Who of those with nothing to do comes first; who has worked last by default.
    pub const fn idle(mut self, order: IdleOrder) -> Self {
        self.idle = order;
        self
    }

    /// After how many jobs a worker is replaced.
    pub const fn max_jobs(mut self, jobs: u64) -> Self {
        self.max_jobs = Some(jobs);
        self
    }

    /// After how much time a worker is replaced, give or take a tenth, so that those who came together do not go together.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// With how many bytes of memory a worker is replaced, where it is known how much it has.
    pub const fn max_memory(mut self, bytes: u64) -> Self {
        self.max_memory = Some(bytes);
        self
    }

    /// The last worker with one of these tags does not go when there are to be fewer.
    pub fn keep_one_of(mut self, tags: impl IntoIterator<Item = Arc<str>>) -> Self {
        self.kept = tags.into_iter().collect();
        self
    }

    /// The seed of what is random.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// # Errors
    /// Names the rule that is out of its range.
    pub fn check(&self) -> Result<(), InvalidRules> {
        let wrong = |field, expected, got: String| InvalidRules {
            field,
            expected,
            got,
        };
        if self.max_jobs == Some(0) {
            return Err(wrong("max_jobs", "at least 1 job", "0".to_owned()));
        }
        if self.max_memory == Some(0) {
            return Err(wrong("max_memory", "at least 1 byte", "0".to_owned()));
        }
        let is_wrong = |age: &Duration| age.is_zero() || *age > crate::LONGEST;
        if let Some(age) = self.max_age.filter(is_wrong) {
            let expected = "more than no time at all, and up to 100 years";
            return Err(wrong("max_age", expected, format!("{age:?}")));
        }
        Ok(())
    }

    /// How many jobs a worker has at once.
    #[must_use]
    pub const fn jobs_at_once(&self) -> u32 {
        self.concurrency
    }
}

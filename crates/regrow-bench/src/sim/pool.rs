//! The pool that is simulated: jobs wait in one queue, first come first served; a worker has one at a time. What a worker is given,
//! who he is, and which of the idle ones goes first changes no figure, so workers are only counted. (The longest idle goes first.)

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::load::Load;
use super::policy::{Policy, Seen};

/// What holds for every policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// How long a worker takes to start.
    pub start: Duration,
    pub min: u32,
    pub max: u32,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(2),
            min: 1,
            max: 128,
        }
    }
}

/// What came out of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// How long each job waited, in the order in which they came.
    pub waits: Vec<Duration>,
    /// Each size, and since when; the first is that of the beginning.
    pub sizes: Vec<(Duration, u32)>,
}

/// What happens next. Of what happens at one time, the first here comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Finished,
    Started,
    Arrived,
    Looked,
}

struct Pool<'a> {
    load: &'a Load,
    setting: Setting,
    now: Duration,
    /// How many jobs have come.
    arrived: usize,
    /// When those came that wait, are begun in turn, and when the busy ones will have done theirs.
    waiting: VecDeque<usize>,
    finishing: BinaryHeap<Reverse<Duration>>,
    idle: u32,
    /// When those who start will be there.
    starting: VecDeque<Duration>,
    /// Jobs that ran or waited, times seconds.
    area: f64,
    run: Run,
}

/// Plays the load, with sizes as the policy wants them, until the last job has begun and the load's time is over.
pub fn simulate(load: &Load, setting: Setting, policy: &mut dyn Policy) -> Run {
    let mut pool = Pool {
        load,
        setting,
        now: Duration::ZERO,
        arrived: 0,
        waiting: VecDeque::new(),
        finishing: BinaryHeap::new(),
        idle: setting.min,
        starting: VecDeque::new(),
        area: 0.0,
        run: Run {
            waits: Vec::with_capacity(load.jobs.len()),
            sizes: vec![(Duration::ZERO, setting.min)],
        },
    };
    let mut look = policy.tick();
    while pool.now < load.duration || pool.run.waits.len() < load.jobs.len() {
        let (at, next) = pool.next(look);
        pool.pass(at);
        match next {
            Next::Finished => {
                pool.finishing.pop();
                pool.idle += 1;
            }
            Next::Started => {
                pool.starting.pop_front();
                pool.idle += 1;
            }
            Next::Arrived => {
                pool.waiting.push_back(pool.arrived);
                pool.arrived += 1;
            }
            Next::Looked => {
                look += policy.tick();
                let size = policy.decide(&pool.seen());
                pool.resize(size);
            }
        }
        pool.begin();
    }
    pool.run
}

impl Pool<'_> {
    fn size(&self) -> u32 {
        self.idle + count(self.finishing.len()) + count(self.starting.len())
    }

    fn next(&self, look: Duration) -> (Duration, Next) {
        let finished = self.finishing.peek().map(|Reverse(at)| *at);
        let started = self.starting.front().copied();
        let arrived = self.load.jobs.get(self.arrived).map(|job| job.arrival);
        let events = [
            finished.map(|at| (at, Next::Finished)),
            started.map(|at| (at, Next::Started)),
            arrived.map(|at| (at, Next::Arrived)),
        ];
        let looked = (look, Next::Looked);
        events.into_iter().flatten().fold(looked, Ord::min)
    }

    fn pass(&mut self, at: Duration) {
        let jobs = self.finishing.len() + self.waiting.len();
        self.area += f64::from(count(jobs)) * (at - self.now).as_secs_f64();
        self.now = at;
    }

    fn begin(&mut self) {
        while self.idle > 0
            && let Some(first) = self.waiting.pop_front()
        {
            let job = self.load.jobs[first];
            self.idle -= 1;
            self.finishing.push(Reverse(self.now + job.service));
            self.run.waits.push(self.now - job.arrival);
        }
    }

    fn seen(&self) -> Seen {
        let first = self.waiting.front();
        let oldest = first.map(|first| self.now - self.load.jobs[*first].arrival);
        Seen {
            now: self.now,
            size: self.size(),
            starting: count(self.starting.len()),
            busy: count(self.finishing.len()),
            queued: count(self.waiting.len()),
            oldest: oldest.unwrap_or_default(),
            area: self.area,
        }
    }

    /// More are started; fewer are those that are idle now, and no others.
    fn resize(&mut self, wanted: u32) {
        let size = self.size();
        let wanted = wanted.clamp(self.setting.min, self.setting.max);
        for _ in size..wanted {
            self.starting.push_back(self.now + self.setting.start);
        }
        self.idle -= size.saturating_sub(wanted).min(self.idle);
        if self.size() != size {
            self.run.sizes.push((self.now, self.size()));
        }
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("fewer jobs than that")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::load::Job;

    const SECOND: Duration = Duration::from_secs(1);

    /// Wants sizes that were written down, one at each look, and notes what it saw.
    struct Script {
        sizes: Vec<u32>,
        seen: Vec<Seen>,
    }

    impl Policy for Script {
        fn tick(&self) -> Duration {
            SECOND
        }

        fn decide(&mut self, seen: &Seen) -> u32 {
            self.seen.push(*seen);
            let size = self.sizes.get(self.seen.len() - 1);
            size.copied().unwrap_or(seen.size)
        }
    }

    /// Jobs of so many milliseconds each, at these milliseconds, and these sizes at the looks.
    fn play(arrivals: &[u64], service: u64, sizes: &[u32]) -> (Run, Vec<Seen>) {
        let jobs = arrivals.iter().map(|at| Job {
            arrival: Duration::from_millis(*at),
            service: Duration::from_millis(service),
        });
        let load = Load {
            jobs: jobs.collect(),
            duration: 10 * SECOND,
        };
        let mut script = Script {
            sizes: sizes.to_vec(),
            seen: Vec::new(),
        };
        let run = simulate(&load, Setting::default(), &mut script);
        (run, script.seen)
    }

    fn millis(run: &Run) -> Vec<u128> {
        run.waits.iter().map(Duration::as_millis).collect()
    }

    #[test]
    fn jobs_wait_for_the_only_worker_in_the_order_in_which_they_came() {
        let (run, _) = play(&[0, 100, 200], 1_000, &[]);
        assert_eq!(millis(&run), [0, 900, 1_800]);
        assert_eq!(run.sizes, [(Duration::ZERO, 1)]);
    }

    #[test]
    fn a_worker_takes_its_time_to_start_and_is_counted_meanwhile() {
        let (run, seen) = play(&[0, 0], 9_000, &[2]);
        assert_eq!(millis(&run), [0, 3_000]);
        assert_eq!(run.sizes, [(Duration::ZERO, 1), (SECOND, 2)]);
        assert_eq!((seen[1].size, seen[1].starting), (2, 1));
        assert_eq!((seen[2].size, seen[2].starting), (2, 0));
    }

    #[test]
    fn only_idle_workers_go() {
        let (run, _) = play(&[0, 5_000], 4_500, &[3, 3, 3, 1, 3, 3, 1, 1]);
        let sizes: Vec<_> = run.sizes.iter().map(|(at, n)| (at.as_secs(), *n)).collect();
        // At 4 s one of three is busy; at 7 s none idle: one is busy, and two have just started.
        assert_eq!(sizes, [(0, 1), (1, 3), (4, 1), (5, 3), (7, 1)]);
        let (run, _) = play(&[0, 0, 0], 9_000, &[3, 3, 3, 1]);
        let sizes: Vec<_> = run.sizes.iter().map(|(at, n)| (at.as_secs(), *n)).collect();
        assert_eq!(sizes, [(0, 1), (1, 3)]);
    }

    #[test]
    fn bounds_hold_whatever_is_wanted() {
        let (run, _) = play(&[0], 100, &[1_000, 1_000, 1_000, 0]);
        let sizes: Vec<_> = run.sizes.iter().map(|(_, size)| *size).collect();
        assert_eq!(sizes, [1, 128, 1]);
    }

    #[test]
    fn what_is_seen_is_what_there_is_and_what_there_was() {
        let (_, seen) = play(&[0, 500, 600], 2_000, &[]);
        let expected = Seen {
            now: SECOND,
            size: 1,
            starting: 0,
            busy: 1,
            queued: 2,
            oldest: Duration::from_millis(500),
            area: seen[0].area,
        };
        assert_eq!(seen[0], expected);
        assert!((seen[0].area - 1.9).abs() < 1e-9);
    }
}

//! Each job comes to one end, whatever happens to the workers.

use std::collections::BTreeMap;

use regrow_core::SplitMix64;

use super::*;

/// How many workers there are.
const WORKERS: u32 = 1_000;

/// Who hands jobs out, each one after the other's end.
const HANDS: u64 = 2_000;

/// How many jobs there are: `scripts/prove settled` has a million.
fn jobs() -> u64 {
    let jobs = std::env::var("REGROW_POOL_JOBS");
    jobs.ok()
        .and_then(|jobs| jobs.parse().ok())
        .unwrap_or(100_000)
}

/// What became of the jobs of one hand.
#[derive(Default)]
struct Tally {
    ok: u64,
    panicked: u64,
    failed: u64,
    lost: u64,
    no_answer: u64,
    refused: u64,
}

impl Tally {
    fn note(&mut self, value: u64, settled: Result<u64, PoolError>) {
        let place = match settled {
            Ok(answer) => {
                assert_eq!(answer, value, "the answer is that of another job");
                &mut self.ok
            }
            Err(PoolError::Lost { outcome, .. }) => match outcome {
                Outcome::Panicked => &mut self.panicked,
                Outcome::Error => &mut self.failed,
                Outcome::Ok | Outcome::Lost | Outcome::Timeout | Outcome::Cancelled => {
                    &mut self.lost
                }
            },
            Err(PoolError::NoAnswer { .. }) => &mut self.no_answer,
            Err(PoolError::Rejected { .. }) => &mut self.refused,
            Err(other) => panic!("nobody has set a limit: {other}"),
        };
        *place += 1;
    }

    fn add(&mut self, other: &Self) {
        self.ok += other.ok;
        self.panicked += other.panicked;
        self.failed += other.failed;
        self.lost += other.lost;
        self.no_answer += other.no_answer;
        self.refused += other.refused;
    }

    const fn all(&self) -> u64 {
        self.ok + self.panicked + self.failed + self.lost + self.no_answer + self.refused
    }
}

/// One after the other: most are answered, some cost their worker its life, some are forgotten.
async fn hand(pool: PoolRef<Task>, number: u64, jobs: u64) -> Tally {
    let mut chance = SplitMix64::new(number);
    let mut tally = Tally::default();
    for job in 0..jobs {
        let value = number * 1_000_000 + job;
        let takes = Duration::from_millis(chance.below(5));
        let settled = match chance.below(1_000) {
            0..5 => pool.call(Task::Panic).await,
            5..8 => pool.call(Task::Fail).await,
            8..20 => pool.call(Task::Forget).await,
            20..30 => pool.call(|reply| Task::Later(value, takes, reply)).await,
            _ => pool.call(|reply| Task::Echo(value, takes, reply)).await,
        };
        tally.note(value, settled);
    }
    tally
}

#[tokio::test(start_paused = true)]
async fn each_job_is_settled_once_while_workers_are_killed() {
    let pool = hands().size(WORKERS..=WORKERS).batch().queue(10_000);
    let (system, pool) = start(pool).await;
    let system = Arc::new(system);
    let (stop, enough) = tokio::sync::oneshot::channel();
    let killer = tokio::spawn(killer(Arc::clone(&system), enough));
    let each = jobs() / HANDS;
    let hands = (0..HANDS).map(|number| hand(pool.clone(), number, each));
    let mut tally = Tally::default();
    all(hands).await.iter().for_each(|one| tally.add(one));
    drop(stop);
    let killed = killer.await.expect("it does not panic");
    until(&pool, |status| status.desk.in_flight == 0).await;
    let status = pool.status();
    let totals = status.desk.totals;
    assert_eq!((tally.all(), tally.refused), (each * HANDS, 0));
    assert_eq!(
        (totals.submitted, totals.settled()),
        (tally.all(), tally.all())
    );
    assert_eq!(status.desk.queued, 0);
    assert_eq!(totals.ended(Outcome::Panicked), tally.panicked);
    assert_eq!(totals.ended(Outcome::Error), tally.failed);
    assert_eq!(totals.ended(Outcome::Lost), tally.lost);
    // Whoever answers later has done his job before.
    let done = totals.ended(Outcome::Ok);
    assert_eq!(done, tally.ok + tally.no_answer);
    assert!(tally.panicked > 0 && tally.failed > 0 && tally.no_answer > 0 && killed > 0);
    let states: BTreeMap<_, _> = WorkerState::ALL
        .iter()
        .map(|state| (state.as_str(), status.desk.counts.of(*state)))
        .collect();
    eprintln!(
        "{} jobs: {done} done, {} panicked, {} failed, {} lost; {killed} workers killed, {states:?}",
        tally.all(),
        tally.panicked,
        tally.failed,
        tally.lost
    );
}

/// Kills somebody now and then, until that is enough.
async fn killer(system: Arc<TestSystem>, enough: tokio::sync::oneshot::Receiver<()>) -> u64 {
    let mut chance = SplitMix64::new(4);
    let mut enough = std::pin::pin!(enough);
    let mut killed = 0;
    loop {
        tokio::select! {
            _ = &mut enough => return killed,
            () = tokio::time::sleep(Duration::from_millis(1)) => {
                let victim = 1 + chance.below(WORKERS.into());
                killed += u64::from(system.try_kill(&format!("root/hands/{victim}")));
            }
        }
    }
}

/// What callers do that have a key, little time, or lose interest; each is a hand of its own.
async fn restless(pool: PoolRef<Task>, number: u64, jobs: u64) -> [u64; 4] {
    let mut chance = SplitMix64::new(number);
    let [mut answered, mut refused, mut late, mut lost] = [0; 4];
    for job in 0..jobs {
        let value = number * 1_000_000 + job;
        let takes = Duration::from_micros(chance.below(2_000));
        let mut terms = Job::new();
        if chance.below(3) == 0 {
            terms = terms.key(chance.below(50));
        }
        if chance.below(3) == 0 {
            terms = terms.within(Duration::from_micros(500 + chance.below(6_000)));
        }
        let begun = match chance.below(100) {
            0 => pool.try_submit(terms, Task::Panic),
            1 => pool.try_submit(terms, Task::Keep),
            2..20 => pool.try_submit(terms, |reply| Task::LaterForget(takes, reply)),
            20..60 => pool.try_submit(terms, |reply| Task::Later(value, takes, reply)),
            _ => pool.try_submit(terms, |reply| Task::Echo(value, takes, reply)),
        };
        // Whoever gives a job that is never answered loses interest, for nothing else ends it.
        let patience = Duration::from_micros(chance.below(20_000));
        let settled = match begun {
            Ok(pending) => tokio::time::timeout(patience, pending).await,
            Err(error) => Ok(Err(error)),
        };
        match settled {
            Ok(Ok(answer)) => {
                assert_eq!(answer, value, "the answer is that of another job");
                answered += 1;
            }
            Ok(Err(PoolError::Rejected { .. })) => refused += 1,
            Ok(Err(PoolError::Lost { .. } | PoolError::NoAnswer { .. })) => lost += 1,
            Ok(Err(PoolError::TimedOut { .. })) | Err(_) => late += 1,
            Ok(Err(other)) => panic!("{other}"),
        }
    }
    [answered, refused, late, lost]
}

/// Everybody at once, with so many jobs each; pool and callers come to the same.
async fn all_at_once(concurrency: u32, each: u64) {
    let workers = 20;
    let rules = hands().size(workers..=workers).concurrency(concurrency);
    let (system, pool) = start(rules.queue(100).no_outliers()).await;
    let callers: Vec<_> = (0..200)
        .map(|number| restless(pool.clone(), number, each))
        .collect();
    let callers = tokio::spawn(all(callers));
    let mut chance = SplitMix64::new(9);
    while !callers.is_finished() {
        let victim = 1 + chance.below(workers.into());
        system.try_kill(&format!("root/hands/{victim}"));
        let some = 50 + pool.status().desk.totals.settled();
        while !callers.is_finished() && pool.status().desk.totals.settled() < some {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let mut sums = [0; 4];
    for tally in callers.await.expect("it does not panic") {
        (0..4).for_each(|at| sums[at] += tally[at]);
    }
    until(&pool, |status| {
        status.desk.in_flight == 0 && status.desk.queued == 0
    })
    .await;
    let totals = pool.status().desk.totals;
    let [answered, refused, late, lost] = sums;
    assert_eq!(answered + refused + late + lost, 200 * each);
    assert_eq!(totals.submitted, 200 * each, "{totals:?}");
    assert_eq!(totals.settled(), 200 * each, "{totals:?}");
    let rejected: u64 = Reject::ALL.iter().map(|why| totals.rejected(*why)).sum();
    assert!(rejected >= refused, "{rejected} and {refused}");
    // A worker can end between its answer and its word that it has done it.
    let begun: u64 = Outcome::ALL.iter().map(|how| totals.ended(*how)).sum();
    assert!(begun >= answered, "{totals:?}");
    assert!(sums.iter().all(|sum| *sum > 0), "{sums:?}");
}

#[tokio::test(start_paused = true)]
async fn jobs_with_keys_and_deadlines_and_callers_that_leave_are_settled_once_too() {
    for concurrency in [1, 3] {
        all_at_once(concurrency, 100).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_several_threads_as_well() {
    for concurrency in [1, 3] {
        all_at_once(concurrency, 50).await;
    }
}

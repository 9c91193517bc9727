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

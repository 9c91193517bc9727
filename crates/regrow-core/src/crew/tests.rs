//! The rules one by one, then random histories.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::testing::t0;

mod cases;

const SECOND: Duration = Duration::from_secs(1);

/// So many workers that are up, and the time.
fn crew(rules: CrewRules, count: u32) -> (Crew<u32>, Instant) {
    let now = t0();
    let mut crew = Crew::new(rules);
    for number in 1..=count {
        crew.add(number, [], now);
        assert!(crew.on_standing(number, 1, true, now).is_empty());
    }
    (crew, now)
}

fn anybody(crew: &mut Crew<u32>) -> Option<u32> {
    crew.choose(&Wanted::anybody())
}

/// Gives so many jobs away, and says to whom.
fn give(crew: &mut Crew<u32>, jobs: u32, now: Instant) -> Vec<(u32, Claim)> {
    let one = |job| {
        let worker = anybody(crew)?;
        Some((worker, crew.begin(worker, job, now)?))
    };
    (0..jobs).filter_map(one).collect()
}

fn to_whom(given: &[(u32, Claim)]) -> Vec<u32> {
    given.iter().map(|(worker, _)| *worker).collect()
}

#[test]
fn who_has_worked_last_comes_first_so_that_the_others_age() {
    let (mut crew, now) = crew(CrewRules::default(), 3);
    let given = give(&mut crew, 5, now);
    assert_eq!(to_whom(&given), [3, 2, 1]);
    for (worker, claim) in [given[1], given[2], given[0]] {
        assert!(crew.end(claim, true, now).is_some(), "{worker}");
    }
    assert_eq!(anybody(&mut crew), Some(3), "it was the last to be done");
}

#[test]
fn or_who_has_waited_longest() {
    let (mut crew, now) = crew(CrewRules::default().idle(IdleOrder::Fifo), 3);
    let given = give(&mut crew, 3, now);
    assert_eq!(to_whom(&given), [1, 2, 3]);
    for at in [1, 0, 2] {
        crew.end(given[at].1, true, now);
    }
    assert_eq!(to_whom(&give(&mut crew, 3, now)), [2, 1, 3]);
}

#[test]
fn in_turn_everybody_has_as_much() {
    let rules = CrewRules::default()
        .dispatch(Dispatch::RoundRobin)
        .concurrency(2);
    let (mut crew, now) = crew(rules, 3);
    assert_eq!(to_whom(&give(&mut crew, 9, now)), [1, 2, 3, 1, 2, 3]);
}

#[test]
fn at_random_everybody_comes_and_nobody_without_room() {
    let rules = CrewRules::default()
        .dispatch(Dispatch::Random)
        .concurrency(2)
        .seed(7);
    let (mut crew, now) = crew(rules, 4);
    let mut given = to_whom(&give(&mut crew, 8, now));
    assert_ne!(given, [1, 2, 3, 4, 1, 2, 3, 4]);
    given.sort_unstable();
    assert_eq!(given, [1, 1, 2, 2, 3, 3, 4, 4]);
    assert_eq!(anybody(&mut crew), None);
}

#[test]
fn who_is_slow_gets_less_where_all_have_something_to_do() {
    let (mut crew, now) = crew(CrewRules::default().concurrency(8), 2);
    crew.took(1, 4 * SECOND, now);
    crew.took(2, SECOND, now);
    let given = to_whom(&give(&mut crew, 10, now));
    let slow = given.iter().filter(|worker| **worker == 1).count();
    assert_eq!(slow, 2, "{given:?}");
}

#[test]
fn a_slow_job_counts_at_once_and_is_forgotten_slowly() {
    let (mut crew, now) = crew(CrewRules::default().concurrency(2), 1);
    crew.took(1, SECOND, now);
    crew.took(1, Duration::ZERO, now + SECOND);
    let load = crew.load(1);
    assert!((0.85..0.95).contains(&load), "{load}");
    crew.took(1, Duration::ZERO, now + 60 * SECOND);
    assert!(crew.load(1) < 0.01);
}

#[test]
fn of_many_two_are_compared() {
    let (mut crew, now) = crew(CrewRules::default().concurrency(2), 40);
    let first = give(&mut crew, 40, now);
    assert_eq!(first.len(), 40, "who has nothing to do comes first");
    crew.took(5, 100 * SECOND, now);
    let second = to_whom(&give(&mut crew, 39, now));
    assert_eq!(second.len(), 39);
    let late = second.iter().position(|worker| *worker == 5);
    assert!(late.is_none_or(|at| at > 5), "{late:?}");
}

#[test]
fn a_key_leads_to_the_same_worker_and_waits_for_it() {
    let (mut crew, now) = crew(CrewRules::default(), 8);
    let wanted = |key| Wanted {
        key: Some(key),
        tag: None,
    };
    let keeper = crew.keeper(42, None).unwrap();
    assert_eq!(crew.choose(&wanted(42)), Some(keeper));
    crew.begin(keeper, 0, now);
    assert_eq!(
        crew.choose(&wanted(42)),
        None,
        "it has its hands full, and nobody else will do"
    );
    let before: Vec<_> = (0..1_000).map(|key| crew.keeper(key, None)).collect();
    for number in 1..=8 {
        let share = before
            .iter()
            .filter(|keeper| **keeper == Some(number))
            .count();
        assert!((80..=180).contains(&share), "{number} has {share} of 1,000");
    }
    crew.drain(keeper);
    let after: Vec<_> = (0..1_000).map(|key| crew.keeper(key, None)).collect();
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after || *before == Some(keeper));
    }
}

#[test]
fn keys_of_whatever_size_are_shared_out() {
    let (crew, _) = crew(CrewRules::default(), 4);
    let keepers = |first: u64| (0..100).map(move |at| first.wrapping_sub(at));
    for first in [99, u64::MAX, u64::MAX << 32, 1 << 40] {
        let of_first = keepers(first).filter(|key| crew.keeper(*key, None) == Some(1));
        let share = of_first.count();
        assert!((10..45).contains(&share), "{share} of 100 below {first}");
    }
}

#[test]
fn a_tag_leads_to_one_that_has_it() {
    let now = t0();
    let mut crew: Crew<u32> = Crew::new(CrewRules::default());
    let (big, small): (Arc<str>, Arc<str>) = ("big".into(), "small".into());
    for (number, tag) in [(1, &big), (2, &small), (3, &small)] {
        crew.add(number, [Arc::clone(tag)], now);
        crew.on_standing(number, 1, true, now);
    }
    let wanted = |tag: &Arc<str>| Wanted {
        key: None,
        tag: Some(Arc::clone(tag)),
    };
    assert_eq!(crew.choose(&wanted(&big)), Some(1));
    crew.begin(1, 0, now);
    assert_eq!(crew.choose(&wanted(&big)), None);
    let first = crew.choose(&wanted(&small)).unwrap();
    let claim = crew.begin(first, 0, now).unwrap();
    crew.end(claim, true, now);
    let second = crew.choose(&wanted(&small)).unwrap();
    assert_ne!(first, second, "in turn");
    assert!(crew.has_tag("big") && !crew.has_tag("huge"));
    assert!(
        crew.keeper(1, Some(&big)) == Some(1) && crew.keeper(1, Some(&"huge".into())).is_none()
    );
}

#[test]
fn who_may_not_work_gets_nothing() {
    let (mut crew, now) = crew(CrewRules::default(), 3);
    let state = |crew: &Crew<u32>, number| {
        crew.each()
            .find(|worker| worker.number == number)
            .unwrap()
            .state
    };
    crew.on_standing(1, 1, false, now);
    crew.drain(2);
    crew.eject(3, true);
    assert_eq!(anybody(&mut crew), None);
    assert!(!crew.is_anybody_free());
    assert_eq!(
        [1, 2, 3].map(|number| state(&crew, number)),
        [
            WorkerState::Unhealthy,
            WorkerState::Draining,
            WorkerState::Ejected
        ]
    );
    assert_eq!((crew.size(), crew.able()), (2, 0));
    crew.eject(3, false);
    assert_eq!(anybody(&mut crew), Some(3));
    crew.add(4, [], now);
    assert_eq!(state(&crew, 4), WorkerState::Starting);
    assert_eq!(crew.begin(4, 0, now), None);
    assert_eq!(crew.counts().of(WorkerState::Starting), 1);
}

#[test]
fn a_life_that_ends_takes_its_jobs_along_and_an_old_claim_does_nothing() {
    let (mut crew, now) = crew(CrewRules::default().concurrency(2), 1);
    let first = crew.begin(1, 10, now).unwrap();
    crew.begin(1, 11, now).unwrap();
    assert_eq!(crew.on_end(1, 7), Vec::<u32>::new(), "of another life");
    assert_eq!(crew.on_end(1, 1), [10, 11]);
    assert_eq!((crew.in_flight(), crew.end(first, true, now)), (0, None));
    assert_eq!(crew.on_standing(1, 2, true, now), Vec::<u32>::new());
    let second = crew.begin(1, 12, now).unwrap();
    assert_eq!(crew.end(first, true, now), None);
    assert_eq!(crew.on_standing(1, 3, false, now), [12]);
    assert_eq!(crew.end(second, true, now), None);
    crew.on_standing(1, 3, true, now);
    crew.begin(1, 13, now).unwrap();
    assert_eq!(crew.remove(1), [13]);
    assert_eq!((crew.in_flight(), anybody(&mut crew)), (0, None));
}

#[test]
fn who_does_not_work_goes_first_then_the_oldest_then_the_idlest() {
    let rules = CrewRules::default().max_age(100 * SECOND);
    let now = t0();
    let mut crew: Crew<u32> = Crew::new(rules);
    crew.add(1, [], now);
    crew.on_standing(1, 1, true, now);
    let later = now + 200 * SECOND;
    for number in 2..=7 {
        crew.add(number, [], later);
        crew.on_standing(number, 1, true, later);
    }
    crew.add(8, [], later);
    crew.add(9, [], later);
    crew.on_standing(7, 1, false, later);
    crew.eject(6, true);
    crew.begin(5, 0, later);
    let claim = crew.begin(2, 0, later).unwrap();
    crew.end(claim, true, later + SECOND);
    assert_eq!(crew.victims(20, later + SECOND), [6, 7, 9, 8, 1, 3, 4, 2]);
    assert_eq!(crew.victims(2, later), [6, 7]);
    crew.drain(6);
    assert_eq!(crew.victims(1, later), [7]);
    assert!(crew.is_drained(6) && !crew.is_drained(5) && crew.is_drained(77));
}

#[test]
fn who_has_served_long_enough_is_told_the_idle_first() {
    let (mut crew, now) = crew(CrewRules::default().max_jobs(2).max_memory(100), 3);
    assert!(crew.served(now).is_empty());
    for _ in 0..2 {
        let claim = crew.begin(2, 0, now).unwrap();
        crew.end(claim, false, now);
    }
    crew.on_memory(1, 101);
    crew.begin(1, 0, now);
    assert_eq!(crew.served(now), [(2, Recycle::Jobs), (1, Recycle::Memory)]);
    crew.on_standing(2, 2, true, now);
    assert_eq!(
        crew.served(now),
        [(1, Recycle::Memory)],
        "a fresh life has done nothing"
    );
}

#[test]
fn those_who_came_together_do_not_go_together() {
    let (crew, now) = crew(CrewRules::default().max_age(100 * SECOND).seed(3), 200);
    let gone = |seconds| crew.served(now + seconds * SECOND).len();
    assert_eq!((gone(89), gone(111)), (0, 200));
    assert!((50..150).contains(&gone(100)), "{}", gone(100));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Add,
    Remove(u8),
    Stand(u8, bool),
    Restart(u8),
    End(u8),
    Drain(u8),
    Eject(u8, bool),
    Give(Option<u8>),
    Done(u16, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Add),
        1 => any::<u8>().prop_map(Step::Remove),
        8 => (any::<u8>(), proptest::bool::weighted(0.8)).prop_map(|(who, ready)| Step::Stand(who, ready)),
        2 => any::<u8>().prop_map(Step::Restart),
        2 => any::<u8>().prop_map(Step::End),
        1 => any::<u8>().prop_map(Step::Drain),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(who, ejected)| Step::Eject(who, ejected)),
        30 => proptest::option::weighted(0.2, any::<u8>()).prop_map(Step::Give),
        20 => (any::<u16>(), any::<bool>()).prop_map(|(which, ok)| Step::Done(which, ok)),
    ];
    proptest::collection::vec(step, 1..300)
}

/// What a naive list knows of one worker.
#[derive(Clone, Debug, Default)]
struct Known {
    generation: u32,
    ready: bool,
    draining: bool,
    ejected: bool,
    jobs: Vec<(Claim, u32)>,
}

impl Known {
    const fn has_room(&self, concurrency: u32) -> bool {
        self.ready && !self.draining && !self.ejected && self.jobs.len() < concurrency as usize
    }
}

fn dispatch() -> impl Strategy<Value = Dispatch> {
    proptest::sample::select(Dispatch::ALL)
}

proptest! {
    /// Each job ends once or is lost once; nobody has more than he may; somebody is found if, and only if, somebody has room.
    #[test]
    fn no_job_is_lost_unseen_and_nobody_has_too_many(steps in steps(), concurrency in 1_u32..4, dispatch in dispatch()) {
        let rules = CrewRules::default().concurrency(concurrency).dispatch(dispatch);
        let (mut crew, now) = crew(rules, 0);
        let mut known: BTreeMap<u32, Known> = BTreeMap::new();
        let (mut next, mut job) = (1, 0);
        let who = |known: &BTreeMap<u32, Known>, at: u8| {
            let len = known.len().max(1);
            known.keys().nth(usize::from(at) % len).copied().unwrap_or(0)
        };
        for step in steps {
            let (lost, expected) = match step {
                Step::Add => {
                    crew.add(next, [], now);
                    known.insert(next, Known::default());
                    next += 1;
                    (Vec::new(), Vec::new())
                }
                Step::Remove(at) => {
                    let number = who(&known, at);
                    (crew.remove(number), known.remove(&number).unwrap_or_default().jobs)
                }
                Step::Stand(at, ready) => {
                    let number = who(&known, at);
                    let generation = known.get_mut(&number).map_or(0, |worker| {
                        worker.ready = ready;
                        worker.generation
                    });
                    (crew.on_standing(number, generation, ready, now), Vec::new())
                }
                Step::Restart(at) => {
                    let number = who(&known, at);
                    let jobs = known.get_mut(&number).map(|worker| {
                        worker.ready = true;
                        worker.generation += 1;
                        (worker.generation, std::mem::take(&mut worker.jobs))
                    });
                    let (generation, jobs) = jobs.unwrap_or_default();
                    (crew.on_standing(number, generation, true, now), jobs)
                }
                Step::End(at) => {
                    let number = who(&known, at);
                    let jobs = known.get_mut(&number).map(|worker| {
                        worker.ready = false;
                        (worker.generation, std::mem::take(&mut worker.jobs))
                    });
                    let (generation, jobs) = jobs.unwrap_or_default();
                    (crew.on_end(number, generation), jobs)
                }
                Step::Drain(at) => {
                    let number = who(&known, at);
                    crew.drain(number);
                    if let Some(worker) = known.get_mut(&number) {
                        worker.draining = true;
                    }
                    (Vec::new(), Vec::new())
                }
                Step::Eject(at, ejected) => {
                    let number = who(&known, at);
                    crew.eject(number, ejected);
                    if let Some(worker) = known.get_mut(&number) {
                        worker.ejected = ejected;
                    }
                    (Vec::new(), Vec::new())
                }
                Step::Give(key) => {
                    let wanted = Wanted { key: key.map(u64::from), tag: None };
                    let keeper = wanted.key.and_then(|key| crew.keeper(key, None));
                    let chosen = crew.choose(&wanted);
                    match (chosen, wanted.key) {
                        (Some(number), Some(_)) => prop_assert_eq!(Some(number), keeper),
                        (Some(_), None) => {}
                        (None, Some(_)) => prop_assert!(keeper.is_none_or(|number| !known[&number].has_room(concurrency))),
                        (None, None) => prop_assert!(!known.values().any(|worker| worker.has_room(concurrency))),
                    }
                    if let Some(number) = chosen {
                        job += 1;
                        let claim = crew.begin(number, job, now);
                        prop_assert!(claim.is_some());
                        let worker = known.get_mut(&number).unwrap();
                        prop_assert!(worker.has_room(concurrency));
                        worker.jobs.push((claim.unwrap(), job));
                    }
                    (Vec::new(), Vec::new())
                }
                Step::Done(which, ok) => {
                    let claims: Vec<(Claim, u32)> = known.values().flat_map(|worker| worker.jobs.clone()).collect();
                    if let Some((claim, job)) = claims.get(usize::from(which) % claims.len().max(1)) {
                        prop_assert_eq!(crew.end(*claim, ok, now), Some(*job));
                        prop_assert_eq!(crew.end(*claim, ok, now), None);
                        known.get_mut(&claim.worker).unwrap().jobs.retain(|(its, _)| its != claim);
                    }
                    (Vec::new(), Vec::new())
                }
            };
            let mut lost = lost;
            lost.sort_unstable();
            let expected: Vec<u32> = expected.into_iter().map(|(_, job)| job).collect();
            prop_assert_eq!(lost, expected);
            let in_flight: usize = known.values().map(|worker| worker.jobs.len()).sum();
            prop_assert_eq!(crew.in_flight(), in_flight as u64);
            let free = known.values().any(|worker| worker.has_room(concurrency));
            prop_assert_eq!(crew.is_anybody_free(), free);
        }
    }
}

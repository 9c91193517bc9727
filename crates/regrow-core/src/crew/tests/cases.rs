//! What is known of single workers, and how they are compared.

use super::*;

fn state(crew: &Crew<u32>, number: u32) -> WorkerState {
    let worker = crew.each().find(|worker| worker.number == number);
    worker.unwrap().state
}

fn tags(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| (*name).into()).collect()
}

#[test]
fn those_that_have_a_tag_and_stay_are_counted() {
    let now = t0();
    let mut crew: Crew<u32> = Crew::new(CrewRules::default());
    for (number, names) in [
        (1, tags(&["big", "red"])),
        (2, tags(&["big"])),
        (3, tags(&["big"])),
    ] {
        crew.add(number, names, now);
    }
    crew.add(4, [], now);
    let counts = |crew: &Crew<u32>| ["big", "red", "odd"].map(|tag| crew.count_tag(tag));
    assert_eq!(counts(&crew), [3, 1, 0]);
    crew.drain(1);
    assert_eq!(counts(&crew), [2, 0, 0]);
    assert!(crew.has_tag("red"), "it is there still");
}

#[test]
fn a_life_is_unproven_until_it_is_ready_for_the_first_time() {
    let (mut crew, now) = crew(CrewRules::default(), 1);
    assert!(!crew.is_unproven(1));
    crew.on_standing(1, 2, false, now);
    assert!(crew.is_unproven(1));
    assert_eq!(state(&crew, 1), WorkerState::Starting);
    crew.on_standing(1, 2, true, now);
    crew.on_standing(1, 2, false, now);
    assert!(!crew.is_unproven(1));
    assert_eq!(state(&crew, 1), WorkerState::Unhealthy);
    assert!(!crew.is_unproven(9), "nobody is not waited for");
}

#[test]
fn a_life_is_as_old_as_it_is_long_that_it_began() {
    let (mut crew, now) = crew(CrewRules::default(), 1);
    assert_eq!(crew.age(1, now + 9 * SECOND), 9 * SECOND);
    crew.on_standing(1, 2, false, now + 5 * SECOND);
    assert_eq!(crew.age(1, now + 9 * SECOND), 4 * SECOND);
    assert_eq!(crew.age(9, now), Duration::ZERO);
}

#[test]
fn in_turn_everybody_is_given_one_before_anybody_gets_two() {
    let rules = CrewRules::default().dispatch(Dispatch::RoundRobin);
    let (mut crew, now) = crew(rules.concurrency(3), 3);
    let given = give(&mut crew, 7, now);
    assert_eq!(to_whom(&given), [1, 2, 3, 1, 2, 3, 1]);
}

#[test]
fn what_has_failed_is_counted_apart() {
    let (mut crew, now) = crew(CrewRules::default(), 1);
    for ok in [true, false, true, false, true] {
        let claim = crew.begin(1, 0, now).unwrap();
        crew.end(claim, ok, now);
    }
    let worker = crew.each().next().unwrap();
    assert_eq!((worker.done, worker.failed), (5, 2));
}

#[test]
fn there_are_as_many_in_a_state_as_are_in_it() {
    let (mut crew, now) = crew(CrewRules::default(), 4);
    crew.begin(1, 0, now);
    crew.begin(2, 0, now);
    let counts = crew.counts();
    let counts =
        [WorkerState::Busy, WorkerState::Idle, WorkerState::Ejected].map(|state| counts.of(state));
    assert_eq!(counts, [2, 2, 0]);
}

/// So many workers that all have something to do and room for more, all of them slow but this one.
fn one_is_quick(count: u32, quick: u32) -> Crew<u32> {
    let (mut crew, now) = crew(CrewRules::default().concurrency(2), count);
    for number in 1..=count {
        crew.begin(number, 0, now);
        let took = if number == quick { 1 } else { 10 };
        crew.took(number, took * SECOND, now);
    }
    crew
}

#[test]
fn of_few_all_are_compared() {
    let mut crew = one_is_quick(16, 7);
    for _ in 0..50 {
        assert_eq!(anybody(&mut crew), Some(7));
    }
}

#[test]
fn of_many_the_best_is_taken_when_it_is_one_of_the_two() {
    let mut crew = one_is_quick(17, 7);
    let times = (0..1_000).filter(|_| anybody(&mut crew) == Some(7)).count();
    // One less the square of 16 of 17: 114 of 1,000.
    assert!((70..170).contains(&times), "{times}");
}

#[test]
fn a_mean_comes_down_by_how_much_time_has_passed() {
    let (mut crew, now) = crew(CrewRules::default(), 1);
    crew.took(1, 10 * SECOND, now);
    crew.took(1, SECOND, now + 10 * SECOND);
    let load = crew.load(1);
    assert!((4.31..4.32).contains(&load), "{load}");
}

#[test]
fn who_leaves_or_was_never_up_is_not_told_to_have_served() {
    let (mut crew, now) = crew(CrewRules::default().max_age(SECOND), 2);
    crew.add(3, [], now);
    crew.on_standing(3, 1, false, now);
    crew.drain(1);
    assert_eq!(crew.served(now + 9 * SECOND), [(2, Recycle::Age)]);
}

#[test]
fn one_may_have_as_much_memory_as_the_rules_say() {
    let (mut crew, now) = crew(CrewRules::default().max_memory(100), 1);
    crew.on_memory(1, 100);
    assert!(crew.served(now).is_empty());
    crew.on_memory(1, 101);
    assert_eq!(crew.served(now), [(1, Recycle::Memory)]);
}

#[test]
fn of_those_with_several_jobs_at_once_who_has_fewest_goes_first() {
    let (mut crew, now) = crew(CrewRules::default().concurrency(3), 3);
    for number in [1, 1, 2, 3, 3] {
        crew.begin(number, 0, now).unwrap();
    }
    assert_eq!(crew.victims(9, now), [2, 1, 3]);
    assert_eq!(crew.spare(), 3);
    crew.drain(2);
    assert_eq!((crew.victims(1, now), crew.spare()), (vec![1], 2));
}

#[test]
fn the_last_of_a_kind_does_not_go() {
    let kinds: [Arc<str>; 2] = ["small".into(), "large".into()];
    let now = t0();
    let mut crew: Crew<u32> = Crew::new(CrewRules::default().keep_one_of(kinds.clone()));
    for (number, kind) in [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1)] {
        crew.add(number, [Arc::clone(&kinds[kind])], now);
        crew.on_standing(number, 1, true, now);
    }
    crew.add(6, [], now);
    crew.on_standing(6, 1, true, now);
    assert_eq!(crew.spare(), 4);
    assert_eq!(crew.victims(9, now), [1, 3, 4, 6]);
    crew.begin(5, 0, now).unwrap();
    crew.drain(1);
    assert_eq!((crew.victims(9, now), crew.spare()), (vec![3, 4, 6], 3));
}

#[test]
fn it_is_known_when_somebody_will_be_too_old() {
    let age = 100 * SECOND;
    let (mut crew, now) = crew(CrewRules::default().max_age(age), 2);
    let at = crew.next_served().unwrap();
    assert!(at >= now + age.mul_f64(0.9) && at <= now + age.mul_f64(1.1));
    let served = crew.served(at);
    assert_eq!(served.len(), 1, "and not before");
    crew.drain(served[0].0);
    assert!(crew.next_served().unwrap() >= at);
    assert_eq!(Crew::<u32>::new(CrewRules::default()).next_served(), None);
}

#[test]
fn rules_out_of_their_range_are_refused_by_name() {
    let wrong = |rules: CrewRules| rules.check().unwrap_err().to_string();
    assert_eq!(
        wrong(CrewRules::default().max_jobs(0)),
        "max_jobs: expected at least 1 job, got 0"
    );
    let expected = "max_age: expected more than no time at all, and up to 100 years, got";
    let zero = wrong(CrewRules::default().max_age(Duration::ZERO));
    assert_eq!(zero, format!("{expected} 0ns"));
    assert!(wrong(CrewRules::default().max_age(Duration::MAX)).starts_with(expected));
    assert!(wrong(CrewRules::default().max_memory(0)).starts_with("max_memory"));
    assert!(CrewRules::default().max_age(SECOND).check().is_ok());
}

#[test]
fn those_that_have_gone_are_not_looked_at_any_more() {
    let now = t0();
    let mut crew: Crew<u32> = Crew::new(CrewRules::default());
    for number in 1..=1_000 {
        crew.add(number, [], now);
    }
    for number in (1..=1_000).filter(|number| ![7, 500, 1_000].contains(number)) {
        crew.remove(number);
    }
    let numbers = |crew: &Crew<u32>| -> Vec<u32> { crew.each().map(|it| it.number).collect() };
    assert_eq!(numbers(&crew), [7, 500, 1_000]);
    assert_eq!(crew.each().size_hint().1, Some(3));
    crew.add(1_001, [], now);
    crew.add(3, [], now);
    assert!(crew.remove(500).is_empty() && crew.remove(500).is_empty());
    assert_eq!(numbers(&crew), [3, 7, 1_000, 1_001]);
    crew.on_standing(1_001, 4, true, now);
    assert_eq!(crew.generation(1_001), Some(4));
    assert_eq!(
        [1, 2, 500, 1_002].map(|number| crew.generation(number)),
        [None; 4]
    );
    crew.add(7, [], now);
    assert_eq!((crew.size(), crew.generation(7)), (4, Some(0)));
}

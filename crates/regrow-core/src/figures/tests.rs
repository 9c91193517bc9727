use proptest::prelude::*;

use super::*;
use crate::testing::t0;

fn cpu(seconds: u64) -> Spent {
    Spent {
        cpu: Duration::from_secs(seconds),
        ..Spent::default()
    }
}

/// Process `pid` below `parent`, which has used so many seconds itself and taken over so many.
fn process(pid: i32, parent: i32, own: u64, waited: u64) -> Reading {
    Reading {
        who: Who { pid, start_time: 1 },
        parent,
        is_living: true,
        memory_bytes: 10,
        threads: 2,
        descriptors: 3,
        own: cpu(own),
        waited: cpu(waited),
    }
}

/// The seconds that a life has used up after each of these looks.
fn seconds(looks: &[&[Reading]]) -> Vec<u64> {
    let start = t0();
    let mut meter = Meter::new(start);
    looks
        .iter()
        .map(|look| meter.on_sample(look, start).spent.cpu.as_secs())
        .collect()
}

#[test]
fn figures_are_sums_over_those_that_run() {
    let start = t0();
    let mut meter = Meter::new(start);
    let ended = Reading {
        is_living: false,
        ..process(3, 1, 2, 0)
    };
    let later = start + Duration::from_secs(4);
    let look = [process(1, 0, 3, 0), process(2, 1, 1, 0), ended];
    let expected = Figures {
        processes: 2,
        threads: 4,
        descriptors: 6,
        memory_bytes: 20,
        cpu_cores: 1.5,
        spent: cpu(6),
    };
    assert_eq!(meter.on_sample(&look, later), expected);
    // In the next two seconds one of them uses one.
    let look = [process(1, 0, 4, 0), process(2, 1, 1, 0), ended];
    let figures = meter.on_sample(&look, later + Duration::from_secs(2));
    assert_eq!((figures.cpu_cores, figures.spent), (0.5, cpu(7)));
    assert_eq!(meter.last(), figures);
}

#[test]
fn two_looks_at_the_same_time_divide_by_nothing() {
    let start = t0();
    let mut meter = Meter::new(start);
    assert_eq!(
        meter.on_sample(&[process(1, 0, 3, 0)], start).cpu_cores,
        0.0
    );
}

#[test]
fn what_a_parent_took_over_is_not_counted_twice() {
    let looks: [&[Reading]; 2] = [
        &[process(1, 0, 1, 0), process(2, 1, 5, 0)],
        &[process(1, 0, 1, 6)],
    ];
    assert_eq!(seconds(&looks), [6, 7]);
}

#[test]
fn what_nobody_took_over_stays_counted() {
    let looks: [&[Reading]; 3] = [
        &[process(1, 0, 1, 0), process(2, 1, 5, 0)],
        &[process(1, 0, 2, 0)],
        &[process(1, 0, 3, 0)],
    ];
    assert_eq!(seconds(&looks), [6, 7, 8]);
}

#[test]
fn what_passes_over_an_ended_parent_to_its_own_is_not_counted_twice() {
    let looks: [&[Reading]; 2] = [
        &[
            process(1, 0, 1, 0),
            process(2, 1, 2, 0),
            process(3, 2, 4, 0),
        ],
        &[process(1, 0, 1, 6)],
    ];
    assert_eq!(seconds(&looks), [7, 7]);
}

#[test]
fn short_lives_that_no_look_has_seen_count_through_their_parent() {
    let looks: [&[Reading]; 2] = [&[process(1, 0, 1, 0)], &[process(1, 0, 1, 9)]];
    assert_eq!(seconds(&looks), [1, 10]);
}

#[test]
fn an_end_of_all_keeps_what_was_used() {
    let looks: [&[Reading]; 2] = [&[process(1, 0, 1, 2), process(2, 1, 5, 0)], &[]];
    assert_eq!(seconds(&looks), [8, 8]);
}

#[test]
fn a_pid_that_was_given_away_again_is_somebody_else() {
    let again = Reading {
        who: Who {
            pid: 2,
            start_time: 9,
        },
        ..process(2, 1, 1, 0)
    };
    let looks: [&[Reading]; 2] = [
        &[process(1, 0, 0, 0), process(2, 1, 5, 0)],
        &[process(1, 0, 0, 0), again],
    ];
    assert_eq!(seconds(&looks), [5, 6]);
}

#[test]
fn a_counter_that_could_not_be_read_is_as_it_was() {
    let looks: [&[Reading]; 3] = [
        &[process(1, 0, 5, 1)],
        &[process(1, 0, 0, 0)],
        &[process(1, 0, 6, 1)],
    ];
    assert_eq!(seconds(&looks), [6, 6, 7]);
}

#[test]
fn parents_in_a_circle_end_the_search() {
    let looks: [&[Reading]; 2] = [&[process(1, 2, 1, 0), process(2, 1, 2, 0)], &[]];
    assert_eq!(seconds(&looks), [3, 3]);
}

/// What happens to a tree of processes between two looks.
#[derive(Debug, Clone)]
enum Step {
    /// This one works for so long.
    Work(usize, u64),
    /// This one has a child.
    Fork(usize),
    /// This one ends and is waited for by its parent; its children pass to nobody.
    EndWaited(usize),
    /// This one ends, and nobody waits for it.
    EndLost(usize),
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..8_usize, 1..9_u64).prop_map(|(who, time)| Step::Work(who, time)),
        2 => (0..8_usize).prop_map(Step::Fork),
        1 => (1..8_usize).prop_map(Step::EndWaited),
        1 => (1..8_usize).prop_map(Step::EndLost),
        2 => Just(Step::Look),
    ]
}

/// A tree of processes as a kernel keeps it.
struct Model {
    processes: Vec<Reading>,
    next_pid: i32,
    /// All that was ever used.
    used: u64,
    /// What was used by those that nobody waited for.
    lost: u64,
}

impl Model {
    fn step(&mut self, step: &Step) {
        let len = self.processes.len();
        match *step {
            Step::Work(who, time) => {
                self.used += time;
                let own = &mut self.processes[who % len].own;
                *own = own.plus(cpu(time));
            }
            Step::Fork(who) if len < 30 => {
                let parent = self.processes[who % len].who.pid;
                self.processes.push(process(self.next_pid, parent, 0, 0));
                self.next_pid += 1;
            }
            // The first is the leader, whose end is the end of all.
            Step::EndWaited(who) if who % len > 0 => {
                let ended = self.end(who % len);
                let all = ended.own.plus(ended.waited);
                match self
                    .processes
                    .iter_mut()
                    .find(|p| p.who.pid == ended.parent)
                {
                    Some(parent) => parent.waited = parent.waited.plus(all),
                    None => self.lost += all.cpu.as_secs(),
                }
            }
            Step::EndLost(who) if who % len > 0 => {
                let ended = self.end(who % len);
                self.lost += ended.own.plus(ended.waited).cpu.as_secs();
            }
            Step::Fork(_) | Step::EndWaited(_) | Step::EndLost(_) | Step::Look => {}
        }
    }

    fn end(&mut self, index: usize) -> Reading {
        let ended = self.processes.remove(index);
        for orphan in &mut self.processes {
            if orphan.parent == ended.who.pid {
                orphan.parent = 0;
            }
        }
        ended
    }
}

proptest! {
    #[test]
    fn what_is_used_up_never_falls_and_is_at_most_what_was_used(steps in prop::collection::vec(step(), 1..60)) {
        let start = t0();
        let mut meter = Meter::new(start);
        let mut model = Model { processes: vec![process(1, 0, 0, 0)], next_pid: 2, used: 0, lost: 0 };
        let mut before = 0;
        for step in &steps {
            model.step(step);
            if matches!(step, Step::Look) {
                let now = meter.on_sample(&model.processes, start).spent.cpu.as_secs();
                prop_assert!(now >= before, "{now} after {before}");
                prop_assert!(now <= model.used, "{now} of {}", model.used);
                prop_assert!(now + model.lost >= model.used, "{now} of {} with {} lost", model.used, model.lost);
                before = now;
            }
        }
    }
}

/// What each of these samples means to a watch with a limit of 100.
fn news(samples: &[u64]) -> Vec<MemoryNews> {
    let mut watch = MemoryWatch::new(MemoryLimit::new(100));
    samples
        .iter()
        .map(|bytes| watch.on_sample(*bytes))
        .collect()
}

#[test]
fn three_samples_above_the_limit_are_too_many() {
    use MemoryNews::{Above, Nothing, Relieved, TooLong};
    let table: &[(&[u64], &[MemoryNews])] = &[
        (&[100, 100, 100, 100], &[Nothing, Nothing, Nothing, Nothing]),
        (&[101, 101, 101], &[Above, Nothing, TooLong]),
        // Told once.
        (&[101, 101, 101, 101], &[Above, Nothing, TooLong, Nothing]),
        // Relieved, it begins anew.
        (
            &[101, 101, 90, 101, 101, 101],
            &[Above, Nothing, Relieved, Above, Nothing, TooLong],
        ),
        // A little below the limit is no relief, and is not held against it.
        (
            &[101, 91, 91, 101, 100, 101],
            &[Above, Nothing, Nothing, Nothing, Nothing, TooLong],
        ),
        (
            &[90, 0, 101, 0, 0],
            &[Nothing, Nothing, Above, Relieved, Nothing],
        ),
    ];
    for (samples, expected) in table {
        assert_eq!(news(samples), *expected, "{samples:?}");
    }
}

#[test]
fn how_many_samples_are_too_many_can_be_said() {
    let news = |samples| MemoryWatch::new(MemoryLimit::new(1).samples(samples)).on_sample(2);
    assert_eq!(news(1), MemoryNews::TooLong);
    assert_eq!(news(0), MemoryNews::TooLong);
    assert_eq!(news(2), MemoryNews::Above);
    let watch = MemoryWatch::new(MemoryLimit::new(7));
    assert_eq!(watch.limit().bytes(), 7);
}

#[test]
fn a_sum_near_the_limit_is_doubtful_where_several_may_share() {
    let limit = MemoryLimit::new(100);
    assert_eq!(limit.too_many(), 3);
    // Whether it is relieved is as much of a question as whether it is above.
    for (bytes, processes, expected) in [
        (90, 2, false),
        (91, 2, true),
        (1_000, 2, true),
        (1_000, 1, false),
        (1_000, 0, false),
    ] {
        let doubtful = limit.is_doubtful(bytes, processes);
        assert_eq!(doubtful, expected, "{bytes} of {processes}");
    }
}

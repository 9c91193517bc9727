//! The windows against lists of all results, and resilience4j's cases of them under their names.

use proptest::prelude::*;

use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// All results, with the second in which each came, counted from the begin.
struct Naive {
    begin: Instant,
    results: Vec<(u64, bool, bool)>,
}

impl Naive {
    fn figures(&self, size: WindowSize, now: Instant) -> Figures {
        let present = (now - self.begin).as_secs();
        let held = self.results.iter().rev();
        let held: Vec<_> = match size {
            WindowSize::Count(count) => held.take(count as usize).collect(),
            WindowSize::Time(time) => held
                .filter(|(second, ..)| present - second < time.as_secs())
                .collect(),
        };
        Figures {
            calls: held.len() as u64,
            failures: held.iter().filter(|(_, failed, _)| *failed).count() as u64,
            slow: held.iter().filter(|(.., slow)| *slow).count() as u64,
        }
    }
}

fn sizes() -> impl Strategy<Value = WindowSize> {
    prop_oneof![
        (1_u32..40).prop_map(WindowSize::Count),
        (1_u64..12).prop_map(|seconds| WindowSize::Time(Duration::from_secs(seconds))),
    ]
}

/// What comes after so many milliseconds: a result, a look, or the end of all that was.
#[derive(Clone, Copy, Debug)]
enum Step {
    Record(bool, bool),
    Look,
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let pause = prop_oneof![8 => 0_u64..400, 2 => 400_u64..4_000, 1 => 4_000_u64..60_000];
    let step = prop_oneof![
        20 => any::<(bool, bool)>().prop_map(|(failed, slow)| Step::Record(failed, slow)),
        4 => Just(Step::Look),
        1 => Just(Step::Clear),
    ];
    proptest::collection::vec((pause, step), 1..300)
}

proptest! {
    #[test]
    fn a_window_holds_what_a_list_of_all_results_holds(size in sizes(), steps in steps()) {
        let mut now = t0();
        let mut window = Window::new(size, now);
        let mut naive = Naive { begin: now, results: Vec::new() };
        for (pause, step) in steps {
            now += MS(pause);
            match step {
                Step::Record(failed, slow) => {
                    window.record(failed, slow, now);
                    naive.results.push(((now - naive.begin).as_secs(), failed, slow));
                }
                Step::Look => {}
                Step::Clear => {
                    window.clear(now);
                    naive = Naive { begin: now, results: Vec::new() };
                }
            }
            prop_assert_eq!(window.figures(now), naive.figures(size, now));
        }
    }
}

#[test]
fn a_time_before_that_of_the_newest_counts_as_that() {
    let begin = t0();
    let mut window = Window::new(WindowSize::Time(SECOND * 2), begin);
    window.record(true, false, begin + SECOND * 5);
    window.record(true, false, begin + SECOND);
    assert_eq!(window.figures(begin).calls, 2);
    assert_eq!(window.figures(begin + SECOND * 6).calls, 2);
    assert_eq!(window.figures(begin + SECOND * 7).calls, 0);
}

/// Both kinds of window, for the cases that are the same for them.
fn both(count: u32) -> [(Window, Instant); 2] {
    let now = t0();
    let time = Duration::from_secs(count.into());
    [WindowSize::Count(count), WindowSize::Time(time)].map(|size| (Window::new(size, now), now))
}

fn figures(calls: u64, failures: u64, slow: u64) -> Figures {
    Figures {
        calls,
        failures,
        slow,
    }
}

#[test]
fn check_initial_bucket_creation() {
    for (mut window, now) in both(5) {
        let empty = window.figures(now);
        assert_eq!(empty, Figures::default());
        assert_eq!((empty.failure_ratio(), empty.slow_ratio()), (None, None));
    }
}

#[test]
fn test_record_success_error_and_slow_success() {
    for (mut window, now) in both(5) {
        window.record(false, false, now);
        assert_eq!(window.figures(now), figures(1, 0, 0));
        window.record(true, false, now);
        assert_eq!(window.figures(now), figures(2, 1, 0));
        window.record(false, true, now);
        assert_eq!(window.figures(now), figures(3, 1, 1));
    }
}

#[test]
fn test_slow_calls_percentage() {
    for (mut window, now) in both(5) {
        for (failed, slow) in [
            (false, true),
            (true, true),
            (false, false),
            (false, false),
            (false, false),
        ] {
            window.record(failed, slow, now);
        }
        let seen = window.figures(now);
        assert_eq!(seen, figures(5, 1, 2));
        assert_eq!(
            (seen.failure_ratio(), seen.slow_ratio()),
            (Some(0.2), Some(0.4))
        );
    }
}

#[test]
fn test_move_head_index_by_one() {
    // The head is nobody's business here; what shows is that the ring goes round.
    let begin = t0();
    let mut count = Window::new(WindowSize::Count(3), begin);
    let mut time = Window::new(WindowSize::Time(SECOND * 3), begin);
    for step in 0..10 {
        let now = begin + SECOND * step;
        count.record(step % 2 == 0, false, now);
        time.record(step % 2 == 0, false, now);
        assert_eq!(count.figures(now), time.figures(now), "step {step}");
    }
    assert_eq!(count.figures(begin), figures(3, 1, 0));
}

#[test]
fn test_sliding_window_metrics() {
    let now = t0();
    let mut window = Window::new(WindowSize::Count(4), now);
    window.record(true, false, now);
    for calls in 2..=4 {
        window.record(false, false, now);
        assert_eq!(window.figures(now), figures(calls, 1, 0));
    }
    window.record(false, false, now);
    assert_eq!(window.figures(now), figures(4, 0, 0), "the failure is out");
}

#[test]
fn test_sliding_window_metrics_with_slow_calls() {
    let now = t0();
    let mut window = Window::new(WindowSize::Count(2), now);
    let steps = [
        (true, true, figures(1, 1, 1)),
        (false, true, figures(2, 1, 2)),
        (false, false, figures(2, 0, 1)),
        (false, false, figures(2, 0, 0)),
        (false, false, figures(2, 0, 0)),
    ];
    for (failed, slow, expected) in steps {
        window.record(failed, slow, now);
        assert_eq!(window.figures(now), expected);
    }
}

#[test]
fn should_clear_sliding_time_window_metrics() {
    let mut now = t0();
    let mut window = Window::new(WindowSize::Time(SECOND * 5), now);
    window.record(true, false, now);
    now += MS(100);
    window.record(false, false, now);
    now += MS(700);
    window.record(true, true, now);
    assert_eq!(window.figures(now), figures(3, 2, 1));
    now += SECOND * 4;
    assert_eq!(window.figures(now), figures(3, 2, 1));
    now += SECOND;
    assert_eq!(window.figures(now), Figures::default());
    now += MS(100);
    window.record(false, false, now);
    assert_eq!(window.figures(now), figures(1, 0, 0));
    now += SECOND * 5;
    window.record(false, false, now);
    assert_eq!(window.figures(now), figures(1, 0, 0));
}

#[test]
fn test_sliding_time_window_metrics() {
    let mut now = t0();
    let mut window = Window::new(WindowSize::Time(SECOND * 5), now);
    let steps = [
        (MS(0), true, figures(1, 1, 0)),
        (MS(100), false, figures(2, 1, 0)),
        (MS(100), false, figures(3, 1, 0)),
        (SECOND, false, figures(4, 1, 0)),
        (SECOND, false, figures(5, 1, 0)),
        (SECOND, true, figures(6, 2, 0)),
        (SECOND, false, figures(7, 2, 0)),
        // The first second is out.
        (SECOND, false, figures(5, 1, 0)),
        (SECOND, false, figures(5, 1, 0)),
        (SECOND * 5, false, figures(1, 0, 0)),
    ];
    for (pause, failed, expected) in steps {
        now += pause;
        window.record(failed, false, now);
        assert_eq!(window.figures(now), expected);
    }
}

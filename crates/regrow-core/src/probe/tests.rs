//! What a prober does beyond Kubernetes' cases.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::kubernetes::{life, next_runs, step};
use super::*;
use crate::phase::Health;
use crate::testing::t0;

use ProbeKind::{Custom, Liveness, Readiness, Startup};

const SECOND: Duration = Duration::from_secs(1);

fn plans(kinds: &[(ProbeKind, ProbeRules)]) -> Arc<[ProbePlan]> {
    let plans = kinds.iter().enumerate();
    let plans: Arc<[ProbePlan]> = plans
        .map(|(at, &(kind, rules))| ProbePlan::new(kind, rules).named(format!("{kind}-{at}")))
        .collect();
    check_plans(&plans).unwrap();
    plans
}

fn every(period: Duration) -> ProbeRules {
    ProbeRules {
        period,
        ..ProbeRules::default()
    }
}

/// The times of the first `n` runs, each answered at once.
fn times(seed: u64, rules: ProbeRules, n: usize) -> Vec<Duration> {
    let begin = t0();
    let mut now = begin;
    let mut prober = Prober::new(plans(&[(Liveness, rules)]), 1, begin, seed);
    (0..n)
        .map(|_| {
            drop(step(&mut prober, ProbeResult::Success, &mut now));
            now - begin
        })
        .collect()
}

#[test]
fn the_first_run_is_anywhere_in_the_period_and_that_of_a_seed_is_always_the_same() {
    let firsts: Vec<_> = (0..400)
        .map(|seed| times(seed, every(SECOND * 10), 1)[0])
        .collect();
    assert!(firsts.iter().all(|at| *at < SECOND * 10));
    for tenth in 0..10 {
        let of_it = firsts.iter().filter(|at| at.as_secs() == tenth).count();
        assert!(
            (20..=65).contains(&of_it),
            "{of_it} of 400 in second {tenth}"
        );
    }
    assert_eq!(times(5, every(SECOND), 20), times(5, every(SECOND), 20));
}

#[test]
fn runs_are_a_period_apart_give_or_take_a_tenth_and_do_not_drift() {
    for seed in 0..20 {
        let times = times(seed, every(SECOND * 10), 200);
        let apart: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let (least, most) = (apart.iter().min().unwrap(), apart.iter().max().unwrap());
        assert!(
            *least >= SECOND * 9 && *most <= SECOND * 11,
            "{least:?}, {most:?}"
        );
        assert!(*least < SECOND * 95 / 10 && *most > SECOND * 105 / 10);
        let all = times[199] - times[0];
        assert!(all >= SECOND * 1_989 && all <= SECOND * 1_991, "{all:?}");
    }
}

#[test]
fn a_run_that_takes_longer_than_the_period_is_alone_and_the_next_follows_at_once() {
    let mut now = t0();
    let mut prober = life(&[Liveness], 1, 3, now);
    let run = next_runs(&mut prober, &mut now)[0];
    assert_eq!(prober.next_deadline(), None);
    now += SECOND * 5;
    assert_eq!(prober.poll(now), []);
    assert_eq!(
        prober.on_result(run, ProbeResult::Success, now).len(),
        1,
        "its health"
    );
    assert!(prober.next_deadline().unwrap() <= now);
    assert_eq!(next_runs(&mut prober, &mut now).len(), 1);
    assert_eq!(next_runs(&mut prober, &mut now.clone()).len(), 0);
}

#[test]
fn what_was_polled_much_too_late_is_not_caught_up_with() {
    let mut now = t0();
    let mut prober = life(&[Liveness], 1, 3, now);
    now += SECOND * 100;
    let Directive::Run(run) = prober.poll(now)[0] else {
        panic!("it is due")
    };
    drop(prober.on_result(run, ProbeResult::Success, now));
    assert!(prober.next_deadline().unwrap() >= now + SECOND * 9 / 10);
}

#[test]
fn a_readiness_probe_that_waited_for_the_start_is_due_at_once_and_the_others_anywhere_in_their_period()
 {
    let mut now = t0();
    let delayed = ProbeRules {
        initial_delay: SECOND * 30,
        ..every(SECOND * 10)
    };
    let rules = every(SECOND * 10);
    let kinds = [
        (Startup, every(SECOND)),
        (Readiness, rules),
        (Liveness, rules),
        (Readiness, delayed),
    ];
    let begin = now;
    let mut prober = Prober::new(plans(&kinds), 1, now, 4);
    let started = step(&mut prober, ProbeResult::Success, &mut now);
    assert!(started.contains(&Directive::Started), "{started:?}");
    assert!(!started.contains(&Directive::Ready(true)));
    assert_eq!(prober.next_deadline(), Some(now));
    assert_eq!(next_runs(&mut prober, &mut now)[0].probe, 1);
    let at_start = now;
    assert_eq!(next_runs(&mut prober, &mut now)[0].probe, 2);
    assert!(now > at_start && now < at_start + rules.period);
    assert_eq!(next_runs(&mut prober, &mut now)[0].probe, 3);
    assert_eq!(
        now,
        begin + SECOND * 30,
        "its own delay is counted from the beginning"
    );
}

#[test]
fn every_startup_probe_has_to_succeed_and_one_that_fails_fails_the_start_once() {
    let mut now = t0();
    let rules = ProbeRules {
        failure_threshold: 1,
        ..every(SECOND)
    };
    let two = plans(&[(Startup, rules), (Startup, rules)]);
    let mut prober = Prober::new(Arc::clone(&two), 1, now, 1);
    let first = step(&mut prober, ProbeResult::Success, &mut now);
    assert!(!first.contains(&Directive::Started) && !prober.has_started());
    let second = step(&mut prober, ProbeResult::Success, &mut now);
    assert!(second.contains(&Directive::Started) && second.contains(&Directive::Ready(true)));

    let mut prober = Prober::new(two, 2, now, 1);
    now += SECOND;
    let runs = prober.poll(now);
    let [Directive::Run(one), Directive::Run(other)] = runs[..] else {
        panic!("{runs:?}")
    };
    let failed = prober.on_result(one, ProbeResult::Timeout, now);
    let told = |wanted| {
        failed
            .iter()
            .filter(|directive| **directive == wanted)
            .count()
    };
    assert_eq!(told(Directive::StartFailed { probe: one.probe }), 1);
    assert_eq!(told(Directive::Cancel(other)), 1);
    assert_eq!(prober.on_result(other, ProbeResult::Failure, now), []);
    assert_eq!(
        (prober.next_deadline(), prober.health()),
        (None, Health::Down)
    );
}

#[test]
fn a_result_of_an_earlier_life_is_ignored_and_so_is_one_that_was_cancelled() {
    let mut now = t0();
    let mut first = life(&[Liveness], 1, 1, now);
    let old = next_runs(&mut first, &mut now)[0];
    let mut second = Prober::new(first.plans().into(), 2, now, 7);
    now += SECOND;
    let run = next_runs(&mut second, &mut now)[0];
    assert_eq!((old.probe, old.seq), (run.probe, run.seq));
    assert_eq!(second.on_result(old, ProbeResult::Failure, now), []);
    assert!(second.is_current(run) && !second.is_current(old));

    assert_eq!(second.on_pause(now), [Directive::Cancel(run)]);
    second.on_resume(now);
    assert_eq!(second.on_result(run, ProbeResult::Failure, now), []);
    let next = next_runs(&mut second, &mut now)[0];
    assert_eq!(second.on_result(run, ProbeResult::Failure, now), []);
    assert!(second.is_current(next));
    let unknown = Run { probe: 9, ..next };
    assert_eq!(second.on_result(unknown, ProbeResult::Failure, now), []);
}

#[test]
fn the_time_of_a_child_that_is_held_stands_still() {
    let begin = t0();
    let mut now = begin;
    let mut prober = life(&[Readiness], 1, 1, now);
    let due = prober.next_deadline().unwrap();
    assert_eq!(prober.on_pause(now), []);
    assert_eq!(prober.next_deadline(), None);
    assert_eq!(prober.poll(now + SECOND * 100), []);
    assert_eq!(prober.on_pause(now + SECOND * 50), []);
    now += SECOND * 100;
    prober.on_resume(now);
    assert_eq!(prober.next_deadline(), Some(due + SECOND * 100));
    prober.on_resume(now + SECOND);
    assert_eq!(prober.next_deadline(), Some(due + SECOND * 100));
}

#[test]
fn a_delay_does_not_run_while_the_child_is_held() {
    let begin = t0();
    let delayed = ProbeRules {
        initial_delay: SECOND * 30,
        ..every(SECOND * 10)
    };
    let kinds = plans(&[(Startup, every(SECOND)), (Readiness, delayed)]);
    let mut prober = Prober::new(kinds, 1, begin, 4);
    drop(prober.on_pause(begin));
    let mut now = begin + SECOND * 100;
    prober.on_resume(now);
    drop(step(&mut prober, ProbeResult::Success, &mut now));
    assert_eq!(prober.next_deadline(), Some(begin + SECOND * 130));
}

#[test]
fn health_is_unknown_until_readiness_was_judged_and_stays_as_it_is_in_a_stop() {
    let mut now = t0();
    let two = ProbeRules {
        success_threshold: 2,
        failure_threshold: 1,
        ..every(SECOND)
    };
    let mut prober = Prober::new(
        plans(&[(Liveness, every(SECOND)), (Readiness, two)]),
        1,
        now,
        1,
    );
    let mut healths = Vec::new();
    for _ in 0..2 {
        prober.hasten(now);
        for run in next_runs(&mut prober, &mut now) {
            drop(prober.on_result(run, ProbeResult::Success, now));
        }
        healths.push(prober.health());
    }
    assert_eq!(healths, [Health::Unknown, Health::Up]);
    drop(prober.on_stop(now));
    let directives = step(&mut prober, ProbeResult::Failure, &mut now);
    assert!(
        directives.contains(&Directive::Ready(false)),
        "{directives:?}"
    );
    assert_eq!(prober.health(), Health::Up);
}

#[test]
fn a_stop_is_quiet_and_lets_time_go_on_for_readiness() {
    let mut now = t0();
    let mut prober = life(&[Startup, Liveness, Readiness], 1, 1, now);
    let run = next_runs(&mut prober, &mut now)[0];
    drop(prober.on_pause(now));
    let quiet = Directive::Changed {
        probe: 0,
        from: ProbeVerdict::Unknown,
        to: ProbeVerdict::Success,
        consecutive: 0,
    };
    assert_eq!(prober.on_stop(now), [quiet]);
    assert_eq!(prober.on_result(run, ProbeResult::Failure, now), []);
    assert_eq!(
        (prober.next_deadline(), prober.has_started()),
        (None, false)
    );
    assert_eq!(prober.health(), Health::Unknown);
}

#[test]
fn a_liveness_probe_that_fails_restarts_once_and_readiness_is_asked_on() {
    let mut now = t0();
    let rules = ProbeRules {
        failure_threshold: 1,
        ..every(SECOND)
    };
    let mut prober = Prober::new(
        plans(&[(Liveness, rules), (Liveness, rules), (Readiness, rules)]),
        1,
        now,
        1,
    );
    now += SECOND;
    let mut restarts = 0;
    for directive in prober.poll(now) {
        let Directive::Run(run) = directive else {
            panic!("{directive:?}")
        };
        let directives = prober.on_result(run, ProbeResult::Failure, now).into_iter();
        restarts += directives
            .filter(|told| matches!(told, Directive::Restart { .. }))
            .count();
    }
    assert_eq!(restarts, 1);
    let runs = next_runs(&mut prober, &mut now);
    assert_eq!(runs.iter().map(|run| run.probe).collect::<Vec<_>>(), [2]);
}

/// What comes out, the verdict then, whether it is ready, and its health.
type Step = (ProbeResult, ProbeVerdict, bool, Health);

#[rustfmt::skip]
const DEGRADING: [Step; 11] = [
    (ProbeResult::Failure, ProbeVerdict::Failure, false, Health::Unknown),
    (ProbeResult::Failure, ProbeVerdict::Failure, false, Health::Unknown),
    (ProbeResult::Warning, ProbeVerdict::Degraded, true, Health::Degraded),
    (ProbeResult::Success, ProbeVerdict::Success, true, Health::Up),
    (ProbeResult::Failure, ProbeVerdict::Success, true, Health::Up),
    (ProbeResult::Error, ProbeVerdict::Success, true, Health::Up),
    (ProbeResult::Timeout, ProbeVerdict::Degraded, true, Health::Degraded),
    (ProbeResult::Failure, ProbeVerdict::Degraded, true, Health::Degraded),
    (ProbeResult::Failure, ProbeVerdict::Failure, false, Health::Down),
    (ProbeResult::Warning, ProbeVerdict::Degraded, true, Health::Degraded),
    (ProbeResult::Success, ProbeVerdict::Success, true, Health::Up),
];

#[test]
fn a_warning_or_some_failures_degrade_and_the_child_may_still_be_given_work() {
    let mut now = t0();
    let rules = ProbeRules {
        warning_threshold: Some(2),
        failure_threshold: 4,
        ..every(SECOND)
    };
    let mut prober = Prober::new(plans(&[(Readiness, rules)]), 1, now, 1);
    for (at, (result, verdict, is_ready, health)) in DEGRADING.into_iter().enumerate() {
        let before = (prober.is_ready(), prober.health());
        let directives = step(&mut prober, result, &mut now);
        let found = (prober.verdict(0), prober.is_ready(), prober.health());
        assert_eq!(found, (verdict, is_ready, health), "step {at}");
        let ready = directives.contains(&Directive::Ready(is_ready));
        assert_eq!(ready, before.0 != is_ready, "step {at}: {directives:?}");
        let health = directives.contains(&Directive::Health {
            from: before.1,
            to: health,
        });
        assert_eq!(
            health,
            before.1 != prober.health(),
            "step {at}: {directives:?}"
        );
    }
}

#[test]
fn a_custom_probe_that_fails_degrades_and_does_nothing_else() {
    let mut now = t0();
    let mut prober = life(&[Custom], 1, 1, now);
    assert!(prober.is_ready());
    let directives = step(&mut prober, ProbeResult::Failure, &mut now);
    let changed = Directive::Changed {
        probe: 0,
        from: ProbeVerdict::Unknown,
        to: ProbeVerdict::Failure,
        consecutive: 1,
    };
    let health = Directive::Health {
        from: Health::Unknown,
        to: Health::Degraded,
    };
    assert_eq!(directives, [changed, health]);
    assert!(prober.is_ready() && prober.next_deadline().is_some());
}

#[test]
fn whoever_wants_to_know_now_has_every_probe_asked_that_may_be() {
    let mut now = t0();
    let mut prober = life(&[Liveness, Readiness], 1, 3, now);
    prober.hasten(now);
    let runs = next_runs(&mut prober, &mut now);
    assert_eq!(runs.len(), 2);
    prober.hasten(now);
    assert_eq!(prober.next_deadline(), None, "one run at a time");
    for run in runs {
        drop(prober.on_result(run, ProbeResult::Success, now));
    }
    let next = prober.next_deadline().unwrap() - now;
    assert!(
        next >= SECOND * 9 / 10 && next <= SECOND * 11 / 10,
        "{next:?}"
    );
    let mut held = life(&[Liveness], 1, 3, now);
    drop(held.on_pause(now));
    held.hasten(now);
    assert_eq!(held.next_deadline(), None);
}

#[test]
fn what_the_check_could_not_carry_out_neither_counts_nor_breaks_a_run() {
    let mut now = t0();
    let mut prober = life(&[Liveness], 1, 2, now);
    drop(step(&mut prober, ProbeResult::Failure, &mut now));
    for _ in 0..5 {
        assert_eq!(step(&mut prober, ProbeResult::Error, &mut now), []);
    }
    let directives = step(&mut prober, ProbeResult::Failure, &mut now);
    assert!(directives.contains(&Directive::Restart { probe: 0 }));
}

#[test]
fn a_child_that_has_to_speak_in_time_fails_when_it_does_not() {
    let begin = t0();
    let mut ttl = Ttl::new(SECOND * 10, begin);
    let at = |seconds: u32| begin + SECOND * seconds;
    assert_eq!(ttl.check(at(9)), CheckResult::success());
    let never = "has never said anything in 10.0s, and has to every 10.0s";
    assert_eq!(ttl.check(at(10)), CheckResult::failure(never));
    ttl.on_word(at(12));
    ttl.on_word(at(11));
    assert_eq!(ttl.check(at(21)), CheckResult::success());
    let silent = "said nothing for 13.5s, and has to every 10.0s";
    let late = at(25) + SECOND / 2;
    assert_eq!(ttl.check(late), CheckResult::failure(silent));
}

#[test]
fn a_queue_is_judged_by_its_oldest() {
    let judge = |oldest: Option<u32>| {
        let check = queue_age(oldest.map(|seconds| SECOND * seconds), SECOND * 10);
        (check.result, check.cause)
    };
    assert_eq!(judge(None), (ProbeResult::Success, "".into()));
    assert_eq!(judge(Some(4)), (ProbeResult::Success, "".into()));
    assert_eq!(
        judge(Some(5)),
        (
            ProbeResult::Warning,
            "the oldest has waited for 5.0s of 10.0s".into()
        )
    );
    assert_eq!(
        judge(Some(10)),
        (
            ProbeResult::Failure,
            "the oldest has waited for 10.0s, and may for 10.0s".into()
        )
    );
}

#[test]
fn memory_is_judged_by_its_limit_and_warned_of_near_it() {
    let judge = |mib: u64| memory(mib << 20, 1_000 << 20);
    assert_eq!(judge(900), CheckResult::success());
    assert_eq!(judge(901), CheckResult::warning("uses 901 of 1000 MiB"));
    assert_eq!(judge(1_000).result, ProbeResult::Warning);
    assert_eq!(
        judge(1_001),
        CheckResult::failure("uses 1001 MiB, and may 1000")
    );
    assert_eq!(memory(0, 0), CheckResult::success());
}

#[test]
fn an_instant_that_is_long_ago_is_no_reason_to_panic() {
    let now = t0();
    let mut prober = life(&[Liveness], 1, 1, now);
    drop(prober.on_pause(now));
    prober.on_resume(now.checked_sub(SECOND).unwrap_or(now));
    let ttl = Ttl::new(SECOND, now);
    let before: Instant = now.checked_sub(SECOND).unwrap_or(now);
    assert_eq!(ttl.check(before), CheckResult::success());
}

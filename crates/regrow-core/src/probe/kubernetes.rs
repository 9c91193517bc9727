//! The kubelet's own tests of its prober (`pkg/kubelet/prober/worker_test.go`, `prober_manager_test.go`), case by case under their
//! names.
//!
//! A script is read from left to right: what the check finds (`+` success, `-` failure, `!` the check itself went wrong), and the
//! verdict afterwards (`S` success, `F` failure, `U` unknown). `.` expects that the probe is not run any more, `|` is a new life.
//!
//! Left out: what concerns pods that have no container yet or no status, init containers and sidecars, and kubelets that are started
//! again under their pods (`TestAddPodContinuesAfterExistingWorker`, `TestAddRemovePodsWithRestartableInitContainer`,
//! `TestUpdatePodStatusWithInitContainers`, `TestUpdatePodStatusOnKubeletRestart…`). A [`Prober`] is made for one life of one child,
//! by whom that life belongs to: there is nobody to be asked whether it exists.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::testing::t0;

const SECOND: Duration = Duration::from_secs(1);

/// The probes of a life that was up from the beginning but for those of `kind`, each with these thresholds and a period of 1 s.
pub(super) fn life(kinds: &[ProbeKind], success: u32, failure: u32, now: Instant) -> Prober {
    let rules = ProbeRules {
        period: SECOND,
        success_threshold: success,
        failure_threshold: failure,
        ..ProbeRules::default()
    };
    let plans: Arc<[ProbePlan]> = kinds
        .iter()
        .map(|&kind| ProbePlan::new(kind, rules))
        .collect();
    check_plans(&plans).unwrap();
    Prober::new(plans, 1, now, 7)
}

/// Polls at the next deadline; which runs begin.
pub(super) fn next_runs(prober: &mut Prober, now: &mut Instant) -> Vec<Run> {
    let Some(at) = prober.next_deadline() else {
        return Vec::new();
    };
    *now = at.max(*now);
    let runs = prober.poll(*now).into_iter();
    runs.map(|directive| {
        let Directive::Run(run) = directive else {
            panic!("{directive:?}")
        };
        run
    })
    .collect()
}

/// Runs the only probe that is due, and hands in what came out.
pub(super) fn step(prober: &mut Prober, result: ProbeResult, now: &mut Instant) -> Vec<Directive> {
    let runs = next_runs(prober, now);
    let [run] = runs[..] else { panic!("{runs:?}") };
    prober.on_result(run, result, *now)
}

fn letter(verdict: ProbeVerdict) -> char {
    match verdict {
        ProbeVerdict::Unknown => 'U',
        ProbeVerdict::Success => 'S',
        ProbeVerdict::Degraded => 'D',
        ProbeVerdict::Failure => 'F',
    }
}

fn play(case: &str, kind: ProbeKind, success: u32, failure: u32, script: &str) {
    let mut now = t0();
    let mut prober = life(&[kind], success, failure, now);
    for (at, word) in script.split_whitespace().enumerate() {
        let mut letters = word.chars();
        let result = match letters.next().unwrap() {
            '+' => Some(ProbeResult::Success),
            '-' => Some(ProbeResult::Failure),
            '!' => Some(ProbeResult::Error),
            '|' => {
                prober = life(&[kind], success, failure, now);
                continue;
            }
            '.' => None,
            other => panic!("{other}"),
        };
        match result {
            Some(result) => drop(step(&mut prober, result, &mut now)),
            None => assert_eq!(
                prober.next_deadline(),
                None,
                "{case}, word {at} of {script}"
            ),
        }
        if let Some(verdict) = letters.next() {
            let found = letter(prober.verdict(0));
            assert_eq!(found, verdict, "{case}, word {at} of {script}");
        }
    }
}

/// Which case, for which kind, with which thresholds for success and failure. A first `.` is the verdict that a life begins with.
type Case = (&'static str, ProbeKind, u32, u32, &'static str);

#[rustfmt::skip]
const CASES: [Case; 13] = [
    ("TestDoProbe (successful)", ProbeKind::Liveness, 1, 3, ".S +S"),
    ("TestDoProbe (successful)", ProbeKind::Readiness, 1, 3, ".F +S"),
    ("TestDoProbe (successful)", ProbeKind::Startup, 1, 3, ".U +S"),
    ("TestFailureThreshold", ProbeKind::Readiness, 1, 3, "+S +S +S -S -S -F -F -F +S +S +S -S -S -F -F -F"),
    ("TestSuccessThreshold", ProbeKind::Readiness, 3, 1, "+F +F +S +S +S -F +F +F +S +S +S -F"),
    ("TestStartupProbeSuccessThreshold", ProbeKind::Startup, 1, 3, "+S ."),
    ("TestStartupProbeFailureThreshold", ProbeKind::Startup, 1, 3, "-U -U -F ."),
    ("TestHandleCrash", ProbeKind::Readiness, 1, 1, "+S !S !S -F !F +S"),
    ("TestOnHoldOnLivenessOrStartupCheckFailure", ProbeKind::Liveness, 1, 1, "-F .F | +S"),
    ("TestOnHoldOnLivenessOrStartupCheckFailure", ProbeKind::Startup, 1, 1, "-F .F | +S .S"),
    // The run of results begins anew, so that the next life has all its attempts too.
    ("TestResultRunOnLivenessCheckFailure", ProbeKind::Liveness, 1, 3, "+S -S -S -F . | -S -S -F"),
    ("TestResultRunOnStartupCheckFailure", ProbeKind::Startup, 1, 3, "-U -U -F . | -U -U -F"),
    ("TestStartupProbeDisabledByStarted", ProbeKind::Startup, 1, 2, "-U +S .S"),
];

#[test]
fn the_verdicts_of_the_kubelets_cases_are_reproduced() {
    for (case, kind, success, failure, script) in CASES {
        let script = match script.strip_prefix('.') {
            Some(rest) => {
                let prober = life(&[kind], success, failure, t0());
                assert!(rest.starts_with(letter(prober.verdict(0))), "{case}");
                &rest[1..]
            }
            None => script,
        };
        play(case, kind, success, failure, script);
    }
}

#[test]
fn test_initial_delay() {
    for kind in [ProbeKind::Liveness, ProbeKind::Readiness] {
        let begin = t0();
        let rules = ProbeRules {
            initial_delay: SECOND * 10,
            period: SECOND,
            ..ProbeRules::default()
        };
        let mut prober = Prober::new([ProbePlan::new(kind, rules)].into(), 1, begin, 3);
        assert_eq!(prober.poll(begin + SECOND * 9), []);
        assert_eq!(prober.verdict(0), kind.initial_verdict());
        let mut now = begin;
        drop(step(&mut prober, ProbeResult::Success, &mut now));
        assert!(now >= begin + SECOND * 10 && now < begin + SECOND * 11);
        assert_eq!(prober.verdict(0), ProbeVerdict::Success);
    }
}

#[test]
fn test_clean_up() {
    // To stop is harmless however often; what is left is no worker and no result: a Prober that is dropped has neither.
    for kind in [ProbeKind::Liveness, ProbeKind::Startup] {
        let mut now = t0();
        let mut prober = life(&[kind], 1, 3, now);
        drop(step(&mut prober, ProbeResult::Success, &mut now));
        for _ in 0..10 {
            assert_eq!(prober.on_stop(now), []);
        }
        assert_eq!(prober.next_deadline(), None);
    }
}

#[test]
fn test_liveness_probe_disabled_by_started() {
    let mut now = t0();
    let mut prober = life(&[ProbeKind::Startup, ProbeKind::Liveness], 1, 1, now);
    let runs = next_runs(&mut prober, &mut now);
    assert_eq!(runs.len(), 1, "only the startup probe: {runs:?}");
    assert_eq!(prober.verdict(1), ProbeVerdict::Success);
    drop(prober.on_result(runs[0], ProbeResult::Success, now));
    drop(step(&mut prober, ProbeResult::Failure, &mut now));
    assert_eq!(prober.verdict(1), ProbeVerdict::Failure);
}

#[test]
fn test_add_remove_pods() {
    // A child without probes is asked nothing.
    assert_eq!(life(&[], 1, 3, t0()).next_deadline(), None);
    let all = [
        ProbeKind::Readiness,
        ProbeKind::Liveness,
        ProbeKind::Startup,
    ];
    assert!(life(&all, 1, 3, t0()).next_deadline().is_some());
}

#[test]
fn test_stop_liveness_and_startup_and_test_cleanup_pods() {
    let mut now = t0();
    let kinds = [
        ProbeKind::Startup,
        ProbeKind::Liveness,
        ProbeKind::Readiness,
    ];
    let mut prober = life(&kinds, 1, 3, now);
    drop(step(&mut prober, ProbeResult::Success, &mut now));
    drop(prober.on_stop(now));
    for _ in 0..5 {
        let runs = next_runs(&mut prober, &mut now);
        let probes: Vec<_> = runs.iter().map(|run| run.probe).collect();
        assert_eq!(probes, [2], "readiness alone goes on");
        drop(prober.on_result(runs[0], ProbeResult::Success, now));
    }
}

#[test]
fn test_update_pod_status() {
    use ProbeKind::{Liveness, Readiness, Startup};
    // What the probes are, which have succeeded, and whether the child is ready then.
    let table: [(&[ProbeKind], &[usize], bool); 6] = [
        (&[Liveness], &[], true),
        (&[Readiness], &[0], true),
        (&[Readiness], &[], false),
        (&[Startup], &[], false),
        (&[Startup], &[0], true),
        (&[Startup, Readiness], &[0], false),
    ];
    for (kinds, succeeded, is_ready) in table {
        let mut now = t0();
        let mut prober = life(kinds, 1, 1, now);
        for &probe in succeeded {
            let runs = next_runs(&mut prober, &mut now);
            assert_eq!(runs[0].probe, probe);
            drop(prober.on_result(runs[0], ProbeResult::Success, now));
        }
        assert_eq!(prober.is_ready(), is_ready, "{kinds:?}, {succeeded:?}");
    }
}

#[test]
fn test_update_readiness() {
    let mut now = t0();
    let mut prober = life(&[ProbeKind::Readiness], 1, 1, now);
    let directives = step(&mut prober, ProbeResult::Success, &mut now);
    assert!(
        directives.contains(&Directive::Ready(true)),
        "{directives:?}"
    );
    let directives = step(&mut prober, ProbeResult::Failure, &mut now);
    assert!(
        directives.contains(&Directive::Ready(false)),
        "{directives:?}"
    );
}

#[test]
fn test_probe_workers_survive_sync_context_cancellation() {
    // A readiness that fails while the child is being stopped is told.
    let mut now = t0();
    let mut prober = life(&[ProbeKind::Readiness], 1, 1, now);
    drop(step(&mut prober, ProbeResult::Success, &mut now));
    assert_eq!(prober.on_stop(now), []);
    let directives = step(&mut prober, ProbeResult::Failure, &mut now);
    assert!(
        directives.contains(&Directive::Ready(false)),
        "{directives:?}"
    );
}

//! How right the probes are: a thousand actors over ten minutes, each with two faults at least, every verdict held against what was
//! true.
//!
//! A second of an actor is wrong when the verdict of its probes is not what has been true for longer than it may take to notice.
//! Nobody waits for real: the time is paused.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use regrow::probe::{CheckResult, Probe, ProbeRules, Progress, call, message};
use regrow::watchdog::Watchdog;
use regrow::{Address, Backoff, ChildSpec, Supervisor, System};
use tokio::time::Instant;

const ACTORS: usize = 1_000;
const RUN: u64 = 600;
const STALL: Duration = Duration::from_secs(10);
const FLAP: u64 = 60;

/// Does one thing after the other.
#[derive(Clone)]
struct Patient;

enum Do {
    Work(Duration),
    Crash,
    Ping(RpcReplyPort<CheckResult>),
}

impl Actor for Patient {
    type Msg = Do;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Do>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Do>,
        message: Do,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Do::Work(time) => tokio::time::sleep_until(Instant::now() + time).await,
            Do::Crash => return Err("as the plan has it".into()),
            Do::Ping(reply) => drop(reply.send(CheckResult::success())),
        }
        Ok(())
    }
}

/// What goes wrong with an actor. Only the first three are anything wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A handler that does not come back.
    Stall,
    Crash,
    /// What it depends on is away for a minute.
    Flap,
    /// Four hundred messages at once, of a tenth of a second each.
    Flood,
}

/// One fault: of whom, and at which second.
type Planned = (u64, usize, Fault);

/// Two faults for each, far enough apart.
fn plan() -> Vec<Planned> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    let mut plan = Vec::new();
    for actor in 0..ACTORS {
        for from in [30, 330] {
            let fault = [Fault::Stall, Fault::Crash, Fault::Flap, Fault::Flood];
            let fault = fault[usize::try_from(next(4)).unwrap_or(0)];
            plan.push((from + next(150), actor, fault));
        }
    }
    plan.sort_unstable_by_key(|(at, actor, _)| (*at, *actor));
    plan
}

/// What was told of one actor, and at which second.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Started,
    Ready,
    /// It may be given no work: a probe says so, or it is on its way out.
    Unready,
}

type Log = Arc<Mutex<Vec<Vec<(f64, Told)>>>>;

/// Plays the plan, and says what was told of each.
async fn play(
    plan: &[Planned],
    probes: impl Fn(Arc<AtomicBool>) -> Vec<Probe>,
) -> Vec<Vec<(f64, Told)>> {
    let supplied: Vec<Arc<AtomicBool>> = (0..ACTORS)
        .map(|_| Arc::new(AtomicBool::new(true)))
        .collect();
    let mut tree = Supervisor::new("root")
        .no_intensity_limit()
        .watchdog(Watchdog::default().stall(Duration::from_secs(100_000)));
    for (actor, supplied) in supplied.iter().enumerate() {
        let spec = ChildSpec::actor(actor.to_string(), Patient, ())
            .backoff(Backoff::none())
            .shutdown(Duration::from_secs(1));
        let spec = probes(Arc::clone(supplied))
            .into_iter()
            .fold(spec, ChildSpec::probe);
        tree = tree.child(spec);
    }
    let began = Instant::now();
    let system = System::start(tree).await.expect("it starts");
    let log: Log = Arc::new(Mutex::new(vec![vec![(0.0, Told::Started)]; ACTORS]));
    let written = Arc::clone(&log);
    let listener = move |event: &regrow::Event| {
        let told = match event.name() {
            "regrow.child.started" => Told::Started,
            "regrow.child.ready" => Told::Ready,
            "regrow.child.unready" | "regrow.child.stopping" | "regrow.child.terminated" => {
                Told::Unready
            }
            _ => return,
        };
        if let Ok(actor) = event.subject.path.id().parse::<usize>() {
            let at = began.elapsed().as_secs_f64();
            written.lock().expect("no panic")[actor].push((at, told));
        }
    };
    system
        .telemetry()
        .attach("accuracy", listener)
        .expect("the name is free");
    let addresses: Vec<Address<Do>> = (0..ACTORS)
        .map(|actor| {
            system
                .address(&format!("root/{actor}"))
                .expect("an address")
        })
        .collect();
    let mut returns: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    let mut faults = plan.iter().peekable();
    for second in 0..RUN {
        tokio::time::sleep_until(began + Duration::from_secs(second)).await;
        for actor in returns.remove(&second).unwrap_or_default() {
            supplied[actor].store(true, Ordering::SeqCst);
        }
        while let Some((_, actor, fault)) = faults.next_if(|(at, ..)| *at == second) {
            let send = |message| drop(addresses[*actor].send(message));
            match fault {
                Fault::Stall => send(Do::Work(Duration::from_secs(100_000))),
                Fault::Crash => send(Do::Crash),
                Fault::Flap => {
                    supplied[*actor].store(false, Ordering::SeqCst);
                    returns.entry(second + FLAP).or_default().push(*actor);
                }
                Fault::Flood => (0..400).for_each(|_| send(Do::Work(Duration::from_millis(100)))),
            }
        }
    }
    tokio::time::sleep_until(began + Duration::from_secs(RUN)).await;
    let told = log.lock().expect("no panic").clone();
    drop(system.shut_down().await);
    told
}

/// When an actor was truly unwell.
fn truth(plan: &[Planned], actor: usize, told: &[(f64, Told)]) -> Vec<(f64, f64)> {
    let restarted = |after: f64| {
        let mut starts = told
            .iter()
            .filter(|(at, told)| *told == Told::Started && *at >= after);
        starts.next().map_or(RUN as f64, |(at, _)| *at)
    };
    let of_it = plan.iter().filter(|(_, whose, _)| *whose == actor);
    of_it
        .filter_map(|(at, _, fault)| {
            let at = *at as f64;
            match fault {
                Fault::Stall => Some((at + STALL.as_secs_f64(), restarted(at))),
                Fault::Crash => Some((at, restarted(at))),
                Fault::Flap => Some((at, at + FLAP as f64)),
                Fault::Flood => None,
            }
        })
        .collect()
}

/// When the probes had it unwell.
fn verdicts(told: &[(f64, Told)]) -> Vec<(f64, f64)> {
    let mut unwell = Vec::new();
    let mut since = Some(0.0);
    for (at, told) in told {
        match told {
            Told::Ready => unwell.extend(since.take().map(|since| (since, *at))),
            Told::Unready => since = since.or(Some(*at)),
            Told::Started => {}
        }
    }
    unwell.extend(since.map(|since| (since, RUN as f64)));
    unwell
}

struct Score {
    wrong: u64,
    all: u64,
    /// Actors that were said to be unwell and had nothing but floods.
    false_alarms: usize,
}

fn score(plan: &[Planned], told: &[Vec<(f64, Told)>], patience: Duration) -> Score {
    let mut score = Score {
        wrong: 0,
        all: 0,
        false_alarms: 0,
    };
    let within =
        |spans: &[(f64, f64)], at: f64| spans.iter().any(|(from, to)| (*from..*to).contains(&at));
    for (actor, told) in told.iter().enumerate() {
        let (truth, verdicts) = (truth(plan, actor, told), verdicts(told));
        let edges: Vec<f64> = truth.iter().flat_map(|(from, to)| [*from, *to]).collect();
        for second in 0..RUN {
            let at = second as f64 + 0.5;
            let mut before = edges.iter().copied().filter(|edge| *edge <= at);
            let changed = before.by_ref().fold(0.0, f64::max);
            let late = at - changed > patience.as_secs_f64();
            score.all += 1;
            score.wrong += u64::from(late && within(&truth, at) != within(&verdicts, at));
        }
        let only_floods = truth.is_empty();
        score.false_alarms += usize::from(only_floods && verdicts.len() > 1);
    }
    score
}

fn supply(supplied: Arc<AtomicBool>) -> Probe {
    Probe::readiness(call(move || {
        let there = supplied.load(Ordering::SeqCst);
        std::future::ready(if there {
            CheckResult::success()
        } else {
            CheckResult::failure("what it depends on is away")
        })
    }))
    .named("supply")
}

#[expect(
    clippy::print_stdout,
    reason = "the figures are for those who ask with --nocapture"
)]
fn show(what: &str, score: &Score) -> f64 {
    let Score {
        wrong,
        all,
        false_alarms,
    } = *score;
    let right = 100.0 * (1.0 - wrong as f64 / all as f64);
    println!("{what}: {right:.4} % of {all} seconds right, {false_alarms} false alarms of floods");
    right
}

/// As late as a verdict may be: the default rules of these probes, whose period is 5 s.
fn patience() -> Duration {
    let rules = ProbeRules {
        period: Duration::from_secs(5),
        ..ProbeRules::default()
    };
    rules.detection_time()
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_actors_with_two_faults_each_nearly_every_second_is_judged_right() {
    let plan = plan();
    let probes = |supplied| {
        vec![
            Probe::liveness(Progress::stalled_after(STALL)),
            supply(supplied),
        ]
    };
    let told = play(&plan, probes).await;
    let score = score(&plan, &told, patience());
    let right = show("by progress", &score);
    assert!(right >= 99.9, "{right}");
    assert_eq!(score.false_alarms, 0);
}

#[tokio::test(start_paused = true)]
async fn by_pings_through_the_mailbox_floods_look_like_illness() {
    let plan = plan();
    let probes = |supplied| {
        let ping = Probe::readiness(message(Do::Ping)).named("ping");
        vec![ping, supply(supplied)]
    };
    let told = play(&plan, probes).await;
    let score = score(&plan, &told, patience());
    let right = show("by pings", &score);
    assert!(right < 99.9, "{right}");
    assert!(score.false_alarms > 0);
}

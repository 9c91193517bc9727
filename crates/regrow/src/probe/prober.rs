//! The task that asks: one for each life of a child with probes.
//!
//! It translates: [`regrow_core::probe::Prober`] decides what is asked when and what the answers mean, the supervisor does what follows.

use std::collections::VecDeque;
use std::fmt;
use std::hash::Hasher as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rapidhash::fast::RapidHasher;
use regrow_core::probe::{CheckResult, Directive, ProbeKind, ProbePlan, ProbeVerdict, Prober, Run};
use regrow_core::{Health, Phase};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::check::{Examination, Kind, Probed};
use super::{MAX_AT_ONCE, Probe, ProbeReport};
use crate::exit::Panic;
use crate::panics::{catch, guarded};
use crate::telemetry::{Payload, ProbeGauge};
use crate::time;

/// The turns of checks that wait for something, in the order in which they were due.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_AT_ONCE)))
    }
}

/// What a supervisor has to know of the probes of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The startup probes have succeeded.
    Started,
    /// Whether it may be given work, and why it may not.
    Ready { ready: bool, why: Arc<str> },
    /// What the probes say of it as a whole.
    Health(Health),
    /// It is to be ended, and may take so long if that is said.
    Failed {
        grace: Option<Duration>,
        why: Arc<str>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    On,
    Paused,
    Stopping,
}

/// The probes of a life, as its supervisor holds them. Dropped, nobody asks any more.
pub(crate) struct Probing {
    task: AbortHandle,
    mode: watch::Sender<Mode>,
    board: Arc<Board>,
    /// Every startup probe has succeeded, or there is none.
    pub(crate) has_started: bool,
    /// It may be given work, as far as its probes go.
    pub(crate) is_ready: bool,
    /// What the probes say of it as a whole.
    pub(crate) health: Health,
    /// Why it is being ended, if a probe has failed it.
    pub(crate) failed: Option<Arc<str>>,
}

impl fmt::Debug for Probing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probing").finish_non_exhaustive()
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Probing {
    /// Begins to ask. `tell` passes on what the supervisor has to know.
    pub(crate) fn begin(
        probes: &Arc<[Probe]>,
        life: Probed,
        tell: impl Fn(Finding) + Send + 'static,
    ) -> Self {
        let plans: Arc<[ProbePlan]> = probes.iter().map(|probe| probe.plan().clone()).collect();
        let prober = Prober::new(plans, life.generation(), time::now(), seed(&life));
        let (mode, modes) = watch::channel(Mode::On);
        let board = Arc::new(Board::new(&prober));
        let (has_started, is_ready) = (prober.has_started(), prober.is_ready());
        let examined = probes.iter().map(|probe| {
            let examined = catch(|| probe.check().examine(&life));
            let impossible = |panic| Examination::impossible(text_of(&panic));
            examined.unwrap_or_else(impossible).0
        });
        let tree = &life.context().tree;
        let gauges = prober.plans().iter().enumerate().map(|(probe, plan)| {
            let label = label_of(&life, plan);
            tree.census
                .probes
                .enter(label, plan.kind, is_well(prober.verdict(probe)))
        });
        let task = Task {
            examined: examined.collect(),
            gauges: gauges.collect(),
            under_way: probes.iter().map(|_| None).collect(),
            turns: tree.turns.clone(),
            prober,
            runs: JoinSet::new(),
            board: Arc::clone(&board),
            tell: Box::new(tell),
            life,
        };
        Self {
            task: tokio::spawn(task.run(modes)).abort_handle(),
            mode,
            board,
            has_started,
            is_ready,
            health: Health::Unknown,
            failed: None,
        }
    }

    /// The child is held: its time stands still.
    pub(crate) fn pause(&self) {
        self.enter(Mode::Paused);
    }

    /// The child goes on.
    pub(crate) fn resume(&self) {
        self.enter(Mode::On);
    }

    /// The child is being stopped.
    pub(crate) fn stopping(&self) {
        self.enter(Mode::Stopping);
    }

    /// How the probes stand.
    pub(crate) fn reports(&self) -> Vec<ProbeReport> {
        self.board.lock().clone()
    }

    fn enter(&self, mode: Mode) {
        // Who is being stopped is so until the end.
        self.mode.send_if_modified(|present| {
            let changes = *present != mode && *present != Mode::Stopping;
            if changes {
                *present = mode;
            }
            changes
        });
    }
}

/// The same for the same life of the same place, and different for its neighbours.
fn seed(life: &Probed) -> u64 {
    let mut hasher = RapidHasher::default();
    hasher.write(life.path().as_str().as_bytes());
    hasher.write_u32(life.generation());
    hasher.finish()
}

/// What a probe is called among those of all children.
fn label_of(life: &Probed, plan: &ProbePlan) -> Arc<str> {
    format!("{}/{}", life.context().type_name(), plan.name).into()
}

const fn is_well(verdict: ProbeVerdict) -> bool {
    match verdict {
        ProbeVerdict::Success | ProbeVerdict::Degraded => true,
        ProbeVerdict::Unknown | ProbeVerdict::Failure => false,
    }
}

/// How the probes of a life stand, for whoever looks.
struct Board(Mutex<Vec<ProbeReport>>);

impl Board {
    fn new(prober: &Prober) -> Self {
        let reports = prober.plans().iter().enumerate().map(|(probe, plan)| {
            let (name, kind) = (Arc::clone(&plan.name), plan.kind);
            ProbeReport {
                name,
                kind,
                verdict: prober.verdict(probe),
                last: None,
                why: Arc::default(),
            }
        });
        Self(Mutex::new(reports.collect()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<ProbeReport>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// So late may a run begin, or by a twentieth of its period, so that many begin at once: to wake a thread costs more than to look at
/// an actor.
const GRAIN: Duration = Duration::from_millis(20);

/// What came out of a run, and how long it took.
type Outcome = (Run, CheckResult, Duration);

struct Task {
    prober: Prober,
    examined: Vec<Kind>,
    gauges: Vec<ProbeGauge>,
    /// The runs that wait for something.
    runs: JoinSet<Outcome>,
    under_way: Vec<Option<AbortHandle>>,
    turns: Turns,
    board: Arc<Board>,
    tell: Box<dyn Fn(Finding) + Send>,
    life: Probed,
}

impl Task {
    async fn run(mut self, mut modes: watch::Receiver<Mode>) {
        let plans = self.prober.plans().iter();
        let shortest = plans.map(|plan| plan.rules.period).min();
        let grain = shortest.map_or(GRAIN, |period| GRAIN.min(period / 20));
        loop {
            let deadline = self.prober.next_deadline();
            let due = async {
                match deadline {
                    Some(at) => time::sleep_until(time::together(at, grain)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = modes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let mode = *modes.borrow_and_update();
                    self.enter(mode);
                }
                Some(done) = self.runs.join_next() => {
                    // One that was cancelled has nothing to say.
                    if let Ok((run, found, took)) = done {
                        let directives = self.found(run, &found, took);
                        self.perform(directives);
                    }
                }
                () = due => {
                    let directives = self.prober.poll(time::now());
                    self.perform(directives);
                }
            }
        }
    }

    fn enter(&mut self, mode: Mode) {
        let now = time::now();
        let directives = match mode {
            Mode::On => {
                self.prober.on_resume(now);
                Vec::new()
            }
            Mode::Paused => self.prober.on_pause(now),
            Mode::Stopping => self.prober.on_stop(now),
        };
        self.perform(directives);
    }

    fn perform(&mut self, directives: Vec<Directive>) {
        let mut todo = VecDeque::from(directives);
        while let Some(directive) = todo.pop_front() {
            match directive {
                Directive::Run(run) => todo.extend(self.carry_out(run)),
                Directive::Cancel(run) => {
                    if let Some(under_way) = self.under_way[run.probe].take() {
                        under_way.abort();
                    }
                }
                Directive::Changed {
                    probe,
                    from,
                    to,
                    consecutive,
                } => self.changed(probe, from, to, consecutive),
                Directive::Started => (self.tell)(Finding::Started),
                Directive::StartFailed { probe } | Directive::Restart { probe } => {
                    let (grace, why) = (self.plan(probe).rules.termination_grace, self.why(probe));
                    (self.tell)(Finding::Failed { grace, why });
                }
                Directive::Ready(ready) => {
                    let why = self.why_not_ready();
                    (self.tell)(Finding::Ready { ready, why });
                }
                Directive::Health { to, .. } => (self.tell)(Finding::Health(to)),
            }
        }
    }

    /// Begins a run; what follows from it, if it is over at once.
    fn carry_out(&mut self, run: Run) -> Vec<Directive> {
        match &mut self.examined[run.probe] {
            Kind::AtOnce(look) => {
                let began = time::now();
                let found = catch(|| look(began)).unwrap_or_else(|panic| panicked(&panic));
                self.found(run, &found, since(began))
            }
            Kind::Waiting(look) => {
                let look = match catch(look) {
                    Ok(look) => look,
                    Err(panic) => return self.found(run, &panicked(&panic), Duration::ZERO),
                };
                let timeout = self.prober.plans()[run.probe].rules.timeout;
                let turns = self.turns.clone();
                let one = async move {
                    // It is never closed.
                    let _turn = turns.0.acquire().await;
                    let began = time::now();
                    let found = match tokio::time::timeout(timeout, guarded(look)).await {
                        Ok(Ok(found)) => found,
                        Ok(Err(panic)) => panicked(&panic),
                        Err(_) => CheckResult::timeout(format!("no answer within {timeout:?}")),
                    };
                    (run, found, since(began))
                };
                self.under_way[run.probe] = Some(self.runs.spawn(one));
                Vec::new()
            }
        }
    }

    /// A run has come to its end: what follows.
    fn found(&mut self, run: Run, found: &CheckResult, took: Duration) -> Vec<Directive> {
        if !self.prober.is_current(run) {
            return Vec::new();
        }
        let (probe, result) = (run.probe, found.result);
        self.under_way[probe] = None;
        if let Some(report) = self.board.lock().get_mut(probe) {
            report.last = Some(result);
            report.why = found.cause.as_ref().into();
        }
        let (name, probe_kind) = self.named(probe);
        self.emit(|| Payload::ProbeExecuted {
            duration: took,
            probe: name,
            probe_kind,
            result,
        });
        self.prober.on_result(run, result, time::now())
    }

    fn changed(&mut self, probe: usize, from: ProbeVerdict, to: ProbeVerdict, consecutive: u32) {
        self.gauges[probe].set(is_well(to));
        if let Some(report) = self.board.lock().get_mut(probe) {
            report.verdict = to;
        }
        let (name, probe_kind) = self.named(probe);
        let why = match to {
            ProbeVerdict::Failure | ProbeVerdict::Degraded => Some(self.cause(probe)),
            ProbeVerdict::Unknown | ProbeVerdict::Success => None,
        };
        self.emit(|| Payload::ProbeChanged {
            consecutive,
            probe: name,
            probe_kind,
            from,
            to,
            why,
        });
    }

    fn emit(&self, payload: impl FnOnce() -> Payload) {
        let phase = if self.prober.has_started() {
            Phase::Running
        } else {
            Phase::Starting
        };
        self.life.context().emit(phase, payload);
    }

    fn plan(&self, probe: usize) -> &ProbePlan {
        &self.prober.plans()[probe]
    }

    fn named(&self, probe: usize) -> (Arc<str>, ProbeKind) {
        let plan = self.plan(probe);
        (Arc::clone(&plan.name), plan.kind)
    }

    /// What the last run of a probe has found.
    fn cause(&self, probe: usize) -> Arc<str> {
        let reports = self.board.lock();
        reports
            .get(probe)
            .map_or_else(Arc::default, |report| Arc::clone(&report.why))
    }

    /// That a probe has failed, in words.
    fn why(&self, probe: usize) -> Arc<str> {
        let (plan, cause) = (self.plan(probe), self.cause(probe));
        let kind = plan.kind.as_str();
        let name = if *plan.name == *kind {
            format!("its {kind} probe")
        } else {
            format!("its {kind} probe {:?}", plan.name)
        };
        if cause.is_empty() {
            format!("{name} failed").into()
        } else {
            format!("{name} failed: {cause}").into()
        }
    }

    /// Why it may not be given work: the first readiness probe that says so.
    fn why_not_ready(&self) -> Arc<str> {
        let plans = self.prober.plans().iter().enumerate();
        let failing = plans
            .filter(|(_, plan)| plan.kind == ProbeKind::Readiness)
            .find(|(probe, _)| !is_well(self.prober.verdict(*probe)));
        failing.map_or_else(Arc::default, |(probe, _)| self.why(probe))
    }
}

fn since(began: Instant) -> Duration {
    time::now().saturating_duration_since(began)
}

fn panicked(panic: &Panic) -> CheckResult {
    CheckResult::failure(text_of(panic))
}

fn text_of(panic: &Panic) -> String {
    format!("the check failed: {panic}")
}

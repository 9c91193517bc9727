//! Probes: regrow asks a child how it is, and acts on what it finds.
//!
//! A [`Probe`] is a [`Check`] with a purpose. A *startup* probe says when a child is up; until it succeeds the child is `starting`,
//! and when it fails its start has failed. A *liveness* probe that fails restarts the child, with the cause `probe`. A *readiness*
//! probe keeps a child out of the way of new work: the registry does not find it as `ready`. A *custom* probe shows in the child's
//! health and does nothing else. Thresholds, periods and what holds before anything is known are Kubernetes'; the decisions are
//! made in [`regrow_core::probe`], and tested there against the kubelet's own cases.
//!
//! ```
//! use std::time::Duration;
//! use regrow::probe::{CheckResult, Probe, Progress, call};
//! # use regrow::ChildSpec;
//! # fn database_answers() -> bool { true }
//! # fn child(worker: ChildSpec) -> ChildSpec {
//! worker
//!     // A handler that runs for more than 10 s is stuck, and so is a mailbox in which nothing moves.
//!     .probe(Probe::liveness(Progress::stalled_after(Duration::from_secs(10))))
//!     // While the database is away nobody is sent here; the worker itself is well and is left alone.
//!     .probe(Probe::readiness(call(|| async {
//!         if database_answers() {
//!             CheckResult::success()
//!         } else {
//!             CheckResult::failure("the database does not answer")
//!         }
//!     })))
//! # }
//! ```
//!
//! What a liveness probe looks at has to be the child itself. One that asks for a dependency restarts healthy children when that is
//! down, all of them at once, and brings nobody back; so [`Probe::liveness`] takes an [`OwnCheck`] only:
//!
//! ```compile_fail,E0277
//! use regrow::probe::{CheckResult, Probe, call};
//!
//! let probe = Probe::liveness(call(|| async { CheckResult::success() }));
//! ```
//!
//! Each life of a child with probes has one task that asks; of a probe at most one run is under way, and of checks that wait at most
//! [`MAX_AT_ONCE`] in a system.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use regrow_core::ChildKind;
pub use regrow_core::phi::{InvalidPhi, PhiRules};
pub use regrow_core::probe::{
    CheckResult, InvalidProbe, ProbeKind, ProbePlan, ProbeResult, ProbeRules, ProbeVerdict,
};

mod check;
mod own;
mod prober;
mod pulse;

pub use check::{
    Call, Check, Examination, Message, OfTheChildAlone, OwnCheck, Probed, call, message,
};
pub use own::{Memory, Progress, QueueAge};
pub(crate) use prober::{Finding, Probing, Turns};
pub use pulse::{Beat, Heartbeat, Pulse, Ttl};

/// How many checks that wait for something run at once in a system. More stand in line; their time begins when they run.
pub const MAX_AT_ONCE: usize = 32;

/// How often an actor, a task or a thread is asked, unless told otherwise.
const PERIOD: Duration = Duration::from_secs(5);

/// What is asked of a child, and what for. Defaults are Kubernetes' but for the period: 5 s, a timeout of 1 s, one success, three
/// failures.
#[derive(Clone)]
#[must_use]
pub struct Probe {
    plan: ProbePlan,
    check: Arc<dyn Check>,
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Probe {
    fn eq(&self, other: &Self) -> bool {
        self.plan == other.plan && Arc::ptr_eq(&self.check, &other.check)
    }
}

impl Probe {
    /// Restarts the child when it fails.
    pub fn liveness(check: impl OwnCheck) -> Self {
        Self::new(ProbeKind::Liveness, check)
    }

    /// Keeps the child out of the way of new work while it fails. It does until it has succeeded once.
    pub fn readiness(check: impl Check) -> Self {
        Self::new(ProbeKind::Readiness, check)
    }

    /// Says when the child is up: no other probe runs before, and a failure is a failed start. How long a start may take is up to
    /// it: initial delay, period and failure threshold take the place of the start timeout as soon as there is somebody to ask.
    pub fn startup(check: impl Check) -> Self {
        Self::new(ProbeKind::Startup, check)
    }

    /// Shows in the child's health, under this name, and does nothing else.
    pub fn custom(name: impl Into<Arc<str>>, check: impl Check) -> Self {
        Self::new(ProbeKind::Custom, check).named(name)
    }

    fn new(kind: ProbeKind, check: impl Check) -> Self {
        let rules = ProbeRules {
            period: PERIOD,
            ..ProbeRules::default()
        };
        Self {
            plan: ProbePlan::new(kind, rules),
            check: Arc::new(check),
        }
    }

    /// What it is called, where a child has more than one of a kind: each needs a name that no other probe of the child has. The
    /// word for its kind by default.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.plan = self.plan.named(name);
        self
    }

    /// All rules at once.
    pub fn rules(mut self, rules: ProbeRules) -> Self {
        self.plan.rules = rules;
        self
    }

    /// How long after the begin of the life it is first asked; at once by default. What is due first is spread over a period.
    pub fn initial_delay(mut self, delay: Duration) -> Self {
        self.plan.rules.initial_delay = delay;
        self
    }

    /// How long from one run to the next; 5 s by default.
    pub fn period(mut self, period: Duration) -> Self {
        self.plan.rules.period = period;
        self
    }

    /// How long one run may take, which is a failure then; 1 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.plan.rules.timeout = timeout;
        self
    }

    /// How many successes in a row it takes after a failure; 1 by default, and always for liveness and startup.
    pub fn success_threshold(mut self, successes: u32) -> Self {
        self.plan.rules.success_threshold = successes;
        self
    }

    /// How many failures in a row it takes; 3 by default.
    pub fn failure_threshold(mut self, failures: u32) -> Self {
        self.plan.rules.failure_threshold = failures;
        self
    }

    /// How many failures in a row make the child `degraded`: it may still be given work. None by default.
    pub fn warning_threshold(mut self, failures: u32) -> Self {
        self.plan.rules.warning_threshold = Some(failures);
        self
    }

    /// How long a child that this probe ends may take to stop before it is killed, in place of its own time. Not for readiness.
    pub fn termination_grace(mut self, grace: Duration) -> Self {
        self.plan.rules.termination_grace = Some(grace);
        self
    }

    /// What it is for, what it is called, and by which rules it goes.
    #[must_use]
    pub const fn plan(&self) -> &ProbePlan {
        &self.plan
    }

    pub(crate) const fn kind(&self) -> ProbeKind {
        self.plan.kind
    }

    pub(crate) fn check(&self) -> &Arc<dyn Check> {
        &self.check
    }
}

/// How one probe of a child stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProbeReport {
    /// What it is called.
    pub name: Arc<str>,
    /// What it is for.
    pub kind: ProbeKind,
    /// What it says.
    pub verdict: ProbeVerdict,
    /// What the last run has found; `None` before the first.
    pub last: Option<ProbeResult>,
    /// Why, in words; empty when all is well.
    pub why: Arc<str>,
}

/// Whether these can be the probes of a child of this kind.
pub(crate) fn check_probes(probes: &[Probe], kind: ChildKind) -> Result<(), String> {
    let plans: Vec<ProbePlan> = probes.iter().map(|probe| probe.plan.clone()).collect();
    regrow_core::probe::check_plans(&plans).map_err(|error| error.to_string())?;
    for probe in probes {
        let suits = probe.check.suits(kind);
        suits.map_err(|reason| format!("probe {:?}: {reason}", probe.plan.name))?;
    }
    Ok(())
}

//! `restart` and `stop`: what they come to, and their parts as they were written, the agent's own over the defaults, and checked together.

use std::time::Duration;

use regrow_core::Restart;
use regrow_process::{ExitRules, Stage, StopPlan};

use super::error::{Place, Problem};
use super::exits::ExitsPart;
use super::expand::Fill;
use super::read::{Field, Found, Reader, Shape};
use super::tree::Value;
use super::units::{self, A_DURATION, in_words};

/// When an agent is started again, and when regrow gives up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RestartConfig {
    /// After which ends.
    pub(crate) policy: Restart,
    /// The first delay.
    pub(crate) base: Duration,
    /// What each further delay is multiplied by, 1 to 100.
    pub(crate) factor: f64,
    /// The longest delay, at least `base`.
    pub(crate) max: Duration,
    /// How much a delay may differ by chance, as a share of it, 0 to 1.
    pub(crate) jitter: f64,
    /// With more restarts than this …
    pub(crate) max_restarts: u32,
    /// … within this time the agent is parked.
    pub(crate) within: Duration,
    /// After this time up the delays begin anew.
    pub(crate) stable_after: Duration,
    /// What its exit codes and signals mean.
    pub(crate) exits: ExitRules,
}

impl Default for RestartConfig {
    fn default() -> Self {
        Self {
            policy: Restart::Transient,
            base: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(60),
            jitter: 0.2,
            max_restarts: 5,
            within: Duration::from_secs(60),
            stable_after: Duration::from_secs(60),
            exits: ExitRules::default(),
        }
    }
}

impl RestartConfig {
    /// How long the delays of the first `max_restarts` restarts take in all, without jitter.
    pub(crate) fn shortest_time_to_limit(&self) -> Duration {
        let mut delay = self.base;
        let mut total = Duration::ZERO;
        for _ in 0..self.max_restarts {
            total += delay;
            let longer = Duration::try_from_secs_f64(delay.as_secs_f64() * self.factor);
            delay = longer.unwrap_or(self.max).min(self.max);
        }
        total
    }
}

/// How an agent is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StopConfig {
    /// The signal that asks it to stop.
    pub(crate) signal: StopSignal,
    /// How long each step may take; the whole takes as long as `stop.timeout` at most.
    pub(crate) plan: StopPlan,
    /// A line on stdin that asks it to stop, before the signal.
    pub(crate) line: Option<String>,
}

impl Default for StopConfig {
    fn default() -> Self {
        Self {
            signal: StopSignal::Term,
            plan: StopPlan::default(),
            line: None,
        }
    }
}

/// A signal that asks an agent to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopSignal {
    /// SIGTERM.
    Term,
    /// SIGINT.
    Int,
    /// SIGHUP.
    Hup,
    /// SIGQUIT.
    Quit,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
}

const RESTART_KEYS: &[&str] = &[
    "policy",
    "base",
    "factor",
    "max",
    "jitter",
    "max_restarts",
    "within",
    "stable_after",
    "success_codes",
    "restart_on",
    "never_on",
];

const STOP_KEYS: &[&str] = &[
    "signal",
    "timeout",
    "line",
    "drain",
    "ask",
    "close_stdin",
    "terminate",
];

/// The steps whose time can be given by name; force and sweep have theirs.
const STEPS: [Stage; 4] = [
    Stage::Drain,
    Stage::Ask,
    Stage::CloseStdin,
    Stage::Terminate,
];

/// How long a stop takes at most, where nothing is said.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// What a `restart` says.
#[derive(Debug, Clone, Default)]
pub(crate) struct RestartPart {
    policy: Option<Found<Restart>>,
    base: Option<Found<Duration>>,
    factor: Option<Found<f64>>,
    max: Option<Found<Duration>>,
    jitter: Option<Found<f64>>,
    max_restarts: Option<Found<u32>>,
    within: Option<Found<Duration>>,
    stable_after: Option<Found<Duration>>,
    exits: ExitsPart,
}

/// Something odd about settings that are each right.
pub(crate) struct Oddity {
    /// Where one of them stands.
    pub(crate) place: Place,
    /// The way to that one.
    pub(crate) way: String,
    /// What is odd.
    pub(crate) text: String,
}

impl RestartPart {
    /// Reads a word, which is the policy, or a mapping.
    pub(crate) fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> Self {
        let policy = Shape::new(
            "permanent, transient, temporary, or a mapping",
            &units::policy,
        );
        match &field.node.value {
            Value::Map(_) => {}
            Value::Scalar(_) | Value::List(_) => {
                return Self {
                    policy: reader.value(field, &policy),
                    ..Self::default()
                };
            }
        }
        let Some(fields) = reader.known_fields(field, "restart", RESTART_KEYS) else {
            return Self::default();
        };
        let policy = Shape::new("permanent, transient or temporary", &units::policy);
        let duration = Shape::new(A_DURATION, &units::some_duration);
        let (factor, share, count) = (
            units::decimal(1.0..=100.0),
            units::decimal(0.0..=1.0),
            units::whole(0..=10_000),
        );
        let factor = Shape::new("a number from 1 to 100", &factor);
        let share = Shape::new("a number from 0 to 1", &share);
        let count = Shape::new("a whole number from 0 to 10000", &count);
        let mut time = |key| {
            fields
                .get(key)
                .and_then(|field| reader.value(&field, &duration))
        };
        let (base, max, within, stable_after) = (
            time("base"),
            time("max"),
            time("within"),
            time("stable_after"),
        );
        Self {
            policy: reader.value_at(&fields, "policy", &policy),
            base,
            factor: reader.value_at(&fields, "factor", &factor),
            max,
            jitter: reader.value_at(&fields, "jitter", &share),
            max_restarts: reader.value_at(&fields, "max_restarts", &count),
            within,
            stable_after,
            exits: ExitsPart::read(reader, &fields),
        }
    }

    /// These settings, and those of `under` where these say nothing.
    pub(crate) fn over(self, under: &Self) -> Self {
        Self {
            policy: self.policy.or_else(|| under.policy.clone()),
            base: self.base.or_else(|| under.base.clone()),
            factor: self.factor.or_else(|| under.factor.clone()),
            max: self.max.or_else(|| under.max.clone()),
            jitter: self.jitter.or_else(|| under.jitter.clone()),
            max_restarts: self.max_restarts.or_else(|| under.max_restarts.clone()),
            within: self.within.or_else(|| under.within.clone()),
            stable_after: self.stable_after.or_else(|| under.stable_after.clone()),
            exits: self.exits.over(&under.exits),
        }
    }

    /// The settings with the defaults of the program; what does not go together is noted.
    pub(crate) fn settle(&self, reader: &mut Reader<'_>) -> RestartConfig {
        let program = RestartConfig::default();
        let settled = RestartConfig {
            policy: said(self.policy.as_ref(), program.policy),
            base: said(self.base.as_ref(), program.base),
            factor: said(self.factor.as_ref(), program.factor),
            max: said(self.max.as_ref(), program.max),
            jitter: said(self.jitter.as_ref(), program.jitter),
            max_restarts: said(self.max_restarts.as_ref(), program.max_restarts),
            within: said(self.within.as_ref(), program.within),
            stable_after: said(self.stable_after.as_ref(), program.stable_after),
            exits: self.exits.settle(reader),
        };
        if settled.base > settled.max {
            let (base, max) = (in_words(settled.base), in_words(settled.max));
            let problem = Problem::Unexpected {
                expected: format!("base <= max, the longest delay ({max})"),
                got: format!("base {base}"),
                hint: Some("raise max or lower base".to_owned()),
            };
            if let Some(place) = [spot(self.base.as_ref()), spot(self.max.as_ref())]
                .into_iter()
                .flatten()
                .min()
            {
                reader.note(place.place, &place.way, problem);
            }
        }
        settled
    }

    /// The settings of an agent. For one that runs once `permanent` cannot be meant: its own is refused, that of the defaults is
    /// for the others.
    pub(crate) fn settle_as(&self, reader: &mut Reader<'_>, once: bool) -> RestartConfig {
        let mut settled = self.settle(reader);
        if once && settled.policy == Restart::Permanent {
            settled.policy = Restart::Transient;
            if let Some(own) = self
                .policy
                .as_ref()
                .filter(|found| !found.way.starts_with("defaults."))
            {
                let problem = Problem::Unexpected {
                    expected: "transient or temporary, because once is true".to_owned(),
                    got: "permanent".to_owned(),
                    hint: Some(
                        "one that is always started again never comes to its end".to_owned(),
                    ),
                };
                reader.note(own.place, &own.way, problem);
            }
        }
        settled
    }

    /// Says so when the delays are so long that the restart limit can never be reached.
    pub(crate) fn oddity(&self, settled: &RestartConfig) -> Option<Oddity> {
        let needed = settled.shortest_time_to_limit();
        if settled.policy == Restart::Temporary || needed <= settled.within {
            return None;
        }
        let spots = [
            spot(self.within.as_ref()),
            spot(self.max_restarts.as_ref()),
            spot(self.base.as_ref()),
            spot(self.factor.as_ref()),
            spot(self.max.as_ref()),
        ];
        let Spot { way, place, .. } = spots.into_iter().flatten().min()?;
        let RestartConfig {
            max_restarts,
            within,
            ..
        } = settled;
        let text = format!(
            "the limit of {max_restarts} restarts within {} is never reached, because their delays take {} in all: \
             an agent that always fails is restarted for ever; raise within, or lower base, factor or max_restarts",
            in_words(*within),
            in_words(needed),
        );
        Some(Oddity { place, way, text })
    }
}

/// Where a setting stands; the agent's own ones come before those of the defaults.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    of_defaults: bool,
    place: Place,
    way: String,
}

fn spot<T>(found: Option<&Found<T>>) -> Option<Spot> {
    found.map(|Found { way, place, .. }| Spot {
        of_defaults: way.starts_with("defaults."),
        place: *place,
        way: way.clone(),
    })
}

fn said<T: Copy>(found: Option<&Found<T>>, program: T) -> T {
    found.map_or(program, |found| found.value)
}

/// What a `stop` says.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopPart {
    signal: Option<Found<StopSignal>>,
    timeout: Option<Found<Duration>>,
    /// In the order of `STEPS`.
    steps: [Option<Found<Duration>>; 4],
    /// The line that asks the agent to stop.
    pub(crate) line: Option<Found<String>>,
}

impl StopPart {
    /// Reads a mapping.
    pub(crate) fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> Self {
        let Some(fields) = reader.known_fields(field, "stop", STOP_KEYS) else {
            return Self::default();
        };
        let signal = Shape::new("one of TERM, INT, HUP, QUIT, USR1, USR2", &units::signal);
        let timeout = Shape::new(A_DURATION, &units::some_duration);
        let step = Shape::new(A_DURATION, &units::duration);
        let line = Shape {
            expected: "one line such as \"exit\"",
            fill: Fill::Now,
            parse: &units::stop_line,
        };
        Self {
            signal: reader.value_at(&fields, "signal", &signal),
            timeout: reader.value_at(&fields, "timeout", &timeout),
            steps: STEPS.map(|stage| reader.value_at(&fields, stage.as_str(), &step)),
            line: reader.value_at(&fields, "line", &line),
        }
    }

    /// These settings, and those of `under` where these say nothing.
    pub(crate) fn over(self, under: &Self) -> Self {
        Self {
            signal: self.signal.or_else(|| under.signal.clone()),
            timeout: self.timeout.or_else(|| under.timeout.clone()),
            steps: std::array::from_fn(|step| {
                self.steps[step]
                    .clone()
                    .or_else(|| under.steps[step].clone())
            }),
            line: self.line.or_else(|| under.line.clone()),
        }
    }

    /// The settings with the defaults of the program; what does not go together is noted.
    pub(crate) fn settle(&self, reader: &mut Reader<'_>) -> StopConfig {
        let program = StopConfig::default();
        StopConfig {
            signal: said(self.signal.as_ref(), program.signal),
            plan: self.plan(reader),
            line: self.line.as_ref().map(|line| line.value.clone()),
        }
    }

    /// How long each step takes.
    fn plan(&self, reader: &mut Reader<'_>) -> StopPlan {
        let total = said(self.timeout.as_ref(), STOP_TIMEOUT);
        let steps = STEPS.iter().zip(&self.steps);
        let named: Vec<_> = steps
            .filter_map(|(stage, found)| Some((*stage, found.as_ref()?.value)))
            .collect();
        if let Some(plan) = StopPlan::fitting(total, &named) {
            return plan;
        }
        let steps = self.steps.iter().map(|step| spot(step.as_ref()));
        let first = steps.chain([spot(self.timeout.as_ref())]).flatten().min();
        if let Some(Spot { way, place, .. }) = first {
            let sum: Duration = named.iter().map(|(_, budget)| *budget).sum();
            let problem = Problem::Unexpected {
                expected: format!(
                    "steps that fit into the timeout ({}) with room for force and sweep",
                    in_words(total)
                ),
                got: format!("{} of steps", in_words(sum)),
                hint: Some("raise stop.timeout or shorten a step".to_owned()),
            };
            reader.note(place, &way, problem);
        }
        StopPlan::within(total)
    }
}

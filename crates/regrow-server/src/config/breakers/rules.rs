//! The rules of a breaker, under the names of [`CircuitRules`], and what they are where nothing is said.

use std::time::Duration;

use regrow::breaker::{CircuitRules, Overdue, WindowSize};
use regrow_core::Backoff;
use regrow_core::circuit::LONGEST_WAIT;

use crate::config::error::Problem;
use crate::config::probes::note;
use crate::config::read::{Field, Fields, Found, Reader, Shape};
use crate::config::tree::Value;
use crate::config::units::{self, A_DURATION, A_SHARE, Refusal, in_words};
use crate::gateway::HEADER_TIME;

const WAIT_KEYS: &[&str] = &["base", "factor", "max", "jitter", "stable_after"];

/// The most calls that a rule may name.
const MOST_CALLS: u32 = 100_000;

/// The most trials.
const MOST_TRIALS: u32 = 10_000;

/// The longest window of time.
const LONGEST_WINDOW: Duration = Duration::from_secs(3_600);

/// So long trials may be out at least, where nothing is said.
const SHORTEST_DEADLINE: Duration = Duration::from_secs(30);

/// And so much longer than a call may take.
const MARGIN: Duration = Duration::from_secs(5);

/// Where nothing is said, of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usual {
    /// Of a breaker that is called by others: the library's.
    Called,
    /// Of one with a check, which makes few calls, each of which may take so long.
    Checked {
        /// The check's own timeout, if it could be read.
        timeout: Option<Duration>,
    },
    /// Of an agent's own.
    Own,
}

/// How long a circuit stays open.
#[derive(Debug, Clone, Copy)]
struct Waits {
    base: Duration,
    factor: f64,
    max: Duration,
    jitter: f64,
    stable_after: Duration,
}

impl Usual {
    /// The rules, but for failures in a row and the wait.
    fn rules(self) -> CircuitRules {
        let rules = CircuitRules::default();
        match self {
            Self::Called => rules,
            Self::Checked { .. } => rules.half_open_permits(1),
            Self::Own => rules
                .window(WindowSize::Time(Duration::from_secs(10)))
                .half_open_permits(1),
        }
    }

    /// After how many failures in a row it opens.
    fn row(self) -> Option<u32> {
        match self {
            Self::Called => None,
            // A call every ten seconds never makes 20 in a window; so many failures are what a probe takes for one.
            Self::Checked { .. } => Some(3),
            Self::Own => Some(5),
        }
    }

    /// All of it.
    pub(super) fn all(self) -> CircuitRules {
        in_a_row(self.rules(), self.row())
            .open_wait(self.waits().backoff())
            .half_open_deadline(self.deadline(None))
    }

    /// How long trials may be out: somewhat longer than the longest of them may take.
    fn deadline(self, call_timeout: Option<Duration>) -> Duration {
        let longest = match self {
            Self::Called | Self::Own => call_timeout.unwrap_or(HEADER_TIME),
            Self::Checked { timeout } => timeout.max(call_timeout).unwrap_or_default(),
        };
        longest.max(SHORTEST_DEADLINE) + MARGIN
    }

    fn waits(self) -> Waits {
        let (base, max) = match self {
            Self::Called | Self::Checked { .. } => (5, 300),
            Self::Own => (10, 60),
        };
        Waits {
            base: Duration::from_secs(base),
            factor: 2.0,
            max: Duration::from_secs(max),
            jitter: 0.2,
            stable_after: Duration::from_secs(60),
        }
    }
}

impl Waits {
    fn backoff(self) -> Backoff {
        Backoff::exponential(self.base..=self.max)
            .factor(self.factor)
            .jitter(self.jitter)
            .reset_after(self.stable_after)
    }
}

/// The rules of one breaker.
pub(super) fn rules(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    fields: &Fields<'_>,
    usual: Usual,
) -> Option<CircuitRules> {
    let before = reader.errors.len();
    let mut rules = usual.rules();
    let window = Shape::new(A_WINDOW, &window);
    if let Some(found) = reader.value_at(fields, "window", &window) {
        rules = rules.window(found.value);
    }
    rules = counts(reader, fields, rules, usual);
    let share = Shape::new(A_SHARE, &units::share);
    for (key, set) in SHARES {
        if let Some(found) = reader.value_at(fields, key, &share) {
            rules = set(rules, found.value);
        }
    }
    let time = Shape::new(A_DURATION, &units::some_duration);
    if let Some(found) = reader.value_at(fields, "slow_threshold", &time) {
        rules = rules.slow_threshold(found.value);
    }
    rules = calls(reader, fields, rules, usual);
    let overdue = Shape::new("open or close", &overdue);
    if let Some(found) = reader.value_at(fields, "half_open_overdue", &overdue) {
        rules = rules.half_open_overdue(found.value);
    }
    let waits = match fields.get("open_wait") {
        Some(field) => waits(reader, &field, usual.waits()),
        None => usual.waits(),
    };
    rules = rules.open_wait(waits.backoff());
    if reader.errors.len() > before {
        return None;
    }
    match rules.check() {
        Ok(()) => Some(rules),
        // Nothing that was let through is wrong; should it be, it is said.
        Err(wrong) => {
            let place = fields.get(wrong.field);
            let place = place.as_ref().unwrap_or(field);
            note(
                reader,
                place,
                wrong.expected.to_owned(),
                &wrong.got,
                "correct it or remove it",
            );
            None
        }
    }
}

type Set<T> = fn(CircuitRules, T) -> CircuitRules;

const SHARES: [(&str, Set<f64>); 3] = [
    ("failure_ratio", CircuitRules::failure_ratio),
    ("slow_ratio", CircuitRules::slow_ratio),
    ("half_open_success", CircuitRules::half_open_success),
];

/// How long a call may take, and how long a trial, which is to be back by then.
fn calls(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    mut rules: CircuitRules,
    usual: Usual,
) -> CircuitRules {
    let time = Shape::new(A_DURATION, &units::some_duration);
    let bounded = at_most(HEADER_TIME);
    let bounded = Shape::new(A_DURATION, &bounded);
    let within = match usual {
        Usual::Called | Usual::Own => &bounded,
        // It bounds the check and starts, and no request.
        Usual::Checked { .. } => &time,
    };
    let timeout = reader.value_at(fields, "call_timeout", within);
    if let Some(found) = &timeout {
        rules = rules.call_timeout(found.value);
    }
    let Some(deadline) = reader.value_at(fields, "half_open_deadline", &time) else {
        let timeout = timeout.map(|found| found.value);
        return rules.half_open_deadline(usual.deadline(timeout));
    };
    if let Some(found) = &timeout {
        in_time(reader, found, deadline.value);
    }
    if let Some(found) = of_check(reader, fields, usual) {
        in_time(reader, &found, deadline.value);
    }
    rules.half_open_deadline(deadline.value)
}

/// The timeout of a check that could be read, and where it stands.
fn of_check(reader: &mut Reader<'_>, fields: &Fields<'_>, usual: Usual) -> Option<Found<Duration>> {
    let value = match usual {
        Usual::Checked { timeout } => timeout?,
        Usual::Called | Usual::Own => return None,
    };
    let check = fields.get("check")?;
    let at = reader.fields(&check, "a check")?.get("timeout");
    let Field { way, place, .. } = at.unwrap_or(check);
    Some(Found { value, way, place })
}

/// A call that may take longer than trials may be out closes nothing.
fn in_time(reader: &mut Reader<'_>, timeout: &Found<Duration>, deadline: Duration) {
    if timeout.value <= deadline {
        return;
    }
    let deadline = in_words(deadline);
    let problem = Problem::Unexpected {
        expected: format!("at most half_open_deadline ({deadline}), when a trial has to be back"),
        got: in_words(timeout.value),
        hint: Some("raise half_open_deadline, or lower this".to_owned()),
    };
    reader.note(timeout.place, &timeout.way, problem);
}

/// A duration that is no longer than this.
fn at_most(longest: Duration) -> impl Fn(&str) -> Result<Duration, Refusal> {
    move |text| match units::some_duration(text)? {
        time if time > longest => {
            let longest = in_words(longest);
            Err(Refusal::new(format!("{A_DURATION}, at most {longest}")))
        }
        time => Ok(time),
    }
}

fn counts(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    mut rules: CircuitRules,
    usual: Usual,
) -> CircuitRules {
    let calls = units::whole(1..=MOST_CALLS);
    let minimum = reader.value_at(
        fields,
        "minimum_calls",
        &Shape::new("a whole number", &calls),
    );
    if let Some(found) = minimum {
        rules = rules.minimum_calls(found.value);
    }
    let row = |text: &str| match text {
        "none" => Ok(None),
        count => calls(count)
            .map(Some)
            .map_err(|refusal| Refusal::new(format!("{}, or none", refusal.expected))),
    };
    let row = Shape::new("a whole number, or none", &row);
    let row = reader.value_at(fields, "consecutive_failures", &row);
    rules = in_a_row(rules, row.map_or(usual.row(), |found| found.value));
    let trials = units::whole(1..=MOST_TRIALS);
    let trials = Shape::new("a whole number", &trials);
    if let Some(found) = reader.value_at(fields, "half_open_permits", &trials) {
        rules = rules.half_open_permits(found.value);
    }
    rules
}

fn in_a_row(rules: CircuitRules, failures: Option<u32>) -> CircuitRules {
    match failures {
        Some(failures) => rules.consecutive_failures(failures),
        None => rules,
    }
}

const A_WINDOW: &str = "whole seconds such as 30s, up to 1h, or a number such as 100 calls";

fn window(text: &str) -> Result<WindowSize, Refusal> {
    let wrong = |_| Refusal::new(A_WINDOW);
    if let Some(count) = text.strip_suffix("calls") {
        let count = units::whole(1..=MOST_CALLS)(count.trim_end()).map_err(wrong)?;
        return Ok(WindowSize::Count(count));
    }
    let time = units::seconds(text).map_err(wrong)?;
    if time > LONGEST_WINDOW {
        return Err(Refusal::new(A_WINDOW));
    }
    Ok(WindowSize::Time(time))
}

fn overdue(text: &str) -> Result<Overdue, Refusal> {
    match text {
        "open" => Ok(Overdue::Open),
        "close" => Ok(Overdue::Close),
        _ => Err(Refusal::new("open or close")),
    }
}

/// A time, which is the first wait, or a mapping with the words of `restart`.
fn waits(reader: &mut Reader<'_>, field: &Field<'_>, usual: Waits) -> Waits {
    let time = Shape::new(A_DURATION, &units::some_duration);
    let bounded = at_most(LONGEST_WAIT);
    let wait = Shape::new(A_DURATION, &bounded);
    let fields = match &field.node.value {
        Value::Map(_) => reader.known_fields(field, "open_wait", WAIT_KEYS),
        Value::Scalar(_) | Value::List(_) => {
            let time = Shape::new("a duration such as 10s, or a mapping", &bounded);
            let base = reader.value(field, &time);
            let base = base.map_or(usual.base, |found| found.value);
            let max = usual.max.max(base);
            return Waits { base, max, ..usual };
        }
    };
    let Some(fields) = fields else { return usual };
    let mut span = |key, shape| reader.value_at(&fields, key, shape);
    let (base, max) = (span("base", &wait), span("max", &wait));
    let stable_after = span("stable_after", &time);
    let (factor, jitter) = (units::decimal(1.0..=100.0), units::decimal(0.0..=1.0));
    let factor = reader.value_at(
        &fields,
        "factor",
        &Shape::new("a number from 1 to 100", &factor),
    );
    let jitter = reader.value_at(
        &fields,
        "jitter",
        &Shape::new("a number from 0 to 1", &jitter),
    );
    if let (Some(base), Some(max)) = (&base, &max)
        && base.value > max.value
    {
        let problem = Problem::Unexpected {
            expected: format!("base <= max, the longest wait ({})", in_words(max.value)),
            got: format!("base {}", in_words(base.value)),
            hint: Some("raise max or lower base".to_owned()),
        };
        reader.note(base.place.min(max.place), &base.way, problem);
    }
    // One of the two alone moves the other out of its way.
    let said = |found: Option<Found<Duration>>| found.map(|found| found.value);
    let (base, max) = match (said(base), said(max)) {
        (Some(base), Some(max)) => (base, max),
        (Some(base), None) => (base, usual.max.max(base)),
        (None, Some(max)) => (usual.base.min(max), max),
        (None, None) => (usual.base, usual.max),
    };
    Waits {
        base,
        max,
        factor: factor.map_or(usual.factor, |found| found.value),
        jitter: jitter.map_or(usual.jitter, |found| found.value),
        stable_after: said(stable_after).unwrap_or(usual.stable_after),
    }
}

//! How many workers a pool has, and how the work gets to them.

use std::collections::BTreeMap;
use std::time::Duration;

use regrow::pool::{Dispatch, Overflow, OverloadRules, ScalerRules, Target};

use crate::config::error::Problem;
use crate::config::probes::note;
use crate::config::read::{Field, Fields, Found, Reader, Shape};
use crate::config::units::{self, A_DURATION, A_SHARE, Refusal};

/// The most workers that a pool may have.
const MOST_WORKERS: u32 = 1000;

/// The most jobs that may wait, and that a worker may have.
const MOST_JOBS: u32 = 1_000_000;

/// The largest weight of a tenant.
const MOST_WEIGHT: u32 = 1_000_000;

/// How long a request waits for a worker at most, where nothing is said.
const WAIT: Duration = Duration::from_secs(30);

/// How long a need is remembered, where nothing is said: a process takes long to start.
const WINDOW: Duration = Duration::from_secs(300);

/// How long a worker that goes may take to finish what it has, where nothing is said.
const DRAIN: Duration = Duration::from_secs(30);

const SCALE_KEYS: &[&str] = &[
    "window",
    "smoothing",
    "utilisation",
    "burst",
    "tolerance",
    "up",
    "down",
    "idle_to_zero",
    "queue_age",
    "observe_only",
];

/// How many workers a pool has, and how the work gets to them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PoolRules {
    /// Between which bounds its size follows the work, and how.
    pub(crate) scaler: ScalerRules,
    /// Its size stays as it begins, and what it would be is told.
    pub(crate) observe_only: bool,
    /// How many workers have to be ready before it counts as started.
    pub(crate) warm: u32,
    /// How many requests may wait; as many as the library says where nothing is.
    pub(crate) queue: Option<usize>,
    /// What becomes of a request for which there is no room.
    pub(crate) overflow: Overflow,
    /// When there is more work than the workers can do; nothing is shed without.
    pub(crate) overload: Option<OverloadRules>,
    /// How long a request waits for a worker at most.
    pub(crate) wait: Duration,
    /// How many requests a worker has at once.
    pub(crate) concurrency: u32,
    /// Which worker gets one.
    pub(crate) dispatch: Dispatch,
    /// How many shares tenants get, where others get one.
    pub(crate) weights: BTreeMap<String, u32>,
    /// After so many requests a worker is replaced.
    pub(crate) max_jobs: Option<u64>,
    /// After so much time a worker is replaced.
    pub(crate) max_age: Option<Duration>,
    /// With more memory than that, all of its processes together, a worker is replaced.
    pub(crate) max_memory: Option<u64>,
    /// How long a worker that goes may take to finish what it has.
    pub(crate) drain_timeout: Duration,
}

/// Reads them; nothing where the size is wrong.
pub(super) fn rules(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    fields: &Fields<'_>,
) -> Option<PoolRules> {
    let size = size(reader, field, fields);
    let jobs = |least: u32| units::whole(least..=MOST_JOBS);
    let number = |reader: &mut Reader<'_>, key: &str, least: u32| {
        let whole = jobs(least);
        reader.value_at(fields, key, &Shape::new("a whole number", &whole))
    };
    let queue = number(reader, "queue", 0);
    let concurrency = number(reader, "concurrency", 1).map_or(1, |found| found.value);
    let max_jobs = number(reader, "max_jobs", 1).map(|found| u64::from(found.value));
    let wait = time(reader, fields, "wait");
    let max_age = time(reader, fields, "max_age");
    let bytes = units::size(1..=u64::MAX);
    let bytes = Shape::new("a size such as 512MiB", &bytes);
    let max_memory = reader.value_at(fields, "max_memory", &bytes);
    let drain_timeout = time(reader, fields, "drain_timeout");
    let overflow = word(reader, fields, "overflow", Overflow::ALL, Overflow::as_str);
    let dispatch = word(reader, fields, "dispatch", Dispatch::ALL, Dispatch::as_str);
    let overload = reader.value_at(fields, "overload", &Shape::new(AN_OVERLOAD, &overload));
    let weights = weights(reader, fields);
    let (scaler, warm) = size?;
    let overflow = overflow.unwrap_or(Overflow::Reject);
    if let Some(queue) = &queue {
        somebody_waits(reader, queue, scaler.min());
    }
    let (scaler, observe_only) = match fields.get("scale") {
        Some(field) => scale(reader, &field, scaler.window(WINDOW))?,
        None => (scaler.window(WINDOW), false),
    };
    Some(PoolRules {
        scaler,
        observe_only,
        warm,
        queue: queue.and_then(|queue| usize::try_from(queue.value).ok()),
        overflow,
        overload: overload.and_then(|found| found.value),
        wait: wait.unwrap_or(WAIT),
        concurrency,
        dispatch: dispatch.unwrap_or(Dispatch::LeastLoaded),
        weights,
        max_jobs,
        max_age,
        max_memory: max_memory.map(|found| found.value),
        drain_timeout: drain_timeout.unwrap_or(DRAIN),
    })
}

/// Notes a queue without a place where nobody is served who has not waited in it.
fn somebody_waits(reader: &mut Reader<'_>, queue: &Found<u32>, min: u32) {
    if queue.value > 0 || min > 0 {
        return;
    }
    let problem = Problem::Unexpected {
        expected: "at least 1, since with min: 0 a worker comes for a request that waits"
            .to_owned(),
        got: queue.value.to_string(),
        hint: Some("let one wait, or have one worker at least: min: 1".to_owned()),
    };
    reader.note(queue.place, &queue.way, problem);
}

/// Reads `min`, `max`, `target` and `warm`: the bounds, with how many it begins, and how many have to be ready first.
fn size(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    fields: &Fields<'_>,
) -> Option<(ScalerRules, u32)> {
    let bound = |reader: &mut Reader<'_>, key: &str, least: u32| {
        let whole = units::whole(least..=MOST_WORKERS);
        let shape = Shape::new("a number of workers", &whole);
        reader.value_at(fields, key, &shape)
    };
    let (min, max) = (bound(reader, "min", 0), bound(reader, "max", 1));
    let (target, warm) = (bound(reader, "target", 0), bound(reader, "warm", 0));
    for key in ["min", "max"] {
        if fields.get(key).is_none() {
            let expected = format!("the key {key} of a pool");
            let hint =
                "say how many workers there are at least and at most, such as min: 1, max: 4";
            note(reader, field, expected, "none", hint);
        }
    }
    let (min, max) = (min?, max?);
    let too_large = |least: &Found<u32>, other: &str, most: u32| {
        let expected = format!("at most {other}, which is {most}");
        (least.value > most).then(|| (least.clone(), expected, least.value))
    };
    let begin = target.as_ref().map_or(min.value, |target| target.value);
    let below = target.as_ref().filter(|target| target.value < min.value);
    let below = below.map(|target| {
        let expected = format!("at least min, which is {}", min.value);
        (target.clone(), expected, target.value)
    });
    let target_or_min = if target.is_some() { "target" } else { "min" };
    let wrong = [
        too_large(&min, "max", max.value),
        target
            .as_ref()
            .and_then(|target| too_large(target, "max", max.value)),
        below,
        warm.as_ref()
            .and_then(|warm| too_large(warm, target_or_min, begin)),
    ];
    let mut is_right = true;
    for (found, expected, got) in wrong.into_iter().flatten() {
        is_right = false;
        let problem = Problem::Unexpected {
            expected,
            got: got.to_string(),
            hint: Some("change one of the two".to_owned()),
        };
        reader.note(found.place, &found.way, problem);
    }
    let rules = ScalerRules::new(min.value, max.value).target(begin);
    let warm = warm.map_or(min.value, |warm| warm.value);
    is_right.then_some((rules, warm))
}

/// Reads `scale`: how the size follows the work.
fn scale(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    mut rules: ScalerRules,
) -> Option<(ScalerRules, bool)> {
    let fields = reader.known_fields(field, "scale", SCALE_KEYS)?;
    if let Some(window) = reader.value_at(&fields, "window", &Shape::new(SECONDS, &seconds)) {
        rules = rules.window(window.value);
    }
    if let Some(smoothing) = time(reader, &fields, "smoothing") {
        rules = rules.smoothing(smoothing);
    }
    let share = Shape::new(A_SHARE, &units::share);
    if let Some(share) = reader.value_at(&fields, "utilisation", &share) {
        rules = rules.utilisation(share.value);
    }
    if let Some(share) = reader.value_at(&fields, "burst", &share) {
        rules = rules.burst(share.value);
    }
    let off = units::decimal(0.0..=0.9);
    if let Some(off) = reader.value_at(
        &fields,
        "tolerance",
        &Shape::new("a share such as 0.1", &off),
    ) {
        rules = rules.tolerance(off.value);
    }
    let workers = units::whole(1..=MOST_WORKERS);
    let workers = Shape::new("a number of workers", &workers);
    // Whoever says how many at a time means that, however many there are.
    if let Some(step) = reader.value_at(&fields, "up", &workers) {
        rules = rules.growth(step.value, 0.0);
    }
    if let Some(step) = reader.value_at(&fields, "down", &workers) {
        rules = rules.shrinkage(step.value, 0.0);
    }
    if let Some(idle) = time(reader, &fields, "idle_to_zero") {
        rules = rules.idle_to_zero(idle);
    }
    if let Some(age) = time(reader, &fields, "queue_age") {
        rules = rules.queue_age(age);
    }
    let truth = Shape::new("true or false", &units::truth);
    let observe_only = reader.value_at(&fields, "observe_only", &truth);
    Some((rules, observe_only.is_some_and(|found| found.value)))
}

fn time(reader: &mut Reader<'_>, fields: &Fields<'_>, key: &str) -> Option<Duration> {
    let shape = Shape::new(A_DURATION, &units::some_duration);
    reader
        .value_at(fields, key, &shape)
        .map(|found| found.value)
}

const SECONDS: &str = "a duration of at least 1s";

/// It is decided every second.
fn seconds(text: &str) -> Result<Duration, Refusal> {
    let time = units::duration(text)?;
    if time < Duration::from_secs(1) {
        return Err(Refusal::new(SECONDS).hint("the size is decided once a second"));
    }
    Ok(time)
}

const AN_OVERLOAD: &str = "false, true, or how long a request should wait at most, such as 500ms";

/// Nothing is shed, or what has waited too long: by half of what a request takes, or by this.
fn overload(text: &str) -> Result<Option<OverloadRules>, Refusal> {
    Ok(match text {
        "false" => None,
        "true" => Some(OverloadRules::new(Target::Auto)),
        time => {
            let time = units::some_duration(time);
            let time = time.map_err(|_| Refusal::new(AN_OVERLOAD))?;
            Some(OverloadRules::new(Target::Fixed(time)))
        }
    })
}

/// One of the words of an enum.
fn word<T: Copy>(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    key: &str,
    all: &[T],
    as_str: fn(T) -> &'static str,
) -> Option<T> {
    let words: Vec<&str> = all.iter().map(|one| as_str(*one)).collect();
    let expected = format!("one of {}", words.join(", "));
    let parse = |text: &str| {
        let known = all.iter().find(|one| as_str(**one) == text);
        known.copied().ok_or_else(|| {
            let refusal = Refusal::new(expected.clone());
            match regrow_core::nearest(text, words.iter().copied()) {
                Some(meant) => refusal.hint(format!("did you mean {meant:?}?")),
                None => refusal,
            }
        })
    };
    let found = reader.value_at(fields, key, &Shape::new(&expected, &parse));
    found.map(|found| found.value)
}

/// Reads `weights`: how many shares tenants get.
fn weights(reader: &mut Reader<'_>, fields: &Fields<'_>) -> BTreeMap<String, u32> {
    let mut weights = BTreeMap::new();
    let Some(field) = fields.get("weights") else {
        return weights;
    };
    let Some(fields) = reader.fields(&field, "a mapping from tenants to shares such as {acme: 3}")
    else {
        return weights;
    };
    let shares = units::whole(1..=MOST_WEIGHT);
    for (tenant, field) in fields.all() {
        if let Some(found) = reader.value(&field, &Shape::new("a number of shares", &shares)) {
            weights.insert(tenant.to_owned(), found.value);
        }
    }
    weights
}

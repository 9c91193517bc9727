//! Entries and queries, made by hand and at random.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::index::{Entry, Profile, Status};
use crate::query::{Operator, Query, Scalar};
use crate::{ChildKind, Health, Phase, SplitMix64};

/// Few, so that they meet; some of them words that mean something else, or that need quotes.
const NAMES: [&str; 10] = [
    "planner", "rust", "lang", "draining", "ready", "and", "3", "", "a \"b\\", "größe",
];

const PATHS: [&str; 8] = [
    "root",
    "root/a",
    "root/a/b",
    "root/a/b/c",
    "root/ab",
    "root/a0",
    "root/b",
    "roots",
];

/// An actor of type `coder` with these tags, in its first life.
pub(crate) fn actor(path: &str, tags: &[&str]) -> Entry {
    let profile = Profile::new(ChildKind::Actor, "coder").tags(tags);
    let status = Status {
        generation: 1,
        ..Status::pending(SystemTime::UNIX_EPOCH)
    };
    Entry::new(path, profile, status)
}

pub(crate) fn one_of<T: Clone>(rng: &mut SplitMix64, list: &[T]) -> T {
    list[usize::try_from(rng.below(list.len() as u64)).unwrap()].clone()
}

pub(crate) fn name(rng: &mut SplitMix64) -> &'static str {
    one_of(rng, &NAMES)
}

pub(crate) fn path(rng: &mut SplitMix64) -> &'static str {
    one_of(rng, &PATHS)
}

fn names(rng: &mut SplitMix64) -> Vec<&'static str> {
    (0..rng.below(4)).map(|_| name(rng)).collect()
}

fn scalar(rng: &mut SplitMix64) -> Scalar {
    let quarters = i32::try_from(rng.below(9)).unwrap() - 4;
    match rng.below(5) {
        0 => Scalar::Null,
        1 => (rng.below(2) == 0).into(),
        2 => i64::from(quarters).into(),
        3 => (f64::from(quarters) / 4.0).into(),
        _ => one_of(
            rng,
            &["rust", "null", "true", "-1", "0.5", "1e400", "not", "a b"],
        )
        .into(),
    }
}

pub(crate) fn profile(rng: &mut SplitMix64) -> Profile {
    let mut profile = Profile::new(one_of(rng, ChildKind::ALL), name(rng));
    profile.tags = names(rng).into_iter().map(Arc::from).collect();
    profile.capabilities = names(rng).into_iter().map(Arc::from).collect();
    for key in names(rng) {
        profile.keys.insert(key.into(), name(rng).into());
    }
    for key in names(rng) {
        let value = match scalar(rng) {
            Scalar::Null => serde_json::json!([1]),
            Scalar::Bool(yes) => yes.into(),
            Scalar::Number(number) => number.into(),
            Scalar::Text(text) => text.into(),
        };
        profile.metadata.insert(key.to_owned(), value);
    }
    profile
}

pub(crate) fn status(rng: &mut SplitMix64) -> Status {
    Status {
        phase: one_of(rng, Phase::ALL),
        ready: rng.below(2) == 0,
        health: one_of(rng, Health::ALL),
        load: rng.below(3),
        generation: u32::try_from(rng.below(4)).unwrap(),
        since: SystemTime::UNIX_EPOCH + Duration::from_secs(rng.below(2)),
    }
}

pub(crate) fn entry(rng: &mut SplitMix64) -> Entry {
    Entry::new(path(rng), profile(rng), status(rng))
}

/// A query of at most `depth` levels below the first.
pub(crate) fn query(rng: &mut SplitMix64, depth: u64) -> Query {
    let cases = if depth == 0 { 11 } else { 17 };
    match rng.below(cases) {
        0 => Query::all(),
        1 => Query::tag(name(rng)),
        2 => Query::key(name(rng), name(rng)),
        3 => Query::has_key(name(rng)),
        4 => Query::kind(one_of(rng, ChildKind::ALL)),
        5 => Query::of_type(name(rng)),
        6 => Query::capability(name(rng)),
        7 => Query::phase(one_of(rng, Phase::ALL)),
        8 => Query::health(one_of(rng, Health::ALL)).or(Query::ready()),
        9 => Query::below(path(rng)),
        10 => Query::meta(name(rng)).compare(one_of(rng, &Operator::ALL), scalar(rng)),
        11..=13 => query(rng, depth - 1).and(query(rng, depth - 1)),
        14..=15 => query(rng, depth - 1).or(query(rng, depth - 1)),
        _ => query(rng, depth - 1).not(),
    }
}

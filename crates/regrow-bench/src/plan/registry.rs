//! What is looked up and found.

use super::{Arm, Cell, ELIXIR, Elixir, Erlang, KAMEO, RACTOR, REGROW, arm, here};

const FLOOR: Arm = here("papaya");
const FIND: Arm = here("regrow-find");
const REGISTRY: Arm = arm(ELIXIR.name, Elixir, "registry");

/// By name.
pub const LOOKUP: Cell = Cell {
    row: 11,
    name: "lookup",
    what: "look-up of one of 1,000 by name, in turn, to something that can be sent to: on one thread, and on two at once",
    cell: "lookup",
    n: 1_000,
    ops: 50_000,
    inner: 12,
    warm_up: 1,
    together: true,
    figures: &[("one", "ns"), ("two", "ns")],
    arms: &[
        here("hashmap"),
        FLOOR,
        here("dashmap"),
        REGROW,
        here("regrow-entry"),
        RACTOR,
        KAMEO,
        arm("erlang", Erlang, "whereis"),
        REGISTRY,
    ],
};

/// By one tag.
pub const TAG: Cell = Cell {
    row: 12,
    name: "tag",
    what: "the 100 of 100,000 who bear one of 1,000 tags, the tags in turn (regrow: the list that lies ready)",
    cell: "tag",
    n: 100_000,
    ops: 20_000,
    inner: 12,
    warm_up: 1,
    together: true,
    figures: super::MEAN,
    arms: &[
        FLOOR,
        REGROW,
        FIND,
        RACTOR,
        arm("erlang", Erlang, "pg"),
        REGISTRY,
    ],
};

/// By two tags.
pub const TAG_AND: Cell = Cell {
    row: 12,
    name: "tag-and",
    what: "how many of 100,000 bear two tags, each borne by 100 (papaya: one hit)",
    cell: "tag-and",
    n: 100_000,
    ops: 20_000,
    inner: 12,
    warm_up: 1,
    together: true,
    figures: super::MEAN,
    arms: &[FLOOR, REGROW, FIND, RACTOR],
};

/// Each question is asked for so many milliseconds.
const fn all(
    name: &'static str,
    what: &'static str,
    cell: &'static str,
    n: usize,
    figures: &'static [(&'static str, &'static str)],
) -> Cell {
    Cell {
        row: 12,
        name,
        what,
        cell,
        n,
        ops: 1_000,
        inner: 1,
        warm_up: 0,
        together: false,
        figures,
        arms: &[REGROW],
    }
}

/// Among many.
pub const AMONG_MANY: Cell = all(
    "registry.100000",
    "among 100,000, each for a second, the median of hundreds in a row: address by path, list of a tag, find of it, count of two",
    "registry",
    100_000,
    &[
        ("address", "ns"),
        ("members", "ns"),
        ("find", "ns"),
        ("and", "ns"),
    ],
);

/// Among very many.
pub const AMONG_VERY_MANY: Cell = all(
    "registry.1000000",
    "the same among 1,000,000, with 10,000 tags of which 1,000 are asked for",
    "registry",
    1_000_000,
    AMONG_MANY.figures,
);

/// While others come and go.
pub const BUSY: Cell = all(
    "registry.busy",
    "the same among 100,000 while one task starts and ends children, one by one, each with two of the tags",
    "registry-busy",
    100_000,
    &[
        ("address", "ns"),
        ("members", "ns"),
        ("members-p99", "ns"),
        ("members-mean", "ns"),
        ("find", "ns"),
        ("and", "ns"),
        ("and-mean", "ns"),
        ("changes", "1/s"),
    ],
);

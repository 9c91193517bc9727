//! Breakers and probes.

use super::{Cell, MEAN, REGROW, here};

/// A call through a breaker.
pub const BREAKER: Cell = Cell {
    row: 19,
    name: "breaker",
    what: "a call that a circuit breaker lets through, beside an uncontended lock and unlock with one look at the clock",
    cell: "breaker",
    n: 1,
    ops: 100_000,
    inner: 24,
    warm_up: 1,
    together: true,
    figures: MEAN,
    arms: &[
        here("lock-and-clock"),
        REGROW,
        here("regrow-timed"),
        here("regrow-call"),
    ],
};

/// Actors that are asked how they are; `ops` is for how many seconds that is looked at.
pub const PROBES: Cell = Cell {
    row: 20,
    name: "probes",
    what: "10,000 actors are asked how they are, each every 5 s: the share of one processor",
    cell: "probes",
    n: 10_000,
    ops: 15,
    inner: 1,
    warm_up: 0,
    together: false,
    figures: &[("share", "%")],
    arms: &[here("core"), here("unprobed"), REGROW],
};

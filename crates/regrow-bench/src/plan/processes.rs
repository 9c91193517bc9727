//! OS processes that are killed.

use super::{Arm, Cell, LATENCY, REGROW, TOKIO, here};

const RUNIT: Arm = here("runit");

/// In MiB, `n` is how large the parent is beside what it needs.
const fn killed(name: &'static str, what: &'static str, n: usize, arms: &'static [Arm]) -> Cell {
    Cell {
        row: 15,
        name,
        what,
        cell: "process",
        n,
        ops: 10,
        inner: 1,
        warm_up: 0,
        together: false,
        figures: LATENCY,
        arms,
    }
}

/// Beside its peers.
pub const KILLED: Cell = killed(
    "process",
    "an OS process is killed, until the next one says that it runs",
    0,
    &[
        TOKIO,
        here("tokio-piped"),
        REGROW,
        RUNIT,
        here("pm2"),
        here("supervisord"),
    ],
);

/// From a parent that is large.
pub const OF_A_LARGE_PARENT: Cell = killed(
    "process.4GiB",
    "the same while the parent has 4 GiB more in memory",
    4_096,
    &[TOKIO, REGROW],
);

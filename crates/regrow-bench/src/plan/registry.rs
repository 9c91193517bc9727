//! What is looked up and found.

use super::{Arm, Cell, ELIXIR, Elixir, Erlang, KAMEO, RACTOR, REGROW, arm, here};

const FLOOR: Arm = here("papaya");
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

//! What is measured, and on whom.

mod health;
mod pools;
mod processes;
mod registry;

use crate::program::Program::{self, Arms, Counted, Elixir, Erlang, Mimalloc, RactorSupervisor};

/// One system in one cell.
#[derive(Clone, Copy, Debug)]
pub struct Arm {
    /// Its name in the table.
    pub name: &'static str,
    /// What runs it.
    pub program: Program,
    /// Its name there.
    pub arm: &'static str,
}

/// One thing measured on several systems.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// The row of the list of targets.
    pub row: u8,
    /// Its name in the figures.
    pub name: &'static str,
    /// What it is, in words.
    pub what: &'static str,
    /// Its name in the programs.
    pub cell: &'static str,
    /// How many children.
    pub n: usize,
    /// How often.
    pub ops: usize,
    /// How many times each process does it; the least or the median counts.
    pub inner: usize,
    /// How many of those come first and do not count.
    pub warm_up: usize,
    /// Whether the arms of one program take turns in one process, many short ones of which the least counts; or have one each.
    pub together: bool,
    /// Which of its figures are shown, and their units.
    pub figures: &'static [(&'static str, &'static str)],
    /// Who.
    pub arms: &'static [Arm],
}

const fn arm(name: &'static str, program: Program, arm: &'static str) -> Arm {
    Arm { name, program, arm }
}

/// An arm of the program with the allocator of the system.
const fn here(name: &'static str) -> Arm {
    arm(name, Arms, name)
}

const MEAN: &[(&str, &str)] = &[("mean", "ns")];
const LATENCY: &[(&str, &str)] = &[("p50", "ns"), ("p99", "ns")];
const RATE: &[(&str, &str)] = &[("rate", "1/s")];
const START: &[(&str, &str)] = &[("time", "ns"), ("resident", "bytes")];
const TOTAL: &[(&str, &str)] = &[("total", "ms")];

const REGROW: Arm = here("regrow");
const RACTOR: Arm = here("ractor");
const MINI: Arm = here("ractor-mini");
const KAMEO: Arm = here("kameo");
const TOKIO: Arm = here("tokio");
const PEER: Arm = arm("ractor-supervisor", RactorSupervisor, "ractor-supervisor");
const ERLANG: Arm = arm("erlang", Erlang, "supervisor");
const ELIXIR: Arm = arm("elixir", Elixir, "dynamic-supervisor");

const SIMPLE: Arm = arm("erlang-simple", Erlang, "simple");
const PEER_DYNAMIC: Arm = arm(
    "ractor-supervisor (dyn)",
    RactorSupervisor,
    "ractor-supervisor-dynamic",
);

const ONE_BY_ONE: Arm = arm("regrow", Arms, "regrow-one-by-one");

const RESTARTED: &[Arm] = &[
    TOKIO,
    MINI,
    REGROW,
    here("regrow-past"),
    KAMEO,
    PEER,
    PEER_DYNAMIC,
    ERLANG,
    SIMPLE,
    ELIXIR,
];
/// What ractor-supervisor does at each start grows with the number of children: 100,000 take it minutes.
const RESTARTED_AMONG_MANY: &[Arm] = &[
    TOKIO,
    MINI,
    REGROW,
    here("regrow-past"),
    KAMEO,
    ERLANG,
    SIMPLE,
    ELIXIR,
];
const GROUPED: &[Arm] = &[MINI, REGROW, KAMEO, PEER, ERLANG];
const RACTOR_MI: Arm = arm("ractor (mimalloc)", Mimalloc, "ractor");
const REGROW_MI: Arm = arm("regrow (mimalloc)", Mimalloc, "regrow");
const STARTED: &[Arm] = &[
    TOKIO, RACTOR, MINI, REGROW, KAMEO, RACTOR_MI, REGROW_MI, PEER, ERLANG, SIMPLE, ELIXIR,
];
const STARTED_IN_MASSES: &[Arm] = &[
    TOKIO, RACTOR, MINI, REGROW, KAMEO, RACTOR_MI, REGROW_MI, ERLANG, SIMPLE, ELIXIR,
];

const fn restart(
    name: &'static str,
    what: &'static str,
    n: usize,
    ops: usize,
    arms: &'static [Arm],
) -> Cell {
    Cell {
        row: 4,
        name,
        what,
        cell: "restart",
        n,
        ops,
        inner: 1,
        warm_up: 0,
        together: false,
        figures: LATENCY,
        arms,
    }
}

const fn start(name: &'static str, what: &'static str, n: usize, arms: &'static [Arm]) -> Cell {
    Cell {
        row: 2,
        name,
        what,
        cell: "start",
        n,
        ops: 1,
        inner: 1,
        warm_up: 0,
        together: false,
        figures: START,
        arms,
    }
}

const fn loops(name: &'static str, what: &'static str, ops: usize) -> Cell {
    Cell {
        row: 6,
        name,
        what,
        cell: "crash-loop",
        n: 1,
        ops,
        inner: 1,
        warm_up: 0,
        together: false,
        figures: RATE,
        arms: &[MINI, REGROW, KAMEO, PEER, ERLANG, ELIXIR],
    }
}

const fn among(name: &'static str, what: &'static str, n: usize) -> Cell {
    Cell {
        row: 4,
        name,
        what,
        cell: "among",
        n,
        ops: 1_000,
        inner: 1,
        warm_up: 0,
        together: false,
        figures: &[
            ("restart", "ns"),
            ("start", "ns"),
            ("child", "ns"),
            ("count", "ns"),
        ],
        arms: &[REGROW],
    }
}

/// Everything that is measured, in the order of the rows.
pub const CELLS: &[Cell] = &[
    Cell {
        row: 1,
        name: "start-dynamic",
        what: "start 20,000 dynamic children, the allocator warm: for each (regrow: 64 calls under way)",
        cell: "start-dynamic",
        n: 20_000,
        ops: 1,
        inner: 4,
        warm_up: 1,
        together: false,
        figures: &[("time", "ns")],
        arms: &[
            TOKIO,
            RACTOR,
            REGROW,
            here("regrow-one-by-one"),
            here("regrow-batch"),
            KAMEO,
            RACTOR_MI,
            REGROW_MI,
            arm("regrow-batch (mimalloc)", Mimalloc, "regrow-batch"),
            PEER,
            SIMPLE,
            ELIXIR,
        ],
    },
    Cell {
        row: 2,
        name: "start-dynamic.1000",
        what: "start 1,000 dynamic children one by one, cold: for each",
        cell: "start-dynamic",
        n: 1_000,
        ops: 1,
        inner: 1,
        warm_up: 0,
        together: false,
        figures: START,
        arms: &[ONE_BY_ONE, RACTOR],
    },
    Cell {
        row: 2,
        name: "start-dynamic.100000",
        what: "start 100,000 dynamic children one by one, cold: for each",
        cell: "start-dynamic",
        n: 100_000,
        ops: 1,
        inner: 1,
        warm_up: 0,
        together: false,
        figures: START,
        arms: &[ONE_BY_ONE, RACTOR],
    },
    start(
        "start.1000",
        "start a tree of 1,000 children, cold: for each child",
        1_000,
        STARTED,
    ),
    start(
        "start.100000",
        "start a tree of 100,000 children, cold: for each child",
        100_000,
        STARTED_IN_MASSES,
    ),
    Cell {
        row: 3,
        name: "allocations",
        what: "allocations of a child, of 10,000",
        cell: "start",
        n: 10_000,
        ops: 1,
        inner: 1,
        warm_up: 0,
        together: false,
        figures: &[("allocations", "allocations")],
        arms: &[
            arm("tokio", Counted, "tokio"),
            arm("ractor", Counted, "ractor"),
            arm("ractor-mini", Counted, "ractor-mini"),
            arm("regrow", Counted, "regrow"),
            arm("kameo", Counted, "kameo"),
        ],
    },
    among("among.10", "with 10 dynamic children", 10),
    among("among.1000", "with 1,000 dynamic children", 1_000),
    among("among.100000", "with 100,000 dynamic children", 100_000),
    among(
        "among.1000000",
        "with 1,000,000 dynamic children",
        1_000_000,
    ),
    restart(
        "restart.1",
        "restart after an error, no sibling",
        1,
        5_000,
        RESTARTED,
    ),
    restart(
        "restart.1000",
        "restart after an error, 1,000 siblings",
        1_000,
        5_000,
        RESTARTED,
    ),
    restart(
        "restart.100000",
        "restart after an error, 100,000 siblings",
        100_000,
        2_000,
        RESTARTED_AMONG_MANY,
    ),
    Cell {
        row: 5,
        name: "restart-panic.1",
        what: "restart after a panic, no sibling, no backtrace",
        cell: "restart-panic",
        n: 1,
        ops: 5_000,
        inner: 1,
        warm_up: 0,
        together: false,
        figures: LATENCY,
        arms: &[TOKIO, MINI, REGROW, KAMEO, PEER, ERLANG],
    },
    loops(
        "crash-loop.2000",
        "crash loop, 2,000 restarts in the window",
        2_000,
    ),
    loops(
        "crash-loop.20000",
        "crash loop, 20,000 restarts in the window",
        20_000,
    ),
    Cell {
        row: 7,
        name: "one-for-all.1000",
        what: "one_for_all, 1,000 children: from the crash to the answer of the last",
        cell: "one-for-all",
        n: 1_000,
        ops: 5,
        inner: 1,
        warm_up: 0,
        together: false,
        figures: LATENCY,
        arms: GROUPED,
    },
    Cell {
        row: 7,
        name: "rest-for-one.1000",
        what: "rest_for_one, 1,000 children of which the first fails",
        cell: "rest-for-one",
        n: 1_000,
        ops: 5,
        inner: 1,
        warm_up: 0,
        together: false,
        figures: LATENCY,
        arms: &[REGROW, KAMEO, PEER, ERLANG],
    },
    Cell {
        row: 8,
        name: "shutdown.100000",
        what: "stop 100,000 children and wait for every one",
        cell: "shutdown",
        n: 100_000,
        ops: 1,
        inner: 1,
        warm_up: 0,
        together: false,
        figures: TOTAL,
        arms: &[
            TOKIO,
            arm("ractor (all at once)", Arms, "ractor"),
            REGROW,
            here("regrow-dynamic"),
            KAMEO,
            PEER,
            ERLANG,
            SIMPLE,
            ELIXIR,
        ],
    },
    Cell {
        row: 9,
        name: "cast",
        what: "a message one way, in bursts of 50,000",
        cell: "cast",
        n: 1,
        ops: 50_000,
        inner: 24,
        warm_up: 1,
        together: true,
        figures: MEAN,
        arms: &[
            TOKIO,
            RACTOR,
            REGROW,
            here("regrow-bare"),
            here("regrow-uncounted"),
            here("regrow-past"),
            KAMEO,
            here("kameo-unbounded"),
            RACTOR_MI,
            REGROW_MI,
            arm("erlang", Erlang, "gen_server"),
            arm("erlang-raw", Erlang, "raw"),
        ],
    },
    Cell {
        row: 9,
        name: "call",
        what: "a message and its answer, one after the other",
        cell: "call",
        n: 1,
        ops: 25_000,
        inner: 24,
        warm_up: 1,
        together: true,
        figures: MEAN,
        arms: &[
            TOKIO,
            RACTOR,
            here("ractor-deadline"),
            REGROW,
            here("regrow-deadline"),
            here("regrow-open"),
            KAMEO,
            arm("erlang", Erlang, "gen_server"),
            arm("erlang-raw", Erlang, "raw"),
        ],
    },
    registry::LOOKUP,
    registry::TAG,
    registry::TAG_AND,
    registry::AMONG_MANY,
    registry::AMONG_VERY_MANY,
    registry::BUSY,
    pools::FLOOD_OF_4,
    pools::FLOOD_OF_16,
    pools::FLOOD_OF_64,
    pools::ANSWERS_OF_4,
    pools::ANSWERS_OF_16,
    pools::ANSWERS_OF_64,
    Cell {
        row: 14,
        name: "event",
        what: "an event that is told and counted",
        cell: "event",
        n: 1,
        ops: 50_000,
        inner: 24,
        warm_up: 1,
        together: true,
        figures: MEAN,
        arms: &[
            here("counter"),
            REGROW,
            here("regrow-counting"),
            here("regrow-logged"),
            here("regrow-unheard"),
        ],
    },
    Cell {
        row: 14,
        name: "restart-telemetry",
        what: "restart after an error, with all telemetry and with none",
        cell: "restart",
        n: 1,
        ops: 2_000,
        inner: 6,
        warm_up: 1,
        together: true,
        figures: LATENCY,
        arms: &[REGROW, here("regrow-quiet")],
    },
    Cell {
        row: 14,
        name: "scrape",
        what: "a scrape of a system with 200 types of children",
        cell: "scrape",
        n: 200,
        ops: 5,
        inner: 3,
        warm_up: 1,
        together: true,
        figures: &[("line", "ns"), ("11000", "ms")],
        arms: &[arm("exporter", Arms, "exporter"), REGROW],
    },
    health::BREAKER,
    health::PROBES,
    processes::KILLED,
    processes::OF_A_LARGE_PARENT,
];

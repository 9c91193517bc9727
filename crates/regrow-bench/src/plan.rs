//! What is measured, on whom, and what has to come out.

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
    /// How many times each process does it; the median counts.
    pub inner: usize,
    /// How many of those come first and do not count.
    pub warm_up: usize,
    /// Whether the arms of one program take turns in one process, or have one each.
    pub together: bool,
    /// Which of its figures are shown, and their units.
    pub figures: &'static [(&'static str, &'static str)],
    /// Who.
    pub arms: &'static [Arm],
}

/// One figure of one arm of one cell.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The cell.
    pub cell: &'static str,
    /// The arm.
    pub arm: &'static str,
    /// The figure.
    pub figure: &'static str,
}

/// How a figure has to stand to another.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// Not more than so many times the other.
    AtMost(f64),
    /// Not less.
    AtLeast(f64),
}

/// Something that has to come out.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The row of the list of targets.
    pub row: u8,
    /// In words.
    pub what: &'static str,
    /// This figure …
    pub ours: Place,
    /// … divided by that one …
    pub theirs: Place,
    /// … is this.
    pub bound: Bound,
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

const RESTARTED: &[Arm] = &[
    TOKIO,
    MINI,
    REGROW,
    KAMEO,
    PEER,
    PEER_DYNAMIC,
    ERLANG,
    SIMPLE,
    ELIXIR,
];
/// What ractor-supervisor does at each start grows with the number of children: 100,000 take it minutes.
const RESTARTED_AMONG_MANY: &[Arm] = &[TOKIO, MINI, REGROW, KAMEO, ERLANG, SIMPLE, ELIXIR];
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

/// Everything that is measured, in the order of the rows.
pub const CELLS: &[Cell] = &[
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
        what: "a message one way, in bursts of 200,000",
        cell: "cast",
        n: 1,
        ops: 200_000,
        inner: 6,
        warm_up: 1,
        together: true,
        figures: MEAN,
        arms: &[
            TOKIO,
            RACTOR,
            REGROW,
            here("regrow-bare"),
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
        ops: 100_000,
        inner: 6,
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
    Cell {
        row: 14,
        name: "event",
        what: "an event that is told and counted",
        cell: "event",
        n: 1,
        ops: 200_000,
        inner: 6,
        warm_up: 1,
        together: true,
        figures: MEAN,
        arms: &[
            here("counter"),
            REGROW,
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
];

const fn place(cell: &'static str, arm: &'static str, figure: &'static str) -> Place {
    Place { cell, arm, figure }
}

const fn claim(
    row: u8,
    what: &'static str,
    figure: &'static str,
    cell: &'static str,
    peer: &'static str,
    bound: Bound,
) -> Claim {
    Claim {
        row,
        what,
        ours: place(cell, "regrow", figure),
        theirs: place(cell, peer, figure),
        bound,
    }
}

use Bound::{AtLeast, AtMost};

/// What has to come out, row by row.
#[rustfmt::skip]
pub const CLAIMS: &[Claim] = &[
    Claim {
        row: 2,
        what: "a child costs no more time among 100,000 than among 1,000",
        ours: place("start.100000", "regrow", "time"),
        theirs: place("start.1000", "regrow", "time"),
        bound: AtMost(1.3),
    },
    claim(3, "memory of a child, against bare ractor", "resident", "start.100000", "ractor", AtMost(1.10)),
    claim(3, "allocations of a child: 16 where bare ractor has 11", "allocations", "allocations", "ractor", AtMost(16.0 / 11.0)),
    claim(4, "restart, no sibling", "p50", "restart.1", "ractor-mini", AtMost(1.3)),
    claim(4, "restart, 1,000 siblings", "p50", "restart.1000", "ractor-mini", AtMost(1.3)),
    claim(4, "restart, 100,000 siblings", "p50", "restart.100000", "ractor-mini", AtMost(1.3)),
    Claim {
        row: 4,
        what: "a restart takes no longer among 100,000 than alone",
        ours: place("restart.100000", "regrow", "p50"),
        theirs: place("restart.1", "regrow", "p50"),
        bound: AtMost(1.6),
    },
    claim(4, "restart, no sibling: 4 × faster", "p50", "restart.1", "erlang", AtMost(1.0 / 4.0)),
    claim(4, "restart, 1,000 siblings: 4 × faster", "p50", "restart.1000", "erlang", AtMost(1.0 / 4.0)),
    claim(4, "restart, 1,000 siblings: 3 × faster", "p50", "restart.1000", "ractor-supervisor", AtMost(1.0 / 3.0)),
    claim(4, "restart, no sibling: 4,000 × faster", "p50", "restart.1", "ractor-supervisor (dyn)", AtMost(1.0 / 4_000.0)),
    claim(5, "restart after a panic", "p50", "restart-panic.1", "ractor-mini", AtMost(1.15)),
    claim(5, "restart after a panic: 1.9 × faster", "p50", "restart-panic.1", "erlang", AtMost(1.0 / 1.9)),
    claim(6, "crash loop, 20,000 in the window", "rate", "crash-loop.20000", "ractor-mini", AtLeast(0.75)),
    claim(6, "crash loop, 20,000 in the window: 40 ×", "rate", "crash-loop.20000", "erlang", AtLeast(40.0)),
    Claim {
        row: 6,
        what: "a wide window costs no rate",
        ours: place("crash-loop.20000", "regrow", "rate"),
        theirs: place("crash-loop.2000", "regrow", "rate"),
        bound: AtLeast(0.9),
    },
    claim(7, "one_for_all in order", "p50", "one-for-all.1000", "erlang", AtMost(1.1)),
    claim(7, "one_for_all in order: 2.2 × faster", "p50", "one-for-all.1000", "ractor-supervisor", AtMost(1.0 / 2.2)),
    claim(7, "rest_for_one in order", "p50", "rest-for-one.1000", "erlang", AtMost(1.1)),
    claim(7, "rest_for_one in order: 2.2 × faster", "p50", "rest-for-one.1000", "ractor-supervisor", AtMost(1.0 / 2.2)),
    claim(8, "stop 100,000, one at a time", "total", "shutdown.100000", "ractor (all at once)", AtMost(1.0)),
    claim(8, "stop 100,000", "total", "shutdown.100000", "erlang-simple", AtMost(1.0)),
    claim(8, "stop 100,000: 13 × faster", "total", "shutdown.100000", "kameo", AtMost(1.0 / 13.0)),
    claim(8, "stop 100,000: 40 × faster", "total", "shutdown.100000", "elixir", AtMost(1.0 / 40.0)),
    claim(9, "cast through an address", "mean", "cast", "ractor", AtMost(1.08)),
    Claim {
        row: 9,
        what: "cast, both with mimalloc: 1.1 × faster than gen_server:cast",
        ours: place("cast", "regrow (mimalloc)", "mean"),
        theirs: place("cast", "erlang", "mean"),
        bound: AtMost(1.0 / 1.1),
    },
    Claim {
        row: 9,
        what: "call through an address, without a deadline",
        ours: place("call", "regrow-open", "mean"),
        theirs: place("call", "ractor", "mean"),
        bound: AtMost(1.08),
    },
    claim(9, "call: 4 × faster than gen_server:call", "mean", "call", "erlang", AtMost(1.0 / 4.0)),
    Claim {
        row: 10,
        what: "call with a deadline, against the same without",
        ours: place("call", "regrow-deadline", "mean"),
        theirs: place("call", "regrow-open", "mean"),
        bound: AtMost(1.4),
    },
    claim(10, "call as it is by default, against the same without a deadline", "mean", "call", "regrow-open", AtMost(1.4)),
    claim(14, "restart with all telemetry", "p50", "restart-telemetry", "regrow-quiet", AtMost(1.05)),
    claim(14, "a line of a scrape, against the exporter alone", "line", "scrape", "exporter", AtMost(1.07)),
];

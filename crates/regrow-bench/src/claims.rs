//! What has to come out.

use Bound::{AtLeast, AtMost};

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

const fn flat(what: &'static str, figure: &'static str) -> Claim {
    Claim {
        row: 4,
        what,
        ours: place("among.1000000", "regrow", figure),
        theirs: place("among.10", "regrow", figure),
        bound: AtMost(1.6),
    }
}

/// What has to come out, row by row.
#[rustfmt::skip]
pub const CLAIMS: &[Claim] = &[
    claim(1, "dynamic start, 64 calls under way", "time", "start-dynamic", "ractor", AtMost(1.6)),
    claim(1, "dynamic start: 1.25 × faster", "time", "start-dynamic", "erlang-simple", AtMost(1.0 / 1.25)),
    claim(1, "dynamic start: 1.25 × faster", "time", "start-dynamic", "elixir", AtMost(1.0 / 1.25)),
    claim(1, "dynamic start: 1.5 × faster", "time", "start-dynamic", "ractor-supervisor", AtMost(1.0 / 1.5)),
    Claim {
        row: 1,
        what: "dynamic start, all in one call",
        ours: place("start-dynamic", "regrow-batch", "time"),
        theirs: place("start-dynamic", "ractor", "time"),
        bound: AtMost(0.8),
    },
    Claim {
        row: 2,
        what: "a dynamic child costs no more among 100,000 than among 1,000",
        ours: place("start-dynamic.100000", "regrow", "time"),
        theirs: place("start-dynamic.1000", "regrow", "time"),
        bound: AtMost(1.3),
    },
    claim(3, "memory of a dynamic child, against bare ractor", "resident", "start-dynamic.100000", "ractor", AtMost(1.10)),
    flat("a restart among 1,000,000, against among 10", "restart"),
    flat("a start among 1,000,000, against among 10", "start"),
    flat("a look at one of 1,000,000, against of 10", "child"),
    flat("a count of 1,000,000, against of 10", "count"),
    Claim {
        row: 14,
        what: "counting an event: 10 ns where a counter takes 4.3",
        ours: place("event", "regrow-counting", "mean"),
        theirs: place("event", "counter", "mean"),
        bound: AtMost(10.0 / 4.3),
    },
    Claim {
        row: 2,
        what: "a child costs no more time among 100,000 than among 1,000",
        ours: place("start.100000", "regrow", "time"),
        theirs: place("start.1000", "regrow", "time"),
        bound: AtMost(1.3),
    },
    claim(19, "a call through a breaker, against a lock and a look at the clock", "mean", "breaker", "lock-and-clock", AtMost(2.0)),
    claim(20, "10,000 actors are asked how they are, against a processor that has nothing else to do", "share", "probes", "core", AtMost(0.05)),
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
    Claim {
        row: 4,
        what: "restart of a dynamic child: 4,000 × faster",
        ours: place("among.10", "regrow", "restart"),
        theirs: place("restart.1", "ractor-supervisor (dyn)", "p50"),
        bound: AtMost(1.0 / 4_000.0),
    },
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
    claim(11, "look-up by path: 1.4 × faster", "one", "lookup", "ractor", AtMost(1.0 / 1.4)),
    claim(11, "look-up by path, two threads: 1.7 × faster", "two", "lookup", "ractor", AtMost(1.0 / 1.7)),
    claim(11, "look-up by path: 20 × faster", "one", "lookup", "elixir", AtMost(1.0 / 20.0)),
    claim(11, "look-up by path, two threads: 20 × faster", "two", "lookup", "elixir", AtMost(1.0 / 20.0)),
    claim(12, "list of a tag: 60 ns where a hit in a map takes 27", "mean", "tag", "papaya", AtMost(60.0 / 27.0)),
    claim(12, "list of a tag: 30 × faster", "mean", "tag", "ractor", AtMost(1.0 / 30.0)),
    claim(12, "list of a tag: 10 × faster", "mean", "tag", "erlang", AtMost(1.0 / 10.0)),
    claim(12, "list of a tag: 300 × faster", "mean", "tag", "elixir", AtMost(1.0 / 300.0)),
    claim(12, "count of two tags: 500 ns where a hit in a map takes 27", "mean", "tag-and", "papaya", AtMost(500.0 / 27.0)),
    claim(13, "a flood of jobs, 4 workers: 2.5 × the rate", "rate", "pool.4", "factory", AtLeast(2.5)),
    claim(13, "a flood of jobs, 16 workers: 2.5 × the rate", "rate", "pool.16", "factory", AtLeast(2.5)),
    claim(13, "a flood of jobs, 64 workers: 2.5 × the rate", "rate", "pool.64", "factory", AtLeast(2.5)),
    claim(13, "a flood of jobs, 4 workers: 1.2 × the rate", "rate", "pool.4", "kameo", AtLeast(1.2)),
    claim(13, "a flood of jobs, 16 workers: 1.2 × the rate", "rate", "pool.16", "kameo", AtLeast(1.2)),
    claim(13, "a flood of jobs, 64 workers: 1.2 × the rate", "rate", "pool.64", "kameo", AtLeast(1.2)),
    claim(14, "cast, with what is counted and timed of messages", "mean", "cast", "regrow-uncounted", AtMost(1.03)),
    claim(14, "restart with all telemetry", "p50", "restart-telemetry", "regrow-quiet", AtMost(1.05)),
    claim(14, "a line of a scrape, against the exporter alone", "line", "scrape", "exporter", AtMost(1.07)),
    claim(15, "a killed process is back: as soon as with bare tokio", "p50", "process", "tokio", AtMost(1.15)),
    claim(15, "a killed process is back: 4 × sooner", "p50", "process", "runit", AtMost(1.0 / 4.0)),
    claim(15, "a killed process is back: 8 × sooner", "p50", "process", "pm2", AtMost(1.0 / 8.0)),
    claim(15, "a killed process is back: 1,500 × sooner", "p50", "process", "supervisord", AtMost(1.0 / 1500.0)),
    Claim {
        row: 15,
        what: "a killed process is back, the parent 4 GiB large, against the same while it is small",
        ours: place("process.4GiB", "regrow", "p50"),
        theirs: place("process", "regrow", "p50"),
        bound: AtMost(1.1),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::CELLS;

    #[test]
    fn every_claim_is_about_figures_that_are_measured() {
        for claim in CLAIMS {
            for Place { cell, arm, figure } in [claim.ours, claim.theirs] {
                let found = CELLS.iter().find(|known| known.name == cell);
                let found = found.unwrap_or_else(|| panic!("{}: no cell {cell:?}", claim.what));
                let has_arm = found.arms.iter().any(|known| known.name == arm);
                let has_figure = found.figures.iter().any(|(known, _)| *known == figure);
                assert!(has_arm, "{}: {cell} has no arm {arm:?}", claim.what);
                assert!(
                    has_figure,
                    "{}: {cell} has no figure {figure:?}",
                    claim.what
                );
            }
        }
    }

    #[test]
    fn no_two_cells_and_no_two_arms_of_one_have_the_same_name() {
        for (at, cell) in CELLS.iter().enumerate() {
            let same = |other: &&crate::plan::Cell| other.name == cell.name;
            assert!(CELLS[at + 1..].iter().find(same).is_none(), "{}", cell.name);
            for (at, arm) in cell.arms.iter().enumerate() {
                let mut others = cell.arms[at + 1..].iter();
                let double = others.any(|other| other.name == arm.name);
                assert!(!double, "{}: {}", cell.name, arm.name);
            }
        }
    }
}

//! Jobs that take no time, and the pools that have them done.

use super::{Arm, Cell, Erlang, KAMEO, Mimalloc, RATE, REGROW, REGROW_MI, arm, here};

const ARMS: &[Arm] = &[
    here("in-turn"),
    REGROW,
    here("factory"),
    KAMEO,
    arm("in-turn (mimalloc)", Mimalloc, "in-turn"),
    REGROW_MI,
    arm("factory (mimalloc)", Mimalloc, "factory"),
    arm("kameo (mimalloc)", Mimalloc, "kameo"),
    arm("erlang-in-turn", Erlang, "in-turn"),
    arm("poolboy", Erlang, "poolboy"),
];

/// How many jobs are done in a second; `n` is how many workers there are.
const fn pool(
    name: &'static str,
    what: &'static str,
    cell: &'static str,
    n: usize,
    ops: usize,
) -> Cell {
    Cell {
        row: 13,
        name,
        what,
        cell,
        n,
        ops,
        inner: 4,
        warm_up: 1,
        together: false,
        figures: RATE,
        arms: ARMS,
    }
}

/// Two callers hand jobs out as fast as they can.
const fn flood(name: &'static str, what: &'static str, n: usize) -> Cell {
    pool(name, what, "pool", n, 400_000)
}

/// Two callers for each worker wait for each answer.
const fn answers(name: &'static str, what: &'static str, n: usize) -> Cell {
    pool(name, what, "pool-answers", n, 100_000)
}

/// Few workers.
pub const FLOOD_OF_4: Cell = flood(
    "pool.4",
    "400,000 jobs that nobody waits for, of two callers, 4 workers (regrow: the least loaded of them, and a queue with a bound)",
    4,
);

/// More workers.
pub const FLOOD_OF_16: Cell = flood("pool.16", "the same with 16 workers", 16);

/// Many workers.
pub const FLOOD_OF_64: Cell = flood("pool.64", "the same with 64 workers", 64);

/// Few workers that answer.
pub const ANSWERS_OF_4: Cell = answers(
    "pool-answers.4",
    "100,000 jobs that are waited for, one after the other by each of 8 callers, 4 workers",
    4,
);

/// More that do.
pub const ANSWERS_OF_16: Cell = answers(
    "pool-answers.16",
    "the same with 32 callers and 16 workers",
    16,
);

/// Many that do.
pub const ANSWERS_OF_64: Cell = answers(
    "pool-answers.64",
    "the same with 128 callers and 64 workers",
    64,
);

#[cfg(test)]
mod tests {
    use crate::claims::{Bound, CLAIMS};
    use crate::plan::CELLS;

    #[test]
    fn each_size_is_measured_with_and_without_answers_on_the_same_systems() {
        let cells = CELLS.iter().filter(|cell| cell.row == 13);
        let mut sizes = Vec::new();
        for cell in cells {
            assert_eq!(cell.name, format!("{}.{}", cell.cell, cell.n));
            let known = |name| cell.arms.iter().any(|arm| arm.name == name);
            for name in ["in-turn", "regrow", "factory", "kameo", "poolboy"] {
                assert!(known(name), "{}: no arm {name:?}", cell.name);
            }
            sizes.push((cell.cell, cell.n));
        }
        let both = |cell| [4, 16, 64].map(|n| (cell, n));
        assert_eq!(sizes, [both("pool"), both("pool-answers")].concat());
    }

    #[test]
    fn a_flood_is_held_against_the_factory_and_kameos_pool_at_each_size() {
        for (peer, least) in [("factory", 2.5), ("kameo", 1.2)] {
            for cell in ["pool.4", "pool.16", "pool.64"] {
                let mut claims = CLAIMS.iter().filter(|claim| claim.row == 13);
                let found = claims.find(|claim| {
                    claim.ours.cell == cell && claim.theirs.cell == cell && claim.theirs.arm == peer
                });
                let bound = found.map(|claim| claim.bound);
                assert!(
                    matches!(bound, Some(Bound::AtLeast(bar)) if bar == least),
                    "{cell}: {peer}: {bound:?}"
                );
            }
        }
    }

    #[test]
    fn of_a_pool_the_median_of_its_rounds_counts_for_more_is_better() {
        // Of arms that share a process the least would count, which of a rate is the worst.
        for cell in CELLS.iter().filter(|cell| cell.figures == super::RATE) {
            assert!(!cell.together, "{}", cell.name);
        }
    }
}

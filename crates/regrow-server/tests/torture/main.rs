//! Torture: the real program with hundreds of agents that do everything wrong, under operators who do what comes into their heads.
//! When all is quiet again nothing is left of it: no process, no zombie, no descriptor, no port; every life is accounted for; and
//! the daemon's memory is bounded.
//!
//! A seed picks the agents, their habits and what operators do. `REGROW_TORTURE="SEED SECONDS AGENTS"` sets another one, another
//! time and another size: `scripts/prove torture` does.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod client;
mod ledger;
mod operators;
mod outside;
#[path = "../e2e/kit/processes.rs"]
#[expect(dead_code, reason = "what the other tests need of it")]
mod processes;
mod run;
mod team;

use std::io::{self, Write as _};

use run::{Torture, torture};

#[test]
fn whatever_agents_and_operators_do_nothing_is_left_and_every_life_is_accounted_for() {
    let torment = Torture::wanted();
    let outcome = torture(torment);
    let mut out = io::stderr().lock();
    for figure in &outcome.figures {
        writeln!(out, "figure torture {figure}").unwrap();
    }
    for wrong in &outcome.wrong {
        writeln!(out, "WRONG {wrong}").unwrap();
    }
    assert!(
        outcome.wrong.is_empty(),
        "{} things are wrong on {torment:?}; what there is to see is in {}",
        outcome.wrong.len(),
        outcome.evidence.display()
    );
}

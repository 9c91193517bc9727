//! The decisions of regrow, as plain values.
//!
//! Nothing in this crate reads a clock, waits, spawns, or does input and output: a machine is told what happened and when
//! (`on_…(.., now)`), answers what to do, and says when it wants to be woken (`next_wakeup()`). Its shells live in `regrow`,
//! `regrow-process` and `regrow-server`. The compiler holds the rule: no runtime is among the dependencies, and clippy bans the
//! clock.
//!
//! Read in this order: [`supervision`] (who is stopped, who is started, when to give up) with [`Restart`], [`RestartIntensity`]
//! and [`Backoff`]; [`lifecycle`] (how an OS process is ended completely); [`notify`] (what one says of itself); [`figures`] (what one
//! uses); [`dependencies`]; [`deadlines`]; [`merge`] (several streams in one order), [`rotation`] (when a log goes on in a new file) and [`stamp`] (times as
//! text); [`query`] and [`index`] (who is there, and who of them is meant) with
//! [`names`], [`pick`] and [`watch`]; [`circuit`] (when calls are better not made); [`probe`] (how a child is, and what its answers
//! mean) with [`progress`] and [`phi`], [`scaler`] (how many workers a pool needs) and [`crew`] (who of them
//! gets the next job), [`health`] (how a whole is) and [`waits`] (who waits for whom); [`agents`] (who may be started, and what it is called); [`leases`] (whose port is which); [`backlog`] (which work is done next) and
//! [`outliers`] (who gets none of it for a while).

pub mod agents;
pub mod backlog;
mod backoff;
pub mod circuit;
pub mod crew;
pub mod deadlines;
pub mod dependencies;
pub mod desk;
pub mod exits;
pub mod figures;
pub mod health;
mod id;
pub mod index;
mod intensity;
pub mod leases;
pub mod lifecycle;
pub mod merge;
pub mod names;
mod nearest;
pub mod notify;
pub mod outliers;
mod partition;
mod phase;
pub mod phi;
pub mod pick;
pub mod probe;
pub mod progress;
pub mod query;
mod restart;
mod rng;
pub mod rotation;
pub mod scaler;
pub mod stamp;
pub mod supervision;
#[cfg(test)]
mod testing;
pub mod waits;
pub mod watch;
mod words;

/// Longer than anything lasts, and short enough to be added to any time of a clock.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(100 * 365 * 86_400);

pub use backoff::{Attempts, Backoff, FirstRestart, NextStart};
pub use id::{InvalidId, check_id};
pub use intensity::{RestartIntensity, RestartWindow, Verdict};
pub use nearest::nearest;
pub use partition::partition;
pub use phase::{ChildKind, Desired, Health, Phase};
pub use restart::{
    AutoShutdown, ExitKind, GiveUp, Restart, Shutdown, StopCause, Strategy, Unresponsive,
};
pub use rng::SplitMix64;
pub use words::UnknownWord;

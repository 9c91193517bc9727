//! What was decided, from what, and why: enough to decide the same again, and to say it in words.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::words::words;

words! {
    /// Which way a pool goes.
    pub enum Direction {
        /// More workers.
        Up = "up",
        /// Fewer workers.
        Down = "down",
        /// As many as there are.
        Hold = "hold",
    }
}

words! {
    /// What asks for a size.
    pub enum Trigger {
        /// The work that there was lately, smoothed.
        Demand = "demand",
        /// Work waits, or has waited too long.
        Queue = "queue",
        /// Somebody foresees more.
        Forecast = "forecast",
        /// A signal of the user's own.
        Signal = "signal",
        /// An operator has said how many.
        Manual = "manual",
        /// Its bounds.
        Bound = "bound",
        /// There has been nothing to do for a while.
        Idle = "idle",
        /// A signal is missing.
        Fallback = "fallback",
    }
}

words! {
    /// Why a pool has not the size that is asked for.
    pub enum Limit {
        /// It has as many workers as it may have.
        AtMax = "at_max",
        /// It has as few workers as it may have.
        AtMin = "at_min",
        /// More was needed a moment ago.
        Stabilising = "stabilising",
        /// So many at one look, and more at the next.
        Rate = "rate",
        /// Others have what it would need.
        Quota = "quota",
        /// Workers do not start, and it is waited before more are tried.
        StartBackoff = "start_backoff",
        /// Those who could go are at work.
        Busy = "busy",
        /// An operator has stopped its scaling.
        Paused = "paused",
        /// It only says what it would do.
        ObserveOnly = "observe_only",
    }
}

/// A signal of the user's own: a value that is to be at its target, and grows when there are too few workers.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// What it is called.
    pub name: Arc<str>,
    /// What it is now; `None`, or no number, when nobody knows.
    pub value: Option<f64>,
    /// What it is to be.
    pub target: f64,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Load {
    /// Jobs that workers have.
    pub in_flight: u64,
    /// Jobs that wait.
    pub queued: u64,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
}

/// Everything that a decision is made from.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Inputs {
    /// How many workers there are: those that can work, and those that start. Who is on his way out does not count.
    pub size: u32,
    /// What there is to do; `None` when nobody knows.
    pub load: Option<Load>,
    /// Signals of the user's own.
    pub signals: Vec<Signal>,
    /// How many workers somebody foresees a need for.
    pub forecast: Option<u32>,
    /// Somebody may foresee a need at any time: there is no rest from looking.
    pub is_foreseen: bool,
    /// How many workers this pool may have as others leave it, where it shares with them.
    pub quota: Option<u32>,
    /// Workers do not start: none are added.
    pub start_backoff: bool,
    /// How many workers could go, for they are not at work; `None` when it does not matter.
    pub spare: Option<u32>,
}

/// What came of one look.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// From what.
    pub inputs: Inputs,
    /// How many workers there are to be.
    pub to: u32,
    /// What was asked for, before any limit.
    pub wanted: u32,
    /// The work that there was lately, in workers that are busy all the time.
    pub smoothed: f64,
    /// The highest need within the window: there is no step below it.
    pub remembered: u32,
    /// What asks for it.
    pub trigger: Trigger,
    /// Why it is not what is asked for, if it is not.
    pub limit: Option<Limit>,
}

impl Decision {
    /// Which way it goes.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        if self.to > self.inputs.size {
            Direction::Up
        } else if self.to < self.inputs.size {
            Direction::Down
        } else {
            Direction::Hold
        }
    }

    /// What there is to do at this moment, in jobs.
    #[must_use]
    pub fn demand(&self) -> u64 {
        self.inputs
            .load
            .map_or(0, |load| load.in_flight + load.queued)
    }

    fn why(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = self.wanted;
        match self.trigger {
            Trigger::Demand => write!(
                f,
                "{} busy on average lately ask for {wanted}",
                round(self.smoothed)
            ),
            Trigger::Queue => {
                let load = self.inputs.load.unwrap_or_default();
                let (running, waiting) = (load.in_flight, load.queued);
                write!(
                    f,
                    "{running} running and {waiting} waiting ask for {wanted}"
                )?;
                if load.oldest >= Duration::from_secs(1) {
                    write!(f, ", the oldest has waited {} s", load.oldest.as_secs())?;
                }
                Ok(())
            }
            Trigger::Forecast => write!(f, "{wanted} are foreseen"),
            Trigger::Signal => {
                write!(f, "{wanted} are asked for by")?;
                for signal in &self.inputs.signals {
                    match signal.value {
                        Some(value) => write!(
                            f,
                            " {}, {} where {} is to be",
                            signal.name,
                            round(value),
                            round(signal.target)
                        )?,
                        None => write!(f, " {}, which is missing", signal.name)?,
                    }
                }
                Ok(())
            }
            Trigger::Manual => write!(f, "an operator has set {wanted}"),
            Trigger::Bound => write!(f, "its bounds ask for {wanted}"),
            Trigger::Idle => f.write_str("there has been nothing to do for long"),
            Trigger::Fallback => {
                write!(f, "a signal is missing, and {wanted} is what it counts for")
            }
        }
    }

    fn but(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(limit) = self.limit else {
            return Ok(());
        };
        match limit {
            Limit::AtMax => write!(f, "; there may be no more than {}", self.to),
            Limit::AtMin => write!(f, "; there are to be at least {}", self.to),
            Limit::Stabilising => write!(f, "; {} were needed a moment ago", self.remembered),
            Limit::Rate => f.write_str("; one step at a time"),
            Limit::Quota => {
                let quota = self.inputs.quota.unwrap_or_default();
                write!(f, "; what it shares with others leaves it {quota}")
            }
            Limit::StartBackoff => {
                f.write_str("; its workers do not start, so none are added for now")
            }
            Limit::Busy => f.write_str("; the others are at work"),
            Limit::Paused => f.write_str("; its scaling is paused"),
            Limit::ObserveOnly => f.write_str("; it is only observed"),
        }
    }
}

/// One digit after the point is enough for people.
fn round(value: f64) -> String {
    format!("{value:.1}")
}

/// The decision in words: what is done, why, and what stands in the way of more.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.inputs.size, self.to);
        match self.direction() {
            Direction::Up => write!(f, "up from {from} to {to}: ")?,
            Direction::Down => write!(f, "down from {from} to {to}: ")?,
            Direction::Hold => write!(f, "stays at {to}: ")?,
        }
        self.why(f)?;
        self.but(f)
    }
}

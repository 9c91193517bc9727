//! What a child is, and what it is doing: one set of words for every kind.

use crate::words::words;

words! {
    /// What a child is made of.
    pub enum ChildKind {
        /// A `ractor` actor.
        Actor = "actor",
        /// A supervised future.
        Task = "task",
        /// A supervised operating-system thread.
        Thread = "thread",
        /// A supervisor with children of its own.
        Supervisor = "supervisor",
        /// A pool of workers.
        Pool = "pool",
        /// A circuit breaker.
        Breaker = "breaker",
        /// An operating-system process.
        Process = "process",
        /// A child on another machine.
        Remote = "remote",
    }
}

words! {
    /// Where a child stands in its life.
    ///
    /// Readiness, health and the operator's wish stand beside the phase and are never mixed into it.
    pub enum Phase {
        /// Waits for its turn or its dependencies.
        Pending = "pending",
        /// Its start function, start window or startup probe runs.
        Starting = "starting",
        /// Up.
        Running = "running",
        /// Held by SIGSTOP; its timers stand still.
        Paused = "paused",
        /// Takes no new work and finishes the old.
        Draining = "draining",
        /// Asked to stop, and not gone yet.
        Stopping = "stopping",
        /// Waits for its next start.
        Backoff = "backoff",
        /// Ended as it should and is not started again.
        Completed = "completed",
        /// Stopped by an operator; stays so.
        Stopped = "stopped",
        /// Given up on; parked with an alarm.
        Failed = "failed",
    }
}

impl Phase {
    /// Whether a life may exist in this phase: something could still answer, or has to be stopped.
    #[must_use]
    pub const fn is_alive(self) -> bool {
        match self {
            Self::Starting | Self::Running | Self::Paused | Self::Draining | Self::Stopping => true,
            Self::Pending | Self::Backoff | Self::Completed | Self::Stopped | Self::Failed => false,
        }
    }

    /// Whether the child has come to rest: nothing will happen to it without a new event.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        match self {
            Self::Running | Self::Paused | Self::Completed | Self::Stopped | Self::Failed => true,
            Self::Pending | Self::Starting | Self::Draining | Self::Stopping | Self::Backoff => {
                false
            }
        }
    }
}

words! {
    /// What the operator wants of a child.
    pub enum Desired {
        /// It shall run.
        Up = "up",
        /// It shall not run.
        Down = "down",
        /// It shall run once, to its end.
        Once = "once",
    }
}

words! {
    /// What probes say of a child.
    pub enum Health {
        /// Nobody has asked.
        Unknown = "unknown",
        /// It is well.
        Up = "up",
        /// It works, but not as it should.
        Degraded = "degraded",
        /// It does not work.
        Down = "down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_settled_when_nothing_follows_without_a_new_event() {
        let settled: Vec<_> = Phase::ALL
            .iter()
            .copied()
            .filter(|phase| phase.is_settled())
            .collect();
        assert_eq!(
            settled,
            [
                Phase::Running,
                Phase::Paused,
                Phase::Completed,
                Phase::Stopped,
                Phase::Failed
            ]
        );
    }
}

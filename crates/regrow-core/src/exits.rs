//! What the exit codes of a process mean.

use std::collections::BTreeMap;

use crate::restart::ExitKind;

/// What follows the end of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Another life, by the backoff and within the limits.
    Restart,
    /// Nothing: it has ended as it should.
    Rest,
    /// Nothing: it is given up on, with an alarm.
    Park,
}

/// How a process can end by itself, as a rule names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExitStatus {
    /// With this code.
    Code(i32),
    /// By the signal of this number.
    Signal(i32),
}

/// What certain exit codes and signals mean for a process, whatever its restart type says of them.
///
/// The default is that of `sysexits.h`: 75 (a temporary failure) is always tried again, even by a temporary child; 78 (wrong
/// configuration) never, for no other life would fare better. Everything else is left to the restart type, to which code 0 alone is
/// an end in order. A signal from outside is none: what regrow itself stops is never judged here, so whoever else ends an agent has
/// surprised it. Add the signal to the successes where that is not so.
///
/// ```
/// use regrow_core::ExitKind;
/// use regrow_core::exits::{ExitRules, ExitStatus, Follow};
///
/// let rules = ExitRules::default().on(ExitStatus::Code(3), Follow::Rest);
/// assert_eq!(rules.follow(ExitKind::Exit(3)), Some(Follow::Rest));
/// assert_eq!(rules.follow(ExitKind::Exit(78)), Some(Follow::Park));
/// assert_eq!(rules.follow(ExitKind::Exit(1)), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ExitRules(BTreeMap<ExitStatus, Follow>);

impl Default for ExitRules {
    fn default() -> Self {
        Self::none()
            .on(ExitStatus::Code(75), Follow::Restart)
            .on(ExitStatus::Code(78), Follow::Park)
    }
}

impl ExitRules {
    /// No rule at all.
    pub const fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// What follows an end of this kind. A later word on the same end takes the place of an earlier one.
    pub fn on(mut self, exit: ExitStatus, follow: Follow) -> Self {
        self.0.insert(exit, follow);
        self
    }

    /// What follows this end, if a rule speaks of it.
    #[must_use]
    pub fn follow(&self, end: ExitKind) -> Option<Follow> {
        let exit = match end {
            ExitKind::Exit(code) => ExitStatus::Code(code),
            ExitKind::Signal(signal) => ExitStatus::Signal(signal),
            ExitKind::Normal
            | ExitKind::Shutdown
            | ExitKind::Error
            | ExitKind::Panic
            | ExitKind::Killed
            | ExitKind::StartFailed
            | ExitKind::StartTimeout
            | ExitKind::Intensity
            | ExitKind::Cancelled
            | ExitKind::Unresponsive => return None,
        };
        self.0.get(&exit).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restart::Restart;
    use crate::supervision::{ChildPlan, Outcome};
    use std::fmt::Write as _;
    use std::sync::Arc;

    #[test]
    fn what_follows_each_end_is_as_written_down() {
        let rules = ExitRules::default()
            .on(ExitStatus::Code(3), Follow::Rest)
            .on(ExitStatus::Signal(15), Follow::Rest);
        let ends = [
            ("exit 0", ExitKind::Exit(0)),
            ("exit 1", ExitKind::Exit(1)),
            ("exit 3 (a success)", ExitKind::Exit(3)),
            ("exit 75", ExitKind::Exit(75)),
            ("exit 78", ExitKind::Exit(78)),
            ("signal 1", ExitKind::Signal(1)),
            ("signal 9", ExitKind::Signal(9)),
            ("signal 15 (a success)", ExitKind::Signal(15)),
            ("killed", ExitKind::Killed),
            ("shutdown", ExitKind::Shutdown),
        ];
        let mut table = String::new();
        for (name, end) in ends {
            write!(table, "{name}:").unwrap();
            for restart in Restart::ALL {
                let plan = ChildPlan {
                    restart: *restart,
                    exits: Some(Arc::new(rules.clone())),
                    ..ChildPlan::default()
                };
                write!(table, " {} {:?}", restart.as_str(), plan.comes_to(end)).unwrap();
            }
            table.push('\n');
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn without_rules_the_restart_type_decides_alone() {
        for end in ExitKind::ALL {
            for restart in Restart::ALL {
                let plan = ChildPlan {
                    restart: *restart,
                    ..ChildPlan::default()
                };
                let restarts = plan.comes_to(end) == Outcome::Again;
                assert_eq!(restarts, restart.restarts_after(end), "{restart:?} {end:?}");
            }
        }
    }

    #[test]
    fn what_is_there_to_come_to_its_end_comes_to_it_with_any_success() {
        let rules = ExitRules::default().on(ExitStatus::Code(3), Follow::Rest);
        let plan = |restart| ChildPlan {
            restart,
            once: true,
            exits: Some(Arc::new(rules.clone())),
            ..ChildPlan::default()
        };
        let comes_to = |restart, code| plan(restart).comes_to(ExitKind::Exit(code));
        for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            assert_eq!(comes_to(restart, 0), Outcome::Done);
            assert_eq!(comes_to(restart, 3), Outcome::Done);
            assert_eq!(comes_to(restart, 75), Outcome::Again);
            assert_eq!(comes_to(restart, 78), Outcome::Never);
        }
        assert_eq!(comes_to(Restart::Transient, 1), Outcome::Again);
        assert_eq!(comes_to(Restart::Temporary, 1), Outcome::Failed);
    }
}

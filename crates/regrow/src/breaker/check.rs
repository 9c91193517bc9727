//! A breaker as what a probe looks at.

use regrow_core::circuit::{CircuitState, CircuitStatus};
use regrow_core::probe::CheckResult;

use super::Breaker;
use crate::probe::{Check, Examination, Probed};

/// Whether calls are let through: a failure while the circuit is open, a warning while it is tried out. For the readiness of who can do
/// nothing without what is called; that it is away is no reason to restart anybody, so this can be no liveness probe.
///
/// ```
/// use regrow::breaker::{Breaker, CircuitRules};
/// use regrow::probe::Probe;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = Breaker::new("model", CircuitRules::default())?;
/// let probe = Probe::readiness(model);
/// # Ok(())
/// # }
/// ```
impl Check for Breaker {
    fn examine(&self, _: &Probed) -> Examination {
        let breaker = self.clone();
        Examination::at_once(move |_| judge(breaker.id(), &breaker.status()))
    }
}

/// What a state means to those who call.
pub(super) fn judge(id: &str, status: &CircuitStatus) -> CheckResult {
    match status.standing.state {
        CircuitState::Closed | CircuitState::Disabled | CircuitState::MetricsOnly => {
            CheckResult::success()
        }
        CircuitState::HalfOpen => CheckResult::warning(format!("breaker {id:?} is tried out")),
        CircuitState::ForcedOpen => {
            CheckResult::failure(format!("breaker {id:?} is held open by an operator"))
        }
        CircuitState::Open => CheckResult::failure(match status.retry_after {
            Some(wait) => format!("breaker {id:?} is open, for {wait:.1?} more"),
            None => format!("breaker {id:?} is open"),
        }),
    }
}

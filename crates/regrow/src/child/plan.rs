//! What a supervisor goes by, made of what was said of a child.

use std::time::Duration;

use regrow_core::Backoff;
use regrow_core::probe::ProbeKind;
use regrow_core::supervision::ChildPlan;

use super::ChildSpec;

impl ChildSpec {
    /// What its supervisor goes by: restart type, shutdown, backoff, limits. The defaults are filled in.
    #[must_use]
    pub fn plan(&self) -> &ChildPlan {
        &self.traits.plan
    }

    /// What a supervisor with OTP's defaults makes of the plan: what was not said is OTP's.
    pub(crate) fn said_under(&self, otp_compat: bool) -> ChildPlan {
        let mut plan = self.traits.plan.clone();
        if otp_compat && !self.traits.said.backoff {
            plan.backoff = Backoff::none();
        }
        if otp_compat && !self.traits.said.start_timeout {
            plan.start_timeout = Duration::MAX;
        }
        plan
    }

    /// The same, with what follows from its probes.
    pub(crate) fn plan_under(&self, otp_compat: bool) -> ChildPlan {
        let mut plan = self.said_under(otp_compat);
        if self.traits.probes_for(ProbeKind::Readiness) {
            // Its probes say when, and need not say so by any time.
            plan.ready_within.get_or_insert(Duration::MAX);
        }
        plan
    }
}

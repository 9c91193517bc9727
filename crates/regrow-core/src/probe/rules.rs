//! How often a child is asked, how long is waited, and how many equal answers in a row are believed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::ProbeKind;

/// The numbers of one probe; [`ProbeRules::default`] has Kubernetes'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeRules {
    /// How long after the beginning of the life the first run may come. Kubernetes' `initialDelaySeconds`; none by default.
    pub initial_delay: Duration,
    /// From the beginning of one run to that of the next, ± 10 %. Kubernetes' `periodSeconds`; 10 s by default, 5 s for actors.
    pub period: Duration,
    /// How long a run may take before it counts as a failure. Kubernetes' `timeoutSeconds`; 1 s by default.
    pub timeout: Duration,
    /// So many successes in a row make the verdict `success`. Kubernetes' `successThreshold`; 1 by default, and never more for a
    /// startup or liveness probe.
    pub success_threshold: u32,
    /// So many failures in a row make the verdict `failure`. Kubernetes' `failureThreshold`; 3 by default.
    pub failure_threshold: u32,
    /// So many failures in a row make a verdict of `success` `degraded`. Consul's `failures_before_warning`; none by default.
    pub warning_threshold: Option<u32>,
    /// How long the stop that this probe causes may take before force is used, where that is not the child's own time to stop.
    /// Kubernetes' `terminationGracePeriodSeconds`; none by default.
    pub termination_grace: Option<Duration>,
}

impl Default for ProbeRules {
    /// Kubernetes': no delay, every 10 s, 1 s for an answer, one success, three failures.
    fn default() -> Self {
        Self {
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 3,
            warning_threshold: None,
            termination_grace: None,
        }
    }
}

impl ProbeRules {
    /// The longest delay, period and timeout: what is asked less often is never asked, and clocks do not go on for ever.
    pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    /// The shortest period, timeout and grace that a file may ask for, as in Kubernetes, which counts in whole seconds. A program may
    /// ask for less.
    pub const LEAST_IN_A_FILE: Duration = Duration::from_secs(1);

    /// Kubernetes', but every 5 s: to ask an actor costs next to nothing.
    #[must_use]
    pub fn for_actors() -> Self {
        Self {
            period: Duration::from_secs(5),
            ..Self::default()
        }
    }

    /// The longest that a fault goes unnoticed: so many periods as it takes failures, the jitter of one, and one timeout.
    #[must_use]
    pub fn detection_time(&self) -> Duration {
        let periods = self.period.saturating_mul(self.failure_threshold);
        let jitter = self.period / 10;
        periods.saturating_add(jitter).saturating_add(self.timeout)
    }

    /// Whether they can work for a probe of this kind.
    ///
    /// # Errors
    /// The first field that cannot be so, by its name in this struct.
    pub fn check(&self, kind: ProbeKind) -> Result<(), InvalidProbe> {
        let more_than_zero = |field, value: Duration| {
            if value.is_zero() {
                Err(InvalidProbe::new(field, "a time of more than 0", value))
            } else {
                Ok(())
            }
        };
        let at_least_one = |field, value: u32| {
            if value == 0 {
                Err(InvalidProbe::new(field, "at least 1", value))
            } else {
                Ok(())
            }
        };
        let in_time = |field, value: Duration| {
            if value > Self::LONGEST {
                Err(InvalidProbe::new(field, "a time of at most a year", value))
            } else {
                Ok(())
            }
        };
        in_time("initial_delay", self.initial_delay)?;
        for (field, value) in [("period", self.period), ("timeout", self.timeout)] {
            more_than_zero(field, value)?;
            in_time(field, value)?;
        }
        at_least_one("success_threshold", self.success_threshold)?;
        at_least_one("failure_threshold", self.failure_threshold)?;
        if kind.may_end_a_life() && self.success_threshold != 1 {
            let expected = match kind {
                ProbeKind::Startup => "1, as for every startup probe",
                ProbeKind::Liveness | ProbeKind::Readiness | ProbeKind::Custom => {
                    "1, as for every liveness probe"
                }
            };
            return Err(InvalidProbe::new(
                "success_threshold",
                expected,
                self.success_threshold,
            ));
        }
        if let Some(grace) = self.termination_grace {
            if !kind.may_end_a_life() {
                let expected = "none: such a probe never stops its child";
                return Err(InvalidProbe::new("termination_grace", expected, grace));
            }
            more_than_zero("termination_grace", grace)?;
        }
        self.check_warning(kind)
    }

    fn check_warning(&self, kind: ProbeKind) -> Result<(), InvalidProbe> {
        let field = "warning_threshold";
        let Some(warning) = self.warning_threshold else {
            return Ok(());
        };
        if kind == ProbeKind::Startup {
            let expected = "none: a life has started or it has not";
            return Err(InvalidProbe::new(field, expected, warning));
        }
        if warning == 0 || warning > self.failure_threshold {
            let expected = "at least 1 and at most failure_threshold";
            return Err(InvalidProbe::new(field, expected, warning));
        }
        Ok(())
    }
}

/// One probe of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePlan {
    /// What it is called: the label `probe`. Unique among those of a child.
    pub name: Arc<str>,
    /// What it is for.
    pub kind: ProbeKind,
    /// How often, how long, how many.
    pub rules: ProbeRules,
}

impl ProbePlan {
    /// A probe that is called as its kind is.
    #[must_use]
    pub fn new(kind: ProbeKind, rules: ProbeRules) -> Self {
        Self {
            name: kind.as_str().into(),
            kind,
            rules,
        }
    }

    /// Called so instead: a child may have several of one kind, and each says what it looks at.
    #[must_use]
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }
}

/// Whether these can be the probes of one child.
///
/// # Errors
/// The first field that cannot be so, with the name of its probe; or two probes of one name.
pub fn check_plans(plans: &[ProbePlan]) -> Result<(), InvalidProbe> {
    for (at, plan) in plans.iter().enumerate() {
        if plans[..at].iter().any(|other| other.name == plan.name) {
            let error = InvalidProbe::new("name", "one that no other probe has", &plan.name);
            return Err(error.of(&plan.name));
        }
        plan.rules
            .check(plan.kind)
            .map_err(|error| error.of(&plan.name))?;
    }
    Ok(())
}

/// A setting of a probe that cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidProbe {
    /// Which probe, where that is known.
    pub probe: Option<Arc<str>>,
    /// Which field of [`ProbeRules`], or `name`.
    pub field: &'static str,
    /// What would be right.
    pub expected: &'static str,
    /// What was found.
    pub found: String,
}

impl InvalidProbe {
    fn new(field: &'static str, expected: &'static str, found: impl fmt::Debug) -> Self {
        Self {
            probe: None,
            field,
            expected,
            found: format!("{found:?}"),
        }
    }

    fn of(mut self, probe: &Arc<str>) -> Self {
        self.probe = Some(Arc::clone(probe));
        self
    }
}

impl fmt::Display for InvalidProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(probe) = &self.probe {
            write!(f, "probe {probe:?}: ")?;
        }
        let Self {
            field,
            expected,
            found,
            ..
        } = self;
        write!(f, "{field}: expected {expected}, got {found}")
    }
}

impl std::error::Error for InvalidProbe {}

#[cfg(test)]
mod tests {
    use super::*;
    use ProbeKind::{Custom, Liveness, Readiness, Startup};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_defaults_are_kubernetes_and_those_of_actors_ask_twice_as_often() {
        let rules = ProbeRules::default();
        let times = (rules.initial_delay, rules.period, rules.timeout);
        assert_eq!(times, (Duration::ZERO, SECOND * 10, SECOND));
        let thresholds = (rules.success_threshold, rules.failure_threshold);
        assert_eq!(thresholds, (1, 3));
        assert_eq!(
            (rules.warning_threshold, rules.termination_grace),
            (None, None)
        );
        assert_eq!(rules.detection_time(), SECOND * 32);
        let of_actors = ProbeRules::for_actors();
        assert_eq!(
            (of_actors.period, of_actors.detection_time()),
            (SECOND * 5, SECOND * 33 / 2)
        );
    }

    fn with(change: impl FnOnce(&mut ProbeRules)) -> ProbeRules {
        let mut rules = ProbeRules::default();
        change(&mut rules);
        rules
    }

    fn refused(kind: ProbeKind, change: impl FnOnce(&mut ProbeRules), text: &str) {
        let rules = with(change);
        assert_eq!(rules.check(kind).unwrap_err().to_string(), text);
        let error = check_plans(&[ProbePlan::new(kind, rules).named("x")]).unwrap_err();
        assert_eq!(error.to_string(), format!("probe \"x\": {text}"));
    }

    #[rustfmt::skip]
    #[test]
    fn settings_that_cannot_work_are_refused_by_the_name_of_their_field() {
        let zero = Duration::ZERO;
        refused(Liveness, |r| r.period = zero, "period: expected a time of more than 0, got 0ns");
        refused(Readiness, |r| r.timeout = zero, "timeout: expected a time of more than 0, got 0ns");
        let year = ProbeRules::LONGEST;
        refused(Custom, |r| r.initial_delay = year + SECOND, "initial_delay: expected a time of at most a year, got 31536001s");
        refused(Readiness, |r| r.period = Duration::MAX, "period: expected a time of at most a year, got 18446744073709551615.999999999s");
        refused(Liveness, |r| r.timeout = year + SECOND, "timeout: expected a time of at most a year, got 31536001s");
        refused(Readiness, |r| r.success_threshold = 0, "success_threshold: expected at least 1, got 0");
        refused(Custom, |r| r.failure_threshold = 0, "failure_threshold: expected at least 1, got 0");
        refused(Liveness, |r| r.success_threshold = 2, "success_threshold: expected 1, as for every liveness probe, got 2");
        refused(Startup, |r| r.success_threshold = 3, "success_threshold: expected 1, as for every startup probe, got 3");
        refused(Readiness, |r| r.termination_grace = Some(SECOND), "termination_grace: expected none: such a probe never stops its child, got 1s");
        refused(Liveness, |r| r.termination_grace = Some(zero), "termination_grace: expected a time of more than 0, got 0ns");
        refused(Startup, |r| r.warning_threshold = Some(1), "warning_threshold: expected none: a life has started or it has not, got 1");
        refused(Liveness, |r| r.warning_threshold = Some(4), "warning_threshold: expected at least 1 and at most failure_threshold, got 4");
        refused(Custom, |r| r.warning_threshold = Some(0), "warning_threshold: expected at least 1 and at most failure_threshold, got 0");
    }

    #[test]
    fn what_can_work_is_accepted_and_no_two_probes_have_one_name() {
        for kind in ProbeKind::ALL {
            assert_eq!(ProbeRules::default().check(*kind), Ok(()));
        }
        assert_eq!(with(|r| r.success_threshold = 5).check(Readiness), Ok(()));
        assert_eq!(
            with(|r| r.termination_grace = Some(SECOND)).check(Startup),
            Ok(())
        );
        let plan = ProbePlan::new(Liveness, ProbeRules::default());
        let named = plan.clone().named("beats");
        assert_eq!(check_plans(&[plan.clone(), named]), Ok(()));
        let error = check_plans(&[plan.clone(), plan]).unwrap_err().to_string();
        let text =
            "probe \"liveness\": name: expected one that no other probe has, got \"liveness\"";
        assert_eq!(error, text);
    }
}

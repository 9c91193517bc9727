//! One probe in one life: when it is due, what came out, and what that makes of its verdict.

use std::time::{Duration, Instant};

use super::rules::ProbeRules;
use super::{ProbeKind, ProbeResult, ProbeVerdict};
use crate::rng::SplitMix64;

#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) verdict: ProbeVerdict,
    /// Whether the verdict comes from results; at first it does not.
    pub(super) is_judged: bool,
    /// Whether the last result that counted was good, and how many in a row were like it.
    last: Option<bool>,
    pub(super) consecutive: u32,
    /// The run under way.
    pub(super) outstanding: Option<u32>,
    seq: u32,
    pub(super) due: Instant,
    /// The point on the grid of periods that `due` is near.
    grid: Instant,
}

impl Slot {
    pub(super) fn new(kind: ProbeKind, now: Instant) -> Self {
        Self {
            verdict: kind.initial_verdict(),
            is_judged: false,
            last: None,
            consecutive: 0,
            outstanding: None,
            seq: 0,
            due: now,
            grid: now,
        }
    }

    /// The next run is at `at`, and those after it a period later each.
    pub(super) fn anchor(&mut self, at: Instant) {
        self.due = at;
        self.grid = at;
    }

    /// The next run is anywhere in the period that begins at `from`.
    pub(super) fn anchor_within(&mut self, from: Instant, period: Duration, rng: &mut SplitMix64) {
        // `unit` may be 1, and the end of the period is not in it.
        let share = rng.unit().min(0.999_999);
        self.anchor(from + period.mul_f64(share));
    }

    /// Its time has been standing still for so long.
    pub(super) fn shift(&mut self, held: Duration) {
        self.due += held;
        self.grid += held;
    }

    /// A run begins; its number.
    ///
    /// Runs keep near a grid, so that the jitter of many does not add up: any two in a row are a period ± 10 % apart, and any `n`
    /// take `n` periods ± 10 % of one. What came too late by a period or more begins a new grid.
    pub(super) fn begin(&mut self, period: Duration, now: Instant, rng: &mut SplitMix64) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.outstanding = Some(self.seq);
        let next = self.grid + period;
        self.grid = if next <= now { now + period } else { next };
        let early = period / 20;
        self.due = self.grid - early + (period / 10).mul_f64(rng.unit());
        self.seq
    }

    /// A result that is not thrown away. Returns what the verdict was, whether or not it has changed.
    pub(super) fn count(
        &mut self,
        kind: ProbeKind,
        rules: &ProbeRules,
        result: ProbeResult,
        is_good: bool,
    ) -> ProbeVerdict {
        let before = self.verdict;
        if self.last == Some(is_good) {
            self.consecutive = self.consecutive.saturating_add(1);
        } else {
            self.last = Some(is_good);
            self.consecutive = 1;
        }
        let reached = if is_good {
            self.consecutive >= rules.success_threshold
        } else {
            self.consecutive >= rules.failure_threshold
        };
        if reached {
            self.is_judged = true;
            self.verdict = match (is_good, result, kind) {
                (false, _, _) => ProbeVerdict::Failure,
                // A life has started or it has not.
                (true, _, ProbeKind::Startup) => ProbeVerdict::Success,
                (true, ProbeResult::Warning, _) => ProbeVerdict::Degraded,
                (true, _, _) => ProbeVerdict::Success,
            };
        } else if !is_good
            && rules
                .warning_threshold
                .is_some_and(|n| self.consecutive >= n)
        {
            self.warn();
        }
        before
    }

    /// It fails, and not yet often enough: what was well, or never judged, is degraded. A readiness that was never given is not.
    fn warn(&mut self) {
        match self.verdict {
            ProbeVerdict::Success | ProbeVerdict::Unknown => {
                self.is_judged = true;
                self.verdict = ProbeVerdict::Degraded;
            }
            ProbeVerdict::Degraded | ProbeVerdict::Failure => {}
        }
    }

    /// Nothing is remembered of the results; the verdict stays.
    pub(super) fn forget_run(&mut self) {
        self.last = None;
        self.consecutive = 0;
    }
}

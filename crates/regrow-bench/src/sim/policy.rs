//! Who decides how many workers there are: this library's own controller, and two that need no more than a line.

use std::time::{Duration, Instant};

use regrow_core::scaler::{Inputs, InvalidScaler, Load, Scaler, ScalerRules};

/// What a policy sees when it looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Since the beginning.
    pub now: Duration,
    /// How many workers there are, those that start included.
    pub size: u32,
    pub starting: u32,
    pub busy: u32,
    pub queued: u32,
    /// How long the oldest of those that wait has waited.
    pub oldest: Duration,
    /// Jobs that ran or waited, times seconds, since the beginning: what a mean over any time is made from.
    pub area: f64,
}

impl Seen {
    /// Jobs that run or wait.
    pub const fn demand(&self) -> u32 {
        self.busy + self.queued
    }
}

/// Decides, again and again.
pub trait Policy {
    /// How often it looks.
    fn tick(&self) -> Duration;

    /// How many workers there are to be.
    fn decide(&mut self, seen: &Seen) -> u32;
}

/// The library's own, as it is in production.
#[derive(Debug)]
pub struct Regrow {
    scaler: Scaler,
    start: Instant,
}

impl Regrow {
    pub fn new(rules: ScalerRules) -> Result<Self, InvalidScaler> {
        // Any time will do: only differences count.
        let start = Instant::now();
        let scaler = Scaler::new(rules, start)?;
        Ok(Self { scaler, start })
    }
}

impl Policy for Regrow {
    fn tick(&self) -> Duration {
        self.scaler.rules().period()
    }

    fn decide(&mut self, seen: &Seen) -> u32 {
        let load = Load {
            in_flight: seen.busy.into(),
            queued: seen.queued.into(),
            oldest: seen.oldest,
        };
        let inputs = Inputs {
            size: seen.size,
            load: Some(load),
            ..Inputs::default()
        };
        self.scaler.on_tick(inputs, self.start + seen.now).to
    }
}

/// One more while work waits, one less while a worker is idle: what one writes first.
#[derive(Debug)]
pub struct Naive;

impl Policy for Naive {
    fn tick(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn decide(&mut self, seen: &Seen) -> u32 {
        let idle = seen.size - seen.starting > seen.busy;
        match (seen.queued > 0, idle) {
            (true, _) => seen.size + 1,
            (false, true) => seen.size.saturating_sub(1),
            (false, false) => seen.size,
        }
    }
}

/// As many as there are jobs, at each moment.
#[derive(Debug)]
pub struct Instantly;

impl Policy for Instantly {
    fn tick(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn decide(&mut self, seen: &Seen) -> u32 {
        seen.demand()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// All of these workers are there, so many of them busy and so many jobs waiting.
    pub fn seen(size: u32, busy: u32, queued: u32) -> Seen {
        Seen {
            now: Duration::from_secs(1),
            size,
            starting: 0,
            busy,
            queued,
            oldest: Duration::ZERO,
            area: 0.0,
        }
    }

    #[test]
    fn naive_goes_one_up_while_work_waits_and_one_down_while_a_worker_is_idle() {
        assert_eq!(Naive.decide(&seen(4, 4, 9)), 5);
        assert_eq!(Naive.decide(&seen(4, 4, 0)), 4);
        assert_eq!(Naive.decide(&seen(4, 2, 0)), 3);
    }

    #[test]
    fn instantly_has_a_worker_for_each_job() {
        assert_eq!(Instantly.decide(&seen(4, 4, 9)), 13);
        assert_eq!(Instantly.decide(&seen(4, 2, 0)), 2);
    }

    #[test]
    fn regrow_decides_as_the_controller_does_with_what_is_seen() {
        let mut regrow = Regrow::new(ScalerRules::new(2, 8)).unwrap();
        assert_eq!(regrow.tick(), Duration::from_secs(1));
        // As in the example of the controller's documentation.
        assert_eq!(regrow.decide(&seen(2, 2, 10)), 6);
    }
}

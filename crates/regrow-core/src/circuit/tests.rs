//! What a circuit does, case by case; the cases of others under their names; random histories.

use super::*;
use crate::backoff::Backoff;
use crate::testing::t0;

mod fuse;
mod histories;
mod pekko;
mod resilience4j;
mod rules;
mod table;
mod windows;

const SECOND: Duration = Duration::from_secs(1);

/// Waits of exactly so long, each time.
fn waits(wait: Duration) -> Backoff {
    Backoff::exponential(wait..=wait)
}

/// A circuit, and the time that it is told.
struct Rig {
    circuit: Circuit,
    now: Instant,
    /// What has been told, in order.
    told: Vec<Transition>,
}

impl Rig {
    fn new(rules: CircuitRules) -> Self {
        Self::in_mode(rules, CircuitMode::Auto)
    }

    fn in_mode(rules: CircuitRules, mode: CircuitMode) -> Self {
        let now = t0();
        Self {
            circuit: Circuit::new(rules, mode, 1, now).unwrap(),
            now,
            told: Vec::new(),
        }
    }

    fn note(&mut self, changed: Option<Transition>) {
        self.told.extend(changed);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Time passes, and the timer is there.
    fn wait(&mut self, time: Duration) {
        self.pass(time);
        let changed = self.circuit.on_wakeup(self.now);
        self.note(changed);
    }

    fn acquire(&mut self) -> Result<Ticket, Refused> {
        let acquired = self.circuit.try_acquire(self.now);
        self.note(acquired.changed);
        acquired.ticket
    }

    fn is_let_through(&mut self) -> bool {
        self.acquire().is_ok()
    }

    fn end(&mut self, ticket: Ticket, ended: Ended) -> Settled {
        let settled = self.circuit.on_result(ticket, ended, self.now);
        self.note(settled.changed);
        settled
    }

    /// A call that is over at once.
    fn call(&mut self, ended: Ended) -> Settled {
        let ticket = self.acquire().expect("let through");
        self.end(ticket, ended)
    }

    fn calls(&mut self, all: impl IntoIterator<Item = Ended>) {
        for ended in all {
            let _ = self.call(ended);
        }
    }

    /// A call that takes so long.
    fn call_for(&mut self, time: Duration, ended: Ended) -> Settled {
        let ticket = self.acquire().expect("let through");
        self.pass(time);
        self.end(ticket, ended)
    }

    fn state(&self) -> CircuitState {
        self.circuit.standing().state
    }

    fn status(&mut self) -> CircuitStatus {
        self.circuit.status(self.now)
    }

    fn figures(&mut self) -> (u64, u64) {
        let figures = self.status().figures;
        (figures.calls, figures.failures)
    }

    fn trip(&mut self) {
        let changed = self.circuit.trip(OpenWait::Backoff, self.now).unwrap();
        self.note(changed);
    }

    fn half_open(&mut self) {
        self.trip();
        let changed = self.circuit.half_open(self.now).unwrap();
        self.note(changed);
    }

    fn note_reset(&mut self) {
        let changed = self.circuit.reset(self.now);
        self.note(changed);
    }

    fn set_mode(&mut self, mode: CircuitMode) {
        let changed = self.circuit.set_mode(mode, self.now);
        self.note(changed);
    }

    /// From, to and why, of all that was told.
    fn told(&self) -> Vec<(CircuitState, CircuitState, CircuitCause)> {
        let words = |told: &Transition| (told.from, told.to, told.cause);
        self.told.iter().map(words).collect()
    }
}

#[test]
fn a_result_of_an_earlier_life_is_ignored() {
    let mut rig = Rig::new(CircuitRules::default().consecutive_failures(1));
    let straggler = rig.acquire().unwrap();
    let other = rig.acquire().unwrap();
    let _ = rig.call(Ended::Failure);
    rig.wait(SECOND * 10);
    assert_eq!(rig.state(), CircuitState::HalfOpen);
    let before = rig.status();
    let settled = rig.end(straggler, Ended::Failure);
    assert!(settled.late && settled.changed.is_none());
    assert_eq!(rig.status().trials, before.trials);
    rig.calls([Ended::Success; 3]);
    let settled = rig.end(other, Ended::Trip(OpenWait::Backoff));
    assert!(settled.late && settled.changed.is_none());
    assert_eq!(rig.state(), CircuitState::Closed);
    let totals = rig.circuit.totals();
    assert_eq!((totals.late, totals.failure, totals.success), (2, 3, 3));
}

#[test]
fn a_circuit_opens_for_each_of_the_reasons_by_itself() {
    let rules = CircuitRules::default()
        .minimum_calls(4)
        .slow_threshold(SECOND)
        .slow_ratio(0.75);
    let mut rig = Rig::new(rules.clone());
    rig.calls([Ended::Success, Ended::Success, Ended::Failure]);
    assert_eq!(rig.state(), CircuitState::Closed);
    rig.calls([Ended::Failure]);
    let mut slow = Rig::new(rules.clone());
    for _ in 0..3 {
        let _ = slow.call_for(SECOND * 2, Ended::Success);
    }
    slow.calls([Ended::Success]);
    let mut row = Rig::new(rules.clone().consecutive_failures(2));
    row.calls([
        Ended::Failure,
        Ended::Ignored,
        Ended::Cancelled,
        Ended::Failure,
    ]);
    let mut one = Rig::new(rules);
    one.calls([Ended::Trip(OpenWait::For(SECOND * 90))]);
    assert_eq!(one.status().retry_after, Some(SECOND * 90));
    let causes = [rig, slow, row, one].map(|rig| {
        assert_eq!(rig.state(), CircuitState::Open);
        rig.told[0].cause
    });
    assert_eq!(
        causes,
        [
            CircuitCause::FailureRatio,
            CircuitCause::SlowRatio,
            CircuitCause::ConsecutiveFailures,
            CircuitCause::Trip
        ]
    );
}

#[test]
fn a_call_that_takes_as_long_as_it_may_is_not_slow() {
    let mut rig = Rig::new(CircuitRules::default().slow_threshold(SECOND));
    assert!(!rig.call_for(SECOND, Ended::Success).slow);
    let longer = SECOND + Duration::from_nanos(1);
    assert!(rig.call_for(longer, Ended::Failure).slow);
    assert!(
        !rig.call_for(longer, Ended::Ignored).slow,
        "it says nothing"
    );
    let ticket = rig.circuit.standing().admit(None).unwrap();
    rig.pass(longer);
    let settled = rig.end(ticket, Ended::Success);
    assert_eq!((settled.slow, settled.took), (false, None), "nobody knows");
    let totals = rig.circuit.totals();
    assert_eq!((totals.slow_success, totals.slow_failure), (0, 1));
}

#[test]
fn a_success_ends_a_row_of_failures() {
    let mut rig = Rig::new(CircuitRules::default().consecutive_failures(3));
    rig.calls([
        Ended::Failure,
        Ended::Failure,
        Ended::Success,
        Ended::Failure,
        Ended::Failure,
    ]);
    assert_eq!(rig.state(), CircuitState::Closed);
    assert_eq!(rig.status().consecutive_failures, 2);
    rig.calls([Ended::Failure]);
    assert_eq!(rig.state(), CircuitState::Open);
}

#[test]
fn waits_grow_until_the_circuit_was_closed_for_long_enough() {
    let rules = CircuitRules::default()
        .consecutive_failures(1)
        .half_open_permits(1)
        .open_wait(Backoff::exponential(SECOND * 5..=SECOND * 300));
    let mut rig = Rig::new(rules);
    let mut waits = Vec::new();
    let mut fail = |rig: &mut Rig| {
        rig.calls([Ended::Failure]);
        let wait = rig.told.last().unwrap().wait.unwrap();
        waits.push(wait.as_secs());
        rig.wait(wait);
        assert_eq!(rig.state(), CircuitState::HalfOpen);
    };
    for _ in 0..8 {
        fail(&mut rig);
    }
    rig.calls([Ended::Success]);
    rig.pass(SECOND * 59);
    fail(&mut rig);
    rig.calls([Ended::Success]);
    rig.pass(SECOND * 60);
    fail(&mut rig);
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300, 5]);
}

#[test]
fn a_wait_that_a_result_asks_for_is_obeyed_up_to_a_day() {
    let mut rig = Rig::new(CircuitRules::default());
    let day = SECOND * 24 * 60 * 60;
    rig.calls([Ended::Trip(OpenWait::For(Duration::MAX))]);
    assert_eq!(rig.status().retry_after, Some(day));
    assert!(rig.circuit.close(rig.now).is_some());
    rig.calls([Ended::Trip(OpenWait::Until(rig.now + SECOND * 7))]);
    assert_eq!(rig.status().retry_after, Some(SECOND * 7));
    assert_eq!(rig.circuit.next_wakeup(), Some(rig.now + SECOND * 7));
    assert!(rig.circuit.close(rig.now).is_some());
    rig.calls([Ended::Trip(OpenWait::Until(rig.now))]);
    assert_eq!(rig.circuit.next_wakeup(), Some(rig.now), "in the past");
    let endless = Backoff::exponential(Duration::MAX..=Duration::MAX);
    let mut rig = Rig::new(CircuitRules::default().open_wait(endless));
    rig.trip();
    assert_eq!(rig.status().retry_after, Some(day));
}

#[test]
fn the_trials_are_decided_as_soon_as_the_rest_cannot_change_it() {
    let rules = CircuitRules::default()
        .half_open_permits(10)
        .half_open_success(0.7);
    let mut rig = Rig::new(rules.clone());
    rig.half_open();
    rig.calls([Ended::Failure; 3]);
    assert_eq!(rig.state(), CircuitState::HalfOpen, "seven may succeed");
    rig.calls([Ended::Failure]);
    assert_eq!(rig.state(), CircuitState::Open, "six cannot be enough");
    let mut rig = Rig::new(rules);
    rig.half_open();
    rig.calls([Ended::Success; 6]);
    assert_eq!(rig.state(), CircuitState::HalfOpen);
    rig.calls([Ended::Success]);
    assert_eq!(rig.state(), CircuitState::Closed, "seven are enough");
}

#[test]
fn slow_trials_open_it_again_however_well_they_end() {
    let rules = CircuitRules::default()
        .half_open_permits(4)
        .half_open_success(0.5)
        .slow_threshold(SECOND)
        .slow_ratio(0.5);
    let mut rig = Rig::new(rules.clone());
    rig.half_open();
    let _ = rig.call_for(SECOND * 2, Ended::Success);
    rig.calls([Ended::Success, Ended::Success]);
    assert_eq!(rig.state(), CircuitState::HalfOpen, "one more may be slow");
    let _ = rig.call_for(SECOND * 2, Ended::Success);
    assert_eq!(rig.told.last().unwrap().cause, CircuitCause::SlowRatio);
    let mut rig = Rig::new(rules);
    rig.half_open();
    rig.calls([Ended::Success; 3]);
    assert_eq!(
        rig.state(),
        CircuitState::Closed,
        "one alone is not too many"
    );
}

#[test]
fn one_trial_may_be_enough_to_open_it_for_as_long_as_it_says() {
    let mut rig = Rig::new(CircuitRules::default().half_open_success(0.1));
    rig.half_open();
    rig.calls([Ended::Trip(OpenWait::For(SECOND * 33))]);
    assert_eq!(rig.status().retry_after, Some(SECOND * 33));
    assert_eq!(rig.told.last().unwrap().cause, CircuitCause::Trip);
}

#[test]
fn a_half_open_circuit_that_nobody_calls_stays_so() {
    let mut rig = Rig::new(CircuitRules::default());
    rig.half_open();
    assert_eq!(rig.circuit.next_wakeup(), None);
    rig.wait(SECOND * 3_600);
    assert_eq!(rig.state(), CircuitState::HalfOpen);
    let ticket = rig.acquire().unwrap();
    assert_eq!(rig.circuit.next_wakeup(), Some(rig.now + SECOND * 30));
    rig.pass(SECOND * 29);
    let _ = rig.end(ticket, Ended::Success);
    assert_eq!(rig.circuit.next_wakeup(), None, "none is out");
}

#[test]
fn trials_that_do_not_come_back_in_time_are_late_for_whoever_looks_first() {
    let rules = CircuitRules::default();
    let mut by_timer = Rig::new(rules.clone());
    by_timer.half_open();
    let ticket = by_timer.acquire().unwrap();
    by_timer.wait(SECOND * 30);
    let settled = by_timer.end(ticket, Ended::Success);
    assert!(settled.late && settled.changed.is_none());
    let mut by_result = Rig::new(rules.clone());
    by_result.half_open();
    let ticket = by_result.acquire().unwrap();
    by_result.pass(SECOND * 30);
    let settled = by_result.end(ticket, Ended::Success);
    assert!(settled.late && settled.changed.is_some());
    let mut by_call = Rig::new(rules);
    by_call.half_open();
    let _lost = by_call.acquire().unwrap();
    by_call.pass(SECOND * 30);
    assert!(!by_call.is_let_through());
    for rig in [by_timer, by_result, by_call] {
        let last = rig.told.last().unwrap();
        assert_eq!(last.cause, CircuitCause::Deadline);
        assert_eq!(rig.state(), CircuitState::Open);
    }
}

#[test]
fn a_call_finds_what_the_timer_has_not_told_yet() {
    let mut rig = Rig::new(CircuitRules::default().open_wait(waits(SECOND)));
    rig.trip();
    rig.pass(SECOND);
    assert!(rig.is_let_through());
    assert_eq!(rig.told.last().unwrap().cause, CircuitCause::Waited);
    assert_eq!(rig.circuit.on_wakeup(rig.now), None, "told once");
}

#[test]
fn what_an_operator_has_set_stays_over_new_rules_and_resets() {
    for mode in [
        CircuitMode::ForcedOpen,
        CircuitMode::Disabled,
        CircuitMode::MetricsOnly,
    ] {
        let mut rig = Rig::new(CircuitRules::default());
        rig.set_mode(mode);
        assert_eq!(rig.circuit.reset(rig.now), None);
        assert_eq!(
            rig.circuit.reconfigure(CircuitRules::default(), rig.now),
            Ok(None)
        );
        assert_eq!(rig.state(), mode.state());
        rig.set_mode(CircuitMode::Auto);
        assert_eq!(rig.state(), CircuitState::Closed);
    }
}

#[test]
fn a_circuit_that_decides_for_itself_goes_on_when_it_is_told_to() {
    let mut rig = Rig::new(CircuitRules::default());
    rig.trip();
    let before = rig.status();
    rig.set_mode(CircuitMode::Auto);
    assert_eq!(rig.status(), before);
}

#[test]
fn new_rules_are_followed_at_once_and_wrong_ones_change_nothing() {
    let mut rig = Rig::new(CircuitRules::default());
    rig.trip();
    let standing = rig.circuit.standing();
    let wrong = CircuitRules::default().minimum_calls(0);
    assert!(rig.circuit.reconfigure(wrong, rig.now).is_err());
    assert_eq!(rig.circuit.standing(), standing);
    let rules = CircuitRules::default()
        .window(WindowSize::Count(3))
        .minimum_calls(50);
    let changed = rig.circuit.reconfigure(rules, rig.now).unwrap();
    assert_eq!(changed.unwrap().cause, CircuitCause::Reconfigured);
    rig.calls([Ended::Success, Ended::Failure]);
    assert_eq!(rig.state(), CircuitState::Closed);
    rig.calls([Ended::Failure]);
    assert_eq!(
        rig.state(),
        CircuitState::Open,
        "a window of three needs three"
    );
}

#[test]
fn who_only_looks_on_says_so_as_often_as_the_circuit_would_have_opened() {
    let rules = CircuitRules::default()
        .consecutive_failures(1)
        .open_wait(Backoff::exponential(SECOND * 5..=SECOND * 300));
    let mut rig = Rig::in_mode(rules, CircuitMode::MetricsOnly);
    let mut said = Vec::new();
    for second in 0..40 {
        if rig.call(Ended::Failure).would_open == Some(CircuitCause::ConsecutiveFailures) {
            said.push(second);
        }
        rig.pass(SECOND);
    }
    assert_eq!(said, [0, 5, 15, 35]);
    assert_eq!(rig.state(), CircuitState::MetricsOnly);
    assert_eq!(rig.told, []);
}

#[test]
fn a_standing_is_one_number_and_admits_where_nobody_needs_to_be_asked() {
    for state in CircuitState::ALL {
        let standing = Standing {
            state: *state,
            generation: 77,
        };
        assert_eq!(Standing::from_bits(standing.to_bits()), standing);
        let is_free = standing.admit(None).is_some();
        let mut rig = Rig::in_mode(CircuitRules::default(), state.mode());
        match state {
            CircuitState::Open => rig.trip(),
            CircuitState::HalfOpen => rig.half_open(),
            CircuitState::Closed
            | CircuitState::ForcedOpen
            | CircuitState::Disabled
            | CircuitState::MetricsOnly => {
                assert_eq!(is_free, rig.is_let_through());
            }
        }
        assert_eq!(rig.state(), *state);
        let own = rig.circuit.standing().admit(Some(rig.now));
        assert_eq!(own.is_some(), is_free);
        if let Some(ticket) = own {
            assert_eq!(ticket.admitted_in().state, *state);
            assert_eq!(ticket.started(), Some(rig.now));
            assert!(!rig.end(ticket, Ended::Success).late);
        }
    }
}

#[test]
fn the_jitter_of_the_waits_is_that_of_the_seed() {
    let wait = |seed| {
        let rules = CircuitRules::default();
        let mut circuit = Circuit::new(rules, CircuitMode::Auto, seed, t0()).unwrap();
        let told = circuit.trip(OpenWait::Backoff, t0()).unwrap().unwrap();
        told.wait.unwrap()
    };
    assert_eq!(wait(1), wait(1));
    assert_ne!(wait(1), wait(2));
    let range = Duration::from_secs(4)..=Duration::from_secs(6);
    assert!((0..100).all(|seed| range.contains(&wait(seed))));
}

#[test]
fn an_order_that_makes_no_sense_says_what_to_do_first() {
    let mut rig = Rig::new(CircuitRules::default());
    let error = rig.circuit.half_open(rig.now).unwrap_err();
    let expected = "a circuit that is closed cannot become half_open; open it first";
    assert_eq!(error.to_string(), expected);
    rig.set_mode(CircuitMode::Disabled);
    let error = rig.circuit.trip(OpenWait::Backoff, rig.now).unwrap_err();
    let expected = "a circuit that is disabled cannot become open; close it first";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_status_says_why_the_circuit_is_in_its_state() {
    let mut rig = Rig::new(CircuitRules::default().consecutive_failures(1));
    assert_eq!(rig.status().cause, None);
    rig.calls([Ended::Failure]);
    assert_eq!(rig.status().cause, Some(CircuitCause::ConsecutiveFailures));
    // Also where it is in it already, which is not told.
    rig.trip();
    assert_eq!(rig.status().cause, Some(CircuitCause::Operator));
}

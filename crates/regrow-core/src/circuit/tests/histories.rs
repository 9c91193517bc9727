//! Random histories with many calls under way at once, and what holds after each step.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire,
    /// One of the calls under way, by its share of them, ends so.
    End(u16, Ended),
    Pass(u64),
    Wakeup,
    Close,
    Reset,
    Trip,
    HalfOpen,
    Mode(CircuitMode),
    Reconfigure,
}

fn ended() -> impl Strategy<Value = Ended> {
    prop_oneof![
        5 => Just(Ended::Success),
        5 => Just(Ended::Failure),
        1 => Just(Ended::Ignored),
        1 => Just(Ended::Cancelled),
        1 => (0_u64..20).prop_map(|s| Ended::Trip(OpenWait::For(Duration::from_secs(s)))),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        40 => Just(Step::Acquire),
        40 => (any::<u16>(), ended()).prop_map(|(at, ended)| Step::End(at, ended)),
        10 => (0_u64..4_000).prop_map(Step::Pass),
        2 => (4_000_u64..70_000).prop_map(Step::Pass),
        8 => Just(Step::Wakeup),
        1 => Just(Step::Close),
        1 => Just(Step::Reset),
        1 => Just(Step::Trip),
        2 => Just(Step::HalfOpen),
        1 => proptest::sample::select(CircuitMode::ALL).prop_map(Step::Mode),
        1 => Just(Step::Reconfigure),
    ];
    proptest::collection::vec(step, 1..400)
}

fn rules() -> impl Strategy<Value = CircuitRules> {
    let window = prop_oneof![
        (1_u32..12).prop_map(WindowSize::Count),
        (1_u64..8).prop_map(|seconds| WindowSize::Time(Duration::from_secs(seconds))),
    ];
    let counts = (1_u32..8, 1_u32..6, proptest::option::of(1_u32..6));
    let shares = (1_u32..=10, 1_u32..=10, 1_u32..=10);
    let slow = proptest::option::of(1_u64..6);
    (window, counts, shares, slow, any::<bool>()).prop_map(
        |(window, (minimum, permits, row), (failures, successes, slow_share), slow, close)| {
            let share = |tenths| f64::from(tenths) / 10.0;
            let mut rules = CircuitRules::default()
                .window(window)
                .minimum_calls(minimum)
                .half_open_permits(permits)
                .failure_ratio(share(failures))
                .half_open_success(share(successes))
                .slow_ratio(share(slow_share))
                .half_open_deadline(SECOND * 5)
                .half_open_overdue(if close { Overdue::Close } else { Overdue::Open });
            if let Some(row) = row {
                rules = rules.consecutive_failures(row);
            }
            if let Some(slow) = slow {
                rules = rules.slow_threshold(Duration::from_secs(slow));
            }
            rules
        },
    )
}

struct World {
    circuit: Circuit,
    rules: CircuitRules,
    now: Instant,
    under_way: Vec<Ticket>,
    asked: u64,
    before: CircuitStatus,
}

impl World {
    fn step(&mut self, step: Step) {
        let now = self.now;
        let changed = match step {
            Step::Pass(millis) => {
                self.now += Duration::from_millis(millis);
                None
            }
            Step::Acquire => {
                self.asked += 1;
                let acquired = self.circuit.try_acquire(now);
                self.under_way.extend(acquired.ticket);
                acquired.changed
            }
            Step::End(at, ended) if !self.under_way.is_empty() => {
                let at = usize::from(at) % self.under_way.len();
                let ticket = self.under_way.swap_remove(at);
                self.end(ticket, ended)
            }
            Step::End(..) => None,
            Step::Wakeup => self.circuit.on_wakeup(now),
            Step::Close => self.circuit.close(now),
            Step::Reset => self.circuit.reset(now),
            Step::Trip => self.circuit.trip(OpenWait::Backoff, now).unwrap_or(None),
            Step::HalfOpen => self.circuit.half_open(now).unwrap_or(None),
            Step::Mode(mode) => self.circuit.set_mode(mode, now),
            Step::Reconfigure => self.circuit.reconfigure(self.rules.clone(), now).unwrap(),
        };
        self.check(changed);
    }

    fn end(&mut self, ticket: Ticket, ended: Ended) -> Option<Transition> {
        let generation = ticket.admitted_in().generation;
        let before = self.circuit.clone().status(self.now);
        let settled = self.circuit.on_result(ticket, ended, self.now);
        let after = self.circuit.status(self.now);
        if settled.late {
            // No verdict from another generation. Time may have changed something, a result has not.
            let by_time = settled.changed.map(|changed| changed.cause);
            assert!(matches!(by_time, None | Some(CircuitCause::Deadline)));
            if by_time.is_none() {
                assert_eq!(after.standing, before.standing);
                assert_eq!(after.figures, before.figures);
                assert_eq!(after.trials, before.trials);
                assert_eq!(after.consecutive_failures, before.consecutive_failures);
            }
        } else {
            assert_eq!(generation, before.standing.generation);
        }
        settled.changed
    }

    fn check(&mut self, changed: Option<Transition>) {
        let status = self.circuit.status(self.now);
        let (before, after) = (self.before.standing, status.standing);
        // A change is told once, as it was.
        match changed {
            None => assert_eq!(before.state, after.state),
            Some(told) => {
                assert_eq!((told.from, told.to), (before.state, after.state));
                assert_ne!(told.from, told.to);
                assert_eq!(told.generation, after.generation);
                assert_eq!(told.wait.is_some(), told.to == CircuitState::Open);
            }
        }
        assert!(after.generation == before.generation || after.generation == before.generation + 1);
        // In half-open in flight and judged are never more than the permits; and every permit is with somebody.
        let trials = status.trials;
        assert!(trials.in_flight + trials.judged <= self.rules.permits());
        let of_now = |ticket: &&Ticket| ticket.admitted_in() == after;
        let out = self.under_way.iter().filter(of_now).count();
        if after.state == CircuitState::HalfOpen {
            assert_eq!(out, trials.in_flight as usize);
            assert!(trials.judged < self.rules.permits(), "it is decided");
        } else {
            assert_eq!((trials.in_flight, trials.judged), (0, 0));
        }
        // A timer is wanted where time decides something, and nowhere else.
        let wants = match after.state {
            CircuitState::Open => true,
            CircuitState::HalfOpen => trials.in_flight > 0,
            CircuitState::Closed
            | CircuitState::ForcedOpen
            | CircuitState::Disabled
            | CircuitState::MetricsOnly => false,
        };
        assert_eq!(self.circuit.next_wakeup().is_some(), wants);
        // Nobody is lost.
        let totals = status.totals;
        let ended = totals.success + totals.failure + totals.ignored + totals.cancelled;
        assert_eq!(
            ended + totals.rejected + self.under_way.len() as u64,
            self.asked
        );
        assert!(totals.slow_success <= totals.success && totals.slow_failure <= totals.failure);
        self.before = status;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn after_each_step_of_a_random_history_everybody_is_where_they_should_be(
        rules in rules(),
        steps in steps(),
    ) {
        let now = t0();
        let mut circuit = Circuit::new(rules.clone(), CircuitMode::Auto, 7, now).unwrap();
        let before = circuit.status(now);
        let mut world = World { circuit, rules, now, under_way: Vec::new(), asked: 0, before };
        for step in steps {
            world.step(step);
        }
    }
}

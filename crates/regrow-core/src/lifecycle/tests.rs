//! Rules of the lifecycle: a table of every step, examples, and random histories.

use super::*;
use proptest::prelude::*;
use std::fmt::Write as _;

const SECOND: Duration = Duration::from_secs(1);

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs one instant to count from"
)]
fn t0() -> Instant {
    Instant::now()
}

/// A plan with a stage for everything.
fn full() -> StopPlan {
    StopPlan::default()
}

/// What an agent with a standard input and without stop line gets.
fn plain() -> StopPlan {
    full()
        .stage(Stage::Drain, Duration::ZERO)
        .stage(Stage::Ask, Duration::ZERO)
}

fn running(plan: StopPlan) -> (Lifecycle, Instant) {
    let now = t0();
    let mut life = Lifecycle::new(plan, SECOND);
    assert_eq!(life.on_spawned(now), []);
    assert_eq!(
        life.on_wakeup(now + SECOND),
        [Action::Announce, Action::NoteDescendants]
    );
    (life, now + SECOND)
}

fn finish(end: End, stage: Option<Stage>) -> Action {
    Action::Finish(Ending {
        end,
        stage,
        leaked: vec![],
        streams: Streams::Closed,
    })
}

#[test]
fn a_process_that_outlives_its_start_window_is_announced() {
    let (life, _) = running(plain());
    assert_eq!(life.next_wakeup(), None);
}

#[test]
fn an_exit_within_the_start_window_is_never_announced() {
    let now = t0();
    let mut life = Lifecycle::new(plain(), SECOND);
    assert_eq!(life.on_spawned(now), []);
    assert_eq!(
        life.on_exit(Exit::Code(0), now),
        [
            Action::KillGroup,
            Action::Reap,
            Action::Sweep {
                until: now + SECOND * 3 / 4
            }
        ]
    );
    assert_eq!(life.on_wakeup(now + SECOND), []);
    assert_eq!(life.on_streams_closed(now + SECOND), []);
    assert_eq!(
        life.on_swept(vec![], now + SECOND),
        [finish(End::Natural(Exit::Code(0)), None)]
    );
}

#[test]
fn without_start_window_it_is_announced_at_once() {
    let mut life = Lifecycle::new(plain(), Duration::ZERO);
    assert_eq!(
        life.on_spawned(t0()),
        [Action::Announce, Action::NoteDescendants]
    );
}

#[test]
fn the_ladder_climbs_stage_by_stage_when_nothing_helps() {
    let (mut life, now) = running(full());
    assert_eq!(life.on_stop(now), [Action::NoteDescendants]);
    let mut steps = Vec::new();
    while let Some(due) = life.next_wakeup() {
        let stage = life.stage();
        let actions = life.on_wakeup(due);
        steps.push((stage.unwrap().as_str(), (due - now).as_secs(), actions));
    }
    let unresponsive = Action::Finish(Ending {
        end: End::Unresponsive,
        stage: Some(Stage::Kill),
        leaked: vec![],
        streams: Streams::Abandoned,
    });
    assert_eq!(
        steps,
        [
            ("drain", 5, vec![Action::WriteStopLine]),
            ("ask", 8, vec![Action::CloseStdin]),
            ("close_stdin", 9, vec![Action::Signal, Action::Continue]),
            ("terminate", 17, vec![Action::KillGroup]),
            (
                "kill",
                19,
                vec![Action::Sweep {
                    until: now + 19 * SECOND + SECOND * 3 / 4
                }]
            ),
            ("sweep", 20, vec![Action::AbandonPipes, unresponsive]),
        ]
    );
}

#[test]
fn stages_without_time_are_skipped_at_once() {
    let plan = plain().stage(Stage::CloseStdin, Duration::ZERO);
    let (mut life, now) = running(plan);
    assert_eq!(
        life.on_stop(now),
        [Action::NoteDescendants, Action::Signal, Action::Continue]
    );
    assert_eq!(life.stage(), Some(Stage::Terminate));
}

#[test]
fn a_stop_without_any_patience_is_a_kill_and_nothing_else() {
    let plan = plain()
        .stage(Stage::CloseStdin, Duration::ZERO)
        .stage(Stage::Terminate, Duration::ZERO);
    let (mut life, now) = running(plan);
    assert_eq!(
        life.on_stop(now),
        [Action::NoteDescendants, Action::KillGroup]
    );
}

#[test]
fn one_that_goes_when_asked_was_stopped_and_one_that_does_not_was_killed() {
    let ended_in = |stage: Stage| {
        let (mut life, now) = running(plain());
        assert_eq!(
            life.on_stop(now),
            [Action::NoteDescendants, Action::CloseStdin]
        );
        let mut when = now;
        while life.stage() != Some(stage) {
            when = life.next_wakeup().unwrap();
            drop(life.on_wakeup(when));
        }
        drop(life.on_exit(Exit::Signal(15), when));
        drop(life.on_streams_closed(when));
        life.on_swept(vec![], when)
    };
    let exit = Exit::Signal(15);
    assert_eq!(
        ended_in(Stage::CloseStdin),
        [finish(End::Stopped(exit), Some(Stage::CloseStdin))]
    );
    assert_eq!(
        ended_in(Stage::Terminate),
        [finish(End::Stopped(exit), Some(Stage::Terminate))]
    );
    assert_eq!(
        ended_in(Stage::Kill),
        [finish(End::Killed(exit), Some(Stage::Kill))]
    );
}

#[test]
fn a_hurried_stop_goes_on_at_sigkill() {
    let (mut life, now) = running(full());
    drop(life.on_stop(now));
    assert_eq!(life.on_kill(now), [Action::KillGroup]);
    assert_eq!(life.on_kill(now), []);
    assert_eq!(life.next_wakeup(), Some(now + 2 * SECOND));
}

#[test]
fn a_stop_that_came_before_the_spawn_is_not_forgotten() {
    let now = t0();
    let mut life = Lifecycle::new(plain(), SECOND);
    assert_eq!(life.on_stop(now), []);
    assert_eq!(
        life.on_spawned(now),
        [Action::NoteDescendants, Action::CloseStdin]
    );
}

#[test]
fn pipes_held_by_a_stranger_are_abandoned_after_two_seconds() {
    let (mut life, now) = running(plain());
    drop(life.on_exit(Exit::Code(1), now));
    assert_eq!(life.on_swept(vec![], now), []);
    assert_eq!(life.next_wakeup(), Some(now + 2 * SECOND));
    assert_eq!(
        life.on_wakeup(now + 2 * SECOND),
        [
            Action::AbandonPipes,
            Action::Finish(Ending {
                end: End::Natural(Exit::Code(1)),
                stage: None,
                leaked: vec![],
                streams: Streams::Abandoned,
            })
        ]
    );
}

#[test]
fn what_the_sweep_could_not_end_is_reported_as_leaked() {
    let (mut life, now) = running(plain());
    drop(life.on_exit(Exit::Code(1), now));
    drop(life.on_streams_closed(now));
    let actions = life.on_swept(vec![7, 8], now);
    let [Action::Finish(ending)] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert_eq!(ending.leaked, [7, 8]);
}

#[test]
fn a_plan_within_a_total_keeps_to_it() {
    let plan = StopPlan::within(10 * SECOND);
    assert_eq!(plan.total(), 10 * SECOND);
    assert_eq!(plan.budget(Stage::Terminate), 4 * SECOND);
    assert_eq!(StopPlan::within(Duration::ZERO).total(), Duration::ZERO);
    let short = StopPlan::within(3 * SECOND);
    let half = SECOND / 2;
    assert_eq!(
        (short.budget(Stage::Kill), short.budget(Stage::Sweep)),
        (half, half)
    );
    assert!(short.total() <= 3 * SECOND);
}

#[test]
fn a_plan_without_end_does_not_overflow() {
    let (mut life, now) = running(plain().stage(Stage::CloseStdin, Duration::MAX));
    assert_eq!(
        life.on_stop(now),
        [Action::NoteDescendants, Action::CloseStdin]
    );
    assert!(life.next_wakeup() > Some(now));
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Spawned,
    Stop,
    Kill,
    Exit,
    Swept,
    StreamsClosed,
    Wakeup,
}

const EVENTS: [Event; 7] = [
    Event::Spawned,
    Event::Stop,
    Event::Kill,
    Event::Exit,
    Event::Swept,
    Event::StreamsClosed,
    Event::Wakeup,
];

fn tell(life: &mut Lifecycle, event: Event, now: Instant) -> Vec<Action> {
    match event {
        Event::Spawned => life.on_spawned(now),
        Event::Stop => life.on_stop(now),
        Event::Kill => life.on_kill(now),
        Event::Exit => life.on_exit(Exit::Code(3), now),
        Event::Swept => life.on_swept(vec![], now),
        Event::StreamsClosed => life.on_streams_closed(now),
        Event::Wakeup => life.on_wakeup(life.next_wakeup().unwrap_or(now)),
    }
}

fn word(action: &Action) -> String {
    match action {
        Action::Sweep { .. } => "Sweep".to_owned(),
        Action::Finish(ending) => format!("Finish({:?})", ending.end),
        Action::Announce
        | Action::NoteDescendants
        | Action::WriteStopLine
        | Action::CloseStdin
        | Action::Signal
        | Action::Continue
        | Action::KillGroup
        | Action::Reap
        | Action::AbandonPipes => format!("{action:?}"),
    }
}

fn state_word(life: &Lifecycle) -> String {
    match life.state {
        State::Spawning => format!("spawning, asked {:?}", life.asked),
        State::Starting { .. } => "starting".to_owned(),
        State::Running => "running".to_owned(),
        State::Stopping { stage, .. } => format!("stopping: {}", stage.as_str()),
        State::Sweeping { .. } => format!(
            "sweeping: {}, {}, {}",
            life.exit.map_or("no exit", |_| "exit"),
            life.survivors.as_ref().map_or("not swept", |_| "swept"),
            life.streams.map_or("pipes open", |_| "pipes closed")
        ),
        State::Gone => "gone".to_owned(),
    }
}

#[test]
fn the_transition_table_is_as_written_down() {
    let now = t0();
    let mut seen = vec![(
        state_word(&Lifecycle::new(full(), SECOND)),
        Lifecycle::new(full(), SECOND),
    )];
    let mut table = String::new();
    let mut next = 0;
    while let Some((name, life)) = seen.get(next).cloned() {
        writeln!(table, "{name}").unwrap();
        for event in EVENTS {
            let mut after = life.clone();
            let actions: Vec<_> = tell(&mut after, event, now).iter().map(word).collect();
            let reached = state_word(&after);
            if reached != name || !actions.is_empty() {
                writeln!(table, "  {event:?} -> {reached}  [{}]", actions.join(", ")).unwrap();
            }
            if seen.iter().all(|(name, _)| *name != reached) {
                seen.push((reached, after));
            }
        }
        next += 1;
    }
    insta::assert_snapshot!(table);
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(0_u64), 1..4000_u64].prop_map(Duration::from_millis)
}

prop_compose! {
    fn plans()(budgets in proptest::collection::vec(durations(), 6)) -> StopPlan {
        Stage::ALL.into_iter().zip(budgets).fold(full(), |plan, (stage, budget)| plan.stage(stage, budget))
    }
}

/// Checks what must hold after each step of any history.
struct Witness {
    life: Lifecycle,
    total: Duration,
    actions: Vec<Action>,
    ending_began: Option<Instant>,
}

impl Witness {
    fn step(&mut self, event: Event, now: Instant) {
        let before = self.life.is_gone();
        let actions = match event {
            Event::Wakeup => self.life.on_wakeup(now),
            Event::Spawned
            | Event::Stop
            | Event::Kill
            | Event::Exit
            | Event::Swept
            | Event::StreamsClosed => tell(&mut self.life, event, now),
        };
        assert!(
            !before || actions.is_empty(),
            "nothing happens after the end: {actions:?}"
        );
        self.actions.extend(actions);
        assert!(
            self.life.next_wakeup().is_none_or(|due| due > now),
            "a wake-up in the past"
        );
        if self.ending_began.is_none() && self.life.stage().is_some() {
            self.ending_began = Some(now);
        }
        let bound = self.total.max(PIPES);
        if let Some(began) = self.ending_began {
            assert!(
                self.life.is_gone() || now < began + bound,
                "took longer than its budget"
            );
        }
        self.check_reaped();
    }

    fn check_reaped(&self) {
        let Some(reaped) = self
            .actions
            .iter()
            .position(|action| *action == Action::Reap)
        else {
            return;
        };
        for later in &self.actions[reaped + 1..] {
            let signals = matches!(
                later,
                Action::Signal | Action::Continue | Action::KillGroup | Action::Reap
            );
            assert!(!signals, "{later:?} after the pid was given up");
        }
    }
}

proptest! {
    #[test]
    fn every_history_ends_once_in_time_and_signals_nobody_after_the_reaping(
        plan in plans(),
        window in durations(),
        history in proptest::collection::vec((0..EVENTS.len(), durations()), 0..40),
    ) {
        let life = Lifecycle::new(plan, window);
        let mut now = t0();
        let mut witness = Witness { life, total: plan.total(), actions: vec![], ending_began: None };
        for (event, wait) in history {
            let until = now + wait;
            while let Some(due) = witness.life.next_wakeup().filter(|due| *due <= until) {
                now = due;
                witness.step(Event::Wakeup, now);
            }
            now = until;
            witness.step(EVENTS[event], now);
        }
        witness.step(Event::Spawned, now);
        witness.step(Event::Stop, now);
        prop_assert!(witness.life.is_gone() || witness.life.stage().is_some(), "a stop was not accepted");
        while let Some(due) = witness.life.next_wakeup() {
            now = due;
            witness.step(Event::Wakeup, now);
        }
        prop_assert!(witness.life.is_gone());
        let finishes = witness.actions.iter().filter(|action| matches!(action, Action::Finish(_))).count();
        prop_assert_eq!(finishes, 1);
        prop_assert!(matches!(witness.actions.last(), Some(Action::Finish(_))));
    }
}

#[test]
fn force_is_never_skipped_even_without_time_for_it() {
    let now = t0();
    let nothing = Stage::ALL
        .into_iter()
        .fold(full(), |plan, stage| plan.stage(stage, Duration::ZERO));
    let mut life = Lifecycle::new(nothing, Duration::ZERO);
    drop(life.on_spawned(now));
    let actions = life.on_stop(now);
    assert!(actions.contains(&Action::KillGroup), "{actions:?}");
}

#[test]
fn a_plan_with_no_room_for_it_does_not_stretch_force() {
    assert_eq!(
        StopPlan::within(SECOND).budget(Stage::Kill),
        Duration::from_millis(100)
    );
    assert_eq!(StopPlan::within(SECOND * 2).budget(Stage::Kill), SECOND / 2);
}

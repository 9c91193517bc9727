//! Rules of the lifecycle: a table of every step, examples, and random histories.

use super::*;
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
    Ready,
    Pause,
    Resume,
    Drained,
    Extend,
    Wakeup,
}

const EVENTS: [Event; 12] = [
    Event::Spawned,
    Event::Stop,
    Event::Kill,
    Event::Exit,
    Event::Swept,
    Event::StreamsClosed,
    Event::Ready,
    Event::Pause,
    Event::Resume,
    Event::Drained,
    Event::Extend,
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
        Event::Ready => life.on_ready(now),
        Event::Pause => life.on_pause(now),
        Event::Resume => life.on_resume(now),
        Event::Drained => life.on_drained(now),
        Event::Extend => life.on_extend(30 * SECOND, now),
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
        | Action::Pause
        | Action::Resume
        | Action::Expire
        | Action::KillGroup
        | Action::Reap
        | Action::AbandonPipes => format!("{action:?}"),
    }
}

fn state_word(life: &Lifecycle, now: Instant) -> String {
    match life.state {
        State::Spawning => format!("spawning, asked {:?}", life.asked),
        State::Starting { .. } => "starting".to_owned(),
        State::Running => format!(
            "running{}, {}",
            life.paused.map_or("", |_| ", paused"),
            life.expires.map_or("without end", |_| "for so long")
        ),
        State::Stopping { stage, until } => {
            let usual = until.saturating_duration_since(now) == life.plan.budget(stage);
            let extended = if usual { "" } else { ", extended" };
            format!("stopping: {}{extended}", stage.as_str())
        }
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
    let new = Lifecycle::new(full(), SECOND).max_runtime(Some(60 * SECOND));
    let mut seen = vec![(state_word(&new, now), new)];
    let mut table = String::new();
    let mut next = 0;
    while let Some((name, life)) = seen.get(next).cloned() {
        writeln!(table, "{name}").unwrap();
        for event in EVENTS {
            let mut after = life.clone();
            let actions: Vec<_> = tell(&mut after, event, now).iter().map(word).collect();
            let reached = state_word(&after, now);
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

#[test]
fn one_that_says_that_it_is_up_has_started() {
    let now = t0();
    let mut life = Lifecycle::new(plain(), SECOND);
    assert_eq!(life.on_ready(now), []);
    assert_eq!(life.on_spawned(now), []);
    assert_eq!(
        life.on_ready(now),
        [Action::Announce, Action::NoteDescendants]
    );
    assert_eq!(life.on_ready(now), []);
}

#[test]
fn a_pause_uses_up_none_of_what_it_may_run_for() {
    let now = t0();
    let mut life = Lifecycle::new(plain(), Duration::ZERO).max_runtime(Some(10 * SECOND));
    drop(life.on_spawned(now));
    assert_eq!(life.on_pause(now + 4 * SECOND), [Action::Pause]);
    assert_eq!((life.is_paused(), life.next_wakeup()), (true, None));
    assert_eq!(life.on_wakeup(now + 60 * SECOND), []);
    assert_eq!(life.on_pause(now + 60 * SECOND), [Action::Pause]);
    assert_eq!(life.on_resume(now + 100 * SECOND), [Action::Resume]);
    assert_eq!(life.next_wakeup(), Some(now + 106 * SECOND));
    assert_eq!(life.on_wakeup(now + 106 * SECOND), [Action::Expire]);
    assert_eq!(life.next_wakeup(), None);
}

#[test]
fn one_that_is_not_up_is_not_held() {
    let now = t0();
    let mut life = Lifecycle::new(plain(), SECOND);
    assert_eq!(life.on_pause(now), []);
    drop(life.on_spawned(now));
    assert_eq!(life.on_pause(now), []);
    drop(life.on_stop(now));
    assert_eq!((life.on_pause(now), life.on_resume(now)), (vec![], vec![]));
}

#[test]
fn a_stop_lets_one_that_is_held_go_on_after_it_was_asked() {
    let (mut life, now) = running(plain());
    drop(life.on_pause(now));
    assert_eq!(
        life.on_stop(now),
        [Action::NoteDescendants, Action::CloseStdin, Action::Resume]
    );
    assert!(!life.is_paused());
}

#[test]
fn force_does_not_let_one_that_is_held_go_on() {
    let (mut life, now) = running(plain());
    drop(life.on_pause(now));
    assert_eq!(
        life.on_kill(now),
        [Action::NoteDescendants, Action::KillGroup]
    );
}

#[test]
fn the_drain_ends_with_the_last_that_uses_it() {
    let (mut life, now) = running(full());
    drop(life.on_stop(now));
    assert_eq!(life.stage(), Some(Stage::Drain));
    assert_eq!(life.on_drained(now + SECOND), [Action::WriteStopLine]);
    assert_eq!(life.on_drained(now + SECOND), []);
    assert_eq!(life.stage(), Some(Stage::Ask));
}

/// Lets it climb to the stop signal.
fn terminating(plan: StopPlan) -> (Lifecycle, Instant, Instant) {
    let (mut life, began) = running(plan);
    drop(life.on_stop(began));
    let mut now = began;
    while life.stage() != Some(Stage::Terminate) {
        now = life.next_wakeup().unwrap();
        drop(life.on_wakeup(now));
    }
    (life, began, now)
}

#[test]
fn one_that_asks_for_more_time_has_it_for_as_long_as_it_goes_on_asking() {
    let (mut life, _, mut now) = terminating(plain());
    for _ in 0..4 {
        assert_eq!(life.on_extend(20 * SECOND, now), []);
        assert_eq!(life.next_wakeup(), Some(now + 20 * SECOND));
        now += 19 * SECOND;
    }
    assert_eq!(life.on_wakeup(now + SECOND), [Action::KillGroup]);
}

#[test]
fn a_shorter_extension_takes_nothing_away() {
    let (mut life, _, now) = terminating(plain());
    assert_eq!(life.on_extend(SECOND, now), []);
    assert_eq!(life.next_wakeup(), Some(now + 8 * SECOND));
}

#[test]
fn no_extension_makes_a_stop_longer_than_two_minutes() {
    let (mut life, began, now) = terminating(plain());
    assert_eq!(life.on_extend(Duration::MAX, now), []);
    assert_eq!(life.next_wakeup(), Some(began + 117 * SECOND));
    drop(life.on_wakeup(began + 117 * SECOND));
    drop(life.on_wakeup(began + 119 * SECOND));
    drop(life.on_wakeup(began + 120 * SECOND));
    assert!(life.is_gone());
    let patient = plain().stage(Stage::Terminate, 500 * SECOND);
    let (mut life, _, now) = terminating(patient);
    assert_eq!(life.on_extend(Duration::MAX, now), []);
    assert_eq!(life.next_wakeup(), Some(now + 500 * SECOND));
}

#[test]
fn more_time_is_for_those_that_were_asked_to_stop() {
    let (mut life, now) = running(full());
    assert_eq!(life.on_extend(SECOND, now), []);
    drop(life.on_stop(now));
    assert_eq!(life.on_extend(60 * SECOND, now), []);
    assert_eq!(life.next_wakeup(), Some(now + 5 * SECOND), "it drains");
    drop(life.on_kill(now));
    assert_eq!(life.on_extend(60 * SECOND, now), []);
    assert_eq!(life.next_wakeup(), Some(now + 2 * SECOND));
}

#[test]
fn a_signal_reaches_one_that_is_there_and_not_reaped() {
    let now = t0();
    let mut life = Lifecycle::new(plain(), SECOND);
    assert!(!life.takes_signals());
    drop(life.on_spawned(now));
    assert!(life.takes_signals());
    drop(life.on_stop(now));
    assert!(life.takes_signals());
    drop(life.on_exit(Exit::Code(0), now));
    assert!(!life.takes_signals());
}

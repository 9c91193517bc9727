//! What is known of an agent after what has happened to its child.

use std::time::Duration;

use regrow::ChildKind;
use regrow::telemetry::Outcome;

use super::*;

fn terms() -> Terms {
    Terms {
        restart: Restart::Transient,
        exits: ExitRules::default(),
    }
}

fn in_phase(generation: u32, phase: Phase) -> Subject {
    Subject::new("crew/a", ChildKind::Process, "a", generation, phase)
}

fn started() -> Payload {
    Payload::ChildStarted {
        took: Duration::ZERO,
        attempt: 0,
    }
}

fn terminated(reason: ExitReason, cause: Option<StopCause>) -> Payload {
    Payload::ChildTerminated {
        lifetime: Duration::ZERO,
        stop_took: None,
        handled: None,
        reason,
        outcome: Outcome::ByItself,
        cause,
    }
}

fn exited(code: i32) -> Payload {
    Payload::ProcessExited {
        pid: 7,
        reason: ExitReason::Exit(code),
    }
}

fn changed(to: Phase, why: Option<&str>) -> Payload {
    Payload::ChildStateChanged {
        from: Phase::Running,
        to,
        why: why.map(Into::into),
    }
}

/// One that has lived through these events.
fn after(events: impl IntoIterator<Item = (u32, Phase, Payload)>) -> AgentStatus {
    let mut status = AgentStatus::default();
    for (generation, phase, payload) in events {
        status.hear(&in_phase(generation, phase), &payload, &terms());
    }
    status
}

#[test]
fn one_that_is_stopped_is_over_when_its_place_is_gone_and_not_before() {
    let mut status = after([
        (1, Phase::Running, started()),
        (
            1,
            Phase::Stopping,
            Payload::ChildStopping {
                cause: StopCause::Operator,
                why: None,
            },
        ),
        (1, Phase::Stopping, exited(0)),
        (
            1,
            Phase::Stopping,
            terminated(ExitReason::Shutdown, Some(StopCause::Operator)),
        ),
    ]);
    assert_eq!((status.phase, status.is_over()), (Phase::Stopping, false));
    let removed = Payload::SupervisorChildRemoved {};
    assert!(status.hear(&in_phase(1, Phase::Stopping), &removed, &terms()));
    assert_eq!((status.phase, status.is_gone), (Phase::Stopped, true));
    assert_eq!(status.end().exit_code(), Some(0));
    assert!(matches!(status.end().reason, Some(ExitReason::Shutdown)));
    // Whoever tells it once more tells nothing new.
    assert!(!status.leave(&terms()));
    assert!(!status.hear(&in_phase(2, Phase::Running), &started(), &terms()));
}

#[test]
fn one_that_ends_in_order_has_completed_and_one_that_is_given_up_on_has_failed() {
    let ended = |code| {
        [
            (1, Phase::Running, started()),
            (1, Phase::Running, exited(code)),
            (1, Phase::Running, terminated(ExitReason::Exit(code), None)),
        ]
    };
    let removed = (1, Phase::Running, Payload::SupervisorChildRemoved {});
    assert_eq!(
        after(ended(0).into_iter().chain([removed.clone()])).phase,
        Phase::Completed
    );
    let parked = (1, Phase::Failed, changed(Phase::Failed, Some("too often")));
    let failed = after(ended(3).into_iter().chain([parked]));
    assert_eq!(
        (failed.phase, failed.is_over(), failed.is_gone),
        (Phase::Failed, true, false)
    );
    assert_eq!(failed.end().why.as_deref(), Some("too often"));
    let gone = after(
        ended(3)
            .into_iter()
            .chain([(1, Phase::Failed, changed(Phase::Failed, None)), removed]),
    );
    assert_eq!((gone.phase, gone.is_gone), (Phase::Failed, true));
}

#[test]
fn another_life_forgets_why_the_last_was_stopped_and_keeps_how_it_exited() {
    let spawn = Payload::ProcessSpawn {
        edge: Edge::Start,
        pid: None,
        command: Vec::new(),
    };
    let status = after([
        (1, Phase::Running, started()),
        (1, Phase::Stopping, exited(4)),
        (
            1,
            Phase::Stopping,
            terminated(ExitReason::Shutdown, Some(StopCause::Operator)),
        ),
        (2, Phase::Starting, changed(Phase::Starting, None)),
        (2, Phase::Starting, spawn),
        (2, Phase::Running, started()),
    ]);
    assert_eq!((status.phase, status.generation), (Phase::Running, 2));
    assert_eq!((status.cause, status.exit_code()), (None, Some(4)));
    assert!(status.is_up() && !status.is_over());
}

#[test]
fn the_end_of_an_earlier_life_is_ignored() {
    let mut status = after([(2, Phase::Running, started())]);
    let late = terminated(ExitReason::Exit(1), None);
    assert!(!status.hear(&in_phase(1, Phase::Running), &late, &terms()));
    assert!(status.reason.is_none());
}

#[test]
fn one_whose_supervisor_vanishes_is_told_as_stopped() {
    let mut status = after([(1, Phase::Running, started())]);
    assert!(status.leave(&terms()));
    assert_eq!((status.phase, status.is_gone), (Phase::Stopped, true));
}

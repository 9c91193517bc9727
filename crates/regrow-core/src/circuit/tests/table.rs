//! Each state, each event. The snapshot is the table.

use std::fmt::Write;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Event {
    Asked,
    Ended(Ended),
    EndedLate,
    TimeIsUp,
    Close,
    Reset,
    Trip,
    HalfOpen,
    Mode(CircuitMode),
    NewRules,
}

const EVENTS: [(&str, Event); 16] = [
    ("a call is asked for", Event::Asked),
    ("a call succeeds", Event::Ended(Ended::Success)),
    ("a call fails", Event::Ended(Ended::Failure)),
    (
        "a call trips it for 9 s",
        Event::Ended(Ended::Trip(OpenWait::For(Duration::from_secs(9)))),
    ),
    ("a call is ignored", Event::Ended(Ended::Ignored)),
    ("a call is cancelled", Event::Ended(Ended::Cancelled)),
    ("a call of before fails", Event::EndedLate),
    ("its time is up", Event::TimeIsUp),
    ("operator: close", Event::Close),
    ("operator: reset", Event::Reset),
    ("operator: trip", Event::Trip),
    ("operator: half-open", Event::HalfOpen),
    ("mode: auto", Event::Mode(CircuitMode::Auto)),
    ("mode: forced open", Event::Mode(CircuitMode::ForcedOpen)),
    ("mode: metrics only", Event::Mode(CircuitMode::MetricsOnly)),
    ("new rules", Event::NewRules),
];

/// One failure opens it, one good trial closes it: so each event shows what it can do.
fn rules() -> CircuitRules {
    CircuitRules::default()
        .consecutive_failures(1)
        .half_open_permits(1)
        .open_wait(waits(Duration::from_secs(5)))
}

/// A circuit in this state, with a call of before, and one of now if there can be one.
fn stand(state: CircuitState, with_call: bool) -> (Rig, Ticket, Option<Ticket>) {
    let mut rig = Rig::in_mode(rules(), CircuitMode::Auto);
    let before = rig.acquire().unwrap();
    match state {
        CircuitState::Open => rig.trip(),
        CircuitState::HalfOpen => rig.half_open(),
        CircuitState::Closed => rig.note_reset(),
        CircuitState::ForcedOpen | CircuitState::Disabled | CircuitState::MetricsOnly => {
            rig.set_mode(state.mode());
        }
    }
    let ticket = with_call.then(|| rig.acquire().ok()).flatten();
    rig.told.clear();
    (rig, before, ticket)
}

fn told(changed: Option<Transition>) -> String {
    changed.map_or("-".to_owned(), |told| {
        let wait = told.wait.map(|wait| format!(" for {wait:?}"));
        format!("{}{} ({})", told.to, wait.unwrap_or_default(), told.cause)
    })
}

fn order(result: Result<Option<Transition>, IllegalTransition>) -> String {
    result.map_or_else(|error| format!("refused: {error}"), told)
}

fn settled(settled: Settled) -> String {
    if settled.late {
        return "late, not judged".to_owned();
    }
    let would = settled
        .would_open
        .map(|cause| format!("would open ({cause})"));
    would.unwrap_or_else(|| told(settled.changed))
}

fn outcome(state: CircuitState, event: Event) -> Option<String> {
    let with_call = matches!(event, Event::Ended(_) | Event::TimeIsUp);
    let (mut rig, before, ticket) = stand(state, with_call);
    let now = rig.now;
    Some(match event {
        Event::Asked => match rig.acquire() {
            Ok(_) => "let through".to_owned(),
            Err(Refused { retry_after, .. }) => match retry_after {
                Some(time) => format!("refused, retry after {time:?}"),
                None => "refused".to_owned(),
            },
        },
        Event::Ended(ended) => settled(rig.end(ticket?, ended)),
        Event::EndedLate => settled(rig.end(before, Ended::Failure)),
        Event::TimeIsUp => {
            let at = rig.circuit.next_wakeup()?;
            told(rig.circuit.on_wakeup(at))
        }
        Event::Close => told(rig.circuit.close(now)),
        Event::Reset => told(rig.circuit.reset(now)),
        Event::Trip => order(rig.circuit.trip(OpenWait::Backoff, now)),
        Event::HalfOpen => order(rig.circuit.half_open(now)),
        Event::Mode(mode) => told(rig.circuit.set_mode(mode, now)),
        Event::NewRules => told(rig.circuit.reconfigure(rules(), now).unwrap()),
    })
}

#[test]
fn the_table_of_all_transitions() {
    let mut table = String::new();
    for state in CircuitState::ALL {
        writeln!(table, "{state}").unwrap();
        for (name, event) in EVENTS {
            if let Some(outcome) = outcome(*state, event) {
                writeln!(table, "  {name:<24} {outcome}").unwrap();
            }
        }
    }
    insta::assert_snapshot!(table);
}

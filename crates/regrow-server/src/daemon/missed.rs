//! What had happened before anybody listened: a system runs from its launch on, and an agent whose
//! program is not there has failed before the launch returns.

use std::time::SystemTime;

use regrow::telemetry::{Event, Payload};
use regrow::{ChildInfo, System};
use regrow_core::Phase;
use tokio::sync::mpsc;

use super::child;
use super::progress::{Progress, What};

/// What was heard of the first moments, and what was not.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    /// What happened unheard.
    pub(super) missed: Vec<Progress>,
    /// The first events that were heard.
    pub(super) heard: Vec<Event>,
}

/// Asks the tree how things stand, and finds out what of it no event has told.
pub(super) async fn beginning(system: &System, events: &mut mpsc::Receiver<Event>) -> Beginning {
    // The supervisor tells of a change before it answers the next question. So what it answers is
    // either among the events by then, or was never heard.
    let children = system.children(child::ROOT).await.unwrap_or_default();
    let mut heard = Vec::new();
    while let Ok(event) = events.try_recv() {
        heard.push(event);
    }
    let missed = children
        .iter()
        .filter_map(|info| missed(info, &heard, SystemTime::now()))
        .collect();
    Beginning { missed, heard }
}

fn missed(info: &ChildInfo, heard: &[Event], now: SystemTime) -> Option<Progress> {
    let was_told = |tells: fn(&Payload) -> bool| {
        let mut own = heard.iter().filter(|event| event.subject.path == info.path);
        own.any(|event| tells(&event.payload))
    };
    let last_end = || {
        let exit = info.last_exit.as_ref();
        exit.map(|exit| exit.reason.to_string()).unwrap_or_default()
    };
    let what = match info.phase {
        Phase::Failed if !was_told(is_failure) => What::Failed {
            reason: info.parked_because.clone().unwrap_or_else(last_end),
            last_words: None,
        },
        Phase::Backoff if !was_told(is_schedule) => What::Restarting {
            delay: info
                .next_start_at
                .and_then(|at| at.duration_since(now).ok())
                .unwrap_or_default(),
            reason: last_end(),
        },
        Phase::Completed if !was_told(is_completion) => What::Completed,
        // What is still to come will be heard; a start takes as long as its window.
        Phase::Failed
        | Phase::Backoff
        | Phase::Completed
        | Phase::Pending
        | Phase::Starting
        | Phase::Running
        | Phase::Paused
        | Phase::Draining
        | Phase::Stopping
        | Phase::Stopped => return None,
    };
    Some(Progress {
        id: info.id.to_string(),
        generation: info.generation,
        what,
    })
}

fn is_failure(payload: &Payload) -> bool {
    matches!(
        payload,
        Payload::ChildStateChanged {
            to: Phase::Failed,
            ..
        }
    )
}

fn is_schedule(payload: &Payload) -> bool {
    matches!(payload, Payload::RestartScheduled { .. })
}

fn is_completion(payload: &Payload) -> bool {
    matches!(
        payload,
        Payload::ChildStateChanged {
            to: Phase::Completed,
            ..
        }
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use regrow::{ChildSpec, GiveUp, StartFailure, Started, Supervisor};
    use tokio::sync::watch;

    use super::*;
    use crate::daemon::progress;

    /// A child that cannot start, parked at once.
    fn broken() -> Supervisor {
        let child = ChildSpec::start_with("broken", |_| async {
            Err::<Started, _>(StartFailure::permanent("no such program"))
        });
        Supervisor::new(child::ROOT).child(child.give_up(GiveUp::Park))
    }

    #[tokio::test]
    async fn what_had_failed_before_anybody_listened_is_told_all_the_same() {
        let system = System::launch(broken()).await.unwrap();
        system.booted().await.unwrap();
        let mut events = progress::attach(&system, watch::Sender::new(0));
        let beginning = beginning(&system, &mut events).await;
        assert!(beginning.heard.is_empty());
        let [failed] = beginning.missed.as_slice() else {
            panic!("{:?}", beginning.missed)
        };
        assert_eq!(failed.id, "broken");
        let What::Failed { reason, .. } = &failed.what else {
            panic!("{failed:?}")
        };
        assert!(reason.contains("no such program"), "{reason}");
    }

    #[tokio::test]
    async fn what_was_heard_is_not_told_twice() {
        let system = System::launch(broken()).await.unwrap();
        let mut events = progress::attach(&system, watch::Sender::new(0));
        system.booted().await.unwrap();
        let beginning = beginning(&system, &mut events).await;
        // Launched on one thread, it cannot have failed before we listened.
        assert!(beginning.missed.is_empty(), "{:?}", beginning.missed);
        assert!(
            beginning
                .heard
                .iter()
                .any(|event| is_failure(&event.payload))
        );
    }

    #[tokio::test]
    async fn a_start_that_will_be_tried_again_is_told_with_the_delay() {
        let child = ChildSpec::start_with("shaky", |_| async {
            Err::<Started, _>(StartFailure::retry("not yet"))
        });
        let delays = Duration::from_secs(100)..=Duration::from_secs(100);
        let child = child
            .give_up(GiveUp::Park)
            .backoff(regrow::Backoff::exponential(delays).first(regrow::FirstRestart::Delayed));
        let root = Supervisor::new(child::ROOT).child(child);
        let system = System::launch(root).await.unwrap();
        let mut early = progress::attach(&system, watch::Sender::new(0));
        while !is_schedule(&early.recv().await.unwrap().payload) {}
        progress::detach(&system);
        let mut events = progress::attach(&system, watch::Sender::new(0));
        let beginning = beginning(&system, &mut events).await;
        let [
            Progress {
                what: What::Restarting { delay, reason },
                ..
            },
        ] = beginning.missed.as_slice()
        else {
            panic!("{:?}", beginning.missed)
        };
        assert!(*delay > Duration::from_secs(50), "{delay:?}");
        assert!(reason.contains("not yet"), "{reason}");
    }
}

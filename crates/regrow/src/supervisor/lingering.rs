//! Lives that were given up on and run on: counted until they end after all, which is told once.

use std::sync::Arc;
use std::time::Instant;

use super::Tree;
use crate::address::Place;
use crate::telemetry::{Payload, Subject};
use crate::time;

/// One life that was given up on. Its supervisor may be gone before it.
pub(crate) struct Lingering {
    tree: Arc<Tree>,
    place: Arc<Place>,
    /// As it was when it was given up on: its generation is that of the life, not of the place.
    subject: Subject,
    since: Instant,
}

impl Lingering {
    /// Counts the life until `end` is done, and then tells. Costs one task for as long as it lasts.
    pub(crate) fn watch(
        tree: Arc<Tree>,
        place: Arc<Place>,
        subject: Subject,
        end: impl Future<Output = ()> + Send + 'static,
    ) {
        tree.census.linger(subject.kind, &subject.type_name, 1);
        place.linger(1);
        let lingering = Self {
            tree,
            place,
            subject,
            since: time::now(),
        };
        tokio::spawn(async move {
            end.await;
            lingering.ended();
        });
    }

    fn ended(self) {
        let Self {
            tree,
            place,
            subject,
            since,
        } = self;
        tree.census.linger(subject.kind, &subject.type_name, -1);
        place.linger(-1);
        let overdue = time::now().saturating_duration_since(since);
        tree.telemetry
            .emit(|| subject, || Payload::ChildEndedLate { overdue });
    }
}

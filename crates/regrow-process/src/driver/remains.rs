//! What may be left of a life.

use super::{Driver, Reaped};
use crate::os::{self, Quarry, WhoseRun};

impl Driver {
    /// Takes its exit status; from then on its number may be anybody's.
    pub(super) async fn reap(&mut self) {
        if let Some(group) = &self.group {
            group.close().await;
        }
        match os::reap(&mut self.child, self.leader) {
            Ok(Some(_)) => self.reaped = Reaped::Yes,
            Ok(None) => {}
            Err(error) => tracing::warn!(agent = self.template.id, %error, "failed to reap"),
        }
    }

    /// All that may be left of this life.
    pub(super) fn quarry(&self) -> Quarry {
        let mut noted = self.noted.clone();
        noted.extend(self.books.seen());
        Quarry {
            marks: vec![self.template.host.marks(&self.template.id, self.generation)],
            leaders: vec![self.leader],
            noted,
            groups: self.group.iter().map(|it| it.path().into()).collect(),
            not_before: self.leader.start_time,
            run: WhoseRun::Ours,
        }
    }
}

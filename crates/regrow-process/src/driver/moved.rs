//! A life whose leased port another program has: it begins there or elsewhere, and begins anew where it was too late.

use std::sync::Arc;

use regrow::Phase;
use regrow::telemetry::{Edge, Payload};
use regrow_core::lifecycle::{End, Ending, Exit};

use super::{Driver, Observer, Window};
use crate::environment::SpawnError;
use crate::process::Template;

/// Looks whether the leased port of one that is about to start is still its own, and moves it to another if not.
pub(super) fn place(template: &Template) -> Result<(), SpawnError> {
    let Some(lease) = &template.lease else {
        return Ok(());
    };
    let handover = template.handover.as_ref();
    // Then it is regrow that listens there.
    if handover.is_some_and(|handover| !handover.may_move()) {
        return Ok(());
    }
    let port = lease.begin()?;
    template.publish(port);
    if let Some(handover) = handover {
        handover.move_to(port);
    }
    Ok(())
}

impl Driver {
    /// The same life once more, on another port, if a program has taken its own while it started.
    ///
    /// Between the look at a port and the moment in which an agent listens, anybody may come. An agent that finds that so ends at once,
    /// with a code that says nothing of it: so the port is looked at.
    pub(super) async fn again_elsewhere(
        &mut self,
        ending: &Ending,
        observer: &impl Observer,
    ) -> Option<Self> {
        let lease = self.template.lease.as_ref()?;
        let handover = self.template.handover.as_ref();
        if handover.is_some_and(|handover| !handover.may_move()) {
            return None;
        }
        let failed = matches!(ending.end, End::Natural(Exit::Code(code)) if code != 0);
        if !failed || self.window == Window::Over || self.wishes.is_pending() {
            return None;
        }
        match lease.has_moved() {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                tracing::warn!(agent = self.template.id, %error, "it ended at once, and there is no other port for it");
                return None;
            }
        }
        let template = Arc::clone(&self.template);
        template.publish(lease.port());
        let payload = Payload::ProcessSpawn {
            edge: Edge::Start,
            pid: None,
            command: template.command_line(),
        };
        let mut span = observer.begins(Phase::Starting, payload);
        let (berth, wished) = (self.berth.take()?, self.wishes.take());
        let trace = span.context();
        match Self::spawn_at(berth, wished, template, self.generation, &trace).await {
            Ok(driver) => {
                if let Payload::ProcessSpawn { pid, .. } = span.payload() {
                    *pid = Some(driver.pid());
                }
                span.stop();
                Some(driver)
            }
            // It has ended, and that is told as the end of this life.
            Err(error) => {
                span.exception(error.to_string());
                None
            }
        }
    }
}

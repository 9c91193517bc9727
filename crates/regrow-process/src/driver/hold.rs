//! Signals: to hold a process and let it go on, and those that operators send.

use std::io;

use regrow::Phase;
use regrow::telemetry::Payload;
use tokio::sync::{mpsc, oneshot};

use super::{Driver, Observer};
use crate::os::{self, Signal};

/// So many signals may wait to be sent.
const MAX_ORDERS: usize = 16;

/// So many times descendants are looked for, while those that are not held yet bear more.
const LOOKS: usize = 3;

/// Who gets a signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SignalTo {
    /// The process and all in its group: most of what it has started.
    #[default]
    Group,
    /// The process alone.
    Leader,
}

/// Why a signal was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// There is nobody to get it.
    #[error("no process of it runs")]
    NotRunning,
    /// It would do behind regrow's back what regrow has to know of.
    #[error("{signal} is not sent by hand, because regrow has to know: use pause and resume")]
    Reserved {
        /// The signal.
        signal: Signal,
    },
    /// As many wait to be sent as may.
    #[error("{MAX_ORDERS} signals wait to be sent already")]
    Busy,
    /// The system refused.
    #[error("the system did not send it")]
    Refused(#[source] io::Error),
}

/// A signal that somebody wants sent.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) signal: Signal,
    pub(crate) to: SignalTo,
    pub(crate) reply: oneshot::Sender<Result<(), SignalError>>,
}

/// Where signals are ordered.
pub(crate) type Orders = mpsc::Sender<Order>;

/// Where signals are ordered, and where that is heard.
pub(crate) fn orders() -> (Orders, mpsc::Receiver<Order>) {
    mpsc::channel(MAX_ORDERS)
}

impl Driver {
    /// Sends the signal that somebody has ordered, if it still has somebody to reach.
    pub(super) fn carry_out(&mut self, phase: Phase, observer: &impl Observer) {
        let Some(Order { signal, to, reply }) = self.order.take() else {
            return;
        };
        let sent = if self.life.takes_signals() {
            match to {
                SignalTo::Group => os::signal_group(self.leader, signal),
                SignalTo::Leader => os::signal_leader(self.leader, signal),
            }
            .map_err(SignalError::Refused)
        } else {
            Err(SignalError::NotRunning)
        };
        if sent.is_ok() {
            let (pid, signal) = (self.pid(), signal.as_str());
            observer.happened(phase, Payload::ProcessSignalled { pid, signal });
        }
        // Whoever has stopped waiting needs no answer.
        drop(reply.send(sent));
    }

    /// Holds the group, then whoever has left it. One that is not held yet may bear another meanwhile, so it is looked again.
    pub(super) async fn pause(&mut self) {
        self.signal(Signal::Stop);
        let mut held = 0;
        for _ in 0..LOOKS {
            self.note_descendants().await;
            if self.noted.len() == held {
                break;
            }
            held = self.noted.len();
            os::signal_each(self.noted.clone(), Signal::Stop).await;
        }
    }

    /// Lets all of them go on: those outside of the group first, so that nobody waits for one that is still held.
    pub(super) async fn resume(&mut self) {
        os::signal_each(self.noted.clone(), Signal::Cont).await;
        self.signal(Signal::Cont);
    }
}

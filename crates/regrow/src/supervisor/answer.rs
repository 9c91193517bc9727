//! Who waits for what becomes of a child, and how they are answered.

use std::sync::{Arc, Mutex, PoisonError};

use ractor::RpcReplyPort;

use super::operate::{OperateError, StartReport};
use crate::child::ChildInfo;

/// What an operation waits for before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Nobody lives there.
    Down,
    /// A life after this generation is up.
    UpAfter(u32),
    /// It is held, or goes on, as it was asked to.
    Held,
}

/// Who waits for what becomes of a child.
pub(crate) enum Answer {
    /// One operation.
    One(RpcReplyPort<Result<ChildInfo, OperateError>>),
    /// One of many that were added together.
    Batch(Arc<Batch>),
}

impl Answer {
    /// What it is about is only written down for those who read it.
    pub(crate) fn tell(self, info: impl FnOnce() -> ChildInfo) {
        match self {
            // Whoever has stopped waiting needs no answer.
            Self::One(reply) => drop(reply.send(Ok(info()))),
            Self::Batch(batch) => batch.note(None),
        }
    }

    pub(crate) fn refuse(self, id: &Arc<str>, error: OperateError) {
        match self {
            Self::One(reply) => drop(reply.send(Err(error))),
            Self::Batch(batch) => batch.note(Some((Arc::clone(id), error))),
        }
    }
}

/// Children that were added together; answers when the last of them has been heard of.
pub(crate) struct Batch(Mutex<BatchState>);

struct BatchState {
    report: StartReport,
    left: usize,
    reply: Option<RpcReplyPort<Result<StartReport, OperateError>>>,
}

impl Batch {
    pub(crate) fn new(
        size: usize,
        reply: RpcReplyPort<Result<StartReport, OperateError>>,
    ) -> Arc<Self> {
        Arc::new(Self(Mutex::new(BatchState {
            report: StartReport::default(),
            left: size,
            reply: Some(reply),
        })))
    }

    fn note(&self, failed: Option<(Arc<str>, OperateError)>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match failed {
            Some(failed) => state.report.failed.push(failed),
            None => state.report.started += 1,
        }
        state.left -= 1;
        if state.left == 0
            && let Some(reply) = state.reply.take()
        {
            let report = std::mem::take(&mut state.report);
            drop(reply.send(Ok(report)));
        }
    }
}

/// Those who wait for one child. There is hardly ever more than one, who costs no allocation.
#[derive(Default)]
pub(crate) enum Waiters {
    #[default]
    None,
    One(Until, Answer),
    Many(Vec<(Until, Answer)>),
}

impl Waiters {
    pub(crate) fn push(&mut self, until: Until, answer: Answer) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(until, answer),
            Self::One(first, its) => Self::Many(vec![(first, its), (until, answer)]),
            Self::Many(mut all) => {
                all.push((until, answer));
                Self::Many(all)
            }
        };
    }

    /// Those whom `go` does not give back go.
    pub(crate) fn retain(&mut self, mut go: impl FnMut(Until, Answer) -> Option<(Until, Answer)>) {
        *self = match std::mem::take(self) {
            Self::None => return,
            Self::One(until, answer) => match go(until, answer) {
                Some((until, answer)) => Self::One(until, answer),
                None => Self::None,
            },
            Self::Many(all) => {
                let left: Vec<_> = all
                    .into_iter()
                    .filter_map(|(until, answer)| go(until, answer))
                    .collect();
                if left.is_empty() {
                    Self::None
                } else {
                    Self::Many(left)
                }
            }
        };
    }
}

//! Reaching a child by its place, whichever life is in it.

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use ractor::{ActorCell, ActorId, Message, MessagingErr, RpcReplyPort};
use regrow_core::index::{Entry, Profile};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::call_timer::Elapsed;
use crate::path::ChildPath;
use crate::registry::{Follows, News, Standing};
use crate::supervisor::{Commons, Seat};
use crate::telemetry::Vitals;
use crate::watchdog::Waiting;
use crate::whose;

/// How long [`Address::call`] waits; OTP's 5 s.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// One place in the tree and who lives there now.
#[derive(Debug)]
pub(crate) struct Place {
    path: ChildPath,
    occupant: ArcSwapOption<Occupant>,
    /// The last life that has lived here; it outlives the supervisor, so that no two lives have one number.
    generation: AtomicU32,
    /// Which of its supervisor's children it is; in the present life of that.
    index: AtomicU32,
    /// Where it stands in the list of those below its supervisor.
    pub(crate) seat: Seat,
    /// Which life of the supervisor counts it among its children.
    holder: AtomicU64,
    /// How many lives were given up on here and still run.
    lingering: AtomicU32,
    /// The message type, where the spec knows it.
    message: OnceLock<(TypeId, &'static str)>,
    /// What is known of it by those who look for it.
    pub(crate) standing: Standing,
    commons: Arc<Commons>,
}

/// Who lives in a place.
#[derive(Debug)]
struct Occupant {
    cell: ActorCell,
    vitals: Option<Arc<Vitals>>,
}

impl Place {
    pub(crate) fn new(
        path: ChildPath,
        message: Option<(TypeId, &'static str)>,
        profile: Arc<Profile>,
        commons: Arc<Commons>,
    ) -> Self {
        Self {
            path,
            occupant: ArcSwapOption::empty(),
            generation: AtomicU32::new(0),
            index: AtomicU32::new(u32::MAX),
            seat: Seat::default(),
            holder: AtomicU64::new(u64::MAX),
            lingering: AtomicU32::new(0),
            message: message.map_or_else(OnceLock::new, OnceLock::from),
            standing: Standing::new(profile),
            commons,
        }
    }

    pub(crate) const fn path(&self) -> &ChildPath {
        &self.path
    }

    /// Everything that is known of it now.
    pub(crate) fn entry(&self) -> Entry {
        let standing = &self.standing;
        Entry::new(self.path.shared(), standing.profile(), standing.status())
    }

    /// Changes what it is.
    pub(crate) fn edit(self: &Arc<Self>, edit: impl FnOnce(&mut Profile)) {
        let board = &self.commons.board;
        self.standing.edit(edit, |profile| {
            if !board.wants(Follows::Profiles) {
                return;
            }
            board.pin(&mut vec![News::Profile {
                place: Arc::clone(self),
                profile: Arc::clone(profile),
            }]);
        });
    }

    /// Tells places apart, more or less: which lock their callers share.
    fn number(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr() >> 7
    }

    /// Whether somebody lives here.
    pub(crate) fn is_taken(&self) -> bool {
        self.occupant.load().is_some()
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Relaxed)
    }

    pub(crate) fn set_generation(&self, generation: u32) {
        self.generation.store(generation, Ordering::Relaxed);
    }

    pub(crate) fn index(&self) -> u32 {
        self.index.load(Ordering::Relaxed)
    }

    /// A supervisor takes it over: where its child stands, and who it is.
    pub(crate) fn hold(&self, index: u32, holder: ActorId) {
        self.index.store(index, Ordering::Relaxed);
        self.holder.store(holder.pid(), Ordering::Relaxed);
    }

    pub(crate) fn is_held_by(&self, holder: ActorId) -> bool {
        self.holder.load(Ordering::Relaxed) == holder.pid()
    }

    pub(crate) fn lingering(&self) -> u32 {
        self.lingering.load(Ordering::Relaxed)
    }

    /// So many more, or fewer, of its lives were given up on and still run.
    pub(crate) fn linger(&self, change: i32) {
        if change < 0 {
            self.lingering
                .fetch_sub(change.unsigned_abs(), Ordering::Relaxed);
        } else {
            self.lingering
                .fetch_add(change.unsigned_abs(), Ordering::Relaxed);
        }
    }

    pub(crate) fn publish(&self, cell: ActorCell, vitals: Option<Arc<Vitals>>) {
        self.occupant
            .store(Some(Arc::new(Occupant { cell, vitals })));
    }

    pub(crate) fn clear(&self) {
        self.occupant.store(None);
    }

    /// Empties the place if this is who lives there.
    pub(crate) fn clear_of(&self, actor: ActorId) {
        self.occupant.rcu(|occupant| {
            occupant
                .clone()
                .filter(|occupant| occupant.cell.get_id() != actor)
        });
    }

    pub(crate) fn address<M: Message>(self: Arc<Self>) -> Result<Address<M>, LookupError> {
        let wanted = std::any::type_name::<M>();
        let wrong = |has: &str| LookupError::WrongMessageType {
            path: self.path.clone(),
            has: has.to_owned(),
            wanted: wanted.to_owned(),
        };
        let takes_another =
            |occupant: &Arc<Occupant>| occupant.cell.is_message_type_of::<M>() == Some(false);
        match self.message.get() {
            Some((id, name)) if *id != TypeId::of::<M>() => return Err(wrong(name)),
            Some(_) => {}
            None if self.occupant.load().as_ref().is_some_and(takes_another) => {
                return Err(wrong("another type"));
            }
            None => {}
        }
        Ok(Address {
            place: self,
            message: PhantomData,
        })
    }
}

/// A place that takes messages of type `M`. It survives restarts: what is sent reaches the life that is there now.
///
/// While nobody is there – before the start, during a delay, after the end – a message is rejected. Cloning costs a reference
/// count; sending costs one atomic load more than `ractor`'s own reference.
pub struct Address<M> {
    place: Arc<Place>,
    message: PhantomData<fn(M)>,
}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self {
            place: Arc::clone(&self.place),
            message: PhantomData,
        }
    }
}

impl<M> fmt::Debug for Address<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.place.path).finish()
    }
}

/// Why there is no address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LookupError {
    /// No child has this path.
    #[error("no child has the path \"{path}\"")]
    NotFound {
        /// The path that was asked for.
        path: String,
    },
    /// It has no partitions.
    #[error("\"{path}\" is not a partitioned supervisor")]
    NotPartitioned {
        /// The path that was asked for.
        path: String,
    },
    /// The child takes other messages.
    #[error("child \"{path}\" takes messages of type {has}, not {wanted}")]
    WrongMessageType {
        /// The child.
        path: ChildPath,
        /// What it takes.
        has: String,
        /// What was asked for.
        wanted: String,
    },
}

/// A message that was not delivered, given back.
#[derive(Error)]
#[error("child \"{path}\" is not running")]
pub struct SendError<M> {
    /// The child.
    pub path: ChildPath,
    /// The message.
    pub message: Option<M>,
}

impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// Nobody was there to take the message.
    #[error("child \"{path}\" is not running")]
    NotRunning {
        /// The child.
        path: ChildPath,
    },
    /// The answer did not come in time; the message may still be handled.
    #[error("child \"{path}\" did not answer within {after:?}")]
    TimedOut {
        /// The child.
        path: ChildPath,
        /// How long was waited.
        after: Duration,
    },
    /// The child ended, or dropped the reply, before it answered.
    #[error("child \"{path}\" dropped the call without an answer")]
    Dropped {
        /// The child.
        path: ChildPath,
    },
}

impl<M> Address<M> {
    pub(crate) const fn unchecked(place: Arc<Place>) -> Self {
        Self {
            place,
            message: PhantomData,
        }
    }
}

impl<M: Message> Address<M> {
    /// The place.
    #[must_use]
    pub fn path(&self) -> &ChildPath {
        &self.place.path
    }

    /// Whether somebody is there now.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.place.occupant.load().is_some()
    }

    /// Kills whoever is there, behind its supervisor's back; whether somebody was.
    #[cfg(feature = "test-util")]
    pub(crate) fn kill(&self) -> bool {
        let occupant = self.place.occupant.load();
        occupant.as_ref().is_some_and(|occupant| {
            occupant.cell.kill();
            true
        })
    }

    /// Sends a message without waiting.
    ///
    /// # Errors
    /// Gives the message back when nobody is there.
    pub fn send(&self, message: M) -> Result<(), SendError<M>> {
        let error = |message| SendError {
            path: self.place.path.clone(),
            message,
        };
        let occupant = self.place.occupant.load();
        let Some(occupant) = occupant.as_ref() else {
            return Err(error(Some(message)));
        };
        if let Some(vitals) = &occupant.vitals {
            vitals.sending();
        }
        #[cfg(feature = "trace-messages")]
        let sent = crate::trace::carrier::carry(|| occupant.cell.send_message(message));
        #[cfg(not(feature = "trace-messages"))]
        let sent = occupant.cell.send_message(message);
        sent.map_err(|rejected| match rejected {
            MessagingErr::SendErr(message) => error(Some(message)),
            MessagingErr::ChannelClosed | MessagingErr::InvalidActorType => error(None),
        })
    }

    /// Sends a message that carries a reply port and waits for the answer, at most 5 s.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<T>) -> M,
    ) -> Result<T, CallError> {
        self.call_within(CALL_TIMEOUT, message).await
    }

    /// Like [`Address::call`], with a limit of your own; [`Duration::MAX`] is none.
    ///
    /// A limit of 100 ms or more is kept by one timer for all calls of the system, which hardly costs more than no limit. It is
    /// never early, and at most 20 ms late. A shorter one has a timer of its own. It must be called within a runtime.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call_within<T: Send + 'static>(
        &self,
        timeout: Duration,
        message: impl FnOnce(RpcReplyPort<T>) -> M,
    ) -> Result<T, CallError> {
        let answer = self.ask(message)?;
        let _waiting = self.waiting();
        let timer = &self.place.commons.timer;
        match timer.within(timeout, self.place.number(), answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(self.dropped()),
            Err(Elapsed) => Err(CallError::TimedOut {
                path: self.place.path.clone(),
                after: timeout,
            }),
        }
    }

    /// Like [`Address::call`], without a limit: it waits until the child answers, drops the reply, or ends.
    ///
    /// # Errors
    /// [`CallError::NotRunning`], [`CallError::Dropped`].
    pub async fn call_without_limit<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<T>) -> M,
    ) -> Result<T, CallError> {
        let answer = self.ask(message)?;
        let _waiting = self.waiting();
        answer.await.map_err(|_| self.dropped())
    }

    /// Says, while it is held, that the actor whose code this is waits for an answer from here.
    fn waiting(&self) -> Option<Waiting> {
        whose::look(|caller| Waiting::begin(caller, &self.place))
    }

    fn ask<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<T>) -> M,
    ) -> Result<oneshot::Receiver<T>, CallError> {
        let (reply, answer) = ractor::concurrency::oneshot();
        match self.send(message(reply.into())) {
            Ok(()) => Ok(answer),
            Err(SendError { path, .. }) => Err(CallError::NotRunning { path }),
        }
    }

    fn dropped(&self) -> CallError {
        CallError::Dropped {
            path: self.place.path.clone(),
        }
    }
}

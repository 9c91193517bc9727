//! What looks at a child.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::RpcReplyPort;
use regrow_core::ChildKind;
use regrow_core::probe::CheckResult;
use regrow_core::progress::Look;

use crate::address::{Address, LookupError};
use crate::child::StartContext;
use crate::path::ChildPath;
use crate::telemetry::Vitals;

/// What looks at a child. It is asked for an [`Examination`] at the begin of each life, which is carried out again and again.
pub trait Check: Send + Sync + 'static {
    /// Begins to look at a life.
    fn examine(&self, life: &Probed) -> Examination;

    /// Whether it can look at a child of this kind; the default is that it can.
    ///
    /// # Errors
    /// Why not, and what to do: `needs an actor: …`.
    fn suits(&self, kind: ChildKind) -> Result<(), String> {
        let _ = kind;
        Ok(())
    }
}

/// A check of the child alone: what it finds does not depend on anything else that may be down. Only such a check can be made a
/// [liveness probe](super::Probe::liveness), since to restart a child does not bring back what it depends on.
///
/// To implement it for a check of your own is to say so.
#[diagnostic::on_unimplemented(
    message = "`{Self}` may look at what the child depends on, so it cannot be its liveness probe",
    label = "a liveness probe that fails restarts the child, which does not bring a dependency back",
    note = "make it a readiness probe; or, if it looks at nothing but the child, say so: `.of_the_child_alone()` or `impl OwnCheck`"
)]
pub trait OwnCheck: Check {}

/// One life of a child that is looked at.
pub struct Probed {
    context: StartContext,
    vitals: Option<Arc<Vitals>>,
}

impl fmt::Debug for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probed")
            .field("path", self.path())
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}

impl Probed {
    pub(crate) const fn new(context: StartContext, vitals: Option<Arc<Vitals>>) -> Self {
        Self { context, vitals }
    }

    /// Where it stands.
    #[must_use]
    pub fn path(&self) -> &ChildPath {
        self.context.path()
    }

    /// Which life it is.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.context.generation()
    }

    /// The address of the child, if it takes messages of type `M`.
    ///
    /// # Errors
    /// When it takes others.
    pub fn address<M: ractor::Message>(&self) -> Result<Address<M>, LookupError> {
        let path = self.path().as_str();
        let place = self.context.tree.place(path);
        let place = place.ok_or_else(|| LookupError::NotFound {
            path: path.to_owned(),
        })?;
        place.address()
    }

    pub(super) fn context(&self) -> &StartContext {
        &self.context
    }

    /// Looks at the progress of an actor, as often as it is called; `None` for what is no actor that regrow started.
    pub(super) fn looks(&self) -> Option<impl Fn(Instant) -> Look + Send + 'static> {
        let vitals = Arc::clone(self.vitals.as_ref()?);
        Some(move |now| vitals.look(now))
    }

    /// How long the oldest message whose wait is being measured has waited, as often as it is called.
    pub(super) fn oldest(&self) -> Option<impl Fn(Instant) -> Option<Duration> + Send + 'static> {
        let vitals = Arc::clone(self.vitals.as_ref()?);
        Some(move |now| vitals.oldest_wait(now))
    }
}

type Later = Pin<Box<dyn Future<Output = CheckResult> + Send>>;

/// How one life is looked at.
pub struct Examination(pub(super) Kind);

pub(super) enum Kind {
    /// By what can be seen at once.
    AtOnce(Box<dyn FnMut(Instant) -> CheckResult + Send>),
    /// By something that has to be waited for.
    Waiting(Box<dyn FnMut() -> Later + Send>),
}

impl fmt::Debug for Examination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::AtOnce(_) => "Examination::at_once",
            Kind::Waiting(_) => "Examination::waiting",
        })
    }
}

impl Examination {
    /// By a function that waits for nothing: it is called on the prober's own task, with the present time. What it panics with is a
    /// failure.
    #[must_use]
    pub fn at_once(look: impl FnMut(Instant) -> CheckResult + Send + 'static) -> Self {
        Self(Kind::AtOnce(Box::new(look)))
    }

    /// By a future, which is dropped when the probe's timeout is over. It runs on a task of its own; what it panics with is a
    /// failure.
    #[must_use]
    pub fn waiting<F>(mut look: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = CheckResult> + Send + 'static,
    {
        Self(Kind::Waiting(Box::new(move || Box::pin(look()))))
    }

    /// By nothing: it cannot be done, so it is a failure each time, or nobody would notice.
    #[must_use]
    pub fn impossible(cause: impl Into<String>) -> Self {
        let cause = cause.into();
        Self::at_once(move |_| CheckResult::failure(cause.clone()))
    }
}

/// A check by a function of yours; see [`call`].
pub struct Call<F>(F);

/// A check by a function of yours: whatever it awaits may take as long as the probe's timeout. Good for readiness, startup and custom
/// probes.
pub fn call<F, Fut>(function: F) -> Call<F>
where
    F: Fn() -> Fut + Send + Sync + Clone + 'static,
    Fut: Future<Output = CheckResult> + Send + 'static,
{
    Call(function)
}

impl<F> Call<F> {
    /// The function looks at nothing but the child: then it may be a liveness probe.
    pub fn of_the_child_alone(self) -> OfTheChildAlone<Self> {
        OfTheChildAlone(self)
    }
}

impl<F> fmt::Debug for Call<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call")
    }
}

impl<F, Fut> Check for Call<F>
where
    F: Fn() -> Fut + Send + Sync + Clone + 'static,
    Fut: Future<Output = CheckResult> + Send + 'static,
{
    fn examine(&self, _: &Probed) -> Examination {
        let function = self.0.clone();
        Examination::waiting(function)
    }
}

/// A check of which somebody has said that it looks at nothing but the child.
#[derive(Debug)]
pub struct OfTheChildAlone<C>(C);

impl<C: Check> Check for OfTheChildAlone<C> {
    fn examine(&self, life: &Probed) -> Examination {
        self.0.examine(life)
    }

    fn suits(&self, kind: ChildKind) -> Result<(), String> {
        self.0.suits(kind)
    }
}

impl<C: Check> OwnCheck for OfTheChildAlone<C> {}

/// A check by a message to the child; see [`message`].
pub struct Message<M, F> {
    ask: F,
    messages: PhantomData<fn() -> M>,
}

/// A check by a message that the child answers: how long it takes says how long others wait. It measures the mailbox: an actor with
/// much to do and in the best of health fails it, so it can be no liveness probe.
pub fn message<M, F>(ask: F) -> Message<M, F>
where
    M: ractor::Message,
    F: Fn(RpcReplyPort<CheckResult>) -> M + Send + Sync + Clone + 'static,
{
    Message {
        ask,
        messages: PhantomData,
    }
}

impl<M, F> fmt::Debug for Message<M, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Message")
    }
}

impl<M, F> Check for Message<M, F>
where
    M: ractor::Message,
    F: Fn(RpcReplyPort<CheckResult>) -> M + Send + Sync + Clone + 'static,
{
    fn examine(&self, life: &Probed) -> Examination {
        let address = match life.address::<M>() {
            Ok(address) => address,
            Err(error) => return Examination::impossible(error.to_string()),
        };
        let ask = self.ask.clone();
        Examination::waiting(move || {
            let (address, ask) = (address.clone(), ask.clone());
            async move {
                // The probe's own timeout drops it.
                let answer = address.call_without_limit(ask).await;
                answer.unwrap_or_else(|error| CheckResult::failure(error.to_string()))
            }
        })
    }
}

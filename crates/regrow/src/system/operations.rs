//! What can be asked of the supervisors of a running system; OTP's calls.
//!
//! Each operation answers when its effect is visible. None waits for a supervisor that is gone: that is an error.

use std::time::Duration;

use ractor::{ActorRef, RpcReplyPort};

use super::System;
use crate::child::{ChildInfo, ChildSpec};
use crate::path::ChildPath;
use crate::supervisor::{
    Answer, ChildCounts, Message, OperateError, Reconfigured, StartReport, Supervisor, Verb,
};
use crate::whose;

/// How long a question to a supervisor may take; it never waits for its children, so this is long.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

impl System {
    /// The children of a supervisor, in start order. Costs O(children).
    ///
    /// The supervisor tells of 256 at a time and goes on with its work in between. So what is told of more than 256 may not be of
    /// one moment, but nobody who is there all the time is left out or told twice.
    ///
    /// # Errors
    /// [`OperateError::Gone`] when it is not running, or ends meanwhile.
    pub async fn which_children(&self, supervisor: &str) -> Result<Vec<ChildInfo>, OperateError> {
        let actor = self.supervisor(supervisor)?;
        let mut children = Vec::new();
        let mut next = Some(0);
        while let Some(from) = next {
            let page = |reply| Message::Children(from, reply);
            let page = ask(&actor, supervisor, Some(QUESTION_TIMEOUT), page).await?;
            children.extend(page.children);
            next = page.next;
        }
        Ok(children)
    }

    /// What is known of a child.
    ///
    /// # Errors
    /// [`OperateError::NotFound`], [`OperateError::Gone`].
    pub async fn which_child(&self, path: &str) -> Result<ChildInfo, OperateError> {
        let (supervisor, id) = split(path)?;
        let info = self
            .ask(supervisor, Some(QUESTION_TIMEOUT), |reply| {
                Message::Child(id.into(), reply)
            })
            .await?;
        info.ok_or_else(|| not_found(path))
    }

    /// How many children a supervisor has. Costs the same with ten and with a million.
    ///
    /// # Errors
    /// [`OperateError::Gone`] when it is not running.
    pub async fn count_children(&self, supervisor: &str) -> Result<ChildCounts, OperateError> {
        self.ask(supervisor, Some(QUESTION_TIMEOUT), Message::Count)
            .await
    }

    /// What a child is started from, with all defaults filled in; OTP's `get_childspec`.
    ///
    /// # Errors
    /// [`OperateError::NotFound`], [`OperateError::Gone`].
    pub async fn spec(&self, path: &str) -> Result<ChildSpec, OperateError> {
        let (supervisor, id) = split(path)?;
        let spec = self
            .ask(supervisor, Some(QUESTION_TIMEOUT), |reply| {
                Message::Spec(id.into(), reply)
            })
            .await?;
        spec.ok_or_else(|| not_found(path))
    }

    /// Gives a running supervisor new rules, as OTP's `code_change` does: nobody is started or stopped. A child that is there
    /// has its new spec from the next start or stop on; a new one gets a place and is not started
    /// ([`System::restart_child`] starts it); one that is not listed stays, after all others, until it is deleted. What was
    /// counted of restarts stays counted. Later lives of the supervisor begin with the new rules.
    ///
    /// # Errors
    /// When the new tree cannot work, has another id, or would make the children dynamic; then nothing has changed.
    pub async fn reconfigure(
        &self,
        supervisor: &str,
        rules: impl Into<Supervisor>,
    ) -> Result<Reconfigured, OperateError> {
        let rules = Box::new(rules.into());
        self.ask(supervisor, None, |reply| Message::Reconfigure(rules, reply))
            .await?
    }

    /// Adds a child to a running supervisor, after all others, and waits until it has started. It is lost when the supervisor
    /// itself is started again.
    ///
    /// # Errors
    /// When the id is taken or none, there are as many children as there may be, the supervisor is gone or going, or the child
    /// does not start. One that does not start keeps its place, and its own policy decides whether it is tried again; under a
    /// [`DynamicSupervisor`](crate::DynamicSupervisor) or [`Supervisor::otp_compat`] it is forgotten.
    pub async fn start_child(
        &self,
        supervisor: &str,
        child: impl Into<ChildSpec>,
    ) -> Result<ChildInfo, OperateError> {
        let child: Box<ChildSpec> = Box::new(child.into());
        let path = || format!("{supervisor}/{}", child.id);
        let _cause = self.tree.causes.note(path);
        self.ask(supervisor, None, |reply| {
            Message::StartChild(child, Answer::One(reply))
        })
        .await?
    }

    /// Adds many children with one question, and waits until each has started or has not. Cheaper than as many calls of
    /// [`System::start_child`]: nobody is answered one by one.
    ///
    /// # Errors
    /// When the supervisor is gone. What became of a single child stands in the report.
    pub async fn start_children<C: Into<ChildSpec>>(
        &self,
        supervisor: &str,
        children: impl IntoIterator<Item = C>,
    ) -> Result<StartReport, OperateError> {
        let children = children.into_iter().map(Into::into).collect();
        self.ask(supervisor, None, |reply| {
            Message::StartChildren(children, reply)
        })
        .await?
    }

    /// Stops a child and waits until it is gone; it keeps its place and is not started again by itself. The place of a
    /// temporary child, and of any child of a [`DynamicSupervisor`](crate::DynamicSupervisor), goes with it.
    ///
    /// # Errors
    /// When there is no such child, or its supervisor is going. [`OperateError::WouldWaitForItself`] when the child's own code asks, or
    /// that of a child below it: its handler, its task or thread, its start. What it spawns may ask, and so may code that regrow does
    /// not run, a [`start_with`](ChildSpec::start_with) actor's; then the child's `shutdown` ends the wait.
    pub async fn terminate_child(&self, path: &str) -> Result<ChildInfo, OperateError> {
        self.operate(Verb::Terminate, path).await
    }

    /// Starts a child that is not running and waits until it is up.
    ///
    /// # Errors
    /// [`OperateError::Running`] and [`OperateError::Restarting`] as in OTP; [`OperateError::DidNotStart`].
    pub async fn restart_child(&self, path: &str) -> Result<ChildInfo, OperateError> {
        self.operate(Verb::Restart, path).await
    }

    /// Stops a child if it runs, starts it, and waits until it is up. Its earlier failures are forgotten.
    ///
    /// # Errors
    /// When there is no such child, or it does not start. [`OperateError::WouldWaitForItself`] as with
    /// [`terminate_child`](Self::terminate_child).
    pub async fn bounce_child(&self, path: &str) -> Result<ChildInfo, OperateError> {
        self.operate(Verb::Bounce, path).await
    }

    /// Removes the place of a child that is not running.
    ///
    /// # Errors
    /// When there is no such child, or it runs.
    pub async fn delete_child(&self, path: &str) -> Result<ChildInfo, OperateError> {
        self.operate(Verb::Delete, path).await
    }

    /// Holds a child where it is, and waits until it is held: its time stands still until it is resumed, stopped or restarted, all of
    /// which work as ever. One that is held already is held again, in case somebody else has let it go on.
    ///
    /// # Errors
    /// [`OperateError::CannotPause`] for a kind that nothing can hold (only processes can be, and what has a
    /// [`Control`](crate::Control) that says so), [`OperateError::NotUp`] for one that is not up,
    /// [`OperateError::Overtaken`] when it ends meanwhile.
    pub async fn pause_child(&self, path: &str) -> Result<ChildInfo, OperateError> {
        self.operate(Verb::Pause, path).await
    }

    /// Lets a child go on that is held, and waits until it does. One that is not held is told to go on as well: somebody else may
    /// hold it.
    ///
    /// # Errors
    /// As [`pause_child`](Self::pause_child).
    pub async fn resume_child(&self, path: &str) -> Result<ChildInfo, OperateError> {
        self.operate(Verb::Resume, path).await
    }

    async fn operate(&self, verb: Verb, path: &str) -> Result<ChildInfo, OperateError> {
        let (supervisor, id) = split(path)?;
        match verb {
            Verb::Terminate | Verb::Retire | Verb::Bounce => self.may_end(path)?,
            // They are refused while it runs.
            Verb::Restart | Verb::Delete | Verb::Pause | Verb::Resume => {}
        }
        let _cause = self.tree.causes.note(|| path.to_owned());
        self.ask(supervisor, None, |reply| {
            Message::Operate(verb, id.into(), Answer::One(reply))
        })
        .await?
    }

    /// What the child tells whose code asks, if it is a child of this system.
    pub(super) fn asker<T>(&self, look: impl FnOnce(&ChildPath) -> Option<T>) -> Option<T> {
        whose::current(|child| {
            let class = child.class.as_deref()?;
            let ours = self.tree.census.counts(class);
            ours.then(|| look(&child.path)).flatten()
        })
    }

    /// Refuses what would wait for the child that asks for it.
    fn may_end(&self, path: &str) -> Result<(), OperateError> {
        let within = |child: &ChildPath| child.is_within(path).then(|| child.clone());
        match self.asker(within) {
            Some(child) => Err(OperateError::WouldWaitForItself {
                path: path.to_owned(),
                child,
            }),
            None => Ok(()),
        }
    }

    /// Operations have no timeout of their own: the child's start and stop have theirs.
    async fn ask<T: Send + 'static>(
        &self,
        supervisor: &str,
        timeout: Option<Duration>,
        message: impl FnOnce(RpcReplyPort<T>) -> Message,
    ) -> Result<T, OperateError> {
        ask(&self.supervisor(supervisor)?, supervisor, timeout, message).await
    }

    fn supervisor(&self, path: &str) -> Result<ActorRef<Message>, OperateError> {
        self.tree.supervisor(path).ok_or_else(|| gone(path))
    }
}

pub(super) fn gone(supervisor: &str) -> OperateError {
    OperateError::Gone {
        supervisor: supervisor.to_owned(),
    }
}

/// Asks this life of a supervisor.
async fn ask<T: Send + 'static>(
    actor: &ActorRef<Message>,
    supervisor: &str,
    timeout: Option<Duration>,
    message: impl FnOnce(RpcReplyPort<T>) -> Message,
) -> Result<T, OperateError> {
    let gone = || gone(supervisor);
    let (reply, answer) = ractor::concurrency::oneshot();
    actor.cast(message(reply.into())).map_err(|_| gone())?;
    match timeout {
        Some(limit) => tokio::time::timeout(limit, answer)
            .await
            .map_err(|_| gone())?
            .map_err(|_| gone()),
        None => answer.await.map_err(|_| gone()),
    }
}

fn split(path: &str) -> Result<(&str, &str), OperateError> {
    path.rsplit_once('/').ok_or_else(|| not_found(path))
}

fn not_found(path: &str) -> OperateError {
    OperateError::NotFound {
        path: path.to_owned(),
    }
}

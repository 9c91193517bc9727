//! Starts, stops and restarts: of an agent, or of its group where that is down.

use std::sync::Arc;

use regrow::{ChildInfo, OperateError};
use regrow_core::{Desired, Phase};
use regrow_process::{Signal, SignalTo};

use super::{Entry, Permit, Roster, RosterError, Verb, family};
use crate::config::AgentConfig;
use crate::daemon::{child, view};
use crate::wire::{Agent, DaemonPhase};

impl Roster {
    /// Lets an operation begin, if the agent is there and not too much is going on.
    ///
    /// # Errors
    ///
    /// When there is no such agent, too much is going on, or the daemon is being stopped.
    pub(crate) fn begin(&self, id: &str, verb: Verb) -> Result<Permit, RosterError> {
        if self.phase() == DaemonPhase::Draining {
            return Err(RosterError::Draining);
        }
        let entry = self.read().get(id).cloned();
        let entry = entry.ok_or_else(|| RosterError::NotFound { id: id.to_owned() })?;
        match (&entry.config.worker, verb) {
            (Some(worker), Verb::Stop) => {
                return Err(RosterError::OfPool {
                    id: id.to_owned(),
                    pool: worker.pool.clone(),
                });
            }
            (Some(_), Verb::Start | Verb::Restart | Verb::Pause | Verb::Resume) | (None, _) => {}
        }
        let place = Arc::clone(&self.operations).try_acquire_owned();
        Ok(Permit {
            id: id.to_owned(),
            verb,
            _place: place.map_err(|_| RosterError::Busy)?,
        })
    }

    /// Does what the permit allows, and returns when its effect can be seen.
    ///
    /// # Errors
    ///
    /// When the supervisor refuses.
    pub(crate) async fn operate(&self, permit: Permit) -> Result<Agent, RosterError> {
        let (id, verb) = (&permit.id, permit.verb);
        let gone = || RosterError::NotFound { id: id.clone() };
        let entry = self.read().get(id).cloned().ok_or_else(gone)?;
        let config = Arc::clone(&entry.config);
        let done = match self.group_that_is_down(&config).await {
            Some(group) => self.operate_group(&config, verb, group).await,
            None => self.operate_agent(&entry, verb).await,
        };
        let entry = self.read().get(id).cloned();
        match (done, entry) {
            (Ok(info), Some(entry)) => Ok(view::agent(&entry, Some(&info))),
            (Ok(_), None) => Err(gone()),
            (Err(source), _) => {
                let id = id.clone();
                Err(RosterError::NotDone { id, verb, source })
            }
        }
    }

    /// Sends a signal to an agent's process, or to all of its group; answers how the agent is then.
    ///
    /// # Errors
    ///
    /// When there is no such agent, no process of it runs, or the signal is not one to send by hand.
    pub(crate) async fn signal(
        &self,
        id: &str,
        signal: Signal,
        to: SignalTo,
    ) -> Result<Agent, RosterError> {
        let not_found = || RosterError::NotFound { id: id.to_owned() };
        let handle = self.handle(id).ok_or_else(not_found)?;
        handle.signal(signal, to).await.map_err(|source| {
            let id = id.to_owned();
            RosterError::NotSignalled { id, signal, source }
        })?;
        self.one(id).await.ok_or_else(not_found)
    }

    /// An agent whose start waits for its breaker comes up by itself, and has no process that could be stopped.
    async fn operate_agent(&self, entry: &Entry, verb: Verb) -> Result<ChildInfo, OperateError> {
        let path = child::path(&entry.config);
        if verb == Verb::Restart
            && let Ok(info) = self.system.which_child(&path).await
            && view::gate_of(entry, info.phase, entry.handle.status().pid).is_some()
        {
            return Ok(info);
        }
        self.operate_one(&path, verb).await
    }

    async fn operate_one(&self, path: &str, verb: Verb) -> Result<ChildInfo, OperateError> {
        match verb {
            Verb::Stop => self.system.terminate_child(path).await,
            Verb::Pause => self.system.pause_child(path).await,
            Verb::Resume => self.system.resume_child(path).await,
            Verb::Start | Verb::Restart => match self.system.which_child(path).await {
                Ok(info) if needs_nothing(verb, &info) => Ok(info),
                Ok(_) | Err(_) => self.system.bounce_child(path).await,
            },
        }
    }

    /// An agent whose group is down comes up with all of it, and is down already.
    async fn operate_group(
        &self,
        agent: &AgentConfig,
        verb: Verb,
        group: ChildInfo,
    ) -> Result<ChildInfo, OperateError> {
        let comes_back = group.phase != Phase::Failed && group.phase != Phase::Stopped;
        let path = group.path.to_string();
        match verb {
            Verb::Pause | Verb::Resume => Err(OperateError::Gone { supervisor: path }),
            Verb::Stop if comes_back => Err(OperateError::Gone { supervisor: path }),
            Verb::Stop => Ok(family::with_its_group(agent, group)),
            Verb::Start | Verb::Restart => {
                drop(self.operate_one(&path, Verb::Start).await?);
                self.operate_one(&child::path(agent), Verb::Start).await
            }
        }
    }
}

/// Whether an agent that is to come up, or up anew, does so by itself.
fn needs_nothing(verb: Verb, info: &ChildInfo) -> bool {
    match info.phase {
        // It starts when what it depends on is up, and there is nothing to stop.
        Phase::Pending => true,
        Phase::Starting | Phase::Running | Phase::Paused => verb == Verb::Start,
        Phase::Draining | Phase::Stopping => verb == Verb::Start && info.desired != Desired::Down,
        Phase::Backoff | Phase::Completed | Phase::Stopped | Phase::Failed => false,
    }
}

//! Actors that regrow did not start.
//!
//! Each stands at a place of its own, below `@`, which is no id of a tree. The registry watches it by `ractor`'s monitors, so nothing
//! is asked over and over, and its supervisor, if it has one, is not replaced. Nobody here starts, stops or restarts it: when it ends
//! its place goes. Who is watched stands beside the registry's actor and outlives it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use ractor::{ActorCell, ActorId, ActorRef, ActorStatus, RpcReplyPort};
use regrow_core::index::{LeaveReason, Profile};
use regrow_core::{ExitKind, InvalidId, Phase, check_id};
use thiserror::Error;
use tokio::task::AbortHandle;

use super::actor::Message;
use super::board::{News, Stand};
use super::shared::Shared;
use super::standing::Fitness;
use super::{Registered, Registry};
use crate::address::Place;
use crate::path::ChildPath;
use crate::supervisor::Tree;

/// What they stand below. No id can be this, so no path of a tree begins so.
const TOP: &str = "@";

/// Why an actor was not registered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// It cannot be an id.
    #[error("{id:?} cannot be the id of an actor: {source}")]
    InvalidId {
        /// The text.
        id: Arc<str>,
        /// What is wrong with it.
        source: InvalidId,
    },
    /// Another is registered under this id.
    #[error("\"{}\" is registered already", holder.path())]
    Taken {
        /// Who is.
        holder: Registered,
    },
    /// The actor has ended, or is about to.
    #[error("the actor that was to be \"{path}\" has ended")]
    Ended {
        /// Where it would have stood.
        path: ChildPath,
    },
    /// The registry has died before it answered. It may have registered the actor; [`Registry::get`] tells.
    #[error("the registry died before it answered about {id:?}")]
    Unanswered {
        /// The id.
        id: Arc<str>,
    },
    /// The system has ended.
    #[error("the system has ended")]
    Over,
}

/// Somebody who wants to be registered.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(super) id: Arc<str>,
    pub(super) cell: ActorCell,
    pub(super) profile: Profile,
    pub(super) reply: RpcReplyPort<Result<Registered, RegisterError>>,
}

impl Registry {
    /// Registers an actor that regrow did not start, under an id that no other such actor has. From now on it is found, picked,
    /// watched, sent to and given names like a child; its path is `@/` and the id, so `path:@` means all of them.
    ///
    /// It is left alone otherwise: regrow does not restart it, and does not end it with the system. When it ends, it is gone from
    /// the registry a moment later, with all its names: look-ups find it until then, and sends to it fail. One that registers
    /// itself in `pre_start` is ready when its `post_start` is over. An actor may have several ids, and be in several systems.
    ///
    /// ```
    /// # use ractor::{Actor, ActorProcessingErr, ActorRef};
    /// # use regrow::{ChildKind, DynamicSupervisor, Profile, System};
    /// # struct Coder;
    /// # impl Actor for Coder {
    /// #     type Msg = (); type State = (); type Arguments = ();
    /// #     async fn pre_start(&self, _: ActorRef<()>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
    /// # }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let system = System::start(DynamicSupervisor::new("root")).await?;
    /// let (coder, _) = Actor::spawn(None, Coder, ()).await?;
    /// let profile = Profile::new(ChildKind::Actor, "coder").tags(["lang=rust"]);
    /// let ann = system.registry().register("ann", coder, profile).await?;
    /// assert_eq!(*ann.path(), "@/ann");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn register(
        &self,
        id: impl Into<Arc<str>>,
        actor: impl Into<ActorCell>,
        profile: Profile,
    ) -> Result<Registered, RegisterError> {
        let (id, cell) = (id.into(), actor.into());
        if let Err(source) = check_id(&id) {
            return Err(RegisterError::InvalidId { id, source });
        }
        let wanted = |reply| {
            Message::Register(Box::new(Newcomer {
                id: Arc::clone(&id),
                cell,
                profile,
                reply,
            }))
        };
        match self.ask(wanted).await {
            Some(answer) => answer,
            None if self.tree.is_over() => Err(RegisterError::Over),
            None => Err(RegisterError::Unanswered { id }),
        }
    }

    /// Takes an actor that regrow did not start out of the registry, with its names; it runs on. Whether it was there: a child of
    /// the tree stays.
    pub async fn unregister(&self, registered: &Registered) -> bool {
        let wanted = |reply| Message::Unregister(registered.clone(), reply);
        self.ask(wanted).await.unwrap_or(false)
    }
}

/// One that is watched, and where it stands.
#[derive(Debug)]
struct Watched {
    cell: ActorCell,
    places: Vec<Arc<Place>>,
    /// Of the end of one that has not been up yet nobody is told: so it is waited for.
    wait: Option<AbortHandle>,
}

impl Watched {
    fn rest(&mut self) {
        if let Some(wait) = self.wait.take() {
            wait.abort();
        }
    }
}

/// All who are watched. Written by the registry's actor, and by the end of its system.
#[derive(Debug, Default)]
pub(crate) struct Foreign(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    watched: HashMap<ActorId, Watched>,
    /// Who stands where.
    places: BTreeMap<Registered, ActorId>,
}

/// Those whose registry has died, as the next one finds them.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) up: Vec<ActorId>,
    pub(super) ended: Vec<ActorId>,
}

impl Foreign {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many places they have.
    pub(super) fn len(&self) -> usize {
        self.lock().places.len()
    }

    /// From now on an actor is watched, and found at the place that is given back.
    pub(super) fn enter(
        &self,
        newcomer: (Arc<str>, ActorCell, Profile),
        tree: &Arc<Tree>,
        registry: &ActorRef<Message>,
    ) -> Result<Arc<Place>, RegisterError> {
        let (id, cell, profile) = newcomer;
        let top = ChildPath::root(TOP);
        let (path, directory) = (top.join(&id), tree.directory(&top));
        if let Some(holder) = directory.get(&id) {
            let holder = Registered::new(&holder);
            return Err(RegisterError::Taken { holder });
        }
        if tree.is_over() {
            return Err(RegisterError::Over);
        }
        let actor = cell.get_id();
        let mut all = self.lock();
        registry.monitor(cell.clone());
        // Looked at when it is watched: whoever ends from here on is told of. It tells after it has begun to stop.
        let phase = match cell.get_status() {
            ActorStatus::Unstarted | ActorStatus::Starting => Phase::Starting,
            ActorStatus::Running | ActorStatus::Upgrading => Phase::Running,
            ActorStatus::Draining => Phase::Draining,
            ActorStatus::Stopping | ActorStatus::Stopped => {
                if !all.watched.contains_key(&actor) {
                    registry.unmonitor(cell);
                }
                return Err(RegisterError::Ended { path });
            }
        };
        let make = || {
            let commons = Arc::clone(&tree.commons);
            let place = Place::new(path.clone(), None, Arc::new(profile), commons);
            place.publish(cell.clone(), None);
            place.set_generation(1);
            place.standing.enter(
                1,
                phase,
                Fitness::unprobed(phase == Phase::Running),
                SystemTime::now(),
            );
            place
        };
        let place = directory.enter(&path, make);
        all.places.insert(Registered::new(&place), actor);
        let watched = all.watched.entry(actor).or_insert_with(|| Watched {
            cell: cell.clone(),
            places: Vec::new(),
            wait: None,
        });
        watched.places.push(Arc::clone(&place));
        if phase == Phase::Starting && watched.wait.is_none() {
            watched.wait = Some(wait_for_the_end(cell, &tree.registry));
        }
        Ok(place)
    }

    /// One is up; the places where that is news.
    pub(super) fn started(&self, actor: ActorId) -> Vec<Arc<Place>> {
        let mut all = self.lock();
        let Some(watched) = all.watched.get_mut(&actor) else {
            return Vec::new();
        };
        watched.rest();
        let starting = watched.places.iter();
        let starting: Vec<_> = starting
            .filter(|place| place.standing.word().phase() == Phase::Starting)
            .cloned()
            .collect();
        for place in &starting {
            place.standing.enter(
                1,
                Phase::Running,
                Fitness::unprobed(true),
                SystemTime::now(),
            );
        }
        starting
    }

    /// One has ended, and is not found any more: the places that it had.
    pub(super) fn leave(&self, actor: ActorId, tree: Option<&Tree>) -> Vec<Arc<Place>> {
        let mut all = self.lock();
        let Some(mut watched) = all.watched.remove(&actor) else {
            return Vec::new();
        };
        watched.rest();
        for place in &watched.places {
            all.places.remove(&Registered::new(place));
            vacate(place, tree);
        }
        watched.places
    }

    /// A place is given up by somebody who runs on. Whether it was one of these.
    pub(super) fn leave_place(
        &self,
        place: &Registered,
        tree: &Tree,
        registry: &ActorRef<Message>,
    ) -> bool {
        let mut all = self.lock();
        let Some(actor) = all.places.remove(place) else {
            return false;
        };
        if let Some(watched) = all.watched.get_mut(&actor) {
            watched.places.retain(|its| !place.is(its));
            if watched.places.is_empty() {
                watched.rest();
                registry.unmonitor(watched.cell.clone());
                all.watched.remove(&actor);
            }
        }
        vacate(&place.0, Some(tree));
        true
    }

    /// Another registry watches them from now on.
    pub(super) fn watch_anew(
        &self,
        registry: &ActorRef<Message>,
        before: Option<&ActorRef<Message>>,
    ) -> Found {
        let mut found = Found::default();
        for (actor, watched) in &self.lock().watched {
            registry.monitor(watched.cell.clone());
            if let Some(before) = before {
                before.unmonitor(watched.cell.clone());
            }
            match watched.cell.get_status() {
                ActorStatus::Unstarted | ActorStatus::Starting => {}
                ActorStatus::Running | ActorStatus::Upgrading | ActorStatus::Draining => {
                    found.up.push(*actor);
                }
                ActorStatus::Stopping | ActorStatus::Stopped => found.ended.push(*actor),
            }
        }
        found
    }

    /// The system has ended: nobody is watched any more, and they run on.
    pub(super) fn part(&self, tree: Option<&Tree>, registry: Option<&ActorRef<Message>>) {
        let all = std::mem::take(&mut *self.lock());
        for mut watched in all.watched.into_values() {
            watched.rest();
            if let Some(registry) = registry {
                registry.unmonitor(watched.cell);
            }
            for place in &watched.places {
                vacate(place, tree);
            }
        }
    }
}

/// Nobody is there any more, and nobody will be.
fn vacate(place: &Arc<Place>, tree: Option<&Tree>) {
    place.standing.go();
    place.clear();
    if let Some(tree) = tree {
        let directory = tree.directory(&ChildPath::root(TOP));
        directory.leave(place.path());
    }
}

/// `ractor` tells nobody of an actor that ends before it has been up.
fn wait_for_the_end(cell: ActorCell, shared: &Arc<Shared>) -> AbortHandle {
    let shared: Weak<Shared> = Arc::downgrade(shared);
    let wait = async move {
        // Without a limit it ends with the actor.
        drop(cell.wait(None).await);
        let registry = shared.upgrade().and_then(|shared| shared.board.registry());
        if let Some(registry) = registry {
            drop(registry.cast(Message::Ended(cell.get_id())));
        }
    };
    tokio::spawn(wait).abort_handle()
}

/// Why somebody left of whose end nobody was told.
pub(super) fn never_was_up() -> LeaveReason {
    LeaveReason::Ended(ExitKind::StartFailed)
}

/// That a place is there.
pub(super) fn added(place: &Arc<Place>) -> News {
    News::Added(Arc::clone(place), stand(place))
}

/// That it is in another phase.
pub(super) fn entered(place: &Arc<Place>) -> News {
    News::Phase(Arc::clone(place), stand(place))
}

/// That it is gone.
pub(super) fn removed(place: &Arc<Place>, reason: LeaveReason) -> News {
    News::Removed {
        place: Arc::clone(place),
        generation: 1,
        reason,
    }
}

fn stand(place: &Arc<Place>) -> Stand {
    let status = place.standing.status();
    Stand {
        change: place.standing.change(),
        generation: status.generation,
        phase: status.phase,
        fitness: Fitness {
            health: status.health,
            ..Fitness::unprobed(status.ready)
        },
        at: status.since,
    }
}

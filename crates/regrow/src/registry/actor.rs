//! The registry's actor: the only one that writes.
//!
//! It reads what hangs on the [`Board`], brings the index up to date and tells the watchers. When it has died, and when the board
//! was torn, it begins again with the living.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use ractor::{
    Actor, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SpawnErr, SupervisionEvent,
};
use regrow_core::index::{Change, Entry, Index, LeaveReason};
use regrow_core::{ChildKind, Phase};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Registered;
use super::board::{Follows, Found, News, Stand};
use super::book::{Clash, Wanted};
use super::foreign::{self, Newcomer, RegisterError};
use super::shared::Shared;
use super::tally::{Operation, Outcome};
use super::watcher::Post;
use crate::adapter::step_aside;
use crate::address::Place;
use crate::exit::ExitReason;
use crate::path::ChildPath;
use crate::supervisor::{Tree, reason_of_foreign};
use crate::telemetry::{Payload, Subject};
use crate::time;

/// How long after it has read the board it looks again, before it waits to be woken. So whoever tells much wakes it once in this
/// time, and it is behind by this much at the most.
const LOOKS_AGAIN: Duration = Duration::from_millis(1);

/// How many changes are made under one lock: readers of what has no list of its own wait for so many.
const AT_A_TIME: usize = 32;

pub(crate) enum Message {
    /// Something hangs on the board.
    Read,
    /// Something is wanted that was not followed before.
    BeginAnew,
    /// Somebody watches, or wants to know anew who is there.
    Watch(Arc<Post>),
    /// Names and groups.
    Write {
        name: Arc<str>,
        child: Registered,
        wanted: Wanted,
    },
    /// Somebody whom regrow did not start shall be found.
    Register(Box<Newcomer>),
    /// Such a one shall be found no more; whether it was there.
    Unregister(Registered, RpcReplyPort<bool>),
    /// Such a one has ended before it was up.
    Ended(ActorId),
    /// Answers when all that hung on the board before is in the index.
    CatchUp(RpcReplyPort<()>),
}

// With this feature of ractor on, what is a message has to say so.
#[cfg(feature = "cluster")]
impl ractor::Message for Message {}

pub(crate) struct RegistryActor;

pub(crate) struct State {
    myself: ActorRef<Message>,
    tree: Weak<Tree>,
    shared: Arc<Shared>,
    /// Whose registry it is: the root of the system.
    root: Subject,
}

/// Why it begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Something is wanted that was not followed before.
    Asked,
    /// The one before has died.
    Died,
    /// More was told at once than the board holds.
    Torn,
}

impl Why {
    /// The word in the event; a question is nothing to tell.
    const fn told(self) -> Option<&'static str> {
        match self {
            Self::Asked => None,
            Self::Died => Some("died"),
            Self::Torn => Some("torn"),
        }
    }
}

/// Whom a registry serves, and why it begins.
pub(crate) struct Arguments {
    tree: Weak<Tree>,
    root: Subject,
    why: Why,
}

#[ractor::actor(message = Message, state = State, arguments = Arguments)]
impl RegistryActor {
    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let Arguments { tree, root, why } = arguments;
        let shared = tree.upgrade().ok_or("the system is gone")?;
        let shared = Arc::clone(&shared.registry);
        let before = shared.board.serve(myself.clone());
        let state = State {
            myself,
            tree,
            shared,
            root,
        };
        state.watch_anew(before.as_ref());
        state.begin_anew(why);
        Ok(state)
    }

    async fn post_start(
        &self,
        _: ActorRef<Message>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.read().await;
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Read => state.read().await,
            Message::BeginAnew => state.begin_anew(Why::Asked),
            Message::Watch(post) => state.tell_who_is_there(&post),
            Message::Write {
                name,
                child,
                wanted,
            } => state.write(&name, &child, wanted),
            Message::Register(newcomer) => state.register(*newcomer),
            Message::Unregister(registered, reply) => {
                drop(reply.send(state.unregister(&registered)));
            }
            Message::Ended(actor) => state.ended(actor, foreign::never_was_up()),
            Message::CatchUp(reply) => {
                state.read_now().await;
                drop(reply.send(()));
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // Of one that is watched: nobody is its child.
        let Some(actor) = event.actor_id() else {
            return Ok(());
        };
        if let SupervisionEvent::ActorStarted(_) = event {
            state.started(actor);
        } else {
            let reason = reason_of_foreign(event).kind();
            state.ended(actor, LeaveReason::Ended(reason));
        }
        Ok(())
    }
}

impl State {
    /// Reads the board, and comes back to it in a moment: unless nothing hangs there.
    async fn read(&self) {
        if self.read_now().await {
            let myself = self.myself.clone();
            tokio::spawn(async move {
                time::sleep_until(time::now() + LOOKS_AGAIN).await;
                drop(myself.cast(Message::Read));
            });
        }
    }

    /// Whether there was anything.
    async fn read_now(&self) -> bool {
        match self.shared.board.take() {
            Found::Nothing => return false,
            Found::Torn => self.begin_anew(Why::Torn),
            Found::News(news) => {
                let mut news = news.into_iter();
                while news.len() > 0 {
                    self.change(news.by_ref().take(AT_A_TIME));
                    step_aside().await;
                }
            }
        }
        true
    }

    fn write(&self, name: &Arc<str>, child: &Registered, wanted: Wanted) {
        let book = &self.shared.book;
        let count = |operation, outcome| self.shared.tally.count(operation, outcome, 1);
        // Whoever has stopped waiting needs no answer.
        match wanted {
            Wanted::Claim(decide, reply) => {
                let (result, clash) = book.claim(name, child, decide);
                if let Some(clash) = clash {
                    self.clash(child, clash);
                }
                count(Operation::Claim, Outcome::done(&result));
                drop(reply.send(result));
            }
            Wanted::Release(reply) => {
                let released = book.release(name, child);
                count(Operation::Release, Outcome::of(released));
                drop(reply.send(released));
            }
            Wanted::Join(reply) => {
                let joined = book.join(name, child);
                count(Operation::Join, Outcome::done(&joined));
                drop(reply.send(joined));
            }
            Wanted::Leave(reply) => {
                let left = book.leave(name, child);
                count(Operation::Leave, Outcome::of(left));
                drop(reply.send(left));
            }
        }
    }

    fn clash(&self, child: &Registered, clash: Clash) {
        let Some(tree) = self.tree.upgrade() else {
            return;
        };
        let Clash {
            name,
            holder,
            policy,
        } = clash;
        let payload = || Payload::RegistryEntryConflict {
            name,
            holder: holder.path().clone(),
            policy: policy.as_str(),
        };
        tree.telemetry.emit(|| child.subject(), payload);
    }

    fn change(&self, news: impl Iterator<Item = News>) {
        let mut changes = Vec::with_capacity(AT_A_TIME);
        {
            let index = self.shared.index.write();
            let mut index = index.unwrap_or_else(PoisonError::into_inner);
            for news in news {
                if let News::Removed { place, .. } = &news {
                    self.shared.book.forget(&Registered::new(place));
                }
                if let Some(change) = apply(&mut index, news) {
                    // Under the lock, so that no reader puts a list of before into its place.
                    self.shared.forget(&change);
                    changes.push(change);
                }
            }
        }
        for query in self.shared.tell(&changes) {
            self.missed(query);
        }
    }

    fn missed(&self, (query, limit): (String, u64)) {
        if let Some(tree) = self.tree.upgrade() {
            let payload = || Payload::RegistryWatchMissed { limit, query };
            tree.telemetry.emit(|| self.root.clone(), payload);
        }
    }

    /// Makes the index from the living.
    fn begin_anew(&self, why: Why) {
        let Some(tree) = self.tree.upgrade() else {
            return;
        };
        // Looked at before the living are.
        let follows = self.shared.board.wanted();
        if why == Why::Asked && self.shared.index_follows() >= follows {
            // It was asked for twice.
            return;
        }
        let fresh = match follows {
            Follows::Nothing => Index::new(),
            Follows::Profiles | Follows::Phases => of_the_living(&tree),
        };
        let entries = fresh.len() as u64;
        self.shared.book.forget_the_gone();
        {
            let index = self.shared.index.write();
            let mut index = index.unwrap_or_else(PoisonError::into_inner);
            *index = fresh;
            self.shared.forget_all();
            self.shared.set_follows(follows);
        }
        for post in self.shared.posts() {
            if why != Why::Asked {
                post.begin_anew();
            }
            self.tell_who_is_there(&post);
        }
        if let Some(why) = why.told() {
            let payload = || Payload::RegistryRebuilt { entries, why };
            tree.telemetry.emit(|| self.root.clone(), payload);
        }
    }

    fn tell_who_is_there(&self, post: &Post) {
        let index = self.shared.index.read();
        let index = index.unwrap_or_else(PoisonError::into_inner);
        post.tell_who_is_there(|query| {
            let found = index.find(query).into_iter();
            found.map(|found| Arc::clone(found.entry)).collect()
        });
    }
}

/// Actors that regrow did not start.
impl State {
    fn register(&self, newcomer: Newcomer) {
        let Newcomer {
            id,
            cell,
            profile,
            reply,
        } = newcomer;
        let Some(tree) = self.tree.upgrade() else {
            drop(reply.send(Err(RegisterError::Over)));
            return;
        };
        let entered = (self.shared.foreign).enter((id, cell, profile), &tree, &self.myself);
        let registered = entered.map(|place| {
            if self.shared.index_follows() >= Follows::Profiles {
                self.change([foreign::added(&place)].into_iter());
            }
            let registered = Registered::new(&place);
            let payload = || Payload::RegistryEntryRegistered {};
            tree.telemetry.emit(|| registered.subject(), payload);
            registered
        });
        (self.shared.tally).count(Operation::Register, Outcome::done(&registered), 1);
        drop(reply.send(registered));
    }

    fn unregister(&self, registered: &Registered) -> bool {
        let Some(tree) = self.tree.upgrade() else {
            return false;
        };
        let had_it = (self.shared.foreign).leave_place(registered, &tree, &self.myself);
        (self.shared.tally).count(Operation::Unregister, Outcome::of(had_it), 1);
        if had_it {
            self.left(&registered.0, LeaveReason::Unregistered);
        }
        had_it
    }

    fn started(&self, actor: ActorId) {
        let up = self.shared.foreign.started(actor);
        if self.shared.index_follows() >= Follows::Phases {
            self.change(up.iter().map(foreign::entered));
        }
    }

    fn ended(&self, actor: ActorId, reason: LeaveReason) {
        let tree = self.tree.upgrade();
        for place in self.shared.foreign.leave(actor, tree.as_deref()) {
            self.left(&place, reason);
        }
    }

    /// A place is gone: so are its names, and whoever watches is told.
    fn left(&self, place: &Arc<Place>, reason: LeaveReason) {
        self.change([foreign::removed(place, reason)].into_iter());
        if let Some(tree) = self.tree.upgrade() {
            let reason = reason.as_str();
            let payload = || Payload::RegistryEntryUnregistered { reason };
            let subject = || Registered::new(place).subject();
            tree.telemetry.emit(subject, payload);
        }
    }

    /// Watches whom the registry before has watched. What it has missed it makes up for.
    fn watch_anew(&self, before: Option<&ActorRef<Message>>) {
        let found = self.shared.foreign.watch_anew(&self.myself, before);
        for actor in found.up {
            drop(self.shared.foreign.started(actor));
        }
        for actor in found.ended {
            self.ended(actor, LeaveReason::Lost);
        }
    }
}

/// An index of everybody who is there now.
pub(super) fn of_the_living(tree: &Tree) -> Index<Registered> {
    let mut index = Index::new();
    tree.each_place(|place| {
        if !place.standing.word().is_gone() {
            // Looked at before the entry is made: what comes between is told again, and then is the same.
            let change = place.standing.change();
            let entry = place.entry();
            place.standing.see(change);
            drop(index.insert(entry, Registered::new(place)));
        }
    });
    index
}

fn put(entry: &mut Entry, stand: Stand) {
    if entry.status.phase != stand.phase {
        entry.status.since = stand.at;
    }
    entry.status.phase = stand.phase;
    entry.status.ready = stand.fitness.ready;
    entry.status.health = stand.fitness.health;
}

/// What is told of a place that has another by now under its path is of no interest any more.
fn apply(index: &mut Index<Registered>, news: News) -> Option<Change> {
    let is_present = |index: &Index<Registered>, place: &Arc<Place>| {
        let known = index.get(place.path().as_str());
        known.is_some_and(|known| known.handle.is(place))
    };
    match news {
        News::Added(place, stand) => {
            // What it is by now is told by what hangs behind this.
            place.standing.see(stand.change);
            let mut entry = place.entry();
            entry.status.generation = stand.generation;
            entry.status.since = stand.at;
            put(&mut entry, stand);
            index.insert(entry, Registered::new(&place))
        }
        News::Phase(place, stand) => (is_present(index, &place)
            && place.standing.is_news(stand.change))
        .then(|| {
            index.update(place.path().as_str(), stand.generation, |entry| {
                entry.status.load = place.standing.load();
                put(entry, stand);
            })
        })
        .flatten(),
        News::Profile { place, profile } => is_present(index, &place)
            .then(|| index.edit(place.path().as_str(), |entry| entry.profile = profile))
            .flatten(),
        News::Removed {
            place,
            generation,
            reason,
        } => is_present(index, &place)
            .then(|| index.remove(place.path().as_str(), generation, reason))
            .flatten(),
    }
}

/// The first registry of a system.
pub(crate) async fn begin(tree: &Arc<Tree>, root: &ChildPath) -> Result<JoinHandle<()>, SpawnErr> {
    spawn(tree, root, Why::Asked).await
}

async fn spawn(tree: &Arc<Tree>, root: &ChildPath, why: Why) -> Result<JoinHandle<()>, SpawnErr> {
    let kind = ChildKind::Supervisor;
    let root = Subject::new(root.clone(), kind, kind.as_str(), 1, Phase::Running);
    let tree = Arc::downgrade(tree);
    let arguments = Arguments { tree, root, why };
    let spawned = RegistryActor::spawn(None, RegistryActor, arguments).await;
    spawned.map(|(_, join)| join)
}

/// Whoever waits for a registry waits no more when nobody keeps one: also when the runtime goes away.
struct Closes(Arc<Shared>, Weak<Tree>);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0.end(self.1.upgrade().as_deref());
    }
}

/// Keeps a registry alive until its system has ended: one that has died is followed by another, which begins with the living.
pub(crate) async fn keep(
    tree: Weak<Tree>,
    shared: Arc<Shared>,
    root: ChildPath,
    mut registry: JoinHandle<()>,
    mut ended: watch::Receiver<Option<ExitReason>>,
) {
    let closes = Closes(shared, tree.clone());
    loop {
        tokio::select! {
            _ = ended.wait_for(Option::is_some) => break,
            _ = &mut registry => {}
        }
        let Some(tree) = tree.upgrade() else { return };
        match spawn(&tree, &root, Why::Died).await {
            Ok(next) => registry = next,
            // It is refused by a runtime that ends.
            Err(_) => return,
        }
    }
    closes.0.board.close();
    if let Some(last) = closes.0.board.registry() {
        last.stop(None);
        // It writes no more when all are let go.
        drop(registry.await);
    }
}

//! Finding children by what they are: tags, capabilities, types, phases.
//!
//! Every child is registered, by its place: the entry survives restarts – its status changes – and goes with the place. One actor
//! writes, and readers never visit it: a [`Query`] is answered from lists that lie ready.
//!
//! ```
//! # use ractor::{Actor, ActorProcessingErr, ActorRef};
//! use regrow::{ChildSpec, Query, Select, Supervisor, System};
//! # #[derive(Clone)] struct Coder;
//! # impl Actor for Coder {
//! #     type Msg = (); type State = (); type Arguments = ();
//! #     async fn pre_start(&self, _: ActorRef<()>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
//! # }
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ann = ChildSpec::actor("ann", Coder, ()).of_type("coder").tags(["lang=rust"]);
//! let system = System::start(Supervisor::new("root").child(ann)).await?;
//!
//! let query: Query = "type:coder and lang=rust and ready".parse()?;
//! let coder = system.registry().pick(&query, &Select::LeastLoaded).ok_or("nobody is free")?;
//! coder.address::<()>()?.send(())?;
//! # Ok(())
//! # }
//! ```
//!
//! ## What a reader sees
//!
//! Until somebody asks, nothing is indexed: the first question is answered by a look at everybody. From then on the index follows what happens: at once where little does, and never more than about a millisecond behind. So a child that has
//! just become ready may be found a moment later; [`Registry::caught_up`] waits for that. The other way round there is no delay:
//! whether somebody is still there, still ready and in which phase is looked up where its supervisor writes it, so a look-up that
//! begins after a child was told as stopping never returns it as ready. [`Registry::count`] of tags alone, and
//! [`Registry::members`], are of the index.
//!
//! ## For a DNS server or a service mesh
//!
//! [`Registry::watch`] is the hook: who is there, then every change with its reason. It holds through everything that may go wrong: whoever
//! was too slow, or watched when a registry died, is told anew who is there, so a list that is replaced by each
//! [`Notice::Snapshot`](crate::Notice::Snapshot) is right again. `examples/05_discovery.rs` keeps a file so. The events
//! `regrow.registry.watch.missed` and `regrow.registry.rebuilt` tell the operator that it happened.
//!
//! ## Actors that regrow did not start
//!
//! They are found likewise once [`Registry::register`] has been told of them. Nobody writes down where they
//! stand before they do: one that has just ended may be found until the registry has heard of it.

mod actor;
mod board;
mod book;
mod foreign;
mod registered;
mod shared;
mod standing;
mod tally;
#[cfg(test)]
mod tests;
mod watcher;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use ractor::{MessagingErr, RpcReplyPort};
use regrow_core::index::{Members, Term};
use regrow_core::names::Conflict;
use regrow_core::pick::Select;
use regrow_core::query::Query;

use actor::Message;
pub(crate) use actor::{begin, keep};
use board::Service;
pub(crate) use board::{Board, Follows, News, Stand};
pub use book::ClaimError;
use book::Wanted;
pub use foreign::RegisterError;
pub use registered::Registered;
pub(crate) use shared::Shared;
pub(crate) use standing::{Fitness, Standing, profile_of};
pub(crate) use tally::Operation;
use tally::Outcome;
pub use watcher::Watcher;

use crate::supervisor::Tree;

/// Who is there; see the [module](self). Cloning costs a reference count.
#[derive(Clone)]
pub struct Registry {
    tree: Arc<Tree>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// Whether a term is about what a child is, which hardly ever changes, and not about how it is.
const fn is_of_profile(term: &Term) -> bool {
    match term {
        Term::Tag(_)
        | Term::Pair { .. }
        | Term::Key(_)
        | Term::Kind(_)
        | Term::Type(_)
        | Term::Capability(_) => true,
        Term::Phase(_) | Term::Ready | Term::Health(_) => false,
    }
}

/// The terms of a query that is one, or several joined by `and`.
fn terms_of(query: &Query) -> Option<Vec<&Term>> {
    let one = query.as_term().map(|term| vec![term]);
    one.or_else(|| query.as_terms())
}

/// Whether a term holds of a child now.
fn holds_now(term: &Term, child: &Registered) -> bool {
    let word = child.0.standing.word();
    match term {
        Term::Phase(phase) => word.phase() == *phase,
        Term::Ready => word.is_ready(),
        Term::Health(health) => word.health() == *health,
        Term::Tag(_)
        | Term::Pair { .. }
        | Term::Key(_)
        | Term::Kind(_)
        | Term::Type(_)
        | Term::Capability(_) => term.holds(&child.entry()),
    }
}

impl Registry {
    pub(crate) fn new(tree: &Arc<Tree>) -> Self {
        Self {
            tree: Arc::clone(tree),
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.tree.registry
    }

    /// The child at a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Registered> {
        self.sampled(Operation::Lookup, Option::is_some, || {
            let place = self.tree.place(path)?;
            Some(Registered(place)).filter(|child| !child.is_gone())
        })
    }

    /// Those whom a query means.
    ///
    /// Words that are joined by `and`, with a tag, type, capability or kind among them, are answered from lists without a lock; that
    /// costs what the shortest of them does. Everything else takes a lock that the registry holds for some microseconds at a time when
    /// something changes; from the first such question on it follows phases too.
    #[must_use]
    pub fn find(&self, query: &Query) -> Vec<Registered> {
        let is_some = |found: &Vec<_>| !found.is_empty();
        self.sampled(Operation::Query, is_some, || self.all(query))
    }

    fn all(&self, query: &Query) -> Vec<Registered> {
        let mut found = Vec::new();
        self.each(query, |child| found.push(child.clone()));
        found
    }

    /// How many a query means.
    #[must_use]
    pub fn count(&self, query: &Query) -> usize {
        let is_some = |count: &usize| *count > 0;
        self.sampled(Operation::Query, is_some, || self.number(query))
    }

    fn number(&self, query: &Query) -> usize {
        if let Some(terms) = terms_of(query)
            && !terms.is_empty()
            && terms.iter().all(|term| is_of_profile(term))
            && self.shared().follows(Follows::Profiles)
            && let Some(lists) = self.shared().lists(&terms)
        {
            return match lists.as_slice() {
                [one] => one.len(),
                [one, other] => one.count_common(other),
                [first, others @ ..] => {
                    let others: Vec<_> = others.iter().map(|list| &**list).collect();
                    first.common(&others).len()
                }
                [] => 0,
            };
        }
        let mut count = 0;
        self.each(query, |_| count += 1);
        count
    }

    /// One of those whom a query means.
    #[must_use]
    pub fn pick(&self, query: &Query, select: &Select) -> Option<Registered> {
        self.sampled(Operation::Query, Option::is_some, || {
            let candidates = self.all(query);
            let turn = self.shared().turn.fetch_add(1, Ordering::Relaxed);
            select.pick(&candidates, turn).cloned()
        })
    }

    /// Of whom a term holds, as a list that is shared by all who ask: the quickest answer there is. It is as the index has it.
    #[must_use]
    pub fn members(&self, term: &Term) -> Arc<Members<Registered>> {
        let wanted = if is_of_profile(term) {
            Follows::Profiles
        } else {
            Follows::Phases
        };
        let is_some = |members: &Arc<Members<_>>| !members.is_empty();
        self.sampled(Operation::Query, is_some, || {
            if self.shared().follows(wanted) {
                self.shared().list(term)
            } else {
                actor::of_the_living(&self.tree).members(term)
            }
        })
    }

    /// Follows a query: first who is there, then every change with its reason.
    #[must_use]
    pub fn watch(&self, query: Query) -> Watcher {
        Watcher::new(Arc::clone(self.shared()), query)
    }

    /// The same with a limit of one's own to how many changes are kept; 1,024 by default.
    #[must_use]
    pub fn watch_with(&self, query: Query, limit: NonZeroUsize) -> Watcher {
        Watcher::with_limit(Arc::clone(self.shared()), query, limit)
    }

    /// Gives a child a name of its own beside its path, if nobody has it: `conflict` says what happens if somebody has. The name
    /// survives restarts, and goes with the child's place; to claim it again, in each life say, changes nothing. Whom it was taken
    /// from is the answer, if from anybody.
    ///
    /// A name has 1 to 256 bytes, and a child has at most 1,024.
    ///
    /// # Errors
    /// [`ClaimError::Taken`] says who has it.
    pub async fn claim(
        &self,
        name: impl Into<Arc<str>>,
        child: &Registered,
        conflict: Conflict,
    ) -> Result<Option<Registered>, ClaimError> {
        self.claim_with(name, child, move |_| conflict).await
    }

    /// The same with a rule of one's own: it is shown who has the name, and says what happens. It runs in the registry, so it must
    /// be quick; one that panics refuses.
    ///
    /// # Errors
    /// As [`Registry::claim`].
    pub async fn claim_with(
        &self,
        name: impl Into<Arc<str>>,
        child: &Registered,
        decide: impl FnOnce(&Registered) -> Conflict + Send + 'static,
    ) -> Result<Option<Registered>, ClaimError> {
        let wanted = |reply| Wanted::Claim(Box::new(decide), reply);
        let name = name.into();
        let claimed = self.write(Arc::clone(&name), child, wanted).await;
        claimed.unwrap_or_else(|| Err(self.unanswered(name)))
    }

    /// Takes a name from a child; whether it had it.
    pub async fn release(&self, name: impl Into<Arc<str>>, child: &Registered) -> bool {
        let released = self.write(name.into(), child, Wanted::Release).await;
        released.unwrap_or(false)
    }

    /// Who has a name, if anybody has. Without a lock.
    #[must_use]
    pub fn whereis(&self, name: &str) -> Option<Registered> {
        self.sampled(Operation::Lookup, Option::is_some, || {
            self.shared().book.holder(name)
        })
    }

    /// The names of a child, in alphabetical order.
    #[must_use]
    pub fn names_of(&self, child: &Registered) -> Vec<Arc<str>> {
        self.shared().book.names_of(child)
    }

    /// Takes a child into a group: a name that many share. Once is enough. A child is in at most 1,024 groups.
    ///
    /// # Errors
    /// When it is gone, or the group cannot be one.
    pub async fn join(
        &self,
        group: impl Into<Arc<str>>,
        child: &Registered,
    ) -> Result<(), ClaimError> {
        let group = group.into();
        let joined = self.write(Arc::clone(&group), child, Wanted::Join).await;
        joined.unwrap_or_else(|| Err(self.unanswered(group)))
    }

    /// Takes a child out of a group; whether it was in it.
    pub async fn leave(&self, group: impl Into<Arc<str>>, child: &Registered) -> bool {
        let left = self.write(group.into(), child, Wanted::Leave).await;
        left.unwrap_or(false)
    }

    /// Who is in a group, in the order in which they joined. Without a lock.
    #[must_use]
    pub fn group(&self, group: &str) -> Vec<Registered> {
        let is_some = |group: &Vec<_>| !group.is_empty();
        self.sampled(Operation::Query, is_some, || {
            self.shared().book.group(group)
        })
    }

    /// Looks, and takes the time of one in 64.
    #[inline]
    fn sampled<T>(
        &self,
        operation: Operation,
        is_found: impl FnOnce(&T) -> bool,
        look: impl FnOnce() -> T,
    ) -> T {
        if !tally::is_sampled() {
            return look();
        }
        let (found, took) = tally::timed(look);
        let outcome = Outcome::of(is_found(&found));
        (self.shared().tally).count(operation, outcome, tally::SAMPLE_EVERY);
        self.tree.workforce.looked(operation, took);
        found
    }

    fn unanswered(&self, name: Arc<str>) -> ClaimError {
        if self.tree.is_over() {
            ClaimError::Over
        } else {
            ClaimError::Unanswered { name }
        }
    }

    /// Has something written into the book, whoever keeps it at the moment. `None` when the system has ended, or the registry has
    /// died over it.
    async fn write<T: Send + 'static>(
        &self,
        name: Arc<str>,
        child: &Registered,
        wanted: impl FnOnce(RpcReplyPort<T>) -> Wanted,
    ) -> Option<T> {
        // Whose place goes loses its names: so that has to be told from now on.
        self.shared().follows(Follows::Profiles);
        let child = child.clone();
        let message = |reply| Message::Write {
            name,
            child,
            wanted: wanted(reply),
        };
        self.ask(message).await
    }

    /// Asks whoever keeps the registry at the moment. `None` when the system has ended, or the registry has died over it.
    async fn ask<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<T>) -> Message,
    ) -> Option<T> {
        let (reply, answer) = ractor::concurrency::oneshot();
        let mut message = message(reply.into());
        let mut service = self.shared().board.service();
        while *service.borrow_and_update() == Service::Goes {
            let registry = self.shared().board.registry()?;
            match registry.cast(message) {
                Ok(()) => return answer.await.ok(),
                // It has just died: another is on its way.
                Err(MessagingErr::SendErr(back)) => message = back,
                Err(MessagingErr::ChannelClosed | MessagingErr::InvalidActorType) => return None,
            }
            service.changed().await.ok()?;
        }
        None
    }

    /// Waits until everything that has happened before is in the index.
    pub async fn caught_up(&self) {
        let mut service = self.shared().board.service();
        while *service.borrow_and_update() == Service::Goes {
            if let Some(registry) = self.shared().board.registry() {
                let caught_up = registry.call(Message::CatchUp, None).await;
                if caught_up.is_ok_and(|answer| answer.is_success()) {
                    return;
                }
            }
            if service.changed().await.is_err() {
                return;
            }
        }
    }

    fn each(&self, query: &Query, mut tell: impl FnMut(&Registered)) {
        if let Some(terms) = terms_of(query) {
            let (of_profile, of_status): (Vec<_>, Vec<_>) =
                terms.into_iter().partition(|term| is_of_profile(term));
            if !of_profile.is_empty() && !self.shared().follows(Follows::Profiles) {
                return self.each_living(query, tell);
            }
            if !of_profile.is_empty()
                && let Some(lists) = self.shared().lists(&of_profile)
            {
                let holds = |child: &Registered| {
                    !child.is_gone() && of_status.iter().all(|term| holds_now(term, child))
                };
                return each_of(&lists, |child| {
                    if holds(child) {
                        tell(child);
                    }
                });
            }
        }
        if !self.shared().follows(Follows::Phases) {
            return self.each_living(query, tell);
        }
        let index = self.shared().index.read();
        let index = index.unwrap_or_else(PoisonError::into_inner);
        for found in index.find(query) {
            let (child, word) = (found.handle, found.handle.0.standing.word());
            let known = found.entry.status;
            let is_as_known = known.phase == word.phase()
                && known.ready == word.is_ready()
                && known.health == word.health();
            if !word.is_gone() && (is_as_known || query.matches(&child.entry())) {
                tell(child);
            }
        }
    }
}

impl Registry {
    /// Asks everybody; as long as there is no index to ask.
    fn each_living(&self, query: &Query, mut tell: impl FnMut(&Registered)) {
        self.tree.each_place(|place| {
            if !place.standing.word().is_gone() && query.matches(&place.entry()) {
                tell(&Registered::new(place));
            }
        });
    }
}

/// Those who are in all lists.
fn each_of(lists: &[Arc<Members<Registered>>], mut tell: impl FnMut(&Registered)) {
    match lists {
        [one] => one
            .as_slice()
            .iter()
            .for_each(|member| tell(&member.handle)),
        lists => {
            let shortest = lists.iter().min_by_key(|list| list.len());
            let Some(shortest) = shortest else { return };
            let others = lists.iter().filter(|list| !Arc::ptr_eq(list, shortest));
            let others: Vec<_> = others.map(|list| &**list).collect();
            let common = shortest.common(&others);
            common.iter().for_each(|member| tell(&member.handle));
        }
    }
}

//! Names that children go by beside their paths: those that one has, and groups that many are in.
//!
//! The registry's actor writes; who looks a name up reads what lies ready. The book outlives the actor, so that names outlive it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use papaya::HashMap;
use ractor::RpcReplyPort;
use rapidhash::quality::RandomState;
use regrow_core::names::{Claimed, Conflict, Groups, NameTaken, Names};
use thiserror::Error;

use super::Registered;
use crate::panics::catch;

/// How many names, and how many memberships, one child may have.
const MAX_EACH: usize = 1_024;

/// The longest name, in bytes.
const MAX_LEN: usize = 256;

/// Decides about a name that somebody has: who has it is the argument.
pub(super) type Decide = Box<dyn FnOnce(&Registered) -> Conflict + Send>;

/// Why a child did not get a name, or did not join a group.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// Another child has the name.
    #[error("name \"{name}\" is taken by \"{}\"", holder.path())]
    Taken {
        /// The name.
        name: Arc<str>,
        /// Who has it.
        holder: Registered,
    },
    /// It cannot be a name.
    #[error("{name:?} cannot be a name: it has {} bytes, and 1 to {MAX_LEN} are allowed", name.len())]
    Invalid {
        /// The text.
        name: Arc<str>,
    },
    /// The child has as many as one may have.
    #[error("child \"{}\" has {MAX_EACH} names already, which is the limit", child.path())]
    TooMany {
        /// The child.
        child: Registered,
    },
    /// The child's place has been taken out of the tree.
    #[error("child \"{}\" is gone", child.path())]
    Gone {
        /// The child.
        child: Registered,
    },
    /// The registry has died before it answered. It may have written the name; to ask again does no harm.
    #[error("the registry died before it answered about {name:?}; ask again")]
    Unanswered {
        /// The name.
        name: Arc<str>,
    },
    /// The system has ended.
    #[error("the system has ended")]
    Over,
}

/// What is wanted of the book.
pub(crate) enum Wanted {
    Claim(Decide, RpcReplyPort<Result<Option<Registered>, ClaimError>>),
    Release(RpcReplyPort<bool>),
    Join(RpcReplyPort<Result<(), ClaimError>>),
    Leave(RpcReplyPort<bool>),
}

/// A name was refused to somebody, or taken from somebody.
pub(super) struct Clash {
    pub(super) name: Arc<str>,
    pub(super) holder: Registered,
    pub(super) policy: Conflict,
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    written: Mutex<Written>,
    by_name: HashMap<Arc<str>, Registered, RandomState>,
    by_group: HashMap<Arc<str>, Arc<[Registered]>, RandomState>,
}

#[derive(Debug, Default)]
struct Written {
    names: Names<Registered>,
    groups: Groups<Registered>,
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn holder(&self, name: &str) -> Option<Registered> {
        let holder = self.by_name.pin().get(name).cloned();
        holder.filter(|holder| !holder.is_gone())
    }

    pub(super) fn group(&self, group: &str) -> Vec<Registered> {
        let group = self.by_group.pin().get(group).cloned();
        let members = group.iter().flat_map(|group| group.iter());
        members
            .filter(|member| !member.is_gone())
            .cloned()
            .collect()
    }

    pub(super) fn names_of(&self, child: &Registered) -> Vec<Arc<str>> {
        self.lock().names.names_of(child).cloned().collect()
    }

    /// Called by the registry alone. Who has had the name is in the answer; a clash is to be told.
    pub(super) fn claim(
        &self,
        name: &Arc<str>,
        child: &Registered,
        decide: Decide,
    ) -> (Result<Option<Registered>, ClaimError>, Option<Clash>) {
        if let Err(error) = check(name, child) {
            return (Err(error), None);
        }
        let holder = self.present_holder(name);
        if holder.as_ref() == Some(child) {
            return (Ok(None), None);
        }
        if self.lock().names.names_of(child).count() >= MAX_EACH {
            let child = child.clone();
            return (Err(ClaimError::TooMany { child }), None);
        }
        let policy = match &holder {
            // A rule that panics decides nothing. It runs without the lock, for it may look names up; nobody else writes.
            Some(holder) => catch(|| decide(holder)).unwrap_or(Conflict::Reject),
            None => Conflict::Reject,
        };
        let claimed = {
            let names = &mut self.lock().names;
            names.claim(Arc::clone(name), child.clone(), (), policy)
        };
        let clash = holder.map(|holder| Clash {
            name: Arc::clone(name),
            holder,
            policy,
        });
        let result = match claimed {
            Ok(claimed) => {
                self.by_name.pin().insert(Arc::clone(name), child.clone());
                match claimed {
                    Claimed::Free => Ok(None),
                    Claimed::Replaced { owner, .. } => Ok(Some(owner)),
                }
            }
            Err(NameTaken { name, holder }) => Err(ClaimError::Taken { name, holder }),
        };
        (result, clash)
    }

    /// Who has a name; one that is gone has none any more, even if nobody has told yet.
    fn present_holder(&self, name: &str) -> Option<Registered> {
        let mut written = self.lock();
        let (holder, ()) = written.names.holder(name)?;
        let holder = holder.clone();
        if holder.is_gone() {
            self.forget_names(&mut written, &holder);
            return None;
        }
        Some(holder)
    }

    pub(super) fn release(&self, name: &str, child: &Registered) -> bool {
        let released = self.lock().names.release(name, child).is_some();
        if released {
            self.by_name.pin().remove(name);
        }
        released
    }

    pub(super) fn join(&self, group: &Arc<str>, child: &Registered) -> Result<(), ClaimError> {
        check(group, child)?;
        let mut written = self.lock();
        if written.groups.values(group, child).next().is_some() {
            return Ok(());
        }
        if written.groups.groups_of(child).count() >= MAX_EACH {
            let child = child.clone();
            return Err(ClaimError::TooMany { child });
        }
        written.groups.join(Arc::clone(group), child.clone(), ());
        self.publish(&written, group);
        Ok(())
    }

    pub(super) fn leave(&self, group: &Arc<str>, child: &Registered) -> bool {
        let mut written = self.lock();
        let left = !written.groups.leave(group, child).is_empty();
        if left {
            self.publish(&written, group);
        }
        left
    }

    /// Its place is gone, and all its names with it.
    pub(super) fn forget(&self, child: &Registered) {
        let mut written = self.lock();
        self.forget_names(&mut written, child);
        for (group, ()) in written.groups.leave_all(child) {
            self.publish(&written, &group);
        }
    }

    /// Those who went while no registry lived.
    pub(super) fn forget_the_gone(&self) {
        let written = self.lock();
        let named = written.names.iter().map(|(_, owner, ())| owner);
        let grouped = written.groups.iter().map(|(_, owner, ())| owner);
        let gone: Vec<Registered> = named
            .chain(grouped)
            .filter(|owner| owner.is_gone())
            .cloned()
            .collect();
        drop(written);
        gone.iter().for_each(|owner| self.forget(owner));
    }

    /// How many names are held, and how many memberships there are.
    pub(super) fn len(&self) -> (usize, usize) {
        let written = self.lock();
        (written.names.len(), written.groups.len())
    }

    /// Nobody has a name, and nobody is in a group.
    pub(super) fn clear(&self) {
        let mut written = self.lock();
        *written = Written::default();
        self.by_name.pin().clear();
        self.by_group.pin().clear();
    }

    fn forget_names(&self, written: &mut Written, child: &Registered) {
        for (name, ()) in written.names.release_all(child) {
            self.by_name.pin().remove(&name);
        }
    }

    fn publish(&self, written: &Written, group: &Arc<str>) {
        let members = written.groups.members(group);
        let members: Arc<[Registered]> = members.map(|(member, ())| member.clone()).collect();
        let groups = self.by_group.pin();
        if members.is_empty() {
            groups.remove(group);
        } else {
            groups.insert(Arc::clone(group), members);
        }
    }
}

fn check(name: &Arc<str>, child: &Registered) -> Result<(), ClaimError> {
    if name.is_empty() || name.len() > MAX_LEN {
        let name = Arc::clone(name);
        return Err(ClaimError::Invalid { name });
    }
    if child.is_gone() {
        let child = child.clone();
        return Err(ClaimError::Gone { child });
    }
    Ok(())
}

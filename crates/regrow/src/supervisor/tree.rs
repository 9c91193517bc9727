//! What all supervisors of one system share.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ractor::ActorRef;
use regrow_core::health::HealthPolicy;
use regrow_core::index::LeaveReason;

use super::directory::{Directory, Places};
use super::{Message, Rings, Supervisor, Verdict};
use crate::address::Place;
use crate::call_timer::CallTimer;
use crate::child::{ChildSpec, Role};
use crate::path::ChildPath;
use crate::probe::Turns;
use crate::registry::{Board, Follows, News, Shared};
use crate::telemetry::{Census, Telemetry, Workforce};
use crate::trace::Causes;

/// How many children that did not go quietly a shutdown report names; the rest is counted.
const MAX_REPORTED: usize = 1_000;

/// What all supervisors of one system share: places, events, counts.
pub(crate) struct Tree {
    pub(crate) telemetry: Telemetry,
    pub(crate) census: Arc<Census>,
    pub(crate) workforce: Arc<Workforce>,
    /// What operators trace, from the question to the start.
    pub(crate) causes: Arc<Causes>,
    /// How many partitions are in use, where there are any.
    pub(crate) rings: Rings,
    /// Who is there.
    pub(crate) registry: Arc<Shared>,
    /// What its places have in common.
    pub(crate) commons: Arc<Commons>,
    places: Arc<Places>,
    /// The places below each supervisor.
    directories: RwLock<BTreeMap<ChildPath, Arc<Directory>>>,
    supervisors: RwLock<HashMap<ChildPath, ActorRef<Message>>>,
    /// The rules of supervisors that were given new ones, for their next lives.
    rules: Mutex<HashMap<ChildPath, Arc<Supervisor>>>,
    pub(crate) hard_ends: Mutex<HardEnds>,
    /// What of the health of the whole is not by default: what children count, and what makes supervisors well.
    pub(crate) vital: RwLock<Vital>,
    /// The turns of checks that wait for something.
    pub(crate) turns: Turns,
}

/// What all places of a system have in common.
#[derive(Debug, Default)]
pub(crate) struct Commons {
    /// Keeps the deadlines of calls.
    pub(crate) timer: Arc<CallTimer>,
    /// Where what happens to them is pinned up. Not the registry itself: that holds places, and nobody would ever be freed.
    pub(crate) board: Arc<Board>,
}

/// What is said of the health of a whole, by path; who is not there goes by the defaults.
#[derive(Debug, Default)]
pub(crate) struct Vital {
    pub(crate) roles: BTreeMap<ChildPath, Role>,
    pub(crate) policies: BTreeMap<ChildPath, HealthPolicy>,
}

impl Vital {
    fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.policies.is_empty()
    }

    /// Nobody is in this range any more.
    fn leave(&mut self, below: Range<ChildPath>) {
        leave(&mut self.roles, below.clone());
        leave(&mut self.policies, below);
    }

    /// What a child counts, and by what it is well if it is a supervisor.
    pub(crate) fn note(&mut self, path: &ChildPath, role: Role, policy: HealthPolicy) {
        note(&mut self.roles, path, role);
        note(&mut self.policies, path, policy);
    }
}

fn note<T: Default + PartialEq>(of: &mut BTreeMap<ChildPath, T>, path: &ChildPath, value: T) {
    if value == T::default() {
        of.remove(path);
    } else {
        of.insert(path.clone(), value);
    }
}

fn leave<T>(of: &mut BTreeMap<ChildPath, T>, range: Range<ChildPath>) {
    let below: Vec<ChildPath> = of.range(range).map(|(path, _)| path.clone()).collect();
    below.iter().for_each(|path| drop(of.remove(path)));
}

/// Children that had to be killed, and those that could not be.
#[derive(Debug, Default, Clone)]
pub(crate) struct HardEnds {
    pub(crate) killed: Vec<ChildPath>,
    pub(crate) unresponsive: Vec<ChildPath>,
    pub(crate) unnamed: usize,
}

impl HardEnds {
    pub(crate) fn note(&mut self, path: &ChildPath, unresponsive: bool) {
        let list = if unresponsive {
            &mut self.unresponsive
        } else {
            &mut self.killed
        };
        if list.len() < MAX_REPORTED {
            list.push(path.clone());
        } else {
            self.unnamed += 1;
        }
    }
}

impl Tree {
    pub(crate) fn new(
        telemetry: Telemetry,
        census: Arc<Census>,
        workforce: Arc<Workforce>,
    ) -> Self {
        let registry = Arc::<Shared>::default();
        census.follow(&registry);
        let commons = Arc::new(Commons {
            timer: Arc::default(),
            board: Arc::clone(&registry.board),
        });
        Self {
            telemetry,
            census,
            workforce,
            causes: Arc::default(),
            rings: Rings::default(),
            registry,
            commons,
            places: Arc::default(),
            directories: RwLock::default(),
            supervisors: RwLock::default(),
            rules: Mutex::default(),
            hard_ends: Mutex::default(),
            vital: RwLock::default(),
            turns: Turns::default(),
        }
    }

    pub(crate) fn place(&self, path: &str) -> Option<Arc<Place>> {
        self.places.get(path)
    }

    /// The places below a supervisor: those of its life before, if it is back.
    pub(crate) fn directory(&self, supervisor: &ChildPath) -> Arc<Directory> {
        let mut directories = self
            .directories
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(Directory::new(supervisor.clone(), Arc::clone(&self.places)));
        Arc::clone(directories.entry(supervisor.clone()).or_insert_with(make))
    }

    /// Forgets all places below one. Costs what is forgotten.
    pub(crate) fn leave_below(&self, path: &ChildPath) {
        // Below a path is what begins with it and a slash; `0` is the sign after the slash.
        let from = ChildPath::from(format!("{path}/").as_str());
        let to = ChildPath::from(format!("{path}0").as_str());
        self.rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|place, _| place != path && !place.is_below(path));
        self.rings.leave(path, from.clone()..to.clone());
        self.census.pools.leave(path);
        if !self.vital().is_empty() {
            self.vital_mut().leave(from.clone()..to.clone());
        }
        let mut directories = self
            .directories
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut left: Vec<Arc<Directory>> = directories.remove(path).into_iter().collect();
        let below = directories.range(from..to);
        let below: Vec<ChildPath> = below.map(|(place, _)| place.clone()).collect();
        left.extend(below.iter().filter_map(|place| directories.remove(place)));
        drop(directories);
        let mut news = Vec::new();
        for directory in left {
            for place in directory.clear() {
                place.standing.go();
                news.push(News::Removed {
                    place,
                    generation: u32::MAX,
                    reason: LeaveReason::Removed,
                });
            }
        }
        if self.registry.board.wants(Follows::Profiles) {
            self.registry.board.pin(&mut news);
        }
    }

    /// Looks at every place that is there. A supervisor that adds or removes meanwhile waits for its own directory only.
    pub(crate) fn each_place(&self, mut look: impl FnMut(&Arc<Place>)) {
        let directories: Vec<Arc<Directory>> = {
            let directories = self.directories.read();
            let directories = directories.unwrap_or_else(PoisonError::into_inner);
            directories.values().cloned().collect()
        };
        for directory in directories {
            directory.all().iter().for_each(&mut look);
        }
    }

    /// Whether there is no supervisor any more.
    pub(crate) fn is_over(&self) -> bool {
        let supervisors = self.supervisors.read();
        supervisors
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    pub(crate) fn supervisor(&self, path: &str) -> Option<ActorRef<Message>> {
        self.supervisors
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(path)
            .cloned()
    }

    pub(crate) fn supervisor_up(&self, path: ChildPath, supervisor: ActorRef<Message>) {
        self.supervisors
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path, supervisor);
    }

    /// Forgets a supervisor, unless a later life of it stands there already.
    pub(crate) fn supervisor_down(&self, path: &ChildPath, supervisor: &ActorRef<Message>) {
        let mut supervisors = self
            .supervisors
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if supervisors
            .get(path)
            .is_some_and(|present| present.get_id() == supervisor.get_id())
        {
            supervisors.remove(path);
        }
    }

    /// Notes the rules that the next life of a supervisor begins with.
    pub(crate) fn reconfigured(&self, path: &ChildPath, rules: Supervisor) {
        self.rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path.clone(), Arc::new(rules));
    }

    /// The rules that a supervisor was given while it ran.
    pub(crate) fn rules(&self, path: &ChildPath) -> Option<Arc<Supervisor>> {
        self.rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(path)
            .cloned()
    }

    /// What a child counts in the health of the whole.
    pub(crate) fn note_vital(&self, path: &ChildPath, spec: &ChildSpec) {
        let policy = spec
            .nested
            .as_ref()
            .map_or_else(Default::default, |nested| nested.health);
        let role = spec.traits.role;
        let is_default = role == Role::default() && policy == HealthPolicy::default();
        // Nearly nobody is anything but the default, and who is may have been another before.
        if !is_default || !self.vital().is_empty() {
            self.vital_mut().note(path, role, policy);
        }
    }

    /// The place of a child is gone.
    pub(crate) fn forget_vital(&self, path: &ChildPath) {
        if !self.vital().is_empty() {
            self.vital_mut()
                .note(path, Role::default(), HealthPolicy::default());
        }
    }

    /// What is said of the health of the whole.
    pub(crate) fn vital(&self) -> RwLockReadGuard<'_, Vital> {
        self.vital.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn vital_mut(&self) -> RwLockWriteGuard<'_, Vital> {
        self.vital.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// This life of a child is to be ended, by nobody's wish.
    pub(crate) fn condemn(&self, path: &ChildPath, generation: u32, verdict: Verdict) {
        let id: Arc<str> = path.id().into();
        let supervisor = path.parent().and_then(|parent| self.supervisor(parent));
        if let Some(supervisor) = supervisor {
            // One that is gone has ended it already.
            drop(supervisor.cast(Message::CondemnedAt(id, generation, verdict)));
        }
    }

    pub(crate) fn note_hard_end(&self, path: &ChildPath, unresponsive: bool) {
        self.hard_ends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(path, unresponsive);
    }
}

impl std::borrow::Borrow<str> for ChildPath {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

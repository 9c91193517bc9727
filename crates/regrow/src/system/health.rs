//! How a system is, as a whole and in its parts.

use std::collections::BTreeMap;
use std::sync::Arc;

use regrow_core::health::{Criticality, Part, explain};
use regrow_core::{ChildKind, Health, Phase};
use tokio::sync::watch;

use super::{StartError, System};
use crate::exit::ExitReason;
use crate::path::ChildPath;
use crate::supervisor::Tree;

/// How one place of a tree is, with all that is below it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthReport {
    /// Where it stands.
    pub path: ChildPath,
    /// What it is made of.
    pub kind: ChildKind,
    /// What it is doing.
    pub phase: Phase,
    /// What it means for its supervisor.
    pub criticality: Criticality,
    /// How it is; `None` where it does not count, since it has ended as it should, or nobody wants it up.
    pub health: Option<Health>,
    /// Why it is no better, in words; empty when all is well.
    pub why: String,
    /// Those below it, if it is a supervisor, by path.
    pub children: Vec<Self>,
}

impl HealthReport {
    /// Looks at this one and at all that are below it, from above.
    pub fn each(&self, look: &mut impl FnMut(&Self)) {
        look(self);
        for child in &self.children {
            child.each(look);
        }
    }
}

/// What is known of a place.
struct Seen {
    kind: ChildKind,
    phase: Phase,
    own: Option<Health>,
}

impl System {
    /// How the system is: a fold over the tree, in which each supervisor is judged by its
    /// [policy](crate::Supervisor::health_policy) and each child counts as its [criticality](crate::ChildSpec::criticality) says.
    ///
    /// Nobody is asked: what is read is what supervisors have written, so it answers when every actor is stuck. Costs O(n log n) for `n`
    /// places.
    #[must_use]
    pub fn health(&self) -> HealthReport {
        let (booted, ended) = (self.booted.clone(), self.ended.clone());
        report(&self.tree, &self.path, own_health(&booted, &ended))
    }

    /// From now on metrics tell how the system and the children of its root are.
    pub(super) fn follow_health(&self) {
        let (tree, path) = (Arc::downgrade(&self.tree), self.path.clone());
        let (booted, ended) = (self.booted.clone(), self.ended.clone());
        self.tree.census.whole.follow(move || {
            let Some(tree) = tree.upgrade() else {
                return Vec::new();
            };
            let whole = report(&tree, &path, own_health(&booted, &ended));
            let of = |report: &HealthReport| (report.path.shared(), report.health);
            let children = whole.children.iter().take(MOST_TOLD).map(of);
            std::iter::once(of(&whole)).chain(children).collect()
        });
    }
}

/// Of so many children of a root is told how they are.
const MOST_TOLD: usize = 199;

fn report(tree: &Tree, path: &ChildPath, (phase, own): (Phase, Option<Health>)) -> HealthReport {
    let mut seen = BTreeMap::new();
    tree.each_place(|place| {
        let word = place.standing.word();
        // Actors that regrow did not start are nobody's children.
        if !word.is_gone() && !place.path().as_str().starts_with('@') {
            let (kind, phase) = (place.standing.profile().kind, word.phase());
            let own = word.for_health().health();
            seen.insert(place.path().clone(), Seen { kind, phase, own });
        }
    });
    let mut below: BTreeMap<&str, Vec<&ChildPath>> = BTreeMap::new();
    for path in seen.keys() {
        below
            .entry(path.parent().unwrap_or_default())
            .or_default()
            .push(path);
    }
    let root = Seen {
        kind: ChildKind::Supervisor,
        phase,
        own,
    };
    Judge {
        seen: &seen,
        below: &below,
        vital: &tree.vital(),
    }
    .report(path, &root)
}

type Booted = watch::Receiver<Option<Result<(), StartError>>>;

/// Of the root itself: there is nobody above it who would have written anything.
fn own_health(
    booted: &Booted,
    ended: &watch::Receiver<Option<ExitReason>>,
) -> (Phase, Option<Health>) {
    let (is_booted, has_ended) = (
        matches!(*booted.borrow(), Some(Ok(()))),
        ended.borrow().is_some(),
    );
    match (has_ended, is_booted) {
        (true, _) => (Phase::Stopped, Some(Health::Down)),
        (false, true) => (Phase::Running, Some(Health::Up)),
        (false, false) => (Phase::Starting, Some(Health::Up)),
    }
}

struct Judge<'a> {
    seen: &'a BTreeMap<ChildPath, Seen>,
    below: &'a BTreeMap<&'a str, Vec<&'a ChildPath>>,
    vital: &'a crate::supervisor::Vital,
}

impl Judge<'_> {
    fn report(&self, path: &ChildPath, seen: &Seen) -> HealthReport {
        let below = self.below.get(path.as_str()).into_iter().flatten();
        let children: Vec<HealthReport> = below
            .filter_map(|child| Some(self.report(child, self.seen.get(*child)?)))
            .collect();
        let role = self.vital.roles.get(path).copied().unwrap_or_default();
        let (health, why) = self.judge(path, seen, &children);
        HealthReport {
            path: path.clone(),
            kind: seen.kind,
            phase: seen.phase,
            criticality: role.criticality,
            health,
            why,
            children,
        }
    }

    /// How a place is: by what is below it, and no better than it stands itself.
    fn judge(
        &self,
        path: &ChildPath,
        seen: &Seen,
        children: &[HealthReport],
    ) -> (Option<Health>, String) {
        let own = || match seen.own {
            Some(Health::Up) | None => String::new(),
            Some(_) => format!("it is {}", seen.phase),
        };
        if !matches!(seen.kind, ChildKind::Supervisor | ChildKind::Pool) || children.is_empty() {
            return (seen.own, own());
        }
        let policy = self.vital.policies.get(path).copied().unwrap_or_default();
        let parts = children.iter().filter_map(|child| {
            let role = self
                .vital
                .roles
                .get(&child.path)
                .copied()
                .unwrap_or_default();
            let part = Part {
                health: child.health?,
                criticality: role.criticality,
                weight: role.weight,
            };
            Some((child.path.id(), part, child.why.as_str()))
        });
        let (fold, why) = explain(policy, parts);
        match seen.own {
            None => (None, String::new()),
            Some(Health::Up) => (Some(fold), why),
            Some(Health::Degraded) if fold == Health::Up => (Some(Health::Degraded), own()),
            Some(Health::Degraded) => (Some(fold), why),
            Some(worse @ (Health::Down | Health::Unknown)) => (Some(worse), own()),
        }
    }
}

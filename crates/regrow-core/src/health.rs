//! How a whole is, judged by how its parts are.
//!
//! Each child has a [`Criticality`], and each supervisor a [`HealthPolicy`]. A required child must work, whatever the policy: one that
//! is down takes the whole down. The policy counts the important ones, which is what a child is unless told otherwise. Optional ones
//! are shown and count for nothing.
//!
//! What is not known, because a child starts for the first time, makes the whole `unknown` only where it matters: when the verdict
//! would be another if the child turned out well than if it turned out badly.
//!
//! A whole is a part of another, so the fold goes up the tree. It is made from counts ([`Tally`]): a child that changes costs O(1) in
//! each supervisor above it, however many siblings it has. Only the reasons ([`explain`]) walk over the children, when somebody asks.

use crate::phase::{Desired, Health, Phase};
use crate::words::words;

#[cfg(test)]
mod tests;

words! {
    /// What it means for the whole when a child is down.
    pub enum Criticality {
        /// The whole is down.
        Required = "required",
        /// The whole is degraded, or as its policy says. The default.
        Important = "important",
        /// Nothing; it is shown.
        Optional = "optional",
    }
}

/// How many of the important children have to work.
///
/// A child works when it is `up` or `degraded`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HealthPolicy {
    /// All: the whole is `degraded` when one of them is not `up`. The default.
    #[default]
    All,
    /// One: the whole is `up` when one of them is, and `down` when none works.
    Any,
    /// So many: the whole is `up` when so many are, and `down` when fewer work.
    Quorum(u32),
    /// By weight: one that is `up` counts with its weight and one that is `degraded` with half of it, of the weight of all.
    Weighted {
        /// From so many percent on the whole is `up`.
        up: u8,
        /// Below `up` and from so many percent on it is `degraded`, and below that `down`.
        degraded: u8,
    },
}

impl HealthPolicy {
    /// Whether it can be met and missed.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn check(self) -> Result<(), &'static str> {
        match self {
            Self::Quorum(0) => Err("quorum: expected at least 1, got 0"),
            Self::Weighted { up, .. } if up > 100 => Err("up: expected at most 100 percent"),
            Self::Weighted { up, degraded } if degraded == 0 || degraded > up => {
                Err("degraded: expected at least 1 percent and at most `up`")
            }
            Self::All | Self::Any | Self::Quorum(_) | Self::Weighted { .. } => Ok(()),
        }
    }
}

/// A child, as its supervisor's health sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// How it is.
    pub health: Health,
    /// What that means.
    pub criticality: Criticality,
    /// For [`HealthPolicy::Weighted`]; 1 for most.
    pub weight: u32,
}

/// How a child stands, beside what its probes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its phase.
    pub phase: Phase,
    /// What the operator wants of it.
    pub desired: Desired,
    /// Whether any life in its place has been up yet: until one has, it is starting.
    pub has_been_up: bool,
    /// Whether it may be given work.
    pub is_ready: bool,
    /// What its probes say; `unknown` where it has none.
    pub probes: Health,
}

impl Standing {
    /// Its health, as it counts for the whole. `None` when it does not count: it has ended as it should, or nobody wants it up.
    ///
    /// Whoever starts for the first time is `unknown`. Whoever has been up and is not is `down`, for however short a time; so is
    /// one that may not be given work. Without a probe that says otherwise, one that runs is `up`.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        let not_yet = if self.has_been_up {
            Health::Down
        } else {
            Health::Unknown
        };
        match self.phase {
            Phase::Completed | Phase::Stopped => None,
            Phase::Draining | Phase::Stopping if self.desired == Desired::Down => None,
            Phase::Pending | Phase::Starting | Phase::Draining | Phase::Stopping => Some(not_yet),
            Phase::Backoff | Phase::Failed => Some(Health::Down),
            // An operator holds it, and it answers nobody.
            Phase::Paused => Some(Health::Degraded),
            Phase::Running => Some(match (self.probes, self.is_ready) {
                (Health::Down, _) => Health::Down,
                (Health::Unknown, false) => not_yet,
                (Health::Up | Health::Degraded, false) => Health::Down,
                (Health::Degraded, true) => Health::Degraded,
                (Health::Up | Health::Unknown, true) => Health::Up,
            }),
        }
    }
}

/// How many are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    up: u64,
    degraded: u64,
    down: u64,
    unknown: u64,
}

impl Counts {
    fn of(&mut self, health: Health) -> &mut u64 {
        match health {
            Health::Up => &mut self.up,
            Health::Degraded => &mut self.degraded,
            Health::Down => &mut self.down,
            Health::Unknown => &mut self.unknown,
        }
    }

    fn all(&self) -> u64 {
        self.up + self.degraded + self.down + self.unknown
    }

    fn working(&self) -> u64 {
        self.up + self.degraded
    }

    /// The same if all that is not known is so.
    fn supposing(mut self, health: Health) -> Self {
        let unknown = std::mem::take(&mut self.unknown);
        *self.of(health) += unknown;
        self
    }
}

/// How many of the children of one supervisor are how. Kept up to date, its verdict costs O(1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    required: Counts,
    important: Counts,
    /// Of the important ones.
    weights: Counts,
}

impl Tally {
    /// A child is there, or has become so.
    pub fn add(&mut self, part: Part) {
        self.change(part, |count, by| *count += by);
    }

    /// A child that was added is there no more, or was so until now.
    pub fn remove(&mut self, part: Part) {
        self.change(part, |count, by| *count = count.saturating_sub(by));
    }

    fn change(&mut self, part: Part, apply: impl Fn(&mut u64, u64)) {
        match part.criticality {
            Criticality::Required => apply(self.required.of(part.health), 1),
            Criticality::Important => {
                apply(self.important.of(part.health), 1);
                apply(self.weights.of(part.health), u64::from(part.weight));
            }
            Criticality::Optional => {}
        }
    }

    /// How the whole is.
    #[must_use]
    pub fn health(&self, policy: HealthPolicy) -> Health {
        let supposing = |health| {
            let tally = Self {
                required: self.required.supposing(health),
                important: self.important.supposing(health),
                weights: self.weights.supposing(health),
            };
            tally.known(policy)
        };
        let (at_best, at_worst) = (supposing(Health::Up), supposing(Health::Down));
        if at_best == at_worst {
            at_best
        } else {
            Health::Unknown
        }
    }

    /// How the whole is, when nothing is unknown.
    fn known(&self, policy: HealthPolicy) -> Health {
        if self.required.down > 0 {
            return Health::Down;
        }
        let at_best = if self.required.degraded > 0 {
            Health::Degraded
        } else {
            Health::Up
        };
        match self.important_ones(policy) {
            Health::Up => at_best,
            worse @ (Health::Degraded | Health::Down | Health::Unknown) => worse,
        }
    }

    fn important_ones(&self, policy: HealthPolicy) -> Health {
        let counts = &self.important;
        let at_least = |n: u64| {
            if counts.up >= n {
                Health::Up
            } else if counts.working() >= n {
                Health::Degraded
            } else {
                Health::Down
            }
        };
        match policy {
            HealthPolicy::All if counts.up == counts.all() => Health::Up,
            HealthPolicy::All => Health::Degraded,
            HealthPolicy::Any => at_least(1),
            HealthPolicy::Quorum(n) => at_least(u64::from(n)),
            HealthPolicy::Weighted { up, degraded } => {
                // In halves of a percent, so that nothing is rounded.
                let score = (2 * self.weights.up + self.weights.degraded) * 100;
                let reaches = |percent: u8| score >= 2 * self.weights.all() * u64::from(percent);
                if reaches(up) {
                    Health::Up
                } else if reaches(degraded) {
                    Health::Degraded
                } else {
                    Health::Down
                }
            }
        }
    }
}

/// So many children are named in a reason at most.
const NAMED: usize = 5;

/// How the whole is and why, in words: `llm is down (required): answered 503`. The reason is empty when all is well.
///
/// `parts` are all children that count, each with its name and its own reason, which may be empty. Named are those that made the verdict what
/// it is, required ones first, at most five. Costs O(n).
pub fn explain<'a>(
    policy: HealthPolicy,
    parts: impl Iterator<Item = (&'a str, Part, &'a str)> + Clone,
) -> (Health, String) {
    let mut tally = Tally::default();
    for (_, part, _) in parts.clone() {
        tally.add(part);
    }
    let health = tally.health(policy);
    if health == Health::Up {
        return (health, String::new());
    }
    let has_part = |part: &Part| match part.health {
        Health::Up => false,
        // One that is degraded takes nobody down.
        Health::Degraded => health != Health::Down,
        Health::Down | Health::Unknown => true,
    };
    let of = |criticality| {
        let parts = parts.clone();
        parts.filter(move |(_, part, _)| part.criticality == criticality && has_part(part))
    };
    let blamed = of(Criticality::Required).chain(of(Criticality::Important));
    let mut names: Vec<String> = blamed.clone().take(NAMED).map(blame).collect();
    let more = blamed.count() - names.len();
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    let names = names.join(", ");
    let reason = match shortfall(policy, &tally) {
        Some(shortfall) if names.is_empty() => shortfall,
        Some(shortfall) => format!("{shortfall}: {names}"),
        None => names,
    };
    (health, reason)
}

/// What the policy asks for and does not get.
fn shortfall(policy: HealthPolicy, tally: &Tally) -> Option<String> {
    let Counts { up, .. } = tally.important;
    let (all, working) = (tally.important.all(), tally.important.working());
    match policy {
        HealthPolicy::All => None,
        HealthPolicy::Any => {
            (up < 1).then(|| format!("{working} of {all} work, and one has to be up"))
        }
        HealthPolicy::Quorum(n) => {
            (up < u64::from(n)).then(|| format!("{working} of {all} work, and {n} have to be up"))
        }
        HealthPolicy::Weighted { up: least, .. } => {
            let weights = tally.weights;
            let score = (2 * weights.up + weights.degraded) * 50;
            let percent = score.checked_div(weights.all())?;
            (percent < u64::from(least))
                .then(|| format!("{percent} % of the weight is up, and {least} % have to be"))
        }
    }
}

fn blame((name, part, why): (&str, Part, &str)) -> String {
    let mut text = format!("{name} is {}", part.health);
    if part.criticality == Criticality::Required {
        text.push_str(" (required)");
    }
    if !why.is_empty() {
        text.push_str(": ");
        text.push_str(why);
    }
    text
}

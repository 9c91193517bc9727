//! How many children are in which phase, now: state gauges are computed from this when somebody looks.
//!
//! Each supervisor counts its own children, in cells that die with it. So nothing drifts when a supervisor is killed, and reading
//! costs O(supervisors × types), not O(children).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use regrow_core::{ChildKind, Phase};

use super::Workforce;
use crate::path::ChildPath;

/// How many children of one kind and type a supervisor has in each phase.
#[derive(Debug)]
pub(crate) struct Counted {
    kind: ChildKind,
    type_name: Arc<str>,
    phases: [AtomicU32; Phase::ALL.len()],
}

impl Counted {
    pub(crate) fn enter(&self, phase: Phase) {
        self.phases[phase as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self, phase: Phase) {
        self.phases[phase as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

/// The counts of one life of one supervisor.
#[derive(Debug)]
pub(crate) struct SupervisorCounts {
    path: ChildPath,
    classes: Mutex<Vec<Arc<Counted>>>,
    /// Restarts in the window, and when the youngest of them leaves it.
    restarts: Mutex<Option<(u32, Instant)>>,
    /// How many restarts the window may hold; 0 without a limit.
    pub(crate) max_restarts: u32,
}

impl SupervisorCounts {
    /// A restart was decided; the window will be empty at `until` if it is the last.
    pub(crate) fn note_restart(&self, in_window: u32, until: Instant) {
        *self.restarts.lock().unwrap_or_else(PoisonError::into_inner) = Some((in_window, until));
    }

    fn restarts_in_window(&self) -> u32 {
        let restarts = *self.restarts.lock().unwrap_or_else(PoisonError::into_inner);
        restarts
            .filter(|(_, until)| *until > crate::time::now())
            .map_or(0, |(count, _)| count)
    }

    /// The cell for a kind and type. Called when a child is added, not when it changes.
    pub(crate) fn class(&self, kind: ChildKind, type_name: &Arc<str>) -> Arc<Counted> {
        let mut classes = self.classes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(class) = classes
            .iter()
            .find(|class| class.kind == kind && class.type_name == *type_name)
        {
            return Arc::clone(class);
        }
        let class = Arc::new(Counted {
            kind,
            type_name: Arc::clone(type_name),
            phases: Default::default(),
        });
        classes.push(Arc::clone(&class));
        class
    }
}

/// All living supervisors of a system.
#[derive(Debug, Default)]
pub(crate) struct Census {
    supervisors: Mutex<Vec<Weak<SupervisorCounts>>>,
}

/// What Prometheus calls the type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FamilyKind {
    Counter,
    Gauge,
}

impl FamilyKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// One family that is computed when somebody looks: its name, help, and the value of each label set.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "prometheus"),
    expect(dead_code, reason = "only exporters read it")
)]
pub(crate) struct ComputedFamily {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) kind: FamilyKind,
    pub(crate) values: BTreeMap<Vec<(&'static str, String)>, f64>,
}

impl Census {
    pub(crate) fn supervisor(
        &self,
        path: ChildPath,
        max_restarts: Option<u32>,
    ) -> Arc<SupervisorCounts> {
        let counts = Arc::new(SupervisorCounts {
            path,
            classes: Mutex::default(),
            restarts: Mutex::new(None),
            max_restarts: max_restarts.unwrap_or(0),
        });
        let mut supervisors = self
            .supervisors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        supervisors.retain(|counts| counts.strong_count() > 0);
        supervisors.push(Arc::downgrade(&counts));
        counts
    }

    /// The gauges as they are now. State sets are complete: a phase in which nobody is stands there with 0.
    #[cfg_attr(
        not(feature = "prometheus"),
        expect(dead_code, reason = "only exporters read it")
    )]
    pub(crate) fn gauges(&self) -> Vec<ComputedFamily> {
        let supervisors = self
            .supervisors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut children = family("regrow_children", "Children by kind, type and phase.");
        let mut by_supervisor = family(
            "regrow_supervisor_children",
            "Children by supervisor and phase.",
        );
        let mut processes = family(
            "regrow_process_processes",
            "OS processes by type and phase.",
        );
        let mut ratio = family(
            "regrow_supervisor_intensity_ratio",
            "Restarts in the window over the allowed maximum; at 1 the next failure melts down.",
        );
        for counts in supervisors.iter().filter_map(Weak::upgrade) {
            let supervisor = || ("supervisor", counts.path.to_string());
            if counts.max_restarts > 0 {
                let used = f64::from(counts.restarts_in_window()) / f64::from(counts.max_restarts);
                ratio.values.insert(vec![supervisor()], used);
            }
            for class in counts
                .classes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
            {
                for (phase, count) in Phase::ALL.iter().zip(&class.phases) {
                    let count = f64::from(count.load(Ordering::Relaxed));
                    let (phase, type_name) =
                        (phase.to_string(), || ("type", class.type_name.to_string()));
                    let status = ("status", phase.clone());
                    *children.at(vec![("kind", class.kind.to_string()), type_name(), status]) +=
                        count;
                    *by_supervisor.at(vec![supervisor(), ("state", phase.clone())]) += count;
                    if class.kind == ChildKind::Process {
                        *processes.at(vec![type_name(), ("state", phase)]) += count;
                    }
                }
            }
        }
        let mut build = family(
            "regrow_build_info",
            "Build metadata; the value is always 1.",
        );
        *build.at(vec![("version", env!("CARGO_PKG_VERSION").to_owned())]) = 1.0;
        let families = [build, children, by_supervisor, ratio, processes];
        families
            .into_iter()
            .filter(|family| !family.values.is_empty())
            .collect()
    }
}

/// What the actors of each type do.
pub(crate) fn actor_families(workforce: &Workforce) -> Vec<ComputedFamily> {
    let mut handled = ComputedFamily {
        kind: FamilyKind::Counter,
        ..family(
            "regrow_messages_handled_total",
            "Messages handled (ok, error, panic).",
        )
    };
    let mut queued = family(
        "regrow_mailbox_messages",
        "Messages queued now, summed over actors of the type.",
    );
    let mut longest = family(
        "regrow_mailbox_messages_max",
        "Deepest single mailbox of the type.",
    );
    let mut oldest = family(
        "regrow_mailbox_oldest_age_seconds",
        "Age of the oldest message of the type whose wait is being measured.",
    );
    let mut busy = family(
        "regrow_actors_busy",
        "Actors of the type that handle a message now.",
    );
    let mut handler = family(
        "regrow_handler_oldest_age_seconds",
        "Age of the longest running handler of the type, as seen between two scrapes.",
    );
    for report in workforce.report() {
        let labels = || vec![("type", report.type_name.to_string())];
        for (outcome, count) in [
            ("ok", report.ok),
            ("error", report.errors),
            ("panic", report.panics),
        ] {
            let labels = vec![
                ("type", report.type_name.to_string()),
                ("outcome", outcome.to_owned()),
            ];
            *handled.at(labels) = float(count);
        }
        *queued.at(labels()) = float(report.queued);
        *longest.at(labels()) = float(report.longest_queue);
        *oldest.at(labels()) = report.oldest_wait.as_secs_f64();
        *busy.at(labels()) = float(report.busy);
        *handler.at(labels()) = report.longest_handler.as_secs_f64();
    }
    let families = [handled, queued, longest, oldest, busy, handler];
    families
        .into_iter()
        .filter(|family| !family.values.is_empty())
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has only floats")]
fn float(count: u64) -> f64 {
    count as f64
}

fn family(name: &'static str, help: &'static str) -> ComputedFamily {
    ComputedFamily {
        name,
        help,
        kind: FamilyKind::Gauge,
        values: BTreeMap::new(),
    }
}

impl ComputedFamily {
    fn at(&mut self, labels: Vec<(&'static str, String)>) -> &mut f64 {
        self.values.entry(labels).or_default()
    }
}

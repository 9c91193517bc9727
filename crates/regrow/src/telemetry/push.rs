//! For exporters that push: what is computed when somebody looks, looked at in every period and written into a recorder.
//!
//! It is computed off the runtime's workers. A label set that has gone is set to 0 once and then forgotten. The task ends with the
//! system, after a last round.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{Census, ComputedFamily, MetricKind, MetricSchema, Workforce, actor_families};
use crate::exit::ExitReason;
use crate::system::System;

/// How often is looked, unless asked for.
pub(crate) const PERIOD: Duration = Duration::from_secs(10);

/// How many label sets of a family are pushed: 200 places in ten phases. What is beyond is left out and counted.
const MAX_LABEL_SETS: usize = 2_000;

/// The family that counts what is left out.
const OVERFLOWS: &str = "regrow_telemetry_label_overflows_total";

/// How many may wait for a round of their own.
const MAX_ASKING: usize = 16;

const METADATA: Metadata<'static> = Metadata::new("regrow", Level::INFO, Some("regrow"));

/// What is looked at: the counts of a system, which this does not keep alive, and its end.
pub(crate) struct Watched {
    census: Weak<Census>,
    workforce: Weak<Workforce>,
    ended: watch::Receiver<Option<ExitReason>>,
}

impl Watched {
    pub(crate) fn new(system: &System) -> Self {
        let (census, workforce) = system.sources();
        Self {
            census: Arc::downgrade(&census),
            workforce: Arc::downgrade(&workforce),
            ended: system.end(),
        }
    }

    fn families(&self) -> Vec<ComputedFamily> {
        let mut families = self.census.upgrade().map_or_else(Vec::new, |c| c.gauges());
        if let Some(workforce) = self.workforce.upgrade() {
            families.extend(actor_families(&workforce));
        }
        families
    }
}

/// The computed families in a recorder.
pub(crate) struct Computed {
    recorder: Arc<dyn Recorder + Send + Sync>,
    shown: BTreeMap<&'static str, LabelSets>,
    /// Counters count from the first round on, as those do that follow the events.
    is_begun: bool,
}

type LabelSets = BTreeMap<Vec<String>, Shown>;

enum Shown {
    Counter { counter: Counter, before: u64 },
    Gauge(Gauge),
}

impl Computed {
    pub(crate) fn new(recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        Self {
            recorder,
            shown: BTreeMap::new(),
            is_begun: false,
        }
    }

    /// Writes what is, and a last 0 for each label set that is no more.
    pub(crate) fn write(&mut self, families: &[ComputedFamily]) {
        let mut before = std::mem::take(&mut self.shown);
        for ComputedFamily { schema, values } in families {
            let mut old = before.remove(schema.name).unwrap_or_default();
            let mut sets = LabelSets::new();
            // What is not known is not there: this protocol has no word for it.
            let known = values.iter().filter(|(_, value)| !value.is_nan());
            for (labels, value) in known.take(MAX_LABEL_SETS) {
                let shown = old
                    .remove(labels)
                    .unwrap_or_else(|| self.register(schema, labels, *value));
                shown.set(*value);
                sets.insert(labels.clone(), shown);
            }
            self.count_left_out(schema, values.len().saturating_sub(MAX_LABEL_SETS));
            old.into_values().for_each(Shown::vanish);
            self.shown.insert(schema.name, sets);
        }
        before
            .into_values()
            .flat_map(BTreeMap::into_values)
            .for_each(Shown::vanish);
        self.is_begun = true;
    }

    fn register(&self, schema: &MetricSchema, labels: &[String], value: f64) -> Shown {
        let label = |(name, value): (&&'static str, &String)| Label::new(*name, value.clone());
        let labels: Vec<Label> = schema.labels.iter().zip(labels).map(label).collect();
        let key = Key::from_parts(schema.name, labels);
        match schema.kind {
            MetricKind::Counter => Shown::Counter {
                counter: self.recorder.register_counter(&key, &METADATA),
                before: if self.is_begun { 0 } else { whole(value) },
            },
            // What is computed is never a histogram: it has no observations.
            MetricKind::Gauge | MetricKind::Histogram => {
                Shown::Gauge(self.recorder.register_gauge(&key, &METADATA))
            }
        }
    }

    fn count_left_out(&self, schema: &MetricSchema, label_sets: usize) {
        if label_sets > 0 {
            let key = Key::from_parts(OVERFLOWS, vec![Label::new("metric", schema.name)]);
            self.recorder
                .register_counter(&key, &METADATA)
                .increment(label_sets as u64);
        }
    }
}

impl Shown {
    fn set(&self, value: f64) {
        match self {
            Self::Counter { counter, before } => {
                counter.absolute(whole(value).saturating_sub(*before));
            }
            Self::Gauge(gauge) => gauge.set(value),
        }
    }

    fn vanish(self) {
        match self {
            // What was counted stays counted.
            Self::Counter { .. } => {}
            Self::Gauge(gauge) => gauge.set(0.0),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "it was a count before it became a float"
)]
const fn whole(value: f64) -> u64 {
    value as u64
}

/// The task; dropping this ends it.
pub(crate) struct Push {
    asks: mpsc::Sender<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push").finish_non_exhaustive()
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Push {
    /// Looks now, and then in every `period`; after each look `send` is called on the same thread, which may block for a moment.
    pub(crate) async fn start(
        watched: Watched,
        period: Duration,
        recorder: Arc<dyn Recorder + Send + Sync>,
        send: impl FnMut() + Send + 'static,
    ) -> Self {
        let mut ended = watched.ended.clone();
        let round = Round {
            watched,
            computed: Computed::new(recorder),
            send,
        };
        let (asks, mut asked) = mpsc::channel::<oneshot::Sender<()>>(MAX_ASKING);
        // Awaited, so that what happens after this returns is counted.
        let first = round.run().await;
        let task = tokio::spawn(async move {
            let Some(mut round) = first else { return };
            let mut ticks = interval_at(Instant::now() + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let next = tokio::select! {
                    _ = ticks.tick() => Next::Period,
                    ask = asked.recv() => ask.map_or(Next::Last, Next::Asked),
                    () = async { drop(ended.wait_for(Option::is_some).await) } => Next::Last,
                };
                let Some(done) = round.run().await else {
                    return;
                };
                round = done;
                match next {
                    Next::Period => {}
                    // Who asked may have gone.
                    Next::Asked(reply) => drop(reply.send(())),
                    Next::Last => return,
                }
            }
        });
        Self { asks, task }
    }

    /// A round now; returns when it is over, or when there are no more.
    pub(crate) async fn now(&self) {
        let (reply, over) = oneshot::channel();
        if self.asks.send(reply).await.is_ok() {
            // Without a reply the last round is over.
            drop(over.await);
        }
    }
}

/// Why there is a round.
enum Next {
    Period,
    Asked(oneshot::Sender<()>),
    Last,
}

/// What a round needs; it wanders to a blocking thread and back.
struct Round<S> {
    watched: Watched,
    computed: Computed,
    send: S,
}

impl<S: FnMut() + Send + 'static> Round<S> {
    async fn run(mut self) -> Option<Self> {
        let round = spawn_blocking(move || {
            self.computed.write(&self.watched.families());
            (self.send)();
            self
        });
        match round.await {
            Ok(round) => Some(round),
            Err(error) => {
                // The runtime ends, or we have a bug.
                tracing::error!(target: "regrow", %error, "failed to push metrics; there will be no more");
                None
            }
        }
    }
}

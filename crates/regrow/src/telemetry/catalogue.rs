//! Every metric that there is, as a table: for documents, dashboards and rules, which are checked against it.

use super::{census, metrics};

/// What Prometheus calls the type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

impl MetricKind {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What is written in the table of one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricSchema {
    /// The name, with unit and suffix.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
    /// What it tells, in a sentence.
    pub help: &'static str,
}

/// Every metric that a system can show: those that follow events first, then those computed when somebody looks.
#[must_use]
pub fn catalogue() -> Vec<MetricSchema> {
    let followed = metrics::FAMILIES.iter().map(|family| family.schema());
    followed
        .chain(census::COMPUTED.iter().map(|schema| **schema))
        .collect()
}

//! A recorder of the `metrics` facade that keeps sums and buckets, and tells them in OpenTelemetry's words.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge as Gauges, Histogram as Histograms, HistogramDataPoint, Metric,
    NumberDataPoint, Sum,
};

use super::records::{attribute, nanos, text};
use crate::telemetry::metrics::FAMILIES;
use crate::telemetry::{ComputedFamily, MetricKind};

/// Everything that was recorded since a moment. Bounded by whoever registers: 200 label sets for each family.
#[derive(Debug)]
pub(super) struct Instruments {
    since: SystemTime,
    counters: Mutex<HashMap<Key, Arc<AtomicU64>>>,
    /// Floats as bits: OpenTelemetry's gauges cannot be added to.
    gauges: Mutex<HashMap<Key, Arc<AtomicU64>>>,
    histograms: Mutex<HashMap<Key, Arc<Buckets>>>,
}

/// One series of a histogram.
#[derive(Debug)]
struct Buckets {
    bounds: &'static [f64],
    counted: Mutex<Counted>,
}

#[derive(Clone, Debug)]
struct Counted {
    /// One more than there are bounds.
    counts: Vec<u64>,
    sum: f64,
    min: f64,
    max: f64,
}

impl Buckets {
    fn new(bounds: &'static [f64]) -> Self {
        let counted = Counted {
            counts: vec![0; bounds.len() + 1],
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        };
        Self {
            bounds,
            counted: Mutex::new(counted),
        }
    }

    fn point(&self) -> HistogramDataPoint {
        let counted = self
            .counted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let count = counted.counts.iter().sum();
        let seen = count > 0;
        HistogramDataPoint {
            count,
            sum: Some(counted.sum),
            min: seen.then_some(counted.min),
            max: seen.then_some(counted.max),
            bucket_counts: counted.counts,
            explicit_bounds: self.bounds.to_vec(),
            ..HistogramDataPoint::default()
        }
    }
}

impl HistogramFn for Buckets {
    /// A bound belongs to the bucket below it, in OpenTelemetry as in Prometheus.
    fn record(&self, value: f64) {
        if !value.is_finite() {
            return;
        }
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.counts[bucket] += 1;
        counted.sum += value;
        counted.min = counted.min.min(value);
        counted.max = counted.max.max(value);
    }
}

impl Recorder for Instruments {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(cell(&self.counters, key, Arc::default))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(cell(&self.gauges, key, Arc::default))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let family = FAMILIES.iter().find(|family| family.name == key.name());
        let bounds = family.map_or(&[][..], |family| family.buckets);
        Histogram::from_arc(cell(&self.histograms, key, || {
            Arc::new(Buckets::new(bounds))
        }))
    }
}

fn cell<T>(
    cells: &Mutex<HashMap<Key, Arc<T>>>,
    key: &Key,
    make: impl FnOnce() -> Arc<T>,
) -> Arc<T> {
    let mut cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(cells.entry(key.clone()).or_insert_with(make))
}

impl Instruments {
    pub(super) fn new(since: SystemTime) -> Self {
        Self {
            since,
            counters: Mutex::default(),
            gauges: Mutex::default(),
            histograms: Mutex::default(),
        }
    }

    /// Everything as it stands.
    pub(super) fn collect(&self, now: SystemTime) -> Vec<Metric> {
        let (since, now) = (nanos(self.since), nanos(now));
        let number = |key: &Key, value| NumberDataPoint {
            attributes: labels(key),
            start_time_unix_nano: since,
            time_unix_nano: now,
            value: Some(value),
            ..NumberDataPoint::default()
        };
        let counters = by_name(&self.counters, |key, cell| {
            let value = i64::try_from(cell.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
            number(key, Value::AsInt(value))
        });
        let gauges = by_name(&self.gauges, |key, cell| {
            let value = f64::from_bits(cell.load(Ordering::Relaxed));
            number(key, Value::AsDouble(value))
        });
        let histograms = by_name(&self.histograms, |key, cell| HistogramDataPoint {
            attributes: labels(key),
            start_time_unix_nano: since,
            time_unix_nano: now,
            ..cell.point()
        });
        let counters = counters
            .into_iter()
            .map(|(name, points)| (name, sum(points)));
        let gauges = gauges
            .into_iter()
            .map(|(name, points)| (name, gauge(points)));
        let histograms = histograms
            .into_iter()
            .map(|(name, points)| (name, histogram(points)));
        counters
            .chain(gauges)
            .chain(histograms)
            .map(|(name, data)| metric(&name, help(&name), data))
            .collect()
    }
}

/// What is computed when somebody looks. Since when a computed counter counts is not known here, and not said.
pub(super) fn computed(family: &ComputedFamily, now: SystemTime) -> Metric {
    let schema = family.schema;
    let point = |(values, value): (&Vec<String>, &f64)| NumberDataPoint {
        attributes: schema
            .labels
            .iter()
            .zip(values)
            .map(|(label, value)| attribute(label, text(value)))
            .collect(),
        time_unix_nano: nanos(now),
        value: Some(Value::AsDouble(*value)),
        ..NumberDataPoint::default()
    };
    let points = family.values.iter().map(point).collect();
    let data = match schema.kind {
        MetricKind::Counter => sum(points),
        // No histogram is computed; its numbers would be gauges.
        MetricKind::Gauge | MetricKind::Histogram => gauge(points),
    };
    metric(schema.name, schema.help, data)
}

fn by_name<T, P>(
    cells: &Mutex<HashMap<Key, Arc<T>>>,
    point: impl Fn(&Key, &T) -> P,
) -> BTreeMap<String, Vec<P>> {
    let cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
    let mut named: BTreeMap<String, Vec<P>> = BTreeMap::new();
    for (key, cell) in cells.iter() {
        let points = named.entry(key.name().to_owned()).or_default();
        points.push(point(key, cell));
    }
    named
}

fn labels(key: &Key) -> Vec<KeyValue> {
    key.labels()
        .map(|label| attribute(label.key(), text(label.value())))
        .collect()
}

fn help(name: &str) -> &'static str {
    let family = FAMILIES.iter().find(|family| family.name == name);
    family.map_or("", |family| family.help)
}

fn metric(name: &str, help: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        description: help.to_owned(),
        unit: unit(name).to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

/// The unit that a name tells, as UCUM writes it.
fn unit(name: &str) -> &'static str {
    let bare = name.strip_suffix("_total").unwrap_or(name);
    let units = [("_seconds", "s"), ("_bytes", "By"), ("_ratio", "1")];
    let found = units.iter().find(|(suffix, _)| bare.ends_with(suffix));
    found.map_or("", |(_, unit)| unit)
}

fn sum(data_points: Vec<NumberDataPoint>) -> Data {
    Data::Sum(Sum {
        data_points,
        aggregation_temporality: AggregationTemporality::Cumulative as i32,
        is_monotonic: true,
    })
}

const fn gauge(data_points: Vec<NumberDataPoint>) -> Data {
    Data::Gauge(Gauges { data_points })
}

fn histogram(data_points: Vec<HistogramDataPoint>) -> Data {
    Data::Histogram(Histograms {
        data_points,
        aggregation_temporality: AggregationTemporality::Cumulative as i32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics::Level;

    const METADATA: Metadata<'static> = Metadata::new("regrow", Level::INFO, None);

    fn collected(instruments: &Instruments) -> Vec<Metric> {
        instruments.collect(SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn a_bound_counts_in_the_bucket_below_it_and_what_is_larger_than_all_in_the_last() {
        let instruments = Instruments::new(SystemTime::UNIX_EPOCH);
        let key = Key::from_name("regrow_http_request_seconds");
        let histogram = instruments.register_histogram(&key, &METADATA);
        for value in [0.005, 0.006, 61.0, f64::NAN] {
            histogram.record(value);
        }
        let [metric] = &collected(&instruments)[..] else {
            panic!("one family")
        };
        let Some(Data::Histogram(Histograms { data_points, .. })) = &metric.data else {
            panic!("a histogram: {metric:?}")
        };
        let point = &data_points[0];
        let counts = [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(point.bucket_counts, counts);
        assert_eq!(point.explicit_bounds.len() + 1, point.bucket_counts.len());
        assert_eq!((point.count, point.sum), (3, Some(0.005 + 0.006 + 61.0)));
        assert_eq!((point.min, point.max), (Some(0.005), Some(61.0)));
    }

    #[test]
    fn the_same_key_is_the_same_series() {
        let instruments = Instruments::new(SystemTime::UNIX_EPOCH);
        let key = Key::from_parts("regrow_telemetry_events_total", &[("domain", "child")][..]);
        instruments.register_counter(&key, &METADATA).increment(1);
        instruments.register_counter(&key, &METADATA).increment(2);
        instruments.register_gauge(&key, &METADATA).set(2.5);
        instruments.register_gauge(&key, &METADATA).increment(0.5);
        let values: Vec<Value> = collected(&instruments)
            .into_iter()
            .filter_map(|metric| match metric.data? {
                Data::Sum(sum) => sum.data_points[0].value,
                Data::Gauge(gauge) => gauge.data_points[0].value,
                Data::Histogram(_) | Data::ExponentialHistogram(_) | Data::Summary(_) => None,
            })
            .collect();
        assert_eq!(values, [Value::AsInt(3), Value::AsDouble(3.0)]);
    }

    #[test]
    fn the_name_tells_the_unit() {
        assert_eq!(unit("regrow_child_lifetime_seconds"), "s");
        assert_eq!(unit("regrow_process_output_bytes_total"), "By");
        assert_eq!(unit("regrow_supervisor_intensity_ratio"), "1");
        assert_eq!(unit("regrow_children"), "");
    }
}

//! What is recorded and computed, in OpenTelemetry's words.

use std::time::SystemTime;

use metrics::Key;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge as Gauges, Histogram as Histograms, HistogramDataPoint, Metric,
    NumberDataPoint, Sum,
};

use super::records::{attribute, nanos, text};
use crate::telemetry::instruments::{Instruments, Observed, Series};
use crate::telemetry::metrics::FAMILIES;
use crate::telemetry::{ComputedFamily, MetricKind};

/// Everything as it stands, in sums since a moment.
pub(super) fn collect(
    instruments: &Instruments,
    since: SystemTime,
    now: SystemTime,
) -> Vec<Metric> {
    let (since, now) = (nanos(since), nanos(now));
    let number = |key: &Key, value| NumberDataPoint {
        attributes: labels(key),
        start_time_unix_nano: since,
        time_unix_nano: now,
        value: Some(value),
        ..NumberDataPoint::default()
    };
    let counters = each(instruments.counters(), |key, value| {
        number(key, Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX)))
    });
    let gauges = each(instruments.gauges(), |key, value| {
        number(key, Value::AsDouble(value))
    });
    let histograms = each(instruments.histograms(), |key, observed| {
        HistogramDataPoint {
            attributes: labels(key),
            start_time_unix_nano: since,
            time_unix_nano: now,
            ..point(observed)
        }
    });
    let counters = counters.map(|(name, points)| (name, sum(points)));
    let gauges = gauges.map(|(name, points)| (name, gauge(points)));
    let histograms = histograms.map(|(name, points)| (name, histogram(points)));
    counters
        .chain(gauges)
        .chain(histograms)
        .map(|(name, data)| metric(&name, help(&name), data))
        .collect()
}

fn each<V, P>(
    series: Series<V>,
    point: impl Fn(&Key, V) -> P,
) -> impl Iterator<Item = (String, Vec<P>)> {
    series.into_iter().map(move |(name, series)| {
        let points = series.into_iter().map(|(key, value)| point(&key, value));
        (name, points.collect())
    })
}

fn point(observed: Observed) -> HistogramDataPoint {
    HistogramDataPoint {
        count: observed.counts.iter().sum(),
        sum: Some(observed.sum),
        min: observed.range.map(|(least, _)| least),
        max: observed.range.map(|(_, greatest)| greatest),
        bucket_counts: observed.counts,
        explicit_bounds: observed.bounds.to_vec(),
        ..HistogramDataPoint::default()
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

    #[test]
    fn the_name_tells_the_unit() {
        assert_eq!(unit("regrow_child_lifetime_seconds"), "s");
        assert_eq!(unit("regrow_process_output_bytes_total"), "By");
        assert_eq!(unit("regrow_supervisor_intensity_ratio"), "1");
        assert_eq!(unit("regrow_children"), "");
    }
}

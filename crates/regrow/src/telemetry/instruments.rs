//! A recorder of the `metrics` facade that keeps sums and buckets, for exporters that tell totals.
//!
//! An observation goes into its bucket at once. So nothing waits in memory for somebody to look, and looking costs the same
//! however much was observed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

use super::metrics::FAMILIES;

/// Everything that was recorded. Bounded by whoever registers: 200 label sets for each family.
#[derive(Debug, Default)]
pub(crate) struct Instruments {
    counters: Cells<AtomicU64>,
    /// Floats as bits.
    gauges: Cells<AtomicU64>,
    histograms: Cells<Buckets>,
}

type Cells<T> = Mutex<BTreeMap<Arc<Key>, Arc<T>>>;

/// The series of each family, by its name.
pub(crate) type Series<V> = BTreeMap<String, Vec<(Arc<Key>, V)>>;

/// One series of a histogram.
#[derive(Debug)]
struct Buckets {
    bounds: &'static [f64],
    observed: Mutex<Observed>,
}

/// What was observed of one series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Observed {
    pub(crate) bounds: &'static [f64],
    /// One for each bound, and one for what is above all.
    pub(crate) counts: Vec<u64>,
    pub(crate) sum: f64,
    /// The least and the greatest, once there is one.
    pub(crate) range: Option<(f64, f64)>,
}

impl Buckets {
    fn new(bounds: &'static [f64]) -> Self {
        let observed = Observed {
            bounds,
            counts: vec![0; bounds.len() + 1],
            sum: 0.0,
            range: None,
        };
        Self {
            bounds,
            observed: Mutex::new(observed),
        }
    }
}

impl HistogramFn for Buckets {
    /// A bound belongs to the bucket below it, in OpenTelemetry as in Prometheus.
    fn record(&self, value: f64) {
        if !value.is_finite() {
            return;
        }
        // What is observed most belongs to the first buckets.
        let bucket = self.bounds.iter().take_while(|bound| **bound < value);
        let bucket = bucket.count();
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        observed.counts[bucket] += 1;
        observed.sum += value;
        match &mut observed.range {
            Some((least, _)) if value < *least => *least = value,
            Some((_, greatest)) if value > *greatest => *greatest = value,
            Some(_) => {}
            range @ None => *range = Some((value, value)),
        }
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

fn cell<T>(cells: &Cells<T>, key: &Key, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
    let mut cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cell) = cells.get(key) {
        return Arc::clone(cell);
    }
    let cell = make();
    cells.insert(Arc::new(key.clone()), Arc::clone(&cell));
    cell
}

impl Instruments {
    /// The counters as they stand.
    pub(crate) fn counters(&self) -> Series<u64> {
        by_name(&self.counters, |cell| cell.load(Ordering::Relaxed))
    }

    /// The gauges as they stand.
    #[cfg(any(feature = "otlp", test))]
    pub(crate) fn gauges(&self) -> Series<f64> {
        by_name(&self.gauges, |cell| {
            f64::from_bits(cell.load(Ordering::Relaxed))
        })
    }

    /// The histograms as they stand.
    pub(crate) fn histograms(&self) -> Series<Observed> {
        by_name(&self.histograms, |buckets| {
            let observed = buckets
                .observed
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            observed.clone()
        })
    }
}

/// In the order of names, then of labels.
fn by_name<T, V>(cells: &Cells<T>, value: impl Fn(&T) -> V) -> Series<V> {
    // Let go of at once: who registers a series may be a supervisor.
    let cells: Vec<(Arc<Key>, Arc<T>)> = cells
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .map(|(key, cell)| (Arc::clone(key), Arc::clone(cell)))
        .collect();
    let mut named: Series<V> = BTreeMap::new();
    for (key, cell) in cells {
        let value = value(&cell);
        match named.get_mut(key.name()) {
            Some(series) => series.push((key, value)),
            None => drop(named.insert(key.name().to_owned(), vec![(key, value)])),
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics::Level;

    const METADATA: Metadata<'static> = Metadata::new("regrow", Level::INFO, None);

    #[test]
    fn a_bound_counts_in_the_bucket_below_it_and_what_is_larger_than_all_in_the_last() {
        let instruments = Instruments::default();
        let key = Key::from_name("regrow_http_request_seconds");
        let histogram = instruments.register_histogram(&key, &METADATA);
        for value in [0.005, 0.006, 61.0, f64::NAN] {
            histogram.record(value);
        }
        let [(_, observed)] = &instruments.histograms()[key.name()][..] else {
            panic!("one series")
        };
        let counts = [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(observed.counts, counts);
        assert_eq!(observed.bounds.len() + 1, observed.counts.len());
        assert_eq!(observed.sum, 0.005 + 0.006 + 61.0);
        assert_eq!(observed.range, Some((0.005, 61.0)));
    }

    #[test]
    fn the_same_key_is_the_same_series() {
        let instruments = Instruments::default();
        let key = Key::from_parts("regrow_telemetry_events_total", &[("domain", "child")][..]);
        instruments.register_counter(&key, &METADATA).increment(1);
        instruments.register_counter(&key, &METADATA).increment(2);
        instruments.register_gauge(&key, &METADATA).set(2.5);
        instruments.register_gauge(&key, &METADATA).increment(0.5);
        assert_eq!(
            instruments.counters()[key.name()],
            [(Arc::new(key.clone()), 3)]
        );
        let gauges = instruments.gauges().remove(key.name()).unwrap();
        assert_eq!(gauges, [(Arc::new(key), 3.0)]);
    }
}

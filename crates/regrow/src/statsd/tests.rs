use metrics::{Label, Level};

use super::*;
use crate::telemetry::push::Computed;
use crate::telemetry::{ComputedFamily, MetricKind, MetricSchema};

const METADATA: Metadata<'static> = Metadata::new("test", Level::INFO, None);

static GAUGE: MetricSchema = MetricSchema {
    name: "regrow_children",
    kind: MetricKind::Gauge,
    labels: &["type"],
    help: "",
};

static COUNTER: MetricSchema = MetricSchema {
    name: "regrow_messages_handled_total",
    kind: MetricKind::Counter,
    labels: &["type"],
    help: "",
};

fn family(schema: &'static MetricSchema, values: &[(&str, f64)]) -> ComputedFamily {
    let values = values
        .iter()
        .map(|(label, value)| (vec![(*label).to_owned()], *value))
        .collect();
    ComputedFamily { schema, values }
}

fn key(labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> = labels
        .iter()
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts("regrow_wait_seconds", labels)
}

/// What would be sent, by line.
fn lines(store: &Store) -> Vec<String> {
    let datagrams = store.drain(Flavour::Dog).datagrams;
    let lines = |datagram: &Datagram| datagram.text.lines().map(str::to_owned).collect::<Vec<_>>();
    datagrams.iter().flat_map(lines).collect()
}

fn computed() -> (Arc<Store>, Computed) {
    let store = Arc::new(Store::default());
    let recorder: Arc<dyn Recorder + Send + Sync> = Arc::<Store>::clone(&store);
    (store, Computed::new(recorder))
}

#[test]
fn a_label_set_that_has_gone_is_set_to_zero_once_and_then_forgotten() {
    let (store, mut computed) = computed();
    computed.write(&[family(&GAUGE, &[("a", 2.0), ("b", 1.0)])]);
    let both = ["regrow_children:2|g|#type:a", "regrow_children:1|g|#type:b"];
    assert_eq!(lines(&store), both);
    computed.write(&[family(&GAUGE, &[("a", 2.0)])]);
    let last = ["regrow_children:2|g|#type:a", "regrow_children:0|g|#type:b"];
    assert_eq!(lines(&store), last);
    computed.write(&[family(&GAUGE, &[("a", 2.0)])]);
    assert_eq!(lines(&store), both[..1]);
    computed.write(&[]);
    assert_eq!(lines(&store), ["regrow_children:0|g|#type:a"]);
    assert_eq!(lines(&store), [""; 0]);
}

#[test]
fn a_computed_counter_counts_from_the_first_round_on_and_only_its_growth_is_sent() {
    let (store, mut computed) = computed();
    computed.write(&[family(&COUNTER, &[("a", 100.0)])]);
    assert_eq!(lines(&store), [""; 0]);
    computed.write(&[family(&COUNTER, &[("a", 103.0), ("b", 5.0)])]);
    let grown = [
        "regrow_messages_handled_total:3|c|#type:a",
        "regrow_messages_handled_total:5|c|#type:b",
    ];
    assert_eq!(lines(&store), grown);
    assert_eq!(lines(&store), [""; 0]);
}

#[test]
fn label_sets_beyond_the_limit_are_left_out_and_counted() {
    let (store, mut computed) = computed();
    let names: Vec<String> = (0..2_003).map(|n| format!("{n:04}")).collect();
    let values: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
    computed.write(&[family(&GAUGE, &values)]);
    let lines = lines(&store);
    assert_eq!(
        lines[0],
        "regrow_telemetry_label_overflows_total:3|c|#metric:regrow_children"
    );
    assert_eq!(lines.len(), 1 + 2_000);
    assert_eq!(lines[2_000], "regrow_children:1|g|#type:1999");
}

#[test]
fn observations_beyond_the_limit_are_thinned_and_carry_their_rate() {
    let store = Store::default();
    let histogram = store.register_histogram(&key(&[]), &METADATA);
    for n in 0..128 {
        histogram.record(f64::from(n));
    }
    let all = lines(&store);
    assert_eq!(all.len(), 128);
    assert_eq!(all[127], "regrow_wait_seconds:127|d");
    for n in 0..1_000 {
        histogram.record(f64::from(n));
    }
    let thinned = lines(&store);
    assert_eq!(thinned.len(), 1_000 / 8);
    assert_eq!(thinned[0], "regrow_wait_seconds:7|d|@0.125");
    assert_eq!(thinned[124], "regrow_wait_seconds:999|d|@0.125");
    histogram.record(1.5);
    assert_eq!(lines(&store), ["regrow_wait_seconds:1.5|d"]);
}

#[test]
fn what_a_dialect_does_not_allow_in_a_label_becomes_an_underscore_and_long_ones_are_cut() {
    let odd = key(&[("supervisor", "root/a.b"), ("type", "x|y,z#\n"), ("of", "")]);
    assert_eq!(
        dog_line(&odd, Value::Growth(2)),
        "regrow_wait_seconds:2|c|#supervisor:root/a.b,type:x_y_z__,of:"
    );
    assert_eq!(
        plain_line(&odd, Value::Observed(0.25, 2)),
        "regrow_wait.root_a_b.x_y_z__._:250|ms|@0.5"
    );
    let long = "ä".repeat(1_000);
    let line = dog_line(&key(&[("type", &long)]), Value::Level(1.0));
    assert_eq!(
        line,
        format!("regrow_wait_seconds:1|g|#type:{}", "ä".repeat(100))
    );
}

#[test]
fn no_datagram_is_longer_than_a_packet_and_no_round_than_its_limit() {
    let mut lines = Lines::new(Flavour::Dog);
    let wide = key(&[("type", &"x".repeat(500)), ("kind", &"y".repeat(500))]);
    for _ in 0..MAX_LINES {
        assert!(lines.push(&wide, Value::Growth(u64::MAX)));
    }
    assert!(!lines.push(&wide, Value::Growth(1)));
    assert_eq!(lines.left_out, 1);
    let sent: u64 = lines.datagrams.iter().map(|datagram| datagram.lines).sum();
    assert_eq!(sent, MAX_LINES as u64);
    for datagram in &lines.datagrams {
        assert!(datagram.text.len() <= MAX_DATAGRAM);
        assert!(datagram.lines > 1, "they are packed");
    }
}

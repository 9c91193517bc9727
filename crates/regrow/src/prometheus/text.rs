//! Prometheus' text format, and how it goes out in pieces.

use std::convert::Infallible;
use std::fmt::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use metrics::Key;

use crate::telemetry::instruments::{Observed, Series};
use crate::telemetry::metrics::FAMILIES;
use crate::telemetry::{ComputedFamily, MetricKind};

/// How much is written to a connection in one turn, in bytes.
const PIECE: usize = 64 * 1_024;

/// Text that grows family by family.
#[derive(Default)]
pub(super) struct Text(pub(super) String);

impl Text {
    pub(super) fn counters(&mut self, counters: &Series<u64>) {
        for (name, series) in counters {
            self.head(name, help(name), MetricKind::Counter);
            for (key, value) in series {
                self.line(name, "", labels(key), value);
            }
            self.0.push('\n');
        }
    }

    pub(super) fn histograms(&mut self, histograms: &Series<Observed>) {
        for (name, series) in histograms {
            self.head(name, help(name), MetricKind::Histogram);
            for (key, observed) in series {
                self.histogram(name, key, observed);
            }
            self.0.push('\n');
        }
    }

    fn histogram(&mut self, name: &str, key: &Key, observed: &Observed) {
        let bounds = observed.bounds.iter().map(ToString::to_string);
        let bounds = bounds.chain(["+Inf".to_owned()]);
        let mut count = 0;
        for (bound, counted) in bounds.zip(&observed.counts) {
            // In this format a bucket has what is in those below it, too.
            count += counted;
            let labels = labels(key).chain([("le", &*bound)]);
            self.line(name, "_bucket", labels, &count);
        }
        self.line(name, "_sum", labels(key), &observed.sum);
        self.line(name, "_count", labels(key), &count);
    }

    pub(super) fn computed(&mut self, family: &ComputedFamily) {
        let schema = family.schema;
        self.head(schema.name, schema.help, schema.kind);
        for (values, value) in &family.values {
            let labels = schema.labels.iter().copied();
            let labels = labels.zip(values.iter().map(String::as_str));
            self.line(schema.name, "", labels, value);
        }
        self.0.push('\n');
    }

    fn head(&mut self, name: &str, help: &str, kind: MetricKind) {
        let kind = kind.as_str();
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn line<'a>(
        &mut self,
        name: &str,
        suffix: &str,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        value: &dyn std::fmt::Display,
    ) {
        self.0.extend([name, suffix]);
        let mut before = '{';
        for (label, value) in labels {
            self.0.push(before);
            self.0.extend([label, "=\""]);
            self.escaped(value);
            self.0.push('"');
            before = ',';
        }
        self.0.push_str(if before == ',' { "}" } else { "" });
        self.write(format_args!(" {value}\n"));
    }

    fn escaped(&mut self, value: &str) {
        for c in value.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                c => self.0.push(c),
            }
        }
    }

    fn write(&mut self, words: std::fmt::Arguments<'_>) {
        self.0
            .write_fmt(words)
            .expect("writing into a string cannot fail");
    }
}

fn help(name: &str) -> &'static str {
    let family = FAMILIES.iter().find(|family| family.name == name);
    family.map_or("", |family| family.help)
}

fn labels(key: &Key) -> impl Iterator<Item = (&str, &str)> {
    key.labels().map(|label| (label.key(), label.value()))
}

/// A text that goes out piece by piece, with a turn for others after each.
pub(super) struct Pieces {
    rest: Bytes,
    /// The next piece has to wait for its turn.
    rests: bool,
}

impl Pieces {
    pub(super) fn new(text: String) -> Self {
        Self {
            rest: Bytes::from(text),
            rests: false,
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if std::mem::replace(&mut self.rests, false) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.rests = true;
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

//! Metrics for `StatsD` and `DogStatsD`, by UDP.
//!
//! ```no_run
//! use regrow::statsd::{self, Flavour};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let system = regrow::System::start(regrow::Supervisor::new("root")).await?;
//! let export = statsd::export(&system, "127.0.0.1:8125".parse()?, Flavour::Dog).await?;
//! // … and before the end, so that the last ten seconds are not missing:
//! let report = system.shut_down().await;
//! export.flush().await;
//! # drop(report);
//! # Ok(())
//! # }
//! ```
//!
//! Every ten seconds, and once more when the system ends, it sends how much each counter has grown, what each gauge is, and the
//! observations of each histogram: at most 128 of a label set, and beyond that one in two, one in four and so on, with the rate.
//! In [`Flavour::Dog`] labels are tags and observations are distributions, in seconds. [`Flavour::Plain`] has no labels: their
//! values are parts of the name, in the order of the table, and a time is in milliseconds, so its name goes without `_seconds`.
//!
//! Nothing waits for the other end. What it is known to have missed (nobody listens, the socket is full) is told at most once a
//! minute, by `regrow.telemetry.queue.dropped` of the handler `statsd`; what the network loses nobody knows.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use regrow_core::{ChildKind, Phase};
use thiserror::Error;

use crate::system::System;
use crate::telemetry::losses::Losses;
use crate::telemetry::metrics::MetricsHandler;
use crate::telemetry::push::{PERIOD, Push, Watched};
use crate::telemetry::{AttachError, Equipment, Payload, Subject, Telemetry};
use crate::time;

/// The name of the handler; one system has one export at a time.
const HANDLER: &str = "statsd";

/// How many observations of a label set are kept for one round.
const MAX_SAMPLES: usize = 128;

/// The longest datagram, in bytes: it fits into one packet of an Ethernet.
const MAX_DATAGRAM: usize = 1_432;

/// The longest value of a label, in bytes.
const LONGEST_VALUE: usize = 200;

/// How many lines are sent in one round.
const MAX_LINES: usize = 50_000;

/// After so many datagrams there is a pause, so that the buffer of the receiver is not flooded.
const BURST: usize = 16;
const PAUSE: Duration = Duration::from_millis(1);

/// Which dialect the receiver understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// With tags, as Datadog's agent and most others take it.
    Dog,
    /// As it was in the beginning: no labels, times in milliseconds.
    Plain,
}

/// Why nothing is exported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The event stream has no place for it.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// There is no way to the address.
    #[error("failed to open a socket to {address}: {source}")]
    Socket {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
}

/// An export under way; dropping it detaches it.
#[derive(Debug)]
#[must_use = "dropping it ends the export"]
pub struct Export {
    telemetry: Telemetry,
    push: Push,
    _times: Equipment,
}

impl Export {
    /// Sends what there is, now. When the system has ended it waits for the last round.
    pub async fn flush(&self) {
        self.push.now().await;
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        let _was_attached = self.telemetry.detach(HANDLER);
    }
}

/// Sends the metrics of `system` to `address` from now on, until the [`Export`] is dropped. It must be called within a runtime.
///
/// # Errors
/// When the system has an export already, or there is no way to the address. That nobody listens there is no error.
pub async fn export(
    system: &System,
    address: SocketAddr,
    flavour: Flavour,
) -> Result<Export, ExportError> {
    let socket = connect(address).map_err(|source| ExportError::Socket { address, source })?;
    let store = Arc::new(Store::default());
    let recorder: Arc<dyn Recorder + Send + Sync> = Arc::<Store>::clone(&store);
    let handler = MetricsHandler::new(Arc::clone(&recorder));
    let telemetry = system.telemetry().clone();
    telemetry.attach(HANDLER, move |event| handler.handle(event))?;
    let (path, kind) = (system.path().clone(), ChildKind::Supervisor);
    let mut sender = Sender {
        store,
        flavour,
        socket,
        last: 0,
        losses: Losses::default(),
        telemetry: telemetry.clone(),
        subject: Subject::new(path, kind, kind.as_str(), 1, Phase::Running),
    };
    let (_, workforce) = system.sources();
    let times = workforce.equip(Arc::clone(&recorder));
    let send = move || sender.send();
    let push = Push::start(Watched::new(system), PERIOD, recorder, send).await;
    Ok(Export {
        telemetry,
        push,
        _times: times,
    })
}

fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    // Connected, so that the operating system says when nobody listens on this machine.
    socket.connect(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// What is recorded until it is sent. Its size is bounded by those who register: they bound their label sets.
#[derive(Default)]
struct Store {
    counters: Mutex<BTreeMap<Key, Count>>,
    gauges: Mutex<BTreeMap<Key, Arc<AtomicU64>>>,
    histograms: Mutex<BTreeMap<Key, Arc<Samples>>>,
}

/// A counter, and how much of it is sent.
#[derive(Default)]
struct Count {
    total: Arc<AtomicU64>,
    sent: u64,
}

/// The observations of one label set since the last round.
#[derive(Default)]
struct Samples(Mutex<Kept>);

struct Kept {
    values: Vec<f64>,
    seen: u64,
    /// One observation in so many is kept.
    stride: u64,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            seen: 0,
            stride: 1,
        }
    }
}

impl Kept {
    fn push(&mut self, value: f64) {
        self.seen += 1;
        if self.values.len() >= MAX_SAMPLES && self.seen.is_multiple_of(self.stride) {
            self.stride *= 2;
            let mut at = 0_usize;
            self.values.retain(|_| {
                at += 1;
                at.is_multiple_of(2)
            });
        }
        if self.seen.is_multiple_of(self.stride) {
            self.values.push(value);
        }
    }
}

impl HistogramFn for Samples {
    fn record(&self, value: f64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(value);
    }
}

impl Recorder for Store {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counters.entry(key.clone()).or_default();
        Counter::from_arc(Arc::clone(&count.total))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        Gauge::from_arc(Arc::clone(gauges.entry(key.clone()).or_default()))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let mut histograms = self
            .histograms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Histogram::from_arc(Arc::clone(histograms.entry(key.clone()).or_default()))
    }
}

impl Store {
    /// Everything that is to be sent now. What nobody holds any more is forgotten after this time.
    fn drain(&self, flavour: Flavour) -> Lines {
        let mut lines = Lines::new(flavour);
        self.counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|key, count| {
                let is_held = Arc::strong_count(&count.total) > 1;
                let total = count.total.load(Ordering::Relaxed);
                if total > count.sent && lines.push(key, Value::Growth(total - count.sent)) {
                    count.sent = total;
                }
                is_held
            });
        self.gauges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|key, gauge| {
                let is_held = Arc::strong_count(gauge) > 1;
                lines.push(
                    key,
                    Value::Level(f64::from_bits(gauge.load(Ordering::Relaxed))),
                );
                is_held
            });
        self.histograms
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|key, samples| {
                let is_held = Arc::strong_count(samples) > 1;
                let kept =
                    std::mem::take(&mut *samples.0.lock().unwrap_or_else(PoisonError::into_inner));
                for value in kept.values {
                    lines.push(key, Value::Observed(value, kept.stride));
                }
                is_held
            });
        lines
    }
}

/// What one line says.
#[derive(Clone, Copy)]
enum Value {
    Growth(u64),
    Level(f64),
    /// An observation in seconds, which stands for so many.
    Observed(f64, u64),
}

/// Lines, packed into datagrams.
struct Lines {
    flavour: Flavour,
    datagrams: Vec<Datagram>,
    count: usize,
    left_out: u64,
}

#[derive(Default)]
struct Datagram {
    text: String,
    lines: u64,
}

impl Lines {
    const fn new(flavour: Flavour) -> Self {
        Self {
            flavour,
            datagrams: Vec::new(),
            count: 0,
            left_out: 0,
        }
    }

    /// Whether there was room for it.
    fn push(&mut self, key: &Key, value: Value) -> bool {
        if self.count >= MAX_LINES {
            self.left_out += 1;
            return false;
        }
        let line = match self.flavour {
            Flavour::Dog => dog_line(key, value),
            Flavour::Plain => plain_line(key, value),
        };
        self.count += 1;
        let fits = |datagram: &&mut Datagram| datagram.text.len() + 1 + line.len() <= MAX_DATAGRAM;
        match self.datagrams.last_mut().filter(fits) {
            Some(datagram) => {
                datagram.text.push('\n');
                datagram.text.push_str(&line);
                datagram.lines += 1;
            }
            None => self.datagrams.push(Datagram {
                text: line,
                lines: 1,
            }),
        }
        true
    }
}

fn dog_line(key: &Key, value: Value) -> String {
    let mut line = key.name().to_owned();
    match value {
        Value::Growth(by) => write!(line, ":{by}|c"),
        Value::Level(level) => write!(line, ":{level}|g"),
        Value::Observed(seconds, stride) => write!(line, ":{seconds}|d{}", rate(stride)),
    }
    .expect("writing into a string cannot fail");
    for (n, label) in key.labels().enumerate() {
        let start = if n == 0 { "|#" } else { "," };
        let value = cleaned(label.value(), |c| !c.is_control() && !"|,#".contains(c));
        line.extend([start, label.key(), ":", &value]);
    }
    line
}

fn plain_line(key: &Key, value: Value) -> String {
    let name = match value {
        Value::Growth(_) | Value::Level(_) => key.name(),
        Value::Observed(..) => key.name().trim_end_matches("_seconds"),
    };
    let mut line = name.to_owned();
    for label in key.labels() {
        let value = cleaned(label.value(), |c| {
            c.is_ascii_alphanumeric() || "_-".contains(c)
        });
        line.extend([".", if value.is_empty() { "_" } else { &value }]);
    }
    match value {
        Value::Growth(by) => write!(line, ":{by}|c"),
        // No gauge of ours is negative; with a sign it would be a change, not a level.
        Value::Level(level) => write!(line, ":{level}|g"),
        Value::Observed(seconds, stride) => {
            write!(line, ":{}|ms{}", seconds * 1_000.0, rate(stride))
        }
    }
    .expect("writing into a string cannot fail");
    line
}

/// One in `stride` was kept.
fn rate(stride: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a small power of two")]
    let rate = 1.0 / stride as f64;
    if stride > 1 {
        format!("|@{rate}")
    } else {
        String::new()
    }
}

/// The value of a label with `_` for what is not allowed, at most as long as it may be.
fn cleaned(value: &str, is_allowed: impl Fn(char) -> bool) -> String {
    value[..value.floor_char_boundary(LONGEST_VALUE)]
        .chars()
        .map(|c| if is_allowed(c) { c } else { '_' })
        .collect()
}

/// Who sends, once in every round.
struct Sender {
    store: Arc<Store>,
    flavour: Flavour,
    socket: UdpSocket,
    /// How many lines the last datagram had: that nobody took it is known at the next.
    last: u64,
    losses: Losses,
    telemetry: Telemetry,
    subject: Subject,
}

impl Sender {
    fn send(&mut self) {
        let lines = self.store.drain(self.flavour);
        let mut lost = lines.left_out;
        for (n, datagram) in lines.datagrams.iter().enumerate() {
            if n > 0 && n.is_multiple_of(BURST) {
                std::thread::sleep(PAUSE);
            }
            lost += self.send_one(datagram);
        }
        if let Some(dropped) = self.losses.note(lost, time::now()) {
            self.telemetry.emit(
                || self.subject.clone(),
                || Payload::TelemetryQueueDropped {
                    handler: HANDLER.into(),
                    dropped,
                },
            );
        }
    }

    /// How many lines are now known to be lost.
    fn send_one(&mut self, datagram: &Datagram) -> u64 {
        let mut lost = 0;
        let mut sent = self.socket.send(datagram.text.as_bytes());
        if matches!(&sent, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused) {
            // That was about an earlier one; this one has not been sent yet.
            lost += std::mem::take(&mut self.last);
            sent = self.socket.send(datagram.text.as_bytes());
        }
        if sent.is_ok() {
            self.last = datagram.lines;
        } else {
            lost += datagram.lines;
        }
        lost
    }
}

#[cfg(test)]
mod tests;

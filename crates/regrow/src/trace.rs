//! Which trace something belongs to: W3C's `traceparent` and `tracestate`, from HTTP through messages to OS processes.
//!
//! A trace is never one endless span. What comes in by HTTP, and what a handler does at once, are spans of the caller's trace; a
//! message, a start, an OS process begin a trace of their own that *links* to what caused them.
//!
//! The [current](TraceContext::current) context is that of whatever runs: set by [`with_context`], by a handler whose message
//! carried one (feature `trace-messages`), by a start that somebody has asked for. Every event tells it
//! ([`Event::context`](crate::Event::context)), every [`Span`](crate::telemetry::Span) begun there links to it.
//!
//! ```
//! use regrow::trace::{TraceContext, in_context};
//!
//! // From a request …
//! let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
//! let header = |name: &str| (name == "traceparent").then_some(parent);
//! let context = TraceContext::extract(header).unwrap_or_else(TraceContext::begin);
//! // … through our own code …
//! in_context(context, || {
//!     // … into the next one.
//!     let current = TraceContext::current().expect("one was set");
//!     current.inject(|name, value| assert_eq!((name, value), ("traceparent", parent)));
//! });
//! ```

#[cfg(feature = "trace-messages")]
pub(crate) mod carrier;
mod causes;
mod current;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use thiserror::Error;

pub(crate) use causes::Causes;
pub use current::{in_context, with_context, with_current_context};

/// The header and the name of the environment variable, in lower case.
const TRACEPARENT: &str = "traceparent";

/// The header of what the systems on the way have added.
const TRACESTATE: &str = "tracestate";

/// How long a `traceparent` of version 00 is, and how long the part of a later version is that we know.
const LENGTH: usize = 55;

/// How much of a `tracestate` is passed on, in bytes: what the standard asks for. A longer one is dropped as a whole.
const MAX_STATE: usize = 512;

/// How many members a `tracestate` may have, by the standard.
const MAX_MEMBERS: usize = 32;

/// The bit of `traceparent` for a trace that is recorded.
const SAMPLED: u8 = 1;

/// Whether a trace is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sampling {
    /// It is.
    Recorded,
    /// Whoever began it does not want it.
    NotRecorded,
}

/// One span of one trace, and how to find it: what `traceparent` and `tracestate` say.
///
/// Cloning costs a reference count at most.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    sampling: Sampling,
    state: Option<Arc<str>>,
}

/// Why a `traceparent` is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "expected a traceparent such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01, got {text:?}"
)]
#[non_exhaustive]
pub struct InvalidTraceparent {
    /// The text, at most 64 characters of it.
    pub text: String,
}

/// Ids that nobody can foresee and that two processes do not share; each is made of a number.
static IDS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// An id of 64 bits for one number and purpose; never 0.
fn id_of(purpose: &str, number: u64) -> u64 {
    IDS.hash_one((purpose, number)).max(1)
}

impl TraceContext {
    /// A new trace, recorded. Costs three hashes of a few bytes.
    #[must_use]
    pub fn begin() -> Self {
        static BEGUN: AtomicU64 = AtomicU64::new(0);
        Self::of_number("begun", BEGUN.fetch_add(1, Ordering::Relaxed))
    }

    /// The trace that the span of this number begins; always the same for one number.
    pub(crate) fn of_span(number: u64) -> Self {
        Self::of_number("span", number)
    }

    fn of_number(purpose: &str, number: u64) -> Self {
        let (high, low) = (
            ("trace, first half", purpose),
            ("trace, second half", purpose),
        );
        let half = |(half, purpose): (&str, &str)| id_of(&format!("{half} {purpose}"), number);
        Self {
            trace_id: u128::from(half(high)) << 64 | u128::from(half(low)),
            span_id: id_of(purpose, number),
            sampling: Sampling::Recorded,
            state: None,
        }
    }

    /// The span of this number, in this trace.
    pub(crate) fn with_span(&self, number: u64) -> Self {
        Self {
            span_id: id_of("span", number),
            ..self.clone()
        }
    }

    /// Another span of this trace, for code that tells its spans by other means.
    #[must_use]
    pub fn child(&self) -> Self {
        static CHILDREN: AtomicU64 = AtomicU64::new(0);
        Self {
            span_id: id_of("child", CHILDREN.fetch_add(1, Ordering::Relaxed)),
            ..self.clone()
        }
    }

    /// Reads a `traceparent`, and a `tracestate` if there is one.
    ///
    /// A `tracestate` that breaks the standard's rules, or is longer than 512 bytes, is dropped; the trace is good without it. So
    /// are flags other than the one that says whether the trace is recorded.
    ///
    /// # Errors
    /// When the `traceparent` breaks them: then a new trace has to begin.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Result<Self, InvalidTraceparent> {
        let invalid = || InvalidTraceparent {
            text: traceparent.chars().take(64).collect(),
        };
        let (trace_id, span_id, flags) = fields(traceparent).ok_or_else(invalid)?;
        Ok(Self {
            trace_id,
            span_id,
            sampling: if flags & SAMPLED == 0 {
                Sampling::NotRecorded
            } else {
                Sampling::Recorded
            },
            state: tracestate.filter(|text| is_state(text)).map(Arc::from),
        })
    }

    /// Reads what headers, or variables, say: `get` gives the value of `traceparent` and of `tracestate`. None when there is no
    /// `traceparent`, or it is malformed.
    pub fn extract<T: AsRef<str>>(mut get: impl FnMut(&str) -> Option<T>) -> Option<Self> {
        let parent = get(TRACEPARENT)?;
        let state = get(TRACESTATE);
        Self::parse(parent.as_ref(), state.as_ref().map(AsRef::as_ref)).ok()
    }

    /// Writes headers, or variables: `set` gets `traceparent`, and `tracestate` if there is one.
    pub fn inject(&self, mut set: impl FnMut(&'static str, &str)) {
        set(TRACEPARENT, &self.traceparent());
        if let Some(state) = self.tracestate() {
            set(TRACESTATE, state);
        }
    }

    /// The context of whatever runs here and now, if it has one. Costs the read of a thread's own variable.
    #[must_use]
    pub fn current() -> Option<Self> {
        current::current()
    }

    /// The value of `traceparent`, in version 00.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let flags = match self.sampling {
            Sampling::Recorded => SAMPLED,
            Sampling::NotRecorded => 0,
        };
        format!(
            "00-{:032x}-{:016x}-{flags:02x}",
            self.trace_id, self.span_id
        )
    }

    /// What the systems on the way have added, for them.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The trace, as the 16 bytes that OpenTelemetry takes.
    #[must_use]
    pub const fn trace_id(&self) -> [u8; 16] {
        self.trace_id.to_be_bytes()
    }

    /// The span, as the 8 bytes that OpenTelemetry takes.
    #[must_use]
    pub const fn span_id(&self) -> [u8; 8] {
        self.span_id.to_be_bytes()
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub const fn sampling(&self) -> Sampling {
        self.sampling
    }

    /// The trace as logs write it: 32 hexadecimal digits.
    #[cfg(feature = "json")]
    pub(crate) fn trace_hex(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The span as logs write it: 16 hexadecimal digits.
    #[cfg(feature = "json")]
    pub(crate) fn span_hex(&self) -> String {
        format!("{:016x}", self.span_id)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TraceContext")
            .field(&self.traceparent())
            .finish()
    }
}

/// The trace, the span and the flags of a `traceparent`.
fn fields(text: &str) -> Option<(u128, u64, u8)> {
    let known = text.get(..LENGTH)?;
    let version = number(known.get(..2)?)?;
    let rest = &text[LENGTH..];
    // A later version may go on after another dash; this one may not, and ff is none.
    let ends_well = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    let mut parts = known.split('-').skip(1);
    let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
    let lengths = [trace.len(), span.len(), flags.len()] == [32, 16, 2];
    let (trace, span, flags) = (number(trace)?, number(span)?, number(flags)?);
    (ends_well && lengths && trace != 0 && span != 0).then_some((
        trace,
        u64::try_from(span).ok()?,
        u8::try_from(flags).ok()?,
    ))
}

/// A number in lower-case hexadecimal digits, without a sign.
fn number(digits: &str) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let all = !digits.is_empty() && digits.bytes().all(is_digit);
    all.then(|| u128::from_str_radix(digits, 16).ok()).flatten()
}

/// Whether a `tracestate` may be passed on.
fn is_state(text: &str) -> bool {
    let members: Vec<&str> = text
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']))
        .filter(|member| !member.is_empty())
        .collect();
    let keys: Option<Vec<&str>> = members.iter().map(|member| key_of_member(member)).collect();
    let unique = |mut keys: Vec<&str>| {
        keys.sort_unstable();
        keys.windows(2).all(|pair| pair[0] != pair[1])
    };
    let is_bounded = text.len() <= MAX_STATE && (1..=MAX_MEMBERS).contains(&members.len());
    is_bounded && keys.is_some_and(unique)
}

/// The key of a member, if key and value are well-formed.
fn key_of_member(member: &str) -> Option<&str> {
    let (key, value) = member.split_once('=')?;
    let begins = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let goes_on = |byte: u8| begins(byte) || b"_-*/@".contains(&byte);
    let printable = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b',' && byte != b'=';
    let is_key = (1..=256).contains(&key.len())
        && key.bytes().next().is_some_and(begins)
        && key.bytes().all(goes_on);
    let is_value =
        (1..=256).contains(&value.len()) && !value.ends_with(' ') && value.bytes().all(printable);
    (is_key && is_value).then_some(key)
}

#[cfg(test)]
mod tests;

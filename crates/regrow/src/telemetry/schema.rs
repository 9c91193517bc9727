//! The table of events: one macro makes the enum, the names, the keys and their documentation, so that they cannot disagree.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use regrow_core::backlog::Priority;
use regrow_core::circuit::{CircuitCause, CircuitState};
use regrow_core::probe::{ProbeKind, ProbeResult, ProbeVerdict};
use regrow_core::scaler::{Direction, Limit, Trigger};
use regrow_core::{Health, Phase, StopCause, Strategy};

use super::event::{Outcome, Stage, Stream};
use crate::exit::ExitReason;
use crate::genai::Kind;
use crate::path::ChildPath;

/// What a key of an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A number: how long, how many.
    Measurement,
    /// What it is about.
    Metadata,
    /// What must not leave the process: arguments, environment, prompts. Only inline handlers see it.
    Sensitive,
}

impl Role {
    /// The word in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Measurement => "measurement",
            Self::Metadata => "metadata",
            Self::Sensitive => "sensitive",
        }
    }
}

/// One key of an event, for those who write events down without knowing each.
#[derive(Clone, Debug, PartialEq)]
pub struct Field<'a> {
    /// The key.
    pub key: &'static str,
    /// What it is.
    pub role: Role,
    /// Its value; `None` where this event has none.
    pub value: Option<FieldValue<'a>>,
}

/// The value of a [`Field`].
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue<'a> {
    /// A count.
    Count(u64),
    /// A share, from 0 to 1.
    Ratio(f64),
    /// A time; written down in seconds.
    Time(Duration),
    /// A word or a sentence.
    Text(Cow<'a, str>),
    /// Several words.
    List(Vec<Cow<'a, str>>),
}

/// What can be the value of a key.
pub(super) trait Tell {
    fn tell(&self) -> Option<FieldValue<'_>>;
}

impl<T: Tell> Tell for Option<T> {
    fn tell(&self) -> Option<FieldValue<'_>> {
        self.as_ref().and_then(Tell::tell)
    }
}

macro_rules! tell {
    ($($type:ty => |$value:ident| $told:expr;)+) => {
        $( impl Tell for $type {
            fn tell(&self) -> Option<FieldValue<'_>> {
                let $value = self;
                Some($told)
            }
        } )+
    };
}

tell! {
    u64 => |count| FieldValue::Count(*count);
    u32 => |count| FieldValue::Count(u64::from(*count));
    u16 => |count| FieldValue::Count(u64::from(*count));
    f64 => |ratio| FieldValue::Ratio(*ratio);
    Duration => |time| FieldValue::Time(*time);
    Arc<str> => |text| FieldValue::Text(Cow::Borrowed(text));
    String => |text| FieldValue::Text(Cow::Borrowed(text));
    &'static str => |text| FieldValue::Text(Cow::Borrowed(text));
    ChildPath => |path| FieldValue::Text(Cow::Borrowed(path.as_str()));
    ExitReason => |reason| FieldValue::Text(reason.to_string().into());
    Phase => |word| FieldValue::Text(word.as_str().into());
    StopCause => |word| FieldValue::Text(word.as_str().into());
    CircuitState => |word| FieldValue::Text(word.as_str().into());
    CircuitCause => |word| FieldValue::Text(word.as_str().into());
    Strategy => |word| FieldValue::Text(word.as_str().into());
    Direction => |word| FieldValue::Text(word.as_str().into());
    Trigger => |word| FieldValue::Text(word.as_str().into());
    Limit => |word| FieldValue::Text(word.as_str().into());
    Priority => |word| FieldValue::Text(word.as_str().into());
    Health => |word| FieldValue::Text(word.as_str().into());
    ProbeKind => |word| FieldValue::Text(word.as_str().into());
    ProbeResult => |word| FieldValue::Text(word.as_str().into());
    ProbeVerdict => |word| FieldValue::Text(word.as_str().into());
    Outcome => |word| FieldValue::Text(word.as_str().into());
    Stage => |word| FieldValue::Text(word.as_str().into());
    Kind => |word| FieldValue::Text(word.as_str().into());
    Stream => |word| FieldValue::Text(word.as_str().into());
    Vec<u32> => |list| FieldValue::List(list.iter().map(|n| n.to_string().into()).collect());
    Vec<Arc<str>> => |list| FieldValue::List(list.iter().map(|text| Cow::Borrowed(&**text)).collect());
}

/// What is written in the table of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSchema {
    /// The dotted name.
    pub name: &'static str,
    /// What it tells, in a sentence.
    pub help: &'static str,
    /// Its keys.
    pub keys: &'static [(&'static str, Role)],
}

/// Declares [`Payload`](super::Payload) with its table: first the events, then the spans, each of which is four events, then those
/// spans whose many keys stand in a box, so that the others stay small.
macro_rules! events {
    (
        $( #[doc = $help:literal] $variant:ident = $name:literal { $( $role:ident $key:ident : $type:ty ),* $(,)? } )+
        spans:
        $( #[doc = $span_help:literal] $span:ident = $span_name:literal {
            $( $span_role:ident $span_key:ident : $span_type:ty ),* $(,)?
        } )+
        boxed:
        $( #[doc = $box_help:literal] $boxed:ident = $box_name:literal in $told:ident {
            $( $box_role:ident $box_key:ident : $box_type:ty ),* $(,)?
        } )+
    ) => {
        $(
            #[doc = concat!("What is told of `", $box_name, "`; its keys are documented by the schema.")]
            #[derive(Clone, Debug, PartialEq, Eq)]
            #[non_exhaustive]
            #[expect(missing_docs, reason = "the keys are documented by the schema")]
            pub struct $told { $( pub $box_key: $box_type ),* }
        )+

        /// What has happened. The names are stable; new variants come with new versions.
        ///
        /// The keys of each, and what they are, stand in [`Payload::SCHEMA`] and in `docs/telemetry.md`.
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "the keys are documented by the schema")]
        pub enum Payload {
            $( #[doc = $help] $variant { $( $key: $type ),* }, )+
            $( #[doc = $span_help] $span { edge: Edge, $( $span_key: $span_type ),* }, )+
            $( #[doc = $box_help] $boxed { edge: Edge, told: Box<$told> }, )+
        }

        impl Payload {
            /// Every event with its keys, in the order of the document.
            pub const SCHEMA: &'static [EventSchema] = &[
                $( EventSchema {
                    name: $name,
                    help: $help.trim_ascii(),
                    keys: &[ $( (stringify!($key), Role::$role) ),* ],
                }, )+
                $(
                    EventSchema {
                        name: concat!($span_name, ".start"),
                        help: concat!($span_help, " It has begun.").trim_ascii(),
                        keys: &[ $( (stringify!($span_key), Role::$span_role) ),* ],
                    },
                    EventSchema {
                        name: concat!($span_name, ".stop"),
                        help: concat!($span_help, " It has ended well.").trim_ascii(),
                        keys: &[ ("duration", Role::Measurement), $( (stringify!($span_key), Role::$span_role) ),* ],
                    },
                    EventSchema {
                        name: concat!($span_name, ".exception"),
                        help: concat!($span_help, " It has failed.").trim_ascii(),
                        keys: &[
                            ("duration", Role::Measurement), ("error", Role::Metadata),
                            $( (stringify!($span_key), Role::$span_role) ),*
                        ],
                    },
                    EventSchema {
                        name: concat!($span_name, ".cancel"),
                        help: concat!($span_help, " It was given up on.").trim_ascii(),
                        keys: &[ ("duration", Role::Measurement), $( (stringify!($span_key), Role::$span_role) ),* ],
                    },
                )+
                $(
                    EventSchema {
                        name: concat!($box_name, ".start"),
                        help: concat!($box_help, " It has begun.").trim_ascii(),
                        keys: &[ $( (stringify!($box_key), Role::$box_role) ),* ],
                    },
                    EventSchema {
                        name: concat!($box_name, ".stop"),
                        help: concat!($box_help, " It has ended well.").trim_ascii(),
                        keys: &[ ("duration", Role::Measurement), $( (stringify!($box_key), Role::$box_role) ),* ],
                    },
                    EventSchema {
                        name: concat!($box_name, ".exception"),
                        help: concat!($box_help, " It has failed.").trim_ascii(),
                        keys: &[
                            ("duration", Role::Measurement), ("error", Role::Metadata),
                            $( (stringify!($box_key), Role::$box_role) ),*
                        ],
                    },
                    EventSchema {
                        name: concat!($box_name, ".cancel"),
                        help: concat!($box_help, " It was given up on.").trim_ascii(),
                        keys: &[ ("duration", Role::Measurement), $( (stringify!($box_key), Role::$box_role) ),* ],
                    },
                )+
            ];

            /// How many kinds of payload there are: the four events of a span are one.
            pub(crate) const KINDS: usize =
                [ $( stringify!($variant), )+ $( stringify!($span), )+ $( stringify!($boxed), )+ ].len();

            /// Which kind it is, counted from 0.
            pub(crate) const fn kind(&self) -> usize {
                enum Kind { $( $variant, )+ $( $span, )+ $( $boxed, )+ }
                match self {
                    $( Self::$variant { .. } => Kind::$variant as usize, )+
                    $( Self::$span { .. } => Kind::$span as usize, )+
                    $( Self::$boxed { .. } => Kind::$boxed as usize, )+
                }
            }

            /// The dotted name.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $( Self::$variant { .. } => $name, )+
                    $(
                        Self::$span { edge: Edge::Start, .. } => concat!($span_name, ".start"),
                        Self::$span { edge: Edge::Stop { .. }, .. } => concat!($span_name, ".stop"),
                        Self::$span { edge: Edge::Exception { .. }, .. } => concat!($span_name, ".exception"),
                        Self::$span { edge: Edge::Cancel { .. }, .. } => concat!($span_name, ".cancel"),
                    )+
                    $(
                        Self::$boxed { edge: Edge::Start, .. } => concat!($box_name, ".start"),
                        Self::$boxed { edge: Edge::Stop { .. }, .. } => concat!($box_name, ".stop"),
                        Self::$boxed { edge: Edge::Exception { .. }, .. } => concat!($box_name, ".exception"),
                        Self::$boxed { edge: Edge::Cancel { .. }, .. } => concat!($box_name, ".cancel"),
                    )+
                }
            }

            /// Where in its span it stands; `None` for what is not a span.
            #[must_use]
            pub const fn edge(&self) -> Option<&Edge> {
                match self {
                    $( Self::$variant { .. } => None, )+
                    $( Self::$span { edge, .. } => Some(edge), )+
                    $( Self::$boxed { edge, .. } => Some(edge), )+
                }
            }

            pub(crate) fn set_edge(&mut self, to: Edge) {
                match self {
                    $( Self::$variant { .. } => {} )+
                    $( Self::$span { edge, .. } => *edge = to, )+
                    $( Self::$boxed { edge, .. } => *edge = to, )+
                }
            }

            /// All keys with their values. Costs an allocation, and more for texts that have to be made.
            #[must_use]
            pub fn fields(&self) -> Vec<Field<'_>> {
                match self {
                    $( Self::$variant { $( $key ),* } => vec![ $(
                        Field { key: stringify!($key), role: Role::$role, value: $key.tell() }
                    ),* ], )+
                    $( Self::$span { edge, $( $span_key ),* } => {
                        let mut fields = edge.fields();
                        fields.extend([ $(
                            Field { key: stringify!($span_key), role: Role::$span_role, value: $span_key.tell() }
                        ),* ]);
                        fields
                    } )+
                    $( Self::$boxed { edge, told } => {
                        let mut fields = edge.fields();
                        fields.extend([ $(
                            Field { key: stringify!($box_key), role: Role::$box_role, value: told.$box_key.tell() }
                        ),* ]);
                        fields
                    } )+
                }
            }

            /// Whether it holds something that must not leave the process.
            pub(crate) const fn is_sensitive(&self) -> bool {
                match self {
                    $( Self::$variant { .. } => false $( || matches!(Role::$role, Role::Sensitive) )*, )+
                    $( Self::$span { .. } => false $( || matches!(Role::$span_role, Role::Sensitive) )*, )+
                    $( Self::$boxed { .. } => false $( || matches!(Role::$box_role, Role::Sensitive) )*, )+
                }
            }

            /// Empties what must not leave the process.
            pub(crate) fn redact(&mut self) {
                match self {
                    $( Self::$variant { $( $key ),* } => { $( redact!($role $key); )* } )+
                    $( Self::$span { edge: _, $( $span_key ),* } => { $( redact!($span_role $span_key); )* } )+
                    $( Self::$boxed { edge: _, told } => {
                        let $told { $( $box_key ),* } = &mut **told;
                        $( redact!($box_role $box_key); )*
                    } )+
                }
            }
        }
    };
}
pub(super) use events;

macro_rules! redact {
    (Sensitive $key:ident) => {
        *$key = Default::default()
    };
    ($role:ident $key:ident) => {
        let _: &_ = $key;
    };
}
pub(super) use redact;

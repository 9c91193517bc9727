//! Comparisons of metadata.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Number, Value};

/// A value that metadata are compared with.
///
/// From a float that is no number, or is infinite, comes `Null`, as in JSON: it is equal to no number, and neither less nor more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// JSON's `null`.
    Null,
    /// Yes or no. `false` is less than `true`.
    Bool(bool),
    /// A number. Whole numbers and others are compared by their exact value: 3 is 3.0.
    Number(Number),
    /// A text. It is compared by its bytes.
    Text(String),
}

macro_rules! from_numbers {
    ($($number:ty),*) => { $(
        impl From<$number> for Scalar {
            fn from(number: $number) -> Self { Self::Number(number.into()) }
        }
    )* };
}
from_numbers!(u8, u16, u32, u64, i8, i16, i32, i64);

impl From<f64> for Scalar {
    fn from(number: f64) -> Self {
        Number::from_f64(number).map_or(Self::Null, Self::Number)
    }
}

impl From<bool> for Scalar {
    fn from(yes: bool) -> Self {
        Self::Bool(yes)
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Scalar {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Scalar {
    /// How a value stands to this one; `None` when they are not of one kind, and for lists and objects.
    fn order(&self, value: &Value) -> Option<Ordering> {
        match (value, self) {
            (Value::Null, Self::Null) => Some(Ordering::Equal),
            (Value::Bool(value), Self::Bool(own)) => Some(value.cmp(own)),
            (Value::Number(value), Self::Number(own)) => order(value, own),
            (Value::String(value), Self::Text(own)) => Some(value.cmp(own)),
            (
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_),
                Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_),
            ) => None,
        }
    }
}

/// How two numbers stand to each other, by their exact values.
fn order(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        (Some(left), None) => order_with_float(left, right.as_f64()?),
        (None, Some(right)) => order_with_float(right, left.as_f64()?).map(Ordering::reverse),
        (None, None) => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// A whole number is not made a float: beyond 2⁵³ it would become another.
fn order_with_float(whole: i128, float: f64) -> Option<Ordering> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "its fraction is looked at next; what is too large becomes the largest, which is larger than any 64 bits"
    )]
    let floor = float.floor() as i128;
    let fraction = float - float.floor();
    Some(whole.cmp(&floor).then(0.0_f64.partial_cmp(&fraction)?))
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

impl Operator {
    /// All of them; those of two signs first, so that a reader takes the longest.
    pub const ALL: [Self; 6] = [
        Self::NotEqual,
        Self::AtMost,
        Self::AtLeast,
        Self::Equal,
        Self::Less,
        Self::More,
    ];

    /// Its sign in the text form and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }

    fn allows(self, order: Option<Ordering>) -> bool {
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::NotEqual => order != Some(Ordering::Equal),
            Self::Less => order.is_some_and(Ordering::is_lt),
            Self::AtMost => order.is_some_and(Ordering::is_le),
            Self::More => order.is_some_and(Ordering::is_gt),
            Self::AtLeast => order.is_some_and(Ordering::is_ge),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One comparison of metadata: `meta:cost<=3`.
///
/// It is about a value that is there: of an entry without the key none holds, not even `!=`. Values of different kinds are not
/// equal, and neither is less; so a text is `!=` any number. Lists and objects are `!=` everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Comparison {
    pub(crate) key: String,
    pub(crate) operator: Operator,
    pub(crate) value: Scalar,
}

impl Comparison {
    pub(crate) fn holds(&self, metadata: &Map<String, Value>) -> bool {
        metadata
            .get(&self.key)
            .is_some_and(|value| self.operator.allows(self.value.order(value)))
    }
}

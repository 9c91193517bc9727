//! Typed values out of the tree; whatever does not fit is noted, and reading goes on.

use std::rc::Rc;

use regrow_core::nearest;

use super::error::{ConfigError, Place, Problem};
use super::expand::{Expanded, Fill, LONGEST, Refused, expand};
use super::tree::{Entry, Node, Scalar, Value, join};
use super::units::Refusal;

/// The longest part of a value that a message repeats, in characters.
const MOST_REPEATED: usize = 60;

/// With this many errors, the nearest word is no longer looked for.
const MOST_SUGGESTIONS: usize = 1000;

/// A value under its key.
#[derive(Debug)]
pub(crate) struct Field<'n> {
    /// The way to it, as `agents.coder.port`.
    pub(crate) way: String,
    /// Where the key stands.
    pub(crate) place: Place,
    /// The value.
    pub(crate) node: &'n Node,
}

/// The fields of a mapping.
#[derive(Debug)]
pub(crate) struct Fields<'n> {
    way: String,
    entries: &'n [Entry],
}

impl<'n> Fields<'n> {
    /// The field with this key, if the mapping has one.
    pub(crate) fn get(&self, key: &str) -> Option<Field<'n>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.field(entry))
    }

    /// All keys with their fields, in the order of the file.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'n str, Field<'n>)> {
        self.entries
            .iter()
            .map(|entry| (entry.key.as_str(), self.field(entry)))
    }

    fn field(&self, entry: &'n Entry) -> Field<'n> {
        Field {
            way: join(&self.way, &entry.key),
            place: entry.place,
            node: &entry.node,
        }
    }
}

/// A value that fits, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found<T> {
    /// The value.
    pub(crate) value: T,
    /// The way to it.
    pub(crate) way: String,
    /// Where it stands.
    pub(crate) place: Place,
}

/// What fits a value, and how it is read.
pub(crate) struct Shape<'s, T> {
    /// What fits, in words.
    pub(crate) expected: &'s str,
    /// When its variables are filled.
    pub(crate) fill: Fill,
    /// Turns the text into the value.
    pub(crate) parse: &'s dyn Fn(&str) -> Result<T, Refusal>,
}

impl<'s, T> Shape<'s, T> {
    /// A value whose variables are filled when the file is read.
    pub(crate) fn new(expected: &'s str, parse: &'s dyn Fn(&str) -> Result<T, Refusal>) -> Self {
        let fill = Fill::Now;
        Self {
            expected,
            fill,
            parse,
        }
    }
}

/// Takes values out of the tree and collects everything that is wrong.
pub(crate) struct Reader<'e> {
    environment: &'e dyn Fn(&str) -> Option<String>,
    /// What is wrong so far.
    pub(crate) errors: Vec<ConfigError>,
    /// The variables that values leave for the start of their agent.
    pub(crate) at_spawn: Vec<Found<String>>,
}

impl<'e> Reader<'e> {
    /// A reader that fills variables from `environment`.
    pub(crate) fn new(environment: &'e dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            environment,
            errors: Vec::new(),
            at_spawn: Vec::new(),
        }
    }

    /// Notes a problem.
    pub(crate) fn note(&mut self, place: Place, way: &str, problem: Problem) {
        self.errors.push(ConfigError {
            place: Some(place),
            key: way.to_owned(),
            problem,
        });
    }

    /// The candidate that was probably meant; only so many are compared, so that no file makes this long.
    pub(crate) fn suggestion<'a>(
        &self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Option<&'a str> {
        if self.errors.len() >= MOST_SUGGESTIONS {
            return None;
        }
        nearest(word, candidates.into_iter().take(MOST_SUGGESTIONS))
    }

    /// Notes that a value does not fit.
    pub(crate) fn refuse(&mut self, field: &Field<'_>, expected: &str, hint: Option<String>) {
        let problem = Problem::Unexpected {
            expected: expected.to_owned(),
            got: in_words(field.node),
            hint,
        };
        self.note(field.node.place, &field.way, problem);
    }

    /// The fields of a mapping whose keys are `known`; other keys are noted.
    pub(crate) fn known_fields<'n>(
        &mut self,
        field: &Field<'n>,
        owner: &'static str,
        known: &'static [&'static str],
    ) -> Option<Fields<'n>> {
        let fields = self.fields(
            field,
            &format!("a mapping with keys of {owner} ({})", known.join(", ")),
        )?;
        for (key, field) in fields.all().filter(|(key, _)| !known.contains(key)) {
            let problem = Problem::UnknownKey {
                owner,
                key: shortened(key),
                nearest: self
                    .suggestion(key, known.iter().copied())
                    .map(str::to_owned),
                known,
            };
            self.note(field.place, &join(&fields.way, &shortened(key)), problem);
        }
        Some(fields)
    }

    /// The fields of a mapping with any keys.
    pub(crate) fn fields<'n>(&mut self, field: &Field<'n>, expected: &str) -> Option<Fields<'n>> {
        match &field.node.value {
            Value::Map(entries) => Some(Fields {
                way: field.way.clone(),
                entries,
            }),
            Value::Scalar(_) | Value::List(_) => {
                self.refuse(field, expected, None);
                None
            }
        }
    }

    /// The values of a list.
    pub(crate) fn items<'n>(
        &mut self,
        field: &Field<'n>,
        expected: &str,
    ) -> Option<Vec<Field<'n>>> {
        match &field.node.value {
            Value::List(items) => Some(listed(&field.way, items)),
            Value::Scalar(_) | Value::Map(_) => {
                self.refuse(field, expected, None);
                None
            }
        }
    }

    /// A single value of the shape, if it fits.
    pub(crate) fn value<T>(&mut self, field: &Field<'_>, shape: &Shape<'_, T>) -> Option<Found<T>> {
        let Value::Scalar(scalar) = &field.node.value else {
            self.refuse(field, shape.expected, None);
            return None;
        };
        if scalar.is_null() {
            let hint = "put it into quotes if the word is meant: YAML reads it as nothing";
            self.refuse(
                field,
                shape.expected,
                (!scalar.text.is_empty()).then(|| hint.to_owned()),
            );
            return None;
        }
        let text = self.filled(field, scalar, shape.fill)?;
        match (shape.parse)(&text) {
            Ok(value) => Some(Found {
                value,
                way: field.way.clone(),
                place: field.node.place,
            }),
            Err(Refusal { expected, hint }) => {
                let got = match shape.fill {
                    Fill::Now if text == scalar.text => format!("{:?}", shortened(&text)),
                    // What the environment holds may be a secret.
                    Fill::Now => format!("{:?} with its variables filled", shortened(&scalar.text)),
                    Fill::AtSpawn => "another one".to_owned(),
                };
                let problem = Problem::Unexpected {
                    expected,
                    got,
                    hint,
                };
                self.note(field.node.place, &field.way, problem);
                None
            }
        }
    }

    /// The single value under a key, if it is there and fits.
    pub(crate) fn value_at<T>(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        shape: &Shape<'_, T>,
    ) -> Option<Found<T>> {
        self.value(&fields.get(key)?, shape)
    }

    /// Notes a key that does not fit.
    pub(crate) fn refuse_key(&mut self, field: &Field<'_>, key: &str, refusal: Refusal) {
        let Refusal { expected, hint } = refusal;
        let got = format!("{:?}", shortened(key));
        self.note(
            field.place,
            &field.way,
            Problem::Unexpected {
                expected,
                got,
                hint,
            },
        );
    }

    /// The text of a scalar with its variables filled in.
    fn filled(&mut self, field: &Field<'_>, scalar: &Scalar, fill: Fill) -> Option<String> {
        let refused = match expand(&scalar.text, fill, self.environment) {
            Ok(Expanded { text, at_spawn }) => {
                let found = at_spawn.into_iter().map(|value| Found {
                    value,
                    way: field.way.clone(),
                    place: field.node.place,
                });
                self.at_spawn.extend(found);
                return Some(text);
            }
            Err(refused) => refused,
        };
        let problem = match refused {
            Refused::Unset(name) => Problem::UnsetVariable { name },
            Refused::Malformed => Problem::Unexpected {
                expected: "${NAME} or ${NAME:-default}".to_owned(),
                got: "another use of \"${\"".to_owned(),
                hint: Some("write $${ for a literal ${".to_owned()),
            },
            Refused::NeedsNoDefault(name) => Problem::Unexpected {
                expected: format!("${{{name}}}"),
                got: "one with a default".to_owned(),
                hint: Some(format!(
                    "{name} is always set when the agent is started; remove the default"
                )),
            },
            Refused::TooLong => Problem::Unexpected {
                expected: format!("at most {LONGEST} bytes"),
                got: "more".to_owned(),
                hint: Some("hand over the name of a file instead".to_owned()),
            },
        };
        self.note(field.node.place, &field.way, problem);
        None
    }
}

fn listed<'n>(way: &str, items: &'n [Rc<Node>]) -> Vec<Field<'n>> {
    let field = |(index, node): (usize, &'n Rc<Node>)| Field {
        way: format!("{way}[{index}]"),
        place: node.place,
        node,
    };
    items.iter().enumerate().map(field).collect()
}

/// What stands there, in words.
fn in_words(node: &Node) -> String {
    match &node.value {
        Value::Scalar(scalar) if scalar.is_null() && scalar.text.is_empty() => "nothing".to_owned(),
        Value::Scalar(scalar) if scalar.is_null() => format!("{} (nothing, in YAML)", scalar.text),
        Value::Scalar(scalar) => format!("{:?}", shortened(&scalar.text)),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

/// The text, or its beginning where it is long.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_REPEATED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

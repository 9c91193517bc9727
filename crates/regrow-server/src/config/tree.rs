//! A YAML text as a tree in which every key and value knows its place.
//!
//! Nothing is interpreted here: a scalar keeps the text that was written. Keys that stand twice are reported and the
//! first one is kept, so that the rest of the file can still be checked.

use std::collections::HashMap;
use std::rc::Rc;

use serde_saphyr::granit_parser::{self, Event, Marker, Parser, ScalarStyle, ScanError};

use super::error::{ConfigError, Place, Problem};

/// How many values a file may have, those that aliases repeat included.
const MOST_NODES: usize = 100_000;

/// How deep lists and mappings may be nested.
const DEEPEST: usize = 64;

/// A value and its place.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where the value begins.
    pub(crate) place: Place,
    /// The value.
    pub(crate) value: Value,
}

/// What a value can be.
#[derive(Debug)]
pub(crate) enum Value {
    /// A text, number, truth or nothing, as it was written.
    Scalar(Scalar),
    /// A list.
    List(Vec<Rc<Node>>),
    /// A mapping, in the order of the file, each key once.
    Map(Vec<Entry>),
}

/// A single value as it was written.
#[derive(Debug)]
pub(crate) struct Scalar {
    /// Its text, without quotes.
    pub(crate) text: String,
    /// Whether it stood there without quotes, so that `null` means nothing.
    pub(crate) plain: bool,
}

impl Scalar {
    /// Whether this is YAML's null: nothing at all, `~` or `null`, without quotes.
    pub(crate) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

/// A key with its value.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// Where the key stands.
    pub(crate) place: Place,
    /// The value.
    pub(crate) node: Rc<Node>,
}

/// Reads `text` as one YAML document; nothing for a file without content.
///
/// What is wrong but leaves the rest readable is added to `errors`.
///
/// # Errors
///
/// The first thing after which the rest cannot be read: a syntax error, a tag, a key that is no text, too many values.
pub(crate) fn read(
    text: &str,
    errors: &mut Vec<ConfigError>,
) -> Result<Option<Rc<Node>>, Box<ConfigError>> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    let mut builder = Builder::new(errors);
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|source| syntax(source, text))?;
        let empty = span.is_empty();
        builder.take(event, empty, place(span.tag_start().unwrap_or(span.start)))?;
    }
    Ok(builder.root)
}

fn place(mark: Marker) -> Place {
    Place {
        line: mark.line().max(1),
        column: mark.col() + 1,
    }
}

fn syntax(source: ScanError, text: &str) -> Box<ConfigError> {
    let place = place(*source.marker());
    let line = text.lines().nth(place.line - 1).unwrap_or_default();
    // Inside of { } and [ ] a brace begins a mapping, that of a variable too.
    let hint = if line.contains("${") {
        "put values with ${…} into quotes"
    } else {
        "correct it"
    };
    Box::new(ConfigError {
        place: Some(place),
        key: String::new(),
        problem: Problem::Syntax { source, hint },
    })
}

/// A list or mapping whose end has not been seen.
enum Open {
    List {
        place: Place,
        anchor: usize,
        before: usize,
        items: Vec<Rc<Node>>,
    },
    Map {
        place: Place,
        anchor: usize,
        before: usize,
        entries: Vec<Entry>,
        seen: HashMap<String, Place>,
        key: Option<(String, Place)>,
    },
}

/// A value that an alias can repeat, and how many values it stands for.
struct Anchored {
    node: Rc<Node>,
    weight: usize,
}

/// Puts the tree together from the parser's events.
struct Builder<'e> {
    errors: &'e mut Vec<ConfigError>,
    open: Vec<Open>,
    root: Option<Rc<Node>>,
    anchors: HashMap<usize, Anchored>,
    documents: usize,
    nodes: usize,
}

impl<'e> Builder<'e> {
    fn new(errors: &'e mut Vec<ConfigError>) -> Self {
        Self {
            errors,
            open: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            documents: 0,
            nodes: 0,
        }
    }

    fn take(
        &mut self,
        event: Event<'_>,
        empty: bool,
        place: Place,
    ) -> Result<(), Box<ConfigError>> {
        if let Some(tag) = event.tag() {
            let got = format!("the tag {tag}");
            return Err(self.refusal(place, "a value without a tag", got, "remove the tag"));
        }
        match event {
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentEnd
            | Event::Comment(..)
            | Event::Anchor(..)
            | Event::UnresolvedAlias(_) => {}
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let hint = "put all agents into one document";
                    return Err(self.refusal(
                        place,
                        "one YAML document",
                        "a second one".to_owned(),
                        hint,
                    ));
                }
            }
            Event::Alias(anchor) => self.alias(anchor, place)?,
            Event::Scalar(text, style, anchor, _) => {
                // The parser writes "~" where nothing stands.
                let text = if empty {
                    String::new()
                } else {
                    text.into_owned()
                };
                self.scalar(text, style, anchor, place)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                self.count(1, place)?;
                self.key_must_be_text(place)?;
                self.open.push(Open::List {
                    place,
                    anchor,
                    before: self.nodes - 1,
                    items: Vec::new(),
                });
            }
            Event::MappingStart(_, anchor, _) => {
                self.count(1, place)?;
                self.key_must_be_text(place)?;
                self.open.push(Open::Map {
                    place,
                    anchor,
                    before: self.nodes - 1,
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    key: None,
                });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            // The parser's enum may grow; what it adds is no value.
            _ => {}
        }
        Ok(())
    }

    /// Adds to the number of values; the bound makes nested aliases harmless.
    fn count(&mut self, more: usize, place: Place) -> Result<(), Box<ConfigError>> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MOST_NODES {
            let expected = format!("at most {MOST_NODES} values, repeated ones counted");
            return Err(self.refusal(place, &expected, "more".to_owned(), "use fewer aliases"));
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: String,
        style: ScalarStyle,
        anchor: usize,
        place: Place,
    ) -> Result<(), Box<ConfigError>> {
        self.count(1, place)?;
        if self.wants_key() {
            return self.key(text, place);
        }
        let plain = matches!(style, ScalarStyle::Plain);
        let value = Value::Scalar(Scalar { text, plain });
        self.finish(Rc::new(Node { place, value }), anchor, 1);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Box<ConfigError>> {
        self.key_must_be_text(place)?;
        match self.anchors.get(&anchor) {
            Some(Anchored { node, weight }) => {
                let (node, weight) = (Rc::clone(node), *weight);
                self.count(weight, place)?;
                self.attach(node);
                Ok(())
            }
            None => Err(self.refusal(
                place,
                "an alias of a value that is complete",
                "one of a value that holds it".to_owned(),
                "write the value out",
            )),
        }
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Map { key: None, .. }))
    }

    fn key_must_be_text(&self, place: Place) -> Result<(), Box<ConfigError>> {
        if self.wants_key() {
            let got = "a list, a mapping or an alias".to_owned();
            return Err(self.refusal(place, "a key that is a text", got, "write \"key: value\""));
        }
        Ok(())
    }

    fn key(&mut self, text: String, place: Place) -> Result<(), Box<ConfigError>> {
        if text == "<<" {
            let hint = "what all agents share goes under defaults";
            return Err(self.refusal(place, "a key", "the merge key \"<<\"".to_owned(), hint));
        }
        let mut first = place;
        if let Some(Open::Map { seen, key, .. }) = self.open.last_mut() {
            first = *seen.entry(text.clone()).or_insert(place);
            *key = Some((text.clone(), place));
        }
        if first != place {
            self.errors.push(ConfigError {
                place: Some(place),
                key: self.way(),
                problem: Problem::DuplicateKey { key: text, first },
            });
        }
        Ok(())
    }

    /// Hangs a finished value into what is open, or makes it the root.
    fn attach(&mut self, node: Rc<Node>) {
        match self.open.last_mut() {
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map {
                entries, seen, key, ..
            }) => {
                if let Some((key, place)) = key.take()
                    && seen.get(&key) == Some(&place)
                {
                    entries.push(Entry { key, place, node });
                }
            }
            None => self.root = Some(node),
        }
    }

    fn finish(&mut self, node: Rc<Node>, anchor: usize, weight: usize) {
        if anchor != 0 {
            let node = Rc::clone(&node);
            self.anchors.insert(anchor, Anchored { node, weight });
        }
        self.attach(node);
    }

    fn close(&mut self) {
        let (place, anchor, before, value) = match self.open.pop() {
            Some(Open::List {
                place,
                anchor,
                before,
                items,
            }) => (place, anchor, before, Value::List(items)),
            Some(Open::Map {
                place,
                anchor,
                before,
                entries,
                ..
            }) => (place, anchor, before, Value::Map(entries)),
            None => return,
        };
        let weight = self.nodes - before;
        self.finish(Rc::new(Node { place, value }), anchor, weight);
    }

    /// The way to what is open now, as `agents.coder.command[2]`.
    fn way(&self) -> String {
        let mut way = String::new();
        for open in &self.open {
            match open {
                Open::List { items, .. } => way = format!("{way}[{}]", items.len()),
                Open::Map {
                    key: Some((key, _)),
                    ..
                } => way = join(&way, key),
                Open::Map { key: None, .. } => {}
            }
        }
        way
    }

    fn refusal(&self, place: Place, expected: &str, got: String, hint: &str) -> Box<ConfigError> {
        Box::new(ConfigError {
            place: Some(place),
            key: self.way(),
            problem: Problem::Unexpected {
                expected: expected.to_owned(),
                got,
                hint: Some(hint.to_owned()),
            },
        })
    }
}

/// The way to `key` inside of `way`.
pub(crate) fn join(way: &str, key: &str) -> String {
    if way.is_empty() {
        key.to_owned()
    } else {
        format!("{way}.{key}")
    }
}

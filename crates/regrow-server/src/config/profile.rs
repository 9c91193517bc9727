//! What an agent is, for those who look for it: type, tags, capabilities, metadata.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value as Json};

use super::error::Problem;
use super::read::{Field, Fields, Found, Reader, Shape};
use super::tree::Value;
use super::units::{self, A_TAG, A_WORD, AN_ID};

/// The longest metadata of one agent: names and texts in bytes, and one more for each value. Each look at the agents carries them.
const MOST_METADATA: usize = 4096;

/// What a single value of metadata may be, in words.
const A_VALUE: &str = "a text, a number, true, false or null";

/// What the file says of it.
#[derive(Debug)]
pub(crate) struct Profile {
    /// What it is; its id where the file does not say.
    pub(crate) type_name: String,
    /// Words and pairs.
    pub(crate) tags: Vec<String>,
    /// What it can do.
    pub(crate) capabilities: Vec<String>,
    /// Whatever else.
    pub(crate) metadata: Map<String, Json>,
}

impl Profile {
    /// Reads the keys that say what the agent `id` is.
    pub(crate) fn read(reader: &mut Reader<'_>, fields: &Fields<'_>, id: &str) -> Self {
        let type_shape = Shape::new(AN_ID, &units::id);
        let type_name = reader.value_at(fields, "type", &type_shape);
        Self {
            type_name: type_name.map_or_else(|| id.to_owned(), |found| found.value),
            tags: fields
                .get("tags")
                .map_or_else(Vec::new, |field| read_tags(reader, &field)),
            capabilities: fields
                .get("capabilities")
                .map_or_else(Vec::new, |field| read_capabilities(reader, &field)),
            metadata: fields
                .get("metadata")
                .map_or_else(Map::new, |field| read_metadata(reader, &field)),
        }
    }
}

fn read_tags(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<String> {
    let shape = Shape::new(A_TAG, &units::tag);
    let tags = read_list(
        reader,
        field,
        "a list of tags such as [fast, lang=rust]",
        &shape,
    );
    for (index, problem) in second_values(tags.iter().map(|found| found.value.as_str())) {
        reader.note(tags[index].place, &tags[index].way, problem);
    }
    tags.into_iter().map(|found| found.value).collect()
}

/// The tags that give a key another value than an earlier one, by their number, with what is wrong.
pub(crate) fn second_values<'t>(tags: impl Iterator<Item = &'t str>) -> Vec<(usize, Problem)> {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    let mut problems = Vec::new();
    for (index, tag) in tags.enumerate() {
        let Some((key, _)) = tag.split_once('=') else {
            continue;
        };
        let earlier = *first.entry(key).or_insert(tag);
        if earlier != tag {
            let problem = Problem::Unexpected {
                expected: format!("one value for the key {key:?}"),
                got: format!("{tag:?} after {earlier:?}"),
                hint: Some("remove one of the two".to_owned()),
            };
            problems.push((index, problem));
        }
    }
    problems
}

fn read_capabilities(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<String> {
    let shape = Shape::new(A_WORD, &units::word);
    let words = read_list(
        reader,
        field,
        "a list of words such as [plan, review]",
        &shape,
    );
    words.into_iter().map(|found| found.value).collect()
}

fn read_list(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    expected: &str,
    shape: &Shape<'_, String>,
) -> Vec<Found<String>> {
    let items = reader.items(field, expected).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| reader.value(item, shape))
        .collect()
}

fn read_metadata(reader: &mut Reader<'_>, field: &Field<'_>) -> Map<String, Json> {
    let mut metadata = Map::new();
    let Some(fields) = reader.fields(field, "a mapping such as {cost: 3, region: north}") else {
        return metadata;
    };
    let mut size = 0;
    for (key, field) in fields.all() {
        if let Err(refusal) = units::word(key) {
            reader.refuse_key(&field, key, refusal);
        }
        size += key.len();
        metadata.extend(read_json(reader, &field, &mut size).map(|value| (key.to_owned(), value)));
    }
    if size > MOST_METADATA {
        let problem = Problem::Unexpected {
            expected: format!("at most {MOST_METADATA} bytes of metadata"),
            got: "more".to_owned(),
            hint: Some("write down where the rest is to be had".to_owned()),
        };
        reader.note(field.place, &field.way, problem);
    }
    metadata
}

/// A value with all that is in it; none where it is wrong, or `size` says that there is too much already.
fn read_json(reader: &mut Reader<'_>, field: &Field<'_>, size: &mut usize) -> Option<Json> {
    *size += 1;
    if *size > MOST_METADATA {
        return None;
    }
    match &field.node.value {
        // Here YAML's null is meant as a value; nothing at all is not.
        Value::Scalar(scalar) if scalar.is_null() && !scalar.text.is_empty() => Some(Json::Null),
        Value::Scalar(scalar) => {
            let parse = |text: &str| {
                Ok(if scalar.plain {
                    plain(text)
                } else {
                    Json::from(text)
                })
            };
            let value = reader.value(field, &Shape::new(A_VALUE, &parse))?.value;
            *size += value.as_str().map_or(0, str::len);
            Some(value)
        }
        Value::List(_) => {
            let items = reader.items(field, A_VALUE)?;
            let read = |item: &Field<'_>| read_json(reader, item, size);
            Some(Json::Array(items.iter().filter_map(read).collect()))
        }
        Value::Map(_) => {
            let mut object = Map::new();
            for (key, field) in reader.fields(field, A_VALUE)?.all() {
                *size += key.len();
                let value = read_json(reader, &field, size);
                object.extend(value.map(|value| (key.to_owned(), value)));
            }
            Some(Json::Object(object))
        }
    }
}

/// What a text without quotes means. A number is what is one in a query: `3`, `-1`, `0.5`, `1e3`, and `007` is 7.
fn plain(text: &str) -> Json {
    if let Ok(truth) = units::truth(text) {
        return Json::Bool(truth);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.starts_with(|letter: char| letter.is_ascii_digit()) {
        return Json::from(text);
    }
    let signed = text.parse().ok().map(|number: i64| Number::from(number));
    let unsigned = || text.parse().ok().map(|number: u64| Number::from(number));
    let float = || text.parse().ok().and_then(Number::from_f64);
    signed
        .or_else(unsigned)
        .or_else(float)
        .map_or_else(|| Json::from(text), Json::Number)
}

//! The text and the serde form.

use super::*;
use crate::SplitMix64;
use crate::testing::registry;

#[test]
fn the_text_of_any_query_is_read_as_the_same_query() {
    for seed in 0..3_000 {
        let query = registry::query(&mut SplitMix64::new(seed), 4);
        let text = query.to_string();
        assert_eq!(text.parse(), Ok(query), "seed {seed}: {text}");
    }
}

#[test]
fn the_serde_form_of_any_query_is_read_as_the_same_query() {
    for seed in 0..1_000 {
        let query = registry::query(&mut SplitMix64::new(seed), 4);
        let json = serde_json::to_string(&query).unwrap();
        let read: Query = serde_json::from_str(&json).unwrap();
        assert_eq!(read, query, "seed {seed}: {json}");
    }
}

#[test]
fn builder_text_and_serde_form_mean_the_same_entries() {
    let mut matched = 0;
    for seed in 0..1_000 {
        let mut rng = SplitMix64::new(seed);
        let query = registry::query(&mut rng, 3);
        let by_text: Query = query.to_string().parse().unwrap();
        let by_value: Query =
            serde_json::from_value(serde_json::to_value(&query).unwrap()).unwrap();
        for _ in 0..5 {
            let entry = registry::entry(&mut rng);
            let holds = query.matches(&entry);
            matched += u32::from(holds);
            assert_eq!(by_text.matches(&entry), holds, "seed {seed}: {query}");
            assert_eq!(by_value.matches(&entry), holds, "seed {seed}: {query}");
        }
    }
    assert!((1_000..4_000).contains(&matched), "{matched} of 5,000");
}

#[test]
fn each_term_has_its_word_in_the_serde_form() {
    for (text, json) in [
        ("*", json!({"all": true})),
        ("a", json!({"tag": "a"})),
        ("lang=rust", json!({"key": {"lang": "rust"}})),
        ("lang?", json!({"has": "lang"})),
        ("kind:actor", json!({"kind": "actor"})),
        ("type:coder", json!({"type": "coder"})),
        ("cap:plan", json!({"capability": "plan"})),
        ("draining", json!({"phase": "draining"})),
        ("ready", json!({"ready": true})),
        ("health:up", json!({"health": "up"})),
        ("path:root/a", json!({"path": "root/a"})),
        (
            "meta:cost<=3",
            json!({"meta": {"key": "cost", "is": "<=", "value": 3}}),
        ),
        (
            "meta:a=null",
            json!({"meta": {"key": "a", "is": "=", "value": null}}),
        ),
        (
            "meta:a!=true",
            json!({"meta": {"key": "a", "is": "!=", "value": true}}),
        ),
        (
            "meta:a>b",
            json!({"meta": {"key": "a", "is": ">", "value": "b"}}),
        ),
        ("a and b", json!({"and": [{"tag": "a"}, {"tag": "b"}]})),
        ("a or b", json!({"or": [{"tag": "a"}, {"tag": "b"}]})),
        ("not a", json!({"not": {"tag": "a"}})),
    ] {
        assert_eq!(serde_json::to_value(read(text)).unwrap(), json);
        assert_eq!(serde_json::from_value::<Query>(json).unwrap(), read(text));
    }
}

#[test]
fn the_serde_form_takes_the_text_and_no_for_an_answer() {
    for (json, text) in [
        (json!("a and ready"), "a and ready"),
        (json!({"not": "a or b"}), "not (a or b)"),
        (json!({"ready": false}), "not ready"),
        (json!({"all": false}), "not *"),
        (json!({"and": [{"tag": "a"}]}), "a"),
        (json!({"or": ["a", {"or": ["b", "c"]}]}), "a or b or c"),
    ] {
        assert_eq!(serde_json::from_value::<Query>(json).unwrap(), read(text));
    }
}

#[test]
fn a_wrong_serde_form_is_refused_with_what_was_expected() {
    for (json, error) in [
        (
            json!(3),
            "invalid type: integer `3`, expected a query: a map with one entry, or its text",
        ),
        (
            json!({}),
            "invalid length 0, expected a query: a map with one entry, or its text",
        ),
        (
            json!({"tag": "a", "has": "b"}),
            "invalid length 2, expected a query: a map with one entry, or its text",
        ),
        (
            json!({"tags": "a"}),
            "unknown field `tags`, expected one of `all`, `tag`, `key`, `has`, `kind`, `type`, `capability`, `phase`, `ready`, `health`, `path`, `meta`, `and`, `or`, `not`",
        ),
        (
            json!({"health": "fine"}),
            "expected one of unknown, up, degraded, down, got \"fine\"",
        ),
        (
            json!({"and": []}),
            "invalid length 0, expected a list of queries, one at least",
        ),
        (
            json!({"or": 3}),
            "invalid type: integer `3`, expected a list of queries, one at least",
        ),
        (
            json!({"key": {}}),
            "invalid length 0, expected a map with one key and its value",
        ),
        (
            json!({"key": {"a": "b", "c": "d"}}),
            "invalid length 2, expected a map with one key and its value",
        ),
        (
            json!({"key": 3}),
            "invalid type: integer `3`, expected a map with one key and its value",
        ),
        (
            json!({"meta": {"key": "a", "is": "~", "value": 3}}),
            "expected one of =, !=, <, <=, >, >=",
        ),
        (
            json!({"meta": {"key": "a", "is": "=", "value": []}}),
            "metadata are compared with a text, a number, true, false or null",
        ),
        (
            json!({"not": "a b"}),
            "expected `and`, `or` or the end, got `b` (column 3)\n  a b\n    ^",
        ),
    ] {
        let found = serde_json::from_value::<Query>(json.clone()).unwrap_err();
        assert_eq!(found.to_string(), error, "{json}");
    }
}

#[test]
fn the_serde_form_has_a_bound() {
    let too_large = "expected at most 64 levels and 4096 terms";
    let refused = |json| {
        serde_json::from_value::<Query>(json)
            .unwrap_err()
            .to_string()
    };
    let nested = |levels| (0..levels).fold(json!({"tag": "a"}), |inner, _| json!({"not": inner}));
    assert_eq!(
        serde_json::from_value::<Query>(nested(64)).unwrap(),
        read("a")
    );
    assert_eq!(refused(nested(65)), too_large);
    let list = |length| json!({"or": vec![json!({"tag": "a"}); length]});
    assert!(serde_json::from_value::<Query>(list(4_095)).is_ok());
    assert_eq!(refused(list(4_096)), too_large);
    let listed = (0..65).fold(json!({"tag": "a"}), |inner, _| json!({"and": [inner]}));
    assert_eq!(refused(listed), too_large);
}

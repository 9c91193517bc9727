//! What an agent is, for those who look for it.

use serde_json::{Value, json};

use super::{agent, errors};

fn metadata(text: &str) -> Value {
    let text = format!("agents:\n  a:\n    command: x\n    metadata: {text}\n");
    Value::from(agent(&text).metadata)
}

#[test]
fn metadata_are_what_json_can_say() {
    let said = metadata(
        "{ whole: 3, much: 18446744073709551615, less: -1, part: 0.5, power: 1e3, padded: 007, yes: true, no: false, \
         nothing: null, neither: ~, list: [1, [two], {}], map: { a: { b: c } } }",
    );
    let want = json!({
        "whole": 3, "much": u64::MAX, "less": -1, "part": 0.5, "power": 1000.0, "padded": 7, "yes": true, "no": false,
        "nothing": null, "neither": null, "list": [1, ["two"], {}], "map": { "a": { "b": "c" } },
    });
    assert_eq!(said, want);
}

#[test]
fn metadata_that_only_look_like_a_number_are_texts() {
    let said = metadata(
        "{ a: '3', b: \"true\", c: 1.2.3, d: .5, e: +1, f: 0x10, g: 3 h, h: '', i: 1e999, j: .inf }",
    );
    let want = json!({
        "a": "3", "b": "true", "c": "1.2.3", "d": ".5", "e": "+1", "f": "0x10", "g": "3 h", "h": "", "i": "1e999", "j": ".inf",
    });
    assert_eq!(said, want);
}

#[test]
fn a_bare_value_is_the_same_in_the_file_and_in_a_query() {
    use regrow_core::ChildKind;
    use regrow_core::index::{Entry, Profile, Status};
    use regrow_core::query::Query;
    for value in [
        "3", "-1", "007", "0.5", "1.", "1e3", "1.2.3", ".5", "0x10", "true", "false", "null",
        "north", "1e999",
    ] {
        let mut config = agent(&format!(
            "agents: {{ a: {{ command: x, metadata: {{ k: {value} }} }} }}"
        ));
        let profile =
            Profile::new(ChildKind::Process, "a").meta("k", config.metadata.remove("k").unwrap());
        let entry = Entry::new(
            "root/a",
            profile,
            Status::pending(std::time::SystemTime::UNIX_EPOCH),
        );
        let query: Query = format!("meta:k={value}").parse().unwrap();
        assert!(query.matches(&entry), "{value}: {entry:?}");
    }
}

#[test]
fn variables_are_filled_in_metadata_and_may_be_numbers() {
    assert_eq!(
        metadata("\n      host: ${HOST}\n      cost: ${NONE:-3}\n      text: '${NONE:-3}'"),
        json!({ "host": "db.local", "cost": 3, "text": "3" })
    );
}

#[test]
fn metadata_have_a_bound_that_aliases_do_not_pass() {
    let most = 4096;
    // The key and the value itself count too.
    let fits = "x".repeat(most - 2);
    assert_eq!(metadata(&format!("{{ k: {fits} }}")), json!({ "k": fits }));
    let want = "agents.yaml:4:5: agents.a.metadata: expected at most 4096 bytes of metadata, got more; \
                write down where the rest is to be had";
    for too_much in [
        format!("{{ k: {fits}x }}"),
        format!("{{ k: [{}] }}", "1, ".repeat(most)),
        format!(
            "{{ k: [&long {}, {}] }}",
            "x".repeat(1000),
            "*long, ".repeat(50)
        ),
        format!(
            "{{ k: [{}] }}",
            format!("{{ {}: 1 }}, ", "x".repeat(1000)).repeat(5)
        ),
    ] {
        let said = errors(&format!(
            "agents:\n  a:\n    command: x\n    metadata: {too_much}\n"
        ));
        assert_eq!(said, [want], "of {too_much}");
    }
}

#[test]
fn the_same_pair_may_be_said_twice() {
    let text = "agents: { a: { command: x, tags: [lang=rust, fast, fast, lang=rust] } }";
    assert_eq!(agent(text).tags.len(), 4);
}

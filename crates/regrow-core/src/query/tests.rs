//! What queries mean, and that their forms mean the same.

mod errors;
mod forms;

use serde_json::json;

use super::*;
use crate::index::Profile;
use crate::testing::registry::actor;

fn read(text: &str) -> Query {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}:\n{error}"))
}

/// A ready actor with one of everything.
fn coder() -> Entry {
    let profile = Profile::new(ChildKind::Actor, "coder")
        .tags(["fast", "lang=rust", "draining"])
        .capabilities(["plan"])
        .meta("cost", 3)
        .meta("model", "m1")
        .meta("paid", true)
        .meta("none", json!(null))
        .meta("list", json!([3]))
        .meta("ratio", 0.5)
        .meta("huge", u64::MAX);
    let mut entry = actor("root/crew/ann", &[]);
    entry.profile = profile.into();
    entry.status.phase = Phase::Running;
    entry.status.health = Health::Degraded;
    entry.status.ready = true;
    entry
}

#[track_caller]
fn check(holds: &[&str], holds_not: &[&str]) {
    let entry = coder();
    for (texts, expected) in [(holds, true), (holds_not, false)] {
        for text in texts {
            assert_eq!(read(text).matches(&entry), expected, "{text}");
        }
    }
}

#[test]
fn each_term_holds_of_what_it_names_and_of_nothing_else() {
    check(
        &[
            "*",
            "fast",
            "lang=rust",
            "lang?",
            "kind:actor",
            "type:coder",
            "cap:plan",
            "running",
            "phase:running",
            "ready",
            "health:degraded",
        ],
        &[
            "slow",
            "lang",
            "rust",
            "lang=go",
            "rust=lang",
            "rust?",
            "kind:task",
            "type:fast",
            "cap:fast",
            "plan",
            "coder",
            "starting",
            "health:up",
        ],
    );
    let mut entry = coder();
    entry.status.ready = false;
    assert!(!Query::ready().matches(&entry));
}

#[test]
fn words_for_phases_and_ready_are_reserved_and_all_others_are_tags() {
    for phase in Phase::ALL {
        assert_eq!(read(phase.as_str()), Query::phase(*phase));
    }
    assert_eq!(read("ready"), Query::ready());
    assert_eq!(read("up"), Query::tag("up"));
    for tag in ["tag:draining", "\"draining\"", "tag:\"draining\""] {
        assert_eq!(read(tag), Query::tag("draining"));
    }
    check(&["tag:draining"], &["draining"]);
}

#[test]
fn a_path_means_the_place_and_all_below_it() {
    check(
        &[
            "path:root",
            "path:root/",
            "path:root/crew",
            "path:root/crew/ann",
        ],
        &[
            "path:root/crew/an",
            "path:root/crew/ann/x",
            "path:crew",
            "path:\"\"",
        ],
    );
}

#[test]
fn not_binds_closer_than_and_and_and_closer_than_or() {
    let [a, b, c] = ["a", "b", "c"].map(Query::tag);
    let table = [
        ("a or b and c", a.clone().or(b.clone().and(c.clone()))),
        ("(a or b) and c", a.clone().or(b.clone()).and(c.clone())),
        ("not a and b", a.clone().not().and(b.clone())),
        ("not (a and b)", a.clone().and(b.clone()).not()),
        ("not a or b", a.clone().not().or(b.clone())),
        ("a and not (b or c)", a.and(b.or(c).not())),
    ];
    for (text, query) in table {
        assert_eq!(read(text), query);
        assert_eq!(
            query.to_string(),
            text,
            "with no more parentheses than needed"
        );
    }
    check(
        &[
            "fast or slow and slow",
            "not slow and fast",
            "fast and not (slow or lang=go)",
        ],
        &[
            "(fast or slow) and slow",
            "not fast or slow",
            "not (fast and ready)",
        ],
    );
}

#[test]
fn what_is_joined_by_one_word_is_one_list_and_twice_not_is_nothing() {
    for (text, one_form) in [
        ("a and (b and c)", "a and b and c"),
        ("(a and b) and c", "a and b and c"),
        ("a or (b or (c or d))", "a or b or c or d"),
        ("not not a", "a"),
        ("not (not (not a))", "not a"),
        ("((a))", "a"),
        ("not(a)and(b)", "not a and b"),
        ("  a\n and\tb ", "a and b"),
        (
            "lang = rust and meta : cost <= 3",
            "lang=rust and meta:cost<=3",
        ),
    ] {
        assert_eq!(read(text).to_string(), one_form, "{text}");
    }
}

#[test]
fn metadata_that_are_there_compare_by_kind() {
    check(
        &[
            "meta:cost=3",
            "meta:cost=3.0",
            "meta:cost<=3",
            "meta:cost>=3",
            "meta:cost<3.5",
            "meta:cost>-1",
            "meta:cost!=4",
            "meta:ratio=0.5",
            "meta:ratio<1",
            "meta:ratio>0",
            "meta:ratio!=1",
            "meta:model=m1",
            "meta:model>m0",
            "meta:model<m2",
            "meta:model!=3",
            "meta:paid=true",
            "meta:paid>false",
            "meta:none=null",
            "meta:none!=0",
            "meta:list!=3",
        ],
        &[
            "meta:cost=4",
            "meta:cost<3",
            "meta:cost>3",
            "meta:cost!=3",
            "meta:cost=\"3\"",
            "meta:cost>=null",
            "meta:cost<=\"4\"",
            "meta:ratio>=1",
            "meta:ratio<=0",
            "meta:model=m2",
            "meta:model<m1",
            "meta:model<3",
            "meta:paid=false",
            "meta:paid=\"true\"",
            "meta:none=false",
            "meta:none<null",
            "meta:list=3",
            "meta:list>=3",
        ],
    );
}

#[test]
fn of_metadata_that_are_not_there_no_comparison_holds() {
    for operator in Operator::ALL {
        for value in ["3", "text", "null", "true"] {
            check(
                &[&format!("not meta:color{operator}{value}")],
                &[&format!("meta:color{operator}{value}")],
            );
        }
    }
}

#[test]
fn numbers_compare_by_their_exact_value() {
    // As floats, these two would be one number.
    check(
        &[
            "meta:huge>18446744073709551614",
            "meta:huge<18446744073709551616",
            "meta:huge=18446744073709551615",
            "meta:huge<1e300",
            "meta:huge>-1e300",
        ],
        &[
            "meta:huge=18446744073709551616",
            "meta:huge>=18446744073709551616",
        ],
    );
    let less = |left: serde_json::Value, right: f64| {
        let mut entry = coder();
        Arc::make_mut(&mut entry.profile)
            .metadata
            .insert("n".to_owned(), left);
        Query::meta("n").less_than(right).matches(&entry)
    };
    assert!(less(json!(-3), -2.5) && !less(json!(-2), -2.5));
    assert!(less(json!(-3.5), -3.0) && !less(json!(-3.0), -3.5));
}

#[test]
fn a_float_that_is_no_number_is_null() {
    for float in [f64::NAN, f64::INFINITY] {
        assert_eq!(Scalar::from(float), Scalar::Null);
        assert!(!Query::meta("cost").at_most(float).matches(&coder()));
    }
}

#[test]
fn the_builder_says_what_the_text_does() {
    let meta = || Query::meta("cost");
    for (query, text) in [
        (Query::all(), "*"),
        (
            Query::tag("planner").without("draining").healthy(),
            "planner and not draining and health:up",
        ),
        (Query::tag("a").without("b"), "a and not b"),
        (
            Query::of_type("coder").and(Query::key("lang", "rust")),
            "type:coder and lang=rust",
        ),
        (
            Query::has_key("lang").or(Query::below("root/crew/")),
            "lang? or path:root/crew",
        ),
        (
            Query::kind(ChildKind::Actor).and(Query::capability("plan")),
            "kind:actor and cap:plan",
        ),
        (
            Query::ready().and(Query::phase(Phase::Running)),
            "ready and running",
        ),
        (Query::health(Health::Up).not(), "not health:up"),
        (
            meta().is(3).or(meta().is_not("x")),
            "meta:cost=3 or meta:cost!=x",
        ),
        (
            meta().less_than(2.5).or(meta().at_most(2)),
            "meta:cost<2.5 or meta:cost<=2",
        ),
        (
            meta()
                .more_than(true)
                .or(meta().at_least(String::from("y"))),
            "meta:cost>true or meta:cost>=y",
        ),
    ] {
        assert_eq!(query.to_string(), text);
        assert_eq!(read(text), query);
        assert_eq!(format!("{query:?}"), format!("Query({text})"));
    }
}

#[test]
fn names_are_put_in_quotes_where_they_need_them() {
    for (query, text) in [
        (Query::tag("my tag"), r#""my tag""#),
        (Query::tag("and"), r#""and""#),
        (Query::tag(""), r#""""#),
        (Query::tag("ready"), "tag:ready"),
        (Query::tag(r#"a"\"#), r#""a\"\\""#),
        (Query::tag("größe_1-b.c/d@e+f%g"), "größe_1-b.c/d@e+f%g"),
        (Query::key("not", "or"), r#""not"="or""#),
        (Query::key("draining", "ready"), "draining=ready"),
        (Query::has_key("my key"), r#""my key"?"#),
        (Query::of_type("a:b"), r#"type:"a:b""#),
        (Query::capability("(x)"), r#"cap:"(x)""#),
        (Query::below("root/ä b"), r#"path:"root/ä b""#),
        (
            Query::meta("the cost").is("a b"),
            r#"meta:"the cost"="a b""#,
        ),
        (Query::meta("n").is("3"), r#"meta:n="3""#),
        (Query::meta("n").is("null"), r#"meta:n="null""#),
        (Query::meta("n").is("true"), r#"meta:n="true""#),
        (Query::meta("n").is("false"), r#"meta:n="false""#),
        (Query::meta("n").is("not"), r#"meta:n="not""#),
        (Query::meta("n").is(true), "meta:n=true"),
        (Query::meta("n").is(f64::NAN), "meta:n=null"),
    ] {
        assert_eq!(query.to_string(), text);
        assert_eq!(read(text), query);
    }
}

#[test]
fn a_bare_value_is_a_number_where_json_has_one() {
    let value = |text: &str| {
        let query = read(&format!("meta:n={text}"));
        let Node::Meta(comparison) = query.node() else {
            unreachable!("a comparison");
        };
        comparison.value.clone()
    };
    let number = |json: serde_json::Value| Scalar::Number(json.as_number().unwrap().clone());
    assert_eq!(value("-3"), number(json!(-3)));
    assert_eq!(value("18446744073709551615"), number(json!(u64::MAX)));
    assert_eq!(
        value("18446744073709551616"),
        number(json!(18_446_744_073_709_551_616_f64))
    );
    assert_eq!(value("2.50"), number(json!(2.5)));
    assert_eq!(value("1e3"), number(json!(1e3)));
    for text in [
        "inf", "NaN", "-inf", "+1", ".5", "-", "1.2.3", "1e400", "Null", "0x1",
    ] {
        assert_eq!(value(text), text.into(), "{text}");
    }
}

#[test]
fn a_query_of_terms_alone_names_them() {
    let rust = Term::Pair {
        key: "lang".into(),
        value: "rust".into(),
    };
    assert_eq!(read("lang=rust").as_term(), Some(&rust));
    assert_eq!(
        read("lang=rust and ready").as_terms(),
        Some(vec![&rust, &Term::Ready])
    );
    for text in [
        "a or b",
        "not a",
        "*",
        "path:a",
        "meta:a=1",
        "a and not b",
        "a and path:b",
    ] {
        assert_eq!(
            (read(text).as_term(), read(text).as_terms()),
            (None, None),
            "{text}"
        );
    }
    assert_eq!(read("a").as_terms(), None);
}

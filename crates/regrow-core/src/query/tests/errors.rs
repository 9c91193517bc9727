//! Texts that are no query: what is said of them, and where.

use super::*;

/// The sentence, and the text with the mark.
#[track_caller]
fn refused(text: &str) -> String {
    text.parse::<Query>().unwrap_err().to_string()
}

/// Each text, the place of the mark below it, and the sentence.
const WRONG: &[(&str, &str, &str)] = &[
    (
        "",
        "^",
        "expected a tag, `key=value`, `type:…` or another term, got the end (column 1)",
    ),
    (
        "a and",
        "     ^",
        "expected a tag, `key=value`, `type:…` or another term, got the end (column 6)",
    ),
    (
        "a or or b",
        "     ^",
        "expected a tag, `key=value`, `type:…` or another term, got `or` (column 6)",
    ),
    (
        "not",
        "   ^",
        "expected a tag, `key=value`, `type:…` or another term, got the end (column 4)",
    ),
    (
        "and=b",
        "^",
        "expected a tag, `key=value`, `type:…` or another term, got `and` (column 1)",
    ),
    (
        "()",
        " ^",
        "expected a tag, `key=value`, `type:…` or another term, got `)` (column 2)",
    ),
    (
        "= a",
        "^",
        "expected a tag, `key=value`, `type:…` or another term, got `=` (column 1)",
    ),
    (
        "ä & b",
        "  ^",
        "expected `and`, `or` or the end, got `&` (column 3)",
    ),
    (
        "a b",
        "  ^",
        "expected `and`, `or` or the end, got `b` (column 3)",
    ),
    (
        "a AND b",
        "  ^",
        "expected `and`, `or` or the end, got `AND` (column 3)",
    ),
    (
        "a)",
        " ^",
        "expected `and`, `or` or the end, got `)` (column 2)",
    ),
    (
        "a \"b\"",
        "  ^",
        "expected `and`, `or` or the end, got `\"b\"` (column 3)",
    ),
    (
        "\"a\":b",
        "   ^",
        "expected `and`, `or` or the end, got `:` (column 4)",
    ),
    (
        "a *",
        "  ^",
        "expected `and`, `or` or the end, got `*` (column 3)",
    ),
    (
        "a=b=c",
        "   ^",
        "expected `and`, `or` or the end, got `=` (column 4)",
    ),
    (
        "a?b",
        "  ^",
        "expected `and`, `or` or the end, got `b` (column 3)",
    ),
    (
        "(a or b",
        "       ^",
        "expected `and`, `or` or `)`, got the end (column 8)",
    ),
    (
        "(a b",
        "   ^",
        "expected `and`, `or` or `)`, got `b` (column 4)",
    ),
    (
        "kin:actor",
        "^",
        "expected `tag`, `type`, `kind`, `cap`, `phase`, `health`, `path` or `meta` before `:`, got `kin` (column 1)",
    ),
    (
        "x and lang:rust",
        "      ^",
        "expected `tag`, `type`, `kind`, `cap`, `phase`, `health`, `path` or `meta` before `:`, got `lang` (column 7)",
    ),
    (
        "kind:robot",
        "     ^",
        "expected a kind of actor, task, thread, supervisor, pool, breaker, process, remote, got `robot` (column 6)",
    ),
    (
        "health:",
        "       ^",
        "expected a health, got the end (column 8)",
    ),
    (
        "health: fine",
        "        ^",
        "expected a health of unknown, up, degraded, down, got `fine` (column 9)",
    ),
    ("phase:(", "      ^", "expected a phase, got `(` (column 7)"),
    ("tag:?", "    ^", "expected a tag, got `?` (column 5)"),
    (
        "type:and",
        "     ^",
        "expected a type, got `and` (column 6)",
    ),
    (
        "cap:=",
        "    ^",
        "expected a capability, got `=` (column 5)",
    ),
    (
        "path:root/*",
        "          ^",
        "expected `and`, `or` or the end, got `*` (column 11)",
    ),
    ("path:*", "     ^", "expected a path, got `*` (column 6)"),
    (
        "lang=",
        "     ^",
        "expected a value, got the end (column 6)",
    ),
    ("lang=or", "     ^", "expected a value, got `or` (column 6)"),
    (
        "cost<3",
        "    ^",
        "expected `=` or `?` after a key (metadata are compared as `meta:cost<3`), got `<` (column 5)",
    ),
    (
        "\"a\"!=b",
        "   ^",
        "expected `=` or `?` after a key (metadata are compared as `meta:cost<3`), got `!=` (column 4)",
    ),
    (
        "meta:<3",
        "     ^",
        "expected the key of metadata, got `<` (column 6)",
    ),
    (
        "meta:cost",
        "         ^",
        "expected `=`, `!=`, `<`, `<=`, `>` or `>=`, got the end (column 10)",
    ),
    (
        "meta:cost?",
        "         ^",
        "expected `=`, `!=`, `<`, `<=`, `>` or `>=`, got `?` (column 10)",
    ),
    (
        "meta:cost<",
        "          ^",
        "expected a value, got the end (column 11)",
    ),
    (
        "meta:cost<and",
        "          ^",
        "expected a value, got `and` (column 11)",
    ),
    (
        "meta:cost=(3)",
        "          ^",
        "expected a value, got `(` (column 11)",
    ),
    (
        "a and \"b c",
        "      ^",
        "expected `\"` at the end of it, got quotes that are never closed (column 7)",
    ),
    (
        "\"a\\\"",
        "^",
        "expected `\"` at the end of it, got quotes that are never closed (column 1)",
    ),
    (
        "a=\"b",
        "  ^",
        "expected `\"` at the end of it, got quotes that are never closed (column 3)",
    ),
];

#[test]
fn a_wrong_text_gets_the_place_and_what_was_expected_there() {
    for (text, mark, sentence) in WRONG {
        assert_eq!(refused(text), format!("{sentence}\n  {text}\n  {mark}"));
        let error = text.parse::<Query>().unwrap_err();
        assert_eq!(
            (error.column(), error.sentence()),
            (mark.len(), (*sentence).to_owned())
        );
    }
}

#[test]
fn the_words_of_a_phase_are_named_when_it_is_none_of_them() {
    assert_eq!(
        refused("phase:gone"),
        "expected a phase of pending, starting, running, paused, draining, stopping, backoff, completed, stopped, failed, got \
         `gone` (column 7)\n  phase:gone\n        ^"
    );
}

#[test]
fn a_text_of_several_lines_is_shown_in_one() {
    assert_eq!(
        refused("a\n  b\tc"),
        "expected `and`, `or` or the end, got `b` (column 5)\n  a   b c\n      ^"
    );
}

#[test]
fn of_a_long_text_the_part_around_the_place_is_shown() {
    let text = format!("{}b {} c", "a or ".repeat(20), "d".repeat(60));
    let error = refused(&text);
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(
        lines[0],
        "expected `and`, `or` or the end, got `dddddddddddddddddddddddd…` (column 103)"
    );
    assert_eq!(
        lines[1],
        format!("  … {}b {}…", "a or ".repeat(9), "d".repeat(24))
    );
    assert_eq!(lines[2], format!("  {}^", " ".repeat(49)));
    let whole = format!("{} {}", "a".repeat(47), "b".repeat(24));
    assert_eq!(refused(&whole).lines().nth(1), Some(&*format!("  {whole}")));
}

#[test]
fn a_text_that_is_too_long_is_not_read() {
    let fits = format!("\"{}\"", "a".repeat(MAX_TEXT - 2));
    assert_eq!(read(&fits), Query::tag("a".repeat(MAX_TEXT - 2)));
    let error = "(".repeat(1_000_000).parse::<Query>().unwrap_err();
    assert_eq!(
        error.sentence(),
        "expected at most 4096 bytes, got 1000000 bytes (column 1)"
    );
    assert!((fits + " ").parse::<Query>().is_err());
}

#[test]
fn a_text_that_is_nested_too_deep_is_refused_where_it_is() {
    let nested = |levels| format!("{}a{}", "(".repeat(levels), ")".repeat(levels));
    assert_eq!(read(&nested(64)), Query::tag("a"));
    let error = nested(65).parse::<Query>().unwrap_err();
    assert_eq!(
        error.sentence(),
        "expected at most 64 levels, got `(` (column 65)"
    );
    assert_eq!(read(&format!("{}a", "not ".repeat(64))), Query::tag("a"));
    let error = format!("{}a", "not ".repeat(65))
        .parse::<Query>()
        .unwrap_err();
    assert_eq!(
        error.sentence(),
        "expected at most 64 levels, got `not` (column 257)"
    );
    let beside = ["not (a)"; 200].join(" or ");
    assert_eq!(read(&beside).to_string(), ["not a"; 200].join(" or "));
}

#[test]
fn no_text_makes_the_reader_panic() {
    let pieces = [
        "a",
        "and",
        "or",
        "not",
        "(",
        ")",
        "\"",
        "\\",
        ":",
        "?",
        "*",
        "=",
        "!",
        "<",
        ">",
        "meta",
        "type",
        "ä",
        "\u{1F600}",
        " ",
        "\n",
        "3",
        "\0",
    ];
    for seed in 0..5_000 {
        let mut rng = crate::SplitMix64::new(seed);
        let length = rng.below(12);
        let text: String = (0..length)
            .map(|_| crate::testing::registry::one_of(&mut rng, &pieces))
            .collect();
        match text.parse::<Query>() {
            Ok(query) => assert_eq!(query.to_string().parse(), Ok(query), "seed {seed}"),
            Err(error) => assert!(error.column() <= text.chars().count() + 1, "seed {seed}"),
        }
    }
}

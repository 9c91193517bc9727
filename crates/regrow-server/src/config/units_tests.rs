//! Tests of the small languages.

use super::*;

fn expected<T: fmt::Debug>(result: Result<T, Refusal>) -> String {
    let said = result.unwrap_err().to_string();
    said.strip_prefix("expected ").unwrap().to_owned()
}

#[test]
fn durations_are_numbers_with_units() {
    for (text, millis) in [
        ("0s", 0),
        ("500ms", 500),
        ("30s", 30_000),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("1m30s", 90_000),
        ("1h2m3s4ms", 3_723_004),
        ("90s", 90_000),
        ("3650d", 315_360_000_000),
    ] {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
}

#[test]
fn what_is_no_duration_is_refused_with_what_to_write() {
    for (text, want) in [
        ("", "a duration such as 30s"),
        (
            "soon",
            "a duration such as 30s; units are ms, s, m, h and d, as in 1m30s",
        ),
        ("30", "a duration such as 30s; say 30s for seconds"),
        ("1.5", "a duration such as 30s; say 1.5s for seconds"),
        (
            "-5s",
            "a duration such as 30s; units are ms, s, m, h and d, as in 1m30s",
        ),
        ("s", "a duration such as 30s"),
        (
            "5 s",
            "a duration such as 30s; units are ms, s, m, h and d, as in 1m30s",
        ),
        (
            "5y",
            "a duration such as 30s; units are ms, s, m, h and d, as in 1m30s",
        ),
        (
            "30s1m",
            "a duration such as 30s; write large units first and each once, as in 1m30s",
        ),
        (
            "1s1s",
            "a duration such as 30s; write large units first and each once, as in 1m30s",
        ),
        (
            "1m30",
            "a duration such as 30s; units are ms, s, m, h and d, as in 1m30s",
        ),
        ("3651d", "a duration of at most 10 years"),
        (
            "99999999999999999999999999999999999999999999h",
            "a duration of at most 10 years",
        ),
        (
            "10é",
            "a duration such as 30s; units are ms, s, m, h and d, as in 1m30s",
        ),
    ] {
        assert_eq!(expected(duration(text)), want, "{text}");
    }
    assert_eq!(expected(some_duration("0s")), "a duration of at least 1ms");
}

#[test]
fn durations_in_words_read_back_as_themselves() {
    for text in ["0s", "1ms", "30s", "1m30s", "2h", "1d1h1m1s1ms"] {
        assert_eq!(in_words(duration(text).unwrap()), text);
    }
}

#[test]
fn ids_are_small_words() {
    for text in ["a", "0", "coder-1", "a.b_c-d", "x".repeat(64).as_str()] {
        assert_eq!(id(text), Ok(text.to_owned()));
    }
    for text in [
        "",
        "-a",
        ".a",
        "_a",
        "a b",
        "a/b",
        "é",
        "x".repeat(65).as_str(),
    ] {
        assert!(id(text).is_err(), "{text}");
    }
    assert_eq!(
        expected(id("Coder")),
        "an id of a-z, 0-9, '_', '.' and '-' that begins with a letter or digit; write \"coder\""
    );
}

#[test]
fn tags_are_words_or_pairs() {
    for text in ["fast", "lang=rust", "a:b", "1", "url=http://x/?a=b"] {
        assert_eq!(tag(text), Ok(text.to_owned()));
    }
    for text in ["", "=x", "a b", "a,b", "a\"", "\n", "x".repeat(65).as_str()] {
        assert!(tag(text).is_err(), "{text}");
    }
}

#[test]
fn words_are_tags_without_a_value() {
    for text in ["plan", "a:b", "1", "max-tokens", "openai/chat"] {
        assert_eq!(word(text), Ok(text.to_owned()));
    }
    for text in ["", "a=b", "a b", "a\\", "ä", "x".repeat(65).as_str()] {
        assert!(word(text).is_err(), "{text}");
    }
}

#[test]
fn variables_of_regrow_are_not_for_others() {
    for text in ["FOO", "_x", "redis_url", "REGROW"] {
        assert_eq!(variable(text), Ok(text.to_owned()));
    }
    for text in ["", "1A", "A-B", "A=B", "é", "A".repeat(129).as_str()] {
        assert!(variable(text).is_err(), "{text}");
    }
    for text in [
        "REGROW_TOKEN",
        "AGENT_ID",
        "AGENT_TYPE",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "TRACEPARENT",
        "TRACESTATE",
    ] {
        assert!(
            expected(variable(text)).starts_with("a variable that regrow does not set itself; "),
            "{text}"
        );
    }
    assert_eq!(
        expected(variable("PORT")),
        "a variable that regrow does not set itself; use the agent's port: auto, or a number"
    );
}

#[test]
fn ports_are_within_their_range_and_in_order() {
    assert_eq!(port("8001"), Ok(8001));
    for text in [
        "",
        "0",
        "65536",
        "-1",
        "+1",
        "80a",
        "99999999999999999999999",
    ] {
        assert_eq!(expected(port(text)), "a port from 1 to 65535", "{text}");
    }
    assert_eq!(ports("8001-8100"), Ok(8001..=8100));
    assert_eq!(ports("8001 - 8100"), Ok(8001..=8100));
    assert_eq!(ports("8001"), Ok(8001..=8001));
    assert_eq!(
        expected(ports("8100-8001")),
        "a range of ports such as 8001-8100, within 1-65535; write the lower one first: 8001-8100"
    );
    for text in ["", "-", "0-10", "1-65536", "1-2-3", "a-b"] {
        assert_eq!(
            expected(ports(text)),
            "a range of ports such as 8001-8100, within 1-65535",
            "{text}"
        );
    }
}

#[test]
fn only_loopback_addresses_are_listened_on() {
    for text in ["127.0.0.1:8000", "127.9.9.9:1", "[::1]:8000", "127.0.0.1:0"] {
        assert_eq!(listen_address(text), Ok(text.parse().unwrap()));
    }
    for text in ["", "8000", "localhost", "127.0.0.1", "127.0.0.1:99999"] {
        assert_eq!(
            expected(listen_address(text)),
            "a loopback address with a port such as 127.0.0.1:8000",
            "{text}"
        );
    }
    for text in ["0.0.0.0:8000", "[::]:8000", "192.168.0.1:80"] {
        assert!(
            expected(listen_address(text)).ends_with("is not possible yet"),
            "{text}"
        );
    }
}

#[test]
fn signals_that_ask_are_known_by_both_names_and_kill_is_not_one() {
    assert_eq!(signal("TERM"), Ok(StopSignal::Term));
    assert_eq!(signal("SIGUSR2"), Ok(StopSignal::Usr2));
    let all = "one of TERM, INT, HUP, QUIT, USR1, USR2";
    assert_eq!(
        expected(signal("SIGKILL")),
        format!("{all}; an agent that does not stop in time is killed anyway")
    );
    assert_eq!(
        expected(signal("TREM")),
        format!("{all}; did you mean \"TERM\"?")
    );
    assert_eq!(expected(signal("STOPPED")), all);
}

#[test]
fn policies_of_other_tools_are_translated() {
    assert_eq!(policy("transient"), Ok(Restart::Transient));
    let all = "permanent, transient or temporary";
    for (text, meant) in [
        ("always", "permanent"),
        ("on-failure", "transient"),
        ("never", "temporary"),
        ("permanant", "permanent"),
    ] {
        assert_eq!(
            expected(policy(text)),
            format!("{all}; did you mean {meant:?}?")
        );
    }
    assert_eq!(expected(policy("xyz")), all);
}

#[test]
fn numbers_are_within_their_range() {
    assert_eq!(whole(0..=10)("10"), Ok(10));
    for text in ["", "11", "-1", "1.0", "x", "99999999999999999999999"] {
        assert_eq!(
            expected(whole(0..=10)(text)),
            "a whole number from 0 to 10",
            "{text}"
        );
    }
    assert_eq!(decimal(0.0..=1.0)("0.2"), Ok(0.2));
    for text in ["", ".", "1.1", "-0.1", "nan", "inf", "1e-3", "20%"] {
        assert_eq!(
            expected(decimal(0.0..=1.0)(text)),
            "a number from 0 to 1",
            "{text}"
        );
    }
    assert_eq!(truth("True"), Ok(true));
    assert_eq!(expected(truth("yes")), "true or false");
}

#[test]
fn ranks_go_from_minus_20_to_19_and_seconds_are_whole() {
    for (text, rank) in [("-20", -20), ("-0", 0), ("0", 0), ("19", 19)] {
        assert_eq!(nice(text), Ok(rank), "{text}");
    }
    for text in [
        "",
        "-",
        "-21",
        "20",
        "1.0",
        "+1",
        "--1",
        "99999999999999999999",
    ] {
        assert_eq!(expected(nice(text)), A_RANK, "{text}");
    }
    assert_eq!(seconds("1m30s"), Ok(Duration::from_secs(90)));
    for text in ["0s", "999ms", "1s500ms"] {
        assert_eq!(
            expected(seconds(text)),
            "a duration of whole seconds, at least 1s",
            "{text}"
        );
    }
}

//! Breakers, their checks, and what agents say of them.

use regrow::breaker::{CircuitRules, Overdue, WindowSize};
use regrow_core::Backoff;
use regrow_core::probe::ProbeRules;
use regrow_process::{CheckAddress, HttpCheck};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn waits(base: u32, max: u32) -> Backoff {
    Backoff::exponential(SECOND * base..=SECOND * max).jitter(0.2)
}

/// What a breaker of the file goes by that has no check and says nothing.
fn called() -> CircuitRules {
    CircuitRules::default().half_open_deadline(SECOND * 65)
}

/// What an agent's own breaker goes by.
fn own() -> CircuitRules {
    CircuitRules::default()
        .window(WindowSize::Time(SECOND * 10))
        .consecutive_failures(5)
        .half_open_permits(1)
        .open_wait(waits(10, 60))
        .half_open_deadline(SECOND * 65)
}

fn asked(agent: Option<&str>, question: Question) -> BreakerCheck {
    BreakerCheck {
        agent: agent.map(str::to_owned),
        question,
        rules: ProbeRules::default(),
    }
}

#[test]
fn a_breaker_that_says_nothing_goes_by_the_rules_of_the_library_and_waits_for_the_slowest_answer() {
    let config = good("breakers: { model: {} }\nagents: {}\n");
    let model = BreakerConfig {
        id: "model".to_owned(),
        rules: called(),
        check: None,
    };
    assert_eq!(config.breakers, [model]);
}

#[test]
fn a_breaker_may_say_everything() {
    let config = good(concat!(
        "breakers:\n  model:\n    window: 100 calls\n    minimum_calls: 10\n    failure_ratio: 25%\n",
        "    slow_threshold: 2s\n    slow_ratio: 0.75\n    consecutive_failures: 7\n",
        "    open_wait: { base: 1s, factor: 3, max: 9s, jitter: 0, stable_after: 30s }\n",
        "    half_open_permits: 4\n    half_open_success: 50%\n    half_open_deadline: 25s\n",
        "    half_open_overdue: close\n    call_timeout: 20s\n",
        "  short: { window: 1m, consecutive_failures: none, open_wait: 400s }\n",
        "  late: { open_wait: { base: 400s } }\n  soon: { open_wait: { max: 2s } }\n",
        "agents: {}\n",
    ));
    let open_wait = Backoff::exponential(SECOND..=SECOND * 9)
        .factor(3.0)
        .reset_after(SECOND * 30);
    let model = CircuitRules::default()
        .window(WindowSize::Count(100))
        .minimum_calls(10)
        .failure_ratio(0.25)
        .slow_threshold(SECOND * 2)
        .slow_ratio(0.75)
        .consecutive_failures(7)
        .open_wait(open_wait)
        .half_open_permits(4)
        .half_open_success(0.5)
        .half_open_deadline(SECOND * 25)
        .half_open_overdue(Overdue::Close)
        .call_timeout(SECOND * 20);
    let short = called()
        .window(WindowSize::Time(SECOND * 60))
        .open_wait(waits(400, 400));
    let rules: Vec<_> = config.breakers.into_iter().map(|one| one.rules).collect();
    // One of the two moves the other out of its way.
    let late = called().open_wait(waits(400, 400));
    let soon = called().open_wait(waits(2, 2));
    assert_eq!(rules, [model, short, late, soon]);
}

#[test]
fn a_check_asks_an_agent_or_another_host_and_few_failures_are_enough() {
    let config = good(concat!(
        "breakers:\n",
        "  store: { check: { agent: store, http: /healthz, initial_delay: 3s, period: 1s, timeout: 2s } }\n",
        "  db: { check: { tcp: { host: db.local, port: 5432 } } }\n",
        "  cache: { check: { tcp: { port: 6379 } } }\n",
        "  api: { check: { http: { host: api.local, path: /up } } }\n",
        "  job: { check: { exec: [pg_isready, -q] } }\n",
        "  own: { check: { agent: store, exec: [./ask, '${PORT}'] } }\n",
        "agents: { store: { command: x, port: auto } }\n",
    ));
    let checked = CircuitRules::default()
        .consecutive_failures(3)
        .half_open_permits(1)
        .half_open_deadline(SECOND * 35);
    assert_eq!(config.breakers[0].rules, checked);
    let get = |path| HttpCheck::over_socket("", path).unwrap();
    let host = |name: &str| CheckAddress::Tcp(name.to_owned());
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let store = BreakerCheck {
        rules: ProbeRules {
            initial_delay: SECOND * 3,
            period: SECOND,
            timeout: SECOND * 2,
            ..ProbeRules::default()
        },
        ..asked(
            Some("store"),
            Question::Http {
                at: Where::Agent(None),
                check: get("/healthz"),
            },
        )
    };
    let api = Question::Http {
        at: Where::Host(host("api.local:80")),
        check: get("/up").at(host("api.local:80")),
    };
    let expected = [
        store,
        asked(None, Question::Tcp(Where::Host(host("db.local:5432")))),
        asked(None, Question::Tcp(Where::Host(host("127.0.0.1:6379")))),
        asked(None, api),
        asked(None, Question::Exec(words(&["pg_isready", "-q"]))),
        asked(Some("store"), Question::Exec(words(&["./ask", "${PORT}"]))),
    ];
    let checks: Vec<_> = config
        .breakers
        .into_iter()
        .filter_map(|one| one.check)
        .collect();
    assert_eq!(checks, expected);
}

#[test]
fn an_agent_has_no_breaker_one_of_its_own_or_a_shared_one() {
    let config = good(concat!(
        "breakers: { model: {} }\nagents:\n",
        "  none: { command: x, port: auto }\n",
        "  no: { command: x, port: auto, breaker: false }\n",
        "  yes: { command: x, port: auto, breaker: true }\n",
        "  usual: { command: x, port: auto, breaker: {} }\n",
        "  own: { command: x, port: auto, breaker: { consecutive_failures: 2, open_wait: 1s } }\n",
        "  shared: { command: x, port: auto, breaker: model, gate: model }\n",
    ));
    let breakers = config.agents.iter().map(|agent| agent.breaker.clone());
    let expected = [
        None,
        None,
        Some(AgentBreaker::Own(own())),
        Some(AgentBreaker::Own(own())),
        Some(AgentBreaker::Own(
            own().consecutive_failures(2).open_wait(waits(1, 60)),
        )),
        Some(AgentBreaker::Shared("model".to_owned())),
    ];
    assert_eq!(breakers.collect::<Vec<_>>(), expected);
    let gates: Vec<_> = config
        .agents
        .iter()
        .map(|agent| agent.gate.as_deref())
        .collect();
    assert_eq!(gates, [None, None, None, None, None, Some("model")]);
}

/// Asserts that the file with these breakers and agents gives these lines.
fn says(breakers: &str, agents: &str, want: &[&str]) {
    let text = format!("breakers: {breakers}\nagents: {agents}\n");
    let want: Vec<String> = want
        .iter()
        .map(|line| format!("agents.yaml:{line}"))
        .collect();
    assert_eq!(errors(&text), want, "of {text}");
}

#[test]
fn a_rule_that_is_out_of_its_range_is_told_with_what_it_may_be() {
    says(
        "{ m: { failure_ratio: 0%, slow_ratio: 1.5, window: 500ms, minimum_calls: 0, open_wait: soon, trials: 1 } }",
        "{}",
        &[
            "1:33: breakers.m.failure_ratio: expected a share such as 50% or 0.5, more than 0 and at most 1, got \"0%\"",
            "1:49: breakers.m.slow_ratio: expected a share such as 50% or 0.5, more than 0 and at most 1, got \"1.5\"",
            "1:62: breakers.m.window: expected whole seconds such as 30s, up to 1h, or a number such as 100 calls, got \"500ms\"",
            "1:84: breakers.m.minimum_calls: expected a whole number from 1 to 100000, got \"0\"",
            "1:98: breakers.m.open_wait: expected a duration such as 30s, got \"soon\"; units are ms, s, m, h and d, as in 1m30s",
            "1:104: breakers.m.trials: expected a key of a breaker (check, window, minimum_calls, failure_ratio, \
             slow_threshold, slow_ratio, consecutive_failures, open_wait, half_open_permits, half_open_success, \
             half_open_deadline, half_open_overdue, call_timeout), got \"trials\"",
        ],
    );
    says(
        "{ m: { open_wait: { base: 20s, max: 10s }, half_open_overdue: shut, window: 2h } }",
        "{}",
        &[
            "1:37: breakers.m.open_wait.base: expected base <= max, the longest wait (10s), got base 20s; raise max or lower base",
            "1:73: breakers.m.half_open_overdue: expected open or close, got \"shut\"",
            "1:87: breakers.m.window: expected whole seconds such as 30s, up to 1h, or a number such as 100 calls, got \"2h\"",
        ],
    );
}

#[test]
fn a_check_has_to_know_whom_it_asks_and_what() {
    says(
        "{ a: { check: {} }, b: { check: { http: /up } }, c: { check: { agent: w, tcp: {} } } }",
        "{ w: { command: x } }",
        &[
            "1:18: breakers.a.check: expected one of http, tcp, grpc, exec, got none; say what is asked, as in http: { path: /healthz }",
            "1:45: breakers.b.check.http: expected whom to ask, got nobody; add host and port as in { host: db.local, port: 5432 }, or agent: ID beside it",
            "1:84: breakers.c.check.tcp: expected an agent with a port, got one without; give that agent port: auto, or say the port here",
        ],
    );
    says(
        "{ a: { check: { agent: wrker, tcp: {} } }, b: { check: { exec: ['./x', '${PORT}'] } }, c: { check: { agent: worker, tcp: { host: h, port: 1 } } } }",
        "{ worker: { command: x, port: auto } }",
        &[
            "1:34: breakers.a.check.agent: expected the id of an agent, got \"wrker\"; did you mean \"worker\"?",
            "1:82: breakers.b.check.exec[1]: expected a variable that is set when the file is read, got ${PORT}; it is set for agents: name the one that is asked, agent: ID",
            "1:134: breakers.c.check.tcp.host: expected no host, because an agent is asked, got one; remove it, or remove agent",
        ],
    );
}

#[test]
fn who_names_a_breaker_names_one_that_there_is() {
    says(
        "{ model: {}, true: {} }",
        "{ a: { command: x, port: auto, breaker: modl }, b: { command: x, gate: other }, c: { command: x, breaker: true } }",
        &[
            "1:24: breakers.true: expected an id that is no word for yes or no, got \"true\"; choose another id",
            "2:40: agents.a.breaker: expected the id of a breaker, got \"modl\"; did you mean \"model\"?",
            "2:80: agents.b.gate: expected the id of a breaker, got \"other\"; say what it is under breakers",
            "2:106: agents.c.breaker: expected an agent with a port, since it is requests that go through it, got one without; give the agent port: auto, or remove breaker",
        ],
    );
}

#[test]
fn there_are_so_many_breakers_and_no_more() {
    let many = |count: usize| {
        let all: Vec<_> = (0..count)
            .map(|number| format!("b{number}: {{}}"))
            .collect();
        format!("breakers: {{ {} }}\nagents: {{}}\n", all.join(", "))
    };
    assert_eq!(good(&many(1000)).breakers.len(), 1000);
    let one_more =
        "agents.yaml:1:1: breakers: expected at most 1000 breakers, got 1001; remove some";
    assert_eq!(errors(&many(1001)), [one_more]);
}

#[test]
fn two_breakers_have_two_ids_and_none_waits_for_itself() {
    says(
        "{ a: {}, s: { check: { agent: s, tcp: {} } } }",
        "{ a: { command: x, port: auto, breaker: true }, s: { command: x, port: auto, gate: s }, breakers: { command: x } }",
        &[
            "1:13: breakers.a: expected an id that no agent with a breaker of its own has, got \"a\", which agents.a.breaker has (2:40); change one of the two",
            "2:92: agents.s.gate: expected a breaker whose check does not ask this agent, got \"s\"; it would be down until it is up; remove gate",
            "2:97: agents.breakers: expected another id, because the supervisor of the breakers has this one, got \"breakers\"; choose another id",
        ],
    );
}

#[test]
fn a_trial_has_more_time_than_a_call_may_take() {
    for (rules, seconds) in [
        ("{}", 65),
        ("{ call_timeout: 20s }", 35),
        ("{ call_timeout: 60s }", 65),
        ("{ call_timeout: 20s, half_open_deadline: 20s }", 20),
        ("{ half_open_deadline: 10s }", 10),
        ("{ check: { tcp: { port: 1 } } }", 35),
        ("{ check: { tcp: { port: 1 }, timeout: 40s } }", 45),
        ("{ check: { tcp: { port: 1 } }, call_timeout: 100s }", 105),
    ] {
        let config = good(&format!("breakers: {{ m: {rules} }}\nagents: {{}}\n"));
        let found = config.breakers[0].rules.clone();
        let expected = found.clone().half_open_deadline(SECOND * seconds);
        assert_eq!(found, expected, "{rules}");
    }
    says(
        "{ m: { half_open_deadline: 10s, call_timeout: 11s }, c: { half_open_deadline: 5s, check: { tcp: { port: 1 }, timeout: 6s } } }",
        "{ a: { command: x, port: auto, breaker: { call_timeout: 2s, half_open_deadline: 1s } } }",
        &[
            "1:57: breakers.m.call_timeout: expected at most half_open_deadline (10s), when a trial has to be back, got 11s; raise half_open_deadline, or lower this",
            "1:120: breakers.c.check.timeout: expected at most half_open_deadline (5s), when a trial has to be back, got 6s; raise half_open_deadline, or lower this",
            "2:65: agents.a.breaker.call_timeout: expected at most half_open_deadline (1s), when a trial has to be back, got 2s; raise half_open_deadline, or lower this",
        ],
    );
}

#[test]
fn a_time_that_would_be_cut_is_refused() {
    let config = good("breakers: { m: { open_wait: 24h, call_timeout: 1m } }\nagents: {}\n");
    assert_eq!(config.breakers.len(), 1);
    says(
        "{ a: { open_wait: 48h }, b: { open_wait: { base: 25h, max: 26h } }, c: { call_timeout: 61s } }",
        "{ a: { command: x, port: auto, breaker: { call_timeout: 2m } } }",
        &[
            "1:29: breakers.a.open_wait: expected a duration such as 30s, at most 1d, got \"48h\"",
            "1:60: breakers.b.open_wait.base: expected a duration such as 30s, at most 1d, got \"25h\"",
            "1:70: breakers.b.open_wait.max: expected a duration such as 30s, at most 1d, got \"26h\"",
            "1:98: breakers.c.call_timeout: expected a duration such as 30s, at most 1m, got \"61s\"",
            "2:65: agents.a.breaker.call_timeout: expected a duration such as 30s, at most 1m, got \"2m\"",
        ],
    );
}

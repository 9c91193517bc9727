//! Wrong files, each with all that is said of it.

use super::errors;

/// Asserts that the file gives these lines, each after `agents.yaml:`.
fn says(text: &str, want: &[&str]) {
    let want: Vec<String> = want
        .iter()
        .map(|line| format!("agents.yaml:{line}"))
        .collect();
    assert_eq!(errors(text), want, "of {text}");
}

/// Asserts the same of an agent `a` with a command and this besides, from line 4, column 5 on.
fn agent_says(text: &str, want: &[&str]) {
    says(
        &format!("agents:\n  a:\n    command: x\n    {text}\n"),
        want,
    );
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_known_one() {
    says(
        "agents:\n  coder:\n    command: x\n    restrt: permanent\n",
        &[
            "4:5: agents.coder.restrt: expected a key of an agent, got \"restrt\"; did you mean \"restart\"?",
        ],
    );
    says(
        "serve: {}\nagents: {}\n",
        &["1:1: serve: expected a key of the file, got \"serve\"; did you mean \"server\"?"],
    );
    says(
        "limits: { zzz: 1 }\nagents: {}\n",
        &["1:11: limits.zzz: expected a key of limits (max_agents), got \"zzz\""],
    );
}

#[test]
fn a_bad_duration_is_told_with_one_that_fits() {
    says(
        "agents:\n  coder:\n    command: x\n    restart: { max: \"soon\" }\n",
        &[
            "4:21: agents.coder.restart.max: expected a duration such as 30s, got \"soon\"; \
           units are ms, s, m, h and d, as in 1m30s",
        ],
    );
    agent_says(
        "start_window: 5",
        &[
            "4:19: agents.a.start_window: expected a duration such as 30s, got \"5\"; say 5s for seconds",
        ],
    );
    agent_says(
        "stop: { timeout: 0s }",
        &["4:22: agents.a.stop.timeout: expected a duration of at least 1ms, got \"0s\""],
    );
    agent_says(
        "restart: { stable_after: 4000d }",
        &[
            "4:30: agents.a.restart.stable_after: expected a duration of at most 10 years, got \"4000d\"",
        ],
    );
}

#[test]
fn each_cycle_is_told_once_with_its_whole_way() {
    says(
        "agents:\n  a: { command: x, depends_on: [b] }\n  b: { command: x, depends_on: [a] }\n",
        &[
            "3:33: agents.b.depends_on[0]: expected an order of start, got a cycle: a -> b (2:33) -> a (3:33); \
           remove one of these dependencies",
        ],
    );
    agent_says(
        "depends_on: [a]",
        &[
            "4:18: agents.a.depends_on[0]: expected an order of start, got a cycle: a -> a (4:18); \
           remove one of these dependencies",
        ],
    );
    says(
        concat!(
            "agents:\n",
            "  in: { command: x, depends_on: [a] }\n",
            "  a: { command: x, depends_on: [b, c] }\n",
            "  b: { command: x, depends_on: [c, a] }\n",
            "  c: { command: x, depends_on: [a] }\n",
            "  out: { command: x }\n",
        ),
        &[
            "4:36: agents.b.depends_on[1]: expected an order of start, got a cycle: a -> b (3:33) -> a (4:36); \
             remove one of these dependencies",
            "5:33: agents.c.depends_on[0]: expected an order of start, got a cycle: a -> b (3:33) -> c (4:33) -> a (5:33); \
             remove one of these dependencies",
        ],
    );
}

#[test]
fn a_dependency_on_nobody_is_told_with_the_nearest_id() {
    says(
        "agents:\n  worker: { command: x }\n  b: { command: x, depends_on: [wroker, zzzzzz] }\n",
        &[
            "3:33: agents.b.depends_on[0]: expected the id of an agent, got \"wroker\"; did you mean \"worker\"?",
            "3:41: agents.b.depends_on[1]: expected the id of an agent, got \"zzzzzz\"",
        ],
    );
    agent_says(
        "depends_on: db",
        &[
            "4:17: agents.a.depends_on: expected a list of ids such as [db], or a mapping such as {db: ready}, got \"db\"",
        ],
    );
    // An agent that could not be read is there all the same.
    says(
        "agents:\n  a: { command: x, depends_on: [b] }\n  b: x\n",
        &[
            "3:6: agents.b: expected a mapping with keys of an agent (command, type, tags, capabilities, metadata, env, \
           workdir, port, group, enabled, handover, depends_on, ready, once, restart, stop, stdin, logs, start_window, max_runtime, limits, probes, breaker, gate, required), got \"x\"",
        ],
    );
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_the_file() {
    let text = "version: 2\nports: 9-8\nagents:\n  b: { port: 0 }\n  a: { command: [] }\n";
    let said = super::parsed(text).unwrap_err().to_string();
    let want = "\
agents.yaml:1:10: version: expected 1, the only version there is, got \"2\"
agents.yaml:2:8: ports: expected a range of ports such as 8001-8100, within 1-65535, got \"9-8\"; write the lower one first: 8-9
agents.yaml:4:3: agents.b: expected a command, got none; add command: [\"program\", \"argument\"]
agents.yaml:4:14: agents.b.port: expected auto, socket or a port from 1 to 65535, got \"0\"
agents.yaml:5:17: agents.a.command: expected a list such as [\"program\", \"argument\"], or a line for sh -c, got an empty list; name the program
5 errors in agents.yaml; nothing was started";
    assert_eq!(said, want);
}

#[test]
fn many_errors_are_counted_rather_than_told() {
    let agents: String = (0..150)
        .map(|number| format!("  a{number}: {{ command: x, port: x }}\n"))
        .collect();
    let said = errors(&format!("limits: {{ max_agents: 200 }}\nagents:\n{agents}"));
    assert_eq!(said.len(), 101);
    assert_eq!(said[100], "and 50 more");
}

#[test]
fn a_syntax_error_is_told_alone_with_its_place() {
    says(
        "agents:\n  a: {command: x\n  b: y\n",
        &[
            "3:4: expected YAML, got an error of syntax: while parsing a flow mapping, did not find expected ',' or '}'; \
           correct it, then check again for the rest",
        ],
    );
    says(
        "agents: { a: { command: run ${PORT}, port: auto } }\n",
        &[
            "1:30: expected YAML, got an error of syntax: while parsing a flow mapping, did not find expected ',' or '}'; \
           put values with ${…} into quotes, then check again for the rest",
        ],
    );
    let deep = errors(&"[".repeat(100));
    assert!(
        deep[0].starts_with("agents.yaml:1:65: expected YAML, got an error of syntax: "),
        "{deep:?}"
    );
    let deep = errors(&"- ".repeat(100));
    assert!(
        deep[0].contains("expected YAML, got an error of syntax: "),
        "{deep:?}"
    );
}

#[test]
fn yaml_that_a_configuration_does_not_use_is_refused() {
    says(
        "agents: !team {}\n",
        &["1:9: agents: expected a value without a tag, got the tag !team; remove the tag"],
    );
    says(
        "agents: {}\n---\nagents: {}\n",
        &["2:1: expected one YAML document, got a second one; put all agents into one document"],
    );
    says(
        "[a, b]: c\n",
        &[
            "1:1: expected a key that is a text, got a list, a mapping or an alias; write \"key: value\"",
        ],
    );
    says(
        "limits: &l {}\nagents:\n  <<: *l\n",
        &[
            "3:3: agents: expected a key, got the merge key \"<<\"; what all agents share goes under defaults",
        ],
    );
    says(
        "agents: &a { b: *a }\n",
        &[
            "1:17: agents.b: expected an alias of a value that is complete, got one of a value that holds it; \
           write the value out",
        ],
    );
    let top = "expected a mapping with keys of the file (version, server, ports, limits, log, telemetry, defaults, groups, breakers, agents, pools)";
    says("", &[&format!("1:1: {top}, got nothing")]);
    says("- a\n", &[&format!("1:1: {top}, got a list")]);
}

#[test]
fn a_key_that_stands_twice_is_told_with_both_places() {
    says(
        "agents:\n  a: { command: x }\n  b: { command: x }\n  a: { command: y }\n",
        &[
            "4:3: agents.a: expected each key once, got \"a\" again; the first is at 2:3; remove one of the two",
        ],
    );
    agent_says(
        "env: { set: { A: 1, A: 2 } }",
        &[
            "4:25: agents.a.env.set.A: expected each key once, got \"A\" again; the first is at 4:19; \
           remove one of the two",
        ],
    );
}

#[test]
fn a_port_belongs_to_one() {
    says(
        concat!(
            "server: { listen: 127.0.0.1:8000 }\n",
            "agents:\n",
            "  a: { command: x, port: 8005 }\n",
            "  b: { command: x, port: 8005 }\n",
            "  c: { command: x, port: 8000 }\n",
        ),
        &[
            "4:26: agents.b.port: expected a port of its own, got 8005, which agents.a.port has (3:26); \
             change one of the two",
            "5:26: agents.c.port: expected a port of its own, got 8000, which server.listen has (1:19); \
             change one of the two",
        ],
    );
    says(
        "agents:\n  a: { command: x, port: 8000 }\n",
        &[
            "2:26: agents.a.port: expected a port of its own, got 8000; \
             regrow itself listens there; choose another, or set server.listen",
        ],
    );
    says(
        "ports: 8000-8001\nagents:\n  a: { command: x, port: auto }\n  b: { command: x, port: auto }\n",
        &[
            "4:26: agents.b.port: expected at most 1 agents with port: auto, as many as ports 8000-8001 leaves, got 2; \
           widen ports",
        ],
    );
    says(
        "ports: 1-2\nagents:\n  a: { command: x, port: 2 }\n  b: { command: x, port: auto }\n  c: { command: x, port: auto }\n",
        &[
            "5:26: agents.c.port: expected at most 1 agents with port: auto, as many as ports 1-2 leaves, got 2; \
           widen ports",
        ],
    );
    says(
        "agents:\n  a-b: { command: x, port: auto }\n  a.b: { command: x, port: auto }\n  a_b: { command: x }\n",
        &[
            "3:3: agents.a.b: expected an id whose port has a name of its own, got REGROW_PORT_A_B, \
           which agents.a-b has (2:3); change one of the two",
        ],
    );
}

#[test]
fn a_port_that_is_named_must_be_there() {
    says(
        concat!(
            "agents:\n",
            "  db: { command: x, port: auto }\n",
            "  a: { command: [x, '${PORT}', '${REGROW_PORT_DB}', '${REGROW_PORT_BD}'] }\n",
            "  b: { command: x, env: { set: { A: '${REGROW_PORT_ACCOUNTING}' } } }\n",
        ),
        &[
            "3:21: agents.a.command[1]: expected a variable that is set when the agent is started, got ${PORT}; \
             add port: auto to this agent",
            "3:53: agents.a.command[3]: expected a variable that is set when the agent is started, \
             got ${REGROW_PORT_BD}; no agent with a port has this name; did you mean \"REGROW_PORT_DB\"?",
            "4:37: agents.b.env.set.A: expected a variable that is set when the agent is started, \
             got ${REGROW_PORT_ACCOUNTING}; no agent with a port has this name; give it port: auto",
        ],
    );
}

#[test]
fn one_agent_too_many_is_told_with_the_number() {
    says(
        "limits: { max_agents: 1 }\nagents:\n  a: { command: x }\n  b: { command: x }\n",
        &["2:1: agents: expected at most 1 agents, got 2; raise limits.max_agents, or remove some"],
    );
}

#[test]
fn delays_must_go_together() {
    agent_says(
        "restart: { base: 5m }",
        &[
            "4:22: agents.a.restart.base: expected base <= max, the longest delay (1m), got base 5m; \
           raise max or lower base",
        ],
    );
    // What comes of the agent is told there; what comes of the defaults alone, once.
    says(
        concat!(
            "defaults: { restart: { base: 5m } }\n",
            "agents:\n",
            "  a: { command: x }\n",
            "  b: { command: x, restart: { max: 10s } }\n",
        ),
        &[
            "1:30: defaults.restart.base: expected base <= max, the longest delay (1m), got base 5m; \
             raise max or lower base",
            "4:36: agents.b.restart.max: expected base <= max, the longest delay (10s), got base 5m; \
             raise max or lower base",
        ],
    );
}

#[test]
fn a_variable_that_is_not_set_is_told_with_what_to_write() {
    agent_says(
        "type: ${NONE}",
        &[
            "4:11: agents.a.type: expected a value for ${NONE}, got none; set NONE for regrow, \
           write ${NONE:-default}, or $${ for a literal ${",
        ],
    );
    let malformed = "expected ${NAME} or ${NAME:-default}, got another use of \"${\"; write $${ for a literal ${";
    agent_says(
        "env: { set: { A: 'pass${word' } }",
        &[&format!("4:22: agents.a.env.set.A: {malformed}")],
    );
    agent_says(
        "env: { set: { A: '${PORT:-1}' } }",
        &[
            "4:22: agents.a.env.set.A: expected ${PORT}, got one with a default; \
           PORT is always set when the agent is started; remove the default",
        ],
    );
}

#[test]
fn values_of_the_wrong_kind_are_told_with_what_fits() {
    let quotes = "put it into quotes if the word is meant: YAML reads it as nothing";
    for (text, want) in [
        ("tags: fast", "4:11: agents.a.tags: expected a list of tags such as [fast, lang=rust], got \"fast\"".to_owned()),
        ("tags:", "4:9: agents.a.tags: expected a list of tags such as [fast, lang=rust], got nothing".to_owned()),
        ("required: yes", "4:15: agents.a.required: expected true or false, got \"yes\"".to_owned()),
        ("stdin: file", "4:12: agents.a.stdin: expected pipe or null, got \"file\"".to_owned()),
        ("stdin:", "4:10: agents.a.stdin: expected pipe or null, got nothing".to_owned()),
        ("port: [1]", "4:11: agents.a.port: expected auto, socket or a port, got a list".to_owned()),
        ("type: ~", format!("4:11: agents.a.type: expected {}, got ~ (nothing, in YAML); {quotes}", super::units::AN_ID)),
        (
            "restart: always",
            "4:14: agents.a.restart: expected permanent, transient or temporary, got \"always\"; \
             did you mean \"permanent\"?"
                .to_owned(),
        ),
        (
            "restart: { factor: 0.5 }",
            "4:24: agents.a.restart.factor: expected a number from 1 to 100, got \"0.5\"".to_owned(),
        ),
        (
            "restart: { max_restarts: many }",
            "4:30: agents.a.restart.max_restarts: expected a whole number from 0 to 10000, got \"many\"".to_owned(),
        ),
        (
            "stop: { signal: KILL }",
            "4:21: agents.a.stop.signal: expected one of TERM, INT, HUP, QUIT, USR1, USR2, got \"KILL\"; \
             an agent that does not stop in time is killed anyway"
                .to_owned(),
        ),
        (
            "stop: { line: bye }\n    stdin: null",
            "4:19: agents.a.stop.line: expected no stop line, because stdin is null, got one; \
             write stdin: pipe, or remove the line"
                .to_owned(),
        ),
        (
            "env: { FOO: bar }",
            "4:12: agents.a.env.FOO: expected a key of env (inherit, set), got \"FOO\"".to_owned(),
        ),
        (
            "env: { set: { REGROW_TOKEN: x } }",
            "4:19: agents.a.env.set.REGROW_TOKEN: expected a variable that regrow does not set itself, \
             got \"REGROW_TOKEN\"; choose another name"
                .to_owned(),
        ),
        (
            "env: { inherit: [1A] }",
            "4:22: agents.a.env.inherit[0]: expected a variable's name of letters, digits and '_' that does not begin \
             with a digit, got \"1A\""
                .to_owned(),
        ),
    ] {
        agent_says(text, &[&want]);
    }
}

#[test]
fn what_an_agent_is_found_by_is_checked_word_by_word() {
    let (a_tag, a_word) = (super::units::A_TAG, super::units::A_WORD);
    let a_value = "a text, a number, true, false or null";
    for (text, want) in [
        ("tags: [a b]", format!("4:12: agents.a.tags[0]: expected {a_tag}, got \"a b\"")),
        ("tags: [=x]", format!("4:12: agents.a.tags[0]: expected {a_tag}, got \"=x\"")),
        ("tags: [{ lang: rust }]", format!("4:12: agents.a.tags[0]: expected {a_tag}, got a mapping")),
        (
            "tags: [lang=rust, fast, lang=go]",
            "4:29: agents.a.tags[2]: expected one value for the key \"lang\", got \"lang=go\" after \"lang=rust\"; \
             remove one of the two"
                .to_owned(),
        ),
        (
            "capabilities: plan",
            "4:19: agents.a.capabilities: expected a list of words such as [plan, review], got \"plan\"".to_owned(),
        ),
        ("capabilities: [plan=b]", format!("4:20: agents.a.capabilities[0]: expected {a_word}, got \"plan=b\"")),
        ("capabilities: ['']", format!("4:20: agents.a.capabilities[0]: expected {a_word}, got \"\"")),
        (
            "capabilites: []",
            "4:5: agents.a.capabilites: expected a key of an agent, got \"capabilites\"; did you mean \"capabilities\"?"
                .to_owned(),
        ),
        (
            "metadata: [cost]",
            "4:15: agents.a.metadata: expected a mapping such as {cost: 3, region: north}, got a list".to_owned(),
        ),
        ("metadata: { a b: 1 }", format!("4:17: agents.a.metadata.a b: expected {a_word}, got \"a b\"")),
        ("metadata: { cost: }", format!("4:21: agents.a.metadata.cost: expected {a_value}, got nothing")),
        (
            "metadata: { a: [{ b: '${NONE}' }] }",
            "4:26: agents.a.metadata.a[0].b: expected a value for ${NONE}, got none; set NONE for regrow, \
             write ${NONE:-default}, or $${ for a literal ${"
                .to_owned(),
        ),
    ] {
        agent_says(text, &[&want]);
    }
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let said = errors("agents: { a: { command: x, workdir: ./none } }");
    let begins = "agents.yaml:1:37: agents.a.workdir: expected the path of a directory, from the file's folder, \
                  got \"./none\"; ";
    let ends = "cannot be used: No such file or directory (os error 2)";
    assert!(
        said[0].starts_with(begins) && said[0].ends_with(ends),
        "{said:?}"
    );
    let said = errors("agents: { a: { command: x, workdir: Cargo.toml } }");
    assert!(
        said[0].ends_with("Cargo.toml is not a directory"),
        "{said:?}"
    );
}

#[test]
fn addresses_that_others_reach_are_not_possible_yet() {
    says(
        "server: { listen: 0.0.0.0:8000 }\nagents: {}\n",
        &[
            "1:19: server.listen: expected a loopback address with a port such as 127.0.0.1:8000, got \"0.0.0.0:8000\"; \
           listening where other machines can reach it is not possible yet",
        ],
    );
}

#[test]
fn a_command_names_a_program() {
    for (text, want) in [
        (
            "{}",
            "2:17: agents.a.command: expected a list such as [\"program\", \"argument\"], or a line for sh -c, got a mapping",
        ),
        (
            "",
            "2:15: agents.a.command: expected a list such as [\"program\", \"argument\"], or a line for sh -c, got nothing",
        ),
        (
            "\" \"",
            "2:17: agents.a.command: expected the name of a program that is not empty, got another one",
        ),
        (
            "[\"\"]",
            "2:18: agents.a.command[0]: expected the name of a program that is not empty, got another one",
        ),
        (
            "[x, [y]]",
            "2:21: agents.a.command[1]: expected a text, got a list",
        ),
        (
            "[x, \"\\0\"]",
            "2:21: agents.a.command[1]: expected a text without the character NUL, got another one",
        ),
    ] {
        says(&format!("agents:\n  a: {{ command: {text} }}\n"), &[want]);
    }
}

#[test]
fn what_regrow_is_to_tell_of_itself_is_checked() {
    says(
        "log: { format: jsn, level: loud }\nagents: {}\n",
        &[
            "1:16: log.format: expected text or json, got \"jsn\"; did you mean \"json\"?",
            "1:28: log.level: expected error, warn, info, debug or trace, got \"loud\"",
        ],
    );
    says(
        "telemetry: { otlp: { endpoint: 'https://cloud.langfuse.com', signals: [trace] } }\nagents: {}\n",
        &[
            "1:32: telemetry.otlp.endpoint: expected an address without TLS, got \"https://cloud.langfuse.com\"; \
           send to a collector on this machine, which speaks TLS to the world",
            "1:72: telemetry.otlp.signals[0]: expected traces, metrics or logs, got \"trace\"; did you mean \"traces\"?",
        ],
    );
    says(
        "telemetry: { otlp: { endpoint: 'http://me:${SECRET}@127.0.0.1' } }\nagents: {}\n",
        &[
            "1:32: telemetry.otlp.endpoint: expected an address without a user or a query, \
           got \"http://me:${SECRET}@127.0.0.1\" with its variables filled; \
           say who you are by OTEL_EXPORTER_OTLP_HEADERS in the environment",
        ],
    );
    says(
        "telemetry: { figures: 50ms }\nagents: {}\n",
        &[
            "1:23: telemetry.figures: expected a duration from 100ms to 1h such as 5s, or 0s for never, got \"50ms\"",
        ],
    );
    says(
        "telemetry: { otlp: { service: crew } }\nagents: {}\n",
        &[
            "1:20: telemetry.otlp: expected the key endpoint, got none; \
           add endpoint: http://127.0.0.1:4318 for a collector on this machine",
        ],
    );
    says(
        "telemetry: { otlp: { endpoint: 127.0.0.1, headers: { authorization: x } } }\nagents: {}\n",
        &[
            "1:32: telemetry.otlp.endpoint: expected an address such as http://127.0.0.1:4318, got \"127.0.0.1\"",
            "1:43: telemetry.otlp.headers: expected a key of otlp (endpoint, service, signals), got \"headers\"",
        ],
    );
}

#[test]
fn steps_of_a_stop_that_do_not_fit_are_told_with_the_room_that_there_is() {
    agent_says(
        "stop: { terminate: 19s }",
        &[
            "4:24: agents.a.stop.terminate: expected steps that fit into the timeout (20s) with room for force and sweep, got 19s of steps; \
           raise stop.timeout or shorten a step",
        ],
    );
    says(
        "defaults: { stop: { timeout: 3s } }\nagents: { a: { command: x, stop: { ask: 3s } } }\n",
        &[
            "2:41: agents.a.stop.ask: expected steps that fit into the timeout (3s) with room for force and sweep, got 3s of steps; \
           raise stop.timeout or shorten a step",
        ],
    );
}

#[test]
fn an_exit_code_is_in_one_list_and_is_one() {
    agent_says(
        "restart: { success_codes: [0, 300], never_on: [3], restart_on: [3] }",
        &[
            "4:35: agents.a.restart.success_codes[1]: expected an exit code from 0 to 255, or a signal such as SIGTERM, got \"300\"",
            "4:52: agents.a.restart.never_on[0]: expected each exit code and signal in one list, got one that restart_on has too; \
           remove it from one of them",
        ],
    );
}

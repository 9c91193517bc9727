//! What an agent is asked.

use regrow_core::probe::ProbeRules;
use regrow_process::{CheckAddress, HttpCheck};

use super::*;

fn get(path: &str) -> HttpCheck {
    HttpCheck::over_socket("", path).unwrap()
}

fn probe(kind: ProbeKind, question: Question) -> ProbeConfig {
    ProbeConfig {
        kind,
        name: kind.as_str().to_owned(),
        question,
        rules: ProbeRules::default(),
    }
}

#[test]
fn a_probe_that_says_only_what_it_asks_has_kubernetes_numbers() {
    let agent = agent(concat!(
        "agents:\n  a:\n    command: x\n    port: auto\n    probes:\n",
        "      startup: { tcp: {} }\n",
        "      liveness: { http: /healthz }\n",
        "      readiness: { grpc: {} }\n",
    ));
    let at = Where::Agent(None);
    let service = String::new();
    let expected = [
        probe(ProbeKind::Startup, Question::Tcp(at.clone())),
        probe(
            ProbeKind::Liveness,
            Question::Http {
                at: at.clone(),
                check: get("/healthz"),
            },
        ),
        probe(ProbeKind::Readiness, Question::Grpc { at, service }),
    ];
    assert_eq!(agent.probes, expected);
}

const EVERYTHING: &str = r#"
agents:
  a:
    command: x
    probes:
      startup:
        exec: [./is-up, "${AGENT_ID}"]
        failure_threshold: 30
        termination_grace: 3s
      readiness:
        http: { path: "/ready?full=1", host: db.local, port: 81, scheme: HTTP, headers: { X-Key: "${HOST}" } }
        initial_delay: 500ms
        period: 5s
        timeout: 2s
        success_threshold: 2
        failure_threshold: 4
        warning_threshold: 3
      custom:
        ticks: { log: { line: tick, within: 1m } }
        cache: { tcp: { host: "[::1]", port: 6379 } }
        admin: { grpc: { service: admin, port: 9000 } }
"#;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_probe_may_say_everything() {
    let agent = agent(EVERYTHING);
    let words = ["./is-up", "${AGENT_ID}"].map(str::to_owned);
    let startup = ProbeConfig {
        rules: ProbeRules {
            failure_threshold: 30,
            termination_grace: Some(3 * SECOND),
            ..ProbeRules::default()
        },
        ..probe(ProbeKind::Startup, Question::Exec(words.to_vec()))
    };
    let db = CheckAddress::Tcp("db.local:81".to_owned());
    let check = get("/ready?full=1").at(db.clone());
    let check = check.header("x-key", "db.local").unwrap();
    let at = Where::Host(db);
    let readiness = ProbeConfig {
        rules: ProbeRules {
            initial_delay: SECOND / 2,
            period: 5 * SECOND,
            timeout: 2 * SECOND,
            success_threshold: 2,
            failure_threshold: 4,
            warning_threshold: Some(3),
            termination_grace: None,
        },
        ..probe(ProbeKind::Readiness, Question::Http { at, check })
    };
    assert_eq!(agent.probes[..2], [startup, readiness]);
    let shown = format!("{agent:?}");
    assert!(
        !shown.contains("db.local\"") && !shown.contains("full"),
        "{shown}"
    );
}

#[test]
fn custom_probes_have_names_of_their_own() {
    let custom = |name: &str, question| ProbeConfig {
        name: name.to_owned(),
        ..probe(ProbeKind::Custom, question)
    };
    let cache = CheckAddress::Tcp("[::1]:6379".to_owned());
    let (line, within) = ("tick".to_owned(), 60 * SECOND);
    let (at, service) = (Where::Agent(Some(9000)), "admin".to_owned());
    let expected = [
        custom("ticks", Question::Log { line, within }),
        custom("cache", Question::Tcp(Where::Host(cache))),
        custom("admin", Question::Grpc { at, service }),
    ];
    assert_eq!(agent(EVERYTHING).probes[2..], expected);
}

/// What is said of `probes: {…}` of an agent with a port, without the place of its line.
fn said_of(probes: &str) -> Vec<String> {
    let text =
        format!("agents:\n  a:\n    command: x\n    port: auto\n    probes: {{ {probes} }}\n");
    let said = errors(&text);
    let begin = "agents.yaml:5:";
    said.iter()
        .map(|line| line.strip_prefix(begin).unwrap_or(line).to_owned())
        .collect()
}

#[test]
fn a_probe_asks_one_thing() {
    assert_eq!(
        said_of("liveness: { period: 5s }"),
        [
            "15: agents.a.probes.liveness: expected one of http, tcp, grpc, exec, log, got none; \
             say what is asked, as in http: { path: /healthz }"
        ]
    );
    assert_eq!(
        said_of("liveness: { http: /, exec: [x] }"),
        [
            "36: agents.a.probes.liveness.exec: expected one of http, tcp, grpc, exec, log, and there is http already, \
             got exec; remove one of them; another question is a custom probe"
        ]
    );
    assert_eq!(
        said_of("livenes: { http: / }"),
        [
            "15: agents.a.probes.livenes: expected a key of probes, got \"livenes\"; did you mean \"liveness\"?"
        ]
    );
    assert_eq!(
        said_of("liveness: { http: / }, custom: { liveness: { http: / }, A: { http: / } }"),
        [
            "48: agents.a.probes.custom.liveness: expected a name that is no kind of probe, got \"liveness\"; choose another name",
            "71: agents.a.probes.custom.A: expected an id of a-z, 0-9, '_', '.' and '-' that begins with a letter or digit, \
             got \"A\"; write \"a\""
        ]
    );
}

#[test]
fn numbers_that_cannot_work_are_told_with_their_place() {
    assert_eq!(
        said_of("readiness: { http: /, period: 500ms, timeout: 0s, failure_threshold: 0 }"),
        [
            "45: agents.a.probes.readiness.period: expected a duration of at least 1s, got \"500ms\"",
            "61: agents.a.probes.readiness.timeout: expected a duration of at least 1s, got \"0s\"",
            "84: agents.a.probes.readiness.failure_threshold: expected a whole number from 1 to 1000, got \"0\"",
        ]
    );
    assert_eq!(
        said_of("liveness: { http: /, success_threshold: 2 }"),
        [
            "36: agents.a.probes.liveness.success_threshold: expected 1, as for every liveness probe, got 2; \
             correct it or remove it"
        ]
    );
    assert_eq!(
        said_of("readiness: { http: /, termination_grace: 2s }"),
        [
            "37: agents.a.probes.readiness.termination_grace: expected none: such a probe never stops its child, got 2s; \
             correct it or remove it"
        ]
    );
}

#[test]
fn a_liveness_probe_looks_at_the_agent_alone() {
    assert_eq!(
        said_of("liveness: { tcp: { host: db.local, port: 5432 } }"),
        [
            "34: agents.a.probes.liveness.tcp.host: expected no host, because a liveness probe looks at the agent alone, \
             got one; to restart the agent brings no other host back; make it a readiness probe"
        ]
    );
    assert_eq!(
        errors("agents: { a: { command: x, probes: { liveness: { http: / } } } }\n"),
        [
            "agents.yaml:1:50: agents.a.probes.liveness.http: expected an agent with a port, got one without; \
             give the agent port: auto, or say the port here"
        ]
    );
}

#[test]
fn a_question_that_can_never_be_asked_is_told_without_its_secrets() {
    assert_eq!(
        said_of("readiness: { http: { scheme: https, path: healthz } }"),
        [
            "44: agents.a.probes.readiness.http.scheme: expected http, got \"https\"; \
             TLS is not spoken; ask by a command: exec: [curl, -fsS, \"https://…\"]",
            "57: agents.a.probes.readiness.http.path: expected a path such as /healthz, got \"healthz\"",
        ]
    );
    assert_eq!(
        said_of("readiness: { http: { path: /, host: \"a/b\", headers: { \"x y\": s3cret } } }"),
        [
            "51: agents.a.probes.readiness.http.host: expected the name of a host without a port, such as db.local or [::1], \
             got \"a/b\"",
            "69: agents.a.probes.readiness.http.headers.x y: expected a header that HTTP allows, got another one; \
             names are words of letters, digits and '-', values are of one line",
        ]
    );
    assert_eq!(
        said_of("readiness: { tcp: { host: db } }, startup: { log: { line: x } }"),
        [
            "28: agents.a.probes.readiness.tcp: expected a port beside the host, got none; add port: 5432, say",
            "60: agents.a.probes.startup.log: expected http, tcp, grpc or exec in a startup or readiness probe, got log; \
             to wait for a line once: ready: { log: TEXT, within: 60s } of the agent",
        ]
    );
    assert_eq!(
        said_of("custom: { ticks: { log: { line: x } } }"),
        [
            "34: agents.a.probes.custom.ticks.log: expected line and within, got less; as in log: { line: tick, within: 30s }",
        ]
    );
    let no_port =
        "agents: { a: { command: x, probes: { readiness: { exec: [x, \"${PORT}\"] } } } }\n";
    let said = errors(no_port);
    assert!(
        said[0].contains("agents.a.probes.readiness.exec[1]"),
        "{said:?}"
    );
}

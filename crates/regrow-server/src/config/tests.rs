//! Whole files: what they give, and what is said of wrong ones.

use proptest::prelude::*;
use regrow::otlp::Signal;
use regrow::telemetry::Level;
use regrow_core::Restart;
use regrow_process::{ExitRules, ExitStatus, Follow, StopPlan};

use self::kit::{agent, environment, errors, good, parsed};
use super::*;

mod breakers;
mod handover;
mod kit;
mod limits;
mod order;
mod pools;
mod probes;
mod profile;
mod stop;
mod usual;
mod wrong;

#[test]
fn an_agent_that_says_only_its_command_gets_the_defaults_of_the_program() {
    let config = good("agents:\n  worker: { command: [sleep, 10] }\n");
    let folder = std::env::current_dir().unwrap();
    let defaults = AgentDefaults {
        restart: RestartConfig::default(),
        stop: StopConfig::default(),
        start_window: Duration::from_secs(1),
        logs: LogsConfig::default(),
        limits: LimitsConfig::default(),
    };
    let worker = AgentConfig {
        id: "worker".to_owned(),
        type_name: "worker".to_owned(),
        tags: Vec::new(),
        capabilities: Vec::new(),
        metadata: Map::new(),
        command: vec!["sleep".to_owned(), "10".to_owned()],
        env: BTreeMap::new(),
        inherit: Vec::new(),
        workdir: folder.clone(),
        port: None,
        group: None,
        enabled: true,
        handover: false,
        depends_on: Vec::new(),
        ready: None,
        once: false,
        restart: RestartConfig {
            policy: Restart::Transient,
            base: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(60),
            jitter: 0.2,
            max_restarts: 5,
            within: Duration::from_secs(60),
            stable_after: Duration::from_secs(60),
            exits: ExitRules::default(),
        },
        stop: StopConfig {
            signal: StopSignal::Term,
            plan: StopPlan::within(Duration::from_secs(20)),
            line: None,
        },
        stdin: StdinSetting::Pipe,
        logs: usual::logs(),
        start_window: Duration::from_secs(1),
        max_runtime: None,
        limits: LimitsConfig::default(),
        probes: Vec::new(),
        breaker: None,
        gate: None,
        required: false,
        worker: None,
    };
    let want = Config {
        file: PathBuf::from("agents.yaml"),
        folder,
        listen: "127.0.0.1:8000".parse().unwrap(),
        ports: 8001..=8100,
        max_agents: 100,
        log: LogConfig::default(),
        otlp: None,
        figures: Duration::from_secs(5),
        defaults,
        groups: Vec::new(),
        breakers: Vec::new(),
        agents: vec![worker],
        pools: Vec::new(),
        warnings: Vec::new(),
    };
    assert_eq!(config, want);
}

/// A file that says all there is to say.
const EVERYTHING: &str = r#"
version: 1
server: { listen: "[::1]:9000" }
ports: 9001-9010
limits: { max_agents: 3 }
agents:
  db: { command: 'redis-server --port ${PORT}', port: auto }
  worker:
    command: ["python3", "-m", "http.server", "${PORT}", 0x10, 1.50, "true", "$${HOME}"]
    type: coder
    tags: [fast, lang=rust]
    capabilities: [plan, review]
    metadata: { cost: 3, region: north }
    env: { inherit: [REDIS_URL], set: { HOST: "${HOST}", DB: "${REGROW_PORT_DB}", N: 007, EMPTY: "" } }
    workdir: ./src
    port: 9001
    handover: true
    depends_on: [db, db]
    restart: { policy: permanent, base: 100ms, factor: 1.5, max: 1m30s, jitter: 0, max_restarts: 3, within: 10s, stable_after: 1h, success_codes: [3, SIGTERM], restart_on: [75, 99], never_on: [] }
    stop: { signal: SIGINT, timeout: 15s, line: "exit", drain: 0s, ask: 1s, close_stdin: 2s, terminate: 8s }
    stdin: pipe
    start_window: 0s
    max_runtime: 2h
    limits: { memory: 4GiB, open_files: 256, processes: 1000, core: 0, file_size: 10GiB, cpu_time: 1h, address_space: 1TiB, nice: -5 }
    required: true
"#;

#[test]
fn an_agent_may_say_everything() {
    let config = good(EVERYTHING);
    assert_eq!(config.listen, "[::1]:9000".parse().unwrap());
    assert_eq!((config.ports, config.max_agents), (9001..=9010, 3));
    assert_eq!(
        config.agents[0].command,
        ["sh", "-c", "redis-server --port ${PORT}"]
    );
    assert_eq!(config.agents[0].port, Some(PortSetting::Auto));
    let worker = &config.agents[1];
    let command = [
        "python3",
        "-m",
        "http.server",
        "${PORT}",
        "0x10",
        "1.50",
        "true",
        "${HOME}",
    ];
    assert_eq!(worker.command, command);
    assert_eq!(worker.type_name, "coder");
    assert_eq!(worker.tags, ["fast", "lang=rust"]);
    assert_eq!(worker.capabilities, ["plan", "review"]);
    let metadata = serde_json::json!({ "cost": 3, "region": "north" });
    assert_eq!(serde_json::Value::from(worker.metadata.clone()), metadata);
    assert_eq!(worker.inherit, ["REDIS_URL"]);
    let env = [
        ("DB", "${REGROW_PORT_DB}"),
        ("EMPTY", ""),
        ("HOST", "db.local"),
        ("N", "007"),
    ];
    assert_eq!(
        worker.env,
        env.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    );
    assert!(worker.workdir.is_absolute() && worker.workdir.ends_with("src"));
    assert_eq!(worker.port, Some(PortSetting::Fixed(9001)));
    let db = Dependency {
        id: "db".to_owned(),
        until: Condition::Started,
    };
    assert_eq!(worker.depends_on, [db]);
    assert!(worker.handover);
    let restart = RestartConfig {
        policy: Restart::Permanent,
        base: Duration::from_millis(100),
        factor: 1.5,
        max: Duration::from_secs(90),
        jitter: 0.0,
        max_restarts: 3,
        within: Duration::from_secs(10),
        stable_after: Duration::from_secs(3600),
        exits: ExitRules::none()
            .on(ExitStatus::Code(3), Follow::Rest)
            .on(ExitStatus::Signal(15), Follow::Rest)
            .on(ExitStatus::Code(75), Follow::Restart)
            .on(ExitStatus::Code(99), Follow::Restart),
    };
    assert_eq!(worker.restart, restart);
    let times = (worker.start_window, worker.max_runtime);
    assert_eq!(times, (Duration::ZERO, Some(Duration::from_secs(7200))));
    assert!(worker.required);
}

#[test]
fn a_file_without_agents_and_pools_must_say_so() {
    assert_eq!(good("agents: {}").agents, []);
    assert_eq!(good("\u{feff}agents: {} # none\r\n").agents, []);
    let pools = good("pools: { hands: { command: [sleep, inf], min: 1, max: 2 } }");
    assert_eq!((pools.agents.len(), pools.pools.len()), (0, 1));
    assert_eq!(
        errors("version: 1\n"),
        [
            "agents.yaml:1:1: agents: expected the key agents, got none; add agents: {} for no agents"
        ]
    );
}

#[test]
fn defaults_are_under_each_agents_own() {
    let config = good(concat!(
        "defaults: { restart: { max_restarts: 2, base: 2s }, stop: { timeout: 3s, line: bye }, start_window: 5s }\n",
        "agents:\n",
        "  a: { command: x, restart: permanent }\n",
        "  b: { command: x, restart: { base: 1s }, stop: { signal: HUP }, start_window: 2s, stdin: null }\n",
    ));
    let [a, b] = &config.agents[..] else {
        panic!("two agents")
    };
    let under = RestartConfig {
        max_restarts: 2,
        base: Duration::from_secs(2),
        ..RestartConfig::default()
    };
    assert_eq!(config.defaults.restart, under);
    let policy = Restart::Permanent;
    assert_eq!(
        a.restart,
        RestartConfig {
            policy,
            ..under.clone()
        }
    );
    assert_eq!(
        b.restart,
        RestartConfig {
            base: Duration::from_secs(1),
            ..under
        }
    );
    assert_eq!(
        (a.start_window, b.start_window),
        (Duration::from_secs(5), Duration::from_secs(2))
    );
    assert_eq!(
        (a.stop.plan.total(), b.stop.plan.total()),
        (Duration::from_secs(3), Duration::from_secs(3))
    );
    assert_eq!(
        (a.stop.signal, b.stop.signal),
        (StopSignal::Term, StopSignal::Hup)
    );
    // An agent that reads nothing cannot hear the line of the defaults.
    assert_eq!(
        (a.stop.line.as_deref(), b.stop.line.as_deref()),
        (Some("bye"), None)
    );
}

#[test]
fn variables_are_filled_in_values_of_every_kind() {
    let text = "agents: { a: { command: x, restart: '${WORD}', port: '${NONE:-auto}', start_window: '${NONE:-2s}' } }";
    let a = agent(text);
    assert_eq!(
        (a.restart.policy, a.port),
        (Restart::Transient, Some(PortSetting::Auto))
    );
    assert_eq!(a.start_window, Duration::from_secs(2));
}

#[test]
fn keys_are_never_filled() {
    let said = errors("agents: { '${HOST}': { command: x } }");
    assert!(
        said[0].starts_with("agents.yaml:1:11: agents.${HOST}: expected an id of "),
        "{said:?}"
    );
}

#[test]
fn aliases_repeat_a_value() {
    let config = good("agents:\n  a: &a { command: [x] }\n  b: *a\n");
    assert_eq!(config.agents[0].command, config.agents[1].command);
    assert_eq!(config.agents[1].id, "b");
}

#[test]
fn aliases_of_aliases_have_a_bound() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (last, next) in ('a'..='h').zip('b'..='i') {
        let aliases = vec![format!("*{last}"); 10].join(", ");
        text += &format!("{next}: &{next} [{aliases}]\n");
    }
    let said = errors(&text);
    assert!(
        said[0].contains("expected at most 100000 values, repeated ones counted, got more"),
        "{said:?}"
    );
}

#[test]
fn a_limit_that_the_delays_put_out_of_reach_is_warned_of() {
    let config = good(concat!(
        "defaults: { restart: { within: 10s } }\n",
        "agents:\n",
        "  a: { command: x }\n",
        "  b: { command: x, restart: { max_restarts: 10 } }\n",
        "  c: { command: x, restart: { within: 31s } }\n",
        "  d: { command: x, restart: temporary }\n",
        "  e: { command: x }\n",
    ));
    let said: Vec<String> = config.warnings.iter().map(Warning::to_string).collect();
    let rest = "an agent that always fails is restarted for ever; raise within, or lower base, factor or max_restarts";
    let want = [
        format!(
            "agents.yaml:1:32: warning: defaults.restart.within: the limit of 5 restarts within 10s is never reached, \
             because their delays take 31s in all: {rest}"
        ),
        format!(
            "agents.yaml:4:45: warning: agents.b.restart.max_restarts: the limit of 10 restarts within 10s is never \
             reached, because their delays take 5m3s in all: {rest}"
        ),
    ];
    assert_eq!(said, want);
}

#[test]
fn neither_debug_nor_messages_show_secrets() {
    let text = "agents: { a: { command: [x, '${SECRET}'], env: { set: { KEY: '${SECRET}' } } } }";
    assert!(!format!("{:?}", good(text)).contains("hunter2"));
    for wrong in [
        "port: '${SECRET}'",
        "start_window: '${SECRET}'",
        "tags: ['${SECRET} x']",
    ] {
        let said = errors(&format!("agents: {{ a: {{ command: x, {wrong} }} }}")).join("\n");
        assert!(said.contains("with its variables filled"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let said = |path: &Path| {
        let said = load(path, &environment).unwrap_err().to_string();
        said.replace(&folder.path().display().to_string(), "D")
    };
    assert_eq!(
        said(&folder.path().join("none.yaml")),
        "D/none.yaml: cannot be read: No such file or directory (os error 2); check the path and its permissions\n\
         1 error in D/none.yaml; nothing was started"
    );
    assert!(said(folder.path()).starts_with("D: cannot be read: "));
    assert_eq!(
        said(&file("large.yaml", &vec![b'#'; 1024 * 1024 + 1])),
        "D/large.yaml: expected at most 1048576 bytes, got more; split the team into several files, one regrow each\n\
         1 error in D/large.yaml; nothing was started"
    );
    assert_eq!(
        said(&file("latin.yaml", b"a: 1\nb: \xe9\n")),
        "D/latin.yaml:2:4: expected UTF-8 text, got the byte 0xe9; save the file as UTF-8\n\
         1 error in D/latin.yaml; nothing was started"
    );
    let good = file("good.yaml", b"agents: { a: { command: x } }");
    assert_eq!(load(&good, &environment).unwrap().folder, folder.path());
}

#[test]
fn an_agent_of_a_request_is_checked_like_one_of_the_file() {
    let defaults = good("defaults: { restart: permanent }\nagents: {}").defaults;
    let folder = Path::new("/srv");
    let env = BTreeMap::from([("KEY".to_owned(), "${HOST}".to_owned())]);
    let (args, tags) = (["-p".to_owned(), "${PORT}".to_owned()], ["fast".to_owned()]);
    let parts = AgentParts {
        id: "extra",
        command: Some("python3"),
        args: &args,
        type_name: None,
        group: None,
        tags: &tags,
        env: &env,
    };
    let agent = AgentConfig::from_parts(parts, &defaults, folder).unwrap();
    assert_eq!(
        (agent.id.as_str(), agent.type_name.as_str()),
        ("extra", "extra")
    );
    assert_eq!(agent.command, ["python3", "-p", "${PORT}"]);
    assert_eq!(
        (agent.env, agent.port),
        (env.clone(), Some(PortSetting::Auto))
    );
    assert_eq!(
        (agent.restart.policy, agent.workdir.as_path()),
        (Restart::Permanent, folder)
    );

    let env = BTreeMap::from([("PORT".to_owned(), "1".to_owned())]);
    let args = ["\0secret".to_owned()];
    let tags = ["a b", "k=1", "k=2"].map(str::to_owned);
    let wrong = AgentParts {
        id: "A",
        command: None,
        args: &args,
        type_name: Some("T"),
        group: None,
        tags: &tags,
        env: &env,
    };
    let errors = AgentConfig::from_parts(wrong, &defaults, folder).unwrap_err();
    let said: Vec<String> = errors.iter().map(ConfigError::to_string).collect();
    let an_id = "expected an id of a-z, 0-9, '_', '.' and '-' that begins with a letter or digit";
    let want = [
        format!("agent_id: {an_id}, got \"A\"; write \"a\""),
        "command: expected the name of a program, got none".to_owned(),
        "args[0]: expected a text without the character NUL, got another one".to_owned(),
        format!("type: {an_id}, got \"T\"; write \"t\""),
        format!("tags[0]: expected {}, got \"a b\"", units::A_TAG),
        "tags[2]: expected one value for the key \"k\", got \"k=2\" after \"k=1\"; remove one of the two".to_owned(),
        "env_vars.PORT: expected a variable that regrow does not set itself, got \"PORT\"; use the agent's port: auto, \
         or a number"
            .to_owned(),
    ];
    assert_eq!(said, want);
}

/// Pieces of which files that are nearly right are made.
const PIECES: [&str; 40] = [
    "agents:",
    "\n  a:",
    "\n  b-c:",
    "\n    command: ",
    "\n    depends_on: ",
    "\n    restart: ",
    "\n    stop: ",
    "\n    env: ",
    "\n    port: ",
    "\n    stdin: ",
    "\ndefaults: ",
    "\nports: ",
    "\nserver: ",
    "version: ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    ": ",
    "a",
    "b-c",
    "auto",
    "8001",
    "30s",
    "1m30s",
    "&x ",
    "*x",
    "!!str ",
    "'",
    "\"",
    "${PORT}",
    "${",
    "}",
    "~",
    "- ",
    "|\n",
    "# ",
    "\t",
    "é\u{feff}\u{0}",
];

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in "\\PC{0,200}") {
        if let Err(errors) = parsed(&text) {
            prop_assert!(!errors.errors.is_empty());
        }
    }

    #[test]
    fn no_bytes_make_reading_panic(pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..60)) {
        let text = pieces.concat();
        match parsed(&text) {
            Ok(config) => prop_assert!(config.agents.iter().all(|agent| !agent.command.is_empty())),
            Err(errors) => {
                prop_assert!(!errors.errors.is_empty());
                let lines = text.lines().count() + 1;
                prop_assert!(errors.errors.iter().filter_map(|error| error.place).all(|place| place.line <= lines));
            }
        }
    }

    #[test]
    fn no_duration_makes_reading_panic(text in "[0-9msdh.é]{0,40}") {
        if let Ok(duration) = duration(&text) {
            prop_assert_eq!(units::duration(&units::in_words(duration)), Ok(duration));
        }
    }
}

#[test]
fn what_regrow_tells_of_itself_is_read_with_its_defaults() {
    let text = "log: { format: json, level: debug }\n\
        telemetry: { otlp: { endpoint: 'http://127.0.0.1:3000/api/public/otel', service: crew, signals: [traces, logs] } }\n\
        agents: {}\n";
    let config = good(text);
    let log = LogConfig {
        format: LogFormat::Json,
        level: Level::DEBUG,
    };
    assert_eq!(config.log, log);
    let otlp = OtlpConfig {
        endpoint: "http://127.0.0.1:3000/api/public/otel".to_owned(),
        service: "crew".to_owned(),
        signals: vec![Signal::Traces, Signal::Logs],
    };
    assert_eq!(config.otlp, Some(otlp));
    let least = "telemetry: { otlp: { endpoint: 'http://[::1]:4318' } }\nagents: {}\n";
    let otlp = good(least).otlp.unwrap();
    assert_eq!(
        (&*otlp.service, otlp.signals),
        ("regrow", Signal::ALL.to_vec())
    );
    assert_eq!(good("telemetry: {}\nagents: {}\n").otlp, None);
    for (said, meant) in [("0s", 0), ("100ms", 100), ("1h", 3_600_000)] {
        let config = good(&format!("telemetry: {{ figures: {said} }}\nagents: {{}}\n"));
        assert_eq!(config.figures, Duration::from_millis(meant));
    }
}

#[test]
fn an_agents_own_logs_go_over_those_of_the_defaults() {
    let config = good(
        "defaults: { logs: { max_size: 1MiB, max_age: 7d, keep: 2 } }\nagents:\n  \
         a: { command: x }\n  \
         b: { command: x, logs: { file: false, max_age: never, compress: false, max_line: 8MiB } }\n",
    );
    let program = LogsConfig::default();
    let a = LogsConfig {
        max_size: 1024 * 1024,
        max_age: Some(Duration::from_secs(7 * 86_400)),
        keep: 2,
        ..program
    };
    let b = LogsConfig {
        file: false,
        max_age: None,
        compress: false,
        max_line: 8 * 1024 * 1024,
        ..a
    };
    assert_eq!((config.agents[0].logs, config.agents[1].logs), (a, b));
    assert_eq!(config.defaults.logs, a);
    assert_eq!(
        errors(
            "agents:\n  a: { command: x, logs: { max_size: 10MB, max_line: 9MiB, keep: -1, max_age: 1, files: true } }\n"
        )
        .len(),
        5
    );
}

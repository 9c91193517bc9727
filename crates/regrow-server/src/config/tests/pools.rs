//! `pools`: what they give, and what is said of wrong ones.

use regrow::pool::{Dispatch, Overflow, OverloadRules, ScalerRules, Target};

use super::*;

/// The only pool of a file whose `pools` is this.
fn pool(text: &str) -> PoolConfig {
    let mut config = good(&format!("agents: {{}}\npools:\n  coders: {text}\n"));
    assert_eq!(config.warnings, []);
    config.pools.remove(0)
}

/// What is said of a pool that has a command, and this besides.
fn wrong(text: &str) -> Vec<String> {
    errors(&format!(
        "agents: {{}}\npools:\n  coders: {{ command: x, {text} }}\n"
    ))
}

#[test]
fn a_pool_that_says_little_has_the_defaults_of_the_program() {
    let coders = pool("{ command: [coder], min: 2, max: 8 }");
    let rules = &coders.rules;
    let scaler = ScalerRules::new(2, 8).target(2);
    assert_eq!(rules.scaler, scaler.window(Duration::from_secs(300)));
    assert_eq!((rules.warm, rules.concurrency, rules.queue), (2, 1, None));
    assert_eq!(
        (rules.overflow, rules.dispatch),
        (Overflow::Reject, Dispatch::LeastLoaded)
    );
    assert_eq!((rules.overload, rules.observe_only), (None, false));
    assert_eq!(rules.wait, Duration::from_secs(30));
    let worker = coders.worker(3);
    assert_eq!(
        (&*worker.id, worker.port),
        ("coders-3", Some(PortSetting::Auto))
    );
    assert_eq!(
        (&*worker.type_name, worker.above()),
        ("coders", Some("coders"))
    );
    // Who says nothing of when it is ready is asked whether it listens.
    assert_eq!(worker.probes[0].kind, ProbeKind::Startup);
}

#[test]
fn a_pool_says_how_it_is_sized_and_how_work_gets_to_it() {
    let coders = pool(
        "{ command: [coder], min: 0, max: 8, target: 4, warm: 3, queue: 5, overflow: drop_oldest, overload: 500ms, \
         wait: 10s, concurrency: 2, dispatch: round_robin, weights: { acme: 3 }, max_jobs: 100, max_age: 1h, max_memory: 512MiB, \
         drain_timeout: 5s, required: true, \
         scale: { window: 10s, smoothing: 3s, utilisation: 50%, burst: 0.8, tolerance: 0.2, up: 2, down: 1, \
         idle_to_zero: 1m, queue_age: 2s, observe_only: true } }",
    );
    let seconds = Duration::from_secs;
    let rules = &coders.rules;
    let scaler = ScalerRules::new(0, 8)
        .target(4)
        .window(seconds(10))
        .smoothing(seconds(3))
        .utilisation(0.5)
        .burst(0.8)
        .tolerance(0.2)
        .growth(2, 0.0)
        .shrinkage(1, 0.0)
        .idle_to_zero(seconds(60))
        .queue_age(seconds(2));
    assert_eq!(rules.scaler, scaler);
    assert_eq!(
        (rules.warm, rules.concurrency, rules.queue),
        (3, 2, Some(5))
    );
    assert_eq!(
        (rules.overflow, rules.dispatch),
        (Overflow::DropOldest, Dispatch::RoundRobin)
    );
    let half_a_second = Target::Fixed(Duration::from_millis(500));
    assert_eq!(rules.overload, Some(OverloadRules::new(half_a_second)));
    assert_eq!((rules.wait, rules.drain_timeout), (seconds(10), seconds(5)));
    assert_eq!(rules.weights.get("acme"), Some(&3));
    assert_eq!(
        (rules.max_jobs, rules.max_age),
        (Some(100), Some(seconds(3600)))
    );
    assert_eq!(rules.max_memory, Some(512 << 20));
    assert!(rules.observe_only && coders.required);
}

#[test]
fn an_agent_can_be_the_template_and_goes_on_as_what_it_is() {
    let config = good(
        "breakers: { model: { check: { tcp: { port: 9000 } } } }\n\
         agents:\n  db: { command: x }\n  coder: { command: x, type: coder, port: socket, breaker: model, depends_on: [db], \
         enabled: false, probes: { readiness: { http: /readyz } } }\n\
         pools: { coders: { template: coder, min: 1, max: 2 } }\n",
    );
    assert!(!config.agents[1].enabled);
    let coders = &config.pools[0];
    assert_eq!(coders.breaker.as_deref(), Some("model"));
    let worker = coders.worker(1);
    assert_eq!((&*worker.id, &*worker.type_name), ("coders-1", "coder"));
    assert_eq!(
        (worker.enabled, worker.port),
        (true, Some(PortSetting::Socket))
    );
    assert_eq!(worker.depends_on[0].id, "db");
    let kinds: Vec<_> = worker.probes.iter().map(|probe| probe.kind).collect();
    assert_eq!(kinds, [ProbeKind::Readiness]);
}

#[test]
fn both_bounds_are_to_be_said_and_the_others_have_to_fit() {
    let hint = "say how many workers there are at least and at most, such as min: 1, max: 4";
    assert_eq!(
        wrong("queue: 3"),
        [
            format!(
                "agents.yaml:3:3: pools.coders: expected the key max of a pool, got none; {hint}"
            ),
            format!(
                "agents.yaml:3:3: pools.coders: expected the key min of a pool, got none; {hint}"
            ),
        ]
    );
    for (text, said) in [
        (
            "min: 5, max: 4",
            "pools.coders.min: expected at most max, which is 4, got 5",
        ),
        (
            "min: 1, max: 4, target: 5",
            "pools.coders.target: expected at most max, which is 4, got 5",
        ),
        (
            "min: 2, max: 4, target: 1",
            "pools.coders.target: expected at least min, which is 2, got 1",
        ),
        (
            "min: 1, max: 4, warm: 2",
            "pools.coders.warm: expected at most min, which is 1, got 2",
        ),
        (
            "min: 1, max: 4, target: 2, warm: 3",
            "pools.coders.warm: expected at most target, which is 2, got 3",
        ),
    ] {
        let lines = wrong(text);
        let only = lines[0].contains(said) && lines[0].ends_with("; change one of the two");
        assert!(lines.len() == 1 && only, "{text}: {lines:?}");
    }
}

#[test]
fn wrong_words_and_numbers_are_named_with_their_place() {
    for (text, said) in [
        (
            "minn: 1",
            "expected a key of a pool, got \"minn\"; did you mean \"min\"?",
        ),
        (
            "overflow: drop_older",
            "expected one of wait, reject, drop_oldest, drop_newest, got \"drop_older\"; did you mean \"drop_oldest\"?",
        ),
        (
            "dispatch: least",
            "expected one of least_loaded, round_robin, random, got \"least\"",
        ),
        (
            "overload: maybe",
            "expected false, true, or how long a request should wait at most, such as 500ms, got \"maybe\"",
        ),
        (
            "concurrency: 0",
            "expected a whole number from 1 to 1000000, got \"0\"",
        ),
        (
            "weights: { a: 0 }",
            "pools.coders.weights.a: expected a whole number from 1 to 1000000, got \"0\"",
        ),
        (
            "scale: { window: 500ms }",
            "expected a duration of at least 1s, got \"500ms\"; the size is decided once a second",
        ),
        (
            "scale: { windows: 5s }",
            "expected a key of scale, got \"windows\"; did you mean \"window\"?",
        ),
        (
            "port: 8080",
            "pools.coders.port: expected a port for each worker, got 8080 for all of them; write port: auto, or port: socket",
        ),
        (
            "breaker: true",
            "expected a breaker that all workers stand behind, got one for each",
        ),
        ("breaker: x", "expected the id of a breaker, got \"x\""),
        (
            "depends_on: [db]",
            "expected the id of an agent, got \"db\"",
        ),
        (
            "restart: { policy: temporary }",
            "pools.coders.restart.policy: expected no policy, because a worker is always started again",
        ),
        ("once: true", "expected a key of a pool"),
    ] {
        let lines = wrong(&format!("min: 1, max: 4, {text}"));
        assert!(
            lines.len() == 1 && lines[0].contains(said),
            "{text}: {lines:?}"
        );
        assert!(lines[0].starts_with("agents.yaml:3:"), "{lines:?}");
    }
}

#[test]
fn a_template_is_an_agent_with_a_port_and_says_all() {
    let of = |agent: &str, text: &str| {
        errors(&format!(
            "agents: {{ coder: {{ command: x, {agent} }} }}\npools: {{ coders: {{ min: 1, max: 2, {text} }} }}\n"
        ))
    };
    for (agent, text, said) in [
        (
            "port: auto",
            "template: codr",
            "expected the id of an agent, got \"codr\"; did you mean \"coder\"?",
        ),
        (
            "stdin: null",
            "template: coder",
            "expected an agent with a port, since it is requests that its workers get, got one without; give agent coder port: auto",
        ),
        (
            "port: 9000",
            "template: coder",
            "expected a port for each worker, got 9000 for all of them",
        ),
        (
            "port: auto, once: true",
            "template: coder",
            "expected a worker that goes on, got one that ends once",
        ),
        (
            "port: auto, breaker: true",
            "template: coder",
            "expected a breaker that all workers stand behind, got one for each",
        ),
        (
            "port: auto",
            "template: coder, command: y",
            "pools.coders.command: expected no command beside template",
        ),
        ("port: auto", "queue: 3", "expected a command, got none"),
    ] {
        let lines = of(agent, text);
        assert!(
            lines.len() == 1 && lines[0].contains(said),
            "{text}: {lines:?}"
        );
    }
}

#[test]
fn ids_that_others_have_or_workers_could_have_are_refused() {
    for (text, said) in [
        (
            "agents: { a: { command: x } }\npools: { a: { command: x, min: 1, max: 1 } }\n",
            "pools.a: expected an id that no agent and no group has, got \"a\"",
        ),
        (
            "groups: { g: {} }\nagents: {}\npools: { g: { command: x, min: 1, max: 1 } }\n",
            "got \"g\"",
        ),
        (
            "agents: { p-7: { command: x } }\npools: { p: { command: x, min: 1, max: 1 } }\n",
            "agents.p-7: expected an id that no worker of a pool can have, got \"p-7\", which pools.p has",
        ),
        (
            "agents: { a: { command: x, depends_on: [p] } }\npools: { p: { command: x, min: 1, max: 1 } }\n",
            "expected the id of an agent, got \"p\", which is a pool; nobody can wait for a pool; remove it",
        ),
        (
            "agents: {}\npools: { P: { command: x, min: 1, max: 1 } }\n",
            "got \"P\"",
        ),
    ] {
        let lines = errors(text);
        assert!(
            lines.len() == 1 && lines[0].contains(said),
            "{text}: {lines:?}"
        );
    }
}

#[test]
fn an_id_of_a_pool_leaves_room_for_the_number_of_a_worker() {
    let of = |bytes: usize| {
        let id = "p".repeat(bytes);
        "agents: {}\npools:\n  ID: { command: x, min: 1, max: 1 }\n".replace("ID", &id)
    };
    assert_eq!(good(&of(53)).pools.len(), 1);
    let lines = errors(&of(54));
    let said = "expected an id of at most 53 bytes, since its workers have it with a number behind, got \"ppp";
    assert!(lines.len() == 1 && lines[0].contains(said), "{lines:?}");
}

#[test]
fn workers_count_among_agents_and_need_ports() {
    let file = |limits: &str, max: u32| {
        format!(
            "{limits}agents: {{ a: {{ command: x, port: auto }} }}\npools: {{ p: {{ command: x, min: 1, max: {max} }} }}\n"
        )
    };
    let too_many = errors(&file("limits: { max_agents: 8 }\n", 8));
    assert_eq!(
        too_many,
        [
            "agents.yaml:3:1: pools: expected at most 8 agents and workers together, got 1 agents and up to 8 workers; \
          raise limits.max_agents, or lower max of a pool"
        ]
    );
    let no_ports = errors(&file("ports: 8001-8008\n", 8));
    assert_eq!(no_ports.len(), 1, "{no_ports:?}");
    let said = "expected at most 8 agents and workers of pools with port: auto, as many as ports 8001-8008 leaves, got 9; widen ports";
    assert!(no_ports[0].contains(said), "{no_ports:?}");
    assert_eq!(good(&file("ports: 8001-8009\n", 8)).pools.len(), 1);
}

#[test]
fn a_pool_stands_behind_a_breaker_that_tries_again_by_itself() {
    let of = |agents: &str, pool: &str| {
        format!(
            "breakers: {{ model: {{}}, db: {{ check: {{ tcp: {{ port: 9000 }} }} }} }}\n\
             agents: {{ {agents} }}\npools: {{ coders: {{ min: 1, max: 2, {pool} }} }}\n"
        )
    };
    let said = "expected a breaker with a check, since a pool sends no request to try while it is not closed, got \"model\", \
                which has none; give breaker model a check, or remove breaker";
    assert_eq!(
        errors(&of("", "command: x, breaker: model")),
        [format!("agents.yaml:3:48: pools.coders.breaker: {said}")]
    );
    let template = "a: { command: x, port: auto, breaker: model }";
    assert_eq!(
        errors(&of(template, "template: a")),
        [format!(
            "agents.yaml:3:46: pools.coders.template: {said} of agent a"
        )]
    );
    let config = good(&of("", "command: x, breaker: db"));
    assert_eq!(config.pools[0].breaker.as_deref(), Some("db"));
}

#[test]
fn a_pool_that_could_serve_nobody_is_refused() {
    for (text, said) in [
        (
            "min: 0, max: 2, queue: 0",
            "agents.yaml:3:48: pools.coders.queue: expected at least 1, since with min: 0 a worker comes for a request that waits, got 0; \
             let one wait, or have one worker at least: min: 1",
        ),
        (
            "min: 0, max: 2, target: 1, queue: 0",
            "expected at least 1, since with min: 0",
        ),
    ] {
        let lines = wrong(text);
        assert!(
            lines.len() == 1 && lines[0].contains(said),
            "{text}: {lines:?}"
        );
    }
    let none_waits = pool("{ command: [coder], min: 1, max: 2, queue: 0, overflow: wait }");
    assert_eq!(none_waits.rules.queue, Some(0));
}

#[test]
fn a_pool_waits_for_agents_alone_and_as_one_that_is_in_no_group() {
    let of = |depends: &str| {
        format!(
            "groups: {{ g: {{}} }}\n\
             agents: {{ b: {{ command: x, group: g }}, a: {{ command: x, port: auto, group: g, depends_on: {depends} }} }}\n\
             pools: {{ p: {{ template: a, min: 1, max: 1 }} }}\n"
        )
    };
    assert_eq!(
        errors(&of("{ b: ready }")),
        [
            "agents.yaml:3:25: pools.p.template: expected an agent that waits for no more than started of b, \
             because workers are outside of the group g, got one that waits for ready; \
             say depends_on: [b] of agent a, or write the worker out here and remove template"
        ]
    );
    let config = good(&of("[b]"));
    assert_eq!(config.pools[0].worker.depends_on[0].id, "b");

    let beside = |first: &str, second: &str| {
        errors(&format!(
            "agents: {{ a: {{ command: x, port: auto }} }}\npools: {{ p: {{ {first}, min: 1, max: 1 }}, q: {{ {second}, min: 1, max: 1 }} }}\n"
        ))
    };
    for (first, second) in [
        ("command: x, depends_on: [q]", "command: x"),
        ("command: x, depends_on: [q]", "template: a"),
    ] {
        let lines = beside(first, second);
        let said = "pools.p.depends_on[0]: expected the id of an agent, got \"q\"";
        assert!(
            lines.len() == 1 && lines[0].contains(said),
            "{second}: {lines:?}"
        );
    }
}

//! What comes after what, and what comes to an end.

use regrow_core::Strategy;

use super::*;

#[test]
fn an_agent_that_runs_once_says_so_and_is_not_permanent() {
    let job = agent("agents:\n  migrate: { command: x, once: true }\n");
    assert_eq!((job.once, job.restart.policy), (true, Restart::Transient));
    let job =
        agent("defaults: { restart: permanent }\nagents:\n  migrate: { command: x, once: true }\n");
    assert_eq!(job.restart.policy, Restart::Transient, "that is for others");
    let job = agent("agents:\n  migrate: { command: x, once: true, restart: temporary }\n");
    assert_eq!(job.restart.policy, Restart::Temporary);
    assert_eq!(
        errors("agents:\n  migrate: { command: x, once: true, restart: permanent }\n"),
        [
            "agents.yaml:2:47: agents.migrate.restart: expected transient or temporary, because once is true, \
             got permanent; one that is always started again never comes to its end"
        ]
    );
}

fn dependency(id: &str, until: Condition) -> Dependency {
    let id = id.to_owned();
    Dependency { id, until }
}

#[test]
fn what_an_agent_waits_for_may_have_a_condition() {
    let config = good(
        "agents:
  db: { command: x, ready: { log: 'accepting connections' } }
  migrate: { command: x, once: true, depends_on: { db: log_ready } }
  off: { command: x, enabled: false }
  web:
    command: x
    ready: { log: listening, within: 5s }
    depends_on:
      db: healthy
      migrate: { condition: completed_successfully }
      off: { condition: ready, if_enabled: true }
      gone: { if_enabled: true }
  logs: { command: x, depends_on: { db: started, web: ready, migrate: completed } }
",
    );
    assert_eq!(config.warnings, []);
    let of = |id: &str| config.agents.iter().find(|agent| agent.id == id).unwrap();
    assert_eq!(
        of("migrate").depends_on,
        [dependency("db", Condition::Ready)]
    );
    assert_eq!(
        of("web").depends_on,
        [
            dependency("db", Condition::Ready),
            dependency("migrate", Condition::CompletedSuccessfully),
        ],
        "who is not there or not enabled is not waited for"
    );
    assert_eq!(
        of("logs").depends_on,
        [
            dependency("db", Condition::Started),
            dependency("web", Condition::Ready),
            dependency("migrate", Condition::Completed),
        ]
    );
    let ready = |log: &str, within| {
        let log = log.to_owned();
        Some(ReadySetting { log, within })
    };
    let (minute, five) = (Duration::from_secs(60), Duration::from_secs(5));
    assert_eq!(of("db").ready, ready("accepting connections", minute));
    assert_eq!(of("web").ready, ready("listening", five));
    assert!(!of("off").enabled && of("web").enabled);
}

#[test]
fn what_can_never_come_is_not_waited_for() {
    assert_eq!(
        errors(
            "agents:
  db: { command: x, restart: permanent }
  a: { command: x, depends_on: { db: log_ready } }
  b: { command: x, depends_on: { db: completed } }
  c: { command: x, depends_on: { db: soon } }
  d: { command: x, depends_on: { db: { condition: started, since: 3 } } }
  e: { command: x, depends_on: { bd: ready } }
  f: { command: x, ready: { within: 3s } }
"
        ),
        [
            "agents.yaml:3:34: agents.a.depends_on.db: expected a condition that can be met, got log_ready; \
             db says by no line that it is ready; give it ready: {log: a text}",
            "agents.yaml:4:34: agents.b.depends_on.db: expected a condition that can be met, got completed; \
             db is permanent, so it is always started again; give it once: true",
            "agents.yaml:5:38: agents.c.depends_on.db: expected started, ready, healthy, completed, \
             completed_successfully or log_ready, got \"soon\"",
            "agents.yaml:6:60: agents.d.depends_on.db.since: expected a key of a dependency (condition, if_enabled), \
             got \"since\"",
            "agents.yaml:7:34: agents.e.depends_on.bd: expected the id of an agent, got \"bd\"; did you mean \"db\"?",
            "agents.yaml:8:20: agents.f.ready: expected the key log, got none; \
             add log: a text of the line by which the agent says that it is ready",
        ]
    );
}

#[test]
fn who_waits_for_one_that_is_not_enabled_is_told_so() {
    let config = good(
        "agents:\n  off: { command: x, enabled: false }\n  a: { command: x, depends_on: [off] }\n",
    );
    let said: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "agents.yaml:3:33: warning: agents.a.depends_on[0]: off is not enabled, so this agent waits until somebody starts \
          off; add if_enabled: true to do without"
        ]
    );
}

#[test]
fn agents_may_share_a_group_with_a_strategy_of_its_own() {
    let config = good(
        "groups:
  coders: { strategy: rest_for_one, max_restarts: 3, within: 30s }
  others: {}
  some: { max_restarts: 2 }
agents:
  db: { command: x }
  a: { command: x, group: coders, depends_on: { db: ready } }
  b: { command: x, group: coders, depends_on: { a: ready } }
  c: { command: x, depends_on: [b] }
",
    );
    let group = |id: &str, strategy, limit: Option<(u32, u64)>| GroupConfig {
        id: id.to_owned(),
        strategy,
        limit: limit.map(|(n, s)| RestartIntensity::new(n, Duration::from_secs(s))),
    };
    assert_eq!(
        config.groups,
        [
            group("coders", Strategy::RestForOne, Some((3, 30))),
            group("others", Strategy::OneForOne, None),
            group("some", Strategy::OneForOne, Some((2, 60))),
        ]
    );
    assert_eq!(config.agents[1].group.as_deref(), Some("coders"));
    assert_eq!(config.agents[3].group, None);
}

#[test]
fn groups_that_cannot_be_are_told_with_their_places() {
    assert_eq!(
        errors(
            "groups:
  coders: { strategy: rest_for_one }
  db: { strategy: all }
agents:
  db: { command: x }
  a: { command: x, group: coders, depends_on: [b] }
  b: { command: x, group: coder }
  c: { command: x, group: coders }
  d: { command: x, group: coders, depends_on: [e] }
  e: { command: x, group: coders }
  f: { command: x, depends_on: { d: ready } }
"
        ),
        [
            "agents.yaml:3:3: groups.db: expected an id that no agent has, got \"db\", which agents.db has (5:3); \
             change one of the two",
            "agents.yaml:3:19: groups.db.strategy: expected one_for_one, one_for_all or rest_for_one, got \"all\"",
            "agents.yaml:7:27: agents.b.group: expected the id of a group, got \"coder\"; did you mean \"coders\"?",
            "agents.yaml:9:48: agents.d.depends_on[0]: expected an agent before this one, because their group is \
             rest_for_one and goes in the order of the file, got \"e\"; move e before d",
            "agents.yaml:11:34: agents.f.depends_on.d: expected started, because d is in the group coders, got another \
             condition; from outside one can only wait for a whole group to be up; put both into one group, or d into none",
        ]
    );
}

#[test]
fn groups_that_wait_for_each_other_are_a_cycle() {
    assert_eq!(
        errors(
            "groups: { g: {}, h: {} }
agents:
  a: { command: x, group: g, depends_on: [b] }
  b: { command: x, group: h }
  c: { command: x, group: h, depends_on: [d] }
  d: { command: x, depends_on: [e] }
  e: { command: x, group: g }
"
        ),
        [
            "agents.yaml:6:33: agents.d.depends_on[0]: expected an order of start, got a cycle: \
             group g -> group h (3:43) -> d (5:43) -> group g (6:33); remove one of these dependencies"
        ]
    );
}

//! Agents by what they are: `ps QUERY`, and `?query=` over HTTP.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::kit::{Answer, Daemon, Team, signal};

/// The example's team. Its worker waits so long for its next life that whoever looks sees it wait.
fn example() -> String {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/team/regrow.yaml"
    );
    let patient = "    required: true\n    restart: { base: 10m, max: 10m }\n";
    let text = std::fs::read_to_string(file).unwrap();
    let changed = text.replace("    required: true\n", patient);
    assert_ne!(changed, text, "the worker of the example is not as it was");
    changed
}

/// The ids in the table of `ps`, which is there in any case.
#[track_caller]
fn listed(daemon: &Daemon, query: &str) -> Vec<String> {
    let said = daemon.regrow(&["ps", query]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
    let mut lines = said.stdout.lines();
    assert!(lines.next().unwrap().starts_with("ID "), "{said:?}");
    let id = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    lines.map(id).collect()
}

/// The ids in an answer of the API.
#[track_caller]
fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    let id = |agent: &Value| agent["id"].as_str().unwrap().to_owned();
    json["agents"].as_array().unwrap().iter().map(id).collect()
}

#[test]
fn workers_that_are_not_draining_are_found_before_during_and_after_a_restart() {
    const WORKERS: &str = "type:worker and not draining";
    const READY: &str = "type:worker and ready";
    let daemon = Daemon::up(&example()).settled();
    assert_eq!(listed(&daemon, WORKERS), ["worker", "stubborn"]);
    assert_eq!(listed(&daemon, READY), ["worker", "stubborn"]);

    signal(daemon.pid_of("worker"), Signal::KILL);
    daemon.until_phase("worker", "backoff");
    assert_eq!(listed(&daemon, WORKERS), ["worker", "stubborn"]);
    assert_eq!(listed(&daemon, READY), ["stubborn"]);
    assert_eq!(listed(&daemon, "type:worker and backoff"), ["worker"]);

    // It need not wait any longer.
    assert_eq!(daemon.regrow(&["start", "worker"]).code, 0);
    let worker = daemon.until_phase("worker", "running");
    assert_eq!(worker["generation"], 2, "{worker}");
    assert_eq!(listed(&daemon, WORKERS), ["worker", "stubborn"]);
    assert_eq!(listed(&daemon, READY), ["worker", "stubborn"]);
}

const TEAM: &str = "\
defaults: { start_window: 100ms, stop: { timeout: 3s } }
agents:
  a:
    command: 'exec sleep 1000'
    type: coder
    tags: [fast, lang=rust]
    capabilities: [plan]
    metadata: { cost: 3, region: { name: north } }
  b: { command: 'exec sleep 1000', type: coder, tags: [c++], metadata: { cost: 5 } }
";

#[test]
fn ps_takes_a_query_in_one_word_or_several_and_says_nothing_of_others() {
    let daemon = Daemon::up(TEAM).settled();
    for (query, want) in [
        ("lang=rust and ready", &["a"][..]),
        ("type:coder", &["a", "b"]),
        ("type:coder and not cap:plan", &["b"]),
        ("meta:cost<=3 or c++", &["a", "b"]),
        ("meta:cost>3", &["b"]),
        ("path:root/a and kind:process and running", &["a"]),
        ("tag:running", &[]),
    ] {
        assert_eq!(listed(&daemon, query), want, "{query}");
    }
    let objects = |arguments: &[&str]| {
        let said = daemon.regrow(&[&["ps", "--json"], arguments].concat());
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
        let read = |line: &str| serde_json::from_str(line).unwrap();
        said.stdout.lines().map(read).collect::<Vec<Value>>()
    };
    let found = objects(&["type:coder", "and", "not", "c++"]);
    assert_eq!(found, [daemon.agent("a")]);
    assert_eq!(
        (&found[0]["capabilities"], &found[0]["metadata"]),
        (
            &json!(["plan"]),
            &json!({ "cost": 3, "region": { "name": "north" } })
        )
    );
    assert_eq!(objects(&["type:nobody"]), Vec::<Value>::new());
}

#[test]
fn a_wrong_query_is_code_2_with_a_mark_whether_or_not_a_daemon_runs() {
    let team = Team::new(TEAM);
    for arguments in [
        &["ps", "type:coder adn ready"][..],
        &["ps", "--json", "type:coder", "adn", "ready"],
    ] {
        let said = team.regrow(arguments);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{said:?}");
        let want = "\
regrow: wrong query: expected `and`, `or` or the end, got `adn` (column 12)
  type:coder adn ready
             ^
";
        assert_eq!(said.stderr, want);
    }
}

#[test]
fn the_api_takes_the_same_query_under_both_names() {
    let daemon = Daemon::up(TEAM).settled();
    for name in ["/v1/agents", "/supervisor/status"] {
        let ask = |query: &str| daemon.get(&format!("{name}?{query}"));
        assert_eq!(ids(&ask("query=type:coder%20and%20not%20c%2B%2B")), ["a"]);
        assert_eq!(ids(&ask("query=lang%3Drust+and+ready")), ["a"]);
        assert_eq!(ids(&ask("query=*")), ["a", "b"]);
        assert_eq!(ids(&daemon.get(name)), ["a", "b"]);
        assert_eq!(ids(&ask("query=stopped")), Vec::<String>::new());

        let wrong = ask("query=type:coder+adn+ready");
        assert_eq!(wrong.problem(), "400 bad_parameter");
        let problem = wrong.json();
        let detail = "\
parameter \"query\": expected `and`, `or` or the end, got `adn` (column 12)
  type:coder adn ready
             ^";
        assert_eq!(
            (&problem["detail"], &problem["column"]),
            (&json!(detail), &json!(12))
        );
        let long = ask(&format!("query={}", "a".repeat(4097)));
        assert_eq!(long.problem(), "400 bad_parameter");
        assert!(
            long.body
                .contains("expected at most 4096 bytes, got 4097 bytes"),
            "{long:?}"
        );
        assert_eq!(
            ids(&ask(&format!("query={}", "a".repeat(4096)))),
            Vec::<String>::new()
        );
        assert_eq!(ask("query=").problem(), "400 bad_parameter");
        assert_eq!(ask("query=a&query=b").problem(), "400 bad_parameter");
        let unknown = ask("qury=a");
        assert_eq!(unknown.problem(), "400 bad_parameter");
        assert!(
            unknown.body.contains("this address takes query"),
            "{unknown:?}"
        );
    }
}

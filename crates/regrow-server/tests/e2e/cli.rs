//! The commands, against a daemon that runs.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use crate::kit::{Daemon, Team, until};

const TEAM: &str = "\
defaults: { start_window: 100ms, stop: { timeout: 3s } }
agents:
  a: { command: 'echo one; echo two >&2; echo three; exec sleep 1000', type: sleeper }
  b: { command: 'echo four; exec sleep 1000' }
";

fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn ps_shows_a_table_or_one_object_per_line() {
    let daemon = Daemon::up(TEAM).settled();
    let table = daemon.regrow(&["ps"]);
    assert_eq!(table.code, 0, "{table:?}");
    assert!(
        table
            .stdout
            .starts_with("ID  TYPE     PHASE    READY  GEN  RESTARTS  PID"),
        "{}",
        table.stdout
    );
    let row = format!(
        "a   sleeper  running  yes    1    0         {}",
        daemon.pid_of("a")
    );
    assert!(
        table.stdout.lines().any(|line| line.starts_with(&row)),
        "{}",
        table.stdout
    );
    let objects = json_lines(&daemon.regrow(&["ps", "--json"]).stdout);
    assert_eq!(objects, [daemon.agent("a"), daemon.agent("b")]);
}

#[test]
fn logs_show_the_last_lines_of_one_or_all() {
    let daemon = Daemon::up(TEAM).settled();
    let logs = |arguments: &[&str]| {
        let said = daemon.regrow(&[&["logs"], arguments].concat());
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
        said.stdout
    };
    until("all is written", || {
        (logs(&["a"]).lines().count() == 3).then_some(())
    });
    // Which of the two streams is read first is nobody's promise.
    let last = logs(&["a", "--tail", "1"]);
    assert!(["two\n", "three\n"].contains(&last.as_str()), "{last}");
    let all = logs(&[]);
    for line in ["a | one", "a | two", "a | three", "b | four"] {
        assert!(
            all.lines().any(|said| said == line),
            "{line} is not in {all}"
        );
    }
    let records = json_lines(&logs(&["--json", "a"]));
    let pick = |record: &Value| {
        (
            record["agent"].clone(),
            record["stream"].clone(),
            record["text"].clone(),
            record["generation"].clone(),
        )
    };
    assert!(
        records
            .iter()
            .map(pick)
            .any(|record| record == (json!("a"), json!("stderr"), json!("two"), json!(1))),
        "{records:?}"
    );
    let unknown = daemon.regrow(&["logs", "c"]);
    assert_eq!(unknown.code, 4, "{unknown:?}");
}

#[test]
fn logs_follow_over_a_restart_and_end_with_the_daemon() {
    let daemon = Daemon::up(TEAM).settled();
    let mut following = daemon
        .team
        .command(&["logs", "-f", "--json", "a"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut until_generation = |generation: u64| {
        lines.by_ref().map(|line| line.unwrap()).find(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            record["generation"] == generation && record["text"] == "three"
        })
    };
    assert!(until_generation(1).is_some());
    assert_eq!(daemon.regrow(&["restart", "a"]).code, 0);
    assert!(until_generation(2).is_some());
    assert_eq!(daemon.regrow(&["down"]).code, 0);
    let ended = until("it ends", || following.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let daemon =
        Daemon::up("agents:\n  a: { command: 'seq 5000; exec sleep 1000', start_window: 300ms }\n")
            .settled();
    let mut logs = daemon
        .team
        .command(&["logs", "-f", "--tail", "5000", "a"])
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::with_capacity(1, logs.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let ended = until("it ends", || logs.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
    let mut complaint = String::new();
    BufReader::new(logs.stderr.take().unwrap())
        .read_line(&mut complaint)
        .unwrap();
    assert_eq!(complaint, "");
}

#[test]
fn stop_start_and_restart_return_when_it_is_done() {
    let daemon = Daemon::up(TEAM).settled();
    let stopped = daemon.regrow(&["stop", "a", "b"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
    assert_eq!(
        stopped
            .stdout
            .lines()
            .filter(|line| line.contains("stopped"))
            .count(),
        2,
        "{stopped:?}"
    );
    for id in ["a", "b"] {
        let agent = daemon.agent(id);
        assert_eq!(
            (&agent["phase"], &agent["last_exit"]["reason"]),
            (&json!("stopped"), &json!("shutdown")),
            "{agent}"
        );
    }
    assert_eq!(
        daemon.regrow(&["stop", "a"]).code,
        0,
        "what is so already is done"
    );
    assert_eq!(daemon.regrow(&["start", "a"]).code, 0);
    let agent = daemon.agent("a");
    assert_eq!(
        (&agent["phase"], &agent["generation"], &agent["restarts"]),
        (&json!("running"), &json!(2), &json!(0)),
        "{agent}"
    );
    assert_eq!(
        daemon.regrow(&["start", "a"]).code,
        0,
        "what is so already is done"
    );
    assert_eq!(daemon.agent("a")["generation"], 2);
    assert_eq!(daemon.regrow(&["restart", "a"]).code, 0);
    assert_eq!(daemon.agent("a")["generation"], 3);
    assert_eq!(
        daemon.agent("b")["phase"],
        "stopped",
        "an operator stopped it; it stays so"
    );
    for verb in ["stop", "start", "restart"] {
        let said = daemon.regrow(&[verb, "c"]);
        assert_eq!(said.code, 4, "{said:?}");
        assert!(said.stderr.contains("there is no agent \"c\""), "{said:?}");
    }
    let some = daemon.regrow(&["restart", "c", "a"]);
    assert_eq!(some.code, 4, "{some:?}");
    assert_eq!(
        daemon.agent("a")["generation"],
        4,
        "those that there are, are done"
    );
}

#[test]
fn a_command_that_takes_too_long_is_code_6() {
    let agents = "agents:\n  stubborn: { command: ['${REGROW_EXE}', sample-agent, stubborn], start_window: 200ms, stop: { timeout: 4s } }\n";
    let daemon = Daemon::up(agents).settled();
    let late = daemon.regrow(&["stop", "stubborn", "--timeout", "100ms"]);
    assert_eq!(late.code, 6, "{late:?}");
    let late = daemon.regrow(&["down", "--timeout", "100ms"]);
    assert_eq!(late.code, 6, "{late:?}");
}

#[test]
fn up_in_the_background_waits_until_all_are_up_and_says_who_is() {
    let (daemon, said) = Daemon::in_background(Team::new(TEAM));
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
    assert!(
        said.stdout.contains(&format!("http://{}", daemon.address)),
        "{said:?}"
    );
    for id in ["a", "b"] {
        let pid = daemon.pid_of(id);
        let holds =
            |line: &str| line.starts_with(id) && line.contains(&format!("running    pid {pid}"));
        assert!(said.stdout.lines().any(holds), "{said:?}");
    }
    assert_eq!(daemon.regrow(&["down"]).code, 0);
}

#[test]
fn up_in_the_background_that_takes_too_long_is_code_6_and_goes_on() {
    let team = Team::new("agents:\n  slow: { command: 'exec sleep 1000', start_window: 60s }\n");
    let said = team.regrow(&[
        "up",
        "-d",
        "--wait",
        "--wait-timeout",
        "300ms",
        "--listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(said.code, 6, "{said:?}");
    assert!(said.stderr.contains("slow"), "{said:?}");
    assert_eq!(team.regrow(&["ps"]).code, 0);
    assert_eq!(team.regrow(&["down"]).code, 0);
}

#[test]
fn the_foreground_has_a_line_for_each_agent_and_says_where_the_api_is() {
    let daemon = Daemon::up(TEAM).settled();
    daemon.until_line(&["regrow answers at", &daemon.address.to_string()]);
    for id in ["a", "b"] {
        daemon.until_line(&[id, "running", &format!("pid {}", daemon.pid_of(id))]);
    }
    assert!(
        !daemon.lines().iter().any(|line| line.contains("three")),
        "what agents write is for `regrow logs`"
    );
}

#[test]
fn the_daemon_is_found_from_a_folder_below_and_by_its_file() {
    let daemon = Daemon::up(TEAM).settled();
    let below = daemon.team.path().join("x/y");
    std::fs::create_dir_all(&below).unwrap();
    let from_below = daemon
        .team
        .command(&["ps"])
        .current_dir(&below)
        .output()
        .unwrap();
    assert!(from_below.status.success(), "{from_below:?}");
    let file = daemon.team.path().join("regrow.yaml").display().to_string();
    let by_file = daemon
        .team
        .command(&["ps", "-f", &file])
        .current_dir("/")
        .output()
        .unwrap();
    assert!(by_file.status.success(), "{by_file:?}");
    assert_eq!(by_file.stdout, from_below.stdout);
}

//! What goes to agents and what comes from them.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::json;

use crate::kit::{Ask, Daemon, Team, until};

const TEAM: &str = "\
defaults: { start_window: 100ms, stop: { timeout: 3s } }
agents:
  echo: { command: 'while read -r line; do echo \"got $line\"; done; echo end; exec sleep 1000' }
  deaf: { command: 'exec sleep 1000' }
  null: { command: 'exec sleep 1000', stdin: null }
";

#[track_caller]
fn says(daemon: &Daemon, id: &str, expected: &str) {
    until(&format!("{id} says {expected:?}"), || {
        let said = daemon.get(&format!("/v1/agents/{id}/logs")).body;
        said.contains(&format!("\"text\":{}", json!(expected)))
            .then_some(())
    });
}

#[test]
fn an_agent_reads_what_is_sent_to_it() {
    let daemon = Daemon::up(TEAM).settled();
    let sent = daemon.regrow(&["send", "echo", "one two"]);
    assert_eq!((sent.code, sent.stdout.as_str()), (0, ""), "{sent:?}");
    says(&daemon, "echo", "got one two");
    let raw = daemon.post("/v1/agents/echo/send", "three\nfour\n");
    assert_eq!(
        raw.json(),
        json!({"agent": "echo", "generation": 1, "bytes": 11})
    );
    says(&daemon, "echo", "got four");
    let line = Ask::new("POST", "/v1/agents/echo/send?generation=1")
        .token(&daemon.token)
        .header("content-type", "application/json")
        .body(r#"{"line":"five"}"#);
    assert_eq!(daemon.ask(&line).status, 200);
    says(&daemon, "echo", "got five");
    let mut piped = daemon
        .team
        .command(&["send", "--eof", "echo", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = piped.stdin.take().unwrap();
    stdin.write_all(b"six\nseven\n").unwrap();
    drop(stdin);
    assert_eq!(piped.wait().unwrap().code(), Some(0));
    says(&daemon, "echo", "got seven");
    says(&daemon, "echo", "end");
    let closed = daemon.post("/v1/agents/echo/send", "x");
    assert_eq!(closed.problem(), "409 stdin_closed");
}

#[test]
fn who_sends_to_one_that_does_not_read_waits_no_longer_than_asked_and_others_are_not_held_up() {
    let daemon = Daemon::up(TEAM).settled();
    let much = "x".repeat(100_000);
    let send = |id: &str, query: &str, body: &str| {
        daemon.post(&format!("/v1/agents/{id}/send{query}"), body)
    };
    let unfinished = send("deaf", "?timeout=50ms", &much);
    assert_eq!(unfinished.problem(), "504 stdin_unfinished");
    assert_eq!(
        send("deaf", "?timeout=50ms", "y").problem(),
        "504 stdin_full"
    );
    let late = daemon.regrow(&["send", "deaf", "y", "--timeout", "50ms"]);
    assert_eq!(late.code, 6, "{late:?}");
    assert_eq!(send("echo", "", "still here\n").status, 200);
    says(&daemon, "echo", "got still here");
    assert_eq!(send("null", "", "x").problem(), "409 stdin_null");
    assert_eq!(send("nobody", "", "x").problem(), "404 agent_not_found");
    let other = send("echo", "?generation=2", "x");
    assert_eq!(other.problem(), "412 other_generation");
    let large = "x".repeat(1024 * 1024 + 1);
    assert_eq!(send("echo", "", &large).problem(), "413 body_too_large");
    let stranger = daemon.ask(&Ask::new("POST", "/v1/agents/echo/send").body("x"));
    assert_eq!(stranger.problem(), "401 token_required");
    // One whose pipe is full stops as soon as another.
    assert_eq!(daemon.regrow(&["stop", "deaf"]).code, 0);
    let stopped = send("deaf", "", "x");
    assert_eq!(stopped.problem(), "409 agent_not_running");
}

#[test]
fn lines_of_many_come_in_the_order_of_time_and_as_they_were_written() {
    let daemon = Daemon::up(
        "defaults: { start_window: 50ms }\n\
         agents:\n  \
         a: { command: 'while read -r line; do printf \"%s\\377\\n\" \"$line\"; done' }\n  \
         b: { command: 'while read -r line; do echo \"$line\"; done' }\n",
    )
    .settled();
    let mut following = daemon
        .team
        .command(&["logs", "-f", "--tail", "0"])
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(following.stdout.take().unwrap());
    let mut expected = Vec::new();
    // It follows from a moment that nobody tells: so the first is said until it is heard.
    let mut first = Vec::new();
    std::thread::scope(|scope| {
        let heard = scope.spawn(|| std::io::BufRead::read_until(&mut lines, b'\n', &mut first));
        until("it follows", || {
            daemon.post("/v1/agents/b/send", "0\n");
            heard.is_finished().then_some(())
        });
    });
    for round in 1..20 {
        for id in ["a", "b"] {
            let answer = daemon.post(&format!("/v1/agents/{id}/send"), &format!("{round}\n"));
            assert_eq!(answer.status, 200);
            says(&daemon, id, &said(id, round));
            let mut line = format!("{id} | {round}").into_bytes();
            line.extend((id == "a").then_some(0xff));
            expected.push(line);
        }
    }
    let mut got = Vec::new();
    while got.len() < expected.len() {
        let mut line = Vec::new();
        std::io::BufRead::read_until(&mut lines, b'\n', &mut line).unwrap();
        line.pop();
        if line != b"b | 0" {
            got.push(line);
        }
    }
    assert_eq!(got, expected);
    let record = daemon.get("/v1/agents/a/logs?tail=1").json();
    assert_eq!(
        (&record["text"], &record["base64"]),
        (&json!("19\u{fffd}"), &json!("MTn/"))
    );
    following.kill().unwrap();
    following.wait().unwrap();
}

/// The text of the line that the agent answers with.
fn said(id: &str, round: u32) -> String {
    match id {
        "a" => format!("{round}\u{fffd}"),
        _ => round.to_string(),
    }
}

/// Writes 30,000 lines, three times what is kept in memory, and no faster than a file is written.
const MANY: &str = "\
defaults: { start_window: 50ms, logs: { max_size: 256KiB, keep: 20 } }
agents:
  many: { command: 'n=0; while [ $n -lt 30 ]; do seq $((n * 1000)) $((n * 1000 + 999)); n=$((n + 1)); sleep 0.02; done; exec sleep 1000' }
  brief: { command: 'echo brief; sleep 0.1', restart: temporary }
";

#[test]
fn since_reaches_back_into_files_of_this_run_and_the_one_before() {
    let daemon = Daemon::up(MANY).settled();
    says(&daemon, "many", "29999");
    let answer = daemon.get("/v1/agents/many/logs?tail=0");
    let run = answer.header("x-regrow-run").unwrap();
    let since = |daemon: &Daemon, more: &[&str]| {
        let said = daemon.regrow(&[&["logs", "--since", "1h"], more].concat());
        assert_eq!(said.code, 0, "{said:?}");
        said.stdout
    };
    let numbers = |from: u32| -> String { (from..30_000).map(|n| format!("{n}\n")).collect() };
    assert!(since(&daemon, &["many"]) == numbers(0), "all of it, once");
    assert_eq!(since(&daemon, &["many", "--tail", "1"]), "29999\n");
    let files = std::fs::read_dir(daemon.team.state().join("logs")).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert!(names.len() > 3, "{names:?}");

    // From where one has broken off.
    let answer = daemon.get(&format!("/v1/agents/many/logs?after=4999&run={run}"));
    assert_eq!(answer.header("x-regrow-run"), Some(run));
    assert_eq!(answer.body.lines().count(), 25_000);
    assert!(
        answer
            .body
            .starts_with("{\"agent\":\"many\",\"stream\":\"stdout\"")
    );
    let other = daemon.get("/v1/agents/many/logs?after=4999&run=x");
    assert_eq!(other.problem(), "410 other_run");
    // A temporary agent goes, and its files stay.
    until("it is gone", || {
        let agents = daemon.get("/v1/agents").body;
        (!agents.contains("brief")).then_some(())
    });
    assert_eq!(daemon.regrow(&["logs", "brief"]).stdout, "brief\n");
    assert_eq!(
        daemon.get("/v1/agents/never/logs").problem(),
        "404 agent_not_found"
    );

    // The next run goes on in the same files.
    assert_eq!(daemon.regrow(&["down"]).code, 0);
    let team = daemon.crash();
    let daemon = Daemon::of(team).settled();
    says(&daemon, "many", "29999");
    assert!(
        since(&daemon, &["many"]) == numbers(0) + &numbers(0),
        "both runs"
    );
    assert_eq!(since(&daemon, &["brief"]), "brief\nbrief\n");
}

#[test]
fn follow_from_a_time_on_has_no_seam() {
    let daemon = Daemon::up(MANY).settled();
    let mut following = daemon
        .team
        .command(&["logs", "-f", "--since", "1h", "many"])
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(following.stdout.take().unwrap());
    let lines = std::io::BufRead::lines(lines).map(Result::unwrap);
    for (expected, line) in lines.take(30_000).enumerate() {
        assert_eq!(line, expected.to_string());
    }
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn a_disk_that_is_full_costs_lines_of_the_file_alone() {
    let team = Team::new(
        "defaults: { start_window: 50ms }\nagents:\n  a: { command: 'seq 20000; exec sleep 1000' }\n",
    );
    // No file of it may have more than 64 KiB; that is told as an error, and ends nobody.
    let daemon = Daemon::started(team, |command| {
        let mut limited = std::process::Command::new("sh");
        limited.args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\""]);
        limited.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        limited.current_dir(command.get_current_dir().unwrap());
        limited
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        *command = limited;
    })
    .settled();
    says(&daemon, "a", "20000");
    daemon.until_line(&["a ", "log ", "cannot be written"]);
    let file = std::fs::metadata(daemon.team.state().join("logs/a.log")).unwrap();
    assert!(file.len() <= 64 * 1024, "{}", file.len());
    let said = daemon.regrow(&["logs", "a", "--tail", "10000"]).stdout;
    assert_eq!(said.lines().last(), Some("20000"));
}

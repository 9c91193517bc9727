//! What goes to agents and what comes from them.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::json;

use crate::kit::{Ask, Daemon, until};

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
        let line = format!("\"text\":{}", json!(expected));
        said.contains(&line).then_some(())
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

//! The way to the agents: everything goes through as it came, and who is not there is told when to come again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::kit::{Ask, Daemon, Team, signal, until};

/// A team whose agent `echo` only sleeps: on its port the test itself listens, and answers with what it was sent.
fn with_echo() -> Daemon {
    let team = Team::new("");
    let port = team.own_port();
    team.write(&format!(
        "agents:\n  echo: {{ command: 'exec sleep 1000', port: {port}, start_window: 100ms }}\n"
    ));
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let sent = whole_request(&mut stream);
            let head = format!(
                "HTTP/1.1 207 Multi\r\nx-own: 1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                sent.len()
            );
            stream.write_all((head + &sent).as_bytes()).unwrap();
        }
    });
    Daemon::of(team).settled()
}

/// A request as it came over the wire.
fn whole_request(stream: impl Read) -> String {
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        assert_ne!(
            reader.read_line(&mut text).unwrap(),
            0,
            "the head ends: {text:?}"
        );
    }
    let lower = text.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    text + std::str::from_utf8(&body).unwrap()
}

#[test]
fn method_path_query_headers_and_body_go_through_as_they_came() {
    let daemon = with_echo();
    let ask = Ask::new("PATCH", "/agents/echo/a%2Fb//c/%7Ed?x=1&y=%20&z")
        .header("x-mine", "kept")
        .header("x-forwarded-for", "1.2.3.4")
        .header("x-regrow-agent", "forged")
        .header("authorization", "Bearer of-the-agents-own")
        .body("some text");
    let answer = daemon.ask(&ask);
    assert_eq!(
        (answer.status, answer.header("x-own")),
        (207, Some("1")),
        "{answer:?}"
    );
    let sent = answer.body.to_ascii_lowercase();
    assert!(
        answer
            .body
            .starts_with("PATCH /a%2Fb//c/%7Ed?x=1&y=%20&z HTTP/1.1\r\n"),
        "{sent}"
    );
    assert!(answer.body.ends_with("\r\n\r\nsome text"), "{sent}");
    let port = daemon.address.port();
    for line in [
        "x-mine: kept",
        "authorization: bearer of-the-agents-own",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        &format!("x-forwarded-host: 127.0.0.1:{port}"),
        "x-forwarded-prefix: /agents/echo",
    ] {
        assert!(
            sent.lines().any(|sent| sent == line),
            "{line} is not in {sent}"
        );
    }
    assert!(
        !sent.contains("forged") && !sent.contains("1.2.3.4"),
        "{sent}"
    );
    // What opens regrow is for regrow alone.
    let answer = daemon.ask(&Ask::new("GET", "/agents/echo/").token(&daemon.token));
    assert!(!answer.body.contains(&daemon.token), "{answer:?}");
    assert!(answer.body.starts_with("GET / HTTP/1.1\r\n"), "{answer:?}");
}

#[test]
fn who_is_not_there_is_told_so_and_when_to_come_again() {
    let agents = "\
defaults: { start_window: 200ms }
agents:
  worker: { command: ['${REGROW_EXE}', sample-agent, worker], port: auto, restart: { base: 40s } }
  absent: { command: [no-such-program], port: auto }
  mute: { command: 'exec sleep 1000' }
";
    let daemon = Daemon::up(agents).settled();
    assert_eq!(daemon.get("/agents/worker/healthz").status, 200);
    assert_eq!(
        daemon.get("/agents/nobody/x").problem(),
        "404 agent_not_found"
    );
    assert_eq!(
        daemon.get("/agents/mute/x").problem(),
        "404 agent_has_no_port"
    );
    let parked = daemon.get("/agents/absent/x");
    assert_eq!(
        (parked.problem().as_str(), parked.header("retry-after")),
        ("503 agent_failed", None)
    );
    assert!(
        parked.body.contains("no-such-program"),
        "it says why: {parked:?}"
    );
    for target in [
        "/agents/../supervisor/status",
        "/agents/%2e%2e/supervisor/status",
        "/agents/worker%2F..%2Fmute/x",
        "/agents/",
    ] {
        let answer = daemon.get(target);
        assert!((400..500).contains(&answer.status), "{target}: {answer:?}");
    }

    signal(daemon.pid_of("worker"), Signal::KILL);
    daemon.until_phase("worker", "backoff");
    let begun = Instant::now();
    let away = daemon.ask(&Ask::new("POST", "/agents/worker/invoke").body("{}"));
    assert_eq!(
        (away.problem().as_str(), away.header("retry-after")),
        ("503 agent_not_ready", Some("30")),
        "{away:?}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "nobody waits in vain: {:?}",
        begun.elapsed()
    );
    assert_eq!(
        daemon.regrow(&["start", "worker"]).code,
        0,
        "an operator need not wait for the backoff"
    );
    assert_eq!(daemon.get("/agents/worker/healthz").status, 200);
    assert_eq!(daemon.regrow(&["stop", "worker"]).code, 0);
    let stopped = daemon.get("/agents/worker/healthz");
    assert_eq!(
        (stopped.problem().as_str(), stopped.header("retry-after")),
        ("503 agent_stopped", None)
    );
}

#[test]
fn a_restart_is_a_pause_and_no_error_for_who_only_asks() {
    let agents = "agents:\n  worker: { command: ['${REGROW_EXE}', sample-agent, worker], port: auto, start_window: 200ms }\n";
    let daemon = Daemon::up(agents).settled();
    let first = daemon.pid_of("worker");
    assert_eq!(daemon.post("/supervisor/restart/worker", "").status, 202);
    until("the next life is up", || {
        let answer = daemon.get("/agents/worker/healthz");
        assert_eq!(answer.status, 200, "{answer:?}");
        let agent = daemon.agent("worker");
        (agent["generation"] == 2 && agent["phase"] == "running").then_some(())
    });
    assert_ne!(daemon.pid_of("worker"), first);
    let answer = daemon.ask(&Ask::new("POST", "/agents/worker/invoke").body(r#"{"text":"x"}"#));
    assert_eq!(answer.json()["generation"], 2, "{answer:?}");
}

#[test]
fn an_answer_that_never_ends_comes_as_it_is_written() {
    let team = Team::new("");
    let port = team.own_port();
    team.write(&format!(
        "agents:\n  live: {{ command: 'exec sleep 1000', port: {port}, start_window: 100ms }}\n"
    ));
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let upstream = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        whole_request(&stream);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")
            .unwrap();
        // Until the client leaves: that ends this side too.
        let mut rest = Vec::new();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream.read_to_end(&mut rest).map_err(|error| error.kind())
    });
    let daemon = Daemon::of(team).settled();
    let client = std::net::TcpStream::connect(daemon.address).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    Ask::new("GET", "/agents/live/events").send(&client, &daemon.address.to_string());
    let event = BufReader::new(&client)
        .lines()
        .map(|line| line.unwrap())
        .find(|line| line.starts_with("data:"));
    assert_eq!(event.as_deref(), Some("data: 1"));
    drop(client);
    let ended = upstream.join().unwrap();
    assert!(
        ended.is_ok() || ended == Err(std::io::ErrorKind::ConnectionReset),
        "the client's leaving is passed on: {ended:?}"
    );
}

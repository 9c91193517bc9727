//! Where agents listen: a listener that is handed over refuses nobody while its agent is restarted, and a socket needs no port.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::kit::{Ask, Daemon, signal, until};

/// How often the agent is restarted: 20 times, or as often as this says.
const RESTARTS: &str = "REGROW_RESTARTS";

/// What one client that never stops asking has seen.
#[derive(Debug, Default)]
struct Seen {
    answered: u64,
    refused: u64,
    /// Connections that were accepted, and broke before an answer came.
    broken: u64,
    longest: Duration,
}

/// Asks again and again, with a connection each time, until it is told to end.
fn ask_on(port: u16, end: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    while !end.load(Ordering::Relaxed) {
        let begun = Instant::now();
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => match is_answered(stream) {
                true => seen.answered += 1,
                false => seen.broken += 1,
            },
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
                seen.refused += 1;
            }
        }
        seen.longest = seen.longest.max(begun.elapsed());
    }
    seen
}

fn is_answered(mut stream: TcpStream) -> bool {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut answer = String::new();
    let read = stream
        .write_all(request)
        .and_then(|()| stream.read_to_string(&mut answer));
    read.is_ok() && answer.starts_with("HTTP/1.1 200 ")
}

fn worker(setting: &str) -> Daemon {
    Daemon::up(&format!(
        "agents:\n  worker: {{ command: ['${{REGROW_EXE}}', sample-agent, worker], {setting}, start_window: 100ms }}\n"
    ))
    .settled()
}

fn port_of(daemon: &Daemon, id: &str) -> u16 {
    let port = daemon.agent(id)["port"].as_u64().unwrap();
    u16::try_from(port).unwrap()
}

#[test]
fn nobody_is_refused_while_an_agent_with_a_handed_over_listener_is_restarted() {
    let restarts: u32 = std::env::var(RESTARTS).map_or(20, |text| text.parse().unwrap());
    let daemon = worker("port: auto, handover: true");
    let port = port_of(&daemon, "worker");
    let end = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let end = Arc::clone(&end);
            thread::spawn(move || ask_on(port, &end))
        })
        .collect();
    let begun = Instant::now();
    for restart in 1..=restarts {
        let answer = daemon.post("/supervisor/restart/worker?wait=30s", "");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(daemon.agent("worker")["generation"], restart + 1);
        // The way through the gateway holds, too.
        assert_eq!(daemon.get("/agents/worker/healthz").status, 200);
    }
    let took = begun.elapsed();
    end.store(true, Ordering::Relaxed);
    let seen: Vec<Seen> = clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .collect();
    println!("{restarts} restarts in {took:.1?}: {seen:?}");
    for client in seen {
        assert_eq!((client.refused, client.broken), (0, 0), "{client:?}");
        assert!(client.answered > u64::from(restarts), "{client:?}");
    }
}

#[test]
fn a_crash_refuses_nobody_either_and_a_stopped_agent_does_not_look_alive() {
    let daemon = worker("port: auto, handover: true, restart: { base: 300ms }");
    let port = port_of(&daemon, "worker");
    signal(daemon.pid_of("worker"), Signal::KILL);
    daemon.until_phase("worker", "backoff");
    let waiting = TcpStream::connect(("127.0.0.1", port)).expect("the system holds it");
    assert!(is_answered(waiting), "by the next life");
    assert_eq!(daemon.agent("worker")["generation"], 2);

    assert_eq!(daemon.regrow(&["stop", "worker"]).code, 0);
    let refused = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let stopped = daemon.get("/agents/worker/healthz");
    assert_eq!(stopped.problem(), "503 agent_stopped");
    assert_eq!(daemon.regrow(&["start", "worker"]).code, 0);
    assert_eq!(port_of(&daemon, "worker"), port);
    assert_eq!(daemon.get("/agents/worker/healthz").status, 200);
}

#[test]
fn an_agent_on_a_unix_socket_is_reached_through_the_gateway_and_by_nobody_else() {
    let daemon = worker("port: socket");
    let agent = daemon.agent("worker");
    assert_eq!(agent["port"], serde_json::Value::Null);
    let path = agent["socket"].as_str().map(Path::new).unwrap();
    let folder = path.parent().unwrap().metadata().unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    let ask = Ask::new("POST", "/agents/worker/invoke").body(r#"{"text":"by socket"}"#);
    assert_eq!(daemon.ask(&ask).json()["text"], "by socket");
    let table = daemon.regrow(&["ps"]).stdout;
    assert!(table.contains("  socket  "), "{table}");

    // What a life that was killed has left is no obstacle to the next.
    signal(daemon.pid_of("worker"), Signal::KILL);
    until("the next life is up", || {
        let agent = daemon.agent("worker");
        (agent["generation"] == 2 && agent["phase"] == "running").then_some(())
    });
    let answer = daemon.ask(&ask);
    assert_eq!(answer.json()["generation"], 2, "{answer:?}");
    assert_eq!(daemon.regrow(&["stop", "worker"]).code, 0);
    assert!(UnixStream::connect(path).is_err() && !path.exists());
    assert_eq!(
        daemon.get("/agents/worker/healthz").problem(),
        "503 agent_stopped"
    );
}

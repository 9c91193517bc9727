//! Agents that are held, signalled, drained, or have run for as long as they may.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use crate::kit::{Ask, Daemon, Team, until};

const QUICK: &str = "defaults: { start_window: 100ms }\nagents:\n";
const WORKER: &str = "  worker: { command: ['${REGROW_EXE}', sample-agent, worker], port: auto }\n";

/// Whether a process is held, says the system.
fn is_held(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.starts_with('T')
}

#[test]
fn a_paused_agent_is_held_refuses_requests_and_goes_on_where_it_was() {
    let daemon = Daemon::up(&format!("{QUICK}{WORKER}")).settled();
    let pid = daemon.pid_of("worker");
    let said = daemon.regrow(&["pause", "worker"]);
    assert_eq!(said.code, 0, "{said:?}");
    until("it is held", || is_held(pid).then_some(()));
    let agent = daemon.agent("worker");
    assert_eq!(
        (&agent["phase"], &agent["ready"]),
        (&"paused".into(), &false.into()),
        "{agent}"
    );
    assert_eq!(
        (&agent["pid"], &agent["generation"]),
        (&pid.into(), &1.into()),
        "{agent}"
    );
    daemon.until_line(&["worker", "paused"]);
    let refused = daemon.get("/agents/worker/healthz");
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (503, "503 agent_paused"),
        "{refused:?}"
    );
    assert!(refused.body.contains("regrow resume worker"), "{refused:?}");
    let gauge = r#"regrow_process_processes{type="worker",state="paused"} 1"#;
    let metrics = daemon.get("/metrics").body;
    assert!(
        metrics.lines().any(|line| line.contains(gauge)),
        "{metrics}"
    );
    let found = daemon.regrow(&["ps", "paused"]);
    assert!(
        found.stdout.lines().any(|line| line.starts_with("worker")),
        "{found:?}"
    );

    let said = daemon.regrow(&["resume", "worker"]);
    assert_eq!(said.code, 0, "{said:?}");
    until("it goes on", || (!is_held(pid)).then_some(()));
    daemon.until_line(&["worker", "goes on"]);
    assert_eq!(daemon.get("/agents/worker/healthz").status, 200);
    assert_eq!(daemon.pid_of("worker"), pid);

    // A stop lets it go on, so that it ends in order.
    let paused = daemon.post("/v1/agents/worker/pause?wait=10s", "").json();
    assert_eq!(paused["phase"], "paused", "{paused}");
    let stopped = daemon.post("/v1/agents/worker/stop?wait=30s", "").json();
    assert_eq!(stopped["phase"], "stopped", "{stopped}");
    assert_eq!(stopped["last_exit"]["reason"], "shutdown", "{stopped}");
    let refused = daemon.post("/v1/agents/worker/pause?wait=10s", "");
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (409, "409 agent_not_up"),
        "{refused:?}"
    );
    let said = daemon.regrow(&["resume", "worker"]);
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.stderr.contains("is stopped"), "{said:?}");
}

#[test]
fn a_signal_reaches_an_agent_and_each_refusal_has_its_code() {
    let agents = "  ears:\n    command: |\n      trap 'echo heard' HUP\n      echo up\n      while :; do sleep 0.05; done\n";
    let daemon = Daemon::up(&format!("{QUICK}{agents}")).settled();
    let said = daemon.regrow(&["signal", "ears", "hup", "--leader"]);
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (0, "sent HUP to ears\n"),
        "{said:?}"
    );
    until("it heard", || {
        let logs = daemon.regrow(&["logs", "ears"]).stdout;
        logs.contains("heard").then_some(())
    });
    let post = |body: &str| {
        let answer = daemon.post("/v1/agents/ears/signal", body);
        let code = answer.json()["code"].as_str().map(str::to_owned);
        (answer.status, code.unwrap_or_default())
    };
    assert_eq!(
        post(r#"{"signal":"SIGHUP","to":"leader"}"#),
        (200, String::new())
    );
    for (body, status, code) in [
        (r#"{"signal":"STOP"}"#, 422, "signal_reserved"),
        (r#"{"signal":"SIGCONT"}"#, 422, "signal_reserved"),
        (r#"{"signal":"NOPE"}"#, 422, "unknown_signal"),
        (r#"{"sig":"HUP"}"#, 422, "bad_body"),
        ("", 400, "bad_json"),
    ] {
        assert_eq!(post(body), (status, code.to_owned()), "{body}");
    }
    // As if somebody else had sent it: it grows back, and that is counted.
    assert_eq!(post(r#"{"signal":"KILL"}"#).0, 200);
    until("it grows back", || {
        (daemon.agent("ears")["generation"] == 2).then_some(())
    });
    let agent = daemon.until_phase("ears", "running");
    assert_eq!(agent["restarts"], 1, "{agent}");
    let stopped = daemon.post("/v1/agents/ears/stop?wait=30s", "");
    assert_eq!(stopped.status, 200, "{stopped:?}");
    assert_eq!(
        post(r#"{"signal":"HUP"}"#),
        (409, "agent_not_running".to_owned())
    );
    assert_eq!(daemon.regrow(&["signal", "nobody", "HUP"]).code, 4);
}

/// Answers one request at a time on the agent's own port: tells that it has come, and answers when it may.
fn answerer(port: u16) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let ((come, has_come), (go, may_go)) = (mpsc::channel(), mpsc::channel());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(&stream).lines();
            while lines.next().unwrap().unwrap() != "" {}
            come.send(()).unwrap();
            may_go.recv().unwrap();
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ndone";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (has_come, go)
}

#[test]
fn an_agent_finishes_what_it_has_begun_before_it_stops() {
    let team = Team::new("");
    let port = team.own_port();
    team.write(&format!(
        "agents:\n  busy: {{ command: 'exec sleep 1000', port: {port}, start_window: 100ms, \
         stop: {{ timeout: 40s, drain: 20s }} }}\n"
    ));
    let daemon = Daemon::of(team).settled();
    let (has_come, go) = answerer(port);
    let mut client = TcpStream::connect(daemon.address).unwrap();
    Ask::new("GET", "/agents/busy/work").send(&mut client, "127.0.0.1");
    has_come.recv().unwrap();
    assert_eq!(daemon.post("/v1/agents/busy/stop", "").status, 202);
    let agent = daemon.until_phase("busy", "draining");
    assert_eq!(agent["ready"], false, "{agent}");
    until("the gateway knows", || {
        (daemon.agent("busy")["stopping_stage"] == "drain").then_some(())
    });
    let refused = daemon.get("/agents/busy/more");
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (503, "503 agent_draining"),
        "{refused:?}"
    );
    go.send(()).unwrap();
    let mut answer = String::new();
    let mut reader = BufReader::new(client);
    reader.read_line(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let stopped = daemon.until_phase("busy", "stopped");
    assert_eq!(stopped["last_exit"]["reason"], "shutdown", "{stopped}");
}

#[test]
fn how_long_it_may_run_and_what_its_exit_codes_mean_stand_in_the_file() {
    let agents = "  short: { command: 'exec sleep 1000', max_runtime: 300ms }
  anew: { command: 'exec sleep 1000', max_runtime: 300ms, restart: { policy: permanent, max_restarts: 0 } }
  wrong: { command: 'sleep 0.3; exit 78', restart: permanent }
  fine: { command: 'sleep 0.3; exit 3', restart: { success_codes: [3] } }
  never: { command: 'sleep 0.3; exit 4', restart: { never_on: [4] } }
";
    let daemon = Daemon::up(&format!("{QUICK}{agents}"));
    let short = daemon.until_phase("short", "completed");
    assert_eq!(
        (&short["generation"], &short["restarts"]),
        (&1.into(), &0.into()),
        "{short}"
    );
    assert_eq!(short["last_exit"]["reason"], "shutdown", "{short}");
    until("it began anew without a restart that counts", || {
        let anew = daemon.agent("anew");
        assert_eq!(anew["restarts"], 0, "{anew}");
        (anew["generation"].as_u64() >= Some(4)).then_some(())
    });
    let wrong = daemon.until_phase("wrong", "failed");
    assert_eq!(
        (&wrong["generation"], &wrong["message"]),
        (
            &1.into(),
            &"exit code 78, after which it is never started again".into()
        ),
        "{wrong}"
    );
    assert_eq!(daemon.until_phase("fine", "completed")["generation"], 1);
    assert_eq!(daemon.until_phase("never", "failed")["generation"], 1);
}

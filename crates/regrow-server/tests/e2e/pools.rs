//! Pools: as many workers as there is work for, each request to one of them, and a reason for whatever comes of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::kit::{Answer, Ask, Daemon, Team, signal, until};

/// Workers whose answers take so long, in a pool that says this besides.
fn pool(takes: &str, rules: &str) -> String {
    format!(
        "\
defaults: {{ start_window: 200ms }}
agents: {{}}
pools:
  w:
    command: ['${{REGROW_EXE}}', sample-agent, worker, --takes, {takes}]
    {rules}
"
    )
}

fn invoke() -> Ask {
    Ask::new("POST", "/pools/w/invoke").body(r#"{"text":"hello"}"#)
}

/// Clients that ask again and again.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<u16>>>,
}

impl Load {
    fn of(clients: usize, address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let mut seen = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    seen.push(invoke().over_tcp(address).status);
                }
                seen
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { stop, clients }
    }

    /// What all of them were answered.
    fn end(self) -> Vec<u16> {
        self.stop.store(true, Ordering::Relaxed);
        let clients = self.clients.into_iter();
        clients
            .flat_map(|client| client.join().expect("a client does not panic"))
            .collect()
    }
}

fn shown(daemon: &Daemon) -> Value {
    daemon.get("/v1/pools/w").json()
}

#[track_caller]
fn until_ready(daemon: &Daemon, workers: usize) -> Value {
    until(&format!("there are {workers} workers, all ready"), || {
        let pool = shown(daemon);
        let is_it = pool["ready"] == workers && pool["workers"].as_array()?.len() == workers;
        is_it.then_some(pool)
    })
}

#[track_caller]
fn explained(daemon: &Daemon, words: &str) -> String {
    let said = daemon.regrow(&["pool", "explain", "w"]);
    assert!(
        said.code == 0 && said.stdout.contains(words),
        "no {words:?} in {said:?}"
    );
    said.stdout
}

#[test]
fn a_pool_grows_with_the_work_answers_all_of_it_and_shrinks_after_it() {
    let rules = "min: 2\n    max: 6\n    scale: { window: 3s, smoothing: 1s }";
    let daemon = Daemon::up(&pool("100ms", rules));
    until_ready(&daemon, 2);
    explained(&daemon, "up from 0 to 2: its bounds ask for 2");
    let begun = Instant::now();
    let load = Load::of(8, daemon.address);
    until("it has grown", || {
        (shown(&daemon)["ready"] == 6).then_some(())
    });
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    explained(&daemon, "up from ");
    daemon.until_line(&["pool/w", "scaled", "up from "]);
    let seen = load.end();
    assert!(seen.iter().all(|status| *status == 200), "{seen:?}");
    until_ready(&daemon, 2);
    explained(&daemon, "down from ");
    let pool = shown(&daemon);
    let (asked, totals) = (seen.len(), &pool["totals"]);
    assert_eq!(
        (&totals["submitted"], &totals["ended"]["ok"]),
        (&asked.into(), &asked.into())
    );
    // Those that have gone are no agents any more.
    assert_eq!(
        daemon.get("/v1/agents").json()["agents"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let metrics = daemon.get("/metrics").body;
    let line = "regrow_pool_scale_events_total{pool=\"root/w\",direction=\"up\",trigger=\"queue\"}";
    assert!(metrics.contains(line), "{metrics}");
}

#[test]
fn a_worker_that_dies_costs_its_own_request_at_most_and_comes_back() {
    let daemon = Daemon::up(&pool("50ms", "min: 3\n    max: 3"));
    until_ready(&daemon, 3);
    let load = Load::of(3, daemon.address);
    for id in ["w-1", "w-2", "w-3"] {
        signal(daemon.pid_of(id), Signal::KILL);
        until("it is in its next life, and ready", || {
            let agent = daemon.agent(id);
            (agent["generation"] == 2 && agent["ready"] == true).then_some(())
        });
    }
    let seen = load.end();
    let lost: Vec<_> = seen.iter().filter(|status| **status != 200).collect();
    assert!(
        lost.len() <= 3 && lost.iter().all(|status| **status == 502),
        "{lost:?}"
    );
    assert!(seen.len() > 30, "{seen:?}");
    let totals = &shown(&daemon)["totals"];
    let of = |counts: &Value| -> u64 {
        let counts = counts.as_object().unwrap().values();
        counts.map(|count| count.as_u64().unwrap()).sum()
    };
    let settled = of(&totals["ended"]) + of(&totals["rejected"]);
    assert_eq!(totals["submitted"], settled, "{totals}");
}

#[test]
fn an_operator_says_how_many_workers_there_are_and_may_not_say_too_many() {
    let daemon = Daemon::up(&pool("1ms", "min: 1\n    max: 3"));
    until_ready(&daemon, 1);
    let said = daemon.regrow(&["scale", "w", "3"]);
    assert!(
        said.code == 0 && said.stdout.contains("of 3 ready, 1 to 3; set by hand"),
        "{said:?}"
    );
    until_ready(&daemon, 3);
    explained(&daemon, "an operator has set 3");
    let too_many = daemon.regrow(&["scale", "w", "4"]);
    assert_eq!(too_many.code, 1, "{too_many:?}");
    assert!(
        too_many
            .stderr
            .contains("may have at most 3 workers, not 4"),
        "{too_many:?}"
    );
    assert_eq!(daemon.regrow(&["scale", "v", "1"]).code, 4);
    assert_eq!(daemon.regrow(&["scale", "w", "many"]).code, 2);
    assert_eq!(daemon.regrow(&["scale", "w", "pause"]).code, 0);
    assert_eq!(shown(&daemon)["mode"], "paused");
    let body = r#"{"mode":"observe"}"#;
    let target = "/v1/pools/w/scale";
    let without_token = daemon.ask(&Ask::new("POST", target).body(body));
    assert_eq!(without_token.problem(), "401 token_required");
    assert_eq!(daemon.post(target, body).json()["mode"], "observe");
    assert_eq!(daemon.post(target, "{}").problem(), "422 bad_body");

    // Workers are agents, but for how many there are.
    let stopped = daemon.regrow(&["stop", "w-1"]);
    assert!(
        stopped.code == 5 && stopped.stderr.contains("is a worker of pool \"w\""),
        "{stopped:?}"
    );
    let restarted = daemon.regrow(&["restart", "pool/w"]);
    assert_eq!(restarted.code, 0, "{restarted:?}");
    let ps = daemon.regrow(&["ps", "type:w"]).stdout;
    assert_eq!(ps.matches("pool/w").count(), 3, "{ps}");
    let logs = daemon.regrow(&["logs", "w-2"]).stdout;
    assert!(logs.contains("answering on"), "{logs}");
    until_ready(&daemon, 3);
    assert_eq!(daemon.regrow(&["scale", "w", "0"]).code, 0);
    until_ready(&daemon, 0);
    assert_eq!(daemon.ask(&invoke()).problem(), "503 pool_has_no_worker");
    assert_eq!(daemon.regrow(&["scale", "w", "auto"]).code, 0);
    until_ready(&daemon, 1);
    assert_eq!(daemon.ask(&invoke()).status, 200);
}

#[test]
fn workers_that_do_not_start_fail_the_wait_and_open_the_gate_and_do_not_become_more() {
    let team = Team::new(
        "\
defaults: { start_window: 200ms }
agents: {}
pools:
  w: { command: [sh, -c, 'echo no luck >&2; exit 3'], min: 2, max: 4, required: true }
",
    );
    let (daemon, said) = Daemon::in_background(team);
    assert!(said.code == 8 && said.stderr.contains("pool/w"), "{said:?}");
    let health = daemon.get("/health").json();
    assert_eq!(health["status"], "down", "{health}");
    let why = health["pools"]["w"]["why"].as_str().unwrap();
    assert!(
        why.starts_with("none of at least 2 workers is ready"),
        "{health}"
    );
    let readyz = daemon.get("/readyz");
    assert!(
        readyz.status == 503 && readyz.body.contains("pool w: none of"),
        "{readyz:?}"
    );
    let refused = until("the gate is open when a request waits", || {
        let answer = daemon.ask(&invoke().header("x-regrow-deadline-ms", "1500"));
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(refused.problem(), "503 pool_has_no_worker");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let agents = daemon.get("/v1/agents").json()["agents"].clone();
    assert_eq!(agents.as_array().unwrap().len(), 2, "{agents}");
    assert_eq!(daemon.regrow(&["down"]).code, 0);
}

/// Who has answered.
#[track_caller]
fn by(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["agent"]
        .as_str()
        .expect("an agent")
        .to_owned()
}

#[test]
fn a_request_says_on_which_terms_it_waits_and_is_told_why_it_got_nobody() {
    let daemon = Daemon::up(&pool("300ms", "min: 3\n    max: 3\n    queue: 1"));
    until_ready(&daemon, 3);
    let sticky = |key| by(&daemon.ask(&invoke().header("x-regrow-key", key)));
    let first = sticky("a");
    assert_eq!([sticky("a"), sticky("a")], [first.clone(), first]);
    assert_eq!(
        daemon.get("/pools/v/invoke").problem(),
        "404 pool_not_found"
    );
    for (name, value) in [
        ("x-regrow-priority", "urgent"),
        ("x-regrow-deadline-ms", "0"),
        ("x-regrow-tenant", ""),
    ] {
        let answer = daemon.ask(&invoke().header(name, value));
        assert_eq!(answer.problem(), "400 bad_header", "{name}");
    }
    // All are busy, one waits, and one more is too many.
    let load = Load::of(4, daemon.address);
    until("one waits", || {
        (shown(&daemon)["queue"]["waiting"] == 1).then_some(())
    });
    let full = until("there is no room", || {
        let answer = daemon.ask(&invoke().header("x-regrow-tenant", "acme"));
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(full.problem(), "503 pool_queue_full");
    assert!(full.header("retry-after").is_some(), "{full:?}");
    assert!(
        full.json()["detail"]
            .as_str()
            .unwrap()
            .contains("pool \"w\""),
        "{full:?}"
    );
    load.end();

    let worker = daemon.get("/v1/agents/w-1").json();
    assert_eq!(
        (&worker["path"], &worker["pool"]),
        (&"root/w/1".into(), &"w".into())
    );
    // A worker can be asked by its own name too.
    let own = Ask::new("POST", "/agents/w-1/invoke").body(r#"{"text":"hello"}"#);
    assert_eq!(by(&daemon.ask(&own)), "w-1");
}

#[test]
fn a_request_whose_time_is_over_before_a_worker_is_free_is_told_so() {
    let daemon = Daemon::up(&pool("2s", "min: 1\n    max: 1"));
    until_ready(&daemon, 1);
    let load = Load::of(1, daemon.address);
    until("the worker is busy", || {
        (shown(&daemon)["busy"] == 1).then_some(())
    });
    let late = daemon.ask(&invoke().header("x-regrow-deadline-ms", "100"));
    assert_eq!(late.problem(), "504 pool_timeout");
    let said = late.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        said.contains("no worker of pool \"w\" was free within 0.1 s: 1 of 1 are busy"),
        "{said}"
    );
    assert_eq!(load.end(), [200]);
}

#[test]
fn the_port_of_a_worker_is_told_to_no_agent_in_no_life_and_is_no_agents_name() {
    let daemon = Daemon::up(&pool("1ms", "min: 1\n    max: 1"));
    until_ready(&daemon, 1);
    signal(daemon.pid_of("w-1"), Signal::KILL);
    until("it is in its next life", || {
        (daemon.agent("w-1")["generation"] == 2).then_some(())
    });
    // To others it would have the name that the port of w-1 had.
    let body = r#"{"agent_id":"w.1","command":"sh","args":["-c","env; exec sleep 1000"]}"#;
    let spawned = daemon.post("/v1/agents", body);
    assert_eq!(spawned.status, 201, "{spawned:?}");
    let said = until("it has said what it was told", || {
        let logs = daemon.regrow(&["logs", "w.1"]).stdout;
        logs.contains("AGENT_ID=w.1").then_some(logs)
    });
    assert!(!said.contains("REGROW_PORT_"), "{said}");
}

#[test]
fn a_request_waits_for_no_worker_where_all_of_them_are_given_up_on() {
    let team = Team::new(
        "\
defaults: { start_window: 200ms }
agents: {}
pools:
  w: { command: [/no/such/program], min: 1, max: 2 }
",
    );
    let (daemon, said) = Daemon::in_background(team);
    assert_eq!(said.code, 8, "{said:?}");
    until("its worker is parked", || {
        (daemon.agent("w-1")["phase"] == "failed").then_some(())
    });
    let asked = Instant::now();
    let answer = daemon.ask(&invoke());
    let took = asked.elapsed();
    assert_eq!(answer.problem(), "503 pool_has_no_worker");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let problem = answer.json();
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("given up on") && detail.contains("no/such/program"),
        "{problem}"
    );
    assert_eq!(answer.header("retry-after"), None);
    assert_eq!(daemon.regrow(&["down"]).code, 0);
}

#[test]
fn a_pool_can_be_named_as_it_is_shown_and_is_not_stopped() {
    let daemon = Daemon::up(&pool("1ms", "min: 2\n    max: 3"));
    until_ready(&daemon, 2);
    let scaled = daemon.regrow(&["scale", "pool/w", "3"]);
    assert_eq!(scaled.code, 0, "{scaled:?}");
    until_ready(&daemon, 3);
    for command in [
        &["pool", "explain", "pool/w"][..],
        &["pool", "ls", "pool/w"],
    ] {
        let said = daemon.regrow(command);
        assert!(said.code == 0 && said.stdout.contains("w "), "{said:?}");
    }
    let logs = daemon.regrow(&["logs", "pool/w"]);
    for worker in ["w-1 | ", "w-2 | ", "w-3 | "] {
        assert!(logs.stdout.contains(worker), "{logs:?}");
    }
    let negative = daemon.regrow(&["scale", "w", "-1"]);
    assert!(
        negative.code == 2
            && negative
                .stderr
                .contains("expected a number of workers, auto, pause or observe"),
        "{negative:?}"
    );

    let all = daemon.regrow(&["stop", "pool/w"]);
    assert_eq!(
        (all.code, all.stderr.as_str()),
        (
            5,
            "regrow: pool \"w\" is not stopped as agents are; for no workers: regrow scale w 0\n"
        )
    );
    let one = daemon.regrow(&["stop", "w-2"]);
    let hint = "for fewer workers: regrow scale w N; for a fresh one: regrow restart w-2";
    assert!(one.code == 5 && one.stderr.contains(hint), "{one:?}");
}

#[test]
fn a_question_whose_worker_dies_is_asked_once_more_and_an_order_is_not() {
    let daemon = Daemon::up(&pool("20s", "min: 1\n    max: 1"));
    until_ready(&daemon, 1);
    let killed_under = |ask: Ask, life: u64| {
        let address = daemon.address;
        let asking = thread::spawn(move || ask.over_tcp(address));
        until("the worker has it", || {
            (shown(&daemon)["busy"] == 1).then_some(())
        });
        assert_eq!(daemon.agent("w-1")["generation"], life);
        signal(daemon.pid_of("w-1"), Signal::KILL);
        asking.join().expect("a client does not panic")
    };
    let hangs = daemon.regrow(&["send", "w-1", "hang"]);
    assert_eq!(hangs.code, 0, "{hangs:?}");
    until("it hangs", || {
        let logs = daemon.regrow(&["logs", "w-1"]).stdout;
        logs.contains("from now on").then_some(())
    });
    let question = killed_under(Ask::new("GET", "/pools/w/healthz"), 1);
    assert_eq!(question.status, 200, "{question:?}");
    until_ready(&daemon, 1);
    let order = killed_under(invoke(), 2);
    assert_eq!(order.problem(), "502 agent_connection_broken");
}

//! What regrow tells of itself: its log as JSON, and what it reports to a collector.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;

use crate::kit::{Ask, Daemon, SOON, Team};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A team that says this of its telemetry, in the background, with these variables.
fn up(settings: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Daemon {
    let agents = "agents:\n  idle: { command: 'exec sleep 1000', start_window: 100ms }\n";
    let team = Team::new(&format!("{settings}{agents}"));
    let mut command = team.command(&["up", "-d", "--wait", "--listen", "127.0.0.1:0"]);
    let said = command.args(arguments).envs(variables.iter().copied());
    let said = said.output().unwrap();
    assert!(said.status.success(), "{said:?}");
    Daemon::at(team)
}

/// Has an agent spawned in a trace; the trace that it was told.
fn spawn_traced(daemon: &Daemon) -> String {
    let body =
        r#"{"agent_id":"asked","command":"sh","args":["-c","echo $TRACEPARENT; exec sleep 1000"]}"#;
    let ask = Ask::new("POST", "/supervisor/spawn")
        .token(&daemon.token)
        .header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))
        .body(body);
    assert_eq!(ask.over_tcp(daemon.address).status, 201);
    let told = crate::kit::until("it has told its trace", || {
        let log = daemon.team.regrow(&["logs", "asked"]).stdout;
        log.lines().next().map(str::to_owned)
    });
    assert!(told.starts_with("00-") && !told.contains(TRACE), "{told}");
    told
}

/// What the daemon has written of itself, line by line.
fn log(daemon: &Daemon) -> String {
    fs::read_to_string(daemon.team.state().join("regrow.log")).unwrap()
}

#[test]
fn a_log_in_json_is_one_object_a_line_with_the_ids_of_what_belongs_together() {
    let settings = "log: { format: json, level: debug }\n";
    let daemon = up(settings, &[], &[("REGROW_LOG", "debug")]);
    let told = spawn_traced(&daemon);
    assert_eq!(daemon.team.regrow(&["down"]).code, 0);
    let log = log(&daemon);
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        assert!(line["at"].as_str().unwrap().ends_with('Z'), "{line}");
        assert!(line["level"].is_string(), "{line}");
        assert!(
            line["event"].is_string() || line["message"].is_string(),
            "{line}"
        );
    }
    let event = |name: &str, path: &str| {
        let is_it = |line: &&Value| line["event"] == name && line["path"] == path;
        lines
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("no {name} of {path}: {log}"))
    };
    let started = event("regrow.child.started", "root/idle");
    assert_eq!(
        (&started["generation"], &started["level"]),
        (&1.into(), &"info".into())
    );
    let spawned = event("regrow.process.spawn.stop", "root/asked");
    let id = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    let parent = format!(
        "00-{}-{}-01",
        id(spawned, "trace_id"),
        id(spawned, "span_id")
    );
    assert_eq!(parent, told);
    let of_trace: Vec<&Value> = lines
        .iter()
        .filter(|line| line["trace_id"] == TRACE)
        .collect();
    let is_request = |line: &&&Value| line["event"] == "regrow.http.request.stop";
    let request = of_trace.iter().find(is_request).unwrap();
    assert_eq!(request["route"], "/supervisor/spawn");
    assert_ne!(request["span_id"], PARENT);
    let said = |text: &str| {
        lines.iter().any(|line| {
            line["message"]
                .as_str()
                .is_some_and(|said| said.contains(text))
        })
    };
    assert!(said("answers at http://"), "{log}");
    assert!(said("all agents have ended"), "{log}");
}

#[test]
fn the_command_line_outranks_the_file_and_text_is_usual() {
    let daemon = up("log: { format: json }\n", &["--log-format", "text"], &[]);
    assert_eq!(daemon.team.regrow(&["down"]).code, 0);
    assert!(!log(&daemon).contains('{'), "{}", log(&daemon));
    let daemon = up("", &["--log-format=json"], &[]);
    assert_eq!(daemon.team.regrow(&["down"]).code, 0);
    assert!(
        log(&daemon).lines().all(|line| line.starts_with('{')),
        "{}",
        log(&daemon)
    );
}

/// Takes every request, and hands on its head and what it carries.
fn collector() -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (taken, requests) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let taken = taken.clone();
            thread::spawn(move || take(stream, &taken));
        }
    });
    (url, requests)
}

fn take(stream: TcpStream, taken: &Sender<(String, Vec<u8>)>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        reader.get_mut().write_all(answer).unwrap();
        // The test may have seen enough.
        taken.send((head, body)).ok();
    }
}

#[test]
fn a_trace_goes_from_a_request_through_the_start_to_the_agent_and_to_the_collector() {
    let (url, requests) = collector();
    let settings = "telemetry:\n  otlp:\n    endpoint: ${COLLECTOR}\n    service: team\n    signals: [traces]\n";
    let variables = [
        ("COLLECTOR", url.as_str()),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Basic%20cGs6c2s=",
        ),
    ];
    let daemon = up(settings, &[], &variables);
    let told = spawn_traced(&daemon);
    // The end sends what waits.
    assert_eq!(daemon.team.regrow(&["down"]).code, 0);
    let mut spans: Vec<Span> = Vec::new();
    let of_start = |span: &Span| hex(&span.span_id) == told[36..52];
    let of_request = |span: &Span| hex(&span.trace_id) == TRACE;
    while !(spans.iter().any(of_start) && spans.iter().any(of_request)) {
        let (head, body) = requests.recv_timeout(SOON).unwrap();
        assert!(head.starts_with("post /v1/traces "), "{head}");
        assert!(head.contains("authorization: basic cgs6c2s=\r\n"), "{head}");
        for of_resource in ExportTraceServiceRequest::decode(&*body)
            .unwrap()
            .resource_spans
        {
            let resource = format!("{:?}", of_resource.resource);
            assert!(resource.contains(r#"StringValue("team")"#), "{resource}");
            spans.extend(
                of_resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans),
            );
        }
    }
    let start = spans.iter().find(|span| of_start(span)).unwrap();
    assert_eq!(start.name, "regrow.process.spawn");
    assert_eq!(hex(&start.trace_id), told[3..35]);
    let request = spans.iter().find(|span| of_request(span)).unwrap();
    assert_eq!(request.name, "regrow.http.request");
    assert_eq!(hex(&request.parent_span_id), PARENT);
    let [link] = &start.links[..] else {
        panic!("{start:?}")
    };
    assert_eq!(
        (&link.trace_id, &link.span_id),
        (&request.trace_id, &request.span_id)
    );
    assert!(!log(&daemon).contains("cGs6c2s="), "a secret in the log");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn headers_for_a_collector_that_are_none_are_refused_without_being_shown() {
    let team = Team::new("telemetry: { otlp: { endpoint: 'http://127.0.0.1:9' } }\nagents: {}\n");
    let mut command = team.command(&["up", "--listen", "127.0.0.1:0"]);
    let said = command
        .env("OTEL_EXPORTER_OTLP_HEADERS", "hunter2")
        .output()
        .unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(
        said.contains("OTEL_EXPORTER_OTLP_HEADERS: expected name=value"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
}

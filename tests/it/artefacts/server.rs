//! Prometheus itself, with the configuration that we ship, scrapes a library program.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::deployed;
use crate::examples::example;
use crate::tools::tool;

/// Longer than a scrape and an evaluation of all rules take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at Prometheus.
const PAUSE: Duration = Duration::from_millis(100);

/// A program that is ended with the test.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    /// Starts it and reads what it writes, all the time: a pipe that nobody empties would hold it up.
    fn start(
        command: &mut Command,
        stream: impl FnOnce(&mut Child) -> Option<Box<dyn Read + Send>>,
    ) -> Self {
        let mut child = command.spawn().expect("the program is there");
        let stream = stream(&mut child).expect("its output is a pipe");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                // Read on when nobody listens any more.
                drop(sender.send(line));
            }
        });
        Self { child, lines }
    }

    /// Waits for a line and returns what it has between these two.
    fn says(&self, begin: &str, end: &str) -> String {
        let (until, mut said) = (Instant::now() + PATIENCE, Vec::new());
        loop {
            let line = self
                .lines
                .recv_timeout(until.saturating_duration_since(Instant::now()))
                .unwrap_or_else(|error| panic!("{error} for {begin:?}; it said {said:#?}"));
            let found = line
                .split_once(begin)
                .map(|(_, rest)| rest.split(end).next().unwrap_or_default().to_owned());
            if let Some(found) = found {
                return found;
            }
            said.push(line);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already: all the better.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What Prometheus answers; HTTP/1.0, so that the body ends with the connection.
fn ask(address: SocketAddr, path: &str) -> Value {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).expect("Prometheus listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("the time is not zero");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").expect("it reads the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    assert!(head.contains(" 200 "), "{path}: {answer}");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error} in {body}"))
}

/// An expression in an address.
fn encoded(expression: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    expression.bytes().map(byte).collect()
}

/// Asks again and again until the answer is as wanted.
fn until<T>(address: SocketAddr, path: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = ask(address, path);
        if let Some(found) = wanted(&answer) {
            return found;
        }
        assert!(Instant::now() < until, "{path} is still {answer:#}");
        thread::park_timeout(PAUSE);
    }
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Starts Prometheus as `deploy/prometheus` has it, but quicker, and with both targets at this address.
fn prometheus(folder: &tempfile::TempDir, target: &str) -> Option<(Running, SocketAddr)> {
    // One Debian package has both.
    let program = tool("promtool")?.with_file_name("prometheus");
    let read = |file| fs::read_to_string(deployed("prometheus").join(file)).expect("it is there");
    let config = read("prometheus.yml")
        .replace("interval: 15s", "interval: 1s")
        .replace("127.0.0.1:8000", target)
        .replace("127.0.0.1:9100", target);
    fs::write(folder.path().join("prometheus.yml"), config).expect("it can be written");
    let rules = read("regrow.rules.yml");
    fs::write(folder.path().join("regrow.rules.yml"), rules).expect("it can be written");
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:0",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let running = Running::start(&mut command, |child| Some(Box::new(child.stderr.take()?)));
    let address = running.says("msg=\"Listening on\" address=", " ");
    running.says("Server is ready", ".");
    Some((running, address.parse().expect("an address")))
}

#[test]
fn prometheus_scrapes_a_library_program_and_can_compute_every_rule_and_panel() {
    let mut command = example("scrape");
    command.args(["--", "0", "60"]).stdout(Stdio::piped());
    let example = Running::start(&mut command, |child| Some(Box::new(child.stdout.take()?)));
    let target = example.says("http://", "/metrics");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let Some((_running, address)) = prometheus(&folder, &target) else {
        return;
    };

    until(address, "/api/v1/query?query=up", |answer| {
        let jobs = list(answer, "/data/result");
        let are_up = jobs.iter().all(|job| job["value"][1] == "1");
        (jobs.len() == 2 && are_up).then_some(())
    });
    // What the rules record is there, so series went all the way from a supervisor through a rule.
    until(
        address,
        "/api/v1/query?query=regrow:supervisor_restarts:rate5m",
        |answer| (!list(answer, "/data/result").is_empty()).then_some(()),
    );
    let groups = until(address, "/api/v1/rules", |answer| {
        let groups = list(answer, "/data/groups").to_vec();
        let evaluated = |rule: &Value| text(rule, "health") != "unknown";
        let all = groups.iter().flat_map(|group| list(group, "/rules"));
        (!groups.is_empty() && all.into_iter().all(evaluated)).then_some(groups)
    });
    for rule in groups.iter().flat_map(|group| list(group, "/rules")) {
        assert_eq!(
            (text(rule, "health"), text(rule, "lastError")),
            ("ok", ""),
            "{rule:#}"
        );
        // Such a tree has nothing to call anybody for.
        assert_ne!(rule["state"], "firing", "{rule:#}");
    }
    let count = super::rules::rules(&super::rules::rules_text()).len();
    assert_eq!(
        groups
            .iter()
            .map(|group| list(group, "/rules").len())
            .sum::<usize>(),
        count
    );
    for dashboard in super::dashboards::all() {
        let all = |(_, expression): (_, &str)| {
            let expression = expression.replace("$__rate_interval", "1m");
            dashboard
                .variables
                .iter()
                .fold(expression, |expression, variable| {
                    expression.replace(&format!("${}", variable.label), ".*")
                })
        };
        for expression in dashboard.expressions().into_iter().map(all) {
            // Whatever cannot be computed is not answered with 200.
            ask(
                address,
                &format!("/api/v1/query?query={}", encoded(&expression)),
            );
        }
    }
}

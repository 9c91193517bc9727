//! A library user's endpoint is scraped, and Prometheus' own checker has nothing to say.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::examples::example;
use crate::tools::tool;

/// Longer than any answer takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The example, running until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already: all the better.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts the example on a free port and reads where it listens.
fn start() -> (Running, SocketAddr) {
    let command = example("scrape")
        .args(["--", "0", "60"])
        .stdout(Stdio::piped())
        .spawn();
    let mut running = Running(command.expect("cargo is there: it runs this test"));
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line
        .trim()
        .strip_prefix("http://")
        .and_then(|rest| rest.strip_suffix("/metrics"));
    let address = address
        .unwrap_or_else(|| panic!("no address in {line:?}"))
        .parse()
        .unwrap();
    (running, address)
}

/// The answer to one request: its head and its body.
pub(crate) fn ask(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no end of the head in {answer:?}"));
    (head.to_owned(), body.to_owned())
}

/// Scrapes until a line with this beginning is there.
fn scrape_until(address: SocketAddr, wanted: &str) -> String {
    let began = std::time::Instant::now();
    loop {
        let (head, body) = ask(address, "GET /metrics");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(
            head.to_ascii_lowercase()
                .contains("content-type: text/plain; version=0.0.4"),
            "{head}"
        );
        if body.lines().any(|line| line.starts_with(wanted)) {
            return body;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{wanted} did not come in\n{body}"
        );
        std::thread::yield_now();
    }
}

#[test]
fn the_metrics_of_a_tree_under_load_pass_prometheus_own_check() {
    let Some(promtool) = tool("promtool") else {
        return;
    };
    let (_running, address) = start();
    let text = scrape_until(
        address,
        "regrow_supervisor_recovery_seconds_count{supervisor=\"root\"}",
    );
    let check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut check = check.unwrap();
    check
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = check.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    assert!(
        output.status.success() && said.is_empty(),
        "promtool says {said:?} of\n{text}"
    );
}

#[test]
fn only_metrics_are_served_and_only_to_be_read() {
    let (_running, address) = start();
    let (head, _) = ask(address, "GET /");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    let (head, _) = ask(address, "POST /metrics");
    assert!(
        head.starts_with("HTTP/1.1 405 ") && head.to_ascii_lowercase().contains("allow: get, head"),
        "{head}"
    );
    let (head, body) = ask(address, "HEAD /metrics");
    assert!(
        head.starts_with("HTTP/1.1 200 ") && body.is_empty(),
        "{head}"
    );
}

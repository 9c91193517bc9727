//! The checks against real servers and real commands.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use regrow_core::probe::ProbeResult;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, UnixListener};

use super::*;
use crate::stdio::{Output, OutputLimits};

/// As long as nothing here takes, on whatever machine.
const LONG: Duration = Duration::from_secs(60);

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn tcp(address: SocketAddr) -> CheckAddress {
    address.to_string().parse().unwrap()
}

/// An address at which nobody listens, and nobody else can while it is held.
fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// The head of one request; then the answer that `answers` has for its first line.
async fn answer(mut stream: impl Connection, answers: &(dyn Fn(&str) -> String + Send + Sync)) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    let answer = answers(&request);
    drop(stream.write_all(answer.as_bytes()).await);
    drop(stream.shutdown().await);
}

/// A server that answers each request on a connection of its own.
async fn serve(answers: impl Fn(&str) -> String + Send + Sync + 'static) -> SocketAddr {
    let (listener, address) = listen().await;
    let answers = Arc::new(answers);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answers = Arc::clone(&answers);
            tokio::spawn(async move { answer(stream, &*answers).await });
        }
    });
    address
}

fn status(line: &str) -> String {
    format!("HTTP/1.1 {line}\r\ncontent-length: 2\r\n\r\nok")
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
}

async fn get(address: SocketAddr, target: &str) -> CheckResult {
    let check = HttpCheck::new(&format!("http://{address}{target}")).unwrap();
    check.timeout(LONG).run().await
}

#[tokio::test]
async fn an_answer_from_200_to_399_is_well_and_no_other() {
    let address = serve(|request| {
        let code = request.split(['/', ' ', '?']).nth(2).unwrap();
        status(&format!("{code} Whatever"))
    })
    .await;
    for well in ["200", "204", "304", "399"] {
        let result = get(address, &format!("/{well}")).await;
        assert_eq!(result, CheckResult::success(), "{well}");
    }
    for (ill, text) in [("404", "404 Not Found"), ("503", "503 Service Unavailable")] {
        let result = get(address, &format!("/{ill}?token=s3cret")).await;
        let cause = format!("GET /{ill} at {address} answered {text}");
        assert_eq!(result, CheckResult::failure(cause));
    }
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_and_ten_times() {
    let address = serve(|request| {
        let target = request.split(' ').nth(1).unwrap();
        match target {
            "/once" => redirect("/there?x=1"),
            "/dir/relative" => redirect("well"),
            "/there?x=1" | "/dir/well" => status("200 OK"),
            "/away" => redirect("http://example.invalid/"),
            "/tls" => redirect("https://127.0.0.1/"),
            "/to-ill" => redirect("/ill"),
            "/round" => redirect("/round"),
            _ => status("500 Internal Server Error"),
        }
    })
    .await;
    for well in ["/once", "/dir/relative"] {
        assert_eq!(get(address, well).await, CheckResult::success(), "{well}");
    }
    for away in ["/away", "/tls"] {
        let cause = format!("GET {away} at {address} was redirected to where it is not followed");
        assert_eq!(get(address, away).await, CheckResult::warning(cause));
    }
    let cause = format!("GET /ill at {address} answered 500 Internal Server Error");
    assert_eq!(get(address, "/to-ill").await, CheckResult::failure(cause));
    let cause = format!("GET /round at {address} was redirected more than 10 times");
    assert_eq!(get(address, "/round").await, CheckResult::warning(cause));
}

#[tokio::test]
async fn a_server_that_is_gone_silent_or_breaks_off_is_told_apart() {
    let (_held, nobody) = nobody();
    let cause = format!("nobody listens at {nobody}");
    assert_eq!(get(nobody, "/").await, CheckResult::failure(cause.clone()));
    assert_eq!(
        TcpCheck::new(tcp(nobody)).timeout(LONG).run().await,
        CheckResult::failure(cause)
    );

    let (_silent, address) = listen().await;
    assert_eq!(
        TcpCheck::new(tcp(address)).timeout(LONG).run().await,
        CheckResult::success()
    );
    let check = HttpCheck::new(&format!("http://{address}/")).unwrap();
    let result = check.timeout(Duration::from_millis(50)).run().await;
    let cause = format!("no answer from {address} within 50ms");
    assert_eq!(result, CheckResult::timeout(cause));

    let short = serve(|_| "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok".to_owned()).await;
    let result = get(short, "/").await;
    assert_eq!(result.result, ProbeResult::Failure, "{result:?}");
    assert!(result.cause.contains("broke off"), "{result:?}");

    let endless = serve(|_| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{}",
            "x".repeat(20_000)
        )
    })
    .await;
    assert_eq!(
        get(endless, "/").await,
        CheckResult::success(),
        "10 KiB are enough"
    );
}

#[tokio::test]
async fn a_unix_socket_is_asked_with_the_headers_that_were_given() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            answer(stream, &|request| {
                assert!(
                    request.starts_with("GET /healthz?full=1 HTTP/1.1\r\n"),
                    "{request}"
                );
                assert!(request.contains("host: localhost\r\n"), "{request}");
                let knows = request.contains("authorization: Bearer s3cret\r\n");
                status(if knows { "200 OK" } else { "401 Unauthorized" })
            })
            .await;
        }
    });
    let plain = HttpCheck::over_socket(&path, "/healthz?full=1")
        .unwrap()
        .timeout(LONG);
    assert_eq!(plain.run().await.result, ProbeResult::Failure);
    let with = plain.header("authorization", "Bearer s3cret").unwrap();
    assert_eq!(with.run().await, CheckResult::success());
    let shown = format!("{with:?}");
    assert!(
        !shown.contains("s3cret") && !shown.contains("full"),
        "{shown}"
    );
    let gone = HttpCheck::over_socket(directory.path().join("no.sock"), "/").unwrap();
    let result = gone.timeout(LONG).run().await;
    assert!(
        result.cause.starts_with("there is no socket "),
        "{result:?}"
    );
}

#[test]
fn what_can_never_be_asked_is_refused_without_its_secrets() {
    let url = |text| HttpCheck::new(text).unwrap_err().to_string();
    assert_eq!(
        url("127.0.0.1:80/x"),
        "expected a URL such as http://127.0.0.1:8080/healthz, got \"127.0.0.1:80/x\""
    );
    assert!(url("https://a/b?key=s3cret").starts_with("\"https://a/b\": https is not supported"));
    for secret in ["http://me:s3cret@a/", "ftp://a/?s3cret", "http:///?s3cret"] {
        assert!(!url(secret).contains("s3cret"), "{}", url(secret));
    }
    assert!(HttpCheck::over_socket("/s", "no-slash").is_err());
    let check = HttpCheck::new("http://a/").unwrap();
    let error = check.header("x y", "s3cret").unwrap_err().to_string();
    assert_eq!(
        error,
        "header \"x y\" has a name or a value that HTTP does not allow"
    );
    for text in [
        "",
        "host",
        "host:0",
        "host:99999",
        ":1",
        "unix:",
        "http://a:1",
        "a b:1",
    ] {
        assert!(text.parse::<CheckAddress>().is_err(), "{text}");
    }
    assert_eq!("unix:/x".parse(), Ok(CheckAddress::Unix("/x".into())));
    assert_eq!("[::1]:80".parse(), Ok(CheckAddress::Tcp("[::1]:80".into())));
}

fn sh(script: &str) -> CommandCheck {
    CommandCheck::new("sh").args(["-c", script]).timeout(LONG)
}

#[tokio::test]
async fn a_command_is_well_when_it_ends_with_0_and_else_says_what_it_wrote_last() {
    assert_eq!(sh("exit 0").run().await, CheckResult::success());
    assert_eq!(
        sh("echo why; exit 1").run().await,
        CheckResult::failure("sh ended with 1: why")
    );
    let said = sh("echo 'no route to host' >&2; echo; echo last; exit 3")
        .run()
        .await;
    assert_eq!(
        said,
        CheckResult::failure("sh ended with 3: no route to host")
    );
    assert_eq!(
        sh("kill -9 $$").run().await,
        CheckResult::failure("sh was ended by signal 9")
    );
    let environment = sh("test -z \"$CARGO\" && test \"$GIVEN\" = yes && test \"$PWD\" = /");
    let environment = environment.env("GIVEN", "yes").current_dir("/");
    assert_eq!(environment.run().await, CheckResult::success());
    let missing = CommandCheck::new("no-such-command").run().await;
    assert_eq!(missing.result, ProbeResult::Failure);
    assert!(
        missing
            .cause
            .starts_with("command \"no-such-command\" was not found in PATH"),
        "{missing:?}"
    );
}

#[tokio::test]
async fn a_command_that_floods_is_read_to_its_end_and_little_of_it_is_kept() {
    let flood = sh("yes 0123456789 | head -n 100000; printf 'the %0300d' 7; exit 1")
        .run()
        .await;
    let CheckResult { result, cause } = flood;
    assert_eq!(result, ProbeResult::Failure);
    assert!(
        cause.starts_with("sh ended with 1: the 000") && cause.ends_with('…'),
        "{cause}"
    );
    assert!(cause.chars().count() < QUOTED + 30, "{cause}");
}

/// The pid that a script has written to this file.
async fn pid_in(file: &Path) -> i32 {
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if let Some(pid) = text.strip_suffix('\n') {
            return pid.parse().unwrap();
        }
        tokio::task::yield_now().await;
    }
}

/// Waits until it is dead; whoever is to reap it may take its time.
async fn is_gone(pid: i32) {
    let lives = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned());
        state.is_some_and(|state| !state.starts_with(['Z', 'X']))
    };
    while lives() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_command_whose_time_is_over_is_killed_with_its_group() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let script = sh(&format!(
        "echo waiting; sleep 1000 & echo $! > {}; wait",
        file.display()
    ));
    // On a machine that is slow enough it is killed before it has got anywhere: then it has longer.
    let mut timeout = Duration::from_millis(250);
    loop {
        let result = script.clone().timeout(timeout).run().await;
        if std::fs::read_to_string(&file).is_ok_and(|pid| pid.ends_with('\n')) {
            let cause = format!("sh did not end within {timeout:?} and was killed: waiting");
            assert_eq!(result, CheckResult::timeout(cause));
            break;
        }
        assert_eq!(result.result, ProbeResult::Timeout, "{result:?}");
        timeout *= 2;
    }
    is_gone(pid_in(&file).await).await;
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_any_more_is_killed_with_its_group() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let check = sh(&format!("sleep 1000 & echo $! > {}; wait", file.display()));
    let check = check.timeout(LONG * 60);
    let pid = tokio::select! {
        result = check.run() => panic!("{result:?}"),
        pid = pid_in(&file) => pid,
    };
    is_gone(pid).await;
}

#[tokio::test]
async fn what_a_command_leaves_behind_in_its_group_is_killed_and_holds_nobody_up() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let result = sh(&format!("sleep 1000 & echo $! > {}", file.display()))
        .run()
        .await;
    assert_eq!(result, CheckResult::success());
    is_gone(pid_in(&file).await).await;
}

#[tokio::test]
async fn a_line_has_to_come_in_time_and_the_first_one_has_that_time_too() {
    let output = Output::new(OutputLimits::default());
    let check = LogLineCheck::new(output.clone(), "tick", LONG);
    assert_eq!(check.run().await, CheckResult::success());
    let strict = LogLineCheck::new(output.clone(), "tick", Duration::ZERO);
    let result = strict.run().await;
    assert_eq!(result.result, ProbeResult::Failure);
    assert!(
        result
            .cause
            .starts_with("has written no line with \"tick\" in "),
        "{result:?}"
    );
    let written = &b"noise\na tick came\nnoise\n"[..];
    output.read(written, crate::Stream::Stdout, 1).await;
    let result = strict.run().await;
    assert!(
        result.cause.starts_with("wrote no line with \"tick\" for "),
        "{result:?}"
    );
    assert_eq!(check.run().await, CheckResult::success());
}

/// A gRPC server that answers the health of the service that was asked about.
async fn grpc(answers: fn(&[u8]) -> (&'static str, Vec<u8>)) -> SocketAddr {
    let (listener, address) = listen().await;
    let answer = move |request: Request<Incoming>| async move {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        assert_eq!(request.headers()["content-type"], "application/grpc");
        let framed = request.into_body().collect().await.unwrap().to_bytes();
        let (status, message) = answers(&framed[5..]);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", status.parse().unwrap());
        let length = u8::try_from(message.len()).unwrap();
        let body = Bytes::from([&[0, 0, 0, 0, length], &message[..]].concat());
        let body = Full::new(body).with_trailers(async move { Some(Ok(trailers)) });
        Ok::<_, Infallible>(Response::new(body))
    };
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let server = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    address
}

#[tokio::test]
async fn a_grpc_server_says_whether_it_serves() {
    let address = grpc(|asked| match asked {
        [] => ("0", vec![0x08, 1]),
        b"\x0a\x04down" => ("0", vec![0x08, 2]),
        b"\x0a\x07unknown" => ("0", vec![]),
        b"\x0a\x03old" => ("12", vec![]),
        _ => ("5", vec![]),
    })
    .await;
    let ask = |service: &'static str| async move {
        let check = GrpcCheck::new(tcp(address)).service(service).timeout(LONG);
        let result = check.run().await;
        (
            result.result,
            result.cause.replace(&address.to_string(), "it"),
        )
    };
    let failure = |cause: &str| (ProbeResult::Failure, cause.to_owned());
    assert_eq!(ask("").await, (ProbeResult::Success, String::new()));
    assert_eq!(
        ask("down").await,
        failure("service \"down\" at it is not serving")
    );
    assert_eq!(
        ask("unknown").await,
        failure("service \"unknown\" at it does not know whether it serves")
    );
    assert_eq!(
        ask("old").await,
        failure("it does not implement grpc.health.v1.Health")
    );
    assert_eq!(
        ask("other").await,
        failure("there is no service \"other\" at it")
    );
    let web = serve(|_| status("200 OK")).await;
    let result = GrpcCheck::new(tcp(web)).timeout(LONG).run().await;
    assert!(result.cause.contains("does not speak gRPC"), "{result:?}");
}

#[test]
fn what_this_machine_lacks_is_not_held_against_the_one_that_is_asked() {
    let address: CheckAddress = "127.0.0.1:1".parse().unwrap();
    let lacks = |errno: rustix::io::Errno| address.refusal(&errno.into()).result;
    assert_eq!(lacks(rustix::io::Errno::MFILE), ProbeResult::Error);
    assert_eq!(lacks(rustix::io::Errno::CONNREFUSED), ProbeResult::Failure);
    assert_eq!(lacks(rustix::io::Errno::NETUNREACH), ProbeResult::Failure);
}

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::cli::Exit;
use crate::wire::LogRecord;

fn problem(status: u16, detail: &str, hint: Option<&str>) -> ClientError {
    ClientError::Problem(Box::new(Problem {
        type_uri: "about:blank".to_owned(),
        title: "Title".to_owned(),
        status,
        detail: detail.to_owned(),
        code: "code".to_owned(),
        hint: hint.map(str::to_owned),
        column: None,
        wait: None,
    }))
}

#[test]
fn a_problem_is_a_sentence_with_what_to_do() {
    let error = problem(404, "no agent is called x", Some("`regrow ps` lists them"));
    assert_eq!(
        error.to_string(),
        "no agent is called x; `regrow ps` lists them"
    );
    assert_eq!(
        problem(404, "no agent is called x", None).to_string(),
        "no agent is called x"
    );
    assert_eq!(problem(500, " ", None).to_string(), "Title");
}

#[test]
fn each_status_has_its_exit_code() {
    let table = [
        (400, Exit::Failure),
        (401, Exit::NotAllowed),
        (403, Exit::NotAllowed),
        (404, Exit::NotFound),
        (408, Exit::Timeout),
        (409, Exit::Conflict),
        (412, Exit::Conflict),
        (421, Exit::NotAllowed),
        (422, Exit::Failure),
        (429, Exit::Failure),
        (500, Exit::Failure),
        (503, Exit::Failure),
        (504, Exit::Timeout),
    ];
    for (status, exit) in table {
        assert_eq!(Exit::of(&problem(status, "x", None)), exit, "{status}");
    }
}

#[test]
fn nobody_there_is_exit_3_and_says_what_was_tried_and_what_to_do() {
    let error = ClientError::NotFound(NobodyThere {
        tried: vec![
            "no .regrow/ in /a or above".to_owned(),
            "http://127.0.0.1:8000 has no daemon".to_owned(),
        ],
        advice: Advice::Start,
    });
    assert_eq!(
        error.to_string(),
        "no regrow answers here: no .regrow/ in /a or above; http://127.0.0.1:8000 has no daemon\n\
         start one with `regrow up`, or name its state directory with --state-dir"
    );
    assert_eq!(Exit::of(&error), Exit::Unreachable);
    let error = ClientError::NotFound(NobodyThere {
        tried: vec!["/a/.regrow has no daemon".to_owned()],
        advice: Advice::Elsewhere("/b/.regrow".into()),
    });
    assert!(
        error
            .to_string()
            .ends_with("name it with --state-dir /b/.regrow"),
        "{error}"
    );
}

#[test]
fn an_answer_that_is_no_problem_keeps_its_status() {
    let problem = problem_of(StatusCode::BAD_GATEWAY, b"<html>");
    assert_eq!(problem.status, 502);
    assert_eq!(
        problem.detail,
        "regrow answered 502 Bad Gateway and did not say why"
    );
}

#[test]
fn ids_cannot_escape_their_place_in_an_address() {
    assert_eq!(encoded("a-b_c.d"), "a-b_c.d");
    assert_eq!(encoded("../x?y=1&z"), "..%2Fx%3Fy%3D1%26z");
    let query = LogQuery {
        agents: vec!["a".to_owned(), "b c".to_owned()],
        tail: Some(5),
        since: Some("10m".to_owned()),
        follow: Follow::Yes,
    };
    assert_eq!(
        log_path(&query),
        "/v1/logs?tail=5&since=10m&agent=a&agent=b%20c&follow=1"
    );
}

/// A daemon that says `answer` to the first question, and tells what that was.
fn canned(answer: String) -> (tempfile::TempDir, Client, tokio::task::JoinHandle<String>) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("regrow.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let length = stream.read(&mut asked).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&asked[..length]).into_owned()
    });
    (folder, Client::new(Endpoint::Socket(socket)), asked)
}

fn response(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}")
}

#[tokio::test]
async fn an_agent_is_operated_over_the_socket_and_waited_for() {
    let agent = crate::wire::tests::agent("worker");
    let body = serde_json::to_string(&agent).unwrap();
    let (_folder, client, asked) = canned(response("200 OK", &body));
    let answer = client
        .operate("worker", Verb::Restart, Duration::from_secs(30))
        .await
        .unwrap();
    assert_eq!(answer, agent);
    let asked = asked.await.unwrap();
    let line = asked.lines().next().unwrap();
    assert_eq!(line, "POST /v1/agents/worker/restart?wait=30000ms HTTP/1.1");
    assert!(
        asked.to_lowercase().contains("\r\nhost: localhost\r\n"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_wait_that_runs_out_of_time_says_who_is_on_the_way() {
    let body = r#"{"type":"about:blank","title":"Gateway Timeout","status":504,"detail":"","code":"wait_timeout",
        "wait":{"done":false,"waiting":["a"],"failed":[]}}"#;
    let (_folder, client, _asked) = canned(response("504 Gateway Timeout", body));
    let report = client
        .wait(WaitFor::Ready, Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!((report.done, report.waiting), (false, vec!["a".to_owned()]));
}

#[tokio::test]
async fn a_log_ends_where_the_daemon_ends_it() {
    let lines = "{\"agent\":\"a\",\"dropped\":3}\n{\"agent\":\"a\",\"dropped\":4}\n";
    let (_folder, client, _asked) = canned(response("200 OK", lines));
    let query = LogQuery {
        agents: vec![],
        tail: None,
        since: None,
        follow: Follow::No,
    };
    let mut log = client.logs(&query).await.unwrap();
    for expected in [3, 4] {
        let record = log.next().await.unwrap();
        let agent = "a".to_owned();
        let gap = LogRecord::Gap {
            agent,
            dropped: expected,
        };
        assert_eq!(record, Some(gap));
    }
    assert_eq!(log.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_daemon_that_hangs_up_is_unreachable() {
    let (_folder, client, _asked) = canned(String::new());
    let error = client.agents().await.unwrap_err();
    assert_eq!(Exit::of(&error), Exit::Unreachable, "{error}");
}

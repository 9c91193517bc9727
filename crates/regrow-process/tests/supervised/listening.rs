//! Listeners that are handed over, and Unix sockets.

use super::*;

/// What an agent says whose listener was handed over: how many, to whom, its name, its port, and what descriptor 3 is.
const TELLS_OF_ITS_LISTENER: &str = r#"
    test "$LISTEN_PID" = $$ && echo "$LISTEN_FDS $LISTEN_FDNAMES $PORT"
    case $(readlink /proc/$$/fd/3) in socket:*) echo socket ;; esac
    tr '\0' '\n' </proc/$$/environ | grep -cE '^(PWD|OLDPWD|SHLVL)='
    read -r line; echo "read $line"
    exec sleep 1000"#;

#[tokio::test]
async fn a_listener_is_handed_over_as_descriptor_three_and_stays_over_all_lives() {
    let process = agent(TELLS_OF_ITS_LISTENER).hand_over_listener();
    let (system, handle) = up(process).await;
    reaches(&system, Phase::Running).await;
    let port = handle.status().port.unwrap();
    handle.write_stdin("hello\n").await.unwrap();
    until("it has read", || async { texts(&handle).len() == 4 }).await;
    let first = format!("1 agent {port}");
    assert_eq!(texts(&handle), [&first, "socket", "0", "read hello"]);

    let connect = || std::net::TcpStream::connect(("127.0.0.1", port));
    kill(handle.status().pid.unwrap());
    until("the next life", || async {
        connect().expect("nobody is refused while it is away");
        handle.status().generation == 2
    })
    .await;
    reaches(&system, Phase::Running).await;
    assert_eq!(handle.status().port, Some(port));
    system.terminate_child("root/agent").await.unwrap();
    assert!(connect().is_err(), "a stopped agent does not look alive");
    system.restart_child("root/agent").await.unwrap();
    assert_eq!(handle.status().port, Some(port), "it has its port back");
    connect().unwrap();
    drop(system.shut_down().await);
    assert!(connect().is_err());
}

#[tokio::test]
async fn what_was_given_up_on_listens_no_more() {
    let process = agent("sleep 0.1; exit 1").hand_over_listener();
    let (system, handle) = up(process).await;
    reaches(&system, Phase::Failed).await;
    let port = handle.status().port.unwrap();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    drop(system.shut_down().await);
}

#[tokio::test]
async fn an_agent_without_stdin_gets_its_listener_too() {
    let process = agent("read -r line || echo the end; readlink /proc/$$/fd/3; exec sleep 1000")
        .stdin(Stdin::Null)
        .hand_over_listener();
    let (system, handle) = up(process).await;
    until("it has told", || async { texts(&handle).len() == 2 }).await;
    assert_eq!(texts(&handle)[0], "the end");
    assert!(
        texts(&handle)[1].starts_with("socket:"),
        "{:?}",
        texts(&handle)
    );
    drop(system.shut_down().await);
}

#[tokio::test]
async fn a_listener_that_cannot_be_bound_is_a_failed_start_that_says_why() {
    let other = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let process = agent("exec sleep 1000").port(port).hand_over_listener();
    let (system, _) = up(process).await;
    let because = reaches(&system, Phase::Failed)
        .await
        .parked_because
        .unwrap();
    let expected = format!("failed to listen on 127.0.0.1:{port} for an agent");
    assert!(because.contains(&expected), "{because}");
    drop(system.shut_down().await);
}

#[tokio::test]
async fn an_agent_is_told_of_its_socket_and_what_an_earlier_life_left_there_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sockets/agent");
    let script =
        "test -e \"$REGROW_SOCKET\" && echo stale; echo \"$REGROW_SOCKET\"; exec sleep 1000";
    let (system, handle) = up(agent(script).socket(&path)).await;
    reaches(&system, Phase::Running).await;
    let _listening = std::os::unix::net::UnixListener::bind(&path).unwrap();
    kill(handle.status().pid.unwrap());
    until("the next life tells", || async {
        texts(&handle).len() == 2
    })
    .await;
    let told = path.display().to_string();
    assert_eq!(texts(&handle), [told.clone(), told]);
    drop(system.shut_down().await);
    assert!(!path.exists());
}

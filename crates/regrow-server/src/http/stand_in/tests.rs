//! A runtime that is really held up, and what is answered meanwhile.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;

use super::super::serve;
use super::*;

/// One agent that is required, and down.
struct Picture;

impl Glance for Picture {
    fn phase(&self) -> DaemonPhase {
        DaemonPhase::Running
    }

    fn briefs(&self) -> Vec<Brief> {
        vec![Brief {
            id: "a".to_owned(),
            phase: "backoff".to_owned(),
            health: "unknown".to_owned(),
            ready: false,
            required: true,
            message: None,
            is_cut_off: false,
            trouble: None,
            probes: Vec::new(),
            is_worker: false,
        }]
    }

    fn pools(&self) -> BTreeMap<String, PoolHealth> {
        BTreeMap::new()
    }

    fn metrics(&self) -> String {
        "regrow_build_info 1\n".to_owned()
    }
}

/// Answers as the daemon's own front door would.
struct Well;

impl Answer for Well {
    async fn answer(self: Arc<Self>, _: Peer, _: Request<Body>) -> Response<Body> {
        Response::new(Body::from("the front door"))
    }
}

fn try_to_ask(address: SocketAddr, target: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let port = address.port();
    let request =
        format!("GET {target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn ask(address: SocketAddr, target: &str) -> String {
    try_to_ask(address, target).unwrap()
}

/// Asks until the daemon's own front door answers: on a machine with much to do the other may have stepped in.
fn until_the_front_door_answers(address: SocketAddr) {
    let is_it = |answer: String| answer.ends_with("the front door");
    while !try_to_ask(address, "/livez").is_ok_and(is_it) {}
}

#[test]
fn while_every_worker_is_held_up_health_is_answered_and_all_else_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (stop, stopped) = watch::channel(false);
    let (address, serving) = runtime.block_on(async {
        let listeners = Listeners {
            tcp: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            socket: UnixListener::bind(folder.path().join("s")).unwrap(),
        };
        let address = listeners.tcp.local_addr().unwrap();
        let guard = Arc::new(Guard::new(address, "t".to_owned(), folder.path().into()));
        begin(&listeners, &guard, &Arc::new(Picture), &stopped);
        let serving = serve(listeners, Arc::new(Well), stopped, Duration::ZERO);
        (address, tokio::spawn(serving))
    });
    until_the_front_door_answers(address);

    let (release, held) = mpsc::channel::<()>();
    let (sure, is_held) = mpsc::channel();
    let holds = runtime.spawn(async move {
        sure.send(()).unwrap();
        held.recv().unwrap();
    });
    is_held.recv().unwrap();
    let livez = ask(address, "/livez");
    assert!(livez.starts_with("HTTP/1.1 200 OK\r\n"), "{livez}");
    assert!(livez.ends_with("\r\n\r\nok\n"), "{livez}");
    let readyz = ask(address, "/readyz");
    assert!(readyz.starts_with("HTTP/1.1 503 "), "{readyz}");
    assert!(
        readyz.contains("[-] runtime: nothing has run for "),
        "{readyz}"
    );
    assert!(readyz.contains("[-] agent a: backoff\n"), "{readyz}");
    let health = ask(address, "/health");
    assert!(health.contains("\"status\":\"down\""), "{health}");
    assert!(ask(address, "/metrics").ends_with("regrow_build_info 1\n"));
    let other = ask(address, "/v1/agents");
    assert!(other.starts_with("HTTP/1.1 503 "), "{other}");
    assert!(other.contains("\"code\":\"jammed\""), "{other}");
    assert!(other.contains("\r\nretry-after: 1\r\n"), "{other}");

    release.send(()).unwrap();
    until_the_front_door_answers(address);
    stop.send_replace(true);
    runtime.block_on(async {
        holds.await.unwrap();
        serving.await.unwrap();
    });
}

#[test]
fn one_that_is_silent_for_long_does_not_live_any_more() {
    let status = |path, seconds| {
        let silent = Duration::from_secs(seconds);
        say(&Picture, path, Verbose::Off, silent).status().as_u16()
    };
    assert_eq!(status("/livez", 29), 200);
    assert_eq!(status("/livez", 30), 503);
    assert_eq!(status("/startupz", 30), 200);
    assert_eq!(status("/readyz", 1), 503);
    assert_eq!(status("", 1), 503, "whoever wants to change something");
}

#[test]
fn silence_is_counted_from_the_last_beat() {
    let beat = Beat::new();
    let second = Duration::from_secs(1);
    assert_eq!(beat.silent_for(beat.began + second * 3), second * 3);
    beat.at(beat.began + second * 3);
    assert_eq!(beat.silent_for(beat.began + second * 4), second);
    assert_eq!(beat.silent_for(beat.began), Duration::ZERO);
}

//! What agents say of themselves by `sd_notify`.

use super::hold::until;
use super::*;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// In Python, which these tests need: `say` sends a message.
const SAY: &str = "
import os, select, signal, socket, sys
name = os.environ['NOTIFY_SOCKET']
socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
socket.connect('\\0' + name[1:])
say = lambda text: socket.send(text.encode())
tell = lambda text: print(text, flush=True)
";

/// An agent that does `script` and has 1.5 s to end after its stop signal.
fn python(script: &str) -> Process {
    let plan = StopPlan::default().stage(Stage::Terminate, Duration::from_millis(1500));
    Process::new("agent", "python3")
        .args(["-c".to_owned(), format!("{SAY}{script}")])
        .stdin(Stdin::Null)
        .start_window(Duration::ZERO)
        .stop_plan(plan)
}

#[tokio::test]
async fn one_that_asks_for_more_time_and_asks_again_is_not_killed_meanwhile() {
    let script = "
def end(*_):
    for _ in range(5):
        say('EXTEND_TIMEOUT_USEC=1500000')
        select.select([], [], [], 0.5)
    sys.exit(3)
signal.signal(signal.SIGTERM, end)
tell('up')
signal.pause()
";
    let agent = Started::new(python(script), 1).await;
    agent.wrote(1).await;
    agent.wishes.raise(Wish::Stop);
    let ending = agent.ended().await;
    assert_eq!(ending.end, End::Stopped(Exit::Code(3)));
    assert_eq!(ending.stage, Some(Stage::Terminate));
}

#[tokio::test]
async fn one_that_asks_once_is_killed_when_that_is_over() {
    let script = "
signal.signal(signal.SIGTERM, lambda *_: say('EXTEND_TIMEOUT_USEC=2500000'))
tell('up')
while True: signal.pause()
";
    let agent = Started::new(python(script), 1).await;
    agent.wrote(1).await;
    let asked = Instant::now();
    agent.wishes.raise(Wish::Stop);
    let ending = agent.ended().await;
    assert_eq!(ending.stage, Some(Stage::Kill));
    assert!(asked.elapsed() >= Duration::from_millis(2500));
}

#[tokio::test]
async fn what_it_says_is_shown_while_it_runs_and_is_not_heard_from_others() {
    let script = "
say('STATUS=' + 'x' * 4096)
say('READY=1\\nSTATUS=warm \\x1b[1m now\\nUNKNOWN=1')
tell(name)
sys.stdin.readline()
say('STOPPING=1')
";
    // It is not the leader who speaks, but one of its group.
    let process = shell("python3 -c \"$0\"; read line")
        .arg(format!("{SAY}{script}"))
        .start_window(Duration::from_secs(1000));
    let template = Arc::new(process.template.clone());
    let (driver, wishes) = Driver::spawn(template, 1, &trace()).await.unwrap();
    let (notes, handle) = (Notes::default(), process.handle());
    let ending = tokio::spawn(driver.run(notes.clone()));
    let announced = || notes.0.lock().unwrap().contains(&"announced".to_owned());
    until("its start window is over", announced).await;
    assert_eq!(handle.status().says.as_deref(), Some("warm [1m now"));
    assert_eq!(handle.status().notices_refused, 1, "the huge one");

    until("it has told the name", || {
        !handle.output().tail(1).is_empty()
    })
    .await;
    let name = handle.output().tail(1)[0].text();
    assert!(name.starts_with("@regrow-") && name.len() == 40, "{name}");
    let address = SocketAddr::from_abstract_name(&name[1..]).unwrap();
    let stranger = UnixDatagram::unbound().unwrap();
    stranger.connect_addr(&address).unwrap();
    stranger.send(b"STATUS=lies\nSTOPPING=1").unwrap();
    until("it is refused", || handle.status().notices_refused == 2).await;
    assert_eq!(handle.status().says.as_deref(), Some("warm [1m now"));
    assert!(!handle.status().says_stopping);

    handle.write_stdin("go on\n").await.unwrap();
    until("it says that it ends", || handle.status().says_stopping).await;
    wishes.raise(Wish::Kill);
    tokio::time::timeout(SOON, ending).await.unwrap().unwrap();
    assert_eq!(handle.status().says, None);
    stranger
        .send(b"STATUS=x")
        .expect_err("the socket is closed");
    let notes = notes.0.lock().unwrap().clone();
    let refusals = notes.iter().filter(|note| note.ends_with("notice.refused"));
    assert_eq!(refusals.count(), 2, "{notes:?}");
}

#[tokio::test]
async fn a_flood_is_listened_to_at_its_rate_and_hinders_no_stop() {
    let script = "
n = 0
while True: n += 1; say('STATUS=%d' % n)
";
    let began = Instant::now();
    let agent = Started::new(python(script), 1).await;
    let handle = agent.process.handle();
    let said = || handle.status().says.and_then(|text| text.parse().ok());
    until("more than is heard at once", || said().unwrap_or(0) > 192).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(3), "{took:?}");
    agent.wishes.raise(Wish::Stop);
    assert_eq!(agent.ended().await.stage, Some(Stage::Terminate));
}

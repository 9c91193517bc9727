//! Limits of real processes: of memory, and those of the system.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::{Duration, Instant};

use regrow::telemetry::{EventStream, Outcome, Payload};
use regrow::{
    Backoff, ChildInfo, ExitReason, GiveUp, Phase, Restart, RestartIntensity, StopCause,
    Supervisor, System,
};
use regrow_process::{Host, Limits, Line, Process, ProcessHandle};

const SOON: Duration = Duration::from_secs(20);

const MIB: u64 = 1 << 20;

fn agent(script: &str) -> Process {
    Process::new("agent", "sh")
        .args(["-c", script])
        .start_window(Duration::ZERO)
        .restart(Restart::Transient)
        .backoff(Backoff::none())
        .limit(RestartIntensity::new(1, Duration::from_secs(600)))
        .give_up(GiveUp::Park)
}

/// With somebody who hears it from the first event on.
async fn up(process: Process) -> (System, ProcessHandle, EventStream) {
    let handle = process.handle();
    let root = Supervisor::new("root").no_intensity_limit();
    let system = System::launch(root).await.unwrap();
    let events = system.telemetry().subscribe(1_000).unwrap();
    // A start that fails is told by its phase.
    drop(system.start_child("root", process).await);
    (system, handle, events)
}

/// The next event with this name.
async fn next(events: &mut EventStream, name: &str) -> Payload {
    let next = async {
        loop {
            let event = events.next().await.unwrap();
            if event.name() == name {
                return event.payload.clone();
            }
        }
    };
    let next = tokio::time::timeout(SOON, next).await;
    next.unwrap_or_else(|_late| panic!("in time: {name}"))
}

async fn reaches(system: &System, phase: Phase) -> ChildInfo {
    let deadline = Instant::now() + SOON;
    let mut look = tokio::time::interval(Duration::from_millis(10));
    loop {
        let child = system.which_child("root/agent").await.unwrap();
        if child.phase == phase {
            return child;
        }
        assert!(Instant::now() < deadline, "in time: {phase}, {child:?}");
        look.tick().await;
    }
}

/// The first `count` lines that it writes.
async fn lines(handle: &ProcessHandle, count: usize) -> Vec<String> {
    let deadline = Instant::now() + SOON;
    let mut look = tokio::time::interval(Duration::from_millis(10));
    loop {
        let lines: Vec<String> = handle.output().tail(10).iter().map(Line::text).collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(Instant::now() < deadline, "in time: {lines:?}");
        look.tick().await;
    }
}

/// `dd` reads 64 MiB into its memory and cannot get rid of them until a line is written to the agent.
const GREEDY: &str = "exec 3<&0; dd if=/dev/zero bs=64M count=1 2>/dev/null | \
    { read line <&3; cat >/dev/null; }; read line";

#[tokio::test]
async fn one_that_uses_too_much_memory_for_too_long_is_stopped_and_its_restart_type_decides() {
    let host = Host::new().sample_every(Duration::from_millis(20));
    let process = agent(GREEDY).memory_limit(16 * MIB).host(host);
    let (system, handle, mut events) = up(process).await;
    let Payload::ProcessMemoryExceeded {
        memory_bytes,
        limit_bytes,
    } = next(&mut events, "regrow.process.memory.exceeded").await
    else {
        panic!("another event of that name")
    };
    assert!(memory_bytes > limit_bytes && limit_bytes == 16 * MIB);
    let Payload::ProcessMemoryOverrun {
        memory_bytes,
        limit_bytes,
        samples,
    } = next(&mut events, "regrow.process.memory.overrun").await
    else {
        panic!("another event of that name")
    };
    assert!(memory_bytes > limit_bytes);
    assert_eq!((limit_bytes, samples), (16 * MIB, 3));
    let Payload::ChildTerminated { cause, outcome, .. } =
        next(&mut events, "regrow.child.terminated").await
    else {
        panic!("another event of that name")
    };
    assert_eq!(
        (cause, outcome),
        (Some(StopCause::Memory), Outcome::Graceful)
    );
    // It is as greedy in its next life, and may fail once.
    let child = reaches(&system, Phase::Failed).await;
    assert_eq!((child.restarts, handle.status().generation), (1, 2));
    assert_eq!(handle.status().leaked, [0_u32; 0]);
    drop(system.shut_down().await);
}

#[tokio::test]
async fn one_that_frees_memory_in_time_is_relieved_even_where_no_figures_are_wanted() {
    // Off, those with a limit are looked at every 5 s, and 1 s after the spawn.
    let host = Host::new().sample_every(Duration::ZERO);
    let process = agent(GREEDY).memory_limit(32 * MIB).host(host);
    let (system, handle, mut events) = up(process).await;
    next(&mut events, "regrow.process.memory.exceeded").await;
    handle.write_stdin("go on\n").await.unwrap();
    let Payload::ProcessMemoryRelieved {
        memory_bytes,
        limit_bytes,
    } = next(&mut events, "regrow.process.memory.relieved").await
    else {
        panic!("another event of that name")
    };
    assert!(memory_bytes < limit_bytes);
    let child = reaches(&system, Phase::Running).await;
    assert_eq!((child.restarts, handle.status().generation), (0, 1));
    drop(system.shut_down().await);
}

/// The soft and the hard limit of a process, as the system shows them.
fn limit_of(pid: &str, name: &str) -> (String, String) {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    let mut words = line.unwrap().split_ascii_whitespace().map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

fn nice_of(pid: &str) -> i32 {
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap());
    rustix::process::getpriority_process(pid).unwrap()
}

#[tokio::test]
async fn each_process_of_an_agent_has_its_limits_and_rank() {
    let limits = Limits::default()
        .open_files(128)
        .processes(4_000)
        .core(0)
        .file_size(64 * MIB)
        .cpu_time(Duration::from_secs(3_600))
        .address_space(8 << 30)
        .nice(7);
    // A child, and one in a session of its own.
    let script = "sleep 1000 & echo $$ $!; setsid sh -c 'echo $$; exec sleep 1000' & wait";
    let (system, handle, _) = up(agent(script).limits(limits)).await;
    let written = lines(&handle, 2).await.join(" ");
    let pids: Vec<&str> = written.split(' ').collect();
    assert_eq!(pids.len(), 3, "{written}");
    for pid in pids {
        for (name, soft, hard) in [
            ("Max open files", "128", "128"),
            ("Max processes", "4000", "4000"),
            ("Max core file size", "0", "0"),
            ("Max file size", "67108864", "67108864"),
            ("Max cpu time", "3600", "3605"),
            ("Max address space", "8589934592", "8589934592"),
        ] {
            let expected = (soft.to_owned(), hard.to_owned());
            assert_eq!(limit_of(pid, name), expected, "{name} of {pid}");
        }
        assert_eq!(nice_of(pid), 7, "of {pid}");
    }
    drop(system.shut_down().await);
}

#[tokio::test]
async fn a_limit_above_our_own_parks_at_once_and_both_are_named() {
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let Some(own) = own else {
        panic!("this machine has no end of descriptors");
    };
    let limits = Limits::default().open_files(own + 1);
    let process = agent("echo started; read line").limits(limits);
    let (system, handle, _) = up(process).await;
    let child = reaches(&system, Phase::Failed).await;
    assert_eq!(child.restarts, 0);
    let because = child.parked_because.unwrap();
    let wanted = format!(
        "limit open_files is {}, but regrow itself has no more than {own}",
        own + 1
    );
    assert!(because.contains(&wanted), "{because}");
    assert_eq!(handle.output().tail(1).len(), 0, "nothing was spawned");
    drop(system.shut_down().await);
}

#[tokio::test]
async fn one_that_has_used_up_its_time_on_a_processor_is_told_so_by_a_signal() {
    let limits = Limits::default().cpu_time(Duration::from_secs(1));
    let process = agent("echo up; while :; do :; done").limits(limits);
    let (system, _, mut events) = up(process).await;
    let Payload::ProcessExited { reason, .. } = next(&mut events, "regrow.process.exited").await
    else {
        panic!("another event of that name")
    };
    assert_eq!(reason.to_string(), ExitReason::Signal(24).to_string());
    drop(system.shut_down().await);
}

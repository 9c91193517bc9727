//! Nothing is left: of an agent that was stopped, of a run that ended, of a run that was killed.

use std::collections::HashSet;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::kit::{Daemon, Seen, Team, descendants, signal, until};

/// One of each: plain, with a child, with a grandchild in a session of its own that holds stdout, one whose grandchild has
/// no environment, one whose grandchild has no parent, one that has more of them when it is asked to stop, and some that take
/// nothing but SIGKILL.
const ALL_SORTS: &str = "\
defaults: { start_window: 200ms, stop: { timeout: 3s } }
agents:
  plain: { command: ['${REGROW_EXE}', sample-agent, worker], port: auto }
  parent: { command: 'sleep 1001 & sleep 1002 & wait' }
  escape: { command: ['${REGROW_EXE}', sample-agent, escape] }
  hidden: { command: 'env -i setsid sleep 1003 & (setsid setsid sleep 1004 &) ; exec sleep 1005' }
  orphan: { command: ['${REGROW_EXE}', sample-agent, double-fork] }
  hydra: { command: ['${REGROW_EXE}', sample-agent, fork-while-killed, --times, '20'] }
  stubborn: { command: ['${REGROW_EXE}', sample-agent, stubborn] }
  hung: { command: ['${REGROW_EXE}', sample-agent, hang, --after, 300ms] }
";

/// All sorts, and every process that descends from the daemon, of which there are at least ten.
fn all_sorts() -> (Daemon, Vec<Seen>) {
    let daemon = Daemon::up(ALL_SORTS).settled();
    let family = until("all of them are there", || {
        let family = family(&daemon);
        let there = |what: &str| family.iter().any(|seen| seen.command.contains(what));
        let left = |of: &str| {
            let name = format!("left-behind --of {of} --lasting");
            let is_last = |seen: &&Seen| seen.command.ends_with("--hops 0 ");
            family
                .iter()
                .filter(is_last)
                .any(|seen| seen.command.contains(&name))
        };
        let mut numbers = 1001..=1005;
        let all = numbers.all(|n| there(&n.to_string())) && left("escape") && left("orphan");
        all.then_some(family)
    });
    assert!(family.len() >= 10, "{family:?}");
    (daemon, family)
}

/// Descendants, and whoever was orphaned and got away from them, each once.
fn family(daemon: &Daemon) -> Vec<Seen> {
    let mut family: HashSet<Seen> = descendants(daemon.pid).into_iter().collect();
    family.extend(daemon.team.alive());
    family.retain(|seen| seen.pid != daemon.pid);
    family.into_iter().collect()
}

#[track_caller]
fn assert_all_gone(family: &[Seen], daemon: &Daemon) {
    let left: Vec<_> = family.iter().filter(|seen| seen.lives()).collect();
    assert!(left.is_empty(), "left: {left:#?} of {:#?}", daemon.lines());
}

#[test]
fn after_ctrl_c_nothing_is_left_and_the_code_is_0() {
    let (mut daemon, family) = all_sorts();
    daemon.signal(Signal::INT);
    assert_eq!(daemon.ended().code(), Some(0), "{:?}", daemon.lines());
    assert_all_gone(&family, &daemon);
    assert!(daemon.team.alive().is_empty());
    daemon.until_line(&["all agents have ended"]);
    assert!(
        daemon.team.run_record().is_none(),
        "the record of an orderly end goes"
    );
}

#[test]
fn after_sigterm_nothing_is_left_and_the_code_is_0() {
    let (mut daemon, family) = all_sorts();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().code(), Some(0), "{:?}", daemon.lines());
    assert_all_gone(&family, &daemon);
}

#[test]
fn a_terminal_that_closes_is_an_ordered_end() {
    let mut daemon = Daemon::up(
        "defaults: { start_window: 100ms }\nagents:\n  a: { command: 'exec sleep 1000' }\n",
    )
    .settled();
    let family = family(&daemon);
    daemon.signal(Signal::HUP);
    assert_eq!(daemon.ended().code(), Some(0), "{:?}", daemon.lines());
    assert_all_gone(&family, &daemon);
}

#[test]
fn a_terminal_that_says_twice_that_it_closes_hurries_nobody() {
    // It goes when it may, and says that it went by itself.
    let agents = "\
defaults: { start_window: 100ms }
agents:
  polite:
    command: |
      trap 'touch asked; until test -e go; do sleep 0.05; done; touch went; exit 0' TERM
      touch ready
      while true; do sleep 0.05; done
";
    let mut daemon = Daemon::up(agents).settled();
    let has = |daemon: &Daemon, name: &str| daemon.team.path().join(name).exists().then_some(());
    until("it minds the signal", || has(&daemon, "ready"));
    daemon.signal(Signal::HUP);
    until("it is asked to go", || has(&daemon, "asked"));
    daemon.signal(Signal::HUP);
    // It has read the signal, and acted on it, when it has answered requests that came after.
    for _ in 0..10 {
        assert_eq!(daemon.get("/livez").status, 200);
    }
    std::fs::write(daemon.team.path().join("go"), "").unwrap();
    assert_eq!(daemon.ended().code(), Some(0), "{:?}", daemon.lines());
    assert!(has(&daemon, "went").is_some(), "{:?}", daemon.lines());
}

#[test]
fn a_second_signal_does_not_wait_for_who_does_not_go() {
    let agents = "agents:\n  stubborn: { command: ['${REGROW_EXE}', sample-agent, stubborn], start_window: 200ms }\n";
    let mut daemon = Daemon::up(agents).settled();
    let family = family(&daemon);
    let begun = Instant::now();
    daemon.signal(Signal::INT);
    daemon.until_line(&["stopping all agents"]);
    assert!(
        daemon.get("/supervisor/status").status == 200,
        "it answers while it waits"
    );
    daemon.signal(Signal::INT);
    assert_eq!(daemon.ended().code(), Some(0), "{:?}", daemon.lines());
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(7),
        "{took:?}; its own budget is 20 s"
    );
    assert_all_gone(&family, &daemon);
}

#[test]
fn a_signal_during_the_start_is_an_ordered_end_too() {
    let agents = "agents:\n  slow: { command: 'exec sleep 1000', start_window: 60s }\n  later: { command: 'exec sleep 1000', depends_on: [slow] }\n";
    let mut daemon = Daemon::up(agents);
    daemon.until_phase("slow", "starting");
    let family = family(&daemon);
    daemon.signal(Signal::INT);
    assert_eq!(daemon.ended().code(), Some(0), "{:?}", daemon.lines());
    assert_all_gone(&family, &daemon);
}

#[test]
fn down_leaves_nothing() {
    let (mut daemon, family) = all_sorts();
    let said = daemon.regrow(&["down"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.contains("has ended"), "{said:?}");
    assert_all_gone(&family, &daemon);
    assert_eq!(daemon.ended().code(), Some(0));
    assert_eq!(daemon.regrow(&["ps"]).code, 3);
}

#[test]
fn after_a_stop_a_grandchild_that_escaped_and_holds_stdout_is_gone_within_the_budget() {
    let (daemon, family) = all_sorts();
    let begun = Instant::now();
    let said = daemon.regrow(&["stop", "escape", "hidden"]);
    let took = begun.elapsed();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    let is_theirs = |seen: &&Seen| {
        [
            "escape",
            "sleep 600",
            "sleep 1003",
            "sleep 1004",
            "sleep 1005",
        ]
        .iter()
        .any(|word| seen.command.contains(word))
    };
    let theirs: Vec<Seen> = family.iter().filter(is_theirs).cloned().collect();
    assert!(theirs.len() >= 5, "{theirs:?}");
    assert_all_gone(&theirs, &daemon);
    assert_eq!(daemon.agent("escape")["phase"], "stopped");
    let others = family.iter().filter(|seen| !is_theirs(seen));
    assert!(others.into_iter().all(Seen::lives), "the others go on");
}

#[test]
fn after_an_agents_own_end_nothing_of_that_life_is_left() {
    // One grandchild bears the marks of this life; the other has no environment, and was noted while its parent lived.
    let agents = "\
defaults: { start_window: 500ms, restart: { base: 300ms } }
agents:
  leaver:
    command: |
      setsid sleep 1006 & env -i setsid sleep 1007 &
      until test -e go; do sleep 0.05; done
      rm go; exit 4
";
    let daemon = Daemon::up(agents).settled();
    let first = until("both escaped", || {
        let mut escaped = family(&daemon);
        escaped.retain(|seen| seen.command.starts_with("sleep 100"));
        (escaped.len() == 2).then_some(escaped)
    });
    std::fs::write(daemon.team.path().join("go"), "").unwrap();
    until("the next life", || {
        (daemon.agent("leaver")["generation"] == 2).then_some(())
    });
    assert_all_gone(&first, &daemon);
    let last = &daemon.agent("leaver")["last_exit"];
    assert_eq!(
        (&last["reason"], &last["code"]),
        (&"exit".into(), &4.into())
    );
}

#[test]
fn who_slipped_away_unmarked_from_a_living_agent_is_ended_with_the_run_at_the_latest() {
    // Its parent is gone, its environment is empty, its streams are its own: only the subreaper knows that it is ours.
    let agents = "\
defaults: { start_window: 100ms }
agents:
  sly:
    command: |
      until test -e go; do sleep 0.05; done
      (env -i setsid sleep 1012 </dev/null >/dev/null 2>&1 &)
      exec sleep 1013
";
    let mut daemon = Daemon::up(agents).settled();
    std::fs::write(daemon.team.path().join("go"), "").unwrap();
    let slipped = until("it slipped away", || {
        let family = descendants(daemon.pid);
        family
            .into_iter()
            .find(|seen| seen.command.starts_with("sleep 1012"))
    });
    daemon.signal(Signal::INT);
    assert_eq!(daemon.ended().code(), Some(0), "{:?}", daemon.lines());
    assert_all_gone(&[slipped], &daemon);
}

/// A process that bears the marks of another run, or of none, and is none of ours.
struct Stranger {
    child: Child,
    seen: Seen,
}

impl Stranger {
    fn new(instance: Option<&str>) -> Self {
        let mut command = Command::new("sleep");
        command
            .arg("1008")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .env("REGROW_AGENT_ID", "kept")
            .env("REGROW_GENERATION", "1");
        match instance {
            Some(instance) => command.env("REGROW_INSTANCE", instance),
            None => command.env_remove("REGROW_INSTANCE"),
        };
        let child = command.spawn().unwrap();
        let seen = until("it sleeps", || {
            Seen::now(child.id()).filter(|seen| seen.command.starts_with("sleep"))
        });
        Self { child, seen }
    }

    fn lives(&self) -> bool {
        self.seen.lives()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

#[test]
fn what_a_killed_run_left_is_ended_before_its_successors_start_and_nobody_else_is() {
    // It says so when the one before it still lives at its start.
    let agents = "\
defaults: { start_window: 100ms }
agents:
  kept:
    command: |
      if grep -qs sleep /proc/$(cat before)/cmdline; then echo overlap; fi
      setsid sleep 1009 & echo $! > before
      trap '' TERM
      sleep 1010
      sleep 1011
";
    let team = Team::new(agents);
    std::fs::write(team.path().join("before"), "0").unwrap();
    let daemon = Daemon::of(team).settled();
    let left = family(&daemon);
    let dead = daemon.instance.clone();
    let team = daemon.crash();
    assert!(
        left.iter().filter(|seen| seen.lives()).count() >= 3,
        "they outlive it: {left:?}"
    );
    let others = [
        Stranger::new(Some("9f3d5d9e-0000-4000-8000-000000000000")),
        Stranger::new(None),
    ];

    assert_eq!(team.regrow(&["ps"]).code, 3, "a dead run is no daemon");
    let daemon = Daemon::of(team).settled();
    assert_ne!(daemon.instance, dead);
    assert_all_gone(&left, &daemon);
    assert!(
        others.iter().all(Stranger::lives),
        "strangers are left alone"
    );
    daemon.until_line(&["an earlier run had left processes"]);
    let log = daemon.regrow(&["logs", "kept"]);
    assert_eq!((log.code, log.stdout.as_str()), (0, ""), "{log:?}");
    assert_eq!(
        daemon.agent("kept")["generation"],
        1,
        "a new run counts anew"
    );
    assert!(daemon.regrow(&["down"]).code == 0);
    assert!(
        others.iter().all(Stranger::lives),
        "strangers are left alone"
    );
}

#[test]
fn a_daemon_in_the_background_outlives_its_terminal() {
    let team = Team::new(
        "defaults: { start_window: 100ms }\nagents:\n  a: { command: 'exec sleep 1000' }\n",
    );
    let (daemon, said) = Daemon::in_background(team);
    assert_eq!(said.code, 0, "{said:?}");
    let agent = daemon.pid_of("a");
    daemon.signal(Signal::HUP);
    signal(agent, Signal::CONT);
    // It has read the signal when it has answered a request that came after.
    assert_eq!(daemon.get("/livez").status, 200);
    assert_eq!(daemon.agent("a")["phase"], "running");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid)).unwrap();
    let session = stat[stat.rfind(')').unwrap()..]
        .split_whitespace()
        .nth(4)
        .unwrap();
    assert_eq!(
        session,
        daemon.pid.to_string(),
        "it leads a session of its own"
    );
    assert_eq!(daemon.regrow(&["down"]).code, 0);
    // `down` has seen it let go of its state; it is gone when it has ended.
    until("the daemon is gone", || {
        (!Seen::now(daemon.pid).is_some_and(|seen| seen.lives())).then_some(())
    });
}

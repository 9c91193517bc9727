//! What is wrong is said in full, with a code of its own, and changes nothing.

use std::net::TcpListener;

use crate::kit::{Daemon, Team};

const SLEEPER: &str =
    "defaults: { start_window: 100ms }\nagents:\n  a: { command: 'exec sleep 1000' }\n";

#[test]
fn all_errors_of_a_wrong_file_are_told_at_once_and_nothing_is_started() {
    let team = Team::new(
        "agents:\n  a: { command: [sleep, '1'], depends_on: [b] }\n  b: { command: [sleep, '1'], depends_on: [a] }\n  \
           c: { comand: [x], command: [sleep, '1'], restart: { max: soon } }\n",
    );
    for arguments in [
        &["up"][..],
        &["up", "-d"],
        &["up", "-d", "--wait"],
        &["config", "check"],
    ] {
        let said = team.regrow(arguments);
        assert_eq!(said.code, 7, "{arguments:?}: {said:?}");
        for part in [
            "regrow.yaml:4:44: agents.b.depends_on[0]: expected an order of start, got a cycle: a -> b (3:44) -> a (4:44); remove",
            "regrow.yaml:5:8: agents.c.comand: ",
            "did you mean \"command\"?",
            "agents.c.restart.max: expected a duration such as 30s, got \"soon\"",
            "3 errors in ",
            "nothing was started",
        ] {
            assert!(
                said.stderr.contains(part),
                "{part:?} is not in {}",
                said.stderr
            );
        }
        assert_eq!(said.stdout, "", "{arguments:?}");
    }
    assert!(!team.state().exists(), "not even a state directory is made");
}

#[test]
fn a_file_that_is_not_there_is_code_7() {
    let team = Team::new(SLEEPER);
    std::fs::remove_file(team.path().join("regrow.yaml")).unwrap();
    for arguments in [&["up"][..], &["up", "gone.yaml"], &["config", "check"]] {
        let said = team.regrow(arguments);
        assert_eq!(said.code, 7, "{arguments:?}: {said:?}");
        assert!(said.stderr.contains(".yaml"), "{said:?}");
    }
}

#[test]
fn a_good_file_is_said_to_be_good() {
    let team = Team::new(SLEEPER);
    let said = team.regrow(&["config", "check"]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
    assert!(!team.state().exists());
}

#[test]
fn a_port_that_is_taken_is_code_1_with_a_way_out() {
    let team = Team::new(SLEEPER);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for arguments in [
        &["up", "--listen", &address][..],
        &["up", "-d", "--listen", &address],
    ] {
        let said = team.regrow(arguments);
        assert_eq!(said.code, 1, "{arguments:?}: {said:?}");
        assert!(
            said.stderr.contains(&format!("cannot listen on {address}")),
            "{said:?}"
        );
        assert!(said.stderr.contains("--listen"), "{said:?}");
        assert!(team.alive().is_empty(), "{:?}", team.alive());
        assert!(team.run_record().is_none());
    }
}

#[test]
fn the_port_of_the_api_is_given_to_no_agent() {
    let team = Team::new("agents: {}\n");
    let port = team.own_port();
    team.write(&format!(
        "agents:\n  a: {{ command: 'exec sleep 1000', port: {port} }}\n"
    ));
    let said = team.regrow(&["up", "--listen", &format!("127.0.0.1:{port}")]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.stderr.contains(&format!(
            "agent \"a\" got no port: port {port} belongs to regrow itself"
        )),
        "{said:?}"
    );
    assert!(team.alive().is_empty(), "{:?}", team.alive());
}

#[test]
fn a_run_that_cannot_be_recorded_ends_with_all_that_it_has_started() {
    let team = Team::new(SLEEPER);
    std::fs::create_dir_all(team.state().join("run.json")).unwrap();
    let modes = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(team.state(), modes).unwrap();
    let said = team.regrow(&["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("run.json"), "{said:?}");
    assert!(team.alive().is_empty(), "{:?}", team.alive());
    assert!(!team.state().join("regrow.sock").exists());
}

#[test]
fn a_second_daemon_with_the_same_state_directory_is_code_5_and_harms_nobody() {
    let daemon = Daemon::up(SLEEPER).settled();
    for arguments in [
        &["up", "--listen", "127.0.0.1:0"][..],
        &["up", "-d", "--listen", "127.0.0.1:0"],
    ] {
        let said = daemon.regrow(arguments);
        assert_eq!(said.code, 5, "{arguments:?}: {said:?}");
        assert!(
            said.stderr
                .contains(&format!("another regrow (pid {})", daemon.pid)),
            "{said:?}"
        );
    }
    let agent = daemon.agent("a");
    assert_eq!(
        (&agent["phase"], &agent["generation"]),
        (&"running".into(), &1.into()),
        "{agent}"
    );
    assert_eq!(daemon.regrow(&["ps"]).code, 0);
}

#[test]
fn a_line_that_makes_no_sense_is_code_2() {
    let team = Team::new(SLEEPER);
    for arguments in [
        &[][..],
        &["upp"],
        &["up", "--wait"],
        &["up", "--listen", "0.0.0.0:8000"],
        &["stop"],
        &["logs", "--tail", "many"],
        &["down", "--timeout", "soon"],
    ] {
        let said = team.regrow(arguments);
        assert_eq!(said.code, 2, "{arguments:?}: {said:?}");
        assert_ne!(said.stderr, "", "{arguments:?}");
    }
    assert!(!team.state().exists());
}

#[test]
fn where_no_daemon_answers_every_command_is_code_3_and_says_what_to_do() {
    let team = Team::new(SLEEPER);
    let state = team.state().display().to_string();
    for arguments in [
        &["ps"][..],
        &["logs"],
        &["stop", "a"],
        &["start", "a"],
        &["restart", "a"],
        &["down"],
    ] {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--state-dir", &state]);
        let said = team.regrow(&arguments);
        assert_eq!(said.code, 3, "{arguments:?}: {said:?}");
        assert!(
            said.stderr.contains(&state) && said.stderr.contains("regrow up"),
            "{said:?}"
        );
    }
}

#[test]
fn more_agents_than_ports_are_a_wrong_file() {
    let agents: String = (0..12)
        .map(|number| format!("  a{number}: {{ command: 'exec sleep 1000', port: auto }}\n"))
        .collect();
    let team = Team::new(&format!("agents:\n{agents}"));
    let said = team.regrow(&["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.code, 7, "{said:?}");
    assert!(
        said.stderr
            .contains("agents.a9.port: expected at most 9 agents with port: auto"),
        "{said:?}"
    );
    assert!(team.alive().is_empty());
}

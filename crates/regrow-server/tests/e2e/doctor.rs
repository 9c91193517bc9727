//! `regrow doctor`: what works here, and what does not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::kit::{Daemon, Said, Team};

const TEAM: &str = "agents:\n  idle: { command: 'exec sleep 1000', start_window: 50ms }\n";

/// The findings, by what was checked: verdict and what was found.
#[track_caller]
fn findings(said: &Said) -> Vec<(String, String, String)> {
    let finding = |line: &str| {
        let json: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| json[key].as_str().unwrap().to_owned();
        (text("check"), text("verdict"), text("found"))
    };
    said.stdout.lines().map(finding).collect()
}

#[track_caller]
fn of(said: &Said, check: &str) -> (String, String) {
    let mut findings = findings(said).into_iter();
    let found = findings.find(|(name, _, _)| name == check);
    let (_, verdict, found) = found.unwrap_or_else(|| panic!("{check}: {said:?}"));
    (verdict, found)
}

#[test]
fn a_machine_on_which_all_is_well_is_said_to_be_so_with_and_without_a_daemon() {
    let team = Team::new(TEAM);
    let said = team.regrow(&["doctor", "--json"]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
    let checks: Vec<String> = findings(&said)
        .into_iter()
        .map(|(check, _, _)| check)
        .collect();
    assert_eq!(
        checks.join(", "),
        "processes, subreaper, pidfd, shared memory, cgroups, configuration, ports, descriptors, shell, state, token, daemon"
    );
    assert_eq!(
        of(&said, "daemon"),
        ("ok".to_owned(), "none runs here".to_owned())
    );
    assert!(
        of(&said, "state")
            .1
            .ends_with("is not there yet; `regrow up` makes it")
    );
    assert!(!team.state().exists(), "it has changed something");

    let daemon = Daemon::of(team).settled();
    let said = daemon.regrow(&["doctor", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(of(&said, "token").1, "is there, and ours alone");
    let here = format!("pid {}, at http://{}", daemon.pid, daemon.address);
    assert!(of(&said, "daemon").1.ends_with(&here), "{said:?}");
    assert!(!said.stdout.contains(&daemon.token), "{said:?}");
    let text = daemon.regrow(&["doctor"]);
    assert!(
        text.stdout.contains("\nok       subreaper       "),
        "{text:?}"
    );
}

#[test]
fn what_keeps_regrow_from_working_is_a_failure_with_advice_and_exit_code_1() {
    let team = Team::new("agents:\n  idle: { comand: 'true' }\n");
    fs::create_dir(team.state()).unwrap();
    fs::set_permissions(team.state(), fs::Permissions::from_mode(0o777)).unwrap();
    let said = team.regrow(&["doctor", "--json"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("2 checks failed"), "{said:?}");
    assert_eq!(of(&said, "configuration").0, "failure", "{said:?}");
    let (verdict, found) = of(&said, "state");
    assert!(
        verdict == "failure" && found.contains("others can write here (mode 777)"),
        "{found}"
    );
}

#[test]
fn ports_that_the_system_gives_to_connections_are_a_warning() {
    let team = Team::new(TEAM);
    fs::write(
        team.path().join("regrow.yaml"),
        format!("ports: 1024-65535\n{TEAM}"),
    )
    .unwrap();
    let said = team.regrow(&["doctor"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.stdout
            .contains("warning  ports           1024-65535 meets "),
        "{said:?}"
    );
    assert!(
        said.stdout.contains("choose another range with `ports`"),
        "{said:?}"
    );
}

//! OTP's own tests of its supervisor, `supervisor_SUITE` of OTP 29, case by case and under its names. Each is checked as it is there,
//! by lists, counts, lives and reasons; what a pid is there, is a path and a generation here.

mod administration;
mod beyond;
mod kit;
mod misc;
mod restart;
mod significant;
mod start;
mod stop;
mod termination;
mod upgrade;

use crate::tree::rust_files;

/// What becomes of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    /// It is ported as it is.
    AsItIs,
    /// It is ported, and its doc comment says what had to be another.
    Adapted,
    /// It is about something that is not there, for the reason given.
    Left(&'static str),
}
use Port::{Adapted as A, AsItIs as Y, Left};

/// The cases in OTP's order.
const CASES: [(&str, Port); 96] = [
    ("sup_start_normal", Y),
    ("sup_start_ignore_init", A),
    ("sup_start_ignore_child", Y),
    ("sup_start_ignore_temporary_child", Y),
    ("sup_start_ignore_temporary_child_start_child", Y),
    ("sup_start_ignore_temporary_child_start_child_simple", Y),
    ("sup_start_ignore_permanent_child_start_child_simple", Y),
    (
        "sup_start_error_return",
        Left("what a tree is made of has a type"),
    ),
    ("sup_start_fail", A),
    ("sup_start_child_returns_error", Y),
    ("sup_start_restart_child_returns_error", Y),
    ("sup_start_child_returns_error_simple", Y),
    ("sup_start_map", Y),
    ("sup_start_map_simple", A),
    ("sup_start_map_faulty_specs", A),
    ("sup_stop_infinity", Y),
    ("sup_stop_timeout", Y),
    ("sup_stop_timeout_dynamic", Y),
    ("sup_stop_brutal_kill", Y),
    ("sup_stop_brutal_kill_dynamic", Y),
    ("sup_stop_race", Y),
    ("sup_stop_non_shutdown_exit_dynamic", Y),
    ("sup_stop_manual", Y),
    ("sup_stop_manual_timeout", Y),
    ("child_adm", A),
    ("child_adm_simple", A),
    ("extra_return", A),
    ("child_specs", A),
    ("child_specs_map", A),
    ("sup_flags", A),
    ("multiple_restarts", Y),
    (
        "auto_hibernate",
        Left("a task does not hibernate; an idle supervisor holds no timers, which is tested"),
    ),
    ("one_for_one", Y),
    ("one_for_one_escalation", Y),
    ("one_for_all", Y),
    ("one_for_all_escalation", Y),
    ("one_for_all_other_child_fails_restart", Y),
    ("simple_one_for_one", Y),
    ("simple_one_for_one_shutdown", Y),
    ("simple_one_for_one_extra", A),
    ("simple_one_for_one_escalation", Y),
    ("simple_one_for_one_corruption", A),
    ("simple_one_for_one_restart_ignore", Y),
    ("rest_for_one", Y),
    ("rest_for_one_escalation", Y),
    ("rest_for_one_other_child_fails_restart", Y),
    ("external_start_no_progress_log", A),
    ("permanent_normal", Y),
    ("transient_normal", Y),
    ("temporary_normal", Y),
    ("permanent_shutdown", Y),
    ("transient_shutdown", Y),
    ("temporary_shutdown", Y),
    ("faulty_application_shutdown", A),
    ("permanent_abnormal", Y),
    ("transient_abnormal", Y),
    ("temporary_abnormal", Y),
    ("child_unlink", A),
    ("tree", Y),
    ("nonsignificant_temporary", Y),
    ("nonsignificant_transient", Y),
    ("significant_temporary", Y),
    ("significant_transient", Y),
    ("significant_simple", A),
    ("significant_bystander", Y),
    ("significant_escalation", Y),
    ("significant_upgrade_never_any", A),
    ("significant_upgrade_any_never", A),
    ("significant_upgrade_never_all", A),
    ("significant_upgrade_all_never", A),
    ("significant_upgrade_any_all", A),
    ("significant_upgrade_all_any", A),
    ("significant_upgrade_child", A),
    ("count_children", Y),
    ("count_children_supervisor", Y),
    ("count_restarting_children", Y),
    ("get_callback_module", Left("there is no release handler")),
    ("do_not_save_start_parameters_for_temporary_children", A),
    ("do_not_save_child_specs_for_temporary_children", Y),
    ("simple_one_for_one_scale_many_temporary_children", A),
    ("temporary_bystander", Y),
    ("simple_global_supervisor", A),
    ("hanging_restart_loop", Y),
    ("hanging_restart_loop_rest_for_one", Y),
    ("hanging_restart_loop_simple", Y),
    ("code_change", A),
    ("code_change_map", A),
    ("code_change_simple", A),
    ("code_change_simple_map", A),
    ("order_of_children", Y),
    ("scale_start_stop_many_children", A),
    (
        "format_log_1",
        Left("Erlang's formatter of logs; ours is tested with the events"),
    ),
    (
        "format_log_2",
        Left("Erlang's formatter of logs; ours is tested with the events"),
    ),
    ("already_started_outside_supervisor", Y),
    ("which_children", Y),
    ("which_children_simple_one_for_one", A),
];

/// The test functions of this folder, each with the line before its attribute: its doc comment.
fn tests() -> Vec<(String, String)> {
    let mut tests = Vec::new();
    for (path, text) in rust_files() {
        if !path.starts_with("tests/it/supervisor_suite/") {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let is_test = line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let function = lines.get(at + 1).and_then(|next| next.split("fn ").nth(1));
            if let (true, Some(function)) = (is_test, function) {
                let name = function.split('(').next().unwrap_or_default();
                let comment = at.checked_sub(1).map_or("", |before| lines[before]);
                tests.push((name.to_owned(), comment.to_owned()));
            }
        }
    }
    tests
}

#[test]
fn every_portable_case_of_otps_suite_is_a_test_of_its_name() {
    let tests = tests();
    let count = |port: fn(&Port) -> bool| CASES.iter().filter(|(_, case)| port(case)).count();
    let tally = (
        count(|port| *port == Y),
        count(|port| *port == A),
        count(|port| matches!(port, Left(_))),
    );
    assert_eq!(tally, (59, 32, 5));
    for (at, (name, port)) in CASES.iter().enumerate() {
        let found: Vec<_> = tests.iter().filter(|(test, _)| test == name).collect();
        if let Left(why) = port {
            assert!(found.is_empty(), "{name} is left out: {why}");
            continue;
        }
        let [(_, comment)] = found[..] else {
            panic!("case {}, {name}, is a test {} times", at + 1, found.len())
        };
        let number = format!("/// Case {}: ", at + 1);
        assert!(
            comment.starts_with(&number),
            "{name}: {number:?} is missing before {comment:?}"
        );
    }
}

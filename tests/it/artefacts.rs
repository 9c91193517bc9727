//! `deploy/`: rules, their tests, an example configuration and dashboards, held against the code and tried on Prometheus itself.

mod dashboards;
mod grafana;
mod names;
mod rules;
mod server;

use std::path::PathBuf;
use std::process::Command;

use crate::tools::tool;
use crate::tree::root;

/// The folder of a kind of artefacts.
fn deployed(kind: &str) -> PathBuf {
    root().join("deploy").join(kind)
}

/// Runs Prometheus' own checker in the folder of the rules; it has to be content.
fn promtool(arguments: &[&str]) {
    let Some(promtool) = tool("promtool") else {
        return;
    };
    let output = Command::new(promtool)
        .args(arguments)
        .current_dir(deployed("prometheus"))
        .output()
        .expect("promtool was found");
    let said = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    assert!(
        output.status.success(),
        "promtool {}: {said}",
        arguments.join(" ")
    );
}

#[test]
fn promtool_is_content_with_rules_their_tests_and_the_example() {
    promtool(&["check", "rules", "regrow.rules.yml"]);
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["test", "rules", "regrow.rules.test.yml"]);
}

#[test]
fn promtool_can_read_every_expression_of_the_dashboards() {
    let groups: Vec<_> = dashboards::all()
        .iter()
        .flat_map(|dashboard| dashboard.expressions())
        .enumerate()
        .map(|(n, (panel, expression))| {
            // As Grafana fills it in.
            let expression = expression.replace("$__rate_interval", "1m");
            // A group has the panel's name, so that promtool names it.
            serde_json::json!({
                "name": format!("{n}: {panel}"),
                "rules": [{ "record": format!("panel:{n}"), "expr": expression }],
            })
        })
        .collect();
    assert!(groups.len() > 30, "{} expressions", groups.len());
    let folder = tempfile::tempdir().expect("a folder can be made");
    // JSON is YAML too.
    let file = folder.path().join("dashboards.yml");
    let rules = serde_json::json!({ "groups": groups }).to_string();
    std::fs::write(&file, rules).expect("the file can be written");
    promtool(&["check", "rules", &file.display().to_string()]);
}

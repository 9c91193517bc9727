//! How the tests read files, and what is said of wrong ones.

use super::*;

/// The environment of the tests.
pub(super) fn environment(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("db.local".to_owned()),
        "SECRET" => Some("hunter2".to_owned()),
        "WORD" => Some("transient".to_owned()),
        _ => None,
    }
}

pub(super) fn parsed(text: &str) -> Result<Config, ConfigErrors> {
    parse(text, Path::new("agents.yaml"), &environment)
}

pub(super) fn good(text: &str) -> Config {
    match parsed(text) {
        Ok(config) => config,
        Err(errors) => panic!("{errors}"),
    }
}

/// The only agent of a file whose `agents` is this.
pub(super) fn agent(text: &str) -> AgentConfig {
    let mut config = good(text);
    assert_eq!(config.warnings, []);
    assert_eq!(config.agents.len(), 1);
    config.agents.remove(0)
}

/// What is said of the file, without the closing line.
pub(super) fn errors(text: &str) -> Vec<String> {
    let said = parsed(text).expect_err("the file is wrong").to_string();
    let mut lines: Vec<_> = said.lines().map(str::to_owned).collect();
    let closing = lines.pop().expect("there is a closing line");
    assert!(
        closing.ends_with(" in agents.yaml; nothing was started"),
        "{closing}"
    );
    lines
}

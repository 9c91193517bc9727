//! An agent that a request asks for, checked as one of the file is.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Map;

use super::agent::program;
use super::error::{ConfigError, Problem};
use super::profile::second_values;
use super::read::shortened;
use super::units::{self, Refusal};
use super::{AgentConfig, AgentDefaults, PortSetting, StdinSetting};

/// What a request says of the agent it wants.
#[derive(Clone, Copy)]
pub(crate) struct AgentParts<'a> {
    /// Its id.
    pub(crate) id: &'a str,
    /// The program.
    pub(crate) command: Option<&'a str>,
    /// Its arguments.
    pub(crate) args: &'a [String],
    /// Its type; else its id.
    pub(crate) type_name: Option<&'a str>,
    /// The group that it is to be in.
    pub(crate) group: Option<&'a str>,
    /// Words to find it by.
    pub(crate) tags: &'a [String],
    /// Variables that are set for it.
    pub(crate) env: &'a BTreeMap<String, String>,
}

impl AgentConfig {
    /// An agent of a request: checked as one of the file is, with `defaults` for what a request cannot say.
    ///
    /// It gets a port of its own (`auto`), so that the gateway reaches it, and runs in `folder`. Nothing is filled from
    /// the environment of regrow; what is known at its start, such as `${PORT}`, is filled then. Whether its id is free
    /// and there is room for it is not known here.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, each with the name of the request's field.
    pub(crate) fn from_parts(
        parts: AgentParts<'_>,
        defaults: &AgentDefaults,
        folder: &Path,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut checks = Checks::default();
        let id = checks.shown("agent_id", parts.id, units::id);
        let mut command = vec![checks.command(parts.command)];
        for (index, text) in parts.args.iter().enumerate() {
            command.push(checks.unshown(&format!("args[{index}]"), text));
        }
        let type_name = parts
            .type_name
            .map(|text| checks.shown("type", text, units::id));
        let mut tags = Vec::with_capacity(parts.tags.len());
        for (index, text) in parts.tags.iter().enumerate() {
            tags.push(checks.shown(&format!("tags[{index}]"), text, units::tag));
        }
        for (index, problem) in second_values(parts.tags.iter().map(String::as_str)) {
            let key = format!("tags[{index}]");
            let place = None;
            checks.errors.push(ConfigError {
                place,
                key,
                problem,
            });
        }
        let mut env = BTreeMap::new();
        for (name, text) in parts.env {
            let key = format!("env_vars.{}", shortened(name));
            env.insert(
                checks.shown(&key, name, units::variable),
                checks.unshown(&key, text),
            );
        }
        if !checks.errors.is_empty() {
            return Err(checks.errors);
        }
        Ok(Self {
            type_name: type_name.unwrap_or_else(|| id.clone()),
            id,
            tags,
            capabilities: Vec::new(),
            metadata: Map::new(),
            command,
            env,
            inherit: Vec::new(),
            workdir: folder.to_path_buf(),
            port: Some(PortSetting::Auto),
            group: parts.group.map(str::to_owned),
            enabled: true,
            handover: false,
            depends_on: Vec::new(),
            ready: None,
            once: false,
            restart: defaults.restart.clone(),
            stop: defaults.stop.clone(),
            stdin: StdinSetting::Pipe,
            logs: defaults.logs,
            start_window: defaults.start_window,
            max_runtime: None,
            limits: defaults.limits,
            probes: Vec::new(),
            breaker: None,
            gate: None,
            required: false,
            worker: None,
        })
    }
}

/// What is wrong with a request so far.
#[derive(Default)]
struct Checks {
    errors: Vec<ConfigError>,
}

impl Checks {
    /// A value that an error may repeat.
    fn shown(
        &mut self,
        key: &str,
        text: &str,
        parse: fn(&str) -> Result<String, Refusal>,
    ) -> String {
        let refused = |refusal| self.refuse(key, format!("{:?}", shortened(text)), refusal);
        parse(text).unwrap_or_else(refused)
    }

    /// A value that may be a secret.
    fn unshown(&mut self, key: &str, text: &str) -> String {
        let refused = |refusal| self.refuse(key, "another one".to_owned(), refusal);
        units::argument(text).unwrap_or_else(refused)
    }

    fn command(&mut self, text: Option<&str>) -> String {
        match text {
            Some(text) => self.shown("command", text, program),
            None => self.refuse(
                "command",
                "none".to_owned(),
                Refusal::new("the name of a program"),
            ),
        }
    }

    fn refuse(&mut self, key: &str, got: String, refusal: Refusal) -> String {
        let Refusal { expected, hint } = refusal;
        self.errors.push(ConfigError {
            place: None,
            key: key.to_owned(),
            problem: Problem::Unexpected {
                expected,
                got,
                hint,
            },
        });
        String::new()
    }
}

//! The JSON that the API speaks: what a body may hold, and what an answer holds.
//!
//! The server writes these values and the command line reads them, so both mean the same. Times
//! are RFC 3339 in UTC. A field that has nothing to say is `null` in [`Agent`] (its fields are
//! promised to everyone) and absent elsewhere.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod breakers;
mod pools;

pub(crate) use self::breakers::{AgentBreaker, Breaker, BreakerTotals, Breakers};
#[cfg(test)]
pub(crate) use self::pools::tests::pool as pool_of_tests;
pub(crate) use self::pools::{
    Pool, PoolDecision, PoolHealth, PoolQueue, PoolTotals, PoolWorker, Pools, ScaleMode,
    ScaleRequest,
};

/// One agent as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Agent {
    /// The id, unique among the agents.
    pub(crate) id: String,
    /// The path in the tree: `root/`, that of its group if it is in one, and the id; of a worker, that of its pool and its number.
    pub(crate) path: String,
    /// The kind of child: `process`.
    pub(crate) kind: String,
    /// What the agent is in the user's words.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    /// Words to find the agent by.
    pub(crate) tags: Vec<String>,
    /// What the agent can do.
    pub(crate) capabilities: Vec<String>,
    /// Whatever else the file tells of the agent.
    pub(crate) metadata: Map<String, Value>,
    /// The group that the agent is in.
    #[serde(default)]
    pub(crate) group: Option<String>,
    /// The pool whose worker the agent is.
    #[serde(default)]
    pub(crate) pool: Option<String>,
    /// The agents that this one waits for.
    pub(crate) depends_on: Vec<String>,
    /// The package that the agent came from. Always `null`: packages are not possible yet.
    pub(crate) package_id: Option<String>,
    /// The process id, while one lives.
    pub(crate) pid: Option<u32>,
    /// The port on 127.0.0.1 that the agent was given.
    pub(crate) port: Option<u16>,
    /// The Unix socket that the agent was given instead of a port.
    #[serde(default)]
    pub(crate) socket: Option<PathBuf>,
    /// The phase: `running`, `backoff`, …
    pub(crate) phase: String,
    /// What is wanted: `up`, `down` or `once`.
    pub(crate) desired: String,
    /// Whether the agent may be given work.
    pub(crate) ready: bool,
    /// `unknown`, `up`, `degraded` or `down`.
    pub(crate) health: String,
    /// How its probes stand; `unknown` while it does not live.
    #[serde(default)]
    pub(crate) probes: Vec<ProbeState>,
    /// What requests to the agent go through, if they do.
    #[serde(default)]
    pub(crate) breaker: Option<AgentBreaker>,
    /// Whether regrow is not ready while this agent is down.
    pub(crate) required: bool,
    /// How many lives this place has had, from 1.
    pub(crate) generation: u32,
    /// How often the agent was started again.
    pub(crate) restarts: u32,
    /// When this life began.
    pub(crate) started_at: Option<String>,
    /// When the next life begins, in `backoff`.
    pub(crate) next_start_at: Option<String>,
    /// How the last life ended.
    pub(crate) last_exit: Option<LastExit>,
    /// Why the agent is parked, or its last failure in words.
    pub(crate) message: Option<String>,
    /// How far a stop has come: the step of the ladder that runs now.
    pub(crate) stopping_stage: Option<String>,
    /// What the agent does, in its own words: its last `STATUS=` to `NOTIFY_SOCKET`.
    pub(crate) says: Option<String>,
    /// How many messages to `NOTIFY_SOCKET` were not believed in this life.
    pub(crate) notices_refused: u64,
    /// What the life that runs uses, itself and its descendants; `null` in its first second, and where figures are switched off.
    pub(crate) figures: Option<AgentFigures>,
}

impl Agent {
    /// Whether requests are kept from the agent by its breaker.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.breaker.as_ref().is_some_and(|breaker| breaker.refuses)
    }

    /// Why the agent is not well: what the first probe says that has failed, or is on its way to; else that its breaker refuses requests.
    pub(crate) fn trouble(&self) -> Option<String> {
        let breaker = || self.breaker.as_ref().and_then(AgentBreaker::trouble);
        self.found_by_probes().or_else(breaker)
    }

    /// What the first probe says that has failed, or is on its way to.
    pub(crate) fn found_by_probes(&self) -> Option<String> {
        let of = |verdict: &str| {
            let mut probes = self.probes.iter();
            probes.find(|probe| probe.verdict == verdict)
        };
        // Before it has spoken a readiness probe says so too, and has no reason.
        let probe = of("failure").filter(|probe| probe.last.is_some());
        let probe = probe.or_else(|| of("degraded"))?;
        let name = &probe.name;
        Some(match &probe.why {
            Some(why) => format!("probe {name}: {why}"),
            None => format!("probe {name} has not succeeded"),
        })
    }
}

/// How a probe of an agent stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProbeState {
    /// What it is called.
    pub(crate) name: String,
    /// What it is for: `startup`, `liveness`, `readiness` or `custom`.
    pub(crate) kind: String,
    /// What it says: `unknown`, `success`, `degraded` or `failure`.
    pub(crate) verdict: String,
    /// What it has found last: `success`, `warning`, `failure`, `timeout` or `error`.
    pub(crate) last: Option<String>,
    /// Why, in words, where all is not well.
    pub(crate) why: Option<String>,
    /// What it answers to the one who wants to know this, where it was asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) now: Option<Now>,
}

/// What an agent answers right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Now {
    /// `success`, `warning`, `failure`, `timeout` or `error`.
    pub(crate) result: String,
    /// Why, in words, where all is not well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

/// How a life ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastExit {
    /// The word for it: `normal`, `exit`, `signal`, `start_failed`, …
    pub(crate) reason: String,
    /// The exit code, if the reason is `exit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<i32>,
    /// The signal's number, if the reason is `signal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signal: Option<i32>,
    /// The reason in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// When.
    pub(crate) at: String,
}

/// The answer to `GET /supervisor/status` and `GET /v1/agents`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// All agents, in the order of the file, then in the order they were spawned.
    pub(crate) agents: Vec<Agent>,
}

/// The body of `POST /supervisor/spawn` and `POST /v1/agents`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpawnRequest {
    /// The id of the new agent.
    pub(crate) agent_id: String,
    /// The program to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<String>,
    /// Its arguments.
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// What the agent is; its id where nothing is said.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) type_name: Option<String>,
    /// The group that it is to be in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    /// Variables of its environment.
    #[serde(default)]
    pub(crate) env_vars: BTreeMap<String, String>,
    /// A package's name. Refused: packages are not possible yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) package_id: Option<String>,
    /// A package's file. Refused: packages are not possible yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) package_path: Option<String>,
}

/// The body of `POST /v1/agents/{id}/send`, where it is JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendRequest {
    /// A line for the agent, without its end.
    pub(crate) line: String,
}

/// The answer to `POST /v1/agents/{id}/send`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// The agent's id.
    pub(crate) agent: String,
    /// The life that got the message.
    pub(crate) generation: u32,
    /// How many bytes it got.
    pub(crate) bytes: usize,
}

/// The body of `POST /v1/agents/{id}/signal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignalRequest {
    /// The signal's name: `HUP`, or `SIGHUP`.
    pub(crate) signal: String,
    /// Who is to get it.
    #[serde(default)]
    pub(crate) to: SignalTarget,
}

/// Who is to get a signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SignalTarget {
    /// The agent's whole group: it and most of what it has started.
    #[default]
    Group,
    /// The agent's process alone.
    Leader,
}

/// What the daemon as a whole is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DaemonPhase {
    /// Not every agent has been started yet.
    Starting,
    /// The boot is over.
    Running,
    /// The ordered stop has begun.
    Draining,
}

/// The answer to `GET /v1/info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Info {
    /// The daemon's process id.
    pub(crate) pid: u32,
    /// The uuid of this run.
    pub(crate) instance: String,
    /// The version of regrow.
    pub(crate) version: String,
    /// The config file.
    pub(crate) config: PathBuf,
    /// The state directory.
    pub(crate) state_dir: PathBuf,
    /// The address that answers: `127.0.0.1:8000`.
    pub(crate) listen: String,
    /// What the daemon is doing.
    pub(crate) phase: DaemonPhase,
    /// When it was started.
    pub(crate) started_at: String,
    /// How often is looked at what agents use, and what that costs.
    #[serde(default)]
    pub(crate) figures: Sampling,
}

/// The answer to `GET /v1/wait`: how far the agents have come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitReport {
    /// Whether every agent has settled: it is up, has ended as it should, or has failed for good.
    pub(crate) done: bool,
    /// Who is still on the way.
    pub(crate) waiting: Vec<String>,
    /// Who has failed for good.
    pub(crate) failed: Vec<FailedAgent>,
}

/// An agent that has failed for good, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailedAgent {
    /// The agent's id.
    pub(crate) id: String,
    /// Why, in words.
    pub(crate) message: String,
}

/// One line of NDJSON in the answer of the log addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum LogRecord {
    /// A line that an agent wrote.
    Line(LogLine),
    /// Lines are missing here: the reader was too slow, or the ring no longer had them.
    Gap {
        /// The agent whose lines are missing.
        agent: String,
        /// How many.
        dropped: u64,
    },
}

/// One line that an agent wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogLine {
    /// The agent's id.
    pub(crate) agent: String,
    /// `stdout` or `stderr`.
    pub(crate) stream: String,
    /// When it was read.
    pub(crate) at: String,
    /// Counts the agent's lines from the first.
    pub(crate) seq: u64,
    /// The life that wrote it.
    pub(crate) generation: u32,
    /// The text without its line end. What is not UTF-8 is replaced.
    pub(crate) text: String,
    /// The line as it was written, in base64, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base64: Option<String>,
    /// Whether the line was longer than what is kept of one.
    pub(crate) truncated: bool,
}

impl LogLine {
    /// What stands beside the text of a line, if the text does not say it all.
    pub(crate) fn base64_of(line: &[u8]) -> Option<String> {
        let told = std::str::from_utf8(line).is_ok();
        (!told).then(|| BASE64_STANDARD.encode(line))
    }

    /// The line as the agent wrote it.
    pub(crate) fn bytes(&self) -> Cow<'_, [u8]> {
        let decoded = self
            .base64
            .as_ref()
            .and_then(|text| BASE64_STANDARD.decode(text).ok());
        decoded.map_or(Cow::Borrowed(self.text.as_bytes()), Cow::Owned)
    }
}

/// The answer to `GET /health` and `GET /supervisor/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Health {
    /// `up`, `degraded` or `down`.
    pub(crate) status: String,
    /// The agents that are parked, and why.
    pub(crate) parked: Vec<FailedAgent>,
    /// Each agent.
    pub(crate) agents: BTreeMap<String, AgentHealth>,
    /// Each pool.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) pools: BTreeMap<String, PoolHealth>,
}

/// The health of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentHealth {
    /// The agent's phase.
    pub(crate) phase: String,
    /// `unknown`, `up`, `degraded` or `down`.
    pub(crate) health: String,
    /// Whether it may be given work.
    pub(crate) ready: bool,
    /// Whether regrow is not ready while this agent is down.
    pub(crate) required: bool,
    /// Why it is not well, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// How its probes stand; `unknown` while it does not live.
    pub(crate) probes: Vec<ProbeState>,
}

/// A refusal or failure, as RFC 9457 has it (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Problem {
    /// A URI for this kind of problem: `about:blank` where the code says it all.
    #[serde(rename = "type")]
    pub(crate) type_uri: String,
    /// The HTTP status in words.
    pub(crate) title: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// What happened, with the names and values.
    pub(crate) detail: String,
    /// A word that stays the same, for programs: `agent_not_found`.
    pub(crate) code: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// In which column a query is wrong, in characters from 1 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<usize>,
    /// Who is still on the way, of a wait that ran out of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wait: Option<WaitReport>,
}

/// What somebody uses now, and has used up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct AgentFigures {
    /// Processes, descendants included.
    pub(crate) processes: u32,
    /// Their threads.
    pub(crate) threads: u32,
    /// Their open descriptors.
    pub(crate) descriptors: u32,
    /// Their resident memory; a page that several share counts for each.
    pub(crate) memory_bytes: u64,
    /// How many processors they kept busy since the look before.
    pub(crate) cpu_cores: f64,
    /// The processor time of this life.
    pub(crate) cpu_seconds: f64,
    /// What this life has read, from whatever it read.
    pub(crate) read_bytes: u64,
    /// What this life has written, to whatever it wrote.
    pub(crate) written_bytes: u64,
    /// What was fetched from disks for it.
    pub(crate) disk_read_bytes: u64,
    /// What it has handed to disks.
    pub(crate) disk_written_bytes: u64,
}

/// How often is looked at what agents use, and what the last look has cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sampling {
    /// How often; 0 for never.
    pub(crate) every_ms: u64,
    /// How long ago the last look was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_ms_ago: Option<u64>,
    /// How long it took, on a thread that nobody waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_took_us: Option<u64>,
}

/// The answer to `GET /v1/agents/{id}/tree`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tree {
    /// The processes of the agent, oldest first; none where it does not run.
    pub(crate) processes: Vec<TreeProcess>,
}

/// One process of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TreeProcess {
    /// Its pid.
    pub(crate) pid: i32,
    /// The pid of its parent, which may be none of these.
    pub(crate) parent: i32,
    /// What it calls itself. Its arguments, which may be secrets, are not told.
    pub(crate) name: String,
    /// Its threads.
    pub(crate) threads: u32,
    /// Its open descriptors.
    pub(crate) descriptors: u32,
    /// Its resident memory.
    pub(crate) memory_bytes: u64,
    /// Its share of it: a page that three processes share counts a third.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proportional_bytes: Option<u64>,
    /// Its processor time, and that of the children that it has waited for.
    pub(crate) cpu_seconds: f64,
    /// What it has read, likewise.
    pub(crate) read_bytes: u64,
    /// What it has written, likewise.
    pub(crate) written_bytes: u64,
    /// What was fetched from disks for it, likewise.
    pub(crate) disk_read_bytes: u64,
    /// What it has handed to disks, likewise.
    pub(crate) disk_written_bytes: u64,
}

/// A time as RFC 3339 in UTC, with milliseconds.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    regrow_core::stamp::rfc3339(time, 3)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An agent of which there is nothing to say.
    pub(crate) fn agent(id: &str) -> Agent {
        Agent {
            id: id.into(),
            path: format!("root/{id}"),
            kind: "process".into(),
            type_name: "worker".into(),
            tags: vec![],
            capabilities: vec![],
            metadata: Map::new(),
            group: None,
            pool: None,
            depends_on: vec![],
            package_id: None,
            pid: None,
            port: None,
            socket: None,
            phase: "pending".into(),
            desired: "up".into(),
            ready: false,
            health: "unknown".into(),
            probes: vec![],
            breaker: None,
            required: false,
            generation: 0,
            restarts: 0,
            started_at: None,
            next_start_at: None,
            last_exit: None,
            message: None,
            stopping_stage: None,
            says: None,
            notices_refused: 0,
            figures: None,
        }
    }

    #[test]
    fn the_status_has_every_promised_field_even_where_there_is_nothing_to_say() {
        let agent = agent("a");
        let json = serde_json::to_value(&agent).unwrap();
        for field in [
            "id",
            "path",
            "type",
            "package_id",
            "pid",
            "port",
            "socket",
            "phase",
            "desired",
            "ready",
            "health",
            "generation",
            "restarts",
            "started_at",
            "last_exit",
        ] {
            assert!(json.get(field).is_some(), "{field} is missing");
        }
        assert_eq!(serde_json::from_value::<Agent>(json).unwrap(), agent);
    }

    #[test]
    fn a_spawn_request_with_an_unknown_field_is_refused() {
        let wrong = serde_json::from_str::<SpawnRequest>(r#"{"agent_id":"a","comand":"sh"}"#);
        assert!(
            wrong
                .unwrap_err()
                .to_string()
                .contains("unknown field `comand`")
        );
    }
}

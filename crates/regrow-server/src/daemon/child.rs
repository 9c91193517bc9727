//! From what the config says of an agent to a process that can be supervised.

use regrow_core::{Backoff, FirstRestart, GiveUp, RestartIntensity};
use regrow_process::{Host, Lease, LogFile, Output, OutputLimits, Process, Signal, Stdin};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::probes;
use crate::config::{
    AgentConfig, LogsConfig, PortSetting, RestartConfig, StdinSetting, StopConfig, StopSignal,
};

/// The id of the root supervisor of the program.
pub(crate) const ROOT: &str = "root";

/// An agent that lived so long is started again at once.
const AT_ONCE_AFTER: Duration = Duration::from_secs(10);

/// The path of an agent.
pub(super) fn path(agent: &AgentConfig) -> String {
    format!("{}/{}", supervisor(agent), id(agent))
}

/// The last part of that: a worker is known there by its number.
pub(super) fn id(agent: &AgentConfig) -> Cow<'_, str> {
    match &agent.worker {
        Some(worker) => worker.number.to_string().into(),
        None => agent.id.as_str().into(),
    }
}

/// The path of the supervisor of an agent.
pub(super) fn supervisor(agent: &AgentConfig) -> String {
    match agent.above() {
        Some(group) => group_path(group),
        None => ROOT.to_owned(),
    }
}

/// The path of a group or a pool.
pub(super) fn group_path(id: &str) -> String {
    format!("{ROOT}/{id}")
}

/// Where an agent has its Unix socket, if it has one.
pub(super) fn socket(agent: &AgentConfig, host: &Host) -> Option<PathBuf> {
    match agent.port {
        Some(PortSetting::Socket) => host.socket(&agent.id),
        Some(PortSetting::Auto | PortSetting::Fixed(_)) | None => None,
    }
}

/// The process of an agent, which waits for nobody yet.
pub(super) fn process(
    agent: &AgentConfig,
    lease: Option<&Lease>,
    host: &Host,
    logs: &Path,
) -> Process {
    let mut command = agent.command.iter();
    let program = command.next().map(String::as_str).unwrap_or_default();
    let mut process = Process::new(&agent.id, program)
        .args(command)
        .of_type(&agent.type_name)
        .tags(&agent.tags)
        .enabled(agent.enabled)
        .inherit_env(&agent.inherit)
        .cwd(&agent.workdir)
        .stdin(match agent.stdin {
            StdinSetting::Pipe => Stdin::Pipe,
            StdinSetting::Null => Stdin::Null,
        })
        .start_window(agent.start_window)
        .restart(agent.restart.policy)
        .backoff(backoff(&agent.restart))
        .limit(RestartIntensity::new(
            agent.restart.max_restarts,
            agent.restart.within,
        ))
        .give_up(GiveUp::Park)
        .exits(agent.restart.exits.clone())
        .limits(agent.limits.system)
        .stop_plan(agent.stop.plan)
        .stop_signal(signal(&agent.stop))
        .host(host.clone())
        .output(Output::new(
            OutputLimits::default().line(agent.logs.max_line),
        ));
    if agent.logs.file {
        process = process.log_file(log_file(agent, logs));
    }
    for (name, value) in &agent.env {
        process = process.env(name, value);
    }
    if let Some(line) = &agent.stop.line {
        process = process.stop_line(line);
    }
    if let Some(ready) = &agent.ready {
        process = process.ready_when(ready.log.as_str(), ready.within);
    }
    if agent.once {
        process = process.once();
    }
    if let Some(bytes) = agent.limits.memory {
        process = process.memory_limit(bytes);
    }
    if let Some(longest) = agent.max_runtime {
        process = process.max_runtime(longest);
    }
    if let Some(lease) = lease {
        process = process.lease(lease.clone());
    }
    if let Some(socket) = socket(agent, host) {
        process = process.socket(socket);
    }
    if agent.handover {
        process = process.hand_over_listener();
    }
    probes::with_probes(process, agent)
}

/// The log file of an agent.
fn log_file(agent: &AgentConfig, folder: &Path) -> LogFile {
    let LogsConfig {
        max_size,
        max_age,
        keep,
        compress,
        ..
    } = agent.logs;
    let file = LogFile::of(folder, &agent.id)
        .max_size(max_size)
        .keep(keep)
        .compress(compress);
    match max_age {
        Some(age) => file.max_age(age),
        None => file,
    }
}

pub(super) fn backoff(restart: &RestartConfig) -> Backoff {
    Backoff::exponential(restart.base..=restart.max)
        .factor(restart.factor)
        .jitter(restart.jitter)
        .reset_after(restart.stable_after)
        .first(FirstRestart::AtOnceAfter(AT_ONCE_AFTER))
}

fn signal(stop: &StopConfig) -> Signal {
    match stop.signal {
        StopSignal::Term => Signal::Term,
        StopSignal::Int => Signal::Int,
        StopSignal::Hup => Signal::Hup,
        StopSignal::Quit => Signal::Quit,
        StopSignal::Usr1 => Signal::Usr1,
        StopSignal::Usr2 => Signal::Usr2,
    }
}

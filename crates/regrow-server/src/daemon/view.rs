//! From what the tree and the process tell of an agent to what the API shows.

use std::path::Path;
use std::time::SystemTime;

use regrow::breaker::{Breaker, CircuitState};
use regrow::{ChildInfo, ExitReason};
use regrow_core::probe::{ProbeKind, ProbeVerdict};
use regrow_core::{Desired, ExitKind, Phase};
use regrow_process::{Figures, Host, Reading};

use super::child;
use super::roster::{Entry, status};
use crate::config::{AgentConfig, Dependency, ProbeConfig};
use crate::gateway::{Before, Standing, Unready};
use crate::wire::{
    Agent, AgentBreaker, AgentFigures, LastExit, ProbeState, Sampling, TreeProcess, rfc3339,
};

/// An agent as the API shows it; one of which the tree knows nothing any more is stopped.
pub(super) fn agent(entry: &Entry, info: Option<&ChildInfo>) -> Agent {
    let process = entry.handle.status();
    let status = status(info, process.generation);
    let config = &entry.config;
    let (_, desired) = place_of(info);
    Agent {
        id: config.id.clone(),
        path: child::path(config),
        kind: "process".to_owned(),
        type_name: config.type_name.clone(),
        tags: config.tags.clone(),
        capabilities: config.capabilities.clone(),
        metadata: config.metadata.clone(),
        group: config.group.clone(),
        pool: config.worker.as_ref().map(|worker| worker.pool.clone()),
        depends_on: ids(&config.depends_on),
        package_id: None,
        pid: process.pid,
        port: entry.port(),
        socket: entry.socket.as_deref().map(Path::to_owned),
        phase: status.phase.as_str().to_owned(),
        desired: desired.as_str().to_owned(),
        ready: status.ready,
        health: status.health.as_str().to_owned(),
        probes: probes(config, info),
        breaker: entry.before.as_ref().map(breaker),
        required: config.required,
        generation: status.generation,
        restarts: info.map_or(0, |info| info.restarts),
        started_at: info.and_then(|info| info.started_at).map(rfc3339),
        next_start_at: next_start(info).map(rfc3339),
        last_exit: info.and_then(last_exit),
        message: waits_for(entry, status.phase, process.pid).or_else(|| info.and_then(message)),
        stopping_stage: process
            .stopping_stage
            .map(|stage| stage.as_str().to_owned()),
        says: process.says,
        notices_refused: process.notices_refused,
        figures: entry
            .handle
            .figures()
            .map(|figures| self::figures(&figures)),
    }
}

/// How the probes of an agent stand; nothing is known of one that does not live.
fn probes(config: &AgentConfig, info: Option<&ChildInfo>) -> Vec<ProbeState> {
    let reports = info.map_or(&[][..], |info| &info.probes);
    if !reports.is_empty() {
        return reports.iter().map(probe).collect();
    }
    config.probes.iter().map(unknown).collect()
}

/// A probe of which nothing is known.
pub(super) fn unknown(probe: &ProbeConfig) -> ProbeState {
    ProbeState {
        name: probe.name.clone(),
        kind: probe.kind.as_str().to_owned(),
        verdict: ProbeVerdict::Unknown.as_str().to_owned(),
        last: None,
        why: None,
        now: None,
    }
}

/// What the requests to an agent go through.
pub(super) fn breaker(before: &Before) -> AgentBreaker {
    let breaker = &before.breaker;
    let status = breaker.status();
    let next_trial_at = status.retry_after.map(|wait| SystemTime::now() + wait);
    AgentBreaker {
        id: breaker.id().to_owned(),
        state: status.standing.state.as_str().to_owned(),
        next_trial_at: next_trial_at.map(rfc3339),
        refuses: before.judge.refuses_all(status.standing.state),
    }
}

/// How a probe of an agent, or the check of a breaker, stands.
pub(super) fn probe(report: &regrow::probe::ProbeReport) -> ProbeState {
    let words = report.why.as_ref();
    ProbeState {
        name: report.name.as_ref().to_owned(),
        kind: report.kind.as_str().to_owned(),
        verdict: report.verdict.as_str().to_owned(),
        last: report.last.map(|last| last.as_str().to_owned()),
        why: (!words.is_empty()).then(|| words.to_owned()),
        now: None,
    }
}

/// Why an agent that lives may be given no work, if its probes are the reason.
pub(super) fn unready(config: &AgentConfig, info: &ChildInfo) -> Option<Unready> {
    if info.ready || !config.is_asked_first() {
        return None;
    }
    let failed = info.probes.iter().find(|probe| {
        probe.kind == ProbeKind::Readiness
            && probe.verdict == ProbeVerdict::Failure
            && probe.last.is_some()
    });
    let Some(failed) = failed else {
        return Some(Unready::NotYet);
    };
    let mut probes = config.probes.iter();
    let asked = probes.find(|probe| *probe.name == *failed.name)?;
    let why = match failed.why.as_ref() {
        "" => "its readiness probe has not succeeded".to_owned(),
        why => format!("its readiness probe failed: {why}"),
    };
    let period = asked.rules.period;
    Some(Unready::Failed { why, period })
}

fn figures(figures: &Figures) -> AgentFigures {
    let Figures {
        processes,
        threads,
        descriptors,
        memory_bytes,
        cpu_cores,
        spent,
    } = *figures;
    AgentFigures {
        processes,
        threads,
        descriptors,
        memory_bytes,
        cpu_cores,
        cpu_seconds: spent.cpu.as_secs_f64(),
        read_bytes: spent.read_bytes,
        written_bytes: spent.written_bytes,
        disk_read_bytes: spent.disk_read_bytes,
        disk_written_bytes: spent.disk_written_bytes,
    }
}

/// One process of an agent.
pub(super) fn tree_process(process: regrow_process::TreeProcess) -> TreeProcess {
    let Reading {
        who,
        parent,
        threads,
        descriptors,
        memory_bytes,
        own,
        waited,
        is_living: _,
    } = process.reading;
    let spent = own.plus(waited);
    TreeProcess {
        pid: who.pid,
        parent,
        name: process.name,
        threads,
        descriptors,
        memory_bytes,
        proportional_bytes: process.proportional_bytes,
        cpu_seconds: spent.cpu.as_secs_f64(),
        read_bytes: spent.read_bytes,
        written_bytes: spent.written_bytes,
        disk_read_bytes: spent.disk_read_bytes,
        disk_written_bytes: spent.disk_written_bytes,
    }
}

/// How often is looked at what agents use, and what that costs.
pub(super) fn sampling(host: &Host) -> Sampling {
    let last = host.sampled();
    let whole = |count: u128| u64::try_from(count).unwrap_or(u64::MAX);
    Sampling {
        every_ms: whole(host.sample_period().as_millis()),
        last_ms_ago: last.map(|last| whole(last.at.elapsed().as_millis())),
        last_took_us: last.map(|last| whole(last.took.as_micros())),
    }
}

fn ids(dependencies: &[Dependency]) -> Vec<String> {
    let ids = dependencies.iter();
    ids.map(|dependency| dependency.id.clone()).collect()
}

/// What one that is pending waits for, or one that starts and has no process yet, in words.
fn waits_for(entry: &Entry, phase: Phase, pid: Option<u32>) -> Option<String> {
    let config = &entry.config;
    if let Some(gate) = gate_of(entry, phase, pid) {
        return Some(format!("waits for breaker {}", gate.id()));
    }
    if phase != Phase::Pending || config.depends_on.is_empty() {
        return None;
    }
    let each = config.depends_on.iter();
    let each: Vec<_> = each
        .map(|dependency| format!("{} ({})", dependency.id, dependency.until))
        .collect();
    Some(format!("waits for {}", each.join(", ")))
}

/// The breaker that the start of an agent waits for now.
pub(super) fn gate_of(entry: &Entry, phase: Phase, pid: Option<u32>) -> Option<&Breaker> {
    let has_begun = phase != Phase::Starting || pid.is_some();
    let gate = entry.gate.as_ref().filter(|_| !has_begun)?;
    (!lets_all_through(gate.state())).then_some(gate)
}

fn lets_all_through(state: CircuitState) -> bool {
    match state {
        CircuitState::Closed | CircuitState::Disabled | CircuitState::MetricsOnly => true,
        CircuitState::Open | CircuitState::HalfOpen | CircuitState::ForcedOpen => false,
    }
}

/// What the gateway needs to know, filled up with what the tree says.
pub(super) fn standing(known: Standing, info: Option<&ChildInfo>, now: SystemTime) -> Standing {
    let (phase, desired) = place_of(info);
    Standing {
        phase,
        desired,
        starts_in: next_start(info).map(|at| at.duration_since(now).unwrap_or_default()),
        message: info.and_then(message),
        ..known
    }
}

pub(super) fn place_of(info: Option<&ChildInfo>) -> (Phase, Desired) {
    info.map_or((Phase::Stopped, Desired::Down), |info| {
        (info.phase, info.desired)
    })
}

fn next_start(info: Option<&ChildInfo>) -> Option<SystemTime> {
    info.filter(|info| info.phase == Phase::Backoff)
        .and_then(|info| info.next_start_at)
}

fn last_exit(info: &ChildInfo) -> Option<LastExit> {
    let exit = info.last_exit.as_ref()?;
    let (code, signal) = match exit.reason.kind() {
        ExitKind::Exit(code) => (Some(code), None),
        ExitKind::Signal(signal) => (None, Some(signal)),
        ExitKind::Normal
        | ExitKind::Shutdown
        | ExitKind::Error
        | ExitKind::Panic
        | ExitKind::Killed
        | ExitKind::StartFailed
        | ExitKind::StartTimeout
        | ExitKind::Intensity
        | ExitKind::Cancelled
        | ExitKind::Unresponsive => (None, None),
    };
    Some(LastExit {
        reason: exit.reason.kind().as_str().to_owned(),
        code,
        signal,
        message: Some(exit.reason.to_string()),
        at: rfc3339(exit.at),
    })
}

/// Why it is parked, or how it last failed.
pub(super) fn message(info: &ChildInfo) -> Option<String> {
    let failure = info
        .last_exit
        .as_ref()
        .map(|exit| &exit.reason)
        .filter(|reason| reason.kind().is_abnormal())
        .map(ExitReason::to_string);
    match (&info.parked_because, failure) {
        (Some(because), Some(failure)) if !because.contains(&failure) => {
            Some(format!("{because}; last: {failure}"))
        }
        (Some(because), _) => Some(because.clone()),
        (None, failure) => failure,
    }
}

//! What an agent is asked: from what the config says to probes of its process.

use std::time::Duration;

use regrow::probe::{Check, Probe};
use regrow_core::probe::ProbeKind;
use regrow_process::{GrpcCheck, HttpCheck, Process, ProcessCheck, ProcessHandle, TcpCheck};

use crate::config::{AgentConfig, ProbeConfig, Question, Where};

/// The process with the probes of its agent.
pub(super) fn with_probes(process: Process, agent: &AgentConfig) -> Process {
    let handle = process.handle();
    let probes = agent.probes.iter().map(|config| probe(config, &handle));
    probes.fold(process, Process::probe)
}

/// What an agent can be asked at its address at any time, by the names of its probes; none takes longer than `longest`.
pub(super) fn at_its_address(
    agent: &AgentConfig,
    handle: &ProcessHandle,
    longest: Duration,
) -> Vec<(String, ProcessCheck)> {
    let checks = agent.probes.iter().filter_map(|config| {
        let Asked::Itself(check) = asked(&config.question, handle) else {
            return None;
        };
        let timeout = config.rules.timeout.min(longest);
        check
            .has_address()
            .then(|| (config.name.clone(), check.timeout(timeout)))
    });
    checks.collect()
}

/// Who is asked.
enum Asked {
    /// The agent.
    Itself(ProcessCheck),
    /// Somebody else, by HTTP.
    Http(HttpCheck),
    /// Somebody else, by connecting.
    Tcp(TcpCheck),
    /// Somebody else, by gRPC.
    Grpc(GrpcCheck),
}

fn asked(question: &Question, handle: &ProcessHandle) -> Asked {
    let (check, port) = match question {
        Question::Http { at, check } => match at {
            Where::Agent(port) => (ProcessCheck::http_as(handle, check.clone()), *port),
            Where::Host(_) => return Asked::Http(check.clone()),
        },
        Question::Tcp(at) => match at {
            Where::Agent(port) => (ProcessCheck::tcp(handle), *port),
            Where::Host(address) => return Asked::Tcp(TcpCheck::new(address.clone())),
        },
        Question::Grpc { at, service } => match at {
            Where::Agent(port) => (ProcessCheck::grpc(handle, service), *port),
            Where::Host(address) => {
                return Asked::Grpc(GrpcCheck::new(address.clone()).service(service));
            }
        },
        Question::Exec(words) => (ProcessCheck::command(handle, words), None),
        Question::Log { line, within } => {
            let check = ProcessCheck::log_line(handle, line.as_str(), *within);
            (check, None)
        }
    };
    Asked::Itself(match port {
        Some(port) => check.port(port),
        None => check,
    })
}

fn probe(config: &ProbeConfig, handle: &ProcessHandle) -> Probe {
    let probe = match asked(&config.question, handle) {
        Asked::Itself(check) => match config.kind {
            ProbeKind::Liveness => Probe::liveness(check),
            ProbeKind::Startup | ProbeKind::Readiness | ProbeKind::Custom => any(config, check),
        },
        Asked::Http(check) => any(config, check),
        Asked::Tcp(check) => any(config, check),
        Asked::Grpc(check) => any(config, check),
    };
    probe.named(config.name.as_str()).rules(config.rules)
}

/// A probe that may look anywhere.
fn any(config: &ProbeConfig, check: impl Check) -> Probe {
    match config.kind {
        ProbeKind::Startup => Probe::startup(check),
        // That a liveness probe looks elsewhere is refused in the file; here it could not be built.
        ProbeKind::Readiness | ProbeKind::Liveness => Probe::readiness(check),
        ProbeKind::Custom => Probe::custom(config.name.as_str(), check),
    }
}

//! What an agent is asked, and what a breaker asks: from what the config says to probes and checks.

use std::path::Path;
use std::time::Duration;

use regrow::probe::{Check, CheckResult, Probe};
use regrow_core::probe::ProbeKind;
use regrow_process::{
    CommandCheck, GrpcCheck, HttpCheck, Process, ProcessCheck, ProcessHandle, TcpCheck,
};

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
#[derive(Debug)]
pub(super) enum Asked {
    /// The agent.
    Itself(ProcessCheck),
    /// Somebody else, by HTTP.
    Http(HttpCheck),
    /// Somebody else, by connecting.
    Tcp(TcpCheck),
    /// Somebody else, by gRPC.
    Grpc(GrpcCheck),
    /// Whoever a command asks, which is no agent's.
    Command(CommandCheck),
}

impl Asked {
    /// What a breaker's check asks: an agent, or whom the question names. A command of nobody runs in this folder.
    pub(super) fn of_breaker(
        question: &Question,
        agent: Option<&ProcessHandle>,
        folder: &Path,
    ) -> Self {
        match (agent, question) {
            (Some(handle), _) => asked(question, handle),
            (None, Question::Exec(words)) => {
                let mut words = words.iter();
                let program = words.next().cloned().unwrap_or_default();
                Self::Command(CommandCheck::new(program).args(words).current_dir(folder))
            }
            // They name a host, so no process is looked at.
            (
                None,
                Question::Http { .. }
                | Question::Tcp(_)
                | Question::Grpc { .. }
                | Question::Log { .. },
            ) => asked(question, &ProcessHandle::default()),
        }
    }

    /// How long an answer may take.
    pub(super) fn timeout(self, timeout: Duration) -> Self {
        match self {
            Self::Itself(check) => Self::Itself(check.timeout(timeout)),
            Self::Http(check) => Self::Http(check.timeout(timeout)),
            Self::Tcp(check) => Self::Tcp(check.timeout(timeout)),
            Self::Grpc(check) => Self::Grpc(check.timeout(timeout)),
            Self::Command(check) => Self::Command(check.timeout(timeout)),
        }
    }

    /// Asks once.
    pub(super) async fn run(&self) -> CheckResult {
        match self {
            Self::Itself(check) => check.run().await,
            Self::Http(check) => check.run().await,
            Self::Tcp(check) => check.run().await,
            Self::Grpc(check) => check.run().await,
            Self::Command(check) => check.run().await,
        }
    }
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
        Asked::Command(check) => any(config, check),
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

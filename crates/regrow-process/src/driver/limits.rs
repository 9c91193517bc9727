//! The limits of the system for one life: checked before its spawn, set right after it.

use std::io;
use std::time::{Duration, Instant};

use tokio::process::Child;

use crate::environment::SpawnError;
use crate::limits::{Bound, Resource};
use crate::os::{self, Identity, Quarry, Signal, WhoseRun};
use crate::process::Template;

/// How long the end of a process may take that could not be limited.
const UNDO: Duration = Duration::from_secs(2);

/// The limits of `template`, as far as we can give them.
pub(super) fn granted(template: &Template, generation: u32) -> Result<Vec<Bound>, SpawnError> {
    if template.memory_limit.is_some() && !os::SHOWS_MEMORY {
        return Err(refused("memory", io::ErrorKind::Unsupported.into()));
    }
    let bounds = template.limits.bounds();
    let counts_processes = |bound: &Bound| bound.resource == Resource::Processes;
    // Once is enough.
    if generation == 1 && bounds.iter().any(counts_processes) && os::is_root() {
        tracing::warn!(
            agent = template.id,
            "the limit of processes does not hold for root; run regrow as another user"
        );
    }
    let grant = |bound: Bound| {
        let own = os::own_limit(bound.resource);
        bound.within(own).ok_or_else(|| SpawnError::LimitTooHigh {
            limit: bound.resource.as_str(),
            wanted: bound.soft,
            own: own.unwrap_or(u64::MAX),
        })
    };
    bounds.into_iter().map(grant).collect()
}

/// Sets them for a process that was just spawned, and for what it has started already.
pub(super) fn set(
    template: &Template,
    leader: Identity,
    bounds: &[Bound],
) -> Result<(), SpawnError> {
    let nice = template.limits.niceness();
    if bounds.is_empty() && nice.is_none() {
        return Ok(());
    }
    for bound in bounds {
        os::set_limit(leader, *bound).map_err(|source| refused(bound.resource.as_str(), source))?;
    }
    if let Some(nice) = nice {
        os::set_nice(leader, nice).map_err(|source| refused("nice", source))?;
    }
    os::limit_descendants(leader, bounds, nice);
    Ok(())
}

fn refused(limit: &'static str, source: io::Error) -> SpawnError {
    SpawnError::LimitRefused { limit, source }
}

/// Ends one that could not be limited, with all that it has started.
pub(super) async fn undo(
    template: &Template,
    generation: u32,
    child: &mut Child,
    leader: Identity,
) {
    let ended = async {
        os::signal_group(leader, Signal::Kill)?;
        os::exited(leader).await?;
        os::reap(child, leader)
    };
    if !matches!(tokio::time::timeout(UNDO, ended).await, Ok(Ok(Some(_)))) {
        tracing::warn!(
            agent = template.id,
            pid = leader.pid,
            "failed to end a process that could not be limited"
        );
    }
    let quarry = Quarry {
        marks: vec![template.host.marks(&template.id, generation)],
        leaders: vec![leader],
        noted: Vec::new(),
        groups: Vec::new(),
        not_before: leader.start_time,
        run: WhoseRun::Ours,
    };
    let left = os::sweep(quarry, Instant::now() + UNDO).await;
    if !left.is_empty() {
        tracing::warn!(agent = template.id, pids = ?left, "failed to end what could not be limited");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    use tokio::process::Command;

    use super::*;
    use crate::Process;

    #[tokio::test]
    async fn nothing_is_left_of_one_that_could_not_be_limited() {
        let process = Process::new("agent", "sh");
        let template = process.template;
        let mut command = Command::new("sh");
        command
            .args(["-c", "setsid sh -c 'echo $$; exec sleep 1000' & wait"])
            .env("REGROW_INSTANCE", template.host.instance())
            .env("REGROW_AGENT_ID", "agent")
            .env("REGROW_GENERATION", "1")
            .stdout(std::process::Stdio::piped());
        let (mut child, leader) = os::spawn(&mut command).unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // It has left the group.
        lines.next_line().await.unwrap().unwrap();
        undo(&template, 1, &mut child, leader).await;
        // Whoever could write is gone.
        let end = tokio::time::timeout(UNDO, lines.next_line()).await;
        assert_eq!(end.expect("in time").unwrap(), None);
        assert_eq!(os::identify(leader.pid), None);
    }
}

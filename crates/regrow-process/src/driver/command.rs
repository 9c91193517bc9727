//! From the template of an agent to a process of it.

use std::os::fd::OwnedFd;
use std::process::Stdio;

use regrow::trace::TraceContext;
use tokio::process::{Child, ChildStdin, Command};

use super::limits;
use crate::environment::{self, SpawnError, Surroundings};
use crate::handover::Handover;
use crate::os::{self, Identity};
use crate::process::Template;
use crate::socket;

/// A process that has just been spawned.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) child: Child,
    pub(super) leader: Identity,
    /// Where it is to listen.
    pub(super) port: Option<u16>,
    pub(super) stdin: OwnStdin,
}

/// Our ends of its standard input.
#[derive(Debug, Default)]
pub(crate) struct OwnStdin {
    /// The end to write to; none where the agent reads nothing.
    pub(crate) write: Option<ChildStdin>,
    /// The end to read from, where the agent opens it by our name for it. When it has is nobody's news, so it is kept as long as the life.
    pub(crate) read: Option<OwnedFd>,
}

impl OwnStdin {
    /// The end to write to.
    pub(super) fn take(&mut self) -> Option<ChildStdin> {
        self.write.take()
    }

    /// Whoever read it is gone.
    pub(super) fn unread(&mut self) {
        drop(self.read.take());
    }
}

/// Spawns life `generation`, which is a part of `trace`, where it shall be and with what it may use. It tells things of
/// itself to `notify`.
pub(super) async fn spawn(
    template: &Template,
    generation: u32,
    trace: &TraceContext,
    notify: Option<&str>,
) -> Result<Spawned, SpawnError> {
    let handover = template.handover.as_ref();
    let handed = handover.map(Handover::open).transpose()?;
    if let Some(path) = &template.socket {
        socket::prepare(path)?;
    }
    let port = handed
        .as_ref()
        .map(|handed| handed.port)
        .or_else(|| template.port());
    let surroundings =
        environment::surroundings(template, generation, trace, notify, handed.as_ref())?;
    let bounds = limits::granted(template, generation)?;
    let failed = |source| SpawnError::of_spawn(&surroundings.program, source);
    let (mut command, stdin) = match handed {
        Some(handed) => handed
            .command(&surroundings, template.stdin)
            .map_err(failed)?,
        None => (plain(template, &surroundings), OwnStdin::default()),
    };
    command.env_clear().envs(&surroundings.env);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(cwd) = &template.cwd {
        command.current_dir(cwd);
    }
    let (mut child, leader) = os::spawn(&mut command).map_err(failed)?;
    // A shell that hands a listener over becomes the program: it is the same process.
    if let Err(error) = limits::set(template, leader, &bounds) {
        limits::undo(template, generation, &mut child, leader).await;
        return Err(error);
    }
    template
        .handle
        .show_surroundings(surroundings, template.cwd.as_deref());
    let write = stdin.write.or_else(|| child.stdin.take());
    Ok(Spawned {
        child,
        leader,
        port,
        stdin: OwnStdin { write, ..stdin },
    })
}

fn plain(template: &Template, surroundings: &Surroundings) -> Command {
    let mut command = Command::new(&surroundings.program);
    command.arg0(&template.program).args(&surroundings.args);
    command.stdin(template.stdin.stdio());
    command
}

//! A listener that is handed over: regrow listens, and each life of the agent takes its connections.
//!
//! The socket is bound once and outlives the agent's lives. While no life takes connections, the system holds them, as many as its
//! backlog has room for, so nobody is refused while an agent is restarted. When the agent has come to rest, the socket is closed: what
//! nobody will serve must not look alive.
//!
//! An agent finds the socket by systemd's protocol: descriptor 3, `LISTEN_FDS=1`, `LISTEN_PID` and `LISTEN_FDNAMES`.
//! `docs/adr/0018-a-shell-hands-the-listener-over.md` says how it gets there, and why so.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use regrow::telemetry::{Event, Payload};
use regrow::{Phase, StopCause, Telemetry};
use tokio::process::{ChildStdin, Command};

use crate::driver::OwnStdin;
use crate::environment::{SpawnError, Surroundings};
use crate::process::Stdin;

/// Every system has it. It is there for some milliseconds.
const SHELL: &str = "/bin/sh";

/// What moves the listener to its place. It comes in the place of the standard input, which is opened anew.
///
/// Only a process itself knows its pid before it runs, and the program wants to find it in `LISTEN_PID`; the pid stays with `exec`. What
/// shells set for themselves is taken out again, unless the agent was given it.
const SCRIPT: &str =
    r#"exec 3<&0 <"$1"; unset $2; shift 2; LISTEN_PID=$$; export LISTEN_PID; exec "$@""#;

/// So many connections wait for the next life, or as many as the system allows (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// What shells set by themselves.
const OF_SHELLS: [&str; 4] = ["PWD", "OLDPWD", "SHLVL", "_"];

/// A socket that is listened on for one agent, over all its lives. Clones are the same socket.
#[derive(Debug, Clone)]
pub(crate) struct Handover(Arc<Mutex<Held>>);

#[derive(Debug)]
struct Held {
    /// Where to listen; where 0 was asked for, it is known once the socket was bound.
    port: u16,
    listener: Option<TcpListener>,
}

/// What a life has of the listener.
#[derive(Debug)]
pub(crate) struct Handed {
    socket: OwnedFd,
    /// Where it listens.
    pub(crate) port: u16,
}

impl Handover {
    /// A socket on 127.0.0.1 that is bound when the first life is to get it; on a free port if `port` is 0.
    pub(crate) fn on(port: u16) -> Self {
        let listener = None;
        Self(Arc::new(Mutex::new(Held { port, listener })))
    }

    /// The socket for one more life, bound if it is not.
    pub(crate) fn open(&self) -> Result<Handed, SpawnError> {
        let mut held = self.held();
        let port = held.port;
        held.open()
            .map_err(|source| SpawnError::Listen { port, source })
    }

    /// Whether it does not listen yet, or no more: then another port would do as well.
    pub(crate) fn may_move(&self) -> bool {
        self.held().listener.is_none()
    }

    /// Listens on this port from now on, unless it listens already.
    pub(crate) fn move_to(&self, port: u16) {
        let mut held = self.held();
        if held.listener.is_none() {
            held.port = port;
        }
    }

    /// Listens no more. Who waits for an answer in the backlog is reset.
    fn close(&self) {
        self.held().listener = None;
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn open(&mut self) -> io::Result<Handed> {
        if !cfg!(target_os = "linux") {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
                let listener = TcpListener::bind(address)?;
                rustix::net::listen(&listener, BACKLOG)?;
                listener
            }
        };
        // The flag belongs to the socket: an earlier life may have set it, and many a program expects to wait.
        listener.set_nonblocking(false)?;
        self.port = listener.local_addr()?.port();
        let socket = listener.try_clone()?.into();
        self.listener = Some(listener);
        Ok(Handed {
            socket,
            port: self.port,
        })
    }
}

impl Handed {
    /// What the agent is told, beside `LISTEN_PID`.
    pub(crate) fn variables(&self, id: &str) -> [(String, String); 3] {
        let port = self.port.to_string();
        let variables = [("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", id), ("PORT", &port)];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned()))
    }

    /// A command that runs the program with the listener in its place, and our ends of the standard input that it will have.
    pub(crate) fn command(
        self,
        surroundings: &Surroundings,
        stdin: Stdin,
    ) -> io::Result<(Command, OwnStdin)> {
        let (source, stdin) = match stdin {
            Stdin::Null => ("/dev/null".to_owned(), OwnStdin::default()),
            Stdin::Pipe => {
                let (read, write) = io::pipe()?;
                let write = std::process::ChildStdin::from(OwnedFd::from(write));
                let source = format!("/proc/{}/fd/{}", std::process::id(), read.as_raw_fd());
                let stdin = OwnStdin {
                    write: Some(ChildStdin::from_std(write)?),
                    read: Some(read.into()),
                };
                (source, stdin)
            }
        };
        let is_given = |name: &str| surroundings.env.contains_key(OsStr::new(name));
        let own: Vec<&str> = OF_SHELLS
            .into_iter()
            .filter(|name| !is_given(name))
            .collect();
        let mut command = Command::new(SHELL);
        command
            .args(["-c", SCRIPT, "regrow"])
            .arg(source)
            .arg(own.join(" "))
            .arg(&surroundings.program)
            .args(&surroundings.args)
            .stdin(Stdio::from(self.socket));
        Ok((command, stdin))
    }
}

/// The listeners of one run of regrow, to be closed when their agents come to rest.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    by_path: Mutex<HashMap<String, Weak<Mutex<Held>>>>,
}

impl Listeners {
    /// Closes the listener of the child `path` as soon as that has come to rest.
    ///
    /// `watcher` is the name of what follows the events of the tree; there is one for each run and tree.
    pub(crate) fn close_at_rest(
        self: &Arc<Self>,
        telemetry: &Telemetry,
        watcher: &str,
        path: &str,
        handover: &Handover,
    ) {
        let mut by_path = self.by_path();
        by_path.retain(|_, held| held.strong_count() > 0);
        by_path.insert(path.to_owned(), Arc::downgrade(&handover.0));
        drop(by_path);
        let listeners = Arc::downgrade(self);
        let watch = move |event: &Event| {
            if let Some(listeners) = listeners.upgrade().filter(|_| is_rest(&event.payload)) {
                listeners.close(event.subject.path.as_str());
            }
        };
        match telemetry.attach(watcher, watch) {
            Ok(()) | Err(regrow::telemetry::AttachError::AlreadyAttached { .. }) => {}
            Err(error) => {
                tracing::warn!(path, %error, "the listener will stay open when the agent is stopped");
            }
        }
    }

    fn close(&self, path: &str) {
        let held = self.by_path().remove(path);
        if let Some(held) = held.as_ref().and_then(Weak::upgrade) {
            Handover(held).close();
        }
    }

    fn by_path(&self) -> MutexGuard<'_, HashMap<String, Weak<Mutex<Held>>>> {
        self.by_path.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this is told of a child that nothing but an operator, or the next life of its supervisor, starts again.
fn is_rest(payload: &Payload) -> bool {
    if let Payload::ChildStateChanged { to, .. } = payload {
        return matches!(to, Phase::Stopped | Phase::Failed | Phase::Completed);
    }
    let ends_with_its_supervisor = matches!(
        payload,
        Payload::ChildTerminated {
            cause: Some(StopCause::Parent),
            ..
        }
    );
    ends_with_its_supervisor || matches!(payload, Payload::SupervisorChildRemoved {})
}

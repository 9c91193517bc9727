//! What an agent finds around it when it starts: its environment, its arguments, its program file.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use regrow::trace::TraceContext;
use regrow_core::leases::LeaseError;
use rustix::fs::{Access, access};

use crate::handover::Handed;
use crate::process::Template;

/// What is passed on of regrow's own environment without being asked for.
const PASSED_ON: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];

/// Where commands are looked for when there is no `PATH`.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Where an agent says things of itself.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// A process could not be spawned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// A command without a slash is nowhere in `PATH`.
    #[error(
        "command {program:?} was not found in PATH ({path}); install it or give its whole path"
    )]
    CommandNotFound {
        /// The command.
        program: String,
        /// Where it was looked for.
        path: String,
    },
    /// A path was given, and there is nothing.
    #[error("program {} does not exist; check its path", .program.display())]
    ProgramMissing {
        /// The path.
        program: PathBuf,
    },
    /// There is a file, but it may not be run.
    #[error("program {} is not executable; make it so with chmod +x, or run it through its interpreter", .program.display())]
    NotExecutable {
        /// The file.
        program: PathBuf,
    },
    /// The system does not know how to run the file, or what its first line names is absent.
    #[error("program {} cannot be run here: it has the wrong format, or the interpreter that it names is missing", .program.display())]
    NotRunnable {
        /// The file.
        program: PathBuf,
    },
    /// The working directory is not there, is no directory, or may not be entered.
    #[error("working directory {} cannot be used: {problem}; create it or correct the path", .directory.display())]
    WorkingDirectory {
        /// The directory.
        directory: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A limit is higher than the one that regrow has, and it cannot give more than that.
    #[error(
        "limit {limit} is {wanted}, but regrow itself has no more than {own} to give; lower it, or raise that of regrow (ulimit -H)"
    )]
    LimitTooHigh {
        /// Which, by its word in the file.
        limit: &'static str,
        /// What it was to be, in bytes, seconds, or pieces.
        wanted: u64,
        /// What regrow has.
        own: u64,
    },
    /// The system does not let us set a limit.
    #[error(
        "limit {limit} could not be set; regrow may lack the privilege, the program may have changed its user, or the system has no such limit"
    )]
    LimitRefused {
        /// Which, by its word in the file.
        limit: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The socket that it was to be handed cannot be listened on.
    #[error(
        "failed to listen on 127.0.0.1:{port} for an agent; choose another port, or end who has it (ss -ltnp)"
    )]
    Listen {
        /// The port; 0 stands for any.
        port: u16,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It has no port to listen on.
    #[error(transparent)]
    Port(#[from] LeaseError),
    /// The path of its socket does not fit into an address.
    #[error("the path of its socket, {}, has {length} bytes, and no more than 107 are possible; choose a shorter one", .path.display())]
    SocketPath {
        /// The path.
        path: PathBuf,
        /// How long it is.
        length: usize,
    },
    /// The place of its socket cannot be made free.
    #[error("failed to make room for the socket {}", .path.display())]
    Socket {
        /// The path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Anything else, which may pass: too many processes, no memory.
    #[error("failed to start program {}", .program.display())]
    System {
        /// The file.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The process before it, with the same id, has not ended.
    #[error("another process with the id {id:?} still runs; stop it first, or choose another id")]
    StillRunning {
        /// The id.
        id: String,
    },
}

impl SpawnError {
    /// Whether trying again is of no use until somebody changed something.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::CommandNotFound { .. }
            | Self::ProgramMissing { .. }
            | Self::NotExecutable { .. }
            | Self::NotRunnable { .. }
            | Self::WorkingDirectory { .. }
            | Self::LimitTooHigh { .. }
            | Self::LimitRefused { .. }
            | Self::SocketPath { .. } => true,
            Self::Listen { source, .. } => source.kind() == io::ErrorKind::Unsupported,
            Self::System { .. }
            | Self::StillRunning { .. }
            | Self::Socket { .. }
            | Self::Port(_) => false,
        }
    }

    /// What the error of a spawn means, once the obvious was checked.
    pub(crate) fn of_spawn(program: &Path, source: io::Error) -> Self {
        let program = program.to_owned();
        let not_runnable = source.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error());
        if not_runnable || source.kind() == io::ErrorKind::NotFound {
            Self::NotRunnable { program }
        } else if source.kind() == io::ErrorKind::PermissionDenied {
            Self::NotExecutable { program }
        } else {
            Self::System { program, source }
        }
    }
}

/// All that one life of an agent is started with.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: BTreeMap<OsString, OsString>,
    /// What regrow gives under which name.
    pub(crate) given: BTreeMap<String, String>,
}

/// Puts together what life `generation` of `template` is started with; its own spans belong to `trace`, and it says
/// things of itself to `notify`.
pub(crate) fn surroundings(
    template: &Template,
    generation: u32,
    trace: &TraceContext,
    notify: Option<&str>,
    handed: Option<&Handed>,
) -> Result<Surroundings, SpawnError> {
    check_directory(template.cwd.as_deref())?;
    let mut given = template.host.variables(template, generation, trace);
    if let Some(handed) = handed {
        given.extend(handed.variables(&template.id));
    }
    let mut env = inherited(template.inherit.iter().map(String::as_str));
    for (name, value) in &template.env {
        env.insert(name.clone(), fill(value, &given));
    }
    env.extend(
        given
            .iter()
            .map(|(name, value)| (name.into(), value.into())),
    );
    // Another supervisor's is not for it.
    env.remove(OsStr::new(NOTIFY_SOCKET));
    env.extend(notify.map(|name| (NOTIFY_SOCKET.into(), name.into())));
    let args = template.args.iter().map(|arg| fill(arg, &given)).collect();
    let path = env.get(OsStr::new("PATH")).map(OsString::as_os_str);
    let program = resolve(
        &fill(&template.program, &given),
        path,
        template.cwd.as_deref(),
    )?;
    Ok(Surroundings {
        program,
        args,
        env,
        given,
    })
}

/// What of regrow's own environment is passed on, these variables included.
pub(crate) fn inherited<'a>(more: impl Iterator<Item = &'a str>) -> BTreeMap<OsString, OsString> {
    let names = PASSED_ON.into_iter().chain(more);
    let set = names.filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    set.collect()
}

/// Replaces `${NAME}` by what regrow gives under that name. Other names are left as they are: a shell may know them.
///
/// The token is never filled in: arguments can be read by everybody on the machine.
pub(crate) fn fill(text: &OsStr, given: &BTreeMap<String, String>) -> OsString {
    let Some(text) = text.to_str().filter(|text| text.contains("${")) else {
        return text.to_owned();
    };
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, reference) = rest.split_at(start);
        filled.push_str(before);
        let known = reference.find('}').and_then(|end| {
            let name = &reference[2..end];
            let value = given.get(name).filter(|_| name != "REGROW_TOKEN")?;
            Some((value, end + 1))
        });
        let length = match known {
            Some((value, length)) => {
                filled.push_str(value);
                length
            }
            None => {
                filled.push_str("${");
                2
            }
        };
        rest = &reference[length..];
    }
    filled.push_str(rest);
    filled.into()
}

fn check_directory(directory: Option<&Path>) -> Result<(), SpawnError> {
    let Some(directory) = directory else {
        return Ok(());
    };
    let problem = match directory.metadata() {
        Ok(entry) if !entry.is_dir() => "it is not a directory",
        Ok(_) if access(directory, Access::EXEC_OK).is_err() => "it may not be entered",
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => "it may not be entered",
        Err(_) => "it does not exist",
    };
    Err(SpawnError::WorkingDirectory {
        directory: directory.to_owned(),
        problem,
    })
}

/// Finds the file of `program` as a shell would.
///
/// A file found beforehand gives an error that says what is wrong, and a spawn that need not fork.
pub(crate) fn resolve(
    program: &OsStr,
    path: Option<&OsStr>,
    cwd: Option<&Path>,
) -> Result<PathBuf, SpawnError> {
    let base = cwd.unwrap_or(Path::new("."));
    let whole = |file: PathBuf| std::path::absolute(&file).unwrap_or(file);
    if program.as_encoded_bytes().contains(&b'/') {
        let program = whole(base.join(program));
        return match program.metadata() {
            Err(_) => Err(SpawnError::ProgramMissing { program }),
            Ok(_) if !is_executable(&program) => Err(SpawnError::NotExecutable { program }),
            Ok(_) => Ok(program),
        };
    }
    let path = path.unwrap_or(OsStr::new(USUAL_PATH));
    let mut found = std::env::split_paths(path)
        .map(|directory| whole(base.join(directory).join(program)))
        .filter(|file| !program.is_empty() && file.is_file())
        .peekable();
    let first = found.peek().cloned();
    match (found.find(|file| is_executable(file)), first) {
        (Some(file), _) => Ok(file),
        (None, Some(program)) => Err(SpawnError::NotExecutable { program }),
        (None, None) => Err(SpawnError::CommandNotFound {
            program: program.to_string_lossy().into_owned(),
            path: path.to_string_lossy().into_owned(),
        }),
    }
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && access(file, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> OsString {
        let given = [
            ("PORT", "8001"),
            ("AGENT_ID", "web"),
            ("REGROW_TOKEN", "secret"),
        ];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        fill(OsStr::new(text), &given.into())
    }

    #[test]
    fn what_regrow_gives_is_filled_in_and_the_rest_is_left_to_the_shell() {
        assert_eq!(filled("--port=${PORT}"), "--port=8001");
        assert_eq!(filled("${AGENT_ID}:${PORT}"), "web:8001");
        assert_eq!(filled("echo ${HOME} $PORT ${"), "echo ${HOME} $PORT ${");
        assert_eq!(filled("${${PORT}}"), "${8001}");
    }

    #[test]
    fn the_token_is_never_put_where_others_can_read_it() {
        assert_eq!(filled("${REGROW_TOKEN}"), "${REGROW_TOKEN}");
    }

    #[test]
    fn a_command_is_looked_for_in_path_and_the_error_says_where() {
        assert!(
            resolve(OsStr::new("sh"), None, None)
                .unwrap()
                .ends_with("sh")
        );
        let error = resolve(OsStr::new("no-such"), Some(OsStr::new("/usr/bin")), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"command "no-such" was not found in PATH (/usr/bin); install it or give its whole path"#
        );
        assert!(error.is_permanent());
    }

    #[test]
    fn a_relative_path_counts_from_the_working_directory() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("tool"), "").unwrap();
        let error = resolve(OsStr::new("./tool"), None, Some(directory.path())).unwrap_err();
        assert!(matches!(error, SpawnError::NotExecutable { .. }), "{error}");
        let error = resolve(OsStr::new("./other"), None, Some(directory.path())).unwrap_err();
        assert!(
            matches!(error, SpawnError::ProgramMissing { .. }),
            "{error}"
        );
    }

    #[test]
    fn a_working_directory_that_is_none_is_told_from_a_missing_program() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let problem = |path: &Path| {
            let error = check_directory(Some(path)).unwrap_err();
            let SpawnError::WorkingDirectory { problem, .. } = error else {
                panic!("{error}");
            };
            problem
        };
        assert_eq!(problem(&file), "it is not a directory");
        assert_eq!(problem(&directory.path().join("gone")), "it does not exist");
    }
}

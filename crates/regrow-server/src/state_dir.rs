//! The state directory: what one daemon keeps beside its configuration file.
//!
//! One daemon at a time holds it, by a lock that the system drops with the process, however that dies.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the state directory is called where nobody names one.
pub(crate) const DEFAULT_NAME: &str = ".regrow";

/// The longest path that fits into a socket address on every system that regrow runs on.
#[cfg(target_os = "macos")]
const LONGEST_SOCKET_PATH: usize = 103;
#[cfg(not(target_os = "macos"))]
const LONGEST_SOCKET_PATH: usize = 107;

/// A client that asks whether the directory is held takes a shared lock for a moment, so the holder tries again.
const LOCK_TRIES: u32 = 5;
const BETWEEN_LOCK_TRIES: Duration = Duration::from_millis(20);

/// Files that regrow wrote itself are short; a longer one is not ours.
const LONGEST_FILE: u64 = 64 * 1024;

/// Where the files of a state directory are; looking costs nothing and takes no lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout of the directory at `root`.
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// The Unix socket of the API.
    pub(crate) fn socket_path(&self) -> PathBuf {
        self.root.join("regrow.sock")
    }

    /// What is known of the run that holds, or last held, the directory.
    pub(crate) fn run_file(&self) -> PathBuf {
        self.root.join("run.json")
    }

    /// The token of the API.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.root.join("token")
    }

    /// Records of the processes that a run has started.
    pub(crate) fn pids_dir(&self) -> PathBuf {
        self.root.join("pids")
    }

    /// What agents write.
    pub(crate) fn logs_dir(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// What the daemon itself says while it is in the background.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.root.join("regrow.log")
    }

    fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Makes the directory and its folders, readable for their owner only; those that are there become so.
    ///
    /// # Errors
    ///
    /// When a part cannot be made or may be another user's work, or the path of the socket is too long for a socket address.
    pub(crate) fn create(&self) -> Result<(), StateDirError> {
        self.check_length()?;
        for folder in [self.root.clone(), self.pids_dir(), self.logs_dir()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(io_error(&folder))?;
            keep_to_ourselves(&folder)?;
        }
        let ignore = self.root.join(".gitignore");
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&ignore)
        {
            Ok(mut file) => file.write_all(b"*\n").map_err(io_error(&ignore)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(io_error(&ignore)(error)),
        }
    }

    /// Looks whether a daemon could take the directory, and changes nothing: none where it is not there, else whether a token is.
    ///
    /// # Errors
    ///
    /// What would keep a daemon from taking it, but another daemon.
    pub(crate) fn examine(&self) -> Result<Option<bool>, StateDirError> {
        self.check_length()?;
        match fs::symlink_metadata(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(_) | Err(_) => {}
        }
        mode_of_ours(&self.root)?;
        known_token(&self.token_file()).map(|token| Some(token.is_some()))
    }

    fn check_length(&self) -> Result<(), StateDirError> {
        let socket = self.socket_path();
        let length = socket.as_os_str().len();
        if length > LONGEST_SOCKET_PATH {
            return Err(StateDirError::PathTooLong { socket, length });
        }
        Ok(())
    }

    /// What the last run wrote of itself; none where there was none or it ended in order.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read or understood.
    pub(crate) fn run(&self) -> Result<Option<Run>, StateDirError> {
        let path = self.run_file();
        let Some(text) = read_short(&path)? else {
            return Ok(None);
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|source| StateDirError::RunFile { path, source })
    }

    /// Whether a daemon holds the directory now.
    pub(crate) fn holder(&self) -> Holder {
        let Ok(file) = File::open(self.lock_file()) else {
            return Holder::Nobody;
        };
        match file.try_lock_shared() {
            Ok(()) => Holder::Nobody,
            Err(TryLockError::WouldBlock) => Holder::Daemon {
                pid: locked_by(&file),
            },
            // A file system without locks: what the run wrote is all there is to go by.
            Err(TryLockError::Error(_)) => match self.run() {
                Ok(Some(run)) => Holder::Daemon { pid: Some(run.pid) },
                Ok(None) | Err(_) => Holder::Nobody,
            },
        }
    }
}

/// Who holds a state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// No daemon runs here.
    Nobody,
    /// A daemon runs here.
    Daemon {
        /// Its process id, once it has written it.
        pid: Option<u32>,
    },
}

/// What a run writes of itself when its API answers; it goes away with an orderly end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The process id of the daemon.
    pub(crate) pid: u32,
    /// The uuid of this run, by which its processes are known.
    pub(crate) instance: String,
    /// Where the API and the gateway listen; the chosen port where 0 was asked for.
    pub(crate) listen: SocketAddr,
    /// When the run began, as RFC 3339 says it.
    pub(crate) started_at: String,
    /// The version of regrow.
    pub(crate) version: String,
    /// The configuration file, as an absolute path.
    pub(crate) config: PathBuf,
}

/// A state directory that this process holds until the value is dropped.
pub(crate) struct StateDir {
    layout: Layout,
    token: String,
    /// The lock lives as long as this file is open.
    _lock: File,
}

impl fmt::Debug for StateDir {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StateDir")
            .field("path", &self.layout.root)
            .finish_non_exhaustive()
    }
}

impl StateDir {
    /// Makes the directory where it is not there, and takes it.
    ///
    /// # Errors
    ///
    /// When another daemon holds it, or a file in it cannot be made, read or understood.
    pub(crate) fn open(path: &Path) -> Result<Self, StateDirError> {
        fs::create_dir_all(path.parent().unwrap_or(path)).map_err(io_error(path))?;
        let layout = Layout::new(std::path::absolute(path).map_err(io_error(path))?);
        layout.create()?;
        let lock = take_lock(&layout)?;
        let token = token(&layout.token_file())?;
        Ok(Self {
            layout,
            token,
            _lock: lock,
        })
    }

    /// The directory itself, as an absolute path.
    pub(crate) fn path(&self) -> &Path {
        self.layout.path()
    }

    /// The folder of what agents write.
    pub(crate) fn logs_dir(&self) -> PathBuf {
        self.layout.logs_dir()
    }

    /// The bearer token of the API: 64 hexadecimal digits, made at the first start. Never print it.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The Unix socket of the API; a file that is still there belongs to a dead run.
    pub(crate) fn socket_path(&self) -> PathBuf {
        self.layout.socket_path()
    }

    /// Says where this run is to be found; whoever reads sees the old text or the new one, never half of it.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(crate) fn write_run(&self, run: &Run) -> Result<(), StateDirError> {
        let path = self.layout.run_file();
        let mut text = serde_json::to_string_pretty(run).expect("a run is plain text and numbers");
        text.push('\n');
        replace(&path, &text)
    }

    /// Removes what the run wrote of itself and its socket: the orderly end.
    ///
    /// # Errors
    ///
    /// When a file is there and cannot be removed.
    pub(crate) fn remove_run(&self) -> Result<(), StateDirError> {
        let files = [self.layout.run_file(), self.layout.socket_path()];
        // The one goes even when the other does not.
        let removed = files.map(|path| match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_error(&path)(error)),
        });
        removed.into_iter().collect()
    }
}

/// Why a state directory could not be taken or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StateDirError {
    /// Another daemon holds it.
    #[error(
        "another regrow{} runs with this state directory, {}; `regrow down` ends it, or name another one with --state-dir",
        match pid { Some(pid) => format!(" (pid {pid})"), None => String::new() },
        path.display()
    )]
    Held {
        /// The directory.
        path: PathBuf,
        /// The holder's process id, where it has written it.
        pid: Option<u32>,
    },
    /// The socket's path does not fit into a socket address.
    #[error(
        "{}: the path of the socket has {length} bytes, and a Unix socket takes at most {LONGEST_SOCKET_PATH}; name a shorter directory with --state-dir",
        socket.display()
    )]
    PathTooLong {
        /// The socket.
        socket: PathBuf,
        /// How long its path is.
        length: usize,
    },
    /// The system refused a file.
    #[error("{}: {source}; regrow must be able to read and write its state directory", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of ours holds something else.
    #[error("{}: {what}; remove the file, and a new one is made at the next start", path.display())]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The record of the last run cannot be understood.
    #[error("{}: not the record of a run of regrow ({source}); remove the file when no process of that run is left", path.display())]
    RunFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// What stands there is not a directory itself.
    #[error("{}: not a directory itself; name one with --state-dir, not a link to it", path.display())]
    NotADirectory {
        /// What stands there.
        path: PathBuf,
    },
    /// The directory is another user's.
    #[error("{}: belongs to user {owner}, and regrow runs as user {user}; name a directory of your own with --state-dir", path.display())]
    OfAnother {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// Others than the owner can put files there.
    #[error("{}: others can write here (mode {mode:03o}); when all in it is yours, `chmod 700` it, or name another one with --state-dir", path.display())]
    DirectoryIsOpen {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Others than the owner can read the token.
    #[error("{}: others can read the token (mode {mode:03o}); `chmod 600` it, or remove it and a new one is made", path.display())]
    TokenIsOpen {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StateDirError + '_ {
    |source| StateDirError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Makes sure that nobody else put anything into a directory, nor can, nor sees what is there.
fn keep_to_ourselves(folder: &Path) -> Result<(), StateDirError> {
    if mode_of_ours(folder)? & 0o077 != 0 {
        let ours_alone = fs::Permissions::from_mode(0o700);
        fs::set_permissions(folder, ours_alone).map_err(io_error(folder))?;
    }
    Ok(())
}

/// The mode of a directory that is ours, and where nobody else can put anything.
fn mode_of_ours(folder: &Path) -> Result<u32, StateDirError> {
    let path = folder.to_owned();
    let found = fs::symlink_metadata(folder).map_err(io_error(folder))?;
    if !found.is_dir() {
        return Err(StateDirError::NotADirectory { path });
    }
    let (owner, user) = (found.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        return Err(StateDirError::OfAnother { path, owner, user });
    }
    let mode = found.mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(StateDirError::DirectoryIsOpen { path, mode });
    }
    Ok(mode)
}

fn take_lock(layout: &Layout) -> Result<File, StateDirError> {
    let path = layout.lock_file();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io_error(&path))?;
    for left in (0..LOCK_TRIES).rev() {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if left > 0 => std::thread::sleep(BETWEEN_LOCK_TRIES),
            Err(TryLockError::WouldBlock) => {
                return Err(StateDirError::Held {
                    path: layout.root.clone(),
                    pid: locked_by(&file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(io_error(&path)(error)),
        }
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
    written.map_err(io_error(&path))?;
    Ok(file)
}

fn locked_by(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// The token that is there, if it is one, and nobody else can read it.
fn known_token(path: &Path) -> Result<Option<String>, StateDirError> {
    let Some(text) = read_short(path)? else {
        return Ok(None);
    };
    let found = fs::metadata(path).map_err(io_error(path))?;
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StateDirError::TokenIsOpen {
            path: path.to_owned(),
            mode,
        });
    }
    let token = text.trim();
    if token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Some(token.to_owned()));
    }
    Err(StateDirError::Unexpected {
        path: path.to_owned(),
        what: "expected 64 hexadecimal digits",
    })
}

fn token(path: &Path) -> Result<String, StateDirError> {
    if let Some(token) = known_token(path)? {
        return Ok(token);
    }
    let token = format!(
        "{}{}",
        uuid::Uuid::new_v4().simple(),
        uuid::Uuid::new_v4().simple()
    );
    replace(path, &format!("{token}\n"))?;
    Ok(token)
}

fn read_short(path: &Path) -> Result<Option<String>, StateDirError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path)(error)),
    };
    let mut text = String::new();
    file.take(LONGEST_FILE)
        .read_to_string(&mut text)
        .map_err(io_error(path))?;
    Ok(Some(text))
}

/// Writes beside the file and renames, so that a crash leaves the old text or the new one.
fn replace(path: &Path, text: &str) -> Result<(), StateDirError> {
    let beside = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(io_error(path))
}

#[cfg(test)]
mod tests;

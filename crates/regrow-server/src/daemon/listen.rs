//! The sockets of the daemon, made before anything is started.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use tokio::net::{TcpListener, UnixListener};

use super::DaemonError;
use crate::http::Listeners;
use crate::state_dir::StateDir;

/// Listens on both, and tells the address with the port that the system chose for port 0.
pub(super) async fn bind(
    listen: SocketAddr,
    state: &StateDir,
) -> Result<(Listeners, SocketAddr), DaemonError> {
    if !listen.ip().is_loopback() {
        return Err(DaemonError::NotLoopback { listen });
    }
    let refused = |source| DaemonError::Listen { listen, source };
    let tcp = TcpListener::bind(listen).await.map_err(refused)?;
    let address = tcp.local_addr().map_err(refused)?;
    let path = state.socket_path();
    let socket = socket(&path).map_err(|source| DaemonError::Socket {
        path: path.display().to_string(),
        source,
    })?;
    Ok((Listeners { tcp, socket }, address))
}

/// A socket for this user only. One that is there is a dead run's: we hold the lock.
fn socket(path: &std::path::Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(socket)
}

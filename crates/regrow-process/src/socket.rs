//! A Unix socket that an agent listens on: where it may be, and that nothing stale is there.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _};
use std::path::Path;

use crate::environment::SpawnError;

/// The longest path that the address of a Unix socket has room for; the 108th byte ends it.
const LONGEST: usize = 107;

/// Makes the place free: its folder is there, for us alone if it was not, and no socket of an earlier life is left.
pub(crate) fn prepare(path: &Path) -> Result<(), SpawnError> {
    let length = path.as_os_str().len();
    if length > LONGEST {
        let path = path.to_owned();
        return Err(SpawnError::SocketPath { path, length });
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), |folder| {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
    });
    made.and_then(|()| remove(path))
        .map_err(|source| SpawnError::Socket {
            path: path.to_owned(),
            source,
        })
}

/// Removes the socket, if there is one. Anything else that is there is somebody's, and stays.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(entry) if entry.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "something that is no socket is there",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn the_folder_is_made_for_us_alone_and_a_stale_socket_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sockets/agent");
        prepare(&path).unwrap();
        let folder = path.parent().unwrap().metadata().unwrap();
        assert_eq!(folder.permissions().mode() & 0o777, 0o700);
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        prepare(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_is_never_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.txt");
        fs::write(&path, "mine").unwrap();
        let error = prepare(&path).unwrap_err();
        assert!(!error.is_permanent(), "it may be moved away");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn a_path_that_no_address_has_room_for_is_refused_with_its_length() {
        let path = Path::new("/tmp").join("x".repeat(LONGEST - 4));
        let error = prepare(&path).unwrap_err();
        assert!(error.is_permanent());
        assert!(error.to_string().contains("108 bytes"), "{error}");
    }
}

//! A process to be killed: it says who it is, and stays.
//!
//! All who supervise it wait for it to begin, so it depends on nothing that takes time to begin. `../run` builds it with nothing to
//! load either.

use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(socket) = std::env::args_os().nth(1) else {
        eprintln!("usage: SOCKET");
        return ExitCode::from(2);
    };
    let told = UnixDatagram::unbound()
        .and_then(|from| from.send_to(&std::process::id().to_le_bytes(), &socket));
    if let Err(error) = told {
        eprintln!("failed to tell {}: {error}", socket.display());
        return ExitCode::FAILURE;
    }
    loop {
        std::thread::park();
    }
}

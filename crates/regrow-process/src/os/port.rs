//! Whether a port can be listened on, and a sign to others that it is about to be.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

#[cfg(target_os = "linux")]
pub(crate) use here::Claim;
#[cfg(not(target_os = "linux"))]
pub(crate) use nowhere::Claim;

/// Whether nothing listens on this port, of 127.0.0.1 and, where there is IPv6, of `::1`.
pub(crate) fn is_bindable(port: u16) -> bool {
    let loopback = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ];
    loopback.into_iter().all(|address| {
        match TcpListener::bind((address, port)) {
            Ok(_listener) => true,
            // Whatever else goes wrong, such as no IPv6 or no descriptors left, says nothing of the port.
            Err(error) => !matches!(
                error.kind(),
                ErrorKind::AddrInUse | ErrorKind::PermissionDenied
            ),
        }
    })
}

/// What a failed claim says: that another has the port, or nothing.
fn is_anothers(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrInUse
}

#[cfg(target_os = "linux")]
mod here {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    /// A port is this run's, for as long as this lives: other runs of regrow in the same network do not lease it.
    ///
    /// It is a Unix socket with the name of the port and without a file, so it is gone when its process is, however that ends.
    #[derive(Debug)]
    pub(crate) struct Claim(
        #[expect(dead_code, reason = "it is there to be open")] Option<UnixDatagram>,
    );

    impl Claim {
        /// Claims the port, unless another has. Where claims are not possible, everybody gets one.
        pub(crate) fn on(port: u16) -> Option<Self> {
            let name = format!("regrow-port-{port}");
            let claimed = SocketAddr::from_abstract_name(name)
                .and_then(|name| UnixDatagram::bind_addr(&name));
            match claimed {
                Ok(socket) => Some(Self(Some(socket))),
                Err(error) if super::is_anothers(&error) => None,
                Err(error) => {
                    tracing::debug!(port, %error, "failed to claim a port; another regrow may lease it too");
                    Some(Self(None))
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod nowhere {
    /// There is nothing to claim a port with that goes when its process goes.
    #[derive(Debug)]
    pub(crate) struct Claim;

    impl Claim {
        pub(crate) fn on(_port: u16) -> Option<Self> {
            Some(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_somebody_listens_on_is_not_bindable_by_either_address() {
        let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        let addresses = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ];
        for address in addresses.into_iter().take(1 + usize::from(has_ipv6)) {
            let listener = TcpListener::bind((address, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert!(!is_bindable(port), "{address}");
            drop(listener);
            assert!(is_bindable(port), "{address}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_port_is_claimed_by_one_until_that_lets_it_go() {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = port.local_addr().unwrap().port();
        let claim = Claim::on(port).unwrap();
        assert!(Claim::on(port).is_none());
        drop(claim);
        assert!(Claim::on(port).is_some());
    }
}

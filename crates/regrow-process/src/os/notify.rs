//! The socket to which an agent sends what it says of itself.

#[cfg(target_os = "linux")]
pub(crate) use here::Notify;
#[cfg(not(target_os = "linux"))]
pub(crate) use nowhere::Notify;

/// One datagram that has come.
#[derive(Debug)]
pub(crate) struct Datagram {
    /// The pid of who has sent it; `None` where the system does not tell, which it always does here.
    pub(crate) sender: Option<i32>,
    /// What it holds; `None` where that is more than is taken.
    pub(crate) bytes: Option<Vec<u8>>,
}

#[cfg(target_os = "linux")]
mod here {
    use std::io::{self, IoSliceMut};
    use std::mem::MaybeUninit;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};

    use regrow_core::notify::MAX_DATAGRAM;
    use rustix::net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg, sockopt,
    };
    use tokio::io::Interest;
    use tokio::net::UnixDatagram;
    use uuid::Uuid;

    use super::Datagram;

    /// A socket for one life. It has a name but no file, so it is gone when it is closed.
    #[derive(Debug)]
    pub(crate) struct Notify {
        socket: UnixDatagram,
        name: String,
    }

    impl Notify {
        /// Opens one under a name of its own. Everybody on the machine may see the name, so each sender is looked at.
        pub(crate) fn open() -> io::Result<Option<Self>> {
            let name = format!("regrow-{}", Uuid::new_v4().simple());
            let socket = StdDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
            sockopt::set_socket_passcred(&socket, true)?;
            socket.set_nonblocking(true)?;
            let socket = UnixDatagram::from_std(socket)?;
            let name = format!("@{name}");
            Ok(Some(Self { socket, name }))
        }

        /// Its name, as `NOTIFY_SOCKET` tells it.
        pub(crate) fn name(&self) -> &str {
            &self.name
        }

        /// Waits for a datagram. Nothing is lost when nobody waits for the answer any more.
        pub(crate) async fn next(&self) -> io::Result<Datagram> {
            let receive = || receive(&self.socket);
            self.socket.async_io(Interest::READABLE, receive).await
        }
    }

    /// Takes one datagram. Descriptors that come along have no room, and are closed by the system.
    fn receive(socket: &UnixDatagram) -> io::Result<Datagram> {
        let mut bytes = [0; MAX_DATAGRAM];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(socket, &mut slices, &mut control, RecvFlags::DONTWAIT)?;
        let senders = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmCredentials(sender) => Some(sender.pid.as_raw_pid()),
            // More may come with time.
            RecvAncillaryMessage::ScmRights(_) | _ => None,
        });
        let sender = senders.last();
        let is_whole = !received.flags.contains(ReturnFlags::TRUNC);
        let bytes = bytes.get(..received.bytes).filter(|_| is_whole);
        let bytes = bytes.map(<[u8]>::to_vec);
        Ok(Datagram { sender, bytes })
    }
}

#[cfg(not(target_os = "linux"))]
mod nowhere {
    use std::io;

    use super::Datagram;

    /// There is none: who sends could not be known.
    #[derive(Debug)]
    pub(crate) enum Notify {}

    impl Notify {
        pub(crate) fn open() -> io::Result<Option<Self>> {
            Ok(None)
        }

        pub(crate) fn name(&self) -> &str {
            match *self {}
        }

        pub(crate) async fn next(&self) -> io::Result<Datagram> {
            match *self {}
        }
    }
}

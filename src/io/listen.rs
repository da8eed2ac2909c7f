//! Listening sockets and the options of connections.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::limits::LISTEN_BACKLOG_COUNT;

/// Binds one listening socket for each of `shards` to `address`, so that the kernel spreads
/// connections over them (`SO_REUSEPORT`, `socket(7)`).
///
/// # Errors
/// `EADDRINUSE` also when another process listens there with `SO_REUSEPORT` itself: sharing a port
/// with a stranger would send half of the mail elsewhere. `EACCES` for a port below 1024 without
/// `CAP_NET_BIND_SERVICE`. `EADDRNOTAVAIL` for an address that the host does not have.
pub fn bind(address: SocketAddr, shards: usize) -> io::Result<Vec<OwnedFd>> {
    // Without SO_REUSEPORT this fails if anything at all listens there.
    drop(socket(address, false)?);
    (0..shards)
        .map(|_| {
            let socket = socket(address, true)?;
            socket.listen(LISTEN_BACKLOG_COUNT)?;
            Ok(socket.into())
        })
        .collect()
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // An IPv4 address is listened on by a listener of its own.
        socket.set_only_v6(true)?;
    }
    // Connections of a server that has just ended must not keep the next one from starting.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A socket for a connection to `address`.
///
/// # Errors
/// `EMFILE` or `ENFILE` when descriptors run out, `EAFNOSUPPORT` on a host without IPv6.
pub fn outbound(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    prepare(&SockRef::from(&socket));
    Ok(socket.into())
}

/// A connected datagram socket to `address` with a source port of the kernel's choice. The kernel
/// drops what any other address sends to it.
///
/// # Errors
/// `EMFILE` or `ENFILE` when descriptors run out, `ENETUNREACH` without a route.
pub fn datagram(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.connect(&address.into())?;
    Ok(socket.into())
}

/// Whether this host has a way to the IPv6 internet. No packet is sent: connecting a datagram
/// socket only looks for a route.
pub fn has_ipv6_route() -> bool {
    // A root name server: an address that is reached if anything is.
    let root = SocketAddr::from(([0x2001, 0x500, 0x2f, 0, 0, 0, 0, 0xf], 53));
    datagram(root).is_ok()
}

/// Sets the options of an SMTP connection: replies and commands go out at once, since they are
/// batched before they are sent.
pub fn prepare(socket: &SockRef<'_>) {
    // It fails only on a connection that is gone already, which its first receive tells.
    let _ = socket.set_tcp_nodelay(true);
}

/// The peer of an accepted connection. An IPv4 peer of an IPv6 socket is an IPv4 peer.
///
/// # Errors
/// `ENOTCONN` if the peer is gone already.
pub fn peer(socket: &SockRef<'_>) -> io::Result<SocketAddr> {
    let address = socket.peer_addr()?;
    let address = address.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    Ok(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn shards_share_a_port_but_strangers_do_not() {
        let probe = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        let sockets = bind(address, 2).unwrap();
        assert_eq!(sockets.len(), 2);
        TcpStream::connect(address).unwrap();
        assert_eq!(bind(address, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_peer_is_known_by_its_ipv4_address() {
        let listener = TcpListener::bind("[::ffff:127.0.0.1]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        let peer = peer(&SockRef::from(&server)).unwrap();
        assert_eq!(peer.ip().to_string(), "127.0.0.1");
    }
}

//! Sockets as both sides need them, and the limit of open files that stands in their way.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};

use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel may hold before they are accepted; it cuts this to
/// `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;

/// A listener; if it is `shared`, other threads may have one on the same address, and the kernel
/// spreads the connections among them.
///
/// # Errors
/// The address is taken or not ours.
pub(crate) fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// An address of loopback with a port that nobody listens on. Someone else may take it before the
/// caller does; then the caller's bind fails.
///
/// # Errors
/// No port is free.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// The address that `target`, `HOST:PORT` or `HOST` (port 25), stands for.
///
/// # Errors
/// The name is not known.
pub(crate) fn resolve(target: &str) -> io::Result<SocketAddr> {
    const SMTP_PORT: u16 = 25;
    let found = match target.to_socket_addrs() {
        Ok(mut found) => found.next(),
        Err(_) => (target, SMTP_PORT).to_socket_addrs()?.next(),
    };
    found.ok_or_else(|| io::Error::other(format!("`{target}` has no address")))
}

/// The host in `target`, `HOST:PORT` or `HOST`, without the brackets of an IPv6 address.
pub(crate) fn host_of(target: &str) -> &str {
    let host = match target.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => target,
    };
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Raises the soft limit of open files to the hard one: each connection is a file.
///
/// # Errors
/// `wanted` files do not fit under the hard limit.
pub(crate) fn raise_file_limit(wanted: u64) -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where this is not allowed the check below still decides.
    let _ = setrlimit(Resource::Nofile, limit);
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < wanted => Err(io::Error::other(format!(
            "{wanted} open files are needed and {limit} allowed; raise it with \
             `ulimit -Hn {wanted}` as root or LimitNOFILE= in the unit"
        ))),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_resolved() {
        assert_eq!(resolve("127.0.0.1:2525").unwrap().to_string(), "127.0.0.1:2525");
        assert_eq!(resolve("127.0.0.1").unwrap().port(), 25);
        assert_eq!(resolve("[::1]:26").unwrap().to_string(), "[::1]:26");
        assert!(resolve("no such host").is_err());
        for target in ["mx.example:25", "mx.example"] {
            assert_eq!(host_of(target), "mx.example");
        }
        assert_eq!(host_of("[::1]:26"), "::1");
    }

    #[test]
    fn listeners_share_a_port() {
        let one = listen("127.0.0.1:0".parse().unwrap(), true).unwrap();
        let address = one.local_addr().unwrap();
        assert!(listen(address, true).is_ok());
        assert!(listen(address, false).is_err());
    }

    #[test]
    fn the_file_limit_is_checked() {
        assert!(raise_file_limit(16).is_ok());
        assert!(raise_file_limit(u64::MAX - 1).is_err());
    }
}

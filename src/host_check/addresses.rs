//! Whether the listeners' addresses can be had, before a shard tries.
//!
//! The shards bind with `SO_REUSEPORT`, so that each has a socket of its own. With that option a
//! second server of the same user would bind too, and the two would share the connections: hence
//! the trial here goes without it.
//!
//! # Guarantees
//! Nothing listened on the addresses a moment ago. Between the trial and the shards another process
//! can still come first; then the shard's own bind fails.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::config::ListenerConfig;
use crate::limits::{ADDRESS_RETRY_MS, ADDRESS_WAIT_MS};

use super::Complaint;

/// The address of each listener, a port in place of every 0.
///
/// # Errors
/// One complaint for each address that cannot be had.
pub(super) fn prepare(listeners: &[ListenerConfig]) -> Result<Vec<SocketAddr>, Vec<Complaint>> {
    let mut complaints = Vec::new();
    // They stay open until the last is bound, so that no two get the same port for a 0.
    let mut sockets = Vec::new();
    let mut addresses = Vec::new();
    for listener in listeners {
        match bind_patiently(listener.address) {
            Ok((socket, address)) => {
                sockets.push(socket);
                addresses.push(address);
            }
            Err(error) => complaints.push(complaint(listener.address, &error)),
        }
    }
    if complaints.is_empty() { Ok(addresses) } else { Err(complaints) }
}

/// Binds, and where the address is taken tries again for [`ADDRESS_WAIT_MS`]: the kernel closes
/// the listening sockets of a process that was killed only when its io_uring rings have wound down.
fn bind_patiently(address: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    for _ in 0..ADDRESS_WAIT_MS / ADDRESS_RETRY_MS {
        match bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                thread::sleep(Duration::from_millis(ADDRESS_RETRY_MS));
            }
            bound => return bound,
        }
    }
    bind(address)
}

fn bind(address: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Connections of an earlier run that are still winding down are in nobody's way.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    let bound = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    // With `SO_REUSEADDR` alone a bind beside a listening socket fails, which is the question.
    Ok((socket, bound))
}

/// What `error` from binding to `address` means.
pub(crate) fn complaint(address: SocketAddr, error: &io::Error) -> Complaint {
    let port = address.port();
    match Errno::from_io_error(error) {
        Some(Errno::ADDRINUSE) => Complaint::new(
            format!("the address {address} is in use"),
            format!("see by whom, and stop it: ss -ltnp 'sport = :{port}'"),
        ),
        Some(Errno::ACCESS | Errno::PERM) => Complaint::new(
            format!("this user may not listen on {address}: ports below 1024 are for root"),
            format!(
                "AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit, or: sysctl -w \
                 net.ipv4.ip_unprivileged_port_start={port}"
            ),
        ),
        Some(Errno::ADDRNOTAVAIL) => Complaint::new(
            format!("no interface of this host has the address {}", address.ip()),
            "listen on one that has: ip -brief address",
        ),
        Some(Errno::AFNOSUPPORT) => Complaint::new(
            format!("this host does not speak the protocol of {address}"),
            "listen on an IPv4 address, or switch IPv6 on: sysctl net.ipv6.conf.all.disable_ipv6",
        ),
        Some(_) | None => Complaint::new(
            format!("the address {address} cannot be listened on: {error}"),
            "listen on another one",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, HostFacts};

    fn listeners(text: &str) -> Vec<ListenerConfig> {
        let config = Config::parse("f", text, &HostFacts::probe());
        config.expect("a configuration").listeners
    }

    #[test]
    fn a_port_is_chosen_for_each_zero() {
        let text = "hostname = \"h\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
                    [[listener]]\naddress = \"127.0.0.1:0\"\n";
        let addresses = prepare(&listeners(text)).expect("free");
        assert_eq!(addresses.len(), 2);
        assert!(addresses.iter().all(|address| address.port() != 0));
        assert_ne!(addresses[0], addresses[1]);
    }

    #[test]
    fn an_address_that_another_server_listens_on() {
        let other = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        // As the shards of a second server have it.
        other.set_reuse_address(true).expect("an option");
        other.set_reuse_port(true).expect("an option");
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        other.bind(&any.into()).expect("bound");
        other.listen(1).expect("listening");
        let taken = other.local_addr().expect("bound").as_socket().expect("an address");
        let text = format!("hostname = \"h\"\n[[listener]]\naddress = \"{taken}\"\n");
        let complaints = prepare(&listeners(&text)).expect_err("taken");
        assert_eq!(complaints.len(), 1);
        assert_eq!(complaints[0].what, format!("the address {taken} is in use"));
        drop(other);
        prepare(&listeners(&text)).expect("free again");
    }

    #[test]
    fn complaints_by_error() {
        let address: SocketAddr = "192.0.2.1:25".parse().expect("an address");
        let cases = [
            (Errno::ACCESS, "this user may not listen on 192.0.2.1:25"),
            (Errno::ADDRNOTAVAIL, "no interface of this host has the address 192.0.2.1"),
            (Errno::AFNOSUPPORT, "this host does not speak the protocol of 192.0.2.1:25"),
            (Errno::NOBUFS, "the address 192.0.2.1:25 cannot be listened on"),
        ];
        for (errno, what) in cases {
            let complaint = complaint(address, &errno.into());
            assert!(complaint.what.starts_with(what), "{complaint}");
        }
    }
}

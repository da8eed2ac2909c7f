//! The addresses that connections come from, taken in turn.
//!
//! A TCP connection is named by two addresses and two ports, so one address of ours gives about
//! 28,000 connections to a server; and servers count connections by client.
//!
//! # Failures
//! An address that is not ours, said before anything is sent.
//!
//! # Bounds
//! [`ADDRESSES_MAX`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use mio::net::TcpStream;
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, Protocol, Socket, Type};

/// More would serve nobody: with each of them a server sees 28,000 connections.
const ADDRESSES_MAX: usize = 65_536;

/// A list as the user wrote it: addresses, ranges `FROM-TO` and networks `ADDRESS/BITS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddressList(Vec<IpAddr>);

impl FromStr for AddressList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut addresses = Vec::new();
        for item in text.split(',') {
            let [first, last] = range(item)?;
            let count = number(last)
                .checked_sub(number(first))
                .ok_or_else(|| format!("`{item}` ends before it begins"))?;
            if count >= (ADDRESSES_MAX - addresses.len()) as u128 {
                return Err(format!("there are more than {ADDRESSES_MAX} addresses"));
            }
            addresses.extend((number(first)..=number(last)).map(|number| address(number, first)));
        }
        Ok(Self(addresses))
    }
}

/// The first and the last address of an item of the list.
fn range(item: &str) -> Result<[IpAddr; 2], String> {
    let parse = |text: &str| {
        text.trim().parse::<IpAddr>().map_err(|_| format!("`{text}` is not an IP address"))
    };
    if let Some((first, last)) = item.split_once('-') {
        let (first, last) = (parse(first)?, parse(last)?);
        if first.is_ipv4() != last.is_ipv4() {
            return Err(format!("`{item}` goes from IPv4 to IPv6"));
        }
        return Ok([first, last]);
    }
    let Some((network, bits)) = item.split_once('/') else {
        let address = parse(item)?;
        return Ok([address; 2]);
    };
    let network = parse(network)?;
    let width: u32 = if network.is_ipv4() { 32 } else { 128 };
    let host_bits = bits
        .parse()
        .ok()
        .and_then(|bits| width.checked_sub(bits))
        .ok_or_else(|| format!("`{item}` has no prefix up to {width}"))?;
    let hosts = 1_u128.checked_shl(host_bits).map_or(u128::MAX, |count| count - 1);
    let (first, last) = (number(network) & !hosts, number(network) | hosts);
    // The network's own address and the broadcast address belong to no host; a network of two has
    // neither (RFC 3021 §2.1). IPv6 has no broadcast, but its first address stands for any router
    // (RFC 4291 §2.6.1).
    let first = first + u128::from(host_bits > 1);
    let last = last - u128::from(host_bits > 1 && network.is_ipv4());
    Ok([address(first, network), address(last, network)])
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// The address of `number` in the family of `like`; a number of IPv4 has 32 bits.
fn address(number: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::from(u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes()),
        IpAddr::V6(_) => IpAddr::from(number.to_be_bytes()),
    }
}

/// Where connections come from.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    /// None: what the kernel chooses.
    addresses: Vec<IpAddr>,
    next: AtomicUsize,
}

impl Origins {
    /// Connections to `target` from these addresses.
    ///
    /// # Errors
    /// One of them is not ours, or of the other family.
    pub(crate) fn new(list: AddressList, target: SocketAddr) -> io::Result<Self> {
        for address in &list.0 {
            if address.is_ipv4() != target.is_ipv4() {
                let text = format!("no connection leads from {address} to {}", target.ip());
                return Err(io::Error::other(text));
            }
            bound(*address).map_err(|error| {
                io::Error::other(format!(
                    "{address} is not an address of this machine ({error}); give it one with \
                     `ip address add {address} dev lo` as root, or leave it out"
                ))
            })?;
        }
        Ok(Self { addresses: list.0, next: AtomicUsize::new(0) })
    }

    /// Begins to connect to `target`, from the next address.
    ///
    /// # Errors
    /// What `connect` says at once.
    pub(super) fn connect(&self, target: SocketAddr) -> io::Result<TcpStream> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(address) = turn.checked_rem(self.addresses.len()) else {
            return TcpStream::connect(target);
        };
        let socket = bound(self.addresses[address])?;
        match socket.connect(&target.into()) {
            Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => Err(error),
            Ok(()) | Err(_) => Ok(TcpStream::from_std(socket.into())),
        }
    }
}

/// connect(2): a socket that does not block goes on by itself.
const IN_PROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

/// A socket that does not block and comes from `address`.
fn bound(address: IpAddr) -> io::Result<Socket> {
    let address = SocketAddr::from((address, 0));
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    // ip(7): the port is chosen by connect, which knows the server, so that each server can have
    // all of them. Without that there are fewer connections, and no error.
    let _ = setsockopt(&socket, IpBindAddressNoPort, &true);
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        let AddressList(addresses) = text.parse().unwrap();
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lists_have_addresses_ranges_and_networks() {
        assert_eq!(
            list("127.0.0.9,127.0.0.254-127.0.1.1"),
            ["127.0.0.9", "127.0.0.254", "127.0.0.255", "127.0.1.0", "127.0.1.1"]
        );
        assert_eq!(list("10.1.2.3/30"), ["10.1.2.1", "10.1.2.2"]);
        assert_eq!(list("10.1.2.3/31"), ["10.1.2.2", "10.1.2.3"]);
        assert_eq!(list("10.1.2.3/32,::1"), ["10.1.2.3", "::1"]);
        assert_eq!(list("fd00::/126"), ["fd00::1", "fd00::2", "fd00::3"]);
        assert_eq!(list("127.0.0.0/17").len(), 32_766);
        assert_eq!(list("255.255.255.255-255.255.255.255"), ["255.255.255.255"]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for wrong in [
            "",
            "127.0.0.1,",
            "localhost",
            "127.0.0.2-127.0.0.1",
            "127.0.0.1-::1",
            "127.0.0.1/33",
            "127.0.0.1/x",
            "10.0.0.0/8",
            "::/0",
            "127.0.0.0/17,127.0.0.0/17,127.0.0.1-127.0.0.9",
        ] {
            assert!(wrong.parse::<AddressList>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_checked_and_taken_in_turn() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        for wrong in ["192.0.2.1", "::1"] {
            let list = format!("127.0.0.2,{wrong}").parse().unwrap();
            assert!(Origins::new(list, target).unwrap_err().to_string().contains(wrong));
        }
        let origins = Origins::new("127.0.0.5-127.0.0.6".parse().unwrap(), target).unwrap();
        let streams: Vec<_> = (0..3).map(|_| origins.connect(target).unwrap()).collect();
        let mut seen: Vec<_> =
            (0..streams.len()).map(|_| listener.accept().unwrap().1.ip().to_string()).collect();
        seen.sort();
        assert_eq!(seen, ["127.0.0.5", "127.0.0.5", "127.0.0.6"]);
        assert!(Origins::default().connect(target).is_ok());
    }
}

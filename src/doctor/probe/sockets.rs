//! Ports, backlogs, and what the network lets through.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::doctor::found::{Found, Item, Value};
use crate::doctor::host::Host;
use crate::limits::{
    DOCTOR_GREETING_BYTES_MAX, DOCTOR_PORT_25_ADDRESSES_MAX, DOCTOR_PORT_25_TIMEOUT_S,
};

use super::{cannot_read, file, read};

/// Port of SMTP between servers (RFC 5321 §4.5.4.2).
const SMTP_PORT: u16 = 25;

pub(super) fn backlog_overflows(host: &Host) -> Found {
    read(host, "/proc/net/netstat", |text| {
        // Names in one line, their values in the next.
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
        let names = lines.next()?.split_ascii_whitespace();
        let mut pairs = names.zip(lines.next()?.split_ascii_whitespace());
        let (_, count) = pairs.find(|(name, _)| *name == "ListenOverflows")?;
        Some(Value::Number(count.parse().ok()?))
    })
}

pub(super) fn local_ports(host: &Host) -> Found {
    match ports(host) {
        Ok(ports) => {
            let count = ports.range.clone().filter(|port| !ports.is_reserved(*port)).count();
            Found::number(count as u64)
        }
        Err(reason) => Found::Unknown(reason),
    }
}

pub(super) fn listeners_in_port_range(host: &Host) -> Found {
    let ports = match ports(host) {
        Ok(ports) => ports,
        Err(reason) => return Found::Unknown(reason),
    };
    let listeners = host.config.listeners.iter().map(|listener| listener.address.port());
    let inside: Vec<String> = listeners
        .filter(|port| ports.range.contains(port) && !ports.is_reserved(*port))
        .map(|port| port.to_string())
        .collect();
    if inside.is_empty() {
        return Found::text("none");
    }
    let items = inside
        .into_iter()
        .map(|port| Item::new(port, Value::Text("a connection out may take it".to_owned())));
    Found::Values(items.collect())
}

/// The ports that the kernel gives to connections out.
struct Ports {
    range: RangeInclusive<u16>,
    reserved: Vec<RangeInclusive<u16>>,
}

impl Ports {
    fn is_reserved(&self, port: u16) -> bool {
        self.reserved.iter().any(|range| range.contains(&port))
    }
}

fn ports(host: &Host) -> Result<Ports, String> {
    let path = "/proc/sys/net/ipv4/ip_local_port_range";
    let text = host.read(path).map_err(|error| cannot_read(path, &error))?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    let (Some(Ok(first)), Some(Ok(last))) = (numbers.next(), numbers.next()) else {
        return Err(format!("{path} is no range"));
    };
    let reserved = host.read("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap_or_default();
    let reserved = reserved.trim().split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    Ok(Ports { range: first..=last, reserved: reserved.collect() })
}

pub(super) fn connection_tracking(host: &Host) -> Found {
    file(
        host,
        "/proc/sys/net/netfilter/nf_conntrack_max",
        "connections are not tracked (nf_conntrack is not loaded)",
    )
}

/// Whether the hosts that were asked for take connections on port 25 and greet.
pub(super) fn port_25(host: &Host) -> Found {
    let items = host.port_25.iter().map(|name| Item::new(name, Value::Text(greeting(name))));
    Found::each(items.collect(), "only with --port-25 HOST")
}

/// `open`, or what happens in place of a greeting. A name may have another port behind it.
fn greeting(name: &str) -> String {
    let addresses = (name, SMTP_PORT).to_socket_addrs().or_else(|_| name.to_socket_addrs());
    let addresses: Vec<SocketAddr> = match addresses {
        Ok(addresses) => addresses.take(DOCTOR_PORT_25_ADDRESSES_MAX).collect(),
        Err(error) => return format!("the name has no address: {error}"),
    };
    let mut last = "the name has no address".to_owned();
    for address in addresses {
        match greets(address) {
            Ok(()) => return "open".to_owned(),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    last
}

fn greets(address: SocketAddr) -> io::Result<()> {
    let timeout = Duration::from_secs(DOCTOR_PORT_25_TIMEOUT_S);
    let silent = || {
        let text = format!("no answer in {DOCTOR_PORT_25_TIMEOUT_S} s");
        io::Error::new(io::ErrorKind::TimedOut, text)
    };
    let stream = TcpStream::connect_timeout(&address, timeout)
        .map_err(|error| if error.kind() == io::ErrorKind::TimedOut { silent() } else { error })?;
    stream.set_read_timeout(Some(timeout))?;
    let mut line = Vec::new();
    let read = BufReader::new(stream.take(DOCTOR_GREETING_BYTES_MAX)).read_until(b'\n', &mut line);
    match read {
        // RFC 5321 §4.2: the first line of a server says 220, or 554 if it takes no mail.
        Ok(_) if line.starts_with(b"220") => Ok(()),
        Ok(0) => Err(io::Error::other("it closed the connection without a greeting")),
        Ok(_) => {
            let line = String::from_utf8_lossy(&line).trim().escape_debug().to_string();
            Err(io::Error::other(format!("it answers {line}")))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::Error::other("the connection comes up, but no greeting follows"))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What is said of a server on loopback that greets with `greeting` and closes.
    fn said_of(greeting_bytes: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(greeting_bytes).unwrap();
        });
        let said = greeting(&address.to_string());
        server.join().unwrap();
        said
    }

    #[test]
    fn a_server_that_greets_is_open() {
        assert_eq!(said_of(b"220 mx.example ESMTP\r\n"), "open");
        assert_eq!(said_of(b"220-mx.example\r\n220 ESMTP\r\n"), "open");
    }

    #[test]
    fn what_is_not_a_greeting_is_told() {
        assert!(said_of(b"554 no mail here\r\n").ends_with("it answers 554 no mail here"));
        assert!(said_of(b"").ends_with("it closed the connection without a greeting"));
        let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(greeting(&unused.to_string()).contains("Connection refused"));
        assert!(greeting("host.invalid").starts_with("the name has no address"));
    }
}

//! The name servers of the configuration.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::doctor::found::{Found, Item, Value};
use crate::doctor::host::Host;
use crate::io::dns::codec::{RecordKind, Reply, decode_reply, encode_query};
use crate::io::time::random_bytes;
use crate::limits::{DNS_UDP_PAYLOAD_BYTES, DOCTOR_DNS_QUESTION_COUNT, DOCTOR_DNS_TIMEOUT_MS};

use super::NOT_MEASURED;

pub(super) fn place(host: &Host) -> Found {
    match host.config.dns.servers.first() {
        Some(server) if server.ip().is_loopback() => Found::text("local"),
        // Also by an address of an interface: the kernel binds only to its own.
        Some(server) if UdpSocket::bind((server.ip(), 0)).is_ok() => Found::text("local"),
        Some(server) => Found::one(Value::Text(format!("remote ({server})"))),
        None => Found::Unknown("the configuration names no name server".to_owned()),
    }
}

pub(super) fn latency(host: &Host) -> Found {
    if !host.measures {
        return Found::NotHere(NOT_MEASURED.to_owned());
    }
    // A name that the resolver is asked for anyway: nobody learns more of this host.
    let name = host.config.hostname.to_string();
    let items = host.config.dns.servers.iter().map(|server| {
        let value = match median_us(*server, &name) {
            Ok(us) => Value::Number(us),
            Err(error) => Value::Text(format!("no answer: {error}")),
        };
        Item::new(server.to_string(), value)
    });
    Found::each(items.collect(), "the configuration names no name server")
}

/// The median of several answers but the first, which the server may have to fetch.
fn median_us(server: SocketAddr, name: &str) -> io::Result<u64> {
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local)?;
    socket.connect(server)?;
    ask(&socket, name)?;
    let mut answers = Vec::new();
    for _ in 0..DOCTOR_DNS_QUESTION_COUNT {
        answers.push(ask(&socket, name)?);
    }
    answers.sort_unstable();
    let median = answers.get(answers.len() / 2).copied().unwrap_or_default();
    Ok(u64::try_from(median.as_micros()).unwrap_or(u64::MAX))
}

/// The time of one answer.
fn ask(socket: &UdpSocket, name: &str) -> io::Result<Duration> {
    let id = u16::from_be_bytes(random_bytes()?);
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "the hostname is no host name");
    let question = encode_query(id, name, RecordKind::Mx, true).ok_or_else(invalid)?;
    let timeout = Duration::from_millis(DOCTOR_DNS_TIMEOUT_MS);
    let start = Instant::now();
    socket.send(&question)?;
    let mut answer = [0; DNS_UDP_PAYLOAD_BYTES as usize];
    loop {
        let left = timeout.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut answer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        };
        let elapsed = start.elapsed();
        match decode_reply(answer.get(..length).unwrap_or_default(), id, name, RecordKind::Mx) {
            Ok(Reply::ServerFailed { why }) => {
                return Err(io::Error::other(format!("the name server says {why}")));
            }
            Ok(Reply::NotUnderstood) => {
                return Err(io::Error::other("the name server does not understand the question"));
            }
            // That a name has no such record is an answer, too.
            Ok(_) => return Ok(elapsed),
            // Of an earlier question, or of somebody else.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_name_server_that_answers_and_one_that_does_not() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let questions = DOCTOR_DNS_QUESTION_COUNT + 1;
        let answering = thread::spawn(move || {
            let mut bytes = [0; 512];
            for _ in 0..questions {
                let (length, client) = server.recv_from(&mut bytes).unwrap();
                // The question with the bit of a response (RFC 1035 §4.1.1) is an answer without
                // records.
                bytes[2] |= 0x80;
                // Whatever else comes is passed over.
                server.send_to(b"noise", client).unwrap();
                server.send_to(&bytes[..length], client).unwrap();
            }
        });
        median_us(address, "mx.example").expect("it answers");
        answering.join().unwrap();
        let error = median_us(address, "mx.example").expect_err("it has gone");
        assert!(!error.to_string().is_empty());
    }
}

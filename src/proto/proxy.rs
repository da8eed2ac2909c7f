//! The PROXY protocol, versions 1 and 2: with it a proxy tells on whose behalf it connects.
//!
//! Source: `doc/proxy-protocol.txt` of HAProxy.
//!
//! # Never
//! It does not guess whether a header comes: only those are asked for one who are listed, and they
//! must send it (section 5 there).
//!
//! # Failures
//! A header that is not exactly as the protocol has it is a [`ProxyFault`], at the first byte that
//! shows it; the connection ends, since nothing else that comes is to be believed.
//!
//! # Bounds
//! Version 1 has 107 bytes at most; of version 2, [`PROXY_HEADER_BYTES_MAX`] are taken.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::PROXY_HEADER_BYTES_MAX;
use crate::proto::server::Peer;

/// How each version begins.
const SIGNATURE_V1: &[u8] = b"PROXY ";
const SIGNATURE_V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest header of version 1 (section 2.1).
const V1_BYTES_MAX: usize = 107;

/// What of a header of version 2 tells its length.
const V2_FIXED_BYTES: usize = 16;

/// The type of the checksum among the further fields of version 2 (section 2.2.3).
const TYPE_CRC32C: u8 = 3;

/// A header that came whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Its length; what follows is the client's.
    pub length: usize,
    /// The client. `None` if the proxy speaks for itself or cannot tell: then it is the client.
    pub client: Option<Peer>,
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyFault {
    /// It begins like none.
    #[error("no PROXY header came, and this listener expects one from this address")]
    Missing,
    /// Version 1: no CRLF where it had to be at the latest, or CR or LF alone.
    #[error("the PROXY header does not end in CRLF within {V1_BYTES_MAX} bytes")]
    Unending,
    /// Version 1: its words are not those that the protocol has.
    #[error("the PROXY header is malformed")]
    Malformed,
    /// Version 2: a version, command, family or protocol that does not exist.
    #[error("the PROXY header has an unknown version, command or address family")]
    Unknown,
    /// Version 2: it says that it is longer than anything that is sent.
    #[error("the PROXY header is longer than {PROXY_HEADER_BYTES_MAX} bytes")]
    TooLong,
    /// Version 2: it is shorter than what it says is in it.
    #[error("the PROXY header is shorter than what is in it")]
    Truncated,
    /// Version 2: its checksum is another.
    #[error("the PROXY header does not have the checksum that it tells")]
    Checksum,
}

/// Reads a header at the head of `input`; `None` if it is not whole. Call it again with all that
/// came, from the first byte on.
///
/// # Errors
/// What is wrong with it.
pub fn parse(input: &[u8]) -> Result<Option<ProxyHeader>, ProxyFault> {
    if input.starts_with(SIGNATURE_V2) {
        return parse_v2(input);
    }
    if input.starts_with(SIGNATURE_V1) {
        return parse_v1(input);
    }
    if SIGNATURE_V2.starts_with(input) || SIGNATURE_V1.starts_with(input) {
        return Ok(None);
    }
    Err(ProxyFault::Missing)
}

/// Section 2.1.
fn parse_v1(input: &[u8]) -> Result<Option<ProxyHeader>, ProxyFault> {
    let start = input.get(..V1_BYTES_MAX).unwrap_or(input);
    let Some(end) = memchr::memchr2(b'\r', b'\n', start) else {
        return if start.len() < V1_BYTES_MAX { Ok(None) } else { Err(ProxyFault::Unending) };
    };
    match start.get(end..) {
        Some([b'\r', b'\n', ..]) => {}
        Some([b'\r']) if start.len() < V1_BYTES_MAX => return Ok(None),
        _ => return Err(ProxyFault::Unending),
    }
    let line = start.get(SIGNATURE_V1.len()..end).unwrap_or_default();
    let length = end + 2;
    // What follows UNKNOWN is ignored.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(Some(ProxyHeader { length, client: None }));
    }
    let client = v1_client(line).ok_or(ProxyFault::Malformed)?;
    Ok(Some(ProxyHeader { length, client: Some(client) }))
}

/// `TCP4` or `TCP6`, both addresses and both ports, one space between each.
fn v1_client(line: &[u8]) -> Option<Peer> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    let mut take = || words.next();
    let (family, source, destination) = (take()?, take()?, take()?);
    let (source_port, destination_port) = (v1_port(take()?)?, v1_port(take()?)?);
    let _ = destination_port;
    if take().is_some() {
        return None;
    }
    // The parsers of the standard library refuse leading zeros in an IPv4 address, as wanted.
    let address = match family {
        "TCP4" => {
            destination.parse::<Ipv4Addr>().ok()?;
            IpAddr::V4(source.parse().ok()?)
        }
        "TCP6" => {
            destination.parse::<Ipv6Addr>().ok()?;
            IpAddr::V6(source.parse().ok()?)
        }
        _ => return None,
    };
    Some(Peer { address: address.to_canonical(), port: source_port })
}

/// A decimal number without leading zeros.
fn v1_port(word: &str) -> Option<u16> {
    let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || (word.len() > 1 && word.starts_with('0')) {
        return None;
    }
    word.parse().ok()
}

/// Section 2.2.
fn parse_v2(input: &[u8]) -> Result<Option<ProxyHeader>, ProxyFault> {
    let after_signature = input.get(SIGNATURE_V2.len()..).unwrap_or_default();
    // Each is refused as soon as it is there.
    let is_local = match after_signature.first() {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(ProxyFault::Unknown),
    };
    let Some(&family) = after_signature.get(1) else { return Ok(None) };
    if !is_local && (family >> 4 > 3 || family & 0x0f > 2) {
        return Err(ProxyFault::Unknown);
    }
    let Some(&[high, low]) = after_signature.get(2..4) else { return Ok(None) };
    let length = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if length > PROXY_HEADER_BYTES_MAX {
        return Err(ProxyFault::TooLong);
    }
    let Some(header) = input.get(..length) else { return Ok(None) };
    // The connection is the proxy's own, and whatever follows is to be skipped.
    if is_local {
        return Ok(Some(ProxyHeader { length, client: None }));
    }
    let (client, addresses_bytes) = v2_client(family, &header[V2_FIXED_BYTES..])?;
    check_fields(header, V2_FIXED_BYTES + addresses_bytes)?;
    Ok(Some(ProxyHeader { length, client }))
}

/// The client, and how many bytes the addresses take. Only that of a stream over IP is one that
/// SMTP comes from; with the others the proxy cannot tell.
fn v2_client(family: u8, block: &[u8]) -> Result<(Option<Peer>, usize), ProxyFault> {
    let is_stream = family & 0x0f == 1;
    let (address, port_at, length) = match family >> 4 {
        1 => {
            let source = block.first_chunk::<4>().ok_or(ProxyFault::Truncated)?;
            (Some(IpAddr::from(*source)), 8, 12)
        }
        2 => {
            let source = block.first_chunk::<16>().ok_or(ProxyFault::Truncated)?;
            (Some(IpAddr::from(*source)), 32, 36)
        }
        3 => (None, 0, 216),
        _ => (None, 0, 0),
    };
    if block.len() < length {
        return Err(ProxyFault::Truncated);
    }
    let port = block.get(port_at..port_at + 2).and_then(|port| port.try_into().ok());
    let port = port.map_or(0, u16::from_be_bytes);
    let client =
        address.filter(|_| is_stream).map(|address| Peer { address: address.to_canonical(), port });
    Ok((client, length))
}

/// Walks the further fields, which begin at `at`, and checks the checksum if there is one
/// (section 2.2.3). All others are skipped.
fn check_fields(header: &[u8], mut at: usize) -> Result<(), ProxyFault> {
    while let Some(rest) = header.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(&[kind, high, low]) = rest.first_chunk::<3>() else {
            return Err(ProxyFault::Truncated);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(value) = rest.get(3..3 + length) else { return Err(ProxyFault::Truncated) };
        let value_at = at + 3;
        at = value_at + length;
        if kind == TYPE_CRC32C {
            let told: [u8; 4] = value.try_into().map_err(|_| ProxyFault::Checksum)?;
            let sum = crc32c::crc32c(&header[..value_at]);
            let sum = crc32c::crc32c_append(sum, &[0; 4]);
            let sum = crc32c::crc32c_append(sum, &header[at..]);
            if sum != u32::from_be_bytes(told) {
                return Err(ProxyFault::Checksum);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [&SIGNATURE_V2[..], &[command, family], &length, block].concat()
    }

    /// The addresses of a TCP connection over IPv4: 192.0.2.7:4711 to 198.51.100.1:25.
    const IPV4: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0, 25];

    fn client(header: &[u8]) -> Option<String> {
        let parsed = parse(header).unwrap().unwrap();
        assert_eq!(parsed.length, header.len());
        parsed.client.map(|peer| std::net::SocketAddr::new(peer.address, peer.port).to_string())
    }

    #[test]
    fn version_1_names_the_client() {
        let cases: [(&[u8], Option<&str>); 8] = [
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\n", Some("192.0.2.7:4711")),
            (
                b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
                Some("255.255.255.255:65535"),
            ),
            (b"PROXY TCP6 2001:DB8::7 2001:db8::1 4711 25\r\n", Some("[2001:db8::7]:4711")),
            (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 25\r\n", Some("192.0.2.7:1")),
            (
                b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                  ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
                Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
            ),
            (b"PROXY UNKNOWN\r\n", None),
            (b"PROXY UNKNOWN what ever\x00\xff follows\r\n", None),
            (
                b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                  ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
                None,
            ),
        ];
        for (header, wanted) in cases {
            assert_eq!(client(header).as_deref(), wanted, "{}", header.escape_ascii());
        }
    }

    #[test]
    fn version_1_is_taken_exactly_as_it_is_written() {
        use ProxyFault::{Malformed, Missing, Unending};
        let cases: [(&[u8], ProxyFault); 20] = [
            (b"EHLO client.example\r\n", Missing),
            (b"\x16\x03\x01\x02\x00", Missing),
            (b"proxy TCP4 192.0.2.7 198.51.100.1 4711 25\r\n", Missing),
            (b"PROXY\tTCP4 192.0.2.7 198.51.100.1 4711 25\r\n", Missing),
            (b"PROXY  TCP4 192.0.2.7 198.51.100.1 4711 25\r\n", Malformed),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25 \r\n", Malformed),
            (b"PROXY TCP4 192.0.2.7  198.51.100.1 4711 25\r\n", Malformed),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 04711 25\r\n", Malformed),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 65536\r\n", Malformed),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 +4711 25\r\n", Malformed),
            (b"PROXY TCP4 192.0.2.007 198.51.100.1 4711 25\r\n", Malformed),
            (b"PROXY TCP4 192.0.2.7\x00 198.51.100.1 4711 25\r\n", Malformed),
            (b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 25\r\n", Malformed),
            (b"PROXY TCP6 192.0.2.7 198.51.100.1 4711 25\r\n", Malformed),
            (b"PROXY TCP5 192.0.2.7 198.51.100.1 4711 25\r\n", Malformed),
            (b"PROXY UNKNOWNX\r\n", Malformed),
            (b"PROXY \r\n", Malformed),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\nEHLO", Unending),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\rEHLO", Unending),
            (b"PROXY UNKNOWN\n\r\n", Unending),
        ];
        for (header, wanted) in cases {
            assert_eq!(parse(header), Err(wanted), "{}", header.escape_ascii());
        }
        let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
        assert_eq!(parse(&endless[..106]), Ok(None));
        assert_eq!(parse(&endless[..107]), Err(Unending));
    }

    #[test]
    fn version_2_names_the_client() {
        let ipv6: Vec<u8> = [
            &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..],
            &[0; 16],
            &[0x12, 0x67, 0, 25],
        ]
        .concat();
        assert_eq!(client(&v2(0x21, 0x11, IPV4)).as_deref(), Some("192.0.2.7:4711"));
        assert_eq!(client(&v2(0x21, 0x21, &ipv6)).as_deref(), Some("[2001:db8::7]:4711"));
        // A health check, whatever else it says.
        assert_eq!(client(&v2(0x20, 0x00, b"")), None);
        assert_eq!(client(&v2(0x20, 0x11, IPV4)), None);
        assert_eq!(client(&v2(0x20, 0xff, b"anything")), None);
        // The proxy cannot tell, or it is no TCP connection.
        assert_eq!(client(&v2(0x21, 0x00, b"")), None);
        assert_eq!(client(&v2(0x21, 0x12, IPV4)), None);
        assert_eq!(client(&v2(0x21, 0x31, &[0; 216])), None);
        // Further fields are skipped.
        let fields = [IPV4, &[4, 0, 2, 0, 0], &[0xe0, 0, 0], &[2, 0, 1, b'x']].concat();
        assert_eq!(client(&v2(0x21, 0x11, &fields)).as_deref(), Some("192.0.2.7:4711"));
    }

    #[test]
    fn version_2_is_refused_at_the_first_wrong_byte() {
        use ProxyFault::{Missing, TooLong, Truncated, Unknown};
        let header = v2(0x21, 0x11, IPV4);
        for (at, byte, wanted) in [
            (0, b'x', Missing),
            (11, b'x', Missing),
            (12, 0x11, Unknown),
            (12, 0x22, Unknown),
            (13, 0x41, Unknown),
            (13, 0x13, Unknown),
            (14, 0xff, TooLong),
        ] {
            let mut bad = header.clone();
            bad[at] = byte;
            // The length is known with both its bytes.
            let shown = if at == 14 { 16 } else { at + 1 };
            assert_eq!(parse(&bad[..shown]), Err(wanted), "byte {at}");
        }
        assert_eq!(parse(&v2(0x21, 0x11, &IPV4[..11])), Err(Truncated));
        assert_eq!(parse(&v2(0x21, 0x21, IPV4)), Err(Truncated));
        assert_eq!(parse(&v2(0x21, 0x31, &[0; 215])), Err(Truncated));
        for field in [&[4][..], &[4, 0], &[4, 0, 2, 0]] {
            let block = [IPV4, field].concat();
            assert_eq!(parse(&v2(0x21, 0x11, &block)), Err(Truncated), "{field:?}");
        }
    }

    #[test]
    fn a_checksum_is_checked_wherever_it_stands() {
        for others in [&[][..], &[4, 0, 1, 7]] {
            let block = [IPV4, others, &[3, 0, 4, 0, 0, 0, 0], others].concat();
            let mut header = v2(0x21, 0x11, &block);
            let at = 16 + IPV4.len() + others.len() + 3;
            let sum = crc32c::crc32c(&header).to_be_bytes();
            header[at..at + 4].copy_from_slice(&sum);
            assert_eq!(client(&header).as_deref(), Some("192.0.2.7:4711"));
            for index in [16, at, header.len() - 1] {
                let mut bad = header.clone();
                bad[index] ^= 1;
                assert_eq!(parse(&bad), Err(ProxyFault::Checksum), "byte {index}");
            }
        }
        let short = [IPV4, &[3, 0, 3, 0, 0, 0]].concat();
        assert_eq!(parse(&v2(0x21, 0x11, &short)), Err(ProxyFault::Checksum));
    }

    proptest! {
        #[test]
        fn a_cut_header_is_waited_for(
            source in any::<[u8; 4]>(), port in any::<u16>(), rest in any::<[u8; 20]>(), v1: bool,
        ) {
            let header = if v1 {
                let source = Ipv4Addr::from(source);
                format!("PROXY TCP4 {source} 198.51.100.1 {port} 25\r\n").into_bytes()
            } else {
                let block = [&source[..], &[0; 4], &port.to_be_bytes(), &[0, 25]].concat();
                v2(0x21, 0x11, &block)
            };
            for cut in 0..header.len() {
                prop_assert_eq!(parse(&header[..cut]), Ok(None));
            }
            let wanted = ProxyHeader {
                length: header.len(),
                client: Some(Peer { address: source.into(), port }),
            };
            // What follows belongs to the client and changes nothing.
            prop_assert_eq!(parse(&[&header[..], &rest].concat()), Ok(Some(wanted)));
        }

        #[test]
        fn no_bytes_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 0..3u8,
        ) {
            let signature: &[u8] = match kind {
                0 => SIGNATURE_V1,
                1 => SIGNATURE_V2,
                _ => b"",
            };
            bytes.splice(..0, signature.iter().copied());
            if let Ok(Some(header)) = parse(&bytes) {
                prop_assert!(header.length <= bytes.len());
            }
        }
    }
}

//! Headers of the PROXY protocol that come byte by byte, and such as a proxy would make.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ringpost::limits::PROXY_HEADER_BYTES_MAX;
use ringpost::proto::proxy::{self, ProxyHeader};
use ringpost::proto::server::Peer;

/// Once a header is whole or refused, what follows changes nothing; it is one or the other within
/// its bound; and a header that is made from the input is read back.
pub fn run(input: &[u8]) {
    let input = &input[..input.len().min(PROXY_HEADER_BYTES_MAX + 32)];
    settle(input);
    let Some((numbers, rest)) = input.split_first_chunk::<20>() else { return };
    for header in [version_1(numbers), version_2(numbers, rest)] {
        let Some((header, client)) = header else { continue };
        let expected = Ok(Some(ProxyHeader { length: header.len(), client: Some(client) }));
        assert_eq!(proxy::parse(&header), expected, "{}", header.escape_ascii());
        settle(&[&header, rest].concat());
    }
}

fn settle(stream: &[u8]) {
    let mut settled = None;
    for length in 0..=stream.len() {
        let result = proxy::parse(&stream[..length]);
        if let Some(before) = settled {
            assert_eq!(result, before, "{length} bytes");
            continue;
        }
        match result {
            Ok(None) => assert!(length < PROXY_HEADER_BYTES_MAX, "{length} bytes are no header"),
            Ok(Some(header)) => {
                assert_eq!(header.length, length, "it was whole before, or is not yet");
                settled = Some(result);
            }
            Err(_) => settled = Some(result),
        }
    }
}

fn client(numbers: &[u8; 20]) -> Peer {
    let [wide, high, low, ..] = *numbers;
    let address: [u8; 16] = numbers[4..].try_into().expect("sixteen bytes");
    let address = if wide % 2 == 0 {
        IpAddr::V4(Ipv4Addr::new(address[0], address[1], address[2], address[3]))
    } else {
        IpAddr::V6(Ipv6Addr::from(address))
    };
    Peer { address: address.to_canonical(), port: u16::from_be_bytes([high, low]) }
}

fn version_1(numbers: &[u8; 20]) -> Option<(Vec<u8>, Peer)> {
    let client = client(numbers);
    let address = client.address;
    let (family, own) = match address {
        IpAddr::V4(_) => ("TCP4", "198.51.100.1"),
        IpAddr::V6(_) => ("TCP6", "2001:db8::1"),
    };
    Some((format!("PROXY {family} {address} {own} {} 25\r\n", client.port).into(), client))
}

/// With one field behind the addresses, and a checksum of all.
fn version_2(numbers: &[u8; 20], rest: &[u8]) -> Option<(Vec<u8>, Peer)> {
    let client = client(numbers);
    let field = &rest[..rest.len().min(usize::from(numbers[3]))];
    let mut block = Vec::new();
    let family = match SocketAddr::new(client.address, client.port) {
        SocketAddr::V4(address) => {
            block.extend_from_slice(&address.ip().octets());
            block.extend_from_slice(&[198, 51, 100, 1]);
            0x11
        }
        SocketAddr::V6(address) => {
            block.extend_from_slice(&address.ip().octets());
            block.extend_from_slice(&[0; 16]);
            0x21
        }
    };
    block.extend_from_slice(&client.port.to_be_bytes());
    block.extend_from_slice(&25_u16.to_be_bytes());
    block.push(0x04);
    block.extend_from_slice(&u16::try_from(field.len()).ok()?.to_be_bytes());
    block.extend_from_slice(field);
    block.extend_from_slice(&[0x03, 0, 4, 0, 0, 0, 0]);
    let length = u16::try_from(block.len()).ok()?.to_be_bytes();
    let mut header = [&b"\r\n\r\n\0\r\nQUIT\n\x21"[..], &[family], &length, &block].concat();
    let sum = crc32c::crc32c(&header).to_be_bytes();
    let at = header.len() - 4;
    header[at..].copy_from_slice(&sum);
    (header.len() <= PROXY_HEADER_BYTES_MAX).then_some((header, client))
}

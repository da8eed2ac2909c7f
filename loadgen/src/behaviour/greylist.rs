//! Triplets that were seen: network of the client, sender and recipient (RFC 6647 §4.1).
//!
//! # Bounds
//! [`TRIPLETS_MAX`]; when they are reached, all are forgotten and begin anew.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use twox_hash::XxHash3_64;

/// Triplets that are remembered.
const TRIPLETS_MAX: usize = 1_000_000;

/// What was seen, and when first.
#[derive(Debug, Default)]
pub(crate) struct Greylist {
    first_seen: HashMap<u64, Instant>,
}

impl Greylist {
    /// Whether the triplet was first seen at least `wait` ago. It is remembered.
    pub(crate) fn passes(
        &mut self,
        (client, sender, recipient): (IpAddr, &[u8], &[u8]),
        wait: Duration,
        now: Instant,
    ) -> bool {
        let mut hash = XxHash3_64::oneshot(&network(client));
        for part in [sender, recipient] {
            hash = XxHash3_64::oneshot_with_seed(hash, part);
        }
        if self.first_seen.len() >= TRIPLETS_MAX && !self.first_seen.contains_key(&hash) {
            self.first_seen.clear();
        }
        let first = *self.first_seen.entry(hash).or_insert(now);
        now.saturating_duration_since(first) >= wait
    }
}

/// The network of `client`: /24 of IPv4, /64 of IPv6.
fn network(client: IpAddr) -> [u8; 8] {
    let mut network = [0; 8];
    // A socket of both families has clients of IPv4 as ::ffff:a.b.c.d, all of one /64.
    match client.to_canonical() {
        IpAddr::V4(address) => network[..3].copy_from_slice(&address.octets()[..3]),
        IpAddr::V6(address) => network.copy_from_slice(&address.octets()[..8]),
    }
    network
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_triplet_passes_after_its_wait() {
        let mut greylist = Greylist::default();
        let (now, wait) = (Instant::now(), Duration::from_secs(10));
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let here = (address("192.0.2.1"), &b"a@x"[..], &b"b@y"[..]);
        assert!(!greylist.passes(here, wait, now));
        assert!(!greylist.passes(here, wait, now + wait / 2));
        assert!(greylist.passes(here, wait, now + wait));
        let neighbour = (address("192.0.2.99"), here.1, here.2);
        assert!(greylist.passes(neighbour, wait, now + wait));
        let mapped = (address("::ffff:192.0.2.7"), here.1, here.2);
        assert!(greylist.passes(mapped, wait, now + wait));
        for other in [
            (address("::ffff:192.0.3.1"), here.1, here.2),
            (address("192.0.4.1"), here.1, here.2),
            (address("2001:db8::1"), here.1, here.2),
            (here.0, b"b@x", here.2),
            (here.0, here.1, b"c@y"),
        ] {
            assert!(!greylist.passes(other, wait, now + wait), "{other:?}");
        }
    }
}

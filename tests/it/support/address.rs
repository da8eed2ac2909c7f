//! Loopback addresses that belong to one scenario.

use std::net::{Ipv4Addr, UdpSocket};

use rustix::rand::{GetRandomFlags, getrandom};

/// The port whose binding claims an address among all test processes of the host.
const CLAIM_PORT: u16 = 23_001;

/// Attempts to find an address nobody holds. Sixteen million are to be had and a run holds
/// dozens, so a second attempt is rare.
const ATTEMPTS_MAX: usize = 100;

/// An address of 127.0.0.0/8 that no other scenario on this host uses while this value lives.
#[derive(Debug)]
pub(crate) struct ClaimedAddress {
    /// The address; every port of it but the claim's is free.
    pub(crate) ip: Ipv4Addr,
    /// Holds the claim: the kernel lets nobody else bind the same address and port.
    _claim: UdpSocket,
}

impl ClaimedAddress {
    /// Claims an address chosen at random.
    pub(crate) fn claim() -> Self {
        for _ in 0..ATTEMPTS_MAX {
            let [second, third, fourth] = random_bytes();
            // 127.0.x.y is where other programs of the host listen; .0 and .255 look like a
            // network and a broadcast address to some peers.
            let ip = Ipv4Addr::new(127, second.max(1), third, fourth.clamp(1, 254));
            if let Ok(claim) = UdpSocket::bind((ip, CLAIM_PORT)) {
                return Self { ip, _claim: claim };
            }
        }
        panic!("no loopback address is free: is 127.0.0.0/8 on the lo interface?");
    }
}

/// Random bytes from the kernel.
pub(crate) fn random_bytes<const COUNT: usize>() -> [u8; COUNT] {
    let mut bytes = [0; COUNT];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty()).expect("the kernel's randomness");
    assert_eq!(filled, COUNT, "short requests are filled whole");
    bytes
}

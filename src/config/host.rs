//! What the host says where the configuration says nothing.
//!
//! # Never
//! Fails: what cannot be found out is empty, and the check that needs it says so.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rustix::system::uname;
use rustix::thread::{CpuSet, sched_getaffinity};

use super::values::CpuList;
use crate::io::memory::MemorySource;

/// Port of the domain name system (RFC 1035 §4.2).
pub(super) const DNS_PORT: u16 = 53;

/// As many name servers as the C library takes from `resolv.conf` (its `MAXNS`).
const RESOLV_CONF_SERVER_COUNT_MAX: usize = 3;

/// Facts about the host that defaults and checks rest on. Tests make their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// Its name, as `hostname` prints it.
    pub name: String,
    /// CPUs that exist.
    pub cpus_present: CpuList,
    /// CPUs that this process may run on.
    pub cpus_allowed: CpuList,
    /// The name servers of `/etc/resolv.conf`.
    pub dns_servers: Vec<SocketAddr>,
    /// Memory that this process may use: the host's, or less where a control group says so; 0 where
    /// neither is known.
    pub memory_bytes: u64,
}

impl HostFacts {
    /// Looks at the host.
    pub fn probe() -> Self {
        let allowed = sched_getaffinity(None).map_or_else(|_| vec![0], |set| cpus_of(&set));
        let cpus_allowed = CpuList::new(allowed);
        let cpus_present = fs::read_to_string("/sys/devices/system/cpu/present")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or_else(|| cpus_allowed.clone());
        let resolv_conf = fs::read("/etc/resolv.conf").unwrap_or_default();
        Self {
            name: uname().nodename().to_string_lossy().into_owned(),
            cpus_present,
            cpus_allowed,
            dns_servers: servers_of_resolv_conf(&String::from_utf8_lossy(&resolv_conf)),
            memory_bytes: MemorySource::host().limit_bytes().unwrap_or(0),
        }
    }
}

fn cpus_of(set: &CpuSet) -> Vec<u16> {
    let count = u16::try_from(CpuSet::MAX_CPU).unwrap_or(u16::MAX);
    (0..count).filter(|cpu| set.is_set(usize::from(*cpu))).collect()
}

/// The `nameserver` lines of `text`, or what resolv.conf(5) says holds where there are none: the
/// name server on this host. An address with a zone (`fe80::1%eth0`) is passed over.
fn servers_of_resolv_conf(text: &str) -> Vec<SocketAddr> {
    let mut servers: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok()).flatten()
        })
        .map(|address: IpAddr| SocketAddr::new(address, DNS_PORT))
        .take(RESOLV_CONF_SERVER_COUNT_MAX)
        .collect();
    if servers.is_empty() {
        servers.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DNS_PORT));
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf() {
        let cases: [(&str, &[&str]); 4] = [
            ("", &["127.0.0.1:53"]),
            ("# nameserver 192.0.2.1\nsearch example\n", &["127.0.0.1:53"]),
            (
                "nameserver 192.0.2.1\nnameserver\t2001:db8::1 \n",
                &["192.0.2.1:53", "[2001:db8::1]:53"],
            ),
            (
                "nameserver fe80::1%eth0\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n\
                 nameserver 192.0.2.3\nnameserver 192.0.2.4",
                &["192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:53"],
            ),
        ];
        for (text, servers) in cases {
            let expected: Vec<SocketAddr> = servers.iter().map(|s| s.parse().unwrap()).collect();
            assert_eq!(servers_of_resolv_conf(text), expected, "{text:?}");
        }
    }

    #[test]
    fn this_host_has_a_cpu_to_run_on() {
        let facts = HostFacts::probe();
        let allowed = facts.cpus_allowed.as_slice();
        assert!(!allowed.is_empty());
        assert!(allowed.iter().all(|cpu| facts.cpus_present.contains(*cpu)));
        assert!(!facts.dns_servers.is_empty());
        assert!(facts.memory_bytes > 0);
    }
}

//! The values of a configuration, each of which can only be made from text that means something.
//!
//! # Guarantees
//! `value.to_string().parse()` gives the same value back, for every type here.
//!
//! # Failures
//! [`Invalid`] says what is wrong with the text and what would be right.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::invalid::Invalid;
use crate::limits::SHARD_COUNT_MAX;
use crate::network::Network;

/// CPUs, each once and in rising order: `0-3,8`. Shard N runs on the CPU at position N.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList(Vec<u16>);

impl CpuList {
    /// The list of `cpus`, put in order.
    pub fn new(mut cpus: Vec<u16>) -> Self {
        cpus.sort_unstable();
        cpus.dedup();
        Self(cpus)
    }

    /// The CPUs in rising order.
    pub fn as_slice(&self) -> &[u16] {
        &self.0
    }

    /// Whether `cpu` is in the list.
    pub fn contains(&self, cpu: u16) -> bool {
        self.0.binary_search(&cpu).is_ok()
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.0.chunk_by(|a, b| a + 1 == *b);
        for (index, run) in runs.enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match run {
                [] => {}
                [one] => write!(f, "{one}")?,
                [first, .., last] => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for CpuList {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let remedy = "write CPU numbers and ranges divided by commas, as in \"0-3,8\"";
        let refuse = |why: String| Err(Invalid::new(why, remedy));
        let mut cpus = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.trim().parse(), last.trim().parse()) else {
                return refuse(format!("{part:?} in {text:?} is neither a number nor a range"));
            };
            if first > last {
                return refuse(format!("the range {part:?} in {text:?} runs backwards"));
            }
            let range: std::ops::RangeInclusive<u16> = first..=last;
            cpus.extend(range);
        }
        let named = cpus.len();
        let list = Self::new(cpus);
        if list.0.len() < named {
            return refuse(format!("{text:?} names a CPU twice"));
        }
        if list.0.len() > SHARD_COUNT_MAX {
            let what = format!("{text:?} has {} CPUs", list.0.len());
            return Err(Invalid::new(what, format!("name at most {SHARD_COUNT_MAX}")));
        }
        Ok(list)
    }
}

impl FromStr for Network {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let remedy = "write ADDRESS/BITS, as in \"192.0.2.0/24\" or \"2001:db8::/32\"";
        let refuse = || Err(Invalid::new(format!("{text:?} is not a network"), remedy));
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else { return refuse() };
        if address != address.to_canonical() {
            // It would match nothing: such peers count as the IPv4 addresses that they are.
            return Err(Invalid::new(format!("{text:?} is an IPv4 network"), "write it as one"));
        }
        let prefix_bits = match bits.map(str::parse::<u8>) {
            None => Self::prefix_bits_max(address),
            Some(Ok(bits)) => bits,
            Some(Err(_)) => return refuse(),
        };
        let Some(network) = Self::new(address, prefix_bits) else { return refuse() };
        let lowest = network.lowest();
        if lowest != address {
            let what = format!("{text:?} has bits set behind its prefix of {prefix_bits}");
            let remedy = format!("write \"{lowest}/{prefix_bits}\" or a longer prefix");
            return Err(Invalid::new(what, remedy));
        }
        Ok(network)
    }
}

/// When a message counts as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// `commit`: once it is on stable storage.
    Commit,
    /// `os`: once the operating system has it. A crash of the host may lose it.
    Os,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Commit => "commit",
            Self::Os => "os",
        })
    }
}

impl FromStr for Durability {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "commit" => Ok(Self::Commit),
            "os" => Ok(Self::Os),
            _ => Err(Invalid::new(
                format!("{text:?} is not a durability"),
                "write \"commit\" (250 only after stable storage) or \"os\" (written, not synced)",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invalid::check;

    #[test]
    fn cpu_lists() {
        let good = [("0", "0"), ("3, 0-1", "0-1,3"), ("0,1,2", "0-2"), ("5-5", "5")];
        check::<CpuList>(&good, &["", "a", "1-", "3-1", "0,0", "0-300", "70000", "-1", "1,,2"]);
    }

    #[test]
    fn networks() {
        let good = [
            ("127.0.0.0/8", "127.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("::1/128", "::1/128"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
        ];
        let bad = [
            "",
            "/",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::1/129",
            "::1/0",
            "10.0.0/8",
            "::ffff:1.2.3.4",
        ];
        check::<Network>(&good, &bad);
    }

    #[test]
    fn a_network_contains_what_shares_its_prefix() {
        let cases = [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.0/24", "::ffff:192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ];
        for (network, address, inside) in cases {
            let parsed: Network = network.parse().expect(network);
            let address = address.parse().expect(address);
            assert_eq!(parsed.contains(address), inside, "{network} {address}");
        }
    }

    #[test]
    fn durabilities() {
        check::<Durability>(&[("commit", "commit"), ("os", "os")], &["", "Commit", "fsync"]);
    }
}

//! Where mail goes: from the domain of a recipient to a next hop, and from MX records to the hosts
//! of a site.
//!
//! # Guarantees
//! Pure: the same routes, answers and seed give the same next hop and the same order of hosts.
//!
//! # Never
//! Nothing here asks the DNS; `io::dns` does, and brings the answers.

#![forbid(unsafe_code)]

pub mod mx;
pub mod rule;
pub mod table;

pub use mx::{DnsFailure, DnsFailureKind, Site, SiteHost};
pub use rule::{Destination, DomainName, DomainPattern, Host, Route};
pub use table::RouteTable;

use std::fmt;

/// What the queue sorts mail by: messages with the same next hop share connections and limits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// Mail that is thrown away: delivered without a connection.
    Discard,
    /// The hosts that the MX records of a domain name (RFC 5321 §5.1).
    Mx {
        /// In lower case, without a trailing dot.
        domain: Box<str>,
    },
    /// One host, whatever its MX records say.
    Smtp {
        /// A name in lower case, or an address without brackets.
        host: Box<str>,
        /// TCP port.
        port: u16,
    },
}

impl fmt::Display for NextHop {
    /// As the configuration would write it; an MX site by its domain.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discard => f.write_str("discard"),
            Self::Mx { domain } => f.write_str(domain),
            Self::Smtp { host, port } if host.contains(':') => write!(f, "smtp://[{host}]:{port}"),
            Self::Smtp { host, port } => write!(f, "smtp://{host}:{port}"),
        }
    }
}

/// The domain of a forward-path without angle brackets: what stands behind its last `@`, as
/// written. A path without one (`<postmaster>`, RFC 5321 §4.5.1) belongs to `local_domain`.
pub fn recipient_domain<'a>(address: &'a [u8], local_domain: &'a str) -> &'a [u8] {
    match memchr::memrchr(b'@', address) {
        Some(at) => &address[at + 1..],
        None => local_domain.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_stands_behind_the_last_at_sign() {
        let cases: [(&[u8], &[u8]); 4] = [
            (b"user@example.com", b"example.com"),
            (b"\"a@b\"@Example.org.", b"Example.org."),
            (b"postmaster", b"mx.example.net"),
            (b"user@", b""),
        ];
        for (address, domain) in cases {
            assert_eq!(recipient_domain(address, "mx.example.net"), domain);
        }
    }

    #[test]
    fn a_next_hop_is_shown_as_the_configuration_writes_it() {
        let hop = NextHop::Smtp { host: "::1".into(), port: 2525 };
        assert_eq!(hop.to_string(), "smtp://[::1]:2525");
        assert_eq!(NextHop::Mx { domain: "example.com".into() }.to_string(), "example.com");
        assert_eq!(NextHop::Discard.to_string(), "discard");
    }
}

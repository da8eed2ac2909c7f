//! The configured routes: which next hop a recipient's domain has.
//!
//! # Guarantees
//! The first route in configuration order that has a matching pattern wins, whatever kind the
//! pattern is of. Without a match the next hop is MX. A domain is compared in ASCII lower case, as
//! A-labels and without a trailing dot.
//!
//! # Bounds
//! A look-up costs one hash look-up for the domain and one for each of its labels, at most
//! [`DOMAIN_LABELS_MAX`]; the number of routes does not matter.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::BuildHasherDefault;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Destination, DomainPattern, Host, NextHop, Route};
use crate::limits::{DOMAIN_BYTES_MAX, DOMAIN_LABELS_MAX, LABEL_BYTES_MAX};

/// All routes, ready to be asked. Values in its maps are positions in `targets`, which are in
/// configuration order, so that the least one wins.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    /// The next hop that is the same for all domains of a route; none where that is MX.
    targets: Vec<Option<NextHop>>,
    exact: HashMap<Box<str>, usize, BuildHasherDefault<DefaultHasher>>,
    /// By what follows `*.`.
    below: HashMap<Box<str>, usize, BuildHasherDefault<DefaultHasher>>,
    everything: Option<usize>,
    delivery_port: u16,
}

impl RouteTable {
    /// The table of `routes`. `delivery_port` is where the host of an address literal listens
    /// (`user@[192.0.2.1]`); it is the port of MX delivery too.
    pub fn new(routes: &[Route], delivery_port: u16) -> Self {
        let mut table = Self { delivery_port, ..Self::default() };
        for (position, route) in routes.iter().enumerate() {
            for pattern in &route.domains {
                match pattern {
                    DomainPattern::Any => *table.everything.get_or_insert(position),
                    DomainPattern::Below(name) => {
                        *table.below.entry(name.as_str().into()).or_insert(position)
                    }
                    DomainPattern::Exactly(name) => {
                        *table.exact.entry(name.as_str().into()).or_insert(position)
                    }
                };
            }
            table.targets.push(fixed_hop(&route.to));
        }
        table
    }

    /// The next hop of a recipient whose address ends in `domain` (as written, any case).
    ///
    /// An address literal (RFC 5321 §4.1.3) goes straight to its address unless a route sends it
    /// elsewhere. A domain that is no domain is passed on; its look-up fails for good.
    pub fn next_hop(&self, domain: &[u8]) -> NextHop {
        let name = normalized(domain);
        if let Some(hop) = self.target(&name) {
            return hop.clone();
        }
        match literal_address(&name) {
            Some(address) => {
                NextHop::Smtp { host: address.to_string().into(), port: self.delivery_port }
            }
            None => NextHop::Mx { domain: name.into() },
        }
    }

    fn target(&self, name: &str) -> Option<&NextHop> {
        let mut first = self.everything;
        let mut consider = |found: Option<&usize>| {
            if let Some(&position) = found {
                first = Some(first.map_or(position, |known| known.min(position)));
            }
        };
        consider(self.exact.get(name));
        if !self.below.is_empty() && !name.starts_with('[') {
            for (dot, _) in name.match_indices('.').take(DOMAIN_LABELS_MAX) {
                consider(self.below.get(&name[dot + 1..]));
            }
        }
        self.targets.get(first?)?.as_ref()
    }
}

fn fixed_hop(to: &Destination) -> Option<NextHop> {
    match to {
        Destination::Mx => None,
        Destination::Discard => Some(NextHop::Discard),
        Destination::Smtp { host, port } => {
            let host = match host {
                Host::Name(name) => name.as_str().into(),
                Host::Address(address) => address.to_string().into(),
            };
            Some(NextHop::Smtp { host, port: *port })
        }
    }
}

/// In ASCII lower case, with A-labels for U-labels (RFC 6531 §3.2) and without a trailing dot.
/// Bytes that are no UTF-8 become U+FFFD, which no domain name contains; what IDNA does not know
/// as a domain stays beyond ASCII, which none does either.
pub fn normalized(domain: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(domain).into_owned();
    if !text.is_ascii()
        && let Ok(ascii) = idna::domain_to_ascii_strict(&text)
    {
        text = ascii;
    }
    text.make_ascii_lowercase();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

/// Whether `name`, in lower case, may name a host: letters, digits, hyphens and underscores in
/// labels of 1 to 63 bytes (RFC 1035 §2.3.4; the underscore occurs).
pub fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // RFC 1035 §2.3.4: 255 bytes on the wire, where each label has a length byte and the root one
    // more.
    name.len() + 2 <= DOMAIN_BYTES_MAX && name.split('.').all(is_label)
}

/// The address that a literal in lower case names: `[192.0.2.1]` or `[ipv6:2001:db8::1]`
/// (RFC 5321 §4.1.3).
fn literal_address(name: &str) -> Option<IpAddr> {
    let inner = name.strip_prefix('[')?.strip_suffix(']')?;
    match inner.strip_prefix("ipv6:") {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn smtp(host: &str, port: u16) -> NextHop {
        NextHop::Smtp { host: host.into(), port }
    }

    fn mx(domain: &str) -> NextHop {
        NextHop::Mx { domain: domain.into() }
    }

    fn route(domains: &[&str], to: &str) -> Route {
        let domains = domains.iter().map(|text| text.parse().unwrap()).collect();
        Route { domains, to: to.parse().unwrap() }
    }

    #[test]
    fn a_domain_beyond_ascii_is_looked_up_by_its_a_labels() {
        let cases = [
            ("Example.COM.", "example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("παράδειγμα.δοκιμή", "xn--hxajbheg2az3al.xn--jxalpdlp"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]"),
            ("ü_.example", "ü_.example"),
        ];
        for (domain, expected) in cases {
            assert_eq!(normalized(domain.as_bytes()), expected);
        }
        assert_eq!(normalized(b"a\xff"), "a\u{fffd}");
        let table = RouteTable::new(&[route(&["xn--bcher-kva.example"], "discard")], 25);
        assert_eq!(table.next_hop("bücher.example".as_bytes()), NextHop::Discard);
        assert_eq!(table.next_hop("παράδειγμα.test".as_bytes()), mx("xn--hxajbheg2az3al.test"));
    }

    #[test]
    fn the_first_route_that_matches_wins() {
        let table = RouteTable::new(
            &[
                route(&["special.example.com"], "smtp://special:2525"),
                route(&["*.Example.com", "example.com"], "smtp://inner"),
                route(&["late.example.com"], "discard"),
                route(&["trash.test"], "discard"),
                route(&["mx.test"], "mx"),
                route(&["*"], "smtp://[::1]:26"),
                route(&["never.test"], "discard"),
            ],
            25,
        );
        let cases = [
            ("special.example.com", smtp("special", 2525)),
            ("EXAMPLE.com.", smtp("inner", 25)),
            ("late.example.com", smtp("inner", 25)),
            ("a.b.c.example.com", smtp("inner", 25)),
            ("below.special.example.com", smtp("inner", 25)),
            ("notexample.com", smtp("::1", 26)),
            ("trash.test", NextHop::Discard),
            ("mx.test", mx("mx.test")),
            ("never.test", smtp("::1", 26)),
            ("[192.0.2.1]", smtp("::1", 26)),
            ("", smtp("::1", 26)),
        ];
        for (domain, hop) in cases {
            assert_eq!(table.next_hop(domain.as_bytes()), hop, "{domain}");
        }
    }

    #[test]
    fn without_a_route_mail_goes_by_mx_and_literals_to_their_address() {
        let table = RouteTable::new(&[], 2525);
        assert_eq!(table.next_hop(b"Example.COM."), mx("example.com"));
        assert_eq!(table.next_hop(b"[192.0.2.1]"), smtp("192.0.2.1", 2525));
        assert_eq!(table.next_hop(b"[IPv6:2001:DB8::1]"), smtp("2001:db8::1", 2525));
        assert_eq!(table.next_hop(b"[2001:db8::1]"), mx("[2001:db8::1]"));
        assert_eq!(table.next_hop(b"\xff.example"), mx("\u{fffd}.example"));
    }

    /// The rule as one would write it down: try every pattern of every route in order.
    fn naive(patterns: &[String], domain: &str) -> Option<usize> {
        patterns.iter().position(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => {
                domain.strip_suffix(parent).and_then(|front| front.strip_suffix('.')).is_some()
            }
            None => pattern == "*" || pattern == domain,
        })
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_the_rule(
            patterns in prop::collection::vec("(\\*\\.)?[ab](\\.[ab]){0,2}|\\*", 0..8),
            domain in "[ab](\\.[ab]){0,3}",
        ) {
            let to = |port: usize| format!("smtp://h:{}", 1 + port);
            let routes = patterns.iter().enumerate();
            let routes: Vec<Route> =
                routes.map(|(port, pattern)| route(&[pattern], &to(port))).collect();
            let expected = naive(&patterns, &domain).map(to);
            let table = RouteTable::new(&routes, 25);
            let hop = table.next_hop(domain.as_bytes()).to_string();
            prop_assert_eq!(hop, expected.unwrap_or(domain));
        }

        #[test]
        fn any_bytes_have_a_next_hop(domain in prop::collection::vec(any::<u8>(), 0..300)) {
            RouteTable::new(&[route(&["*.x", "y"], "discard")], 25).next_hop(&domain);
        }
    }
}

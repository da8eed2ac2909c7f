//! Routes as people write them: which domains, and where their mail goes.
//!
//! # Guarantees
//! Each value can only be made from text that means something, and `value.to_string().parse()`
//! gives the same value back.
//!
//! # Failures
//! [`Invalid`] says what is wrong with the text and what would be right.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use crate::invalid::Invalid;
use crate::limits::{DOMAIN_BYTES_MAX, LABEL_BYTES_MAX};

/// Where the mail for some domains goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Any of them takes a recipient; at least one.
    pub domains: Vec<DomainPattern>,
    /// Where its mail goes.
    pub to: Destination,
}

impl Route {
    /// The route of every domain to `to`.
    pub fn of_all(to: Destination) -> Self {
        Self { domains: vec![DomainPattern::Any], to }
    }

    /// Whether no domain is left for the routes behind it.
    pub fn takes_all(&self) -> bool {
        self.domains.contains(&DomainPattern::Any)
    }
}

/// Which recipient domains a route takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DomainPattern {
    /// `*`
    Any,
    /// `*.example.com`: what lies below the name, not the name itself.
    Below(DomainName),
    /// `example.com`
    Exactly(DomainName),
}

impl DomainPattern {
    /// Whether it takes `domain`, in the form that [`normalized`](super::table::normalized) gives.
    pub fn matches(&self, domain: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Below(name) => domain
                .strip_suffix(name.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            Self::Exactly(name) => domain == name.as_str(),
        }
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Exactly(name) => name.fmt(f),
        }
    }
}

impl FromStr for DomainPattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        match name.parse() {
            Ok(name) if below => Ok(Self::Below(name)),
            Ok(name) => Ok(Self::Exactly(name)),
            Err(Invalid { what, .. }) => {
                let remedy = "write \"example.com\", \"*.example.com\" or \"*\"";
                Err(Invalid::new(what, remedy))
            }
        }
    }
}

/// Where a route sends its mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `mx`: to the hosts that the domain's MX records name.
    Mx,
    /// `smtp://HOST[:PORT]`
    Smtp {
        /// The next hop.
        host: Host,
        /// Its port; 25 where none is written.
        port: u16,
    },
    /// `discard`: taken, counted as delivered, sent nowhere.
    Discard,
}

/// The port of SMTP between servers (RFC 5321 §4.5.4.2), for `smtp://HOST` without one.
const SMTP_PORT: u16 = 25;

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mx => f.write_str("mx"),
            Self::Smtp { host: Host::Address(address), port } => {
                write!(f, "smtp://{}", SocketAddr::new(*address, *port))
            }
            Self::Smtp { host: Host::Name(name), port } => write!(f, "smtp://{name}:{port}"),
            Self::Discard => f.write_str("discard"),
        }
    }
}

impl FromStr for Destination {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "mx" => return Ok(Self::Mx),
            "discard" => return Ok(Self::Discard),
            _ => {}
        }
        if let Some(next_hop) = text.strip_prefix("smtp://") {
            let (host, port) = host_and_port(text, next_hop)?;
            return Ok(Self::Smtp { host, port });
        }
        let remedy = "write \"mx\", \"smtp://HOST:PORT\" or \"discard\"";
        let what = if text.starts_with("smtps://") {
            format!("{text:?} asks for TLS, which this version does not speak")
        } else if text.starts_with("lmtp://") {
            format!("{text:?} asks for LMTP, which this version does not speak")
        } else {
            format!("{text:?} is not a destination")
        };
        Err(Invalid::new(what, remedy))
    }
}

/// A next hop that is named by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// By an address: no look-up.
    Address(IpAddr),
    /// By a name: its A and AAAA records are looked up, its MX records are not.
    Name(DomainName),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

fn host_and_port(url: &str, next_hop: &str) -> Result<(Host, u16), Invalid> {
    let remedy = "write smtp://HOST or smtp://HOST:PORT, an IPv6 address in brackets";
    let refuse = |why: &str| Err(Invalid::new(format!("{url:?} {why}"), remedy));
    let (host, port) = match next_hop.rsplit_once(':') {
        // The last colon of an address in brackets is not the one before a port.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (next_hop, None),
    };
    let port = match port.map(str::parse) {
        None => SMTP_PORT,
        Some(Ok(0)) | Some(Err(_)) => return refuse("has no port between 1 and 65535"),
        Some(Ok(port)) => port,
    };
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match address.parse() {
            Ok(address) => Ok((Host::Address(IpAddr::V6(address)), port)),
            Err(_) => refuse("has no IPv6 address in its brackets"),
        };
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok((Host::Address(IpAddr::V4(address)), port));
    }
    match host.parse() {
        Ok(name) => Ok((Host::Name(name), port)),
        Err(Invalid { what, .. }) => Err(Invalid::new(format!("in {url:?}: {what}"), remedy)),
    }
}

/// A domain name in the preferred form (RFC 5321 §4.1.2, RFC 1035 §2.3.1), in lower case, without a
/// dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(Box<str>);

impl DomainName {
    /// The name of every host for itself.
    pub fn localhost() -> Self {
        Self("localhost".into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DomainName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why: &str| {
            let remedy = "write letters, digits and hyphens in parts divided by dots, as in \
                          \"mx1.example.net\"";
            Err(Invalid::new(format!("{text:?} is not a domain name: {why}"), remedy))
        };
        if text.is_empty() {
            return refuse("it is empty");
        }
        if !text.is_ascii() {
            let remedy = "write it in its ASCII form, which begins with \"xn--\"";
            return Err(Invalid::new(format!("{text:?} has letters outside ASCII"), remedy));
        }
        if text.len() > DOMAIN_BYTES_MAX {
            return refuse("it is longer than 255 bytes");
        }
        for label in text.split('.') {
            if label.is_empty() {
                return refuse("a part is empty");
            }
            // RFC 1035 §2.3.4
            if label.len() > LABEL_BYTES_MAX {
                return refuse("a part is longer than 63 bytes");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return refuse("a part begins or ends with a hyphen");
            }
            if let Some(odd) = label.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
                return refuse(&format!("{odd:?} may not stand in it"));
            }
        }
        // A name whose last part is a number would be read as an address (RFC 1123 §2.1).
        if text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
            return refuse("its last part is a number");
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invalid::check;

    #[test]
    fn domain_names() {
        let label_64 = "a".repeat(64);
        let long = ["a".repeat(63).as_str(); 4].join(".") + ".example";
        let good = [("MX1.Example.Net", "mx1.example.net"), ("localhost", "localhost"), ("a", "a")];
        let bad = ["", ".", "a..b", "a.", "-a.b", "a-.b", "a_b.c", "a b", "192.0.2.1", "bücher.de"];
        check::<DomainName>(&good, &bad);
        check::<DomainName>(&[], &[&label_64, &long]);
    }

    #[test]
    fn domain_patterns() {
        let good = [("*", "*"), ("*.Example.com", "*.example.com"), ("example.com", "example.com")];
        check::<DomainPattern>(&good, &["", "*.", "**", "a.*.b", "*example.com", "x@example.com"]);
    }

    #[test]
    fn what_a_pattern_takes() {
        let cases = [
            ("*", "example.com", true),
            ("*", "[192.0.2.1]", true),
            ("example.com", "example.com", true),
            ("example.com", "a.example.com", false),
            ("example.com", "badexample.com", false),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "badexample.com", false),
            ("*.example.com", "b.a.example.com", true),
        ];
        for (pattern, domain, expected) in cases {
            let pattern: DomainPattern = pattern.parse().expect("a pattern");
            assert_eq!(pattern.matches(domain), expected, "{pattern} {domain}");
        }
    }

    #[test]
    fn destinations() {
        let good = [
            ("mx", "mx"),
            ("discard", "discard"),
            ("smtp://relay.example.net", "smtp://relay.example.net:25"),
            ("smtp://127.0.0.1:2526", "smtp://127.0.0.1:2526"),
            ("smtp://[::1]:2526", "smtp://[::1]:2526"),
            ("smtp://[2001:db8::1]", "smtp://[2001:db8::1]:25"),
        ];
        let bad = [
            "",
            "MX ",
            "smtp:/x",
            "smtp://",
            "smtp://:25",
            "smtp://a:0",
            "smtp://a:65536",
            "smtp://a:b",
            "smtp://a/",
            "smtp://user@a",
            "smtp://::1",
            "smtp://[1.2.3.4]",
            "smtps://a",
            "lmtp://a:24",
            "lmtp:///socket",
            "http://a",
        ];
        check::<Destination>(&good, &bad);
    }
}

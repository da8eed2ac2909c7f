//! Which addresses a user may send from.

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;
use crate::limits::LOCAL_PART_BYTES_MAX;
use crate::route::{DomainName, DomainPattern};

/// Addresses that a user may send from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderPattern {
    /// All of some domains: `*`, `example.com` or `*.example.com`.
    Domains(DomainPattern),
    /// `user@example.com`
    Address {
        /// Compared byte by byte: only its own host knows what else would be the same
        /// (RFC 5321 §2.4).
        local_part: Box<str>,
        /// Compared without regard to case.
        domain: DomainName,
    },
}

impl SenderPattern {
    /// Whether `address`, a mailbox of MAIL, is one of them.
    pub fn matches(&self, address: &[u8]) -> bool {
        if *self == Self::Domains(DomainPattern::Any) {
            return true;
        }
        // The local part may hold an @ in quotes, the domain may not.
        let Ok(address) = std::str::from_utf8(address) else { return false };
        let Some((local_part, domain)) = address.rsplit_once('@') else { return false };
        let Some(domain) = ascii_form(domain) else { return false };
        match self {
            Self::Domains(DomainPattern::Any) => true,
            Self::Domains(DomainPattern::Exactly(name)) => domain == name.as_str(),
            Self::Domains(DomainPattern::Below(name)) => domain
                .strip_suffix(name.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            Self::Address { local_part: wanted, domain: name } => {
                local_part == &**wanted && domain == name.as_str()
            }
        }
    }
}

/// The domain in lower case, with A-labels for U-labels (RFC 6531 §3.2), as it is compared.
fn ascii_form(domain: &str) -> Option<String> {
    if domain.is_ascii() {
        return Some(domain.to_ascii_lowercase());
    }
    idna::domain_to_ascii(domain).ok()
}

impl fmt::Display for SenderPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domains(pattern) => pattern.fmt(f),
            Self::Address { local_part, domain } => write!(f, "{local_part}@{domain}"),
        }
    }
}

impl FromStr for SenderPattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let remedy =
            "write \"user@example.com\", \"example.com\", \"*.example.com\" or \"*\" for all";
        let Some((local_part, domain)) = text.rsplit_once('@') else {
            let pattern = text.parse().map_err(|Invalid { what, .. }| Invalid::new(what, remedy));
            return pattern.map(Self::Domains);
        };
        let is_odd = |c: char| c.is_control() || c.is_whitespace() || c == '*';
        let is_quoted = local_part.starts_with('"');
        if local_part.is_empty()
            || local_part.len() > LOCAL_PART_BYTES_MAX
            || (!is_quoted && local_part.contains(|c| is_odd(c) || c == '@'))
        {
            return Err(Invalid::new(format!("{text:?} is not an address"), remedy));
        }
        match domain.parse() {
            Ok(domain) => Ok(Self::Address { local_part: local_part.into(), domain }),
            Err(Invalid { what, .. }) => Err(Invalid::new(what, remedy)),
        }
    }
}

//! How a sink behaves: what it makes of a client, of a command and of a message, by the address it
//! was reached at and by the recipient's domain.
//!
//! The address decides up to RCPT. At RCPT the first `[[domain]]` that matches the recipient
//! decides, where it says something, and from DATA on it does if it matches all recipients that
//! were accepted.
//!
//! # Guarantees
//! The same seed and the same dialogue give the same behaviour.

mod admission;
mod delay;
mod file;
mod greylist;
mod rules;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tls::TlsMode;

pub(crate) use admission::{Admission, AdmissionLimits};
pub(crate) use delay::Delay;
pub(crate) use file::{DelayKeys, Keys, ReplyKeys, read};
pub(crate) use greylist::Greylist;
pub(crate) use rules::{Drop, DropAt, ReplyRule, ReplyText};

/// A place in a session at which a reply is given.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Point {
    Greeting,
    Ehlo,
    Starttls,
    Auth,
    Mail,
    Rcpt,
    /// To DATA itself; a BDAT has no such reply.
    Data,
    /// To a content, whether by DATA or by BDAT.
    EndOfData,
    /// To RSET, NOOP and VRFY.
    Other,
    Quit,
}

impl Point {
    pub(crate) const COUNT: usize = Self::Quit as usize + 1;

    /// For people, and for the counts of what was refused.
    pub(crate) const fn phrase(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Ehlo => "EHLO",
            Self::Starttls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::EndOfData => "end of data",
            Self::Other => "other",
            Self::Quit => "QUIT",
        }
    }

    /// Whether a recipient's domain has a say in it.
    pub(crate) const fn is_of_domains(self) -> bool {
        matches!(self, Self::Rcpt | Self::Data | Self::EndOfData)
    }
}

/// A few bytes of a reply at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tarpit {
    pub(crate) bytes: usize,
    pub(crate) every: Duration,
}

/// The form of positive replies, all of it allowed by RFC 5321 §4.2.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReplyLines {
    /// One line.
    #[default]
    Plain,
    /// Twenty.
    Many,
    /// One without a text and without a space behind the code.
    NoText,
    /// One of 512 bytes (RFC 5321 §4.5.3.1.5).
    Long,
    /// Lines with and without text and enhanced code.
    Mixed,
}

/// What a certificate has to object to.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CertificateKind {
    /// Nothing but that nobody vouches for it.
    #[default]
    SelfSigned,
    /// Nothing; it is of the sink's own authority, as those below are.
    Sound,
    /// It ended years ago.
    Expired,
    /// It is for another host.
    WrongName,
}

/// What happens where a TLS handshake should begin.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Handshake {
    /// It does.
    #[default]
    Sound,
    /// Something is sent that is no TLS.
    Garbage,
    /// The connection is closed.
    Close,
}

/// What EHLO offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offers {
    /// RFC 2920.
    pub(crate) pipelining: bool,
    /// RFC 3030.
    pub(crate) chunking: bool,
    /// RFC 6152.
    pub(crate) eight_bit_mime: bool,
    /// RFC 6531.
    pub(crate) smtputf8: bool,
    /// AUTH PLAIN and LOGIN (RFC 4954); every password is right.
    pub(crate) auth: bool,
}

/// Everything that can be said of an address, or of a domain at an address.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Behaviour {
    /// The name in the greeting.
    pub(crate) name: String,
    pub(crate) offers: Offers,
    /// Before the reply at each point.
    pub(crate) delays: [Option<Delay>; Point::COUNT],
    pub(crate) replies: Vec<ReplyRule>,
    pub(crate) drops: Vec<Drop>,
    pub(crate) lines: ReplyLines,
    pub(crate) tarpit: Option<Tarpit>,
    pub(crate) greylist: Option<Duration>,
    pub(crate) admission: AdmissionLimits,
    pub(crate) read_bytes_per_second: Option<u64>,
    pub(crate) receive_buffer_bytes: Option<usize>,
    /// As SIZE offers it (RFC 1870); larger messages get 552.
    pub(crate) size_max_bytes: Option<u64>,
    pub(crate) tls: TlsMode,
    pub(crate) certificate: CertificateKind,
    pub(crate) handshake: Handshake,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            name: "sink.example".to_owned(),
            offers: Offers {
                pipelining: true,
                chunking: true,
                eight_bit_mime: true,
                smtputf8: true,
                auth: false,
            },
            delays: [const { None }; Point::COUNT],
            replies: Vec::new(),
            drops: Vec::new(),
            lines: ReplyLines::Plain,
            tarpit: None,
            greylist: None,
            admission: AdmissionLimits::default(),
            read_bytes_per_second: None,
            receive_buffer_bytes: None,
            size_max_bytes: None,
            tls: TlsMode::None,
            certificate: CertificateKind::SelfSigned,
            handshake: Handshake::Sound,
        }
    }
}

/// Domains that behave alike: exact names, or `*.` before a name for everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Domains {
    patterns: Vec<String>,
}

impl Domains {
    fn matches(&self, domain: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| match pattern.strip_prefix('*') {
            Some(below) => {
                let at = domain.len().saturating_sub(below.len());
                at > 0 && domain[at..].eq_ignore_ascii_case(below.as_bytes())
            }
            None => domain.eq_ignore_ascii_case(pattern.as_bytes()),
        })
    }
}

/// An address to listen on, with its behaviour towards everybody and towards some domains.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) behaviour: Behaviour,
    /// In the order of the file: the first that matches counts.
    pub(crate) domains: Vec<(Domains, Behaviour)>,
}

impl Listening {
    /// An address that takes everything at once.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self { address, behaviour: Behaviour::default(), domains: Vec::new() }
    }

    /// The domain rule for `domain`, if there is one.
    pub(crate) fn rule_of(&self, domain: &[u8]) -> Option<usize> {
        self.domains.iter().position(|(domains, _)| domains.matches(domain))
    }

    /// The behaviour of a rule, or of the address.
    pub(crate) fn behaviour_of(&self, rule: Option<usize>) -> &Behaviour {
        let of_rule = rule.and_then(|rule| self.domains.get(rule)).map(|(_, behaviour)| behaviour);
        of_rule.unwrap_or(&self.behaviour)
    }
}

/// A complaint about a behaviour file.
pub(crate) fn complaint(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

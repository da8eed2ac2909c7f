//! What a session says and how, and whether a server offers what that needs.

use std::fmt;

use super::Stage;
use super::login::{Login, Mechanism};

/// How a content travels, as the user asked for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// By DATA (RFC 5321 §4.1.1.4).
    #[default]
    Data,
    /// By BDAT (RFC 3030 §2), in pieces of at most so many bytes.
    Bdat { chunk_bytes: usize },
}

/// What a session says and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientSettings {
    /// The name in EHLO.
    pub(crate) name: String,
    /// Use PIPELINING where it is offered.
    pub(crate) pipelining: bool,
    /// Say STARTTLS before anything else; a server that does not offer it is of no use then.
    pub(crate) starttls: bool,
    /// Log in before the first message.
    pub(crate) login: Option<Login>,
    pub(crate) transfer: Transfer,
    /// Say the size of each message in MAIL where SIZE is offered (RFC 1870 §6).
    pub(crate) declares_size: bool,
    /// The contents have bytes above 127: say BODY=8BITMIME (RFC 6152 §3).
    pub(crate) is_8bit: bool,
    /// Addresses or header fields go beyond ASCII: say SMTPUTF8 (RFC 6531 §3.4).
    pub(crate) is_utf8: bool,
}

impl ClientSettings {
    /// What keeps these settings from being used with a server that offers `offers` on a
    /// connection that is protected or not; the caller has seen to STARTTLS.
    pub(super) fn unfit_for(&self, offers: &Offers, is_protected: bool) -> Option<Unfit> {
        if let Some(login) = &self.login {
            if !is_protected && !login.without_tls {
                return Some(Unfit::PasswordInClear);
            }
            if !offers.mechanisms.contains(login.mechanism) {
                return Some(Unfit::NoMechanism(login.mechanism));
            }
        }
        let needs_chunking = matches!(self.transfer, Transfer::Bdat { .. });
        [
            (needs_chunking && !offers.chunking, Unfit::NoChunking),
            (self.is_8bit && !offers.eight_bit_mime, Unfit::No8BitMime),
            (self.is_utf8 && !offers.smtputf8, Unfit::NoSmtpUtf8),
        ]
        .into_iter()
        .find_map(|(is_so, unfit)| is_so.then_some(unfit))
    }
}

/// Why settings and server do not go together. No message can be sent, now or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    NoStarttls,
    /// The password would travel in the clear (RFC 4954 §4).
    PasswordInClear,
    NoMechanism(Mechanism),
    NoChunking,
    No8BitMime,
    NoSmtpUtf8,
}

impl Unfit {
    /// The command that cannot be said, or only not so.
    pub(crate) const fn stage(self) -> Stage {
        match self {
            Self::NoStarttls => Stage::StartTls,
            Self::PasswordInClear | Self::NoMechanism(_) => Stage::Auth,
            Self::NoChunking => Stage::Bdat,
            Self::No8BitMime | Self::NoSmtpUtf8 => Stage::Mail,
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStarttls => f.write_str(
                "the server does not offer STARTTLS; use --tls none, or implicit on a port for it",
            ),
            Self::PasswordInClear => f.write_str(
                "the password is not sent without TLS; use --tls, or --auth-without-tls",
            ),
            Self::NoMechanism(mechanism) => {
                write!(f, "the server does not offer AUTH {mechanism}; use another --auth, or none")
            }
            Self::NoChunking => {
                f.write_str("the server does not offer CHUNKING; leave out --bdat to use DATA")
            }
            Self::No8BitMime => f.write_str(
                "the server does not offer 8BITMIME, and the messages have bytes above 127",
            ),
            Self::NoSmtpUtf8 => {
                f.write_str("the server does not offer SMTPUTF8; leave out --smtputf8")
            }
        }
    }
}

/// What a server said after EHLO that it can do.
#[derive(Clone, Debug, Default)]
pub(super) struct Offers {
    pub(super) pipelining: bool,
    pub(super) starttls: bool,
    pub(super) size: bool,
    pub(super) chunking: bool,
    pub(super) eight_bit_mime: bool,
    pub(super) smtputf8: bool,
    pub(super) mechanisms: Mechanisms,
}

/// The mechanisms of AUTH that a server offers, of those that we know.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mechanisms {
    plain: bool,
    login: bool,
}

impl Mechanisms {
    const fn contains(self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::Plain => self.plain,
            Mechanism::Login => self.login,
        }
    }
}

impl Offers {
    /// Takes a line of the reply to EHLO (RFC 5321 §4.1.1.1). Its first line, which has the
    /// server's name, is taken for what it says too: no host is named like an extension.
    pub(super) fn take(&mut self, text: &[u8]) {
        let mut words = text.split(|byte| *byte == b' ');
        let keyword = words.next().unwrap_or_default();
        for (known, is_offered) in [
            (&b"PIPELINING"[..], &mut self.pipelining),
            (b"STARTTLS", &mut self.starttls),
            (b"SIZE", &mut self.size),
            (b"CHUNKING", &mut self.chunking),
            (b"8BITMIME", &mut self.eight_bit_mime),
            (b"SMTPUTF8", &mut self.smtputf8),
        ] {
            *is_offered |= keyword.eq_ignore_ascii_case(known);
        }
        if keyword.eq_ignore_ascii_case(b"AUTH") {
            for word in words {
                self.mechanisms.plain |= word.eq_ignore_ascii_case(b"PLAIN");
                self.mechanisms.login |= word.eq_ignore_ascii_case(b"LOGIN");
            }
        }
    }
}

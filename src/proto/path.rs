//! Reverse-paths and forward-paths: the whole grammar of RFC 5321 §4.1.2 and §4.1.3.
//!
//! # Guarantees
//! A parsed path names ranges of the line and copies nothing. Its address holds printable ASCII
//! only, so it can be put into a command or a header as it is; with [`PathRules::utf8`] also UTF-8
//! (RFC 6531 §3.3), of which nothing is mapped and nothing is invisible. Source routes are checked
//! and left out (RFC 5321 §4.1.1.3, appendix C).
//!
//! # Never
//! Nothing is looked up, folded to lower case or unquoted: a local part means something to its own
//! host only (RFC 5321 §2.4).
//!
//! # Failures
//! [`PathFault`] says which part is wrong.
//!
//! # Bounds
//! [`LOCAL_PART_BYTES_MAX`], [`DOMAIN_BYTES_MAX`] and [`LABEL_BYTES_MAX`].

use std::net::{Ipv4Addr, Ipv6Addr};

use memchr::memchr;

use crate::limits::{DOMAIN_BYTES_MAX, LABEL_BYTES_MAX, LOCAL_PART_BYTES_MAX};
use crate::proto::idn::{is_normal, is_printable};
use crate::span::Span;

/// A path of a MAIL or RCPT command; the spans lie in the line that it was parsed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// `<>`, the null reverse-path (RFC 5321 §4.5.5).
    Null,
    /// `<Postmaster>` without a domain: the postmaster of the server that is spoken to
    /// (RFC 5321 §4.1.1.3).
    Postmaster,
    /// A mailbox.
    Mailbox {
        /// Local part, `@` and domain, without brackets and source route.
        address: Span,
        /// What stands behind the last `@`: a domain or an address literal with its brackets.
        domain: Span,
    },
}

/// Which of the two paths is parsed: they differ in the special forms that they allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// Of MAIL: `<>` is allowed.
    Reverse,
    /// Of RCPT: `<Postmaster>` is allowed.
    Forward,
}

/// What a path may have beyond the grammar of RFC 5321.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathRules {
    /// Characters beyond ASCII (RFC 6531 §3.3).
    pub utf8: bool,
    /// No angle brackets; the path ends at a space or with the line then.
    pub missing_brackets: bool,
}

/// What is wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// Spaces stand before it (RFC 5321 §3.3).
    SpaceBefore,
    /// Does not stand in angle brackets.
    Brackets,
    /// The source route is malformed.
    Route,
    /// The local part is empty or malformed.
    LocalPart,
    /// The local part is longer than [`LOCAL_PART_BYTES_MAX`].
    LocalPartTooLong,
    /// No `@` and domain follow the local part.
    DomainMissing,
    /// The domain is malformed.
    Domain,
    /// The domain is longer than [`DOMAIN_BYTES_MAX`], or one of its labels than
    /// [`LABEL_BYTES_MAX`].
    DomainTooLong,
    /// The domain is beyond ASCII and not in the form that IDNA gives it (RFC 5890 §2.3.2.1).
    DomainNotNormal,
    /// The address literal is malformed.
    AddressLiteral,
    /// `<>` as a forward-path.
    NullForward,
    /// Holds characters beyond ASCII, which need `SMTPUTF8` with MAIL (RFC 6531 §3.4).
    NonAscii,
    /// Holds bytes beyond ASCII that are no UTF-8 either.
    NotUtf8,
}

impl PathFault {
    /// What is wrong and what to do, for the peer.
    pub const fn text(self) -> &'static str {
        match self {
            Self::SpaceBefore => "Space before the address: send none behind FROM: and TO:",
            Self::Brackets => "Address not in angle brackets: send <user@example.com>",
            Self::Route => "Source route malformed: leave it out",
            Self::LocalPart => "Part before the @ malformed: quote what is not an atom",
            Self::LocalPartTooLong => "Part before the @ too long: it has at most 255 bytes",
            Self::DomainMissing => "Domain missing: send <user@example.com>",
            Self::Domain => "Domain malformed: it has letters, digits, hyphens and dots",
            Self::DomainTooLong => "Domain too long: it has at most 255 bytes, 63 between dots",
            Self::DomainNotNormal => {
                "Domain not in the normal form of IDNA: send it so, or in ASCII (xn--)"
            }
            Self::AddressLiteral => {
                "Address literal malformed: send [192.0.2.1] or [IPv6:2001:db8::1]"
            }
            Self::NullForward => "Recipient empty: only a sender may be <>",
            Self::NonAscii => "Address beyond ASCII: send EHLO, and SMTPUTF8 with MAIL",
            Self::NotUtf8 => "Address holds bytes that are neither ASCII nor UTF-8",
        }
    }
}

/// Parses the path that begins at `start` of `line`, and returns it with the offset behind it.
///
/// # Errors
/// [`PathFault`].
pub fn parse(
    line: &[u8],
    start: usize,
    kind: PathKind,
    rules: PathRules,
) -> Result<(Path, usize), PathFault> {
    let rest = line.get(start..).unwrap_or_default();
    let is_ascii = rest.is_ascii();
    if rules.utf8 && !is_ascii && std::str::from_utf8(rest).is_err() {
        return Err(PathFault::NotUtf8);
    }
    let mut cursor = Cursor { line, at: start, rules };
    cursor.path(kind).map(|path| (path, cursor.at)).map_err(|fault| {
        if is_ascii || rules.utf8 {
            fault
        } else if std::str::from_utf8(rest).is_ok() {
            PathFault::NonAscii
        } else {
            PathFault::NotUtf8
        }
    })
}

/// Checks a domain name that may hold U-labels (RFC 6531 §3.3).
///
/// # Errors
/// [`PathFault::Domain`], [`PathFault::DomainTooLong`] or [`PathFault::DomainNotNormal`].
pub fn check_utf8_domain(domain: &[u8]) -> Result<(), PathFault> {
    if domain.is_ascii() {
        return check_domain(domain);
    }
    if domain.len() > DOMAIN_BYTES_MAX {
        return Err(PathFault::DomainTooLong);
    }
    let is_sound = std::str::from_utf8(domain).is_ok_and(is_normal);
    if is_sound { Ok(()) } else { Err(PathFault::DomainNotNormal) }
}

/// Checks a domain name (RFC 5321 §4.1.2 `Domain`, with the lengths of RFC 1035 §2.3.4).
///
/// # Errors
/// [`PathFault::Domain`] or [`PathFault::DomainTooLong`].
pub fn check_domain(domain: &[u8]) -> Result<(), PathFault> {
    if domain.len() > DOMAIN_BYTES_MAX {
        return Err(PathFault::DomainTooLong);
    }
    for label in domain.split(|&byte| byte == b'.') {
        if label.len() > LABEL_BYTES_MAX {
            return Err(PathFault::DomainTooLong);
        }
        let (Some(first), Some(last)) = (label.first(), label.last()) else {
            return Err(PathFault::Domain);
        };
        let well_formed = first.is_ascii_alphanumeric()
            && last.is_ascii_alphanumeric()
            && label.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !well_formed {
            return Err(PathFault::Domain);
        }
    }
    Ok(())
}

/// Checks an address literal with its brackets (RFC 5321 §4.1.3).
///
/// # Errors
/// [`PathFault::AddressLiteral`] or [`PathFault::DomainTooLong`].
pub fn check_address_literal(literal: &[u8]) -> Result<(), PathFault> {
    if literal.len() > DOMAIN_BYTES_MAX {
        return Err(PathFault::DomainTooLong);
    }
    let inner = literal
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"))
        .ok_or(PathFault::AddressLiteral)?;
    let text = std::str::from_utf8(inner).map_err(|_| PathFault::AddressLiteral)?;
    let sound = match text.split_once(':') {
        None => text.parse::<Ipv4Addr>().is_ok(),
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6") => {
            address.parse::<Ipv6Addr>().is_ok()
        }
        Some((tag, content)) => {
            tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && tag.bytes().last().is_some_and(|byte| byte.is_ascii_alphanumeric())
                && !content.is_empty()
                && content.bytes().all(|byte| matches!(byte, 33..=90 | 94..=126))
        }
    };
    if sound { Ok(()) } else { Err(PathFault::AddressLiteral) }
}

/// Whether `byte` may stand in an atom (RFC 5322 §3.2.3 `atext`).
const fn is_atext(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
        | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'/'
        | b'=' | b'?' | b'^' | b'_' | b'`' | b'{' | b'|' | b'}' | b'~')
}

/// `at <= line.len()`; everything before `at` is parsed.
struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
    rules: PathRules,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let matches = self.peek() == Some(byte);
        self.at += usize::from(matches);
        matches
    }

    fn rest(&self) -> &'a [u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = self.rest();
        self.at += rest.iter().position(|&byte| !wanted(byte)).unwrap_or(rest.len());
    }

    fn path(&mut self, kind: PathKind) -> Result<Path, PathFault> {
        let bracketed = self.take(b'<');
        let is_overlooked = self.rules.missing_brackets && self.at < self.line.len();
        if !bracketed && !is_overlooked {
            return Err(PathFault::Brackets);
        }
        if bracketed && self.take(b'>') {
            return match kind {
                PathKind::Reverse => Ok(Path::Null),
                PathKind::Forward => Err(PathFault::NullForward),
            };
        }
        if self.peek() == Some(b'@') {
            self.route()?;
        }
        let start = self.at;
        self.local_part()?;
        let local_part = Span::new(start, self.at);
        if local_part.length > LOCAL_PART_BYTES_MAX {
            return Err(PathFault::LocalPartTooLong);
        }
        if kind == PathKind::Forward
            && local_part.of(self.line).eq_ignore_ascii_case(b"postmaster")
            && self.close(bracketed)
        {
            return Ok(Path::Postmaster);
        }
        if !self.take(b'@') {
            let closed = self.close(bracketed) || matches!(self.peek(), None | Some(b'>'));
            return Err(if closed { PathFault::DomainMissing } else { PathFault::LocalPart });
        }
        let domain = self.domain(bracketed)?;
        let address = Span::new(start, self.at);
        if self.close(bracketed) {
            Ok(Path::Mailbox { address, domain })
        } else {
            Err(PathFault::Brackets)
        }
    }

    /// Whether the path ends here; takes its closing bracket.
    fn close(&mut self, bracketed: bool) -> bool {
        if bracketed { self.take(b'>') } else { matches!(self.peek(), None | Some(b' ')) }
    }

    /// `A-d-l ":"`: domains, each behind an `@`, with commas between.
    fn route(&mut self) -> Result<(), PathFault> {
        loop {
            if !self.take(b'@') {
                return Err(PathFault::Route);
            }
            let start = self.at;
            self.skip_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
            check_domain(&self.line[start..self.at]).map_err(|_| PathFault::Route)?;
            if self.take(b':') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(PathFault::Route);
            }
        }
    }

    fn local_part(&mut self) -> Result<(), PathFault> {
        let start = self.at;
        if self.take(b'"') { self.quoted_string() } else { self.dot_string() }?;
        let taken = &self.line[start..self.at];
        let is_plain =
            || std::str::from_utf8(taken).is_ok_and(|text| text.chars().all(is_printable));
        if taken.is_ascii() || is_plain() { Ok(()) } else { Err(PathFault::LocalPart) }
    }

    /// Atoms with dots between.
    fn dot_string(&mut self) -> Result<(), PathFault> {
        let utf8 = self.rules.utf8;
        loop {
            let start = self.at;
            self.skip_while(|byte| is_atext(byte) || (utf8 && !byte.is_ascii()));
            if self.at == start {
                return Err(PathFault::LocalPart);
            }
            if !self.take(b'.') {
                return Ok(());
            }
        }
    }

    /// The rest of a quoted string, with its closing quote.
    fn quoted_string(&mut self) -> Result<(), PathFault> {
        let utf8 = self.rules.utf8;
        let is_qtext = |byte| matches!(byte, 32..=33 | 35..=91 | 93..=126) || (utf8 && byte > 127);
        loop {
            self.skip_while(is_qtext);
            if self.take(b'"') {
                return Ok(());
            }
            if !self.take(b'\\') || !matches!(self.peek(), Some(32..=126)) {
                return Err(PathFault::LocalPart);
            }
            self.at += 1;
        }
    }

    fn domain(&mut self, bracketed: bool) -> Result<Span, PathFault> {
        let rest = self.rest();
        let is_literal = rest.first() == Some(&b'[');
        let length = if is_literal {
            memchr(b']', rest).ok_or(PathFault::AddressLiteral)? + 1
        } else if bracketed {
            memchr(b'>', rest).ok_or(PathFault::Brackets)?
        } else {
            memchr(b' ', rest).unwrap_or(rest.len())
        };
        let domain = Span::new(self.at, self.at + length);
        if is_literal {
            check_address_literal(domain.of(self.line))?;
        } else if self.rules.utf8 {
            check_utf8_domain(domain.of(self.line))?;
        } else {
            check_domain(domain.of(self.line))?;
        }
        self.at = domain.end();
        Ok(domain)
    }
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;

//! Commands of the client, parsed from one line without its CRLF (RFC 5321 §4.1.1).
//!
//! # Guarantees
//! Keywords are matched without regard to case (RFC 5321 §2.4). What a command keeps of its line
//! are spans of it. White space at the end of a line is ignored (RFC 5321 §4.1.1). What else is
//! overlooked, and which parameters there are, the [`Grammar`] says.
//!
//! # Never
//! Nothing here knows whether a command comes at the right time.
//!
//! # Failures
//! A [`Fault`] of the syntax or of a path.

use std::fmt;

use memchr::memchr;

use crate::proto::ext::Extension;
use crate::proto::fault::{Fault, SyntaxFault};
use crate::proto::parameters::{self, MailParameters, RcptParameters};
use crate::proto::path::{self, Path, PathFault, PathKind, PathRules};
use crate::span::Span;

/// A well-formed command, in protocol order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `EHLO name`; the span is the name (RFC 5321 §4.1.1.1).
    Ehlo(Span),
    /// `HELO name`; the span is the name (RFC 5321 §4.1.1.1).
    Helo(Span),
    /// `MAIL FROM:<path> …` (RFC 5321 §4.1.1.2).
    Mail(Mail),
    /// `RCPT TO:<path> …` (RFC 5321 §4.1.1.3).
    Rcpt(Rcpt),
    /// `DATA` (RFC 5321 §4.1.1.4).
    Data,
    /// `RSET` (RFC 5321 §4.1.1.5).
    Rset,
    /// `VRFY string` (RFC 5321 §4.1.1.6).
    Vrfy,
    /// `HELP`, with or without argument (RFC 5321 §4.1.1.8).
    Help,
    /// `NOOP`, with or without argument (RFC 5321 §4.1.1.9).
    Noop,
    /// `QUIT` (RFC 5321 §4.1.1.10).
    Quit,
    /// `STARTTLS` (RFC 3207 §4).
    StartTls,
    /// `AUTH mechanism [initial-response]` (RFC 4954 §4).
    Auth {
        /// The name of the mechanism, in any case: letters, digits, hyphens and underscores.
        mechanism: Span,
        /// The initial response as it was sent: base64, or `=` for an empty one.
        initial: Option<Span>,
    },
    /// `BDAT size [LAST]` (RFC 3030 §2).
    Bdat {
        /// Bytes of the chunk, which follow the line.
        size_bytes: u64,
        /// Whether it ends the message.
        last: bool,
    },
    /// `XCLIENT name=value …`; the span is all of the attributes, with spaces between.
    Xclient(Span),
}

/// The arguments of MAIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The reverse-path.
    pub path: Path,
    /// What stands behind it.
    pub parameters: MailParameters,
}

/// The arguments of RCPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rcpt {
    /// The forward-path.
    pub path: Path,
    /// What stands behind it.
    pub parameters: RcptParameters,
}

/// What commands may hold at the moment.
#[derive(Clone, Copy)]
pub struct Grammar<'a> {
    /// Whether the parameters of an extension are known; asked only of those that a command uses.
    pub offers: &'a dyn Fn(Extension) -> bool,
    /// MAIL came with SMTPUTF8, so that RCPT may go beyond ASCII (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// Spaces before a path are overlooked (RFC 5321 §3.3 forbids them).
    pub space_before_path: bool,
    /// So are missing angle brackets.
    pub missing_brackets: bool,
}

impl Grammar<'static> {
    /// All at once, which no session has; for tests and benches.
    pub const EVERYTHING: Self =
        Self { offers: &|_| true, smtputf8: true, space_before_path: true, missing_brackets: true };
}

impl fmt::Debug for Grammar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammar")
            .field("smtputf8", &self.smtputf8)
            .field("space_before_path", &self.space_before_path)
            .field("missing_brackets", &self.missing_brackets)
            .finish_non_exhaustive()
    }
}

/// Parses `line`, which leaves out its CRLF.
///
/// # Errors
/// What is wrong with it.
pub fn parse(line: &[u8], grammar: &Grammar<'_>) -> Result<Command, Fault> {
    if has_control(line) {
        return Err(Fault::Syntax(SyntaxFault::ControlCharacter));
    }
    let line = trim_end(line);
    let verb_length = memchr(b' ', line).unwrap_or(line.len());
    let arguments = skip_spaces(line, verb_length);
    let has_arguments = arguments < line.len();
    let without_arguments = |command| {
        if has_arguments { Err(SyntaxFault::UnexpectedArgument.into()) } else { Ok(command) }
    };
    match &upper_case(&line[..verb_length]) {
        b"EHLO\0\0\0\0" => hello_name(line, arguments).map(Command::Ehlo),
        b"HELO\0\0\0\0" => hello_name(line, arguments).map(Command::Helo),
        b"MAIL\0\0\0\0" => mail(line, arguments, grammar).map(Command::Mail),
        b"RCPT\0\0\0\0" => rcpt(line, arguments, grammar).map(Command::Rcpt),
        b"DATA\0\0\0\0" => without_arguments(Command::Data),
        b"RSET\0\0\0\0" => without_arguments(Command::Rset),
        b"VRFY\0\0\0\0" if has_arguments => Ok(Command::Vrfy),
        b"VRFY\0\0\0\0" => Err(SyntaxFault::VrfyArgument.into()),
        b"HELP\0\0\0\0" => Ok(Command::Help),
        b"NOOP\0\0\0\0" => Ok(Command::Noop),
        b"QUIT\0\0\0\0" => without_arguments(Command::Quit),
        b"STARTTLS" => without_arguments(Command::StartTls),
        b"AUTH\0\0\0\0" => auth(line, arguments),
        b"BDAT\0\0\0\0" => bdat(line, arguments),
        b"XCLIENT\0" if has_arguments => Ok(Command::Xclient(Span::new(arguments, line.len()))),
        b"XCLIENT\0" => Err(SyntaxFault::XclientArgument.into()),
        // Known from RFC 5321 (EXPN, and the SEND family and TURN of its appendix F) and RFC 1985,
        // but not offered (RFC 5321 §4.2.4).
        b"EXPN\0\0\0\0" | b"SEND\0\0\0\0" | b"SOML\0\0\0\0" | b"SAML\0\0\0\0" | b"TURN\0\0\0\0"
        | b"ETRN\0\0\0\0" => Err(SyntaxFault::NotImplemented.into()),
        _ => Err(SyntaxFault::UnknownCommand.into()),
    }
}

impl From<SyntaxFault> for Fault {
    fn from(fault: SyntaxFault) -> Self {
        Self::Syntax(fault)
    }
}

/// The verb in upper case, filled up with NUL, which no line that gets here holds. One that is too
/// long becomes one that no command has.
fn upper_case(verb: &[u8]) -> [u8; 8] {
    let mut upper = [0; 8];
    if let Some(start) = upper.get_mut(..verb.len()) {
        start.copy_from_slice(verb);
        upper.make_ascii_uppercase();
    }
    upper
}

/// Whether a control character stands in `line`, but for the tabs of its end. Looks at all bytes
/// without a branch between them, so that the compiler takes many at a time.
fn has_control(line: &[u8]) -> bool {
    let control = |byte: u8| (byte < 0x20) | (byte == 0x7f);
    if !line.iter().fold(false, |found, &byte| found | control(byte)) {
        return false;
    }
    trim_end(line).iter().any(|&byte| control(byte))
}

fn trim_end(line: &[u8]) -> &[u8] {
    let length = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(0, |at| at + 1);
    &line[..length]
}

/// The offset of the first byte from `at` on that is no space.
fn skip_spaces(line: &[u8], at: usize) -> usize {
    let rest = line.get(at..).unwrap_or_default();
    at + rest.iter().position(|&byte| byte != b' ').unwrap_or(rest.len())
}

/// The offset behind `keyword`, if it stands at `at` in any case.
fn skip_keyword(line: &[u8], at: usize, keyword: &[u8]) -> Option<usize> {
    let end = at + keyword.len();
    line.get(at..end)?.eq_ignore_ascii_case(keyword).then_some(end)
}

/// One word of printable ASCII. RFC 5321 §4.1.1.1 wants a domain or an address literal there, but
/// nothing is decided by it, and clients that are well otherwise send host names with underscores.
fn hello_name(line: &[u8], at: usize) -> Result<Span, Fault> {
    let name = Span::new(at, line.len());
    let printable = name.of(line).iter().all(u8::is_ascii_graphic);
    if name.is_empty() || name.length > crate::limits::DOMAIN_BYTES_MAX || !printable {
        return Err(SyntaxFault::HelloArgument.into());
    }
    Ok(name)
}

fn mail(line: &[u8], at: usize, grammar: &Grammar<'_>) -> Result<Mail, Fault> {
    let at = skip_keyword(line, at, b"FROM:").ok_or(SyntaxFault::MailArgument)?;
    // Whether the path may go beyond ASCII stands behind it.
    let utf8 = (grammar.offers)(Extension::SmtpUtf8);
    let (path, at) = path(line, at, PathKind::Reverse, utf8, grammar).map_err(Fault::Sender)?;
    let parameters = parameters::mail(line, at, grammar.offers)?;
    match path {
        Path::Mailbox { address, .. } if !parameters.smtputf8 && !address.of(line).is_ascii() => {
            Err(Fault::Sender(PathFault::NonAscii))
        }
        Path::Mailbox { .. } | Path::Null | Path::Postmaster => Ok(Mail { path, parameters }),
    }
}

fn rcpt(line: &[u8], at: usize, grammar: &Grammar<'_>) -> Result<Rcpt, Fault> {
    let at = skip_keyword(line, at, b"TO:").ok_or(SyntaxFault::RcptArgument)?;
    let utf8 = grammar.smtputf8;
    let (path, at) = path(line, at, PathKind::Forward, utf8, grammar).map_err(Fault::Recipient)?;
    let parameters = parameters::rcpt(line, at, grammar.offers, utf8)?;
    Ok(Rcpt { path, parameters })
}

fn path(
    line: &[u8],
    at: usize,
    kind: PathKind,
    utf8: bool,
    grammar: &Grammar<'_>,
) -> Result<(Path, usize), PathFault> {
    let start = skip_spaces(line, at);
    if start > at && !grammar.space_before_path {
        return Err(PathFault::SpaceBefore);
    }
    path::parse(line, start, kind, PathRules { utf8, missing_brackets: grammar.missing_brackets })
}

/// `AUTH SP sasl-mech [SP initial-response]` (RFC 4954 §8). What the initial response holds is the
/// mechanism's to judge.
fn auth(line: &[u8], at: usize) -> Result<Command, Fault> {
    let mechanism = word(line, at);
    let start = skip_spaces(line, mechanism.end());
    let initial = word(line, start);
    // RFC 4422 §3.1: at most twenty of these characters.
    let is_name = mechanism.length <= 20
        && mechanism
            .of(line)
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if mechanism.is_empty() || !is_name || initial.end() < line.len() {
        return Err(SyntaxFault::AuthArgument.into());
    }
    let initial = (!initial.is_empty()).then_some(initial);
    Ok(Command::Auth { mechanism, initial })
}

/// `BDAT SP chunk-size [SP end-marker]` (RFC 3030 §2).
fn bdat(line: &[u8], at: usize) -> Result<Command, Fault> {
    let size = word(line, at);
    let marker = Span::new(skip_spaces(line, size.end()), line.len());
    let last = match marker.of(line) {
        b"" => false,
        text if text.eq_ignore_ascii_case(b"LAST") => true,
        _ => return Err(SyntaxFault::BdatArgument.into()),
    };
    let digits = size.of(line);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(SyntaxFault::BdatArgument.into());
    }
    let size_bytes = digits.iter().try_fold(0_u64, |bytes, digit| {
        bytes.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    let size_bytes = size_bytes.ok_or(SyntaxFault::BdatSizeTooLarge)?;
    Ok(Command::Bdat { size_bytes, last })
}

/// What stands at `at` up to the next space.
fn word(line: &[u8], at: usize) -> Span {
    let rest = line.get(at..).unwrap_or_default();
    Span::new(at, at + memchr(b' ', rest).unwrap_or(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, Fault> {
        parse(line.as_bytes(), &Grammar::EVERYTHING)
    }

    #[test]
    fn chunk_sizes_never_wrap() {
        let bdat = |size_bytes, last| Ok(Command::Bdat { size_bytes, last });
        assert_eq!(parsed("BDAT 0 LAST"), bdat(0, true));
        assert_eq!(parsed("bdat  86   last "), bdat(86, true));
        assert_eq!(parsed("BDAT 000000000000000000000000007"), bdat(7, false));
        assert_eq!(parsed("BDAT 9223372036854775808"), bdat(1 << 63, false));
        assert_eq!(parsed("BDAT 18446744073709551615 LAST"), bdat(u64::MAX, true));
        for size in ["18446744073709551616", "99999999999999999999", "100000000000000000000000"] {
            let too_large = Err(SyntaxFault::BdatSizeTooLarge.into());
            assert_eq!(parsed(&format!("BDAT {size}")), too_large, "{size}");
        }
        for line in
            ["BDAT", "BDAT LAST", "BDAT -1", "BDAT +1", "BDAT 1k", "BDAT 1 2", "BDAT 1 LAST x"]
        {
            assert_eq!(parsed(line), Err(SyntaxFault::BdatArgument.into()), "{line}");
        }
    }

    #[test]
    fn what_authentication_begins_with() {
        let line = "auth SCRAM-SHA-256-PLUS  biwsbj11c2VyLHI9 ";
        let Ok(Command::Auth { mechanism, initial }) = parsed(line) else { panic!("{line}") };
        assert_eq!(mechanism.of(line.as_bytes()), b"SCRAM-SHA-256-PLUS");
        assert_eq!(initial.map(|span| span.of(line.as_bytes())), Some(&b"biwsbj11c2VyLHI9"[..]));
        assert!(matches!(parsed("AUTH LOGIN"), Ok(Command::Auth { initial: None, .. })));
        let line = "AUTH PLAIN =";
        let Ok(Command::Auth { initial: Some(initial), .. }) = parsed(line) else { panic!() };
        assert_eq!(initial.of(line.as_bytes()), b"=");
        for line in ["AUTH", "AUTH PL@IN", "AUTH A-NAME-OF-21-LETTERS-", "AUTH PLAIN a b"] {
            assert_eq!(parsed(line), Err(SyntaxFault::AuthArgument.into()), "{line}");
        }
    }

    #[test]
    fn the_rest() {
        assert_eq!(parsed("StartTLS"), Ok(Command::StartTls));
        assert_eq!(parsed("STARTTLS x"), Err(SyntaxFault::UnexpectedArgument.into()));
        let line = "XCLIENT NAME=a  ADDR=192.0.2.1 ";
        let Ok(Command::Xclient(attributes)) = parsed(line) else { panic!("{line}") };
        assert_eq!(attributes.of(line.as_bytes()), b"NAME=a  ADDR=192.0.2.1");
    }
}

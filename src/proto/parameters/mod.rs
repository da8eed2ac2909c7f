//! The parameters of MAIL and RCPT (RFC 5321 §4.1.2 `esmtp-param`), each by the RFC of its
//! extension.
//!
//! # Guarantees
//! A parameter of an extension that is not offered is not looked at any closer: it is unknown. One
//! that is given twice is refused, whatever its values. What is kept of the line are spans, and
//! each holds what its RFC allows and no more.
//!
//! # Never
//! No clock is asked: times stay as they were sent, and the session makes points in time of them.
//!
//! # Failures
//! [`SyntaxFault::ParameterUnknown`] (555), [`SyntaxFault::ParameterMalformed`] and
//! [`SyntaxFault::Value`] (501).
//!
//! # Bounds
//! [`ENVELOPE_ID_BYTES_MAX`] and [`ORIGINAL_RECIPIENT_BYTES_MAX`]; all else is bounded by the line.

mod date;
#[cfg(test)]
mod tests;
mod xtext;

pub use self::xtext::hex_digit;

use memchr::memchr;

use crate::clock::WallTime;
use crate::limits::{
    ENVELOPE_ID_BYTES_MAX, ORIGINAL_RECIPIENT_BYTES_MAX, PARAMETER_TIME_S_MAX, PATH_BYTES_MAX,
};
use crate::message::{BodyType, DeliverByMode, Notify, ReturnedContent};
use crate::proto::ext::Extension;
use crate::proto::fault::SyntaxFault;
use crate::span::Span;

/// What the parameters of MAIL said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// `SIZE=`, in bytes (RFC 1870 §5); a number beyond 64 bits is the largest one.
    pub declared_bytes: Option<u64>,
    /// `BODY=` (RFC 6152 §2, RFC 3030 §3).
    pub body_type: BodyType,
    /// `SMTPUTF8` (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// `RET=` (RFC 3461 §4.3).
    pub returned_content: Option<ReturnedContent>,
    /// `ENVID=`, in `xtext` (RFC 3461 §4.4).
    pub envelope_id: Option<Span>,
    /// `REQUIRETLS` (RFC 8689 §2).
    pub require_tls: bool,
    /// `HOLDFOR=` or `HOLDUNTIL=` (RFC 4865 §3).
    pub hold: Option<Hold>,
    /// `BY=` (RFC 2852 §4).
    pub deliver_by: Option<By>,
    /// `MT-PRIORITY=`, -9 to 9 (RFC 6710 §3).
    pub priority: Option<i8>,
}

/// Until when a message shall be held (RFC 4865 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// `HOLDFOR=`: this many seconds from MAIL on.
    For(u32),
    /// `HOLDUNTIL=`.
    Until(WallTime),
}

/// By when a message shall be delivered (RFC 2852 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By {
    /// Seconds from MAIL on. Only with [`DeliverByMode::Notify`] they may have passed already.
    pub seconds: i32,
    /// What happens when they have passed.
    pub mode: DeliverByMode,
    /// Whether relays shall tell the sender.
    pub trace: bool,
}

/// What the parameters of RCPT said (RFC 3461 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RcptParameters {
    /// `NOTIFY=` (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// `ORCPT=` (RFC 3461 §4.2, RFC 6533 §3).
    pub original_recipient: Option<Span>,
}

/// Which value is not one of its parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueFault {
    /// SIZE without a number of at most twenty digits.
    Size,
    /// BODY with another value than those of RFC 6152 and RFC 3030.
    Body,
    /// SMTPUTF8 or REQUIRETLS with a value.
    Flag,
    /// RET with another value than `FULL` or `HDRS`.
    Ret,
    /// ENVID that is no `xtext` of printable ASCII, or longer than [`ENVELOPE_ID_BYTES_MAX`].
    Envid,
    /// NOTIFY with another value than `NEVER` or a list of the conditions.
    Notify,
    /// ORCPT without address type and address, or longer than [`ORIGINAL_RECIPIENT_BYTES_MAX`].
    Orcpt,
    /// HOLDFOR without a number of seconds.
    HoldFor,
    /// HOLDUNTIL without a date.
    HoldUntil,
    /// A release that lies further ahead than the server holds messages.
    HoldTooLong,
    /// BY without seconds and mode.
    By,
    /// BY with the mode `R` and a time that has passed.
    ByHasPassed,
    /// A release after the time by which the message is to be delivered.
    ByBeforeRelease,
    /// MT-PRIORITY without a number from -9 to 9.
    Priority,
    /// AUTH that is neither `<>` nor `xtext`.
    Auth,
}

impl ValueFault {
    /// What is wrong, for the peer.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Size => "Send SIZE= and a number of bytes",
            Self::Body => "Send BODY=7BIT, BODY=8BITMIME or BODY=BINARYMIME",
            Self::Flag => "Send SMTPUTF8 and REQUIRETLS without a value",
            Self::Ret => "Send RET=FULL or RET=HDRS",
            Self::Envid => "Send ENVID= and at most 100 printable characters in xtext",
            Self::Notify => "Send NOTIFY=NEVER, or any of SUCCESS,FAILURE,DELAY, each once",
            Self::Orcpt => "Send ORCPT=rfc822; and the address in xtext, at most 500 characters",
            Self::HoldFor => "Send HOLDFOR= and a number of seconds",
            Self::HoldUntil => "Send HOLDUNTIL= and a date as in 2026-11-24T04:01:33Z",
            Self::HoldTooLong => "Release too far ahead: EHLO tells how far it may lie",
            Self::By => "Send BY= and seconds;R or seconds;N, with a T behind it for a trace",
            Self::ByHasPassed => "Time of BY has passed: with R it must lie ahead",
            Self::ByBeforeRelease => "Time of BY lies before the release that HOLD asks for",
            Self::Priority => "Send MT-PRIORITY= and a number from -9 to 9",
            Self::Auth => "Send AUTH=<> or AUTH= and an address in xtext",
        }
    }
}

impl From<ValueFault> for SyntaxFault {
    fn from(fault: ValueFault) -> Self {
        Self::Value(fault)
    }
}

/// The parameters of MAIL in `line` from `at` on, of the extensions that `offers` says yes to.
///
/// # Errors
/// See the [module](self).
pub fn mail(
    line: &[u8],
    at: usize,
    offers: &dyn Fn(Extension) -> bool,
) -> Result<MailParameters, SyntaxFault> {
    let mut list = List { line, at, utf8: false };
    let mut mail = MailParameters::default();
    let mut seen = Seen::default();
    while let Some(Parameter { keyword, value }) = list.next()? {
        let keyword = MailKeyword::find(keyword)
            .filter(|keyword| offers(keyword.extension()))
            .ok_or(SyntaxFault::ParameterUnknown)?;
        seen.note(keyword.bit())?;
        let text = value.map(|value| value.of(line));
        match keyword {
            MailKeyword::Size => mail.declared_bytes = Some(size(text)?),
            MailKeyword::Body => mail.body_type = body(text)?,
            MailKeyword::SmtpUtf8 => mail.smtputf8 = flag(text)?,
            MailKeyword::Ret => mail.returned_content = Some(ret(text)?),
            MailKeyword::Envid => mail.envelope_id = Some(envid(line, value)?),
            MailKeyword::RequireTls => mail.require_tls = flag(text)?,
            MailKeyword::HoldFor => mail.hold = Some(Hold::For(hold_for(text)?)),
            MailKeyword::HoldUntil => mail.hold = Some(Hold::Until(hold_until(text)?)),
            MailKeyword::By => mail.deliver_by = Some(by(text)?),
            MailKeyword::MtPriority => mail.priority = Some(priority(text)?),
            MailKeyword::Auth => auth(text)?,
        }
    }
    Ok(mail)
}

/// The parameters of RCPT in `line` from `at` on, of the extensions that `offers` says yes to; with
/// `smtputf8` they may hold UTF-8.
///
/// # Errors
/// See the [module](self).
pub fn rcpt(
    line: &[u8],
    at: usize,
    offers: &dyn Fn(Extension) -> bool,
    smtputf8: bool,
) -> Result<RcptParameters, SyntaxFault> {
    let mut list = List { line, at, utf8: smtputf8 };
    let mut rcpt = RcptParameters::default();
    let mut seen = Seen::default();
    while let Some(Parameter { keyword, value }) = list.next()? {
        let keyword = RcptKeyword::find(keyword)
            .filter(|_| offers(Extension::Dsn))
            .ok_or(SyntaxFault::ParameterUnknown)?;
        seen.note(keyword.bit())?;
        match keyword {
            RcptKeyword::Notify => rcpt.notify = Some(notify(value.map(|value| value.of(line)))?),
            RcptKeyword::Orcpt => rcpt.original_recipient = Some(orcpt(line, value, smtputf8)?),
        }
    }
    Ok(rcpt)
}

#[derive(Clone, Copy, Debug)]
enum MailKeyword {
    Size,
    Body,
    SmtpUtf8,
    Ret,
    Envid,
    RequireTls,
    HoldFor,
    HoldUntil,
    By,
    MtPriority,
    Auth,
}

impl MailKeyword {
    fn find(keyword: &[u8]) -> Option<Self> {
        const NAMES: [(&str, MailKeyword); 11] = [
            ("SIZE", MailKeyword::Size),
            ("BODY", MailKeyword::Body),
            ("SMTPUTF8", MailKeyword::SmtpUtf8),
            ("RET", MailKeyword::Ret),
            ("ENVID", MailKeyword::Envid),
            ("REQUIRETLS", MailKeyword::RequireTls),
            ("HOLDFOR", MailKeyword::HoldFor),
            ("HOLDUNTIL", MailKeyword::HoldUntil),
            ("BY", MailKeyword::By),
            ("MT-PRIORITY", MailKeyword::MtPriority),
            ("AUTH", MailKeyword::Auth),
        ];
        let is_it = |(name, _): &&(&str, Self)| keyword.eq_ignore_ascii_case(name.as_bytes());
        NAMES.iter().find(is_it).map(|&(_, keyword)| keyword)
    }

    const fn extension(self) -> Extension {
        match self {
            Self::Size => Extension::Size,
            Self::Body => Extension::EightBitMime,
            Self::SmtpUtf8 => Extension::SmtpUtf8,
            Self::Ret | Self::Envid => Extension::Dsn,
            Self::RequireTls => Extension::RequireTls,
            Self::HoldFor | Self::HoldUntil => Extension::FutureRelease,
            Self::By => Extension::DeliverBy,
            Self::MtPriority => Extension::MtPriority,
            Self::Auth => Extension::Auth,
        }
    }

    /// The two forms of a hold are one parameter (RFC 4865 §4.2).
    const fn bit(self) -> u16 {
        let one = if matches!(self, Self::HoldUntil) { Self::HoldFor } else { self };
        1 << one as u16
    }
}

#[derive(Clone, Copy, Debug)]
enum RcptKeyword {
    Notify,
    Orcpt,
}

impl RcptKeyword {
    const fn find(keyword: &[u8]) -> Option<Self> {
        if keyword.eq_ignore_ascii_case(b"NOTIFY") {
            Some(Self::Notify)
        } else if keyword.eq_ignore_ascii_case(b"ORCPT") {
            Some(Self::Orcpt)
        } else {
            None
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// Which parameters were given.
#[derive(Debug, Default)]
struct Seen(u16);

impl Seen {
    const fn note(&mut self, bit: u16) -> Result<(), SyntaxFault> {
        if self.0 & bit != 0 {
            return Err(SyntaxFault::ParameterMalformed);
        }
        self.0 |= bit;
        Ok(())
    }
}

/// `1*20DIGIT` (RFC 1870 §5).
fn size(value: Option<&[u8]>) -> Result<u64, ValueFault> {
    let digits = value.ok_or(ValueFault::Size)?;
    if digits.len() > 20 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ValueFault::Size);
    }
    let add =
        |bytes: u64, digit: &u8| bytes.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Ok(digits.iter().fold(0, add))
}

/// RFC 6152 §2, RFC 3030 §3.
fn body(value: Option<&[u8]>) -> Result<BodyType, ValueFault> {
    match value {
        Some(value) if value.eq_ignore_ascii_case(b"7BIT") => Ok(BodyType::SevenBit),
        Some(value) if value.eq_ignore_ascii_case(b"8BITMIME") => Ok(BodyType::EightBit),
        Some(value) if value.eq_ignore_ascii_case(b"BINARYMIME") => Ok(BodyType::Binary),
        Some(_) | None => Err(ValueFault::Body),
    }
}

/// SMTPUTF8 (RFC 6531 §3.1) and REQUIRETLS (RFC 8689 §2) take no value.
const fn flag(value: Option<&[u8]>) -> Result<bool, ValueFault> {
    if value.is_none() { Ok(true) } else { Err(ValueFault::Flag) }
}

/// RFC 3461 §4.3.
fn ret(value: Option<&[u8]>) -> Result<ReturnedContent, ValueFault> {
    match value {
        Some(value) if value.eq_ignore_ascii_case(b"FULL") => Ok(ReturnedContent::Full),
        Some(value) if value.eq_ignore_ascii_case(b"HDRS") => Ok(ReturnedContent::Headers),
        Some(_) | None => Err(ValueFault::Ret),
    }
}

/// RFC 3461 §4.4.
fn envid(line: &[u8], value: Option<Span>) -> Result<Span, ValueFault> {
    value
        .filter(|value| value.length <= ENVELOPE_ID_BYTES_MAX && xtext::is_xtext(value.of(line)))
        .ok_or(ValueFault::Envid)
}

/// `future-release-integer` (RFC 4865 §3): nine digits at most, not zero.
fn hold_for(value: Option<&[u8]>) -> Result<u32, ValueFault> {
    match value {
        Some([b'1'..=b'9', ..]) => seconds(value).ok_or(ValueFault::HoldFor),
        Some(_) | None => Err(ValueFault::HoldFor),
    }
}

/// `date-time` of RFC 3339 (RFC 4865 §3).
fn hold_until(value: Option<&[u8]>) -> Result<WallTime, ValueFault> {
    value.and_then(date::date_time).ok_or(ValueFault::HoldUntil)
}

/// `1*9DIGIT`.
fn seconds(value: Option<&[u8]>) -> Option<u32> {
    let digits = value.filter(|digits| (1..=9).contains(&digits.len()))?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = digits.iter().fold(0, |seconds, digit| seconds * 10 + u32::from(digit - b'0'));
    debug_assert!(seconds <= PARAMETER_TIME_S_MAX, "nine digits");
    Some(seconds)
}

/// `by-time ";" by-mode [by-trace]` (RFC 2852 §4).
fn by(value: Option<&[u8]>) -> Result<By, ValueFault> {
    let value = value.ok_or(ValueFault::By)?;
    let semicolon = memchr(b';', value).ok_or(ValueFault::By)?;
    let (time, mode) = (&value[..semicolon], &value[semicolon + 1..]);
    let (sign, digits) = match time {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    let seconds = seconds(Some(digits)).and_then(|seconds| i32::try_from(seconds).ok());
    let seconds = sign * seconds.ok_or(ValueFault::By)?;
    let (mode, trace) = match mode {
        [b'R' | b'r', trace @ ..] => (DeliverByMode::Return, trace),
        [b'N' | b'n', trace @ ..] => (DeliverByMode::Notify, trace),
        _ => return Err(ValueFault::By),
    };
    let trace = match trace {
        [] => false,
        [b'T' | b't'] => true,
        _ => return Err(ValueFault::By),
    };
    if mode == DeliverByMode::Return && seconds <= 0 {
        return Err(ValueFault::ByHasPassed);
    }
    Ok(By { seconds, mode, trace })
}

/// `(["-"] NZDIGIT) / "0"` (RFC 6710 §7).
fn priority(value: Option<&[u8]>) -> Result<i8, ValueFault> {
    let digit = |digit: u8| i8::try_from(digit - b'0').unwrap_or(0);
    match value {
        Some(&[number @ b'0'..=b'9']) => Ok(digit(number)),
        Some(&[b'-', number @ b'1'..=b'9']) => Ok(-digit(number)),
        Some(_) | None => Err(ValueFault::Priority),
    }
}

/// RFC 4954 §5: it is checked and dropped, as from a client that is not trusted with it. Nothing
/// here would be decided by it.
fn auth(value: Option<&[u8]>) -> Result<(), ValueFault> {
    let value = value.ok_or(ValueFault::Auth)?;
    // What it stands for is bounded like a path; each of its bytes may be written as three.
    let is_address = value.len() <= 3 * PATH_BYTES_MAX && xtext::is_xtext(value);
    if value == b"<>" || is_address { Ok(()) } else { Err(ValueFault::Auth) }
}

/// RFC 3461 §4.1.
fn notify(value: Option<&[u8]>) -> Result<Notify, ValueFault> {
    let value = value.ok_or(ValueFault::Notify)?;
    let mut notify = Notify::default();
    if value.eq_ignore_ascii_case(b"NEVER") {
        return Ok(notify);
    }
    for condition in value.split(|&byte| byte == b',') {
        let flag = if condition.eq_ignore_ascii_case(b"SUCCESS") {
            &mut notify.success
        } else if condition.eq_ignore_ascii_case(b"FAILURE") {
            &mut notify.failure
        } else if condition.eq_ignore_ascii_case(b"DELAY") {
            &mut notify.delay
        } else {
            return Err(ValueFault::Notify);
        };
        if std::mem::replace(flag, true) {
            return Err(ValueFault::Notify);
        }
    }
    Ok(notify)
}

/// `addr-type ";" xtext` (RFC 3461 §4.2), or what RFC 6533 §3 puts there for the type `utf-8`.
fn orcpt(line: &[u8], value: Option<Span>, smtputf8: bool) -> Result<Span, ValueFault> {
    let span = value.filter(|value| value.length <= ORIGINAL_RECIPIENT_BYTES_MAX);
    let span = span.ok_or(ValueFault::Orcpt)?;
    let value = span.of(line);
    let semicolon = memchr(b';', value).ok_or(ValueFault::Orcpt)?;
    let (kind, address) = (&value[..semicolon], &value[semicolon + 1..]);
    // Of the characters of an atom, those that registered types are made of.
    let is_kind = !kind.is_empty()
        && kind.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let is_sound = if kind.eq_ignore_ascii_case(b"utf-8") {
        xtext::is_utf8_address(address, smtputf8)
    } else {
        xtext::is_xtext(address)
    };
    if is_kind && is_sound { Ok(span) } else { Err(ValueFault::Orcpt) }
}

/// The `esmtp-param`s behind a path (RFC 5321 §4.1.2).
struct List<'a> {
    line: &'a [u8],
    at: usize,
    /// Values may hold UTF-8 (RFC 6531 §3.3); that the line is UTF-8 is known then.
    utf8: bool,
}

/// A keyword, and its value if there is an equals sign.
struct Parameter<'a> {
    keyword: &'a [u8],
    value: Option<Span>,
}

impl<'a> List<'a> {
    fn next(&mut self) -> Result<Option<Parameter<'a>>, SyntaxFault> {
        let rest = self.line.get(self.at..).unwrap_or_default();
        let spaces = rest.iter().take_while(|&&byte| byte == b' ').count();
        let start = self.at + spaces;
        if start >= self.line.len() {
            return Ok(None);
        }
        if spaces == 0 {
            return Err(SyntaxFault::ParameterMalformed);
        }
        let rest = &self.line[start..];
        let parameter = &rest[..memchr(b' ', rest).unwrap_or(rest.len())];
        self.at = start + parameter.len();
        let (keyword, value) = match memchr(b'=', parameter) {
            None => (parameter, None),
            Some(equals) => (&parameter[..equals], Some(Span::new(start + equals + 1, self.at))),
        };
        let keyword_is_sound = keyword.first().is_some_and(u8::is_ascii_alphanumeric)
            && keyword.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let utf8 = self.utf8;
        let may_stand = |&byte: &u8| match byte {
            33..=60 | 62..=126 => true,
            128.. => utf8,
            _ => false,
        };
        let value_is_sound = value
            .is_none_or(|value| !value.is_empty() && value.of(self.line).iter().all(may_stand));
        if keyword_is_sound && value_is_sound {
            Ok(Some(Parameter { keyword, value }))
        } else {
            Err(SyntaxFault::ParameterMalformed)
        }
    }
}

//! XCLIENT: a proxy says on whose behalf it speaks, as Postfix's XCLIENT_README describes it.
//!
//! # Guarantees
//! Only a client that the policy lists is heard, and one on whose behalf somebody speaks is judged
//! by its own address: what its proxy may do by address, certificate or authentication it may not,
//! unless it is said anew. A client without address has the unspecified one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::{DOMAIN_BYTES_MAX, SASL_NAME_BYTES_MAX};
use crate::proto::fault::{Fault, PolicyFault, SequenceFault, SyntaxFault};
use crate::proto::server::{Conditions, Event, Hello, Phase, ServerSession};

/// What an XCLIENT command says; what it leaves out stays as it is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Attributes {
    address: Option<IpAddr>,
    port: Option<u16>,
    hello: Option<Hello>,
    /// Empty if it is not known.
    client_name: Option<Vec<u8>>,
    /// Empty if there is none.
    login: Option<Vec<u8>>,
}

impl ServerSession {
    /// The address that [`Event::PeerChanged`] told of has met a limit: its greeting is that of
    /// `fault`, and the session ends.
    pub fn refuse_peer(&mut self, conditions: &Conditions, fault: Fault) {
        if self.phase == Phase::Renewed {
            self.active = conditions.now;
            self.dismiss(fault);
        }
    }

    /// Whether the client may say on whose behalf it speaks.
    pub(super) fn may_xclient(&self) -> bool {
        self.policy.access.xclient_from.iter().any(|one| one.contains(self.peer.address))
    }

    /// Takes the attributes; the session then begins anew, as with another client.
    pub(super) fn xclient(&mut self, attributes: &[u8]) -> Result<Option<Event>, Fault> {
        if !self.may_xclient() {
            return Err(Fault::Policy(PolicyFault::XclientDenied));
        }
        if self.tls_is_missing() {
            return Err(Fault::Sequence(SequenceFault::TlsMissing));
        }
        if self.envelope_is_open() {
            return Err(Fault::Sequence(SequenceFault::WithinTransaction));
        }
        let Attributes { address, port, hello, client_name, login } = parse(attributes)?;
        // What an earlier XCLIENT told holds on, what the proxy said for itself does not.
        if !self.hello_is_vouched_for {
            self.hello = Hello::None;
            self.client_name = Box::default();
        }
        if !self.user_is_vouched_for {
            self.user = None;
        }
        if let Some(name) = client_name {
            self.hello_is_vouched_for = true;
            self.hello = match (name.is_empty(), self.hello) {
                (true, _) => Hello::None,
                (false, Hello::None) => Hello::Helo,
                (false, said) => said,
            };
            self.client_name = name.into();
        }
        if let Some(hello) = hello.filter(|_| self.hello != Hello::None) {
            self.hello = hello;
        }
        if let Some(name) = login {
            self.user_is_vouched_for = true;
            self.user = (!name.is_empty()).then(|| name.into());
        }
        self.is_vouched_for = true;
        self.peer.port = port.unwrap_or(self.peer.port);
        self.phase = Phase::Renewed;
        let address = address.unwrap_or(self.peer.address);
        let is_other = address != self.peer.address;
        self.peer.address = address;
        Ok(is_other.then_some(Event::PeerChanged))
    }
}

/// Parses what stands behind `XCLIENT`.
fn parse(attributes: &[u8]) -> Result<Attributes, SyntaxFault> {
    let mut parsed = Attributes::default();
    for attribute in attributes.split(|&byte| byte == b' ').filter(|part| !part.is_empty()) {
        let equals = attribute.iter().position(|&byte| byte == b'=');
        let (name, value) = attribute.split_at(equals.ok_or(SyntaxFault::XclientArgument)?);
        let value = decode(&value[1..]).ok_or(SyntaxFault::XclientArgument)?;
        let known = Some(&value[..]).filter(|value| !is_unavailable(value));
        match &*name.to_ascii_uppercase() {
            b"ADDR" => parsed.address = Some(address(known)?),
            b"PORT" => parsed.port = Some(port(known)?),
            b"PROTO" => {
                parsed.hello = Some(match known.map(<[u8]>::to_ascii_uppercase).as_deref() {
                    Some(b"SMTP") => Hello::Helo,
                    Some(b"ESMTP") => Hello::Ehlo,
                    _ => return Err(SyntaxFault::XclientArgument),
                });
            }
            b"HELO" => parsed.client_name = Some(host_name(known)?.into()),
            b"LOGIN" => parsed.login = Some(login(known)?.into()),
            // Checked like the others, though nothing here depends on them.
            b"NAME" => drop(host_name(known)?),
            b"DESTADDR" => drop(address(known)?),
            b"DESTPORT" => drop(port(known)?),
            _ => return Err(SyntaxFault::XclientArgument),
        }
    }
    Ok(parsed)
}

/// `xtext` (RFC 3461 §4), where digits may be in any case.
fn decode(value: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'+' {
            decoded.push(first);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
        let (high, low) = (digit(*rest.first()?)?, digit(*rest.get(1)?)?);
        decoded.push(high << 4 | low);
        rest = &rest[2..];
    }
    Some(decoded)
}

const fn is_unavailable(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"[UNAVAILABLE]") || value.eq_ignore_ascii_case(b"[TEMPUNAVAIL]")
}

fn address(value: Option<&[u8]>) -> Result<IpAddr, SyntaxFault> {
    let Some(value) = value else { return Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) };
    let (prefix, rest) = value.split_at_checked(5).unwrap_or((value, b""));
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| SyntaxFault::XclientArgument);
    if prefix.eq_ignore_ascii_case(b"IPV6:") {
        let address: Result<Ipv6Addr, _> = text(rest)?.parse();
        return address.map(IpAddr::V6).map_err(|_| SyntaxFault::XclientArgument);
    }
    text(value)?.parse().map_err(|_| SyntaxFault::XclientArgument)
}

fn port(value: Option<&[u8]>) -> Result<u16, SyntaxFault> {
    let Some(value) = value else { return Ok(0) };
    // `parse` would take a sign.
    let digits = value.iter().all(u8::is_ascii_digit).then_some(value);
    let text = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    text.and_then(|text| text.parse().ok()).ok_or(SyntaxFault::XclientArgument)
}

/// As the argument of EHLO must be.
fn host_name(value: Option<&[u8]>) -> Result<&[u8], SyntaxFault> {
    let Some(value) = value else { return Ok(b"") };
    let is_name = !value.is_empty()
        && value.len() <= DOMAIN_BYTES_MAX
        && value.iter().all(u8::is_ascii_graphic);
    is_name.then_some(value).ok_or(SyntaxFault::XclientArgument)
}

fn login(value: Option<&[u8]>) -> Result<&[u8], SyntaxFault> {
    let Some(value) = value else { return Ok(b"") };
    let is_name = !value.is_empty()
        && value.len() <= SASL_NAME_BYTES_MAX
        && std::str::from_utf8(value).is_ok_and(|text| !text.contains(char::is_control));
    is_name.then_some(value).ok_or(SyntaxFault::XclientArgument)
}

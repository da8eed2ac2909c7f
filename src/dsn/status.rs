//! The second part of a notice: what became of the message, for programs (RFC 3464 §2).
//!
//! If the message came with SMTPUTF8 and an address of it is no ASCII, the part is a
//! `message/global-delivery-status`, whose addresses are UTF-8 with the type `utf-8`
//! (RFC 6533 §3, §4).

use super::lines::push_field;
use super::{Fate, Notice, Reported, address_text, host_name, push_body};
use crate::proto::client::Cause;
use crate::proto::enhanced::EnhancedCode;
use crate::proto::parameters::hex_digit;
use crate::proto::reply_parse::printable;

impl Notice<'_> {
    /// RFC 3464 §2: the fields of the message, then a group of fields for each recipient.
    pub(super) fn status_part(&self) -> Vec<u8> {
        let is_global = self.smtputf8
            && self.recipients.iter().any(|recipient| {
                !recipient.address.is_ascii() || recipient.original.is_some_and(|it| !it.is_ascii())
            });
        let mut body = Vec::new();
        if let Some(id) = self.envelope_id {
            push_field(&mut body, "Original-Envelope-Id", &xtext(id)); // RFC 3464 §2.2.1
        }
        let host = host_name(self.reporting_mta);
        push_field(&mut body, "Reporting-MTA", &format!("dns; {host}")); // RFC 3464 §2.2.2
        push_field(&mut body, "X-Ringpost-Message-Id", &self.message.to_string());
        let arrival = self.arrival.rfc5322().to_string();
        push_field(&mut body, "Arrival-Date", &arrival); // RFC 3464 §2.2.5
        for recipient in self.recipients {
            body.extend_from_slice(b"\r\n");
            self.push_recipient(&mut body, recipient, is_global);
        }
        let kind = if is_global { "global-delivery-status" } else { "delivery-status" };
        let mut out = Vec::new();
        push_field(&mut out, "Content-Type", &format!("message/{kind}"));
        push_field(&mut out, "Content-Description", "The same for programs");
        push_body(&mut out, &body);
        out
    }

    fn push_recipient(&self, out: &mut Vec<u8>, recipient: &Reported<'_>, is_global: bool) {
        if let Some(original) = recipient.original {
            let original = original_recipient(original, is_global);
            push_field(out, "Original-Recipient", &original); // RFC 3464 §2.3.1
        }
        let kind = if is_global && !recipient.address.is_ascii() { "utf-8" } else { "rfc822" };
        let address = address_text(recipient.address, is_global);
        push_field(out, "Final-Recipient", &format!("{kind}; {address}")); // RFC 3464 §2.3.2
        let (action, status, diagnostic) = recipient.fate.told();
        push_field(out, "Action", action); // RFC 3464 §2.3.3
        push_field(out, "Status", &status.to_string()); // RFC 3464 §2.3.4
        if let Some(name) = recipient.remote_mta {
            push_field(out, "Remote-MTA", &format!("dns; {}", host_name(name)));
        }
        if let Some(diagnostic) = diagnostic {
            push_field(out, "Diagnostic-Code", &diagnostic); // RFC 3464 §2.3.6
        }
        if let (Fate::Delayed(_), Some(until)) = (recipient.fate, self.retry_until) {
            let until = until.rfc5322().to_string();
            push_field(out, "Will-Retry-Until", &until); // RFC 3464 §2.3.9
        }
    }
}

impl Fate<'_> {
    /// The action, the status and what was said.
    fn told(self) -> (&'static str, EnhancedCode, Option<String>) {
        match self {
            Self::Failed(failure) => {
                let diagnostic = match &failure.cause {
                    Cause::Reply(reply) => format!("smtp; {reply}"),
                    Cause::Local(_) => format!("x-ringpost; {failure}"),
                };
                ("failed", failure.status, Some(diagnostic))
            }
            Self::Delayed(last_failure) => {
                let diagnostic =
                    (!last_failure.is_empty()).then(|| format!("x-ringpost; {last_failure}"));
                ("delayed", status_in(last_failure), diagnostic)
            }
            Self::Relayed(reply) => {
                let status = reply.enhanced.unwrap_or(EnhancedCode::OK_2_0_0);
                ("relayed", status, Some(format!("smtp; {reply}")))
            }
            Self::Delivered => ("delivered", EnhancedCode::OK_2_0_0, None),
        }
    }
}

/// The status that the text of a failure begins with, alone or behind the code of a reply. A delay
/// is never permanent, whatever a server said (RFC 3464 §2.3.4).
fn status_in(last_failure: &str) -> EnhancedCode {
    let after_code = last_failure.split_once(' ').map_or("", |(_, rest)| rest);
    [last_failure, after_code]
        .iter()
        .find_map(|text| EnhancedCode::parse_prefix(text.as_bytes()))
        .map_or(EnhancedCode::EXPIRED_4_4_7, |(status, _)| EnhancedCode { class: 4, ..status })
}

/// `ORCPT=` as the field says it: the type of the address as it came, and the address without its
/// xtext. One of the type `utf-8` has an encoding of its own that may stand in the field
/// (RFC 6533 §3); where the part is ASCII the rest of it is brought into that, too.
fn original_recipient(original: &[u8], is_global: bool) -> String {
    let at = original.iter().position(|&byte| byte == b';').unwrap_or(original.len());
    let (kind, address) = original.split_at(at);
    let address = address.get(1..).unwrap_or_default();
    let is_utf8 = kind.eq_ignore_ascii_case(b"utf-8");
    let address = match str::from_utf8(address) {
        Ok(text) if is_utf8 && is_global => address_text(text.as_bytes(), true),
        Ok(text) if is_utf8 => text.chars().map(embedded).collect(),
        Ok(_) | Err(_) => xtext(address),
    };
    let kind: String = kind.iter().map(|&byte| printable(byte)).collect();
    format!("{kind}; {address}")
}

/// `one` as `utf-8-addr-xtext` writes it if it is no ASCII (RFC 6533 §3).
fn embedded(one: char) -> String {
    if one.is_ascii() {
        return printable(u8::try_from(one).unwrap_or(0)).to_string();
    }
    format!("\\x{{{:X}}}", u32::from(one))
}

/// `text` out of its xtext (RFC 3461 §4): `+` and two digits are a byte.
fn xtext(text: &[u8]) -> String {
    let mut decoded = String::new();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match (byte, after) {
            (b'+', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            decoded.push(printable(high << 4 | low));
            rest = after.get(2..).unwrap_or_default();
        } else {
            decoded.push(printable(byte));
            rest = after;
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_is_read() {
        let cases: [(&[u8], &str); 6] = [
            (b"plain", "plain"),
            (b"a+2Bb+3D", "a+b="),
            (b"+0D+0ABcc: x", "??Bcc: x"),
            (b"a+2", "a+2"),
            (b"+zz+", "+zz+"),
            (b"\xff", "?"),
        ];
        for (text, expected) in cases {
            assert_eq!(xtext(text), expected);
        }
    }

    #[test]
    fn the_original_recipient_is_shown_as_its_type_wants() {
        let cases: [(&[u8], bool, &str); 6] = [
            (b"rfc822;bob+40example.com", false, "rfc822; bob@example.com"),
            (b"RFC822;bob+2Btag@x", true, "RFC822; bob+tag@x"),
            (b"utf-8;\\x{3B4}@x", false, "utf-8; \\x{3B4}@x"),
            ("utf-8;δ@x".as_bytes(), false, "utf-8; \\x{3B4}@x"),
            ("utf-8;δ@x".as_bytes(), true, "utf-8; δ@x"),
            (b"nothing", false, "nothing; "),
        ];
        for (original, is_global, expected) in cases {
            assert_eq!(original_recipient(original, is_global), expected);
        }
    }

    #[test]
    fn a_delay_has_a_temporary_status() {
        let cases = [
            ("4.4.1 cannot connect", "4.4.1"),
            ("451 4.7.1 greylisted (in reply to RCPT)", "4.7.1"),
            ("554 5.7.1 go away (in reply to the connection)", "4.7.1"),
            ("451 later", "4.4.7"),
            ("", "4.4.7"),
        ];
        for (failure, expected) in cases {
            assert_eq!(status_in(failure).to_string(), expected, "{failure}");
        }
    }
}

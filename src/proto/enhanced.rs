//! Enhanced mail system status codes (RFC 3463), which replies of both sides carry (RFC 2034).

use std::fmt;

/// An enhanced status code (RFC 3463 §2), for instance 5.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnhancedCode {
    /// 2, 4 or 5.
    pub class: u8,
    /// What it is about, 0 to 999.
    pub subject: u16,
    /// What precisely, 0 to 999.
    pub detail: u16,
}

impl EnhancedCode {
    /// Other undefined status, success (RFC 3463 §3.1).
    pub const OK_2_0_0: Self = Self::new(2, 0, 0);
    /// Authentication succeeded: other or undefined security status, success (RFC 4954 §6).
    pub const AUTHENTICATED_2_7_0: Self = Self::new(2, 7, 0);
    /// Sender address valid (RFC 3463 §3.2: other address status, success).
    pub const SENDER_OK_2_1_0: Self = Self::new(2, 1, 0);
    /// Destination address valid (RFC 3463 §3.2).
    pub const RECIPIENT_OK_2_1_5: Self = Self::new(2, 1, 5);
    /// Other or undefined mail system status, temporary (RFC 3463 §3.4).
    pub const SYSTEM_4_3_0: Self = Self::new(4, 3, 0);
    /// Mail system full (RFC 3463 §3.4).
    pub const SYSTEM_FULL_4_3_1: Self = Self::new(4, 3, 1);
    /// Requested priority was changed (RFC 6710 §4.1, in the registry of RFC 5248).
    pub const PRIORITY_CHANGED_2_3_6: Self = Self::new(2, 3, 6);
    /// System not accepting network messages, as when it is about to stop (RFC 3463 §3.4).
    pub const NOT_ACCEPTING_4_3_2: Self = Self::new(4, 3, 2);
    /// No answer from host (RFC 3463 §3.5).
    pub const NO_ANSWER_4_4_1: Self = Self::new(4, 4, 1);
    /// Bad connection, which a time-out is (RFC 3463 §3.5).
    pub const BAD_CONNECTION_4_4_2: Self = Self::new(4, 4, 2);
    /// Directory server failure: no answer from the DNS, or none of use (RFC 3463 §3.5).
    pub const DIRECTORY_SERVER_4_4_3: Self = Self::new(4, 4, 3);
    /// Unable to route, for now (RFC 3463 §3.5).
    pub const UNROUTABLE_4_4_4: Self = Self::new(4, 4, 4);
    /// Delivery time expired (RFC 3463 §3.5).
    pub const EXPIRED_4_4_7: Self = Self::new(4, 4, 7);
    /// Other or undefined protocol status: the peer is out of step (RFC 3463 §3.6).
    pub const PROTOCOL_4_5_0: Self = Self::new(4, 5, 0);
    /// Too many recipients, the rest in another transaction (RFC 3463 §3.6).
    pub const TOO_MANY_RECIPIENTS_4_5_3: Self = Self::new(4, 5, 3);
    /// Other or undefined security status, temporary (RFC 3463 §3.8).
    pub const POLICY_4_7_0: Self = Self::new(4, 7, 0);
    /// Bad destination system address: no such domain (RFC 3463 §3.2).
    pub const NO_SUCH_DOMAIN_5_1_2: Self = Self::new(5, 1, 2);
    /// Bad destination mailbox address syntax (RFC 3463 §3.2).
    pub const RECIPIENT_SYNTAX_5_1_3: Self = Self::new(5, 1, 3);
    /// Bad sender's mailbox address syntax (RFC 3463 §3.2).
    pub const SENDER_SYNTAX_5_1_7: Self = Self::new(5, 1, 7);
    /// Recipient address has null MX (RFC 7505 §4.2).
    pub const NULL_MX_5_1_10: Self = Self::new(5, 1, 10);
    /// System not capable of selected features (RFC 3463 §3.4).
    pub const FEATURES_5_3_3: Self = Self::new(5, 3, 3);
    /// Message too big for system (RFC 3463 §3.4).
    pub const TOO_BIG_5_3_4: Self = Self::new(5, 3, 4);
    /// Unable to route: no host takes mail for the domain (RFC 3463 §3.5).
    pub const UNROUTABLE_5_4_4: Self = Self::new(5, 4, 4);
    /// Delivery time expired, for good (RFC 3463 §3.5).
    pub const EXPIRED_5_4_7: Self = Self::new(5, 4, 7);
    /// Routing loop detected (RFC 3463 §3.5).
    pub const LOOP_5_4_6: Self = Self::new(5, 4, 6);
    /// Invalid command: out of sequence or not implemented (RFC 3463 §3.6).
    pub const INVALID_COMMAND_5_5_1: Self = Self::new(5, 5, 1);
    /// Syntax error: the command was not understood (RFC 3463 §3.6).
    pub const SYNTAX_5_5_2: Self = Self::new(5, 5, 2);
    /// Invalid command arguments (RFC 3463 §3.6).
    pub const ARGUMENTS_5_5_4: Self = Self::new(5, 5, 4);
    /// Authentication exchange line is too long (RFC 4954 §6).
    pub const AUTH_LINE_TOO_LONG_5_5_6: Self = Self::new(5, 5, 6);
    /// Other or undefined media error: something about the content (RFC 3463 §3.7).
    pub const CONTENT_5_6_0: Self = Self::new(5, 6, 0);
    /// Media not supported: content that the next system does not take (RFC 3463 §3.7).
    pub const MEDIA_5_6_1: Self = Self::new(5, 6, 1);
    /// Conversion required but not supported (RFC 3463 §3.7).
    pub const CONVERSION_5_6_3: Self = Self::new(5, 6, 3);
    /// Non-ASCII addresses not permitted for that sender or recipient (RFC 6531 §4.4, in the
    /// registry of RFC 5248).
    pub const NON_ASCII_5_6_7: Self = Self::new(5, 6, 7);
    /// UTF-8 header message cannot be transferred to a recipient (RFC 6531 §3.5, §4.2).
    pub const UTF8_HEADER_5_6_9: Self = Self::new(5, 6, 9);
    /// Other or undefined security status: TLS or authentication is missing (RFC 3463 §3.8).
    pub const POLICY_5_7_0: Self = Self::new(5, 7, 0);
    /// Delivery not authorised (RFC 3463 §3.8).
    pub const NOT_AUTHORISED_5_7_1: Self = Self::new(5, 7, 1);
    /// Authentication credentials invalid (RFC 4954 §6).
    pub const CREDENTIALS_5_7_8: Self = Self::new(5, 7, 8);
    /// Encryption needed: no protected session to the next hop (RFC 8689 §4.2.1, in the registry of
    /// RFC 5248).
    pub const ENCRYPTION_NEEDED_5_7_10: Self = Self::new(5, 7, 10);
    /// Encryption required for requested authentication mechanism (RFC 4954 §6).
    pub const ENCRYPTION_REQUIRED_5_7_11: Self = Self::new(5, 7, 11);

    /// `class.subject.detail`.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// Appends the code to `out` as it stands on the wire.
    pub fn write(self, out: &mut Vec<u8>) {
        push_number(out, u16::from(self.class));
        out.push(b'.');
        push_number(out, self.subject);
        out.push(b'.');
        push_number(out, self.detail);
    }

    /// Takes a code off the front of `text`; it must end there or be followed by white space.
    pub fn parse_prefix(text: &[u8]) -> Option<(Self, &[u8])> {
        let (class, rest) = parse_number(text)?;
        let (subject, rest) = parse_number(rest.strip_prefix(b".")?)?;
        let (detail, rest) = parse_number(rest.strip_prefix(b".")?)?;
        if !matches!(rest.first(), None | Some(b' ' | b'\t')) {
            return None;
        }
        let class = u8::try_from(class).ok().filter(|class| matches!(class, 2 | 4 | 5))?;
        Some((Self { class, subject, detail }, rest))
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// One to three digits (RFC 3463 §2).
fn parse_number(text: &[u8]) -> Option<(u16, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=3).contains(&digits) {
        return None;
    }
    let (number, rest) = text.split_at(digits);
    Some((number.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')), rest))
}

/// Appends the last three digits of `number`, without leading zeros. Every reply has three such
/// numbers, so it is done without the machinery of `fmt`.
fn push_number(out: &mut Vec<u8>, number: u16) {
    let digits = [number / 100 % 10, number / 10 % 10, number % 10];
    let leading = digits.iter().take(2).take_while(|&&digit| digit == 0).count();
    out.extend(digits.iter().skip(leading).map(|&digit| b"0123456789"[usize::from(digit)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_shown_alike() {
        for number in [0, 1, 9, 10, 99, 100, 101, 110, 999] {
            let code = EnhancedCode::new(5, number, 999 - number);
            let mut written = Vec::new();
            code.write(&mut written);
            assert_eq!(String::from_utf8_lossy(&written), code.to_string());
            assert_eq!(EnhancedCode::parse_prefix(&written), Some((code, b"".as_slice())));
        }
    }

    #[test]
    fn what_is_no_code_is_left_alone() {
        for text in ["", "5", "5.1", "5.1.", "5.1.1000", "3.1.1", "5.1.1x", "5..1", " 5.1.1"] {
            assert_eq!(EnhancedCode::parse_prefix(text.as_bytes()), None, "{text}");
        }
    }
}

//! What a server offers in its answer to EHLO, as far as the client uses it.

use crate::limits::PARAMETER_TIME_S_MAX;
use crate::proto::ext::{Extension, Offer};

/// The extensions of one session. After HELO there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerExtensions {
    /// Those that were offered, whether the client has a use for them or not.
    pub offered: Offer,
    /// What was said about SIZE (RFC 1870).
    pub size: SizeExtension,
    /// The shortest time that DELIVERBY takes with the mode `R`, in seconds (RFC 2852 §2); 0 if
    /// none was told.
    pub by_s_min: u32,
}

/// What a server says about the size of messages (RFC 1870 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SizeExtension {
    /// Nothing; `SIZE=` must not be sent.
    #[default]
    NotOffered,
    /// `SIZE=` is understood, and no fixed maximum is in force.
    NoMaximum,
    /// A larger message will be refused, whoever it is for.
    Maximum {
        /// Bytes of content, dots not doubled.
        bytes: u64,
    },
}

impl PeerExtensions {
    /// Whether the server offers `extension`.
    pub const fn has(&self, extension: Extension) -> bool {
        self.offered.has(extension)
    }

    /// Whether the server takes content of any bytes: what it said of BINARYMIME holds only
    /// together with CHUNKING (RFC 3030 §3).
    pub const fn takes_binary(&self) -> bool {
        self.has(Extension::BinaryMime) && self.has(Extension::Chunking)
    }

    /// Notes one line of the answer to EHLO behind the first: a keyword and its parameters
    /// (RFC 5321 §4.1.1.1). Unknown ones are no concern of the client.
    pub(super) fn note(&mut self, line: &[u8]) {
        let mut words =
            line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r')).filter(|word| !word.is_empty());
        let Some(keyword) = words.next() else { return };
        let is_meant =
            |extension: &Extension| keyword.eq_ignore_ascii_case(extension.keyword().as_bytes());
        let Some(extension) = Extension::ALL.into_iter().find(is_meant) else { return };
        self.offered = self.offered.with(extension);
        if extension == Extension::Size {
            self.size = parse_size(words.next());
        } else if extension == Extension::DeliverBy {
            self.by_s_min = parse_by_min(words.next());
        }
    }
}

/// RFC 1870 §3 and §4: no number or zero means that no fixed maximum is in force. A number that
/// is none is taken so too: the server will say what it thinks in its answer to MAIL.
fn parse_size(parameter: Option<&[u8]>) -> SizeExtension {
    let bytes = parameter.and_then(parse_number).unwrap_or(0);
    if bytes == 0 { SizeExtension::NoMaximum } else { SizeExtension::Maximum { bytes } }
}

/// `min-by-time` of RFC 2852 §2, which other options may follow behind a comma.
fn parse_by_min(parameter: Option<&[u8]>) -> u32 {
    let first = parameter.and_then(|options| options.split(|&byte| byte == b',').next());
    let seconds = first.and_then(parse_number).unwrap_or(0);
    u32::try_from(seconds).unwrap_or(u32::MAX).min(PARAMETER_TIME_S_MAX)
}

/// Digits as a number; one that is too large is the largest.
fn parse_number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    is_number.then(|| digits.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(line: &str) -> PeerExtensions {
        let mut extensions = PeerExtensions::default();
        extensions.note(line.as_bytes());
        extensions
    }

    #[test]
    fn keywords_are_understood_in_any_case() {
        let mut extensions = PeerExtensions::default();
        for line in ["pipelining", "8BitMIME", "dsn", "SmtpUtf8 x", "size 1000", "X-Y z", ""] {
            extensions.note(line.as_bytes());
        }
        let offered = [
            Extension::Pipelining,
            Extension::EightBitMime,
            Extension::Dsn,
            Extension::SmtpUtf8,
            Extension::Size,
        ];
        assert_eq!(extensions.offered, Offer::from_iter(offered));
        assert_eq!(extensions.size, SizeExtension::Maximum { bytes: 1_000 });
    }

    #[test]
    fn a_size_that_is_no_number_is_no_maximum() {
        let cases = [
            ("SIZE", SizeExtension::NoMaximum),
            ("SIZE 0", SizeExtension::NoMaximum),
            ("SIZE -1", SizeExtension::NoMaximum),
            ("SIZE  35882577 ", SizeExtension::Maximum { bytes: 35_882_577 }),
            ("SIZE 99999999999999999999999", SizeExtension::Maximum { bytes: u64::MAX }),
        ];
        for (line, size) in cases {
            assert_eq!(noted(line).size, size, "{line}");
        }
    }

    #[test]
    fn the_shortest_time_is_the_first_option_of_deliver_by() {
        let cases = [
            ("DELIVERBY", 0),
            ("DELIVERBY 240", 240),
            ("deliverby 240,x=y", 240),
            ("DELIVERBY ,x", 0),
            ("DELIVERBY soon", 0),
            ("DELIVERBY 99999999999", PARAMETER_TIME_S_MAX),
        ];
        for (line, seconds) in cases {
            let extensions = noted(line);
            assert!(extensions.has(Extension::DeliverBy), "{line}");
            assert_eq!(extensions.by_s_min, seconds, "{line}");
        }
    }

    #[test]
    fn binary_content_needs_both_extensions() {
        assert!(!noted("BINARYMIME").takes_binary());
        assert!(!noted("CHUNKING").takes_binary());
        let mut both = noted("BINARYMIME");
        both.note(b"CHUNKING");
        assert!(both.takes_binary());
    }
}

//! What a server offers in its answer to EHLO, as far as the client uses it.

/// The extensions of one session. After HELO there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerExtensions {
    /// PIPELINING (RFC 2920): a group of commands may be sent without waiting.
    pub pipelining: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034). Codes are understood whether it is offered or not.
    pub enhanced_status_codes: bool,
    /// SIZE (RFC 1870).
    pub size: SizeExtension,
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
    /// Notes one line of the answer to EHLO behind the first: a keyword and its parameters
    /// (RFC 5321 §4.1.1.1). Unknown ones are no concern of the client.
    pub(super) fn note(&mut self, line: &[u8]) {
        let mut words =
            line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r')).filter(|word| !word.is_empty());
        let Some(keyword) = words.next() else { return };
        if keyword.eq_ignore_ascii_case(b"PIPELINING") {
            self.pipelining = true;
        } else if keyword.eq_ignore_ascii_case(b"8BITMIME") {
            self.eight_bit_mime = true;
        } else if keyword.eq_ignore_ascii_case(b"ENHANCEDSTATUSCODES") {
            self.enhanced_status_codes = true;
        } else if keyword.eq_ignore_ascii_case(b"SIZE") {
            self.size = parse_size(words.next());
        }
    }
}

/// RFC 1870 §3 and §4: no number or zero means that no fixed maximum is in force. A number that
/// is none is taken so too: the server will say what it thinks in its answer to MAIL.
fn parse_size(parameter: Option<&[u8]>) -> SizeExtension {
    let digits = parameter.unwrap_or_default();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return SizeExtension::NoMaximum;
    }
    let bytes = digits
        .iter()
        .fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    if bytes == 0 { SizeExtension::NoMaximum } else { SizeExtension::Maximum { bytes } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_understood_in_any_case() {
        let mut extensions = PeerExtensions::default();
        for line in ["pipelining", "8BitMIME", "ENHANCEDSTATUSCODES", "size 1000", "X-Y z", ""] {
            extensions.note(line.as_bytes());
        }
        let all = PeerExtensions {
            pipelining: true,
            eight_bit_mime: true,
            enhanced_status_codes: true,
            size: SizeExtension::Maximum { bytes: 1_000 },
        };
        assert_eq!(extensions, all);
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
            let mut extensions = PeerExtensions::default();
            extensions.note(line.as_bytes());
            assert_eq!(extensions.size, size, "{line}");
        }
    }
}

//! Replies of the server: codes with names, and the way they are put on the wire.
//!
//! # Guarantees
//! Every line that is written here ends in CRLF and holds no other CR or LF: the texts are
//! constants of this program, and the few variable parts come from the configuration or from
//! numbers.
//!
//! # Never
//! Nothing that a peer sent is repeated in a reply.

use crate::proto::enhanced::EnhancedCode;

/// The three digits of a reply (RFC 5321 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code([u8; 3]);

impl Code {
    /// Help message (RFC 5321 §4.2.3).
    pub const HELP_214: Self = Self(*b"214");
    /// Service ready (RFC 5321 §4.2.3).
    pub const READY_220: Self = Self(*b"220");
    /// Service closing transmission channel (RFC 5321 §4.2.3).
    pub const CLOSING_221: Self = Self(*b"221");
    /// Authentication succeeded (RFC 4954 §6).
    pub const AUTHENTICATED_235: Self = Self(*b"235");
    /// Requested mail action okay, completed (RFC 5321 §4.2.3).
    pub const OK_250: Self = Self(*b"250");
    /// Cannot verify the user, but will take the message (RFC 5321 §3.5.3).
    pub const CANNOT_VERIFY_252: Self = Self(*b"252");
    /// Challenge of the server (RFC 4954 §4).
    pub const CHALLENGE_334: Self = Self(*b"334");
    /// Start mail input (RFC 5321 §4.2.3).
    pub const START_CONTENT_354: Self = Self(*b"354");
    /// Service not available, closing; may answer any command (RFC 5321 §3.8).
    pub const UNAVAILABLE_421: Self = Self(*b"421");
    /// Mailbox unavailable for now, for reasons of policy among others (RFC 5321 §4.2.3).
    pub const BUSY_450: Self = Self(*b"450");
    /// Local error in processing (RFC 5321 §4.2.3).
    pub const LOCAL_ERROR_451: Self = Self(*b"451");
    /// Insufficient system storage, and too many recipients (RFC 5321 §4.5.3.1.10).
    pub const INSUFFICIENT_452: Self = Self(*b"452");
    /// Temporary failure of authentication or TLS (RFC 4954 §6, RFC 3207 §4).
    pub const NOT_NOW_454: Self = Self(*b"454");
    /// Command not recognised or line too long (RFC 5321 §4.2.4, §4.5.3.1.9).
    pub const UNRECOGNISED_500: Self = Self(*b"500");
    /// Syntax error in parameters or arguments (RFC 5321 §4.2.3).
    pub const SYNTAX_501: Self = Self(*b"501");
    /// Command known but not implemented (RFC 5321 §4.2.4).
    pub const NOT_IMPLEMENTED_502: Self = Self(*b"502");
    /// Bad sequence of commands (RFC 5321 §4.1.4).
    pub const SEQUENCE_503: Self = Self(*b"503");
    /// Mechanism not known (RFC 4954 §4).
    pub const MECHANISM_504: Self = Self(*b"504");
    /// TLS or authentication is needed first (RFC 3207 §4, RFC 4954 §6).
    pub const NEEDED_530: Self = Self(*b"530");
    /// Authentication credentials invalid (RFC 4954 §6).
    pub const CREDENTIALS_535: Self = Self(*b"535");
    /// Encryption required for the requested mechanism (RFC 4954 §6).
    pub const ENCRYPTION_538: Self = Self(*b"538");
    /// Mailbox unavailable, for reasons of policy among others (RFC 5321 §4.2.3, §7.9).
    pub const REFUSED_550: Self = Self(*b"550");
    /// Exceeded storage allocation: the message is too big (RFC 1870 §6).
    pub const TOO_BIG_552: Self = Self(*b"552");
    /// Mailbox name not allowed (RFC 5321 §4.2.3).
    pub const MAILBOX_553: Self = Self(*b"553");
    /// Transaction failed (RFC 5321 §4.2.3).
    pub const FAILED_554: Self = Self(*b"554");
    /// MAIL or RCPT parameters not recognised or not implemented (RFC 5321 §4.1.1.11).
    pub const PARAMETER_555: Self = Self(*b"555");

    /// The digits as they stand on the wire.
    pub const fn digits(&self) -> &[u8; 3] {
        &self.0
    }

    /// Whether the command failed, for good or for now.
    pub const fn is_failure(self) -> bool {
        self.0[0] >= b'4'
    }
}

/// A reply of one line whose text is a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: Code,
    /// The enhanced code; none in the greeting, in answers to HELO and EHLO (RFC 2034 §4), and
    /// where the code begins with 3 (RFC 2034 §3 has no class for it).
    pub enhanced: Option<EnhancedCode>,
    /// What is wrong and what to do, or what was done.
    pub text: &'static str,
}

impl Reply {
    /// A reply with an enhanced code.
    pub const fn new(code: Code, enhanced: EnhancedCode, text: &'static str) -> Self {
        Self { code, enhanced: Some(enhanced), text }
    }

    /// A reply without one.
    pub const fn plain(code: Code, text: &'static str) -> Self {
        Self { code, enhanced: None, text }
    }

    /// Appends the line to `out`.
    pub fn write(self, out: &mut Vec<u8>) {
        write_line(out, self.code, self.enhanced, &[self.text.as_bytes()]);
    }
}

/// Appends one reply line of `parts` in order.
pub fn write_line(out: &mut Vec<u8>, code: Code, enhanced: Option<EnhancedCode>, parts: &[&[u8]]) {
    write_start(out, code, b' ', enhanced);
    for part in parts {
        debug_assert!(!part.iter().any(u8::is_ascii_control), "a reply text holds a control");
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a reply of several lines: all but the last carry a hyphen behind the code
/// (RFC 5321 §4.2.1).
pub fn write_lines(out: &mut Vec<u8>, code: Code, enhanced: Option<EnhancedCode>, lines: &[&[u8]]) {
    debug_assert!(!lines.is_empty(), "a reply has at least one line");
    for (index, line) in lines.iter().enumerate() {
        let separator = if index + 1 == lines.len() { b' ' } else { b'-' };
        write_start(out, code, separator, enhanced);
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
}

fn write_start(out: &mut Vec<u8>, code: Code, separator: u8, enhanced: Option<EnhancedCode>) {
    out.extend_from_slice(code.digits());
    out.push(separator);
    if let Some(enhanced) = enhanced {
        enhanced.write(out);
        out.push(b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_as_rfc_5321_wants() {
        let mut out = Vec::new();
        Reply::new(Code::OK_250, EnhancedCode::OK_2_0_0, "Ok").write(&mut out);
        Reply::plain(Code::START_CONTENT_354, "Go on").write(&mut out);
        write_lines(
            &mut out,
            Code::HELP_214,
            Some(EnhancedCode::OK_2_0_0),
            &[b"one", b"two", b"three"],
        );
        let text =
            "250 2.0.0 Ok\r\n354 Go on\r\n214-2.0.0 one\r\n214-2.0.0 two\r\n214 2.0.0 three\r\n";
        assert_eq!(String::from_utf8_lossy(&out), text);
    }
}

//! The commands of one transaction, written out before the first is sent.
//!
//! # Guarantees
//! No address can end its command, its line or its path: what could is never written
//! ([`is_sendable`]).
//!
//! # Bounds
//! The commands of [`TRANSACTION_RECIPIENTS_MAX`](crate::limits::TRANSACTION_RECIPIENTS_MAX)
//! recipients with paths of [`PATH_BYTES_MAX`].

use std::io::Write as _;

use crate::limits::PATH_BYTES_MAX;

use super::TransactionRequest;
use super::extensions::{PeerExtensions, SizeExtension};

/// Command lines in the order of sending, each ended by CRLF.
#[derive(Debug, Default)]
pub(super) struct Commands {
    bytes: Vec<u8>,
    /// Where each line ends in `bytes`; ascending.
    ends: Vec<usize>,
    /// Lines that were sent.
    sent: usize,
}

impl Commands {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.sent = 0;
    }

    /// RFC 5321 §4.1.1.5.
    pub(super) fn push_reset(&mut self) {
        self.push(&[b"RSET"]);
    }

    /// RFC 5321 §4.1.1.2, with `SIZE=` (RFC 1870 §6) and `BODY=` (RFC 6152 §2) where offered.
    pub(super) fn push_mail(&mut self, request: &TransactionRequest<'_>, peer: &PeerExtensions) {
        self.bytes.extend_from_slice(b"MAIL FROM:<");
        self.bytes.extend_from_slice(request.sender);
        self.bytes.push(b'>');
        if peer.size != SizeExtension::NotOffered {
            // Writing to memory does not fail.
            let _ = write!(self.bytes, " SIZE={}", request.size_bytes);
        }
        if request.eight_bit && peer.eight_bit_mime {
            self.bytes.extend_from_slice(b" BODY=8BITMIME");
        }
        self.push(&[]);
    }

    /// RFC 5321 §4.1.1.3.
    pub(super) fn push_rcpt(&mut self, recipient: &[u8]) {
        self.push(&[b"RCPT TO:<", recipient, b">"]);
    }

    /// RFC 5321 §4.1.1.4.
    pub(super) fn push_data(&mut self) {
        self.push(&[b"DATA"]);
    }

    fn push(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.extend_from_slice(b"\r\n");
        self.ends.push(self.bytes.len());
    }

    /// Moves the next line to `out`; nothing if all were sent.
    pub(super) fn send_one(&mut self, out: &mut Vec<u8>) {
        let start = self.sent.checked_sub(1).map_or(0, |last| self.ends[last]);
        if let Some(&end) = self.ends.get(self.sent) {
            out.extend_from_slice(&self.bytes[start..end]);
            self.sent += 1;
        }
    }

    /// Moves all lines to `out`.
    pub(super) fn send_all(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
        self.sent = self.ends.len();
    }
}

/// Whether `address` can stand between angle brackets without ending them: no control character
/// and nothing beyond ASCII at all, and outside a quoted string no space, no bracket and no
/// backslash (RFC 5321 §4.1.2). Whether such a mailbox can exist is the peer's business.
pub(super) fn is_sendable(address: &[u8]) -> bool {
    if address.len() + 2 > PATH_BYTES_MAX {
        return false;
    }
    let mut quoted = false;
    let mut escaped = false;
    for &byte in address {
        match byte {
            0..=0x1f | 0x7f.. => return false,
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b' ' | b'<' | b'>' | b'\\' if !quoted => return false,
            _ => {}
        }
    }
    !quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_cannot_break_out_of_its_path() {
        let good: [&[u8]; 5] = [
            b"",
            b"a@b.example",
            b"a+b=c@[127.0.0.1]",
            b"\"a b>c\"@d.example",
            b"\"a\\\" >\"@d.example",
        ];
        for address in good {
            assert!(is_sendable(address), "{}", address.escape_ascii());
        }
        let bad: [&[u8]; 12] = [
            b"a\\\"b>c\"@d",
            b"a@b>\r\nRCPT TO:<c@d",
            b"a\n@b",
            b"a\0@b",
            b"a@b\x7f",
            b"a\xc3\xa9@b",
            b"a@b> SIZE=0 <",
            b"a b@c",
            b"<a@b",
            b"\"a@b",
            b"\"a\\\\\"@b> X=\"",
            b"\"\r\n\"@b",
        ];
        for address in bad {
            assert!(!is_sendable(address), "{}", address.escape_ascii());
        }
        assert!(is_sendable(&[b'a'; PATH_BYTES_MAX - 2]));
        assert!(!is_sendable(&[b'a'; PATH_BYTES_MAX - 1]));
    }
}

//! The commands of one transaction, written out before the first is sent.
//!
//! # Guarantees
//! No address and no value can end its command or its line: what could is never written, see
//! [`spelling`](super::spelling). No parameter is written that the peer does not offer.
//!
//! # Bounds
//! The commands of [`TRANSACTION_RECIPIENTS_MAX`](crate::limits::TRANSACTION_RECIPIENTS_MAX)
//! recipients with paths of [`PATH_BYTES_MAX`](crate::limits::PATH_BYTES_MAX) and the parameters
//! that came with them.

use std::io::Write as _;

use crate::message::{BodyType, DeliverByMode, Notify, ReturnedContent, Wishes};
use crate::proto::ext::Extension;

use super::extensions::PeerExtensions;
use super::request::{Addressee, PassedOn, TransactionRequest};
use super::spelling::{original_recipient, word};

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

    /// RFC 5321 §4.1.1.2, with the parameters of what is offered and asked for. `sender` is the
    /// reverse-path as it is spelled. `HOLDFOR=` and `HOLDUNTIL=` are obeyed here and never passed
    /// on (RFC 4865 §5), and `AUTH=` was not kept (RFC 4954 §5).
    pub(super) fn push_mail(
        &mut self,
        sender: &[u8],
        request: &TransactionRequest<'_>,
        peer: &PeerExtensions,
    ) {
        self.add(&[b"MAIL FROM:<", sender, b">"]);
        if peer.has(Extension::Size) {
            // RFC 1870 §6. Writing to memory does not fail.
            let _ = write!(self.bytes, " SIZE={}", request.size_bytes);
        }
        match request.body_type {
            // RFC 6152 §2.
            BodyType::EightBit if peer.has(Extension::EightBitMime) => {
                self.add(&[b" BODY=8BITMIME"]);
            }
            // RFC 3030 §3.
            BodyType::Binary if peer.takes_binary() => self.add(&[b" BODY=BINARYMIME"]),
            BodyType::SevenBit | BodyType::EightBit | BodyType::Binary => {}
        }
        if request.uses_utf8(peer) {
            self.add(&[b" SMTPUTF8"]); // RFC 6531 §3.4
        }
        if let Some(wishes) = request.wishes {
            self.add_wishes(wishes, request, peer);
        }
        self.push(&[]);
    }

    fn add_wishes(
        &mut self,
        wishes: &Wishes,
        request: &TransactionRequest<'_>,
        peer: &PeerExtensions,
    ) {
        if peer.has(Extension::Dsn) {
            // RFC 3461 §5.2.1.
            match wishes.returned_content {
                Some(ReturnedContent::Full) => self.add(&[b" RET=FULL"]),
                Some(ReturnedContent::Headers) => self.add(&[b" RET=HDRS"]),
                None => {}
            }
            if let Some(id) = wishes.envelope_id.as_deref().and_then(word) {
                self.add(&[b" ENVID=", id]);
            }
        }
        if let Some(by) = &wishes.deliver_by
            && peer.has(Extension::DeliverBy)
        {
            // RFC 2852 §4, §4.1.4.
            let mode = match by.mode {
                DeliverByMode::Return => "R",
                DeliverByMode::Notify => "N",
            };
            let trace = if by.trace { "T" } else { "" };
            let _ = write!(self.bytes, " BY={};{mode}{trace}", request.by_s(by));
        }
        if let Some(priority) = wishes.priority
            && peer.has(Extension::MtPriority)
        {
            // RFC 6710 §5.
            let _ = write!(self.bytes, " MT-PRIORITY={priority}");
        }
    }

    /// RFC 5321 §4.1.1.3, with `NOTIFY=` and `ORCPT=` (RFC 3461 §5.2.1) where offered. No ORCPT is
    /// added to a recipient that came without: the address is the same that came here, and the
    /// peer knows it.
    pub(super) fn push_rcpt(
        &mut self,
        path: &[u8],
        addressee: &Addressee<'_>,
        request: &TransactionRequest<'_>,
        passed_on: PassedOn,
        utf8: bool,
    ) {
        self.add(&[b"RCPT TO:<", path, b">"]);
        if passed_on.notices {
            if let Some(notify) = request.notify(addressee, passed_on) {
                self.add_notify(notify);
            }
            let original = addressee.notices.and_then(|it| it.original_recipient.as_deref());
            if let Some(original) = original.and_then(|it| original_recipient(it, utf8)) {
                self.add(&[b" ORCPT=", &original]);
            }
        }
        self.push(&[]);
    }

    /// RFC 3461 §4.1.
    fn add_notify(&mut self, notify: Notify) {
        let conditions = [
            (notify.success, &b"SUCCESS"[..]),
            (notify.failure, b"FAILURE"),
            (notify.delay, b"DELAY"),
        ];
        let mut named = conditions.into_iter().filter(|(is_named, _)| *is_named).map(|(_, it)| it);
        self.add(&[b" NOTIFY=", named.next().unwrap_or(b"NEVER")]);
        for condition in named {
            self.add(&[b",", condition]);
        }
    }

    /// RFC 5321 §4.1.1.4.
    pub(super) fn push_data(&mut self) {
        self.push(&[b"DATA"]);
    }

    /// Adds to the line that is being written.
    fn add(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
    }

    /// Adds to the line and ends it.
    fn push(&mut self, parts: &[&[u8]]) {
        self.add(parts);
        self.add(&[b"\r\n"]);
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

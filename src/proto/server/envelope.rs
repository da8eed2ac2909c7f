//! MAIL and RCPT, and the envelope that they build in the transaction's arena.

use crate::arena::{ArenaBytes, TransactionArena};
use crate::limits::{ENVELOPE_BYTES_MAX, ENVELOPE_KEPT_BYTES};
use crate::proto::command::Mail;
use crate::proto::enhanced::EnhancedCode;
use crate::proto::fault::{BoundFault, Fault, LocalFault, PolicyFault, SequenceFault};
use crate::proto::path::Path;
use crate::proto::reply::{Code, Reply};
use crate::proto::server::{Conditions, Hello, ServerSession, Storage};

/// Sender and recipients of the transaction; empty between transactions.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    arena: TransactionArena,
    sender: Option<ArenaBytes>,
    recipients: Vec<ArenaBytes>,
    /// A RCPT was refused; without any that was accepted, DATA is told so.
    recipient_was_refused: bool,
    eight_bit: bool,
    declared_bytes: Option<u64>,
}

/// Sender and recipients of a transaction, valid until the next call of
/// [`advance`](ServerSession::advance).
#[derive(Clone, Copy, Debug)]
pub struct EnvelopeView<'a> {
    /// Reverse-path without brackets and source route; empty for the null one (RFC 5321 §4.5.5).
    pub sender: &'a [u8],
    /// Forward-paths in the order of their commands.
    pub recipients: Recipients<'a>,
    /// Whether the client declared `BODY=8BITMIME` (RFC 6152).
    pub eight_bit: bool,
    /// The size that the client declared, in bytes (RFC 1870). Not more than what is accepted,
    /// but not necessarily true.
    pub declared_bytes: Option<u64>,
}

/// The recipients of a transaction: forward-paths without brackets and source route. One of
/// `<Postmaster>` has become `postmaster@` and the server's own name.
#[derive(Clone, Copy, Debug)]
pub struct Recipients<'a> {
    arena: &'a TransactionArena,
    handles: &'a [ArenaBytes],
}

impl<'a> Iterator for Recipients<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (first, rest) = self.handles.split_first()?;
        self.handles = rest;
        Some(self.arena.get(*first))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.handles.len(), Some(self.handles.len()))
    }
}

impl ExactSizeIterator for Recipients<'_> {}

impl Envelope {
    /// Ends the transaction. Memory that was only needed by an unusually large one is given back.
    pub(super) fn reset(&mut self) {
        if self.sender.is_none() {
            return;
        }
        let kept_handles = ENVELOPE_KEPT_BYTES / size_of::<ArenaBytes>();
        if self.arena.used_bytes() > ENVELOPE_KEPT_BYTES || self.recipients.len() > kept_handles {
            *self = Self::default();
            return;
        }
        self.arena.reset();
        self.sender = None;
        self.recipients.clear();
        self.recipient_was_refused = false;
        self.eight_bit = false;
        self.declared_bytes = None;
    }

    /// Notes that a RCPT was refused before it came to a session.
    pub(super) const fn note_refusal(&mut self, fault: Fault) {
        if self.sender.is_some() && matches!(fault, Fault::Recipient(_)) {
            self.recipient_was_refused = true;
        }
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.arena.used_bytes() + self.recipients.capacity() * size_of::<ArenaBytes>()
    }
}

impl ServerSession {
    /// Sender and recipients, from MAIL on and still after [`Event::MessageEnd`] until the next
    /// call of [`advance`](Self::advance); empty otherwise.
    ///
    /// [`Event::MessageEnd`]: crate::proto::server::Event::MessageEnd
    pub fn envelope(&self) -> EnvelopeView<'_> {
        let Envelope { arena, sender, recipients, eight_bit, declared_bytes, .. } = &self.envelope;
        EnvelopeView {
            sender: sender.map_or(&[], |handle| arena.get(handle)),
            recipients: Recipients { arena, handles: recipients },
            eight_bit: *eight_bit,
            declared_bytes: *declared_bytes,
        }
    }

    pub(super) const fn envelope_is_open(&self) -> bool {
        self.envelope.sender.is_some() && !self.envelope_ended
    }

    /// RFC 5321 §4.1.1.2.
    pub(super) fn mail(
        &mut self,
        conditions: &Conditions,
        line: &[u8],
        mail: Mail,
    ) -> Result<(), Fault> {
        let limits = &self.policy.limits;
        if self.hello == Hello::None {
            return Err(Fault::Sequence(SequenceFault::HelloMissing));
        }
        if self.envelope.sender.is_some() {
            return Err(Fault::Sequence(SequenceFault::TransactionRunning));
        }
        if conditions.draining {
            return Err(Fault::Local(LocalFault::Draining));
        }
        if self.message_count >= limits.messages_max {
            return Err(Fault::Bound(BoundFault::Messages));
        }
        if conditions.storage == Storage::Full {
            return Err(Fault::Local(LocalFault::StorageFull));
        }
        // RFC 1870 §6.1.
        if mail.declared_bytes.is_some_and(|bytes| bytes > limits.message_bytes_max) {
            return Err(Fault::Policy(PolicyFault::DeclaredTooBig));
        }
        let sender = match mail.path {
            Path::Mailbox { address, .. } => address.of(line),
            // No reverse-path is parsed as that of a postmaster.
            Path::Null | Path::Postmaster => &[],
        };
        let envelope = &mut self.envelope;
        envelope.sender = envelope.arena.store(sender, ENVELOPE_BYTES_MAX);
        debug_assert!(envelope.sender.is_some(), "one path always fits");
        envelope.eight_bit = mail.eight_bit;
        envelope.declared_bytes = mail.declared_bytes;
        self.reply(Reply::new(Code::OK_250, EnhancedCode::SENDER_OK_2_1_0, "Sender ok"))
    }

    /// RFC 5321 §4.1.1.3.
    pub(super) fn rcpt(&mut self, line: &[u8], path: Path) -> Result<(), Fault> {
        if self.envelope.sender.is_none() {
            return Err(Fault::Sequence(SequenceFault::MailMissing));
        }
        let stored = self.add_recipient(line, path);
        self.envelope.recipient_was_refused |= stored.is_err();
        stored?;
        self.reply(Reply::new(Code::OK_250, EnhancedCode::RECIPIENT_OK_2_1_5, "Recipient ok"))
    }

    fn add_recipient(&mut self, line: &[u8], path: Path) -> Result<(), Fault> {
        // RFC 5321 §3.6.1 and §7.9: a server decides for whom it relays.
        if !self.is_trusted() {
            return Err(Fault::Policy(PolicyFault::RelayDenied));
        }
        let envelope = &mut self.envelope;
        if envelope.recipients.len() >= self.policy.limits.recipients_max {
            return Err(Fault::Bound(BoundFault::Recipients));
        }
        let stored = match path {
            Path::Mailbox { address, .. } => {
                envelope.arena.store(address.of(line), ENVELOPE_BYTES_MAX)
            }
            // RFC 5321 §4.1.1.3: without a domain it is the postmaster of this very server.
            Path::Null | Path::Postmaster => {
                let own_name = self.policy.hostname.as_bytes();
                envelope.arena.store_joined(b"postmaster@", own_name, ENVELOPE_BYTES_MAX)
            }
        };
        let handle = stored.ok_or(Fault::Bound(BoundFault::Recipients))?;
        envelope.recipients.push(handle);
        Ok(())
    }

    /// Whether DATA may come now (RFC 5321 §3.3, §4.1.4).
    pub(super) fn check_envelope(&self) -> Result<(), Fault> {
        let envelope = &self.envelope;
        if envelope.sender.is_none() {
            Err(Fault::Sequence(SequenceFault::MailMissing))
        } else if !envelope.recipients.is_empty() {
            Ok(())
        } else if envelope.recipient_was_refused {
            Err(Fault::Sequence(SequenceFault::NoValidRecipient))
        } else {
            Err(Fault::Sequence(SequenceFault::RcptMissing))
        }
    }
}

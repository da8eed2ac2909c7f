//! MAIL and RCPT, and the envelope that they build in the transaction's arena.

use std::time::Duration;

use memchr::{memchr3, memrchr};

use crate::arena::{ArenaBytes, TransactionArena};
use crate::clock::WallTime;
use crate::limits::{ENVELOPE_BYTES_MAX, ENVELOPE_KEPT_BYTES};
use crate::message::{BodyType, DeliverBy, Notices, ReturnedContent, Wishes};
use crate::proto::command::{Mail, Rcpt};
use crate::proto::enhanced::EnhancedCode;
use crate::proto::fault::{BoundFault, Fault, LocalFault, PolicyFault, SequenceFault, SyntaxFault};
use crate::proto::parameters::{By, Hold, MailParameters, RcptParameters, ValueFault};
use crate::proto::path::Path;
use crate::proto::reply::{Code, Reply};
use crate::proto::server::content::Chunks;
use crate::proto::server::{AuthOffer, Conditions, Hello, ServerSession, Storage, TlsOffer};
use crate::route::table::normalized;

/// Sender and recipients of the transaction; empty between transactions.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    arena: TransactionArena,
    sender: Option<ArenaBytes>,
    recipients: Vec<StoredRecipient>,
    /// A RCPT was refused; without any that was accepted, DATA is told so.
    recipient_was_refused: bool,
    body_type: BodyType,
    declared_bytes: Option<u64>,
    pub(super) chunks: Chunks,
    wishes: Option<Box<Wishes>>,
    /// What wishes and notices hold outside of the arena.
    boxed_bytes: usize,
}

#[derive(Debug)]
struct StoredRecipient {
    address: ArenaBytes,
    notices: Option<Box<Notices>>,
}

/// Sender and recipients of a transaction, valid until the next call of
/// [`advance`](ServerSession::advance).
#[derive(Clone, Copy, Debug)]
pub struct EnvelopeView<'a> {
    /// Reverse-path without brackets and source route; empty for the null one (RFC 5321 §4.5.5).
    pub sender: &'a [u8],
    /// In the order of their commands.
    pub recipients: Recipients<'a>,
    /// What the client declared the content to be.
    pub body_type: BodyType,
    /// The size that the client declared, in bytes (RFC 1870). Not more than what is accepted,
    /// but not necessarily true.
    pub declared_bytes: Option<u64>,
    /// What else the client asked for with MAIL; most transactions have nothing.
    pub wishes: Option<&'a Wishes>,
}

/// One recipient of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipientView<'a> {
    /// Forward-path without brackets and source route. `<Postmaster>` has become `postmaster@` and
    /// the server's own name.
    pub address: &'a [u8],
    /// What RCPT said about notifications; most say nothing.
    pub notices: Option<&'a Notices>,
}

/// The recipients of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Recipients<'a> {
    arena: &'a TransactionArena,
    stored: &'a [StoredRecipient],
}

impl<'a> Iterator for Recipients<'a> {
    type Item = RecipientView<'a>;

    fn next(&mut self) -> Option<RecipientView<'a>> {
        let (first, rest) = self.stored.split_first()?;
        self.stored = rest;
        let address = self.arena.get(first.address);
        Some(RecipientView { address, notices: first.notices.as_deref() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.stored.len(), Some(self.stored.len()))
    }
}

impl ExactSizeIterator for Recipients<'_> {}

impl Envelope {
    /// Ends the transaction. Memory that was only needed by an unusually large one is given back.
    pub(super) fn reset(&mut self) {
        if self.sender.is_none() {
            return;
        }
        let kept_recipients = ENVELOPE_KEPT_BYTES / size_of::<StoredRecipient>();
        if self.arena.used_bytes() > ENVELOPE_KEPT_BYTES || self.recipients.len() > kept_recipients
        {
            *self = Self::default();
            return;
        }
        self.arena.reset();
        self.sender = None;
        self.recipients.clear();
        self.recipient_was_refused = false;
        self.body_type = BodyType::default();
        self.declared_bytes = None;
        self.chunks = Chunks::None;
        self.wishes = None;
        self.boxed_bytes = 0;
    }

    /// Notes that a RCPT was refused before it came to a session.
    pub(super) const fn note_refusal(&mut self, fault: Fault) {
        if self.sender.is_some() && matches!(fault, Fault::Recipient(_)) {
            self.recipient_was_refused = true;
        }
    }

    /// Counts `bytes` outside of the arena, if the envelope may have so many.
    fn reserve(&mut self, bytes: usize) -> Result<(), Fault> {
        if self.arena.used_bytes() + self.boxed_bytes + bytes > ENVELOPE_BYTES_MAX {
            return Err(Fault::Bound(BoundFault::Recipients));
        }
        self.boxed_bytes += bytes;
        Ok(())
    }

    /// What the arena may hold.
    const fn arena_bytes_max(&self) -> usize {
        ENVELOPE_BYTES_MAX.saturating_sub(self.boxed_bytes)
    }

    fn add(&mut self, address: &[&[u8]; 2], notices: Option<Box<Notices>>) -> Result<(), Fault> {
        let bytes = notices.as_deref().map_or(0, |notices| {
            let original = notices.original_recipient.as_ref().map_or(0, |text| text.len());
            size_of::<Notices>() + original
        });
        self.reserve(bytes)?;
        let bound_bytes = self.arena_bytes_max();
        let [first, second] = address;
        let address = if second.is_empty() {
            self.arena.store(first, bound_bytes)
        } else {
            self.arena.store_joined(first, second, bound_bytes)
        };
        let address = address.ok_or(Fault::Bound(BoundFault::Recipients))?;
        self.recipients.push(StoredRecipient { address, notices });
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        let recipients = self.recipients.capacity() * size_of::<StoredRecipient>();
        self.arena.used_bytes() + self.boxed_bytes + recipients
    }
}

impl ServerSession {
    /// Sender and recipients, from MAIL on and still after [`Event::MessageEnd`] until the next
    /// call of [`advance`](Self::advance); empty otherwise.
    ///
    /// [`Event::MessageEnd`]: crate::proto::server::Event::MessageEnd
    pub fn envelope(&self) -> EnvelopeView<'_> {
        let Envelope { arena, sender, recipients, body_type, declared_bytes, wishes, .. } =
            &self.envelope;
        EnvelopeView {
            sender: sender.map_or(&[], |handle| arena.get(handle)),
            recipients: Recipients { arena, stored: recipients },
            body_type: *body_type,
            declared_bytes: *declared_bytes,
            wishes: wishes.as_deref(),
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
        self.check_readiness(conditions)?;
        let Mail { path, parameters } = mail;
        // RFC 1870 §6.1.
        let bytes_max = self.policy.limits.message_bytes_max;
        if parameters.declared_bytes.is_some_and(|bytes| bytes > bytes_max) {
            return Err(Fault::Policy(PolicyFault::DeclaredTooBig));
        }
        let sender = match path {
            Path::Mailbox { address, .. } => address.of(line),
            // No reverse-path is parsed as that of a postmaster.
            Path::Null | Path::Postmaster => &[],
        };
        self.check_sender(sender)?;
        let wishes = self.wishes(conditions, line, &parameters)?;
        let policy = &self.policy;
        let (scope, limits) = (policy.throttle_scope, &policy.throttle_limits);
        policy
            .throttles
            .message(conditions.now, scope, limits, self.peer.address, self.user())
            .map_err(|over| Fault::Bound(BoundFault::Throttle(over)))?;
        // RFC 6710 §4.1.
        let priority_was_lowered =
            wishes.as_ref().and_then(|wishes| wishes.priority) != parameters.priority;
        let envelope = &mut self.envelope;
        let boxed_bytes = wishes.as_ref().map_or(0, |wishes| {
            size_of::<Wishes>() + wishes.envelope_id.as_ref().map_or(0, |id| id.len())
        });
        envelope.reserve(boxed_bytes)?;
        envelope.wishes = wishes;
        envelope.sender = envelope.arena.store(sender, ENVELOPE_BYTES_MAX);
        debug_assert!(envelope.sender.is_some(), "one path always fits");
        envelope.body_type = parameters.body_type;
        envelope.declared_bytes = parameters.declared_bytes;
        self.reply(if priority_was_lowered { PRIORITY_LOWERED } else { SENDER_OK })
    }

    /// Whether MAIL may come now, whatever it says.
    fn check_readiness(&self, conditions: &Conditions) -> Result<(), Fault> {
        let policy = &self.policy;
        if self.hello == Hello::None {
            return Err(Fault::Sequence(SequenceFault::HelloMissing));
        }
        if self.envelope.sender.is_some() {
            return Err(Fault::Sequence(SequenceFault::TransactionRunning));
        }
        // RFC 3207 §4: without MAIL nothing else of a transaction can come either.
        if policy.tls == (TlsOffer::StartTls { required: true }) && self.tls_facts().is_none() {
            return Err(Fault::Sequence(SequenceFault::TlsMissing));
        }
        // RFC 4954 §6.
        if matches!(policy.auth, AuthOffer::Required { .. }) && self.user().is_none() {
            // Where AUTH comes only with TLS, that is the next step.
            let next_step = match self.auth_keywords().next() {
                Some(_) => SequenceFault::AuthMissing,
                None => SequenceFault::TlsMissing,
            };
            return Err(Fault::Sequence(next_step));
        }
        if conditions.draining {
            return Err(Fault::Local(LocalFault::Draining));
        }
        if self.message_count >= policy.limits.messages_max {
            return Err(Fault::Bound(BoundFault::Messages));
        }
        if conditions.storage == Storage::Full {
            return Err(Fault::Local(LocalFault::StorageFull));
        }
        if conditions.memory_is_short {
            return Err(Fault::Local(LocalFault::MemoryShort));
        }
        Ok(())
    }

    /// RFC 6409 §6.1: a user sends from the addresses that are theirs. One that the configuration
    /// does not have any more has none.
    fn check_sender(&self, sender: &[u8]) -> Result<(), Fault> {
        let Some(name) = self.user() else { return Ok(()) };
        let user = self.policy.users.get(name);
        if user.is_some_and(|user| user.may_send_as(sender)) {
            Ok(())
        } else {
            Err(Fault::Policy(PolicyFault::SenderDenied))
        }
    }

    /// What MAIL asks the delivery for.
    fn wishes(
        &self,
        conditions: &Conditions,
        line: &[u8],
        parameters: &MailParameters,
    ) -> Result<Option<Box<Wishes>>, Fault> {
        let refuse = |fault| Err(Fault::Syntax(SyntaxFault::Value(fault)));
        let hold_until = match parameters.hold {
            None => None,
            Some(Hold::For(seconds)) => Some(after(conditions.wall, seconds)),
            // One that has passed asks for nothing.
            Some(Hold::Until(time)) => Some(time).filter(|&time| time > conditions.wall),
        };
        // RFC 4865 §4.2.
        let last = after(conditions.wall, self.hold_s_max());
        if hold_until.is_some_and(|time| time > last) {
            return refuse(ValueFault::HoldTooLong);
        }
        let deliver_by = parameters.deliver_by.map(|By { seconds, mode, trace }| {
            let span = seconds.unsigned_abs();
            let at = if seconds < 0 {
                before(conditions.wall, span)
            } else {
                after(conditions.wall, span)
            };
            DeliverBy { at, mode, trace }
        });
        // RFC 4865 §5.2.2.
        if deliver_by.is_some_and(|by| hold_until.is_some_and(|release| release > by.at)) {
            return refuse(ValueFault::ByBeforeRelease);
        }
        let wishes = Wishes {
            envelope_id: parameters.envelope_id.map(|id| id.of(line).into()),
            // RFC 8689 §5: what must not travel unprotected does not go back whole.
            returned_content: if parameters.require_tls {
                Some(ReturnedContent::Headers)
            } else {
                parameters.returned_content
            },
            smtputf8: parameters.smtputf8,
            require_tls: parameters.require_tls,
            // RFC 6710 §4.1: who is not trusted may lower a priority, but not raise it.
            priority: parameters
                .priority
                .map(|priority| if priority > 0 && !self.is_trusted() { 0 } else { priority }),
            hold_until,
            deliver_by,
        };
        Ok((wishes != Wishes::default()).then(|| Box::new(wishes)))
    }

    /// RFC 5321 §4.1.1.3.
    pub(super) fn rcpt(
        &mut self,
        conditions: &Conditions,
        line: &[u8],
        rcpt: Rcpt,
    ) -> Result<(), Fault> {
        if self.envelope.sender.is_none() {
            return Err(Fault::Sequence(SequenceFault::MailMissing));
        }
        if self.envelope.chunks != Chunks::None {
            return Err(Fault::Sequence(SequenceFault::ChunksBegun));
        }
        let added = self.add_recipient(conditions, line, rcpt);
        self.envelope.recipient_was_refused |= added.is_err();
        added?;
        self.reply(Reply::new(Code::OK_250, EnhancedCode::RECIPIENT_OK_2_1_5, "Recipient ok"))
    }

    fn add_recipient(
        &mut self,
        conditions: &Conditions,
        line: &[u8],
        rcpt: Rcpt,
    ) -> Result<(), Fault> {
        let address: [&[u8]; 2] = match rcpt.path {
            Path::Mailbox { address, .. } => [address.of(line), b""],
            // RFC 5321 §4.1.1.3: without a domain it is the postmaster of this very server.
            Path::Null | Path::Postmaster => [b"postmaster@", self.policy.hostname.as_bytes()],
        };
        self.check_relaying(&address)?;
        let policy = &self.policy;
        if self.envelope.recipients.len() >= policy.limits.recipients_max {
            return Err(Fault::Bound(BoundFault::Recipients));
        }
        let (scope, limits) = (policy.throttle_scope, &policy.throttle_limits);
        policy
            .throttles
            .recipient(conditions.now, scope, limits, self.peer.address, self.user())
            .map_err(|over| Fault::Bound(BoundFault::Throttle(over)))?;
        self.envelope.add(&address, notices(line, &rcpt.parameters))
    }

    /// RFC 5321 §3.6.1 and §7.9: a server decides for whom it relays. Who is not trusted reaches
    /// the domains that mail is taken for, and no address that the server behind them could take
    /// for a route to another one: `user%other@here`, `other!user@here`, `"user@other"@here`.
    fn check_relaying(&self, address: &[&[u8]; 2]) -> Result<(), Fault> {
        if self.is_trusted() {
            return Ok(());
        }
        let accept_for = &self.policy.access.accept_for;
        let [first, second] = address;
        let at = memrchr(b'@', first).unwrap_or(first.len());
        let (local_part, domain) = first.split_at(at);
        let domain = if second.is_empty() { domain.get(1..).unwrap_or_default() } else { second };
        let is_taken = !accept_for.is_empty() && {
            let domain = normalized(domain);
            accept_for.iter().any(|pattern| pattern.matches(&domain))
        };
        if !is_taken {
            Err(Fault::Policy(PolicyFault::RelayDenied))
        } else if memchr3(b'%', b'!', b'@', local_part).is_some() {
            Err(Fault::Policy(PolicyFault::RoutedLocalPart))
        } else {
            Ok(())
        }
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

const SENDER_OK: Reply = Reply::new(Code::OK_250, EnhancedCode::SENDER_OK_2_1_0, "Sender ok");

/// RFC 6710 §4.1: the text begins with the priority that the message has.
const PRIORITY_LOWERED: Reply = Reply::new(
    Code::OK_250,
    EnhancedCode::PRIORITY_CHANGED_2_3_6,
    "0 is the new priority: only trusted clients may raise it",
);

/// What RCPT says about notifications.
fn notices(line: &[u8], parameters: &RcptParameters) -> Option<Box<Notices>> {
    let RcptParameters { notify, original_recipient } = *parameters;
    if notify.is_none() && original_recipient.is_none() {
        return None;
    }
    let original_recipient = original_recipient.map(|original| original.of(line).into());
    Some(Box::new(Notices { notify, original_recipient }))
}

fn after(time: WallTime, seconds: u32) -> WallTime {
    time + Duration::from_secs(seconds.into())
}

fn before(time: WallTime, seconds: u32) -> WallTime {
    WallTime::from_unix_ms(time.as_unix_ms().saturating_sub(u64::from(seconds) * 1_000))
}

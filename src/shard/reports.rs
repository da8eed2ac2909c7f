//! What the sender of a message is told: news of its recipients collected with what goes back of
//! the message, made into notices, and put before the outcome that they are about.
//!
//! # Guarantees
//! - What is settled of one message is recorded in the order in which it was settled, though the
//!   content for a notice may have to come from the disk first. So no outcome overtakes one that
//!   waits for its notice, and the message stays in the queue until all of them are recorded.
//! - Content that cannot be read costs the notice its third part, never the notice.
//!
//! # Bounds
//! One content of at most [`DSN_CONTENT_BYTES_MAX`](crate::limits::DSN_CONTENT_BYTES_MAX) for each
//! message that is being reported; these count among the outcomes that wait.

use std::collections::{BTreeMap, VecDeque};

use memchr::memmem;
use smallvec::SmallVec;

use crate::arena::SharedBytes;
use crate::dsn::{self, Notice, Original, Reported};
use crate::ids::MessageId;
use crate::message::{Extent, Message, ReturnedContent};
use crate::proto::client::Failure;
use crate::proto::reply_parse::Reply;
use crate::queue::Settled;

use super::Shard;
use super::content::{Fetch, Reader};
use super::outcomes::{OwnMessage, Unrecorded};

/// Something settled, and what its sender is to hear of it.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) settled: Settled,
    pub(super) news: Vec<News>,
}

/// What the sender is to hear of one recipient.
#[derive(Debug)]
pub(super) struct News {
    pub(super) recipient: u32,
    pub(super) fate: Fate,
    /// Name of the server that answered, if one did.
    pub(super) remote_mta: Option<Box<str>>,
}

/// As [`dsn::Fate`], with what it holds.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    Failed(Failure),
    Delayed(Box<str>),
    Relayed(Reply),
    Delivered,
}

impl Fate {
    fn told(&self) -> dsn::Fate<'_> {
        match self {
            Self::Failed(failure) => dsn::Fate::Failed(failure),
            Self::Delayed(last_failure) => dsn::Fate::Delayed(last_failure),
            Self::Relayed(reply) => dsn::Fate::Relayed(reply),
            Self::Delivered => dsn::Fate::Delivered,
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Failed(_) => Kind::Failed,
            Self::Delayed(_) => Kind::Delayed,
            Self::Relayed(_) => Kind::Relayed,
            Self::Delivered => Kind::Delivered,
        }
    }
}

/// A notice is about one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Failed,
    Delayed,
    Relayed,
    Delivered,
}

const KINDS: [Kind; 4] = [Kind::Failed, Kind::Delayed, Kind::Relayed, Kind::Delivered];

/// Messages whose content is being collected for a notice.
#[derive(Debug, Default)]
pub(super) struct Reports(BTreeMap<MessageId, Collecting>);

impl Reports {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, id: MessageId) -> bool {
        self.0.contains_key(&id)
    }
}

/// Content on its way into a notice.
#[derive(Debug)]
struct Collecting {
    report: Report,
    /// What was settled of the same message meanwhile.
    behind: VecDeque<Report>,
    extents: SmallVec<[Extent; 1]>,
    /// The next of `extents`.
    next: usize,
    bytes: Vec<u8>,
    wanted_bytes: usize,
    /// Whether all of the message is wanted, or its header.
    is_whole: bool,
}

impl Collecting {
    fn take(&mut self, bytes: &[u8]) {
        let room = self.wanted_bytes - self.bytes.len();
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.next += 1;
    }

    /// The extent to read next, unless everything wanted is there.
    fn next_extent(&self) -> Option<Extent> {
        let is_enough = self.bytes.len() >= self.wanted_bytes
            || (!self.is_whole && memmem::find(&self.bytes, b"\r\n\r\n").is_some());
        self.extents.get(self.next).copied().filter(|_| !is_enough)
    }
}

impl Shard {
    /// Records what was settled, with the notices that are owed before it.
    pub(super) fn report(&mut self, report: Report) {
        let id = report.settled.outcome.message;
        if let Some(collecting) = self.reports.0.get_mut(&id) {
            collecting.behind.push_back(report);
            return;
        }
        let message = if report.news.is_empty() { None } else { self.queue.message(id) };
        let Some(message) = message else {
            self.record_later(Unrecorded::new(report.settled, Vec::new()));
            return;
        };
        let returned = message.wishes.as_ref().and_then(|wishes| wishes.returned_content);
        let fails = report.news.iter().any(|news| news.fate.kind() == Kind::Failed);
        let length_bytes = message.content.length_bytes;
        let (wanted_bytes, is_whole) = Original::wanted(returned, fails, length_bytes);
        let extents = message.content.extents.clone();
        let collecting = Collecting {
            report,
            behind: VecDeque::new(),
            extents,
            next: 0,
            bytes: Vec::new(),
            wanted_bytes,
            is_whole,
        };
        self.reports.0.insert(id, collecting);
        self.collect(id);
    }

    /// Goes on with content that was read from the disk for a notice.
    pub(super) fn notice_content_fetched(
        &mut self,
        id: MessageId,
        result: Result<SharedBytes, String>,
    ) {
        match result {
            Ok(bytes) => {
                if let Some(collecting) = self.reports.0.get_mut(&id) {
                    collecting.take(&bytes);
                }
                self.collect(id);
            }
            Err(error) => self.not_collected(id, &error),
        }
    }

    /// Whether something was settled of a message that is not in the log yet.
    pub(super) fn is_unrecorded(&self, id: MessageId) -> bool {
        self.reports.contains(id) || self.unrecorded.iter().any(|it| it.message() == id)
    }

    fn collect(&mut self, id: MessageId) {
        while let Some(collecting) = self.reports.0.get_mut(&id) {
            let Some(extent) = collecting.next_extent() else {
                self.collected(id);
                return;
            };
            if let Some(bytes) = self.spool.cached(&extent) {
                collecting.take(&bytes);
            } else {
                if self.fetch(&extent, Reader::Notice(id)) == Fetch::Gone && !self.follow_copy(id) {
                    self.not_collected(id, "the spool does not hold it any more");
                }
                return;
            }
        }
    }

    /// Begins again where a message lies now that was moved within the spool. Returns whether it
    /// was.
    fn follow_copy(&mut self, id: MessageId) -> bool {
        let Some(message) = self.queue.message(id) else { return false };
        let Some(collecting) = self.reports.0.get_mut(&id) else { return false };
        if collecting.extents == message.content.extents {
            return false;
        }
        collecting.extents = message.content.extents.clone();
        collecting.next = 0;
        collecting.bytes.clear();
        self.collect(id);
        true
    }

    fn not_collected(&mut self, id: MessageId, error: &str) {
        tracing::error!(
            message = %id,
            "content cannot be read from the spool for a notice: {error}; the notice goes out \
             without it. Look at the disk: dmesg, ringpost spool verify"
        );
        if let Some(collecting) = self.reports.0.get_mut(&id) {
            collecting.is_whole = false;
        }
        self.collected(id);
    }

    /// All that can be had for a notice is there.
    fn collected(&mut self, id: MessageId) {
        let Some(collecting) = self.reports.0.remove(&id) else { return };
        let notices = self.compose(&collecting);
        self.record_later(Unrecorded::new(collecting.report.settled, notices));
        for report in collecting.behind {
            self.report(report);
        }
    }

    fn compose(&mut self, collecting: &Collecting) -> Vec<OwnMessage> {
        let mut notices = Vec::new();
        let news = &collecting.report.news;
        let Some(message) = self.queue.message(collecting.report.settled.outcome.message) else {
            return notices;
        };
        let retry_until = self.queue.ends_at(message);
        let wishes = message.wishes.as_deref();
        for kind in KINDS {
            let recipients: Vec<Reported<'_>> = news
                .iter()
                .filter(|news| news.fate.kind() == kind)
                .filter_map(|news| reported(message, news))
                .collect();
            if recipients.is_empty() {
                continue;
            }
            let id = self.ids.take();
            let notice = Notice {
                reporting_mta: &self.settings.hostname,
                id,
                message: message.id,
                arrival: message.received,
                now: self.wall,
                retry_until: Some(retry_until),
                sender: &message.sender,
                envelope_id: wishes.and_then(|wishes| wishes.envelope_id.as_deref()),
                smtputf8: wishes.is_some_and(|wishes| wishes.smtputf8),
                recipients: &recipients,
                original: original(message, kind, collecting),
                boundary_seed: self.seeds.take(),
            };
            notices.push(OwnMessage {
                id,
                to: message.sender.clone(),
                content: notice.compose(),
                // What a message tells must not leak from the notice about it (RFC 8689 §5).
                require_tls: wishes.is_some_and(|wishes| wishes.require_tls),
            });
        }
        notices
    }
}

fn reported<'a>(message: &'a Message, news: &'a News) -> Option<Reported<'a>> {
    let recipient = message.recipients.get(news.recipient as usize)?;
    let notices = recipient.notices.as_deref();
    Some(Reported {
        address: &recipient.address,
        original: notices.and_then(|notices| notices.original_recipient.as_deref()),
        fate: news.fate.told(),
        remote_mta: news.remote_mta.as_deref(),
    })
}

/// What goes back with a notice of `kind`.
fn original<'a>(message: &Message, kind: Kind, collecting: &'a Collecting) -> Original<'a> {
    let returned = message.wishes.as_ref().and_then(|wishes| wishes.returned_content);
    let bytes = &collecting.bytes;
    let length_bytes = message.content.length_bytes;
    let (bound, fits) = Original::wanted(returned, true, length_bytes);
    match (kind, returned) {
        (Kind::Failed, Some(ReturnedContent::Full)) if !fits => Original::HeaderOfLarge(bytes),
        (Kind::Failed, Some(ReturnedContent::Full))
            if collecting.is_whole && bytes.len() == bound =>
        {
            Original::Whole(bytes)
        }
        (Kind::Failed | Kind::Delayed | Kind::Relayed | Kind::Delivered, _) => {
            Original::Header(bytes)
        }
    }
}

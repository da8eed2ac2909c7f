//! The content of a message on its way to a next hop: from the spool's memory, or from the disk if
//! it has left it.
//!
//! # Guarantees
//! A peer that was told a length gets exactly so many bytes or a connection that ends: what came
//! behind would be commands.
//!
//! # Bounds
//! A piece of content is at most [`CONTENT_SEND_BYTES_MAX`] before the next.

use std::mem;

use smallvec::SmallVec;

use crate::arena::SharedBytes;
use crate::io::ring::SendPart;
use crate::limits::{CONTENT_SEND_BYTES_MAX, SEND_PARTS_MAX};
use crate::message::{Content, Extent};
use crate::proto::transmit::{DotStuffer, Framing};

use super::Shard;
use super::content::{Fetch, Reader};
use super::relay::Stage;

/// The content of one message on its way.
#[derive(Debug)]
pub(super) struct Sending {
    extents: SmallVec<[Extent; 1]>,
    /// The next of `extents`.
    next: usize,
    /// Content that was handed to the kernel.
    sent_bytes: u64,
    length_bytes: u64,
    /// What of the next extents was sent from where the message lay before it was moved.
    skip_bytes: u64,
    framing: Framing,
    stuffer: DotStuffer,
    dot_lines: bool,
    /// The next extent, read from the disk.
    fetched: Option<SharedBytes>,
    fetching: bool,
}

impl Shard {
    /// The peer waits for the content of the running transaction.
    pub(super) fn begin_content(&mut self, index: usize, framing: Framing) {
        let connection = &self.connections[index];
        let message = connection.running.as_ref().and_then(|it| self.queue.message(it.job.message));
        let Some(content) = message.map(|message| message.content.clone()) else {
            self.drop_connection(index);
            return;
        };
        if let Some(talk) = self.talk(index) {
            talk.content = Some(Sending::new(content, framing));
        }
    }

    /// Sends of the content what may go out next.
    pub(super) fn push_content(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let serial = connection.serial;
        let Stage::Talking(talk) = &mut connection.stage else { return };
        let Some(content) = &mut talk.content else { return };
        if content.fetching {
            return;
        }
        let mut parts = Vec::new();
        let mut bytes_count = 0;
        while let Some(&extent) = content.extents.get(content.next)
            && bytes_count < CONTENT_SEND_BYTES_MAX
            && parts.len() < SEND_PARTS_MAX - 1
        {
            if content.skips(&extent) {
                continue;
            }
            let found = content.fetched.take().or_else(|| self.spool.cached(&extent));
            let Some(bytes) = found else { break };
            bytes_count += bytes.len();
            parts.push(content.part(bytes));
        }
        let over = content.next == content.extents.len();
        if !content.keeps_length(over) {
            self.content_fetched(index, serial, Err("it has not the length on record".into()));
            return;
        }
        if over {
            parts.extend(content.end());
            talk.content = None;
            talk.machine.content_sent(self.now);
        }
        if !parts.is_empty() {
            talk.sending = true;
            self.ring.send_parts(&talk.socket, parts);
        }
        let Some(content) = talk.content.as_mut().filter(|_| !talk.sending) else { return };
        content.fetching = true;
        let extent = content.extents[content.next];
        let reader = Reader::Job { index, serial };
        if self.fetch(&extent, reader) == Fetch::Gone && !self.follow_move(index) {
            self.content_fetched(index, serial, Err("the spool does not hold it any more".into()));
        }
    }

    /// Goes on from where a message lies that was moved within the spool while it is sent. Returns
    /// whether it was.
    fn follow_move(&mut self, index: usize) -> bool {
        let connection = &mut self.connections[index];
        let message = connection.running.as_ref().and_then(|it| self.queue.message(it.job.message));
        let Some(extents) = message.map(|message| &message.content.extents) else { return false };
        let Stage::Talking(talk) = &mut connection.stage else { return false };
        let Some(content) = talk.content.as_mut().filter(|it| it.extents != *extents) else {
            return false;
        };
        content.extents = extents.clone();
        content.next = 0;
        content.skip_bytes = content.sent_bytes;
        content.fetching = false;
        self.push_content(index);
        true
    }

    /// Goes on with the content that was read from the disk.
    pub(super) fn content_fetched(
        &mut self,
        index: usize,
        serial: u64,
        result: Result<SharedBytes, String>,
    ) {
        let Some(connection) = self.connections.get_mut(index).filter(|it| it.serial == serial)
        else {
            return;
        };
        let Stage::Talking(talk) = &mut connection.stage else { return };
        let Some(content) = &mut talk.content else { return };
        content.fetching = false;
        match result {
            Ok(bytes) => content.fetched = Some(bytes),
            Err(error) => {
                let message = connection.running.as_ref().map(|running| running.job.message);
                tracing::error!(
                    ?message,
                    "content cannot be read from the spool: {error}; the message stays in the \
                     queue. Look at the disk: dmesg, ringpost spool verify"
                );
                // The peer must not take what was sent so far for a message, so the connection
                // just ends.
                talk.machine.handle_io_error("the content cannot be read from the spool");
            }
        }
        self.settle_talk(index);
    }
}

impl Sending {
    fn new(content: Content, framing: Framing) -> Self {
        let dot_lines = content.dot_lines && framing == Framing::Lines;
        Self {
            extents: content.extents,
            next: 0,
            sent_bytes: 0,
            length_bytes: content.length_bytes,
            skip_bytes: 0,
            framing,
            stuffer: DotStuffer::new(dot_lines),
            dot_lines,
            fetched: None,
            fetching: false,
        }
    }

    /// Whether what was sent, and `over` says whether that is all, has the length that the peer was
    /// told, if it was told one.
    const fn keeps_length(&self, over: bool) -> bool {
        match self.framing {
            Framing::Lines => true,
            Framing::Chunk if over => self.sent_bytes == self.length_bytes,
            Framing::Chunk => self.sent_bytes <= self.length_bytes,
        }
    }

    /// What comes behind the last byte of the content.
    fn end(&self) -> Option<SendPart> {
        match self.framing {
            Framing::Lines => Some(SendPart::Static(self.stuffer.end_of_data())),
            Framing::Chunk => None,
        }
    }

    /// Whether all of `extent`, the next, was sent already; then it is passed over.
    fn skips(&mut self, extent: &Extent) -> bool {
        let length_bytes = u64::from(extent.length);
        let skips = self.skip_bytes >= length_bytes;
        if skips {
            self.skip_bytes -= length_bytes;
            self.next += 1;
        }
        skips
    }

    /// What sends `bytes`, the next extent: themselves, or a copy with doubled dots.
    fn part(&mut self, bytes: SharedBytes) -> SendPart {
        let skip = usize::try_from(mem::take(&mut self.skip_bytes)).unwrap_or(0);
        let bytes = bytes.slice(skip, bytes.len() - skip);
        self.next += 1;
        self.sent_bytes += bytes.len() as u64;
        if self.dot_lines {
            let mut stuffed = Vec::with_capacity(bytes.len() + bytes.len() / 64);
            self.stuffer.append(&bytes, &mut stuffed);
            return SendPart::Owned(stuffed);
        }
        // Told of the run so that it knows whether the content ends in CRLF.
        let _ = self.stuffer.pieces(&bytes);
        SendPart::Shared(bytes)
    }
}

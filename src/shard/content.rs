//! Content from the disk: for what has left the spool's memory before it was sent.
//!
//! # Guarantees
//! What is read is checked against its checksum before a byte of it is sent: a damaged message is
//! never delivered.

use std::io;
use std::rc::Rc;

use crate::arena::SharedBytes;
use crate::ids::MessageId;
use crate::limits::BLOCK_BYTES;
use crate::message::Extent;
use crate::proto::client::{Failure, Scope, Severity};
use crate::proto::enhanced::EnhancedCode;
use crate::spool::verify_chunk;

use super::{Owner, Shard};

/// Whether a read was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetch {
    /// The result comes to the reader.
    Started,
    /// The spool knows no such extent.
    Gone,
}

/// What a chunk is read for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reader {
    /// The content of the job that a connection carries.
    Job { index: usize, serial: u64 },
    /// What a notice about this message quotes.
    Notice(MessageId),
    /// A message that is moved within the spool.
    Relocation,
}

/// A read of one chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkRead {
    extent: Extent,
    /// Where the chunk begins in what was read.
    skip: usize,
    /// Length of the chunk with its header.
    length: usize,
    reader: Reader,
}

impl Shard {
    /// Reads the chunk that holds `extent` for `reader`.
    pub(super) fn fetch(&mut self, extent: &Extent, reader: Reader) -> Fetch {
        let Some((slot, offset, length)) = self.spool.locate(extent) else { return Fetch::Gone };
        let Some(file) = self.segments.get(&slot).map(Rc::clone) else {
            return Fetch::Gone;
        };
        let block = BLOCK_BYTES as u64;
        let start = offset / block * block;
        let Ok(skip) = usize::try_from(offset - start) else { return Fetch::Gone };
        let read = ChunkRead { extent: *extent, skip, length, reader };
        let key = self.chunk_reads.insert(read);
        let length = (skip + length).next_multiple_of(BLOCK_BYTES);
        self.ring.read(&file, start, length, Owner::Chunk(key));
        Fetch::Started
    }

    /// Checks what was read and gives the content to who asked for it.
    pub(super) fn chunk_read(&mut self, key: usize, result: io::Result<SharedBytes>) {
        let read = self.chunk_reads.remove(key);
        let content = result.map_err(|error| error.to_string()).and_then(|bytes| {
            let chunk = bytes.slice(read.skip, read.length);
            let payload = verify_chunk(&chunk, &read.extent).map_err(|error| error.to_string())?;
            let skip = chunk.len() - payload.len();
            Ok(chunk.slice(skip, payload.len()))
        });
        match read.reader {
            Reader::Job { index, serial } => self.content_fetched(index, serial, content),
            Reader::Notice(id) => self.notice_content_fetched(id, content),
            Reader::Relocation => self.relocation_fetched(content),
        }
    }
}

/// Why a recipient is deferred whose connection was given up by this side.
pub(super) fn interrupted() -> Failure {
    let status = EnhancedCode::SYSTEM_4_3_0;
    Failure::local(Scope::Session, Severity::Soft, status, "the delivery was interrupted")
}

/// Why a job moves on when its session did not fail.
pub(super) fn next_server_wanted() -> Failure {
    let status = EnhancedCode::NO_ANSWER_4_4_1;
    Failure::local(Scope::Session, Severity::Soft, status, "the next server is asked")
}

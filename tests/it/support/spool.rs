//! A spool that was written before the server under test starts, with messages that no client of
//! the tests can send.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;

use ringpost::ids::{MessageIds, ShardId};
use ringpost::io::store::SpoolRoot;
use ringpost::message::Message;
use ringpost::spool::{Recovered, Spool, SpoolEvent, SpoolOptions};

/// Any number that no other log of the scenario has.
const LOG_ID: u64 = 0x5350_4f4f_4c31;

/// Makes the spool at `path` with one shard and these messages in it, and gives them their ids.
pub(crate) fn fill_spool(path: &Path, messages: &mut [(Message, Vec<u8>)]) {
    fs::DirBuilder::new().mode(0o700).create(path).expect("a directory for the spool");
    let directory = SpoolRoot::new(path).shard(0).expect("a directory for the shard");
    let options = SpoolOptions::default();
    let mut spool = Spool::new(options, &Recovered::empty(LOG_ID));
    let mut ids = MessageIds::new(ShardId(0), messages[0].0.received.as_unix_ms(), None);
    let drive = |spool: &mut Spool| loop {
        while let Some(event) = spool.poll_event() {
            assert!(matches!(event, SpoolEvent::Committed { .. }), "{event:?}");
        }
        if let Some(slot) = spool.poll_segment_wanted() {
            directory.prepare(slot, options.segment_bytes).expect("space for a segment");
            spool.handle_segment_ready(slot);
        } else if let Some(write) = spool.poll_write() {
            let file = directory.open_segment(write.slot).expect("the segment that was prepared");
            file.write_all_at(&write.bytes, write.offset).expect("a disk that works");
            file.sync_all().expect("a disk that works");
            spool.handle_written(write.id, true);
        } else {
            break;
        }
    };
    drive(&mut spool);
    for (message, content) in messages {
        message.id = ids.take();
        let body = spool.begin_body();
        spool.append_body(body, content).expect("room for the content");
        spool.append_message(body, message).expect("room for the message");
        drive(&mut spool);
    }
    assert!(spool.is_idle(), "everything is on the disk");
}

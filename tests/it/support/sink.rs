//! What all receiving peers have in common.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::config::HOSTNAME;
use super::mail::{Mail, assert_same_bytes, split_trace};
use super::scenario::Scenario;

/// A message that a peer received.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Envelope sender, without brackets; empty for the null sender.
    pub(crate) sender: String,
    /// Envelope recipients, in the order of their acceptance.
    pub(crate) recipients: Vec<String>,
    /// The content with CRLF line ends, without what the peer itself put on top.
    pub(crate) content: Vec<u8>,
}

impl Received {
    /// The subject, which names each message of the tests.
    pub(crate) fn subject(&self) -> Option<&str> {
        let end = memchr::memmem::find(&self.content, b"\r\n\r\n").unwrap_or(self.content.len());
        self.content[..end]
            .split(|byte| *byte == b'\n')
            .find_map(|line| line.strip_prefix(b"Subject: "))
            .and_then(|subject| std::str::from_utf8(subject.trim_ascii_end()).ok())
    }
}

/// A peer that accepts mail and remembers it.
pub(crate) trait Sink {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// How many complete messages there are so far.
    fn count(&self) -> usize;

    /// All complete messages so far, in the order of their arrival where the peer keeps it.
    fn received(&self) -> Vec<Received>;
}

/// Waits until `sink` has as many messages as `mails`, and asserts that they are these, byte for
/// byte, below exactly `hops` trace fields, the last of which Ringpost wrote if there is one.
#[track_caller]
pub(crate) fn assert_arrived(test: &Scenario, sink: &dyn Sink, mails: &[Mail], hops: usize) {
    test.wait_until(&format!("{} messages in the sink", mails.len()), || {
        sink.count() >= mails.len()
    });
    let received = sink.received();
    assert_eq!(received.len(), mails.len(), "as many messages as were sent");
    let mut by_subject: BTreeMap<Option<&str>, &Received> = BTreeMap::new();
    for message in &received {
        let earlier = by_subject.insert(message.subject(), message);
        assert!(earlier.is_none(), "{:?} arrived twice", message.subject());
    }
    for mail in mails {
        let found = by_subject.get(&Some(mail.name.as_str()));
        let found = found.unwrap_or_else(|| panic!("{} did not arrive", mail.name));
        let (trace, content) = split_trace(&found.content, &["Received"]);
        assert_eq!(trace.len(), hops, "trace fields on top of {}", mail.name);
        if let Some(field) = trace.first() {
            let field = field.escape_ascii().to_string();
            assert!(field.contains(&format!("by {HOSTNAME}")), "no trace of ours: {field}");
        }
        assert_same_bytes(&mail.name, content, &mail.content);
    }
}

/// The files in a directory whose names end in `.extension`, by name.
pub(crate) fn files_in(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .expect("the directory of the messages")
        .map(|entry| entry.expect("an entry of the directory").path())
        .filter(|path| path.extension() == Some(OsStr::new(extension)))
        .collect();
    files.sort();
    files
}

/// Turns LF line ends, as mail has in local files, into those of the wire.
pub(crate) fn with_crlf(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + content.len() / 32);
    for &byte in content {
        if byte == b'\n' {
            wire.push(b'\r');
        }
        wire.push(byte);
    }
    wire
}

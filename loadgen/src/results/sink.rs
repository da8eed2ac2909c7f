//! What a sink found out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Delivered, Header, RefusalCount};

/// `loadgen sink --json FILE`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct SinkResults {
    #[serde(flatten)]
    pub(crate) header: Header,
    /// Connections that were greeted.
    pub(crate) connections: u64,
    /// Connections that were turned away at once.
    pub(crate) connections_refused: u64,
    /// Connections that the sink's behaviour cut.
    pub(crate) connections_dropped: u64,
    /// Messages answered with 250, those taken and then left without an answer too.
    pub(crate) messages: u64,
    pub(crate) recipients: u64,
    /// Bytes of content as it came, without what ends it.
    pub(crate) bytes: u64,
    /// Messages that carry no id of a source.
    pub(crate) unmarked: u64,
    /// Different messages of sources.
    pub(crate) distinct: u64,
    /// How often one came once more for a recipient that had it.
    pub(crate) duplicates: u64,
    /// What the sink refused.
    pub(crate) refusals: Vec<RefusalCount>,
    /// By the domain of the recipient, the largest first; of many domains those with the most.
    pub(crate) domains: Vec<DomainCount>,
    /// A message that was under way for longer than this is late.
    pub(crate) late_after_s: f64,
    /// Recipients that came when there was no room any more to tell whether they had come before.
    pub(crate) not_told_apart: u64,
    /// What came of each source's run.
    pub(crate) delivered: Vec<Delivered>,
}

/// What came for one domain.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct DomainCount {
    /// In lower case.
    pub(crate) domain: String,
    /// Recipients of messages that were taken.
    pub(crate) recipients: u64,
    /// Recipients refused, at RCPT or with the content.
    pub(crate) refused: u64,
}

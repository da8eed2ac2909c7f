//! What a sink found out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Header, RefusalCount};

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
    /// Bytes of content, dots removed.
    pub(crate) bytes: u64,
    /// Messages that carry no id of a source.
    pub(crate) unmarked: u64,
    /// Different ids.
    pub(crate) distinct: u64,
    /// Messages whose id had come before.
    pub(crate) duplicates: u64,
    /// What the sink refused.
    pub(crate) refusals: Vec<RefusalCount>,
    /// By the domain of the recipient, the largest first; of many domains those with the most.
    pub(crate) domains: Vec<DomainCount>,
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

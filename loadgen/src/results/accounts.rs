//! What was acknowledged and what was delivered, message by message.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Messages in a row with equally many recipients.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub(crate) struct Stretch {
    /// The number of the first.
    pub(crate) from: u64,
    /// The number of the last.
    pub(crate) to: u64,
    /// Recipients of each.
    pub(crate) recipients: u32,
}

/// What came to a sink of one run.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub(crate) struct Delivered {
    /// The name of the run, 16 hexadecimal digits.
    pub(crate) run: String,
    /// Messages that came, each with the number of different recipients that it came for.
    pub(crate) messages: Vec<Stretch>,
    /// How often a message came once more for a recipient that had it.
    pub(crate) copies: u64,
    /// The first of those messages.
    pub(crate) duplicated: Vec<Duplicated>,
    /// Messages of which something behind the stamp had changed.
    pub(crate) altered_messages: u64,
    /// The numbers of the first of them.
    pub(crate) altered: Vec<u64>,
    /// Messages that came later than the sink was told to allow.
    pub(crate) late_messages: u64,
    /// The numbers of the first of them.
    pub(crate) late: Vec<u64>,
}

/// A message that came again.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub(crate) struct Duplicated {
    pub(crate) number: u64,
    /// How often it came once more, for all recipients together.
    pub(crate) copies: u32,
}

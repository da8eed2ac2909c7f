//! The numbers of the configuration: each with its default, the range it may lie in, and why the
//! range ends where it does.
//!
//! The defaults suit a host that sends in bulk for applications of its own. Those of the core stand
//! with its other bounds in [`crate::limits`]. `default.toml` repeats them all; a test compares.

use crate::io::memory::default_ceiling_bytes;
use crate::limits;

/// A number that an operator may choose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// Where the file says nothing.
    pub(super) default: u64,
    pub(super) least: u64,
    pub(super) most: u64,
    /// Why not less, or not more, as a clause.
    pub(super) why: &'static str,
}

const DAY_S: u64 = 86_400;

/// A minute's bulk in one file, short enough that one waiting message holds little finished mail.
pub(super) const SEGMENT_BYTES: Setting = Setting {
    default: 64 << 20,
    least: 1 << 20,
    most: 1 << 30,
    why: "a segment is preallocated as a whole and holds many commits",
};

/// A few thousand small messages: what a shard takes in while a burst of them is delivered.
pub(super) const CACHE_BYTES: Setting =
    Setting { default: 16 << 20, least: 0, most: 64 << 30, why: "it is memory of each shard" };

/// What the large mailbox providers take, with room for their encoding.
pub(super) const MESSAGE_MAX_BYTES: Setting = Setting {
    default: limits::MESSAGE_BYTES_MAX,
    least: 64 << 10,
    most: 1 << 30,
    why: "RFC 5321 §4.5.3.1.7 wants at least 65536",
};

/// Ten times what a server must take, so that bulk needs few transactions.
pub(super) const RECIPIENTS_MAX: Setting = Setting {
    default: limits::RECIPIENTS_MAX as u64,
    least: 100,
    most: 50_000,
    why: "RFC 5321 §4.5.3.1.8 wants at least 100",
};

/// A longer line than any program breaks its text into.
pub(super) const LINE_MAX_BYTES: Setting = Setting {
    default: limits::TEXT_LINE_BYTES_MAX,
    least: 1_000,
    most: 1 << 30,
    why: "RFC 5321 §4.5.3.1.6 wants at least 1000",
};

/// As many as a server must let pass.
pub(super) const HOPS_MAX: Setting = Setting {
    default: limits::HOP_COUNT_MAX as u64,
    least: 100,
    most: 10_000,
    why: "RFC 5321 §6.3 wants at least 100",
};

/// Enough for a list with stale addresses, few enough to stop a guessing client.
pub(super) const ERRORS_MAX: Setting = Setting {
    default: limits::SESSION_ERRORS_MAX as u64,
    least: 1,
    most: 1_000_000,
    why: "a session may fail at least once",
};

/// Far above what a well-made client sends before it reconnects.
pub(super) const MESSAGES_MAX: Setting = Setting {
    default: limits::SESSION_MESSAGES_MAX as u64,
    least: 1,
    most: 1_000_000_000,
    why: "a session carries at least one message",
};

/// A hundred application servers with a hundred connections each.
pub(super) const LISTENER_CONNECTIONS_MAX: Setting = Setting {
    default: 10_000,
    least: 1,
    most: 1_000_000,
    why: "each is a descriptor and some memory",
};

/// As many as one full listener, so that further listeners ask for no more descriptors.
pub(super) const PROCESS_CONNECTIONS_MAX: Setting = Setting {
    default: 10_000,
    least: 1,
    most: 1_000_000,
    why: "each is a descriptor and some memory",
};

/// A default of its own would fit no host: [`memory_default`] makes it.
pub(super) const MEMORY_MAX_BYTES: Setting = Setting {
    default: 0,
    least: 64 << 20,
    most: 1 << 46,
    why: "a server that has taken in nothing yet needs some memory, too",
};

/// The same with the default of a host that has `memory_bytes`.
pub(super) fn memory_default(memory_bytes: u64) -> Setting {
    let Setting { least, most, .. } = MEMORY_MAX_BYTES;
    let default = default_ceiling_bytes(memory_bytes).clamp(least, most);
    Setting { default, ..MEMORY_MAX_BYTES }
}

/// What one address or one user may have, which depends on who they are: none is set unasked.
pub(super) const SHARE_MAX: Setting =
    Setting { default: 0, least: 0, most: 1_000_000, why: "no host takes in more" };

/// A person who mistypes is not kept waiting, and a guesser needs a day for 14,400 words.
pub(super) const AUTH_FAILURES_PER_MINUTE_MAX: Setting =
    Setting { default: 10, least: 0, most: 1_000_000, why: "no host checks more" };

/// Several times what the headers of real messages have, signatures and all.
pub(super) const HEADER_MAX_BYTES: Setting = Setting {
    default: limits::HEADER_BYTES_MAX,
    least: 16 << 10,
    most: 16 << 20,
    why: "a header with its signatures and trace fields needs some KiB, and no more than some MiB",
};

/// As [`HEADER_MAX_BYTES`].
pub(super) const HEADER_FIELDS_MAX: Setting = Setting {
    default: limits::HEADER_FIELDS_MAX as u64,
    least: 200,
    most: 100_000,
    why: "RFC 5321 §6.3 wants 100 Received: fields at least, beside which there are others",
};

/// Not offered to servers: whoever releases later should keep the message until then.
pub(super) const HOLD_S: Setting =
    Setting { default: 0, least: 0, most: 365 * DAY_S, why: "no sender waits for longer" };

/// A week, on submission: the longest that a person schedules a message ahead as a rule.
pub(super) const SUBMISSION_HOLD_S: Setting = Setting { default: 7 * DAY_S, ..HOLD_S };

/// RFC 5321 §4.5.3.2.7.
pub(super) const IDLE_S: Setting = Setting {
    default: limits::SESSION_IDLE_S,
    least: 1,
    most: DAY_S,
    why: "RFC 5321 §4.5.3.2.7 wants 300",
};

/// The largest message at 14 KiB/s.
pub(super) const CONTENT_S: Setting =
    Setting { default: limits::CONTENT_S, least: 1, most: DAY_S, why: "a message ends" };

/// A client that keeps its connection for a day may as well make another.
pub(super) const SESSION_S: Setting =
    Setting { default: limits::SESSION_S, least: 1, most: 365 * DAY_S, why: "a session ends" };

/// RFC 5321 §4.5.4.2.
pub(super) const PORT: Setting =
    Setting { default: 25, least: 1, most: 65_535, why: "it is a TCP port" };

/// RFC 5321 §4.5.4.1 wants 30 minutes; 20 with jitter come to about that, and a greylisting host
/// (RFC 6647 §2.2) has opened by then.
pub(super) const RETRY_FIRST_S: Setting = Setting {
    default: 1_200,
    least: 1,
    most: 30 * DAY_S,
    why: "a retry waits, and not for months",
};

/// Twice a day: more often helps no host that has been away for hours.
pub(super) const RETRY_MAX_S: Setting = Setting {
    default: 43_200,
    least: 1,
    most: 30 * DAY_S,
    why: "a retry waits, and not for months",
};

/// RFC 5321 §4.5.4.1 wants at least four to five days before giving up.
pub(super) const EXPIRE_S: Setting = Setting {
    default: 5 * DAY_S,
    least: 1,
    most: 365 * DAY_S,
    why: "a message is tried once at least and not for ever",
};

/// Two hundred sites with as many connections as one may have.
pub(super) const DELIVERY_CONNECTIONS_MAX: Setting = Setting {
    default: 4_000,
    least: 1,
    most: 1_000_000,
    why: "each is a descriptor and some memory",
};

/// What the large mailbox providers tolerate from one sender.
pub(super) const CONNECTIONS_PER_SITE_MAX: Setting = Setting {
    default: limits::CONNECTIONS_PER_SITE_MAX as u64,
    least: 1,
    most: 100_000,
    why: "a site that gets none gets no mail",
};

/// What every server must take (RFC 5321 §4.5.3.1.8).
pub(super) const RECIPIENTS_PER_TRANSACTION_MAX: Setting = Setting {
    default: limits::RECIPIENTS_PER_TRANSACTION_MAX as u64,
    least: 1,
    most: 50_000,
    why: "RFC 5321 §4.5.3.1.8 promises 100 at every server",
};

/// A transaction that is running when the server is told to stop ends in a second or never.
pub(super) const GRACE_S: Setting =
    Setting { default: 10, least: 0, most: 3_600, why: "a stop that takes longer is none" };

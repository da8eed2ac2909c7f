//! Names of things that outlive a call: small, copyable, never confused with one another.

use std::fmt;
use std::str::FromStr;

/// One shard: an executor pinned to a CPU with everything that it owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u8);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One message, for as long as the spool lives. It is what a client reads after
/// `250 2.0.0 Ok: queued as` and what the `Received:` header carries.
///
/// The number is unique in a spool and rises within a shard: wall time in milliseconds at the
/// shard's start in the high bits, a counter below, the shard in the lowest eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for MessageId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// Hands out the message ids of one shard.
#[derive(Debug)]
pub struct MessageIds {
    next: u64,
}

impl MessageIds {
    /// Ids for `shard` that begin after both the wall time `now_unix_ms` and `highest_seen`, the
    /// highest id that recovery met, so that a clock that was set back repeats none.
    pub fn new(shard: ShardId, now_unix_ms: u64, highest_seen: Option<MessageId>) -> Self {
        let from_clock = now_unix_ms << 20;
        let from_spool = highest_seen.map_or(0, |MessageId(id)| (id | 0xff) + 1);
        Self { next: from_clock.max(from_spool) & !0xff | u64::from(shard.0) }
    }

    /// The next id.
    pub fn take(&mut self) -> MessageId {
        let id = MessageId(self.next);
        self.next += 0x100;
        id
    }
}

/// One use of a segment file. Each recycling gives the file a higher generation, and every record
/// carries it, so that what an earlier use left behind is never taken for a record of this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// The place of a commit group in its shard's log; it rises by one with each group, over all
/// segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupSequence(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_rise_and_name_their_shard() {
        let mut ids = MessageIds::new(ShardId(3), 1_795_492_893_000, None);
        let (first, second) = (ids.take(), ids.take());
        assert!(first < second);
        assert_eq!(first.0 & 0xff, 3);
        assert_eq!(second.0 & 0xff, 3);
        assert_eq!(first.to_string().parse(), Ok(first));
    }

    #[test]
    fn a_clock_that_was_set_back_repeats_no_id() {
        let mut before = MessageIds::new(ShardId(1), 2_000, None);
        let last = before.take();
        let mut after = MessageIds::new(ShardId(1), 1_000, Some(last));
        assert!(after.take() > last);
    }
}

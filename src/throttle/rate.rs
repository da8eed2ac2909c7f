//! Rates: the generic cell rate algorithm of ATM (ITU-T I.371), with a burst of a minute's worth.
//!
//! The count of a rate is the time at which the client has used up nothing any more. Each event
//! moves it on by one interval, from now if it lies in the past. An event that would move it
//! further than a whole burst ahead is one too many.

use crate::clock::Now;
use crate::limits::THROTTLE_EVENTS_PER_MINUTE_MAX;

use super::table::VALUE_MASK;

/// Microseconds of a tick, the unit in which a rate's time is kept.
const TICK_US: u64 = 16;
const MINUTE_TICKS: u64 = 60_000_000 / TICK_US;

/// A time further ahead was not set by a rate but is one of a hundred days ago: the clock of ticks
/// came around.
const AHEAD_TICKS_MAX: u64 = 1 << 23;

const _: () = assert!(
    MINUTE_TICKS + THROTTLE_EVENTS_PER_MINUTE_MAX as u64 <= AHEAD_TICKS_MAX / 3 * 2,
    "a whole burst, whose intervals are rounded up, and clocks that differ a little are ahead"
);
const _: () = assert!(AHEAD_TICKS_MAX < VALUE_MASK / 1_000, "few old times look as if ahead");

/// A time in ticks, of which the upper bits are cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tick(u64);

impl Tick {
    pub(super) const fn new(now: Now) -> Self {
        Self((now.as_us() / TICK_US) & VALUE_MASK)
    }

    /// The count of a rate of which nothing is used up.
    pub(super) const fn as_value(self) -> u64 {
        self.0
    }
}

/// A bound of events per minute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Ticks that one event uses up.
    interval: u64,
    /// Ticks that may be used up.
    burst: u64,
}

impl Rate {
    /// `None` if the bound is zero, which stands for none.
    pub(super) fn new(per_minute: u32) -> Option<Self> {
        let events = u64::from(per_minute.min(THROTTLE_EVENTS_PER_MINUTE_MAX));
        let interval = (events > 0).then(|| MINUTE_TICKS.div_ceil(events))?;
        Some(Self { interval, burst: interval * events })
    }

    /// The count after one more event; `None` if that is one too many.
    pub(super) fn charge(self, value: u64, now: Tick) -> Option<u64> {
        let used = ahead(value, now) + self.interval;
        (used <= self.burst).then_some((now.0 + used) & VALUE_MASK)
    }

    /// The count without an event that was charged.
    pub(super) fn refund(self, value: u64, now: Tick) -> u64 {
        (now.0 + ahead(value, now).saturating_sub(self.interval)) & VALUE_MASK
    }
}

/// How many ticks the count of a rate lies ahead of the time; zero if it says nothing any more.
pub(super) const fn ahead(value: u64, now: Tick) -> u64 {
    let ticks = value.wrapping_sub(now.0) & VALUE_MASK;
    if ticks <= AHEAD_TICKS_MAX { ticks } else { 0 }
}

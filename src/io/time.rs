//! The two clocks and the source of seeds: the only places where the program asks the system for
//! time and chance.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::clock::{Now, WallTime};

/// `CLOCK_MONOTONIC`, which the ring's timers run by.
pub fn monotonic() -> Now {
    Now::from_us(in_units(&clock_gettime(ClockId::Monotonic), 1_000_000))
}

/// `CLOCK_REALTIME`.
pub fn wall() -> WallTime {
    WallTime::from_unix_ms(in_units(&clock_gettime(ClockId::Realtime), 1_000))
}

/// Sixty-four random bits from the kernel.
///
/// # Errors
/// `ENOSYS` where a sandbox forbids `getrandom(2)`.
pub fn seed() -> io::Result<u64> {
    random_bytes().map(u64::from_ne_bytes)
}

/// Random bytes from the kernel, for secrets and salts.
///
/// # Errors
/// As [`seed`].
pub fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    const { assert!(N <= 256, "more may come cut short") };
    let mut bytes = [0; N];
    // A request of up to 256 bytes is never cut short once the pool is ready (getrandom(2)).
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(bytes)
}

/// Times before the epoch, which only a clock that was never set shows, count as the epoch.
fn in_units(time: &Timespec, units_per_second: u64) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * units_per_second + nanoseconds / (1_000_000_000 / units_per_second)
}

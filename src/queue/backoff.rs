//! When the next attempt is made: exponential backoff with jitter.
//!
//! # Guarantees
//! After the first deferral a recipient waits `first`, then twice that, and so on up to `max`. To
//! each wait comes a random part of up to a quarter, so that what failed together does not return
//! together; no wait is longer than `max`, so near it the random part is taken off instead.

use std::time::Duration;

/// The waits between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Wait after the first deferral.
    pub first: Duration,
    /// Longest wait.
    pub max: Duration,
}

impl Backoff {
    /// The wait after deferral number `attempts` (from 1), spread by `random`.
    pub fn wait(&self, attempts: u16, random: u64) -> Duration {
        let max_ms = milliseconds(self.max);
        let doublings = u32::from(attempts.saturating_sub(1)).min(63);
        let base_ms = milliseconds(self.first).saturating_mul(1 << doublings).min(max_ms);
        let spread_ms = base_ms / 4;
        let least_ms = base_ms.min(max_ms - spread_ms);
        let part = (u128::from(random) * (u128::from(spread_ms) + 1)) >> 64;
        Duration::from_millis(least_ms + u64::try_from(part).unwrap_or(0))
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff =
        Backoff { first: Duration::from_secs(1_200), max: Duration::from_secs(43_200) };

    #[test]
    fn waits_double_up_to_the_longest() {
        let least: Vec<u64> = (1..=8).map(|attempts| BACKOFF.wait(attempts, 0).as_secs()).collect();
        assert_eq!(least, [1_200, 2_400, 4_800, 9_600, 19_200, 33_600, 32_400, 32_400]);
        assert_eq!(BACKOFF.wait(1, u64::MAX).as_secs(), 1_500);
        assert_eq!(BACKOFF.wait(u16::MAX, u64::MAX).as_secs(), 43_200);
        assert_eq!(BACKOFF.wait(0, 0).as_secs(), 1_200);
    }

    proptest! {
        #[test]
        fn no_wait_leaves_its_bounds(
            first_ms in 0_u64..10_000_000,
            max_ms: u64,
            attempts: u16,
            random: u64,
        ) {
            let backoff = Backoff {
                first: Duration::from_millis(first_ms),
                max: Duration::from_millis(max_ms),
            };
            let base = u128::from(first_ms) << u32::from(attempts.saturating_sub(1)).min(63);
            let base = base.min(u128::from(max_ms));
            let wait = backoff.wait(attempts, random).as_millis();
            prop_assert!(wait <= u128::from(max_ms));
            prop_assert!(wait >= base - base / 4);
            prop_assert!(wait <= base + base / 4);
        }
    }
}

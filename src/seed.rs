//! Random numbers as an argument: a stream that a seed determines whole.
//!
//! The core takes no randomness from anywhere; the process seeds the streams from the operating
//! system, a test from a number that it prints.
//!
//! # Guarantees
//! The same seed gives the same numbers on every machine.
//!
//! # Never
//! It is no cipher: whoever sees enough whole outputs can tell the next. It spreads retries, breaks
//! ties and picks DNS ids (which stand beside a source port of the kernel's choice).

/// A stream of random numbers (SplitMix64 by Steele, Lea and Flood: a counter and a finalizer).
#[derive(Clone, Debug)]
pub struct SeedStream(u64);

impl SeedStream {
    /// The stream that `seed` determines.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, every value equally likely.
    pub const fn take(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number below `bound`, or zero if `bound` is zero. The bias is below `bound` in
    /// 2^64.
    pub fn take_below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.take()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// Puts `items` in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let pick = self.take_below(u64::try_from(end + 1).unwrap_or(u64::MAX));
            items.swap(end, usize::try_from(pick).unwrap_or(end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        // First outputs of the reference implementation for seed 1234567.
        let mut stream = SeedStream::new(1_234_567);
        assert_eq!(stream.take(), 6_457_827_717_110_365_317);
        assert_eq!(stream.take(), 3_203_168_211_198_807_973);
        assert_eq!(stream.take(), 9_817_491_932_198_370_423);
    }

    #[test]
    fn every_value_below_the_bound_comes_up() {
        let mut stream = SeedStream::new(7);
        let mut seen = [0_u32; 5];
        for _ in 0..1_000 {
            seen[usize::try_from(stream.take_below(5)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|&count| count > 150), "{seen:?}");
        assert_eq!(stream.take_below(0), 0);
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..50).collect();
        SeedStream::new(3).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}

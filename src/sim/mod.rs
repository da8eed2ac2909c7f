//! Simulated surroundings for the core: a disk that forgets what was not durable.
//!
//! # Guarantees
//! Everything follows from a seed: the same seed and the same calls give the same answers.

pub mod disk;

use crate::seed::SeedStream;

/// Numbers that follow from a seed, in the shapes that a simulation chooses by.
#[derive(Clone, Debug)]
pub struct Random(SeedStream);

impl Random {
    /// The numbers that follow from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(SeedStream::new(seed))
    }

    /// The next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0.take()
    }

    /// A number from 0 up to but not including `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        match u64::try_from(bound) {
            Ok(bound @ 1..) => usize::try_from(self.next_u64() % bound).unwrap_or(0),
            Ok(0) | Err(_) => 0,
        }
    }

    /// True `permille` times in a thousand.
    pub fn chance(&mut self, permille: usize) -> bool {
        self.below(1_000) < permille
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let number = self.next_u64().to_le_bytes();
            part.copy_from_slice(&number[..part.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut one, mut other) = (Random::new(7), Random::new(7));
        let mut bytes = ([0; 13], [0; 13]);
        one.fill(&mut bytes.0);
        other.fill(&mut bytes.1);
        assert_eq!(bytes.0, bytes.1);
        assert_eq!(one.below(0), 0);
        assert!((0..1_000).all(|_| one.below(3) < 3));
        assert!(!one.chance(0));
        assert!(one.chance(1_000));
    }
}

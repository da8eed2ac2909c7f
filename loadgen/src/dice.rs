//! Chance that repeats itself: the same seed gives the same throws (splitmix64).

use std::f64::consts::TAU;

/// A source of pseudo-random numbers; not for secrets.
#[derive(Debug)]
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    /// Dice that always fall the same way for the same `seed`.
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Dice for `what` of the message `number`: they fall the same way for the same three, and
    /// independently for others.
    pub(crate) const fn of(seed: u64, what: u64, number: u64) -> Self {
        let base = Self::new(seed ^ what.rotate_left(32)).next();
        Self::new(Self::new(base ^ number).next())
    }

    /// The next number.
    pub(crate) const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to but not including 1.
    pub(crate) fn throw(&mut self) -> f64 {
        // 53 bits are what an f64 holds exactly.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number of the exponential distribution of mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        // 1 - throw is never 0.
        -(1.0 - self.throw()).ln()
    }

    /// A number of the standard normal distribution (Box and Muller, 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (TAU * self.throw()).cos()
    }

    /// One of `choices`, or none: each has its share of 1, and what is left of it is for none.
    pub(crate) fn by_share<T>(
        &mut self,
        mut choices: impl Iterator<Item = T>,
        share: impl Fn(&T) -> f64,
    ) -> Option<T> {
        let mut thrown = self.throw();
        choices.find(|choice| {
            let share = share(choice);
            let is_it = thrown < share;
            thrown -= share;
            is_it
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throws_repeat_and_spread() {
        let (mut one, mut other) = (Dice::new(7), Dice::new(7));
        let throws: Vec<f64> = (0..1_000).map(|_| one.throw()).collect();
        assert!(throws.iter().all(|throw| (0.0..1.0).contains(throw) && *throw == other.throw()));
        let mean = throws.iter().sum::<f64>() / 1_000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }

    #[test]
    fn messages_have_dice_of_their_own() {
        let first = |seed, what, number| Dice::of(seed, what, number).throw();
        assert_eq!(first(1, 2, 3).to_bits(), first(1, 2, 3).to_bits());
        let mut throws = Vec::new();
        for seed in 0..10 {
            for what in 0..10 {
                throws.extend((0..100).map(|number| first(seed, what, number)));
            }
        }
        let mean = throws.iter().sum::<f64>() / throws.len() as f64;
        assert!((0.49..0.51).contains(&mean), "{mean}");
        throws.sort_by(f64::total_cmp);
        throws.dedup();
        assert_eq!(throws.len(), 10_000);
    }
}

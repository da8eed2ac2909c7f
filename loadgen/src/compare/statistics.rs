//! Whether two handfuls of figures differ: the exact rank test of Mann and Whitney, and a bootstrap
//! interval for the ratio of medians.
//!
//! Neither assumes a distribution. With few runs the rank test cannot reach a small p whatever they
//! are: of 3 against 3 the least is 0.1 ([`least_p`]), of 4 against 4 0.029, of 5 against 5 0.008.
//!
//! # Guarantees
//! The same figures give the same answer: the bootstrap's dice have a fixed seed.
//!
//! # Bounds
//! At most [`RUNS_MAX`] figures a side, for the exact test counts all ways to deal the ranks.

use crate::dice::Dice;
use crate::stats::Spread;

/// Figures of one side.
pub(super) const RUNS_MAX: usize = 50;

/// Samples that the bootstrap draws.
const SAMPLES: usize = 10_000;

/// Seed of the bootstrap. Any would do; one is written down so that answers repeat.
const SEED: u64 = 0x6c6f_6164_6765_6e21;

/// The least two-sided p that `a` runs against `b` can show: all of one side below all of the
/// other is two ways of all to deal the ranks.
pub(super) fn least_p(a: usize, b: usize) -> f64 {
    (2.0 / ways(a, b)).min(1.0)
}

/// The least number of runs on each side with which a p of `level` can be reached.
pub(super) fn runs_needed(level: f64) -> usize {
    (1..RUNS_MAX).find(|runs| least_p(*runs, *runs) < level).unwrap_or(RUNS_MAX)
}

/// In how many ways `a` of `a + b` can be chosen.
fn ways(a: usize, b: usize) -> f64 {
    (1..=a).map(|step| (b + step) as f64 / step as f64).product()
}

/// The exact two-sided p of the rank test: how often chance alone, dealing the same figures to the
/// two sides, sets their ranks at least as far apart. Equal figures share the mean of their ranks.
pub(super) fn rank_test(a: &[f64], b: &[f64]) -> f64 {
    let ranks = doubled_ranks(a, b);
    let observed: usize = ranks[..a.len()].iter().sum();
    let total: usize = ranks.iter().sum();
    // Twice the sum that is expected, times the number of all, to stay within whole numbers.
    let all = a.len() + b.len();
    let expected = total * a.len();
    let distance = |sum: usize| (sum * all).abs_diff(expected);
    // counts[chosen][sum]: ways to choose that many of the ranks so far with that sum.
    let mut counts = vec![vec![0.0_f64; total + 1]; a.len() + 1];
    counts[0][0] = 1.0;
    for rank in &ranks {
        for chosen in (1..=a.len()).rev() {
            let (fewer, more) = counts.split_at_mut(chosen);
            for (sum, count) in more[0].iter_mut().enumerate().skip(*rank) {
                *count += fewer[chosen - 1][sum - rank];
            }
        }
    }
    let far =
        counts[a.len()].iter().enumerate().filter(|(sum, _)| distance(*sum) >= distance(observed));
    let far: f64 = far.map(|(_, count)| count).sum();
    (far / ways(a.len(), b.len())).min(1.0)
}

/// Twice the rank of each figure, first those of `a`, so that shared ranks are whole.
fn doubled_ranks(a: &[f64], b: &[f64]) -> Vec<usize> {
    let all: Vec<f64> = a.iter().chain(b).copied().collect();
    let rank = |figure: &f64| {
        let below = all.iter().filter(|other| *other < figure).count();
        let equal = all.iter().filter(|other| *other == figure).count();
        2 * below + equal + 1
    };
    all.iter().map(rank).collect()
}

/// Between which bounds the ratio of the medians, `b` to `a`, lies with this confidence, as far as
/// the runs tell: the runs of each side are drawn again and again, with putting back.
pub(super) fn ratio_interval(a: &[f64], b: &[f64], confidence: f64) -> Option<(f64, f64)> {
    let mut dice = Dice::new(SEED);
    let mut drawn_median = |figures: &[f64]| {
        let drawn = (0..figures.len()).map(|_| figures[place(dice.throw(), figures.len())]);
        Spread::of(drawn.collect()).median
    };
    let mut ratios = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let below = drawn_median(a);
        let ratio = drawn_median(b) / below;
        if !ratio.is_finite() {
            return None;
        }
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    Some((ratios[place(tail, SAMPLES)], ratios[SAMPLES - 1 - place(tail, SAMPLES)]))
}

/// The place that lies at `share` of `length`.
fn place(share: f64, length: usize) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and the minimum bounds it"
    )]
    let place = (share * length as f64) as usize;
    place.min(length - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_p(a: &[f64], b: &[f64], wanted: f64) {
        for (one, other) in [(a, b), (b, a)] {
            let p = rank_test(one, other);
            assert!((p - wanted).abs() < 1e-9, "{p} for {one:?} against {other:?}");
        }
    }

    #[test]
    fn the_least_p_follows_from_the_runs() {
        for (a, b, wanted) in
            [(1, 1, 1.0), (3, 3, 0.1), (4, 4, 2.0 / 70.0), (3, 5, 2.0 / 56.0), (5, 5, 2.0 / 252.0)]
        {
            assert!((least_p(a, b) - wanted).abs() < 1e-12, "{a} against {b}");
        }
        assert_eq!((runs_needed(0.05), runs_needed(0.01), runs_needed(0.001)), (4, 5, 7));
    }

    #[test]
    fn the_rank_test_is_exact() {
        // Nothing in common: the least p.
        check_p(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], 0.1);
        // Three pairs lie the other way round: 7 of the 126 ways have no more, and 7 lie as far on
        // the other side.
        check_p(&[1.0, 2.0, 3.0, 7.0], &[4.0, 5.0, 6.0, 8.0, 9.0], 14.0 / 126.0);
        // All equal: chance does no less.
        check_p(&[5.0; 6], &[5.0; 6], 1.0);
        // 2 of 6 share a rank. Sums of three ranks of 1, 2.5, 2.5, 4, 5, 6 as far from 10.5 as 6:
        // 1 + 2.5 + 2.5 and 4 + 5 + 6, two of twenty.
        check_p(&[1.0, 2.0, 2.0], &[3.0, 4.0, 5.0], 0.1);
    }

    /// Every way to deal the figures, one by one.
    fn naive_rank_test(a: &[f64], b: &[f64]) -> f64 {
        let ranks = doubled_ranks(a, b);
        let expected = ranks.iter().sum::<usize>() as f64 * a.len() as f64 / ranks.len() as f64;
        let observed = ranks[..a.len()].iter().sum::<usize>() as f64;
        let (mut far, mut all) = (0, 0);
        for chosen in 0_u32..1 << ranks.len() {
            if chosen.count_ones() as usize == a.len() {
                let sum = (0..ranks.len()).filter(|bit| chosen >> bit & 1 == 1);
                let sum = sum.map(|bit| ranks[bit]).sum::<usize>() as f64;
                all += 1;
                far += u32::from((sum - expected).abs() >= (observed - expected).abs() - 1e-9);
            }
        }
        f64::from(far) / f64::from(all)
    }

    #[test]
    fn the_rank_test_agrees_with_counting_one_by_one() {
        let mut dice = Dice::new(3);
        for round in 0..60 {
            let mut side = |length| -> Vec<f64> {
                // Few different figures, so that many are equal.
                (0..length).map(|_| (dice.throw() * 6.0).floor()).collect()
            };
            let (a, b) = (side(1 + round % 5), side(1 + round % 7));
            check_p(&a, &b, naive_rank_test(&a, &b));
        }
    }

    #[test]
    fn the_most_runs_are_dealt_with() {
        let a: Vec<f64> = (0..RUNS_MAX).map(|run| run as f64).collect();
        let b: Vec<f64> = a.iter().map(|figure| figure + 1_000.0).collect();
        assert!(rank_test(&a, &b) < 1e-20);
        assert!((rank_test(&a, &a) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_interval_repeats_and_holds_the_ratio() {
        let (a, b) = ([100.0, 101.0, 99.0, 100.5, 98.0], [110.0, 108.0, 111.0, 112.0, 109.0]);
        let (low, high) = ratio_interval(&a, &b, 0.99).unwrap();
        assert_eq!(ratio_interval(&a, &b, 0.99), Some((low, high)));
        assert!(low > 1.0 && low < 1.1 && high > 1.1 && high < 1.15, "{low} to {high}");
        let (narrow_low, narrow_high) = ratio_interval(&a, &b, 0.5).unwrap();
        assert!(low <= narrow_low && narrow_high <= high);
        assert_eq!(ratio_interval(&[0.0], &[1.0], 0.99), None);
    }

    /// How often two sides of one kind are told apart: about as often as was allowed.
    #[test]
    fn chance_is_seldom_taken_for_a_difference() {
        let mut dice = Dice::new(11);
        let mut side = || -> Vec<f64> { (0..5).map(|_| 100.0 + 10.0 * dice.throw()).collect() };
        let told_apart = (0..2_000).filter(|_| rank_test(&side(), &side()) < 0.01).count();
        assert!((4..=40).contains(&told_apart), "{told_apart} of 2000, 16 are expected");
    }
}

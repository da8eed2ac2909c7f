//! Latencies: recorded in HDR histograms, told as percentiles and as curves.
//!
//! # Guarantees
//! Recording costs no allocation. Percentiles are exact to three digits, of [`Latencies::coarse`]
//! ones to two.
//!
//! # Bounds
//! From 1 µs to `LATENCY_US_MAX`; what is longer is recorded as that. A curve has at most
//! [`CURVE_POINTS_MAX`] points.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::results::{CurvePoint, Distribution};

/// The longest latency that is told from longer ones: one hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Points of a curve in each halving of the distance to its end.
const CURVE_TICKS: u32 = 5;

/// As many as the longest curve could need: a count of 64 bits can be halved 64 times.
const CURVE_POINTS_MAX: usize = 64 * CURVE_TICKS as usize;

/// Latencies of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
}

impl Latencies {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self::with_digits(3)
    }

    /// None yet; they need an eighth of the memory.
    pub(crate) fn coarse() -> Self {
        Self::with_digits(2)
    }

    fn with_digits(digits: u8) -> Self {
        // The three numbers are constants that the histogram accepts.
        #[expect(clippy::expect_used, reason = "bounds are constant and valid")]
        let histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, digits)
            .expect("constant bounds are valid");
        Self { histogram }
    }

    /// One more.
    pub(crate) fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(us.clamp(1, LATENCY_US_MAX));
    }

    /// All of `other` too, which must be as exact.
    pub(crate) fn add(&mut self, other: &Self) {
        // Only histograms of other bounds could fail to fit.
        let _ = self.histogram.add(&other.histogram);
    }

    /// Forgets them all.
    pub(crate) fn clear(&mut self) {
        self.histogram.reset();
    }

    /// The latency that a share of `quantile` does not exceed; 0 if there are none.
    pub(crate) fn at_ms(&self, quantile: f64) -> f64 {
        us_to_ms(self.histogram.value_at_quantile(quantile))
    }

    /// The percentiles and the curve, or none if nothing was recorded.
    pub(crate) fn distribution(&self) -> Option<Distribution> {
        if self.histogram.is_empty() {
            return None;
        }
        let points = self.histogram.iter_quantiles(CURVE_TICKS).take(CURVE_POINTS_MAX);
        let mut curve: Vec<CurvePoint> = points
            .map(|point| CurvePoint {
                share: point.quantile(),
                ms: us_to_ms(point.value_iterated_to()),
            })
            .collect();
        // Many of the same latency are told again for each share that they reach over.
        curve.dedup_by(|next, kept| next.share <= kept.share);
        Some(Distribution {
            count: self.histogram.len(),
            mean_ms: self.histogram.mean() / 1_000.0,
            p50_ms: self.at_ms(0.5),
            p90_ms: self.at_ms(0.9),
            p99_ms: self.at_ms(0.99),
            p99_9_ms: self.at_ms(0.999),
            max_ms: us_to_ms(self.histogram.max()),
            curve,
        })
    }
}

fn us_to_ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

/// What a figure came to over several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The median of `values` as [`Self::of`] has it; none of none.
    pub(crate) fn median(values: Vec<f64>) -> Option<f64> {
        (!values.is_empty()).then(|| Self::of(values).median)
    }

    /// The spread of `values`; zeros if there are none. The median of an even number is the mean
    /// of the middle two.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
            return Self { median: 0.0, min: 0.0, max: 0.0 };
        };
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Self { median, min, max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_to_three_digits() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.distribution(), None);
        for us in 1..=10_000 {
            latencies.record(Duration::from_micros(us));
        }
        let percentiles = latencies.distribution().unwrap();
        for (found, wanted) in [
            (percentiles.p50_ms, 5.0),
            (percentiles.p90_ms, 9.0),
            (percentiles.p99_ms, 9.9),
            (percentiles.p99_9_ms, 9.99),
            (percentiles.max_ms, 10.0),
        ] {
            assert!((found / wanted - 1.0_f64).abs() < 0.001, "{found} for {wanted}");
        }
        assert_eq!(percentiles.count, 10_000);
        assert!((percentiles.mean_ms - 5.0).abs() < 0.01, "{}", percentiles.mean_ms);
    }

    #[test]
    fn a_curve_rises_to_the_longest() {
        let mut latencies = Latencies::coarse();
        for us in 1..=1_000_000 {
            latencies.record(Duration::from_micros(us));
        }
        let Distribution { curve, max_ms, .. } = latencies.distribution().unwrap();
        assert!((20..=CURVE_POINTS_MAX).contains(&curve.len()), "{}", curve.len());
        assert!(curve.is_sorted_by(|one, next| one.share < next.share && one.ms <= next.ms));
        let last = curve.last().unwrap();
        assert!((last.share - 1.0).abs() < 1e-12 && (last.ms - max_ms).abs() < 1e-9, "{last:?}");
        for point in curve {
            assert!((point.ms / 1_000.0 - point.share).abs() < 0.02, "{point:?}");
        }
        latencies.clear();
        assert_eq!(latencies.distribution(), None);
        assert!(latencies.at_ms(0.5).abs() < 1e-12);
    }

    #[test]
    fn histograms_add_up_and_saturate() {
        let (mut one, mut other) = (Latencies::new(), Latencies::new());
        one.record(Duration::ZERO);
        other.record(Duration::from_secs(100_000));
        one.add(&other);
        let percentiles = one.distribution().unwrap();
        assert!((percentiles.p50_ms - 0.001).abs() < 1e-9);
        assert!(percentiles.max_ms > 3_590_000.0);
    }

    #[test]
    fn a_spread_has_a_median() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(vec![4.0, 1.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(Spread::of(Vec::new()), Spread { median: 0.0, min: 0.0, max: 0.0 });
    }
}

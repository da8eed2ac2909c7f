//! Latencies: recorded in HDR histograms, told as percentiles.
//!
//! # Guarantees
//! Recording costs no allocation. Percentiles are exact to three digits.
//!
//! # Bounds
//! From 1 µs to `LATENCY_US_MAX`; what is longer is recorded as that.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest latency that is told from longer ones: one hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Latencies of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
}

impl Latencies {
    /// None yet.
    pub(crate) fn new() -> Self {
        // The three numbers are constants that the histogram accepts.
        #[expect(clippy::expect_used, reason = "bounds are constant and valid")]
        let histogram =
            Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("constant bounds are valid");
        Self { histogram }
    }

    /// One more.
    pub(crate) fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(us.clamp(1, LATENCY_US_MAX));
    }

    /// All of `other` too.
    pub(crate) fn add(&mut self, other: &Self) {
        // Only histograms of other bounds could fail to fit.
        let _ = self.histogram.add(&other.histogram);
    }

    /// The percentiles, or none if nothing was recorded.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        if self.histogram.is_empty() {
            return None;
        }
        let at = |quantile| us_to_ms(self.histogram.value_at_quantile(quantile));
        Some(Percentiles {
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p99_9_ms: at(0.999),
            max_ms: us_to_ms(self.histogram.max()),
        })
    }
}

/// How long things took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p99_9_ms: f64,
    pub(crate) max_ms: f64,
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
        assert_eq!(latencies.percentiles(), None);
        for us in 1..=10_000 {
            latencies.record(Duration::from_micros(us));
        }
        let percentiles = latencies.percentiles().unwrap();
        for (found, wanted) in [
            (percentiles.p50_ms, 5.0),
            (percentiles.p90_ms, 9.0),
            (percentiles.p99_ms, 9.9),
            (percentiles.p99_9_ms, 9.99),
            (percentiles.max_ms, 10.0),
        ] {
            assert!((found / wanted - 1.0_f64).abs() < 0.001, "{found} for {wanted}");
        }
    }

    #[test]
    fn histograms_add_up_and_saturate() {
        let (mut one, mut other) = (Latencies::new(), Latencies::new());
        one.record(Duration::ZERO);
        other.record(Duration::from_secs(100_000));
        one.add(&other);
        let percentiles = one.percentiles().unwrap();
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

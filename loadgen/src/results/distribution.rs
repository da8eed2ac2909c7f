//! A distribution of times, as percentiles and as a curve to draw.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long things took.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct Distribution {
    /// Of how many.
    pub(crate) count: u64,
    pub(crate) mean_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p99_9_ms: f64,
    pub(crate) max_ms: f64,
    /// From the shortest to the longest, with more points the nearer to the longest.
    pub(crate) curve: Vec<CurvePoint>,
}

/// A point of the curve: `share` of all took `ms` or less.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct CurvePoint {
    pub(crate) share: f64,
    pub(crate) ms: f64,
}

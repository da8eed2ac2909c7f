//! How long a server's commits take, as it counts them itself: the histogram in Ringpost's metrics.
//!
//! # Failures
//! A server that does not answer, or whose metrics have no such histogram.
//!
//! # Bounds
//! An answer has at most [`METRICS_BYTES_MAX`].

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The histogram, in the text format of OpenMetrics.
const HISTOGRAM: &str = "ringpost_spool_commit_seconds";

/// The largest answer that is read.
const METRICS_BYTES_MAX: u64 = 4 << 20;

/// Time to wait for the answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Commits so far.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Commits {
    sum_s: f64,
    /// The upper bound of each bucket, rising, the last infinite, and how many took no longer.
    buckets: Vec<(f64, u64)>,
}

impl Commits {
    /// Asks the server whose metrics are at `admin`.
    ///
    /// # Errors
    /// See the module.
    pub(super) fn ask(admin: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&admin, ANSWER_TIME_MAX)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.take(METRICS_BYTES_MAX).read_to_string(&mut text)?;
        parse(&text).ok_or_else(|| {
            io::Error::other(format!("http://{admin}/metrics has no histogram {HISTOGRAM}"))
        })
    }

    /// What has come since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let buckets = self.buckets.iter().zip(&earlier.buckets);
        Self {
            sum_s: self.sum_s - earlier.sum_s,
            buckets: buckets
                .map(|((bound_s, now), (_, then))| (*bound_s, now.saturating_sub(*then)))
                .collect(),
        }
    }

    /// How many.
    pub(super) fn count(&self) -> u64 {
        self.buckets.last().map_or(0, |(_, count)| *count)
    }

    /// How long one took.
    pub(super) fn mean_ms(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum_s * 1e3 / count as f64)
    }

    /// The upper bound of the bucket in which a share of `quantile` ends; none if that is the open
    /// one.
    pub(super) fn at_ms(&self, quantile: f64) -> Option<f64> {
        let wanted = quantile * self.count() as f64;
        let bucket = self.buckets.iter().find(|(_, count)| *count as f64 >= wanted);
        bucket
            .filter(|_| wanted > 0.0)
            .map(|(bound_s, _)| bound_s * 1e3)
            .filter(|ms| ms.is_finite())
    }
}

/// The histogram of all shards together.
fn parse(text: &str) -> Option<Commits> {
    let mut commits = Commits { sum_s: 0.0, buckets: Vec::new() };
    for line in text.lines().filter_map(|line| line.strip_prefix(HISTOGRAM)) {
        let value = line.rsplit(' ').next()?;
        if line.starts_with("_sum") {
            commits.sum_s += value.parse::<f64>().ok()?;
        } else if line.starts_with("_bucket") {
            let (_, rest) = line.split_once("le=\"")?;
            let (bound, _) = rest.split_once('"')?;
            let bound_s = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            let count: u64 = value.parse().ok()?;
            match commits.buckets.iter_mut().find(|(known, _)| known.total_cmp(&bound_s).is_eq()) {
                Some((_, sum)) => *sum += count,
                None => commits.buckets.push((bound_s, count)),
            }
        }
    }
    commits.buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    (!commits.buckets.is_empty()).then_some(commits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# TYPE ringpost_spool_commit_seconds histogram\r
ringpost_spool_commit_seconds_sum{shard=\"0\"} 0.5
ringpost_spool_commit_seconds_count{shard=\"0\"} 2
ringpost_spool_commit_seconds_bucket{le=\"0.0001\",shard=\"0\"} 1
ringpost_spool_commit_seconds_bucket{le=\"1.0\",shard=\"0\"} 2
ringpost_spool_commit_seconds_bucket{le=\"+Inf\",shard=\"0\"} 2
";
    const AFTER: &str = "ringpost_spool_commit_seconds_sum{shard=\"0\"} 0.5
ringpost_spool_commit_seconds_sum{shard=\"1\"} 4.0
ringpost_spool_commit_seconds_bucket{le=\"0.0001\",shard=\"0\"} 1
ringpost_spool_commit_seconds_bucket{le=\"1.0\",shard=\"0\"} 2
ringpost_spool_commit_seconds_bucket{le=\"+Inf\",shard=\"0\"} 2
ringpost_spool_commit_seconds_bucket{le=\"0.0001\",shard=\"1\"} 6
ringpost_spool_commit_seconds_bucket{le=\"1.0\",shard=\"1\"} 9
ringpost_spool_commit_seconds_bucket{le=\"+Inf\",shard=\"1\"} 10
";

    #[test]
    fn shards_add_up_and_what_came_before_goes_off() {
        let commits = parse(AFTER).unwrap().since(&parse(BEFORE).unwrap());
        assert_eq!(commits.count(), 10);
        assert!((commits.mean_ms().unwrap() - 400.0).abs() < 1e-6);
        assert_eq!(commits.at_ms(0.5), Some(0.1));
        assert_eq!(commits.at_ms(0.9), Some(1_000.0));
        assert_eq!(commits.at_ms(0.99), None);
    }

    #[test]
    fn nothing_has_no_mean() {
        let before = parse(BEFORE).unwrap();
        let none = before.since(&before);
        assert_eq!((none.mean_ms(), none.at_ms(0.5)), (None, None));
        assert_eq!(parse("HTTP/1.1 404 Not Found\r\n\r\n"), None);
    }
}

//! What a shard counts, in plain cells on the shard and in atomics for whoever reads them.
//!
//! The shard adds to its own [`Counters`] and copies them into a [`PublishedCounters`] at the end
//! of a turn. The control plane reads the copy. Neither ever waits for the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of the commit histogram, in microseconds; the last bucket is open.
pub const COMMIT_BUCKETS_US: [u64; 12] =
    [100, 200, 300, 500, 750, 1_000, 2_000, 5_000, 10_000, 50_000, 250_000, 1_000_000];

const COMMIT_BUCKET_COUNT: usize = COMMIT_BUCKETS_US.len() + 1;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of one shard. All but the gauges only rise.
        #[derive(Clone, Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
            /// Commits by duration, in the buckets of [`COMMIT_BUCKETS_US`].
            pub commits_by_duration: [u64; COMMIT_BUCKET_COUNT],
        }

        /// The published copy of one shard's [`Counters`].
        #[derive(Debug, Default)]
        pub struct PublishedCounters {
            $($name: AtomicU64,)*
            commits_by_duration: [AtomicU64; COMMIT_BUCKET_COUNT],
        }

        impl PublishedCounters {
            /// Makes `counters` visible to readers. Only the shard calls it.
            pub fn publish(&self, counters: &Counters) {
                $(self.$name.store(counters.$name, Ordering::Relaxed);)*
                let buckets = self.commits_by_duration.iter().zip(counters.commits_by_duration);
                for (shared, own) in buckets {
                    shared.store(own, Ordering::Relaxed);
                }
            }

            /// What was published last. Counters of one turn may be seen apart.
            pub fn read(&self) -> Counters {
                let mut counters = Counters::default();
                $(counters.$name = self.$name.load(Ordering::Relaxed);)*
                let buckets = counters.commits_by_duration.iter_mut();
                for (own, shared) in buckets.zip(&self.commits_by_duration) {
                    *own = shared.load(Ordering::Relaxed);
                }
                counters
            }
        }
    };
}

counters! {
    /// Messages answered with `250` after their data.
    messages_received,
    /// Messages of which every recipient is finished.
    messages_finished,
    /// Messages that the next hop of at least one recipient took, counted at the first.
    messages_delivered,
    /// Recipients that a next hop took responsibility for.
    recipients_delivered,
    /// Attempts after which a recipient is tried again.
    recipients_deferred,
    /// Recipients given up.
    recipients_bounced,
    /// Gauge: messages in the queue.
    queue_messages,
    /// Commits that returned.
    spool_commits,
    /// Commits that failed.
    spool_commit_failures,
    /// Sum of the durations of commits.
    spool_commit_us_sum,
    /// Bytes written to segments, padding included.
    spool_written_bytes,
    /// Gauge: segment files in use.
    spool_segments,
    /// Gauge: connections from clients.
    connections_in,
    /// Gauge: connections to next hops.
    connections_out,
    /// Connections from clients since the start.
    connections_in_total,
    /// Connections to next hops since the start.
    connections_out_total,
    /// Connections refused because the listener has as many as it may in this shard.
    connections_refused,
    /// Connections refused because the process has as many as it may.
    connections_refused_process,
    /// Connections refused because their address has as many as it may.
    connections_refused_address,
    /// Connections refused because their network has as many as it may.
    connections_refused_network,
    /// Connections closed because no PROXY header came from a proxy, or none that is good.
    proxy_headers_refused,
    /// Handshakes of TLS with clients that were done.
    tls_handshakes,
    /// Those of them that resumed a session.
    tls_handshakes_resumed,
    /// Handshakes of TLS with clients that failed.
    tls_handshakes_failed,
    /// Clients that authenticated.
    auth_succeeded,
    /// Authentications that failed.
    auth_failed,
    /// Authentications refused because too many passwords waited for their check.
    auth_refused_busy,
    /// Messages refused after DATA because the spool had no room for them.
    refused_storage_full,
    /// Turns of the shard's loop.
    turns,
    /// Times a receive found no provided buffer.
    receive_buffers_exhausted,
}

impl Counters {
    /// Counts a commit that took `duration`.
    pub fn count_commit(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = COMMIT_BUCKETS_US.partition_point(|&bound| bound < us);
        if let Some(count) = self.commits_by_duration.get_mut(bucket) {
            *count += 1;
        }
        self.spool_commits += 1;
        self.spool_commit_us_sum = self.spool_commit_us_sum.saturating_add(us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_what_is_read() {
        let mut counters = Counters { messages_received: 7, ..Counters::default() };
        counters.count_commit(Duration::from_micros(100));
        counters.count_commit(Duration::from_micros(101));
        counters.count_commit(Duration::from_secs(5));
        let published = PublishedCounters::default();
        published.publish(&counters);
        let read = published.read();
        assert_eq!(read.messages_received, 7);
        assert_eq!(read.spool_commits, 3);
        assert_eq!(read.commits_by_duration[..2], [1, 1]);
        assert_eq!(read.commits_by_duration[12], 1);
    }
}

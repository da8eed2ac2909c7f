//! The figures of a shard: what each counter is called outside, and what it says.
//!
//! One table serves the metrics and the status, so that neither can forget a counter. The names of
//! metrics are part of the contract with monitoring; none may change without a word in the change
//! log.

use crate::counters::Counters;

/// How a figure moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only rises.
    Counter,
    /// It rises and falls.
    Gauge,
}

/// One counter of a shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    /// Its name in [`Counters`] and in the status.
    pub(super) name: &'static str,
    /// Its name in the metrics, without the `_total` that the text format adds to counters. Figures
    /// of one metric stand together.
    pub(super) metric: &'static str,
    /// The label that tells it from others of its metric, and its value.
    pub(super) label: Option<(&'static str, &'static str)>,
    /// How it moves.
    pub(super) kind: Kind,
    /// One line about it.
    pub(super) help: &'static str,
    /// Takes it from the counters of a shard.
    pub(super) read: fn(&Counters) -> u64,
}

macro_rules! figure {
    ($kind:ident $name:ident, $metric:literal, $help:literal) => {
        figure!($kind $name, $metric, None, $help)
    };
    ($kind:ident $name:ident, $metric:literal, $label:expr, $help:literal) => {
        Figure {
            name: stringify!($name),
            metric: $metric,
            label: $label,
            kind: Kind::$kind,
            help: $help,
            read: |counters| counters.$name,
        }
    };
}

const INBOUND: Option<(&str, &str)> = Some(("direction", "in"));
const OUTBOUND: Option<(&str, &str)> = Some(("direction", "out"));

/// All figures but the histogram of commits.
pub(super) const FIGURES: &[Figure] = &[
    figure!(
        Counter messages_received, "ringpost_messages_received",
        "Messages answered with 250 after their data"
    ),
    figure!(
        Counter messages_finished, "ringpost_messages_finished",
        "Messages of which every recipient is finished"
    ),
    figure!(
        Counter messages_delivered, "ringpost_messages_delivered",
        "Messages that the next hop of at least one recipient took"
    ),
    figure!(
        Counter recipients_delivered, "ringpost_recipients_delivered",
        "Recipients that a next hop took responsibility for"
    ),
    figure!(
        Counter recipients_deferred, "ringpost_recipients_deferred",
        "Attempts after which a recipient is tried again"
    ),
    figure!(
        Counter recipients_bounced, "ringpost_recipients_bounced",
        "Recipients given up"
    ),
    figure!(Gauge queue_messages, "ringpost_queue_messages", "Messages in the queue"),
    figure!(Counter spool_commits, "ringpost_spool_commits", "Commits that returned"),
    figure!(
        Counter spool_commit_failures, "ringpost_spool_commit_failures",
        "Commits that failed"
    ),
    figure!(
        Counter spool_commit_us_sum, "ringpost_spool_commit_us",
        "Microseconds that commits took, added up"
    ),
    figure!(
        Counter spool_written_bytes, "ringpost_spool_written_bytes",
        "Bytes written to segments, padding included"
    ),
    figure!(Gauge spool_segments, "ringpost_spool_segments", "Segment files in use"),
    figure!(
        Gauge connections_in, "ringpost_smtp_connections", INBOUND,
        "SMTP connections that are open"
    ),
    figure!(
        Gauge connections_out, "ringpost_smtp_connections", OUTBOUND,
        "SMTP connections that are open"
    ),
    figure!(
        Counter connections_in_total, "ringpost_smtp_connections_opened", INBOUND,
        "SMTP connections since the start"
    ),
    figure!(
        Counter connections_out_total, "ringpost_smtp_connections_opened", OUTBOUND,
        "SMTP connections since the start"
    ),
    figure!(
        Counter connections_refused, "ringpost_smtp_connections_refused",
        Some(("limit", "listener")), "Connections refused because a limit was met"
    ),
    figure!(
        Counter connections_refused_process, "ringpost_smtp_connections_refused",
        Some(("limit", "process")), "Connections refused because a limit was met"
    ),
    figure!(
        Counter connections_refused_address, "ringpost_smtp_connections_refused",
        Some(("limit", "address")), "Connections refused because a limit was met"
    ),
    figure!(
        Counter connections_refused_network, "ringpost_smtp_connections_refused",
        Some(("limit", "network")), "Connections refused because a limit was met"
    ),
    figure!(
        Counter proxy_headers_refused, "ringpost_proxy_headers_refused",
        "Connections of proxies closed for want of a good PROXY header"
    ),
    figure!(
        Counter tls_handshakes, "ringpost_tls_handshakes",
        "Handshakes of TLS with clients that were done"
    ),
    figure!(
        Counter tls_handshakes_resumed, "ringpost_tls_handshakes_resumed",
        "Handshakes of TLS with clients that resumed a session"
    ),
    figure!(
        Counter tls_handshakes_failed, "ringpost_tls_handshakes_failed",
        "Handshakes of TLS with clients that failed"
    ),
    figure!(
        Counter auth_succeeded, "ringpost_authentications", Some(("result", "ok")),
        "Authentications of clients"
    ),
    figure!(
        Counter auth_failed, "ringpost_authentications", Some(("result", "failed")),
        "Authentications of clients"
    ),
    figure!(
        Counter auth_refused_busy, "ringpost_authentications", Some(("result", "busy")),
        "Authentications of clients"
    ),
    figure!(
        Counter refused_storage_full, "ringpost_transactions_refused_storage_full",
        "Transactions refused because the spool has no room"
    ),
    figure!(Counter turns, "ringpost_shard_turns", "Turns of the shard's loop"),
    figure!(
        Counter receive_buffers_exhausted, "ringpost_receive_buffers_exhausted",
        "Times a receive found no provided buffer"
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_counter_is_a_figure() {
        // The names of the fields, as the derived Debug prints them.
        let printed = format!("{:?}", Counters::default());
        let fields: BTreeSet<_> = printed
            .trim_start_matches("Counters { ")
            .split(", ")
            .filter_map(|field| field.split_once(": "))
            .map(|(name, _)| name)
            .filter(|name| *name != "commits_by_duration")
            .collect();
        let figures: BTreeSet<_> = FIGURES.iter().map(|figure| figure.name).collect();
        assert_eq!(fields, figures);
        assert_eq!(figures.len(), FIGURES.len(), "no counter is there twice");
    }

    #[test]
    fn figures_of_one_metric_stand_together_and_agree() {
        for pair in FIGURES.chunk_by(|a, b| a.metric == b.metric) {
            let others = FIGURES.iter().filter(|figure| figure.metric == pair[0].metric);
            assert_eq!(others.count(), pair.len(), "{}", pair[0].metric);
            for figure in pair {
                assert_eq!((figure.kind, figure.help), (pair[0].kind, pair[0].help));
                assert_eq!(figure.label.is_some(), pair.len() > 1);
                assert_eq!(figure.label.map(|it| it.0), pair[0].label.map(|it| it.0));
            }
        }
    }
}

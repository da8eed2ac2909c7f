//! The shape of the configuration file: one struct a table, one field a key, in the words of the
//! file. The comments are the keys' documentation; `default.toml` shows each key with its default.
//!
//! # Guarantees
//! A value here has the right TOML type and nothing more: what it means is decided in
//! [`super::validate`]. Every value knows where it stood in the file.
//!
//! # Failures
//! An unknown key is an error, so that a misspelt one is never silently without effect.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use toml::Spanned;

/// The whole file.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawConfig {
    /// Name of this server in its banner, in EHLO and in `Received:`. A domain name that resolves
    /// to this host, or other servers will distrust it. Default: the host's name.
    pub(super) hostname: Option<Spanned<String>>,
    /// How the work is spread over CPUs.
    pub(super) shards: RawShards,
    /// Where mail rests between reception and delivery.
    pub(super) spool: RawSpool,
    /// Where mail is taken in. Default: one listener with all its defaults.
    pub(super) listener: Vec<Spanned<RawListener>>,
    /// Known so that it can be refused in words: this version does not speak TLS.
    #[serde(skip_serializing)]
    pub(super) tls: Option<Spanned<IgnoredAny>>,
    /// Known so that it can be refused in words: this version does not authenticate.
    #[serde(skip_serializing)]
    pub(super) user: Option<Spanned<IgnoredAny>>,
    /// Where mail goes: the first route with a pattern that matches a recipient's domain wins;
    /// where none does, the domain's MX records decide.
    pub(super) route: Vec<Spanned<RawRoute>>,
    /// How mail is delivered.
    pub(super) delivery: RawDelivery,
    /// How names are looked up.
    pub(super) dns: RawDns,
    /// The HTTP server for metrics, the API and the web monitor.
    pub(super) admin: RawAdmin,
    /// How the server stops.
    pub(super) shutdown: RawShutdown,
}

/// `[shards]`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawShards {
    /// CPUs that get a shard each, as in `"0-3,8"`. Default: every CPU that the process may run on.
    pub(super) cpus: Option<Spanned<String>>,
}

/// `[spool]`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSpool {
    /// Directory of the spool, on a local file system that supports `O_DIRECT` (ext4, XFS).
    pub(super) path: Option<Spanned<String>>,
    /// `"commit"`: `250` only once a message is on stable storage. `"os"`: once the operating
    /// system has it, which a crash of the host may undo.
    pub(super) durability: Option<Spanned<String>>,
    /// Length of a segment file, a multiple of 4,096. Segments are recycled as a whole, so longer
    /// ones hold on to more finished mail beside one that waits.
    pub(super) segment_bytes: Option<Spanned<u64>>,
    /// Memory of each shard for mail that was just taken in, so that its delivery need not read it
    /// back from disk.
    pub(super) cache_bytes: Option<Spanned<u64>>,
}

/// `[[listener]]`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawListener {
    /// `ADDRESS:PORT`, an IPv6 address in brackets. Port 0 lets the kernel choose one.
    pub(super) address: Option<Spanned<String>>,
    /// `"none"`, which is all that this version offers.
    pub(super) tls: Option<Spanned<String>>,
    /// Networks whose clients may send to any domain. Default: this host itself.
    pub(super) relay_from: Option<Spanned<Vec<Spanned<String>>>>,
    /// `"off"`, which is all that this version offers.
    pub(super) auth: Option<Spanned<String>>,
    /// Length of a message, as announced by SIZE.
    pub(super) message_max_bytes: Option<Spanned<u64>>,
    /// Length of a line of a message. Programs do send whole documents as one.
    pub(super) line_max_bytes: Option<Spanned<u64>>,
    /// `Received:` fields of a message; one with more is taken to run in a loop.
    pub(super) hops_max: Option<Spanned<u64>>,
    /// Recipients of one message; further ones get `452` and the client sends them in a
    /// transaction of their own.
    pub(super) recipients_max: Option<Spanned<u64>>,
    /// Refused commands in one session since its last message, before it is closed.
    pub(super) errors_max: Option<Spanned<u64>>,
    /// Messages in one session before it is closed.
    pub(super) messages_max: Option<Spanned<u64>>,
    /// Connections at one time over all shards, each of which takes an equal share, rounded up.
    pub(super) connections_max: Option<Spanned<u64>>,
    /// Time that a client may stay silent.
    pub(super) idle_s: Option<Spanned<u64>>,
    /// Time that the content of a message may take, from DATA to its end.
    pub(super) content_s: Option<Spanned<u64>>,
    /// Time that a session may last in all.
    pub(super) session_s: Option<Spanned<u64>>,
}

/// `[[route]]`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRoute {
    /// `"example.com"`, `"*.example.com"` (what lies below it, not itself) or `"*"`.
    pub(super) domains: Option<Spanned<Vec<Spanned<String>>>>,
    /// `"mx"`, `"smtp://HOST[:PORT]"` or `"discard"`.
    pub(super) to: Option<Spanned<String>>,
}

/// `[delivery]`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawDelivery {
    /// Port of the hosts that MX records name.
    pub(super) port: Option<Spanned<u64>>,
    /// Wait before the first retry; it doubles with each further one, with jitter.
    pub(super) retry_first_s: Option<Spanned<u64>>,
    /// Longest wait between two attempts.
    pub(super) retry_max_s: Option<Spanned<u64>>,
    /// Age of a message at which it is given up and its sender gets a bounce.
    pub(super) expire_s: Option<Spanned<u64>>,
    /// Connections to next hops at one time over all shards, each of which takes an equal share,
    /// rounded up.
    pub(super) connections_max: Option<Spanned<u64>>,
    /// Of these, connections to one site; shared out in the same way.
    pub(super) connections_per_site_max: Option<Spanned<u64>>,
    /// Recipients of one message that go out in one transaction.
    pub(super) recipients_per_transaction_max: Option<Spanned<u64>>,
}

/// `[dns]`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawDns {
    /// Recursive name servers as `ADDRESS` or `ADDRESS:PORT`. Default: those of
    /// `/etc/resolv.conf`.
    pub(super) servers: Option<Spanned<Vec<Spanned<String>>>>,
}

/// `[admin]`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAdmin {
    /// `ADDRESS:PORT`. Whoever reaches it can read everything on it: keep it on a loopback address
    /// or behind a firewall. Port 0 lets the kernel choose one.
    pub(super) address: Option<Spanned<String>>,
}

/// `[shutdown]`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawShutdown {
    /// Time that running transactions get to end after SIGTERM or SIGINT.
    pub(super) grace_s: Option<Spanned<u64>>,
}

//! The shape of the configuration file: one struct a table, one field a key, in the words of the
//! file. The comments are the keys' documentation; `default.toml` shows each key with its default.
//!
//! # Guarantees
//! A value here has the right TOML type and nothing more: what it means is decided in
//! [`super::validate`]. Every value knows where it stood in the file.
//!
//! # Failures
//! An unknown key is an error, so that a misspelt one is never silently without effect.

use std::fmt;

use serde::{Deserialize, Serialize};
use toml::Spanned;

/// The whole file.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawConfig {
    /// Name of this server in its banner, in EHLO and in `Received:`. A domain name that resolves
    /// to this host, or other servers will distrust it. Default: the host's name.
    pub(super) hostname: Option<Spanned<String>>,
    /// Bounds of the whole process.
    pub(super) limits: RawLimits,
    /// What the server proves itself with. Without it no listener speaks TLS.
    pub(super) tls: Option<Spanned<RawTls>>,
    /// Who may authenticate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) user: Vec<Spanned<RawUser>>,
    /// How the work is spread over CPUs.
    pub(super) shards: RawShards,
    /// Where mail rests between reception and delivery.
    pub(super) spool: RawSpool,
    /// Where mail is taken in. Default: one listener with all its defaults.
    pub(super) listener: Vec<Spanned<RawListener>>,
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

/// `[limits]`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLimits {
    /// Connections of clients at one time, over all listeners and shards.
    pub(super) connections_max: Option<Spanned<u64>>,
    /// Memory of the process at which no further message is taken in (`452`), while those that
    /// have begun go on. Default: three quarters of what the host or the control group has.
    pub(super) memory_max_bytes: Option<Spanned<u64>>,
    /// Messages that one user may begin in a minute, over all listeners; 0 for no bound.
    pub(super) user_messages_per_minute_max: Option<Spanned<u64>>,
    /// Recipients that one user may name in a minute, over all listeners; 0 for no bound.
    pub(super) user_recipients_per_minute_max: Option<Spanned<u64>>,
}

/// `[tls]`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTls {
    /// PEM file of the certificate and of those that lead to its root, in this order. It is shown
    /// to clients that ask for a name which no other certificate has.
    pub(super) certificate: Option<Spanned<String>>,
    /// PEM file of its private key.
    pub(super) key: Option<Spanned<String>>,
    /// PEM file of the authorities whose certificates are believed of clients.
    pub(super) client_ca: Option<Spanned<String>>,
    /// Further certificates, chosen by the names in them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sni: Vec<Spanned<RawCertificate>>,
}

/// `[[tls.sni]]`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawCertificate {
    /// As in `[tls]`.
    pub(super) certificate: Option<Spanned<String>>,
    /// As in `[tls]`.
    pub(super) key: Option<Spanned<String>>,
}

/// `[[user]]`
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawUser {
    /// What the user calls itself.
    pub(super) name: Option<Spanned<String>>,
    /// What `ringpost password` prints.
    pub(super) password: Option<Spanned<String>>,
    /// Addresses that the user may give in MAIL: `"user@example.com"`, `"example.com"`,
    /// `"*.example.com"` or `"*"`. Default: all.
    pub(super) senders: Option<Spanned<Vec<Spanned<String>>>>,
}

/// Without the password.
impl fmt::Debug for RawUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawUser").field("name", &self.name).finish_non_exhaustive()
    }
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
    /// `"transfer"`: for other servers, whose messages pass as they are. `"submission"`: for
    /// programs that send their own mail (RFC 6409).
    pub(super) role: Option<Spanned<String>>,
    /// `"none"`, `"starttls"` (on request) or `"implicit"` (from the first byte on). Default:
    /// `"none"` without `[tls]`; with it `"implicit"` on port 465 and `"starttls"` elsewhere.
    pub(super) tls: Option<Spanned<String>>,
    /// Whether a client must say STARTTLS before it may send mail.
    pub(super) tls_required: Option<Spanned<bool>>,
    /// Whether clients are asked for a certificate: `"off"`, `"optional"` or `"required"`.
    pub(super) client_certificates: Option<Spanned<String>>,
    /// Whether clients authenticate as one of the users: `"off"`, `"optional"` or `"required"`.
    pub(super) auth: Option<Spanned<String>>,
    /// Whether PLAIN and LOGIN are taken over a connection that is not protected, on which anybody
    /// in between can read the password.
    pub(super) auth_without_tls: Option<Spanned<bool>>,
    /// Networks whose clients may send to any domain. Default: this host itself.
    pub(super) relay_from: Option<Spanned<Vec<Spanned<String>>>>,
    /// Names in client certificates whose owners may send to any domain.
    pub(super) relay_certificates: Option<Spanned<Vec<Spanned<String>>>>,
    /// Domains that anybody may send to: `"example.com"`, `"*.example.com"` or `"*"`.
    pub(super) accept_for: Option<Spanned<Vec<Spanned<String>>>>,
    /// Networks whose clients are served; none stands for all.
    pub(super) allow_from: Option<Spanned<Vec<Spanned<String>>>>,
    /// Networks whose clients are not served, though `allow_from` has them.
    pub(super) deny_from: Option<Spanned<Vec<Spanned<String>>>>,
    /// Networks of proxies, whose connections begin with a header of the PROXY protocol.
    pub(super) proxy_from: Option<Spanned<Vec<Spanned<String>>>>,
    /// Networks whose clients may say with XCLIENT on whose behalf they speak.
    pub(super) xclient_from: Option<Spanned<Vec<Spanned<String>>>>,
    /// Faults of clients that are overlooked: `"space-before-path"`, `"missing-brackets"`, and
    /// with the role `"submission"` also `"bare-lf"`.
    pub(super) lenient: Option<Spanned<Vec<Spanned<String>>>>,
    /// Whether `Date:` and `Message-ID:` are added where they are missing. Default: with the role
    /// `"submission"`.
    pub(super) add_missing_headers: Option<Spanned<bool>>,
    /// Whether an `Authentication-Results:` field that claims to be this server's is removed.
    pub(super) remove_own_results: Option<Spanned<bool>>,
    /// Length of a message, as announced by SIZE.
    pub(super) message_max_bytes: Option<Spanned<u64>>,
    /// Length of a line of a message. Programs do send whole documents as one.
    pub(super) line_max_bytes: Option<Spanned<u64>>,
    /// Length of the header of a message.
    pub(super) header_max_bytes: Option<Spanned<u64>>,
    /// Fields of the header of a message.
    pub(super) header_fields_max: Option<Spanned<u64>>,
    /// How far ahead a client may set the release of a message (RFC 4865); 0 for not at all.
    /// Default: a week with the role `"submission"`, else 0.
    pub(super) hold_max_s: Option<Spanned<u64>>,
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
    /// Of these, connections of one address; 0 for no bound of its own.
    pub(super) connections_per_address_max: Option<Spanned<u64>>,
    /// Connections of one network, a /24 or a /64; 0 for no bound of its own.
    pub(super) connections_per_network_max: Option<Spanned<u64>>,
    /// Messages that one address may begin in a minute; 0 for no bound.
    pub(super) messages_per_minute_per_address_max: Option<Spanned<u64>>,
    /// Recipients that one address may name in a minute; 0 for no bound.
    pub(super) recipients_per_minute_per_address_max: Option<Spanned<u64>>,
    /// Authentications that may fail for one address in a minute, before it must wait; 0 for no
    /// bound.
    pub(super) auth_failures_per_minute_max: Option<Spanned<u64>>,
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

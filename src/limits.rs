//! Every bound of the server, with the unit at the end of its name.
//!
//! A bound that an operator may want to move is a configuration key whose default stands here.
//! Relations between bounds are asserted when the program is compiled.

mod doctor;
mod reception;

pub use self::doctor::*;
pub use self::reception::*;

// Process.

/// How long a start waits for an address that is taken. A process that was killed gives its
/// addresses back within milliseconds.
pub const ADDRESS_WAIT_MS: u64 = 3_000;

/// Wait between two attempts to get an address.
pub const ADDRESS_RETRY_MS: u64 = 50;

/// Shards of one process: the lowest eight bits of a message id name the shard.
pub const SHARD_COUNT_MAX: usize = 256;

/// Length of a configuration file. The longest sensible one (a thousand routes) has a tenth of it.
pub const CONFIG_BYTES_MAX: u64 = 1_048_576;

/// Problems of one configuration that are reported; whoever has more mends these first.
pub const CONFIG_PROBLEM_COUNT_MAX: usize = 100;

/// Descriptors of the process apart from its shards: standard streams, admin server, lock, log.
pub const PROCESS_DESCRIPTOR_COUNT: u64 = 64 + ADMIN_CONNECTION_COUNT_MAX as u64;

/// Descriptors of one shard apart from its connections: DNS sockets, and rings, event descriptors,
/// listeners and the open segments of its spool.
pub const SHARD_DESCRIPTOR_COUNT: u64 = DNS_QUERIES_MAX as u64 + 256;

/// Memory that one executor wants to lock: glommio refuses to start below it.
pub const SHARD_MEMLOCK_BYTES: u64 = 512 * 1_024;

/// Connections that the admin server holds at once; more wait in the listener's backlog. Its
/// descriptors come out of the same limit as those of the mail path.
pub const ADMIN_CONNECTION_COUNT_MAX: usize = 64;

/// Time after which an admin connection on which nothing moves is closed. Longer than the usual
/// minute between two scrapes, so that Prometheus keeps its connection.
pub const ADMIN_IDLE_S: u64 = 90;

/// Share of the host's memory, or of the control group's, that is the ceiling of the process unless
/// the configuration says otherwise. The rest is for the kernel's socket buffers and page cache.
pub const MEMORY_SHARE_PERCENT: u64 = 75;

/// Use of the ceiling from which on no transaction begins. What runs can grow by the rest.
pub const MEMORY_SHORT_PERCENT: u64 = 90;

/// Use of the ceiling below which transactions begin again.
pub const MEMORY_EASED_PERCENT: u64 = 80;

/// Time from one look at the memory in use to the next. Within it all the clients of a 10 Gbit/s
/// interface send 125 MB, of which content is written out and not kept.
pub const MEMORY_LOOK_MS: u64 = 100;

/// Block that is asked for so that the allocator looks what it can give back. One of 64 KiB does
/// not make it look, and one of 1 MiB does.
pub const MEMORY_ASKED_BYTES: usize = 1 << 20;

/// Log lines that wait for standard error. What comes on top is dropped and counted: a shard never
/// waits for a log.
pub const LOG_LINE_COUNT_MAX: usize = 16_384;

// Spool.

/// How long after its last write the spool is called again, to come to rest, to move messages, and
/// to ask again for space that it could not have.
pub const SPOOL_TICK_MS: u64 = 1_000;

/// Unit of the spool's writes: the logical block that `O_DIRECT` asks for on every disk in use.
pub const BLOCK_BYTES: usize = 4_096;

/// Segment files of one shard.
pub const SEGMENT_SLOT_COUNT_MAX: usize = 65_536;

/// Default length of a segment file.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// Shortest segment file: a header and room for the records of a handful of messages.
pub const SEGMENT_BYTES_MIN: u64 = 16 * BLOCK_BYTES as u64;

/// A commit group is sealed when it reaches this, waited for or not. From 256 KiB on a write gains
/// little bandwidth and costs latency.
pub const GROUP_BYTES_MAX: usize = 256 << 10;

/// A group of content alone, which nobody waits for, is sealed when it reaches this.
pub const GROUP_CONTENT_BYTES_MAX: usize = 128 << 10;

/// Largest record. One that does not fit in [`GROUP_BYTES_MAX`] gets a group of its own.
pub const RECORD_BYTES_MAX: usize = 2 << 20;

/// Largest group on disk, and so the memory that recovery reads with.
pub const GROUP_SPAN_BYTES_MAX: usize = RECORD_BYTES_MAX + 2 * BLOCK_BYTES;

/// Largest outcome record; an outcome of more recipients is kept as several.
pub const OUTCOME_RECORD_BYTES_MAX: usize = 32 << 10;

/// Text of a recipient's last failure that the spool keeps.
pub const SPOOL_FAILURE_BYTES_MAX: usize = 512;

/// Memory that mirrors one stretch of a segment.
pub const SPOOL_IMAGE_BYTES: usize = 1 << 20;

/// Default of the memory in which recent content is kept for the relay.
pub const SPOOL_CACHE_BYTES: usize = 16 << 20;

/// Default of the groups that are being written at a time.
pub const GROUPS_IN_FLIGHT_MAX: usize = 8;

/// Default of the groups that are being written at a time before one that has room waits and grows.
/// With two, a message that arrives during a write seldom waits for its end, and groups still grow
/// with the load; `benches/README.md` has the comparison with 1, 4 and 8.
pub const SHORT_GROUPS_IN_FLIGHT_MAX: usize = 2;

/// Bytes of the log that are not durable yet, from which on clients are not read.
pub const PENDING_BYTES_MAX: usize = 4 << 20;

/// Outcomes that wait in memory while there is no segment to write them to.
pub const OUTCOMES_WAITING_BYTES_MAX: usize = 4 << 20;

/// Failed writes in a row after which the log stops.
pub const WRITE_FAILURES_MAX: u32 = 3;

/// Free segments that mail leaves alone, so that outcomes can still be recorded, and space so be
/// freed, when there is none left for mail.
pub const SEGMENTS_RESERVED: usize = 1;

/// Free segments below which another is asked for.
pub const SEGMENTS_SPARE: usize = SEGMENTS_RESERVED + 1;

/// Free segments above which the rest is deleted.
pub const SEGMENTS_FREE_MAX: usize = 8;

/// Free segments that are asked for at most, however large a message is that shall be moved.
pub const SEGMENTS_WISHED_MAX: usize = 64;

/// Segments in use up to which live messages are never moved together.
pub const SEGMENTS_UNMOVED_MAX: u64 = 4;

/// Calls of the spool's timer after which a message that was offered to be moved, and was not, is
/// offered again.
pub const RELOCATION_RETRY_TICKS: u32 = 8;

/// Segments that a content which is still coming in may keep from being recycled, beyond those
/// that would be moved together; then it is refused.
pub const BODY_PINNED_SEGMENTS_MAX: u64 = 32;

/// Shortest run of content that is begun at the end of a group rather than in the next.
pub const CHUNK_BYTES_MIN: usize = 256;

/// Pieces of one content from which on it is collected before it goes to the log, so that a client
/// that sends single bytes cannot make their list grow without bound: up to
/// [`FRAGMENT_BYTES_FEW`] at a time, and [`FRAGMENT_BYTES_MANY`] from [`FRAGMENTS_MANY`] pieces on.
pub const FRAGMENTS_FEW: usize = 64;

/// See [`FRAGMENTS_FEW`].
pub const FRAGMENTS_MANY: usize = 4_096;

/// See [`FRAGMENTS_FEW`].
pub const FRAGMENT_BYTES_FEW: usize = 4_096;

/// See [`FRAGMENTS_FEW`].
pub const FRAGMENT_BYTES_MANY: usize = 65_536;

const _: () = assert!(
    GROUP_BYTES_MAX <= SPOOL_IMAGE_BYTES && SPOOL_IMAGE_BYTES <= SPOOL_CACHE_BYTES,
    "a group fits in an image, and an image in the cache"
);

const _: () = assert!(
    OUTCOME_RECORD_BYTES_MAX + 2 * BLOCK_BYTES <= GROUP_BYTES_MAX
        && OUTCOME_RECORD_BYTES_MAX as u64 + 2 * BLOCK_BYTES as u64 <= SEGMENT_BYTES_MIN,
    "an outcome record fits in any segment and never needs a group of its own"
);

const _: () = assert!(
    SEGMENTS_SPARE > SEGMENTS_RESERVED && SEGMENTS_FREE_MAX >= SEGMENTS_SPARE,
    "mail finds a free segment beside the reserve, and what is kept free is not asked for again"
);

// Queue and routes.

/// Labels of a domain that are looked at for a route: a name of 255 bytes has no more
/// (RFC 1035 §2.3.4).
pub const DOMAIN_LABELS_MAX: usize = 127;

/// Default of the recipients of one outgoing transaction: what every server must take
/// (RFC 5321 §4.5.3.1.8).
pub const RECIPIENTS_PER_TRANSACTION_MAX: usize = 100;

/// Default of the connections that one shard keeps to one next hop.
pub const CONNECTIONS_PER_SITE_MAX: usize = 20;

/// Connections to a next hop of which none was seen to come up yet, or none since it failed: one
/// attempt shows whether the others are worth making.
pub const CONNECTIONS_UNPROVEN_MAX: usize = 1;

/// Ready jobs that one free connection is trusted with before another one is asked for.
pub const JOBS_PER_CONNECTION: usize = 4;

/// Deferrals that end in one call of `Queue::promote_due`.
pub const PROMOTIONS_PER_CALL_MAX: usize = 1_024;

/// Age at which the sender hears of a delay, if it asked for that, in seconds. RFC 5321 §4.5.4.1
/// has a message that a second attempt after half an hour does not deliver wait for hours; below
/// four of them a delay is no news.
pub const DELAY_NOTICE_S: u64 = 14_400;

/// Text of the last failure that a recipient in the queue keeps.
pub const FAILURE_TEXT_BYTES_MAX: usize = 256;

// Relay.

/// Bytes of one reply line that are looked at; what a peer sends beyond them is dropped up to the
/// end of the line. RFC 5321 §4.5.3.1.5 allows 512, and real servers put long addresses of web
/// pages into their refusals.
pub const REPLY_LINE_BYTES_MAX: usize = 2_048;

/// A whole reply with all its lines. More is not a reply but an attack or a broken peer.
pub const REPLY_BYTES_MAX: usize = 65_536;

/// Text of a reply that is kept for the log, the queue and the bounce.
pub const REPLY_TEXT_BYTES_MAX: usize = 1_024;

/// Local cause of a failure, as text.
pub const FAILURE_CAUSE_BYTES_MAX: usize = 512;

/// Recipients of one transaction towards a next hop. RFC 5321 §4.5.3.1.8 makes every server take
/// 100; what a peer refuses beyond its own bound goes into a further transaction.
pub const TRANSACTION_RECIPIENTS_MAX: usize = 1_000;

/// Addresses of one site that one attempt tries.
pub const ENDPOINTS_TRIED_MAX: usize = 8;

/// Wait for one address to take a connection. The kernel alone would wait for two minutes.
pub const CONNECT_TIMEOUT_S: u64 = 30;

/// How long a connection without a job is kept for the next one.
pub const CONNECTION_IDLE_S: u64 = 5;

/// Content of one send; the next goes out when the kernel has taken it.
pub const CONTENT_SEND_BYTES_MAX: usize = 1 << 20;

/// Outcomes that wait for room in the spool before no new job is begun.
pub const UNRECORDED_OUTCOMES_MAX: usize = 1_024;

/// Jobs for the route that throws mail away that are settled in one turn.
pub const DISCARDED_JOBS_PER_TURN: usize = 1_024;

/// Jobs of unreachable sites that are settled in one turn, so that a dead site with a long queue
/// does not hold up the others.
pub const FAILED_SITE_JOBS_PER_TURN: usize = 256;

/// Messages that are reported in one turn because their deadline has passed or they are delayed.
pub const LAPSED_MESSAGES_PER_TURN: usize = 256;

// Bounces.

/// Header of the undelivered message that goes back to its sender; the rest is cut off at a line.
pub const DSN_HEADER_BYTES_MAX: usize = 32_768;

/// Message that goes back whole to a sender that wants it so (RFC 3461 §4.3); of a larger one only
/// the header. It is held in memory while the notice is made, and who sends in the name of another
/// sends him no more than this.
pub const DSN_CONTENT_BYTES_MAX: usize = 65_536;

/// Any line of a bounce without its CRLF (RFC 5322 §2.1.1, RFC 5321 §4.5.3.1.6).
pub const DSN_LINE_BYTES_MAX: usize = 998;

// DNS.

/// Mail exchangers of one site that are kept, best preference first. RFC 5321 §5.1 wants at least
/// two tried; each costs up to two queries.
pub const SITE_HOSTS_MAX: usize = 16;

/// Addresses of one host that are kept.
pub const HOST_ADDRESSES_MAX: usize = 16;

/// Records of one answer that are kept; of MX records those of the best preference.
pub const DNS_RECORDS_MAX: usize = 128;

/// Aliases that lead from a name to the one that answers (RFC 1034 §3.6.2 wants chains followed
/// and loops noticed).
pub const DNS_ALIASES_MAX: usize = 8;

/// Name servers that are asked in turn.
pub const DNS_SERVERS_MAX: usize = 8;

/// Largest answer over UDP that is asked for: it passes every usual path in one piece.
pub const DNS_UDP_PAYLOAD_BYTES: u16 = 1_232;

/// Longest wait for one answer; the wait doubles with each attempt up to here.
pub const DNS_ATTEMPT_TIMEOUT_S_MAX: u64 = 15;

/// Longest time that an answer is believed, whatever its TTL says.
pub const DNS_TTL_S_MAX: u32 = 86_400;

/// Longest time that the absence of a name or record is believed (RFC 2308 §5 advises one to three
/// hours).
pub const DNS_NEGATIVE_TTL_S_MAX: u32 = 3_600;

/// How long the absence of a name or record is believed if the reply does not say. RFC 2308 §5
/// advises not to keep it at all, because servers could pass it on to each other for ever; nobody
/// asks this cache, and a burst of mail shall ask once.
pub const DNS_ABSENCE_TTL_S: u32 = 5;

/// How long a failed look-up stands, so that a burst of mail asks once. RFC 2308 §7 allows five
/// minutes at most.
pub const DNS_FAILURE_TTL_S: u32 = 5;

/// Default of the answers in a shard's cache.
pub const DNS_CACHE_ENTRIES_MAX: usize = 32_768;

/// Default of the questions asked at once, each with a socket of its own.
pub const DNS_QUERIES_MAX: usize = 256;

/// Default of the look-ups that wait for an answer; more are refused for now.
pub const DNS_LOOK_UPS_MAX: usize = 4_096;

// Ring.

/// Entries of the rings of glommio, which carry timers and the wait for the shard's own ring.
pub const EXECUTOR_RING_ENTRIES: usize = 64;

/// Memory that glommio registers for its own file operations, of which there are none.
pub const EXECUTOR_IO_MEMORY_BYTES: usize = 65_536;

/// Connections that wait to be accepted, for each shard and listener. The kernel cuts it to
/// `net.core.somaxconn`.
pub const LISTEN_BACKLOG_COUNT: i32 = 4_096;

/// Parts of one vectored send; the kernel takes 1,024 (`UIO_MAXIOV`).
pub const SEND_PARTS_MAX: usize = 256;

/// Submission queue entries of a shard's ring. A full queue is submitted at once, so that this
/// bounds a batch, not the operations in flight.
pub const RING_ENTRIES: u32 = 1_024;

/// Completions that fit in the ring; the kernel keeps what does not fit until there is room.
pub const RING_COMPLETIONS: u32 = 8_192;

/// Provided receive buffers of a shard.
pub const RECEIVE_BUFFER_COUNT: u16 = 256;

/// Bytes of one provided receive buffer.
pub const RECEIVE_BUFFER_BYTES: u32 = 16_384;

// Relations.

const _: () = assert!(
    PATH_BYTES_MAX + 256 + MAIL_PARAMETERS_BYTES <= COMMAND_LINE_BYTES_MAX
        && PATH_BYTES_MAX + 256 + RCPT_PARAMETERS_BYTES <= COMMAND_LINE_BYTES_MAX,
    "the longest path and its parameters fit in a command line"
);
const _: () = assert!(
    (RECIPIENTS_MAX + 1) * PATH_BYTES_MAX <= ENVELOPE_BYTES_MAX,
    "as many of the longest addresses as are allowed fit in an envelope"
);
const _: () = assert!(
    COMMAND_LINE_KEPT_BYTES < COMMAND_LINE_BYTES_MAX && REPLY_KEPT_BYTES < REPLIES_BYTES_MAX,
    "what is kept is less than what may be used"
);
const _: () = assert!(
    2 * SASL_NAME_BYTES_MAX + PASSWORD_BYTES_MAX + 2 <= SASL_MESSAGE_BYTES_MAX,
    "the longest names and password fit in a message of PLAIN"
);
const _: () = assert!(
    REPLY_TEXT_BYTES_MAX + REPLY_LINE_BYTES_MAX < REPLY_BYTES_MAX,
    "a reply may be longer than what is kept of it"
);
const _: () = assert!(
    PATH_BYTES_MAX + 256 <= DSN_LINE_BYTES_MAX,
    "a field of a bounce that names an address needs no folding"
);
const _: () = assert!(
    MEMORY_EASED_PERCENT < MEMORY_SHORT_PERCENT && MEMORY_SHORT_PERCENT < 100,
    "memory is short before it is used up, and not eased at once"
);
const _: () = assert!(DNS_FAILURE_TTL_S <= 300, "RFC 2308 §7.1: at most five minutes");
const _: () = assert!(
    CONNECTIONS_UNPROVEN_MAX >= 1,
    "a next hop is proven by a connection, so one must be allowed before"
);

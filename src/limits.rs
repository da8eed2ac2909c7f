//! Every bound of the server, with the unit at the end of its name.
//!
//! A bound that an operator may want to move is a configuration key whose default stands here.
//! Relations between bounds are asserted when the program is compiled.

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

// Reception (RFC 5321 §4.5.3.1 gives the least that a server must accept).

/// Command line with its CRLF. RFC 5321 §4.5.3.1.4 wants 512; parameters of the offered extensions
/// add to it, see [`MAIL_PARAMETERS_BYTES`], and real clients send longer ones.
pub const COMMAND_LINE_BYTES_MAX: usize = 2_048;

/// What the extensions add to the longest MAIL: SIZE 26 (RFC 1870 §3), BODY 17 (RFC 6152 §2),
/// SMTPUTF8 10 (RFC 6531 §3.1), RET 9, ENVID 107 (RFC 3461 §4.3, §4.4), REQUIRETLS 11
/// (RFC 8689 §2), HOLDUNTIL 34 (RFC 4865 §3), BY 17 (RFC 2852 §2), MT-PRIORITY 15 (RFC 6710 §3)
/// and AUTH 500 (RFC 4954 §3).
pub const MAIL_PARAMETERS_BYTES: usize = 26 + 17 + 10 + 9 + 107 + 11 + 34 + 17 + 15 + 500;

/// What they add to the longest RCPT: NOTIFY 29 and ORCPT 501 (RFC 3461 §4.1, §4.2).
pub const RCPT_PARAMETERS_BYTES: usize = 29 + 501;

/// Value of ENVID (RFC 3461 §4.4).
pub const ENVELOPE_ID_BYTES_MAX: usize = 100;

/// Value of ORCPT (RFC 3461 §4.2).
pub const ORIGINAL_RECIPIENT_BYTES_MAX: usize = 500;

/// Times that HOLDFOR and BY can name: nine digits (RFC 4865 §3, RFC 2852 §4).
pub const PARAMETER_TIME_S_MAX: u32 = 999_999_999;

/// What LIMITS can name: six digits (RFC 9422 §4.1, §4.2).
pub const ADVERTISED_COUNT_MAX: u32 = 999_999;

/// Domain or address literal (RFC 5321 §4.5.3.1.2 wants 255).
pub const DOMAIN_BYTES_MAX: usize = 255;

/// Local part. RFC 5321 §4.5.3.1.1 wants 64; bounce addresses of bulk senders (VERP) are longer.
pub const LOCAL_PART_BYTES_MAX: usize = 255;

/// Path with its angle brackets (RFC 5321 §4.5.3.1.3 wants 256).
pub const PATH_BYTES_MAX: usize = LOCAL_PART_BYTES_MAX + 1 + DOMAIN_BYTES_MAX + 2;

/// Label of a domain name (RFC 1035 §2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;

/// Buffer for begun command lines that a session keeps when it is empty. Nearly every command is
/// shorter.
pub const COMMAND_LINE_KEPT_BYTES: usize = 256;

/// Replies that wait to be transmitted, in bytes. A session that has more does not look at further
/// commands, so that a client that sends without reading cannot make the server hold its answers.
/// With the longest answer on top it is the most that a session ever holds.
pub const REPLIES_BYTES_MAX: usize = 16_384;

/// Buffer for replies that a session keeps when it is empty; the answer to EHLO and those to one
/// transaction fit.
pub const REPLY_KEPT_BYTES: usize = 512;

/// Sender and recipients of one transaction with what their parameters said, in bytes.
pub const ENVELOPE_BYTES_MAX: usize = 1 << 20;

/// Sender and recipients that a session may have had without giving their memory back.
pub const ENVELOPE_KEPT_BYTES: usize = 4_096;

/// Recipients of one transaction, unless the configuration says otherwise. RFC 5321 §4.5.3.1.8
/// wants at least 100; more lets a bulk sender share one content among many.
pub const RECIPIENTS_MAX: usize = 1_000;

/// Errors of one session since its last message, unless the configuration says otherwise. Enough
/// for a list with some malformed addresses in one transaction, too few to probe with.
pub const SESSION_ERRORS_MAX: u32 = 50;

/// Messages of one session, unless the configuration says otherwise: a sender that never leaves
/// cannot be spread over shards anew.
pub const SESSION_MESSAGES_MAX: u32 = 100_000;

/// Content of one message in bytes, unless the configuration says otherwise.
pub const MESSAGE_BYTES_MAX: u64 = 50 << 20;

/// Line of the content with its CRLF, in bytes, unless the configuration says otherwise.
/// RFC 5321 §4.5.3.1.6 wants 1,000 and lets servers take more. Programs do send whole documents as
/// one line, and this server has no line buffer that could overflow, so that only what is no text
/// at all is refused.
pub const TEXT_LINE_BYTES_MAX: u64 = 1 << 20;

/// `Received:` fields of one message, unless the configuration says otherwise (RFC 5321 §6.3 wants
/// at least 100).
pub const HOP_COUNT_MAX: u32 = 100;

/// Header of one message in bytes, unless the configuration says otherwise. No server that a
/// message may pass takes more than a few times this.
pub const HEADER_BYTES_MAX: u64 = 256 << 10;

/// Fields of one header, unless the configuration says otherwise.
pub const HEADER_FIELDS_MAX: u32 = 1_000;

/// Head of a field that is read before it is known whether the field stays, and so what is held of
/// a header that comes in pieces. Names are shorter than a line (RFC 5322 §2.1.1 has 998), and
/// comments before the name of a server in `Authentication-Results` are rare.
pub const HEADER_HELD_BYTES_MAX: usize = 1_024;

/// Wait for a command, and for a piece of content, unless the configuration says otherwise
/// (RFC 5321 §4.5.3.2.7 wants at least five minutes).
pub const SESSION_IDLE_S: u64 = 300;

/// From DATA to the end of the content, unless the configuration says otherwise: the largest
/// message at 14 KiB/s. It bounds what a client can hold that sends one byte now and then.
pub const CONTENT_S: u64 = 3_600;

/// Whole session, unless the configuration says otherwise. Only bounds what never ends.
pub const SESSION_S: u64 = 86_400;

/// From the last reply of a session to its end, for the client to take it.
pub const SESSION_CLOSE_S: u64 = 30;

/// Input that one session holds while it waits; then it is not read from.
pub const HELD_BYTES_MAX: usize = 65_536;

/// Memory for held input that a session keeps when it holds none.
pub const HELD_BYTES_KEPT: usize = 1_024;

/// How long a session whose last reply went out waits for the client to close, so that the reply is
/// not lost to a reset (RFC 5321 §4.1.1.10 has the client close after it).
pub const LINGER_S: u64 = 2;

/// Wait before connections are accepted again after that failed for want of descriptors.
pub const ACCEPT_RETRY_MS: u64 = 200;

/// Clients over the bound of a listener that are told so at a time.
pub const REFUSED_CONNECTIONS_MAX: usize = 128;

/// Bytes that wait to be sent to one client while a send is under way, from which on it is not read
/// from: what TLS says by itself, such as answers to new keys.
pub const OUTPUT_BYTES_MAX: usize = 16_384;

/// Handshake steps of one turn: those that cost nearly nothing must not be endless either.
pub const HANDSHAKES_PER_TURN_MAX: usize = 32;

/// Time in one turn after which no further handshake step is begun. That and one step is how long
/// the other sessions of a shard wait for a storm of handshakes; `benches/tls.rs` prices a step.
pub const HANDSHAKES_TURN_US: u64 = 1_000;

/// Passwords that one shard has checked at a time, each on a thread of its own. A check takes the
/// memory of the user's string: 19 MiB with what `ringpost password` makes.
pub const PASSWORD_CHECKS_MAX: usize = 2;

/// Passwords that wait for their check; the last of them waits for some seconds.
pub const PASSWORD_CHECKS_WAITING_MAX: usize = 256;

/// Longest PROXY header that is taken. Those that name a client have 52 bytes at most; what proxies
/// add about TLS and networks of their own takes some hundred more.
pub const PROXY_HEADER_BYTES_MAX: usize = 4_096;

/// Longest TLS record with its header, and so what completing a record that was cut may take
/// (RFC 8446 §5.2 allows 256 bytes over the plaintext, RFC 5246 §6.2.3 allows 2,048).
pub const TLS_RECORD_BYTES_MAX: usize = 5 + (1 << 14) + 2_048;

/// Bytes of a handshake that a client may have sent without their being processed. A hello has one
/// or two KiB, with post-quantum keys, and a client's chain of certificates rarely ten.
pub const TLS_HANDSHAKE_BYTES_MAX: usize = 65_536;

/// What a TLS record adds to its plaintext at most: header, nonce, content type and tag.
pub const TLS_RECORD_OVERHEAD_BYTES: usize = 5 + 8 + 1 + 16;

/// Plaintext of one TLS record (RFC 8446 §5.1).
pub const TLS_PLAINTEXT_BYTES_MAX: usize = 1 << 14;

/// Messages from other threads that wait for one shard.
pub const MESH_MESSAGES_MAX: usize = 16;

// Throttles.

/// Counts that are kept at a time, for all shards together, in 8 bytes each. All the clients that a
/// process takes at once have their addresses and networks in a third of it.
pub const THROTTLE_SLOTS: usize = 131_072;

/// Highest rate that is told from none. No listener takes as much.
pub const THROTTLE_EVENTS_PER_MINUTE_MAX: u32 = 1_000_000;

/// Network of an IPv4 client: the smallest that is routed in the Internet by itself.
pub const THROTTLE_NETWORK_IPV4_BITS: u8 = 24;

/// Network of an IPv6 client: what one link, and so the poorest subscriber, has for itself
/// (RFC 4291 §2.5.4).
pub const THROTTLE_NETWORK_IPV6_BITS: u8 = 64;
/// Handshake of TLS, from the first byte to the last. Two round trips take far less, even over a
/// satellite, and in a storm of handshakes each waits for its turn.
pub const TLS_HANDSHAKE_S: u64 = 60;

// Authentication.

/// Line of an authentication exchange with its CRLF (RFC 4954 §4 calls this enough for every
/// mechanism).
pub const AUTH_LINE_BYTES_MAX: usize = 12_288;

/// Failed authentications of one session; the last is answered with 421. The fewest that RFC 4954
/// §9 lets a server end a session after.
pub const AUTH_FAILURES_MAX: u32 = 3;

/// How long the answer to a first failed authentication waits; each further one of the session
/// waits twice as long. Long enough that guessing over one connection is of no use, short enough
/// for a person who mistyped.
pub const AUTH_DELAY_MS: u64 = 1_000;

/// User's name, and authorization identity (RFC 4616 §2 wants 255).
pub const SASL_NAME_BYTES_MAX: usize = 255;

/// Password that a client presents (RFC 4616 §2 wants 255). Programs present keys and tokens that
/// are longer.
pub const PASSWORD_BYTES_MAX: usize = 1_024;

/// Message of an authentication exchange, decoded: what fits in the longest line of base64 that
/// RFC 4954 §4 lets a client send.
pub const SASL_MESSAGE_BYTES_MAX: usize = 12_288 / 4 * 3;

/// Memory that the check of one argon2id string may take. Some run at a time.
pub const ARGON2_MEMORY_BYTES_MAX: u64 = 256 << 20;

/// Memory times passes of an argon2id string: about a second's work.
pub const ARGON2_WORK_BYTES_MAX: u64 = 1 << 30;

/// Lanes of an argon2id string. They run one after the other here.
pub const ARGON2_LANES_MAX: u32 = 16;

/// Rounds of a SCRAM string: fewer than RFC 7677 §4 lets a server announce are refused.
pub const SCRAM_ITERATIONS_MIN: u32 = 4_096;

/// Rounds of a SCRAM string that a server can afford to check for PLAIN: less than a second's work.
pub const SCRAM_ITERATIONS_MAX: u32 = 1_000_000;

/// Salt of an argon2id string: argon2 takes no less.
pub const SALT_BYTES_MIN: usize = 8;

/// Salt of a stored password.
pub const SALT_BYTES_MAX: usize = 64;

/// Hash in an argon2id string: a shorter one could be found by chance.
pub const PASSWORD_HASH_BYTES_MIN: usize = 16;

/// Hash in an argon2id string.
pub const PASSWORD_HASH_BYTES_MAX: usize = 64;

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

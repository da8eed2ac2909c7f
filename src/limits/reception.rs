//! Bounds of reception: what a client may send, hold and try.

// RFC 5321 §4.5.3.1 gives the least that a server must accept.

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

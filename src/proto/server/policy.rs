//! What the rest of the server tells a session: what is offered, who the peer is, and how things
//! stand at the moment of a call.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Now, WallTime};
use crate::credentials::Users;
use crate::limits::{
    CONTENT_S, HEADER_BYTES_MAX, HEADER_FIELDS_MAX, HOP_COUNT_MAX, MESSAGE_BYTES_MAX,
    RECIPIENTS_MAX, SESSION_ERRORS_MAX, SESSION_IDLE_S, SESSION_MESSAGES_MAX, SESSION_S,
    TEXT_LINE_BYTES_MAX,
};
use crate::network::Network;
use crate::proto::data::DataLimits;
use crate::route::DomainPattern;
use crate::throttle::{ThrottleLimits, Throttles};

/// What one listener offers and allows; shared by its sessions.
#[derive(Clone, Debug)]
pub struct ServerPolicy {
    /// The server's own name in greetings and `Received:` fields: a domain name of at most
    /// `DOMAIN_BYTES_MAX` printable characters.
    pub hostname: Box<str>,
    /// The bounds of a session.
    pub limits: ServerLimits,
    /// Whom the listener is for.
    pub role: Role,
    /// How the sessions are protected.
    pub tls: TlsOffer,
    /// Who must or may authenticate.
    pub auth: AuthOffer,
    /// Those who can.
    pub users: Arc<Users>,
    /// Who may connect, and what for.
    pub access: Access,
    /// Which faults of clients are overlooked.
    pub leniency: Leniency,
    /// What is done to the header of a message.
    pub header: HeaderPolicy,
    /// The counts that all shards share.
    pub throttles: Arc<Throttles>,
    /// The number of the listener, which keeps its counts apart from those of others.
    pub throttle_scope: u32,
    /// The bounds of those counts.
    pub throttle_limits: ThrottleLimits,
    /// What nobody outside can know: SCRAM nonces and the salts of users that do not exist come
    /// from it.
    pub secret: [u8; 32],
}

/// Whom a listener is for (RFC 6409 §1 draws the line).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Other servers, whose messages pass as they are (RFC 5321).
    #[default]
    Transfer,
    /// Programs that send their own mail, which may be mended (RFC 6409).
    Submission,
}

/// How the sessions of a listener are protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsOffer {
    /// Not at all.
    #[default]
    None,
    /// On request (RFC 3207).
    StartTls {
        /// Whether a client must, before it sends anything (RFC 3207 §4).
        required: bool,
    },
    /// From the first byte on (RFC 8314 §3.3).
    Implicit,
}

/// Who authenticates at a listener (RFC 4954).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthOffer {
    /// Nobody: AUTH is not offered.
    #[default]
    Off,
    /// Who wants to.
    Optional {
        /// Whether PLAIN and LOGIN are taken over a connection that is not protected.
        without_tls: bool,
    },
    /// Everybody who sends mail.
    Required {
        /// See [`Optional`](Self::Optional).
        without_tls: bool,
    },
}

/// Who may connect to a listener, and what for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Clients that are greeted; empty stands for all.
    pub allow_from: Vec<Network>,
    /// Clients that are not, though `allow_from` has them.
    pub deny_from: Vec<Network>,
    /// Clients that may relay without authentication.
    pub relay_from: Vec<Network>,
    /// Names in verified client certificates whose owners may relay without authentication.
    pub relay_certificates: Vec<Box<str>>,
    /// Domains that mail is taken for from anybody.
    pub accept_for: Vec<DomainPattern>,
    /// Clients that may say with XCLIENT on whose behalf they speak.
    pub xclient_from: Vec<Network>,
}

impl Access {
    /// Whether a client at `address` may connect.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        let has = |networks: &[Network]| networks.iter().any(|one| one.contains(address));
        !has(&self.deny_from) && (self.allow_from.is_empty() || has(&self.allow_from))
    }
}

/// Which faults of clients are overlooked. None of them lets two servers read one stream of bytes
/// in two ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leniency {
    /// Spaces between `FROM:` or `TO:` and the path, which RFC 5321 §3.3 forbids.
    pub space_before_path: bool,
    /// A path without angle brackets.
    pub missing_brackets: bool,
    /// A bare LF within a message becomes CRLF. Never with [`Role::Transfer`].
    pub bare_lf: bool,
}

/// What is done to the header of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderPolicy {
    /// Whether `Date:` and `Message-ID:` are added where they are missing (RFC 6409 §8.2, §8.3).
    pub add_missing: bool,
    /// Whether an `Authentication-Results:` field that names this server is removed
    /// (RFC 8601 §5).
    pub remove_own_results: bool,
}

/// The bounds of a session. Every default is in [`limits`](crate::limits), with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Content of one message in bytes; more is answered with 552.
    pub message_bytes_max: u64,
    /// Recipients of one transaction; more are answered with 452.
    pub recipients_max: usize,
    /// Errors since the last message; one more is answered with 421.
    pub errors_max: u32,
    /// Messages of one session; one more is answered with 421.
    pub messages_max: u32,
    /// `Received:` fields of a message; more are answered with 554.
    pub hop_count_max: u32,
    /// Line of the content with its CRLF, in bytes; longer ones are answered with 554.
    pub text_line_bytes_max: u64,
    /// Header of a message in bytes; more is answered with 552.
    pub header_bytes_max: u64,
    /// Fields of the header; more are answered with 552.
    pub header_fields_max: u32,
    /// How far ahead a release may lie (RFC 4865); zero if the extension is not offered.
    pub hold_time_max: Duration,
    /// Wait for a whole command, and for any piece of content.
    pub idle_time: Duration,
    /// From DATA to the end of the content.
    pub content_time: Duration,
    /// From the greeting to the end of the session.
    pub session_time: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: MESSAGE_BYTES_MAX,
            recipients_max: RECIPIENTS_MAX,
            errors_max: SESSION_ERRORS_MAX,
            messages_max: SESSION_MESSAGES_MAX,
            hop_count_max: HOP_COUNT_MAX,
            text_line_bytes_max: TEXT_LINE_BYTES_MAX,
            header_bytes_max: HEADER_BYTES_MAX,
            header_fields_max: HEADER_FIELDS_MAX,
            hold_time_max: Duration::ZERO,
            idle_time: Duration::from_secs(SESSION_IDLE_S),
            content_time: Duration::from_secs(CONTENT_S),
            session_time: Duration::from_secs(SESSION_S),
        }
    }
}

impl ServerLimits {
    pub(super) const fn data(&self) -> DataLimits {
        DataLimits {
            message_bytes_max: self.message_bytes_max,
            text_line_bytes_max: self.text_line_bytes_max,
            hop_count_max: self.hop_count_max,
            header_bytes_max: self.header_bytes_max,
            header_fields_max: self.header_fields_max,
        }
    }
}

impl ServerPolicy {
    /// That of a listener which offers nothing but plain SMTP to clients that may all relay: what
    /// tests and benches of other things begin with.
    pub fn plain(hostname: &str, limits: ServerLimits) -> Self {
        let everybody = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let relay_from = everybody.iter().filter_map(|&all| Network::new(all, 0)).collect();
        Self {
            hostname: hostname.into(),
            limits,
            role: Role::default(),
            tls: TlsOffer::default(),
            auth: AuthOffer::default(),
            users: Arc::default(),
            access: Access { relay_from, ..Access::default() },
            leniency: Leniency { space_before_path: true, ..Leniency::default() },
            header: HeaderPolicy::default(),
            throttles: Arc::default(),
            throttle_scope: 0,
            throttle_limits: ThrottleLimits::default(),
            secret: [0; 32],
        }
    }
}

/// The other side of a session: the client, or the one on whose behalf a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it connects from.
    pub address: IpAddr,
    /// The TCP port there.
    pub port: u16,
}

/// What the handshake of TLS came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// As the RFCs write it: `TLSv1.3`.
    pub version: &'static str,
    /// As IANA lists it: `TLS_AES_128_GCM_SHA256`.
    pub cipher_suite: &'static str,
    /// `tls-exporter` for channel binding (RFC 9266), with TLS 1.3 only.
    pub exporter: Option<[u8; 32]>,
    /// `tls-server-end-point` for channel binding (RFC 5929 §4).
    pub server_end_point: Option<Box<[u8]>>,
    /// DNS names of the client's certificate; empty if none was shown, and all of it was verified.
    pub client_names: Box<[Box<str>]>,
}

/// How things stand at the moment of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// The monotonic time; it must not go back between the calls for one session.
    pub now: Now,
    /// The time of day, for `Received:` fields.
    pub wall: WallTime,
    /// Whether the spool has room for messages.
    pub storage: Storage,
    /// Whether the process has used up the memory that it may have, so that no transaction may
    /// begin.
    pub memory_is_short: bool,
    /// Whether the server is about to stop, so that no transaction may begin.
    pub draining: bool,
}

/// Whether the spool has room for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// It has.
    Ready,
    /// It has not: MAIL and DATA are answered with `452 4.3.1`.
    Full,
}

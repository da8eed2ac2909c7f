//! The configuration: what the server is to do, read from TOML, checked as a whole, with every
//! default filled in.
//!
//! # Guarantees
//! A [`Config`] is consistent: nothing in it is left to be interpreted or can be refused later for
//! what it says. Whether the host can do it is the business of [`crate::host_check`].
//! [`Config::to_toml`] prints it so that reading the print gives the same configuration, or, for
//! a print that others may see, the same but for the passwords.
//!
//! # Never
//! Half a configuration: no problem hides the others, and one is enough to refuse it whole. No
//! problem, no warning and no debug output repeats what was written as a password.
//!
//! # Failures
//! [`ConfigError`] names for each problem the file, the line, the key, what is wrong and what would
//! be right.
//!
//! # Bounds
//! [`CONFIG_BYTES_MAX`].

mod choices;
mod host;
mod password;
mod print;
mod problems;
mod raw;
mod settings;
mod shape;
#[cfg(test)]
mod tests;
mod validate;
mod values;
mod warnings;

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::credentials::SenderPattern;
use crate::io::tls::{ClientCertificates, TlsFiles};
use crate::limits::CONFIG_BYTES_MAX;
use crate::network::Network;
use crate::proto::server::{Access, AuthOffer, HeaderPolicy, Leniency, Role, TlsOffer};

pub use self::host::HostFacts;
pub use self::password::StoredPassword;
pub use self::print::Passwords;
pub use self::problems::ConfigError;
pub use self::values::{CpuList, Durability};
pub use crate::invalid::Invalid;
pub use crate::route::{Destination, DomainName, DomainPattern, Host, Route};

/// What the server runs on without a configuration file, and what keys mean that are left out.
pub const EMBEDDED_DEFAULT: &str = include_str!("default.toml");

/// What [`EMBEDDED_DEFAULT`] is called in messages.
const EMBEDDED_DEFAULT_NAME: &str = "(embedded default)";

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name of this server in its banner, in EHLO and in `Received:`.
    pub hostname: DomainName,
    /// `[limits]`
    pub limits: LimitsConfig,
    /// `[tls]`: there whenever a listener needs it.
    pub tls: Option<TlsFiles>,
    /// `[[user]]`, no two of one name.
    pub users: Vec<UserConfig>,
    /// `[shards]`
    pub shards: ShardsConfig,
    /// `[spool]`
    pub spool: SpoolConfig,
    /// `[[listener]]`, at least one, no two on one address.
    pub listeners: Vec<ListenerConfig>,
    /// `[[route]]` in order; the last one takes every domain.
    pub routes: Vec<Route>,
    /// `[delivery]`
    pub delivery: DeliveryConfig,
    /// `[dns]`
    pub dns: DnsConfig,
    /// `[admin]`
    pub admin: AdminConfig,
    /// `[shutdown]`
    pub shutdown: ShutdownConfig,
}

/// `[limits]`: bounds of the whole process. For a rate, 0 stands for no bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Connections of clients at one time, over all listeners and shards.
    pub connections_max: u32,
    /// Memory at which no further message is taken in.
    pub memory_max_bytes: u64,
    /// Messages that one user may begin in a minute.
    pub user_messages_per_minute_max: u32,
    /// Recipients that one user may name in a minute.
    pub user_recipients_per_minute_max: u32,
}

/// `[[user]]`: somebody who may authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserConfig {
    /// What they call themselves; [`crate::credentials::prepare_name`] takes it.
    pub name: Box<str>,
    /// What proves that it is they.
    pub password: StoredPassword,
    /// Addresses that they may give in MAIL.
    pub senders: Vec<SenderPattern>,
}

/// `[shards]`: how the work is spread over CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardsConfig {
    /// One shard runs on each; at least one, all of them exist and may be used.
    pub cpus: CpuList,
}

impl ShardsConfig {
    /// Number of shards, 1 to 256.
    pub fn count(&self) -> u32 {
        u32::try_from(self.cpus.as_slice().len()).unwrap_or(u32::MAX)
    }

    /// The part of `total` that falls to each shard, rounded up: never 0 where `total` is not.
    pub fn share(&self, total: u32) -> u32 {
        total.div_ceil(self.count().max(1))
    }
}

/// `[spool]`: where mail rests between reception and delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Its directory; relative paths start where the process was started.
    pub path: PathBuf,
    /// When a message counts as stored.
    pub durability: Durability,
    /// Length of a segment file, a multiple of [`crate::limits::BLOCK_BYTES`].
    pub segment_bytes: u64,
    /// Memory of each shard for mail that was just taken in.
    pub cache_bytes: u64,
}

/// `[[listener]]`: where mail is taken in, and within which bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where it listens; port 0 stands for one that the kernel chooses.
    pub address: SocketAddr,
    /// Whom it is for.
    pub role: Role,
    /// How its sessions are protected.
    pub tls: TlsOffer,
    /// Whether clients are asked for a certificate; only where sessions are protected.
    pub client_certificates: ClientCertificates,
    /// Who must or may authenticate.
    pub auth: AuthOffer,
    /// Who may connect, and what for.
    pub access: Access,
    /// Proxies, whose connections begin with a header of the PROXY protocol.
    pub proxy_from: Vec<Network>,
    /// Which faults of clients are overlooked.
    pub leniency: Leniency,
    /// What is done to the header of a message.
    pub header: HeaderPolicy,
    /// Length of a message.
    pub message_max_bytes: u64,
    /// Length of a line of a message, with its CRLF.
    pub line_max_bytes: u64,
    /// Length of the header of a message.
    pub header_max_bytes: u64,
    /// Fields of the header of a message.
    pub header_fields_max: u32,
    /// How far ahead a client may set the release of a message; zero for not at all.
    pub hold_max: Duration,
    /// `Received:` fields of a message.
    pub hops_max: u32,
    /// Recipients of one message.
    pub recipients_max: u32,
    /// Refused commands in one session since its last message.
    pub errors_max: u32,
    /// Messages in one session.
    pub messages_max: u32,
    /// Connections at one time, over all shards: see [`ShardsConfig::share`].
    pub connections_max: u32,
    /// What of this one client may have.
    pub shares: SharesConfig,
    /// Time that a client may stay silent.
    pub idle: Duration,
    /// Time that the content of a message may take, from DATA to its end.
    pub content: Duration,
    /// Time that a session may last in all.
    pub session: Duration,
}

/// What one client may have of a listener; 0 stands for no bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharesConfig {
    /// Connections of one address at one time.
    pub connections_per_address_max: u32,
    /// Connections of one network at one time.
    pub connections_per_network_max: u32,
    /// Messages that one address may begin in a minute.
    pub messages_per_minute_per_address_max: u32,
    /// Recipients that one address may name in a minute.
    pub recipients_per_minute_per_address_max: u32,
    /// Authentications that may fail for one address in a minute.
    pub auth_failures_per_minute_max: u32,
}

/// `[delivery]`: how mail is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// Port of the hosts that MX records name.
    pub port: u16,
    /// Wait before the first retry, not longer than `retry_max`.
    pub retry_first: Duration,
    /// Longest wait between two attempts.
    pub retry_max: Duration,
    /// Age at which a message is given up.
    pub expire: Duration,
    /// Connections at one time, over all shards: see [`ShardsConfig::share`].
    pub connections_max: u32,
    /// Of these, connections to one site, over all shards; not more than `connections_max`.
    pub connections_per_site_max: u32,
    /// Recipients of one message that go out in one transaction.
    pub recipients_per_transaction_max: u32,
}

/// `[dns]`: how names are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsConfig {
    /// Recursive name servers in the order to ask them, at least one.
    pub servers: Vec<SocketAddr>,
}

/// `[admin]`: the HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where it listens; port 0 stands for one that the kernel chooses.
    pub address: SocketAddr,
}

/// `[shutdown]`: how the server stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// Time that running transactions get to end.
    pub grace: Duration,
}

impl Config {
    /// Reads the file at `path`, or the embedded default where there is none.
    ///
    /// # Errors
    /// Everything that is wrong with it, or that it cannot be read.
    pub fn load(path: Option<&Path>, host: &HostFacts) -> Result<Self, ConfigError> {
        let Some(path) = path else {
            return Self::parse(EMBEDDED_DEFAULT_NAME, EMBEDDED_DEFAULT, host);
        };
        let name = path.display().to_string();
        let refuse = |what: &str, remedy: &str| Err(ConfigError::of_file(&name, what, remedy));
        let mut bytes = Vec::new();
        // One byte more than allowed is enough to know.
        let read = File::open(path)
            .and_then(|file| file.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            let remedy = "name a TOML file that can be read, or leave --config out for the default";
            return refuse(&format!("cannot be read: {error}"), remedy);
        }
        if u64::try_from(bytes.len()).is_ok_and(|length| length > CONFIG_BYTES_MAX) {
            return refuse("is longer than 1 MiB", "name the configuration file");
        }
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse(&name, &text, host),
            Err(_) => refuse("is not UTF-8", "name a TOML file"),
        }
    }

    /// Reads `text`, which messages call `name`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(name: &str, text: &str, host: &HostFacts) -> Result<Self, ConfigError> {
        let source = problems::Source { name, text };
        let mut problems = problems::Problems::new(source);
        let raw = shape::read(source, &mut problems);
        let config = validate::validate(raw, host, &mut problems);
        problems.into_result()?;
        Ok(config)
    }

    /// Sends all mail to `to`, whatever the routes said.
    pub fn route_all(&mut self, to: Destination) {
        self.routes = vec![Route::of_all(to)];
    }

    /// What is allowed and seldom meant, in words for the log: nothing is refused for it.
    pub fn warnings(&self) -> Vec<String> {
        warnings::of(self)
    }

    /// The configuration as TOML, with every key written out. Reading it back gives the same
    /// configuration if `passwords` are shown; where they are not, reading says so for each.
    ///
    /// # Errors
    /// A path that is not UTF-8 cannot be written as TOML.
    pub fn to_toml(&self, passwords: Passwords) -> Result<String, toml::ser::Error> {
        print::to_toml(self, passwords)
    }
}

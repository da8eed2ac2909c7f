//! What sessions are offered: from the configuration, and from what all shards share and a reload
//! leaves as it is.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::config::{Config, ListenerConfig};
use crate::credentials::{User, Users};
use crate::io::time;
use crate::io::tls::{ClientCertificates, ServerTls, SharedTickets, TlsError};
use crate::proto::server::{ServerLimits, ServerPolicy, TlsOffer};
use crate::shard::ListenerReload;
use crate::throttle::{ThrottleLimits, Throttles};

use super::ServeError;

/// What all shards share for as long as the process lives, whatever the configuration says.
#[derive(Debug)]
pub struct Reception {
    secret: [u8; 32],
    throttles: Arc<Throttles>,
    tickets: SharedTickets,
    memory_is_short: Arc<AtomicBool>,
}

/// What a configuration comes to at its listeners.
#[derive(Debug)]
pub struct Offers {
    /// In the order of the configuration.
    pub listeners: Vec<ListenerReload>,
    /// What is allowed and seldom meant, a line each.
    pub warnings: Vec<String>,
}

impl Reception {
    /// With no counts, and a secret of its own.
    ///
    /// # Errors
    /// If the kernel gives no random numbers.
    pub fn new() -> Result<Self, ServeError> {
        let seed = |error: io::Error| ServeError::Seed(error);
        Ok(Self {
            secret: time::random_bytes().map_err(seed)?,
            throttles: Arc::new(Throttles::new(time::seed().map_err(seed)?)),
            tickets: SharedTickets::new()?,
            memory_is_short: Arc::default(),
        })
    }

    /// Whether no message may be begun for want of memory: a `MemoryWatch` sets it, and every
    /// shard asks it.
    pub fn memory_is_short(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.memory_is_short)
    }

    /// What the listeners of `config` offer. The files of `[tls]` are read, also where no listener
    /// needs them, so that a mistake in them is told at once.
    ///
    /// # Errors
    /// The first of these files that cannot be used.
    pub fn offers(&self, config: &Config) -> Result<Offers, TlsError> {
        let users = Arc::new(Users::new(config.users.iter().map(|user| User {
            name: user.name.clone(),
            credential: Arc::clone(user.password.credential()),
            senders: user.senders.clone(),
        })));
        let mut tls = TlsByDemand { config, tickets: &self.tickets, loaded: Vec::new() };
        let mut warnings = config.warnings();
        if let Some(tls) = tls.load(ClientCertificates::Off)? {
            warnings.extend(tls.warnings().iter().map(|warning| format!("tls: {warning}")));
        }
        let mut listeners = Vec::new();
        for (scope, listener) in (0..).zip(&config.listeners) {
            listeners.push(ListenerReload {
                policy: self.policy(config, listener, scope, Arc::clone(&users)),
                connections_max: config.shards.share(listener.connections_max) as usize,
                tls: match listener.tls {
                    TlsOffer::None => None,
                    TlsOffer::StartTls { .. } | TlsOffer::Implicit => {
                        tls.load(listener.client_certificates)?
                    }
                },
                proxy_from: listener.proxy_from.clone(),
            });
        }
        Ok(Offers { listeners, warnings })
    }

    fn policy(
        &self,
        config: &Config,
        listener: &ListenerConfig,
        throttle_scope: u32,
        users: Arc<Users>,
    ) -> ServerPolicy {
        ServerPolicy {
            hostname: config.hostname.as_str().into(),
            limits: limits(listener),
            role: listener.role,
            tls: listener.tls,
            auth: listener.auth,
            users,
            access: listener.access.clone(),
            leniency: listener.leniency,
            header: listener.header,
            throttles: Arc::clone(&self.throttles),
            throttle_scope,
            throttle_limits: throttle_limits(config, listener),
            secret: self.secret,
        }
    }
}

/// The TLS of the listeners, read once for each way to treat clients.
struct TlsByDemand<'a> {
    config: &'a Config,
    tickets: &'a SharedTickets,
    loaded: Vec<(ClientCertificates, ServerTls)>,
}

impl TlsByDemand<'_> {
    /// That of listeners with `demand`; `None` without `[tls]`.
    fn load(&mut self, demand: ClientCertificates) -> Result<Option<ServerTls>, TlsError> {
        let Some(files) = &self.config.tls else { return Ok(None) };
        if let Some((_, tls)) = self.loaded.iter().find(|(other, _)| *other == demand) {
            return Ok(Some(tls.clone()));
        }
        let tls = ServerTls::load(files, demand, self.tickets)?;
        self.loaded.push((demand, tls.clone()));
        Ok(Some(tls))
    }
}

fn limits(listener: &ListenerConfig) -> ServerLimits {
    ServerLimits {
        message_bytes_max: listener.message_max_bytes,
        recipients_max: listener.recipients_max as usize,
        errors_max: listener.errors_max,
        messages_max: listener.messages_max,
        hop_count_max: listener.hops_max,
        text_line_bytes_max: listener.line_max_bytes,
        header_bytes_max: listener.header_max_bytes,
        header_fields_max: listener.header_fields_max,
        hold_time_max: listener.hold_max,
        idle_time: listener.idle,
        content_time: listener.content,
        session_time: listener.session,
    }
}

fn throttle_limits(config: &Config, listener: &ListenerConfig) -> ThrottleLimits {
    let shares = &listener.shares;
    ThrottleLimits {
        connections_per_address_max: shares.connections_per_address_max,
        connections_per_network_max: shares.connections_per_network_max,
        address_messages_per_minute_max: shares.messages_per_minute_per_address_max,
        address_recipients_per_minute_max: shares.recipients_per_minute_per_address_max,
        user_messages_per_minute_max: config.limits.user_messages_per_minute_max,
        user_recipients_per_minute_max: config.limits.user_recipients_per_minute_max,
        auth_failures_per_minute_max: shares.auth_failures_per_minute_max,
    }
}

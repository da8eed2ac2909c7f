//! A configuration as TOML: the way back from [`Config`] over [`RawConfig`] to text.

use std::path::Path;

use toml::Spanned;

use super::choices::{
    CLIENT_CERTIFICATES, ClientFault, DEMANDS, Demand, FAULTS, ROLES, TLS_STARTS, TlsStart,
};
use super::raw::{
    RawAdmin, RawCertificate, RawConfig, RawDelivery, RawDns, RawLimits, RawListener, RawRoute,
    RawShards, RawShutdown, RawSpool, RawTls, RawUser,
};
use super::{Config, ListenerConfig, Route, UserConfig};
use crate::io::tls::TlsFiles;
use crate::proto::server::{AuthOffer, Leniency, TlsOffer};

/// Whether a print has the stored passwords. They are no passwords, but whoever has one can try
/// guesses on it at leisure, and prints are shown to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passwords {
    /// In their place stands how they are stored, which is refused when it is read.
    Hidden,
    /// They are printed as the file has them.
    Shown,
}

/// `config` with every key written out.
///
/// # Errors
/// A path that is not UTF-8 cannot be written as TOML.
pub(super) fn to_toml(config: &Config, passwords: Passwords) -> Result<String, toml::ser::Error> {
    toml::to_string(&shape_of(config, passwords)?)
}

fn shape_of(config: &Config, passwords: Passwords) -> Result<RawConfig, toml::ser::Error> {
    let delivery = &config.delivery;
    let limits = &config.limits;
    Ok(RawConfig {
        hostname: text(&config.hostname),
        limits: RawLimits {
            connections_max: number(limits.connections_max),
            memory_max_bytes: number(limits.memory_max_bytes),
            user_messages_per_minute_max: number(limits.user_messages_per_minute_max),
            user_recipients_per_minute_max: number(limits.user_recipients_per_minute_max),
        },
        shards: RawShards { cpus: text(&config.shards.cpus) },
        spool: RawSpool {
            path: path(&config.spool.path)?,
            durability: text(config.spool.durability),
            segment_bytes: number(config.spool.segment_bytes),
            cache_bytes: number(config.spool.cache_bytes),
        },
        listener: config.listeners.iter().map(|one| unplaced(listener(one))).collect(),
        tls: config.tls.as_ref().map(tls).transpose()?.map(unplaced),
        user: config.users.iter().map(|one| unplaced(user(one, passwords))).collect(),
        route: config.routes.iter().map(|one| unplaced(route(one))).collect(),
        delivery: RawDelivery {
            port: number(delivery.port),
            retry_first_s: number(delivery.retry_first.as_secs()),
            retry_max_s: number(delivery.retry_max.as_secs()),
            expire_s: number(delivery.expire.as_secs()),
            connections_max: number(delivery.connections_max),
            connections_per_site_max: number(delivery.connections_per_site_max),
            recipients_per_transaction_max: number(delivery.recipients_per_transaction_max),
        },
        dns: RawDns { servers: texts(&config.dns.servers) },
        admin: RawAdmin { address: text(config.admin.address) },
        shutdown: RawShutdown { grace_s: number(config.shutdown.grace.as_secs()) },
    })
}

fn tls(files: &TlsFiles) -> Result<RawTls, toml::ser::Error> {
    let mut sni = Vec::new();
    for (certificate, key) in &files.sni {
        let pair = RawCertificate { certificate: path(certificate)?, key: path(key)? };
        sni.push(unplaced(pair));
    }
    let client_ca = files.client_ca.as_deref().map(path).transpose()?.flatten();
    Ok(RawTls { certificate: path(&files.certificate)?, key: path(&files.key)?, client_ca, sni })
}

fn user(config: &UserConfig, passwords: Passwords) -> RawUser {
    let password = &config.password;
    RawUser {
        name: text(&config.name),
        password: match passwords {
            Passwords::Hidden => text(password.hidden()),
            Passwords::Shown => text(password.revealed()),
        },
        senders: texts(&config.senders),
    }
}

fn listener(config: &ListenerConfig) -> RawListener {
    let access = &config.access;
    let shares = &config.shares;
    let (tls, tls_required) = match config.tls {
        TlsOffer::None => (TlsStart::Never, false),
        TlsOffer::StartTls { required } => (TlsStart::OnRequest, required),
        TlsOffer::Implicit => (TlsStart::AtOnce, false),
    };
    let (auth, auth_without_tls) = match config.auth {
        AuthOffer::Off => (Demand::Off, false),
        AuthOffer::Optional { without_tls } => (Demand::Optional, without_tls),
        AuthOffer::Required { without_tls } => (Demand::Required, without_tls),
    };
    RawListener {
        address: text(config.address),
        role: text(ROLES.word(config.role)),
        tls: text(TLS_STARTS.word(tls)),
        tls_required: flag(tls_required),
        client_certificates: text(CLIENT_CERTIFICATES.word(config.client_certificates)),
        auth: text(DEMANDS.word(auth)),
        auth_without_tls: flag(auth_without_tls),
        relay_from: texts(&access.relay_from),
        relay_certificates: texts(&access.relay_certificates),
        accept_for: texts(&access.accept_for),
        allow_from: texts(&access.allow_from),
        deny_from: texts(&access.deny_from),
        proxy_from: texts(&config.proxy_from),
        xclient_from: texts(&access.xclient_from),
        lenient: texts(&overlooked(config.leniency)),
        add_missing_headers: flag(config.header.add_missing),
        remove_own_results: flag(config.header.remove_own_results),
        message_max_bytes: number(config.message_max_bytes),
        line_max_bytes: number(config.line_max_bytes),
        header_max_bytes: number(config.header_max_bytes),
        header_fields_max: number(config.header_fields_max),
        hold_max_s: number(config.hold_max.as_secs()),
        hops_max: number(config.hops_max),
        recipients_max: number(config.recipients_max),
        errors_max: number(config.errors_max),
        messages_max: number(config.messages_max),
        connections_max: number(config.connections_max),
        connections_per_address_max: number(shares.connections_per_address_max),
        connections_per_network_max: number(shares.connections_per_network_max),
        messages_per_minute_per_address_max: number(shares.messages_per_minute_per_address_max),
        recipients_per_minute_per_address_max: number(shares.recipients_per_minute_per_address_max),
        auth_failures_per_minute_max: number(shares.auth_failures_per_minute_max),
        idle_s: number(config.idle.as_secs()),
        content_s: number(config.content.as_secs()),
        session_s: number(config.session.as_secs()),
    }
}

fn overlooked(leniency: Leniency) -> Vec<&'static str> {
    let Leniency { space_before_path, missing_brackets, bare_lf } = leniency;
    let faults = [
        (ClientFault::SpaceBeforePath, space_before_path),
        (ClientFault::MissingBrackets, missing_brackets),
        (ClientFault::BareLf, bare_lf),
    ];
    faults.into_iter().filter(|(_, is)| *is).map(|(fault, _)| FAULTS.word(fault)).collect()
}

fn route(config: &Route) -> RawRoute {
    RawRoute { domains: texts(&config.domains), to: text(&config.to) }
}

/// A value that stands nowhere yet.
fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

type Text = Option<Spanned<String>>;

fn path(value: &Path) -> Result<Text, toml::ser::Error> {
    value.to_str().map(text).ok_or_else(|| {
        let message = format!("the path {} is not UTF-8", value.display());
        serde::ser::Error::custom(message)
    })
}

fn flag(value: bool) -> Option<Spanned<bool>> {
    Some(unplaced(value))
}

fn text(value: impl ToString) -> Text {
    Some(unplaced(value.to_string()))
}

fn texts<T: ToString>(values: &[T]) -> Option<Spanned<Vec<Spanned<String>>>> {
    Some(unplaced(values.iter().map(|value| unplaced(value.to_string())).collect()))
}

fn number(value: impl Into<u64>) -> Option<Spanned<u64>> {
    Some(unplaced(value.into()))
}

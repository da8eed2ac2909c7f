//! A configuration as TOML: the way back from [`Config`] over [`RawConfig`] to text.

use toml::Spanned;

use super::raw::{
    RawAdmin, RawConfig, RawDelivery, RawDns, RawListener, RawRoute, RawShards, RawShutdown,
    RawSpool,
};
use super::{Config, ListenerConfig, Route};

/// `config` with every key written out.
///
/// # Errors
/// A path that is not UTF-8 cannot be written as TOML.
pub(super) fn to_toml(config: &Config) -> Result<String, toml::ser::Error> {
    toml::to_string(&shape_of(config)?)
}

fn shape_of(config: &Config) -> Result<RawConfig, toml::ser::Error> {
    let Some(path) = config.spool.path.to_str() else {
        let message = "the path of the spool is not UTF-8";
        return Err(serde::ser::Error::custom(message));
    };
    let delivery = &config.delivery;
    Ok(RawConfig {
        hostname: text(&config.hostname),
        shards: RawShards { cpus: text(&config.shards.cpus) },
        spool: RawSpool {
            path: text(path),
            durability: text(config.spool.durability),
            segment_bytes: number(config.spool.segment_bytes),
            cache_bytes: number(config.spool.cache_bytes),
        },
        listener: config.listeners.iter().map(|one| unplaced(listener(one))).collect(),
        tls: None,
        user: None,
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

fn listener(config: &ListenerConfig) -> RawListener {
    RawListener {
        address: text(config.address),
        tls: text("none"),
        relay_from: texts(&config.relay_from),
        auth: text("off"),
        message_max_bytes: number(config.message_max_bytes),
        line_max_bytes: number(config.line_max_bytes),
        hops_max: number(config.hops_max),
        recipients_max: number(config.recipients_max),
        errors_max: number(config.errors_max),
        messages_max: number(config.messages_max),
        connections_max: number(config.connections_max),
        idle_s: number(config.idle.as_secs()),
        content_s: number(config.content.as_secs()),
        session_s: number(config.session.as_secs()),
    }
}

fn route(config: &Route) -> RawRoute {
    RawRoute { domains: texts(&config.domains), to: text(&config.to) }
}

/// A value that stands nowhere yet.
fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

fn text(value: impl ToString) -> Option<Spanned<String>> {
    Some(unplaced(value.to_string()))
}

fn texts<T: ToString>(values: &[T]) -> Option<Spanned<Vec<Spanned<String>>>> {
    Some(unplaced(values.iter().map(|value| unplaced(value.to_string())).collect()))
}

fn number(value: impl Into<u64>) -> Option<Spanned<u64>> {
    Some(unplaced(value.into()))
}

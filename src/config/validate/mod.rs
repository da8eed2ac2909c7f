//! From the shape of the file to its meaning: [`RawConfig`] to [`Config`].
//!
//! # Guarantees
//! Every key is looked at, whatever was wrong with the ones before it. A value that is refused is
//! replaced by its default, so that one mistake is told once; the caller throws the result away if
//! there was any problem.

mod check;
mod identities;
mod listeners;
mod routes;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use toml::Spanned;

use crate::invalid::Invalid;
use crate::limits::{BLOCK_BYTES, SHARD_COUNT_MAX};
use crate::route::DomainName;

use self::check::{Check, TableCheck};
pub(super) use self::listeners::SUBMISSIONS_PORT;
use super::host::{DNS_PORT, HostFacts};
use super::problems::{KeyPath, Problems};
use super::raw::{RawConfig, RawDelivery, RawDns, RawLimits, RawShards, RawSpool};
use super::settings;
use super::values::{CpuList, Durability};
use super::{
    AdminConfig, Config, DeliveryConfig, DnsConfig, LimitsConfig, ShardsConfig, ShutdownConfig,
    SpoolConfig,
};

const SPOOL_PATH_DEFAULT: &str = "./ringpost-spool";
const LISTENER_ADDRESS_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2525);
const ADMIN_ADDRESS_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8025);
const ADDRESS_REMEDY: &str = "write ADDRESS:PORT, as in \"127.0.0.1:2525\" or \"[::1]:2525\"";

/// The meaning of `raw`; what has none is noted in `problems`.
pub(super) fn validate(raw: RawConfig, host: &HostFacts, problems: &mut Problems<'_>) -> Config {
    let mut check = Check { problems };
    let tls = raw.tls.as_ref().and_then(|tls| check.tls(tls));
    let users = check.users(&raw.user);
    let around = check.around(&raw);
    let listeners = check.listeners(&raw.listener, &around);
    let admin = check.value(
        raw.admin.address.as_ref(),
        &KeyPath::new("admin").key("address"),
        socket_address,
        ADMIN_ADDRESS_DEFAULT,
    );
    if admin.port() != 0 && listeners.iter().any(|listener| listener.address == admin) {
        let what = format!("\"{admin}\" is the address of a listener as well");
        let key = KeyPath::new("admin").key("address");
        check.note(&key, raw.admin.address.as_ref(), Invalid::new(what, "give one another port"));
    }
    let grace_key = KeyPath::new("shutdown").key("grace_s");
    Config {
        hostname: check.hostname(raw.hostname.as_ref(), host),
        limits: check.limits(&raw.limits, host),
        tls,
        users,
        shards: check.shards(&raw.shards, host),
        spool: check.spool(&raw.spool),
        listeners,
        routes: check.routes(&raw.route),
        delivery: check.delivery(&raw.delivery),
        dns: check.dns(&raw.dns, host),
        admin: AdminConfig { address: admin },
        shutdown: ShutdownConfig {
            grace: check.duration(raw.shutdown.grace_s.as_ref(), &grace_key, &settings::GRACE_S),
        },
    }
}

impl Check<'_, '_> {
    fn hostname(&mut self, raw: Option<&Spanned<String>>, host: &HostFacts) -> DomainName {
        let key = KeyPath::new("hostname");
        if raw.is_some() {
            return self.value(raw, &key, str::parse, DomainName::localhost());
        }
        host.name.parse().unwrap_or_else(|Invalid { what, .. }| {
            let what = format!("is left out, and the host's own name does not do: {what}");
            let remedy = "set hostname to a domain name that resolves to this host";
            self.note::<String>(&key, None, Invalid::new(what, remedy));
            DomainName::localhost()
        })
    }

    fn limits(&mut self, raw: &RawLimits, host: &HostFacts) -> LimitsConfig {
        let mut at = TableCheck { path: KeyPath::new("limits"), check: self };
        let per_minute = &settings::SHARE_MAX;
        LimitsConfig {
            connections_max: at.count(
                &raw.connections_max,
                "connections_max",
                &settings::PROCESS_CONNECTIONS_MAX,
            ),
            memory_max_bytes: at.number(
                &raw.memory_max_bytes,
                "memory_max_bytes",
                &settings::memory_default(host.memory_bytes),
            ),
            user_messages_per_minute_max: at.count(
                &raw.user_messages_per_minute_max,
                "user_messages_per_minute_max",
                per_minute,
            ),
            user_recipients_per_minute_max: at.count(
                &raw.user_recipients_per_minute_max,
                "user_recipients_per_minute_max",
                per_minute,
            ),
        }
    }

    fn shards(&mut self, raw: &RawShards, host: &HostFacts) -> ShardsConfig {
        let key = KeyPath::new("shards").key("cpus");
        // A host with more CPUs than there can be shards gives the lowest ones.
        let allowed = host.cpus_allowed.as_slice();
        let default = CpuList::new(allowed.iter().copied().take(SHARD_COUNT_MAX).collect());
        let cpus = self.value(raw.cpus.as_ref(), &key, str::parse, default);
        let unlike = |list: &CpuList| {
            let missing = cpus.as_slice().iter().copied().filter(|cpu| !list.contains(*cpu));
            CpuList::new(missing.collect())
        };
        let (unknown, forbidden) = (unlike(&host.cpus_present), unlike(&host.cpus_allowed));
        if !unknown.as_slice().is_empty() {
            let what = format!("this host has no CPU {unknown}");
            let remedy = format!("choose from {}", host.cpus_allowed);
            self.note(&key, raw.cpus.as_ref(), Invalid::new(what, remedy));
        } else if !forbidden.as_slice().is_empty() {
            let what = format!("this process may not run on CPU {forbidden}");
            let remedy = format!(
                "choose from {}, or widen its affinity (taskset, CPUAffinity=, cpuset)",
                host.cpus_allowed
            );
            self.note(&key, raw.cpus.as_ref(), Invalid::new(what, remedy));
        }
        ShardsConfig { cpus }
    }

    fn spool(&mut self, raw: &RawSpool) -> SpoolConfig {
        let section = KeyPath::new("spool");
        let path_key = section.key("path");
        let segment_key = section.key("segment_bytes");
        let segment_bytes =
            self.number(raw.segment_bytes.as_ref(), &segment_key, &settings::SEGMENT_BYTES);
        let block_bytes = u64::try_from(BLOCK_BYTES).unwrap_or(u64::MAX);
        if !segment_bytes.is_multiple_of(block_bytes) {
            let whole = segment_bytes.next_multiple_of(block_bytes);
            let what = format!("{segment_bytes} is not a multiple of {block_bytes}");
            let invalid = Invalid::new(what, format!("write {whole}"));
            self.note(&segment_key, raw.segment_bytes.as_ref(), invalid);
        }
        let default = PathBuf::from(SPOOL_PATH_DEFAULT);
        let durability_key = section.key("durability");
        let cache_key = section.key("cache_bytes");
        SpoolConfig {
            path: self.value(raw.path.as_ref(), &path_key, directory, default),
            durability: self.value(
                raw.durability.as_ref(),
                &durability_key,
                str::parse,
                Durability::Commit,
            ),
            segment_bytes,
            cache_bytes: self.number(raw.cache_bytes.as_ref(), &cache_key, &settings::CACHE_BYTES),
        }
    }

    fn delivery(&mut self, raw: &RawDelivery) -> DeliveryConfig {
        let section = KeyPath::new("delivery");
        let retry_first_key = section.key("retry_first_s");
        let per_site_key = section.key("connections_per_site_max");
        let port_key = section.key("port");
        let port = self.number(raw.port.as_ref(), &port_key, &settings::PORT);
        let delivery = DeliveryConfig {
            port: u16::try_from(port).unwrap_or(u16::MAX),
            retry_first: self.duration(
                raw.retry_first_s.as_ref(),
                &retry_first_key,
                &settings::RETRY_FIRST_S,
            ),
            retry_max: self.duration(
                raw.retry_max_s.as_ref(),
                &section.key("retry_max_s"),
                &settings::RETRY_MAX_S,
            ),
            expire: self.duration(
                raw.expire_s.as_ref(),
                &section.key("expire_s"),
                &settings::EXPIRE_S,
            ),
            connections_max: self.count(
                raw.connections_max.as_ref(),
                &section.key("connections_max"),
                &settings::DELIVERY_CONNECTIONS_MAX,
            ),
            connections_per_site_max: self.count(
                raw.connections_per_site_max.as_ref(),
                &per_site_key,
                &settings::CONNECTIONS_PER_SITE_MAX,
            ),
            recipients_per_transaction_max: self.count(
                raw.recipients_per_transaction_max.as_ref(),
                &section.key("recipients_per_transaction_max"),
                &settings::RECIPIENTS_PER_TRANSACTION_MAX,
            ),
        };
        let (first_s, max_s) = (delivery.retry_first.as_secs(), delivery.retry_max.as_secs());
        if first_s > max_s {
            let what = format!("{first_s} is longer than retry_max_s, which is {max_s}");
            let invalid =
                Invalid::new(what, format!("write at most {max_s}, or raise retry_max_s"));
            let at = raw.retry_first_s.as_ref().or(raw.retry_max_s.as_ref());
            self.note(&retry_first_key, at, invalid);
        }
        let (per_site, total) = (delivery.connections_per_site_max, delivery.connections_max);
        if per_site > total {
            let what = format!("{per_site} is more than connections_max, which is {total}");
            let remedy = format!("write at most {total}, or raise connections_max");
            let at = raw.connections_per_site_max.as_ref().or(raw.connections_max.as_ref());
            self.note(&per_site_key, at, Invalid::new(what, remedy));
        }
        delivery
    }

    fn dns(&mut self, raw: &RawDns, host: &HostFacts) -> DnsConfig {
        let key = KeyPath::new("dns").key("servers");
        let Some(list) = &raw.servers else {
            return DnsConfig { servers: host.dns_servers.clone() };
        };
        if list.get_ref().is_empty() {
            let remedy = "name a server, or leave it out for those of /etc/resolv.conf";
            self.problems.note_missing(key.clone(), Some(&list.span()), remedy);
        }
        DnsConfig { servers: self.values(list, &key, name_server) }
    }
}

fn socket_address(text: &str) -> Result<SocketAddr, Invalid> {
    text.parse().map_err(|_| {
        Invalid::new(format!("{text:?} is not an IP address with a port"), ADDRESS_REMEDY)
    })
}

fn name_server(text: &str) -> Result<SocketAddr, Invalid> {
    let address = match text.parse::<IpAddr>() {
        Ok(address) => Some(SocketAddr::new(address, DNS_PORT)),
        Err(_) => text.parse().ok(),
    };
    address.filter(|address| address.port() != 0).ok_or_else(|| {
        let remedy = "write ADDRESS or ADDRESS:PORT, as in \"127.0.0.1:53\" or \"[::1]:53\"";
        Invalid::new(format!("{text:?} is not the address of a name server"), remedy)
    })
}

fn directory(text: &str) -> Result<PathBuf, Invalid> {
    path(text, "name a directory, as in \"/var/lib/ringpost/spool\"")
}

fn path(text: &str, remedy: &str) -> Result<PathBuf, Invalid> {
    if text.is_empty() || text.contains('\0') {
        return Err(Invalid::new(format!("{text:?} is not a path"), remedy));
    }
    Ok(PathBuf::from(text))
}

//! From the shape of the file to its meaning: [`RawConfig`] to [`Config`].
//!
//! # Guarantees
//! Every key is looked at, whatever was wrong with the ones before it. A value that is refused is
//! replaced by its default, so that one mistake is told once; the caller throws the result away if
//! there was any problem.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;

use crate::invalid::Invalid;
use crate::limits::{BLOCK_BYTES, SHARD_COUNT_MAX};
use crate::network::Network;
use crate::route::{Destination, DomainName, DomainPattern, Route};

use super::host::{DNS_PORT, HostFacts};
use super::problems::{KeyPath, Problems};
use super::raw::{RawConfig, RawDelivery, RawDns, RawListener, RawRoute, RawShards, RawSpool};
use super::settings::{self, Setting};
use super::values::{CpuList, Durability};
use super::{
    AdminConfig, Config, DeliveryConfig, DnsConfig, ListenerConfig, ShardsConfig, ShutdownConfig,
    SpoolConfig,
};

const SPOOL_PATH_DEFAULT: &str = "./ringpost-spool";
const LISTENER_ADDRESS_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2525);
const ADMIN_ADDRESS_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8025);
const ADDRESS_REMEDY: &str = "write ADDRESS:PORT, as in \"127.0.0.1:2525\" or \"[::1]:2525\"";

/// The meaning of `raw`; what has none is noted in `problems`.
pub(super) fn validate(raw: RawConfig, host: &HostFacts, problems: &mut Problems<'_>) -> Config {
    let mut check = Check { problems };
    check.absent(raw.tls.as_ref(), "tls", "this version does not speak TLS", "remove [tls]");
    let why = "this version does not authenticate clients";
    check.absent(raw.user.as_ref(), "user", why, "remove [[user]]");
    let listeners = check.listeners(&raw.listener);
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

/// The checks, each of which notes what it refuses.
struct Check<'p, 'a> {
    problems: &'p mut Problems<'a>,
}

impl Check<'_, '_> {
    fn note<T>(&mut self, key: &KeyPath, at: Option<&Spanned<T>>, invalid: Invalid) {
        self.problems.note(key.clone(), at.map(Spanned::span).as_ref(), invalid);
    }

    /// The meaning of a text, or `default` where there is none.
    fn value<T>(
        &mut self,
        raw: Option<&Spanned<String>>,
        key: &KeyPath,
        parse: fn(&str) -> Result<T, Invalid>,
        default: T,
    ) -> T {
        let Some(text) = raw else { return default };
        parse(text.get_ref()).unwrap_or_else(|invalid| {
            self.note(key, raw, invalid);
            default
        })
    }

    /// The meanings of a list of texts, those left out that have none.
    fn values<T>(
        &mut self,
        raw: &Spanned<Vec<Spanned<String>>>,
        key: &KeyPath,
        parse: fn(&str) -> Result<T, Invalid>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for (index, text) in raw.get_ref().iter().enumerate() {
            match parse(text.get_ref()) {
                Ok(value) => values.push(value),
                Err(invalid) => self.note(&key.place(index), Some(text), invalid),
            }
        }
        values
    }

    /// A number within the range of its setting, or its default.
    fn number(&mut self, raw: Option<&Spanned<u64>>, key: &KeyPath, setting: &Setting) -> u64 {
        let Some(number) = raw.map(|number| *number.get_ref()) else { return setting.default };
        let Setting { default, least, most, why } = *setting;
        if (least..=most).contains(&number) {
            return number;
        }
        let direction = if number < least { "less than" } else { "more than" };
        let bound = if number < least { least } else { most };
        let what = format!("{number} is {direction} {bound}: {why}");
        let remedy = format!("write {least} to {most}, or leave it out for {default}");
        self.note(key, raw, Invalid::new(what, remedy));
        default
    }

    fn count(&mut self, raw: Option<&Spanned<u64>>, key: &KeyPath, setting: &Setting) -> u32 {
        // No count has a range that ends above that of its type; a test looks.
        u32::try_from(self.number(raw, key, setting)).unwrap_or(u32::MAX)
    }

    fn duration(
        &mut self,
        raw: Option<&Spanned<u64>>,
        key: &KeyPath,
        setting: &Setting,
    ) -> Duration {
        Duration::from_secs(self.number(raw, key, setting))
    }

    /// A table that means something in the contract but nothing here. Ignoring it would let its
    /// writer believe in a protection that is not there.
    fn absent<T>(&mut self, raw: Option<&Spanned<T>>, name: &str, why: &str, remedy: &str) {
        if raw.is_some() {
            self.note(&KeyPath::new(name), raw, Invalid::new(why, remedy));
        }
    }

    /// A choice of which this version offers one alternative.
    fn only(
        &mut self,
        raw: Option<&Spanned<String>>,
        key: &KeyPath,
        offered: &str,
        others: &[&str],
        why: &str,
    ) {
        let Some(text) = raw else { return };
        let text = text.get_ref();
        if text == offered {
            return;
        }
        let what = if others.contains(&text.as_str()) {
            format!("{text:?} is not offered: {why}")
        } else {
            format!("{text:?} is no choice here")
        };
        let remedy = format!("write {offered:?} or leave it out");
        self.note(key, raw, Invalid::new(what, remedy));
    }

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

    fn listeners(&mut self, raw: &[Spanned<RawListener>]) -> Vec<ListenerConfig> {
        let section = KeyPath::new("listener");
        if raw.is_empty() {
            let mut listener = self.listener(&RawListener::default(), &section);
            listener.address = LISTENER_ADDRESS_DEFAULT;
            return vec![listener];
        }
        let mut listeners: Vec<ListenerConfig> = Vec::new();
        for (index, one) in raw.iter().enumerate() {
            let key = section.place(index);
            let listener = self.listener(one.get_ref(), &key);
            let address_key = key.key("address");
            let address = listener.address;
            if one.get_ref().address.is_none() {
                let span = one.span();
                self.problems.note_missing(address_key, Some(&span), ADDRESS_REMEDY);
            } else if address.port() != 0 && listeners.iter().any(|one| one.address == address) {
                let what = format!("\"{address}\" is the address of another listener");
                let invalid = Invalid::new(what, "give each an address or port of its own");
                self.note(&address_key, one.get_ref().address.as_ref(), invalid);
            }
            listeners.push(listener);
        }
        listeners
    }

    fn listener(&mut self, raw: &RawListener, key: &KeyPath) -> ListenerConfig {
        let tls_key = key.key("tls");
        let why = "this version does not speak TLS";
        self.only(raw.tls.as_ref(), &tls_key, "none", &["starttls", "implicit"], why);
        let auth_key = key.key("auth");
        let why = "this version does not authenticate clients";
        self.only(raw.auth.as_ref(), &auth_key, "off", &["optional", "required"], why);
        // Port 0 never clashes, so one mistake in an address is told once.
        let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let relay_key = key.key("relay_from");
        ListenerConfig {
            address: self.value(raw.address.as_ref(), &key.key("address"), socket_address, unknown),
            relay_from: match &raw.relay_from {
                Some(networks) => self.values(networks, &relay_key, str::parse),
                None => Network::LOOPBACK.to_vec(),
            },
            message_max_bytes: self.number(
                raw.message_max_bytes.as_ref(),
                &key.key("message_max_bytes"),
                &settings::MESSAGE_MAX_BYTES,
            ),
            line_max_bytes: self.number(
                raw.line_max_bytes.as_ref(),
                &key.key("line_max_bytes"),
                &settings::LINE_MAX_BYTES,
            ),
            hops_max: self.count(raw.hops_max.as_ref(), &key.key("hops_max"), &settings::HOPS_MAX),
            recipients_max: self.count(
                raw.recipients_max.as_ref(),
                &key.key("recipients_max"),
                &settings::RECIPIENTS_MAX,
            ),
            errors_max: self.count(
                raw.errors_max.as_ref(),
                &key.key("errors_max"),
                &settings::ERRORS_MAX,
            ),
            messages_max: self.count(
                raw.messages_max.as_ref(),
                &key.key("messages_max"),
                &settings::MESSAGES_MAX,
            ),
            connections_max: self.count(
                raw.connections_max.as_ref(),
                &key.key("connections_max"),
                &settings::LISTENER_CONNECTIONS_MAX,
            ),
            idle: self.duration(raw.idle_s.as_ref(), &key.key("idle_s"), &settings::IDLE_S),
            content: self.duration(
                raw.content_s.as_ref(),
                &key.key("content_s"),
                &settings::CONTENT_S,
            ),
            session: self.duration(
                raw.session_s.as_ref(),
                &key.key("session_s"),
                &settings::SESSION_S,
            ),
        }
    }

    /// The routes, closed by the one that the contract promises for what no other takes.
    fn routes(&mut self, raw: &[Spanned<RawRoute>]) -> Vec<Route> {
        let mut routes = Vec::new();
        // Where each pattern was taken first: a later route with the same one never sees mail.
        let mut taken = BTreeMap::new();
        for (index, one) in raw.iter().enumerate() {
            let key = KeyPath::new("route").place(index);
            let (span, one) = (one.span(), one.get_ref());
            let domains = match &one.domains {
                Some(list) => self.values(list, &key.key("domains"), DomainPattern::from_str),
                None => Vec::new(),
            };
            if one.domains.as_ref().is_none_or(|list| list.get_ref().is_empty()) {
                let remedy = "add domains = [\"*\"] or a list of domains";
                self.problems.note_missing(key.key("domains"), Some(&span), remedy);
            }
            let to_key = key.key("to");
            let to = self.value(one.to.as_ref(), &to_key, str::parse, Destination::Mx);
            if one.to.is_none() {
                let remedy = "add to = \"mx\", \"smtp://HOST:PORT\" or \"discard\"";
                self.problems.note_missing(to_key, Some(&span), remedy);
            }
            for pattern in &domains {
                let winner = taken.get(&DomainPattern::Any).or_else(|| taken.get(pattern));
                if let Some(place) = winner.filter(|place| **place < index) {
                    let what = format!(
                        "\"{pattern}\" is never reached: route {} above takes its mail",
                        place + 1
                    );
                    let invalid = Invalid::new(what, "put this route first or remove it");
                    self.note(&key.key("domains"), one.domains.as_ref(), invalid);
                    break;
                }
            }
            for pattern in &domains {
                taken.entry(pattern.clone()).or_insert(index);
            }
            routes.push(Route { domains, to });
        }
        if !routes.iter().any(Route::takes_all) {
            routes.push(Route::of_all(Destination::Mx));
        }
        routes
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
    if text.is_empty() || text.contains('\0') {
        let remedy = "name a directory, as in \"/var/lib/ringpost/spool\"";
        return Err(Invalid::new(format!("{text:?} is not a path"), remedy));
    }
    Ok(PathBuf::from(text))
}

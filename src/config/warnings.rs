//! What a configuration allows and its writer seldom means. Nothing is refused for it: there are
//! hosts where it is right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::validate::SUBMISSIONS_PORT;
use super::{Config, ListenerConfig};
use crate::io::tls::ClientCertificates;
use crate::network::Network;
use crate::proto::server::{AuthOffer, TlsOffer};
use crate::route::DomainPattern;

/// Nobody owns a larger part of the IPv4 addresses.
const OWNED_IPV4_PREFIX_BITS: u8 = 8;

/// Nobody owns a larger part of the IPv6 addresses.
const OWNED_IPV6_PREFIX_BITS: u8 = 16;

/// The warnings, one line each.
pub(super) fn of(config: &Config) -> Vec<String> {
    let mut warnings: Vec<_> = config.listeners.iter().flat_map(of_listener).collect();
    let nobody_authenticates = config.listeners.iter().all(|one| one.auth == AuthOffer::Off);
    if !config.users.is_empty() && nobody_authenticates {
        warnings.push(
            "user: nobody can authenticate, because auth is \"off\" at every listener; set auth \
             to \"optional\" or \"required\" there"
                .to_owned(),
        );
    }
    let cache_bytes = config.spool.cache_bytes.saturating_mul(u64::from(config.shards.count()));
    let memory_max_bytes = config.limits.memory_max_bytes;
    if cache_bytes >= memory_max_bytes {
        warnings.push(format!(
            "limits.memory_max_bytes: the spool.cache_bytes of all shards come to {cache_bytes}, \
             and mail is refused from {memory_max_bytes} on; lower cache_bytes or raise \
             memory_max_bytes"
        ));
    }
    warnings
}

fn of_listener(listener: &ListenerConfig) -> Vec<String> {
    let address = listener.address;
    let mut warnings = Vec::new();
    let mut warn = |key: &str, what: &str, remedy: &str| {
        warnings.push(format!("listener.{key} ({address}): {what}; {remedy}"));
    };
    let is_reachable = is_reachable_from_outside(address.ip());
    if is_reachable && serves_strangers(listener) {
        if let Some(network) = widest(&listener.access.relay_from) {
            let what = format!("OPEN RELAY: everybody in {network} may send to any domain");
            warn("relay_from", &what, "name networks of your own");
        }
        if listener.access.accept_for.contains(&DomainPattern::Any) {
            let what = "OPEN RELAY: anybody may send to any domain";
            warn("accept_for", what, "name the domains that this host takes mail for");
        }
    }
    let impersonation = [
        ("proxy_from", &listener.proxy_from, "claim any address"),
        ("xclient_from", &listener.access.xclient_from, "claim any address and any user"),
    ];
    for (key, networks, power) in impersonation {
        if let Some(network) = widest(networks).filter(|_| is_reachable) {
            let what = format!("everybody in {network} may {power}");
            warn(key, &what, "name the addresses of the proxies");
        }
    }
    let takes_passwords_without_tls = match listener.auth {
        AuthOffer::Optional { without_tls } | AuthOffer::Required { without_tls } => without_tls,
        AuthOffer::Off => false,
    };
    if takes_passwords_without_tls && !address.ip().is_loopback() {
        let what = "passwords may pass over the network unprotected";
        warn("auth_without_tls", what, "leave it out, unless nobody is in between");
    }
    if address.port() == SUBMISSIONS_PORT && listener.tls != TlsOffer::Implicit {
        let what = "clients of port 465 begin with TLS (RFC 8314 §3.3), and this one does not";
        warn("tls", what, "write \"implicit\"");
    }
    warnings
}

/// Whether somebody who has neither a password nor a certificate may send mail at all.
fn serves_strangers(listener: &ListenerConfig) -> bool {
    let admits_all =
        listener.access.allow_from.is_empty() || widest(&listener.access.allow_from).is_some();
    let asks_for_proof = matches!(listener.auth, AuthOffer::Required { .. })
        || listener.client_certificates == ClientCertificates::Required;
    admits_all && !asks_for_proof
}

/// The first of `networks` that is larger than any that somebody owns.
fn widest(networks: &[Network]) -> Option<&Network> {
    networks.iter().find(|network| {
        let least = match network.lowest() {
            IpAddr::V4(_) => OWNED_IPV4_PREFIX_BITS,
            // Everybody has that for a network of their own.
            IpAddr::V6(lowest) if lowest.is_unique_local() => return false,
            IpAddr::V6(_) => OWNED_IPV6_PREFIX_BITS,
        };
        network.prefix_bits() < least
    })
}

/// Whether a listener on `address` may have clients that are not of its own network.
fn is_reachable_from_outside(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_ipv4(address),
        IpAddr::V6(address) => is_public_ipv6(address),
    }
}

const fn is_public_ipv4(address: Ipv4Addr) -> bool {
    !(address.is_loopback() || address.is_private() || address.is_link_local())
}

const fn is_public_ipv6(address: Ipv6Addr) -> bool {
    !(address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local())
}

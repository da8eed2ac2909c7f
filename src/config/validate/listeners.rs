//! `[[listener]]`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use toml::Spanned;

use super::check::{Check, TableCheck, flag};
use super::{ADDRESS_REMEDY, LISTENER_ADDRESS_DEFAULT, socket_address};
use crate::config::choices::{
    CLIENT_CERTIFICATES, ClientFault, DEMANDS, Demand, FAULTS, ROLES, TLS_STARTS, TlsStart,
};
use crate::config::problems::KeyPath;
use crate::config::raw::{RawConfig, RawListener};
use crate::config::settings;
use crate::config::{ListenerConfig, SharesConfig};
use crate::invalid::Invalid;
use crate::io::tls::ClientCertificates;
use crate::network::Network;
use crate::proto::server::{Access, AuthOffer, HeaderPolicy, Leniency, Role, TlsOffer};
use crate::route::DomainName;

/// Port of submission over TLS from the first byte on (RFC 8314 §3.3).
pub(in crate::config) const SUBMISSIONS_PORT: u16 = 465;

/// What of the rest of the file a listener depends on. What is there but wrong counts as there, so
/// that one mistake is told once.
#[derive(Debug)]
pub(super) struct Around {
    /// Whether there is `[tls]`.
    tls: bool,
    /// Whether that names authorities for the certificates of clients.
    client_ca: bool,
    /// Whether there is a user.
    users: bool,
}

impl Check<'_, '_> {
    /// What of `raw` the listeners depend on.
    pub(super) fn around(&self, raw: &RawConfig) -> Around {
        let tls = KeyPath::new("tls");
        let client_ca = raw.tls.as_ref().is_some_and(|tls| tls.get_ref().client_ca.is_some());
        Around {
            tls: raw.tls.is_some() || self.problems.are_in(&tls),
            client_ca: client_ca || self.problems.are_in(&tls),
            users: !raw.user.is_empty() || self.problems.are_in(&KeyPath::new("user")),
        }
    }

    pub(super) fn listeners(
        &mut self,
        raw: &[Spanned<RawListener>],
        around: &Around,
    ) -> Vec<ListenerConfig> {
        let section = KeyPath::new("listener");
        if raw.is_empty() {
            let mut listener = self.listener(&RawListener::default(), section, around);
            listener.address = LISTENER_ADDRESS_DEFAULT;
            return vec![listener];
        }
        let mut listeners: Vec<ListenerConfig> = Vec::new();
        for (index, one) in raw.iter().enumerate() {
            let key = section.place(index);
            let listener = self.listener(one.get_ref(), key.clone(), around);
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

    fn listener(&mut self, raw: &RawListener, path: KeyPath, around: &Around) -> ListenerConfig {
        let mut at = TableCheck { check: self, path };
        // Port 0 never clashes, so one mistake in an address is told once.
        let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let address = at.value(&raw.address, "address", socket_address, unknown);
        let role = at.read(&raw.role, "role", |text| ROLES.read(text));
        let role = role.map(Option::unwrap_or_default);
        let leniency = at.leniency(raw, role.ok());
        let role = role.unwrap_or_default();
        let submits = role == Role::Submission;
        let start = at.tls_start(raw, address, around);
        let client_certificates = at.client_certificates(raw, start, around);
        let hold = if submits { &settings::SUBMISSION_HOLD_S } else { &settings::HOLD_S };
        ListenerConfig {
            address,
            role,
            tls: at.tls_offer(raw, start),
            client_certificates,
            auth: at.auth(raw, start, around),
            access: at.access(raw, client_certificates),
            proxy_from: at.values(&raw.proxy_from, "proxy_from", str::parse, &[]),
            leniency,
            header: HeaderPolicy {
                add_missing: flag(&raw.add_missing_headers, submits),
                remove_own_results: flag(&raw.remove_own_results, true),
            },
            message_max_bytes: at.number(
                &raw.message_max_bytes,
                "message_max_bytes",
                &settings::MESSAGE_MAX_BYTES,
            ),
            line_max_bytes: at.number(
                &raw.line_max_bytes,
                "line_max_bytes",
                &settings::LINE_MAX_BYTES,
            ),
            header_max_bytes: at.number(
                &raw.header_max_bytes,
                "header_max_bytes",
                &settings::HEADER_MAX_BYTES,
            ),
            header_fields_max: at.count(
                &raw.header_fields_max,
                "header_fields_max",
                &settings::HEADER_FIELDS_MAX,
            ),
            hold_max: at.duration(&raw.hold_max_s, "hold_max_s", hold),
            hops_max: at.count(&raw.hops_max, "hops_max", &settings::HOPS_MAX),
            recipients_max: at.count(
                &raw.recipients_max,
                "recipients_max",
                &settings::RECIPIENTS_MAX,
            ),
            errors_max: at.count(&raw.errors_max, "errors_max", &settings::ERRORS_MAX),
            messages_max: at.count(&raw.messages_max, "messages_max", &settings::MESSAGES_MAX),
            connections_max: at.count(
                &raw.connections_max,
                "connections_max",
                &settings::LISTENER_CONNECTIONS_MAX,
            ),
            shares: at.shares(raw),
            idle: at.duration(&raw.idle_s, "idle_s", &settings::IDLE_S),
            content: at.duration(&raw.content_s, "content_s", &settings::CONTENT_S),
            session: at.duration(&raw.session_s, "session_s", &settings::SESSION_S),
        }
    }
}

impl TableCheck<'_, '_, '_> {
    /// When TLS begins; `None` if that cannot be known.
    fn tls_start(
        &mut self,
        raw: &RawListener,
        address: SocketAddr,
        around: &Around,
    ) -> Option<TlsStart> {
        let start = self.read(&raw.tls, "tls", |text| TLS_STARTS.read(text)).ok()?;
        let default = match (around.tls, address.port()) {
            (false, _) => TlsStart::Never,
            (true, SUBMISSIONS_PORT) => TlsStart::AtOnce,
            (true, _) => TlsStart::OnRequest,
        };
        if start.is_some_and(|start| start != TlsStart::Never) && !around.tls {
            let remedy = "add [tls] with certificate and key, or write \"none\"";
            self.note(
                "tls",
                &raw.tls,
                Invalid::new("there is no [tls] to take a certificate from", remedy),
            );
            return None;
        }
        Some(start.unwrap_or(default))
    }

    fn tls_offer(&mut self, raw: &RawListener, start: Option<TlsStart>) -> TlsOffer {
        let required = flag(&raw.tls_required, false);
        let refusal = match start {
            Some(TlsStart::Never) => Some(("tls is \"none\"", "write tls = \"starttls\"")),
            Some(TlsStart::AtOnce) => {
                Some(("with tls = \"implicit\" no session is without TLS", "leave it out"))
            }
            Some(TlsStart::OnRequest) | None => None,
        };
        if let Some((what, remedy)) = refusal.filter(|_| required) {
            self.note("tls_required", &raw.tls_required, Invalid::new(what, remedy));
        }
        match start {
            Some(TlsStart::OnRequest) => TlsOffer::StartTls { required },
            Some(TlsStart::AtOnce) => TlsOffer::Implicit,
            Some(TlsStart::Never) | None => TlsOffer::None,
        }
    }

    fn client_certificates(
        &mut self,
        raw: &RawListener,
        start: Option<TlsStart>,
        around: &Around,
    ) -> ClientCertificates {
        let chosen = self.value(
            &raw.client_certificates,
            "client_certificates",
            |text| CLIENT_CERTIFICATES.read(text),
            ClientCertificates::Off,
        );
        if chosen == ClientCertificates::Off {
            return chosen;
        }
        let can_go_without = start == Some(TlsStart::OnRequest) && !flag(&raw.tls_required, false);
        let refusal = if start == Some(TlsStart::Never) {
            Invalid::new("tls is \"none\"", "write tls = \"starttls\" or \"implicit\"")
        } else if !around.client_ca {
            let what = "[tls] does not say whose certificates are believed";
            Invalid::new(what, "set client_ca in [tls], or leave this out")
        } else if chosen == ClientCertificates::Required && can_go_without {
            let what = "a client that does not say STARTTLS shows no certificate";
            Invalid::new(what, "set tls_required = true, or write \"optional\"")
        } else {
            return chosen;
        };
        self.note("client_certificates", &raw.client_certificates, refusal);
        chosen
    }

    fn auth(&mut self, raw: &RawListener, start: Option<TlsStart>, around: &Around) -> AuthOffer {
        let demand = self.value(&raw.auth, "auth", |text| DEMANDS.read(text), Demand::Off);
        let without_tls = flag(&raw.auth_without_tls, false);
        if demand != Demand::Off && !around.users {
            let remedy = "add a [[user]], or write \"off\"";
            self.note("auth", &raw.auth, Invalid::new("there is no user", remedy));
        }
        if demand != Demand::Off && start == Some(TlsStart::Never) && !without_tls {
            let what = "tls is \"none\", so that anybody in between could read the passwords";
            let remedy = "write tls = \"starttls\" or \"implicit\", or, where nobody is in \
                          between, set auth_without_tls = true";
            self.note("auth", &raw.auth, Invalid::new(what, remedy));
        }
        match demand {
            Demand::Off => AuthOffer::Off,
            Demand::Optional => AuthOffer::Optional { without_tls },
            Demand::Required => AuthOffer::Required { without_tls },
        }
    }

    fn access(&mut self, raw: &RawListener, certificates: ClientCertificates) -> Access {
        let relay_certificates: Vec<Box<str>> = self.values(
            &raw.relay_certificates,
            "relay_certificates",
            |text| text.parse().map(|name: DomainName| name.as_str().into()),
            &[],
        );
        if !relay_certificates.is_empty() && certificates == ClientCertificates::Off {
            let remedy = "set client_certificates to \"optional\" or \"required\"";
            let invalid = Invalid::new("clients are not asked for certificates", remedy);
            self.note("relay_certificates", &raw.relay_certificates, invalid);
        }
        let loopback = &Network::LOOPBACK;
        Access {
            allow_from: self.values(&raw.allow_from, "allow_from", str::parse, &[]),
            deny_from: self.values(&raw.deny_from, "deny_from", str::parse, &[]),
            relay_from: self.values(&raw.relay_from, "relay_from", str::parse, loopback),
            relay_certificates,
            accept_for: self.values(&raw.accept_for, "accept_for", str::parse, &[]),
            xclient_from: self.values(&raw.xclient_from, "xclient_from", str::parse, &[]),
        }
    }

    fn shares(&mut self, raw: &RawListener) -> SharesConfig {
        let share = &settings::SHARE_MAX;
        SharesConfig {
            connections_per_address_max: self.count(
                &raw.connections_per_address_max,
                "connections_per_address_max",
                share,
            ),
            connections_per_network_max: self.count(
                &raw.connections_per_network_max,
                "connections_per_network_max",
                share,
            ),
            messages_per_minute_per_address_max: self.count(
                &raw.messages_per_minute_per_address_max,
                "messages_per_minute_per_address_max",
                share,
            ),
            recipients_per_minute_per_address_max: self.count(
                &raw.recipients_per_minute_per_address_max,
                "recipients_per_minute_per_address_max",
                share,
            ),
            auth_failures_per_minute_max: self.count(
                &raw.auth_failures_per_minute_max,
                "auth_failures_per_minute_max",
                &settings::AUTH_FAILURES_PER_MINUTE_MAX,
            ),
        }
    }

    /// What is overlooked with `role`, if that can be known.
    fn leniency(&mut self, raw: &RawListener, role: Option<Role>) -> Leniency {
        let default = [ClientFault::SpaceBeforePath];
        let faults = self.values(&raw.lenient, "lenient", |text| FAULTS.read(text), &default);
        let bare_lf = faults.contains(&ClientFault::BareLf);
        if bare_lf && role == Some(Role::Transfer) {
            let what = "\"bare-lf\" is for submission alone: between servers it lets one see two \
                        messages where the other sees one";
            let remedy = "take it out, or write role = \"submission\"";
            self.note("lenient", &raw.lenient, Invalid::new(what, remedy));
        }
        Leniency {
            space_before_path: faults.contains(&ClientFault::SpaceBeforePath),
            missing_brackets: faults.contains(&ClientFault::MissingBrackets),
            bare_lf,
        }
    }
}

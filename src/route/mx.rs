//! From DNS answers to the hosts to try, in the order to try them (RFC 5321 §5.1), and the classes
//! of failure on the way.
//!
//! | what the DNS says | result | status |
//! | --- | --- | --- |
//! | the domain does not exist (NXDOMAIN) | permanent | 5.1.2 |
//! | the domain is no domain name | permanent | 5.1.2 |
//! | one MX record, its exchange the root (RFC 7505) | permanent | 5.1.10 |
//! | no MX record | the domain itself is the host (implicit MX) | |
//! | this host is among the most preferred | permanent, a loop | 5.4.6 |
//! | no host has an address, all of them for certain | permanent | 5.4.4 |
//! | no host has an address, some because the look-up failed | temporary | 4.4.3 |
//! | no answer, SERVFAIL, a chain of aliases that does not end | temporary | 4.4.3 |
//!
//! # Guarantees
//! Hosts come in rising preference number; equal ones in an order that the seed decides. No host
//! comes twice. From the place where this host finds itself on, hosts are dropped.
//!
//! # Bounds
//! [`SITE_HOSTS_MAX`] hosts, [`HOST_ADDRESSES_MAX`] addresses of each.

use std::fmt;
use std::net::IpAddr;

use crate::limits::{HOST_ADDRESSES_MAX, SITE_HOSTS_MAX};
use crate::proto::enhanced::EnhancedCode;
use crate::seed::SeedStream;

/// One MX record (RFC 1035 §3.3.9).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MxRecord {
    /// Lower is tried first.
    pub preference: u16,
    /// In lower case, without a trailing dot; empty for the root, which is the null MX.
    pub exchange: Box<str>,
}

/// The hosts that serve a destination, in the order to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// At least one.
    pub hosts: Vec<SiteHost>,
}

/// One host of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteHost {
    /// In lower case, without a trailing dot.
    pub name: Box<str>,
    /// At least one, in the order to try.
    pub addresses: Vec<IpAddr>,
}

/// Which addresses of a host are used, and in which order. Within a family the seed decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFamilies {
    /// IPv4 alone.
    V4,
    /// IPv4, then IPv6.
    V4First,
    /// IPv6 alone.
    V6,
    /// IPv6, then IPv4.
    V6First,
    /// By turns, beginning with IPv6, so that a broken family costs one attempt at most.
    Interleaved,
}

impl AddressFamilies {
    /// What suits a host: IPv6 only where it leads out.
    pub const fn for_host(ipv6_available: bool) -> Self {
        if ipv6_available { Self::Interleaved } else { Self::V4 }
    }

    /// Whether A records are asked for.
    pub const fn wants_v4(self) -> bool {
        !matches!(self, Self::V6)
    }

    /// Whether AAAA records are asked for.
    pub const fn wants_v6(self) -> bool {
        !matches!(self, Self::V4)
    }
}

/// Why a destination has no host to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsFailure {
    /// The class, which decides between retry and bounce.
    pub kind: DnsFailureKind,
    /// The name that was looked up.
    pub name: Box<str>,
    /// What the DNS said, as far as the class does not say it; often empty.
    pub detail: Box<str>,
}

impl DnsFailure {
    /// A failure of the class `kind` for `name`.
    pub fn new(kind: DnsFailureKind, name: &str, detail: &str) -> Self {
        Self { kind, name: name.into(), detail: detail.into() }
    }

    /// Whether a retry is pointless.
    pub const fn is_permanent(&self) -> bool {
        self.kind.is_permanent()
    }

    /// Enhanced status code (RFC 3463, RFC 7505 §4.2).
    pub const fn status(&self) -> EnhancedCode {
        self.kind.status()
    }
}

impl fmt::Display for DnsFailure {
    /// One line for people: a log or a bounce.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, detail } = self;
        write!(f, "{name}: {}", kind.phrase())?;
        if detail.is_empty() { Ok(()) } else { write!(f, " ({detail})") }
    }
}

impl std::error::Error for DnsFailure {}

/// The classes of [`DnsFailure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsFailureKind {
    /// No domain name: a label too long or a character that none has.
    InvalidName,
    /// This host is the best exchanger, so that delivery would return here.
    Loop,
    /// No host has an address, for certain.
    NoAddress,
    /// The name does not exist.
    NoSuchName,
    /// The domain takes no mail (RFC 7505).
    NullMx,
    /// No answer, or none of use, for now.
    Unavailable,
}

impl DnsFailureKind {
    /// Whether a retry is pointless.
    pub const fn is_permanent(self) -> bool {
        match self {
            Self::InvalidName | Self::Loop | Self::NoAddress | Self::NoSuchName | Self::NullMx => {
                true
            }
            Self::Unavailable => false,
        }
    }

    /// Enhanced status code.
    pub const fn status(self) -> EnhancedCode {
        match self {
            // RFC 3463 §3.2
            Self::InvalidName | Self::NoSuchName => EnhancedCode::NO_SUCH_DOMAIN_5_1_2,
            Self::Loop => EnhancedCode::LOOP_5_4_6,
            Self::NoAddress => EnhancedCode::UNROUTABLE_5_4_4,
            Self::NullMx => EnhancedCode::NULL_MX_5_1_10,
            Self::Unavailable => EnhancedCode::DIRECTORY_SERVER_4_4_3,
        }
    }

    const fn phrase(self) -> &'static str {
        match self {
            Self::InvalidName => "not a domain name",
            Self::Loop => "mail for it would loop back to this host",
            Self::NoAddress => "no mail host with an address",
            Self::NoSuchName => "no such domain",
            Self::NullMx => "the domain takes no mail (null MX)",
            Self::Unavailable => "DNS look-up failed",
        }
    }
}

/// The hosts that `domain` and its MX `records` name, in the order to try. No records means the
/// implicit MX, the domain itself. `own_names` are the names of this host, in lower case.
///
/// # Errors
/// [`DnsFailureKind::NullMx`] and [`DnsFailureKind::Loop`].
pub fn order_hosts(
    domain: &str,
    records: &[MxRecord],
    own_names: &[Box<str>],
    seeds: &mut SeedStream,
) -> Result<Vec<Box<str>>, DnsFailure> {
    // RFC 5321 §5.1: the implicit MX has preference 0 and may be this host as well.
    let implicit = [MxRecord { preference: 0, exchange: domain.into() }];
    let records = if records.is_empty() { &implicit } else { records };
    // RFC 7505 §3: a null MX stands alone. Beside real exchangers it is a mistake and means
    // nothing.
    let mut real: Vec<&MxRecord> =
        records.iter().filter(|record| !record.exchange.is_empty()).collect();
    if real.is_empty() {
        return Err(DnsFailure::new(DnsFailureKind::NullMx, domain, ""));
    }
    // RFC 5321 §5.1: equal preferences are tried in random order.
    real.sort_unstable();
    seeds.shuffle(&mut real);
    real.sort_by_key(|record| record.preference);
    // RFC 5321 §5.1: a host that finds itself drops itself and all that are not better, or mail
    // would go round in circles.
    if let Some(own) = real.iter().find(|record| own_names.contains(&record.exchange)) {
        let preference = own.preference;
        real.retain(|record| record.preference < preference);
    }
    if real.is_empty() {
        return Err(DnsFailure::new(DnsFailureKind::Loop, domain, ""));
    }
    let mut hosts: Vec<Box<str>> = Vec::with_capacity(real.len().min(SITE_HOSTS_MAX));
    for record in real {
        if hosts.len() < SITE_HOSTS_MAX && !hosts.contains(&record.exchange) {
            hosts.push(record.exchange.clone());
        }
    }
    Ok(hosts)
}

/// What became of the look-up of one family of a host's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FamilyAnswer {
    /// These addresses; none if the host has none of this family or does not exist.
    Addresses(Vec<IpAddr>),
    /// No answer for now; why.
    Failed(Box<str>),
}

/// One host with what was found of its addresses. A family that was not asked for is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAnswer {
    /// The host.
    pub name: Box<str>,
    /// From A records.
    pub v4: FamilyAnswer,
    /// From AAAA records.
    pub v6: FamilyAnswer,
}

/// The site of `domain`: the `hosts` that have addresses, order kept.
///
/// # Errors
/// [`DnsFailureKind::Unavailable`] if no host has an address and the look-up of any failed,
/// [`DnsFailureKind::NoAddress`] if none has one for certain.
pub fn assemble_site(
    domain: &str,
    hosts: Vec<HostAnswer>,
    families: AddressFamilies,
    seeds: &mut SeedStream,
) -> Result<Site, DnsFailure> {
    let mut site = Site { hosts: Vec::with_capacity(hosts.len()) };
    let mut failed: Option<Box<str>> = None;
    for HostAnswer { name, v4, v6 } in hosts {
        let mut of_family = |answer: FamilyAnswer| match answer {
            FamilyAnswer::Addresses(mut addresses) => {
                seeds.shuffle(&mut addresses);
                addresses
            }
            FamilyAnswer::Failed(why) => {
                failed.get_or_insert(why);
                Vec::new()
            }
        };
        let addresses = order_addresses(of_family(v4), of_family(v6), families);
        if !addresses.is_empty() {
            site.hosts.push(SiteHost { name, addresses });
        }
    }
    match failed {
        _ if !site.hosts.is_empty() => Ok(site),
        Some(why) => Err(DnsFailure::new(DnsFailureKind::Unavailable, domain, &why)),
        None => Err(DnsFailure::new(DnsFailureKind::NoAddress, domain, "")),
    }
}

fn order_addresses(v4: Vec<IpAddr>, v6: Vec<IpAddr>, families: AddressFamilies) -> Vec<IpAddr> {
    let mut ordered = match families {
        AddressFamilies::V4 => v4,
        AddressFamilies::V6 => v6,
        AddressFamilies::V4First => [v4, v6].concat(),
        AddressFamilies::V6First => [v6, v4].concat(),
        AddressFamilies::Interleaved => {
            let (mut v4, mut v6) = (v4.into_iter(), v6.into_iter());
            let mut ordered = Vec::with_capacity(v4.len() + v6.len());
            while v4.len() + v6.len() > 0 {
                ordered.extend(v6.next());
                ordered.extend(v4.next());
            }
            ordered
        }
    };
    ordered.truncate(HOST_ADDRESSES_MAX);
    ordered
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(list: &[(u16, &str)]) -> Vec<MxRecord> {
        let record = |&(preference, exchange): &(u16, &str)| MxRecord {
            preference,
            exchange: exchange.into(),
        };
        list.iter().map(record).collect()
    }

    fn order(list: &[(u16, &str)], own: &[&str], seed: u64) -> Result<Vec<String>, DnsFailureKind> {
        let own: Vec<Box<str>> = own.iter().map(|&name| name.into()).collect();
        order_hosts("example.com", &records(list), &own, &mut SeedStream::new(seed))
            .map(|hosts| hosts.into_iter().map(String::from).collect())
            .map_err(|failure| failure.kind)
    }

    #[test]
    fn hosts_come_in_order_of_preference() {
        let hosts = order(&[(20, "c"), (5, "a"), (10, "b")], &[], 1);
        assert_eq!(hosts.unwrap(), ["a", "b", "c"]);
    }

    #[test]
    fn without_mx_records_the_domain_is_its_own_host() {
        assert_eq!(order(&[], &[], 1).unwrap(), ["example.com"]);
        assert_eq!(order(&[], &["example.com"], 1), Err(DnsFailureKind::Loop));
    }

    #[test]
    fn a_null_mx_takes_no_mail_unless_it_is_a_mistake() {
        assert_eq!(order(&[(0, "")], &[], 1), Err(DnsFailureKind::NullMx));
        assert_eq!(order(&[(0, ""), (10, "a")], &[], 1).unwrap(), ["a"]);
    }

    #[test]
    fn a_host_that_finds_itself_keeps_only_the_better_ones() {
        let list = [(10, "a"), (20, "self"), (20, "b"), (30, "c")];
        assert_eq!(order(&list, &["other", "self"], 1).unwrap(), ["a"]);
        assert_eq!(order(&list[1..], &["self"], 1), Err(DnsFailureKind::Loop));
        // Two of its names: the better one counts.
        let twice = [(10, "a"), (20, "self"), (5, "alias")];
        assert_eq!(order(&twice, &["self", "alias"], 1), Err(DnsFailureKind::Loop));
    }

    #[test]
    fn equal_preferences_are_tried_in_every_order() {
        let list = [(10, "a"), (10, "b"), (10, "c"), (0, "first")];
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let hosts = order(&list, &[], seed).unwrap();
            assert_eq!(hosts[0], "first");
            seen.insert(hosts);
        }
        assert_eq!(seen.len(), 6);
        assert_eq!(order(&list, &[], 9), order(&list, &[], 9));
    }

    #[test]
    fn hosts_are_bounded_and_none_comes_twice() {
        let names: Vec<String> = (0..60).map(|n| format!("mx{n}")).collect();
        let mut list: Vec<(u16, &str)> = names.iter().map(|name| (10, name.as_str())).collect();
        list.push((5, "mx3"));
        let hosts = order(&list, &[], 4).unwrap();
        assert_eq!(hosts.len(), SITE_HOSTS_MAX);
        assert_eq!(hosts[0], "mx3");
        assert_eq!(hosts.iter().filter(|&name| name == "mx3").count(), 1);
    }

    fn found(addresses: &[&str]) -> FamilyAnswer {
        FamilyAnswer::Addresses(addresses.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn host(name: &str, v4: FamilyAnswer, v6: FamilyAnswer) -> HostAnswer {
        HostAnswer { name: name.into(), v4, v6 }
    }

    #[test]
    fn a_host_without_an_address_is_passed_over() {
        let failed = || FamilyAnswer::Failed("SERVFAIL".into());
        let assemble =
            |hosts| assemble_site("d", hosts, AddressFamilies::V6First, &mut SeedStream::new(1));
        let site = assemble(vec![
            host("a", failed(), failed()),
            host("b", found(&[]), found(&[])),
            host("c", found(&["192.0.2.1"]), failed()),
        ])
        .unwrap();
        assert_eq!(site.hosts.len(), 1);
        assert_eq!(&*site.hosts[0].name, "c");

        let temporary =
            assemble(vec![host("a", failed(), found(&[])), host("b", found(&[]), found(&[]))])
                .unwrap_err();
        assert!(!temporary.is_permanent());
        assert_eq!(temporary.to_string(), "d: DNS look-up failed (SERVFAIL)");

        let certain = assemble(vec![host("b", found(&[]), found(&[]))]).unwrap_err();
        assert!(certain.is_permanent());
        assert_eq!(certain.status(), EnhancedCode::UNROUTABLE_5_4_4);
    }

    #[test]
    fn addresses_come_as_the_families_want() {
        let v4 = ["192.0.2.1"];
        let v6 = ["2001:db8::1", "2001:db8::2"];
        let cases = [
            (AddressFamilies::V4, "4"),
            (AddressFamilies::V6, "66"),
            (AddressFamilies::V4First, "466"),
            (AddressFamilies::V6First, "664"),
            (AddressFamilies::Interleaved, "646"),
        ];
        for (families, expected) in cases {
            let mut seeds = SeedStream::new(1);
            let hosts = vec![host("h", found(&v4), found(&v6))];
            let site = assemble_site("d", hosts, families, &mut seeds).unwrap();
            let shape: String = site.hosts[0]
                .addresses
                .iter()
                .map(|address| if address.is_ipv4() { '4' } else { '6' })
                .collect();
            assert_eq!(shape, expected);
        }
    }

    proptest! {
        #[test]
        fn the_order_holds_for_any_records(
            list in prop::collection::vec((0_u16..5, 0_u8..8), 0..30),
            own in 0_u8..16,
            seed: u64,
        ) {
            let named: Vec<MxRecord> = list
                .iter()
                .map(|(preference, n)| MxRecord {
                    preference: *preference,
                    exchange: format!("h{n}").into(),
                })
                .collect();
            let own_names = [format!("h{own}").into_boxed_str()];
            let best = |name: &str| {
                let of_name = named.iter().filter(|record| &*record.exchange == name);
                of_name.map(|record| record.preference).min()
            };
            let result = order_hosts("d", &named, &own_names, &mut SeedStream::new(seed));
            if let Ok(hosts) = result {
                for pair in hosts.windows(2) {
                    prop_assert!(best(&pair[0]) <= best(&pair[1]));
                }
                for name in &hosts {
                    prop_assert!(best(&own_names[0]).is_none_or(|own| best(name) < Some(own)));
                }
            } else {
                prop_assert_eq!(best(&own_names[0]), named.iter().map(|r| r.preference).min());
            }
        }
    }
}

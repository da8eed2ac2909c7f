//! From a domain to hosts: every path through records, aliases and failures.

use super::*;

fn kind_of(result: Result<Rc<Site>, DnsFailure>) -> DnsFailureKind {
    result.expect_err("a failure").kind
}

#[test]
fn hosts_come_by_preference_with_their_addresses() {
    let mut world =
        World::new(ResolverSettings { families: AddressFamilies::V6First, ..settings() });
    world.mx("example.test", 20, "b.test");
    world.mx("example.test", 10, "a.test");
    world.a("a.test", "192.0.2.10");
    world.aaaa("a.test", "2001:db8::10");
    world.a("b.test", "192.0.2.11");
    let site = world.site("Example.Test.").unwrap();
    assert_eq!(text(&site), "a.test 2001:db8::10,192.0.2.10 b.test 192.0.2.11");
    assert_eq!(world.seen.len(), 5);
}

#[test]
fn only_the_families_of_use_are_asked_for() {
    let cases = [
        (AddressFamilies::V4, vec![RecordType::A]),
        (AddressFamilies::V6, vec![RecordType::AAAA]),
        (AddressFamilies::Interleaved, vec![RecordType::A, RecordType::AAAA]),
    ];
    for (families, expected) in cases {
        let mut world = World::new(ResolverSettings { families, ..settings() });
        world.a("a.test", "192.0.2.10");
        world.aaaa("a.test", "2001:db8::10");
        world.host("a.test").unwrap();
        let kinds: Vec<RecordType> = world.seen.iter().map(|seen| seen.kind).collect();
        assert_eq!(kinds, expected);
    }
}

#[test]
fn a_domain_without_mx_is_its_own_host() {
    let mut world = World::new(settings());
    world.a("example.test", "192.0.2.10");
    assert_eq!(text(&world.site("example.test").unwrap()), "example.test 192.0.2.10");
}

#[test]
fn permanent_failures_are_told_apart() {
    let own_names = vec!["self.test".into()];
    let mut world = World::new(ResolverSettings { own_names, ..settings() });
    world.mx("null.test", 0, "");
    world.mx("loop.test", 10, "Self.test");
    world.mx("bare.test", 10, "noaddress.test");
    world.mx("bare.test", 20, "missing.test");
    world.names.push("noaddress.test".into());
    world.names.push("empty.test".into());
    let cases = [
        ("missing.test", DnsFailureKind::NoSuchName, "5.1.2"),
        ("null.test", DnsFailureKind::NullMx, "5.1.10"),
        ("loop.test", DnsFailureKind::Loop, "5.4.6"),
        ("self.test", DnsFailureKind::NoSuchName, "5.1.2"),
        ("bare.test", DnsFailureKind::NoAddress, "5.4.4"),
        ("empty.test", DnsFailureKind::NoAddress, "5.4.4"),
        ("[192.0.2.1", DnsFailureKind::InvalidName, "5.1.2"),
        ("a..b", DnsFailureKind::InvalidName, "5.1.2"),
        ("", DnsFailureKind::InvalidName, "5.1.2"),
    ];
    for (domain, kind, status) in cases {
        let failure = world.site(domain).expect_err(domain);
        assert_eq!((failure.kind, &*failure.status().to_string()), (kind, status), "{domain}");
        assert!(failure.is_permanent());
    }
}

#[test]
fn an_exchange_that_is_no_host_name_is_passed_over() {
    let mut world = World::new(settings());
    let odd = Name::from_labels([b"a b".as_slice(), b"test".as_slice()]).unwrap();
    world.add("example.test", 300, RData::MX(MX::new(1, odd)));
    world.mx("example.test", 2, "a.test");
    world.a("a.test", "192.0.2.10");
    assert_eq!(text(&world.site("example.test").unwrap()), "a.test 192.0.2.10");
}

#[test]
fn aliases_are_followed_within_one_answer() {
    let mut world = World::new(settings());
    world.alias("www.test", "example.test");
    world.mx("example.test", 10, "mail.test");
    world.alias("mail.test", "real.test");
    world.a("real.test", "192.0.2.10");
    assert_eq!(text(&world.site("www.test").unwrap()), "mail.test 192.0.2.10");
    assert_eq!(world.seen.len(), 2);
}

#[test]
fn an_alias_to_nothing_is_no_such_domain() {
    let mut world = World::new(settings());
    world.alias("www.test", "gone.test");
    assert_eq!(kind_of(world.site("www.test")), DnsFailureKind::NoSuchName);
}

#[test]
fn aliases_are_followed_over_answers() {
    let mut world = World::new(settings());
    world.follows_aliases = false;
    world.alias("www.test", "example.test");
    world.mx("example.test", 10, "a.test");
    world.a("a.test", "192.0.2.10");
    assert_eq!(text(&world.site("www.test").unwrap()), "a.test 192.0.2.10");
    let names: Vec<&str> = world.seen.iter().map(|seen| seen.name.as_str()).collect();
    assert_eq!(names, ["www.test", "example.test", "a.test"]);
}

#[test]
fn hosts_that_are_aliases_of_one_share_its_look_up() {
    let mut world = World::new(settings());
    world.follows_aliases = false;
    world.mx("example.test", 10, "a.test");
    world.mx("example.test", 20, "b.test");
    world.alias("a.test", "real.test");
    world.alias("b.test", "real.test");
    world.a("real.test", "192.0.2.10");
    let site = world.site("example.test").unwrap();
    assert_eq!(text(&site), "a.test 192.0.2.10 b.test 192.0.2.10");
    assert_eq!(world.seen.len(), 4);
}

#[test]
fn the_longest_chain_over_answers_ends_and_a_longer_one_fails() {
    let mut world = World::new(settings());
    world.follows_aliases = false;
    let last = crate::limits::DNS_ALIASES_MAX + 1;
    for n in 0..last {
        world.alias(&format!("n{n}.test"), &format!("n{}.test", n + 1));
    }
    world.a(&format!("n{last}.test"), "192.0.2.10");
    assert!(world.host("n1.test").is_ok());
    let failure = world.host("n0.test").unwrap_err();
    assert!(failure.detail.contains("aliases without end"), "{failure}");
    world.alias("a.test", "b.test");
    world.alias("b.test", "a.test");
    let failure = world.site("a.test").unwrap_err();
    assert!(failure.detail.contains("aliases without end"), "{failure}");
}

#[test]
fn aliases_in_a_circle_fail_for_now() {
    let mut world = World::new(settings());
    world.alias("a.test", "b.test");
    world.alias("b.test", "a.test");
    let failure = world.site("a.test").unwrap_err();
    assert_eq!(failure.kind, DnsFailureKind::Unavailable);
    assert!(failure.detail.contains("aliases without end"), "{failure}");
}

#[test]
fn one_host_that_cannot_be_looked_up_does_not_stop_the_others() {
    let servers = vec![server(1)];
    let mut world = World::new(ResolverSettings { servers, attempts_max: 1, ..settings() });
    world.mx("example.test", 10, "a.test");
    world.mx("example.test", 20, "b.test");
    world.a("a.test", "192.0.2.10");
    world.a("b.test", "192.0.2.11");
    let SiteLookUp::Pending(id) = world.resolver.look_up_site(world.now, "example.test") else {
        panic!("not known yet");
    };
    world.settle();
    let (at, query, bytes) = world.under_way.pop_front().unwrap();
    world.now = at;
    world.arrive(query, &bytes);
    // Of the two address queries one is never answered.
    world.settle();
    world.under_way.pop_front().unwrap();
    assert_eq!(text(&world.await_answer(id).unwrap()), "b.test 192.0.2.11");
}

#[test]
fn hosts_without_an_answer_fail_for_now_even_beside_hosts_without_an_address() {
    let mut world = World::new(settings());
    world.mx("example.test", 10, "a.test");
    world.mx("example.test", 20, "b.test");
    world.a("a.test", "192.0.2.10");
    let SiteLookUp::Pending(id) = world.resolver.look_up_site(world.now, "example.test") else {
        panic!("not known yet");
    };
    world.settle();
    let (at, query, bytes) = world.under_way.pop_front().unwrap();
    world.now = at;
    world.arrive(query, &bytes);
    world.behaviour.insert(server(1), Behaviour::Silence);
    world.settle();
    let failure = world.await_answer(id).unwrap_err();
    assert_eq!(failure.kind, DnsFailureKind::Unavailable);
    assert_eq!(failure.status().to_string(), "4.4.3");
}

#[test]
fn a_host_is_looked_up_without_its_mx() {
    let mut world = World::new(settings());
    world.mx("relay.test", 10, "other.test");
    world.a("relay.test", "192.0.2.10");
    assert_eq!(text(&world.host("Relay.test").unwrap()), "relay.test 192.0.2.10");
    assert_eq!(world.seen.len(), 1);
}

#[test]
fn a_host_of_a_route_never_fails_for_good() {
    let mut world = World::new(settings());
    for host in ["missing.test", "a..b"] {
        assert_eq!(kind_of(world.host(host)), DnsFailureKind::Unavailable, "{host}");
    }
}

#[test]
fn addresses_and_local_names_need_no_query() {
    let static_hosts = BTreeMap::from([("relay".into(), vec!["192.0.2.77".parse().unwrap()])]);
    let families = AddressFamilies::V6First;
    let servers = Vec::new();
    let settings = ResolverSettings { static_hosts, families, servers, ..settings() };
    let mut world = World::new(settings);
    let cases = [
        ("192.0.2.1", "192.0.2.1 192.0.2.1"),
        ("::1", "::1 ::1"),
        ("[2001:db8::1]", "[2001:db8::1] 2001:db8::1"),
        ("localhost", "localhost ::1,127.0.0.1"),
        ("sink.localhost.", "sink.localhost ::1,127.0.0.1"),
        ("Relay", "relay 192.0.2.77"),
    ];
    for (host, expected) in cases {
        assert_eq!(text(&world.host(host).unwrap()), expected);
    }
    let failure = world.site("example.test").unwrap_err();
    assert_eq!(failure.kind, DnsFailureKind::Unavailable);
    assert!(failure.detail.contains("no DNS server"), "{failure}");
}

#[test]
fn answers_are_kept_for_their_time() {
    let mut world = World::new(settings());
    world.add("example.test", 100, RData::MX(MX::new(10, name("a.test"))));
    world.add("a.test", 30, RData::A(A("192.0.2.10".parse().unwrap())));
    world.site("example.test").unwrap();
    assert_eq!(world.seen.len(), 2);
    world.advance(29);
    let known = world.resolver.look_up_site(world.now, "example.test");
    assert!(matches!(known, SiteLookUp::Known(Ok(_))));
    world.advance(1);
    world.site("example.test").unwrap();
    assert_eq!(world.seen.len(), 3, "the address again, the MX record not");
    world.advance(71);
    world.site("example.test").unwrap();
    assert_eq!(world.seen.len(), 5);
}

#[test]
fn absence_is_kept_as_long_as_the_zone_says() {
    let mut world = World::new(settings());
    assert_eq!(kind_of(world.site("missing.test")), DnsFailureKind::NoSuchName);
    world.advance(58);
    assert_eq!(kind_of(world.site("missing.test")), DnsFailureKind::NoSuchName);
    assert_eq!(world.seen.len(), 1);
    world.advance(2);
    assert_eq!(kind_of(world.site("missing.test")), DnsFailureKind::NoSuchName);
    assert_eq!(world.seen.len(), 2);
    // So is the absence of a record: an address of another family, for instance.
    world.names.push("empty.test".into());
    for queries in [3, 3] {
        world.host("empty.test").unwrap_err();
        assert_eq!(world.seen.len(), queries);
    }
    // Without a SOA record it is kept for a burst of mail and no longer.
    world.negative_ttl_s = None;
    for queries in [4, 4, 5] {
        assert_eq!(kind_of(world.site("other.test")), DnsFailureKind::NoSuchName);
        assert_eq!(world.seen.len(), queries);
        world.advance(3);
    }
}

#[test]
fn no_answer_is_kept_longer_than_the_bounds() {
    let mut world = World::new(settings());
    world.add("a.test", 1_000_000, RData::A(A("192.0.2.10".parse().unwrap())));
    world.negative_ttl_s = Some(1_000_000);
    world.host("a.test").unwrap();
    world.advance(86_401);
    world.host("a.test").unwrap();
    assert_eq!(world.seen.len(), 2);
    // The SOA record's own TTL, 900 s, bounds its minimum.
    world.host("missing.test").unwrap_err();
    world.advance(901);
    world.host("missing.test").unwrap_err();
    assert_eq!(world.seen.len(), 4);
}

#[test]
fn an_answer_that_may_not_be_kept_still_serves_its_look_up() {
    let mut world = World::new(settings());
    world.add("example.test", 0, RData::MX(MX::new(10, name("a.test"))));
    world.add("a.test", 0, RData::A(A("192.0.2.10".parse().unwrap())));
    for round in 1..=2 {
        assert_eq!(text(&world.site("example.test").unwrap()), "a.test 192.0.2.10");
        assert_eq!(world.seen.len(), 2 * round);
    }
}

#[test]
fn equal_look_ups_at_once_cost_one_query() {
    let mut world = World::new(settings());
    world.mx("one.test", 10, "shared.test");
    world.mx("two.test", 10, "shared.test");
    world.a("shared.test", "192.0.2.10");
    let mut ids = Vec::new();
    for domain in ["one.test", "one.test", "two.test", "ONE.test"] {
        let SiteLookUp::Pending(id) = world.resolver.look_up_site(world.now, domain) else {
            panic!("not known yet");
        };
        ids.push(id);
    }
    let mut answers = world.run();
    answers.sort_by_key(|(id, _)| *id);
    assert_eq!(answers.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
    assert!(answers.iter().all(|(_, site)| text(site.as_ref().unwrap()).starts_with("shared")));
    assert_eq!(world.seen.len(), 3);
}

#[test]
fn a_site_with_many_hosts_is_bounded() {
    let mut world = World::new(settings());
    for n in 0..60_u8 {
        let host = format!("mx{n}.test");
        world.mx("example.test", u16::from(n), &host);
        for last in 0..30_u8 {
            world.a(&host, &format!("10.0.{n}.{last}"));
        }
    }
    let site = world.site("example.test").unwrap();
    assert_eq!(site.hosts.len(), crate::limits::SITE_HOSTS_MAX);
    assert!(
        site.hosts.iter().all(|host| { host.addresses.len() == crate::limits::HOST_ADDRESSES_MAX })
    );
    assert_eq!(world.seen.len(), 1 + crate::limits::SITE_HOSTS_MAX);
}

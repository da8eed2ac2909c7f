//! Servers that fail: time-outs, rotation, truncation, EDNS, garbage, and the bounds.

use super::*;

fn two_servers() -> ResolverSettings {
    ResolverSettings { servers: vec![server(1), server(2)], ..settings() }
}

fn world_of(settings: ResolverSettings) -> World {
    let mut world = World::new(settings);
    world.a("a.test", "192.0.2.10");
    world
}

fn servers_seen(world: &World) -> Vec<SocketAddr> {
    world.seen.iter().map(|seen| seen.server).collect()
}

#[test]
fn silence_is_tried_again_with_twice_the_patience() {
    let mut world = world_of(settings());
    world.behaviour.insert(server(1), Behaviour::Silence);
    let failure = world.host("a.test").unwrap_err();
    assert_eq!(failure.status().to_string(), "4.4.3");
    assert!(failure.to_string().contains("a.test A: no answer from 192.0.2.1:53"), "{failure}");
    let times: Vec<u64> = world.seen.iter().map(|seen| seen.at.as_us() / 1_000_000).collect();
    assert_eq!(times, [1, 3, 7, 15]);
    assert_eq!(world.now, Now::from_us(30_000_000), "the last wait is the longest allowed");
    let mut ids: Vec<u16> = world.seen.iter().map(|seen| seen.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4, "each attempt has an id of its own");
}

#[test]
fn a_silent_server_is_left_and_stays_left() {
    let mut world = world_of(two_servers());
    world.a("b.test", "192.0.2.11");
    world.behaviour.insert(server(1), Behaviour::Silence);
    world.host("a.test").unwrap();
    assert_eq!(servers_seen(&world), [server(1), server(2)]);
    world.host("b.test").unwrap();
    assert_eq!(servers_seen(&world)[2..], [server(2)]);
}

#[test]
fn an_unreachable_server_is_left_at_once() {
    let mut world = world_of(two_servers());
    world.behaviour.insert(server(1), Behaviour::Unreachable);
    world.host("a.test").unwrap();
    assert_eq!(servers_seen(&world), [server(1), server(2)]);
    assert!(world.now < Now::from_us(1_100_000));
    world.host("missing.test").unwrap_err();
    assert_eq!(servers_seen(&world)[2..], [server(2)]);
}

#[test]
fn a_server_that_is_restarted_is_waited_for() {
    for n in [1, 2] {
        let servers: Vec<SocketAddr> = (1..=n).map(server).collect();
        let mut world = world_of(ResolverSettings { servers: servers.clone(), ..settings() });
        for server in servers {
            world.behaviour.insert(server, Behaviour::Unreachable);
        }
        let SiteLookUp::Pending(id) = world.resolver.look_up_host(world.now, "a.test") else {
            panic!("not known yet");
        };
        world.settle();
        assert_eq!(world.seen.len(), usize::from(n));
        assert_eq!(world.open, [], "nothing is held meanwhile");
        world.behaviour.clear();
        world.await_answer(id).unwrap();
        assert_eq!(world.seen.len(), usize::from(n) + 1);
    }
}

#[test]
fn servers_that_stay_unreachable_are_given_up() {
    let mut world = world_of(settings());
    world.behaviour.insert(server(1), Behaviour::Unreachable);
    let failure = world.host("a.test").unwrap_err();
    assert!(failure.detail.contains("connection refused"), "{failure}");
    let times: Vec<u64> = world.seen.iter().map(|seen| seen.at.as_us() / 1_000_000).collect();
    assert_eq!(times, [1, 5, 13, 28]);
}

#[test]
fn a_server_that_fails_is_followed_by_the_others_once() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NotAuth] {
        let mut world = world_of(two_servers());
        world.behaviour.insert(server(1), Behaviour::Code(code));
        world.host("a.test").unwrap();
        assert_eq!(servers_seen(&world), [server(1), server(2)]);
    }
    let mut world = world_of(two_servers());
    for n in 1..=2 {
        world.behaviour.insert(server(n), Behaviour::Code(ResponseCode::ServFail));
    }
    let failure = world.site("a.test").unwrap_err();
    assert_eq!(failure.status().to_string(), "4.4.3");
    assert!(failure.to_string().contains("SERVFAIL"), "{failure}");
    assert_eq!(world.seen.len(), 2);
    // For a short while it stands, so that a burst of mail asks once.
    world.site("a.test").unwrap_err();
    assert_eq!(world.seen.len(), 2);
    world.advance(5);
    world.behaviour.clear();
    world.site("a.test").unwrap();
}

#[test]
fn an_answer_that_does_not_fit_comes_over_tcp_from_the_same_server() {
    let mut world = world_of(two_servers());
    world.behaviour.insert(server(1), Behaviour::Truncate);
    assert_eq!(text(&world.host("a.test").unwrap()), "a.test 192.0.2.10");
    assert_eq!(servers_seen(&world), [server(1), server(1)]);
    assert_eq!(world.seen[1].transport, Transport::Tcp);
    assert_ne!(world.seen[0].id, world.seen[1].id);
}

#[test]
fn tcp_that_fails_leads_to_the_next_server_over_udp() {
    let garbage = Behaviour::Garbage(vec![0, 3, 1, 2, 3]);
    let failures = [
        Behaviour::Unreachable,
        Behaviour::Silence,
        Behaviour::CutOff,
        Behaviour::Truncate,
        garbage,
    ];
    for failure in failures {
        let mut world = world_of(two_servers());
        world.behaviour.insert(server(1), Behaviour::Truncate);
        world.behaviour_tcp.insert(server(1), failure.clone());
        world.host("a.test").unwrap();
        let steps: Vec<(SocketAddr, Transport)> =
            world.seen.iter().map(|seen| (seen.server, seen.transport)).collect();
        let expected =
            [(server(1), Transport::Udp), (server(1), Transport::Tcp), (server(2), Transport::Udp)];
        assert_eq!(steps, expected, "{failure:?}");
    }
}

#[test]
fn a_server_without_edns_is_asked_without() {
    for code in [ResponseCode::FormErr, ResponseCode::NotImp] {
        let mut world = world_of(two_servers());
        world.behaviour.insert(server(1), Behaviour::NoEdns(code));
        world.host("a.test").unwrap();
        let steps: Vec<(SocketAddr, bool)> =
            world.seen.iter().map(|seen| (seen.server, seen.edns)).collect();
        assert_eq!(steps, [(server(1), true), (server(1), false)]);
    }
    // One that understands nothing at all is left.
    let mut world = world_of(two_servers());
    world.behaviour.insert(server(1), Behaviour::Code(ResponseCode::FormErr));
    world.host("a.test").unwrap();
    let steps: Vec<(SocketAddr, bool)> =
        world.seen.iter().map(|seen| (seen.server, seen.edns)).collect();
    assert_eq!(steps, [(server(1), true), (server(1), false), (server(2), true)]);
}

#[test]
fn datagrams_that_are_no_answer_are_passed_over() {
    let mut other = Message::response(0, hickory_proto::op::OpCode::Query);
    other.add_query(hickory_proto::op::Query::query(name("a.test"), RecordType::A));
    let forged = other.to_vec().unwrap();
    let garbage = [vec![], vec![0; 11], vec![0xff; 600], b"hello, resolver!".to_vec(), forged];
    for bytes in garbage {
        let mut world = world_of(settings());
        world.behaviour.insert(server(1), Behaviour::Garbage(bytes));
        world.host("a.test").unwrap();
        assert_eq!(world.seen.len(), 1);
    }
}

#[test]
fn an_answer_that_comes_too_late_has_no_effect() {
    let mut world = world_of(settings());
    world.behaviour.insert(server(1), Behaviour::Slow(3));
    // The first two attempts wait 2 s and 4 s: the answer to the second is in time.
    assert_eq!(text(&world.host("a.test").unwrap()), "a.test 192.0.2.10");
    assert_eq!(world.seen.len(), 2);
    assert!(world.under_way.is_empty());
}

#[test]
fn queries_in_flight_are_bounded_and_the_others_wait() {
    let mut world = World::new(ResolverSettings { queries_max: 3, ..settings() });
    let mut pending = 0;
    for n in 0..20 {
        let host = format!("h{n}.test");
        world.a(&host, "192.0.2.10");
        let look_up = world.resolver.look_up_host(world.now, &host);
        pending += u32::from(matches!(look_up, SiteLookUp::Pending(_)));
    }
    assert_eq!(pending, 20);
    let answers = world.run();
    assert_eq!(answers.len(), 20);
    assert!(answers.iter().all(|(_, site)| site.is_ok()));
    assert_eq!(world.open_most, 3);
}

#[test]
fn look_ups_too_many_are_refused_for_now() {
    let mut world = World::new(ResolverSettings { look_ups_max: 2, ..settings() });
    world.a("a.test", "192.0.2.10");
    for _ in 0..2 {
        let look_up = world.resolver.look_up_host(world.now, "a.test");
        assert!(matches!(look_up, SiteLookUp::Pending(_)));
    }
    let SiteLookUp::Known(Err(failure)) = world.resolver.look_up_host(world.now, "a.test") else {
        panic!("too many");
    };
    assert!(!failure.is_permanent());
    assert_eq!(world.run().len(), 2);
    world.host("a.test").unwrap();
}

#[test]
fn the_cache_is_bounded() {
    let mut world = World::new(ResolverSettings { cache_entries_max: 4, ..settings() });
    for n in 0..20 {
        let host = format!("h{n}.test");
        world.a(&host, "192.0.2.10");
        world.host(&host).unwrap();
    }
    assert_eq!(world.seen.len(), 20);
    world.host("h19.test").unwrap();
    assert_eq!(world.seen.len(), 20);
    world.host("h0.test").unwrap();
    assert_eq!(world.seen.len(), 21);
}

#[test]
fn a_query_that_was_never_sent_is_never_released() {
    let mut world = world_of(ResolverSettings { attempts_max: 2, ..settings() });
    let SiteLookUp::Pending(id) = world.resolver.look_up_host(world.now, "a.test") else {
        panic!("not known yet");
    };
    // The caller sleeps through the first attempt.
    world.advance(2);
    world.resolver.handle_timeout(world.now);
    assert_eq!(world.resolver.poll_release(), None);
    world.await_answer(id).unwrap();
    assert_eq!(world.seen.len(), 1);
}

#[test]
fn a_server_that_does_not_recurse_is_no_answer() {
    let mut world = World::new(settings());
    let SiteLookUp::Pending(id) = world.resolver.look_up_site(world.now, "example.test") else {
        panic!("not known yet");
    };
    let transmit = world.resolver.poll_transmit().unwrap();
    let mut referral = world.answer(&transmit.message);
    referral.metadata.response_code = ResponseCode::NoError;
    referral.authorities = vec![record("test", 900, RData::NS(NS(name("ns.test"))))];
    world.resolver.handle_datagram(world.now, transmit.query, &referral.to_vec().unwrap());
    let (answered, result) = world.resolver.poll_answer().unwrap();
    assert_eq!(answered, id);
    let failure = result.unwrap_err();
    assert!(!failure.is_permanent(), "{failure}");
    assert!(failure.to_string().contains("does not recurse"), "{failure}");
}

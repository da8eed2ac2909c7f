//! One thread against a naive twin, and many threads against the bound.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::seed::SeedStream;

const SCOPE: u32 = 3;

fn limits() -> ThrottleLimits {
    ThrottleLimits {
        connections_per_address_max: 2,
        connections_per_network_max: 3,
        address_messages_per_minute_max: 4,
        address_recipients_per_minute_max: 7,
        user_messages_per_minute_max: 3,
        user_recipients_per_minute_max: 5,
        auth_failures_per_minute_max: 2,
    }
}

fn v4(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

fn v6(network: u16, host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host))
}

fn at(seconds: u64) -> Now {
    Now::from_us(seconds * 1_000_000)
}

#[test]
fn connections_are_bounded_by_address_and_by_network() {
    let throttles = Throttles::new(1);
    let limits = limits();
    let connect = |address| throttles.connect(at(1), SCOPE, &limits, address);
    assert_eq!(connect(v4(1)), Ok(()));
    assert_eq!(connect(v4(1)), Ok(()));
    assert_eq!(connect(v4(1)), Err(Over::ConnectionsOfAddress));
    assert_eq!(connect(v4(2)), Ok(()));
    assert_eq!(connect(v4(3)), Err(Over::ConnectionsOfNetwork));
    // What the network refused is not counted for the address either.
    throttles.disconnect(SCOPE, &limits, v4(1));
    throttles.disconnect(SCOPE, &limits, v4(1));
    assert_eq!(connect(v4(3)), Ok(()));
    assert_eq!(connect(v4(3)), Ok(()));
    // Another listener and another network have their own.
    assert_eq!(throttles.connect(at(1), SCOPE + 1, &limits, v4(3)), Ok(()));
    assert_eq!(connect(IpAddr::V4(Ipv4Addr::new(192, 0, 3, 3))), Ok(()));
    assert_eq!(throttles.pressure(), Pressure::default());
}

#[test]
fn an_ipv4_client_over_an_ipv6_socket_is_the_same_client() {
    let throttles = Throttles::new(1);
    let limits = limits();
    let mapped = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
    assert_eq!(throttles.connect(at(1), SCOPE, &limits, v4(1)), Ok(()));
    assert_eq!(throttles.connect(at(1), SCOPE, &limits, mapped), Ok(()));
    let over = Err(Over::ConnectionsOfAddress);
    assert_eq!(throttles.connect(at(1), SCOPE, &limits, v4(1)), over);
    assert_eq!(throttles.connect(at(1), SCOPE, &limits, mapped), over);
    // The mapped address is in the IPv4 network, not in one of IPv6 with all of them.
    let other = IpAddr::V6(Ipv4Addr::new(198, 51, 100, 1).to_ipv6_mapped());
    assert_eq!(throttles.connect(at(1), SCOPE, &limits, other), Ok(()));
    for _ in 0..4 {
        assert_eq!(throttles.message(at(1), SCOPE, &limits, mapped, None), Ok(()));
    }
    let over = Err(Over::MessagesOfAddress);
    assert_eq!(throttles.message(at(1), SCOPE, &limits, v4(1), None), over);
}

#[test]
fn an_ipv6_client_cannot_change_its_address_to_send_more() {
    let throttles = Throttles::new(1);
    let limits = limits();
    for host in 0..4 {
        assert_eq!(throttles.message(at(1), SCOPE, &limits, v6(1, host), None), Ok(()));
    }
    let over = Err(Over::MessagesOfAddress);
    assert_eq!(throttles.message(at(1), SCOPE, &limits, v6(1, 9), None), over);
    assert_eq!(throttles.message(at(1), SCOPE, &limits, v6(2, 9), None), Ok(()));
    // Its connections are told apart by address, up to the bound of the network.
    for host in 0..3 {
        assert_eq!(throttles.connect(at(1), SCOPE, &limits, v6(1, host)), Ok(()));
    }
    let over = Err(Over::ConnectionsOfNetwork);
    assert_eq!(throttles.connect(at(1), SCOPE, &limits, v6(1, 9)), over);
}

#[test]
fn a_minutes_worth_passes_at_once_and_then_one_at_a_time() {
    let throttles = Throttles::new(1);
    let limits = limits();
    let message = |now| throttles.message(now, SCOPE, &limits, v4(1), None);
    for _ in 0..4 {
        assert_eq!(message(at(100)), Ok(()));
    }
    let over = Err(Over::MessagesOfAddress);
    assert_eq!(message(at(100)), over);
    assert_eq!(message(at(114)), over, "one in 15 seconds");
    assert_eq!(message(at(116)), Ok(()));
    assert_eq!(message(at(116)), over);
    // Of a long rest no more than a minute counts.
    for _ in 0..4 {
        assert_eq!(message(at(100_000)), Ok(()));
    }
    assert_eq!(message(at(100_000)), over);
    // A clock that is behind that of another shard allows no more.
    assert_eq!(message(at(99_999)), over);
}

#[test]
fn a_user_is_bounded_over_all_listeners_and_addresses() {
    let throttles = Throttles::new(1);
    let limits = limits();
    let recipient =
        |scope, host, user| throttles.recipient(at(1), scope, &limits, v4(host), Some(user));
    for host in 1..=5 {
        assert_eq!(recipient(u32::from(host), host, b"ann"), Ok(()));
    }
    assert_eq!(recipient(9, 9, b"ann"), Err(Over::RecipientsOfUser));
    assert_eq!(recipient(9, 9, b"bob"), Ok(()));
    // What the user's bound refuses does not use up that of the address: seven in all.
    for _ in 0..20 {
        assert_eq!(recipient(9, 9, b"ann"), Err(Over::RecipientsOfUser));
    }
    for _ in 0..4 {
        assert_eq!(recipient(9, 9, b"bob"), Ok(()));
    }
    assert_eq!(recipient(9, 9, b"eve"), Ok(()));
    assert_eq!(recipient(9, 9, b"eve"), Ok(()));
    assert_eq!(recipient(9, 9, b"eve"), Err(Over::RecipientsOfAddress));
}

#[test]
fn failed_authentications_block_an_address_for_a_while() {
    let throttles = Throttles::new(1);
    let limits = limits();
    let is_blocked = |now| throttles.auth_is_blocked(now, SCOPE, &limits, v4(1));
    assert!(!is_blocked(at(1)));
    throttles.auth_failed(at(1), SCOPE, &limits, v4(1));
    assert!(!is_blocked(at(1)));
    // Those that were under way together are counted up to the bound, not beyond.
    for _ in 0..10 {
        throttles.auth_failed(at(1), SCOPE, &limits, v4(1));
    }
    assert!(is_blocked(at(1)));
    assert!(is_blocked(at(30)));
    assert!(!is_blocked(at(32)));
    assert!(!throttles.auth_is_blocked(at(1), SCOPE, &limits, v4(2)));
}

#[test]
fn without_bounds_nothing_is_counted() {
    let throttles = Throttles::default();
    let limits = ThrottleLimits::default();
    for host in 0..200 {
        for _ in 0..20 {
            assert_eq!(throttles.connect(at(1), SCOPE, &limits, v4(host)), Ok(()));
            assert_eq!(throttles.message(at(1), SCOPE, &limits, v4(host), Some(b"u")), Ok(()));
            assert_eq!(throttles.recipient(at(1), SCOPE, &limits, v4(host), Some(b"u")), Ok(()));
            throttles.auth_failed(at(1), SCOPE, &limits, v4(host));
        }
        assert!(!throttles.auth_is_blocked(at(1), SCOPE, &limits, v4(host)));
    }
    assert_eq!(throttles.pressure(), Pressure::default());
}

#[test]
fn what_a_limit_says_at_its_ends() {
    let throttles = Throttles::new(1);
    let one = ThrottleLimits { address_messages_per_minute_max: 1, ..ThrottleLimits::default() };
    assert_eq!(throttles.message(at(1), SCOPE, &one, v4(1), None), Ok(()));
    let over = Err(Over::MessagesOfAddress);
    assert_eq!(throttles.message(at(60), SCOPE, &one, v4(1), None), over);
    assert_eq!(throttles.message(at(61), SCOPE, &one, v4(1), None), Ok(()));
    let all =
        ThrottleLimits { address_messages_per_minute_max: u32::MAX, ..ThrottleLimits::default() };
    for _ in 0..10_000 {
        assert_eq!(throttles.message(at(1), SCOPE, &all, v4(2), None), Ok(()));
    }
    // The end of time.
    let end = Now::from_us(u64::MAX);
    assert_eq!(throttles.message(end, SCOPE, &one, v4(3), None), Ok(()));
    assert_eq!(throttles.message(end, SCOPE, &one, v4(3), None), over);
}

#[test]
fn in_a_full_table_the_least_used_rate_gives_way_and_connections_do_not() {
    let throttles = Throttles { secret: 5, table: Table::new(64) };
    let limits = ThrottleLimits { connections_per_network_max: 0, ..limits() };
    // One client uses up all that it may, and then come many that send once.
    for _ in 0..4 {
        assert_eq!(throttles.message(at(1), SCOPE, &limits, v4(0), None), Ok(()));
    }
    for network in 0..10_000 {
        assert_eq!(throttles.message(at(1), SCOPE, &limits, v6(network, 1), None), Ok(()));
    }
    assert!(throttles.pressure().forgotten > 9_000, "{throttles:?}");
    assert_eq!(throttles.pressure().turned_away, 0);
    let over = Err(Over::MessagesOfAddress);
    assert_eq!(throttles.message(at(1), SCOPE, &limits, v4(0), None), over);

    // Connections displace all rates, and then refuse each other. Each that passed is counted.
    let connects = |address| throttles.connect(at(1), SCOPE, &limits, address).is_ok();
    let passed: Vec<IpAddr> = (0..1_000).map(|n| v6(n, 1)).filter(|&one| connects(one)).collect();
    assert!(passed.len() >= 48 && passed.len() <= 64, "{} of 64", passed.len());
    assert_eq!(throttles.pressure().turned_away, 1_000 - passed.len() as u64);
    for &address in &passed {
        assert!(connects(address), "the second of two");
        assert!(!connects(address), "a third");
    }
    // Other things pass uncounted while there is no room.
    let before = throttles.pressure();
    let messages =
        (0..1_000).map(|network| throttles.message(at(1), 9, &limits, v6(network, 1), None));
    assert!(messages.into_iter().all(|result| result.is_ok()));
    assert!(throttles.pressure().turned_away > before.turned_away);
    // Slots of clients that left are free again.
    for &address in passed.iter().chain(&passed) {
        throttles.disconnect(SCOPE, &limits, address);
    }
    let passed = (0..1_000).filter(|&n| connects(v6(n, 2))).count();
    assert!(passed >= 48, "{passed} of 64");
}

#[test]
fn another_secret_lets_other_clients_meet() {
    // With one secret two of many clients have the same slots; with another it is other ones.
    let refused = |secret| -> Vec<u16> {
        let throttles = Throttles { secret, table: Table::new(64) };
        let limits = limits();
        let connects = |n| throttles.connect(at(1), SCOPE, &limits, v6(n, 1)).is_ok();
        (0..100).filter(|&n| !connects(n)).collect()
    };
    assert_eq!(refused(1), refused(1));
    assert_ne!(refused(1), refused(2));
}

// One thread, and a twin that has a map, fractions of nothing and no bound on its memory.

#[derive(Clone, Debug)]
enum Operation {
    Pass { seconds: u64 },
    Connect { client: u8 },
    Disconnect { client: u8 },
    Message { client: u8, user: Option<u8> },
    Recipient { client: u8, user: Option<u8> },
    AuthFailed { client: u8 },
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let client = 0..6_u8;
    let user = proptest::option::of(0..2_u8);
    let one = prop_oneof![
        (0..20_u64).prop_map(|seconds| Operation::Pass { seconds }),
        Just(Operation::Pass { seconds: 70 }),
        client.clone().prop_map(|client| Operation::Connect { client }),
        client.clone().prop_map(|client| Operation::Connect { client }),
        client.clone().prop_map(|client| Operation::Disconnect { client }),
        (client.clone(), user.clone())
            .prop_map(|(client, user)| Operation::Message { client, user }),
        (client.clone(), user).prop_map(|(client, user)| Operation::Recipient { client, user }),
        client.prop_map(|client| Operation::AuthFailed { client }),
    ];
    proptest::collection::vec(one, 1..200)
}

/// Six clients in two networks of IPv4, one of IPv6 and one that is both.
fn client_address(client: u8) -> IpAddr {
    match client {
        0 | 1 => v4(client),
        2 => IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
        3 | 4 => v6(1, u16::from(client)),
        _ => IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped()),
    }
}

/// As [`client_address`]: who is the same by address, by network, and by rate.
fn twin_names(client: u8) -> (u8, char, char) {
    match client {
        0 => (0, 'a', '0'),
        1 | 5 => (1, 'a', '1'),
        2 => (2, 'b', '2'),
        _ => (client, 'c', '3'),
    }
}

/// Rates whose events use up what comes back continuously: a leaking bucket.
#[derive(Default)]
struct Twin {
    now_s: u64,
    connections: HashMap<String, u32>,
    levels: HashMap<String, (u64, f64)>,
}

impl Twin {
    fn level(&self, name: &str, per_minute: f64) -> f64 {
        let (then, level) = self.levels.get(name).copied().unwrap_or((self.now_s, 0.0));
        let seconds = Duration::from_secs(self.now_s - then).as_secs_f64();
        (level - seconds * per_minute / 60.0).max(0.0)
    }

    fn has_room(&self, name: &str, per_minute: u32) -> bool {
        // Whole seconds, and bounds that divide a minute or nearly so: this absorbs the rounding.
        self.level(name, f64::from(per_minute)) + 1.0 <= f64::from(per_minute) + 1e-9
    }

    fn add(&mut self, name: String, per_minute: u32) {
        let level = self.level(&name, f64::from(per_minute)) + 1.0;
        self.levels.insert(name, (self.now_s, level));
    }

    fn event(&mut self, names: &[(String, u32, Over)]) -> Result<(), Over> {
        for (name, per_minute, over) in names {
            if !self.has_room(name, *per_minute) {
                return Err(*over);
            }
        }
        for (name, per_minute, _) in names {
            self.add(name.clone(), *per_minute);
        }
        Ok(())
    }

    fn connect(&mut self, client: u8) -> Result<(), Over> {
        let (address, network, _) = twin_names(client);
        let of = |name: &str| self.connections.get(name).copied().unwrap_or(0);
        let (address, network) = (format!("address {address}"), format!("network {network}"));
        if of(&address) >= 2 {
            return Err(Over::ConnectionsOfAddress);
        }
        if of(&network) >= 3 {
            return Err(Over::ConnectionsOfNetwork);
        }
        *self.connections.entry(address).or_default() += 1;
        *self.connections.entry(network).or_default() += 1;
        Ok(())
    }
}

proptest! {
    #[test]
    fn one_thread_sees_what_a_naive_twin_does(operations in operations()) {
        // Bounds that divide a minute's ticks, so that the twin's fractions are exact enough.
        let limits = ThrottleLimits {
            address_recipients_per_minute_max: 6,
            ..limits()
        };
        let throttles = Throttles::new(7);
        let mut twin = Twin { now_s: 1_000, ..Twin::default() };
        let mut open: Vec<u8> = Vec::new();
        for operation in operations {
            let now = at(twin.now_s);
            match operation {
                Operation::Pass { seconds } => twin.now_s += seconds,
                Operation::Connect { client } => {
                    let result = throttles.connect(now, SCOPE, &limits, client_address(client));
                    prop_assert_eq!(result, twin.connect(client));
                    if result.is_ok() {
                        open.push(client);
                    }
                }
                Operation::Disconnect { client } => {
                    let Some(index) = open.iter().position(|&one| one == client) else { continue };
                    open.swap_remove(index);
                    throttles.disconnect(SCOPE, &limits, client_address(client));
                    let (address, network, _) = twin_names(client);
                    for name in [format!("address {address}"), format!("network {network}")] {
                        *twin.connections.entry(name).or_default() -= 1;
                    }
                }
                Operation::Message { client, user } => {
                    let name = user.map(|user| [user]);
                    let user_name = name.as_ref().map(|name| name.as_slice());
                    let address = client_address(client);
                    let result = throttles.message(now, SCOPE, &limits, address, user_name);
                    let (_, _, rate) = twin_names(client);
                    let mut names = vec![(format!("message {rate}"), 4, Over::MessagesOfAddress)];
                    let of_user = user.map(|user| format!("user message {user}"));
                    names.extend(of_user.map(|name| (name, 3, Over::MessagesOfUser)));
                    prop_assert_eq!(result, twin.event(&names));
                }
                Operation::Recipient { client, user } => {
                    let name = user.map(|user| [user]);
                    let user_name = name.as_ref().map(|name| name.as_slice());
                    let address = client_address(client);
                    let result = throttles.recipient(now, SCOPE, &limits, address, user_name);
                    let (_, _, rate) = twin_names(client);
                    let mut names = vec![(format!("rcpt {rate}"), 6, Over::RecipientsOfAddress)];
                    let of_user = user.map(|user| format!("user rcpt {user}"));
                    names.extend(of_user.map(|name| (name, 5, Over::RecipientsOfUser)));
                    prop_assert_eq!(result, twin.event(&names));
                }
                Operation::AuthFailed { client } => {
                    let address = client_address(client);
                    let (_, _, rate) = twin_names(client);
                    let name = format!("auth {rate}");
                    let blocked = throttles.auth_is_blocked(now, SCOPE, &limits, address);
                    prop_assert_eq!(blocked, !twin.has_room(&name, 2));
                    throttles.auth_failed(now, SCOPE, &limits, address);
                    if !blocked {
                        twin.add(name, 2);
                    }
                }
            }
        }
        prop_assert_eq!(throttles.pressure(), Pressure::default());
    }
}

// Many threads.

const THREADS: usize = 4;

#[test]
fn threads_that_begin_a_count_together_pass_the_bound_exactly() {
    const CLIENTS: u16 = 20_000;
    let throttles = Throttles { secret: 11, table: Table::new(1 << 18) };
    let limits = limits();
    let passed: Vec<AtomicU32> = (0..CLIENTS).map(|_| AtomicU32::new(0)).collect();
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                barrier.wait();
                for client in 0..CLIENTS {
                    for _ in 0..4 {
                        if throttles.message(at(1), SCOPE, &limits, v6(client, 1), None).is_ok() {
                            passed[usize::from(client)].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert_eq!(throttles.pressure(), Pressure::default());
    for passed in passed {
        assert_eq!(passed.into_inner(), 4);
    }
}

/// Few slots that many clients come to and leave, so that nearly every call gives a slot away or
/// takes one.
#[test]
fn threads_that_share_slots_never_pass_the_bound() {
    const CLIENTS: u16 = 24;
    const CALLS: usize = 50_000;
    let throttles = Throttles { secret: 3, table: Table::new(16) };
    let limits = ThrottleLimits { connections_per_address_max: 2, ..ThrottleLimits::default() };
    let open: Vec<AtomicU32> = (0..CLIENTS).map(|_| AtomicU32::new(0)).collect();
    let most = AtomicU32::new(0);
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for seed in 0..THREADS as u64 {
            let (throttles, limits, open, most, barrier) =
                (&throttles, &limits, &open, &most, &barrier);
            scope.spawn(move || {
                let mut random = SeedStream::new(seed);
                let mut own: Vec<u16> = Vec::new();
                barrier.wait();
                for _ in 0..CALLS {
                    let client = u16::try_from(random.take_below(u64::from(CLIENTS))).unwrap();
                    if own.len() < 5 {
                        let address = v6(client, 1);
                        // Rates come in between and take free slots. Marks are short: one key in
                        // half a million meets another's rate here, and must not be over it.
                        let other = v6(client + CLIENTS, 1);
                        let rate = ThrottleLimits {
                            address_messages_per_minute_max: 1_000,
                            ..ThrottleLimits::default()
                        };
                        let other_scope = u32::try_from(random.take_below(1 << 32)).unwrap();
                        let passed = throttles.message(at(1), other_scope, &rate, other, None);
                        assert_eq!(passed, Ok(()));
                        if throttles.connect(at(1), SCOPE, limits, address).is_ok() {
                            own.push(client);
                            let count =
                                open[usize::from(client)].fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(count, Ordering::SeqCst);
                        }
                    } else {
                        let pick = usize::try_from(random.take_below(5)).unwrap();
                        let client = own.swap_remove(pick);
                        open[usize::from(client)].fetch_sub(1, Ordering::SeqCst);
                        throttles.disconnect(SCOPE, limits, v6(client, 1));
                    }
                }
                for client in own {
                    open[usize::from(client)].fetch_sub(1, Ordering::SeqCst);
                    throttles.disconnect(SCOPE, limits, v6(client, 1));
                }
            });
        }
    });
    assert_eq!(most.into_inner(), 2, "connections of one client at a time");
    // Nothing is left behind: all sixteen slots can be had again, twice each.
    let again = (0..1_000).filter(|&n| throttles.connect(at(1), 8, &limits, v6(n, 1)).is_ok());
    assert_eq!(again.count(), 16);
}

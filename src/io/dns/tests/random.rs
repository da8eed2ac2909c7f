//! The resolver under anything that callers, servers and time may do, in any order.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Operation {
    /// A look-up of one of a few names.
    LookUp {
        name: u8,
        is_host: bool,
    },
    /// The caller sends what is to be sent.
    Send,
    /// An answer from the zone for a query that was sent, over whatever carries it.
    Answer {
        pick: usize,
        code: u8,
    },
    /// Bytes of no meaning.
    Noise {
        pick: usize,
        bytes: Vec<u8>,
        is_stream: bool,
    },
    Fail {
        pick: usize,
    },
    /// Input for a query that is over or never was.
    Stale {
        query: u64,
        bytes: Vec<u8>,
    },
    Advance {
        ms: u64,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        4 => (0_u8..8, any::<bool>())
            .prop_map(|(name, is_host)| Operation::LookUp { name, is_host }),
        4 => Just(Operation::Send),
        5 => (any::<usize>(), 0_u8..8).prop_map(|(pick, code)| Operation::Answer { pick, code }),
        1 => (any::<usize>(), bytes(), any::<bool>())
            .prop_map(|(pick, bytes, is_stream)| Operation::Noise { pick, bytes, is_stream }),
        1 => any::<usize>().prop_map(|pick| Operation::Fail { pick }),
        1 => (0_u64..200, bytes()).prop_map(|(query, bytes)| Operation::Stale { query, bytes }),
        2 => (0_u64..4_000).prop_map(|ms| Operation::Advance { ms }),
    ]
}

/// A world whose messages are held in the hand, and the look-ups that are owed an answer.
struct Chaos {
    world: World,
    sent: BTreeMap<QueryId, DnsTransmit>,
    owed: Vec<LookUpId>,
}

impl Chaos {
    fn new() -> Self {
        let servers = vec![server(1), server(2), server(3)];
        let families = AddressFamilies::Interleaved;
        let bounds = ResolverSettings { queries_max: 4, look_ups_max: 6, ..settings() };
        let mut world =
            World::new(ResolverSettings { servers, families, cache_entries_max: 5, ..bounds });
        world.mx("n0.test", 1, "n1.test");
        world.mx("n0.test", 1, "n2.test");
        world.a("n1.test", "192.0.2.1");
        world.aaaa("n2.test", "2001:db8::1");
        world.alias("n3.test", "n0.test");
        world.alias("n4.test", "n5.test");
        world.alias("n5.test", "n4.test");
        world.mx("n6.test", 0, "");
        Self { world, sent: BTreeMap::new(), owed: Vec::new() }
    }

    fn apply(&mut self, operation: Operation) {
        let now = self.world.now;
        let resolver = &mut self.world.resolver;
        match operation {
            Operation::LookUp { name, is_host } => {
                let name = format!("n{name}.test");
                let look_up = if is_host {
                    resolver.look_up_host(now, &name)
                } else {
                    resolver.look_up_site(now, &name)
                };
                if let SiteLookUp::Pending(id) = look_up {
                    self.owed.push(id);
                    assert!(self.owed.len() <= 6, "more look-ups than allowed");
                }
            }
            Operation::Send => {
                while let Some(transmit) = self.world.resolver.poll_transmit() {
                    assert!(self.sent.insert(transmit.query, transmit).is_none());
                }
                self.release();
                assert!(self.sent.len() <= 4, "more queries than allowed");
            }
            Operation::Answer { pick, code } => self.answer(pick, code),
            Operation::Noise { pick, bytes, is_stream } => {
                if let Some(query) = self.pick(pick) {
                    let resolver = &mut self.world.resolver;
                    if is_stream {
                        resolver.handle_stream(now, query, &bytes);
                    } else {
                        resolver.handle_datagram(now, query, &bytes);
                    }
                }
            }
            Operation::Fail { pick } => {
                if let Some(query) = self.pick(pick) {
                    self.world.resolver.handle_failure(now, query, "reset");
                }
            }
            Operation::Stale { query, bytes } => {
                if !self.sent.contains_key(&QueryId(query)) {
                    // It may be one that waits to be sent; noise does it no harm either.
                    resolver.handle_datagram(now, QueryId(query), &bytes);
                }
            }
            Operation::Advance { ms } => {
                self.world.now = now + Duration::from_millis(ms);
                resolver.handle_timeout(self.world.now);
            }
        }
        self.release();
        self.collect();
    }

    fn pick(&self, pick: usize) -> Option<QueryId> {
        let count = self.sent.len().max(1);
        self.sent.keys().nth(pick % count).copied()
    }

    fn answer(&mut self, pick: usize, code: u8) {
        let Some(query) = self.pick(pick) else { return };
        let transmit = self.sent[&query].clone();
        let is_stream = transmit.transport == Transport::Tcp;
        let asked = if is_stream { &transmit.message[2..] } else { &transmit.message };
        let mut reply = self.world.answer(asked);
        match code {
            0 => reply.metadata.response_code = ResponseCode::ServFail,
            1 => reply.metadata.response_code = ResponseCode::FormErr,
            2 => reply.metadata.truncation = true,
            3 => reply.metadata.id ^= 1,
            _ => {}
        }
        let mut bytes = reply.to_vec().unwrap();
        if is_stream {
            bytes.splice(..0, u16::try_from(bytes.len()).unwrap().to_be_bytes());
        }
        self.world.arrive(query, &bytes);
    }

    fn release(&mut self) {
        while let Some(query) = self.world.resolver.poll_release() {
            assert!(self.sent.remove(&query).is_some(), "released once, after it was sent");
        }
    }

    fn collect(&mut self) {
        while let Some((id, _)) = self.world.resolver.poll_answer() {
            let place = self.owed.iter().position(|&owed| owed == id);
            self.owed.swap_remove(place.expect("answered once"));
        }
    }

    /// Nobody answers any more: all that is owed comes by the deadlines.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            self.apply(Operation::Send);
            let Some(deadline) = self.world.resolver.poll_timeout() else { break };
            self.world.now = self.world.now.max(deadline);
            self.world.resolver.handle_timeout(self.world.now);
            self.release();
            self.collect();
        }
        assert_eq!(self.owed, [], "look-ups without an answer");
        assert!(self.sent.is_empty(), "sockets that are never closed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_look_up_is_answered_once(operations in prop::collection::vec(operation(), 1..150)) {
        let mut chaos = Chaos::new();
        for operation in operations {
            chaos.apply(operation);
        }
        chaos.finish();
    }
}

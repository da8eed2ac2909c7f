//! The resolver on virtual time, against servers that follow a script.

mod codec;
mod paths;
mod random;
mod servers;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::*;
use crate::clock::Now;

/// What a server does with a query.
#[derive(Clone, Debug)]
enum Behaviour {
    /// Answers from the zone.
    Zone,
    /// Answers with this code and nothing else.
    Code(ResponseCode),
    /// Says that the answer does not fit.
    Truncate,
    /// Says nothing.
    Silence,
    /// The socket fails.
    Unreachable,
    /// Sends these bytes, then answers from the zone.
    Garbage(Vec<u8>),
    /// Answers from the zone after so many seconds.
    Slow(u64),
    /// Does not understand EDNS.
    NoEdns(ResponseCode),
    /// Closes the connection before the message is whole.
    CutOff,
}

/// A query as a test sees it.
#[derive(Clone, Debug)]
struct Seen {
    server: SocketAddr,
    transport: Transport,
    name: String,
    kind: RecordType,
    id: u16,
    edns: bool,
    at: Now,
}

/// The resolver with its servers, its sockets and its clock.
struct World {
    resolver: Resolver,
    now: Now,
    zone: BTreeMap<(String, RecordType), Vec<Record>>,
    /// Names that exist; all others do not.
    names: Vec<String>,
    behaviour: BTreeMap<SocketAddr, Behaviour>,
    /// For queries over TCP, if not the same.
    behaviour_tcp: BTreeMap<SocketAddr, Behaviour>,
    negative_ttl_s: Option<u32>,
    /// Whether an answer says what the target of an alias has.
    follows_aliases: bool,
    seen: Vec<Seen>,
    open: Vec<QueryId>,
    open_most: usize,
    /// Answers on their way, by the time at which they arrive.
    under_way: VecDeque<(Now, QueryId, Vec<u8>)>,
}

fn server(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 53))
}

fn name(text: &str) -> Name {
    Name::from_labels(text.split('.').map(str::as_bytes)).unwrap()
}

fn record(owner: &str, ttl_s: u32, data: RData) -> Record {
    Record::from_rdata(name(owner), ttl_s, data)
}

fn settings() -> ResolverSettings {
    ResolverSettings::new(vec![server(1)], AddressFamilies::V4)
}

impl World {
    fn new(settings: ResolverSettings) -> Self {
        Self {
            resolver: Resolver::new(settings, 42),
            now: Now::from_us(1_000_000),
            zone: BTreeMap::new(),
            names: Vec::new(),
            behaviour: BTreeMap::new(),
            behaviour_tcp: BTreeMap::new(),
            negative_ttl_s: Some(60),
            follows_aliases: true,
            seen: Vec::new(),
            open: Vec::new(),
            open_most: 0,
            under_way: VecDeque::new(),
        }
    }

    fn add(&mut self, owner: &str, ttl_s: u32, data: RData) {
        self.names.push(owner.to_owned());
        let record = record(owner, ttl_s, data);
        self.zone.entry((owner.to_owned(), record.record_type())).or_default().push(record);
    }

    fn mx(&mut self, owner: &str, preference: u16, exchange: &str) {
        let exchange = if exchange.is_empty() { Name::root() } else { name(exchange) };
        self.add(owner, 300, RData::MX(MX::new(preference, exchange)));
    }

    fn a(&mut self, owner: &str, address: &str) {
        self.add(owner, 300, RData::A(A(address.parse().unwrap())));
    }

    fn aaaa(&mut self, owner: &str, address: &str) {
        self.add(owner, 300, RData::AAAA(AAAA(address.parse().unwrap())));
    }

    fn alias(&mut self, owner: &str, target: &str) {
        self.add(owner, 300, RData::CNAME(CNAME(name(target))));
    }

    /// The answer from the zone to a query in wire form.
    fn answer(&self, query: &[u8]) -> Message {
        let query = Message::from_vec(query).unwrap();
        let question = &query.queries[0];
        let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
        reply.add_query(question.clone());
        let mut current = question.name().to_ascii().trim_end_matches('.').to_owned();
        for _ in 0..20 {
            if let Some(records) = self.zone.get(&(current.clone(), question.query_type())) {
                reply.add_answers(records.iter().cloned());
                return reply;
            }
            let Some(records) = self.zone.get(&(current.clone(), RecordType::CNAME)) else { break };
            let RData::CNAME(target) = &records[0].data else { unreachable!() };
            current = target.0.to_ascii().trim_end_matches('.').to_owned();
            reply.add_answer(records[0].clone());
            if !self.follows_aliases {
                return reply;
            }
        }
        if !self.names.contains(&current) {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
        if let Some(ttl_s) = self.negative_ttl_s {
            let soa = SOA::new(name("ns.test"), name("host.test"), 1, 2, 3, 4, ttl_s);
            reply.add_authority(record("test", 900, RData::SOA(soa)));
        }
        reply
    }

    /// Does what the resolver wants done at this moment.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            while let Some(query) = self.resolver.poll_release() {
                let place = self.open.iter().position(|&open| open == query);
                self.open.swap_remove(place.expect("released once, after it was sent"));
            }
            let Some(transmit) = self.resolver.poll_transmit() else { return };
            self.open.push(transmit.query);
            self.open_most = self.open_most.max(self.open.len());
            self.transmit(&transmit);
        }
        panic!("the resolver does not come to rest");
    }

    fn transmit(&mut self, transmit: &DnsTransmit) {
        let DnsTransmit { query, server, transport, message } = transmit;
        let framed = *transport == Transport::Tcp;
        let bytes = if framed {
            let (length, rest) = message.split_first_chunk::<2>().unwrap();
            assert_eq!(usize::from(u16::from_be_bytes(*length)), rest.len());
            rest
        } else {
            message
        };
        let asked = Message::from_vec(bytes).unwrap();
        assert_eq!(asked.metadata.message_type, MessageType::Query);
        assert!(asked.metadata.recursion_desired);
        self.seen.push(Seen {
            server: *server,
            transport: *transport,
            name: asked.queries[0].name().to_ascii().trim_end_matches('.').to_owned(),
            kind: asked.queries[0].query_type(),
            id: asked.metadata.id,
            edns: asked.edns.is_some(),
            at: self.now,
        });
        let mut reply = self.answer(bytes);
        let of_transport =
            if framed { self.behaviour_tcp.get(server) } else { self.behaviour.get(server) };
        let mut delay = Duration::from_millis(1);
        match of_transport.cloned().unwrap_or(Behaviour::Zone) {
            Behaviour::Zone => {}
            Behaviour::Code(code) => {
                reply.answers.clear();
                reply.authorities.clear();
                reply.metadata.response_code = code;
            }
            Behaviour::NoEdns(code) if asked.edns.is_some() => {
                reply = Message::response(asked.metadata.id, asked.metadata.op_code);
                reply.metadata.response_code = code;
            }
            Behaviour::NoEdns(_) => {}
            Behaviour::Truncate => {
                reply.answers.clear();
                reply.metadata.truncation = true;
            }
            Behaviour::Silence => return,
            Behaviour::Unreachable => {
                self.resolver.handle_failure(self.now, *query, "connection refused");
                return;
            }
            Behaviour::Garbage(garbage) if framed => {
                self.resolver.handle_stream(self.now, *query, &garbage);
            }
            Behaviour::Garbage(garbage) => {
                self.resolver.handle_datagram(self.now, *query, &garbage);
            }
            Behaviour::Slow(seconds) => delay = Duration::from_secs(seconds),
            Behaviour::CutOff => {
                self.resolver.handle_stream(self.now, *query, &[0, 40, 1, 2, 3]);
                self.resolver.handle_failure(self.now, *query, "closed");
                return;
            }
        }
        let mut bytes = reply.to_vec().unwrap();
        if framed {
            bytes.splice(..0, u16::try_from(bytes.len()).unwrap().to_be_bytes());
        }
        self.under_way.push_back((self.now + delay, *query, bytes));
    }

    /// Lets time pass until nothing is left to happen.
    fn run(&mut self) -> Vec<(LookUpId, Result<Rc<Site>, DnsFailure>)> {
        let mut answers = Vec::new();
        for _ in 0..1_000 {
            self.settle();
            while let Some(answer) = self.resolver.poll_answer() {
                answers.push(answer);
            }
            let arrival = self.under_way.iter().map(|&(at, _, _)| at).min();
            let timeout = self.resolver.poll_timeout();
            let Some(next) = arrival.into_iter().chain(timeout).min() else {
                assert_eq!(self.open, [], "every socket is released");
                return answers;
            };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let place = self.under_way.iter().position(|&(at, _, _)| at == next).unwrap();
                let (_, query, bytes) = self.under_way.remove(place).unwrap();
                self.arrive(query, &bytes);
            } else {
                self.resolver.handle_timeout(self.now);
            }
        }
        panic!("the resolver never comes to an end");
    }

    /// Bytes of a TCP message come one by one. The resolver knows over what it asked, and passes
    /// over what comes otherwise.
    fn arrive(&mut self, query: QueryId, bytes: &[u8]) {
        self.resolver.handle_datagram(self.now, query, bytes);
        for byte in bytes {
            self.resolver.handle_stream(self.now, query, &[*byte]);
        }
    }

    fn site(&mut self, domain: &str) -> Result<Rc<Site>, DnsFailure> {
        match self.resolver.look_up_site(self.now, domain) {
            SiteLookUp::Known(result) => result,
            SiteLookUp::Pending(id) => self.await_answer(id),
        }
    }

    fn host(&mut self, host: &str) -> Result<Rc<Site>, DnsFailure> {
        match self.resolver.look_up_host(self.now, host) {
            SiteLookUp::Known(result) => result,
            SiteLookUp::Pending(id) => self.await_answer(id),
        }
    }

    fn await_answer(&mut self, id: LookUpId) -> Result<Rc<Site>, DnsFailure> {
        let mut answers = self.run();
        assert_eq!(answers.len(), 1);
        let (answered, result) = answers.remove(0);
        assert_eq!(answered, id);
        result
    }

    fn advance(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }
}

/// `host address,address host …`
fn text(site: &Site) -> String {
    let host = |host: &SiteHost| {
        let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
        format!("{} {}", host.name, addresses.join(","))
    };
    site.hosts.iter().map(host).collect::<Vec<_>>().join(" ")
}

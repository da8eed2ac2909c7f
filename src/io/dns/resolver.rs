//! All look-ups of a shard, their questions, the cache and the bounds.
//!
//! # How to drive it
//! Four kinds of method. **Look-ups** ([`Resolver::look_up_site`], [`Resolver::look_up_host`]) are
//! answered at once from the cache or leave a [`LookUpId`]. **Inputs** (`handle_*`) say what came
//! of a query or that time has passed. **Outputs** (`poll_*`) are asked after every look-up and
//! input, each until it has nothing more: first [`Resolver::poll_release`], so that sockets are
//! closed before others are opened, then [`Resolver::poll_transmit`], then
//! [`Resolver::poll_answer`]; then [`Resolver::poll_timeout`] says when to call
//! [`Resolver::handle_timeout`]. Time must not go backwards.
//!
//! Each [`DnsTransmit`] has a socket of its own, connected to its server, so that the kernel picks
//! a random source port and drops what comes from elsewhere (RFC 5452 §9.2).
//!
//! # Guarantees
//! Every look-up that is pending is answered in the end, within the attempts' time-outs. The same
//! look-up twice at once, or two that need the same records, cost one query. A [`QueryId`] that was
//! transmitted is released exactly once, and no input for it has an effect from then on.
//!
//! # Failures
//! All are a [`DnsFailure`]; without servers, or with too much to do, one that is temporary.
//!
//! # Bounds
//! Look-ups, queries in flight and cache entries have maxima in the settings. A question that finds
//! all queries in flight waits; a look-up too many is refused. Bytes kept for a query are at most
//! one TCP message.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;

use super::cache::{Answer, Cache};
use super::codec::{RecordKind, encode_query};
use super::look_up::{Circumstances, LookUp, Target};
use super::question::{Attempt, Question, Servers, Verdict};
use crate::clock::Now;
use crate::limits::{DNS_CACHE_ENTRIES_MAX, DNS_LOOK_UPS_MAX, DNS_QUERIES_MAX, DNS_SERVERS_MAX};
use crate::route::mx::{AddressFamilies, DnsFailure, DnsFailureKind, Site, SiteHost};
use crate::route::table::{is_host_name, normalized};
use crate::seed::SeedStream;

/// What the resolver is told once.
#[derive(Clone, Debug)]
pub struct ResolverSettings {
    /// Recursive servers in order of preference; of more than [`DNS_SERVERS_MAX`] the first.
    pub servers: Vec<SocketAddr>,
    /// Which addresses of a host are of use.
    pub families: AddressFamilies,
    /// Names of this host in lower case; it never delivers to itself.
    pub own_names: Vec<Box<str>>,
    /// Addresses of hosts that are not asked of the DNS, as in `/etc/hosts`, by the name in lower
    /// case. They serve [`Resolver::look_up_host`]; mail exchangers are asked of the DNS.
    pub static_hosts: BTreeMap<Box<str>, Vec<IpAddr>>,
    /// Wait for the first answer; it doubles with each attempt.
    pub attempt_timeout: Duration,
    /// Attempts for one question, over all servers; at least 1.
    pub attempts_max: u32,
    /// Answers kept.
    pub cache_entries_max: usize,
    /// Queries in flight, each with a socket; at least 1.
    pub queries_max: usize,
    /// Look-ups that wait.
    pub look_ups_max: usize,
}

impl ResolverSettings {
    /// The defaults: 2 s for the first answer, four attempts (29 s in all), and the bounds of
    /// `limits`.
    pub fn new(servers: Vec<SocketAddr>, families: AddressFamilies) -> Self {
        Self {
            servers,
            families,
            own_names: Vec::new(),
            static_hosts: BTreeMap::new(),
            attempt_timeout: Duration::from_secs(2),
            attempts_max: 4,
            cache_entries_max: DNS_CACHE_ENTRIES_MAX,
            queries_max: DNS_QUERIES_MAX,
            look_ups_max: DNS_LOOK_UPS_MAX,
        }
    }
}

/// Names a look-up that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookUpId(pub u64);

/// Names one query to one server, and the socket it is sent from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u64);

/// How a query travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A connection of its own (RFC 7766).
    Tcp,
    /// One datagram from a connected socket of its own.
    Udp,
}

/// A query to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsTransmit {
    /// To be given back with whatever comes of it.
    pub query: QueryId,
    /// Where it goes.
    pub server: SocketAddr,
    /// How it goes there.
    pub transport: Transport,
    /// The bytes to send as they are: one datagram, or for TCP a message behind its length.
    pub message: Vec<u8>,
}

/// What a look-up comes to at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteLookUp {
    /// The result was known.
    Known(Result<Rc<Site>, DnsFailure>),
    /// The result will come from [`Resolver::poll_answer`].
    Pending(LookUpId),
}

/// Names a look-up machine; several look-ups may share one.
pub(super) type LookUpKey = usize;

#[derive(Debug)]
struct Running {
    look_up: LookUp,
    ids: Vec<LookUpId>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Resolver {
    settings: ResolverSettings,
    seeds: SeedStream,
    cache: Cache,
    look_ups: Slab<Running>,
    by_target: BTreeMap<Target, LookUpKey>,
    questions: Slab<Question>,
    by_question: BTreeMap<(Rc<str>, RecordKind), usize>,
    by_query: BTreeMap<QueryId, usize>,
    /// Ends of attempts and of pauses.
    deadlines: BTreeSet<(Now, usize)>,
    /// Questions that wait for a query in flight to end.
    queued: VecDeque<usize>,
    to_send: VecDeque<QueryId>,
    releases: VecDeque<QueryId>,
    answers: VecDeque<(LookUpId, Result<Rc<Site>, DnsFailure>)>,
    /// Look-up ids without an answer.
    waiting: usize,
    next_id: u64,
    /// The server that questions begin with: the first that was not silent when last asked.
    first_server: usize,
}

impl Resolver {
    /// A resolver with an empty cache. `seed` decides the ids of queries and the order among equal
    /// hosts; it must not be guessable.
    pub fn new(mut settings: ResolverSettings, seed: u64) -> Self {
        settings.servers.truncate(DNS_SERVERS_MAX);
        settings.queries_max = settings.queries_max.max(1);
        Self {
            cache: Cache::new(settings.cache_entries_max),
            settings,
            seeds: SeedStream::new(seed),
            look_ups: Slab::new(),
            by_target: BTreeMap::new(),
            questions: Slab::new(),
            by_question: BTreeMap::new(),
            by_query: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            queued: VecDeque::new(),
            to_send: VecDeque::new(),
            releases: VecDeque::new(),
            answers: VecDeque::new(),
            waiting: 0,
            next_id: 0,
            first_server: 0,
        }
    }

    /// The hosts that take mail for `domain`, in the order to try (RFC 5321 §5.1).
    pub fn look_up_site(&mut self, now: Now, domain: &str) -> SiteLookUp {
        let domain = normalized(domain.as_bytes());
        if !is_host_name(&domain) {
            let failure = DnsFailure::new(DnsFailureKind::InvalidName, &domain, "");
            return SiteLookUp::Known(Err(failure));
        }
        self.look_up(now, Target::Site(domain.into()))
    }

    /// The addresses of `host`: a name, or an address, which is its own answer. Names under
    /// `localhost` are the loopback addresses (RFC 6761 §6.3). All failures are temporary.
    pub fn look_up_host(&mut self, now: Now, host: &str) -> SiteLookUp {
        let host = normalized(host.as_bytes());
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return SiteLookUp::Known(Ok(one_host(&host, vec![address])));
        }
        if let Some(addresses) = self.static_addresses(&host) {
            return SiteLookUp::Known(Ok(one_host(&host, addresses)));
        }
        if !is_host_name(&host) {
            let failure = DnsFailure::new(DnsFailureKind::Unavailable, &host, "not a host name");
            return SiteLookUp::Known(Err(failure));
        }
        self.look_up(now, Target::Host(host.into()))
    }

    /// The next query to send.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<DnsTransmit> {
        while let Some(query) = self.to_send.pop_front() {
            let Some(&key) = self.by_query.get(&query) else { continue };
            let question = &mut self.questions[key];
            let (name, kind, edns) = (&question.name, question.kind, question.edns);
            let Some(attempt) = question.attempt.as_mut() else { continue };
            let Some(mut message) = encode_query(attempt.id, name, kind, edns) else { continue };
            if question.transport == Transport::Tcp
                && let Ok(length) = u16::try_from(message.len())
            {
                // RFC 1035 §4.2.2.
                message.splice(..0, length.to_be_bytes());
            }
            attempt.is_sent = true;
            let server = self.settings.servers[question.server];
            return Some(DnsTransmit { query, server, transport: question.transport, message });
        }
        None
    }

    /// A datagram arrived on the socket of `query`.
    pub fn handle_datagram(&mut self, now: Now, query: QueryId, bytes: &[u8]) {
        self.handle(now, query, |question, servers| question.handle_datagram(bytes, servers));
    }

    /// Bytes arrived on the connection of `query`, cut anywhere.
    pub fn handle_stream(&mut self, now: Now, query: QueryId, bytes: &[u8]) {
        self.handle(now, query, |question, servers| question.handle_stream(bytes, servers));
    }

    /// The socket of `query` failed, could not be opened, or was closed by the server; `reason` is
    /// for people.
    pub fn handle_failure(&mut self, now: Now, query: QueryId, reason: &str) {
        self.leave_server(query);
        self.handle(now, query, |question, servers| question.lose(reason, servers));
    }

    /// Ends the attempts and pauses whose time is up.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(&(deadline, key)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            if let Some(attempt) = &self.questions[key].attempt {
                let query = attempt.query;
                self.leave_server(query);
                self.handle(now, query, |question, servers| question.fail("no answer", servers));
            } else {
                // The end of a pause.
                self.deadlines.remove(&(deadline, key));
                self.queued.push_back(key);
                self.start_queued(now);
            }
        }
    }

    /// When [`Resolver::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Now> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// A query whose socket may be closed. Each transmitted query comes exactly once.
    #[must_use]
    pub fn poll_release(&mut self) -> Option<QueryId> {
        self.releases.pop_front()
    }

    /// The next look-up that was pending and is answered.
    #[must_use]
    pub fn poll_answer(&mut self) -> Option<(LookUpId, Result<Rc<Site>, DnsFailure>)> {
        self.answers.pop_front()
    }

    fn static_addresses(&self, host: &str) -> Option<Vec<IpAddr>> {
        if let Some(addresses) = self.settings.static_hosts.get(host) {
            return Some(addresses.clone()).filter(|list| !list.is_empty());
        }
        (host == "localhost" || host.ends_with(".localhost")).then(|| {
            let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
            match self.settings.families {
                AddressFamilies::V4 => vec![v4],
                AddressFamilies::V6 => vec![v6],
                AddressFamilies::V4First => vec![v4, v6],
                AddressFamilies::V6First | AddressFamilies::Interleaved => vec![v6, v4],
            }
        })
    }

    fn look_up(&mut self, now: Now, target: Target) -> SiteLookUp {
        let too_much = |target: &Target, why: &str| {
            let name = target.name();
            SiteLookUp::Known(Err(DnsFailure::new(DnsFailureKind::Unavailable, name, why)))
        };
        if self.settings.servers.is_empty() {
            return too_much(&target, "no DNS server is configured");
        }
        if self.waiting >= self.settings.look_ups_max {
            return too_much(&target, "too many look-ups wait for the DNS");
        }
        let key = match self.by_target.get(&target) {
            Some(&key) => key,
            None => {
                let around = circumstances(&self.settings, &mut self.seeds);
                let look_up = LookUp::new(target.clone(), &around);
                let key = self.look_ups.insert(Running { look_up, ids: Vec::new() });
                self.by_target.insert(target, key);
                if let Some(result) = self.advance(now, key) {
                    return SiteLookUp::Known(result);
                }
                key
            }
        };
        let id = LookUpId(self.take_id());
        self.look_ups[key].ids.push(id);
        self.waiting += 1;
        SiteLookUp::Pending(id)
    }

    /// Asks what the look-up has to ask, until it waits or ends. With its result it is forgotten.
    fn advance(&mut self, now: Now, key: LookUpKey) -> Option<Result<Rc<Site>, DnsFailure>> {
        while let Some((name, kind)) = self.look_ups[key].look_up.next_question() {
            if let Some(answer) = self.ask(now, key, &name, kind) {
                let mut around = circumstances(&self.settings, &mut self.seeds);
                let look_up = &mut self.look_ups[key].look_up;
                look_up.handle_answer(&name, kind, &answer, &mut around);
            }
        }
        let result = self.look_ups[key].look_up.take_result()?;
        let Running { look_up, ids } = self.look_ups.remove(key);
        self.by_target.remove(look_up.target());
        let result = result.map(Rc::new);
        self.waiting -= ids.len();
        self.answers.extend(ids.into_iter().map(|id| (id, result.clone())));
        Some(result)
    }

    /// The answer from the cache, or nothing and a question under way that the look-up waits for.
    fn ask(
        &mut self,
        now: Now,
        look_up: LookUpKey,
        name: &Rc<str>,
        kind: RecordKind,
    ) -> Option<Answer> {
        if !is_host_name(name) {
            // A name that a record gave: it leads nowhere.
            return Some(Answer::NoSuchName);
        }
        if let Some(answer) = self.cache.get(now, name, kind) {
            return Some(answer);
        }
        let place = (Rc::clone(name), kind);
        let key = match self.by_question.get(&place) {
            Some(&key) => key,
            None => {
                let question = Question::new(Rc::clone(name), kind, self.first_server);
                let key = self.questions.insert(question);
                self.by_question.insert(place, key);
                self.queued.push_back(key);
                self.start_queued(now);
                key
            }
        };
        let waiting = &mut self.questions[key].waiting;
        if !waiting.contains(&look_up) {
            waiting.push(look_up);
        }
        None
    }

    fn start_queued(&mut self, now: Now) {
        while self.by_query.len() < self.settings.queries_max {
            let Some(key) = self.queued.pop_front() else { break };
            self.start_attempt(now, key);
        }
    }

    fn start_attempt(&mut self, now: Now, key: usize) {
        let query = QueryId(self.take_id());
        let id = u16::try_from(self.seeds.take() >> 48).unwrap_or(0);
        let question = &mut self.questions[key];
        let deadline = now + question.patience(self.settings.attempt_timeout);
        question.attempt = Some(Attempt::new(query, id, deadline));
        self.by_query.insert(query, key);
        self.deadlines.insert((deadline, key));
        self.to_send.push_back(query);
    }

    fn end_attempt(&mut self, key: usize) {
        if let Some(attempt) = self.questions[key].attempt.take() {
            self.by_query.remove(&attempt.query);
            self.deadlines.remove(&(attempt.deadline, key));
            if attempt.is_sent {
                self.releases.push_back(attempt.query);
            }
        }
    }

    /// Has the question of `query` judge something, and does what comes of it.
    fn handle(
        &mut self,
        now: Now,
        query: QueryId,
        judge: impl FnOnce(&mut Question, &Servers<'_>) -> Verdict,
    ) {
        let Some(&key) = self.by_query.get(&query) else { return };
        let servers = Servers {
            addresses: &self.settings.servers,
            attempts_max: self.settings.attempts_max,
            patience: self.settings.attempt_timeout,
        };
        match judge(&mut self.questions[key], &servers) {
            Verdict::Wait => {}
            Verdict::TryAgain => {
                self.end_attempt(key);
                self.start_attempt(now, key);
            }
            Verdict::Pause(span) => {
                self.end_attempt(key);
                self.deadlines.insert((now + span, key));
                self.start_queued(now);
            }
            Verdict::Answered(answer, span) => {
                self.end_attempt(key);
                let Question { name, kind, waiting, .. } = self.questions.remove(key);
                self.by_question.remove(&(Rc::clone(&name), kind));
                self.cache.insert(now, &name, kind, answer.clone(), span);
                self.start_queued(now);
                for look_up in waiting {
                    let mut around = circumstances(&self.settings, &mut self.seeds);
                    let running = &mut self.look_ups[look_up];
                    running.look_up.handle_answer(&name, kind, &answer, &mut around);
                    self.advance(now, look_up);
                }
            }
        }
    }

    /// Questions to come begin with another server than the one of `query`, which is silent.
    fn leave_server(&mut self, query: QueryId) {
        if let Some(&key) = self.by_query.get(&query)
            && self.questions[key].server == self.first_server
        {
            self.first_server = (self.first_server + 1) % self.settings.servers.len();
        }
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

fn circumstances<'a>(
    settings: &'a ResolverSettings,
    seeds: &'a mut SeedStream,
) -> Circumstances<'a> {
    Circumstances { families: settings.families, own_names: &settings.own_names, seeds }
}

fn one_host(name: &str, addresses: Vec<IpAddr>) -> Rc<Site> {
    Rc::new(Site { hosts: vec![SiteHost { name: name.into(), addresses }] })
}

//! Connections before they are sessions: whether there is room for them, and on whose behalf a
//! proxy speaks.
//!
//! # Guarantees
//! - A connection that is counted, for the process, the listener or its client, is counted until
//!   it ends, by the settings that it began under.
//! - Nothing is said to a proxy, and nothing that it sends is believed, before its header came.
//!
//! # Bounds
//! [`ListenerReload::connections_max`](crate::shard::ListenerReload) and
//! [`REFUSED_CONNECTIONS_MAX`] for each listener; the process's bound for all shards together. A
//! header must come within the listener's idle time; `PROXY_HEADER_BYTES_MAX` of it are held, and
//! what came with it.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use crate::clock::Now;
use crate::io::listen;
use crate::io::ring::SocketKey;
use crate::io::tls::ServerTls;
use crate::limits::REFUSED_CONNECTIONS_MAX;
use crate::proto::fault::{BoundFault, Fault};
use crate::proto::proxy;
use crate::proto::server::{Peer, ServerPolicy, ServerSession};
use crate::shard::deadlines::{Scheduled, Waiting};
use crate::shard::{Owner, Shard};
use crate::throttle::Over;

use super::{Flags, Session};

/// What a listener offers at a time; a session keeps what it began with.
#[derive(Debug)]
pub(in crate::shard) struct Offer {
    pub(in crate::shard) policy: Rc<ServerPolicy>,
    pub(in crate::shard) tls: Option<ServerTls>,
}

/// What a connection is counted as.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) offer: Rc<Offer>,
    listener: usize,
    /// It is only told that there is no room.
    is_refused: bool,
    /// The client whose connections it counts among.
    client: Option<IpAddr>,
}

/// A connection of a proxy that has not told its client yet.
#[derive(Debug)]
pub(in crate::shard) struct Arrival {
    place: Place,
    socket: SocketKey,
    address: SocketAddr,
    serial: u64,
    /// What came of the header.
    held: Vec<u8>,
    /// The header must be whole by then.
    until: Now,
    scheduled: Scheduled,
}

impl Shard {
    /// Takes a connection that has just come to listener `listener`.
    pub(in crate::shard) fn accepted(&mut self, listener_index: usize, descriptor: OwnedFd) {
        let socket = socket2::SockRef::from(&descriptor);
        let Ok(address) = listen::peer(&socket) else {
            return;
        };
        listen::prepare(&socket);
        let fault = self.enter(listener_index);
        let listener = &mut self.listeners[listener_index];
        if fault.is_some() {
            if listener.refused >= REFUSED_CONNECTIONS_MAX {
                // Too many are being told so already.
                return;
            }
            listener.refused += 1;
        }
        let place = Place {
            offer: Rc::clone(&listener.offer),
            listener: listener_index,
            is_refused: fault.is_some(),
            client: None,
        };
        let is_proxy = listener.proxy_from.iter().any(|network| network.contains(address.ip()));
        self.counters.connections_in_total += 1;
        if is_proxy && fault.is_none() {
            self.await_header(place, descriptor, address);
            return;
        }
        let owner = Owner::Session(self.sessions.vacant_key());
        let socket = self.ring.add(descriptor, owner);
        self.ring.receive(&socket);
        let peer = Peer { address: address.ip(), port: address.port() };
        let index = self.begin_session(place, socket, peer, fault);
        self.settle_session(index);
    }

    /// Makes a session of a connection whose client is `peer`; `fault` says why there is no room.
    /// The socket is in the ring and belongs to the next free place.
    fn begin_session(
        &mut self,
        mut place: Place,
        socket: SocketKey,
        peer: Peer,
        fault: Option<BoundFault>,
    ) -> usize {
        let conditions = self.conditions();
        let fault = fault.or_else(|| self.enter_client(&mut place, peer.address));
        self.serial += 1;
        let policy = Rc::clone(&place.offer.policy);
        let machine = match fault {
            None => ServerSession::new(policy, peer, self.serial, &conditions),
            Some(fault) => {
                let fault = Fault::Bound(fault);
                ServerSession::refused(policy, peer, self.serial, &conditions, fault)
            }
        };
        let wants_tls = machine.tls_is_wanted();
        let index = self.sessions.insert(Session {
            place,
            socket,
            machine,
            tls: None,
            serial: self.serial,
            content: None,
            held: Vec::new(),
            output: Vec::new(),
            auth_failures: 0,
            is_known: false,
            flags: Flags::default(),
            lingering: None,
            scheduled: Scheduled::default(),
        });
        self.count_connections();
        if wants_tls {
            self.begin_tls(index);
        }
        index
    }

    // Proxies.

    fn await_header(&mut self, place: Place, descriptor: OwnedFd, address: SocketAddr) {
        self.serial += 1;
        let until = self.now + place.offer.policy.limits.idle_time;
        let entry = self.arrivals.vacant_entry();
        let index = entry.key();
        let socket = self.ring.add(descriptor, Owner::Arrival(index));
        self.ring.receive(&socket);
        let serial = self.serial;
        let arrival = entry.insert(Arrival {
            place,
            socket,
            address,
            serial,
            held: Vec::new(),
            until,
            scheduled: Scheduled::default(),
        });
        let waiting = Waiting::Arrival { index, serial };
        self.deadlines.schedule(&mut arrival.scheduled, until, waiting);
        self.count_connections();
    }

    /// Takes what a proxy sent.
    pub(in crate::shard) fn arrival_received(&mut self, index: usize, bytes: &[u8]) {
        let arrival = &mut self.arrivals[index];
        arrival.held.extend_from_slice(bytes);
        match proxy::parse(&arrival.held) {
            Ok(None) => {}
            Ok(Some(header)) => {
                let arrival = self.arrivals.remove(index);
                let proxy = Peer { address: arrival.address.ip(), port: arrival.address.port() };
                let owner = Owner::Session(self.sessions.vacant_key());
                self.ring.hand_over(&arrival.socket, owner);
                let peer = header.client.unwrap_or(proxy);
                let index = self.begin_session(arrival.place, arrival.socket, peer, None);
                let mut held = arrival.held;
                match held.get_mut(header.length..) {
                    Some(rest) if !rest.is_empty() => self.session_received(index, rest),
                    Some(_) | None => self.settle_session(index),
                }
            }
            Err(fault) => {
                self.counters.proxy_headers_refused += 1;
                tracing::info!(
                    proxy = %arrival.address,
                    "{fault}; the connection is closed. If this is no proxy, take its address out \
                     of proxy_from"
                );
                self.close_arrival(index);
            }
        }
    }

    /// A proxy closed its connection before its header was whole, as those do that only look
    /// whether somebody listens.
    pub(in crate::shard) fn arrival_ended(&mut self, index: usize) {
        self.close_arrival(index);
    }

    /// Looks whether a header is due.
    pub(in crate::shard) fn arrival_due(&mut self, index: usize, serial: u64) {
        let arrival = self.arrivals.get(index).filter(|arrival| arrival.serial == serial);
        if arrival.is_some_and(|arrival| arrival.until <= self.now) {
            self.counters.proxy_headers_refused += 1;
            self.close_arrival(index);
        }
    }

    /// Closes all connections whose client is not known yet.
    pub(super) fn close_arrivals(&mut self) {
        let indexes: Vec<usize> = self.arrivals.iter().map(|(index, _)| index).collect();
        for index in indexes {
            self.close_arrival(index);
        }
    }

    fn close_arrival(&mut self, index: usize) {
        let arrival = self.arrivals.remove(index);
        self.leave(&arrival.place);
        self.ring.close(arrival.socket);
        self.count_connections();
    }

    // Counts.

    /// Counts a connection for the process and the listener, or says which has no room for it.
    fn enter(&mut self, listener_index: usize) -> Option<BoundFault> {
        let listener = &mut self.listeners[listener_index];
        if listener.connections >= listener.connections_max {
            self.counters.connections_refused += 1;
            return Some(BoundFault::ListenerConnections);
        }
        if !self.shared.enter(self.process_connections_max) {
            self.counters.connections_refused_process += 1;
            return Some(BoundFault::ProcessConnections);
        }
        listener.connections += 1;
        None
    }

    /// Counts a connection for its client, or says that the client has as many as it may. Then it
    /// gives up its place among those that have room.
    fn enter_client(&mut self, place: &mut Place, address: IpAddr) -> Option<BoundFault> {
        let policy = &place.offer.policy;
        let (scope, limits) = (policy.throttle_scope, &policy.throttle_limits);
        let Err(over) = policy.throttles.connect(self.now, scope, limits, address) else {
            place.client = Some(address);
            return None;
        };
        match over {
            Over::ConnectionsOfNetwork => self.counters.connections_refused_network += 1,
            Over::ConnectionsOfAddress
            | Over::MessagesOfAddress
            | Over::MessagesOfUser
            | Over::RecipientsOfAddress
            | Over::RecipientsOfUser => self.counters.connections_refused_address += 1,
        }
        self.leave(place);
        place.is_refused = true;
        self.listeners[place.listener].refused += 1;
        Some(BoundFault::Throttle(over))
    }

    /// Ends the counts of a connection.
    pub(super) fn leave(&mut self, place: &Place) {
        let listener = &mut self.listeners[place.listener];
        if place.is_refused {
            listener.refused -= 1;
            return;
        }
        listener.connections -= 1;
        self.shared.leave();
        self.leave_client(place);
    }

    fn leave_client(&self, place: &Place) {
        let policy = &place.offer.policy;
        if let Some(address) = place.client {
            policy.throttles.disconnect(policy.throttle_scope, &policy.throttle_limits, address);
        }
    }

    /// Counts a session for the client that its proxy has just named with XCLIENT, and no longer
    /// for the one before.
    pub(super) fn peer_changed(&mut self, index: usize) {
        let conditions = self.conditions();
        let session = &mut self.sessions[index];
        if session.place.is_refused {
            return;
        }
        let policy = Rc::clone(&session.place.offer.policy);
        let (scope, limits) = (policy.throttle_scope, &policy.throttle_limits);
        if let Some(address) = session.place.client.take() {
            policy.throttles.disconnect(scope, limits, address);
        }
        let address = session.machine.peer().address;
        match policy.throttles.connect(self.now, scope, limits, address) {
            Ok(()) => session.place.client = Some(address),
            Err(over) => {
                if over == Over::ConnectionsOfNetwork {
                    self.counters.connections_refused_network += 1;
                } else {
                    self.counters.connections_refused_address += 1;
                }
                let fault = Fault::Bound(BoundFault::Throttle(over));
                session.machine.refuse_peer(&conditions, fault);
            }
        }
    }

    pub(super) fn count_connections(&mut self) {
        self.counters.connections_in = (self.sessions.len() + self.arrivals.len()) as u64;
    }
}

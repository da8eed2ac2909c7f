//! The sockets of the resolver: each query has one of its own, so that a forged answer must guess
//! its port as well.
//!
//! # Bounds
//! One socket a query that the resolver has in flight; the resolver bounds those.

use std::collections::BTreeMap;
use std::io;

use crate::io::dns::{DnsTransmit, QueryId, Transport};
use crate::io::listen;
use crate::io::ring::{ReceivedBytes, SocketKey};

use super::relay::Stage;
use super::{Owner, Shard};

/// The sockets of queries in flight.
#[derive(Debug, Default)]
pub(super) struct QuerySockets(BTreeMap<QueryId, QuerySocket>);

#[derive(Debug)]
struct QuerySocket {
    socket: SocketKey,
    transport: Transport,
    /// The query, until the connection that shall carry it stands.
    waiting: Vec<u8>,
}

impl Shard {
    /// Sends what the resolver asks, closes what it is done with, and passes its answers on.
    pub(super) fn pump_names(&mut self) {
        if self.resolver.poll_timeout().is_some_and(|at| at <= self.now) {
            self.resolver.handle_timeout(self.now);
        }
        while let Some(transmit) = self.resolver.poll_transmit() {
            let query = transmit.query;
            if let Err(error) = self.send_query(transmit) {
                self.resolver.handle_failure(self.now, query, &error.to_string());
            }
        }
        while let Some(query) = self.resolver.poll_release() {
            self.close_query(query);
        }
        while let Some((id, result)) = self.resolver.poll_answer() {
            if let Some(index) = self.resolving.remove(&id)
                && matches!(self.connections[index].stage, Stage::Resolving(other) if other == id)
            {
                self.looked_up(index, result);
            }
        }
    }

    fn send_query(&mut self, transmit: DnsTransmit) -> io::Result<()> {
        let DnsTransmit { query, server, transport, message } = transmit;
        self.close_query(query);
        let owner = Owner::Query(query);
        let mut waiting = Vec::new();
        let socket = match transport {
            Transport::Udp => {
                let socket = self.ring.add(listen::datagram(server)?, owner);
                self.ring.receive(&socket);
                self.ring.send(&socket, message);
                socket
            }
            Transport::Tcp => {
                let socket = self.ring.add(listen::outbound(server)?, owner);
                self.ring.connect(&socket, server);
                waiting = message;
                socket
            }
        };
        self.queries.0.insert(query, QuerySocket { socket, transport, waiting });
        Ok(())
    }

    /// Takes the kernel's word on connecting to a name server.
    pub(super) fn query_connected(&mut self, query: QueryId, result: io::Result<()>) {
        let Some(socket) = self.queries.0.get_mut(&query) else { return };
        match result {
            Ok(()) => {
                self.ring.receive(&socket.socket);
                self.ring.send(&socket.socket, std::mem::take(&mut socket.waiting));
            }
            Err(error) => self.query_failed(query, &error),
        }
    }

    /// Takes what a name server sent.
    pub(super) fn query_received(&mut self, query: QueryId, bytes: &ReceivedBytes) {
        let Some(socket) = self.queries.0.get(&query) else { return };
        match socket.transport {
            Transport::Udp => self.resolver.handle_datagram(self.now, query, bytes),
            Transport::Tcp => self.resolver.handle_stream(self.now, query, bytes),
        }
    }

    /// Takes the end of a query's socket.
    pub(super) fn query_ended(&mut self, query: QueryId, error: Option<io::Error>) {
        let error = error.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
        self.query_failed(query, &error);
    }

    fn query_failed(&mut self, query: QueryId, error: &io::Error) {
        self.resolver.handle_failure(self.now, query, &error.to_string());
    }

    fn close_query(&mut self, query: QueryId) {
        if let Some(socket) = self.queries.0.remove(&query) {
            self.ring.close(socket.socket);
        }
    }
}

//! What scenarios are made of: processes, addresses, peers, and messages to send through them.

mod address;
mod aiosmtpd;
mod certificates;
mod config;
mod exim;
mod exim_server;
mod haproxy;
mod listener;
mod loadgen;
mod loop_disk;
mod mail;
mod metrics;
mod postfix;
mod postfix_client;
mod process;
mod refuser;
mod report;
mod ringpost;
mod scenario;
mod secure_senders;
mod secured;
mod senders;
mod sink;
mod smtp_sink;
mod socket;
mod spool;
mod unbound;

pub(crate) use address::random_bytes;
pub(crate) use aiosmtpd::{Aiosmtpd, Answer, python};
pub(crate) use certificates::{Certificate, Certificates};
pub(crate) use config::{Config, HOSTNAME};
pub(crate) use exim::Exim;
pub(crate) use exim_server::EximServer;
pub(crate) use haproxy::Haproxy;
pub(crate) use listener::Listener;
pub(crate) use loadgen::{LoadgenSink, LoadgenSource, loadgen_program};
pub(crate) use loop_disk::LoopDisk;
pub(crate) use mail::{Mail, assert_same_bytes, split_trace};
pub(crate) use postfix::Postfix;
pub(crate) use postfix_client::PostfixClient;
pub(crate) use process::{Finished, Signal, is_root, under};
pub(crate) use refuser::Refuser;
pub(crate) use report::Report;
pub(crate) use ringpost::{Ringpost, ringpost, serve};
pub(crate) use scenario::{Scenario, scenario};
pub(crate) use secure_senders::{Approach, PASSWORD, SecureSender, Tls, USER};
pub(crate) use secured::{Secured, auth_plain, stored_password};
pub(crate) use senders::{RECIPIENT, SENDER, Sender};
pub(crate) use sink::{Received, Sink, assert_arrived};
pub(crate) use smtp_sink::SmtpSink;
pub(crate) use socket::SmtpSocket;
pub(crate) use spool::fill_spool;
pub(crate) use unbound::{BROKEN_DOMAIN, Unbound, too_large_for_udp};

use std::time::Duration;

/// Long enough for any scenario that moves a handful of messages, on a busy machine with two CPUs
/// and a server built without optimisation.
pub(crate) const USUAL_LIMIT: Duration = Duration::from_secs(120);

/// Where servers of the tests listen for SMTP. Each listens on an address of its own. The number
/// lies below the range that the kernel takes client ports from.
pub(crate) const SMTP_PORT: u16 = 23_525;

/// Where a server of the tests listens for implicit TLS.
pub(crate) const SMTPS_PORT: u16 = 23_465;

/// Where Ringpost's admin HTTP listens in the tests.
pub(crate) const ADMIN_PORT: u16 = 23_825;

/// Where the name server of a scenario listens.
pub(crate) const DNS_PORT: u16 = 23_053;

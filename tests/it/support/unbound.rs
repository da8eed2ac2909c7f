//! `unbound` as the name server that the relay asks, with a zone of the scenario's own.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use super::DNS_PORT;
use super::process::Process;
use super::scenario::Scenario;

/// A domain for which the server answers SERVFAIL: its only upstream is one that it never asks.
pub(crate) const BROKEN_DOMAIN: &str = "broken.example";

/// Bytes that no answer over UDP can have (RFC 6891 §6.2.5 advises less, and unbound keeps to it).
const UDP_ANSWER_BYTES_MAX: usize = 4_096;

/// MX records of `domain` that do not fit in a UDP answer. `host` is preferred; the others do not
/// exist.
pub(crate) fn too_large_for_udp(domain: &str, host: &str) -> Vec<String> {
    let mut records = vec![format!("{domain}. 60 IN MX 1 {host}.")];
    let mut bytes = 0;
    while bytes < UDP_ANSWER_BYTES_MAX {
        let name = format!("absent-{:050}.{domain}", records.len());
        records.push(format!("{domain}. 60 IN MX 20 {name}."));
        // At least its first label stands in the answer uncompressed.
        bytes += name.len() - domain.len();
    }
    records
}

/// A running name server. Names below `test` exist only if a record was given.
#[derive(Debug)]
pub(crate) struct Unbound {
    _process: Process,
    address: SocketAddr,
}

impl Unbound {
    /// Starts one on an address of its own with these records, each as a zone file has it.
    pub(crate) fn start(test: &Scenario, records: &[String]) -> Self {
        let address = SocketAddr::from((test.address(), DNS_PORT));
        let directory = test.make_directory(&format!("unbound-{}", address.ip()));
        let data: String =
            records.iter().map(|record| format!("  local-data: '{record}'\n")).collect();
        let (ip, home) = (address.ip(), directory.display());
        let config = format!(
            "server:\n  \
               interface: {ip}@{DNS_PORT}\n  \
               port: {DNS_PORT}\n  \
               access-control: 127.0.0.0/8 allow\n  \
               directory: \"{home}\"\n  \
               pidfile: \"{home}/unbound.pid\"\n  \
               username: \"\"\n  \
               chroot: \"\"\n  \
               use-syslog: no\n  \
               logfile: \"\"\n  \
               log-queries: yes\n  \
               do-daemonize: no\n  \
               module-config: \"iterator\"\n  \
               do-not-query-localhost: yes\n  \
               local-zone: test. static\n\
             {data}\
             remote-control:\n  control-enable: no\n\
             forward-zone:\n  name: {BROKEN_DOMAIN}.\n  forward-addr: 127.0.0.1@9\n"
        );
        let file = directory.join("unbound.conf");
        fs::write(&file, config).expect("unbound.conf");
        let mut command = Command::new("/usr/sbin/unbound");
        let mut process = Process::start(test, command.arg("-d").arg("-c").arg(&file));
        // It binds the UDP socket before it starts to accept on the TCP one.
        process.wait_listening(test, address);
        Self { _process: process, address }
    }

    /// Where it answers, over UDP and TCP.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

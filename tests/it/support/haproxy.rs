//! HAProxy in front of a server, which it tells of its clients by the PROXY protocol.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use super::certificates::Certificate;
use super::process::Process;
use super::scenario::Scenario;
use super::{SMTP_PORT, SMTPS_PORT};

/// A running HAProxy on an address of its own.
#[derive(Debug)]
pub(crate) struct Haproxy {
    _process: Process,
    /// Tells of its clients by version 1.
    pub(crate) version_1: SocketAddr,
    /// By version 2, with a checksum and a name for each connection.
    pub(crate) version_2: SocketAddr,
    /// By version 2, with what it knows of their TLS, which ends here.
    pub(crate) with_tls: SocketAddr,
}

impl Haproxy {
    /// Starts one before `server`, which it looks after by SMTP. Its clients see `certificate`.
    pub(crate) fn start(test: &Scenario, server: SocketAddr, certificate: &Certificate) -> Self {
        let ip = test.address();
        let at = |port| SocketAddr::from((ip, port));
        let (version_1, version_2) = (at(SMTP_PORT), at(SMTP_PORT + 1));
        let with_tls = at(SMTPS_PORT);
        let pem = test.path().join("haproxy.pem");
        let parts = [&certificate.certificate, &certificate.key]
            .map(|it| fs::read_to_string(it).expect("a certificate or its key"));
        fs::write(&pem, parts.concat()).expect("a file for the certificate");
        let looked_after = "check check-send-proxy inter 100ms";
        let text = format!(
            "defaults\n  mode tcp\n  option smtpchk EHLO haproxy.test\n  \
             timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  timeout check 5s\n\
             listen one\n  bind {version_1}\n  \
             server ringpost {server} send-proxy {looked_after}\n\
             listen two\n  bind {version_2}\n  unique-id-format %{{+X}}o%ci:%cp\n  \
             server ringpost {server} send-proxy-v2 proxy-v2-options crc32c,unique-id \
             {looked_after}\n\
             listen tls\n  bind {with_tls} ssl crt {pem}\n  \
             server ringpost {server} send-proxy-v2-ssl-cn {looked_after}\n",
            pem = pem.display(),
        );
        let file = test.path().join("haproxy.cfg");
        fs::write(&file, text).expect("a file for the configuration");
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-db").arg("-f").arg(&file);
        let mut process = Process::start(test, &mut command);
        for address in [version_1, version_2, with_tls] {
            process.wait_listening(test, address);
        }
        Self { _process: process, version_1, version_2, with_tls }
    }
}

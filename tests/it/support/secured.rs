//! A server with certificates and users.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::aiosmtpd::Aiosmtpd;
use super::certificates::Certificates;
use super::config::Config;
use super::ringpost::{Ringpost, ringpost};
use super::scenario::Scenario;
use super::secure_senders::{PASSWORD, USER};
use super::sink::Sink;
use super::socket::SmtpSocket;

/// A server that speaks TLS and knows [`USER`], and the sink behind it.
#[derive(Debug)]
pub(crate) struct Secured {
    /// The server.
    pub(crate) server: Ringpost,
    /// Where its mail goes.
    pub(crate) sink: Aiosmtpd,
    /// The certificates of its clients and its own.
    pub(crate) certificates: Certificates,
    /// What it was started with.
    pub(crate) config: Config,
}

impl Secured {
    /// Starts one that offers STARTTLS and AUTH to everybody, with what `change` makes of that.
    pub(crate) fn start(
        test: &Scenario,
        change: impl FnOnce(Config, &Certificates) -> Config,
    ) -> Self {
        let sink = Aiosmtpd::start(test);
        let config = Config::relaying_to(test, sink.address());
        let certificates = Certificates::make(test, config.smtp_address().ip());
        let config = config
            .certificate(&certificates.server)
            .user(USER, &stored_password(test, PASSWORD, &[]))
            .set_listener("tls", "\"starttls\"")
            .set_listener("auth", "\"optional\"");
        let config = change(config, &certificates);
        let server = Ringpost::start(test, &config);
        Self { server, sink, certificates, config }
    }

    /// A session at the first listener, under TLS and past EHLO.
    pub(crate) fn session(&self, test: &Scenario) -> SmtpSocket {
        self.server.session().start_tls(test, &self.certificates.trust())
    }
}

/// The stored form of `password`, as the program makes it.
pub(crate) fn stored_password(test: &Scenario, password: &str, options: &[&str]) -> String {
    let mut command = ringpost(&[&["password"], options].concat());
    let made = test.run(&mut command, format!("{password}\n").as_bytes()).succeeded();
    made.output.trim_end().to_owned()
}

/// The command that authenticates by PLAIN (RFC 4616).
pub(crate) fn auth_plain(user: &str, password: &str) -> String {
    format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{user}\0{password}")))
}

//! Postfix as a client: an instance of the scenario's own, which relays all mail to one host.

use super::mail::Mail;
use super::postfix::PostfixInstance;
use super::scenario::Scenario;
use super::secure_senders::{Approach, Tls, USER};
use super::senders::{RECIPIENT, SENDER};
use super::socket::SmtpSocket;

/// A run of Postfix.
#[derive(Debug)]
pub(crate) struct PostfixClient;

impl PostfixClient {
    /// Sends `mail`; the error is what Postfix logged.
    pub(crate) fn send(
        test: &Scenario,
        approach: &Approach<'_>,
        mail: &Mail,
    ) -> Result<(), String> {
        Self::send_with(test, approach, mail, ["", ""])
    }

    /// Like [`PostfixClient::send`], with parameters of MAIL and RCPT that Postfix is given.
    pub(crate) fn send_with(
        test: &Scenario,
        approach: &Approach<'_>,
        mail: &Mail,
        [of_mail, of_rcpt]: [&str; 2],
    ) -> Result<(), String> {
        let instance = PostfixInstance::start(test, &main_cf(approach));
        // Through Postfix's own server, which is how other programs on a host reach it.
        let mut session = SmtpSocket::session(instance.address());
        session.command(&format!("MAIL FROM:<{SENDER}>{of_mail}"), "250");
        session.command(&format!("RCPT TO:<{RECIPIENT}>{of_rcpt}"), "250");
        session.content(&mail.content);
        let log = test.wait_for("Postfix to say what became of it", || {
            let log = instance.log();
            log.contains("status=").then_some(log)
        });
        if log.contains("status=sent") { Ok(()) } else { Err(log) }
    }
}

fn main_cf(approach: &Approach<'_>) -> String {
    let Approach { server, tls, authority, mechanism, password } = approach;
    let next_hop = format!("[{}]:{}", server.ip(), server.port());
    let mut text = format!("relayhost = {next_hop}\nmynetworks = 127.0.0.0/8\n");
    text.push_str("smtpd_recipient_restrictions = permit_mynetworks, reject\n");
    if *tls != Tls::None {
        text.push_str(&format!(
            "smtp_tls_security_level = encrypt\nsmtp_tls_CAfile = {}\nsmtp_tls_loglevel = 1\n",
            authority.display()
        ));
    }
    if *tls == Tls::Implicit {
        text.push_str("smtp_tls_wrappermode = yes\n");
    }
    if !mechanism.is_empty() {
        text.push_str(&format!(
            "smtp_sasl_auth_enable = yes\n\
             smtp_sasl_password_maps = inline:{{ {{ {next_hop} = {USER}:{password} }} }}\n\
             smtp_sasl_security_options = noanonymous\n\
             smtp_sasl_tls_security_options = noanonymous\n\
             smtp_sasl_mechanism_filter = {mechanism}\n"
        ));
    }
    text
}

//! Clients that other people wrote, with TLS and authentication.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::{
    Aiosmtpd, Approach, Certificates, Config, Mail, PASSWORD, Ringpost, SMTPS_PORT, Scenario,
    SecureSender, Tls, USER, USUAL_LIMIT, assert_arrived, scenario, stored_password,
};

/// So many that each of two shards has some of them.
const SESSIONS: usize = 32;

/// A server that takes mail only from users, by STARTTLS at one port and by implicit TLS at
/// another, and the sink behind it.
struct Submission {
    server: Ringpost,
    sink: Aiosmtpd,
    certificates: Certificates,
    starttls: SocketAddr,
    implicit: SocketAddr,
}

impl Submission {
    fn start(test: &Scenario, stored_password: &str) -> Self {
        let sink = Aiosmtpd::start(test);
        let config = Config::relaying_to(test, crate::support::Sink::address(&sink));
        let starttls = config.smtp_address();
        let implicit = config.address_at(SMTPS_PORT);
        let certificates = Certificates::make(test, starttls.ip());
        let config = config
            .certificate(&certificates.server)
            .user(USER, stored_password)
            .set_listener("role", "\"submission\"")
            .set_listener("auth", "\"required\"")
            // Nobody relays by address here: who gets through has authenticated.
            .set_listener("relay_from", "[]")
            .set_listener("tls", "\"starttls\"")
            .listen_with(implicit, &[("tls", "\"implicit\"")]);
        let server = Ringpost::start(test, &config);
        Self { server, sink, certificates, starttls, implicit }
    }

    fn approach(&self, tls: Tls, mechanism: &'static str) -> Approach<'_> {
        Approach {
            server: if tls == Tls::Implicit { self.implicit } else { self.starttls },
            tls,
            authority: &self.certificates.authority,
            mechanism,
            password: PASSWORD,
        }
    }
}

/// `sender` gets its mail through by each of the ways, and none in with a wrong password or
/// without one.
fn submits(sender: SecureSender, mechanisms: &'static [&'static str], scram: bool) {
    scenario(USUAL_LIMIT, move |test| {
        let options: &[&str] = if scram { &["--scram"] } else { &[] };
        let submission = Submission::start(test, &stored_password(test, PASSWORD, options));
        let mut mails = Vec::new();
        for &mechanism in mechanisms {
            for tls in [Tls::Starttls, Tls::Implicit] {
                let mail = Mail::small(&format!("{mechanism}-{tls:?}"));
                sender.send(test, &submission.approach(tls, mechanism), &mail);
                mails.push(mail);
            }
        }
        let approach = submission.approach(Tls::Starttls, mechanisms[0]);
        let wrong = Approach { password: "not the password", ..approach };
        let refused = sender.try_send(test, &wrong, &Mail::small("wrong"));
        assert!(refused.expect_err("a wrong password").contains("535"), "not for the password");
        let nameless = Approach { mechanism: "", ..approach };
        let refused = sender.try_send(test, &nameless, &Mail::small("nameless"));
        assert!(refused.expect_err("no password").contains("530"), "not for want of AUTH");
        assert_arrived(test, &submission.sink, &mails, hops(sender));
        submission.server.stop(test);
    });
}

/// Difficult mail is the same under TLS, where records and buffers cut it anew.
fn submits_difficult_mail(sender: SecureSender) {
    scenario(USUAL_LIMIT, move |test| {
        let submission = Submission::start(test, &stored_password(test, PASSWORD, &[]));
        let mails = Mail::difficult();
        for (number, mail) in mails.iter().enumerate() {
            let tls = if number % 2 == 0 { Tls::Implicit } else { Tls::Starttls };
            sender.send(test, &submission.approach(tls, "PLAIN"), mail);
        }
        assert_arrived(test, &submission.sink, &mails, hops(sender));
    });
}

#[test]
fn curl_submits_difficult_mail() {
    submits_difficult_mail(SecureSender::Curl);
}

#[test]
fn exim_submits_difficult_mail_in_chunks() {
    submits_difficult_mail(SecureSender::Exim);
}

#[test]
fn smtplib_submits_difficult_mail() {
    submits_difficult_mail(SecureSender::Smtplib);
}

/// Trace fields of a message: that of Ringpost, and those of a client that is a server itself.
fn hops(sender: SecureSender) -> usize {
    match sender {
        SecureSender::Exim | SecureSender::Postfix => 2,
        SecureSender::Aiosmtplib
        | SecureSender::Curl
        | SecureSender::Msmtp
        | SecureSender::Nodemailer
        | SecureSender::Smtplib
        | SecureSender::Swaks => 1,
    }
}

/// A proof that was overheard must be of no use at any other session, whichever shard has it.
#[test]
fn no_shard_repeats_a_nonce_of_another() {
    scenario(USUAL_LIMIT, |test| {
        let config = Config::new(test)
            .shards(2)
            .user(USER, &stored_password(test, PASSWORD, &["--scram"]))
            .set_listener("auth", "\"optional\"")
            .set_listener("auth_without_tls", true);
        let server = Ringpost::start(test, &config);
        let first = STANDARD.encode(format!("n,,n={USER},r=the-same-nonce"));
        let mut challenges = BTreeSet::new();
        for _ in 0..SESSIONS {
            let challenge =
                server.session().command(&format!("AUTH SCRAM-SHA-256 {first}"), "334 ");
            challenges.insert(challenge.text());
        }
        assert_eq!(challenges.len(), SESSIONS);
        server.stop(test);
    });
}

#[test]
fn aiosmtplib_submits() {
    submits(SecureSender::Aiosmtplib, &["PLAIN", "LOGIN"], false);
}

#[test]
fn curl_submits() {
    submits(SecureSender::Curl, &["PLAIN", "LOGIN"], false);
}

#[test]
fn exim_submits() {
    submits(SecureSender::Exim, &["PLAIN", "LOGIN"], false);
}

#[test]
fn msmtp_submits_with_scram() {
    submits(SecureSender::Msmtp, &["SCRAM-SHA-256", "PLAIN", "LOGIN"], true);
}

#[test]
fn nodemailer_submits() {
    submits(SecureSender::Nodemailer, &["PLAIN", "LOGIN"], false);
}

#[test]
fn postfix_submits() {
    submits(SecureSender::Postfix, &["PLAIN", "LOGIN"], false);
}

#[test]
fn smtplib_submits_with_channel_binding() {
    submits(SecureSender::Smtplib, &["SCRAM-SHA-256-PLUS", "PLAIN", "LOGIN"], true);
}

#[test]
fn swaks_submits() {
    submits(SecureSender::Swaks, &["PLAIN", "LOGIN"], false);
}

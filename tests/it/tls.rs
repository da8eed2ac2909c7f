//! TLS as OpenSSL sees it: certificates of both sides, resumption, and what is refused.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::support::{
    Certificate, Certificates, Config, Finished, Mail, PASSWORD, RECIPIENT, SENDER, SMTPS_PORT,
    Scenario, Secured, Signal, SmtpSocket, USER, USUAL_LIMIT, assert_arrived, auth_plain, scenario,
    stored_password,
};

/// What `openssl s_client` says about a connection on which it sends `QUIT`.
fn s_client(test: &Scenario, server: SocketAddr, options: &[&str]) -> Finished {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-ign_eof", "-connect", &server.to_string()]).args(options);
    test.run(&mut command, b"QUIT\r\n")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}

/// A server with a listener for implicit TLS beside the usual one.
fn with_implicit(config: Config) -> Config {
    let implicit = config.address_at(SMTPS_PORT);
    config.listen_with(implicit, &[("tls", "\"implicit\"")])
}

/// Clients that prove by a certificate who they are, and relay by its name.
#[test]
fn client_certificates_let_relay_by_name() {
    scenario(USUAL_LIMIT, |test| {
        let secured = Secured::start(test, |config, certificates| {
            let required = config.address_at(SMTPS_PORT + 1);
            with_implicit(config)
                .set("tls", "client_ca", format!("{:?}", text(&certificates.authority)))
                .set_listener("client_certificates", "\"optional\"")
                .set_listener("relay_certificates", "[\"friend.test\"]")
                .set_listener("relay_from", "[]")
                .listen_with(
                    required,
                    &[("client_certificates", "\"required\""), ("tls", "\"implicit\"")],
                )
        });
        let [starttls, implicit, required]: [SocketAddr; 3] =
            secured.config.smtp_addresses().try_into().expect("three listeners");
        let trust = secured.certificates.trust();
        let friend = secured.certificates.sign(test, "friend", "DNS:friend.test");
        let other = secured.certificates.sign(test, "other", "DNS:other.test");
        let shows = |one: &Certificate| {
            ["-cert", text(&one.certificate), "-key", text(&one.key)].map(str::to_owned)
        };
        let options = |shown: &[String]| -> Vec<String> {
            trust.iter().map(|it| (*it).to_owned()).chain(shown.iter().cloned()).collect()
        };
        let by = |address: SocketAddr, shown: &[String]| {
            let options = options(shown);
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            if address == starttls {
                return SmtpSocket::session(address).start_tls(test, &options);
            }
            let mut session = SmtpSocket::connect(address).secure(test, &options);
            session.expect("220");
            session.command("EHLO client.test", "250");
            session
        };
        let mut mails = Vec::new();
        for address in [starttls, implicit, required] {
            let mail = Mail::small(&format!("friend-{}", address.port()));
            by(address, &shows(&friend)).deliver(SENDER, RECIPIENT, &mail.content);
            mails.push(mail);
            let mut session = by(address, &shows(&other));
            session.command(&format!("MAIL FROM:<{SENDER}>"), "250");
            session.command(&format!("RCPT TO:<{RECIPIENT}>"), "550 5.7.1");
        }
        for address in [starttls, implicit] {
            let mut session = by(address, &[]);
            session.command(&format!("MAIL FROM:<{SENDER}>"), "250");
            session.command(&format!("RCPT TO:<{RECIPIENT}>"), "550 5.7.1");
        }
        let none = s_client(test, required, &trust);
        assert!(!none.output.contains("\n220 "), "{}", none.output);
        assert!(none.errors.contains("certificate required"), "{}", none.errors);
        // Signed by nobody that the server trusts, though by the right name.
        let foreign = Certificates::make(test, [127, 0, 0, 1].into());
        let pretender = foreign.sign(test, "friend", "DNS:friend.test");
        let shown = options(&shows(&pretender));
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        let refused = s_client(test, required, &shown);
        assert!(!refused.output.contains("\n220 "), "{}", refused.output);
        assert!(refused.errors.contains("SSL alert number"), "{}", refused.errors);
        // Where it need not show any it is served like one that shows none.
        let mut session = by(implicit, &shows(&pretender));
        session.command(&format!("MAIL FROM:<{SENDER}>"), "250");
        session.command(&format!("RCPT TO:<{RECIPIENT}>"), "550 5.7.1");
        let failed = secured.server.metrics().value("ringpost_tls_handshakes_failed_total");
        assert_eq!(failed, 2.0);
        assert_arrived(test, &secured.sink, &mails, 1);
    });
}

/// A session that began where no certificate is asked for is none where one is required, or whoever
/// has a ticket of the one port would pass at the other (as in CVE-2025-23419).
#[test]
fn resumption_does_not_stand_in_for_a_certificate() {
    scenario(USUAL_LIMIT, |test| {
        let secured = Secured::start(test, |config, certificates| {
            let [optional, required] = [1, 2].map(|more| config.address_at(SMTPS_PORT + more));
            with_implicit(config)
                .set("tls", "client_ca", format!("{:?}", text(&certificates.authority)))
                .listen_with(
                    optional,
                    &[("client_certificates", "\"optional\""), ("tls", "\"implicit\"")],
                )
                .listen_with(
                    required,
                    &[("client_certificates", "\"required\""), ("tls", "\"implicit\"")],
                )
        });
        let [_, off, optional, required]: [SocketAddr; 4] =
            secured.config.smtp_addresses().try_into().expect("four listeners");
        for version in ["-tls1_2", "-tls1_3"] {
            for open in [off, optional] {
                let file = test.path().join(format!("session{version}-{}", open.port()));
                s_client(test, open, &[version, "-sess_out", text(&file)]).succeeded();
                let again = s_client(test, open, &[version, "-sess_in", text(&file)]).succeeded();
                assert!(again.output.contains("Reused, "), "{}", again.output);
                let refused = s_client(test, required, &[version, "-sess_in", text(&file)]);
                assert!(!refused.output.contains("\n220 "), "{version}: {}", refused.output);
                assert!(refused.errors.contains("SSL alert number"), "{}", refused.errors);
            }
        }
    });
}

/// The client's choice of a name decides which certificate it sees.
#[test]
fn certificate_is_chosen_by_name() {
    scenario(USUAL_LIMIT, |test| {
        let secured = Secured::start(test, |config, certificates| {
            let one = certificates.sign(test, "one", "DNS:one.test,DNS:*.one.test");
            let two = certificates.sign(test, "two", "DNS:two.test");
            let table = |it: &Certificate| {
                format!("{{ certificate = {:?}, key = {:?} }}", it.certificate, it.key)
            };
            with_implicit(config).set("tls", "sni", format!("[{}, {}]", table(&one), table(&two)))
        });
        let [starttls, implicit]: [SocketAddr; 2] =
            secured.config.smtp_addresses().try_into().expect("two listeners");
        for (name, subject) in [
            ("one.test", "CN = one"),
            ("ONE.test", "CN = one"),
            ("mx.one.test", "CN = one"),
            ("two.test", "CN = two"),
            ("ringpost.test", "CN = server"),
            ("unknown.test", "CN = server"),
            ("a.mx.one.test", "CN = server"),
        ] {
            for (address, way) in [(implicit, None), (starttls, Some(["-starttls", "smtp"]))] {
                let mut options = secured.certificates.trust().to_vec();
                options.extend(["-servername", name]);
                options.extend(way.iter().flatten());
                let shown = s_client(test, address, &options).succeeded();
                let leaf = shown.output.lines().find(|line| line.starts_with("subject="));
                assert_eq!(leaf, Some(&*format!("subject={subject}")), "{name}");
            }
        }
        let nameless = s_client(test, implicit, &["-noservername"]).succeeded();
        assert!(nameless.output.contains("subject=CN = server"), "{}", nameless.output);
    });
}

/// A client that comes back need not shake hands in full, and a reload does not change that.
#[test]
fn sessions_are_resumed_even_after_a_reload() {
    scenario(USUAL_LIMIT, |test| {
        let mut secured = Secured::start(test, |config, _| with_implicit(config));
        let implicit = secured.config.smtp_addresses()[1];
        let mut resumed = 0.0;
        for version in ["-tls1_2", "-tls1_3"] {
            let file = test.path().join(format!("session{version}"));
            let mut options = secured.certificates.trust().to_vec();
            options.push(version);
            let first = [&options[..], &["-sess_out", text(&file)]].concat();
            let first = s_client(test, implicit, &first).succeeded();
            assert!(first.output.contains("New, "), "{}", first.output);
            options.extend(["-sess_in", text(&file)]);
            for is_reloaded in [false, true] {
                if is_reloaded {
                    secured.server.reload(test, &secured.config);
                }
                let next = s_client(test, implicit, &options).succeeded();
                assert!(next.output.contains("Reused, "), "{version}: {}", next.output);
                resumed += 1.0;
            }
        }
        let metrics = secured.server.metrics();
        assert_eq!(metrics.value("ringpost_tls_handshakes_resumed_total"), resumed);
    });
}

/// What is no handshake, or an outdated one, ends that connection and no other.
#[test]
fn failed_handshake_costs_one_connection() {
    scenario(USUAL_LIMIT, |test| {
        let secured = Secured::start(test, |config, _| with_implicit(config));
        let [starttls, implicit]: [SocketAddr; 2] =
            secured.config.smtp_addresses().try_into().expect("two listeners");
        let trust = secured.certificates.trust();
        let mut staying = SmtpSocket::session(starttls).start_tls(test, &trust);
        for garbage in [
            &b"EHLO client.test\r\n"[..],
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\xff\xff",
            b"\x16\x03\x01\x00\x02\x01\x00\x16\x03\x01\x00\x02\xff\xff",
            b"\x80\x2e\x01\x00\x02",
            &[0; 20_000],
        ] {
            for address in [starttls, implicit] {
                let mut session = SmtpSocket::connect(address);
                if address == starttls {
                    session.expect("220");
                    session.command("EHLO client.test", "250");
                    session.command("STARTTLS", "220");
                }
                session.try_send(garbage);
                session.finish_sending();
                session.drain();
            }
        }
        for version in ["-tls1", "-tls1_1"] {
            let old = s_client(test, implicit, &[version, "-cipher", "DEFAULT@SECLEVEL=0"]);
            assert!(old.errors.contains("SSL alert number"), "{}", old.errors);
        }
        let distrust = s_client(test, implicit, &["-verify_return_error"]);
        assert!(!distrust.output.contains("\n220 "), "{}", distrust.output);
        test.wait_until("the failures to be counted", || {
            secured.server.metrics().value("ringpost_tls_handshakes_failed_total") >= 14.0
        });
        let mail = Mail::small("staying");
        staying.deliver(SENDER, RECIPIENT, &mail.content);
        assert_arrived(test, &secured.sink, &[mail], 1);
    });
}

/// SIGHUP: users, certificates and limits are those of the new file for whoever comes next, and
/// whoever is there stays.
#[test]
fn reload_changes_users_certificates_and_limits() {
    scenario(USUAL_LIMIT, |test| {
        let mut secured = Secured::start(test, |config, _| {
            with_implicit(config).set_listener("message_max_bytes", 2_000_000)
        });
        let trust = secured.certificates.trust().map(str::to_owned);
        let trust = [&*trust[0], &*trust[1], &*trust[2]];
        let implicit = secured.config.smtp_addresses()[1];
        let mut staying = secured.session(test);
        staying.command(&auth_plain(USER, PASSWORD), "235");
        staying.envelope(SENDER, RECIPIENT);
        let mut plain = secured.server.session();

        let renewed = secured.certificates.sign(test, "renewed", "DNS:ringpost.test");
        let config = secured
            .config
            .clone()
            .without_users()
            .user("newcomer", &stored_password(test, "new password", &[]))
            .certificate(&renewed)
            .set_listener("message_max_bytes", 1_000_000);
        secured.server.reload(test, &config);

        let shown = s_client(test, implicit, &trust).succeeded();
        assert!(shown.output.contains("subject=CN = renewed"), "{}", shown.output);
        let mut newcomer = secured.session(test);
        newcomer.command(&auth_plain(USER, PASSWORD), "535 5.7.8");
        newcomer.command(&auth_plain("newcomer", "new password"), "235");
        newcomer.command(&format!("MAIL FROM:<{SENDER}> SIZE=1500000"), "552 5.3.4");
        // Those who were there go on under what they began with.
        let mail = Mail::small("staying");
        staying.command("DATA", "354");
        staying.send(&mail.content);
        staying.send(b".\r\n");
        staying.expect("250");
        plain.command(&format!("MAIL FROM:<{SENDER}> SIZE=1500000"), "250");
        assert_arrived(test, &secured.sink, &[mail], 1);

        // The same file, but another certificate in it.
        for (from, to) in [
            (&secured.certificates.server.certificate, &renewed.certificate),
            (&secured.certificates.server.key, &renewed.key),
        ] {
            std::fs::copy(from, to).expect("a certificate takes another's place");
        }
        secured.server.reload(test, &config);
        let shown = s_client(test, implicit, &trust).succeeded();
        assert!(shown.output.contains("subject=CN = server"), "{}", shown.output);
    });
}

/// A reload whose certificate is no good changes nothing.
#[test]
fn reload_with_a_bad_certificate_is_refused() {
    scenario(USUAL_LIMIT, |test| {
        let mut secured = Secured::start(test, |config, _| with_implicit(config));
        let other = secured.certificates.sign(test, "other", "DNS:ringpost.test");
        let own = secured.certificates.server.clone();
        for (number, (certificate, key)) in
            [(&own.certificate, &other.key), (&own.certificate, &own.certificate)]
                .iter()
                .enumerate()
        {
            let bad = Certificate { certificate: (*certificate).clone(), key: (*key).clone() };
            let config = secured.config.clone().certificate(&bad);
            std::fs::write(secured.server.config_file(), config.to_toml()).expect("a file");
            secured.server.process().signal(Signal::HUP);
            test.wait_until("the refusal", || {
                let log = secured.server.process().errors();
                log.matches("the configuration is refused, the old one stays").count() > number
            });
            let implicit = secured.config.smtp_addresses()[1];
            let trust = secured.certificates.trust();
            let shown = s_client(test, implicit, &trust).succeeded();
            assert!(shown.output.contains("subject=CN = server"), "{}", shown.output);
        }
    });
}

//! Who is believed: proxies and their clients, addresses, and users.

use std::net::SocketAddr;
use std::process::Command;

use crate::support::{
    Aiosmtpd, Config, Haproxy, Mail, PASSWORD, RECIPIENT, Received, Ringpost, SENDER, SMTPS_PORT,
    Scenario, Secured, Sink, SmtpSocket, USER, USUAL_LIMIT, assert_arrived, auth_plain, scenario,
    split_trace, stored_password,
};

/// A client that the scenarios let relay, if somebody who is believed says that it is there.
const INSIDER: &str = "192.0.2.7";

fn serving(test: &Scenario, change: impl FnOnce(Config) -> Config) -> (Aiosmtpd, Ringpost) {
    let sink = Aiosmtpd::start(test);
    let config = change(Config::relaying_to(test, sink.address()));
    let server = Ringpost::start(test, &config);
    (sink, server)
}

/// Relays for [`INSIDER`] and its like alone, and listens to proxies on this host.
fn behind_proxies(config: Config) -> Config {
    config
        .set_listener("proxy_from", "[\"127.0.0.0/8\"]")
        .set_listener("relay_from", "[\"192.0.2.0/24\", \"2001:db8::/32\"]")
        .set_listener("deny_from", "[\"192.0.2.66/32\", \"2001:db8:bad::/48\"]")
}

/// swaks with one message for `server`.
fn swaks(server: SocketAddr, mail: &Mail) -> Command {
    let mut command = Command::new("swaks");
    command.args(["--server", &server.ip().to_string(), "--port", &server.port().to_string()]);
    command.args(["--from", SENDER, "--to", RECIPIENT, "--helo", "swaks.test"]);
    let content = String::from_utf8(mail.content_lf()).expect("a message in ASCII");
    command.args(["--data", content.trim_end()]);
    command
}

/// The topmost trace field, as text.
fn trace(message: &Received) -> String {
    let (fields, _) = split_trace(&message.content, &["Received"]);
    fields.first().expect("a trace field").escape_ascii().to_string()
}

/// Both versions of the PROXY protocol, as swaks speaks them.
#[test]
fn proxied_clients_are_known_by_their_own_addresses() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, server) = serving(test, behind_proxies);
        let send = |mail: &Mail, version: &str, family: &str, source: &str, destination: &str| {
            let mut command = swaks(server.smtp_address(), mail);
            command.args(["--proxy-version", version, "--proxy-family", family]);
            if version == "2" {
                command.args(["--proxy-protocol", "STREAM", "--proxy-command", "PROXY"]);
            }
            command.args(["--proxy-source", source, "--proxy-source-port", "40000"]);
            command.args(["--proxy-dest", destination, "--proxy-dest-port", "25"]);
            test.run(&mut command, b"")
        };
        let ways = [
            ("1", "TCP4", INSIDER, "192.0.2.1"),
            ("1", "TCP6", "2001:db8::7", "2001:db8::1"),
            ("2", "AF_INET", INSIDER, "192.0.2.1"),
            ("2", "AF_INET6", "2001:db8::7", "2001:db8::1"),
        ];
        let mut mails = Vec::new();
        for (version, family, source, destination) in ways {
            let mail = Mail::small(&format!("proxied-{version}-{family}"));
            send(&mail, version, family, source, destination).succeeded();
            mails.push(mail);
        }
        assert_arrived(test, &sink, &mails, 1);
        for message in sink.received() {
            let is_v6 = message.subject().is_some_and(|subject| subject.ends_with('6'));
            let source = if is_v6 { "IPv6:2001:db8::7" } else { INSIDER };
            assert!(trace(&message).contains(&format!("([{source}])")), "{}", trace(&message));
        }
        // The rules for addresses are for the client's, not the proxy's.
        let stranger = send(&Mail::small("stranger"), "1", "TCP4", "198.51.100.1", "192.0.2.1");
        assert!(stranger.output.contains("550 5.7.1 Relaying denied"), "{}", stranger.output);
        let denied = send(&Mail::small("denied"), "2", "AF_INET", "192.0.2.66", "192.0.2.1");
        assert!(denied.output.contains("554 Access denied"), "{}", denied.output);
    });
}

/// HAProxy passes clients on, and looks now and then whether the server is there.
#[test]
fn haproxy_passes_its_clients_on() {
    scenario(USUAL_LIMIT, |test| {
        let secured = Secured::start(test, |config, _| {
            config
                .set_listener("proxy_from", "[\"127.0.0.0/8\"]")
                .set_listener("relay_from", "[\"127.0.1.1/32\"]")
        });
        let server = secured.server.smtp_address();
        let haproxy = Haproxy::start(test, server, &secured.certificates.server);
        let mut mails = Vec::new();
        for address in [haproxy.version_1, haproxy.version_2, haproxy.with_tls] {
            let connect = |source: [u8; 4]| {
                let session = SmtpSocket::connect_from(source.into(), address);
                let is_protected = address == haproxy.with_tls;
                let mut session = if is_protected {
                    session.secure(test, &secured.certificates.trust())
                } else {
                    session
                };
                session.expect("220");
                session.command("EHLO client.test", "250");
                session
            };
            let mail = Mail::small(&format!("by-{}", address.port()));
            connect([127, 0, 1, 1]).deliver(SENDER, RECIPIENT, &mail.content);
            mails.push(mail);
            let mut stranger = connect([127, 0, 1, 2]);
            stranger.command(&format!("MAIL FROM:<{SENDER}>"), "250");
            stranger.command(&format!("RCPT TO:<{RECIPIENT}>"), "550 5.7.1");
        }
        assert_arrived(test, &secured.sink, &mails, 1);
        for message in secured.sink.received() {
            assert!(trace(&message).contains("([127.0.1.1])"), "{}", trace(&message));
        }
        let opened = "ringpost_smtp_connections_opened_total";
        let before = secured.server.metrics().value(opened);
        test.wait_until("more looks of the proxy", || {
            secured.server.metrics().value(opened) > before + 5.0
        });
        let refused = secured.server.metrics().value("ringpost_proxy_headers_refused_total");
        assert_eq!(refused, 0.0);
    });
}

/// A PROXY header of version 2: command, family and protocol, and what stands behind the length.
fn proxy_v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("a short block").to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, block].concat()
}

/// The addresses and ports of [`INSIDER`] and a server in version 2.
const INSIDER_V2: [u8; 12] = [192, 0, 2, 7, 192, 0, 2, 1, 0x9c, 0x40, 0, 25];

/// A header is believed to the byte or not at all, and the client's bytes begin right behind it.
#[test]
fn proxy_header_is_taken_whole_or_ends_the_connection() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, mut server) = serving(test, behind_proxies);
        let v1 = |line: &str| format!("PROXY {line}\r\n").into_bytes();
        let insider_v1 = v1("TCP4 192.0.2.7 192.0.2.1 40000 25");
        let insider_v2 = proxy_v2(0x21, 0x11, &INSIDER_V2);
        // A further field of version 2 is skipped: here one for the name that TLS asked for.
        let named = [&INSIDER_V2[..], &[2, 0, 4], b"name"].concat();
        let mut mails = Vec::new();
        for header in [&insider_v1, &insider_v2, &proxy_v2(0x21, 0x11, &named)] {
            for is_cut in [false, true] {
                let mut session = SmtpSocket::connect(server.smtp_address());
                if is_cut {
                    header.iter().for_each(|byte| session.send(&[*byte]));
                    session.expect("220");
                    session.command("EHLO client.test", "250");
                } else {
                    session.send(&[header, &b"EHLO client.test\r\n"[..]].concat());
                    session.expect("220");
                    session.expect("250");
                }
                let mail = Mail::small(&format!("header-{}", mails.len()));
                session.deliver(SENDER, RECIPIENT, &mail.content);
                mails.push(mail);
            }
        }
        assert_arrived(test, &sink, &mails, 1);
        // The proxy speaks for itself, and may not relay.
        for header in [v1("UNKNOWN"), proxy_v2(0x20, 0, b""), proxy_v2(0x21, 0x00, b"")] {
            let mut session = SmtpSocket::connect(server.smtp_address());
            session.send(&header);
            session.expect("220");
            session.command("EHLO client.test", "250");
            session.command(&format!("MAIL FROM:<{SENDER}>"), "250");
            session.command(&format!("RCPT TO:<{RECIPIENT}>"), "550 5.7.1");
        }
        let refused_before = server.metrics().value("ringpost_proxy_headers_refused_total");
        let bad = [
            b"EHLO client.test\r\n".to_vec(),
            v1("TCP4 192.0.2.7 192.0.2.1 40000"),
            v1("TCP4 192.0.2.7 192.0.2.1 40000 99999"),
            v1("TCP4 192.0.2.7 192.0.2.1 040 25"),
            v1("TCP4 2001:db8::7 192.0.2.1 40000 25"),
            v1("TCP6 192.0.2.7 192.0.2.1 40000 25"),
            v1("tcp4 192.0.2.7 192.0.2.1 40000 25"),
            v1(" TCP4 192.0.2.7 192.0.2.1 40000 25"),
            v1(&"UNKNOWN ".repeat(20)),
            b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 25\nEHLO client.test\r\n".to_vec(),
            proxy_v2(0x31, 0x11, &INSIDER_V2),
            proxy_v2(0x22, 0x11, &INSIDER_V2),
            proxy_v2(0x21, 0x41, &INSIDER_V2),
            proxy_v2(0x21, 0x11, &INSIDER_V2[..11]),
            proxy_v2(0x21, 0x21, &INSIDER_V2),
            proxy_v2(0x21, 0x11, &[&INSIDER_V2[..], &[3, 0, 4, 1, 2, 3, 4]].concat()),
            proxy_v2(0x21, 0x11, &[&INSIDER_V2[..], &[3, 0, 9, 1]].concat()),
            proxy_v2(0x21, 0x11, &[0; 60_000]),
        ];
        for header in &bad {
            let mut session = SmtpSocket::connect(server.smtp_address());
            session.send(header);
            // Not a word: who says something else than a header may not speak SMTP at all.
            assert_eq!(session.replies_until_closed(), [], "{}", header.escape_ascii());
        }
        let refused = server.metrics().value("ringpost_proxy_headers_refused_total");
        assert_eq!(refused - refused_before, bad.len() as f64);
        server.wait_queue_empty(test);
    });
}

/// Whoever is not listed as a proxy may say what it likes.
#[test]
fn proxy_header_of_a_stranger_is_a_bad_command() {
    scenario(USUAL_LIMIT, |test| {
        let only = |config: Config| {
            behind_proxies(config).set_listener("proxy_from", "[\"198.51.100.0/24\"]")
        };
        let (_sink, server) = serving(test, only);
        for header in [
            b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 25\r\n".to_vec(),
            proxy_v2(0x21, 0x11, &INSIDER_V2),
        ] {
            let mut session = SmtpSocket::greeted(server.smtp_address());
            session.send(&header);
            session.expect("500 5.5.2");
            session.send(b"\r\n");
            while !session.ask("NOOP").text().starts_with("250") {}
            session.send(b"EHLO client.test\r\n");
            while !session.reply().text().starts_with("250 ringpost.test") {}
            session.command(&format!("MAIL FROM:<{SENDER}>"), "250");
            session.command(&format!("RCPT TO:<{RECIPIENT}>"), "550 5.7.1");
        }
    });
}

/// TLS begins behind the header, as haproxy passes it through.
#[test]
fn implicit_tls_begins_behind_the_proxy_header() {
    scenario(USUAL_LIMIT, |test| {
        let secured = Secured::start(test, |config, _| {
            let implicit = config.address_at(SMTPS_PORT);
            behind_proxies(config).listen_with(implicit, &[("tls", "\"implicit\"")])
        });
        let implicit = secured.config.smtp_addresses()[1];
        let mut session = SmtpSocket::connect(implicit);
        session.send(&proxy_v2(0x21, 0x11, &INSIDER_V2));
        let mut session = session.secure(test, &secured.certificates.trust());
        session.expect("220");
        session.command("EHLO client.test", "250");
        let mail = Mail::small("behind");
        session.deliver(SENDER, RECIPIENT, &mail.content);
        assert_arrived(test, &secured.sink, &[mail], 1);
        let trace = trace(&secured.sink.received()[0]);
        assert!(trace.contains("([192.0.2.7])") && trace.contains("with ESMTPS"), "{trace}");
        // One who is denied gets no handshake.
        let mut denied = SmtpSocket::connect(implicit);
        denied.send(b"PROXY TCP4 192.0.2.66 192.0.2.1 40000 25\r\n");
        assert_eq!(denied.replies_until_closed(), []);
    });
}

/// XCLIENT, as swaks speaks it.
#[test]
fn xclient_speaks_for_others_where_it_is_allowed() {
    scenario(USUAL_LIMIT, |test| {
        let listed = |config: Config| {
            behind_proxies(config)
                .set_listener("proxy_from", "[]")
                .set_listener("xclient_from", "[\"127.0.0.0/8\"]")
        };
        let (sink, server) = serving(test, listed);
        let mail = Mail::small("xclient");
        let mut command = swaks(server.smtp_address(), &mail);
        command.args(["--xclient-addr", INSIDER, "--xclient-name", "inner.test"]);
        command.args(["--xclient-helo", "said.inner.test", "--xclient-proto", "ESMTP"]);
        test.run(&mut command, b"").succeeded();
        assert_arrived(test, &sink, &[mail], 1);
        let trace = trace(&sink.received()[0]);
        // The client says EHLO anew, and that counts.
        assert!(trace.contains("([192.0.2.7])"), "{trace}");
        let mut denied = server.session();
        denied.command("XCLIENT ADDR=192.0.2.66", "554");
        denied.command("MAIL FROM:<a@source.test>", "503");
        denied.command("QUIT", "221");
        let mut session = server.session();
        for bad in [
            "XCLIENT",
            "XCLIENT ADDR",
            "XCLIENT ADDR=192.0.2.300",
            "XCLIENT ADDR=192.0.2.7+0D+0AX",
            "XCLIENT HELO=a.test+0D+0AX-Injected:+20yes",
            "XCLIENT HELO=a.test+00",
            "XCLIENT LOGIN=a+0Ab",
            "XCLIENT PORT=65536",
            "XCLIENT PORT=+2B5",
            "XCLIENT PROTO=LMTP",
            "XCLIENT ADDR=192.0.2.7 COLOUR=red",
        ] {
            session.command(bad, "501 5.5.4");
        }
        session.command("MAIL FROM:<a@source.test>", "250");
        session.command("XCLIENT ADDR=192.0.2.7", "503 5.5.1");
        session.command("RCPT TO:<b@dest.test>", "550 5.7.1");
        session.command("RSET", "250");
        session.command("XCLIENT ADDR=[UNAVAILABLE] NAME=[TEMPUNAVAIL]", "220");
        session.command("EHLO client.test", "250");
        session.command("MAIL FROM:<a@source.test>", "250");
        session.command("RCPT TO:<b@dest.test>", "550 5.7.1");
    });
}

/// Whoever is not listed may not, and is not told that others may.
#[test]
fn xclient_of_a_stranger_is_refused() {
    scenario(USUAL_LIMIT, |test| {
        let listed = |config: Config| config.set_listener("xclient_from", "[\"198.51.100.0/24\"]");
        let (_sink, server) = serving(test, listed);
        let mut session = SmtpSocket::greeted(server.smtp_address());
        let hello = session.command("EHLO client.test", "250");
        assert!(!hello.text().contains("XCLIENT"), "{}", hello.text());
        session.command("XCLIENT ADDR=192.0.2.7", "550 5.7.1");
        session.command("NOOP", "250");
    });
}

/// RFC 5321 §3.1: 554 in the greeting, and then nothing but QUIT.
#[test]
fn listeners_serve_whom_they_are_told_to() {
    scenario(USUAL_LIMIT, |test| {
        let lists = |config: Config| {
            let [allowing, denying] = [1, 2].map(|more| config.address_at(SMTPS_PORT + more));
            config
                .listen_with(allowing, &[("allow_from", "[\"198.51.100.0/24\"]")])
                .listen_with(denying, &[("deny_from", "[\"127.0.0.0/8\"]")])
        };
        let sink = Aiosmtpd::start(test);
        let config = lists(Config::relaying_to(test, sink.address()));
        let server = Ringpost::start(test, &config);
        let addresses = config.smtp_addresses();
        for address in &addresses[1..] {
            let mut session = SmtpSocket::connect(*address);
            session.expect("554 Access denied");
            session.command("EHLO client.test", "503");
            session.command(&format!("MAIL FROM:<{SENDER}>"), "503");
            session.command("QUIT", "221");
            assert_eq!(session.replies_until_closed(), []);
        }
        let mail = Mail::small("allowed");
        server.session().deliver(SENDER, RECIPIENT, &mail.content);
        assert_arrived(test, &sink, &[mail], 1);
    });
}

/// RFC 6409 §6.1: a user sends from its own addresses, by each way to be that user.
#[test]
fn users_send_from_their_own_addresses() {
    scenario(USUAL_LIMIT, |test| {
        let secured = Secured::start(test, |config, _| {
            let stored = stored_password(test, PASSWORD, &["--scram"]);
            let senders = "[\"own.test\", \"*.below.test\", \"one@shared.test\"]";
            config
                .user_with("limited", &stored, &[("senders", senders)])
                .set_listener("xclient_from", "[\"127.0.0.0/8\"]")
        });
        let mut by_password = secured.session(test);
        by_password.command(&auth_plain("limited", PASSWORD), "235");
        let mut by_proxy = secured.server.session();
        by_proxy.command("XCLIENT LOGIN=limited", "220");
        by_proxy.command("EHLO client.test", "250");
        for session in [&mut by_password, &mut by_proxy] {
            for sender in [
                "anyone@own.test",
                "ANYONE@OWN.TEST",
                "a@b.below.test",
                "a@c.b.below.test",
                "one@shared.test",
                "@hop.test:anyone@own.test",
            ] {
                session.command(&format!("MAIL FROM:<{sender}>"), "250");
                session.command("RSET", "250");
            }
            for sender in [
                "anyone@other.test",
                "a@below.test",
                "a@own.test.other.test",
                "a@notown.test",
                "two@shared.test",
                "\"one@shared.test\"@other.test",
                "one%shared.test@other.test",
                "@own.test:anyone@other.test",
            ] {
                session.command(&format!("MAIL FROM:<{sender}>"), "550 5.7.1 Sender denied");
            }
        }
        // One without restrictions.
        let mut session = secured.session(test);
        session.command(&auth_plain(USER, PASSWORD), "235");
        session.command("MAIL FROM:<anyone@anywhere.test>", "250");
    });
}

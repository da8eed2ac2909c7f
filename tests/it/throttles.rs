//! The limits of clients, networks, users and the process: what is over one is told which, and
//! nobody else is.

use std::net::{Ipv4Addr, SocketAddr};

use crate::support::{
    Aiosmtpd, Config, Mail, PASSWORD, RECIPIENT, Ringpost, SENDER, SMTPS_PORT, Scenario, Sink,
    SmtpSocket, USER, USUAL_LIMIT, assert_arrived, auth_plain, scenario, stored_password,
};

/// Clients: two of one network (/24), and one of another.
const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 1);

fn serving(test: &Scenario, change: impl FnOnce(Config) -> Config) -> (Aiosmtpd, Ringpost) {
    let sink = Aiosmtpd::start(test);
    let config = change(Config::relaying_to(test, sink.address()));
    let server = Ringpost::start(test, &config);
    (sink, server)
}

/// A session of a client, past EHLO.
fn session_from(source: Ipv4Addr, server: SocketAddr) -> SmtpSocket {
    let mut session = SmtpSocket::connect_from(source, server);
    session.expect("220");
    session.command("EHLO client.test", "250");
    session
}

fn is_refused(source: Ipv4Addr, server: SocketAddr, text: &str) {
    let mut session = SmtpSocket::connect_from(source, server);
    session.expect(text);
    assert_eq!(session.replies_until_closed(), []);
}

/// Connections of one address and of its network; those that are closed leave their places.
#[test]
fn connections_of_a_client_and_its_network_are_limited() {
    scenario(USUAL_LIMIT, |test| {
        let (_sink, server) = serving(test, |config| {
            config
                .set_listener("connections_per_address_max", 2)
                .set_listener("connections_per_network_max", 3)
        });
        let address = server.smtp_address();
        let first = session_from(ONE, address);
        let _second = session_from(ONE, address);
        is_refused(ONE, address, "421 Too many connections from your address");
        let _third = session_from(NEIGHBOUR, address);
        is_refused(NEIGHBOUR, address, "421 Too many connections from your network");
        let _other = session_from(OTHER, address);
        drop(first);
        test.wait_until("the place of a closed connection to be free", || {
            let mut next = SmtpSocket::connect_from(NEIGHBOUR, address);
            next.reply().code == 220
        });
        let metrics = server.metrics();
        let refused = |limit: &str| {
            let label = format!("limit=\"{limit}\"");
            metrics.sum_where("ringpost_smtp_connections_refused_total", &label)
        };
        assert_eq!(refused("address"), Some(1.0));
        assert!(refused("network") >= Some(1.0), "{}", metrics.text);
    });
}

/// Connections of one listener, and of all.
#[test]
fn connections_of_listener_and_process_are_limited() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let config = Config::relaying_to(test, sink.address());
        let small = config.address_at(SMTPS_PORT);
        let config = config
            .set("limits", "connections_max", 5)
            .listen_with(small, &[("connections_max", "2")]);
        let server = Ringpost::start(test, &config);
        let held: Vec<SmtpSocket> = (0..2).map(|_| SmtpSocket::session(small)).collect();
        is_refused(ONE, small, "421 Too many connections to this port");
        let _more: Vec<SmtpSocket> = (0..3).map(|_| server.session()).collect();
        is_refused(ONE, server.smtp_address(), "421 Too many connections to this server");
        drop(held);
        let mail = Mail::small("room");
        test.wait_until("room for another", || {
            let mut session = SmtpSocket::connect(small);
            let has_room = session.reply().code == 220;
            if has_room {
                session.command("EHLO client.test", "250");
                session.deliver(SENDER, RECIPIENT, &mail.content);
            }
            has_room
        });
        assert_arrived(test, &sink, &[mail], 1);
    });
}

/// Gives the command until it is refused, and says how often it was taken before. Time goes by
/// meanwhile, so that it may be more often than in an instant.
fn taken_before(
    sessions: &mut [SmtpSocket],
    command: &str,
    between: Option<&str>,
    refusal: &str,
) -> usize {
    for count in 0..200 {
        let index = count % sessions.len();
        let session = &mut sessions[index];
        let reply = session.ask(command);
        if reply.code != 250 {
            reply.assert_starts(refusal);
            return count;
        }
        if let Some(between) = between {
            session.command(between, "250");
        }
    }
    panic!("{command} is never refused");
}

/// Messages and recipients of one address in a minute, over all its sessions.
#[test]
fn rates_of_an_address_are_limited() {
    scenario(USUAL_LIMIT, |test| {
        let (_sink, server) = serving(test, |config| {
            config
                .set_listener("messages_per_minute_per_address_max", 6)
                .set_listener("recipients_per_minute_per_address_max", 10)
        });
        let address = server.smtp_address();
        let mail = format!("MAIL FROM:<{SENDER}>");
        let mut sessions = [ONE, ONE, ONE].map(|source| session_from(source, address));
        let text = "450 4.7.0 Too many messages from your address";
        assert!(taken_before(&mut sessions, &mail, Some("RSET"), text) >= 6);
        let mut neighbour = [session_from(NEIGHBOUR, address)];
        neighbour[0].command(&mail, "250");
        let rcpt = format!("RCPT TO:<{RECIPIENT}>");
        let text = "452 4.7.0 Too many recipients from your address";
        assert!(taken_before(&mut neighbour, &rcpt, None, text) >= 10);
        // Those that were taken stand.
        let [neighbour] = &mut neighbour;
        neighbour.command("DATA", "354");
        neighbour.send(b"Subject: some\r\n\r\n.\r\n");
        neighbour.expect("250");
        session_from(OTHER, address).deliver(SENDER, RECIPIENT, &Mail::small("other").content);
    });
}

/// Those of one user, over all listeners and addresses.
#[test]
fn rates_of_a_user_are_limited_over_all_listeners() {
    scenario(USUAL_LIMIT, |test| {
        let stored = stored_password(test, PASSWORD, &[]);
        let sink = Aiosmtpd::start(test);
        let config = Config::relaying_to(test, sink.address());
        let second = config.address_at(SMTPS_PORT);
        let config = config
            .user(USER, &stored)
            .user("other", &stored)
            .set_listener("auth", "\"required\"")
            .set_listener("auth_without_tls", true)
            .set("limits", "user_messages_per_minute_max", 6)
            .set("limits", "user_recipients_per_minute_max", 10)
            .listen(second);
        let server = Ringpost::start(test, &config);
        let log_in = |user, source, address| {
            let mut session = session_from(source, address);
            session.command(&auth_plain(user, PASSWORD), "235");
            session
        };
        let first = server.smtp_address();
        let mut of_user = [(ONE, first), (OTHER, first), (OTHER, second)]
            .map(|(source, address)| log_in(USER, source, address));
        let mail = format!("MAIL FROM:<{SENDER}>");
        let text = "450 4.7.0 Too many messages from your user";
        assert!(taken_before(&mut of_user, &mail, Some("RSET"), text) >= 6);
        let mut of_other = [log_in("other", ONE, first)];
        of_other[0].command(&mail, "250");
        let rcpt = format!("RCPT TO:<{RECIPIENT}>");
        let text = "452 4.7.0 Too many recipients from your user";
        assert!(taken_before(&mut of_other, &rcpt, None, text) >= 10);
    });
}

/// Guesses from one address, over many sessions.
#[test]
fn failed_authentications_of_an_address_are_limited() {
    scenario(USUAL_LIMIT, |test| {
        let stored = stored_password(test, PASSWORD, &[]);
        let (_sink, server) = serving(test, |config| {
            config
                .user(USER, &stored)
                .set_listener("auth", "\"required\"")
                .set_listener("auth_without_tls", true)
                .set_listener("auth_failures_per_minute_max", 4)
        });
        let address = server.smtp_address();
        let guess = auth_plain(USER, "guess");
        // The third failure ends a session, each answer comes later than the one before.
        let mut session = session_from(ONE, address);
        session.command(&guess, "535 5.7.8");
        session.command(&guess, "535 5.7.8");
        session.command(&guess, "421 4.7.0 Too many failed authentications in this session");
        assert_eq!(session.replies_until_closed(), []);
        // Guesses at a time count as well, whether anybody waits for the answer or not.
        let mut guessers: Vec<SmtpSocket> = (0..10).map(|_| session_from(ONE, address)).collect();
        for guesser in &mut guessers {
            guesser.send(format!("{guess}\r\n").as_bytes());
        }
        drop(guessers.split_off(5));
        for guesser in &mut guessers {
            let reply = guesser.reply();
            assert!(matches!(reply.code, 535 | 421), "{}", reply.text());
        }
        let text = "421 4.7.0 Too many failed authentications from your address";
        session_from(ONE, address).command(&auth_plain(USER, PASSWORD), text);
        session_from(OTHER, address).command(&auth_plain(USER, PASSWORD), "235");
        let failed = server.metrics().sum_where("ringpost_authentications_total", "failed");
        assert!(failed >= Some(4.0), "{failed:?}");
    });
}

/// A client of a proxy has its own limits, and the proxy none of its clients'.
#[test]
fn clients_of_a_proxy_are_limited_each_by_itself() {
    scenario(USUAL_LIMIT, |test| {
        let (_sink, server) = serving(test, |config| {
            config
                .set_listener("proxy_from", "[\"127.0.0.0/24\"]")
                .set_listener("xclient_from", "[\"127.0.3.0/24\"]")
                .set_listener("connections_per_address_max", 2)
                .set_listener("connections_per_network_max", 100)
        });
        let address = server.smtp_address();
        let proxied = |client: &str, reply: &str| {
            let mut session = SmtpSocket::connect_from([127, 0, 0, 1].into(), address);
            session.send(format!("PROXY TCP4 {client} 192.0.2.1 40000 25\r\n").as_bytes());
            session.expect(reply);
            session
        };
        let too_many = "421 Too many connections from your address";
        let _first: Vec<SmtpSocket> =
            ["192.0.2.7", "192.0.2.7", "192.0.2.8", "192.0.2.8", "192.0.2.9"]
                .map(|client| proxied(client, "220"))
                .into();
        proxied("192.0.2.7", too_many);
        proxied("192.0.2.8", too_many);
        // By XCLIENT a connection becomes another client's, and its own place is free again.
        let named = |client: &str, reply: &str| {
            let mut session = session_from([127, 0, 3, 1].into(), address);
            session.command(&format!("XCLIENT ADDR={client}"), reply);
            session
        };
        let _ninth = named("192.0.2.9", "220");
        named("192.0.2.9", too_many);
        let _others = ["192.0.2.10", "192.0.2.11", "192.0.2.12"].map(|it| named(it, "220"));
    });
}

/// Near its ceiling a server begins no message, ends those that it has begun, and takes mail again
/// once there is room.
#[test]
fn memory_ceiling_refuses_new_messages_and_ends_running_ones() {
    /// The least that may be configured.
    const CEILING_BYTES: u64 = 64 << 20;
    const SESSIONS_MAX: usize = 150;

    scenario(USUAL_LIMIT, |test| {
        let (sink, mut server) =
            serving(test, |config| config.set("limits", "memory_max_bytes", CEILING_BYTES));
        let mut running = server.session();
        running.envelope(SENDER, RECIPIENT);
        // Long addresses, so that each envelope is about as large as it may be.
        let long = format!("{}@{}.test", "a".repeat(200), vec!["b".repeat(60); 4].join("."));
        let batch = format!("RCPT TO:<{long}>\r\n").repeat(100);
        let mut hoarders = Vec::new();
        let refusal = loop {
            assert!(hoarders.len() < SESSIONS_MAX, "{} bytes in use", server.resident_bytes());
            let mut session = server.session();
            let reply = session.ask(&format!("MAIL FROM:<{SENDER}>"));
            if reply.code != 250 {
                break reply;
            }
            for _ in 0..10 {
                session.send(batch.as_bytes());
                for _ in 0..100 {
                    session.expect("250");
                }
            }
            hoarders.push(session);
        };
        refusal.assert_starts("452 4.3.2 Out of memory");
        assert!(server.resident_bytes() < CEILING_BYTES * 5 / 4, "the ceiling is kept");
        let mail = Mail::small("running");
        running.command("DATA", "354");
        running.send(&mail.content);
        running.send(b".\r\n");
        running.expect("250");
        running.command(&format!("MAIL FROM:<{SENDER}>"), "452 4.3.2");
        assert!(server.process().errors().contains("memory is short"));
        for mut session in hoarders {
            session.command("RSET", "250");
        }
        let again = Mail::small("again");
        test.wait_until("memory to be there again", || {
            let taken = running.ask(&format!("MAIL FROM:<{SENDER}>")).code == 250;
            if taken {
                running.command("RSET", "250");
            }
            taken
        });
        running.deliver(SENDER, RECIPIENT, &again.content);
        assert_arrived(test, &sink, &[mail, again], 1);
    });
}

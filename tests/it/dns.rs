//! The relay finds next hops through a real name server.
//!
//! All mail exchangers listen on the same port of different loopback addresses, as they would on
//! different hosts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::support::{
    Aiosmtpd, BROKEN_DOMAIN, Config, DNS_PORT, Mail, Refuser, Report, Ringpost, SENDER, Scenario,
    Sink, USUAL_LIMIT, Unbound, assert_arrived, scenario, too_large_for_udp,
};

fn mx(domain: &str, preference: u16, host: &str) -> String {
    format!("{domain}. 60 IN MX {preference} {host}.")
}

fn a(host: &str, ip: IpAddr) -> String {
    format!("{host}. 60 IN A {ip}")
}

/// A server that asks a name server with `records`, and the server where its reports arrive.
struct World {
    _names: Unbound,
    reports: Aiosmtpd,
    server: Ringpost,
}

impl World {
    fn start(test: &Scenario, records: &[String]) -> Self {
        let names = Unbound::start(test, records);
        Self::start_with(test, &[names.address()], names)
    }

    fn start_with(test: &Scenario, servers: &[SocketAddr], names: Unbound) -> Self {
        let reports = Aiosmtpd::start(test);
        let servers: Vec<String> = servers.iter().map(SocketAddr::to_string).collect();
        let config = Config::new(test)
            .set_list("dns", "servers", &servers)
            .route("source.test", &format!("smtp://{}", reports.address()));
        let server = Ringpost::start(test, &config);
        Self { _names: names, reports, server }
    }

    fn send(&self, recipient: &str) -> Mail {
        let mail = Mail::small(&recipient.replace('@', "-at-"));
        self.server.session().deliver(SENDER, recipient, &mail.content);
        mail
    }

    /// Sends to `recipient` and waits for the report that it failed for good.
    fn assert_bounces(&mut self, test: &Scenario, recipient: &str, status: &str) {
        self.send(recipient);
        let received = test.wait_for("the report", || self.reports.received().pop());
        Report::read(test, &received).assert_failed(recipient, status);
        self.server.wait_queue_empty(test);
        let deferred = self.server.metrics().value("ringpost_recipients_deferred_total");
        assert_eq!(deferred, 0.0, "bounced at once");
    }

    fn assert_nothing_deferred(&mut self, test: &Scenario) {
        self.server.wait_queue_empty(test);
        assert_eq!(self.server.metrics().value("ringpost_recipients_deferred_total"), 0.0);
    }
}

#[test]
fn preferred_host_gets_the_mail() {
    scenario(USUAL_LIMIT, |test| {
        let (preferred, other) = (Aiosmtpd::start(test), Aiosmtpd::start(test));
        let records = [
            mx("dest.test", 20, "other.test"),
            mx("dest.test", 10, "preferred.test"),
            a("other.test", other.address().ip()),
            a("preferred.test", preferred.address().ip()),
        ];
        let mut world = World::start(test, &records);
        let mails = ["a@dest.test", "b@dest.test", "c@dest.test"].map(|to| world.send(to));
        assert_arrived(test, &preferred, &mails, 1);
        world.assert_nothing_deferred(test);
        assert_eq!(other.received().len(), 0);
    });
}

/// The first host refuses in some way; the second gets the mail in the same attempt.
fn falls_back_from(first: impl FnOnce(&Scenario) -> (Ipv4Addr, Option<Refuser>) + Send + 'static) {
    scenario(USUAL_LIMIT, move |test| {
        let (first, refuser) = first(test);
        let second = Aiosmtpd::start(test);
        let records = [
            mx("dest.test", 10, "first.test"),
            mx("dest.test", 20, "second.test"),
            a("first.test", first.into()),
            a("second.test", second.address().ip()),
        ];
        let mut world = World::start(test, &records);
        let mail = world.send("a@dest.test");
        assert_arrived(test, &second, &[mail], 1);
        world.assert_nothing_deferred(test);
        if let Some(refuser) = refuser {
            assert!(refuser.visits() > 0, "the preferred host was asked first");
        }
    });
}

#[test]
fn second_host_is_tried_when_the_first_refuses_the_connection() {
    falls_back_from(|test| (test.address(), None));
}

#[test]
fn second_host_is_tried_when_the_first_is_busy() {
    falls_back_from(|test| {
        let ip = test.address();
        (ip, Some(Refuser::start(ip, "421 4.3.2 busy\r\n")))
    });
}

#[test]
fn second_host_is_tried_when_the_first_hangs_up() {
    falls_back_from(|test| {
        let ip = test.address();
        (ip, Some(Refuser::start(ip, "")))
    });
}

#[test]
fn host_without_address_is_passed_over() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let records = [
            mx("dest.test", 10, "absent.test"),
            mx("dest.test", 20, "present.test"),
            a("present.test", sink.address().ip()),
        ];
        let mut world = World::start(test, &records);
        let mail = world.send("a@dest.test");
        assert_arrived(test, &sink, &[mail], 1);
        world.assert_nothing_deferred(test);
    });
}

/// RFC 5321 §5.1: without MX records the domain itself is the host.
#[test]
fn domain_without_mx_is_its_own_host() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let mut world = World::start(test, &[a("dest.test", sink.address().ip())]);
        let mail = world.send("a@dest.test");
        assert_arrived(test, &sink, &[mail], 1);
        world.assert_nothing_deferred(test);
    });
}

/// RFC 7505: a domain that says it takes no mail. Its address must not be tried.
#[test]
fn null_mx_bounces() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let records = ["dest.test. 60 IN MX 0 .".to_owned(), a("dest.test", sink.address().ip())];
        // RFC 7505 §4.2 gives the status.
        World::start(test, &records).assert_bounces(test, "a@dest.test", "5.1.10");
        assert_eq!(sink.received().len(), 0);
    });
}

#[test]
fn domain_that_does_not_exist_bounces() {
    scenario(USUAL_LIMIT, |test| {
        // RFC 3463 §3.2: 5.1.2, bad destination system address.
        World::start(test, &[]).assert_bounces(test, "a@absent.test", "5.1.2");
    });
}

#[test]
fn domain_without_any_host_bounces() {
    scenario(USUAL_LIMIT, |test| {
        let records = ["dest.test. 60 IN TXT \"nothing\"".to_owned()];
        World::start(test, &records).assert_bounces(test, "a@dest.test", "5.");
    });
}

/// An answer that does not fit is asked for again over TCP (RFC 7766 §5); UDP alone would show
/// no host at all.
#[test]
fn truncated_answer_is_fetched_over_tcp() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let mut records = too_large_for_udp("dest.test", "host.test");
        records.push(a("host.test", sink.address().ip()));
        let mut world = World::start(test, &records);
        let mail = world.send("a@dest.test");
        assert_arrived(test, &sink, &[mail], 1);
        world.assert_nothing_deferred(test);
    });
}

#[test]
fn failure_of_the_name_server_defers() {
    scenario(USUAL_LIMIT, |test| {
        let mut world = World::start(test, &[]);
        world.send(&format!("a@{BROKEN_DOMAIN}"));
        // The second deferral shows that the first left the message in the queue.
        world.server.wait_metric(test, "ringpost_recipients_deferred_total", 2.0);
        let metrics = world.server.metrics();
        assert_eq!(metrics.value("ringpost_queue_messages"), 1.0);
        assert_eq!(metrics.value("ringpost_recipients_bounced_total"), 0.0);
        assert_eq!(world.reports.received().len(), 0);
    });
}

#[test]
fn second_name_server_is_asked_when_the_first_is_dead() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let names = Unbound::start(test, &[a("dest.test", sink.address().ip())]);
        let servers = [SocketAddr::from((test.address(), DNS_PORT)), names.address()];
        let world = World::start_with(test, &servers, names);
        let mail = world.send("a@dest.test");
        assert_arrived(test, &sink, &[mail], 1);
    });
}

/// RFC 5321 §4.1.3: an address literal names the host itself.
#[test]
fn address_literal_needs_no_name_server() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let world = World::start(test, &[]);
        let recipient = format!("a@[{}]", sink.address().ip());
        let mail = Mail::small("literal");
        world.server.session().deliver(SENDER, &recipient, &mail.content);
        assert_arrived(test, &sink, &[mail], 1);
    });
}

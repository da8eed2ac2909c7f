//! What a configuration comes to at its listeners, and what of it can change.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::HostFacts;
use crate::proto::server::{AuthOffer, Role, ServerLimits, TlsOffer};
use crate::throttle::ThrottleLimits;

const PASSWORD: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
                        $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                        wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

/// A configuration of two shards with `text`.
fn parse(text: &str) -> Config {
    let cpus: crate::config::CpuList = "0-1".parse().expect("a list");
    let host = HostFacts { cpus_present: cpus.clone(), cpus_allowed: cpus, ..HostFacts::probe() };
    Config::parse("f", &format!("hostname = \"mx.example\"\n{text}"), &host).expect(text)
}

fn offers(text: &str) -> Offers {
    Reception::new().expect("random numbers").offers(&parse(text)).expect(text)
}

#[test]
fn a_listener_offers_what_the_configuration_says() {
    let text = format!(
        "[limits]\nuser_messages_per_minute_max = 1\nuser_recipients_per_minute_max = 2\n\
         [[user]]\nname = \"app1\"\npassword = \"{PASSWORD}\"\nsenders = [\"example.com\"]\n\
         [[listener]]\naddress = \"127.0.0.1:25\"\n\
         [[listener]]\naddress = \"127.0.0.1:587\"\nrole = \"submission\"\nauth = \"required\"\n\
         auth_without_tls = true\nproxy_from = [\"192.0.2.1\"]\nrelay_from = []\n\
         accept_for = [\"example.com\"]\nlenient = [\"bare-lf\"]\nconnections_max = 11\n\
         connections_per_address_max = 3\nconnections_per_network_max = 4\n\
         messages_per_minute_per_address_max = 5\nrecipients_per_minute_per_address_max = 6\n\
         auth_failures_per_minute_max = 7\nmessage_max_bytes = 100001\nrecipients_max = 102\n\
         errors_max = 103\nmessages_max = 104\nhops_max = 105\nline_max_bytes = 1006\n\
         header_max_bytes = 100007\nheader_fields_max = 208\nhold_max_s = 109\nidle_s = 110\n\
         content_s = 111\nsession_s = 112\n"
    );
    let Offers { listeners, warnings } = offers(&text);
    assert_eq!(warnings, [""; 0]);
    let [plain, submission] = listeners.as_slice() else { panic!("two listeners") };
    assert_eq!(plain.policy.auth, AuthOffer::Off);
    assert_eq!(plain.policy.throttle_scope, 0);
    assert_eq!(plain.connections_max, 5_000);

    assert_eq!(submission.connections_max, 6);
    assert!(submission.tls.is_none());
    assert!(submission.proxy_from[0].contains(IpAddr::from([192, 0, 2, 1])));
    let policy = &submission.policy;
    assert_eq!(&*policy.hostname, "mx.example");
    assert_eq!(policy.role, Role::Submission);
    assert_eq!(policy.tls, TlsOffer::None);
    assert_eq!(policy.auth, AuthOffer::Required { without_tls: true });
    assert_eq!(policy.access.relay_from, []);
    assert_eq!(policy.access.accept_for, ["example.com".parse().expect("a domain")]);
    assert!(policy.leniency.bare_lf);
    assert!(policy.header.add_missing);
    assert!(policy.header.remove_own_results);
    assert_eq!(policy.throttle_scope, 1);
    let user = policy.users.get(b"app1").expect("the user");
    assert!(user.may_send_as(b"anybody@example.com"));
    assert!(!user.may_send_as(b"anybody@example.org"));

    let expected = ServerLimits {
        message_bytes_max: 100_001,
        recipients_max: 102,
        errors_max: 103,
        messages_max: 104,
        hop_count_max: 105,
        text_line_bytes_max: 1_006,
        header_bytes_max: 100_007,
        header_fields_max: 208,
        hold_time_max: Duration::from_secs(109),
        idle_time: Duration::from_secs(110),
        content_time: Duration::from_secs(111),
        session_time: Duration::from_secs(112),
    };
    assert_eq!(policy.limits, expected);
    let expected = ThrottleLimits {
        connections_per_address_max: 3,
        connections_per_network_max: 4,
        address_messages_per_minute_max: 5,
        address_recipients_per_minute_max: 6,
        user_messages_per_minute_max: 1,
        user_recipients_per_minute_max: 2,
        auth_failures_per_minute_max: 7,
    };
    assert_eq!(policy.throttle_limits, expected);
}

/// A client must not get new counts, and a stolen ticket no new life, because somebody reloads.
#[test]
fn a_reload_leaves_counts_and_secrets() {
    let reception = Reception::new().expect("random numbers");
    let offer = |text| reception.offers(&parse(text)).expect("it can be used").listeners.remove(0);
    let (before, after) = (offer(""), offer("[limits]\nconnections_max = 7\n"));
    assert!(Arc::ptr_eq(&before.policy.throttles, &after.policy.throttles));
    assert_eq!(before.policy.secret, after.policy.secret);
    let other = Reception::new().expect("random numbers").offers(&parse("")).expect("good");
    assert_ne!(other.listeners[0].policy.secret, before.policy.secret);
}

#[test]
fn files_of_tls_are_read_though_no_listener_needs_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("missing.pem");
    let text = |certificate: &Path| {
        format!(
            "[[listener]]\naddress = \"127.0.0.1:25\"\ntls = \"none\"\n\
             [tls]\ncertificate = {certificate:?}\nkey = {certificate:?}\n"
        )
    };
    let reception = Reception::new().expect("random numbers");
    let error = reception.offers(&parse(&text(&missing))).expect_err("no file");
    assert!(error.to_string().contains("missing.pem"), "{error}");
    let odd = directory.path().join("odd.pem");
    std::fs::write(&odd, "certificate").expect("written");
    let error = reception.offers(&parse(&text(&odd))).expect_err("no certificate");
    assert!(error.to_string().contains("odd.pem"), "{error}");
}

#[test]
fn what_can_change_while_the_server_runs() {
    let old = parse("");
    let user = format!("[[user]]\nname = \"a\"\npassword = \"{PASSWORD}\"\n");
    let same_address = "[[listener]]\naddress = \"127.0.0.1:2525\"\n";
    for text in [
        "[limits]\nconnections_max = 7\nmemory_max_bytes = 100000000\n".to_owned(),
        "[tls]\ncertificate = \"a\"\nkey = \"b\"\n".to_owned(),
        "[[route]]\ndomains = [\"*\"]\nto = \"discard\"\n".to_owned(),
        format!("{same_address}role = \"submission\"\nallow_from = [\"::1\"]\n"),
        format!("{same_address}auth = \"optional\"\nauth_without_tls = true\n{user}"),
    ] {
        let new = parse(&text);
        assert_ne!(new, old, "{text}");
        assert_eq!(fixed_changes(&old, &new), [""; 0], "{text}");
    }
    for (text, section) in [
        ("[shards]\ncpus = \"0\"\n", "shards"),
        ("[spool]\ncache_bytes = 1\n", "spool"),
        ("[[listener]]\naddress = \"127.0.0.1:25\"\n", "listener.address"),
        ("[delivery]\nport = 26\n", "delivery"),
        ("[dns]\nservers = [\"192.0.2.77\"]\n", "dns"),
        ("[admin]\naddress = \"127.0.0.1:1\"\n", "admin"),
        ("[shutdown]\ngrace_s = 1\n", "shutdown"),
    ] {
        assert_eq!(fixed_changes(&old, &parse(text)), [section]);
    }
    let other = Config { hostname: "other.example".parse().expect("a name"), ..old.clone() };
    assert_eq!(fixed_changes(&old, &other), ["hostname"]);
}

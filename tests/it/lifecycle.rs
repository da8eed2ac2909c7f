//! Start, stop, reload, and what can be asked of a server and of its spool.

use std::fs;
use std::net::Ipv4Addr;

use crate::support::{
    Aiosmtpd, Config, Mail, RECIPIENT, Refuser, Ringpost, SENDER, SMTP_PORT, Scenario, Sender,
    Signal, Sink, SmtpSocket, USUAL_LIMIT, assert_arrived, is_root, ringpost, scenario, under,
};

#[test]
fn every_listener_is_ready_when_the_line_says_so() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let second = (test.address(), SMTP_PORT).into();
        // Two listeners with the default of connections may want more descriptors than there are.
        let config = Config::relaying_to(test, sink.address())
            .set_listener("connections_max", 1_000)
            .listen(second);
        // The harness compares the line with the contract, word for word.
        let server = Ringpost::start(test, &config);
        let mails = ["first", "second"].map(Mail::small);
        for (mail, address) in mails.iter().zip(config.smtp_addresses()) {
            SmtpSocket::session(address).deliver(SENDER, RECIPIENT, &mail.content);
        }
        assert_arrived(test, &sink, &mails, 1);
        server.stop(test);
    });
}

/// A stop waits for the transaction that runs, keeps what it accepts, and takes nothing new.
fn stop_is_graceful(signal: Signal) {
    scenario(USUAL_LIMIT, move |test| {
        // Nothing is delivered before the restart.
        let refuser = Refuser::start(test.address(), "421 4.3.2 busy\r\n");
        let ip = refuser.ip();
        // Longer than the scenario: the stop must not wait for clients that want nothing.
        let config = Config::relaying_to(test, refuser.address()).set("shutdown", "grace_s", 600);
        let mut server = Ringpost::start(test, &config);
        let mails = ["running", "before"].map(Mail::small);
        let mut idle = server.session();
        let mut running = server.session();
        running.envelope(SENDER, RECIPIENT);
        running.command("DATA", "354");
        running.send(&mails[0].content[..40]);
        server.session().deliver(SENDER, RECIPIENT, &mails[1].content);

        server.process().signal(signal);
        test.wait_until("new connections to be refused", || {
            std::net::TcpStream::connect(config.smtp_address()).is_err()
        });
        running.send(&mails[0].content[40..]);
        running.send(b".\r\n");
        running.expect("250");
        // RFC 5321 §3.8: a server that goes away says 421; one that just closes is met, too.
        for session in [&mut running, &mut idle] {
            let replies = session.replies_until_closed();
            assert!(replies.iter().all(|reply| reply.code == 421), "{replies:?}");
        }
        server.process().wait(test).succeeded();

        drop(refuser);
        let sink = Aiosmtpd::start_with(test, ip, &[]);
        let server = Ringpost::start(test, &config);
        assert_arrived(test, &sink, &mails, 1);
        server.stop(test);
    });
}

#[test]
fn sigterm_lets_transactions_end() {
    stop_is_graceful(Signal::TERM);
}

#[test]
fn sigint_lets_transactions_end() {
    stop_is_graceful(Signal::INT);
}

#[test]
fn transaction_that_never_ends_does_not_keep_the_server_from_stopping() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let config = Config::relaying_to(test, sink.address()).set("shutdown", "grace_s", 1);
        let server = Ringpost::start(test, &config);
        let mut endless = server.session();
        endless.envelope(SENDER, RECIPIENT);
        endless.command("DATA", "354");
        endless.send(b"Subject: endless\r\n");
        server.stop(test);
        let replies = endless.replies_until_closed();
        assert!(replies.iter().all(|reply| reply.code == 421), "{replies:?}");
        assert_eq!(sink.received().len(), 0);
    });
}

#[test]
fn reload_takes_the_new_routes_and_refuses_a_bad_file() {
    scenario(USUAL_LIMIT, |test| {
        let (old, new) = (Aiosmtpd::start(test), Aiosmtpd::start(test));
        let config = Config::relaying_to(test, old.address());
        let mut server = Ringpost::start(test, &config);

        let bad = config.clone().set("delivery", "frobnicate", 1).to_toml();
        fs::write(server.config_file(), &bad).unwrap();
        server.process().signal(Signal::HUP);
        test.wait_until("the log to name the bad key", || {
            server.process().errors().contains("frobnicate")
        });
        let mail = Mail::small("by-the-old-route");
        server.session().deliver(SENDER, RECIPIENT, &mail.content);
        assert_arrived(test, &old, &[mail], 1);

        let good = config.to_toml().replace(&old.address().to_string(), &new.address().to_string());
        assert_ne!(good, config.to_toml());
        fs::write(server.config_file(), good).unwrap();
        server.process().signal(Signal::HUP);
        let content = Mail::small("by-some-route").content;
        test.wait_until("mail to take the new route", || {
            server.session().deliver(SENDER, RECIPIENT, &content);
            server.wait_queue_empty(test);
            !new.received().is_empty()
        });
        server.stop(test);
    });
}

/// Certificates are renewed under a server that runs: what cannot be used costs no session.
#[test]
fn reload_refuses_a_certificate_that_cannot_be_used() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let config = Config::relaying_to(test, sink.address());
        let mut server = Ringpost::start(test, &config);
        let mut session = server.session();
        let absent = format!("{:?}", test.path().join("absent.pem"));
        let bad = config.set("tls", "certificate", &absent).set("tls", "key", &absent);
        fs::write(server.config_file(), bad.to_toml()).unwrap();
        server.process().signal(Signal::HUP);
        test.wait_until("the log to name the file", || {
            server.process().errors().contains("absent.pem")
        });
        let mails = ["begun-before", "begun-after"].map(Mail::small);
        session.deliver(SENDER, RECIPIENT, &mails[0].content);
        server.session().deliver(SENDER, RECIPIENT, &mails[1].content);
        assert_arrived(test, &sink, &mails, 1);
        server.stop(test);
    });
}

/// Mail that was stored by one number of shards is delivered by another.
fn spool_is_adopted(shards_before: usize, shards_after: usize) {
    const MESSAGE_COUNT: usize = 40;
    scenario(USUAL_LIMIT, move |test| {
        let ip = test.address();
        let config = Config::relaying_to(test, (ip, SMTP_PORT).into());
        let server = Ringpost::start(test, &config.clone().shards(shards_before));
        let mails: Vec<Mail> =
            (0..MESSAGE_COUNT).map(|number| Mail::small(&format!("stored-{number}"))).collect();
        for mail in &mails {
            // A connection each, so that the kernel spreads them over the shards.
            server.session().deliver(SENDER, RECIPIENT, &mail.content);
        }
        server.stop(test);
        let mut server = Ringpost::start(test, &config.shards(shards_after));
        assert_eq!(server.metrics().value("ringpost_queue_messages"), MESSAGE_COUNT as f64);
        let sink = Aiosmtpd::start_with(test, ip, &[]);
        assert_arrived(test, &sink, &mails, 1);
        server.wait_queue_empty(test);
        server.stop(test);
    });
}

#[test]
fn one_shard_adopts_the_spool_of_two() {
    spool_is_adopted(2, 1);
}

#[test]
fn two_shards_adopt_the_spool_of_one() {
    spool_is_adopted(1, 2);
}

/// The names and labels that others rely on (the contract).
#[test]
fn metrics_have_their_names() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let mut server = Ringpost::start(test, &Config::relaying_to(test, sink.address()));
        let mut session = server.session();
        session.deliver(SENDER, RECIPIENT, &Mail::small("counted").content);
        server.wait_metric(test, "ringpost_recipients_delivered_total", 1.0);
        server.wait_queue_empty(test);
        let metrics = server.metrics();
        for (name, value) in [
            ("ringpost_messages_received_total", 1.0),
            ("ringpost_messages_delivered_total", 1.0),
            ("ringpost_recipients_delivered_total", 1.0),
            ("ringpost_recipients_deferred_total", 0.0),
            ("ringpost_recipients_bounced_total", 0.0),
            ("ringpost_queue_messages", 0.0),
        ] {
            assert_eq!(metrics.sum_where(name, "shard=\""), Some(value), "{name}");
        }
        assert!(metrics.value("ringpost_spool_commits_total") >= 1.0);
        assert!(metrics.value("ringpost_spool_commit_seconds_count") >= 1.0);
        assert!(metrics.value("ringpost_spool_commit_seconds_sum") > 0.0);
        assert!(metrics.sum_where("ringpost_spool_commit_seconds_bucket", "le=\"").is_some());
        let connections = metrics.sum_where("ringpost_smtp_connections", "direction=\"in");
        assert_eq!(connections, Some(1.0));
    });
}

/// What `check` prints is a configuration, and says of itself what it said of the first.
#[test]
fn checked_configuration_checks_again() {
    scenario(USUAL_LIMIT, |test| {
        let check = |arguments: &[&str]| {
            let mut command = ringpost(arguments);
            test.run(command.current_dir(test.path()), b"").succeeded().output
        };
        let file = Ringpost::write_config(test, &Config::new(test).route("*", "discard"));
        let again = test.path().join("again.toml");
        for arguments in [&["check"][..], &["check", "--config", file.to_str().unwrap()]] {
            let printed = check(arguments);
            fs::write(&again, &printed).unwrap();
            assert_eq!(check(&["check", "--config", again.to_str().unwrap()]), printed);
        }
        for key in ["hostname", "cpus", "durability", "relay_from", "retry_first_s", "servers"] {
            assert!(fs::read_to_string(&again).unwrap().contains(key), "{key} is filled in");
        }
    });
}

/// A print for others has no password in it, and is no configuration.
#[test]
fn check_prints_passwords_when_it_is_told_to() {
    scenario(USUAL_LIMIT, |test| {
        let made = test.run(&mut ringpost(&["password", "--scram"]), b"open sesame\n");
        let password = made.succeeded().output.trim().to_owned();
        let file = test.path().join("user.toml");
        let user = format!("[[user]]\nname = \"app1\"\npassword = \"{password}\"\n");
        fs::write(&file, Config::new(test).to_toml() + &user).unwrap();
        let check = |options: &[&str]| {
            let arguments = [&["check", "--config", file.to_str().unwrap()], options].concat();
            test.run(&mut ringpost(&arguments), b"")
        };
        let whole = check(&["--with-passwords"]).succeeded();
        assert!(whole.output.contains(&password), "{}", whole.output);
        // Nobody can authenticate with auth = "off".
        assert!(whole.errors.contains("warning: user:"), "{}", whole.errors);
        let printed = check(&[]).succeeded().output;
        assert!(!printed.contains(&password), "{printed}");
        fs::write(&file, &printed).unwrap();
        let refused = check(&[]).exited(2);
        assert!(refused.errors.contains("--with-passwords"), "{}", refused.errors);
        fs::write(&file, &whole.output).unwrap();
        assert_eq!(check(&["--with-passwords"]).succeeded().output, whole.output);
    });
}

/// A spool with some mail in it, left behind by a clean stop.
fn stopped_spool(test: &Scenario, mails: &[Mail]) -> String {
    let config = Config::relaying_to(test, (test.address(), SMTP_PORT).into());
    let server = Ringpost::start(test, &config);
    let mut session = server.session();
    for mail in mails {
        session.deliver(SENDER, RECIPIENT, &mail.content);
    }
    server.stop(test);
    config.spool_path().to_str().unwrap().to_owned()
}

#[test]
fn spool_can_be_read_offline() {
    scenario(USUAL_LIMIT, |test| {
        let spool = stopped_spool(test, &["one", "two"].map(Mail::small));
        test.run(&mut ringpost(&["spool", "verify", &spool]), b"").succeeded();
        let dump = test.run(&mut ringpost(&["spool", "dump", &spool]), b"").succeeded().output;
        assert_eq!(dump.matches(SENDER).count(), 2, "{dump}");
        assert_eq!(dump.matches(RECIPIENT).count(), 2, "{dump}");
    });
}

/// A bit that flipped in the middle of the spool is damage, not the end of what was written.
#[test]
fn damaged_spool_is_told_from_a_sound_one() {
    scenario(USUAL_LIMIT, |test| {
        let mails: Vec<Mail> =
            (0..20).map(|number| Mail::small(&format!("mail-{number}"))).collect();
        let spool = stopped_spool(test, &mails);
        let marked = format!("Subject: {}\r\n", mails[3].name);
        assert_eq!(flip_bits(spool.as_ref(), marked.as_bytes()), 1, "the message is stored once");
        let verified = test.run(&mut ringpost(&["spool", "verify", &spool]), b"").exited(1);
        let said = verified.output + &verified.errors;
        assert!(said.contains("damage"), "the damage is described: {said}");
    });
}

/// Inverts the first byte of `mark` wherever it stands below `directory`; says how often.
fn flip_bits(directory: &std::path::Path, mark: &[u8]) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += flip_bits(&path, mark);
            continue;
        }
        let mut content = fs::read(&path).unwrap();
        while let Some(at) = memchr::memmem::find(&content, mark) {
            content[at] = !content[at];
            fs::write(&path, &content).unwrap();
            count += 1;
        }
    }
    count
}

/// `cargo run -- serve` as the README has it: no configuration, the default addresses, the spool
/// in the working directory. A network of its own keeps the addresses free.
#[test]
fn embedded_default_serves() {
    assert!(is_root(), "a network of its own needs root: run `tests/run` as root");
    scenario(USUAL_LIMIT, |test| {
        let route = format!("smtp://127.0.0.1:{SMTP_PORT}");
        let script = "ip link set lo up && exec \"$@\"";
        let network = ["unshare", "--net", "sh", "-c", script, "sh"];
        let mut command = under(&network, ringpost(&["serve", "--route", &route]));
        let mut server = test.start(command.current_dir(test.path()));
        test.wait_until("the ready line", || {
            server.assert_running();
            server.output().contains('\n')
        });
        let ready = "ringpost ready: smtp 127.0.0.1:2525 admin 127.0.0.1:8025\n";
        assert_eq!(server.output(), ready);
        let network = server.pid().as_raw_nonzero().to_string();
        let inside = ["nsenter", "--net", "--target", &network];
        let sink = Aiosmtpd::start_under(test, &inside, Ipv4Addr::LOCALHOST, &[]);
        let mail = Mail::small("first-mail");
        Sender::Swaks.send_under(test, &inside, "127.0.0.1:2525".parse().unwrap(), &mail);
        // The trace field names the host, whatever its name is.
        let received = test.wait_for("the message", || sink.received().pop());
        assert!(received.content.starts_with(b"Received: "));
        assert!(received.content.ends_with(&mail.content));
        assert!(test.path().join("ringpost-spool").is_dir());
        server.signal(Signal::TERM);
        server.wait(test).succeeded();
    });
}

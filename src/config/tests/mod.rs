//! Every problem that a configuration can have, word for word, and what a good one comes to.

mod reception;

use super::*;

fn host() -> HostFacts {
    HostFacts {
        name: "mail.example.net".to_owned(),
        cpus_present: "0-3".parse().expect("a list"),
        cpus_allowed: "0-1".parse().expect("a list"),
        dns_servers: vec!["192.0.2.53:53".parse().expect("an address")],
        memory_bytes: 8 << 30,
    }
}

fn parse(text: &str) -> Config {
    Config::parse("f", text, &host()).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// Asserts that `text` has exactly the problems `expected`.
fn check_problems(text: &str, expected: &[&str]) {
    let error = Config::parse("f", text, &host()).expect_err(text);
    let expected: Vec<_> = expected.iter().map(|line| format!("f{line}")).collect();
    assert_eq!(error.lines(), expected, "\n{text}");
}

#[test]
fn an_empty_file_says_the_same_as_the_embedded_default() {
    assert_eq!(parse(""), parse(EMBEDDED_DEFAULT));
    assert_eq!(parse("[[listener]]\naddress = \"127.0.0.1:2525\"\n"), parse(""));
}

#[test]
fn the_embedded_default_shows_every_key() {
    let printed = parse("").to_toml(Passwords::Shown).expect("it can be printed");
    for line in printed.lines().filter(|line| !line.is_empty()) {
        let key = line.split_once(" = ").map_or(line, |(key, _)| key);
        let shown = EMBEDDED_DEFAULT.lines().any(|other| {
            let other = other.strip_prefix("# ").unwrap_or(other);
            other == line || (key != line && other.starts_with(&format!("{key} = ")))
        });
        assert!(shown, "{line} is not in default.toml");
    }
}

#[test]
fn the_keys_of_durations_and_sizes_end_in_their_unit() {
    let printed = parse("").to_toml(Passwords::Shown).expect("it can be printed");
    for (key, _) in printed.lines().filter_map(|line| line.split_once(" = ")) {
        let words: Vec<_> = key.split('_').collect();
        for unit in ["s", "ms", "bytes"] {
            assert!(!words.contains(&unit) || words.last() == Some(&unit), "{key}");
        }
    }
}

#[test]
fn a_printed_configuration_reads_back_the_same() {
    let texts = [
        "",
        EMBEDDED_DEFAULT,
        "hostname = \"MX1.Example.NET\"\n\
         [shards]\ncpus = \"1\"\n\
         [spool]\npath = \"a \\\"quoted\\\" path\\\\ with \\t all\"\ndurability = \"os\"\n\
         segment_bytes = 1048576\ncache_bytes = 0\n\
         [[listener]]\naddress = \"0.0.0.0:25\"\nrelay_from = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n\
         [[listener]]\naddress = \"[::]:2525\"\nrelay_from = []\nidle_s = 7\ncontent_s = 9\n\
         session_s = 8\nline_max_bytes = 1000\nhops_max = 200\n\
         message_max_bytes = 65536\nrecipients_max = 100\nerrors_max = 1\nmessages_max = 2\n\
         connections_max = 3\n\
         [[route]]\ndomains = [\"example.com\", \"*.example.com\"]\nto = \"smtp://[::1]:2526\"\n\
         [[route]]\ndomains = [\"example.org\"]\nto = \"discard\"\n\
         [[route]]\ndomains = [\"example.net\"]\nto = \"mx\"\n\
         [[route]]\ndomains = [\"*\"]\nto = \"smtp://relay.example.net\"\n\
         [delivery]\nport = 2500\nretry_first_s = 1\nretry_max_s = 2\nexpire_s = 3\n\
         connections_max = 4\nconnections_per_site_max = 4\nrecipients_per_transaction_max = 5\n\
         [dns]\nservers = [\"127.0.0.1\", \"[::1]:5353\"]\n\
         [admin]\naddress = \"[::1]:0\"\n\
         [shutdown]\ngrace_s = 0\n",
    ];
    for text in texts {
        let config = parse(text);
        let printed = config.to_toml(Passwords::Shown).expect("it can be printed");
        assert_eq!(parse(&printed), config, "\n{printed}");
        assert_eq!(parse(&printed).to_toml(Passwords::Shown).expect("again"), printed);
    }
}

#[test]
fn what_the_file_says_is_what_the_configuration_has() {
    let config = parse(
        "hostname = \"MX1.example.net\"\n[[listener]]\naddress = \"[::]:25\"\n\
         relay_from = [\"192.0.2.0/24\"]\nidle_s = 7\n[dns]\nservers = [\"::1\"]\n\
         [delivery]\nretry_first_s = 60\nconnections_per_site_max = 3\n",
    );
    assert_eq!(config.hostname.as_str(), "mx1.example.net");
    assert_eq!(config.listeners[0].address.to_string(), "[::]:25");
    assert_eq!(config.listeners[0].access.relay_from, ["192.0.2.0/24".parse().expect("a network")]);
    assert_eq!(config.listeners[0].idle, Duration::from_secs(7));
    assert_eq!(config.dns.servers, ["[::1]:53".parse().expect("an address")]);
    assert_eq!(config.delivery.retry_first, Duration::from_secs(60));
    assert_eq!(config.shards.cpus.as_slice(), [0, 1]);
    // Rounded up, so that no shard goes without.
    assert_eq!(config.shards.share(config.delivery.connections_per_site_max), 2);
    assert_eq!(config.shards.share(1), 1);
    assert_eq!(config.shards.share(0), 0);
}

#[test]
fn the_keys_of_the_contract() {
    let config = parse(
        "hostname = \"mx1.example.net\"\n\
         [shards]\ncpus = \"0-1\"\n\
         [spool]\npath = \"/var/lib/ringpost/spool\"\ndurability = \"commit\"\n\
         [[listener]]\naddress = \"0.0.0.0:25\"\ntls = \"none\"\n\
         relay_from = [\"127.0.0.0/8\", \"::1/128\"]\nauth = \"off\"\n\
         [[route]]\ndomains = [\"example.com\", \"*.example.com\", \"*\"]\nto = \"mx\"\n\
         [delivery]\nport = 25\nretry_first_s = 1200\nretry_max_s = 43200\nexpire_s = 432000\n\
         [dns]\nservers = [\"127.0.0.1:53\"]\n\
         [admin]\naddress = \"127.0.0.1:8025\"\n\
         [shutdown]\ngrace_s = 10\n",
    );
    let default = parse("hostname = \"mx1.example.net\"\n");
    assert_eq!(config.delivery, default.delivery);
    assert_eq!(config.admin, default.admin);
    assert_eq!(config.shutdown, default.shutdown);
    assert_eq!(config.listeners[0].access.relay_from, default.listeners[0].access.relay_from);
}

#[test]
fn the_last_route_takes_every_domain() {
    let mx = Route { domains: vec![DomainPattern::Any], to: Destination::Mx };
    assert_eq!(parse("").routes.as_slice(), std::slice::from_ref(&mx));
    let config = parse("[[route]]\ndomains = [\"example.com\"]\nto = \"discard\"\n");
    assert_eq!(config.routes.len(), 2);
    assert_eq!(config.routes[1], mx);
    let config = parse("[[route]]\ndomains = [\"a.example\", \"*\"]\nto = \"discard\"\n");
    assert_eq!(config.routes.len(), 1);
}

#[test]
fn a_route_from_the_command_line_replaces_all_others() {
    let mut config = parse("[[route]]\ndomains = [\"example.com\"]\nto = \"discard\"\n");
    config.route_all("smtp://127.0.0.1:2526".parse().expect("a destination"));
    assert_eq!(config.routes.len(), 1);
    assert_eq!(config.routes[0].domains, [DomainPattern::Any]);
    assert_eq!(config.routes[0].to.to_string(), "smtp://127.0.0.1:2526");
}

#[test]
fn unknown_keys() {
    check_problems(
        "hostnam = \"a\"\ncolour = 1\n[listner]\n[[listener]]\naddress = \"127.0.0.1:1\"\n\
         relay_form = []\n[delivery]\nretry_first_ms = 1\n[spool]\n\"odd key\\n\" = 1\n",
        &[
            ":1: hostnam: is not a known key; did you mean \"hostname\"?",
            ":2: colour: is not a known key; the keys here are hostname, limits, tls, user, \
             shards, spool, listener, route, delivery, dns, admin, shutdown",
            ":3: listner: is not a known key; did you mean \"listener\"?",
            ":6: listener.relay_form: is not a known key; did you mean \"relay_from\"?",
            ":8: delivery.retry_first_ms: is not a known key; did you mean \"retry_first_s\"?",
            ":10: spool.\"odd key\\n\": is not a known key; the keys here are path, durability, \
             segment_bytes, cache_bytes",
        ],
    );
}

#[test]
fn values_of_the_wrong_type() {
    check_problems(
        "hostname = 1\nshards = 2\n[listener]\naddress = \"127.0.0.1:1\"\n[spool]\npath = []\n\
         segment_bytes = \"64 MiB\"\ncache_bytes = 1.5\n[delivery]\nport = -1\n[dns]\n\
         servers = [\"127.0.0.1\", 2, {}]\n[shutdown]\ngrace_s = true\n[[admin]]\n",
        &[
            ":1: hostname: found integer `1`; write text in double quotes",
            ":2: shards: found integer `2`; write [shards] with its keys below",
            ":3: listener: found a table; write [[listener]] with its keys below",
            ":6: spool.path: found a list; write text in double quotes",
            ":7: spool.segment_bytes: found string \"64 MiB\"; write a whole number, 0 or more",
            ":8: spool.cache_bytes: found floating point `1.5`; write a whole number, 0 or more",
            ":10: delivery.port: found integer `-1`; write a whole number, 0 or more",
            ":12: dns.servers: found integer `2`; write text in double quotes",
            ":12: dns.servers: found a table; write text in double quotes",
            ":14: shutdown.grace_s: found boolean `true`; write a whole number, 0 or more",
            ":15: admin: found a list; write [admin] with its keys below",
        ],
    );
    check_problems(
        "delivery = [25]\nlistener = [[\"127.0.0.1:1\"], 5]\nroute = 1\n",
        &[
            ":1: delivery: found a list; write [delivery] with its keys below",
            ":2: listener: found a list; write [[listener]] with its keys below",
            ":2: listener: found integer `5`; write [[listener]] with its keys below",
            ":3: route: found integer `1`; write [[route]] with its keys below",
        ],
    );
}

#[test]
fn what_is_no_toml_hides_nothing_in_front_of_it() {
    check_problems(
        "hostname = \"a_b\"\n[[route]]\nto =\n[shutdown]\ngrace_s = 1x\ngrace = 5\n",
        &[
            ":1: hostname: \"a_b\" is not a domain name: '_' may not stand in it; write letters, \
             digits and hyphens in parts divided by dots, as in \"mx1.example.net\"",
            ":3: is not TOML: string values must be quoted, expected literal string; mend the \
             line (https://toml.io has the syntax)",
            ":5: is not TOML: string values must be quoted, expected literal string; mend the \
             line (https://toml.io has the syntax)",
        ],
    );
    check_problems(
        "[spool]\npath = \"a\"\npath = \"b\"\n",
        &[":3: is not TOML: duplicate key; mend the line (https://toml.io has the syntax)"],
    );
}

#[test]
fn what_this_version_does_not_offer() {
    check_problems(
        "[[route]]\ndomains = [\"a.example\"]\nto = \"smtps://b.example\"\n\
         [[route]]\ndomains = [\"b.example\"]\nto = \"lmtp:///run/lmtp\"\n",
        &[
            ":3: route.to: \"smtps://b.example\" asks for TLS, which this version does not \
             speak; write \"mx\", \"smtp://HOST:PORT\" or \"discard\"",
            ":6: route.to: \"lmtp:///run/lmtp\" asks for LMTP, which this version does not \
             speak; write \"mx\", \"smtp://HOST:PORT\" or \"discard\"",
        ],
    );
}

#[test]
fn numbers_outside_their_range() {
    check_problems(
        "[spool]\nsegment_bytes = 4096\n[[listener]]\naddress = \"127.0.0.1:1\"\n\
         message_max_bytes = 1000\nrecipients_max = 99\nerrors_max = 0\nidle_s = 100000\n\
         [delivery]\nport = 65536\n",
        &[
            ":2: spool.segment_bytes: 4096 is less than 1048576: a segment is preallocated as a \
             whole and holds many commits; write 1048576 to 1073741824, or leave it out for \
             67108864",
            ":5: listener.message_max_bytes: 1000 is less than 65536: RFC 5321 §4.5.3.1.7 wants \
             at least 65536; write 65536 to 1073741824, or leave it out for 52428800",
            ":6: listener.recipients_max: 99 is less than 100: RFC 5321 §4.5.3.1.8 wants at least \
             100; write 100 to 50000, or leave it out for 1000",
            ":7: listener.errors_max: 0 is less than 1: a session may fail at least once; write 1 \
             to 1000000, or leave it out for 50",
            ":8: listener.idle_s: 100000 is more than 86400: RFC 5321 §4.5.3.2.7 wants 300; write \
             1 to 86400, or leave it out for 300",
            ":10: delivery.port: 65536 is more than 65535: it is a TCP port; write 1 to 65535, or \
             leave it out for 25",
        ],
    );
    check_problems(
        "[spool]\nsegment_bytes = 1048577\n",
        &[":2: spool.segment_bytes: 1048577 is not a multiple of 4096; write 1052672"],
    );
}

#[test]
fn texts_without_a_meaning() {
    check_problems(
        "[shards]\ncpus = \"a\"\n[spool]\npath = \"\"\ndurability = \"fsync\"\n[[listener]]\n\
         address = \"localhost:25\"\nrelay_from = [\"::1\", \"10.0.0.1/8\", \"x\"]\n[[route]]\n\
         domains = [\"bücher.example\"]\nto = \"http://a\"\n[dns]\nservers = [\"ns1\"]\n\
         [admin]\naddress = \"8025\"\n",
        &[
            ":2: shards.cpus: \"a\" in \"a\" is neither a number nor a range; write CPU numbers \
             and ranges divided by commas, as in \"0-3,8\"",
            ":4: spool.path: \"\" is not a path; name a directory, as in \
             \"/var/lib/ringpost/spool\"",
            ":5: spool.durability: \"fsync\" is not a durability; write \"commit\" (250 only after \
             stable storage) or \"os\" (written, not synced)",
            ":7: listener.address: \"localhost:25\" is not an IP address with a port; write \
             ADDRESS:PORT, as in \"127.0.0.1:2525\" or \"[::1]:2525\"",
            ":8: listener.relay_from: \"10.0.0.1/8\" has bits set behind its prefix of 8; write \
             \"10.0.0.0/8\" or a longer prefix",
            ":8: listener.relay_from: \"x\" is not a network; write ADDRESS/BITS, as in \
             \"192.0.2.0/24\" or \"2001:db8::/32\"",
            ":10: route.domains: \"bücher.example\" has letters outside ASCII; write \
             \"example.com\", \"*.example.com\" or \"*\"",
            ":11: route.to: \"http://a\" is not a destination; write \"mx\", \
             \"smtp://HOST:PORT\" or \"discard\"",
            ":13: dns.servers: \"ns1\" is not the address of a name server; write ADDRESS or \
             ADDRESS:PORT, as in \"127.0.0.1:53\" or \"[::1]:53\"",
            ":15: admin.address: \"8025\" is not an IP address with a port; write ADDRESS:PORT, \
             as in \"127.0.0.1:2525\" or \"[::1]:2525\"",
        ],
    );
}

#[test]
fn what_must_be_there_and_is_not() {
    check_problems(
        "[[listener]]\ntls = \"none\"\n[[route]]\n[[route]]\ndomains = []\nto = 5\n[dns]\n\
         servers = []\n",
        &[
            ":1: listener.address: is missing; write ADDRESS:PORT, as in \"127.0.0.1:2525\" or \
             \"[::1]:2525\"",
            ":3: route.domains: is missing; add domains = [\"*\"] or a list of domains",
            ":3: route.to: is missing; add to = \"mx\", \"smtp://HOST:PORT\" or \"discard\"",
            ":4: route.domains: is missing; add domains = [\"*\"] or a list of domains",
            ":6: route.to: found integer `5`; write text in double quotes",
            ":8: dns.servers: is missing; name a server, or leave it out for those of \
             /etc/resolv.conf",
        ],
    );
}

#[test]
fn values_that_contradict_one_another() {
    check_problems(
        "[shards]\ncpus = \"0,3,7\"\n[[listener]]\naddress = \"127.0.0.1:25\"\n[[listener]]\n\
         address = \"127.0.0.1:25\"\n[admin]\naddress = \"127.0.0.1:25\"\n[delivery]\n\
         retry_max_s = 600\nconnections_max = 10\n",
        &[
            ":2: shards.cpus: this host has no CPU 7; choose from 0-1",
            ":6: listener.address: \"127.0.0.1:25\" is the address of another listener; give each \
             an address or port of its own",
            ":8: admin.address: \"127.0.0.1:25\" is the address of a listener as well; give one \
             another port",
            ":10: delivery.retry_first_s: 1200 is longer than retry_max_s, which is 600; write at \
             most 600, or raise retry_max_s",
            ":11: delivery.connections_per_site_max: 20 is more than connections_max, which is \
             10; write at most 10, or raise connections_max",
        ],
    );
    check_problems(
        "[shards]\ncpus = \"0-2\"\n[admin]\naddress = \"127.0.0.1:2525\"\n",
        &[
            ":2: shards.cpus: this process may not run on CPU 2; choose from 0-1, or widen its \
             affinity (taskset, CPUAffinity=, cpuset)",
            ":4: admin.address: \"127.0.0.1:2525\" is the address of a listener as well; give one \
             another port",
        ],
    );
    // The kernel chooses a different port for each.
    parse("[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n");
}

#[test]
fn routes_that_never_see_mail() {
    check_problems(
        "[[route]]\ndomains = [\"a.example\", \"*.b.example\"]\nto = \"mx\"\n[[route]]\n\
         domains = [\"*.B.example\"]\nto = \"discard\"\n[[route]]\ndomains = [\"*\"]\n\
         to = \"discard\"\n[[route]]\ndomains = [\"c.example\"]\nto = \"mx\"\n",
        &[
            ":5: route.domains: \"*.b.example\" is never reached: route 1 above takes its mail; \
             put this route first or remove it",
            ":11: route.domains: \"c.example\" is never reached: route 3 above takes its mail; \
             put this route first or remove it",
        ],
    );
}

#[test]
fn a_host_whose_name_does_not_do() {
    let host = HostFacts { name: "my_host".to_owned(), ..host() };
    let error = Config::parse("f", "", &host).expect_err("no name");
    let expected = "f: hostname: is left out, and the host's own name does not do: \"my_host\" is \
                    not a domain name: '_' may not stand in it; set hostname to a domain name \
                    that resolves to this host";
    assert_eq!(error.to_string(), expected);
    let config = Config::parse("f", "hostname = \"mx.example\"", &host).expect("a name");
    assert_eq!(config.hostname.as_str(), "mx.example");
}

#[test]
fn a_host_with_more_cpus_than_there_can_be_shards() {
    let all = CpuList::new((0..300).collect());
    let host = HostFacts { cpus_present: all.clone(), cpus_allowed: all, ..host() };
    let config = Config::parse("f", "", &host).expect("a configuration");
    assert_eq!(config.shards.cpus.to_string(), "0-255");
}

#[test]
fn files_that_cannot_be_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("missing.toml");
    let error = Config::load(Some(&missing), &host()).expect_err("no file").to_string();
    let start = format!("{}: cannot be read: No such file", missing.display());
    assert!(error.starts_with(&start), "{error}");

    let odd = directory.path().join("odd.toml");
    std::fs::write(&odd, b"hostname = \"\xff\"").expect("written");
    let error = Config::load(Some(&odd), &host()).expect_err("not UTF-8").to_string();
    assert_eq!(error, format!("{}: is not UTF-8; name a TOML file", odd.display()));

    let length = usize::try_from(CONFIG_BYTES_MAX + 1).expect("it is small");
    std::fs::write(&odd, vec![b'#'; length]).expect("written");
    let error = Config::load(Some(&odd), &host()).expect_err("too long").to_string();
    let expected = format!("{}: is longer than 1 MiB; name the configuration file", odd.display());
    assert_eq!(error, expected);

    std::fs::write(&odd, b"hostname = \"mx.example\"").expect("written");
    let config = Config::load(Some(&odd), &host()).expect("a configuration");
    assert_eq!(config.hostname.as_str(), "mx.example");
    assert_eq!(Config::load(None, &host()), Ok(parse("")));
}

#[test]
fn no_cut_of_a_file_makes_the_reader_panic() {
    for end in (0..EMBEDDED_DEFAULT.len()).filter(|end| EMBEDDED_DEFAULT.is_char_boundary(*end)) {
        // Whether it is good depends on the cut; that there is an answer does not.
        let _ = Config::parse("f", &EMBEDDED_DEFAULT[..end], &host());
        let _ = Config::parse("f", &EMBEDDED_DEFAULT[end..], &host());
    }
}

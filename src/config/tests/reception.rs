//! What a configuration says of listeners, TLS and users.

use super::*;
use crate::proto::server::{Access, AuthOffer, HeaderPolicy, Leniency, Role, TlsOffer};

const ARGON2ID: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA\
                        $d2hhdCBpcyBoZXJlIGlzIG5vIGhhc2ggYXQgYWxsISE";
const SCRAM: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
                     $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                     wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

const TLS: &str = "[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";

fn user() -> String {
    format!("[[user]]\nname = \"app1\"\npassword = \"{ARGON2ID}\"\n")
}

/// One listener with `keys` on `address`.
fn listener(address: &str, keys: &str) -> String {
    format!("[[listener]]\naddress = \"{address}\"\n{keys}")
}

/// Asserts that `text` has exactly the problem `expected`.
fn check_problem(text: &str, expected: &str) {
    check_problems(text, &[expected]);
}

#[test]
fn a_printed_configuration_reads_back_the_same() {
    let everything = format!(
        "[limits]\nconnections_max = 5\nmemory_max_bytes = 1073741824\n\
         user_messages_per_minute_max = 6\nuser_recipients_per_minute_max = 7\n\
         {TLS}client_ca = \"ca \\\"quoted\\\".pem\"\n\
         [[tls.sni]]\ncertificate = \"a.pem\"\nkey = \"b.pem\"\n\
         [[tls.sni]]\ncertificate = \"c.pem\"\nkey = \"d.pem\"\n\
         {}senders = [\"example.com\", \"*.example.org\", \"a@example.net\"]\n\
         [[user]]\nname = \"an app\"\npassword = \"{SCRAM}\"\n{}{}{}",
        user(),
        listener(
            "0.0.0.0:25",
            "tls = \"starttls\"\nclient_certificates = \"optional\"\n\
             relay_certificates = [\"Relay.example.com\"]\naccept_for = [\"*.example.com\"]\n\
             allow_from = [\"192.0.2.0/24\"]\ndeny_from = [\"192.0.2.1\"]\n\
             proxy_from = [\"10.0.0.1\"]\nxclient_from = [\"10.0.0.2\"]\nlenient = []\n\
             remove_own_results = false\nheader_max_bytes = 20000\nheader_fields_max = 300\n\
             connections_per_address_max = 1\nconnections_per_network_max = 2\n\
             messages_per_minute_per_address_max = 3\nrecipients_per_minute_per_address_max = 4\n\
             auth_failures_per_minute_max = 0\n"
        ),
        listener(
            "0.0.0.0:587",
            "role = \"submission\"\ntls_required = true\nclient_certificates = \"required\"\n\
             auth = \"required\"\nlenient = [\"bare-lf\", \"missing-brackets\"]\n\
             add_missing_headers = false\nhold_max_s = 60\n"
        ),
        listener("0.0.0.0:465", "role = \"submission\"\nauth = \"optional\"\n"),
    );
    let without_tls =
        user() + &listener("127.0.0.1:587", "auth = \"optional\"\nauth_without_tls = true\n");
    for text in [everything, without_tls] {
        let config = parse(&text);
        let printed = config.to_toml(Passwords::Shown).expect("it can be printed");
        assert_eq!(parse(&printed), config, "\n{printed}");
        assert_eq!(parse(&printed).to_toml(Passwords::Shown).expect("again"), printed);
    }
}

#[test]
fn a_print_for_others_has_no_passwords_and_says_so_when_it_is_read() {
    let text = format!("{}[[user]]\nname = \"b\"\npassword = \"{SCRAM}\"\n", user());
    let config = parse(&text);
    let printed = config.to_toml(Passwords::Hidden).expect("it can be printed");
    for secret in ["c29tZXNhbHRzb21lc2FsdA", "W22ZaJ0SNY7soEsUEjb6gQ", "$", "4096:"] {
        assert!(!printed.contains(secret), "{printed}");
        assert!(!format!("{config:?}").contains(secret), "{config:?}");
    }
    let lines = printed.lines().enumerate();
    let hidden: Vec<_> = lines.filter(|(_, line)| line.starts_with("password = ")).collect();
    assert_eq!(hidden[0].1, "password = \"(argon2id, hidden by `ringpost check`)\"");
    assert_eq!(hidden[1].1, "password = \"(SCRAM-SHA-256, hidden by `ringpost check`)\"");
    let problem = |line: usize| {
        format!(
            ":{}: user.password: the print of `ringpost check` that this comes from hides the \
             password; copy it from the file that was checked, or print it with ringpost check \
             --with-passwords",
            line + 1
        )
    };
    check_problems(&printed, &[&problem(hidden[0].0), &problem(hidden[1].0)]);
    // Nothing else is lost.
    let whole = printed
        .replace("(argon2id, hidden by `ringpost check`)", ARGON2ID)
        .replace("(SCRAM-SHA-256, hidden by `ringpost check`)", SCRAM);
    assert_eq!(parse(&whole), config);
}

#[test]
fn the_embedded_default_shows_every_key_of_a_table_that_it_leaves_out() {
    let text = format!(
        "{TLS}client_ca = \"a\"\n[[tls.sni]]\ncertificate = \"a\"\nkey = \"b\"\n{}",
        user()
    );
    let printed = parse(&text).to_toml(Passwords::Hidden).expect("it can be printed");
    for line in printed.lines().filter(|line| !line.is_empty()) {
        let start =
            line.split_once(" = ").map_or_else(|| line.to_owned(), |(key, _)| format!("{key} = "));
        let shown = EMBEDDED_DEFAULT
            .lines()
            .any(|other| other.strip_prefix("# ").unwrap_or(other).starts_with(&start));
        assert!(shown, "{line} is not in default.toml");
    }
}

#[test]
fn the_example_in_the_embedded_default_is_sound() {
    let example: String = EMBEDDED_DEFAULT
        .lines()
        .skip_while(|line| *line != "# [tls]")
        .take_while(|line| *line != "[shards]")
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with('[') || line.contains(" = "))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = parse(&example.replace("$argon2id$v=19$m=19456,t=2,p=1$...", ARGON2ID));
    let tls = config.tls.expect("there is one");
    assert_eq!(tls.certificate, PathBuf::from("/etc/ringpost/cert.pem"));
    assert_eq!(tls.sni.len(), 1);
    assert!(tls.client_ca.is_some());
    assert_eq!(config.users[0].senders, ["*".parse().expect("a pattern")]);
}

#[test]
fn what_a_plain_listener_allows() {
    let config = parse("");
    let plain = &config.listeners[0];
    assert_eq!(plain.role, Role::Transfer);
    assert_eq!(plain.tls, TlsOffer::None);
    assert_eq!(plain.auth, AuthOffer::Off);
    let loopback = Network::LOOPBACK.to_vec();
    assert_eq!(plain.access, Access { relay_from: loopback, ..Access::default() });
    assert_eq!(plain.leniency, Leniency { space_before_path: true, ..Leniency::default() });
    assert_eq!(plain.header, HeaderPolicy { add_missing: false, remove_own_results: true });
    assert_eq!(plain.hold_max, Duration::ZERO);
    assert_eq!(plain.shares.auth_failures_per_minute_max, 10);
    assert_eq!(plain.shares.connections_per_address_max, 0);
    assert_eq!(config.limits.connections_max, 10_000);
    assert_eq!(config.limits.memory_max_bytes, (8 << 30) / 100 * 75);
}

#[test]
fn what_submission_adds() {
    let config = parse(&listener("127.0.0.1:587", "role = \"submission\"\n"));
    let listener = &config.listeners[0];
    assert_eq!(listener.role, Role::Submission);
    assert!(listener.header.add_missing);
    assert_eq!(listener.hold_max, Duration::from_secs(604_800));
    assert!(!listener.leniency.bare_lf);
}

#[test]
fn tls_is_offered_as_the_port_has_it() {
    let offer = |port: u16, keys: &str, tls: &str| {
        let text = tls.to_owned() + &listener(&format!("127.0.0.1:{port}"), keys);
        parse(&text).listeners[0].tls
    };
    let on_request = TlsOffer::StartTls { required: false };
    for (port, with_tls) in
        [(25, on_request), (587, on_request), (2525, on_request), (465, TlsOffer::Implicit)]
    {
        assert_eq!(offer(port, "", ""), TlsOffer::None, "{port}");
        assert_eq!(offer(port, "", TLS), with_tls, "{port}");
        assert_eq!(offer(port, "tls = \"none\"\n", TLS), TlsOffer::None);
        assert_eq!(offer(port, "tls = \"starttls\"\n", TLS), on_request);
        assert_eq!(offer(port, "tls = \"implicit\"\n", TLS), TlsOffer::Implicit);
    }
    let required = offer(25, "tls_required = true\n", TLS);
    assert_eq!(required, TlsOffer::StartTls { required: true });
}

#[test]
fn memory_that_a_host_lets_a_process_have() {
    let of = |memory_bytes| {
        let host = HostFacts { memory_bytes, ..host() };
        Config::parse("f", "", &host).expect("a configuration").limits.memory_max_bytes
    };
    assert_eq!(of(4_000_000_000), 3_000_000_000);
    // A host that says nothing still gets a server.
    assert_eq!(of(0), 64 << 20);
    assert_eq!(of(1 << 60), 1 << 46);
}

#[test]
fn tls_that_cannot_be() {
    check_problems(
        &listener("127.0.0.1:25", "tls = \"starttls\"\ntls_required = true\n"),
        &[":3: listener.tls: there is no [tls] to take a certificate from; add [tls] with \
           certificate and key, or write \"none\""],
    );
    check_problem(
        &listener("127.0.0.1:25", "tls = \"ssl\"\ntls_required = true\n"),
        ":3: listener.tls: \"ssl\" is no choice here; write \"none\", \"starttls\" or \
         \"implicit\"",
    );
    check_problem(
        &listener("127.0.0.1:25", "tls_required = true\n"),
        ":3: listener.tls_required: tls is \"none\"; write tls = \"starttls\"",
    );
    check_problem(
        &(listener("127.0.0.1:465", "tls_required = true\n") + TLS),
        ":3: listener.tls_required: with tls = \"implicit\" no session is without TLS; leave it \
         out",
    );
    check_problems(
        "[tls]\nkey = \"\"\nclient_ca = 1\n[[tls.sni]]\ncertificate = \"a\"\n",
        &[
            ":1: tls.certificate: is missing; add certificate = \"FILE\", a PEM file",
            ":2: tls.key: \"\" is not a path; name a PEM file, as in \"/etc/ringpost/cert.pem\"",
            ":3: tls.client_ca: found integer `1`; write text in double quotes",
            ":4: tls.sni.key: is missing; add key = \"FILE\", a PEM file",
        ],
    );
    check_problems(
        "[[tls]]\ncertificate = \"a\"\n[[listener]]\naddress = \"127.0.0.1:1\"\n\
         tls = \"starttls\"\n",
        &[":1: tls: found a list; write [tls] with its keys below"],
    );
    check_problem(
        &format!("{TLS}sni = [[\"a\", \"b\"]]\n"),
        ":4: tls.sni: found a list; write [[tls.sni]] with its keys below",
    );
}

#[test]
fn client_certificates_that_cannot_be() {
    check_problem(
        &listener("127.0.0.1:25", "client_certificates = \"optional\"\n"),
        ":3: listener.client_certificates: tls is \"none\"; write tls = \"starttls\" or \
         \"implicit\"",
    );
    check_problem(
        &(listener("127.0.0.1:25", "client_certificates = \"optional\"\n") + TLS),
        ":3: listener.client_certificates: [tls] does not say whose certificates are believed; \
         set client_ca in [tls], or leave this out",
    );
    let with_ca = format!("{TLS}client_ca = \"ca.pem\"\n");
    check_problem(
        &(listener("127.0.0.1:25", "client_certificates = \"required\"\n") + &with_ca),
        ":3: listener.client_certificates: a client that does not say STARTTLS shows no \
         certificate; set tls_required = true, or write \"optional\"",
    );
    check_problem(
        &(listener("127.0.0.1:25", "relay_certificates = [\"a.example\"]\n") + &with_ca),
        ":3: listener.relay_certificates: clients are not asked for certificates; set \
         client_certificates to \"optional\" or \"required\"",
    );
    let good = listener(
        "127.0.0.1:25",
        "client_certificates = \"optional\"\nrelay_certificates = [\"A.example\"]\n",
    );
    let config = parse(&(good + &with_ca));
    assert_eq!(config.listeners[0].access.relay_certificates, ["a.example".into()]);
}

#[test]
fn authentication_that_cannot_be() {
    check_problem(
        &(listener("127.0.0.1:587", "auth = \"required\"\n") + TLS),
        ":3: listener.auth: there is no user; add a [[user]], or write \"off\"",
    );
    check_problem(
        &(listener("127.0.0.1:587", "auth = \"optional\"\n") + &user()),
        ":3: listener.auth: tls is \"none\", so that anybody in between could read the passwords; \
         write tls = \"starttls\" or \"implicit\", or, where nobody is in between, set \
         auth_without_tls = true",
    );
    check_problem(
        &(listener("127.0.0.1:587", "auth = \"on\"\n") + &user()),
        ":3: listener.auth: \"on\" is no choice here; write \"off\", \"optional\" or \
         \"required\"",
    );
    check_problem(
        &listener("127.0.0.1:587", "auth_without_tls = \"yes\"\n"),
        ":3: listener.auth_without_tls: found string \"yes\"; write true or false",
    );
    let text = listener("127.0.0.1:587", "auth = \"required\"\n") + TLS + &user();
    assert_eq!(parse(&text).listeners[0].auth, AuthOffer::Required { without_tls: false });
    let open = listener("127.0.0.1:587", "auth = \"optional\"\nauth_without_tls = true\n");
    let offer = parse(&(open + &user())).listeners[0].auth;
    assert_eq!(offer, AuthOffer::Optional { without_tls: true });
}

#[test]
fn users_that_cannot_be() {
    check_problems(
        &format!(
            "[[user]]\n[[user]]\nname = \"\"\npassword = \"open sesame\"\n[[user]]\nname = 1\n\
             password = 123456\nsenders = []\n{}{}senders = [\"@\", \"a@example.com\"]\n",
            user(),
            user().replace("app1", "app\u{AD}1")
        ),
        &[
            ":1: user.name: is missing; add name = \"…\", as the user calls itself",
            ":1: user.password: is missing; add password = \"…\" with what `ringpost password` \
             prints",
            ":3: user.name: a user's name is empty; write letters, digits and signs that can be \
             seen",
            ":4: user.password: a password is stored as a string of argon2id or SCRAM-SHA-256, \
             and this is neither; take what `ringpost password` prints",
            ":6: user.name: found integer `1`; write text in double quotes",
            ":7: user.password: found what is no text; write text in double quotes",
            ":8: user.senders: the user could send nothing with an empty list; name addresses or \
             domains, or leave it out for all",
            // SASLprep maps a soft hyphen to nothing.
            ":13: user.name: another user has this name; give each a name of its own",
            ":15: user.senders: \"@\" is not an address; write \"user@example.com\", \
             \"example.com\", \"*.example.com\" or \"*\" for all",
        ],
    );
    check_problem(
        "user = \"app1\"\n",
        ":1: user: found string \"app1\"; write [[user]] with its keys below",
    );
}

#[test]
fn faults_that_are_not_overlooked() {
    check_problem(
        &listener("127.0.0.1:25", "lenient = [\"bare-lf\"]\n"),
        ":3: listener.lenient: \"bare-lf\" is for submission alone: between servers it lets one \
         see two messages where the other sees one; take it out, or write role = \"submission\"",
    );
    check_problems(
        &listener("127.0.0.1:25", "role = \"relay\"\nlenient = [\"bare-lf\", \"bare-cr\"]\n"),
        &[
            ":3: listener.role: \"relay\" is no choice here; write \"transfer\" or \"submission\"",
            ":4: listener.lenient: \"bare-cr\" is no choice here; write \"space-before-path\", \
             \"missing-brackets\" or \"bare-lf\"",
        ],
    );
    let text = listener("127.0.0.1:587", "role = \"submission\"\nlenient = [\"bare-lf\"]\n");
    let expected = Leniency { bare_lf: true, ..Leniency::default() };
    assert_eq!(parse(&text).listeners[0].leniency, expected);
}

#[test]
fn limits_outside_their_range() {
    check_problems(
        "[limits]\nconnections_max = 0\nmemory_max_bytes = 1\n[[listener]]\n\
         address = \"127.0.0.1:1\"\nheader_fields_max = 199\nhold_max_s = 40000000\n\
         connections_per_address_max = 1000001\nallow_from = [\"a\"]\n",
        &[
            ":2: limits.connections_max: 0 is less than 1: each is a descriptor and some memory; \
             write 1 to 1000000, or leave it out for 10000",
            ":3: limits.memory_max_bytes: 1 is less than 67108864: a server that has taken in \
             nothing yet needs some memory, too; write 67108864 to 70368744177664, or leave it \
             out for 6442450875",
            ":6: listener.header_fields_max: 199 is less than 200: RFC 5321 §6.3 wants 100 \
             Received: fields at least, beside which there are others; write 200 to 100000, or \
             leave it out for 1000",
            ":7: listener.hold_max_s: 40000000 is more than 31536000: no sender waits for longer; \
             write 0 to 31536000, or leave it out for 0",
            ":8: listener.connections_per_address_max: 1000001 is more than 1000000: no host \
             takes in more; write 0 to 1000000, or leave it out for 0",
            ":9: listener.allow_from: \"a\" is not a network; write ADDRESS/BITS, as in \
             \"192.0.2.0/24\" or \"2001:db8::/32\"",
        ],
    );
}

/// Asserts that a listener with `keys` on `address` is warned of as `expected` says.
fn check_warnings(address: &str, keys: &str, expected: &[&str]) {
    let text = user() + TLS + "client_ca = \"ca.pem\"\n" + &listener(address, keys)
        // Somebody must use the user.
        + &listener("127.0.0.1:1", "auth = \"optional\"\n");
    assert_eq!(parse(&text).warnings(), expected, "\n{text}");
}

#[test]
fn warnings_about_open_relays() {
    let open = "listener.relay_from (0.0.0.0:25): OPEN RELAY: everybody in 0.0.0.0/0 may send to \
                any domain; name networks of your own";
    check_warnings("0.0.0.0:25", "relay_from = [\"10.0.0.0/8\", \"0.0.0.0/0\"]\n", &[open]);
    for keys in [
        "relay_from = [\"10.0.0.0/8\", \"fc00::/7\", \"2001:db8::/32\"]\n",
        "relay_from = [\"0.0.0.0/0\"]\nallow_from = [\"192.0.2.0/24\"]\n",
        "relay_from = [\"0.0.0.0/0\"]\nauth = \"required\"\n",
        "relay_from = [\"0.0.0.0/0\"]\ntls_required = true\nclient_certificates = \"required\"\n",
    ] {
        check_warnings("0.0.0.0:25", keys, &[]);
    }
    for address in ["127.0.0.1:25", "10.1.2.3:25", "[::1]:25", "[fd00::1]:25", "[fe80::1]:25"] {
        check_warnings(address, "relay_from = [\"0.0.0.0/0\", \"::/0\"]\n", &[]);
    }
    // In two halves, and by domain.
    check_warnings(
        "[2001:db8::1]:25",
        "relay_from = [\"::/1\", \"8000::/1\"]\naccept_for = [\"*\"]\n",
        &[
            "listener.relay_from ([2001:db8::1]:25): OPEN RELAY: everybody in ::/1 may send to \
             any domain; name networks of your own",
            "listener.accept_for ([2001:db8::1]:25): OPEN RELAY: anybody may send to any domain; \
             name the domains that this host takes mail for",
        ],
    );
}

#[test]
fn other_warnings() {
    check_warnings(
        "0.0.0.0:587",
        "proxy_from = [\"0.0.0.0/0\"]\nxclient_from = [\"::/0\"]\nauth = \"optional\"\n\
         auth_without_tls = true\n",
        &[
            "listener.proxy_from (0.0.0.0:587): everybody in 0.0.0.0/0 may claim any address; \
             name the addresses of the proxies",
            "listener.xclient_from (0.0.0.0:587): everybody in ::/0 may claim any address and any \
             user; name the addresses of the proxies",
            "listener.auth_without_tls (0.0.0.0:587): passwords may pass over the network \
             unprotected; leave it out, unless nobody is in between",
        ],
    );
    check_warnings("127.0.0.1:587", "auth = \"optional\"\nauth_without_tls = true\n", &[]);
    check_warnings(
        "0.0.0.0:465",
        "tls = \"starttls\"\n",
        &["listener.tls (0.0.0.0:465): clients of port 465 begin with TLS (RFC 8314 §3.3), and \
             this one does not; write \"implicit\""],
    );
    assert_eq!(
        parse(&user()).warnings(),
        ["user: nobody can authenticate, because auth is \"off\" at every listener; set auth to \
          \"optional\" or \"required\" there"]
    );
    assert_eq!(
        parse("[limits]\nmemory_max_bytes = 67108864\n[spool]\ncache_bytes = 40000000\n")
            .warnings(),
        ["limits.memory_max_bytes: the spool.cache_bytes of all shards come to 80000000, and \
             mail is refused from 67108864 on; lower cache_bytes or raise memory_max_bytes"]
    );
    assert_eq!(parse("").warnings(), [""; 0]);
}

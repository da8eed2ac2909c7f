//! Stored strings against published ones, names and passwords against SASLprep, users and senders.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::invalid;
use crate::limits::{PASSWORD_BYTES_MAX, SASL_NAME_BYTES_MAX};

const SECRET: [u8; 32] = [7; 32];

/// From the test vectors of the reference implementation of argon2: "password" and "somesalt".
const ARGON2ID: &str =
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

/// "password" as other programs store it; the keys were computed with Python's hashlib.
const SCRAM: &str = "SCRAM-SHA-256$4096:c29tZXNhbHQ=$\
    PBAa8IXW7zZJ1Jz2pQelH6cUeFjW7XGgV0ajw+VvFk4=:\
    kK3Z9LLhoKGUd7h01BEW65Z9PsXgBe2OkGDqhSou2vM=";

fn credential(text: &str) -> Arc<Credential> {
    Arc::new(Credential::parse(text).expect(text))
}

fn user(name: &str, string: &str) -> User {
    User { name: name.into(), credential: credential(string), senders: Vec::new() }
}

#[test]
fn strings_of_other_programs_are_checked() {
    for string in [ARGON2ID, SCRAM] {
        let users = Users::new([user("alice", string)]);
        let check = |password| users.check_password(&SECRET, "alice", password).run();
        assert!(check("password"), "{string}");
        assert!(!check("Password"), "{string}");
        assert!(!check("password "), "{string}");
        assert!(!check(""), "{string}");
    }
}

#[test]
fn what_is_made_is_read_back_and_checked() {
    let salt = *b"0123456789abcdef";
    let made = [
        (make_argon2id("Iⅸ\u{ad}", salt), "$argon2id$v=19$m=19456,t=2,p=1$", "argon2id"),
        (make_scram("Iⅸ\u{ad}", salt), "SCRAM-SHA-256$15000:", "SCRAM-SHA-256"),
    ];
    for (string, start, scheme) in made {
        let string = string.expect("a good password");
        assert!(string.starts_with(start), "{string}");
        assert_eq!(Credential::parse(&string).expect(&string).scheme(), scheme);
        let users = Users::new([user("alice", &string)]);
        // Compatibility forms and what cannot be seen make no difference (RFC 4013 §2).
        assert!(users.check_password(&SECRET, "alice", "Iix").run());
        assert!(!users.check_password(&SECRET, "alice", "IIX").run());
    }
    let other_salt = make_scram("Iix", [1; 16]).expect("good");
    assert_ne!(make_scram("Iix", salt).expect("good"), other_salt);
}

#[test]
fn passwords_that_no_client_could_send_are_refused() {
    let long = "a".repeat(PASSWORD_BYTES_MAX + 1);
    // RFC 4013 §3: prohibited characters, and a mix of directions.
    for password in ["", "\u{ad}", "a\tb", "\u{7}", "\u{627}1", "\u{1f511}", &long] {
        let refused = make_argon2id(password, [0; 16]).expect_err("not allowed");
        assert!(!refused.remedy.is_empty());
        assert!(password.is_empty() || !refused.to_string().contains(password), "{refused}");
        assert_eq!(make_scram(password, [0; 16]), Err(refused));
    }
}

#[test]
fn a_password_that_saslprep_forbids_fails_though_it_was_hashed() {
    // What another program made without SASLprep.
    let string = ScramVerifier::make(b"a\tb", b"somesalt", 4_096);
    let users = Users::new([user("alice", &string)]);
    assert!(!users.check_password(&SECRET, "alice", "a\tb").run());
}

#[test]
fn malformed_and_costly_strings_are_refused() {
    let argon2id = [
        ("", "neither"),
        ("secret", "neither"),
        ("$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "neither"),
        ("$argon2id$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "malformed"),
        ("$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "version"),
        ("$argon2id$v=19$m=256,t=2$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "malformed"),
        ("$argon2id$v=19$t=2,m=256,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "malformed"),
        ("$argon2id$v=19$m=+256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "malformed"),
        ("$argon2id$v=19$m=,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "malformed"),
        ("$argon2id$v=19$m=256,t=0,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "malformed"),
        ("$argon2id$v=19$m=256,t=2,p=0$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "malformed"),
        ("$argon2id$v=19$m=7,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "malformed"),
        ("$argon2id$v=19$m=256,t=2,p=1,data=AAAA$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "malformed"),
        ("$argon2id$v=19$m=256,t=2,p=1$c29tZXN$nf65EOgLrQMR/uIPnA4rEg", "malformed"),
        ("$argon2id$v=19$m=256,t=2,p=1$c2FsdA$nf65EOgLrQMR/uIPnA4rEg", "malformed"),
        ("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EA", "malformed"),
        ("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg$", "malformed"),
        ("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ", "malformed"),
        ("$argon2id$v=19$m=262145,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "memory"),
        ("$argon2id$v=19$m=4294967295,t=4294967295,p=1$c29tZXNhbHQ$nf65EOgLrQMR/g", "memory"),
        ("$argon2id$v=19$m=262144,t=5,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "too long"),
        ("$argon2id$v=19$m=256,t=4294967295,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "too long"),
        ("$argon2id$v=19$m=256,t=2,p=17$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "lanes"),
    ];
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let scram = [
        (format!("SCRAM-SHA-1$4096:c2FsdA==${key}:{key}"), "neither"),
        (format!("SCRAM-SHA-256$4095:c2FsdA==${key}:{key}"), "too few"),
        (format!("SCRAM-SHA-256$1000001:c2FsdA==${key}:{key}"), "too many"),
        (format!("SCRAM-SHA-256$99999999999:c2FsdA==${key}:{key}"), "malformed"),
        (format!("SCRAM-SHA-256$4096:${key}:{key}"), "malformed"),
        (format!("SCRAM-SHA-256$4096:c2FsdA${key}:{key}"), "malformed"),
        (format!("SCRAM-SHA-256$4096:c2FsdA==${key}"), "malformed"),
        (format!("SCRAM-SHA-256$4096:c2FsdA==${key}:AAAA"), "malformed"),
        (format!("SCRAM-SHA-256$4096:c2FsdA==${key}:{key}:{key}"), "malformed"),
    ];
    let scram = scram.iter().map(|(string, what)| (string.as_str(), *what));
    for (string, what) in argon2id.into_iter().chain(scram) {
        let refused = Credential::parse(string).expect_err(string);
        assert!(refused.what.contains(what), "{string}: {refused}");
        assert!(!refused.to_string().contains("c29tZXNhbHQ"), "{refused}");
    }
}

#[test]
fn a_name_that_nobody_has_is_checked_and_fails() {
    let users = Users::new([user("alice", ARGON2ID), user("bob", SCRAM)]);
    // Each is checked against what one of the users has, and proves nothing.
    let mut schemes = [0, 0];
    for number in 0..64 {
        let check = users.check_password(&SECRET, &format!("nobody{number}"), "password");
        schemes[usize::from(format!("{check:?}").contains("SCRAM"))] += 1;
        assert!(!check.run());
    }
    assert!(schemes.iter().all(|&count| count > 16), "{schemes:?}");
    let nobody = Users::default();
    assert!(nobody.is_empty());
    assert!(!nobody.check_password(&SECRET, "alice", "password").run());
}

#[test]
fn names_are_prepared_before_they_are_compared() {
    let users = Users::new([user("Iⅸ", ARGON2ID), user("bob", SCRAM), user("bob", ARGON2ID)]);
    for name in ["Iix", "I\u{ad}ix", "Iⅸ"] {
        let found = users.get(name.as_bytes()).expect(name);
        assert_eq!(&*found.name, "Iix");
    }
    for name in [&b"iix"[..], b"", b"I\xffix", b"Iix\0"] {
        assert_eq!(users.get(name), None, "{}", name.escape_ascii());
    }
    // Of two with one name the last counts.
    assert_eq!(users.get(b"bob").map(|bob| bob.credential.scheme()), Some("argon2id"));
    assert!(!users.have_scram());
    let long = "a".repeat(SASL_NAME_BYTES_MAX + 1);
    for name in ["", "\u{ad}", "a\u{7}", &long] {
        assert!(prepare_name(name).is_err(), "{name:?}");
    }
}

#[test]
fn nothing_secret_is_printed() {
    let users = Users::new([user("alice", ARGON2ID), user("bob", SCRAM)]);
    let check = users.check_password(&SECRET, "alice", "password");
    let keys = &users.get(b"bob").expect("bob").credential;
    let printed = format!("{users:?} {check:?} {:?}", keys.scram());
    assert!(!printed.contains("password") && !printed.contains("nf65EOgL"), "{printed}");
    assert!(!printed.contains("stored: ["), "{printed}");
}

#[test]
fn sender_patterns() {
    let good = [
        ("*", "*"),
        ("Example.com", "example.com"),
        ("*.example.com", "*.example.com"),
        ("Bob@Example.com", "Bob@example.com"),
        ("\"a b@c\"@example.com", "\"a b@c\"@example.com"),
        ("büro@example.com", "büro@example.com"),
    ];
    let bad = ["", "@", "@example.com", "bob@", "a b@example.com", "*@example.com", "a@b@c.test"];
    invalid::check::<SenderPattern>(&good, &bad);
    invalid::check::<SenderPattern>(&[], &["bob@*.example.com", "**", "bob@a..b", "a\n@b.test"]);
}

#[test]
fn a_user_sends_only_as_the_patterns_say() {
    let user = |patterns: &[&str]| User {
        senders: patterns.iter().map(|text| text.parse().expect(text)).collect(),
        ..user("alice", ARGON2ID)
    };
    let cases: &[(&[&str], &str, bool)] = &[
        (&[], "", true),
        (&[], "a@example.com", false),
        (&["*"], "a@example.com", true),
        (&["*"], "a@[192.0.2.1]", true),
        (&["example.com"], "a@example.com", true),
        (&["example.com"], "a@EXAMPLE.com", true),
        (&["example.com"], "a@mail.example.com", false),
        (&["example.com"], "a@badexample.com", false),
        (&["example.com"], "a@example.com.evil.test", false),
        (&["example.com"], "\"a@example.com\"@evil.test", false),
        (&["example.com"], "a%example.com@evil.test", false),
        (&["example.com"], "a@[192.0.2.1]", false),
        (&["example.com"], "postmaster", false),
        // Fullwidth letters are the same to IDNA, so they are here.
        (&["example.com"], "a@ｅxample.com", true),
        (&["*.example.com"], "a@mail.example.com", true),
        (&["*.example.com"], "a@a.b.example.com", true),
        (&["*.example.com"], "a@example.com", false),
        (&["*.example.com"], "a@.example.com", false),
        (&["*.example.com"], "a@mailexample.com", false),
        (&["xn--bcher-kva.example"], "a@bücher.example", true),
        (&["xn--bcher-kva.example"], "a@bucher.example", false),
        (&["bob@example.com"], "bob@Example.com", true),
        (&["bob@example.com"], "BOB@example.com", false),
        (&["bob@example.com"], "bob@mail.example.com", false),
        (&["bob@example.com", "example.net"], "x@example.net", true),
    ];
    for (patterns, address, allowed) in cases {
        assert_eq!(user(patterns).may_send_as(address.as_bytes()), *allowed, "{address}");
    }
    assert!(!user(&["example.com"]).may_send_as(b"a\xff@example.com"));
}

proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(text in ".{0,80}", tail in "[$=,:a-zA-Z0-9+/]{0,80}") {
        let starts = ["", "$argon2id$", "$argon2id$v=19$", "SCRAM-SHA-256$", "SCRAM-SHA-256$4096:"];
        for start in starts {
            for end in [&text, &tail] {
                let string = format!("{start}{end}");
                if let Ok(credential) = Credential::parse(&string) {
                    prop_assert_ne!(credential.scheme(), "");
                }
            }
        }
    }

    #[test]
    fn a_pattern_that_is_read_is_printed_and_read_back(text in "[a-z@.*\"é-]{0,20}") {
        if let Ok(pattern) = text.parse::<SenderPattern>() {
            let printed = pattern.to_string();
            prop_assert_eq!(printed.parse(), Ok(pattern));
        }
    }
}

//! The mechanisms against published exchanges, against a client of their own, and against nonsense.

use std::sync::Arc;

use proptest::prelude::*;

use self::client::{Client, Offer};
use super::*;
use crate::credentials::{Credential, User};
use crate::limits::SASL_NAME_BYTES_MAX;

mod client;

const SECRET: [u8; 32] = [3; 32];

/// "password", from the test vectors of the reference implementation of argon2.
const ARGON2ID: &str =
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

/// "password" for SCRAM; the keys were computed with Python's hashlib.
const SCRAM: &str = "SCRAM-SHA-256$4096:c29tZXNhbHQ=$\
    PBAa8IXW7zZJ1Jz2pQelH6cUeFjW7XGgV0ajw+VvFk4=:\
    kK3Z9LLhoKGUd7h01BEW65Z9PsXgBe2OkGDqhSou2vM=";

fn users(users: &[(&str, &str)]) -> Users {
    Users::new(users.iter().map(|(name, string)| User {
        name: (*name).into(),
        credential: Arc::new(Credential::parse(string).expect(string)),
        senders: Vec::new(),
    }))
}

/// Alice has an argon2id string, bob a SCRAM verifier; all passwords are "password".
fn alice_and_bob() -> Users {
    users(&[("alice", ARGON2ID), ("bob", SCRAM)])
}

fn tls() -> TlsFacts {
    TlsFacts {
        version: "TLSv1.3",
        exporter: Some([5; 32]),
        server_end_point: Some([6; 32].into()),
        ..TlsFacts::default()
    }
}

const fn context<'a>(users: &'a Users, tls: Option<&'a TlsFacts>) -> SaslContext<'a> {
    SaslContext { users, secret: &SECRET, serial: 1, tls }
}

/// What an exchange came to, with checks of passwords run.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Done(String),
    Failed(SaslFailure),
    /// The client had no more to say; the last challenge.
    Open(String),
}

fn run(context: &SaslContext<'_>, mechanism: Mechanism, messages: &[Option<&str>]) -> End {
    let mut exchange = Exchange::begin(mechanism);
    let mut last = String::new();
    for message in messages {
        let mut step = exchange.respond(context, message.map(str::as_bytes));
        if let SaslStep::CheckPassword(check) = step {
            step = exchange.handle_password(check.run());
        }
        match step {
            SaslStep::Challenge(challenge) => last = text(challenge),
            SaslStep::Done { user } => return End::Done(text(user.into())),
            SaslStep::Failed(failure) => return End::Failed(failure),
            SaslStep::CheckPassword(_) => panic!("a check was followed by another"),
        }
    }
    End::Open(last)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("all messages here are text")
}

fn challenge(step: SaslStep) -> Result<String, SaslFailure> {
    match step {
        SaslStep::Challenge(challenge) => Ok(text(challenge)),
        SaslStep::Failed(failure) => Err(failure),
        step @ (SaslStep::CheckPassword(_) | SaslStep::Done { .. }) => panic!("{step:?}"),
    }
}

/// The whole of SCRAM as `client` does it, and whether the server proved itself.
fn log_in(context: &SaslContext<'_>, mechanism: Mechanism, client: &Client) -> End {
    let mut exchange = Exchange::begin(mechanism);
    let first = client.first();
    let server_first = match challenge(exchange.respond(context, Some(first.as_bytes()))) {
        Ok(server_first) => server_first,
        Err(failure) => return End::Failed(failure),
    };
    let (last, signature) = client.answer(&server_first);
    match challenge(exchange.respond(context, Some(last.as_bytes()))) {
        Ok(server_last) => assert_eq!(server_last, signature),
        Err(failure) => return End::Failed(failure),
    }
    let step = exchange.respond(context, Some(b""));
    let SaslStep::Done { user } = step else { panic!("{step:?}") };
    End::Done(text(user.into()))
}

#[test]
fn mechanisms_are_known_by_name_in_any_case() {
    for mechanism in Mechanism::ALL {
        let name = mechanism.name();
        assert_eq!(Mechanism::parse(name.as_bytes()), Some(mechanism));
        assert_eq!(Mechanism::parse(name.to_lowercase().as_bytes()), Some(mechanism));
    }
    for name in [&b""[..], b"SCRAM-SHA-1", b"PLAIN ", b"CRAM-MD5", b"\xff"] {
        assert_eq!(Mechanism::parse(name), None);
    }
}

#[test]
fn what_is_offered_depends_on_tls_and_on_the_users() {
    let offered = |users: &Users, tls: Option<&TlsFacts>, without_tls| -> Vec<&str> {
        let all = Mechanism::ALL.into_iter();
        all.filter(|it| it.is_offered(users, tls, without_tls)).map(Mechanism::name).collect()
    };
    let (mixed, only_argon2id) = (alice_and_bob(), users(&[("alice", ARGON2ID)]));
    let (tls, bare_tls) = (tls(), TlsFacts::default());
    let all = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"];
    assert_eq!(offered(&mixed, Some(&tls), false), all);
    assert_eq!(offered(&mixed, Some(&bare_tls), false), all[1..]);
    assert_eq!(offered(&mixed, None, true), all[1..]);
    assert_eq!(offered(&mixed, None, false), ["SCRAM-SHA-256"]);
    assert_eq!(offered(&only_argon2id, Some(&tls), false), ["PLAIN", "LOGIN"]);
    assert_eq!(offered(&only_argon2id, None, false), [""; 0]);
}

#[test]
fn plain() {
    let users = alice_and_bob();
    let context = context(&users, None);
    let long_name = "a".repeat(SASL_NAME_BYTES_MAX + 1);
    let long_password = "a".repeat(PASSWORD_BYTES_MAX + 1);
    let done = |name: &str| End::Done(name.to_owned());
    let (credentials, malformed) =
        (End::Failed(SaslFailure::Credentials), End::Failed(SaslFailure::Malformed));
    let identity = End::Failed(SaslFailure::AuthorizationIdentity);
    let cases = [
        ("\0alice\0password", &done("alice")),
        ("\0bob\0password", &done("bob")),
        ("alice\0alice\0password", &done("alice")),
        ("al\u{ad}ice\0alic\u{ad}e\0password", &done("alice")),
        ("\0alice\0Password", &credentials),
        ("\0nobody\0password", &credentials),
        ("\0Alice\0password", &credentials),
        ("\0ali\u{7}ce\0password", &credentials),
        ("bob\0alice\0password", &identity),
        ("\u{7}\0alice\0password", &identity),
        ("", &malformed),
        ("alice", &malformed),
        ("alice\0password", &malformed),
        ("\0\0password", &malformed),
        ("\0alice\0", &malformed),
        ("\0alice\0pass\0word", &malformed),
        (&format!("\0{long_name}\0password"), &credentials),
        (&format!("\0alice\0{long_password}"), &malformed),
    ];
    for (message, end) in cases {
        assert_eq!(run(&context, Mechanism::Plain, &[Some(message)]), *end, "{message:?}");
        let without_initial = [None, Some(message)];
        assert_eq!(run(&context, Mechanism::Plain, &without_initial), *end, "{message:?}");
    }
    assert_eq!(run(&context, Mechanism::Plain, &[None]), End::Open(String::new()));
}

#[test]
fn login() {
    let users = alice_and_bob();
    let context = context(&users, None);
    let run = |messages: &[Option<&str>]| run(&context, Mechanism::Login, messages);
    assert_eq!(run(&[None]), End::Open("Username:".to_owned()));
    assert_eq!(run(&[None, Some("alice")]), End::Open("Password:".to_owned()));
    for (name, password, end) in [
        ("alice", "password", End::Done("alice".to_owned())),
        ("bob", "password", End::Done("bob".to_owned())),
        ("al\u{ad}ice", "password", End::Done("alice".to_owned())),
        ("alice", "wrong", End::Failed(SaslFailure::Credentials)),
        ("alice", "", End::Failed(SaslFailure::Credentials)),
        ("nobody", "password", End::Failed(SaslFailure::Credentials)),
        ("", "password", End::Failed(SaslFailure::Credentials)),
    ] {
        assert_eq!(run(&[None, Some(name), Some(password)]), end, "{name}");
        assert_eq!(run(&[Some(name), Some(password)]), end, "{name}");
    }
}

/// The exchange of RFC 7677 §3, with the nonce that the server has there.
#[test]
fn the_published_exchange_of_scram() {
    // "pencil" with the salt of the exchange; the keys were computed with Python's hashlib.
    let string = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
        WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
        wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let users = users(&[("user", string)]);
    let context = context(&users, None);
    let first = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    let (server_first, challenged) =
        scram::challenge(&context, Mechanism::ScramSha256, first, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
            .expect("it is well formed");
    assert_eq!(
        server_first,
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let signature = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    // The client of these tests says the same.
    let client = Client::new("user", "pencil");
    assert_eq!(client.first(), first);
    assert_eq!(client.answer(&server_first), (last.to_owned(), signature.to_owned()));
    let accepted = challenged.accept(last).expect("the proof is right");
    assert_eq!((&*accepted.user, accepted.challenge.as_str()), ("user", signature));
}

#[test]
fn scram_with_every_binding_to_the_connection() {
    let users = alice_and_bob();
    let (tls, bare_tls) = (tls(), TlsFacts::default());
    let (plain, plus) = (Mechanism::ScramSha256, Mechanism::ScramSha256Plus);
    let done = || End::Done("bob".to_owned());
    let failed = End::Failed;
    let unsupported = || failed(SaslFailure::ChannelBindingUnsupported);
    let mismatch = || failed(SaslFailure::ChannelBindingMismatch);
    let (exporter, end_point) = ("p=tls-exporter,,", "p=tls-server-end-point,,");
    let (ours, bare) = (Some(&tls), Some(&bare_tls));
    let cases: [(_, Mechanism, &str, &[u8], End); 19] = [
        (None, plain, "n,,", &[], done()),
        (None, plain, "y,,", &[], done()),
        (bare, plain, "y,,", &[], done()),
        (ours, plain, "n,,", &[], done()),
        (ours, plus, exporter, &[5; 32], done()),
        (ours, plus, end_point, &[6; 32], done()),
        // Somebody took -PLUS from the list (RFC 5802 §6).
        (ours, plain, "y,,", &[], failed(SaslFailure::Downgraded)),
        (ours, plus, "y,,", &[], failed(SaslFailure::Downgraded)),
        // Somebody sits between: the client's connection is another.
        (ours, plus, exporter, &[9; 32], mismatch()),
        (ours, plus, end_point, &[5; 32], mismatch()),
        (ours, plus, exporter, &[], mismatch()),
        (ours, plain, "n,,", &[5; 32], mismatch()),
        // What does not go together, or is not known.
        (ours, plus, "n,,", &[], unsupported()),
        (ours, plus, "p=tls-unique,,", &[5; 32], unsupported()),
        (ours, plain, exporter, &[5; 32], unsupported()),
        (bare, plus, exporter, &[5; 32], unsupported()),
        (bare, plus, end_point, &[6; 32], unsupported()),
        (None, plus, exporter, &[5; 32], unsupported()),
        (None, plain, "x,,", &[], failed(SaslFailure::Malformed)),
    ];
    for (tls, mechanism, gs2_header, binding, end) in cases {
        let mut client = Client::new("bob", "password");
        client.gs2_header = gs2_header.to_owned();
        client.binding = binding.to_owned();
        let context = context(&users, tls);
        assert_eq!(log_in(&context, mechanism, &client), end, "{gs2_header} {mechanism:?}");
    }
}

#[test]
fn names_of_scram_are_decoded_and_prepared() {
    let users = users(&[("a,b=c", SCRAM), ("Iix", SCRAM)]);
    let context = context(&users, None);
    let done = |name: &str| End::Done(name.to_owned());
    let malformed = || End::Failed(SaslFailure::Malformed);
    for (name, gs2_header, end) in [
        ("a=2Cb=3Dc", "n,,", done("a,b=c")),
        ("a=2Cb=3Dc", "n,a=a=2Cb=3Dc,", done("a,b=c")),
        ("I\u{2178}", "n,a=Iix,", done("Iix")),
        // A letter of another alphabet.
        ("Ii\u{445}", "n,,", End::Failed(SaslFailure::Credentials)),
        ("\u{7}", "n,,", End::Failed(SaslFailure::Credentials)),
        ("Iix", "n,a=other,", End::Failed(SaslFailure::AuthorizationIdentity)),
        ("Iix", "n,Iix,", malformed()),
        ("Iix", "n,a=,", malformed()),
        ("a=2cb=3dc", "n,,", malformed()),
        ("a=", "n,,", malformed()),
        ("a=41", "n,,", malformed()),
        ("", "n,,", malformed()),
    ] {
        let mut client = Client::new(name, "password");
        client.gs2_header = gs2_header.to_owned();
        let found = log_in(&context, Mechanism::ScramSha256, &client);
        assert_eq!(found, end, "{name:?} {gs2_header}");
    }
}

/// What somebody between makes of the client's final message.
type Change = fn(&str) -> String;

#[test]
fn a_wrong_password_and_a_changed_message_fail() {
    let users = alice_and_bob();
    let context = context(&users, None);
    let client = Client::new("bob", "Password");
    let failed = End::Failed(SaslFailure::Credentials);
    assert_eq!(log_in(&context, Mechanism::ScramSha256, &client), failed);

    let client = Client::new("bob", "password");
    let end_of = |change: Change| {
        let mut exchange = Exchange::begin(Mechanism::ScramSha256);
        let server_first = exchange.respond(&context, Some(client.first().as_bytes()));
        let (right, _) = client.answer(&challenge(server_first).expect("it is well formed"));
        challenge(exchange.respond(&context, Some(change(&right).as_bytes())))
    };
    assert!(end_of(str::to_owned).is_ok());
    let cases: [(Change, SaslFailure); 11] = [
        (|right| right.replace(",r=rO", ",r=sO"), SaslFailure::Credentials),
        (|right| right.replace(",p=", "x,p="), SaslFailure::Credentials),
        // It is well formed, but no longer what was signed.
        (|right| right.replace(",p=", ",x=y,p="), SaslFailure::Credentials),
        (|right| right.replace("c=biws", "c=eSws"), SaslFailure::ChannelBindingMismatch),
        (|right| right.replace("c=biws,", ""), SaslFailure::Malformed),
        (|right| right.replace("c=biws", "c=???"), SaslFailure::Malformed),
        (|right| right.replace(",p=", ",p=A"), SaslFailure::Malformed),
        (|right| right.replace(",p=", ",m=x,,p="), SaslFailure::Malformed),
        (|right| right.replace(",p=", ",p"), SaslFailure::Malformed),
        (|right| format!("{right}="), SaslFailure::Malformed),
        (|_| String::new(), SaslFailure::Malformed),
    ];
    for (change, failure) in cases {
        assert_eq!(end_of(change), Err(failure), "{}", change("c=biws,r=rO,p="));
    }
}

#[test]
fn the_first_message_of_scram_is_well_formed_or_refused() {
    let users = alice_and_bob();
    let context = context(&users, None);
    let first = |message: &str| {
        let mut exchange = Exchange::begin(Mechanism::ScramSha256);
        challenge(exchange.respond(&context, Some(message.as_bytes())))
    };
    // Extensions that nobody knows are no reason to fail, those behind m= are (RFC 5802 §5.1).
    assert!(first("n,,n=bob,r=abc,x=anything=,y=z").is_ok());
    assert_eq!(first("n,,m=x,n=bob,r=abc"), Err(SaslFailure::Extension));
    let malformed = [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=bob",
        "n,,n=bob,",
        "n,,n=bob,r=",
        "n,,r=abc,n=bob",
        "n,,n=,r=abc",
        "n,,n=bob,r=abc,",
        "n,,n=bob,r=abc,x",
        "n,,n=bob,r=abc,x=",
        "n,,n=bob,r=abc,=x",
        "n,,n=bob,r=a c",
        "n,,n=bob,r=a\u{e4}c",
        "n,,n=bob,r=a\u{7f}c",
        "n,n=bob,r=abc",
        "nn,,n=bob,r=abc",
    ];
    for message in malformed {
        assert_eq!(first(message), Err(SaslFailure::Malformed), "{message:?}");
    }
}

#[test]
fn who_does_not_exist_looks_like_who_does() {
    let other = SCRAM.replace("4096:c29tZXNhbHQ=", "5000:c29tZSBsb25nZXIgc2FsdA==");
    let users = users(&[("alice", ARGON2ID), ("bob", SCRAM), ("carol", &other)]);
    let offer = |name: &str, serial| {
        let client = Client::new(name, "wrong");
        let context = SaslContext { serial, ..context(&users, None) };
        let mut exchange = Exchange::begin(Mechanism::ScramSha256);
        let server_first = exchange.respond(&context, Some(client.first().as_bytes()));
        let server_first = challenge(server_first).expect("it is well formed");
        let (last, _) = client.answer(&server_first);
        let end = challenge(exchange.respond(&context, Some(last.as_bytes())));
        assert_eq!(end, Err(SaslFailure::Credentials), "{name}");
        Offer::parse(&server_first)
    };
    let shape = |offer: &Offer| (offer.iterations, offer.salt.len());
    let known = [shape(&offer("bob", 1)), shape(&offer("carol", 1))];
    assert_eq!(known, [(4_096, 8), (5_000, 16)]);
    let mut seen = [0, 0];
    // Alice exists, but cannot use SCRAM.
    for name in ["alice".to_owned()].into_iter().chain((0..15).map(|number| format!("n{number}"))) {
        let first = offer(&name, 1);
        let kind = known.iter().position(|known| *known == shape(&first)).expect("a known shape");
        seen[kind] += 1;
        // Another session shows the same salt, and another nonce.
        let second = offer(&name, 2);
        assert_eq!((second.iterations, second.salt), (first.iterations, first.salt));
        assert_ne!(second.nonce, first.nonce);
    }
    assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
    assert_ne!(offer("n1", 1).salt[..8], offer("n2", 1).salt[..8]);
}

#[test]
fn an_exchange_ends_once() {
    let users = alice_and_bob();
    let context = context(&users, None);
    let client = Client::new("bob", "password");
    let mut exchange = Exchange::begin(Mechanism::ScramSha256);
    let server_first = challenge(exchange.respond(&context, Some(client.first().as_bytes())));
    let (last, _) = client.answer(&server_first.expect("it is well formed"));
    assert!(challenge(exchange.respond(&context, Some(last.as_bytes()))).is_ok());
    // The server's proof is answered with nothing.
    let step = exchange.respond(&context, Some(b"x"));
    assert!(matches!(step, SaslStep::Failed(SaslFailure::Malformed)), "{step:?}");
    let step = exchange.respond(&context, Some(b""));
    assert!(matches!(step, SaslStep::Failed(SaslFailure::Malformed)), "{step:?}");
    let step = exchange.handle_password(true);
    assert!(matches!(step, SaslStep::Failed(SaslFailure::Credentials)), "{step:?}");
}

#[test]
fn every_failure_of_scram_has_its_name() {
    // RFC 5802 §7
    let failures = [
        (SaslFailure::Malformed, "invalid-encoding"),
        (SaslFailure::Credentials, "invalid-proof"),
        (SaslFailure::Extension, "extensions-not-supported"),
        (SaslFailure::ChannelBindingUnsupported, "unsupported-channel-binding-type"),
        (SaslFailure::ChannelBindingMismatch, "channel-bindings-dont-match"),
        (SaslFailure::Downgraded, "server-does-support-channel-binding"),
        (SaslFailure::AuthorizationIdentity, "other-error"),
    ];
    for (failure, name) in failures {
        assert_eq!(failure.scram_name(), name);
    }
}

/// Pieces of messages, which put together get past the first checks now and then.
const PIECES: &[&str] = &[
    "n,,",
    "y,,",
    "p=tls-exporter,,",
    "n,a=bob,",
    "n=bob",
    "n=eve",
    ",r=abc",
    ",r=",
    "c=biws",
    ",p=",
    "AAAA",
    "=2C",
    "=",
    ",",
    "\0",
    "bob",
    "alice",
    "wrong",
    "m=x",
    ",x=y",
    "\u{7}",
    "\u{e4}",
];

fn message() -> impl Strategy<Value = Vec<u8>> {
    let pieces = proptest::collection::vec(proptest::sample::select(PIECES), 0..12);
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        pieces.prop_map(|pieces| pieces.concat().into_bytes()),
        Just(vec![b'a'; SASL_MESSAGE_BYTES_MAX + 1]),
    ]
}

proptest! {
    /// Whatever is sent, nothing panics, and nobody is let in: no message here has the password.
    #[test]
    fn nonsense_is_refused(
        mechanism in proptest::sample::select(&Mechanism::ALL[..]),
        has_tls in any::<bool>(),
        initial in proptest::option::of(message()),
        messages in proptest::collection::vec(message(), 0..4),
    ) {
        let users = alice_and_bob();
        let tls = tls();
        let context = context(&users, has_tls.then_some(&tls));
        let mut exchange = Exchange::begin(mechanism);
        let mut is_over = false;
        for message in [initial].into_iter().chain(messages.into_iter().map(Some)) {
            let mut step = exchange.respond(&context, message.as_deref());
            if let SaslStep::CheckPassword(check) = step {
                step = exchange.handle_password(check.run());
            }
            let is_let_in = matches!(step, SaslStep::Done { .. } | SaslStep::CheckPassword(_));
            prop_assert!(!is_let_in);
            // What has failed stays so.
            prop_assert!(!is_over || matches!(step, SaslStep::Failed(_)));
            is_over = matches!(step, SaslStep::Failed(_));
        }
    }

    /// The server's first message can be read by any client, whatever the client's nonce is.
    #[test]
    fn any_nonce_of_a_client_is_taken(nonce in "[!-+--~]{1,60}", serial in any::<u64>()) {
        let users = alice_and_bob();
        let context = SaslContext { serial, ..context(&users, None) };
        let mut client = Client::new("bob", "password");
        client.nonce = nonce;
        let end = log_in(&context, Mechanism::ScramSha256, &client);
        prop_assert_eq!(end, End::Done("bob".to_owned()));
    }
}

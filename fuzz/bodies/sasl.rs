//! Authentication exchanges with whatever a client sends.

use std::sync::Arc;

use ringpost::credentials::{Credential, User, Users};
use ringpost::proto::sasl::{Exchange, Mechanism, SaslContext, SaslStep};
use ringpost::proto::server::TlsFacts;

/// RFC 7677 §3: the password of `user` is `pencil`.
pub(super) const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
    WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

/// Messages, separated by a NUL that a mechanism other than PLAIN has no use for, to the mechanism
/// that the first byte picks. Nobody gets in who does not know the password, and the same messages
/// are answered in the same way.
pub fn run(input: &[u8]) {
    let (&choice, rest) = input.split_first().unwrap_or((&0, &[]));
    assert_eq!(converse(choice, rest), converse(choice, rest));
}

fn converse(choice: u8, input: &[u8]) -> Vec<String> {
    let credential = Credential::parse(VERIFIER).expect("a verifier");
    let user = User { name: "user".into(), credential: Arc::new(credential), senders: Vec::new() };
    let users = Users::new([user]);
    let tls = TlsFacts {
        version: "TLSv1.3",
        exporter: (choice & 0x10 != 0).then_some([7; 32]),
        server_end_point: (choice & 0x20 != 0).then(|| Box::from([9; 32])),
        ..TlsFacts::default()
    };
    let context = SaslContext {
        users: &users,
        secret: &[3; 32],
        serial: u64::from(choice >> 6),
        tls: (choice & 0x08 != 0).then_some(&tls),
    };
    let mechanism = Mechanism::ALL[usize::from(choice & 3)];
    let mut exchange = Exchange::begin(mechanism);
    let mut messages: Vec<&[u8]> = if mechanism == Mechanism::Plain {
        vec![input]
    } else {
        input.split(|&byte| byte == 0).collect()
    };
    messages.truncate(8);
    let mut said = Vec::new();
    let no_initial = (choice & 4 != 0).then_some(None);
    for message in no_initial.into_iter().chain(messages.into_iter().map(Some)) {
        match exchange.respond(&context, message) {
            SaslStep::Challenge(text) => said.push(text.escape_ascii().to_string()),
            SaslStep::CheckPassword(_) => {
                // The work of a check is not what is fuzzed.
                match exchange.handle_password(false) {
                    SaslStep::Failed(failure) => said.push(format!("{failure:?}")),
                    other => panic!("a wrong password came to {other:?}"),
                }
                break;
            }
            SaslStep::Done { user } => panic!("{} got in", user.escape_ascii()),
            SaslStep::Failed(failure) => {
                said.push(format!("{failure:?}"));
                break;
            }
        }
    }
    said
}

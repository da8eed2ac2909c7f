//! What the client writes is what the server's own parser reads, whatever was asked for.

use proptest::prelude::*;

use super::super::*;
use super::{CAPABLE, Cut, WALL};
use crate::clock::WallTime;
use crate::message::{DeliverBy, DeliverByMode, Notices, Notify, ReturnedContent, Wishes};
use crate::proto::command::{self, Command, Grammar, Mail, Rcpt};
use crate::proto::parameters::By;
use crate::proto::path::Path;

fn deliver_by() -> impl Strategy<Value = DeliverBy> {
    let ms = 1_000_000_000_000i64;
    (-ms..2 * ms, any::<bool>(), any::<bool>()).prop_map(|(ms, returns, trace)| {
        let mode = if returns { DeliverByMode::Return } else { DeliverByMode::Notify };
        let at = WALL.as_unix_ms().saturating_add_signed(ms);
        DeliverBy { at: WallTime::from_unix_ms(at), mode, trace }
    })
}

fn wishes() -> impl Strategy<Value = Wishes> {
    let returned = prop::sample::select(vec![
        None,
        Some(ReturnedContent::Full),
        Some(ReturnedContent::Headers),
    ]);
    let id = prop::option::of("([!-*,-<>-~]|\\+2[0-9A-F]){1,30}");
    (id, returned, any::<bool>(), prop::option::of(-9i8..=9), prop::option::of(deliver_by()))
        .prop_map(|(id, returned_content, smtputf8, priority, deliver_by)| Wishes {
            envelope_id: id.map(|id| id.into_bytes().into()),
            returned_content,
            smtputf8,
            priority,
            deliver_by,
            ..Wishes::default()
        })
}

fn notices() -> impl Strategy<Value = Option<Notices>> {
    let notify =
        prop::option::of(any::<[bool; 3]>().prop_map(|[success, failure, delay]| Notify {
            success,
            failure,
            delay,
        }));
    let original = prop::option::of(prop_oneof![
        "rfc822;([!-*,-<>-~]|\\+2[0-9A-F]){1,30}",
        "utf-8;[a-zé例]{1,10}@bücher\\.example",
    ]);
    let notices = (notify, original).prop_map(|(notify, original)| Notices {
        notify,
        original_recipient: original.map(|original| original.into_bytes().into()),
    });
    prop::option::of(notices)
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,8}@[a-z]{1,8}\\.example", "[a-zé例]{1,8}@bücher\\.example"]
}

fn mailbox<'a>(path: &Path, line: &'a [u8]) -> &'a [u8] {
    match path {
        Path::Mailbox { address, .. } => address.of(line),
        Path::Null | Path::Postmaster => b"",
    }
}

/// What a session writes for `request` to a peer with every extension.
fn written(request: &TransactionRequest<'_>) -> Vec<u8> {
    let settings = ClientSettings::new("me.example");
    let now = Now::from_us(0);
    let mut player = super::Player {
        session: ClientSession::new(Rc::new(settings), now),
        now,
        cut: Cut::Whole,
        fed: 0,
        log: Vec::new(),
    };
    let mut out = Vec::new();
    for line in CAPABLE.lines().filter_map(|line| line.trim().strip_prefix("S: ")) {
        player.feed(format!("{line}\r\n").as_bytes());
        player.session.transmit(&mut out);
    }
    out.clear();
    player.session.begin(now, request);
    player.session.transmit(&mut out);
    out
}

proptest! {
    #[test]
    fn the_server_reads_what_the_client_writes(
        wishes in wishes(),
        notices in notices(),
        sender in address(),
        recipient in address(),
        body_type in prop::sample::select(vec![
            BodyType::SevenBit,
            BodyType::EightBit,
            BodyType::Binary,
        ]),
    ) {
        let request = TransactionRequest {
            sender: sender.as_bytes(),
            recipients: &[Addressee { address: recipient.as_bytes(), notices: notices.as_ref() }],
            size_bytes: 1_000,
            body_type,
            wishes: Some(&wishes),
            wall: WALL,
        };
        let by = wishes.deliver_by.map(|by| By {
            seconds: i32::try_from(request.by_s(&by)).unwrap(),
            mode: by.mode,
            trace: by.trace,
        });
        let out = written(&request);
        if by.is_some_and(|by| by.mode == DeliverByMode::Return && by.seconds < 10) {
            prop_assert!(out.is_empty(), "too late for this peer");
            return Ok(());
        }
        let lines: Vec<&[u8]> =
            out.split(|&byte| byte == b'\n').filter_map(|line| line.strip_suffix(b"\r")).collect();
        prop_assert_eq!(lines.len(), if body_type == BodyType::Binary { 2 } else { 3 });

        let parsed = command::parse(lines[0], &Grammar::EVERYTHING).unwrap();
        let Command::Mail(Mail { path, parameters }) = parsed else { panic!("{parsed:?}") };
        prop_assert_eq!(mailbox(&path, lines[0]), sender.as_bytes());
        prop_assert_eq!(parameters.declared_bytes, Some(1_000));
        prop_assert_eq!(parameters.body_type, body_type);
        let needs_utf8 = !sender.is_ascii() || !recipient.is_ascii();
        prop_assert_eq!(parameters.smtputf8, wishes.smtputf8 || needs_utf8);
        prop_assert_eq!(parameters.returned_content, wishes.returned_content);
        let id = parameters.envelope_id.map(|id| id.of(lines[0]));
        prop_assert_eq!(id, wishes.envelope_id.as_deref());
        prop_assert_eq!(parameters.deliver_by, by);
        prop_assert_eq!(parameters.priority, wishes.priority);
        prop_assert!(parameters.hold.is_none() && !parameters.require_tls);

        let grammar = Grammar { smtputf8: parameters.smtputf8, ..Grammar::EVERYTHING };
        let parsed = command::parse(lines[1], &grammar).unwrap();
        let Command::Rcpt(Rcpt { path, parameters: rcpt }) = parsed else { panic!("{parsed:?}") };
        prop_assert_eq!(mailbox(&path, lines[1]), recipient.as_bytes());
        prop_assert_eq!(rcpt.notify, notices.as_ref().and_then(|it| it.notify));
        let original = rcpt.original_recipient.map(|it| it.of(lines[1]));
        let wanted = notices.as_ref().and_then(|it| it.original_recipient.as_deref());
        if parameters.smtputf8 || wanted.is_none_or(<[u8]>::is_ascii) {
            prop_assert_eq!(original, wanted);
        } else {
            prop_assert!(original.unwrap().is_ascii());
        }
    }
}

use std::net::Ipv4Addr;
use std::time::Duration;

use super::*;
use crate::behaviour::{Delay, DropAt, ReplyLines};

fn plain() -> Listening {
    let mut listening = Listening::plain("127.0.0.1:0".parse().unwrap());
    listening.behaviour.name = "sink".to_owned();
    listening
}

/// What came of a dialogue.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    codes: Vec<String>,
    messages: Vec<String>,
    pauses_ms: Vec<u128>,
    /// The code of the reply that each pause holds back.
    held: Vec<String>,
    is_closed: bool,
}

impl Heard {
    fn codes(&self) -> String {
        self.codes.join(" ")
    }
}

/// A dialogue that arrives in `pieces`.
fn converse(listening: &Listening, pieces: &[&[u8]]) -> Heard {
    let (mut dice, mut tally) = (Dice::new(1), Tally::default());
    let mut around = Surroundings {
        listening,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        dice: &mut dice,
        tally: &mut tally,
        greylist: None,
        keep: true,
    };
    let (mut out, mut heard) = (Vec::new(), Heard::default());
    let mut session = ServerSession::new(&mut around, &mut out);
    'pieces: for piece in pieces {
        let mut rest = *piece;
        loop {
            let step = session.advance(&mut around, rest, &mut out);
            rest = &rest[step.consumed..];
            match step.event {
                Event::NeedInput => break,
                Event::Message => {
                    let message = session.message();
                    assert_eq!(message.content.len() as u64, message.bytes - dots(message));
                    heard.messages.push(format!(
                        "{}{}",
                        String::from_utf8_lossy(message.envelope),
                        String::from_utf8_lossy(message.content)
                    ));
                }
                Event::Pause { time, held_from } => {
                    heard.pauses_ms.push(time.as_millis());
                    let held = std::str::from_utf8(&out[held_from..]).unwrap();
                    heard.held.push(held.get(..3).unwrap_or_default().to_owned());
                }
                Event::StartTls => session.protected(),
                Event::Close => {
                    heard.is_closed = true;
                    break 'pieces;
                }
            }
        }
    }
    let text = String::from_utf8(out).unwrap();
    let last_lines =
        text.lines().filter(|line| line.as_bytes().get(3).is_none_or(|it| *it == b' '));
    heard.codes = last_lines.map(|line| line[..3].to_owned()).collect();
    heard
}

/// In these dialogues only lines that were `..` lose a dot.
fn dots(message: Received<'_>) -> u64 {
    u64::from(message.content == b"one\r\n.two\r\n")
}

const DIALOGUE: &[u8] = b"EHLO me\r\nmail from:<a>\r\nRCPT TO:<b>\r\nRCPT TO:<c>\r\nDATA\r\n\
    one\r\n..two\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<d>\r\nDATA\r\n.\r\nRSET\r\n\
    MAIL FROM:<e>\r\nRCPT TO:<f>\r\nBDAT 5\r\n.\r\n.\nBDAT 0\r\nBDAT 3 LAST\r\n.\r\nNOOP\r\n\
    QUIT\r\n";

#[test]
fn a_dialogue_is_the_same_wherever_it_is_cut() {
    let listening = plain();
    let whole = converse(&listening, &[DIALOGUE]);
    assert_eq!(
        whole.codes(),
        "220 250 250 250 250 354 250 250 250 354 250 250 250 250 250 250 250 250 221"
    );
    let first = "mail from:<a>\nRCPT TO:<b>\nRCPT TO:<c>\none\r\n.two\r\n";
    let third = "MAIL FROM:<e>\nRCPT TO:<f>\n.\r\n.\n.\r\n";
    assert_eq!(whole.messages, [first, "MAIL FROM:<>\nRCPT TO:<d>\n", third]);
    for cut in 0..=DIALOGUE.len() {
        let (head, tail) = DIALOGUE.split_at(cut);
        assert_eq!(converse(&listening, &[head, tail]), whole, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = DIALOGUE.chunks(1).collect();
    assert_eq!(converse(&listening, &bytes), whole);
}

#[test]
fn what_is_out_of_order_or_unknown_is_refused() {
    let long = [b'x'; COMMAND_LINE_BYTES_MAX];
    let dialogue: [&[u8]; 5] = [
        b"DATA\r\nRCPT TO:<b>\r\nMAIL FROM:<a>\r\nMAIL FROM:<a>\r\n\
          DATA\r\nDATAX\r\nHELP\r\n\r\n",
        &long,
        b"x\r\nHELO me\r\nVRFY x\r\n",
        b"BDAT 6 LAST\r\nNOOP\r\nMAIL FROM:<a> SIZE=x\r\nSTARTTLS\r\nAUTH PLAIN\r\n",
        b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n.\r\nDATA\r\nQUIT\r\nNOOP\r\n",
    ];
    let heard = converse(&plain(), &dialogue);
    assert_eq!(
        heard.codes(),
        "220 503 503 250 503 554 500 500 500 500 250 252 503 501 500 500 250 250 354 250 503 221"
    );
    assert_eq!(heard.messages.len(), 1);
    assert!(converse(&plain(), &[b"BDAT many\r\nNOOP\r\n"]).is_closed);
}

#[test]
fn refusals_come_where_they_are_asked_for() {
    for (at, text, codes) in [
        (Point::Greeting, "421 4.3.2 Not now", "421"),
        (Point::Greeting, "554 5.3.2 Never", "554 503 503 503 503 503 221"),
        (Point::Quit, "451 4.3.0 Stay", "220 250 250 250 354 250 451"),
        (Point::Ehlo, "550 5.5.0 Not you", "220 550 250 250 354 250 221"),
        (Point::Mail, "451 4.3.0 Later", "220 250 451 503 503 500 221"),
        (Point::Rcpt, "550 5.1.1 Nobody", "220 250 250 550 554 500 221"),
        (Point::Data, "451 4.3.0 Later", "220 250 250 250 451 500 221"),
        (Point::EndOfData, "554 5.6.0 Ugly", "220 250 250 250 354 554 221"),
        (Point::Mail, "421 4.3.2 Closing", "220 250 421"),
    ] {
        let mut listening = plain();
        let text = ReplyText::parse(text).unwrap();
        listening.behaviour.replies =
            vec![ReplyRule { at, share: 1.0, recipients: Vec::new(), text }];
        let dialogue = b"EHLO me\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n.\r\nQUIT\r\n";
        let heard = converse(&listening, &[dialogue]);
        assert_eq!(heard.codes(), codes, "{at:?}");
        let is_taken = matches!(at, Point::Ehlo | Point::Quit);
        assert_eq!(heard.messages.len(), usize::from(is_taken));
    }
}

#[test]
fn every_command_can_be_refused() {
    let dialogue = b"STARTTLS\r\nAUTH PLAIN x\r\nMAIL FROM:<a>\r\nRSET\r\nNOOP\r\nVRFY x\r\n";
    for (at, codes) in [
        (Point::Starttls, "220 454 235 250 250 250 252"),
        (Point::Auth, "220 220 454 250 250 250 252"),
        (Point::Other, "220 220 235 250 454 454 454"),
    ] {
        let mut listening = plain();
        let text = ReplyText::parse("454 4.7.0 Not now").unwrap();
        (listening.behaviour.offers.auth, listening.behaviour.tls) =
            (true, crate::tls::TlsMode::Starttls);
        listening.behaviour.replies =
            vec![ReplyRule { at, share: 1.0, recipients: Vec::new(), text }];
        assert_eq!(converse(&listening, &[dialogue]).codes(), codes, "{at:?}");
    }
}

#[test]
fn a_refused_last_chunk_ends_the_transaction() {
    // RFC 3030 §2: a client sends the next MAIL without RSET.
    let dialogue = b"MAIL FROM:<a>\r\nBDAT 3 LAST\r\nabcMAIL FROM:<a>\r\nBDAT 1\r\nxBDAT 1\r\ny\
        RCPT TO:<b>\r\nRSET\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nBDAT 0\r\nRCPT TO:<c>\r\n\
        DATA\r\nBDAT 1 LAST\r\nzMAIL FROM:<a>\r\n";
    for cut in 0..=dialogue.len() {
        let (head, tail) = dialogue.split_at(cut);
        let heard = converse(&plain(), &[head, tail]);
        let codes = "220 250 554 250 554 554 503 250 250 250 250 503 503 250 250";
        assert_eq!((&heard.codes()[..], heard.messages.len()), (codes, 1), "cut at {cut}");
    }
}

#[test]
fn brackets_in_quotes_are_of_the_address() {
    let mut listening = plain();
    listening.behaviour.size_max_bytes = Some(10);
    let dialogue = b"MAIL FROM:<\"a>b\\\"\"@x> SIZE=11\r\nMAIL FROM:<\"> SIZE=11\r\n\
        MAIL FROM:<\"a\\\r\n";
    assert_eq!(converse(&listening, &[dialogue]).codes(), "220 552 250 503");
}

#[test]
fn connections_are_dropped_before_in_and_behind_a_content() {
    for (at, taken, codes, messages) in [
        (DropAt::Before, false, "220 250 250", 0),
        (DropAt::Within, false, "220 250 250 354", 0),
        (DropAt::Behind, false, "220 250 250 354", 0),
        (DropAt::Behind, true, "220 250 250 354", 1),
    ] {
        let mut listening = plain();
        listening.behaviour.drops = vec![Drop { at, share: 1.0, after_bytes: 2, taken }];
        let dialogue = b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nabc\r\n.\r\nNOOP\r\n";
        let heard = converse(&listening, &[dialogue]);
        assert_eq!((&heard.codes()[..], heard.messages.len()), (codes, messages), "{at:?}");
        assert!(heard.is_closed);
        let chunk = b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nBDAT 5 LAST\r\nabc\r\nNOOP\r\n";
        let heard = converse(&listening, &[chunk]);
        assert_eq!((&heard.codes()[..], heard.messages.len()), ("220 250 250", messages), "{at:?}");
        assert!(heard.is_closed);
    }
}

#[test]
fn a_content_too_short_for_its_middle_is_dropped_at_its_end() {
    let mut listening = plain();
    let at = DropAt::Within;
    listening.behaviour.drops = vec![Drop { at, share: 1.0, after_bytes: 1_000, taken: false }];
    for dialogue in [
        &b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nabc\r\n.\r\nNOOP\r\n"[..],
        b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nBDAT 3\r\nabcBDAT 0 LAST\r\nNOOP\r\n",
    ] {
        let heard = converse(&listening, &[dialogue]);
        assert!(heard.is_closed && heard.messages.is_empty(), "{heard:?}");
        assert_eq!(heard.codes.len(), 4, "{heard:?}");
    }
}

#[test]
fn delays_hold_back_the_reply_that_they_are_for() {
    let mut listening = plain();
    let delay = |ms| Some(Delay::Always(Duration::from_millis(ms)));
    (listening.behaviour.offers.auth, listening.behaviour.tls) =
        (true, crate::tls::TlsMode::Starttls);
    listening.behaviour.delays = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(delay);
    let dialogue = b"EHLO me\r\nSTARTTLS\r\nAUTH PLAIN x\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\n\
        DATA\r\n.\r\nNOOP\r\nQUIT\r\n";
    let heard = converse(&listening, &[dialogue]);
    assert_eq!(heard.pauses_ms, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let codes = ["220", "250", "220", "235", "250", "250", "354", "250", "250", "221"];
    assert_eq!(heard.held, codes);
}

#[test]
fn odd_replies_are_replies() {
    let dialogue = b"NOOP\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n.\r\nQUIT\r\n";
    for lines in [ReplyLines::Many, ReplyLines::NoText, ReplyLines::Long, ReplyLines::Mixed] {
        let mut listening = plain();
        listening.behaviour.lines = lines;
        let heard = converse(&listening, &[dialogue]);
        let codes = heard.codes();
        assert!(codes.ends_with("250 250 250 354 250 221"), "{lines:?}: {codes}");
        assert_eq!(heard.messages.len(), 1);
    }
}

#[test]
fn what_is_not_offered_is_refused_and_what_is_too_big_too() {
    let mut listening = plain();
    let behaviour = &mut listening.behaviour;
    (behaviour.offers.smtputf8, behaviour.offers.eight_bit_mime) = (false, false);
    (behaviour.offers.chunking, behaviour.size_max_bytes) = (false, Some(10));
    let dialogue = b"MAIL FROM:<a> SMTPUTF8\r\nMAIL FROM:<a> BODY=8BITMIME\r\nBDAT 0 LAST\r\n\
        MAIL FROM:<a> BODY=BINARYMIME\r\nMAIL FROM:<a> SIZE=11\r\nMAIL FROM:<a> SIZE=10\r\n\
        RCPT TO:<b>\r\nDATA\r\n12345678901\r\n.\r\n";
    assert_eq!(
        converse(&listening, &[dialogue]).codes(),
        "220 555 555 500 555 552 250 250 354 552"
    );
}

#[test]
fn the_domain_of_all_recipients_decides_over_the_content() {
    let text = "[[domain]]\nmatch = [\"bad.example\"]\n\
        [[domain.reply]]\nat = \"end-of-data\"\ntext = \"554 5.6.0 No\"\n\
        [[domain.reply]]\nat = \"rcpt\"\nrecipients = [\"nobody\"]\ntext = \"550 5.1.1 No\"\n";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("behaviour.toml");
    std::fs::write(&path, text).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let keys = crate::behaviour::Keys::default();
    let listening = &crate::behaviour::read(Some(&path), &[address], &keys).unwrap()[0];
    for (recipients, codes) in [
        ("RCPT TO:<a@bad.example>\r\n", "220 250 250 354 554"),
        ("RCPT TO:<a@good.example>\r\n", "220 250 250 354 250"),
        ("RCPT TO:<a@bad.example>\r\nRCPT TO:<a@good.example>\r\n", "220 250 250 250 354 250"),
        ("RCPT TO:<nobody@bad.example>\r\nRCPT TO:<b@BAD.example>\r\n", "220 250 550 250 354 554"),
        ("RCPT TO:<nobody@good.example>\r\n", "220 250 250 354 250"),
    ] {
        let dialogue = format!("MAIL FROM:<a>\r\n{recipients}DATA\r\n.\r\n");
        assert_eq!(converse(listening, &[dialogue.as_bytes()]).codes(), codes, "{recipients}");
    }
}

#[test]
fn logins_and_tls_are_played() {
    let mut listening = plain();
    listening.behaviour.offers.auth = true;
    listening.behaviour.tls = crate::tls::TlsMode::Starttls;
    let dialogue = b"EHLO me\r\nSTARTTLS\r\nSTARTTLS\r\nEHLO me\r\nAUTH PLAIN AGEAYg==\r\n\
        AUTH PLAIN\r\nAGEAYg==\r\nAUTH LOGIN\r\nYQ==\r\nYg==\r\nAUTH LOGIN YQ==\r\nYg==\r\n\
        AUTH CRAM-MD5\r\nAUTH LOGIN\r\n*\r\nNOOP\r\n";
    let heard = converse(&listening, &[dialogue]);
    let codes = "220 250 220 500 250 235 334 235 334 334 235 334 235 504 334 501 250";
    assert_eq!(heard.codes(), codes);
}

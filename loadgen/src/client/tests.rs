//! The machine in dialogues.

use super::*;
use crate::reply::{Next, ReplyParser};

struct Talk {
    session: ClientSession,
    out: Vec<u8>,
}

impl Talk {
    fn new(pipelining: bool) -> Self {
        Self::with(ClientSettings { pipelining, ..ClientSettings::default() })
    }

    fn with(settings: ClientSettings) -> Self {
        let settings = ClientSettings { name: "me".to_owned(), ..settings };
        Self { session: ClientSession::new(Arc::new(settings)), out: Vec::new() }
    }

    /// The event of the last line of `replies`; those before it must mean nothing.
    fn hear(&mut self, replies: &str) -> Event {
        let mut parser = ReplyParser::default();
        let mut rest = replies.as_bytes();
        let mut last = Event::None;
        while !rest.is_empty() {
            assert_eq!(last, Event::None, "before {:?}", String::from_utf8_lossy(rest));
            let Next::Line { consumed, line } = parser.next(rest) else {
                panic!("no reply");
            };
            last = self.session.handle_line(line, &mut self.out);
            rest = &rest[consumed..];
        }
        last
    }

    fn said(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.out)).unwrap()
    }

    fn greeted(pipelining: bool) -> Self {
        let mut talk = Self::new(pipelining);
        assert_eq!(talk.hear("220 hi\r\n"), Event::None);
        assert_eq!(talk.said(), "EHLO me\r\n");
        assert_eq!(talk.hear("250-you\r\n250-pipelining\r\n250 SIZE\r\n"), Event::Ready);
        talk
    }

    fn begin(&mut self) {
        self.session.queue_transaction(2_048, &mut self.out, |parameters, out| {
            out.extend_from_slice(b"MAIL FROM:<a>");
            parameters.write(out);
            out.extend_from_slice(b"\r\nRCPT TO:<b>\r\nRCPT TO:<c>\r\n");
        });
    }

    /// Queues as many pieces as may be, of a content of `left` pieces; what is left.
    fn chunks(&mut self, mut left: u32) -> u32 {
        while self.session.wants_chunk() {
            left -= 1;
            self.session.chunk_queued(left == 0);
        }
        left
    }

    /// A session in which contents travel by BDAT.
    fn by_bdat(pipelining: bool) -> Self {
        let transfer = Transfer::Bdat { chunk_bytes: 1_000 };
        let mut talk =
            Self::with(ClientSettings { pipelining, transfer, ..ClientSettings::default() });
        let replies = "220 hi\r\n250-you\r\n250-PIPELINING\r\n250 CHUNKING\r\n";
        assert_eq!(talk.hear(replies), Event::Ready);
        talk.said();
        talk
    }
}

const ACCEPTED: Event = Event::Done(Outcome::Accepted { recipients_refused: 0 });

fn refused(stage: Stage, code: u16) -> Event {
    Event::Done(Outcome::Refused { stage, code: Code(code) })
}

#[test]
fn a_group_of_commands_travels_together() {
    let mut talk = Talk::greeted(true);
    talk.begin();
    assert_eq!(talk.said(), "MAIL FROM:<a>\r\nRCPT TO:<b>\r\nRCPT TO:<c>\r\nDATA\r\n");
    assert_eq!(talk.hear("250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"), Event::SendContent);
    talk.session.content_queued();
    talk.session.queue_quit(&mut talk.out);
    assert_eq!(talk.hear("250 queued\r\n"), ACCEPTED);
    assert_eq!(talk.hear("221 bye\r\n"), Event::Closed);
    assert!(!talk.session.awaits_reply());
}

#[test]
fn the_next_transaction_may_follow_the_content() {
    let mut talk = Talk::greeted(true);
    talk.begin();
    assert_eq!(talk.hear("250 a\r\n250 a\r\n250 a\r\n354 go\r\n"), Event::SendContent);
    talk.session.content_queued();
    talk.begin();
    assert_eq!(talk.hear("250 queued\r\n"), ACCEPTED);
    assert_eq!(talk.hear("250 a\r\n550 a\r\n250 a\r\n354 go\r\n"), Event::SendContent);
    talk.session.content_queued();
    let partly = Event::Done(Outcome::Accepted { recipients_refused: 1 });
    assert_eq!(talk.hear("250 queued\r\n"), partly);
}

#[test]
fn without_pipelining_each_command_waits() {
    let mut talk = Talk::greeted(false);
    talk.begin();
    for (said, reply) in [
        ("MAIL FROM:<a>\r\n", "250-long\r\n250 ok\r\n"),
        ("RCPT TO:<b>\r\n", "550 no\r\n"),
        ("RCPT TO:<c>\r\n", "250 ok\r\n"),
    ] {
        assert_eq!(talk.said(), said);
        assert_eq!(talk.hear(reply), Event::None);
    }
    assert_eq!(talk.said(), "DATA\r\n");
    assert_eq!(talk.hear("354 go\r\n"), Event::SendContent);
    talk.session.content_queued();
    assert_eq!(talk.hear("451 4.3.0 disk\r\n"), refused(Stage::EndOfData, 451));
}

#[test]
fn a_refusal_is_reported_with_its_cause_and_the_session_goes_on() {
    let mut talk = Talk::greeted(true);
    talk.begin();
    assert_eq!(talk.hear("250 ok\r\n550 no\r\n"), Event::None);
    assert!(!talk.session.has_failed(), "another recipient may be taken");
    assert_eq!(talk.hear("451 no\r\n"), Event::None);
    assert!(talk.session.has_failed());
    assert_eq!(talk.hear("554 no valid recipients\r\n"), refused(Stage::Recipient, 550));
    assert!(!talk.session.has_failed());
    talk.said();
    talk.begin();
    assert!(talk.said().starts_with("RSET\r\nMAIL"));
    let replies = "250 ok\r\n250 ok\r\n550 no\r\n550 no\r\n354 well\r\n";
    assert_eq!(talk.hear(replies), Event::SendNothing);
    talk.session.content_queued();
    assert_eq!(talk.hear("554 nobody\r\n"), refused(Stage::Recipient, 550));
    talk.begin();
    let replies = "452 full\r\n503 order\r\n503 order\r\n503 order\r\n";
    assert_eq!(talk.hear(replies), refused(Stage::Mail, 452));
}

#[test]
fn without_pipelining_a_hopeless_transaction_ends_early() {
    let mut talk = Talk::greeted(false);
    talk.begin();
    assert_eq!(talk.hear("452 full\r\n"), refused(Stage::Mail, 452));
    talk.said();
    talk.begin();
    assert_eq!(talk.said(), "RSET\r\n");
    assert_eq!(talk.hear("250 ok\r\n250 ok\r\n550 no\r\n"), Event::None);
    assert_eq!(talk.hear("550 no\r\n"), refused(Stage::Recipient, 550));
    assert!(!talk.said().contains("DATA"));
}

#[test]
fn starttls_comes_before_all_else() {
    let settings = ClientSettings { pipelining: true, starttls: true, ..ClientSettings::default() };
    let mut talk = Talk::with(settings.clone());
    assert_eq!(talk.hear("220 hi\r\n250-you\r\n250-PIPELINING\r\n250 STARTTLS\r\n"), Event::None);
    assert_eq!(talk.said(), "EHLO me\r\nSTARTTLS\r\n");
    assert_eq!(talk.hear("220 go\r\n"), Event::StartTls);
    talk.session.protected(&mut talk.out);
    assert_eq!(talk.said(), "EHLO me\r\n");
    assert_eq!(talk.hear("250 you\r\n"), Event::Ready);
    assert!(!talk.session.pipelines(), "what was offered before TLS is forgotten");
    let mut talk = Talk::with(settings.clone());
    assert_eq!(talk.hear("220 hi\r\n250 you\r\n"), Event::Unfit(Unfit::NoStarttls));
    let mut talk = Talk::with(settings);
    let unwelcome = Event::Unwelcome { stage: Stage::StartTls, code: Code(454) };
    assert_eq!(talk.hear("220 hi\r\n250-you\r\n250 STARTTLS\r\n454 not now\r\n"), unwelcome);
}

#[test]
fn helo_follows_a_refused_ehlo() {
    let mut talk = Talk::new(true);
    assert_eq!(talk.hear("220 hi\r\n502 what\r\n"), Event::None);
    assert_eq!(talk.said(), "EHLO me\r\nHELO me\r\n");
    assert_eq!(talk.hear("250 hi\r\n"), Event::Ready);
    assert!(!talk.session.pipelines());
    let mut talk = Talk::new(true);
    let unwelcome = Event::Unwelcome { stage: Stage::Hello, code: Code(550) };
    assert_eq!(talk.hear("220 hi\r\n502 what\r\n550 go away\r\n"), unwelcome);
}

#[test]
fn a_closing_server_is_told_from_a_broken_one() {
    let mut talk = Talk::greeted(true);
    let closing = Event::Unwelcome { stage: Stage::Quit, code: Code(421) };
    assert_eq!(talk.hear("421 bye\r\n"), closing);
    let mut talk = Talk::greeted(true);
    assert_eq!(talk.hear("250 what\r\n"), Event::Broken);
    let mut talk = Talk::greeted(true);
    talk.begin();
    let closing = Event::Unwelcome { stage: Stage::Mail, code: Code(421) };
    assert_eq!(talk.hear("421 bye\r\n"), closing);
    let mut talk = Talk::new(true);
    let busy = Event::Unwelcome { stage: Stage::Greeting, code: Code(554) };
    assert_eq!(talk.hear("554 no\r\n"), busy);
}

#[test]
fn what_the_server_offers_is_declared() {
    let settings = ClientSettings {
        pipelining: true,
        declares_size: true,
        is_8bit: true,
        is_utf8: true,
        ..ClientSettings::default()
    };
    let mut talk = Talk::with(settings.clone());
    let replies = "220 hi\r\n250-you\r\n250-SIZE 99\r\n250-8bitmime\r\n250 SMTPUTF8\r\n";
    assert_eq!(talk.hear(replies), Event::Ready);
    talk.said();
    talk.begin();
    assert_eq!(talk.said(), "MAIL FROM:<a> SIZE=2048 BODY=8BITMIME SMTPUTF8\r\n");
    for (offered, unfit) in [
        ("8BITMIME", Unfit::NoSmtpUtf8),
        ("SMTPUTF8", Unfit::No8BitMime),
        ("8BITMIME SMTPUTF8", Unfit::NoSmtpUtf8),
    ] {
        let replies = format!("220 hi\r\n250-you\r\n250-SIZE\r\n250 {offered}\r\n");
        assert_eq!(Talk::with(settings.clone()).hear(&replies), Event::Unfit(unfit));
    }
    let mut talk = Talk::with(ClientSettings { declares_size: true, ..ClientSettings::default() });
    assert_eq!(talk.hear("220 hi\r\n250 you\r\n"), Event::Ready);
    talk.said();
    talk.begin();
    assert_eq!(talk.said(), "MAIL FROM:<a>\r\n", "nobody offered SIZE");
}

fn logging_in(mechanism: Mechanism, without_tls: bool) -> ClientSettings {
    let login = Login::new(mechanism, "me", "secret", without_tls).unwrap();
    ClientSettings { login: Some(login), ..ClientSettings::default() }
}

#[test]
fn plain_logs_in_at_once() {
    let mut talk = Talk::with(logging_in(Mechanism::Plain, true));
    assert_eq!(talk.hear("220 hi\r\n250-you\r\n250 AUTH LOGIN PLAIN\r\n"), Event::None);
    assert_eq!(talk.said(), "EHLO me\r\nAUTH PLAIN AG1lAHNlY3JldA==\r\n");
    assert_eq!(talk.hear("235 welcome\r\n"), Event::Ready);
    for (reply, event) in [
        ("535 no\r\n", Event::Unwelcome { stage: Stage::Auth, code: Code(535) }),
        ("454 later\r\n", Event::Unwelcome { stage: Stage::Auth, code: Code(454) }),
        ("421 bye\r\n", Event::Unwelcome { stage: Stage::Auth, code: Code(421) }),
        ("334 \r\n", Event::Broken),
    ] {
        let mut talk = Talk::with(logging_in(Mechanism::Plain, true));
        talk.hear("220 hi\r\n250-you\r\n250 AUTH PLAIN\r\n");
        assert_eq!(talk.hear(reply), event, "{reply}");
    }
}

#[test]
fn login_says_name_and_password_in_turn() {
    let mut talk = Talk::with(logging_in(Mechanism::Login, true));
    assert_eq!(talk.hear("220 hi\r\n250-you\r\n250 AUTH PLAIN LOGIN\r\n"), Event::None);
    assert_eq!(talk.said(), "EHLO me\r\nAUTH LOGIN\r\n");
    assert_eq!(talk.hear("334 VXNlcm5hbWU6\r\n"), Event::None);
    assert_eq!(talk.said(), "bWU=\r\n");
    assert_eq!(talk.hear("334 UGFzc3dvcmQ6\r\n"), Event::None);
    assert_eq!(talk.said(), "c2VjcmV0\r\n");
    assert_eq!(talk.hear("235 welcome\r\n"), Event::Ready);
    let mut talk = Talk::with(logging_in(Mechanism::Login, true));
    talk.hear("220 hi\r\n250-you\r\n250 AUTH LOGIN\r\n334 x\r\n334 x\r\n");
    assert_eq!(talk.hear("334 more?\r\n"), Event::Broken);
}

#[test]
fn a_password_is_not_said_in_the_clear_unless_told_so() {
    let in_clear = "220 hi\r\n250-you\r\n250 AUTH PLAIN LOGIN\r\n";
    for mechanism in [Mechanism::Plain, Mechanism::Login] {
        let mut talk = Talk::with(logging_in(mechanism, false));
        assert_eq!(talk.hear(in_clear), Event::Unfit(Unfit::PasswordInClear));
        assert_eq!(talk.said(), "EHLO me\r\n");
        // Implicit TLS.
        talk.session.reset(true);
        assert_eq!(talk.hear(in_clear), Event::None);
        assert!(talk.said().contains("AUTH"));
        // STARTTLS: what was offered before it does not count.
        let settings = ClientSettings { starttls: true, ..logging_in(mechanism, false) };
        let mut talk = Talk::with(settings);
        talk.hear("220 hi\r\n250-you\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n");
        assert_eq!(talk.hear("220 go\r\n"), Event::StartTls);
        assert!(!talk.said().contains("AUTH"));
        talk.session.protected(&mut talk.out);
        assert_eq!(talk.hear("250 you\r\n"), Event::Unfit(Unfit::NoMechanism(mechanism)));
    }
}

#[test]
fn by_bdat_all_of_a_message_travels_together() {
    let mut talk = Talk::by_bdat(true);
    talk.begin();
    assert_eq!(talk.said(), "MAIL FROM:<a>\r\nRCPT TO:<b>\r\nRCPT TO:<c>\r\n");
    assert_eq!(talk.chunks(3), 0);
    talk.session.queue_quit(&mut talk.out);
    assert_eq!(talk.hear("250 a\r\n550 b\r\n250 c\r\n250 got\r\n250 got\r\n"), Event::None);
    let partly = Event::Done(Outcome::Accepted { recipients_refused: 1 });
    assert_eq!(talk.hear("250 queued\r\n"), partly);
    assert_eq!(talk.hear("221 bye\r\n"), Event::Closed);
}

#[test]
fn without_pipelining_each_piece_waits() {
    let mut talk = Talk::by_bdat(false);
    talk.begin();
    assert!(!talk.session.wants_chunk());
    assert_eq!(talk.hear("250 a\r\n"), Event::None);
    assert_eq!(talk.hear("250 b\r\n"), Event::None);
    assert_eq!(talk.hear("550 c\r\n"), Event::SendContent);
    assert_eq!(talk.chunks(3), 2);
    assert_eq!(talk.hear("250 got\r\n"), Event::SendContent);
    assert_eq!(talk.chunks(2), 1);
    assert_eq!(talk.hear("250 got\r\n"), Event::SendContent);
    assert_eq!(talk.chunks(1), 0);
    let partly = Event::Done(Outcome::Accepted { recipients_refused: 1 });
    assert_eq!(talk.hear("250 queued\r\n"), partly);
    // Nobody would get it.
    talk.begin();
    assert_eq!(talk.hear("250 a\r\n"), Event::None);
    assert_eq!(talk.hear("550 b\r\n"), Event::None);
    assert_eq!(talk.hear("451 c\r\n"), refused(Stage::Recipient, 550));
    assert!(!talk.session.wants_chunk());
}

#[test]
fn pieces_run_ahead_up_to_a_bound() {
    let mut talk = Talk::by_bdat(true);
    talk.begin();
    let left = talk.chunks(100);
    assert_eq!(left, 100 - CHUNKS_AWAITED_MAX);
    assert_eq!(talk.hear("250 a\r\n250 b\r\n250 c\r\n"), Event::None);
    let mut left = left;
    while left > 0 {
        assert_eq!(talk.hear("250 got\r\n"), Event::SendContent);
        assert_eq!(talk.chunks(left), left - 1);
        left -= 1;
    }
    // The last is answered for itself.
    for _ in 1..CHUNKS_AWAITED_MAX {
        assert_eq!(talk.hear("250 got\r\n"), Event::None);
    }
    assert_eq!(talk.hear("250 queued\r\n"), ACCEPTED);
    assert!(!talk.session.awaits_reply());
}

#[test]
fn by_bdat_the_next_envelope_may_run_ahead() {
    let mut talk = Talk::by_bdat(true);
    talk.begin();
    assert_eq!(talk.chunks(2), 0);
    talk.begin();
    assert!(!talk.session.wants_chunk(), "one content at a time");
    assert_eq!(talk.hear("250 a\r\n250 b\r\n250 c\r\n250 got\r\n"), Event::None);
    assert_eq!(talk.hear("250 queued\r\n"), ACCEPTED);
    assert_eq!(talk.hear("250 a\r\n250 b\r\n"), Event::None);
    assert_eq!(talk.hear("250 c\r\n"), Event::SendContent);
    assert_eq!(talk.chunks(2), 0);
    assert_eq!(talk.hear("250 got\r\n250 queued\r\n"), ACCEPTED);
    // Nobody wants the one that runs ahead.
    talk.begin();
    assert_eq!(talk.chunks(1), 0);
    talk.begin();
    assert_eq!(talk.hear("250 a\r\n250 b\r\n250 c\r\n250 queued\r\n"), ACCEPTED);
    assert_eq!(talk.hear("250 a\r\n550 b\r\n"), Event::None);
    assert_eq!(talk.hear("550 c\r\n"), refused(Stage::Recipient, 550));
    assert!(!talk.session.awaits_reply());
}

#[test]
fn a_refused_piece_ends_the_message() {
    let mut talk = Talk::by_bdat(true);
    talk.begin();
    assert_eq!(talk.chunks(100), 100 - CHUNKS_AWAITED_MAX);
    assert_eq!(talk.hear("250 a\r\n250 b\r\n550 c\r\n250 got\r\n"), Event::SendContent);
    assert_eq!(talk.hear("552 too much\r\n"), Event::None);
    assert!(talk.session.has_failed() && !talk.session.wants_chunk());
    for _ in 3..CHUNKS_AWAITED_MAX {
        assert_eq!(talk.hear("503 order\r\n"), Event::None);
    }
    assert_eq!(talk.hear("503 order\r\n"), refused(Stage::Bdat, 552));
    talk.said();
    talk.begin();
    assert!(talk.said().starts_with("RSET\r\nMAIL"), "RFC 3030 §2");
    assert_eq!(talk.chunks(2), 0);
    // The last was on its way already.
    assert_eq!(talk.hear("250 x\r\n250 a\r\n250 b\r\n250 c\r\n451 disk\r\n"), Event::None);
    assert_eq!(talk.hear("503 order\r\n"), refused(Stage::Bdat, 451));
    talk.begin();
    assert_eq!(talk.chunks(1), 0);
    assert_eq!(talk.hear("250 x\r\n452 a\r\n503 b\r\n503 c\r\n"), Event::None);
    assert!(talk.session.has_failed());
    assert_eq!(talk.hear("503 order\r\n"), refused(Stage::Mail, 452));
    let mut talk = Talk::by_bdat(true);
    talk.begin();
    assert_eq!(talk.chunks(1), 0);
    let nobody = "250 a\r\n550 b\r\n450 c\r\n554 nobody\r\n";
    assert_eq!(talk.hear(nobody), refused(Stage::Recipient, 550));
}

#[test]
fn a_server_without_chunking_is_told_at_once() {
    let transfer = Transfer::Bdat { chunk_bytes: usize::MAX };
    for replies in ["220 hi\r\n250 you\r\n", "220 hi\r\n502 what\r\n250 you\r\n"] {
        let mut talk = Talk::with(ClientSettings { transfer, ..ClientSettings::default() });
        assert_eq!(talk.hear(replies), Event::Unfit(Unfit::NoChunking));
    }
}

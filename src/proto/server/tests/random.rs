//! The session against conversations that nobody would write.

use proptest::collection::vec;
use proptest::prelude::*;

use super::script::{Commit, Driver, Script};

/// A piece of what a client sends: commands, parts of them, content and line ends.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known = |text: &'static [u8]| Just(text.to_vec());
    prop_oneof![
        4 => known(b"EHLO client.example\r\n"),
        6 => known(b"MAIL FROM:<a@b.example> BODY=8BITMIME SIZE=90\r\n"),
        2 => known(b"MAIL FROM:<>\r\n"),
        8 => known(b"RCPT TO:<c@d.example>\r\n"),
        1 => known(b"RCPT TO:<Postmaster>\r\n"),
        10 => known(b"DATA\r\n"),
        3 => known(b"MAIL FROM:<a@b.example> BODY=BINARYMIME\r\n"),
        6 => known(b"BDAT 7\r\nA: b\r\n\r"),
        4 => known(b"BDAT 6\r\n\nline\r"),
        4 => known(b"BDAT 5 LAST\r\n.\r\nxy"),
        4 => known(b"BDAT 0 LAST\r\n"),
        1 => known(b"BDAT 91\r\n"),
        1 => known(b"BDAT 9x\r\n"),
        2 => known(b"Authentication-Results: mx.example.net; a\r\n"),
        2 => known(b"Date: now\r\n"),
        8 => known(b"\r\n.\r\n"),
        3 => known(b".\r\n"),
        3 => known(b"..text\r\n"),
        2 => known(b"RSET\r\n"),
        1 => known(b"QUIT\r\n"),
        1 => known(b"HELP\r\n"),
        1 => known(b"received: x\r\n"),
        2 => known(b"AUTH PLAIN AGFsaWNlAHBhc3N3b3Jk\r\n"),
        1 => known(b"AUTH PLAIN AGFsaWNlAHdyb25n\r\n"),
        2 => known(b"AUTH LOGIN\r\n"),
        1 => known(b"YWxpY2U=\r\n"),
        1 => known(b"cGFzc3dvcmQ=\r\n"),
        1 => known(b"*\r\n"),
        1 => known(b"XCLIENT ADDR=198.51.100.9\r\n"),
        1 => known(b"XCLIENT LOGIN=alice HELO=client.example PROTO=ESMTP\r\n"),
        1 => known(b"XCLIENT ADDR=203.0.113.9\r\n"),
        1 => known(b"\n"),
        1 => known(b"\r"),
        1 => known(b"\r\n"),
        1 => known(b"NO"),
        1 => vec(any::<u8>(), 0..40),
        1 => Just(vec![b'y'; 2_100]),
    ]
}

fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let transaction = prop_oneof![
        Just(&b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\ntext\r\n.\r\n"[..]),
        Just(&b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"[..]),
        Just(&b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nBDAT 6\r\nA: b\r\n"[..]),
        Just(&b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nBDAT 4 LAST\r\ntext"[..]),
    ];
    let piece = prop_oneof![
        3 => fragment(),
        1 => transaction.prop_map(<[u8]>::to_vec),
    ];
    vec(piece, 0..40).prop_map(|pieces| [&b"EHLO x\r\n"[..], &pieces.concat()].concat())
}

fn script() -> Script {
    Script::parse(
        "O: errors_max=9 messages_max=4 recipients_max=3 message_bytes_max=90 hop_count_max=1 \
         auth=without_tls users=alice xclient_from=192.0.2.0/24 xclient_from=198.51.100.0/24 \
         deny_from=203.0.113.0/24",
    )
}

/// The same, with all that is done to a header and to line ends.
fn mending_script() -> Script {
    Script::parse(
        "O: errors_max=9 messages_max=4 recipients_max=3 message_bytes_max=90 hop_count_max=1 \
         bare_lf=yes filter=yes stamp=yes header_fields_max=5",
    )
}

/// Sends `stream` in pieces that end at `cuts`, then closes.
fn replay(
    script: &Script,
    stream: &[u8],
    commit: Commit,
    cuts: &[usize],
) -> (Vec<u8>, Vec<String>) {
    let mut driver = Driver::new(script, commit);
    let mut from = 0;
    for &cut in cuts {
        driver.feed(&stream[from..cut]);
        from = cut;
    }
    driver.feed(&stream[from..]);
    driver.settle();
    driver.session.handle_eof();
    driver.settle();
    assert!(driver.session.wants_close());
    (driver.out, driver.events)
}

/// Something that happens to a session.
#[derive(Clone, Debug)]
enum Operation {
    Send(Vec<u8>),
    Happen(&'static str),
    Commit,
}

fn operation() -> impl Strategy<Value = Operation> {
    let happen = |what| Just(Operation::Happen(what));
    prop_oneof![
        20 => fragment().prop_map(Operation::Send),
        2 => conversation().prop_map(Operation::Send),
        4 => Just(Operation::Commit),
        1 => happen("storage full"),
        2 => happen("storage ready"),
        1 => happen("commit failed"),
        1 => happen("commit full"),
        1 => happen("refuse full"),
        1 => happen("wait 200"),
        1 => happen("timeout"),
    ]
}

proptest! {
    #[test]
    fn neither_cuts_nor_late_commits_change_anything(
        stream in conversation(),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let each: Vec<usize> = (0..stream.len()).collect();
        for script in [script(), mending_script()] {
            let expected = replay(&script, &stream, Commit::AtOnce, &[]);
            for commit in [Commit::AtOnce, Commit::Late] {
                for cuts in [&[][..], &cuts, &each] {
                    let got = replay(&script, &stream, commit, cuts);
                    prop_assert_eq!(&got, &expected, "{:?} {:?}", commit, cuts);
                }
            }
        }
    }

    /// The driver asserts that the events come in order and that nothing gets stuck.
    #[test]
    fn whatever_happens_the_session_ends_well(
        operations in vec(operation(), 0..60),
        mends in any::<bool>(),
    ) {
        let script = if mends { mending_script() } else { script() };
        let mut driver = Driver::new(&script, Commit::Late);
        for operation in operations {
            match operation {
                Operation::Send(bytes) => driver.feed(&bytes),
                Operation::Happen(what) => driver.happen(what),
                Operation::Commit => driver.settle(),
            }
        }
        driver.session.handle_eof();
        driver.settle();
        prop_assert!(driver.session.wants_close());
        let text = String::from_utf8_lossy(&driver.out).into_owned();
        prop_assert!(text.ends_with("\r\n"));
        for line in text.split_terminator("\r\n") {
            prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert!(line.len() + 2 <= 512, "RFC 5321 §4.5.3.1.5");
            prop_assert!(line.as_bytes()[..3].iter().all(u8::is_ascii_digit));
        }
    }
}

//! A sink that refuses, offers little, or breaks off: what smtplib, aiosmtplib, swaks and curl make
//! of it, and what the accounts say.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::behaving::{addresses, all_of, curl, greeted, refused, sink};
use crate::harness::{PROGRAM, Sent, Sink, send};

/// Runs `script` by `python` with the sink's ports.
#[track_caller]
fn python(python: &str, script: &str, sink: &Sink) {
    let addresses = addresses(sink);
    let ports = addresses.iter().map(|address| address.rsplit_once(':').unwrap().1);
    let output = Command::new(python).args(["-c", script]).args(ports).output().unwrap();
    assert!(output.status.success(), "{}", all_of(&output));
}

/// `loadgen verify`, with what the source told written beside what the sink told.
fn verify(sent: &Sent, sink: &Sink, options: &[&str]) -> Output {
    fs::write(sink.path("source.json"), sent.report.to_string()).unwrap();
    let mut verify = Command::new(PROGRAM);
    verify.args(["verify", "source.json", "totals.json"]).args(options);
    verify.current_dir(sink.directory.path()).output().unwrap()
}

#[test]
fn smtplib_hears_each_refusal_with_its_text() {
    for (at, stage, code, script) in [
        ("ehlo", "EHLO", 550, "code, text = server.ehlo('me')"),
        ("mail", "MAIL", 452, "server.ehlo('me'); code, text = server.mail('a@x.example')"),
        (
            "rcpt",
            "RCPT",
            553,
            "server.ehlo('me'); server.mail('a@x.example')\n\
             code, text = server.rcpt('b@y.example')",
        ),
        (
            "data",
            "DATA",
            451,
            "server.ehlo('me'); server.mail('a@x.example'); server.rcpt('b@y.example')\n\
             try: server.data(b'x')\n\
             except smtplib.SMTPDataError as error: code, text = error.args",
        ),
        (
            "end-of-data",
            "end of data",
            554,
            "server.ehlo('me'); server.mail('a@x.example'); server.rcpt('b@y.example')\n\
             code, text = server.data(b'x')",
        ),
        (
            "auth",
            "AUTH",
            535,
            "server.ehlo('me'); code, text = server.docmd('AUTH', 'PLAIN AGEAYg==')",
        ),
        ("starttls", "STARTTLS", 454, "server.ehlo('me'); code, text = server.docmd('STARTTLS')"),
        ("other", "other", 450, "server.ehlo('me'); code, text = server.rset()"),
        ("quit", "QUIT", 421, "server.ehlo('me'); code, text = server.docmd('QUIT')"),
    ] {
        let mut sink = sink(
            &format!(
                "[default]\nauth = true\ntls = 'starttls'\n[[default.reply]]\nat = '{at}'\n\
                 text = \"{code} 4.0.0 No\\nlonger\"\n"
            ),
            &[],
        );
        let script = format!(
            "import smtplib, sys\n\
             server = smtplib.SMTP('127.0.0.1', int(sys.argv[1]), timeout=60)\n\
             {script}\nassert (code, text) == ({code}, b'4.0.0 No\\nlonger'), (code, text)"
        );
        python("python3", &script, &sink);
        let totals = sink.stop();
        assert_eq!(refused(&totals, stage, code), 1, "{at}: {totals}");
        assert_eq!(totals["messages"], 0);
    }
}

#[test]
fn aiosmtplib_learns_which_recipients_are_refused() {
    let mut sink = sink(
        "[[default.reply]]\nat = 'rcpt'\nrecipients = ['nobody', 'gone-*']\n\
         text = '550 5.1.1 No such person'\n",
        &[],
    );
    let script = "
import asyncio, aiosmtplib, sys
recipients = [f'{name}@y.example' for name in ('me', 'nobody', 'gone-for-good', 'gone', 'NOBODY')]
refused, _ = asyncio.run(aiosmtplib.send(
    'Subject: x\\n\\nText\\n', sender='a@x.example', recipients=recipients,
    hostname='127.0.0.1', port=int(sys.argv[1]), timeout=60, start_tls=False))
assert sorted(refused) == sorted(recipients[index] for index in (1, 2, 4)), refused
assert all(reply == (550, '5.1.1 No such person') for reply in refused.values()), refused
";
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/venv/bin/python");
    python(venv.to_str().unwrap(), script, &sink);
    let totals = sink.stop();
    assert_eq!((&totals["messages"], &totals["recipients"]), (&1.into(), &2.into()));
    let domain = &totals["domains"][0];
    assert_eq!((&domain["recipients"], &domain["refused"]), (&2.into(), &3.into()), "{totals}");
}

/// 600 messages, five standard deviations around each share.
#[test]
fn a_source_meets_each_refusal_in_its_share() {
    let share = |at: &str, share: f64, text: &str| {
        format!("[[default.reply]]\nat = '{at}'\nshare = {share}\ntext = '{text}'\n")
    };
    let text = [
        share("mail", 0.1, "451 4.3.0 Later"),
        share("rcpt", 0.2, "550 5.7.1 Never"),
        share("end-of-data", 0.3, "452 4.3.1 Full"),
    ];
    let mut sink = sink(&text.concat(), &[]);
    let sent = send(&sink.address, &["--messages", "600"]);
    assert_eq!((sent.code, sent.count("accepted") + sent.count("refused")), (1, 600));
    let totals = sink.stop();
    for (stage, code, around) in [("MAIL", 451, 60), ("RCPT", 550, 108), ("end of data", 452, 130)]
    {
        let count = refused(&totals, stage, code);
        assert!((around - 55..=around + 55).contains(&count), "{stage}: {count}");
        let told = refused(&sent.report, stage, code);
        // Behind a refused MAIL a pipelining source hears of its RCPT, too, and counts the first.
        assert_eq!(told, count, "{stage}: {}", sent.report);
    }
    assert_eq!(totals["messages"], sent.count("accepted"));
}

#[test]
fn what_is_too_big_is_refused_before_or_behind_it() {
    let mut sink = sink("[default]\nsize_max_bytes = 5000\n", &[]);
    let script = "
import smtplib, sys
for size, code in ((4000, None), (6000, 552)):
    with smtplib.SMTP('127.0.0.1', int(sys.argv[1]), timeout=60) as server:
        try:
            server.sendmail('a@x.example', ['b@y.example'], 'Subject: x\\n\\n' + 'x' * size)
        except smtplib.SMTPSenderRefused as error:
            assert error.smtp_code == code, error
        else:
            assert code is None
";
    python("python3", script, &sink);
    let totals = sink.stop();
    assert_eq!((&totals["messages"], refused(&totals, "MAIL", 552)), (&1.into(), 1));
    for options in [&["--no-size"][..], &["--no-size", "--bdat"], &[]] {
        let mut sink = self::sink("[default]\nsize_max_bytes = 5000\n", &[]);
        let base = ["--messages", "10", "--connections", "1", "--size", "6000"];
        let sent = send(&sink.address, &[&base[..], options].concat());
        assert_eq!((sent.code, sent.count("refused")), (1, 10), "{}", sent.report);
        let totals = sink.stop();
        let stage = if options.is_empty() { "MAIL" } else { "end of data" };
        assert_eq!(refused(&totals, stage, 552), 10, "{options:?}: {totals}");
        assert_eq!(totals["messages"], 0);
    }
}

#[test]
fn what_is_not_offered_is_not_used() {
    let off = "[default]\npipelining = false\nchunking = false\n\
               8bitmime = false\nsmtputf8 = false\n\
               [[listen]]\naddress = '127.0.0.1:0'\n8bitmime = true\n";
    let mut sink = sink(off, &[]);
    let both = addresses(&sink);
    let offer = greeted(&both[0]).say("EHLO x").unwrap();
    for word in ["PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8", "AUTH", "STARTTLS"] {
        assert!(!offer.contains(word), "{word} in {offer}");
    }
    assert_eq!(send(&both[0], &["--messages", "20"]).code, 0);
    for (address, option, word) in [
        (&both[0], "--bdat", "CHUNKING"),
        (&both[0], "--8bitmime", "8BITMIME"),
        (&both[1], "--smtputf8", "SMTPUTF8"),
    ] {
        let sent = send(address, &["--messages", "3", option]);
        assert_eq!((sent.code, sent.count("accepted")), (1, 0), "{option}");
        assert!(sent.report["refusals"].to_string().contains(word), "{option}: {}", sent.report);
    }
    let script = "
import smtplib, sys
with smtplib.SMTP('127.0.0.1', int(sys.argv[1]), timeout=60) as server:
    server.ehlo('me')
    for word in ('pipelining', '8bitmime', 'smtputf8'):
        assert not server.has_extn(word), word
    server.sendmail('a@x.example', ['b@y.example'], b'Subject: x\\n\\nText')
    # Who uses it all the same is refused (RFC 5321 §4.1.1.11).
    for parameter in ('SMTPUTF8', 'BODY=8BITMIME'):
        code, text = server.docmd('MAIL', f'FROM:<a@x.example> {parameter}')
        assert code == 555, (parameter, code, text)
    code, text = server.docmd('BDAT', '0 LAST')
    assert code == 500, (code, text)
";
    python("python3", script, &sink);
    assert_eq!(sink.stop()["messages"], 21);
}

#[test]
fn logins_of_swaks_curl_and_smtplib_are_taken() {
    let mut sink = sink("[default]\nauth = true\n", &[]);
    let (host, port) = sink.address.split_once(':').unwrap();
    for mechanism in ["PLAIN", "LOGIN"] {
        let swaks = Command::new("swaks")
            .args([
                "--server",
                host,
                "--port",
                port,
                "--to",
                "me@here.example",
                "--auth",
                mechanism,
            ])
            .args(["--auth-user", "me", "--auth-password", "secret", "--timeout", "20"])
            .args(["--from", "a@b.example"])
            .output()
            .unwrap();
        assert!(swaks.status.success(), "{mechanism}: {}", all_of(&swaks));
        let curl = curl(
            &sink.address,
            &["--user", "me:secret", "--login-options", &format!("AUTH={mechanism}")],
        );
        assert!(curl.status.success(), "{mechanism}: {}", all_of(&curl));
    }
    let script = "
import smtplib, sys
with smtplib.SMTP('127.0.0.1', int(sys.argv[1]), timeout=60) as server:
    code, _ = server.login('me', 'secret')
    assert code == 235, code
    server.sendmail('a@x.example', ['b@y.example'], b'Subject: x\\n\\nText')
";
    python("python3", script, &sink);
    assert_eq!(sink.stop()["messages"], 5);
}

#[test]
fn dropped_connections_are_told_from_lost_messages() {
    let text = "[[default.drop]]\nat = \"after-data\"\nshare = 0.5\ntaken = true\n";
    let mut sink = sink(text, &[]);
    let sent = send(&sink.address, &["--messages", "100", "--reconnect", "--timeout", "10"]);
    assert_eq!((sent.code, sent.count("accepted")), (0, 100), "{}", sent.report);
    let totals = sink.stop();
    let dropped = totals["connections_dropped"].as_u64().unwrap();
    assert!(dropped > 20, "{totals}");
    // What was taken without a word came again.
    assert_eq!(totals["duplicates"].as_u64().unwrap(), dropped);
    let strict = verify(&sent, &sink, &[]);
    assert_eq!(strict.status.code(), Some(1), "{}", all_of(&strict));
    let lenient = verify(&sent, &sink, &["--allow", "duplicated"]);
    assert_eq!(lenient.status.code(), Some(0), "{}", all_of(&lenient));
}

#[test]
fn a_connection_dropped_in_the_middle_takes_no_message() {
    for at in
        ["'before-data'", "'in-data'", "'in-data'\nafter_bytes = 5", "'in-data'\nafter_bytes = 999"]
    {
        let mut sink = sink(&format!("[[default.drop]]\nat = {at}\n"), &[]);
        let mut client = greeted(&sink.address);
        assert_eq!(client.send("me@here.example"), None, "{at}");
        let totals = sink.stop();
        assert_eq!((&totals["messages"], &totals["connections_dropped"]), (&0.into(), &1.into()));
    }
}

/// Without another attempt nobody is to blame: the source heard no 250, the sink has the message.
#[test]
fn what_was_taken_without_a_word_is_never_acknowledged() {
    for (taken, by) in [(true, &[][..]), (true, &["--bdat"]), (false, &[])] {
        let text = format!("[[default.drop]]\nat = 'after-data'\nshare = 0.3\ntaken = {taken}\n");
        let mut sink = sink(&text, &[]);
        let options =
            ["--messages", "100", "--connections", "100", "--messages-per-connection", "1"];
        let sent = send(&sink.address, &[&options[..], by].concat());
        let totals = sink.stop();
        let dropped = totals["connections_dropped"].as_u64().unwrap();
        assert!((5..=60).contains(&dropped), "{totals}");
        assert_eq!((sent.code, sent.count("lost")), (1, dropped), "{}", sent.report);
        let verdict = verify(&sent, &sink, &[]);
        let text = all_of(&verdict);
        assert_eq!(verdict.status.code(), Some(0), "{text}");
        let accepted = sent.count("accepted");
        let came = if taken { accepted + dropped } else { accepted };
        assert!(text.starts_with(&format!("acknowledged {accepted}, delivered {came}, lost 0")));
        assert_eq!(text.contains(&format!("never acknowledged {dropped}")), taken, "{text}");
    }
}

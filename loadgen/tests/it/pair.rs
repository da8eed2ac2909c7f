//! Source into sink.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use rustix::process::Signal;

use crate::harness::{PROGRAM, Sink, Source, send, set, two_cpus};

/// Sends 500 messages with these options; both sides must agree on each of them.
#[track_caller]
fn check_all_arrive(options: &[&str], recipients: u64, connections: std::ops::RangeInclusive<u64>) {
    let mut sink = Sink::start(&[]);
    let mut all = vec!["--messages", "500", "--connections", "7"];
    all.extend(options);
    let sent = send(&sink.address, &all);
    let totals = sink.stop();
    assert_eq!(sent.code, 0, "{}", sent.report);
    for (name, count) in [("accepted", 500), ("refused", 0), ("lost", 0), ("unsent", 0)] {
        assert_eq!(sent.count(name), count, "{name}");
    }
    assert!(connections.contains(&sent.count("connections")), "{}", sent.report);
    for (name, count) in [
        ("messages", 500),
        ("distinct", 500),
        ("recipients", 500 * recipients),
        ("duplicates", 0),
        ("unmarked", 0),
        ("bytes", sent.count("bytes")),
        ("connections", sent.count("connections")),
    ] {
        assert_eq!(totals[name], count, "{name}");
    }
    let ids = sink.ids();
    assert_eq!(ids.len(), 500);
    assert_eq!(set(&ids), set(&sent.acked));
    for kind in ["message", "end_of_data", "connect"] {
        assert!(sent.report["stages"][kind]["p50_ms"].as_f64().unwrap() > 0.0, "{kind}");
    }
}

#[test]
fn with_pipelining_all_messages_arrive() {
    check_all_arrive(&[], 1, 7..=7);
}

#[test]
fn without_pipelining_all_messages_arrive() {
    check_all_arrive(&["--no-pipelining"], 1, 7..=7);
}

#[test]
fn running_ahead_all_messages_arrive() {
    check_all_arrive(&["--run-ahead", "--recipients", "3"], 3, 7..=7);
}

#[test]
fn with_a_connection_for_each_message_all_arrive() {
    // The last connections may come too late for a message.
    check_all_arrive(&["--messages-per-connection", "1"], 1, 500..=507);
    check_all_arrive(&["--messages-per-connection", "1", "--no-pipelining"], 1, 500..=507);
}

#[test]
fn with_several_messages_a_connection_all_arrive() {
    check_all_arrive(&["--messages-per-connection", "10", "--run-ahead"], 1, 50..=57);
}

#[test]
fn large_messages_arrive_whole() {
    check_all_arrive(&["--size", "1000000"], 1, 7..=7);
}

/// RFC 3030: whole, in pieces that run ahead, in pieces of a few bytes, each awaited.
#[test]
fn by_bdat_all_messages_arrive() {
    for options in [
        &[][..],
        &["--bdat-chunk-bytes", "700", "--run-ahead"],
        &["--bdat-chunk-bytes", "100", "--no-pipelining"],
        &["--messages-per-connection", "80"],
    ] {
        check_all_arrive(&[&["--bdat", "--recipients", "2"], options].concat(), 2, 7..=13);
    }
    check_all_arrive(&["--bdat", "--size", "1000000"], 1, 7..=7);
}

#[test]
fn several_threads_share_the_work() {
    let [first, second] = two_cpus();
    let cpus = format!("{first},{second}");
    let mut sink = Sink::start(&["--cpus", &cpus]);
    let sent = send(&sink.address, &["--messages", "1000", "--cpus", &cpus]);
    assert_eq!((sent.code, sent.acked.len()), (0, 1_000));
    let totals = sink.stop();
    assert_eq!((&totals["messages"], &totals["distinct"]), (&1_000.into(), &1_000.into()));
    assert_eq!(sink.ids().len(), 1_000);
}

#[test]
fn deferred_recipients_are_told_apart_by_code() {
    let mut sink = Sink::start(&["--defer-rate", "0.25", "--reject-rate", "0.1"]);
    let sent = send(&sink.address, &["--messages", "1000"]);
    assert_eq!(sent.code, 1);
    let totals = sink.stop();
    assert_eq!(sent.count("accepted") + sent.count("refused"), 1_000);
    assert_eq!(totals["messages"], sent.count("accepted"));
    let refusals = sent.report["refusals"].as_array().unwrap();
    assert_eq!(refusals.len(), 2, "{refusals:?}");
    for (code, least, most) in [(451, 200, 300), (550, 60, 140)] {
        let found = refusals.iter().find(|refusal| refusal["code"] == code).unwrap();
        assert_eq!(found["stage"], "RCPT");
        let count = found["count"].as_u64().unwrap();
        assert!((least..=most).contains(&count), "{code}: {count}");
    }
}

#[test]
fn contents_refused_at_their_end_are_not_counted_as_received() {
    for pipelining in ["--pipelining", "--no-pipelining"] {
        let options = ["--reject-rate", "0.5", "--refuse-at", "end-of-data"];
        let mut sink = Sink::start(&options);
        let sent = send(&sink.address, &["--messages", "400", pipelining]);
        assert_eq!(sent.code, 1);
        assert!((140..=260).contains(&sent.count("refused")), "{}", sent.report);
        assert_eq!(sent.report["refusals"][0]["stage"], "end of data");
        assert_eq!(sink.stop()["messages"], sent.count("accepted"));
        assert_eq!(set(&sink.ids()), set(&sent.acked));
    }
}

#[test]
fn some_recipients_of_a_message_may_be_refused() {
    let mut sink = Sink::start(&["--reject-rate", "0.5"]);
    let sent = send(&sink.address, &["--messages", "200", "--recipients", "4"]);
    assert_eq!(sent.code, 1);
    assert!(sent.count("recipients_refused") > 100);
    let totals = sink.stop();
    let recipients = totals["recipients"].as_u64().unwrap();
    assert_eq!(recipients + sent.count("recipients_refused"), 4 * sent.count("accepted"));
}

#[test]
fn a_sink_ends_after_a_number_of_messages() {
    let mut sink = Sink::start(&["--exit-after", "100"]);
    let sent = send(&sink.address, &["--messages", "100"]);
    assert_eq!((sent.code, sent.acked.len()), (0, 100));
    assert_eq!(sink.finish()["messages"], 100);
}

#[test]
fn delays_are_kept() {
    let mut sink = Sink::start(&["--delay-ms", "10", "--delay-end-of-data-ms", "30"]);
    let sent = send(&sink.address, &["--messages", "20", "--connections", "2"]);
    assert_eq!(sent.code, 0);
    assert_eq!(sink.stop()["messages"], 20);
    let at_least = |kind: &str, ms: f64| {
        let measured = sent.report["stages"][kind]["p50_ms"].as_f64().unwrap();
        assert!(measured >= ms, "{kind}: {measured}");
    };
    // The sink may count from before the source sees the connection stand.
    let greeted = ["connect", "banner"].map(|kind| &sent.report["stages"][kind]["max_ms"]);
    let greeted_ms: f64 = greeted.iter().map(|ms| ms.as_f64().unwrap()).sum();
    assert!(greeted_ms >= 10.0, "{greeted:?}");
    at_least("ehlo", 10.0);
    // Three commands left together, and the sink takes its time before each reply.
    at_least("mail", 10.0);
    at_least("rcpt", 20.0);
    at_least("data", 30.0);
    at_least("end_of_data", 40.0);
    at_least("message", 70.0);
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let mut sink = Sink::start(&[]);
    let sent = send(&sink.address, &["--rate", "400", "--seconds", "1", "--connections", "4"]);
    assert_eq!(sent.code, 0);
    // 399 or 400 are due in this second; a busy machine may miss the last ones.
    assert!((380..=400).contains(&sent.count("accepted")), "{}", sent.report);
    assert_eq!(sink.stop()["distinct"], sent.count("accepted"));
}

#[test]
fn a_target_that_does_not_listen_is_a_failure() {
    let mut sink = Sink::start(&[]);
    let address = sink.address.clone();
    sink.stop();
    let sent = send(&address, &["--messages", "10"]);
    assert_eq!((sent.code, sent.count("accepted"), sent.count("unsent")), (1, 0, 10));
}

#[test]
fn a_source_that_is_stopped_reports_what_it_did() {
    let mut sink = Sink::start(&["--delay-end-of-data-ms", "5"]);
    let source = Source::start(&sink.address, &["--seconds", "100"]);
    while sink.ids().len() < 50 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    source.process.signal(Signal::INT);
    let sent = source.finish();
    assert_eq!(sent.code, 0, "{}", sent.report);
    sink.stop();
    assert_eq!(set(&sink.ids()), set(&sent.acked));
}

#[test]
fn bodies_are_kept_byte_for_byte() {
    let mut sink = Sink::start(&["--bodies", "bodies"]);
    let mut stream = TcpStream::connect(&sink.address).unwrap();
    stream
        .write_all(
            b"EHLO me\r\nMAIL FROM:<a@b> BODY=8BITMIME\r\nRCPT TO:<c@d>\r\nDATA\r\n\
              ..\r\n...two\r\nbare\n.dot\r\n\xff\x00\r\n.\r\nQUIT\r\n",
        )
        .unwrap();
    let mut replies = BufReader::new(stream);
    let mut last = String::new();
    while replies.read_line(&mut last).unwrap() > 0 {}
    assert!(last.contains("\n221 "), "{last}");
    let sent = send(&sink.address, &["--messages", "3", "--connections", "1", "--size", "5000"]);
    assert_eq!(sent.code, 0);
    assert_eq!(sink.stop()["unmarked"], 1);
    let read = |name: &str| fs::read(sink.path("bodies").join(name)).unwrap();
    assert_eq!(read("00000001.eml"), b".\r\n..two\r\nbare\n.dot\r\n\xff\x00\r\n");
    let envelope = read("00000001.envelope");
    assert_eq!(envelope, b"MAIL FROM:<a@b> BODY=8BITMIME\nRCPT TO:<c@d>\n");
    assert_eq!(sink.ids()[0], "-");
    for number in 2..=4 {
        assert_eq!(read(&format!("{number:08}.eml")).len(), 5_000);
    }
}

#[test]
fn two_sinks_do_not_share_a_port() {
    let [first, second] = two_cpus();
    let both = format!("{first},{second}");
    for cpus in [&first, &both] {
        let sink = Sink::start(&["--cpus", cpus]);
        for cpus in [&first, &both] {
            let mut command = Command::new(PROGRAM);
            command.args(["sink", "--listen", &sink.address, "--cpus", cpus]);
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            let text = String::from_utf8(output.stderr).unwrap();
            assert!(text.contains(&format!("cannot listen on {}", sink.address)), "{text}");
        }
    }
}

/// A server that ends each session after two messages: with 421, or without a word.
fn bounded_sessions(farewell: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut out = stream.try_clone().unwrap();
            let mut say = move |text: &str| out.write_all(text.as_bytes()).unwrap();
            say("220 hi\r\n");
            let (mut messages, mut content) = (0, false);
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                match (content, &line[..line.len().min(4)]) {
                    (true, ".") => {
                        (messages, content) = (messages + 1, false);
                        say("250 ok\r\n");
                    }
                    (true, _) => {}
                    (false, "MAIL") if messages == 2 => {
                        say(farewell);
                        break;
                    }
                    (false, "DATA") => {
                        content = true;
                        say("354 go\r\n");
                    }
                    (false, _) => say("250 ok\r\n"),
                }
            }
        }
    });
    address
}

#[test]
fn a_session_that_the_server_bounds_loses_no_message() {
    for farewell in ["421 enough\r\n", ""] {
        let address = bounded_sessions(farewell).to_string();
        let options = ["--messages", "20", "--connections", "1", "--no-pipelining"];
        let sent = send(&address, &options);
        assert_eq!((sent.code, sent.acked.len()), (0, 20), "{}", sent.report);
        assert_eq!(set(&sent.acked).len(), 20);
        assert!((9..=10).contains(&sent.count("connections_broken")), "{}", sent.report);
    }
}

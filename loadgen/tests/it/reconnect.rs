//! A source that goes on through failures of the server.

use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Sink, Source, send, set};

#[test]
fn a_source_outlives_the_death_of_its_server() {
    let mut sink = Sink::start(&["--delay-end-of-data-ms", "20"]);
    let address = sink.address.clone();
    let mut source = Source::start(&address, &["--messages", "3000", "--reconnect"]);
    let mut seen = Vec::new();
    for _ in 0..2 {
        while sink.ids().len() < 200 {
            std::thread::sleep(Duration::from_millis(10));
        }
        // The sink writes what it has seen before it ends, so nothing acknowledged is missing.
        sink.process.signal(Signal::TERM);
        sink.process.wait();
        assert!(source.process.is_running());
        std::thread::sleep(Duration::from_millis(200));
        seen.extend(sink.ids());
        sink = Sink::start_at(&address, &["--delay-end-of-data-ms", "20"]);
    }
    let sent = source.finish();
    sink.stop();
    seen.extend(sink.ids());
    assert_eq!(sent.code, 0, "{}", sent.report);
    assert!(sent.count("connections_failed") > 0);
    assert!(sent.count("connections_broken") > 0);
    // Each number was acknowledged once, under one id, and came at least once.
    assert_eq!((sent.acked.len(), set(&sent.acked).len()), (3_000, 3_000));
    assert_eq!(set(&seen), set(&sent.acked));
    let duplicates = seen.len() - 3_000;
    assert!(duplicates <= 40, "{duplicates} duplicates, 20 connections, 2 deaths");
}

#[test]
fn deferred_messages_are_sent_again_until_taken() {
    let mut sink = Sink::start(&["--defer-rate", "0.3", "--refuse-at", "end-of-data"]);
    let sent = send(&sink.address, &["--messages", "300", "--reconnect"]);
    assert_eq!((sent.code, sent.acked.len()), (0, 300));
    assert!(sent.count("sent_again") > 50, "{}", sent.report);
    let totals = sink.stop();
    assert_eq!((&totals["messages"], &totals["duplicates"]), (&300.into(), &0.into()));
}

#[test]
fn what_is_never_taken_is_lost_at_the_deadline() {
    let mut sink = Sink::start(&["--defer-rate", "1", "--refuse-at", "end-of-data"]);
    let options = ["--messages", "30", "--seconds", "0.5", "--reconnect"];
    let sent = send(&sink.address, &options);
    sink.stop();
    assert_eq!((sent.code, sent.count("accepted")), (1, 0));
    assert_eq!(sent.count("lost") + sent.count("unsent"), 30);
    assert!(sent.count("lost") > 0);
}

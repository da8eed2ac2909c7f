//! A sink that lets clients wait, or turns them away: greylist, limits of connections, tarpit, a
//! slow reader, and what its threads share of that.

use std::io::Read;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::behaving::{Client, SILENCE_MAX, addresses, all_of, greeted, refused, sink};
use crate::harness::{send, two_cpus};

#[test]
fn a_triplet_waits_once_and_the_next_anew() {
    let mut sink = sink("[[domain]]\nmatch = [\"grey.example\"]\ngreylist_s = 1\n", &[]);
    let mut client = greeted(&sink.address);
    let first = client.send("me@grey.example").unwrap();
    assert!(first.starts_with("451 4.7.1"), "{first}");
    client.expect("RSET", "250");
    assert!(client.send("me@other.example").unwrap().starts_with("250"));
    std::thread::sleep(Duration::from_millis(1_100));
    assert!(client.send("me@grey.example").unwrap().starts_with("250"));
    assert!(client.send("you@grey.example").unwrap().starts_with("451"));
    assert_eq!(sink.stop()["messages"], 2);
}

#[test]
fn connections_beyond_the_limits_get_421() {
    let mut sink = sink("[default]\nclient_connections_max = 2\n", &[]);
    let address = sink.address.clone();
    let (first, _second) = (greeted(&address), greeted(&address));
    let mut third = Client::connect(&address);
    assert!(third.hear().unwrap().starts_with("421 4.7.0"));
    assert_eq!(third.hear(), None);
    drop(first);
    // The sink learns of the end by itself.
    let begin = Instant::now();
    while Client::connect(&address).hear().unwrap().starts_with("421") {
        assert!(begin.elapsed() < SILENCE_MAX);
        std::thread::sleep(Duration::from_millis(20));
    }
    let totals = sink.stop();
    assert!(totals["connections_refused"].as_u64().unwrap() >= 1);
}

#[test]
fn a_tarpit_drips_and_delays_delay() {
    let mut sink = sink(
        r#"
        [default]
        delay.mail = "100ms"
        [[listen]]
        address = "127.0.0.1:0"
        tarpit = { bytes = 2, every_ms = 10 }
        "#,
        &[],
    );
    let both = addresses(&sink);
    let mut plain = greeted(&both[0]);
    let begin = Instant::now();
    plain.expect("MAIL FROM:<a@b.example>", "250");
    assert!(begin.elapsed() >= Duration::from_millis(100));
    let mut stream = TcpStream::connect(&both[1]).unwrap();
    stream.set_read_timeout(Some(SILENCE_MAX)).unwrap();
    let (begin, mut greeting) = (Instant::now(), Vec::new());
    while !greeting.ends_with(b"\n") {
        let mut drop = [0];
        stream.read_exact(&mut drop).unwrap();
        greeting.push(drop[0]);
    }
    let drips = u32::try_from(greeting.len() / 2 - 1).unwrap();
    assert!(begin.elapsed() >= drips * Duration::from_millis(10), "{:?}", begin.elapsed());
    sink.stop();
}

#[test]
fn a_slow_reader_takes_its_time() {
    let mut sink =
        sink("[default]\nread_bytes_per_second = 100000\nreceive_buffer_bytes = 4096\n", &[]);
    let begin = Instant::now();
    let sent = send(&sink.address, &["--messages", "1", "--connections", "1", "--size", "100000"]);
    assert_eq!(sent.code, 0, "{}", sent.report);
    assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
    sink.stop();
}

#[test]
fn threads_share_what_they_know() {
    let [one, other] = two_cpus();
    let cpus = if one == other { one } else { format!("{one},{other}") };
    let text = "[default]\nclient_connections_max = 8\n\
                [[domain]]\nmatch = [\"grey.example\"]\ngreylist_s = 1\n";
    let mut sink = sink(text, &["--cpus", &cpus]);
    let options = ["--messages", "40", "--connections", "8", "--to", "user{n}@grey.example"];
    let first = send(&sink.address, &[&options[..], &["--messages-per-connection", "1"]].concat());
    assert_eq!((first.code, first.count("accepted")), (1, 0), "{}", first.report);
    std::thread::sleep(Duration::from_millis(1_100));
    // The same triplets, over other connections and so perhaps other threads.
    let second = send(&sink.address, &options);
    assert_eq!((second.code, second.count("accepted")), (0, 40), "{}", second.report);
    let totals = sink.stop();
    assert_eq!((&totals["distinct"], &totals["duplicates"]), (&40.into(), &0.into()));
}

/// The limit is the sink's, whichever thread has the connection.
#[test]
fn connections_are_limited_in_all_over_all_threads() {
    let [one, other] = two_cpus();
    let cpus = if one == other { one } else { format!("{one},{other}") };
    let mut sink = sink("[default]\nconnections_max = 3\n", &["--cpus", &cpus]);
    let mut clients: Vec<Client> = (0..12).map(|_| Client::connect(&sink.address)).collect();
    let greetings: Vec<String> =
        clients.iter_mut().map(|client| client.hear().unwrap()[..3].to_owned()).collect();
    let count = |code: &str| greetings.iter().filter(|greeting| *greeting == code).count();
    assert_eq!((count("220"), count("421")), (3, 9), "{greetings:?}");
    let totals = sink.stop();
    assert_eq!((&totals["connections"], &totals["connections_refused"]), (&3.into(), &9.into()));
}

#[test]
fn connections_above_a_rate_get_421_and_the_next_second_takes_more() {
    let mut sink = sink("[default]\nconnections_per_second_max = 5\n", &[]);
    let begin = Instant::now();
    let greet = || Client::connect(&sink.address).hear().unwrap().starts_with("220");
    let welcome = (0..20).filter(|_| greet()).count();
    // A machine that is slow enough begins another second meanwhile.
    let seconds = usize::try_from(begin.elapsed().as_secs()).unwrap() + 1;
    assert!((5..=5 * seconds).contains(&welcome), "{welcome} in {:?}", begin.elapsed());
    while !greet() {
        assert!(begin.elapsed() < SILENCE_MAX);
        std::thread::sleep(Duration::from_millis(50));
    }
    let totals = sink.stop();
    assert!(totals["connections_refused"].as_u64().unwrap() + 5 * seconds as u64 >= 20, "{totals}");
}

/// A client that tries again as RFC 5321 §4.5.4.1 has it gets through, by its triplet.
#[test]
fn swaks_is_greylisted_and_gets_through_later() {
    let mut sink = sink("[default]\ngreylist_s = 2\n", &[]);
    let (host, port) = sink.address.split_once(':').unwrap();
    let attempt = |from: &str| {
        let output = Command::new("swaks")
            .args(["--server", host, "--port", port, "--to", "me@here.example"])
            .args(["--from", from, "--timeout", "20"])
            .output()
            .unwrap();
        // 24: no recipient was accepted.
        assert!(matches!(output.status.code(), Some(0 | 24)), "{}", all_of(&output));
        assert_eq!(output.status.success(), !all_of(&output).contains("451 4.7.1"));
        output.status.success()
    };
    assert!(!attempt("a@b.example"));
    std::thread::sleep(Duration::from_millis(2_100));
    assert!(attempt("a@b.example"));
    assert!(!attempt("other@b.example"));
    let totals = sink.stop();
    assert_eq!((&totals["messages"], refused(&totals, "RCPT", 451)), (&1.into(), 2));
}

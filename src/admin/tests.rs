//! The admin server over real connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::*;
use crate::counters::Counters;

fn monitored() -> Monitored {
    let shards = [3_u16, 5].map(|cpu| {
        let counters = Arc::new(PublishedCounters::default());
        let mut own = Counters {
            messages_received: u64::from(cpu) * 100,
            messages_delivered: 7,
            recipients_delivered: 8,
            recipients_deferred: 9,
            recipients_bounced: 10,
            queue_messages: 11,
            connections_in: 12,
            connections_out: 13,
            ..Counters::default()
        };
        own.count_commit(Duration::from_micros(150));
        own.count_commit(Duration::from_secs(3));
        counters.publish(&own);
        ShardView { cpu, counters }
    });
    let (writer, _guard) = tracing_appender::non_blocking(io::sink());
    Monitored {
        hostname: "mail.example.net".parse().expect("a name"),
        started: WallTime::from_unix_ms(1_795_492_893_042),
        started_at: Instant::now(),
        shards: shards.to_vec(),
        dropped_log_lines: DroppedLines::of(&writer),
    }
}

fn start() -> (Admin, mpsc::Receiver<Signal>) {
    let (sender, signals) = mpsc::channel();
    let any = "127.0.0.1:0".parse().expect("an address");
    (Admin::start(any, monitored(), sender).expect("it starts"), signals)
}

/// Status line and headers, and the body.
fn get(admin: &Admin, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(admin.address()).expect("a connection");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn metrics_have_the_names_of_the_contract() {
    let (admin, _signals) = start();
    let (head, body) = get(&admin, "/metrics");
    admin.stop();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    let lines = [
        "# TYPE ringpost_messages_received counter",
        "ringpost_messages_received_total{shard=\"0\"} 300",
        "ringpost_messages_received_total{shard=\"1\"} 500",
        "ringpost_messages_delivered_total{shard=\"0\"} 7",
        "ringpost_recipients_delivered_total{shard=\"0\"} 8",
        "ringpost_recipients_deferred_total{shard=\"0\"} 9",
        "ringpost_recipients_bounced_total{shard=\"0\"} 10",
        "# TYPE ringpost_queue_messages gauge",
        "ringpost_queue_messages{shard=\"0\"} 11",
        "ringpost_spool_commits_total{shard=\"0\"} 2",
        "# TYPE ringpost_spool_commit_seconds histogram",
        "ringpost_spool_commit_seconds_sum{shard=\"0\"} 3.00015",
        "ringpost_spool_commit_seconds_count{shard=\"0\"} 2",
        "ringpost_spool_commit_seconds_bucket{le=\"0.0001\",shard=\"0\"} 0",
        "ringpost_spool_commit_seconds_bucket{le=\"0.0002\",shard=\"0\"} 1",
        "ringpost_spool_commit_seconds_bucket{le=\"1.0\",shard=\"0\"} 1",
        "ringpost_spool_commit_seconds_bucket{le=\"+Inf\",shard=\"1\"} 2",
        "# TYPE ringpost_smtp_connections gauge",
        "ringpost_smtp_connections{shard=\"0\",direction=\"in\"} 12",
        "ringpost_smtp_connections{shard=\"1\",direction=\"out\"} 13",
        "ringpost_log_lines_dropped_total 0",
    ];
    for line in lines {
        assert!(body.lines().any(|other| other == line), "{line} is not in:\n{body}");
    }
    assert!(body.ends_with("# EOF\n"), "{body}");
}

#[test]
fn the_status_adds_up_the_shards() {
    let (admin, _signals) = start();
    let (head, body) = get(&admin, "/api/v1/status");
    admin.stop();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let version = env!("CARGO_PKG_VERSION");
    let parts = [
        format!("{{\"version\":\"{version}\",\"hostname\":\"mail.example.net\""),
        "\"started\":\"2026-11-24T04:01:33.042Z\",\"uptime_s\":0".to_owned(),
        "\"queue\":{\"messages\":22},\"log_lines_dropped\":0".to_owned(),
        "\"totals\":{\"messages_received\":800,".to_owned(),
        "{\"shard\":0,\"cpu\":3,\"messages_received\":300,".to_owned(),
        "{\"shard\":1,\"cpu\":5,\"messages_received\":500,".to_owned(),
    ];
    for part in parts {
        assert!(body.contains(&part), "{part} is not in:\n{body}");
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let (admin, _signals) = start();
    let (head, body) = get(&admin, "/");
    let (missing, _) = get(&admin, "/favicon.ico");
    admin.stop();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/html"), "{head}");
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(body.starts_with("<!doctype html>"));
    assert!(!body.contains("http://") && !body.contains("https://") && !body.contains("src="));
    assert!(missing.starts_with("http/1.1 404"), "{missing}");
}

#[test]
fn the_page_asks_for_figures_that_there_are() {
    let page = include_str!("monitor.html");
    let mut names = 0;
    for (_, rest) in
        page.match_indices("totals.").map(|(at, found)| (at, &page[at + found.len()..]))
    {
        let name =
            rest.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().expect("a word");
        assert!(figures::FIGURES.iter().any(|figure| figure.name == name), "{name}");
        names += 1;
    }
    assert!(names >= 5);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let (admin, _signals) = start();
    let (sender, _other) = mpsc::channel();
    let complaint = Admin::start(admin.address(), monitored(), sender).expect_err("taken");
    assert_eq!(complaint.what, format!("the address {} is in use", admin.address()));
    admin.stop();
}

#[test]
fn more_connections_than_allowed_wait_their_turn() {
    let (admin, _signals) = start();
    let idle: Vec<_> = (0..crate::limits::ADMIN_CONNECTION_COUNT_MAX)
        .map(|_| TcpStream::connect(admin.address()).expect("a connection"))
        .collect();
    let mut last = TcpStream::connect(admin.address()).expect("a connection");
    last.set_read_timeout(Some(Duration::from_millis(300))).expect("an option");
    write!(last, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut first_byte = [0_u8];
    let error = last.read(&mut first_byte).expect_err("it waits");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    drop(idle);
    last.set_read_timeout(Some(Duration::from_secs(10))).expect("an option");
    assert_eq!(last.read(&mut first_byte).expect("its turn"), 1);
    admin.stop();
}

#[test]
fn signals_reach_who_waits_for_them() {
    let (admin, signals) = start();
    let own = rustix::process::getpid();
    let cases = [
        (rustix::process::Signal::HUP, Signal::Reload),
        (rustix::process::Signal::TERM, Signal::Stop),
        (rustix::process::Signal::INT, Signal::Stop),
    ];
    for (signal, meaning) in cases {
        rustix::process::kill_process(own, signal).expect("sent");
        let received = signals.recv_timeout(Duration::from_secs(10)).expect("it arrives");
        assert_eq!(received, meaning);
    }
    admin.stop();
}

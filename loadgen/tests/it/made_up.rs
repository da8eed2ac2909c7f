//! Results that nobody measured, for tests of what is done with results: the figures are made up.

use serde_json::{Value, json};

/// A bench with `runs` runs of each of three servers, of which `ringpost` sends `speed` times the
/// messages that it sends at 1.
pub(crate) fn bench(runs: u32, speed: f64) -> Value {
    let mut mail = Vec::new();
    for (scenario, title, offered) in [
        ("accept-kept", "accept and hold, connections kept", None),
        ("relay", "in and out again, until the sink has all", None),
        ("latency-80", "at 80 % of the most", Some(4_000.0)),
    ] {
        let servers =
            [("ringpost", 9_000.0 * speed), ("made-up <peer>", 2_100.0), ("floor", 30_000.0)];
        let servers: Vec<Value> = servers
            .iter()
            .map(|(server, rate)| {
                let rate = offered.unwrap_or(*rate);
                json!({
                    "server": server,
                    "version": format!("{server} 0.0 (made up)"),
                    "offered_per_second": offered,
                    "runs": (0..runs).map(|run| mail_run(rate, run)).collect::<Vec<_>>(),
                    "counted": (*server == "ringpost").then(|| json!({
                        "system_calls_per_message": 1.25,
                        "ring_entries_per_message": 5.5,
                        "context_switches_per_message": 0.125,
                    })),
                })
            })
            .collect();
        mail.push(json!({
            "scenario": scenario,
            "title": title,
            "servers": servers,
        }));
    }
    let mut results = header("bench");
    for (name, value) in [
        ("message_bytes", json!(2_048)),
        ("connections", json!(20)),
        ("pipelining", json!(true)),
        ("tls", json!("none")),
        ("server_cpus", json!("0")),
        ("generator_cpus", json!("1")),
        ("mail", Value::Array(mail)),
        ("handshakes", json!([handshakes("ringpost")])),
        ("notes", json!(["A note that is made up: perf was not there."])),
        ("idle", json!([idle("ringpost", 3_000), idle("made-up <peer>", 900_000)])),
    ] {
        results[name] = value;
    }
    results
}

/// A source's results, with a pause of the server in the middle.
pub(crate) fn source() -> Value {
    let mut results = header("source");
    for (name, value) in [
        ("run", json!("00000000deadbeef")),
        ("accepted", json!(50_000)),
        ("refused", json!(120)),
        ("recipients_refused", json!(0)),
        ("lost", json!(3)),
        ("unsent", json!(0)),
        ("sent_again", json!(0)),
        ("connections", json!(20)),
        ("connections_failed", json!(1)),
        ("connections_broken", json!(0)),
        ("timeouts", json!(0)),
        (
            "refusals",
            json!([{
                "code": 451, "stage": "RCPT", "count": 120,
                "example": "4.3.0 <script>alert('made up')</script>",
            }]),
        ),
        ("measured_s", json!(12.0)),
        ("measured_messages", json!(50_000)),
        ("messages_per_second", json!(4_166.7)),
        ("bytes_per_second", json!(8_533_000.0)),
        ("offered_per_second", json!(4_200.0)),
        (
            "stages",
            json!({
                "connect": distribution(0.2, 20), "banner": distribution(0.3, 20),
                "tls": null, "ehlo": distribution(0.25, 20), "auth": null,
                "mail": distribution(0.4, 50_000), "rcpt": distribution(0.42, 50_000),
                "data": distribution(0.45, 50_000), "end_of_data": distribution(1.6, 50_000),
                "message": distribution(2.5, 50_000),
                "message_uncorrected": distribution(2.0, 50_000),
            }),
        ),
        ("bytes", json!(102_400_000)),
        ("acknowledged", json!([{"from": 0, "to": 49_999, "recipients": 1}])),
        ("acknowledged_not_kept", json!(0)),
        (
            "steps",
            json!([
                {
                    "begin_s": 0.0, "end_s": 6.0, "offered_per_second": 4_000.0, "accepted": 24_000,
                    "failed": 0, "messages_per_second": 4_000.0,
                    "message": distribution(2.0, 24_000),
                },
                {
                    "begin_s": 6.0, "end_s": 12.0, "offered_per_second": 4_400.0,
                    "accepted": 26_000, "failed": 123, "messages_per_second": 4_333.3,
                    "message": distribution(3.0, 26_400),
                },
            ]),
        ),
        ("timeline", timeline(4_200.0, 12, Some(6))),
    ] {
        results[name] = value;
    }
    results
}

/// A sink's results.
pub(crate) fn sink() -> Value {
    let mut results = header("sink");
    for (name, count) in [
        ("connections", 20),
        ("connections_refused", 2),
        ("connections_dropped", 1),
        ("messages", 50_000),
        ("recipients", 50_000),
        ("bytes", 102_400_000),
        ("unmarked", 0),
        ("not_told_apart", 0),
        ("distinct", 49_999),
        ("duplicates", 1),
    ] {
        results[name] = count.into();
    }
    results["refusals"] = json!([
        {"code": 550, "stage": "RCPT", "count": 7, "example": "5.1.1 No such user, made up"},
    ]);
    results["late_after_s"] = 60.0.into();
    results["delivered"] = json!([{
        "run": "00000000deadbeef",
        "messages": [{"from": 0, "to": 49_998, "recipients": 1}],
        "copies": 1,
        "duplicated": [{"number": 17, "copies": 1}],
        "altered_messages": 2,
        "altered": [23, 42],
        "late_messages": 3,
        "late": [5, 6, 7],
    }]);
    results["domains"] = json!([{"domain": "a.example", "recipients": 50_000, "refused": 7}]);
    results
}

fn header(kind: &str) -> Value {
    json!({
        "kind": kind,
        "version": 1,
        "loadgen": "0.0.0",
        "began_unix_s": 1_795_000_000,
        "command": [kind, "made up", "--for=tests"],
        "machine": {
            "kernel": "0.0-made-up", "cpu": "Made Up CPU", "cpus": 2,
            "memory_bytes": 8_u64 << 30, "load_before": 0.07, "file_system": "ext4",
        },
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count")]
fn whole(figure: f64) -> u64 {
    figure.round() as u64
}

/// From -1 to 1, the same for the same number.
fn noise(number: u32) -> f64 {
    f64::from(number.wrapping_mul(2_654_435_761) >> 16) / 32_768.0 - 1.0
}

fn mail_run(rate: f64, run: u32) -> Value {
    let rate = rate * (1.0 + 0.02 * noise(run + 1));
    let cpu = 700_000.0 / rate * (1.0 + 0.01 * noise(run + 100));
    json!({
        "messages": whole(rate * 5.0),
        "failed": 0,
        "duplicates": 0,
        "messages_per_second": rate,
        "bytes_per_second": rate * 2_048.0,
        "cpu_user_us_per_message": cpu * 0.4,
        "cpu_system_us_per_message": cpu * 0.6,
        "memory_bytes": 40_000_000 + u64::from(run) * 10_000,
        "latency": distribution(9_000.0 / rate * (1.0 + 0.05 * noise(run + 200)), 45_000),
        "end_of_data": distribution(6_000.0 / rate, 45_000),
        "stored": {
            "write_amplification": 1.2, "commit_mean_ms": 0.4, "commit_p50_ms": 0.5,
            "commit_p99_ms": null, "messages_per_commit": 14.5,
        },
        "timeline": timeline(rate, 5, None),
    })
}

fn idle(server: &str, bytes: u64) -> Value {
    json!({
        "server": server,
        "connections": 1_000,
        "memory_before_bytes": 12_000_000,
        "memory_bytes": 12_000_000 + 1_000 * bytes,
        "cpu_us_per_connection": 25.0,
        "cpu_idle_share": 0.001,
    })
}

fn handshakes(server: &str) -> Value {
    json!({
        "server": server,
        "message_rate": 1_000.0,
        "latency_alone": distribution(1.0, 5_000),
        "latency_beside": distribution(4.0, 5_000),
        "handshakes_per_second": 450.0,
        "handshakes_failed": 0,
    })
}

fn distribution(median_ms: f64, count: u64) -> Value {
    // The share s takes a longer time the rarer it is, without end.
    let at = |share: f64| median_ms * (0.8 + 0.2 * (1.0 / (1.0 - share)).log2().powf(1.3));
    let shares = (0..=40).map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 10.0));
    let curve: Vec<Value> = shares.map(|share| json!({"share": share, "ms": at(share)})).collect();
    json!({
        "count": count,
        "mean_ms": median_ms * 1.1,
        "p50_ms": at(0.5),
        "p90_ms": at(0.9),
        "p99_ms": at(0.99),
        "p99_9_ms": at(0.999),
        "max_ms": at(0.9999),
        "curve": curve,
    })
}

fn timeline(rate: f64, seconds: u32, pause: Option<u32>) -> Value {
    let second = |second: u32| {
        let paused = pause == Some(second);
        let accepted = rate * (1.0 + 0.04 * noise(second + 300));
        json!({
            "second": second,
            "accepted": if paused { 0 } else { whole(accepted) },
            "failed": if paused { 120 } else { 0 },
            "p50_ms": if paused { 600.0 } else { 2.0 },
            "p99_ms": if paused { 990.0 } else { 4.0 + noise(second + 400) },
            "in_flight": if paused { 4_000 } else { 12 },
        })
    };
    (0..seconds).map(second).collect()
}

//! Results for people.

use std::fmt::Write as _;

use crate::console::{grouped, rounded};
use crate::results::{Distribution, SourceResults};

/// The results of a source for people.
pub(crate) fn text(results: &SourceResults) -> String {
    let mut text = head(results);
    let mut faults = Vec::new();
    for (count, name) in [
        (results.refused, "refused"),
        (results.lost, "lost"),
        (results.unsent, "not sent"),
        (results.sent_again, "sent again"),
        (results.recipients_refused, "recipients refused of accepted messages"),
        (results.connections_failed, "connections failed"),
        (results.connections_broken, "connections broken"),
        (results.timeouts, "replies too late"),
    ] {
        if count > 0 {
            faults.push(format!("{} {name}", grouped(count)));
        }
    }
    if !faults.is_empty() {
        let _ = write!(text, "\n{}", faults.join(", "));
    }
    for refusal in &results.refusals {
        let (code, stage, count) = (refusal.code, &refusal.stage, grouped(refusal.count));
        // What has no code is no reply, but what kept this side from going on.
        let code = if code == 0 { String::new() } else { format!("{code} ") };
        let _ = write!(text, "\n  {code}at {stage}: {count} (the first: {})", refusal.example);
    }
    text.push_str(&stages(results));
    text.push_str(&steps(results));
    text
}

fn head(results: &SourceResults) -> String {
    let accepted = grouped(results.accepted);
    let left_out = results.accepted - results.measured_messages;
    let mut text = format!("accepted {accepted} messages");
    if left_out > 0 {
        let _ =
            write!(text, "; without warm-up and cool-down {}", grouped(results.measured_messages));
    }
    let _ = write!(
        text,
        " in {:.2} s: {} messages/s, {:.1} MB/s",
        results.measured_s,
        rounded(results.messages_per_second),
        results.bytes_per_second / 1e6,
    );
    if let Some(offered) = results.offered_per_second {
        let _ = write!(text, " of {} messages/s offered", rounded(offered));
    }
    text
}

fn stages(results: &SourceResults) -> String {
    let stages = &results.stages;
    let is_open = stages.message_uncorrected.is_some();
    let rows = [
        (if is_open { "message, from when due" } else { "message" }, &stages.message),
        ("message, from when begun", &stages.message_uncorrected),
        ("connect", &stages.connect),
        ("greeting", &stages.banner),
        ("TLS handshake", &stages.tls),
        ("EHLO", &stages.ehlo),
        ("AUTH", &stages.auth),
        ("MAIL", &stages.mail),
        ("RCPT", &stages.rcpt),
        ("DATA", &stages.data),
        ("end of data to 250", &stages.end_of_data),
    ];
    let mut text = String::new();
    for (name, row) in rows {
        let Some(Distribution { count, p50_ms, p90_ms, p99_ms, p99_9_ms, max_ms, .. }) = row else {
            continue;
        };
        if text.is_empty() {
            let _ = write!(
                text,
                "\n{:<25}{:>11}{:>10}{:>10}{:>10}{:>10}{:>10}",
                "milliseconds", "count", "p50", "p90", "p99", "p99.9", "max"
            );
        }
        let _ = write!(
            text,
            "\n{name:<25}{:>11}{p50_ms:>10.3}{p90_ms:>10.3}{p99_ms:>10.3}{p99_9_ms:>10.3}\
             {max_ms:>10.3}",
            grouped(*count)
        );
    }
    text
}

fn steps(results: &SourceResults) -> String {
    let mut text = String::new();
    if !results.steps.is_empty() {
        let _ = write!(
            text,
            "\n{:<25}{:>11}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "steps, messages/s offered", "accepted", "failed", "/s", "p50 ms", "p99 ms", "max ms"
        );
    }
    for step in &results.steps {
        let name = format!("{} from {} s", rounded(step.offered_per_second), rounded(step.begin_s));
        let latency = |of: fn(&Distribution) -> f64| {
            step.message.as_ref().map_or_else(|| "-".to_owned(), |all| format!("{:.3}", of(all)))
        };
        let _ = write!(
            text,
            "\n{name:<25}{:>11}{:>10}{:>10}{:>10}{:>10}{:>10}",
            grouped(step.accepted),
            grouped(step.failed),
            rounded(step.messages_per_second),
            latency(|all| all.p50_ms),
            latency(|all| all.p99_ms),
            latency(|all| all.max_ms),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::pace::{Arrivals, Schedule};
    use super::super::report::{Run, Tally, Timed, Window};
    use super::super::supply::Progress;
    use super::*;
    use crate::client::Stage;
    use crate::machine;
    use crate::reply::Code;
    use crate::results::Kind;

    #[test]
    fn an_open_loop_is_told_with_its_steps() {
        let second = Duration::from_secs(1);
        let schedule = Schedule::steps(&[(2.0, second), (1_000.0, second)], Arrivals::Even);
        let progress = Progress::new(None, None, Some(schedule));
        let begin = progress.begin;
        let mut tally = Tally::new(Window { from: begin + second, until: None }, &progress);
        tally.note_accepted(500_000, begin);
        tally.note_accepted(500_000, begin + 2 * second);
        let due = begin + second;
        tally.record(Timed::Message, due, due + Duration::from_millis(250));
        tally.record_uncorrected(due, due, due + Duration::from_millis(125));
        tally.note_step_accepted(Some(1), Some(1), Duration::from_millis(250));
        tally.refused = 1_234;
        tally.note_refusal(Stage::Mail, Code(451), b"4.3.2 later");
        let header = machine::header(Kind::Source, None).unwrap();
        let ended = begin + 2 * second;
        let run = Run { header, id: 1, progress: &progress, ended, timeline: Vec::new() };
        let told = text(&tally.results(run));
        let wanted = "\
accepted 2 messages; without warm-up and cool-down 1 in 1.00 s: 1 messages/s, 0.5 MB/s of \
1,000 messages/s offered
1,234 refused
  451 at MAIL: 1 (the first: 4.3.2 later)
milliseconds                   count       p50       p90       p99     p99.9       max
message, from when due             1   250.111   250.111   250.111   250.111   250.111
message, from when begun           1   125.055   125.055   125.055   125.055   125.055
steps, messages/s offered   accepted    failed        /s    p50 ms    p99 ms    max ms
2 from 0 s                         0         0         0         -         -         -
1,000 from 1 s                     1         0         1   250.111   250.111   250.111";
        assert_eq!(told, wanted);
    }
}

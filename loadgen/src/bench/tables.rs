//! The bench's figures as tables: medians of the runs, beside the lowest and the highest.

use super::table::Table;
use crate::console::{grouped, rounded};
use crate::results::{
    Distribution, HandshakeResult, IdleResult, MailResult, MailRun, ServerRuns, StoredRun,
};
use crate::stats::Spread;

/// Whom the others are compared with.
const OURS: &str = "ringpost";

/// What is not known.
const NONE: &str = "-";

/// All tables of a scenario with mail.
pub(super) fn mail(result: &MailResult) -> Vec<Table> {
    if result.servers.iter().any(|server| server.offered_per_second.is_some()) {
        vec![latencies(result)]
    } else {
        vec![rates(result), costs(result)]
    }
}

fn rates(result: &MailResult) -> Table {
    let head =
        ["", "messages/s", "lowest–highest", "MB/s", "CPU µs", "p50 ms", "p99 ms", "memory MiB"];
    let mut table = Table::new(title(result), &head);
    for server in &result.servers {
        let rate = spread(server, rate);
        table.rows.push(vec![
            server.server.clone(),
            rounded(rate.median),
            format!("{}–{}", rounded(rate.min), rounded(rate.max)),
            format!("{:.1}", spread(server, |run| run.bytes_per_second).median / 1e6),
            format!("{:.1}", spread(server, MailRun::cpu_us_per_message).median),
            known(of_latency(server, |it| it.p50_ms), 2),
            known(of_latency(server, |it| it.p99_ms), 2),
            mebibytes(spread(server, |run| run.memory_bytes as f64).median),
        ]);
    }
    add_ratios(&mut table, &result.servers);
    table.remarks.extend(result.servers.iter().filter_map(faults));
    table
}

/// How many times as fast ours is, and how many times as much CPU the other one takes.
fn add_ratios(table: &mut Table, servers: &[ServerRuns]) {
    let Some(ours) = servers.iter().find(|server| server.server == OURS) else { return };
    let mut any = false;
    for other in servers.iter().filter(|server| server.server != OURS) {
        let rate = spread(ours, rate).median / spread(other, rate).median;
        // Of few messages a server may take less than a tick of the clock that CPU is told in.
        let (own_us, other_us) = (
            spread(ours, MailRun::cpu_us_per_message).median,
            spread(other, MailRun::cpu_us_per_message).median,
        );
        let cpu = if own_us > 0.0 { ratio(other_us / own_us) } else { NONE.to_owned() };
        let mut row = vec![format!("to {}", other.server), ratio(rate), String::new()];
        row.extend([String::new(), cpu]);
        row.resize(table.head.len(), String::new());
        table.rows.push(row);
        any = true;
    }
    if any {
        table.remarks.push(format!(
            "to …: {OURS}'s messages/s divided by the other's; the other's CPU divided by {OURS}'s"
        ));
    }
}

fn costs(result: &MailResult) -> Table {
    let head = [
        "of a message",
        "user µs",
        "system µs",
        "system calls",
        "ring entries",
        "switches",
        "commit ms",
        "in a commit",
        "written/byte",
    ];
    let mut table = Table::new(format!("{}: what a message costs", result.title), &head);
    for server in &result.servers {
        let counted =
            |of: fn(&crate::results::CountedRun) -> f64| known(server.counted.as_ref().map(of), 2);
        table.rows.push(vec![
            server.server.clone(),
            format!("{:.1}", spread(server, |run| run.cpu_user_us_per_message).median),
            format!("{:.1}", spread(server, |run| run.cpu_system_us_per_message).median),
            counted(|it| it.system_calls_per_message),
            counted(|it| it.ring_entries_per_message),
            counted(|it| it.context_switches_per_message),
            known(of_stored(server, |it| it.commit_mean_ms), 3),
            known(of_stored(server, |it| it.messages_per_commit), 1),
            known(of_stored(server, |it| it.write_amplification), 2),
        ]);
    }
    table
}

fn latencies(result: &MailResult) -> Table {
    let head = [
        "",
        "due/s",
        "messages/s",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "CPU µs",
        "memory MiB",
    ];
    let mut table = Table::new(title(result), &head);
    for server in &result.servers {
        let latency = |of: fn(&Distribution) -> f64| known(of_latency(server, of), 2);
        table.rows.push(vec![
            server.server.clone(),
            server.offered_per_second.map_or_else(|| NONE.to_owned(), rounded),
            rounded(spread(server, rate).median),
            latency(|it| it.p50_ms),
            latency(|it| it.p90_ms),
            latency(|it| it.p99_ms),
            latency(|it| it.p99_9_ms),
            latency(|it| it.max_ms),
            format!("{:.1}", spread(server, MailRun::cpu_us_per_message).median),
            mebibytes(spread(server, |run| run.memory_bytes as f64).median),
        ]);
    }
    table.remarks.extend(result.servers.iter().filter_map(faults));
    table
}

/// Memory of all servers.
pub(super) fn idle(results: &[IdleResult]) -> Table {
    let head = [
        "",
        "connections",
        "idle MiB",
        "with them MiB",
        "bytes of each",
        "CPU µs to open",
        "idle CPU %",
    ];
    let title = "Idle connections (memory: proportional set size of all processes)";
    let mut table = Table::new(title.to_owned(), &head);
    for result in results {
        let more = result.memory_bytes.saturating_sub(result.memory_before_bytes);
        table.rows.push(vec![
            result.server.clone(),
            grouped(u64::from(result.connections)),
            mebibytes(result.memory_before_bytes as f64),
            mebibytes(result.memory_bytes as f64),
            grouped(more / u64::from(result.connections.max(1))),
            format!("{:.1}", result.cpu_us_per_connection),
            format!("{:.2}", result.cpu_idle_share * 100.0),
        ]);
    }
    table
}

/// Mail alone and beside handshakes.
pub(super) fn handshakes(results: &[HandshakeResult]) -> Table {
    let head = [
        "",
        "messages/s",
        "alone p50 ms",
        "p99 ms",
        "max ms",
        "handshakes/s",
        "beside p50 ms",
        "p99 ms",
        "max ms",
        "failed",
    ];
    let title = "Mail at a steady rate over plain connections, alone and beside TLS handshakes";
    let mut table = Table::new(title.to_owned(), &head);
    for result in results {
        let figures = |latency: &Option<Distribution>| {
            let of = |of: fn(&Distribution) -> f64| known(latency.as_ref().map(of), 2);
            [of(|it| it.p50_ms), of(|it| it.p99_ms), of(|it| it.max_ms)]
        };
        let mut row = vec![result.server.clone(), rounded(result.message_rate)];
        row.extend(figures(&result.latency_alone));
        row.push(rounded(result.handshakes_per_second));
        row.extend(figures(&result.latency_beside));
        row.push(grouped(result.handshakes_failed));
        table.rows.push(row);
    }
    table
}

fn title(result: &MailResult) -> String {
    let runs = result.servers.iter().map(|server| server.runs.len()).max().unwrap_or(0);
    match runs {
        1 => result.title.clone(),
        runs => format!("{} (median of {runs} runs)", result.title),
    }
}

fn faults(server: &ServerRuns) -> Option<String> {
    let failed: u64 = server.runs.iter().map(|run| run.failed).sum();
    let duplicates: u64 = server.runs.iter().map(|run| run.duplicates).sum();
    let text = format!("{}: {failed} failed, {duplicates} duplicates", server.server);
    (failed + duplicates > 0).then_some(text)
}

const fn rate(run: &MailRun) -> f64 {
    run.messages_per_second
}

fn spread(server: &ServerRuns, figure: impl Fn(&MailRun) -> f64) -> Spread {
    Spread::of(server.runs.iter().map(figure).collect())
}

fn of_latency(server: &ServerRuns, figure: impl Fn(&Distribution) -> f64) -> Option<f64> {
    let of_run = |run: &MailRun| Some(figure(run.latency.as_ref()?));
    Spread::median(server.runs.iter().filter_map(of_run).collect())
}

fn of_stored(server: &ServerRuns, figure: impl Fn(&StoredRun) -> Option<f64>) -> Option<f64> {
    let of_run = |run: &MailRun| figure(run.stored.as_ref()?);
    Spread::median(server.runs.iter().filter_map(of_run).collect())
}

fn known(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(|| NONE.to_owned(), |figure| format!("{figure:.digits$}"))
}

fn ratio(figure: f64) -> String {
    if figure.is_finite() { format!("{figure:.1}x") } else { NONE.to_owned() }
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.1}", bytes / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, rates: &[f64]) -> ServerRuns {
        let runs = rates.iter().map(|rate| MailRun {
            messages: 10,
            failed: 0,
            duplicates: 0,
            messages_per_second: *rate,
            bytes_per_second: rate * 2e3,
            cpu_user_us_per_message: 4e5 / rate,
            cpu_system_us_per_message: 6e5 / rate,
            memory_bytes: 3 << 20,
            latency: None,
            end_of_data: None,
            stored: None,
            timeline: Vec::new(),
        });
        ServerRuns {
            server: name.to_owned(),
            version: None,
            offered_per_second: None,
            runs: runs.collect(),
            counted: None,
        }
    }

    fn result(servers: Vec<ServerRuns>) -> MailResult {
        MailResult { scenario: "relay".to_owned(), title: "In and out".to_owned(), servers }
    }

    #[test]
    fn a_table_has_medians_ranges_and_a_ratio_for_each_other_server() {
        let ours = server("ringpost", &[9_000.0, 10_000.0, 12_000.0]);
        let others = [server("postfix", &[1_000.0; 3]), server("floor", &[20_000.0; 3])];
        let tables = mail(&result([ours].into_iter().chain(others).collect()));
        let text = tables[0].text();
        for part in
            ["median of 3", "10,000", "9,000–12,000", "100.0", "to postfix", "10.0x", "0.5x"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(tables[1].text().contains("40.0"), "{}", tables[1].text());
    }

    #[test]
    fn faults_are_shown() {
        let mut faulty = server("postfix", &[1_000.0]);
        faulty.runs[0].failed = 3;
        let text = mail(&result(vec![faulty]))[0].text();
        assert!(text.contains("3 failed"), "{text}");
        assert!(!text.contains("to postfix"), "{text}");
    }

    #[test]
    fn with_a_rate_the_table_is_of_latencies() {
        let mut slow = server("postfix", &[500.0]);
        slow.offered_per_second = Some(800.0);
        let tables = mail(&result(vec![slow]));
        let text = tables[0].text();
        assert_eq!(tables.len(), 1);
        assert!(text.contains("p99.9 ms") && text.contains("800") && text.contains('-'), "{text}");
    }
}

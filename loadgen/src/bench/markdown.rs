//! The whole bench as Markdown, for a page.

use std::fmt::Write as _;

use super::tables;
use crate::console::grouped;
use crate::results::BenchResults;

/// What was measured, where, and all tables.
pub(crate) fn markdown(results: &BenchResults) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(text, "{}\n\n", head(results).replace('\n', "\\\n"));
    let versions = versions(results);
    if !versions.is_empty() {
        let _ = write!(text, "Versions: {}.\n\n", versions.join(", "));
    }
    let _ = write!(text, "```console\n$ loadgen {}\n```\n", results.header.command.join(" "));
    for table in results.mail.iter().flat_map(tables::mail) {
        let _ = write!(text, "\n{}", table.markdown());
    }
    if !results.idle.is_empty() {
        let _ = write!(text, "\n{}", tables::idle(&results.idle).markdown());
    }
    if !results.handshakes.is_empty() {
        let _ = write!(text, "\n{}", tables::handshakes(&results.handshakes).markdown());
    }
    if !results.notes.is_empty() {
        text.push_str("\n### What is missing\n\n");
        for note in &results.notes {
            let _ = writeln!(text, "- {note}");
        }
    }
    text
}

/// What was measured and where, in two lines.
pub(super) fn head(results: &BenchResults) -> String {
    let machine = &results.header.machine;
    let file_system = machine.file_system.as_deref().unwrap_or("unknown");
    format!(
        "{} bytes a message, {} connections, pipelining {}, TLS {}; server on CPU {}, source and \
         sink on CPU {}\n{} CPUs {}, {:.1} GiB, Linux {}, spool on {file_system}; load before \
         {:.2}",
        grouped(results.message_bytes),
        results.connections,
        if results.pipelining { "on" } else { "off" },
        results.tls,
        results.server_cpus,
        results.generator_cpus,
        machine.cpus,
        machine.cpu,
        machine.memory_bytes as f64 / f64::from(1 << 30),
        machine.kernel,
        machine.load_before,
    )
}

fn versions(results: &BenchResults) -> Vec<String> {
    let mut versions: Vec<String> = Vec::new();
    for server in results.mail.iter().flat_map(|mail| &mail.servers) {
        let Some(version) = &server.version else { continue };
        let text = format!("{} {version}", server.server);
        if !versions.contains(&text) {
            versions.push(text);
        }
    }
    versions
}

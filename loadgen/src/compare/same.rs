//! Whether two sides were measured in the same way, without which a comparison means nothing.

use std::io;
use std::path::Path;

use crate::results::{AnyResults, BenchResults};

/// From which share of its CPUs on a machine was busy with something else.
const LOAD_SHARE: f64 = 0.5;

/// Options that say where results go, not what is done.
const OPTIONS_OF_OUTPUT: [&str; 7] =
    ["--json", "--html", "--markdown", "--acked", "--ids", "--run", "--directory"];

/// What a user should know of the two sides.
///
/// # Errors
/// They do different work, or on different machines unless `any_machine`.
pub(super) fn check(
    a: &[AnyResults],
    b: &[AnyResults],
    any_machine: bool,
) -> io::Result<Vec<String>> {
    let mut warnings = Vec::new();
    let all: Vec<&AnyResults> = a.iter().chain(b).collect();
    let Some((first, rest)) = all.split_first() else {
        return Err(io::Error::other("there is nothing to compare"));
    };
    for other in rest {
        check_work(first, other, &mut warnings)?;
        check_machine(first, other, any_machine, &mut warnings)?;
    }
    for (name, side) in [("A", a), ("B", b)] {
        for results in side {
            let machine = &results.header().machine;
            if machine.load_before >= LOAD_SHARE * f64::from(machine.cpus) {
                warnings.push(format!(
                    "the load average was {:.2} when {name} began: others were at work",
                    machine.load_before
                ));
            }
        }
    }
    warnings.dedup();
    Ok(warnings)
}

fn check_work(one: &AnyResults, other: &AnyResults, warnings: &mut Vec<String>) -> io::Result<()> {
    match (one, other) {
        (AnyResults::Bench(one), AnyResults::Bench(other)) => check_bench(one, other),
        (AnyResults::Source(one), AnyResults::Source(other)) => {
            let [first, second] =
                [&one.header.command, &other.header.command].map(|words| work(words));
            if first != second {
                warn(
                    warnings,
                    format!(
                        "the sources were told different things: `{}` and `{}`",
                        first.join(" "),
                        second.join(" ")
                    ),
                );
            }
            Ok(())
        }
        (AnyResults::Sink(_), _) | (_, AnyResults::Sink(_)) => {
            Err(io::Error::other("results of a sink have no figures to compare"))
        }
        (one, other) => Err(io::Error::other(format!(
            "results of {} and of {} cannot be compared",
            one.header().kind.name(),
            other.header().kind.name()
        ))),
    }
}

fn check_bench(one: &BenchResults, other: &BenchResults) -> io::Result<()> {
    let settings = |it: &BenchResults| {
        [
            ("bytes a message", it.message_bytes.to_string()),
            ("connections", it.connections.to_string()),
            ("pipelining", it.pipelining.to_string()),
            ("TLS", it.tls.clone()),
            ("CPUs of the server", it.server_cpus.clone()),
            ("CPUs of the source and the sink", it.generator_cpus.clone()),
        ]
    };
    for ((name, first), (_, second)) in settings(one).into_iter().zip(settings(other)) {
        if first != second {
            return Err(io::Error::other(format!(
                "the benches cannot be compared: {name} are {first} and {second}"
            )));
        }
    }
    Ok(())
}

fn check_machine(
    one: &AnyResults,
    other: &AnyResults,
    any_machine: bool,
    warnings: &mut Vec<String>,
) -> io::Result<()> {
    let (one, other) = (&one.header().machine, &other.header().machine);
    if (&one.cpu, one.cpus) != (&other.cpu, other.cpus) {
        let difference = format!(
            "the machines differ: {} CPUs {} and {} CPUs {}",
            one.cpus, one.cpu, other.cpus, other.cpu
        );
        if !any_machine {
            return Err(io::Error::other(format!(
                "{difference}; with --any-machine they are compared nevertheless"
            )));
        }
        warn(warnings, difference);
    }
    if one.kernel != other.kernel {
        warn(warnings, format!("the kernels differ: {} and {}", one.kernel, other.kernel));
    }
    if one.file_system != other.file_system {
        let [first, second] = [one, other].map(|it| it.file_system.as_deref().unwrap_or("unknown"));
        warn(warnings, format!("the file systems differ: {first} and {second}"));
    }
    Ok(())
}

fn warn(warnings: &mut Vec<String>, warning: String) {
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
}

/// A command line without what says where results go, and without the target's address, which
/// differs whenever a test starts its server anew.
fn work(command: &[String]) -> Vec<&str> {
    let mut words = Vec::new();
    let mut skip = false;
    for word in command {
        let option = word.split('=').next().unwrap_or(word);
        if skip {
            skip = false;
        } else if OPTIONS_OF_OUTPUT.contains(&option) {
            skip = !word.contains('=');
        } else if word != "--quiet" && !is_address(word) {
            words.push(word.as_str());
        }
    }
    words
}

fn is_address(word: &str) -> bool {
    let port = word.rsplit_once(':').map(|(_, port)| port);
    port.is_some_and(|port| port.parse::<u16>().is_ok()) && !Path::new(word).is_absolute()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_done_counts() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let one = words("source 127.0.0.1:2525 --json a.json --size 100 --quiet");
        let other = words("source localhost:9999 --size 100 --json=b.json --acked x");
        assert_eq!(work(&one), ["source", "--size", "100"]);
        assert_eq!(work(&one), work(&other));
    }
}

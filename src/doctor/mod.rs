//! `ringpost doctor`: whether this host is as the server wants it, by one table.
//!
//! | part | what |
//! | --- | --- |
//! | `table` | what should be so, why, how one knows, and what mends it |
//! | `probe`, `measure` | looking at the host |
//! | `found` | what was found, and whether it is as wanted |
//! | `report` | for people and for programs |
//! | `guide` | the tables and the `sysctl.d` file of `tuning/` (a test) |
//!
//! # Guarantees
//! Every entry of the table is in the JSON, whatever was found. What cannot be told is said so, and
//! is neither well nor ill.
//!
//! # Never
//! Changes a setting. It writes to the spool's file system, in a directory of its own that it
//! removes, and it sends questions to the name servers of the configuration. It connects to hosts
//! only where [`Examination::port_25`] names them.
//!
//! # Bounds
//! The waits and sizes that begin with `DOCTOR_` in [`crate::limits`].

mod ask;
mod found;
#[cfg(test)]
mod guide;
mod host;
mod measure;
mod probe;
mod report;
mod table;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::path::PathBuf;

use crate::config::{Config, HostFacts};

use self::found::{Found, Item};
use self::host::Host;
use self::table::{Remedy, Setting, Weight, settings};

pub use self::report::Form;

/// What to look at besides the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// Whether commits, the clock and the name servers are measured.
    pub measures: bool,
    /// Hosts whose port 25 is tried.
    pub port_25: Vec<String>,
}

/// What came of it.
#[derive(Debug)]
pub struct Diagnosis {
    host: Host,
    findings: Vec<Finding>,
}

/// An entry of the table, and what was found of it.
#[derive(Debug)]
struct Finding {
    setting: &'static Setting,
    found: Found,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// As wanted.
    Well,
    /// Otherwise, and the entry has this weight.
    Ill(Weight),
    /// There is nothing to judge on this host.
    NotHere,
    CannotTell,
}

/// Looks at this host with the eyes of a server that `config` was read for.
pub fn examine(config: Config, facts: HostFacts, examination: Examination) -> Diagnosis {
    let root = PathBuf::from("/");
    let Examination { measures, port_25 } = examination;
    let (commits, mount) = (OnceCell::new(), OnceCell::new());
    let ask = ask::run;
    diagnose(Host { root, config, facts, ask, measures, port_25, commits, mount })
}

fn diagnose(host: Host) -> Diagnosis {
    let findings = settings().map(|setting| Finding::of(setting, &host)).collect();
    Diagnosis { host, findings }
}

impl Diagnosis {
    /// 0 all well, 1 advice, 2 the server cannot run.
    pub fn exit_status(&self) -> u8 {
        let of_one = |finding: &Finding| match finding.verdict {
            Verdict::Ill(Weight::Required) => 2,
            Verdict::Ill(Weight::Advice) => 1,
            Verdict::Ill(Weight::Note) | Verdict::Well | Verdict::NotHere | Verdict::CannotTell => {
                0
            }
        };
        self.findings.iter().map(of_one).max().unwrap_or(0)
    }
}

impl Finding {
    fn of(setting: &'static Setting, host: &Host) -> Self {
        let found = probe::find(setting.probe, host);
        let verdict = match &found {
            Found::Values(items) => {
                let ill = items.iter().any(|item| !is_well(setting, item, host));
                if ill { Verdict::Ill(setting.weight) } else { Verdict::Well }
            }
            Found::NotHere(_) => Verdict::NotHere,
            Found::Unknown(_) => Verdict::CannotTell,
        };
        Self { setting, found, verdict }
    }

    /// What mends it on this host.
    fn remedy(&self, host: &Host) -> String {
        self.filled(&remedy(self.setting, &self.setting.wanted.to_set(host)), host)
    }

    /// `text` with what the words in braces stand for on this host.
    fn filled(&self, text: &str, host: &Host) -> String {
        fill(text, |word| {
            Some(match word {
                "items" => self.items_to_mend(host).join(" "),
                "wanted" => self.setting.wanted.to_set(host),
                "spool" => host.config.spool.path.display().to_string(),
                "mount" => probe::disk::mount(host).map_or_else(
                    |_| host.spool_place().display().to_string(),
                    |mount| mount.point.clone(),
                ),
                "shards" => host.config.shards.cpus.to_string(),
                _ => return None,
            })
        })
    }

    /// The CPUs, interfaces or disks that are not as wanted, or all if all are.
    fn items_to_mend(&self, host: &Host) -> Vec<String> {
        let Found::Values(items) = &self.found else { return Vec::new() };
        let is_well_as_a_whole = self.verdict == Verdict::Well;
        let chosen =
            items.iter().filter(|item| is_well_as_a_whole || !is_well(self.setting, item, host));
        chosen.filter_map(|item| item.of.clone()).collect()
    }
}

/// What cannot be compared with the wanted value is not as wanted.
fn is_well(setting: &Setting, item: &Item, host: &Host) -> bool {
    setting.wanted.is_met(&item.value, host) == Some(true)
}

/// What mends `setting`, with `value` to set, the words in braces as they are.
fn remedy(setting: &Setting, value: &str) -> String {
    match setting.apply {
        Remedy::Sysctl | Remedy::SysctlIfThere => {
            let quote = if value.contains(' ') { "\"" } else { "" };
            format!("sysctl -w {}={quote}{value}{quote}", setting.id)
        }
        Remedy::Command(command) => command.to_owned(),
        Remedy::MountOption(option) => {
            format!("{option} as the options of {{mount}} in /etc/fstab; then mount it anew")
        }
        Remedy::UnitDirective(line) => format!("{line} in the systemd unit or slice"),
        Remedy::BootParameter(parameter) => format!("boot {parameter}"),
        Remedy::Configuration(line) => format!("in the configuration: {line}"),
        Remedy::Advice(advice) => advice.to_owned(),
    }
}

/// `text` with each `{word}` replaced by what `meaning` gives for it.
fn fill(text: &str, meaning: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        filled.push_str(before);
        match behind.split_once('}').and_then(|(word, after)| Some((meaning(word)?, after))) {
            Some((value, after)) => {
                filled.push_str(&value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = behind;
            }
        }
    }
    filled.push_str(rest);
    filled
}

//! How the shards lie on the CPUs.

use super::{Probe, Remedy, Section, Setting, Wanted, Weight, Worth};

pub(super) const SETTINGS: &[Setting] = &[Setting {
    id: "cpu.governor",
    section: Section::Cpu,
    title: "Frequency governor of the shards' CPUs",
    probe: Probe::EachCpu("cpufreq/scaling_governor"),
    wanted: Wanted::Is("performance"),
    weight: Weight::Advice,
    why: "A shard sleeps between messages, and a governor that follows the load lets it wake up \
          slow.",
    worth: &[Worth::Source {
        name: "Linux, Documentation/admin-guide/pm/cpufreq.rst",
        place: "Generic Scaling Governors, performance",
    }],
    apply: Remedy::Command("cpupower frequency-set -g performance"),
    undo: "cpupower frequency-set -g with the governor that was found",
}];

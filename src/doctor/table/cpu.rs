//! How the shards lie on the CPUs.

use super::{Look, Probe, Remedy, Section, Setting, Wanted, Weight, Worth};
use crate::doctor::host::Host;

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        id: "cpu.governor",
        section: Section::Cpu,
        title: "Frequency governor of the shards' CPUs",
        probe: Probe::EachCpu("cpufreq/scaling_governor"),
        wanted: Wanted::Is("performance"),
        weight: Weight::Advice,
        why: "A shard sleeps between messages, and a governor that follows the load lets it wake \
              up slow.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/admin-guide/pm/cpufreq.rst",
            place: "Generic Scaling Governors, performance",
        }],
        apply: Remedy::Command("tuning/apply apply --only sys"),
        undo: "tuning/apply undo, or the governor that was found into the same files",
    },
    Setting {
        id: "cpu.beside-shards",
        section: Section::Cpu,
        title: "CPUs without a shard, where there are four shards or more",
        probe: Probe::Look(Look::CpusBesideShards),
        wanted: Wanted::AtLeastFor(cpus_beside, "1 where there are four shards or more"),
        weight: Weight::Note,
        why: "The control thread moves there, and password checks, the resolver and the rest of \
              the host have a place that is no shard's.",
        worth: &[Worth::Measured {
            command: "tuning/measure cpu-shared",
            result: "rate and p99 with and without a busy process on the CPU of the shard",
        }],
        apply: Remedy::Configuration("[shards] cpus = \"1-15\" on a host with 16 CPUs"),
        undo: "take the line out of the configuration",
    },
    Setting {
        id: "cpu.shared-cores",
        section: Section::Cpu,
        title: "Shards that share a core (SMT)",
        probe: Probe::Look(Look::ShardsOnSharedCores),
        wanted: Wanted::AtMost(0),
        weight: Weight::Note,
        why: "Two shards on the two threads of a core share its caches and units. Compare both \
              ways with loadgen bench accept --server-cpus: the second thread may bring less than \
              its connections cost.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/networking/scaling.rst",
            place: "Suggested Configuration: \"for interrupt handling, HT has shown no benefit \
                        in initial tests\"",
        }],
        apply: Remedy::Configuration(
            "[shards] cpus with one thread of each core, as \
                 /sys/devices/system/cpu/cpu0/topology/thread_siblings_list names them",
        ),
        undo: "take the line out of the configuration",
    },
    Setting {
        id: "cpu.memory-nodes",
        section: Section::Cpu,
        title: "Memory nodes of the shards' CPUs",
        probe: Probe::Look(Look::MemoryNodesOfShards),
        wanted: Wanted::AtMost(1),
        weight: Weight::Note,
        why: "Sockets and spool buffers lie where the interface and the disk are attached; a shard \
              on the other node reaches them over the link between the nodes.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/mm/numa.rst",
            place: "What is NUMA?: access to memory of another cell takes longer",
        }],
        apply: Remedy::Configuration(
            "[shards] cpus with the CPUs of the interface's node: cat \
                 /sys/class/net/eth0/device/local_cpulist",
        ),
        undo: "take the line out of the configuration",
    },
    Setting {
        id: "cpu.isolated",
        section: Section::Cpu,
        title: "Shards' CPUs that are isolated",
        probe: Probe::Look(Look::ShardsOnIsolatedCpus),
        wanted: Wanted::AtMost(0),
        weight: Weight::Note,
        why: "The scheduler balances nothing onto or off an isolated CPU, and with nohz_full each \
              entry into the kernel costs more; a shard enters it thousands of times a second.",
        worth: &[
            Worth::Source {
                name: "Linux, Documentation/timers/no_hz.rst",
                place: "\"The user/kernel transitions are slightly more expensive\"",
            },
            Worth::Source {
                name: "Linux, Documentation/admin-guide/kernel-parameters.txt",
                place: "isolcpus: deprecated, use cpusets instead",
            },
        ],
        apply: Remedy::BootParameter("without isolcpus= and nohz_full= for the CPUs of the shards"),
        undo: "the parameters as they were",
    },
    Setting {
        id: "cpu.sleep-states",
        section: Section::Cpu,
        title: "Longest wake-up of a shard's CPU, in microseconds",
        probe: Probe::Look(Look::SleepStates),
        wanted: Wanted::AtMost(100),
        weight: Weight::Note,
        why: "A quiet shard sleeps between messages, and the first one waits for the CPU to wake \
              up, on top of a commit of 100 microseconds or so. A busy shard does not sleep.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/admin-guide/pm/cpuidle.rst",
            place: "Idle States Control and Power Management Quality of Service",
        }],
        apply: Remedy::Command("tuned-adm profile latency-performance"),
        undo: "tuned-adm off",
    },
    Setting {
        id: "cpu.stolen",
        section: Section::Cpu,
        title: "CPU time that the hypervisor gave to others, in percent",
        probe: Probe::Look(Look::StolenTime),
        wanted: Wanted::AtMost(1),
        weight: Weight::Note,
        why: "It is missing where it falls: all sessions of a shard wait meanwhile. No setting of \
              this host brings it back.",
        worth: &[Worth::Source { name: "proc_stat(5)", place: "steal" }],
        apply: Remedy::Advice("ask the provider for CPUs of your own"),
        undo: "nothing was changed",
    },
];

/// CPUs beyond those of the shards: a small host has none to give.
fn cpus_beside(host: &Host) -> u64 {
    u64::from(host.shards() >= 4)
}

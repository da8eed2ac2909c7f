//! Memory of the host.

use super::{Look, Probe, Remedy, Section, Setting, Wanted, Weight, Worth};

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        id: "memory.for-server",
        section: Section::Memory,
        title: "Memory for the server, in percent of limits.memory_max_bytes",
        probe: Probe::Look(Look::MemoryForServer),
        wanted: Wanted::AtLeast(100),
        weight: Weight::Advice,
        why: "Otherwise the kernel or the control group ends the server, or lets it wait, before \
              it has begun to answer 452.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/admin-guide/cgroup-v2.rst",
            place: "memory.max, memory.high",
        }],
        apply: Remedy::Configuration(
            "[limits] memory_max_bytes below what there is, or leave it out",
        ),
        undo: "the value as it was",
    },
    Setting {
        id: "memory.swap",
        section: Section::Memory,
        title: "Swap space",
        probe: Probe::Look(Look::SwapSpace),
        wanted: Wanted::AtMost(0),
        weight: Weight::Note,
        why: "A shard that waits for a page to be read back waits with all its connections. The \
              unit's slice keeps the server out of swap (MemorySwapMax=0) where there has to be \
              some.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/admin-guide/cgroup-v2.rst",
            place: "memory.swap.max",
        }],
        apply: Remedy::UnitDirective("MemorySwapMax=0"),
        undo: "take the line out of the slice",
    },
];

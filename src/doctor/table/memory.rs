//! Memory of the host.

use super::{Look, Probe, Remedy, Section, Setting, Wanted, Weight, Worth};

pub(super) const SETTINGS: &[Setting] = &[Setting {
    id: "memory.swap",
    section: Section::Memory,
    title: "Swap space",
    probe: Probe::Look(Look::SwapSpace),
    wanted: Wanted::AtMost(0),
    weight: Weight::Note,
    why: "A shard that waits for a page to be read back waits with all its connections. The unit's \
          slice keeps the server out of swap (MemorySwapMax=0) where there has to be some.",
    worth: &[Worth::Source {
        name: "Linux, Documentation/admin-guide/cgroup-v2.rst",
        place: "memory.swap.max",
    }],
    apply: Remedy::UnitDirective("MemorySwapMax=0"),
    undo: "take the line out of the slice",
}];

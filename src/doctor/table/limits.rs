//! What a process may have.

use super::{Look, Probe, Remedy, Section, Setting, Wanted, Weight, Worth};
use crate::doctor::host::Host;

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        id: "limits.nofile",
        section: Section::Limits,
        title: "Open files",
        probe: Probe::Look(Look::OpenFiles),
        wanted: Wanted::AtLeastFor(
            |host| host.descriptors_needed(),
            "connections in and out, 128, and 512 for each shard",
        ),
        weight: Weight::Required,
        why: "Each connection is a descriptor. The server refuses to start if its configuration \
              allows more connections than the limit does.",
        worth: &[Worth::Source { name: "getrlimit(2)", place: "RLIMIT_NOFILE" }],
        apply: Remedy::UnitDirective("LimitNOFILE={wanted}"),
        undo: "take the line out of the unit",
    },
    Setting {
        id: "limits.memlock",
        section: Section::Limits,
        title: "Locked memory",
        probe: Probe::Look(Look::LockedMemory),
        wanted: Wanted::AtLeastFor(Host::memlock_needed_bytes, "512 KiB for each shard"),
        weight: Weight::Required,
        why: "The executor of a shard (glommio) does not start with less, and the server not at \
              all.",
        worth: &[Worth::Source {
            name: "glommio, documentation of the crate",
            place: "https://docs.rs/glommio: locked memory",
        }],
        apply: Remedy::UnitDirective("LimitMEMLOCK={wanted}"),
        undo: "take the line out of the unit",
    },
    Setting {
        id: "limits.server-nofile",
        section: Section::Limits,
        title: "Open files of the running server",
        probe: Probe::Look(Look::ServerOpenFiles),
        wanted: Wanted::AtLeastFor(
            |host| host.descriptors_needed(),
            "connections in and out, 128, and 512 for each shard",
        ),
        weight: Weight::Advice,
        why: "What a new start would have to say no to, the server that runs may meet at its \
              busiest: then it cannot accept.",
        worth: &[Worth::Source { name: "getrlimit(2)", place: "RLIMIT_NOFILE" }],
        apply: Remedy::UnitDirective("LimitNOFILE={wanted}"),
        undo: "take the line out of the unit",
    },
    Setting {
        id: "limits.server-memlock",
        section: Section::Limits,
        title: "Locked memory of the running server",
        probe: Probe::Look(Look::ServerLockedMemory),
        wanted: Wanted::AtLeastFor(Host::memlock_needed_bytes, "512 KiB for each shard"),
        weight: Weight::Advice,
        why: "A restart with more shards would fail.",
        worth: &[Worth::Source {
            name: "glommio, documentation of the crate",
            place: "https://docs.rs/glommio: locked memory",
        }],
        apply: Remedy::UnitDirective("LimitMEMLOCK={wanted}"),
        undo: "take the line out of the unit",
    },
];

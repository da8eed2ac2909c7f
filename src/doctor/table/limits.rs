//! What a process may have.

use super::{Look, Probe, Remedy, Section, Setting, Wanted, Weight, Worth};
use crate::doctor::host::Host;

pub(super) const SETTINGS: &[Setting] = &[Setting {
    id: "limits.nofile",
    section: Section::Limits,
    title: "Open files",
    probe: Probe::Look(Look::OpenFiles),
    wanted: Wanted::AtLeastFor(
        Host::descriptors_needed,
        "connections in and out, 128, and 512 for each shard",
    ),
    weight: Weight::Required,
    why: "Each connection is a descriptor. The server refuses to start if its configuration allows \
          more connections than the limit does.",
    worth: &[Worth::Source { name: "getrlimit(2)", place: "RLIMIT_NOFILE" }],
    apply: Remedy::UnitDirective("LimitNOFILE={wanted}"),
    undo: "take the line out of the unit",
}];

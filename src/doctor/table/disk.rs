//! The disk that the spool lies on.

use super::{Look, Probe, Remedy, Section, Setting, Wanted, Weight, Worth};

pub(super) const SETTINGS: &[Setting] = &[Setting {
    id: "disk.directory",
    section: Section::Disk,
    title: "The spool's directory",
    probe: Probe::Look(Look::SpoolDirectory),
    wanted: Wanted::Is("usable"),
    weight: Weight::Required,
    why: "The server writes to it past the page cache, in blocks of 4096 bytes.",
    worth: &[Worth::Source { name: "open(2)", place: "O_DIRECT" }],
    apply: Remedy::Advice("see what is found: it says what is in the way"),
    undo: "nothing was changed",
}];

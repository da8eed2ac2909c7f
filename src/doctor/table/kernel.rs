//! What the kernel must be.

use super::{Look, Probe, Remedy, Section, Setting, Wanted, Weight, Worth};

pub(super) const SETTINGS: &[Setting] = &[Setting {
    id: "kernel.release",
    section: Section::Kernel,
    title: "Release of Linux",
    probe: Probe::Look(Look::KernelRelease),
    wanted: Wanted::ReleaseFrom(6, 1),
    weight: Weight::Required,
    why: "The shards' rings need DEFER_TASKRUN, multishot receive and provided-buffer rings.",
    worth: &[Worth::Source {
        name: "io_uring_setup(2)",
        place: "IORING_SETUP_DEFER_TASKRUN: since Linux 6.1",
    }],
    apply: Remedy::Advice(
        "upgrade the kernel: Debian 12 and Ubuntu 24.04 come with one that is new enough",
    ),
    undo: "boot the old kernel",
}];

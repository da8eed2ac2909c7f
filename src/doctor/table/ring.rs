//! What io_uring must be able to do here.

use super::{Look, Probe, Remedy, Section, Setting, Wanted, Weight, Worth};

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        id: "kernel.io_uring_disabled",
        section: Section::Ring,
        title: "io_uring switched off",
        probe: Probe::Sysctl("kernel.io_uring_disabled"),
        wanted: Wanted::Is("0"),
        weight: Weight::Advice,
        why: "The server does all its socket and disk work through io_uring and does not start \
              without it. With 1 only a user of the group kernel.io_uring_group may use it.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/admin-guide/sysctl/kernel.rst",
            place: "io_uring_disabled, io_uring_group",
        }],
        apply: Remedy::SysctlIfThere,
        undo: "sysctl -w kernel.io_uring_disabled=2",
    },
    Setting {
        id: "ring.setup",
        section: Section::Ring,
        title: "A ring as the shards make it",
        probe: Probe::Look(Look::RingSetup),
        wanted: Wanted::Is("works"),
        weight: Weight::Required,
        why: "Each shard makes one at its start.",
        worth: &[Worth::Source {
            name: "io_uring_setup(2)",
            place: "IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_DEFER_TASKRUN",
        }],
        apply: Remedy::Advice("see what is found: it says what forbids it"),
        undo: "nothing was changed",
    },
    Setting {
        id: "ring.operations",
        section: Section::Ring,
        title: "Operations that the shards use",
        probe: Probe::Look(Look::RingOperations),
        wanted: Wanted::Is("all"),
        weight: Weight::Required,
        why: "Sockets, files, timers and cancellation all go through the ring; there is no other \
              way in the program.",
        worth: &[Worth::Source { name: "io_uring_register(2)", place: "IORING_REGISTER_PROBE" }],
        apply: Remedy::Advice("upgrade the kernel to Linux 6.1 or later"),
        undo: "boot the old kernel",
    },
];

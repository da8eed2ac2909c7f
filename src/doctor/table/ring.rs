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
            place: "io_uring_disabled",
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
];

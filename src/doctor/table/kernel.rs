//! What the kernel must be.

use super::{Look, Probe, Remedy, Section, Setting, Wanted, Weight, Worth};

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
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
    },
    Setting {
        id: "kernel.direct-writes",
        section: Section::Kernel,
        title: "Release that completes direct writes without a worker",
        probe: Probe::Look(Look::KernelRelease),
        wanted: Wanted::ReleaseFrom(6, 6),
        weight: Weight::Note,
        why: "Before, the end of each commit went through a workqueue of the kernel: one more \
              thread, and one more wake-up. From here on it does so only where a flush must \
              follow.",
        worth: &[Worth::Source {
            name: "Linux, patch series \"Improve async iomap DIO performance\", July 2023",
            place: "commits 099ada2c8726, 3a0be38cc84d",
        }],
        apply: Remedy::Advice("take a newer kernel: on Debian 12 that of bookworm-backports"),
        undo: "boot the old kernel",
    },
    Setting {
        id: "kernel.numa_balancing",
        section: Section::Kernel,
        title: "Search for better memory nodes",
        probe: Probe::Sysctl("kernel.numa_balancing"),
        wanted: Wanted::Is("0"),
        weight: Weight::Advice,
        why: "The kernel unmaps pages now and then to see which CPU touches them. Shards are \
              pinned, so that there is nothing to find out.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/admin-guide/sysctl/kernel.rst",
            place: "numa_balancing: \"If the target workload is already bound to NUMA nodes \
                        then this feature should be disabled\"",
        }],
        apply: Remedy::SysctlIfThere,
        undo: "sysctl -w kernel.numa_balancing=1 (the default where there is more than one node)",
    },
];

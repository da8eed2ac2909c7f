//! The disk that the spool lies on.

use super::{Look, Probe, Remedy, Section, Setting, Wanted, Weight, Worth};

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
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
    },
    Setting {
        id: "disk.file-system",
        section: Section::Disk,
        title: "File system of the spool",
        probe: Probe::Look(Look::SpoolFileSystem),
        wanted: Wanted::OneOf(&["ext4", "xfs"]),
        weight: Weight::Advice,
        why: "A commit overwrites a block that was written before. ext4 and XFS do that in place; \
              where an overwrite is a new block (Btrfs, ZFS) it changes metadata as well. Before \
              Linux 7.0 XFS hands many of the commits to a worker of the kernel, ext4 none.",
        worth: &[
            Worth::Measured {
                command: "cargo bench --bench commit",
                result: "4 KiB on ext4: 80 µs written before, 135 µs where metadata changes",
            },
            Worth::Measured {
                command: "tuning/measure file-systems",
                result: "handed to a worker: of ext4 no commit, of XFS every third to fifth",
            },
            Worth::Source {
                name: "Linux, patch series \"re-enable IOCB_NOWAIT writes to files\", v6, January \
                       2026",
                place: "cover letter",
            },
        ],
        apply: Remedy::Advice(
            "make an ext4 file system on a device for the spool and mount it at {spool}",
        ),
        undo: "mount the old file system there",
    },
    Setting {
        id: "disk.mount-options",
        section: Section::Disk,
        title: "Mount options that break or slow commits",
        probe: Probe::Look(Look::SpoolMountOptions),
        wanted: Wanted::Is("none"),
        weight: Weight::Required,
        why: "Without barriers a power cut takes what was acknowledged with 250; data=journal \
              writes everything twice and knows no direct writes.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/admin-guide/ext4.rst",
            place: "barrier, data=journal",
        }],
        apply: Remedy::MountOption("defaults"),
        undo: "the options as they were",
    },
    Setting {
        id: "disk.device",
        section: Section::Disk,
        title: "Device of the spool",
        probe: Probe::Look(Look::SpoolDevice),
        wanted: Wanted::Is("own"),
        weight: Weight::Note,
        why: "What else is written to the disk stands between a commit and its end.",
        worth: &[Worth::Measured {
            command: "tuning/measure disk-shared --directory {mount}",
            result: "p99 of a message with and without a program that writes durably beside it",
        }],
        apply: Remedy::Advice("give the spool a device that nothing else writes to"),
        undo: "mount the spool where it was",
    },
    Setting {
        id: "disk.write-cache",
        section: Section::Disk,
        title: "How the disk makes a write durable",
        probe: Probe::Look(Look::SpoolWriteCache),
        wanted: Wanted::OneOf(&["no volatile cache", "FUA"]),
        weight: Weight::Note,
        why: "Otherwise each commit is a write and a flush of the whole cache, with what others \
              have in it. What that costs the measurement of the commits says: behind a virtual \
              disk it may be nothing.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/block/writeback_cache_control.rst",
            place: "Forced Unit Access",
        }],
        apply: Remedy::Advice(
            "take a disk with power-loss protection; never write to queue/write_cache",
        ),
        undo: "nothing was changed",
    },
    Setting {
        id: "disk.rotational",
        section: Section::Disk,
        title: "Disk that turns",
        probe: Probe::EachDisk("rotational"),
        wanted: Wanted::Is("0"),
        weight: Weight::Note,
        why: "A commit waits for the disk to turn round: 8 ms at 7,200 a minute, where a solid one \
              takes a tenth of a millisecond. Virtual disks say it without turning: believe the \
              measurement.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/ABI/stable/sysfs-block",
            place: "/sys/block/<disk>/queue/rotational",
        }],
        apply: Remedy::Advice("put the spool on a solid-state disk"),
        undo: "mount the spool where it was",
    },
    Setting {
        id: "disk.scheduler",
        section: Section::Disk,
        title: "Scheduler of the disk",
        probe: Probe::EachDisk("scheduler"),
        wanted: Wanted::Is("none"),
        weight: Weight::Note,
        why: "A commit is a single write that somebody waits for: there is nothing to sort. On a \
              disk that others use as well a scheduler may protect the commits from them; measure \
              it.",
        worth: &[
            Worth::Measured {
                command: "tuning/measure scheduler --host --directory {mount}",
                result: "rate and latency with each scheduler that the disk has",
            },
            Worth::Source {
                name: "Linux, Documentation/block/switching-sched.rst",
                place: "/sys/block/<device>/queue/scheduler",
            },
        ],
        apply: Remedy::Command(
            "for disk in {items}; do echo none > /sys/block/$disk/queue/scheduler; done",
        ),
        undo: "the scheduler that was found into the same file",
    },
    Setting {
        id: "disk.free-space",
        section: Section::Disk,
        title: "Free space of the spool, in percent",
        probe: Probe::Look(Look::SpoolFreeSpace),
        wanted: Wanted::AtLeast(10),
        weight: Weight::Advice,
        why: "On a full disk the server answers 452 to every message until some are delivered. The \
              spool of an outage grows with what comes in.",
        worth: &[Worth::Source { name: "RFC 3463", place: "§3.4, X.3.1: Mail system full" }],
        apply: Remedy::Advice("make room, or mount a larger file system at {spool}"),
        undo: "nothing was changed",
    },
    Setting {
        id: "disk.commit-latency",
        section: Section::Disk,
        title: "Median of a commit of 4 KiB, in microseconds",
        probe: Probe::Look(Look::CommitLatency),
        wanted: Wanted::AtMost(1_000),
        weight: Weight::Advice,
        why: "Every 250 waits for one. Milliseconds mean a disk that turns, or a volatile cache \
              that is flushed each time.",
        worth: &[Worth::Measured {
            command: "RINGPOST_BENCH_DIR={spool} cargo bench --bench commit",
            result: "112 µs on a virtual disk that flushes (write back, no FUA)",
        }],
        apply: Remedy::Advice("take a disk with power-loss protection"),
        undo: "nothing was changed",
    },
    Setting {
        id: "disk.commit-latency-high",
        section: Section::Disk,
        title: "99th percentile of a commit of 4 KiB, in microseconds",
        probe: Probe::Look(Look::CommitLatencyHigh),
        wanted: Wanted::AtMost(10_000),
        weight: Weight::Note,
        why: "One in a hundred clients waits this long or longer. Something else may write to the \
              disk now.",
        worth: &[Worth::Measured {
            command: "RINGPOST_BENCH_DIR={spool} cargo bench --bench commit",
            result: "112 µs is the median on a virtual disk; 2 to 6 ms beside a \
                         running compiler",
        }],
        apply: Remedy::Advice(
            "give the spool a device of its own, and measure again with nothing else at work",
        ),
        undo: "nothing was changed",
    },
    Setting {
        id: "disk.commit-rate",
        section: Section::Disk,
        title: "Commits of 64 KiB a second, eight in flight",
        probe: Probe::Look(Look::CommitRate),
        wanted: Wanted::AtLeast(1_000),
        weight: Weight::Note,
        why: "Messages share commits, so that this bounds a shard's bandwidth: 1,000 are 64 MiB a \
              second.",
        worth: &[Worth::Measured {
            command: "RINGPOST_BENCH_DIR={spool} cargo bench --bench commit",
            result: "6,460 and 30,700 a second on two virtual disks",
        }],
        apply: Remedy::Advice("take a faster disk"),
        undo: "nothing was changed",
    },
];

//! The clock.

use super::{Look, Probe, Remedy, Section, Setting, Wanted, Weight, Worth};

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        id: "clock.source",
        section: Section::Clock,
        title: "Source of the clock",
        probe: Probe::File("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        wanted: Wanted::NoneOf(&["acpi_pm", "hpet", "jiffies", "pit"], "tsc, or the hypervisor's"),
        weight: Weight::Advice,
        why: "The clock is read several times a turn. These sources are read by a system call and \
              a slow device, tsc and those of hypervisors by an instruction or two.",
        worth: &[
            Worth::Source {
                name: "Linux, Documentation/timers/timekeeping.rst",
                place: "Clock sources",
            },
            Worth::Source { name: "vdso(7)", place: "clock_gettime" },
        ],
        apply: Remedy::Command(
            "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource",
        ),
        undo: "the same with the source that was found",
    },
    Setting {
        id: "clock.read",
        section: Section::Clock,
        title: "Reading the clock, in nanoseconds",
        probe: Probe::Look(Look::ClockRead),
        wanted: Wanted::AtMost(200),
        weight: Weight::Advice,
        why: "More than that means a system call for each reading.",
        worth: &[Worth::Source {
            name: "vdso(7)",
            place: "clock_gettime: no system call where the source allows it",
        }],
        apply: Remedy::Advice("see clock.source; if it is right, ask for a newer hypervisor"),
        undo: "nothing was changed",
    },
    Setting {
        id: "clock.synchronised",
        section: Section::Clock,
        title: "Clock kept right over the network",
        probe: Probe::Look(Look::ClockSynchronised),
        wanted: Wanted::Is("yes"),
        weight: Weight::Advice,
        why: "Received: and Date:, the deadlines of FUTURERELEASE and DELIVERBY, and certificates \
              rest on it.",
        worth: &[
            Worth::Source { name: "RFC 5321", place: "§4.4: the time of Received:" },
            Worth::Source { name: "RFC 2852", place: "by-time" },
        ],
        apply: Remedy::Command("systemctl enable --now systemd-timesyncd"),
        undo: "systemctl disable --now systemd-timesyncd",
    },
];

//! The clock.

use super::{Probe, Remedy, Section, Setting, Wanted, Weight, Worth};

pub(super) const SETTINGS: &[Setting] = &[Setting {
    id: "clock.source",
    section: Section::Clock,
    title: "Source of the clock",
    probe: Probe::File("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
    wanted: Wanted::NoneOf(&["acpi_pm", "hpet", "jiffies", "pit"], "tsc, or the hypervisor's"),
    weight: Weight::Advice,
    why: "The clock is read several times a turn. These sources are read by a system call and a \
          slow device, tsc and those of hypervisors by an instruction or two.",
    worth: &[Worth::Source {
        name: "Linux, Documentation/timers/timekeeping.rst",
        place: "Clock sources",
    }],
    apply: Remedy::Command(
        "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource",
    ),
    undo: "the same with the source that was found",
}];

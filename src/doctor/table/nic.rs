//! Queues and offloads of the network interfaces.

use super::{Look, Probe, Remedy, Section, Setting, Wanted, Weight, Worth};

pub(super) const SETTINGS: &[Setting] = &[Setting {
    id: "nic.offloads",
    section: Section::Nic,
    title: "Offloads that are off",
    probe: Probe::Look(Look::OffloadsOff),
    wanted: Wanted::Is("none"),
    weight: Weight::Advice,
    why: "With segmentation and its reverse a message of 100 KiB is a few large packets for the \
          kernel in place of seventy.",
    worth: &[Worth::Source {
        name: "Linux, Documentation/networking/segmentation-offloads.rst",
        place: "TCP Segmentation Offload, Generic Receive Offload",
    }],
    apply: Remedy::Command("ethtool -K {items} tso on gso on gro on"),
    undo: "ethtool -K {items} with off for each that was off",
}];

//! Queues and offloads of the network interfaces.

use super::{Look, Probe, Remedy, Section, Setting, Wanted, Weight, Worth};
use crate::doctor::host::Host;

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        id: "nic.queues",
        section: Section::Nic,
        title: "Receive queues",
        probe: Probe::Look(Look::ReceiveQueues),
        wanted: Wanted::AtLeastFor(Host::shards, "one for each shard"),
        weight: Weight::Note,
        why: "With a queue for each shard the work of receiving is spread as the shards are. Many \
              virtual machines have but one; then what it receives is to be spread (see the next).",
        worth: &[Worth::Source {
            name: "Linux, Documentation/networking/scaling.rst",
            place: "RSS, Suggested Configuration: \"as many queues as there are CPUs in the \
                        system (or the NIC maximum, if lower)\"",
        }],
        apply: Remedy::Command("ringpost-irq apply --interface {items} --cpus {shards}"),
        undo: "ringpost-irq undo",
    },
    Setting {
        id: "nic.cpus-without-packets",
        section: Section::Nic,
        title: "Shards' CPUs that serve no packets",
        probe: Probe::Look(Look::CpusWithoutPackets),
        wanted: Wanted::AtMost(0),
        weight: Weight::Advice,
        why: "Otherwise the CPUs that do serve them are full while the others wait.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/networking/scaling.rst",
            place: "RSS IRQ Configuration; RPS, Suggested Configuration",
        }],
        apply: Remedy::Command("ringpost-irq apply --interface {items} --cpus {shards}"),
        undo: "ringpost-irq undo",
    },
    Setting {
        id: "nic.missed",
        section: Section::Nic,
        title: "Packets missed for want of room, in a million",
        probe: Probe::Look(Look::PacketsMissed),
        wanted: Wanted::AtMost(0),
        weight: Weight::Advice,
        why: "A missed packet is sent again after a round trip at best and 200 ms at worst. A \
              longer ring bridges the moments in which the CPU is late.",
        worth: &[Worth::Source {
            name: "Red Hat Enterprise Linux, Performance Tuning Guide",
            place: "Configuring the Hardware Buffer",
        }],
        apply: Remedy::Command("ringpost-irq apply --interface {items} --cpus {shards} --rings"),
        undo: "ringpost-irq undo",
    },
    Setting {
        id: "nic.offloads",
        section: Section::Nic,
        title: "Offloads that are off",
        probe: Probe::Look(Look::OffloadsOff),
        wanted: Wanted::Is("none"),
        weight: Weight::Advice,
        why: "With segmentation and its reverse a message of 100 KiB is a few large packets for \
              the kernel in place of seventy.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/networking/segmentation-offloads.rst",
            place: "TCP Segmentation Offload, Generic Receive Offload",
        }],
        apply: Remedy::Command("ethtool -K {items} tso on gso on gro on"),
        undo: "ethtool -K {items} with off for each that was off",
    },
];

//! What the kernel does with the server's sockets.

use super::{Probe, Remedy, Section, Setting, Wanted, Weight, Worth};

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        id: "net.core.somaxconn",
        section: Section::Sockets,
        title: "Connections that wait to be accepted",
        probe: Probe::Sysctl("net.core.somaxconn"),
        wanted: Wanted::AtLeast(4_096),
        weight: Weight::Advice,
        why: "The server asks for 4096 for each shard and listener, and the kernel cuts it to this.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/networking/ip-sysctl.rst",
            place: "somaxconn",
        }],
        apply: Remedy::Sysctl,
        undo: "sysctl -w net.core.somaxconn=4096 (the default since Linux 5.4)",
    },
    Setting {
        id: "net.ipv4.ip_local_port_range",
        section: Section::Sockets,
        title: "Local ports for connections to next hops",
        probe: Probe::Sysctl("net.ipv4.ip_local_port_range"),
        wanted: Wanted::Spans(10_240, 65_535),
        weight: Weight::Advice,
        why: "Each connection to one address and port needs a local port of its own, and one that \
              was closed from here waits for a minute.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/networking/ip-sysctl.rst",
            place: "ip_local_port_range",
        }],
        apply: Remedy::Sysctl,
        undo: "sysctl -w net.ipv4.ip_local_port_range=\"32768 60999\"",
    },
];

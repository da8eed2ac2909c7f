//! What the kernel does with the server's sockets.

use super::{Look, Probe, Remedy, Section, Setting, Wanted, Weight, Worth};
use crate::doctor::host::Host;

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        id: "net.core.somaxconn",
        section: Section::Sockets,
        title: "Connections that wait to be accepted",
        probe: Probe::Sysctl("net.core.somaxconn"),
        wanted: Wanted::AtLeast(4_096),
        weight: Weight::Advice,
        why: "The server asks for 4096 for each shard and listener, and the kernel cuts it to \
              this. When it is full a client tries again after a second.",
        worth: &[
            Worth::Measured {
                command: "tuning/measure backlog",
                result: "2,000 clients at once: no difference while the shard is idle; on a busy \
                         machine the slowest waited 1.1 s with 128, 0.25 s with 4096",
            },
            Worth::Source { name: "listen(2)", place: "somaxconn" },
        ],
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
              was closed from here waits for a minute: 55,296 ports are 921 connections a second \
              to one next hop, the default's 28,232 are 470.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/networking/ip-sysctl.rst",
            place: "ip_local_port_range",
        }],
        apply: Remedy::Sysctl,
        undo: "sysctl -w net.ipv4.ip_local_port_range=\"32768 60999\"",
    },
    Setting {
        id: "net.ipv4.tcp_tw_reuse",
        section: Section::Sockets,
        title: "Local ports used again",
        probe: Probe::Sysctl("net.ipv4.tcp_tw_reuse"),
        wanted: Wanted::Is("1"),
        weight: Weight::Advice,
        why: "A port that was closed from here is free for the same next hop after one second, not \
              after sixty. Timestamps keep the packets of the two connections apart.",
        worth: &[
            Worth::Measured {
                command: "tuning/measure ports",
                result: "6,000 connections at 1,200/s from 2,000 ports to one next hop: all \
                         delivered; by default it ends at the 2,000th",
            },
            Worth::Source {
                name: "RFC 6191",
                place: "Reducing the TIME-WAIT State Using TCP Timestamps",
            },
        ],
        apply: Remedy::Sysctl,
        undo: "sysctl -w net.ipv4.tcp_tw_reuse=2 (the default)",
    },
    Setting {
        id: "net.ipv4.tcp_slow_start_after_idle",
        section: Section::Sockets,
        title: "Slow start after idle",
        probe: Probe::Sysctl("net.ipv4.tcp_slow_start_after_idle"),
        wanted: Wanted::Is("0"),
        weight: Weight::Advice,
        why: "A connection is kept for the next message of its destination. By default it has \
              forgotten the speed of its path after a fifth of a second and begins with 10 \
              segments again: three round trips more for a message of 100 KB.",
        worth: &[
            Worth::Source {
                name: "Linux, Documentation/networking/ip-sysctl.rst",
                place: "tcp_slow_start_after_idle",
            },
            Worth::Source {
                name: "RFC 7661",
                place: "§1: evaluates this rule (RFC 2861), finds it wanting, and makes it \
                        historic",
            },
        ],
        apply: Remedy::Sysctl,
        undo: "sysctl -w net.ipv4.tcp_slow_start_after_idle=1 (the default)",
    },
    Setting {
        id: "net.ipv4.tcp_notsent_lowat",
        section: Section::Sockets,
        title: "Bytes that wait unsent in a connection",
        probe: Probe::Sysctl("net.ipv4.tcp_notsent_lowat"),
        wanted: Wanted::AtMost(131_072),
        weight: Weight::Advice,
        why: "A next hop that reads slowly binds no more kernel memory than this and what is on \
              its way; the spool has the content anyway.",
        worth: &[
            Worth::Measured {
                command: "tuning/measure stalled",
                result: "100 next hops that stop reading: 17 MiB of socket memory, by default 377 \
                         MiB",
            },
            Worth::Source {
                name: "Linux, Documentation/networking/ip-sysctl.rst",
                place: "tcp_notsent_lowat",
            },
        ],
        apply: Remedy::Sysctl,
        undo: "sysctl -w net.ipv4.tcp_notsent_lowat=4294967295 (the default)",
    },
    Setting {
        id: "net.ipv4.tcp_mtu_probing",
        section: Section::Sockets,
        title: "Search for the path MTU",
        probe: Probe::Sysctl("net.ipv4.tcp_mtu_probing"),
        wanted: Wanted::OneOf(&["1", "2"]),
        weight: Weight::Advice,
        why: "Where a firewall drops the ICMP messages about packets that are too large, a message \
              would stop at its first full packet until it times out, at every attempt. With 1 \
              nothing is done before that is seen.",
        worth: &[
            Worth::Source { name: "RFC 4821", place: "Packetization Layer Path MTU Discovery" },
            Worth::Source { name: "RFC 2923", place: "§2.1: Black Hole Detection" },
        ],
        apply: Remedy::Sysctl,
        undo: "sysctl -w net.ipv4.tcp_mtu_probing=0 (the default)",
    },
    Setting {
        id: "net.ipv4.tcp_syncookies",
        section: Section::Sockets,
        title: "SYN cookies in a flood",
        probe: Probe::Sysctl("net.ipv4.tcp_syncookies"),
        wanted: Wanted::OneOf(&["1"]),
        weight: Weight::Advice,
        why: "In a flood of SYNs the listeners still answer. With a backlog that fits no cookie is \
              sent otherwise.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/networking/ip-sysctl.rst",
            place: "tcp_syncookies",
        }],
        apply: Remedy::Sysctl,
        undo: "sysctl -w net.ipv4.tcp_syncookies=0",
    },
    Setting {
        id: "net.ipv4.tcp_timestamps",
        section: Section::Sockets,
        title: "TCP timestamps",
        probe: Probe::Sysctl("net.ipv4.tcp_timestamps"),
        wanted: Wanted::OneOf(&["1", "2"]),
        weight: Weight::Advice,
        why: "They make tcp_tw_reuse safe and round-trip times exact.",
        worth: &[Worth::Source { name: "RFC 7323", place: "§3 and §5" }],
        apply: Remedy::Sysctl,
        undo: "sysctl -w net.ipv4.tcp_timestamps=0",
    },
    Setting {
        id: "net.ipv4.tcp_sack",
        section: Section::Sockets,
        title: "Selective acknowledgement",
        probe: Probe::Sysctl("net.ipv4.tcp_sack"),
        wanted: Wanted::Is("1"),
        weight: Weight::Advice,
        why: "Without it a sender learns of one lost packet in a round trip.",
        worth: &[Worth::Source { name: "RFC 2018", place: "§1" }],
        apply: Remedy::Sysctl,
        undo: "sysctl -w net.ipv4.tcp_sack=0",
    },
    Setting {
        id: "net.ipv4.tcp_window_scaling",
        section: Section::Sockets,
        title: "Window scaling",
        probe: Probe::Sysctl("net.ipv4.tcp_window_scaling"),
        wanted: Wanted::Is("1"),
        weight: Weight::Advice,
        why: "Without it no more than 64 KiB are on their way in a round trip.",
        worth: &[Worth::Source { name: "RFC 7323", place: "§2" }],
        apply: Remedy::Sysctl,
        undo: "sysctl -w net.ipv4.tcp_window_scaling=0",
    },
    Setting {
        id: "sockets.local-ports",
        section: Section::Sockets,
        title: "Local ports that are not reserved",
        probe: Probe::Look(Look::LocalPorts),
        wanted: Wanted::AtLeastFor(Host::connections_out, "delivery.connections_max"),
        weight: Weight::Advice,
        why: "All connections out may go to one next hop.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/networking/ip-sysctl.rst",
            place: "ip_local_port_range, ip_local_reserved_ports",
        }],
        apply: Remedy::Advice(
            "reserve fewer ports (net.ipv4.ip_local_reserved_ports), or lower \
                 delivery.connections_max",
        ),
        undo: "the ports as they were reserved",
    },
    Setting {
        id: "sockets.listeners-in-port-range",
        section: Section::Sockets,
        title: "Listeners among the local ports",
        probe: Probe::Look(Look::ListenersInPortRange),
        wanted: Wanted::Is("none"),
        weight: Weight::Advice,
        why: "A connection out may hold the port of a listener when the server starts; then it \
              cannot.",
        worth: &[Worth::Source {
            name: "Linux, Documentation/networking/ip-sysctl.rst",
            place: "ip_local_reserved_ports",
        }],
        apply: Remedy::Command("sysctl -w net.ipv4.ip_local_reserved_ports={items}"),
        undo: "sysctl -w net.ipv4.ip_local_reserved_ports= with what was there",
    },
    Setting {
        id: "sockets.backlog-overflows",
        section: Section::Sockets,
        title: "Connections dropped at a full backlog since boot",
        probe: Probe::Look(Look::BacklogOverflows),
        wanted: Wanted::AtMost(0),
        weight: Weight::Note,
        why: "If it rises under load the backlog is too short or a shard has too little CPU.",
        worth: &[Worth::Source { name: "nstat(8)", place: "TcpExtListenOverflows" }],
        apply: Remedy::Advice(
            "see net.core.somaxconn, and watch it under load: nstat TcpExtListenOverflows",
        ),
        undo: "nothing was changed",
    },
    Setting {
        id: "sockets.connection-tracking",
        section: Section::Sockets,
        title: "Room in the table of tracked connections",
        probe: Probe::Look(Look::ConnectionTracking),
        wanted: Wanted::AtLeastFor(tracked, "twice the descriptors that the server may need"),
        weight: Weight::Advice,
        why: "When it is full new connections are dropped. An entry outlives its connection by two \
              minutes, so that connections that were just closed count as well. Better: do not \
              track mail at all (guide, Sockets).",
        worth: &[Worth::Source {
            name: "Linux, Documentation/networking/nf_conntrack-sysctl.rst",
            place: "nf_conntrack_max, nf_conntrack_tcp_timeout_time_wait",
        }],
        apply: Remedy::Command("sysctl -w net.netfilter.nf_conntrack_max={wanted}"),
        undo: "sysctl -w net.netfilter.nf_conntrack_max= with what was found",
    },
    Setting {
        id: "sockets.port-25",
        section: Section::Sockets,
        title: "Port 25 of other hosts",
        probe: Probe::Look(Look::Port25),
        wanted: Wanted::Is("open"),
        weight: Weight::Advice,
        why: "Mail to other domains goes there and nowhere else. Many providers block it until \
              they are asked.",
        worth: &[Worth::Source { name: "RFC 5321", place: "§4.5.4.2" }],
        apply: Remedy::Advice(
            "ask the provider to open port 25 out, or send by a smart host: [[route]] to = \
                 \"smtp://...\"",
        ),
        undo: "nothing was changed",
    },
];

/// Entries in the table of connections: those that are open, and those that were just closed.
fn tracked(host: &Host) -> u64 {
    2 * host.descriptors_needed()
}

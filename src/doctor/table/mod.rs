//! What a host should be like for this server, as one table: `ringpost doctor` checks it, and the
//! tables and `sysctl.d` file of `tuning/` are printed from it, so that they cannot drift.
//!
//! # Guarantees
//! Each entry says where its number comes from ([`Worth`]); without that it would not be here.
//!
//! # Never
//! Looks at anything: an entry names what to read ([`Probe`]), and `super::probe` reads it.

mod clock;
mod cpu;
mod disk;
mod kernel;
mod limits;
mod memory;
mod nic;
mod resolver;
mod ring;
mod sockets;

use super::host::Host;

/// Every entry, in the order of the guide.
pub(super) fn settings() -> impl Iterator<Item = &'static Setting> {
    [
        kernel::SETTINGS,
        ring::SETTINGS,
        cpu::SETTINGS,
        nic::SETTINGS,
        sockets::SETTINGS,
        limits::SETTINGS,
        disk::SETTINGS,
        memory::SETTINGS,
        resolver::SETTINGS,
        clock::SETTINGS,
    ]
    .into_iter()
    .flatten()
}

/// One thing that should be so.
#[derive(Debug)]
pub(super) struct Setting {
    /// Its name for programs, unique: that of the sysctl, or `section.what`.
    pub(super) id: &'static str,
    pub(super) section: Section,
    /// What it is, as a noun phrase without a full stop.
    pub(super) title: &'static str,
    pub(super) probe: Probe,
    pub(super) wanted: Wanted,
    pub(super) weight: Weight,
    /// What comes of the wanted value, in whole sentences.
    pub(super) why: &'static str,
    /// At least one.
    pub(super) worth: &'static [Worth],
    pub(super) apply: Remedy,
    /// How to take it back, as a command or a phrase.
    pub(super) undo: &'static str,
}

/// The sections of the guide, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Kernel,
    Ring,
    Cpu,
    Nic,
    Sockets,
    Limits,
    Disk,
    Memory,
    Resolver,
    Clock,
}

impl Section {
    #[cfg(test)]
    pub(super) const ALL: [Self; 10] = [
        Self::Kernel,
        Self::Ring,
        Self::Cpu,
        Self::Nic,
        Self::Sockets,
        Self::Limits,
        Self::Disk,
        Self::Memory,
        Self::Resolver,
        Self::Clock,
    ];

    /// Its name for programs, and in the markers of the guide's tables.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Ring => "ring",
            Self::Cpu => "cpu",
            Self::Nic => "nic",
            Self::Sockets => "sockets",
            Self::Limits => "limits",
            Self::Disk => "disk",
            Self::Memory => "memory",
            Self::Resolver => "resolver",
            Self::Clock => "clock",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Kernel => "Kernel",
            Self::Ring => "io_uring",
            Self::Cpu => "CPUs",
            Self::Nic => "Network interface",
            Self::Sockets => "Sockets",
            Self::Limits => "Limits",
            Self::Disk => "Disk",
            Self::Memory => "Memory",
            Self::Resolver => "Resolver",
            Self::Clock => "Clock",
        }
    }
}

/// How much it matters that it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Without it the server does not start, or loses what it promises.
    Required,
    /// Without it the server is slower, or less dependable under load.
    Advice,
    /// Worth knowing; never a reason to change the exit status.
    Note,
}

/// Where the value is read. What is given of one thing (`Sysctl`, `File`) has one value; of several
/// (`EachCpu`…) each has to be as wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// A kernel setting by its name: `net.core.somaxconn` is `/proc/sys/net/core/somaxconn`.
    Sysctl(&'static str),
    /// A file with one value. Of a choice as `always [madvise] never` the chosen word counts.
    File(&'static str),
    /// A file below `/sys/devices/system/cpu/cpuN/` of each CPU that a shard runs on.
    EachCpu(&'static str),
    /// A file below `/sys/block/NAME/queue/` of each disk that the spool lies on.
    EachDisk(&'static str),
    /// Found out in a way of its own.
    Look(Look),
}

/// What is found out in a way of its own. What each gives is the part behind the dash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Look {
    // Kernel.
    /// The kernel's release — text, as `6.12`, compared by [`Wanted::ReleaseFrom`].
    KernelRelease,

    // Ring.
    /// Whether a ring can be made with the flags of the shards — `works`, or why not.
    RingSetup,
    /// The operations that the shards use — `all`, or those that are missing.
    RingOperations,

    // CPUs.
    /// CPUs that the process may use and no shard runs on — a number.
    CpusBesideShards,
    /// Shards whose CPU shares a core with that of another shard — a number.
    ShardsOnSharedCores,
    /// Memory nodes that the shards' CPUs belong to — a number.
    MemoryNodesOfShards,
    /// Shards' CPUs that are isolated (`isolcpus`): the kernel moves nothing there — a number.
    ShardsOnIsolatedCpus,
    /// Longest wake-up from a state that each shard's CPU may sleep in — microseconds.
    SleepStates,
    /// Share of time that the hypervisor took from this host's CPUs since boot — percent.
    StolenTime,

    // Network interfaces; each gives a value for each physical interface that is up.
    /// Receive queues — a number; wanted is [`Wanted::AtLeastFor`] the shards.
    ReceiveQueues,
    /// CPUs that packets of one receive queue are spread to (RPS) or served on by interrupt: those
    /// shards' CPUs that serve no packets — a number.
    CpusWithoutPackets,
    /// Packets that the interface dropped for want of room, per million received — a number.
    PacketsMissed,
    /// Offloads that are off and could be on, of TSO, GSO, GRO and checksums (`ethtool`) —
    /// `none`, or their names.
    OffloadsOff,

    // Sockets.
    /// Connections that were dropped because a backlog was full, since boot — a number.
    BacklogOverflows,
    /// Local ports for connections out, those reserved left out — a number.
    LocalPorts,
    /// Listeners' ports inside the range of local ports and not reserved — `none`, or the ports.
    ListenersInPortRange,
    /// Room for connections in the table of nf_conntrack, where it is loaded — a number.
    ConnectionTracking,
    /// Port 25 of the hosts that `--port-25` names — `open`, or what happens. Without it this is
    /// not looked at.
    Port25,

    // Limits.
    /// Hard limit of open files of this process.
    OpenFiles,
    /// Hard limit of locked memory of this process — bytes; unlimited with CAP_IPC_LOCK.
    LockedMemory,
    /// Limit of open files of the server that runs on this spool.
    ServerOpenFiles,
    /// Limit of locked memory of the server that runs on this spool — bytes.
    ServerLockedMemory,

    // Disk.
    /// Whether the spool's directory can be used as the server does — `usable`, or why not.
    SpoolDirectory,
    /// File system of the spool — its name, as `ext4`.
    SpoolFileSystem,
    /// Options of the spool's mount that break or slow commits — `none`, or their names.
    SpoolMountOptions,
    /// Whether the spool has a disk without the root file system — `own`, `shared`.
    SpoolDevice,
    /// How the disk makes a write durable — `no volatile cache`, `FUA` or `flush`.
    SpoolWriteCache,
    /// Free space of the spool's file system — percent.
    SpoolFreeSpace,
    /// Median of a commit of 4 KiB on the spool's disk, measured — microseconds.
    CommitLatency,
    /// 99th percentile of it, measured with it — microseconds.
    CommitLatencyHigh,
    /// Commits of 64 KiB a second with eight in flight, measured — a number.
    CommitRate,

    // Memory.
    /// Swap space that is on — bytes.
    SwapSpace,
    /// Memory that this process may have, in percent of `limits.memory_max_bytes`.
    MemoryForServer,

    // Resolver.
    /// Name servers of the configuration: whether the first is on this host — `local`, `remote`.
    ResolverPlace,
    /// Median time of an answer from each name server, measured — microseconds.
    ResolverLatency,

    // Clock.
    /// Reading the clock, measured — nanoseconds.
    ClockRead,
    /// Whether the clock is kept right over the network — `yes`, `no`.
    ClockSynchronised,
}

/// What the value should be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// This word or number; runs of white space count as one space.
    Is(&'static str),
    /// One of these words; the first is the one to set.
    OneOf(&'static [&'static str]),
    /// A word that is none of these, with what to have in place of it.
    NoneOf(&'static [&'static str], &'static str),
    AtLeast(u64),
    AtMost(u64),
    /// A number that depends on the host, with the rule as the guide says it.
    AtLeastFor(fn(&Host) -> u64, &'static str),
    /// Two numbers that include these: `10240 65535`.
    Spans(u64, u64),
    /// A kernel release from this one on.
    ReleaseFrom(u32, u32),
}

/// Where the value comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Worth {
    /// Measured on the machine that the guide names.
    Measured {
        /// The command that measures it.
        command: &'static str,
        /// What came out, with and without.
        result: &'static str,
    },
    /// Said by somebody who knows.
    Source {
        /// Its title.
        name: &'static str,
        /// Section, or address.
        place: &'static str,
    },
}

/// What mends it. In the texts `{items}` stands for the interfaces, CPUs or disks that are not as
/// wanted, `{wanted}` for the number that is wanted here, `{spool}` for the spool's directory,
/// `{mount}` for where its file system is mounted and `{shards}` for the CPUs of the shards; the
/// guide shows them in capitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// `sysctl -w` with the probe's name and the wanted value; a line of `tuning/sysctl.d`.
    Sysctl,
    /// As [`Self::Sysctl`], a line that begins with `-`: this kernel need not have it.
    SysctlIfThere,
    /// A command to be run as root.
    Command(&'static str),
    /// An option in `/etc/fstab` for the spool's file system.
    MountOption(&'static str),
    /// A line of the systemd unit.
    UnitDirective(&'static str),
    /// A parameter of the kernel's command line.
    BootParameter(&'static str),
    /// A line of the server's configuration.
    Configuration(&'static str),
    /// Something else to do, as a phrase in the imperative.
    Advice(&'static str),
}

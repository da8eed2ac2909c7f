//! Looking at the host. Nothing here decides whether what is found is as it should be.
//!
//! # Guarantees
//! What cannot be read is [`Found::Unknown`] with the reason, what is not there
//! [`Found::NotHere`]; neither is an error.
//!
//! # Never
//! Changes a setting, or waits without a bound.

mod clock;
mod cpu;
pub(super) mod disk;
mod limits;
mod memory;
mod nic;
mod resolver;
mod ring;
mod sockets;

use std::io;

use super::found::{Found, Item, Value};
use super::host::Host;
use super::table::{Look, Probe};

/// What `probe` finds on `host`.
pub(super) fn find(probe: Probe, host: &Host) -> Found {
    match probe {
        Probe::Sysctl(name) => {
            let path = format!("/proc/sys/{}", name.replace('.', "/"));
            file(host, &path, &format!("this kernel has no {name}"))
        }
        Probe::File(path) => file(host, path, &format!("{path} is not there")),
        Probe::EachCpu(path) => {
            let files =
                host.config.shards.cpus.as_slice().iter().map(|cpu| {
                    (cpu.to_string(), format!("/sys/devices/system/cpu/cpu{cpu}/{path}"))
                });
            each_file(host, files, &format!("the CPUs have no {path}"))
        }
        Probe::EachDisk(path) => match disk::disks(host) {
            Ok(disks) => {
                let files = disks.into_iter().map(|disk| {
                    let file = format!("/sys/block/{disk}/queue/{path}");
                    (disk, file)
                });
                each_file(host, files, &format!("the disks have no queue/{path}"))
            }
            Err(reason) => Found::Unknown(reason),
        },
        Probe::Look(look) => find_by(look, host),
    }
}

fn find_by(look: Look, host: &Host) -> Found {
    match look {
        Look::KernelRelease => read(host, "/proc/sys/kernel/osrelease", |text| {
            Some(Value::Text(text.trim().to_owned()))
        }),
        Look::RingSetup => ring::setup(),
        Look::RingOperations => ring::operations(),
        Look::CpusBesideShards => cpu::beside_shards(host),
        Look::ShardsOnSharedCores => cpu::on_shared_cores(host),
        Look::MemoryNodesOfShards => cpu::memory_nodes(host),
        Look::ShardsOnIsolatedCpus => cpu::isolated(host),
        Look::SleepStates => cpu::sleep_states(host),
        Look::StolenTime => cpu::stolen(host),
        Look::ReceiveQueues => nic::receive_queues(host),
        Look::CpusWithoutPackets => nic::cpus_without_packets(host),
        Look::PacketsMissed => nic::packets_missed(host),
        Look::OffloadsOff => nic::offloads_off(host),
        Look::BacklogOverflows => sockets::backlog_overflows(host),
        Look::LocalPorts => sockets::local_ports(host),
        Look::ListenersInPortRange => sockets::listeners_in_port_range(host),
        Look::ConnectionTracking => sockets::connection_tracking(host),
        Look::Port25 => sockets::port_25(host),
        Look::OpenFiles => limits::open_files(host),
        Look::LockedMemory => limits::locked_memory(host),
        Look::ServerOpenFiles => limits::server_open_files(host),
        Look::ServerLockedMemory => limits::server_locked_memory(host),
        Look::SpoolDirectory => disk::directory(host),
        Look::SpoolFileSystem => disk::file_system(host),
        Look::SpoolMountOptions => disk::mount_options(host),
        Look::SpoolDevice => disk::device(host),
        Look::SpoolWriteCache => disk::write_cache(host),
        Look::SpoolFreeSpace => disk::free_space(host),
        Look::CommitLatency => disk::commit(host, |figures| figures.median_us),
        Look::CommitLatencyHigh => disk::commit(host, |figures| figures.high_us),
        Look::CommitRate => disk::commit(host, |figures| figures.rate),
        Look::SwapSpace => memory::swap(host),
        Look::MemoryForServer => memory::for_server(host),
        Look::ResolverPlace => resolver::place(host),
        Look::ResolverLatency => resolver::latency(host),
        Look::ClockRead => clock::read(host),
        Look::ClockSynchronised => clock::synchronised(host),
    }
}

/// Why something that is measured was not.
const NOT_MEASURED: &str = "--quick leaves out what is measured";

/// The value of the file at `path`.
fn file(host: &Host, path: &str, otherwise: &str) -> Found {
    match host.read(path) {
        Ok(text) => Found::one(Value::of_file(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Found::NotHere(otherwise.to_owned())
        }
        Err(error) => Found::Unknown(cannot_read(path, &error)),
    }
}

/// What `meaning` makes of the file at `path`, which every Linux has.
fn read(host: &Host, path: &str, meaning: impl FnOnce(&str) -> Option<Value>) -> Found {
    match host.read(path) {
        Ok(text) => match meaning(&text) {
            Some(value) => Found::one(value),
            None => Found::Unknown(format!("{path} does not say it")),
        },
        Err(error) => Found::Unknown(cannot_read(path, &error)),
    }
}

fn each_file(host: &Host, files: impl Iterator<Item = (String, String)>, otherwise: &str) -> Found {
    let mut items = Vec::new();
    for (name, path) in files {
        match host.read(&path) {
            Ok(text) => items.push(Item::new(name, Value::of_file(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Found::Unknown(cannot_read(&path, &error)),
        }
    }
    Found::each(items, otherwise)
}

fn cannot_read(path: &str, error: &io::Error) -> String {
    format!("{path} cannot be read: {error}")
}

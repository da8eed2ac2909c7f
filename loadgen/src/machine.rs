//! What machine the figures are from, and when they were made.

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::thread;

use crate::date;
use crate::results::{Header, Kind, Machine, VERSION};

/// The beginning of results of `kind` that are about to be made by this process.
///
/// # Errors
/// /proc cannot be read.
pub(crate) fn header(kind: Kind, directory: Option<&Path>) -> io::Result<Header> {
    Ok(Header {
        kind,
        version: VERSION,
        loadgen: env!("CARGO_PKG_VERSION").to_owned(),
        began_unix_s: date::unix_ms() / 1_000,
        command: env::args_os()
            .skip(1)
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect(),
        machine: describe(directory)?,
    })
}

/// This machine; with `directory` also the file system that holds it.
///
/// # Errors
/// /proc cannot be read.
fn describe(directory: Option<&Path>) -> io::Result<Machine> {
    let read = |path: &str| fs::read_to_string(path);
    let file_system = directory.map(|directory| -> io::Result<String> {
        let kind = file_system(&read("/proc/self/mounts")?, &directory.canonicalize()?);
        Ok(kind.unwrap_or_else(|| "unknown".to_owned()))
    });
    Ok(Machine {
        kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        cpu: cpu_model(&read("/proc/cpuinfo")?),
        cpus: u32::try_from(thread::available_parallelism()?.get()).unwrap_or(u32::MAX),
        memory_bytes: memory_bytes(&read("/proc/meminfo")?),
        load_before: load(&read("/proc/loadavg")?),
        file_system: file_system.transpose()?,
    })
}

/// MemTotal, which the kernel tells in units of 1,024 bytes (proc_meminfo(5)).
fn memory_bytes(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let number = total.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok());
    number.map_or(0, |kib: u64| kib.saturating_mul(1_024))
}

/// The load average over one minute (proc_loadavg(5)).
fn load(loadavg: &str) -> f64 {
    loadavg.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

fn cpu_model(cpuinfo: &str) -> String {
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.and_then(|rest| rest.split_once(':')).map(|(_, model)| model.trim());
    model.unwrap_or("of unknown model").to_owned()
}

/// The type of the mount that holds `directory`: the longest mount point that leads to it, and of
/// several on the same point the last, which covers the others. A tmpfs keeps nothing durable.
fn file_system(mounts: &str, directory: &Path) -> Option<String> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(point), Some(kind)) = (fields.next(), fields.next()) else {
            continue;
        };
        if directory.starts_with(point) && best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), kind));
        }
    }
    best.map(|(_, kind)| match kind {
        "tmpfs" | "ramfs" => format!("{kind} (in memory, nothing is durable; see --directory)"),
        kind => kind.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_that_of_the_nearest_mount() {
        let mounts =
            "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /tmp/x xfs rw 0 0\n";
        let kind = |path: &str| file_system(mounts, Path::new(path)).unwrap();
        assert_eq!(kind("/var/tmp"), "ext4");
        assert!(kind("/tmp/y").starts_with("tmpfs (in memory"));
        assert_eq!(kind("/tmp/x/y"), "xfs");
        assert_eq!(file_system("", Path::new("/")), None);
    }

    #[test]
    fn the_cpu_has_a_name() {
        assert_eq!(
            cpu_model("processor : 0\nmodel name\t: Some CPU @ 2 GHz\n"),
            "Some CPU @ 2 GHz"
        );
        assert_eq!(cpu_model(""), "of unknown model");
    }

    #[test]
    fn memory_and_load_are_read() {
        assert_eq!(memory_bytes("MemTotal:        2 kB\nMemFree: 1 kB\n"), 2_048);
        assert_eq!(memory_bytes(""), 0);
        assert!((load("0.25 0.1 0.0 1/99 7\n") - 0.25).abs() < 1e-9);
    }

    #[test]
    fn this_machine_is_described() {
        let machine = describe(Some(Path::new("."))).unwrap();
        assert!(machine.cpus > 0 && machine.memory_bytes > 1 << 20, "{machine:?}");
        assert_ne!(machine.file_system.unwrap(), "unknown");
        assert_eq!(describe(None).unwrap().file_system, None);
    }
}

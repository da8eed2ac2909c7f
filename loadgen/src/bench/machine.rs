//! What machine the figures are from.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;

use super::report::Machine;

/// This machine, with the file system of `directory`.
///
/// # Errors
/// /proc cannot be read.
pub(super) fn describe(directory: &Path) -> io::Result<Machine> {
    let read = |path: &str| fs::read_to_string(path);
    let mounts = read("/proc/self/mounts")?;
    let directory = directory.canonicalize()?;
    Ok(Machine {
        kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        cpu: cpu_model(&read("/proc/cpuinfo")?),
        cpus: thread::available_parallelism()?.get(),
        file_system: file_system(&mounts, &directory).unwrap_or_else(|| "unknown".to_owned()),
    })
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
}

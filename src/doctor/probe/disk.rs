//! The disk that the spool lies on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rustix::fs::{major, minor, stat, statvfs};

use crate::doctor::found::{Found, Item, Value};
use crate::doctor::host::Host;
use crate::doctor::measure::{self, CommitFigures};
use crate::host_check::{spool_complaint, spool_holder};

use super::NOT_MEASURED;

/// A line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::doctor) struct Mount {
    /// Major and minor number of its file system, as `254:0`.
    pub(in crate::doctor) device: String,
    /// Where it is mounted.
    pub(in crate::doctor) point: String,
    pub(in crate::doctor) file_system: String,
    /// The device file, where there is one.
    pub(in crate::doctor) source: String,
    /// Options of the mount and of the file system.
    pub(in crate::doctor) options: Vec<String>,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (before, behind) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(2);
        let mut behind = behind.split(' ');
        let device = before.next()?.to_owned();
        let point = unescape(before.nth(1)?);
        let own = before.next()?;
        let file_system = behind.next()?.to_owned();
        let source = unescape(behind.next()?);
        let options = own.split(',').chain(behind.next()?.split(',')).map(str::to_owned).collect();
        Some(Self { device, point, file_system, source, options })
    }
}

/// The kernel writes a space in a path as `\040`, and so on.
fn unescape(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (code, is)| text.replace(code, is))
}

/// The mount that the spool lies on.
pub(in crate::doctor) fn mount(host: &Host) -> Result<&Mount, String> {
    let found = host.mount.get_or_init(|| {
        let place = host.spool_place();
        let place = fs::canonicalize(&place)
            .map_err(|error| format!("{} cannot be found: {error}", place.display()))?;
        mount_of(host, &place)
    });
    found.as_ref().map_err(Clone::clone)
}

/// The mount that `place` lies on: of those whose mount point leads to it the longest, and of
/// several on one point the last, which hides the others.
fn mount_of(host: &Host, place: &Path) -> Result<Mount, String> {
    let path = "/proc/self/mountinfo";
    let text = host.read(path).map_err(|error| super::cannot_read(path, &error))?;
    text.lines()
        .filter_map(Mount::parse)
        .filter(|mount| place.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.len())
        .ok_or_else(|| format!("no mount of {path} has {}", place.display()))
}

/// The names of the disks that the spool lies on.
pub(in crate::doctor) fn disks(host: &Host) -> Result<Vec<String>, String> {
    let mount = mount(host)?;
    let disks = disks_of(host, mount);
    if disks.is_empty() {
        return Err(format!("no disk is known for {} ({})", mount.point, mount.file_system));
    }
    Ok(disks)
}

fn disks_of(host: &Host, mount: &Mount) -> Vec<String> {
    let mut devices = vec![mount.device.clone()];
    // A file system over several devices has a number of its own; its source is one of them.
    if let Ok(status) = stat(mount.source.as_str()) {
        devices.push(format!("{}:{}", major(status.st_rdev), minor(status.st_rdev)));
    }
    for device in devices {
        let Ok(directory) = fs::canonicalize(host.path(&format!("/sys/dev/block/{device}"))) else {
            continue;
        };
        let mut disks = BTreeSet::new();
        add_disks(&directory, &mut disks);
        if !disks.is_empty() {
            return disks.into_iter().collect();
        }
    }
    Vec::new()
}

/// Adds the disks under the block device in `directory`: of a partition its disk, of a volume, an
/// array or an encrypted device those that it is made of.
fn add_disks(directory: &Path, disks: &mut BTreeSet<String>) {
    if directory.join("partition").exists() {
        if let Some(disk) = directory.parent() {
            add_disks(disk, disks);
        }
        return;
    }
    let slaves = fs::read_dir(directory.join("slaves")).into_iter().flatten().flatten();
    let slaves: Vec<_> = slaves.filter_map(|slave| fs::canonicalize(slave.path()).ok()).collect();
    if slaves.is_empty() {
        disks.extend(directory.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    for slave in slaves {
        add_disks(&slave, disks);
    }
}

pub(super) fn directory(host: &Host) -> Found {
    let path = &host.config.spool.path;
    if spool_holder(path).is_some() {
        return Found::text("usable");
    }
    match measure::in_scratch(&host.spool_place(), |scratch| Ok(spool_complaint(scratch))) {
        Ok(None) => Found::text("usable"),
        Ok(Some(complaint)) => Found::text(complaint.to_string()),
        Err(reason) => Found::Unknown(reason),
    }
}

pub(super) fn file_system(host: &Host) -> Found {
    match mount(host) {
        Ok(mount) => Found::text(mount.file_system.clone()),
        Err(reason) => Found::Unknown(reason),
    }
}

/// Options under which what was acknowledged may be lost, or direct writes are not direct.
const HARMFUL_OPTIONS: [&str; 4] = ["nobarrier", "barrier=0", "data=journal", "ro"];

pub(super) fn mount_options(host: &Host) -> Found {
    let mount = match mount(host) {
        Ok(mount) => mount,
        Err(reason) => return Found::Unknown(reason),
    };
    let harmful: Vec<&str> = mount
        .options
        .iter()
        .map(String::as_str)
        .filter(|option| HARMFUL_OPTIONS.contains(option))
        .collect();
    Found::text(if harmful.is_empty() { "none".to_owned() } else { harmful.join(",") })
}

pub(super) fn device(host: &Host) -> Found {
    let disks = match disks(host) {
        Ok(disks) => disks,
        Err(reason) => return Found::Unknown(reason),
    };
    let of_root = match mount_of(host, Path::new("/")) {
        Ok(root) => disks_of(host, &root),
        Err(reason) => return Found::Unknown(reason),
    };
    let is_shared = disks.iter().any(|disk| of_root.contains(disk));
    Found::text(if is_shared { "shared" } else { "own" })
}

pub(super) fn write_cache(host: &Host) -> Found {
    let disks = match disks(host) {
        Ok(disks) => disks,
        Err(reason) => return Found::Unknown(reason),
    };
    let mut items = Vec::new();
    for disk in disks {
        let queue = format!("/sys/block/{disk}/queue");
        let path = format!("{queue}/write_cache");
        let cache = match host.read(&path) {
            Ok(text) => text,
            Err(error) => return Found::Unknown(super::cannot_read(&path, &error)),
        };
        let has_fua = host.read(&format!("{queue}/fua")).is_ok_and(|text| text.trim() == "1");
        let way = match (cache.trim(), has_fua) {
            ("write through", _) => "no volatile cache",
            (_, true) => "FUA",
            (_, false) => "flush",
        };
        items.push(Item::new(disk, Value::Text(way.to_owned())));
    }
    Found::each(items, "the spool lies on no disk")
}

pub(super) fn free_space(host: &Host) -> Found {
    let place = host.spool_place();
    match statvfs(&place) {
        Ok(status) if status.f_blocks > 0 => {
            let percent = u128::from(status.f_bavail) * 100 / u128::from(status.f_blocks);
            Found::number(u64::try_from(percent).unwrap_or(100))
        }
        Ok(_) => Found::Unknown("the file system does not tell its size".to_owned()),
        Err(error) => Found::Unknown(format!("{} cannot be asked: {error}", place.display())),
    }
}

/// A figure of the commits that are measured once.
pub(super) fn commit(host: &Host, figure: impl FnOnce(&CommitFigures) -> u64) -> Found {
    if !host.measures {
        return Found::NotHere(NOT_MEASURED.to_owned());
    }
    match host.commits.get_or_init(|| measure::in_scratch(&host.spool_place(), measure::commits)) {
        Ok(figures) => Found::number(figure(figures)),
        Err(reason) => Found::Unknown(reason.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo() {
        let line = "31 1 254:16 /sub /var/lib/ring\\040post rw,relatime shared:7 master:1 - ext4 \
                    /dev/vdb rw,data=journal";
        let mount = Mount::parse(line).expect("a mount");
        assert_eq!(mount.device, "254:16");
        assert_eq!(mount.point, "/var/lib/ring post");
        assert_eq!((mount.file_system.as_str(), mount.source.as_str()), ("ext4", "/dev/vdb"));
        assert_eq!(mount.options, ["rw", "relatime", "rw", "data=journal"]);
        assert_eq!(Mount::parse("nonsense"), None);
    }
}

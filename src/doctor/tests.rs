//! The doctor on made-up hosts, and on this one.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::host::Host;
use super::table::{Weight, settings};
use super::{Diagnosis, Examination, Form, Verdict, diagnose, examine};
use crate::config::{Config, HostFacts};

/// A host below `root` that serves the configuration `text`, on which no program is installed.
pub(super) fn host_below(root: &Path, text: &str) -> Host {
    let facts = HostFacts {
        name: "mx1.example".to_owned(),
        cpus_present: "0-3".parse().unwrap(),
        cpus_allowed: "0-3".parse().unwrap(),
        dns_servers: vec!["127.0.0.1:53".parse().unwrap()],
        memory_bytes: 8 << 30,
    };
    let text = if text.is_empty() { "[shards]\ncpus = \"0\"\n" } else { text };
    Host {
        root: root.to_owned(),
        config: Config::parse("test", text, &facts).unwrap(),
        facts,
        ask: |_, _| Err(io::ErrorKind::NotFound.into()),
        measures: false,
        port_25: Vec::new(),
        commits: OnceCell::new(),
        mount: OnceCell::new(),
    }
}

/// The files of a host on which everything is as it should be.
const GOOD_HOST: &[(&str, &str)] = &[
    ("proc/sys/kernel/osrelease", "6.12.9-amd64\n"),
    ("proc/sys/kernel/numa_balancing", "0\n"),
    ("proc/sys/kernel/io_uring_disabled", "0\n"),
    ("proc/sys/net/core/somaxconn", "8192\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "10240\t65535\n"),
    ("proc/sys/net/ipv4/ip_local_reserved_ports", "20000-20999,30000\n"),
    ("proc/sys/net/ipv4/tcp_tw_reuse", "1\n"),
    ("proc/sys/net/ipv4/tcp_slow_start_after_idle", "0\n"),
    ("proc/sys/net/ipv4/tcp_notsent_lowat", "131072\n"),
    ("proc/sys/net/ipv4/tcp_mtu_probing", "1\n"),
    ("proc/sys/net/ipv4/tcp_syncookies", "1\n"),
    ("proc/sys/net/ipv4/tcp_timestamps", "1\n"),
    ("proc/sys/net/ipv4/tcp_sack", "1\n"),
    ("proc/sys/net/ipv4/tcp_window_scaling", "1\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "1048576\n"),
    (
        "proc/net/netstat",
        "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 3 0\nIpExt: A\nIpExt: 1\n",
    ),
    ("proc/stat", "cpu  1000 0 1000 8000 0 0 0 0 0 0\ncpu0 1 2\n"),
    ("proc/meminfo", "MemTotal: 8388608 kB\nSwapTotal:       0 kB\n"),
    (
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units\n\
         Max open files            1024                 524288               files\n\
         Max locked memory         8388608              16777216             bytes\n",
    ),
    ("proc/self/status", "Name:\tringpost\nCapEff:\t0000000000000000\n"),
    ("proc/self/mountinfo", "30 1 254:1 / / rw,relatime shared:1 - ext4 /dev/none rw\n"),
    (
        "proc/interrupts",
        "      CPU0 CPU1 CPU2 CPU3\n 24:  0 0 0 0 PCI-MSI 1-edge virtio0-config\n \
         25:  9 0 0 0 PCI-MSI 2-edge virtio0-input.0\n 26:  9 0 0 0 PCI-MSI 3-edge \
         virtio0-input.1\n",
    ),
    ("proc/irq/24/effective_affinity_list", "3\n"),
    ("proc/irq/25/effective_affinity_list", "0\n"),
    ("proc/irq/26/smp_affinity_list", "1\n"),
    ("sys/class/net/lo/operstate", "unknown\n"),
    ("sys/class/net/eth0/operstate", "up\n"),
    ("sys/class/net/eth0/device/msi_irqs/24", ""),
    ("sys/class/net/eth0/device/msi_irqs/25", ""),
    ("sys/class/net/eth0/device/msi_irqs/26", ""),
    ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0\n"),
    ("sys/class/net/eth0/queues/rx-1/rps_cpus", "0\n"),
    ("sys/class/net/eth0/queues/tx-0/xps_cpus", "0\n"),
    ("sys/class/net/eth0/statistics/rx_missed_errors", "0\n"),
    ("sys/class/net/eth0/statistics/rx_fifo_errors", "0\n"),
    ("sys/class/net/eth0/statistics/rx_packets", "5000000\n"),
    ("sys/devices/system/cpu/isolated", "\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,2\n"),
    ("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1,3\n"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state0/latency", "0\n"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state0/disable", "0\n"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state1/latency", "300\n"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state1/disable", "1\n"),
    ("sys/devices/system/cpu/cpu0/node0/cpulist", "0-3\n"),
    ("sys/devices/system/cpu/cpu1/node0/cpulist", "0-3\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ("sys/devices/virtual/nvme0n1/nvme0n1p1/partition", "1\n"),
    ("sys/devices/virtual/nvme0n1/size", "1000000\n"),
    ("sys/devices/virtual/nvme1n1/size", "1000000\n"),
    ("sys/dev/block/none", ""),
    ("sys/block/nvme0n1/queue/write_cache", "write back\n"),
    ("sys/block/nvme0n1/queue/fua", "1\n"),
    ("sys/block/nvme0n1/queue/rotational", "0\n"),
    ("sys/block/nvme0n1/queue/scheduler", "[none] mq-deadline\n"),
    ("sys/block/nvme1n1/queue/write_cache", "write through\n"),
    ("sys/block/nvme1n1/queue/fua", "0\n"),
    ("sys/block/nvme1n1/queue/rotational", "0\n"),
    ("sys/block/nvme1n1/queue/scheduler", "[none] mq-deadline\n"),
];

const ETHTOOL: &str = "Features for eth0:\nrx-checksumming: on\ngeneric-receive-offload: on\n";

/// A made-up host with a spool on a disk of its own.
struct MadeUp {
    root: TempDir,
}

impl MadeUp {
    fn new() -> Self {
        let made = Self { root: tempfile::tempdir().unwrap() };
        for (path, text) in GOOD_HOST {
            made.put(path, text);
        }
        let blocks = made.root.path().join("sys/dev/block");
        symlink("../../devices/virtual/nvme0n1/nvme0n1p1", blocks.join("254:1")).unwrap();
        symlink("../../devices/virtual/nvme1n1", blocks.join("254:16")).unwrap();
        let spool = made.spool();
        fs::create_dir_all(&spool).unwrap();
        // The kernel's own word for where it is.
        let point = fs::canonicalize(&spool).unwrap();
        let line = format!("31 30 254:16 / {} rw,noatime - ext4 /dev/none rw\n", point.display());
        made.put("proc/self/mountinfo", &format!("{}{line}", made.get("proc/self/mountinfo")));
        made
    }

    fn spool(&self) -> std::path::PathBuf {
        self.root.path().join("var/spool")
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn get(&self, path: &str) -> String {
        fs::read_to_string(self.root.path().join(path)).unwrap()
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.root.path().join(path)).unwrap();
    }

    fn host(&self) -> Host {
        let text = format!(
            "[shards]\ncpus = \"0-1\"\n[spool]\npath = {:?}\n[[listener]]\naddress = \
             \"127.0.0.1:2525\"\n",
            self.spool()
        );
        let ask: super::host::Ask = |program, _| match program {
            "ethtool" => Ok(ETHTOOL.to_owned()),
            "timedatectl" => Ok("yes\n".to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        Host { ask, ..host_below(self.root.path(), &text) }
    }

    fn diagnosis(&self) -> Diagnosis {
        diagnose(self.host())
    }
}

/// Every entry's verdict, and what was found.
fn verdicts(diagnosis: &Diagnosis) -> BTreeMap<&'static str, (Verdict, String)> {
    let findings = diagnosis.findings.iter();
    findings.map(|one| (one.setting.id, (one.verdict, one.found_text()))).collect()
}

/// Entries that rest on this host and not on the made-up one: the ring and the file system below
/// the made-up spool.
const REAL: &[&str] = &["ring.setup", "ring.operations", "disk.directory", "disk.free-space"];

#[test]
fn a_good_host_is_well() {
    let made = MadeUp::new();
    let diagnosis = made.diagnosis();
    for (id, (verdict, found)) in verdicts(&diagnosis) {
        if !REAL.contains(&id) {
            assert!(
                [Verdict::Well, Verdict::NotHere].contains(&verdict),
                "{id}: {verdict:?} {found}"
            );
        }
    }
}

const LITTLE: &str = "Max open files 1024 1024 files\nMax locked memory 524288 524288 bytes\n";

/// An entry, the file that is changed, what is in it then, and what is found.
const WRONG: &[(&str, &str, &str, &str)] = &[
    ("kernel.release", "proc/sys/kernel/osrelease", "5.15.0-1-amd64", "5.15.0-1-amd64"),
    ("kernel.direct-writes", "proc/sys/kernel/osrelease", "6.1.0", "6.1.0"),
    ("kernel.numa_balancing", "proc/sys/kernel/numa_balancing", "1", "1"),
    ("kernel.io_uring_disabled", "proc/sys/kernel/io_uring_disabled", "2", "2"),
    (
        "cpu.governor",
        "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
        "powersave",
        "0: performance; 1: powersave",
    ),
    ("cpu.shared-cores", "sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0-1", "1"),
    ("cpu.memory-nodes", "sys/devices/system/cpu/cpu1/node1/cpulist", "1", "2"),
    ("cpu.isolated", "sys/devices/system/cpu/isolated", "1-3", "1"),
    ("cpu.sleep-states", "sys/devices/system/cpu/cpu0/cpuidle/state1/disable", "0", "0: 300"),
    ("cpu.stolen", "proc/stat", "cpu 100 0 100 700 0 0 0 100 0 0\n", "10"),
    ("nic.cpus-without-packets", "proc/irq/26/smp_affinity_list", "0", "eth0: 1"),
    ("nic.missed", "sys/class/net/eth0/statistics/rx_missed_errors", "5", "eth0: 1"),
    ("net.core.somaxconn", "proc/sys/net/core/somaxconn", "128", "128"),
    (
        "net.ipv4.ip_local_port_range",
        "proc/sys/net/ipv4/ip_local_port_range",
        "32768 60999",
        "32768 60999",
    ),
    ("sockets.local-ports", "proc/sys/net/ipv4/ip_local_port_range", "20900 21099", "100"),
    (
        "sockets.listeners-in-port-range",
        "proc/sys/net/ipv4/ip_local_port_range",
        "1024 65535",
        "2525: a connection out may take it",
    ),
    ("sockets.backlog-overflows", "proc/net/netstat", "TcpExt: ListenOverflows\nTcpExt: 7\n", "7"),
    ("sockets.connection-tracking", "proc/sys/net/netfilter/nf_conntrack_max", "4096", "4096"),
    ("limits.nofile", "proc/self/limits", LITTLE, "1024"),
    ("limits.memlock", "proc/self/limits", LITTLE, "524288"),
    ("disk.file-system", "proc/self/mountinfo", "btrfs /dev/none rw", "btrfs"),
    ("disk.mount-options", "proc/self/mountinfo", "ext4 /dev/none rw,nobarrier", "nobarrier"),
    ("disk.write-cache", "sys/block/nvme1n1/queue/write_cache", "write back", "nvme1n1: flush"),
    ("disk.rotational", "sys/block/nvme1n1/queue/rotational", "1", "nvme1n1: 1"),
    ("disk.scheduler", "sys/block/nvme1n1/queue/scheduler", "none [bfq]", "nvme1n1: bfq"),
    ("memory.for-server", "proc/meminfo", "MemTotal: 1048576 kB\nSwapTotal: 0 kB\n", "16"),
    ("memory.swap", "proc/meminfo", "MemTotal: 8388608 kB\nSwapTotal: 1 kB\n", "1024"),
    (
        "clock.source",
        "sys/devices/system/clocksource/clocksource0/current_clocksource",
        "hpet",
        "hpet",
    ),
];

#[test]
fn each_thing_that_is_wrong_is_found() {
    for (id, path, text, found) in WRONG {
        let made = MadeUp::new();
        if path.ends_with("mountinfo") {
            // Of the line of the spool what is behind the mount point.
            let mounts = made.get(path);
            let (root, of_spool) = mounts.trim().rsplit_once(" - ").unwrap();
            assert_eq!(of_spool, "ext4 /dev/none rw");
            made.put(path, &format!("{root} - {text}\n"));
        } else {
            made.put(path, text);
        }
        let diagnosis = made.diagnosis();
        let weight = settings().find(|one| one.id == *id).expect(id).weight;
        let (verdict, is) = verdicts(&diagnosis).remove(id).expect(id);
        assert_eq!((verdict, is.as_str()), (Verdict::Ill(weight), *found), "{id}");
    }
}

#[test]
fn what_is_not_there_is_said_to_be_so() {
    let made = MadeUp::new();
    made.remove("proc/sys/net/netfilter/nf_conntrack_max");
    made.remove("proc/sys/kernel/numa_balancing");
    made.remove("proc/net/netstat");
    made.put("sys/class/net/eth0/operstate", "down\n");
    let verdicts = verdicts(&made.diagnosis());
    let reason = "connections are not tracked (nf_conntrack is not loaded)".to_owned();
    assert_eq!(verdicts["sockets.connection-tracking"], (Verdict::NotHere, reason));
    let reason = "this kernel has no kernel.numa_balancing".to_owned();
    assert_eq!(verdicts["kernel.numa_balancing"], (Verdict::NotHere, reason));
    let reason = "no physical network interface is up".to_owned();
    assert_eq!(verdicts["nic.queues"], (Verdict::NotHere, reason));
    let (verdict, reason) = &verdicts["sockets.backlog-overflows"];
    assert_eq!(*verdict, Verdict::CannotTell);
    assert!(reason.starts_with("/proc/net/netstat cannot be read"), "{reason}");
}

/// Memory may be locked past the limit with CAP_IPC_LOCK, once one executor starts.
#[test]
fn a_capability_stands_for_the_limit_of_locked_memory() {
    let made = MadeUp::new();
    made.put("proc/self/limits", "Max locked memory 524288 524288 bytes\n");
    made.put("proc/self/status", "CapEff:\t0000000000004000\n");
    let found = verdicts(&made.diagnosis()).remove("limits.memlock").unwrap();
    assert_eq!(found, (Verdict::Well, "unlimited".to_owned()));
    made.put("proc/self/limits", "Max locked memory 65536 65536 bytes\n");
    let found = verdicts(&made.diagnosis()).remove("limits.memlock").unwrap();
    assert_eq!(found, (Verdict::Ill(Weight::Required), "65536".to_owned()));
}

/// Where RPS spreads every queue, the CPUs of the interrupts do not matter.
#[test]
fn packets_that_are_spread_reach_the_shards() {
    let made = MadeUp::new();
    made.put("proc/irq/25/effective_affinity_list", "3\n");
    made.put("proc/irq/26/smp_affinity_list", "3\n");
    let found = |made: &MadeUp| verdicts(&made.diagnosis()).remove("nic.cpus-without-packets");
    assert_eq!(found(&made).unwrap().1, "eth0: 2");
    made.put("sys/class/net/eth0/queues/rx-0/rps_cpus", "00000001\n");
    made.put("sys/class/net/eth0/queues/rx-1/rps_cpus", "00000002\n");
    assert_eq!(found(&made).unwrap(), (Verdict::Well, "eth0: 0".to_owned()));
}

#[test]
fn a_volume_leads_to_its_disks_and_a_shared_disk_is_noted() {
    let made = MadeUp::new();
    let root = made.root.path();
    // An encrypted volume on a partition of the disk that the root file system is on.
    made.put("sys/devices/virtual/dm-0/size", "1\n");
    fs::create_dir_all(root.join("sys/devices/virtual/dm-0/slaves")).unwrap();
    let slave = root.join("sys/devices/virtual/dm-0/slaves/nvme0n1p1");
    symlink("../../nvme0n1/nvme0n1p1", slave).unwrap();
    fs::remove_file(root.join("sys/dev/block/254:16")).unwrap();
    symlink("../../devices/virtual/dm-0", root.join("sys/dev/block/254:16")).unwrap();
    let verdicts = verdicts(&made.diagnosis());
    assert_eq!(verdicts["disk.device"], (Verdict::Ill(Weight::Note), "shared".to_owned()));
    assert_eq!(verdicts["disk.write-cache"], (Verdict::Well, "nvme0n1: FUA".to_owned()));
}

#[test]
fn the_exit_status_is_that_of_the_worst() {
    let status = |change: &dyn Fn(&MadeUp)| {
        let made = MadeUp::new();
        change(&made);
        let mut diagnosis = made.diagnosis();
        diagnosis.findings.retain(|finding| !REAL.contains(&finding.setting.id));
        diagnosis.exit_status()
    };
    assert_eq!(status(&|_| {}), 0);
    assert_eq!(
        status(&|made| made.put("proc/meminfo", "MemTotal: 8388608 kB\nSwapTotal: 9 kB\n")),
        0
    );
    assert_eq!(status(&|made| made.put("proc/sys/net/core/somaxconn", "128")), 1);
    assert_eq!(status(&|made| made.put("proc/sys/kernel/osrelease", "5.10.0")), 2);
}

#[test]
fn the_text_names_what_is_found_and_what_mends_it() {
    let made = MadeUp::new();
    made.put("proc/sys/net/core/somaxconn", "128\n");
    made.put("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
    let mut text = Vec::new();
    made.diagnosis().write(Form::Text { all: false }, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    for line in [
        "Sockets\n  advice      Connections that wait to be accepted (net.core.somaxconn)\n",
        "              found   128\n              wanted  at least 4096\n",
        "              do      sysctl -w net.core.somaxconn=4096\n",
        "              do      sysctl -w net.ipv4.ip_local_port_range=\"10240 65535\"\n",
    ] {
        assert!(text.contains(line), "{line}is not in\n{text}");
    }
    assert!(!text.contains("tcp_sack"), "what is well is not named:\n{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let last = text.lines().next_back().unwrap();
    assert!(last.contains(&format!(" of {} as wanted, 2 to mend", settings().count())), "{last}");
}

#[test]
fn the_json_has_every_entry() {
    let made = MadeUp::new();
    made.put("proc/sys/net/core/somaxconn", "128\n");
    let mut text = Vec::new();
    made.diagnosis().write(Form::Json, &mut text).unwrap();
    let objects: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
    assert_eq!(objects.len(), settings().count());
    let one = objects.iter().find(|object| object["id"] == "net.core.somaxconn").unwrap();
    for (key, value) in [
        ("section", "sockets"),
        ("verdict", "advice"),
        ("found", "128"),
        ("wanted", "at least 4096"),
        ("command", "sysctl -w net.core.somaxconn=4096"),
    ] {
        assert_eq!(one[key], value, "{key}");
    }
    let offloads = objects.iter().find(|object| object["id"] == "nic.offloads").unwrap();
    assert_eq!(offloads["undo"], "ethtool -K eth0 with off for each that was off");
    assert!(!String::from_utf8_lossy(&text).contains("{items}"));
    assert!(one["why"].is_string() && one["undo"].is_string() && one["worth"].is_array());
}

/// The real one: every way of looking works here, or says why not, and nothing is left behind.
#[test]
fn this_host_is_examined() {
    let facts = HostFacts::probe();
    let place = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap();
    let text = format!("[spool]\npath = {:?}\n", place.path().join("not/there/yet"));
    let config = Config::parse("test", &text, &facts).unwrap();
    let examination = Examination { measures: false, port_25: Vec::new() };
    let diagnosis = examine(config, facts, examination);
    assert_eq!(diagnosis.findings.len(), settings().count());
    let verdicts = verdicts(&diagnosis);
    for id in REAL {
        assert_eq!(verdicts[id].0, Verdict::Well, "{id}: {}", verdicts[id].1);
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

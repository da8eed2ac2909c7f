//! Every verdict about a host, word for word.

use super::*;
use crate::config::HostFacts;

/// A directory beside the test program: that is on a disk, where the system's own place for
/// temporary files may be in memory.
pub(super) fn temporary_directory() -> tempfile::TempDir {
    let program = std::env::current_exe().expect("a program");
    tempfile::tempdir_in(program.parent().expect("a directory")).expect("a directory")
}

const NEEDS: Needs = Needs { shards: 2, connections_in: 10_000, connections_out: 4_000 };

fn good() -> HostState {
    HostState {
        kernel_release: "6.1.0-28-amd64".to_owned(),
        ring: Ring::Works,
        io_uring_disabled: None,
        memlock_bytes: Some(8 << 20),
        locks_freely: false,
        nofile: Some(1 << 20),
    }
}

/// Asserts that `state` gives one complaint, which has all of `parts`.
fn check(state: &HostState, parts: &[&str]) {
    let complaints = complaints(state, &NEEDS);
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    let text = complaints[0].to_string();
    for part in parts {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[test]
fn a_good_host_gets_no_complaint() {
    assert_eq!(complaints(&good(), &NEEDS), []);
    let state = HostState { memlock_bytes: None, nofile: None, ..good() };
    assert_eq!(complaints(&state, &NEEDS), []);
}

#[test]
fn kernels() {
    for release in ["6.1.0", "6.1-rc1", "6.18.44-fc-v669", "7.0", "10.2.3", "custom"] {
        let state = HostState { kernel_release: release.to_owned(), ..good() };
        assert_eq!(complaints(&state, &NEEDS), [], "{release}");
    }
    for release in ["6.0.19", "5.10.0-33-amd64", "5.15.153.1-microsoft-standard-WSL2", "4.18.0"] {
        let state = HostState {
            kernel_release: release.to_owned(),
            // One cause, one complaint.
            ring: Ring::FlagsUnknown,
            ..good()
        };
        check(&state, &[&format!("Linux {release} is older than 6.1"), "upgrade the kernel"]);
    }
}

#[test]
fn rings() {
    let cases: [(Ring, Option<u8>, &[&str]); 10] = [
        (Ring::Forbidden, Some(2), &["kernel.io_uring_disabled = 2", "sysctl -w"]),
        (Ring::Forbidden, Some(1), &["kernel.io_uring_disabled = 1", "kernel.io_uring_group"]),
        (Ring::Forbidden, Some(0), &["EPERM", "seccomp", "docker run --security-opt"]),
        (Ring::Forbidden, None, &["EPERM", "seccomp", "docker run --security-opt"]),
        (Ring::NotThere, None, &["ENOSYS", "CONFIG_IO_URING", "docker run --security-opt"]),
        (Ring::NotThere, Some(2), &["kernel.io_uring_disabled = 2", "sysctl -w"]),
        (Ring::FlagsUnknown, None, &["EINVAL", "DEFER_TASKRUN", "upgrade"]),
        (Ring::NoMemory, None, &["ENOMEM", "MemoryMax="]),
        (Ring::NoDescriptor, None, &["EMFILE", "ulimit -n"]),
        (Ring::Failed(14), None, &["error 14", "dmesg"]),
    ];
    for (ring, io_uring_disabled, parts) in cases {
        check(&HostState { ring, io_uring_disabled, ..good() }, parts);
    }
}

#[test]
fn limits_of_locked_memory() {
    let state = HostState { memlock_bytes: Some(65_536), ..good() };
    let expected = [
        "memlock limit is 64 KiB and 1024 KiB are needed (512 for each of 2 shards);",
        "LimitMEMLOCK=1024K",
        "memlock=1048576:1048576",
        "ulimit -l 1024",
    ];
    check(&state, &expected);
    let state = HostState { memlock_bytes: Some(1_048_575), ..good() };
    check(&state, &["1024 KiB are needed"]);
    let state = HostState { memlock_bytes: Some(1_048_576), ..good() };
    assert_eq!(complaints(&state, &NEEDS), []);
    // Whoever may lock freely needs what one executor looks for.
    let state = HostState { memlock_bytes: Some(524_288), locks_freely: true, ..good() };
    assert_eq!(complaints(&state, &NEEDS), []);
    let state = HostState { memlock_bytes: Some(524_287), locks_freely: true, ..good() };
    check(&state, &["512 KiB are needed;"]);
}

#[test]
fn limits_of_open_files() {
    let need = NEEDS.descriptors();
    assert_eq!(need, 128 + 2 * 512 + 14_000);
    let state = HostState { nofile: Some(need - 1), ..good() };
    let expected = [
        "(nofile) is 15151 and 15152 are needed",
        "10000 for connections_max of [limits] and the listeners, 4000 for that of [delivery], \
         1152 besides",
        "LimitNOFILE=15152",
        "ulimit -n 15152",
        "lower connections_max",
    ];
    check(&state, &expected);
    let state = HostState { nofile: Some(need), ..good() };
    assert_eq!(complaints(&state, &NEEDS), []);
}

#[test]
fn all_complaints_come_at_once() {
    let state =
        HostState { ring: Ring::Forbidden, memlock_bytes: Some(0), nofile: Some(0), ..good() };
    assert_eq!(complaints(&state, &NEEDS).len(), 3);
}

#[test]
fn needs_of_a_configuration() {
    let text = "hostname = \"h\"\n[shards]\ncpus = \"0-2\"\n\
                [[listener]]\naddress = \"127.0.0.1:1\"\nconnections_max = 10\n\
                [[listener]]\naddress = \"127.0.0.1:2\"\nconnections_max = 3\n\
                [delivery]\nconnections_max = 7\nconnections_per_site_max = 1\n";
    let cpus: crate::config::CpuList = "0-2".parse().expect("a list");
    let host = HostFacts { cpus_present: cpus.clone(), cpus_allowed: cpus, ..HostFacts::probe() };
    let config = Config::parse("f", text, &host).expect("a configuration");
    // Each share is rounded up.
    let expected = Needs { shards: 3, connections_in: 12 + 3, connections_out: 9 };
    assert_eq!(Needs::of(&config), expected);
    // The listeners together may have fewer than each by itself.
    let config = Config::parse("f", &format!("{text}[limits]\nconnections_max = 14\n"), &host);
    let needs = Needs::of(&config.expect("a configuration"));
    assert_eq!(needs, Needs { connections_in: 14, ..expected });
}

#[test]
fn preparing_a_host_takes_the_spool_and_finds_ports() {
    let root = temporary_directory();
    let spool = root.path().join("spool");
    let text = format!(
        "hostname = \"h\"\n[spool]\npath = {:?}\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
         connections_max = 10\n[delivery]\nconnections_max = 20\n",
        spool.display().to_string()
    );
    let config = Config::parse("f", &text, &HostFacts::probe()).expect("a configuration");
    let prepared = prepare(&config).expect("this host will do");
    assert_eq!(prepared.listener_addresses.len(), 1);
    let complaints = prepare(&config).expect_err("the spool is taken");
    assert!(complaints[0].what.contains("in use by another ringpost"), "{complaints:?}");
}

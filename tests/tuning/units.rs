//! The unit files, and the scripts' own form.

use std::fs;

use ringpost::limits::{PROCESS_DESCRIPTOR_COUNT, SHARD_DESCRIPTOR_COUNT, SHARD_MEMLOCK_BYTES};

use crate::support::{Directory, project, run, tuning_file};

/// Connections of the default configuration, in and out.
const CONNECTIONS: u64 = 14_000;

#[test]
fn systemd_takes_the_units() {
    let directory = Directory::new("units");
    let names = ["ringpost.service", "ringpost.slice", "ringpost-irq.service"];
    let paths = names.map(|name| {
        // systemd-analyze wants the programs to be there.
        let text = tuning_file(&format!("systemd/{name}"))
            .replace("/usr/local/bin/ringpost", "/bin/true")
            .replace("/usr/local/sbin/ringpost-irq", "/bin/true");
        directory.put(name, &text);
        directory.path().join(name).to_str().unwrap().to_owned()
    });
    let arguments: Vec<&str> =
        ["verify"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    let verified = run("systemd-analyze", &arguments).exited(0);
    // It complains and says that all is well.
    let ours = verified.errors.lines().find(|line| line.contains("ringpost"));
    assert_eq!(ours, None, "{verified:#?}");
}

/// The unit, the limits of login sessions, and the guide promise what the program needs.
#[test]
fn limits_are_those_of_the_program() {
    let shards = 228;
    let descriptors =
        |shards| CONNECTIONS + PROCESS_DESCRIPTOR_COUNT + shards * SHARD_DESCRIPTOR_COUNT;
    assert!(descriptors(shards) <= 131_072 && descriptors(shards + 1) > 131_072);
    assert_eq!(256 * SHARD_MEMLOCK_BYTES, 128 << 20);

    let unit = tuning_file("systemd/ringpost.service");
    assert!(unit.lines().any(|line| line == "LimitNOFILE=131072"));
    assert!(unit.lines().any(|line| line == "LimitMEMLOCK=128M"));
    let session = tuning_file("limits.d/ringpost.conf");
    assert!(session.lines().any(|line| line == "ringpost hard nofile 131072"));
    assert!(session.lines().any(|line| line == "ringpost hard memlock 131072"));
    let guide = tuning_file("README.md");
    assert!(guide.contains("131,072 descriptors"));
    assert!(guide.contains("each of up to 228 shards"));
}

#[test]
fn scripts_are_sound() {
    let scripts = ["apply", "irq"].map(|name| project().join("tuning").join(name));
    for script in scripts {
        run("shellcheck", &[script.to_str().unwrap()]).exited(0);
    }
    let measure = fs::read_to_string(project().join("tuning/measure")).unwrap();
    assert!(measure.starts_with("#!/usr/bin/env python3"));
}

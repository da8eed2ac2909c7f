//! A made-up host.

use std::cell::OnceCell;
use std::io;
use std::path::Path;

use super::host::Host;
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
    let text = format!("[shards]\ncpus = \"0\"\n{text}");
    Host {
        root: root.to_owned(),
        config: Config::parse("test", &text, &facts).unwrap(),
        facts,
        ask: |_, _| Err(io::ErrorKind::NotFound.into()),
        measures: false,
        port_25: Vec::new(),
        commits: OnceCell::new(),
        mount: OnceCell::new(),
    }
}

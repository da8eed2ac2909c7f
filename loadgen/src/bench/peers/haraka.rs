//! Haraka with a configuration, queue and port of its own: as many processes as it has CPUs, as its
//! wiki says for performance, warnings logged and nothing more, no look-ups of names. Its
//! durability stays as it comes: the queue file is synced before the 250, its directory is not.
//!
//! A plugin of ours takes all mail and names the next hop. To hold mail back it lets the look-up of
//! the next hop wait, which costs nothing; as many deliveries as may run at a time wait there, and
//! the others behind them.
//!
//! # Failures
//! It or Node.js is not installed.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use super::DELIVERIES;
use crate::bench::server::{Duty, OwnChild, Protection, Server};
use crate::net;
use crate::process::Tree;
use crate::tls::TlsMode;

/// The plugin.
const PLUGIN: &str = include_str!("haraka.js");

#[derive(Debug)]
struct Haraka {
    address: SocketAddr,
    home: PathBuf,
    package: PathBuf,
    child: OwnChild,
}

/// Starts a Haraka with its files in `directory`; `program` is its `bin/haraka`.
///
/// # Errors
/// It cannot be started here.
pub(super) fn start(
    program: &Path,
    directory: &Path,
    duty: Duty,
    protection: &Protection,
) -> io::Result<Box<dyn Server>> {
    let address = net::free_address()?;
    let package = program.ancestors().nth(2).unwrap_or(program).to_owned();
    let home = directory.join("haraka");
    configure(&package, &home, address, protection)?;
    if let Duty::Relay { next_hop } = duty {
        name_next_hop(&home, next_hop)?;
    }
    let mut command = Command::new("node");
    command.arg(program).arg("-c").arg(&home).current_dir(&home);
    let log = directory.join("log");
    let child = OwnChild::start_listening(&mut command, &log, address)?;
    Ok(Box::new(Haraka { address, home, package, child }))
}

/// The group ffdhe2048 of RFC 7919 (appendix A.1).
const DH_PARAMETERS: &str = "\
-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
";

fn configure(
    package: &Path,
    home: &Path,
    address: SocketAddr,
    protection: &Protection,
) -> io::Result<()> {
    let directory = home.join("config");
    fs::create_dir_all(&directory)?;
    fs::create_dir_all(home.join("plugins"))?;
    fs::write(home.join("plugins/bench.js"), PLUGIN)?;
    let write = |name: &str, text: &str| fs::write(directory.join(name), text);
    // It looks for all of this in the file, and does not know defaults for it.
    let connection = fs::read_to_string(package.join("config/connection.ini"))?;
    write("connection.ini", &connection.replace("\nbytes=", "\nbytes=1073741824\n; "))?;
    write("log.ini", "[main]\nlevel=warn\nformat=default\n")?;
    write("me", "bench.example\n")?;
    // No limit: a look-up of the next hop may wait as long as mail is held.
    write("plugin_timeout", "0\n")?;
    write("outbound.ini", &format!("concurrency_max={DELIVERIES}\nenable_tls=false\n"))?;
    let cpus = thread::available_parallelism()?.get();
    // One process alone needs none that spreads connections over others.
    let nodes = if cpus > 1 { cpus } else { 0 };
    let mut smtp = format!("listen={address}\nnodes={nodes}\npublic_ip={}\n", address.ip());
    if protection.mode == TlsMode::Implicit {
        // Writing to a String cannot fail.
        let _ = writeln!(smtp, "smtps_port={}", address.port());
    }
    write("smtp.ini", &smtp)?;
    // Otherwise it makes parameters of its own, for minutes, with TLS or without, and beside the
    // measurement.
    write("dhparams.pem", DH_PARAMETERS)?;
    write("tls.ini", "[main]\ndhparam=dhparams.pem\n")?;
    let needs_certificate = protection.needs_certificate();
    write("plugins", if needs_certificate { "tls\nbench\n" } else { "bench\n" })?;
    if needs_certificate {
        let [certificate, key] = ["tls_cert.pem", "tls_key.pem"].map(|name| directory.join(name));
        protection.files.copy_to(&certificate, &key)?;
    }
    Ok(())
}

/// Tells the plugin where to deliver: the file appears at once and whole.
fn name_next_hop(home: &Path, next_hop: SocketAddr) -> io::Result<()> {
    let part = home.join("next_hop");
    fs::write(&part, format!("{} {}\n", next_hop.ip(), next_hop.port()))?;
    fs::rename(&part, home.join("config/next_hop"))
}

impl Server for Haraka {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn tree(&self) -> Tree {
        Tree { root: self.child.id() }
    }

    fn release(&mut self, next_hop: SocketAddr) -> io::Result<()> {
        name_next_hop(&self.home, next_hop)
    }

    fn version(&self) -> Option<String> {
        let text = fs::read(self.package.join("package.json")).ok()?;
        let package: serde_json::Value = serde_json::from_slice(&text).ok()?;
        package["version"].as_str().map(str::to_owned)
    }
}

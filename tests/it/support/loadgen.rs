//! The bundled load generator: a source that survives the server's death, and a sink that tells
//! which messages it saw.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::SMTP_PORT;
use super::process::{Process, Signal};
use super::scenario::Scenario;
use super::sink::{Received, Sink, files_in};

/// Names a built `loadgen`; without it the tests build it.
const LOADGEN_VARIABLE: &str = "RINGPOST_TEST_LOADGEN";

/// The `loadgen` program. The first call may have to build it, which is better done before the
/// clock of a scenario starts.
pub(crate) fn loadgen_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        std::env::var_os(LOADGEN_VARIABLE).map_or_else(build_loadgen, PathBuf::from)
    })
}

/// Cargo gives a test the programs of its own package only.
fn build_loadgen() -> PathBuf {
    let directory = Path::new(env!("CARGO_BIN_EXE_ringpost")).parent().expect("a directory");
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--locked", "--package", "loadgen", "--target-dir"]);
    command.arg(directory.parent().expect("the target directory"));
    if directory.ends_with("release") {
        command.arg("--release");
    }
    let status = command.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
    assert!(status.success(), "loadgen does not build");
    directory.join("loadgen")
}

/// The ids in a file of the source's or the sink's, in their order.
fn read_ids(file: &Path) -> Vec<String> {
    // Whoever writes it may be about to create it.
    let text = fs::read_to_string(file).unwrap_or_default();
    // The last line may be in the middle of being written.
    text.split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
        .map(str::to_owned)
        .collect()
}

/// A running `loadgen sink` that keeps every message.
#[derive(Debug)]
pub(crate) struct LoadgenSink {
    process: Process,
    address: SocketAddr,
    ids: PathBuf,
    bodies: PathBuf,
}

impl LoadgenSink {
    /// Starts one that accepts everything, on an address of its own.
    pub(crate) fn start(test: &Scenario) -> Self {
        Self::start_with(test, &[])
    }

    /// Starts one with further options.
    pub(crate) fn start_with(test: &Scenario, options: &[&str]) -> Self {
        let address = SocketAddr::from((test.address(), SMTP_PORT));
        let bodies = test.path().join(format!("loadgen-{}", address.ip()));
        let ids = bodies.with_extension("ids");
        let mut command = Command::new(loadgen_program());
        command.args(["sink", "--quiet", "--listen", &address.to_string()]);
        command.arg("--ids").arg(&ids).arg("--bodies").arg(&bodies).args(options);
        let mut process = Process::start(test, &mut command);
        process.wait_listening(test, address);
        Self { process, address, ids, bodies }
    }

    /// Stops it and returns the ids of all messages it accepted, one for each time it did.
    pub(crate) fn stop(&mut self, test: &Scenario) -> Vec<String> {
        self.process.signal(Signal::TERM);
        self.process.wait(test).succeeded();
        read_ids(&self.ids)
    }
}

impl LoadgenSink {
    /// The finished ones; others do not have the extension yet.
    fn contents(&self) -> Vec<PathBuf> {
        files_in(&self.bodies, "eml")
    }
}

impl Sink for LoadgenSink {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn count(&self) -> usize {
        self.contents().len()
    }

    fn received(&self) -> Vec<Received> {
        self.contents().iter().map(|path| read_message(path)).collect()
    }
}

/// The envelope holds the arguments of MAIL and of each accepted RCPT, one a line.
fn read_message(content: &Path) -> Received {
    let envelope = fs::read_to_string(content.with_extension("envelope")).expect("an envelope");
    let mut paths = envelope.lines().map(|line| {
        let from = line.find('<').map_or(0, |at| at + 1);
        line[from..line.find('>').unwrap_or(line.len())].to_owned()
    });
    Received {
        sender: paths.next().unwrap_or_default(),
        recipients: paths.collect(),
        content: fs::read(content).expect("the content of an envelope"),
    }
}

/// A running `loadgen source` that sends until every message was accepted, whatever becomes of the
/// server meanwhile.
#[derive(Debug)]
pub(crate) struct LoadgenSource {
    process: Process,
    acked: PathBuf,
}

impl LoadgenSource {
    /// Starts to send `messages` of `size` bytes over `connections`.
    pub(crate) fn start(
        test: &Scenario,
        server: SocketAddr,
        (messages, size, connections): (usize, usize, usize),
    ) -> Self {
        let acked = test.path().join("source.acked");
        let mut command = Command::new(loadgen_program());
        command.args(["source", "--quiet", "--reconnect", &server.to_string()]);
        for (option, value) in
            [("--messages", messages), ("--size", size), ("--connections", connections)]
        {
            command.arg(option).arg(value.to_string());
        }
        command.arg("--acked").arg(&acked);
        Self { process: Process::start(test, &mut command), acked }
    }

    /// How many messages were answered with 250 so far, as far as is written down.
    pub(crate) fn acked_count(&self) -> usize {
        memchr::memchr_iter(b'\n', &fs::read(&self.acked).unwrap_or_default()).count()
    }

    /// Whether it is still sending.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.poll_status().is_none()
    }

    /// Waits until all messages were accepted and returns the ids of those it had a 250 for.
    pub(crate) fn finish(mut self, test: &Scenario) -> Vec<String> {
        self.process.wait(test).succeeded();
        read_ids(&self.acked)
    }
}

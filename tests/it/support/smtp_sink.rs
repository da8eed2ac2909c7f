//! Postfix's `smtp-sink` as a next hop.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::SMTP_PORT;
use super::mail::split_trace;
use super::process::{Process, is_root};
use super::scenario::Scenario;
use super::sink::{Received, Sink, with_crlf};

/// Connections that wait to be accepted.
const BACKLOG: &str = "100";

/// The fields `smtp-sink` puts on top of a dumped message.
const DUMP_FIELDS: [&str; 5] =
    ["X-Client-Addr", "X-Client-Proto", "X-Helo-Args", "X-Mail-Args", "X-Rcpt-Args"];

/// A running `smtp-sink` that dumps each message into a file.
#[derive(Debug)]
pub(crate) struct SmtpSink {
    process: Process,
    address: SocketAddr,
    directory: PathBuf,
}

impl SmtpSink {
    /// Starts one on an address of its own.
    pub(crate) fn start(test: &Scenario) -> Self {
        let ip = test.address();
        let directory = test.open_path().join(format!("smtp-sink-{ip}"));
        fs::create_dir(&directory).expect("a directory for the messages");
        let mut command = Command::new("/usr/sbin/smtp-sink");
        if is_root() {
            // It refuses to run as root, and what it runs as must be able to write.
            command.args(["-u", "nobody"]);
            open_to_everyone(&directory);
        }
        // Without a main.cf it needs to be told where there is one, even though it uses nothing
        // of it.
        let config = test.open_path().join(format!("smtp-sink-{ip}-config"));
        fs::create_dir(&config).expect("a directory for the configuration");
        fs::write(config.join("main.cf"), "compatibility_level = 3.6\n").expect("a main.cf");
        command.env("MAIL_CONFIG", &config);
        let address = SocketAddr::from((ip, SMTP_PORT));
        command.arg("-d").arg(directory.join("message.")).arg(address.to_string()).arg(BACKLOG);
        let mut process = Process::start(test, &mut command);
        process.wait_listening(test, address);
        Self { process, address, directory }
    }

    /// The complete dumps.
    fn dumps(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(&self.directory).expect("the directory of the messages");
        let paths = entries.map(|entry| entry.expect("an entry of the directory").path());
        paths.filter(|path| !self.is_writing(path))
    }

    /// Whether the sink is still writing this file. It opens a file before it has its name in the
    /// directory and closes it with the last byte.
    fn is_writing(&self, file: &Path) -> bool {
        let descriptors = format!("/proc/{}/fd", self.process.pid().as_raw_nonzero());
        fs::read_dir(descriptors)
            .expect("the descriptors of a running sink")
            // A descriptor may be closed between the listing and this look at it.
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .any(|target| target == file)
    }
}

fn open_to_everyone(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let everyone = fs::Permissions::from_mode(0o777);
    fs::set_permissions(directory, everyone).expect("a mode for the directory");
}

impl Sink for SmtpSink {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn count(&self) -> usize {
        self.dumps().count()
    }

    fn received(&self) -> Vec<Received> {
        self.dumps().map(|dump| read_dump(&fs::read(dump).expect("a dumped message"))).collect()
    }
}

/// Takes a dump apart. `smtp-sink` adds an empty line to the content.
fn read_dump(dump: &[u8]) -> Received {
    let dump = dump.strip_suffix(b"\n").expect("an empty line at the end of a dump");
    let (fields, content) = split_trace(dump, &DUMP_FIELDS);
    let values = |name: &str| -> Vec<String> {
        fields
            .iter()
            .filter_map(|field| std::str::from_utf8(field).ok()?.strip_prefix(name))
            .map(|value| path_of(value).to_owned())
            .collect()
    };
    // Its own trace field is the first; what follows came over the wire.
    let (_, content) = split_first_field(content);
    Received {
        sender: values("X-Mail-Args:").concat(),
        recipients: values("X-Rcpt-Args:"),
        content: with_crlf(content),
    }
}

/// The address between the angle brackets of a command's argument.
fn path_of(argument: &str) -> &str {
    let from = argument.find('<').map_or(0, |at| at + 1);
    let to = argument.find('>').unwrap_or(argument.len());
    &argument[from..to]
}

fn split_first_field(content: &[u8]) -> (&[u8], &[u8]) {
    let (fields, _) = split_trace(content, &["Received"]);
    content.split_at(fields.first().map_or(0, |field| field.len()))
}

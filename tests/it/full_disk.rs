//! A disk that runs full: mail is refused for the time being, nothing that was accepted is lost,
//! and reception resumes by itself.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::support::{
    Aiosmtpd, Config, LoopDisk, Mail, RECIPIENT, Ringpost, SENDER, SMTP_PORT, Scenario,
    assert_arrived, scenario,
};

/// Bytes of the disk.
const DISK_BYTES: usize = 64 << 20;

/// Bytes of a segment; several fit on the disk.
const SEGMENT_BYTES: u64 = 4 << 20;

/// Bytes of a message. Far more of them are sent than fit on the disk.
const MESSAGE_BYTES: usize = 200_000;

/// More messages than fit on the disk, so that a server that never says so fails.
const MESSAGE_COUNT_MAX: usize = 2 * DISK_BYTES / MESSAGE_BYTES;

/// For scenarios that fill a disk and empty it through a sink in Python.
const DISK_LIMIT: Duration = Duration::from_secs(240);

/// A server whose spool is on a small disk and whose next hop is down.
struct FilledUp {
    server: Ringpost,
    config: Config,
    next_hop: Ipv4Addr,
    disk: LoopDisk,
    accepted: Vec<Mail>,
}

impl FilledUp {
    /// Starts the server, leaves `prepare` to do something to the disk, and sends mail until it is
    /// refused.
    fn new<T>(test: &Scenario, prepare: impl FnOnce(&LoopDisk) -> T) -> (Self, T) {
        let disk = LoopDisk::mount(test, DISK_BYTES, "");
        let next_hop = test.address();
        let config = Config::relaying_to(test, (next_hop, SMTP_PORT).into())
            .spool(&disk.path().join("spool"))
            .set("spool", "segment_bytes", SEGMENT_BYTES);
        let server = Ringpost::start(test, &config);
        let prepared = prepare(&disk);
        let mut filled = Self { server, config, next_hop, disk, accepted: Vec::new() };
        filled.send_until_refused();
        (filled, prepared)
    }

    fn next_mail(&self) -> Mail {
        let line = format!("{:>68}\r\n", self.accepted.len());
        let name = format!("number-{}", self.accepted.len());
        Mail::new(&name, line.repeat(MESSAGE_BYTES / line.len()).as_bytes())
    }

    fn send_until_refused(&mut self) {
        let mut session = self.server.session();
        for _ in 0..MESSAGE_COUNT_MAX {
            let mail = self.next_mail();
            match session.try_deliver(SENDER, RECIPIENT, &mail.content) {
                Ok(()) => self.accepted.push(mail),
                Err(reply) => {
                    // The same session goes on, and others begin.
                    reply.assert_starts("452 4.3.1");
                    session.command("NOOP", "250");
                    self.server.session().command("QUIT", "221");
                    session.command("QUIT", "221");
                    return;
                }
            }
        }
        panic!("{MESSAGE_COUNT_MAX} messages were accepted on a disk that holds half of them");
    }

    /// Waits until the server, which nobody touches, takes mail again.
    fn wait_accepting(&mut self, test: &Scenario) {
        let mail = self.next_mail();
        test.wait_until("the server to take mail again", || {
            self.server.process().assert_running();
            match self.server.session().try_deliver(SENDER, RECIPIENT, &mail.content) {
                Ok(()) => true,
                Err(reply) => {
                    reply.assert_starts("452 4.3.1");
                    false
                }
            }
        });
        self.accepted.push(mail);
    }

    /// Brings the next hop up and waits until it has everything that was accepted, once.
    fn deliver_all(&mut self, test: &Scenario) -> Aiosmtpd {
        let sink = Aiosmtpd::start_with(test, self.next_hop, &[]);
        assert_arrived(test, &sink, &self.accepted, 1);
        self.server.wait_queue_empty(test);
        sink
    }
}

#[test]
fn reception_resumes_once_mail_was_delivered() {
    scenario(DISK_LIMIT, |test| {
        let (mut filled, ()) = FilledUp::new(test, |_| ());
        let sink = filled.deliver_all(test);
        filled.wait_accepting(test);
        assert_arrived(test, &sink, &filled.accepted, 1);
        filled.server.stop(test);
    });
}

#[test]
fn reception_resumes_once_there_is_room() {
    scenario(DISK_LIMIT, |test| {
        let (mut filled, filler) = FilledUp::new(test, LoopDisk::fill);
        std::fs::remove_file(filler).expect("the file that fills the disk");
        filled.wait_accepting(test);
        filled.deliver_all(test);
        filled.server.stop(test);
    });
}

/// The spool is read back and its mail delivered although nothing more can be written to the disk
/// than what the segments there have room for.
#[test]
fn mail_on_a_full_disk_survives_a_crash() {
    scenario(DISK_LIMIT, |test| {
        let (filled, _) = FilledUp::new(test, |_| ());
        let FilledUp { server, config, next_hop, disk, accepted } = filled;
        server.kill();
        disk.fill();
        let server = Ringpost::start(test, &config);
        let mut filled = FilledUp { server, config, next_hop, disk, accepted };
        filled.deliver_all(test);
        filled.wait_accepting(test);
    });
}

//! The peers among themselves, without Ringpost: when one of these fails, a peer or the harness
//! is broken and no other failure of the run says anything about the server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::support::{
    Aiosmtpd, Answer, BROKEN_DOMAIN, LoadgenSink, LoadgenSource, LoopDisk, Mail, Postfix,
    RECIPIENT, SENDER, Scenario, Sender, Sink, SmtpSink, SmtpSocket, USUAL_LIMIT, Unbound,
    assert_arrived, loadgen_program, python, scenario, too_large_for_udp,
};

/// How long a name server on loopback may take for an answer.
const DNS_LIMIT: Duration = Duration::from_secs(10);

fn every_sender_reaches(test: &Scenario, sink: &dyn Sink) {
    let mails = Sender::ALL.map(|sender| {
        let mail = Mail::small(&format!("by-{sender:?}"));
        sender.send(test, sink.address(), &mail)
    });
    assert_arrived(test, sink, &mails, 0);
    for received in sink.received() {
        assert_eq!(received.sender, SENDER);
        assert_eq!(received.recipients, [RECIPIENT]);
    }
}

#[test]
fn senders_reach_aiosmtpd() {
    scenario(USUAL_LIMIT, |test| every_sender_reaches(test, &Aiosmtpd::start(test)));
}

#[test]
fn senders_reach_smtp_sink() {
    scenario(USUAL_LIMIT, |test| every_sender_reaches(test, &SmtpSink::start(test)));
}

#[test]
fn senders_reach_postfix() {
    scenario(USUAL_LIMIT, |test| every_sender_reaches(test, &Postfix::start(test)));
}

/// The senders and the sink with the least machinery in between change no byte.
#[test]
fn senders_and_aiosmtpd_carry_difficult_mail() {
    scenario(USUAL_LIMIT, |test| {
        for sender in Sender::ALL {
            let sink = Aiosmtpd::start(test);
            let send = |mail: Mail| sender.send(test, sink.address(), &mail);
            let sent: Vec<Mail> = Mail::difficult().into_iter().map(send).collect();
            assert_arrived(test, &sink, &sent, 0);
        }
    });
}

fn sink_carries_difficult_mail(test: &Scenario, sink: &dyn Sink) {
    let mails = Mail::difficult();
    let mut session = SmtpSocket::session(sink.address());
    for mail in &mails {
        session.deliver(SENDER, RECIPIENT, &mail.content);
    }
    assert_arrived(test, sink, &mails, 0);
}

#[test]
fn smtp_sink_carries_difficult_mail() {
    scenario(USUAL_LIMIT, |test| sink_carries_difficult_mail(test, &SmtpSink::start(test)));
}

#[test]
fn postfix_carries_difficult_mail() {
    scenario(USUAL_LIMIT, |test| sink_carries_difficult_mail(test, &Postfix::start(test)));
}

#[test]
fn loadgen_sink_carries_difficult_mail() {
    loadgen_program();
    scenario(USUAL_LIMIT, |test| {
        let mut sink = LoadgenSink::start(test);
        sink_carries_difficult_mail(test, &sink);
        // None of them carries an id.
        assert_eq!(sink.stop(test), vec!["-"; Mail::difficult().len()]);
    });
}

#[test]
fn senders_reach_the_loadgen_sink() {
    loadgen_program();
    scenario(USUAL_LIMIT, |test| every_sender_reaches(test, &LoadgenSink::start(test)));
}

/// The source keeps its promise to be believed on what was accepted, whatever dies under it.
#[test]
fn loadgen_source_outlives_its_server() {
    loadgen_program();
    const MESSAGE_COUNT: usize = 500;
    scenario(USUAL_LIMIT, |test| {
        let ip = test.address();
        let sink = Aiosmtpd::start_with(test, ip, &[]);
        let source = LoadgenSource::start(test, sink.address(), (MESSAGE_COUNT, 1_000, 5));
        test.wait_until("some messages to be accepted", || source.acked_count() > 0);
        drop(sink);
        let sink = Aiosmtpd::start_with(test, ip, &[]);
        let acked = source.finish(test);
        assert_eq!(acked.len(), MESSAGE_COUNT);
        let arrived: Vec<String> = sink
            .received()
            .iter()
            .map(|received| String::from_utf8_lossy(&received.content).into_owned())
            .collect();
        for id in acked {
            let line = format!("X-Loadgen-Id: {id} ");
            assert!(arrived.iter().any(|content| content.contains(&line)), "{id} is lost");
        }
    });
}

#[test]
fn aiosmtpd_answers_as_told() {
    scenario(USUAL_LIMIT, |test| {
        let answers = [
            Answer { stage: "rcpt", recipient: "later@d.test", times: 1, reply: "450 4.2.1 later" },
            Answer { stage: "data", recipient: "never@d.test", times: 0, reply: "554 5.6.0 never" },
        ];
        let sink = Aiosmtpd::start_with(test, test.address(), &answers);
        let mut session = SmtpSocket::session(sink.address());
        let content = Mail::small("answers").content;
        let refused = session.try_deliver(SENDER, "later@d.test", &content).unwrap_err();
        refused.assert_starts("450 4.2.1 later");
        session.deliver(SENDER, "later@d.test", &content);
        for _ in 0..2 {
            let refused = session.try_deliver(SENDER, "never@d.test", &content).unwrap_err();
            refused.assert_starts("554 5.6.0 never");
        }
        assert_eq!(sink.received().len(), 1);
    });
}

/// The report reader tells a sound report from one that Python's parser must mend.
#[test]
fn report_reader_sees_defects() {
    scenario(USUAL_LIMIT, |test| {
        let sound = "From: a@b.test\r\nTo: c@d.test\r\nAuto-Submitted: auto-replied\r\n\
            MIME-Version: 1.0\r\n\
            Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n\
            --x\r\n\r\nfor people\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\n\
            Reporting-MTA: dns; b.test\r\n\r\nFinal-Recipient: rfc822; e@f.test\r\n\
            Action: failed\r\nStatus: 5.1.1\r\n\r\n--x--\r\n";
        let read = |report: &str| {
            test.run(&mut python("read_report.py"), report.as_bytes()).succeeded().output
        };
        let facts = read(sound);
        assert!(!facts.contains("defect:"), "{facts}");
        assert!(facts.contains("part: message/delivery-status\n"), "{facts}");
        assert!(facts.contains("final-recipient: rfc822; e@f.test\n"), "{facts}");
        assert!(facts.contains("status: 5.1.1\n"), "{facts}");
        let cut = read(sound.strip_suffix("--x--\r\n").unwrap());
        assert!(cut.contains("defect:"), "{cut}");
    });
}

#[test]
fn unbound_answers_every_way_the_relay_must_know() {
    scenario(USUAL_LIMIT, |test| {
        let mut records = vec![
            "dest.test. 60 IN MX 10 mx1.dest.test.".to_owned(),
            "mx1.dest.test. 60 IN A 127.0.0.1".to_owned(),
            "null.test. 60 IN MX 0 .".to_owned(),
        ];
        records.extend(too_large_for_udp("many.test", "mx1.dest.test"));
        let unbound = Unbound::start(test, &records);
        let server = unbound.address();

        let found = ask_over_udp(server, "dest.test");
        assert_eq!((found.code, found.answers, found.truncated), (0, 1, false));
        assert_eq!(ask_over_udp(server, "null.test").answers, 1);
        assert_eq!(ask_over_udp(server, "absent.test").code, 3, "NXDOMAIN");
        assert_eq!(ask_over_udp(server, BROKEN_DOMAIN).code, 2, "SERVFAIL");
        assert!(ask_over_udp(server, "many.test").truncated);
        let whole = ask_over_tcp(server, "many.test");
        assert!(!whole.truncated);
        assert!(whole.answers > 1);
    });
}

/// The part of a DNS answer's header that the scenarios depend on (RFC 1035 §4.1.1).
struct DnsHeader {
    code: u8,
    answers: u16,
    truncated: bool,
}

impl DnsHeader {
    fn read(answer: &[u8]) -> Self {
        Self {
            code: answer[3] & 0x0F,
            answers: u16::from_be_bytes([answer[6], answer[7]]),
            truncated: answer[2] & 0x02 != 0,
        }
    }
}

/// A query for the MX records of `domain`, recursion desired, without EDNS.
fn mx_query(domain: &str) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in domain.split('.') {
        query.push(u8::try_from(label.len()).expect("a label has at most 63 bytes"));
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 15, 0, 1]);
    query
}

fn ask_over_udp(server: SocketAddr, domain: &str) -> DnsHeader {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DNS_LIMIT)).unwrap();
    socket.send_to(&mx_query(domain), server).unwrap();
    let mut answer = [0; 4096];
    let count = socket.recv(&mut answer).expect("an answer of the name server");
    DnsHeader::read(&answer[..count])
}

fn ask_over_tcp(server: SocketAddr, domain: &str) -> DnsHeader {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(DNS_LIMIT)).unwrap();
    let query = mx_query(domain);
    let length = u16::try_from(query.len()).unwrap().to_be_bytes();
    stream.write_all(&[length.as_slice(), query.as_slice()].concat()).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).expect("an answer of the name server");
    DnsHeader::read(&answer)
}

#[test]
fn loop_disk_fills_up_and_empties() {
    scenario(USUAL_LIMIT, |test| {
        let disk = LoopDisk::mount(test, 16 << 20, "");
        assert!(disk.free_bytes() > 4 << 20);
        let filler = disk.fill();
        assert!(disk.free_bytes() < 1 << 12);
        assert!(std::fs::write(disk.path().join("one-more"), [0; 1 << 13]).is_err());
        std::fs::remove_file(filler).unwrap();
        test.wait_until("the space to be free again", || disk.free_bytes() > 4 << 20);
    });
}

/// The filter leaves a command everything but rings.
#[test]
fn io_uring_can_be_denied_to_one_command() {
    scenario(USUAL_LIMIT, |test| {
        let mut command = python("deny_io_uring.py");
        command.args(["EPERM", "sh", "-c", "echo runs; grep ^Seccomp: /proc/self/status"]);
        let output = test.run(&mut command, b"").succeeded().output;
        assert!(output.starts_with("runs\n"), "{output}");
        assert!(output.contains("Seccomp:\t2"), "{output}");
    });
}

#[test]
fn a_scenario_past_its_limit_fails_and_its_processes_end() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let late = std::panic::catch_unwind(move || {
        scenario(Duration::ZERO, move |test| {
            let mut sleeper = test.start(std::process::Command::new("sleep").arg("1000"));
            sender.send(sleeper.pid()).unwrap();
            sleeper.wait(test);
        });
    });
    assert!(late.is_err());
    let pid = receiver.recv().unwrap();
    assert!(rustix::process::test_kill_process(pid).is_err(), "{pid:?} still runs");
}

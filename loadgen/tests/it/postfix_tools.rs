//! Each side with Postfix's own tool at the other end. They are in Debian's package `postfix`.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{Process, Sink, send};

fn tool(name: &str) -> Command {
    let path = Path::new("/usr/sbin").join(name);
    assert!(path.exists(), "{name} is missing; run `apt-get install postfix`");
    Command::new(path)
}

#[test]
fn smtp_source_sends_into_our_sink() {
    for keep in [true, false] {
        let mut sink = Sink::start(&["--bodies", "bodies"]);
        let mut command = tool("smtp-source");
        if keep {
            command.arg("-d");
        }
        command.args(["-s", "5", "-m", "200", "-l", "3000", "-r", "2"]);
        command.args(["-f", "from@example.com", "-t", "to@example.com", &sink.address]);
        assert!(Process::start(&mut command).wait().success());
        let totals = sink.stop();
        for (name, count) in
            [("messages", 200), ("recipients", 400), ("unmarked", 200), ("distinct", 0)]
        {
            assert_eq!(totals[name], count, "{name}, connections kept: {keep}");
        }
        let body = fs::read(sink.path("bodies").join("00000200.eml")).unwrap();
        assert!(body.ends_with(b"\r\n") && body.len() > 3_000, "{}", body.len());
    }
}

#[test]
fn our_source_sends_into_smtp_sink() {
    let user: &[&str] = if rustix::process::geteuid().is_root() { &["-u", "postfix"] } else { &[] };
    for options in [&[][..], &["--no-pipelining"], &["--messages-per-connection", "1"]] {
        let directory = tempfile::tempdir().unwrap();
        // smtp-sink gives up root before it writes the messages.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        // It wants a main.cf to read, though it needs nothing from it.
        fs::write(directory.path().join("main.cf"), "compatibility_level = 3.6\n").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut command = tool("smtp-sink");
        command.env("MAIL_CONFIG", directory.path()).current_dir(directory.path()).args(user);
        command.args(["-d", "message.", &address, "100"]).stdout(Stdio::null());
        let mut server = Process::start(&mut command);
        while TcpStream::connect(&address).is_err() {
            assert!(server.is_running());
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut all = vec!["--messages", "300", "--size", "2000"];
        all.extend(options);
        let sent = send(&address, &all);
        assert_eq!((sent.code, sent.acked.len()), (0, 300), "{options:?}: {}", sent.report);
        drop(server);
        let mut ids = BTreeSet::new();
        for entry in fs::read_dir(directory.path()).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let id = text.lines().find_map(|line| line.strip_prefix("X-Loadgen-Id: "));
            let id = id.and_then(|stamp| stamp.split(' ').next());
            ids.extend(id.map(str::to_owned));
        }
        assert_eq!(ids, sent.acked.iter().cloned().collect(), "{options:?}");
    }
}

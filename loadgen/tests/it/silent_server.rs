//! A server that takes mail over one connection and never greets on the others.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::send;

/// Far below the source's own time-out, which it must not wait for.
const TIME_MAX: Duration = Duration::from_secs(30);

/// Speaks SMTP without extensions over one connection, to its end.
fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?);
    let mut output = stream;
    output.write_all(b"220 one.example\r\n")?;
    let (mut line, mut in_content) = (String::new(), false);
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let reply: &[u8] = match line.trim_end() {
            "." => b"250 taken\r\n",
            _ if in_content => continue,
            "DATA" => b"354 go on\r\n",
            "QUIT" => return output.write_all(b"221 bye\r\n"),
            _ => b"250 one.example\r\n",
        };
        in_content = reply.starts_with(b"354");
        output.write_all(reply)?;
    }
}

#[test]
fn a_source_does_not_wait_for_greetings_that_it_does_not_need() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // The other connections succeed in the kernel, and stay there.
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        serve(stream).unwrap();
        listener
    });
    let begin = Instant::now();
    let sent = send(&address, &["--connections", "4", "--messages", "20", "--timeout", "60"]);
    assert_eq!((sent.code, sent.acked.len()), (0, 20), "{}", sent.report);
    assert!(begin.elapsed() < TIME_MAX, "{:?}", begin.elapsed());
    server.join().unwrap();
}

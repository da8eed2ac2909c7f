//! A receiving server in the process of the test that stops once for a while: nothing is answered
//! on any connection then.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// No client of a test is silent for longer.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Starts one that stops for `stall` at the content of message number `at`. It ends with the
/// process of the test.
pub(crate) fn start(at: u64, stall: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let doors = Arc::new(Doors { open: Mutex::default(), contents: AtomicU64::new(0), at, stall });
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let doors = Arc::clone(&doors);
            thread::spawn(move || doors.serve(stream));
        }
    });
    address
}

struct Doors {
    /// Held while nothing is answered.
    open: Mutex<()>,
    contents: AtomicU64,
    at: u64,
    stall: Duration,
}

impl Doors {
    /// Until the client is gone.
    fn serve(&self, stream: TcpStream) -> Option<()> {
        stream.set_read_timeout(Some(SILENCE_MAX)).ok()?;
        let mut replies = stream.try_clone().ok()?;
        let mut answer = |reply: &str| {
            let _open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            replies.write_all(reply.as_bytes()).ok()
        };
        let mut lines = BufReader::new(stream).lines();
        answer("220 stalling\r\n")?;
        let mut in_content = false;
        loop {
            let line = lines.next()?.ok()?;
            if in_content && line != "." {
                continue;
            }
            if in_content && self.contents.fetch_add(1, Ordering::Relaxed) == self.at {
                let _shut = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                thread::sleep(self.stall);
            }
            in_content = line == "DATA";
            answer(if in_content { "354 go on\r\n" } else { "250 well\r\n" })?;
        }
    }
}

//! A raw SMTP client: it sends exactly the bytes it is told to and shows every reply.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a reply may take. A server that answers later than this hangs.
const REPLY_LIMIT: Duration = Duration::from_secs(60);

/// One reply, all its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The three digits.
    pub(crate) code: u16,
    /// Each line without its code, separator and line end.
    pub(crate) lines: Vec<String>,
}

impl Reply {
    /// The reply as one line, for comparing its start: code, space, text.
    pub(crate) fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" / "))
    }

    /// Fails unless the reply starts with `start`, such as `550 5.7.1`.
    #[track_caller]
    pub(crate) fn assert_starts(&self, start: &str) {
        assert!(self.text().starts_with(start), "{} instead of {start}", self.text());
    }
}

/// A connection to an SMTP server.
#[derive(Debug)]
pub(crate) struct SmtpSocket {
    stream: TcpStream,
    received: Vec<u8>,
}

impl SmtpSocket {
    /// Connects and reads nothing.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server accepts connections");
        stream.set_read_timeout(Some(REPLY_LIMIT)).expect("a time limit on a socket");
        stream.set_write_timeout(Some(REPLY_LIMIT)).expect("a time limit on a socket");
        stream.set_nodelay(true).expect("a socket sends at once");
        Self { stream, received: Vec::new() }
    }

    /// Connects and reads the greeting.
    pub(crate) fn greeted(address: SocketAddr) -> Self {
        let mut socket = Self::connect(address);
        socket.expect("220");
        socket
    }

    /// Connects, reads the greeting and says EHLO.
    pub(crate) fn session(address: SocketAddr) -> Self {
        let mut socket = Self::greeted(address);
        socket.command("EHLO client.test", "250");
        socket
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes what is sent");
    }

    /// Sends bytes to a server that may have closed the connection; says whether they went out.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a command line and asserts how its reply starts.
    #[track_caller]
    pub(crate) fn command(&mut self, line: &str, start: &str) -> Reply {
        self.send(format!("{line}\r\n").as_bytes());
        let reply = self.reply();
        assert!(reply.text().starts_with(start), "{line:?}: {} instead of {start}", reply.text());
        reply
    }

    /// Sends a command line and returns its reply, whatever it is.
    #[track_caller]
    pub(crate) fn ask(&mut self, line: &str) -> Reply {
        self.send(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// Reads a reply and asserts how it starts.
    #[track_caller]
    pub(crate) fn expect(&mut self, start: &str) -> Reply {
        let reply = self.reply();
        reply.assert_starts(start);
        reply
    }

    /// Reads one reply.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        self.try_reply().expect("a reply rather than a closed connection")
    }

    /// Reads one reply; `None` when the server closed the connection instead.
    #[track_caller]
    pub(crate) fn try_reply(&mut self) -> Option<Reply> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            assert!(line.len() >= 3, "no reply line: {line:?}");
            let (code, rest) = line.split_at(3);
            let code = code.parse().unwrap_or_else(|_| panic!("no reply code: {line:?}"));
            // RFC 5321 §4.2.1: the hyphen means that further lines follow.
            let (last, text) = match rest.as_bytes().first() {
                None => (true, ""),
                Some(b' ') => (true, &rest[1..]),
                Some(b'-') => (false, &rest[1..]),
                Some(_) => panic!("no reply line: {line:?}"),
            };
            lines.push(text.to_owned());
            if last {
                return Some(Reply { code, lines });
            }
        }
    }

    /// Opens a transaction with one recipient and stops before DATA.
    #[track_caller]
    pub(crate) fn envelope(&mut self, sender: &str, recipient: &str) {
        self.command(&format!("MAIL FROM:<{sender}>"), "250");
        self.command(&format!("RCPT TO:<{recipient}>"), "250");
    }

    /// Sends one message whole and asserts that it is accepted.
    #[track_caller]
    pub(crate) fn deliver(&mut self, sender: &str, recipient: &str, content: &[u8]) {
        self.try_deliver(sender, recipient, content).unwrap_or_else(|r| panic!("{}", r.text()));
    }

    /// Sends one message; the first reply that refuses it is the error, and the transaction is
    /// given up then.
    pub(crate) fn try_deliver(
        &mut self,
        sender: &str,
        recipient: &str,
        content: &[u8],
    ) -> Result<(), Reply> {
        let envelope = [format!("MAIL FROM:<{sender}>"), format!("RCPT TO:<{recipient}>")];
        for line in envelope.iter().map(String::as_str).chain(["DATA"]) {
            let reply = self.ask(line);
            if reply.code >= 400 {
                self.command("RSET", "250");
                return Err(reply);
            }
        }
        self.send(&stuff_dots(content));
        self.send(b".\r\n");
        let reply = self.reply();
        if reply.code == 250 { Ok(()) } else { Err(reply) }
    }

    /// Waits for something to read, or for the end of the connection, but not for longer than
    /// `limit`.
    pub(crate) fn has_input(&self, limit: Duration) -> bool {
        self.stream.set_read_timeout(Some(limit)).expect("a time limit on a socket");
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(REPLY_LIMIT)).expect("a time limit on a socket");
        !self.received.is_empty()
            || !peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Says that nothing more will be sent, and keeps reading.
    pub(crate) fn finish_sending(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).expect("an open connection");
    }

    /// Reads replies until the server closes, which it must, and returns them.
    #[track_caller]
    pub(crate) fn replies_until_closed(&mut self) -> Vec<Reply> {
        std::iter::from_fn(|| self.try_reply()).collect()
    }

    /// One line without its CRLF; `None` when the connection was closed before its first byte.
    #[track_caller]
    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let rest = self.received.split_off(end + 2);
                let mut line = std::mem::replace(&mut self.received, rest);
                line.truncate(end);
                return Some(String::from_utf8(line).expect("replies are ASCII"));
            }
            let mut buffer = [0; 4096];
            let count = match self.stream.read(&mut buffer) {
                Ok(count) => count,
                // The server closed while something of ours was still on its way.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
                Err(error) => panic!("no reply: {error}; so far {:?}", self.received),
            };
            if count == 0 {
                assert!(self.received.is_empty(), "closed amid a reply: {:?}", self.received);
                return None;
            }
            self.received.extend_from_slice(&buffer[..count]);
        }
    }
}

/// The content with a dot before every line that begins with one (RFC 5321 §4.5.2).
fn stuff_dots(content: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(content.len() + 64);
    let mut at_line_start = true;
    for &byte in content {
        if at_line_start && byte == b'.' {
            stuffed.push(b'.');
        }
        stuffed.push(byte);
        at_line_start = byte == b'\n';
    }
    stuffed
}

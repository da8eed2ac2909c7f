//! A raw SMTP client: it sends exactly the bytes it is told to and shows every reply.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;
use std::{io, thread};

use socket2::{Domain, Socket, Type};

use super::process::Process;
use super::scenario::Scenario;

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
    link: Link,
    received: Vec<u8>,
}

/// What carries a connection.
#[derive(Debug)]
enum Link {
    Plain(TcpStream),
    /// Through OpenSSL, by what it says on its standard input and output.
    Secure {
        stream: UnixStream,
        _process: Process,
    },
}

impl Link {
    fn set_read_timeout(&self, limit: Duration) {
        let set = match self {
            Self::Plain(stream) => stream.set_read_timeout(Some(limit)),
            Self::Secure { stream, .. } => stream.set_read_timeout(Some(limit)),
        };
        set.expect("a time limit on a socket");
    }

    fn set_write_timeout(&self, limit: Duration) {
        let set = match self {
            Self::Plain(stream) => stream.set_write_timeout(Some(limit)),
            Self::Secure { stream, .. } => stream.set_write_timeout(Some(limit)),
        };
        set.expect("a time limit on a socket");
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Secure { stream, .. } => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes),
            Self::Secure { stream, .. } => stream.write_all(bytes),
        }
    }
}

impl SmtpSocket {
    /// Connects and reads nothing.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("the server accepts connections"))
    }

    /// Like [`SmtpSocket::connect`], from another of this host's addresses.
    pub(crate) fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("an address of this host");
        socket.connect(&address.into()).expect("the server accepts connections");
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(REPLY_LIMIT)).expect("a time limit on a socket");
        stream.set_write_timeout(Some(REPLY_LIMIT)).expect("a time limit on a socket");
        stream.set_nodelay(true).expect("a socket sends at once");
        Self { link: Link::Plain(stream), received: Vec::new() }
    }

    /// Goes on over TLS, as `openssl s_client` speaks it with `options`: what is sent from here on
    /// passes through it, and it comes to the server over the same connection.
    pub(crate) fn secure(self, test: &Scenario, options: &[&str]) -> Self {
        assert!(self.received.is_empty(), "the server said more: {:?}", self.received);
        let Link::Plain(server) = self.link else { panic!("a connection has TLS only once") };
        server.set_read_timeout(None).expect("no time limit on a socket");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("the address of a listener");
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-connect", &address.to_string()]).args(options);
        let (process, stream) = Process::start_talking(test, &mut command);
        let (client, _) = listener.accept().expect("openssl connects");
        for (from, to) in [(&client, &server), (&server, &client)] {
            let clone = |stream: &TcpStream| stream.try_clone().expect("one more descriptor");
            let (mut from, mut to) = (clone(from), clone(to));
            thread::spawn(move || {
                // Whichever side ends, by whatever means: the other one is told.
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
        let secured =
            Self { link: Link::Secure { stream, _process: process }, received: Vec::new() };
        secured.link.set_read_timeout(REPLY_LIMIT);
        secured
    }

    /// Says STARTTLS and goes on over TLS, up to the answer to EHLO.
    pub(crate) fn start_tls(mut self, test: &Scenario, options: &[&str]) -> Self {
        self.command("STARTTLS", "220");
        let mut secured = self.secure(test, options);
        secured.command("EHLO client.test", "250");
        secured
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
        self.link.write_all(bytes).expect("the server takes what is sent");
    }

    /// Sends bytes to a server that may have closed the connection; says whether they went out.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.link.write_all(bytes).is_ok()
    }

    /// Sends bytes to a server that may not take them; says whether all went out within `limit`.
    /// If not, some of them may have.
    pub(crate) fn try_send_for(&mut self, bytes: &[u8], limit: Duration) -> bool {
        self.link.set_write_timeout(limit);
        let sent = self.link.write_all(bytes).is_ok();
        self.link.set_write_timeout(REPLY_LIMIT);
        sent
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

    /// Sends the content of a transaction and asserts that the message is accepted.
    #[track_caller]
    pub(crate) fn content(&mut self, content: &[u8]) {
        self.command("DATA", "354");
        self.send(&stuff_dots(content));
        self.send(b".\r\n");
        self.expect("250");
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
    pub(crate) fn has_input(&mut self, limit: Duration) -> bool {
        if !self.received.is_empty() {
            return true;
        }
        self.link.set_read_timeout(limit);
        let mut buffer = [0; 4096];
        let read = self.link.read(&mut buffer);
        self.link.set_read_timeout(REPLY_LIMIT);
        self.received.extend_from_slice(&buffer[..*read.as_ref().unwrap_or(&0)]);
        !read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Says that nothing more will be sent, and keeps reading.
    pub(crate) fn finish_sending(&self) {
        let shut = match &self.link {
            Link::Plain(stream) => stream.shutdown(Shutdown::Write),
            Link::Secure { stream, .. } => stream.shutdown(Shutdown::Write),
        };
        shut.expect("an open connection");
    }

    /// Reads replies until the server closes, which it must, and returns them.
    #[track_caller]
    pub(crate) fn replies_until_closed(&mut self) -> Vec<Reply> {
        std::iter::from_fn(|| self.try_reply()).collect()
    }

    /// Reads to the end of the connection what need not be SMTP, and drops it.
    pub(crate) fn drain(&mut self) {
        let mut buffer = [0; 4096];
        while self.link.read(&mut buffer).is_ok_and(|count| count > 0) {}
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
            let count = match self.link.read(&mut buffer) {
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

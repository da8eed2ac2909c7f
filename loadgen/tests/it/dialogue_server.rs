//! A receiving server in the process of the test, which keeps all it hears and may be told to
//! answer otherwise than well.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// No client of a test is silent for longer.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What came in one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) client: Option<IpAddr>,
    pub(crate) mail: String,
    pub(crate) recipients: Vec<String>,
    /// As it is meant: without the dots of DATA or the commands of BDAT.
    pub(crate) content: Vec<u8>,
    /// The sizes that BDAT told.
    pub(crate) chunks: Vec<usize>,
}

/// How a server differs from one that takes everything.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// What EHLO is answered, besides the name.
    pub(crate) offers: Vec<&'static str>,
    /// Replies to commands that begin so, instead of the good ones; a content has come then.
    pub(crate) replies: Vec<(&'static str, &'static str)>,
    /// Says nothing to MAIL and what follows until the last piece of a content is there.
    pub(crate) waits_for_last: bool,
}

impl Default for Manner {
    fn default() -> Self {
        let offers = vec!["PIPELINING", "SIZE 1000000", "CHUNKING"];
        Self { offers, replies: Vec::new(), waits_for_last: false }
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    messages: Receiver<Message>,
    commands: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, messages) = channel();
        let commands = Arc::default();
        let heard = Arc::clone(&commands);
        // It ends with the process of the test, which nextest gives each test of its own.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let session = Session {
                    stream: BufReader::new(stream.unwrap()),
                    manner: manner.clone(),
                    commands: Arc::clone(&heard),
                    unsaid: Vec::new(),
                    needs_reset: false,
                };
                let sender = sender.clone();
                thread::spawn(move || session.serve(|message| sender.send(message).unwrap()));
            }
        });
        Self { address, messages, commands }
    }

    /// The messages that came so far.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.try_iter().collect()
    }

    /// The commands that came so far, of all connections.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap().clone()
    }
}

struct Session {
    stream: BufReader<TcpStream>,
    manner: Manner,
    commands: Arc<Mutex<Vec<String>>>,
    unsaid: Vec<u8>,
    /// A piece was refused.
    needs_reset: bool,
}

impl Session {
    fn serve(mut self, mut take: impl FnMut(Message)) {
        self.stream.get_ref().set_read_timeout(Some(SILENCE_MAX)).unwrap();
        let client = self.stream.get_ref().peer_addr().unwrap().ip();
        self.reply("", "220 hi", true);
        let mut message = Message::default();
        while let Some(command) = self.line() {
            self.commands.lock().unwrap().push(command.clone());
            let words: Vec<_> = command.split(' ').collect();
            let is_held = self.manner.waits_for_last;
            let good = match words[0] {
                "EHLO" => {
                    let lines = ["server"].iter().chain(&self.manner.offers);
                    let text: String = lines.map(|line| format!("250-{line}\r\n")).collect();
                    self.reply(&command, &format!("{text}250 HELP"), true);
                    continue;
                }
                "MAIL" => {
                    message = Message { client: Some(client), mail: command.clone(), ..message };
                    "250 sender"
                }
                "RCPT" => {
                    message.recipients.push(command.clone());
                    "250 recipient"
                }
                "DATA" => {
                    self.reply(&command, "354 go", true);
                    self.read_data(&mut message.content);
                    self.finish(".", &mut message, &mut take);
                    continue;
                }
                "BDAT" => {
                    let bytes = words[1].parse().unwrap();
                    let from = message.content.len();
                    message.content.resize(from + bytes, 0);
                    self.stream.read_exact(&mut message.content[from..]).unwrap();
                    message.chunks.push(bytes);
                    if self.needs_reset {
                        // RFC 3030 §2: nothing but RSET mends this.
                        self.reply("", "503 5.5.1 a piece was refused", true);
                        continue;
                    }
                    self.needs_reset = self.bad_reply(&command).is_some();
                    if words.get(2) == Some(&"LAST") {
                        self.finish(&command, &mut message, &mut take);
                        continue;
                    }
                    "250 piece"
                }
                "RSET" => {
                    self.needs_reset = false;
                    message = Message::default();
                    "250 reset"
                }
                "QUIT" => {
                    self.reply(&command, "221 bye", true);
                    return;
                }
                "STARTTLS" => "454 not here",
                _ => "500 what",
            };
            self.reply(&command, good, !is_held);
        }
    }

    fn finish(&mut self, command: &str, message: &mut Message, take: &mut impl FnMut(Message)) {
        let message = std::mem::take(message);
        if self.bad_reply(command).is_none() {
            take(message);
        }
        self.reply(command, "250 taken", true);
    }

    fn bad_reply(&self, command: &str) -> Option<&'static str> {
        let found = self.manner.replies.iter().find(|(begin, _)| command.starts_with(begin));
        found.map(|(_, reply)| *reply)
    }

    fn reply(&mut self, command: &str, good: &str, now: bool) {
        let reply = if command.is_empty() { None } else { self.bad_reply(command) };
        self.unsaid.extend_from_slice(format!("{}\r\n", reply.unwrap_or(good)).as_bytes());
        if now {
            // A client that has gone is noticed by the next read.
            let _ = self.stream.get_mut().write_all(&self.unsaid);
            self.unsaid.clear();
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        match self.stream.read_until(b'\n', &mut line) {
            Ok(read) if read > 0 => {}
            Ok(_) | Err(_) => return None,
        }
        let line = String::from_utf8(line).unwrap();
        Some(line.strip_suffix("\r\n").expect("a command ends with CRLF").to_owned())
    }

    fn read_data(&mut self, content: &mut Vec<u8>) {
        loop {
            let mut line = Vec::new();
            assert!(self.stream.read_until(b'\n', &mut line).unwrap() > 0, "the content is cut");
            match &line[..] {
                b".\r\n" => return,
                [b'.', rest @ ..] => content.extend_from_slice(rest),
                line => content.extend_from_slice(line),
            }
        }
    }
}

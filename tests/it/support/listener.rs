//! A next hop with any extensions, which notes what it hears. No server that Debian ships offers
//! all of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::SMTP_PORT;

/// One message as it was heard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    /// The commands from MAIL to DATA or BDAT.
    pub(crate) commands: Vec<String>,
    /// The content as it came; dots of DATA are not removed.
    pub(crate) content: Vec<u8>,
}

/// Accepts everything on an address of its own, until the process of the tests ends.
#[derive(Debug)]
pub(crate) struct Listener {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Listener {
    /// Starts one on `ip` that offers `extensions`.
    pub(crate) fn start(ip: Ipv4Addr, extensions: &'static [&'static str]) -> Self {
        let address = SocketAddr::from((ip, SMTP_PORT));
        let listener = TcpListener::bind(address).expect("a free port");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let of_server = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let heard = Arc::clone(&of_server);
                thread::spawn(move || {
                    let stream = stream.expect("a connection");
                    // The client may go whenever it likes.
                    let _ = serve(&stream, extensions, &heard);
                });
            }
        });
        Self { address, heard }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The messages so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(
    stream: &TcpStream,
    extensions: &[&str],
    heard: &Mutex<Vec<Heard>>,
) -> std::io::Result<()> {
    let mut input = BufReader::new(stream);
    let mut output = stream;
    output.write_all(b"220 listener.test\r\n")?;
    let mut message = Heard::default();
    let mut line = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_owned();
        let mut words = command.split(' ');
        match words.next().unwrap_or_default() {
            "EHLO" => {
                for extension in extensions {
                    output.write_all(format!("250-{extension}\r\n").as_bytes())?;
                }
                output.write_all(b"250 8BITMIME\r\n")?;
                continue;
            }
            "MAIL" => message = Heard::default(),
            "DATA" => {
                output.write_all(b"354 go on\r\n")?;
                while !message.content.ends_with(b"\r\n.\r\n") {
                    input.read_until(b'\n', &mut message.content)?;
                }
            }
            "BDAT" => {
                let length = words.next().and_then(|word| word.parse().ok());
                message.content = vec![0; length.expect("BDAT tells a length")];
                input.read_exact(&mut message.content)?;
            }
            "QUIT" => return output.write_all(b"221 bye\r\n"),
            _ => {}
        }
        let is_end = command.starts_with("DATA") || command.starts_with("BDAT");
        message.commands.push(command);
        if is_end {
            let message = std::mem::take(&mut message);
            heard.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        }
        output.write_all(b"250 ok\r\n")?;
    }
}

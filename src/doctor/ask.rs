//! Programs that are asked about the host.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::limits::{DOCTOR_PROGRAM_BYTES_MAX, DOCTOR_PROGRAM_TIMEOUT_MS};

/// Time between two looks whether the program has ended.
const LOOK_MS: u64 = 5;

/// What `program` prints.
///
/// # Errors
/// It is not there, fails, or does not end in time.
pub(super) fn run(program: &str, arguments: &[&str]) -> io::Result<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = child.stdout.take();
    // A program that fills the pipe would not end before it is read.
    let reader = thread::spawn(move || {
        let mut text = String::new();
        let read =
            output.map(|output| output.take(DOCTOR_PROGRAM_BYTES_MAX).read_to_string(&mut text));
        read.transpose().map(|_| text)
    });
    let ended = wait(&mut child);
    let text = reader.join().map_err(|_| io::Error::other("its output cannot be read"))??;
    ended.map(|()| text)
}

fn wait(child: &mut Child) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(io::Error::other(format!("it ends with {status}"))),
            None if start.elapsed() > Duration::from_millis(DOCTOR_PROGRAM_TIMEOUT_MS) => {
                child.kill()?;
                child.wait()?;
                return Err(io::ErrorKind::TimedOut.into());
            }
            None => thread::sleep(Duration::from_millis(LOOK_MS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_prints_and_how_it_ends() {
        assert_eq!(run("echo", &["a", "b"]).unwrap(), "a b\n");
        assert!(run("false", &[]).unwrap_err().to_string().contains("exit status: 1"));
        let absent = run("ringpost-no-such-program", &[]).unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    }
}

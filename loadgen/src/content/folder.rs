//! Messages from a folder of `.eml` files.
//!
//! # Failures
//! What keeps a file from being sent is told with its name, before anything is sent.
//!
//! # Bounds
//! [`FILES_MAX`] files, [`FOLDER_BYTES_MAX`] of memory.

use std::fs;
use std::io;
use std::path::Path;

use super::stored::{Stored, with_crlf};
use crate::console::naming;

/// As many as a benchmark could want to tell apart.
const FILES_MAX: usize = 100_000;

/// The messages are kept in memory, so that no disk slows them.
const FOLDER_BYTES_MAX: usize = 1 << 30;

/// Every `.eml` file of `directory`, in the order of their names.
///
/// # Errors
/// The folder or a file cannot be read, there is none, or they are too many or too large.
pub(super) fn read(directory: &Path) -> io::Result<Vec<Stored>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(naming(directory))? {
        let path = entry.map_err(naming(directory))?.path();
        if is_message(&path) {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            let error = io::Error::other(format!("it has more than {FILES_MAX} .eml files"));
            return Err(naming(directory)(error));
        }
    }
    if paths.is_empty() {
        return Err(naming(directory)(io::Error::other("it has no .eml file")));
    }
    paths.sort();
    let (mut messages, mut kept_bytes) = (Vec::with_capacity(paths.len()), 0);
    for path in paths {
        let text = fs::read(&path).map_err(naming(&path))?;
        let message = Stored::new(with_crlf(&text));
        kept_bytes += message.kept_bytes();
        messages.push(message);
        if kept_bytes > FOLDER_BYTES_MAX {
            let what = format!("its .eml files have more than {FOLDER_BYTES_MAX} bytes");
            return Err(naming(directory)(io::Error::other(what)));
        }
    }
    Ok(messages)
}

fn is_message(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("eml"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Framing;

    #[test]
    fn messages_come_in_the_order_of_their_names() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        assert!(read(directory.path()).unwrap_err().to_string().contains("no .eml file"));
        write("b.eml", "two\n");
        write("a.EML", "one\r\n");
        write("c.txt", "none");
        let messages = read(directory.path()).unwrap();
        let texts: Vec<&[u8]> =
            messages.iter().map(|message| message.framed(Framing::Bdat)).collect();
        assert_eq!(texts, [b"one\r\n", b"two\r\n"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("folder.eml")).unwrap();
        assert!(read(directory.path()).unwrap_err().to_string().contains("folder.eml"));
        assert!(read(Path::new("/none/such")).unwrap_err().to_string().contains("/none/such"));
    }
}

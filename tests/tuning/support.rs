//! Directories, made-up hosts and commands.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Time that any command of these tests may take, for `timeout(1)`.
const LIMIT: &str = "60";

/// The project's directory.
pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of `tuning/` as text.
pub(crate) fn tuning_file(name: &str) -> String {
    fs::read_to_string(project().join("tuning").join(name)).expect(name)
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Finished {
    /// Fails unless it ended with `code`.
    #[track_caller]
    pub(crate) fn exited(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Fails unless it printed a line that has all of `words` in it.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) {
        let said = self.output.lines().chain(self.errors.lines());
        let found = said.into_iter().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(found, "no line with {words:?} in {self:#?}");
    }
}

/// Runs a command to its end.
pub(crate) fn run(program: impl AsRef<OsStr>, arguments: &[&str]) -> Finished {
    run_with_path(program, arguments, &std::env::var("PATH").unwrap_or_default())
}

/// The same with another search path for programs.
pub(crate) fn run_with_path(
    program: impl AsRef<OsStr>,
    arguments: &[&str],
    path: &str,
) -> Finished {
    let mut command = Command::new("timeout");
    command.arg("--kill-after=5").arg(LIMIT).arg(program).args(arguments).env("PATH", path);
    let done = command.output().expect("timeout(1)");
    Finished {
        code: done.status.code(),
        output: String::from_utf8_lossy(&done.stdout).into_owned(),
        errors: String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}

/// A directory of a test's own, removed with it.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tuning-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn text(&self) -> &str {
        self.path.to_str().expect("a path of ours")
    }

    /// Writes a file of a made-up host.
    pub(crate) fn put(&self, path: &str, text: &str) {
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().expect("a file in a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path.join(path)).expect(path)
    }

    /// Every file with its mode and text, and every directory with its mode.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, (u32, String)> {
        let mut all = BTreeMap::new();
        let mut left = vec![self.path.clone()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(&directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                let metadata = fs::metadata(&path).expect("metadata");
                let mode = metadata.permissions().mode();
                if metadata.is_dir() {
                    all.insert(path.clone(), (mode, String::new()));
                    left.push(path);
                } else {
                    let text = fs::read_to_string(&path).expect("text");
                    all.insert(path, (mode, text));
                }
            }
        }
        all
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

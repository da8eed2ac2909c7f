//! A server that knows its directories and users from when it was built, run as if it were alone on
//! a host: in a mount namespace whose /etc and the like are ours to write, in a process namespace
//! that ends as one, and in a control group that counts all its CPU time.
//!
//! The namespaces' first process is a shell. It makes the mounts, starts the server, waits for
//! whatever the server leaves behind, and on SIGUSR1 runs the command that lets held mail go.
//!
//! # Guarantees
//! Nothing outside of the directory is changed: what the server writes into the covered places lies
//! in a file system in memory that nobody else sees. All processes have ended when this is dropped.
//!
//! # Failures
//! We are not root, or may not make namespaces.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::bench::server::{START_TIME_MAX, end_of_log, listens, spawn, wait_until};
use crate::control_group::ControlGroup;
use crate::process::Tree;

/// Enters the control group, if there is one, then the namespaces.
const ENTER: &str = r#"
if [ -n "$ENTRANCE" ]; then echo $$ >"$ENTRANCE" || exit 1; fi
exec unshare --mount --propagation private --pid --fork --kill-child /bin/sh ./enclosure.sh
"#;

/// Covers each of $PLACES by a layer in memory.
const COVER: &str = r#"
set -e
mkdir layers
mount -t tmpfs none layers
for place in $PLACES; do
    mkdir -p "layers/$place/upper" "layers/$place/work"
    layer="upperdir=layers/$place/upper,workdir=layers/$place/work"
    mount -t overlay -o "lowerdir=/$place,$layer" none "/$place"
done
"#;

/// Adds the user $1 with the number $2, and its group, where the host has none of the name.
const ADD_USER: &str = r#"
add_user() {
    grep -q "^$1:" /etc/group || echo "$1:x:$2:" >>/etc/group
    grep -q "^$1:" /etc/passwd || echo "$1:x:$2:$2::/nonexistent:/usr/sbin/nologin" >>/etc/passwd
}
"#;

/// Starts `serve`, says by which number the host knows this shell, and waits for the server's end.
const SERVE: &str = r#"
set +e
trap release USR1
serve &
server=$!
read -r own rest </proc/self/stat
echo "$own" >first.part && mv first.part first
while kill -0 "$server" 2>/dev/null; do wait; done
"#;

/// What is to be enclosed.
#[derive(Debug)]
pub(super) struct Recipe<'a> {
    /// For people.
    pub(super) name: &'a str,
    /// Where its files are, and where its script runs.
    pub(super) directory: &'a Path,
    /// Directories to cover, without the slash in front.
    pub(super) places: &'a str,
    /// A shell script that makes ready, and defines the functions `serve`, which runs the server in
    /// the foreground, and `release`. It may use `add_user NAME NUMBER`.
    pub(super) script: &'a str,
    /// Variables for the script.
    pub(super) variables: &'a [(&'a str, &'a OsStr)],
    /// Where the server will listen.
    pub(super) address: SocketAddr,
    /// Whether its CPU time is known only by its control group.
    pub(super) needs_group: bool,
}

/// A running server in its enclosure.
#[derive(Debug)]
pub(super) struct Enclosure {
    name: String,
    outer: Child,
    /// The first process of the namespaces: when it ends, all end.
    first: Pid,
    /// Behind the processes, so that they have ended when it is removed.
    _group: Option<ControlGroup>,
}

impl Enclosure {
    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    /// It does not get ready; the end of its log is in the error.
    pub(super) fn start(recipe: &Recipe<'_>) -> io::Result<Self> {
        let (name, directory) = (recipe.name, recipe.directory);
        if !geteuid().is_root() {
            return Err(io::Error::other(format!("{name} can only be started by root")));
        }
        let group = match ControlGroup::new() {
            Ok(group) => Some(group),
            Err(error) if recipe.needs_group => {
                let text = format!("the CPU time of {name} needs a control group: {error}");
                return Err(io::Error::new(error.kind(), text));
            }
            Err(_) => None,
        };
        let script = [COVER, ADD_USER, recipe.script, SERVE].concat();
        fs::write(directory.join("enclosure.sh"), script)?;
        let log = directory.join("log");
        let output = File::create(&log)?;
        let entrance = group.as_ref().map(ControlGroup::entrance).unwrap_or_default();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", ENTER]).current_dir(directory).env("ENTRANCE", entrance);
        command.env("PLACES", recipe.places).envs(recipe.variables.iter().copied());
        command.stdout(output.try_clone()?).stderr(output);
        let mut starting = Starting { outer: Some(spawn(&mut command)?), directory };
        if !wait_until(START_TIME_MAX, || starting.has_ended() || listens(recipe.address))
            || starting.has_ended()
        {
            let text = end_of_log(&log);
            return Err(io::Error::other(format!("{name} did not start; its log:\n{text}")));
        }
        starting.into_enclosure(name, group)
    }

    /// All its processes.
    pub(super) fn tree(&self) -> Tree {
        Tree { root: self.outer.id() }
    }

    /// Lets held mail go, by the script's `release`.
    ///
    /// # Errors
    /// The server has ended.
    pub(super) fn release(&self) -> io::Result<()> {
        kill_process(self.first, Signal::USR1)
            .map_err(|error| io::Error::other(format!("{} has ended: {error}", self.name)))
    }
}

impl Drop for Enclosure {
    fn drop(&mut self) {
        end(self.first, &mut self.outer);
    }
}

/// Ends the processes of an enclosure: all, since its first is among them.
fn end(first: Pid, outer: &mut Child) {
    // It may have ended already; then it is only waited for.
    let _ = kill_process(first, Signal::KILL);
    let _ = outer.wait();
}

/// An enclosure that may not come to be.
struct Starting<'a> {
    outer: Option<Child>,
    directory: &'a Path,
}

impl Starting<'_> {
    fn has_ended(&mut self) -> bool {
        self.outer.as_mut().is_none_or(|outer| !matches!(outer.try_wait(), Ok(None)))
    }

    fn into_enclosure(mut self, name: &str, group: Option<ControlGroup>) -> io::Result<Enclosure> {
        let first = first_process(self.directory)?;
        let outer = self.outer.take().ok_or_else(|| io::Error::other("no process"))?;
        Ok(Enclosure { name: name.to_owned(), outer, first, _group: group })
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        let Some(outer) = &mut self.outer else { return };
        match first_process(self.directory) {
            Ok(first) => end(first, outer),
            Err(_) => {
                // The first process dies with this one: unshare(1), --kill-child.
                let _ = outer.kill();
                let _ = outer.wait();
            }
        }
    }
}

/// By which number the host knows the first process of the namespaces.
fn first_process(directory: &Path) -> io::Result<Pid> {
    let file: PathBuf = directory.join("first");
    let text = fs::read_to_string(&file)?;
    let number = text.trim().parse().ok().and_then(Pid::from_raw);
    number.ok_or_else(|| io::Error::other(format!("{} has no number", file.display())))
}

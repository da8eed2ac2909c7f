//! Where the programs of the peers are, and how to get what is missing.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::Peer;

/// Where a server is looked for that is not in PATH: the usual place of daemons.
const DAEMONS: &str = "/usr/sbin";

/// A peer and its program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bench) struct Installed {
    pub(in crate::bench) peer: Peer,
    pub(super) program: PathBuf,
}

impl Installed {
    /// Looks for `peer` in `directory`, where `tests/run install` unpacks peers, then in PATH and
    /// among the daemons.
    ///
    /// # Errors
    /// It is nowhere; the error says how to install it.
    pub(in crate::bench) fn find(peer: Peer, directory: Option<&Path>) -> io::Result<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let program = candidates(peer, directory, &path).find_map(|candidate| {
            // OwnChild and enclosures run in directories of their own.
            candidate.is_file().then(|| candidate.canonicalize().ok()).flatten()
        });
        match program {
            Some(program) => Ok(Self { peer, program }),
            None => Err(io::Error::new(io::ErrorKind::NotFound, how_to_install(peer))),
        }
    }
}

/// Where the program may be, the best place first.
fn candidates(
    peer: Peer,
    directory: Option<&Path>,
    path: &OsString,
) -> impl Iterator<Item = PathBuf> {
    let (own, names): (&str, &[&str]) = match peer {
        // It knows its directories when it is built, and is not moved.
        Peer::Postfix => ("", &["postfix"]),
        Peer::Exim => ("exim/usr/sbin/exim4", &["exim4", "exim"]),
        // `smtpd` alone may be anybody's.
        Peer::Opensmtpd => ("opensmtpd/usr/sbin/smtpd", &["smtpd"]),
        Peer::Haraka => ("haraka/node_modules/Haraka/bin/haraka", &["haraka"]),
    };
    let own = directory.filter(|_| !own.is_empty()).map(|directory| directory.join(own));
    let places: Vec<PathBuf> = env::split_paths(path).chain([PathBuf::from(DAEMONS)]).collect();
    let known = places.into_iter().flat_map(|place| names.iter().map(move |name| place.join(name)));
    own.into_iter().chain(known)
}

fn how_to_install(peer: Peer) -> String {
    let how = match peer {
        Peer::Postfix => "run `apt-get install postfix`",
        Peer::Exim => {
            "run `apt-get install exim4-daemon-light`, or, beside another mail server, \
             `apt-get download exim4-daemon-light`, unpack it by `dpkg -x` into DIR/exim, \
             and name DIR with --peers-directory"
        }
        Peer::Opensmtpd => {
            "run `apt-get install opensmtpd`, or, beside another mail server, \
             `apt-get download opensmtpd libevent-2.1-7`, unpack both by `dpkg -x` into \
             DIR/opensmtpd, and name DIR with --peers-directory"
        }
        Peer::Haraka => {
            "run `npm install --global Haraka`, or `npm install --prefix DIR/haraka Haraka` and \
             name DIR with --peers-directory"
        }
    };
    format!("{} is not installed; {how}", peer.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_unpacked_goes_before_what_is_installed() {
        let directory = tempfile::tempdir().unwrap();
        let unpacked = directory.path().join("exim/usr/sbin");
        let path = OsString::from("/first:/second");
        let places: Vec<PathBuf> =
            candidates(Peer::Exim, Some(directory.path()), &path).take(3).collect();
        let known = ["/first/exim4", "/first/exim"].map(PathBuf::from);
        assert_eq!(places, [&[unpacked.join("exim4")], &known[..]].concat());
        fs::create_dir_all(&unpacked).unwrap();
        fs::write(unpacked.join("exim4"), "").unwrap();
        let found = Installed::find(Peer::Exim, Some(directory.path())).unwrap();
        assert_eq!(found.program, unpacked.join("exim4").canonicalize().unwrap());
    }

    #[test]
    fn what_is_missing_says_how_to_get_it() {
        for (peer, part) in [
            (Peer::Postfix, "apt-get install postfix"),
            (Peer::Exim, "DIR/exim"),
            (Peer::Opensmtpd, "libevent"),
            (Peer::Haraka, "npm install"),
        ] {
            let text = how_to_install(peer);
            assert!(text.starts_with(peer.name()) && text.contains(part), "{text}");
        }
    }
}

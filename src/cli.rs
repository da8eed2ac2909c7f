//! The command line.
//!
//! # Failures
//! An unknown command or option is answered by clap with a hint and exit status 2.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::Destination;

/// An SMTP server and relay that is durable and fast.
#[derive(Debug, Parser)]
#[command(name = "ringpost", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `ringpost` can do.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the server in the foreground until SIGTERM or SIGINT
    Serve {
        /// Configuration file; without it the embedded default holds (see `ringpost check`)
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Send all mail to this next hop, as in smtp://127.0.0.1:2526, in place of the routes
        #[arg(long, value_name = "URL")]
        route: Option<Destination>,
        /// Log level (error, warn, info, debug, trace) or filters; default: RINGPOST_LOG, then info
        #[arg(long, value_name = "LEVEL")]
        log: Option<String>,
    },
    /// Say everything that is wrong with a configuration, or print it with all defaults
    Check {
        /// Configuration file; without it the embedded default is printed
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print the stored passwords too, so that the print can be used as a configuration
        #[arg(long)]
        with_passwords: bool,
    },
    /// Say what of this host should be otherwise for this server, why, and what mends it
    ///
    /// Reads settings, asks the name servers, and writes to the disk of the spool for two seconds;
    /// nothing is changed. Exit status: 0 all well, 1 advice, 2 the server cannot run.
    Doctor {
        /// Configuration file; without it the embedded default holds
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print everything as a JSON array, for programs
        #[arg(long)]
        json: bool,
        /// Print also what is as wanted, and what could not be looked at
        #[arg(long)]
        all: bool,
        /// Leave out what is measured: commits, clock, name servers
        #[arg(long)]
        quick: bool,
        /// Try to connect to port 25 of these hosts, as mail to them would
        #[arg(long, value_name = "HOST[,HOST]", value_delimiter = ',')]
        port_25: Vec<String>,
    },
    /// Read a password from standard input and print the string for `password` in `[[user]]`
    Password {
        /// Print a SCRAM-SHA-256 verifier, which serves SCRAM besides PLAIN and LOGIN, in place of
        /// an argon2id string, which is harder to break once stolen
        #[arg(long)]
        scram: bool,
    },
    /// Read a spool offline; nothing is changed
    Spool {
        /// What to print of it.
        #[command(subcommand)]
        command: SpoolCommand,
    },
}

/// What `ringpost spool` can do.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum SpoolCommand {
    /// Describe all damage; the exit status is 1 if there is any
    Verify {
        /// The spool: the directory that spool.path names
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print every record, and all damage
    Dump {
        /// The spool: the directory that spool.path names
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// The line that says that the server can be used, once every listener is bound:
/// `ringpost ready: smtp 127.0.0.1:2525 admin 127.0.0.1:8025`.
pub fn ready_line(listeners: &[SocketAddr], admin: SocketAddr) -> String {
    let smtp: String = listeners.iter().map(|address| format!(" smtp {address}")).collect();
    format!("ringpost ready:{smtp} admin {admin}")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn command_lines() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.command);
        let serve = parse("ringpost serve --config a.toml --route smtp://127.0.0.1:2526");
        let expected = Command::Serve {
            config: Some("a.toml".into()),
            route: Some("smtp://127.0.0.1:2526".parse().expect("a destination")),
            log: None,
        };
        assert_eq!(serve.expect("good"), expected);
        let check = parse("ringpost check").expect("good");
        assert_eq!(check, Command::Check { config: None, with_passwords: false });
        let password = parse("ringpost password --scram").expect("good");
        assert_eq!(password, Command::Password { scram: true });
        for line in ["ringpost", "ringpost serve --confg a", "ringpost serve --route http://a"] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        let error = parse("ringpost serve --route smtps://a").expect_err("not offered");
        assert!(error.to_string().contains("asks for TLS"), "{error}");
    }

    #[test]
    fn the_ready_line_names_every_listener() {
        let address = |text: &str| text.parse().expect("an address");
        let admin = address("127.0.0.1:8025");
        let one = ready_line(&[address("127.0.0.1:2525")], admin);
        assert_eq!(one, "ringpost ready: smtp 127.0.0.1:2525 admin 127.0.0.1:8025");
        let two = ready_line(&[address("0.0.0.0:25"), address("[::]:25")], admin);
        assert_eq!(two, "ringpost ready: smtp 0.0.0.0:25 smtp [::]:25 admin 127.0.0.1:8025");
    }
}

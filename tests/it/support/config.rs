//! The configuration of a server under test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::address::random_bytes;
use super::certificates::Certificate;
use super::scenario::Scenario;
use super::{ADMIN_PORT, SMTP_PORT};

/// The name under which the server under test greets and signs its trace header.
pub(crate) const HOSTNAME: &str = "ringpost.test";

/// A configuration file in the making. What is not set stays at the server's own default, but for
/// addresses, the spool's path, and retries after one second so that scenarios need not wait.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    cpus: String,
    spool: PathBuf,
    smtp: Vec<Listener>,
    admin: SocketAddr,
    listener: BTreeMap<&'static str, String>,
    sections: BTreeMap<&'static str, BTreeMap<&'static str, String>>,
    routes: Vec<(String, String)>,
    users: Vec<BTreeMap<&'static str, String>>,
}

/// One listener: its address and the keys that only it has.
#[derive(Debug, Clone)]
struct Listener {
    address: SocketAddr,
    keys: BTreeMap<&'static str, String>,
}

impl Config {
    /// One listener on an address of its own, one shard, the spool in the scenario's directory.
    pub(crate) fn new(test: &Scenario) -> Self {
        let ip = test.address();
        let cpus = allowed_cpus();
        let [choice] = random_bytes::<1>();
        let config = Self {
            cpus: cpus[usize::from(choice) % cpus.len()].to_string(),
            spool: test.path().join("spool"),
            smtp: vec![Listener { address: (ip, SMTP_PORT).into(), keys: BTreeMap::new() }],
            admin: SocketAddr::from((ip, ADMIN_PORT)),
            listener: BTreeMap::new(),
            sections: BTreeMap::new(),
            routes: Vec::new(),
            users: Vec::new(),
        };
        config.set("delivery", "port", SMTP_PORT).set("delivery", "retry_first_s", 1).set(
            "delivery",
            "retry_max_s",
            2,
        )
    }

    /// Like [`Config::new`], with all mail sent to `next_hop`.
    pub(crate) fn relaying_to(test: &Scenario, next_hop: SocketAddr) -> Self {
        Self::new(test).route("*", &format!("smtp://{next_hop}"))
    }

    /// Appends a route for recipients in `domain`.
    pub(crate) fn route(mut self, domain: &str, to: &str) -> Self {
        self.routes.push((domain.to_owned(), to.to_owned()));
        self
    }

    /// Sets a key of a section to a number or a boolean.
    pub(crate) fn set(
        mut self,
        section: &'static str,
        key: &'static str,
        value: impl ToString,
    ) -> Self {
        self.sections.entry(section).or_default().insert(key, value.to_string());
        self
    }

    /// Sets a key of a section to a list of strings.
    pub(crate) fn set_list(
        self,
        section: &'static str,
        key: &'static str,
        values: &[String],
    ) -> Self {
        self.set(section, key, format!("{values:?}"))
    }

    /// Takes out the users that were added.
    pub(crate) fn without_users(mut self) -> Self {
        self.users.clear();
        self
    }

    /// Sets a key of every listener; the value is TOML.
    pub(crate) fn set_listener(mut self, key: &'static str, value: impl ToString) -> Self {
        self.listener.insert(key, value.to_string());
        self
    }

    /// Adds a listener on `address`.
    pub(crate) fn listen(self, address: SocketAddr) -> Self {
        self.listen_with(address, &[])
    }

    /// Adds a listener on `address` with keys of its own; the values are TOML.
    pub(crate) fn listen_with(
        mut self,
        address: SocketAddr,
        keys: &[(&'static str, &str)],
    ) -> Self {
        let keys = keys.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        self.smtp.push(Listener { address, keys });
        self
    }

    /// An address for one more listener, at the first one's host.
    pub(crate) fn address_at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.smtp_address().ip(), port)
    }

    /// Lets the server speak TLS with `certificate`.
    pub(crate) fn certificate(self, certificate: &Certificate) -> Self {
        let text = |path: &Path| format!("{path:?}");
        self.set("tls", "certificate", text(&certificate.certificate)).set(
            "tls",
            "key",
            text(&certificate.key),
        )
    }

    /// Adds a user whose password is stored as `stored`.
    pub(crate) fn user(self, name: &str, stored: &str) -> Self {
        self.user_with(name, stored, &[])
    }

    /// Adds a user with further keys; the values are TOML.
    pub(crate) fn user_with(
        mut self,
        name: &str,
        stored: &str,
        keys: &[(&'static str, &str)],
    ) -> Self {
        let mut user: BTreeMap<&'static str, String> =
            keys.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        user.insert("name", format!("{name:?}"));
        user.insert("password", format!("{stored:?}"));
        self.users.push(user);
        self
    }

    /// Puts the spool at `path`.
    pub(crate) fn spool(mut self, path: &Path) -> Self {
        self.spool = path.to_owned();
        self
    }

    /// Runs one shard on each of the first `count` CPUs that the tests may use.
    pub(crate) fn shards(mut self, count: usize) -> Self {
        let cpus = allowed_cpus();
        assert!(cpus.len() >= count, "this scenario needs {count} CPUs, and there are {cpus:?}");
        self.cpus = cpus[..count].iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        self
    }

    /// Where the first listener listens.
    pub(crate) fn smtp_address(&self) -> SocketAddr {
        self.smtp[0].address
    }

    /// Where each listener listens.
    pub(crate) fn smtp_addresses(&self) -> Vec<SocketAddr> {
        self.smtp.iter().map(|listener| listener.address).collect()
    }

    /// Where the admin HTTP listens.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The spool's directory.
    pub(crate) fn spool_path(&self) -> &Path {
        &self.spool
    }

    /// The file's text.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = format!("hostname = {HOSTNAME:?}\n");
        let mut sections = self.sections.clone();
        let mut put = |section, key, value: String| {
            sections.entry(section).or_default().insert(key, value);
        };
        put("admin", "address", format!("\"{}\"", self.admin));
        put("shards", "cpus", format!("{:?}", self.cpus));
        put("spool", "path", format!("{:?}", self.spool));
        for (section, keys) in &sections {
            write_table(&mut text, &format!("[{section}]"), keys);
        }
        for Listener { address, keys: own } in &self.smtp {
            let mut keys = self.listener.clone();
            keys.extend(own.clone());
            keys.insert("address", format!("\"{address}\""));
            write_table(&mut text, "[[listener]]", &keys);
        }
        for user in &self.users {
            write_table(&mut text, "[[user]]", user);
        }
        for (domain, to) in &self.routes {
            let keys = [("domains", format!("[{domain:?}]")), ("to", format!("{to:?}"))];
            write_table(&mut text, "[[route]]", &BTreeMap::from(keys));
        }
        text
    }
}

fn write_table(text: &mut String, head: &str, keys: &BTreeMap<&'static str, String>) {
    writeln!(text, "\n{head}").expect("a string takes any text");
    for (key, value) in keys {
        writeln!(text, "{key} = {value}").expect("a string takes any text");
    }
}

/// The CPUs this process may run on, from the kernel's list such as `0-3,8`.
fn allowed_cpus() -> Vec<usize> {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .expect("the kernel says which CPUs are allowed");
    let number = |text: &str| text.trim().parse::<usize>().expect("a CPU's number");
    list.split(',')
        .flat_map(|range| match range.split_once('-') {
            Some((first, last)) => number(first)..=number(last),
            None => number(range)..=number(range),
        })
        .collect()
}

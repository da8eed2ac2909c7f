//! The resolver against a real DNS server: `unbound` with a configuration, a directory and a zone
//! of its own on a high port of the loopback address, over plain UDP and TCP sockets.

// All of this is a test; the lints' own exception covers only the functions marked as one.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use ringpost::clock::Now;
use ringpost::io::dns::codec::{RecordKind, encode_query};
use ringpost::io::dns::{
    AddressFamilies, DnsFailure, DnsFailureKind, DnsTransmit, QueryId, Resolver, ResolverSettings,
    Site, SiteLookUp, Transport,
};

const MX_COUNT: usize = 64;

/// A running server; it ends with the value.
struct Unbound {
    child: Child,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders
        .into_iter()
        .map(|folder| folder.join("unbound"))
        .find(|file| file.is_file())
        .expect("unbound is not installed; on Debian: apt-get install unbound")
}

/// A port that is free for UDP and TCP.
fn free_port() -> u16 {
    for _ in 0..100 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = udp.local_addr().unwrap().port();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free for both UDP and TCP");
}

fn zone() -> String {
    let mut records: Vec<String> = [
        "example.test. 300 MX 20 mx2.example.test.",
        "example.test. 300 MX 10 mx1.example.test.",
        "mx1.example.test. 300 A 192.0.2.1",
        "mx1.example.test. 300 AAAA 2001:db8::1",
        "mx2.example.test. 300 A 192.0.2.2",
        "null.test. 300 MX 0 .",
        "implicit.test. 300 A 192.0.2.3",
        "alias.test. 300 CNAME example.test.",
        "bare.test. 300 TXT \"nothing for mail\"",
        "loop.test. 300 MX 10 self.test.",
        "loop.test. 300 MX 20 mx1.example.test.",
    ]
    .map(str::to_owned)
    .into();
    for n in 0..MX_COUNT {
        records.push(format!("many.test. 300 MX {n} exchanger-number-{n}.many.test."));
        records.push(format!("exchanger-number-{n}.many.test. 300 A 10.0.0.{n}"));
    }
    let mut text = String::from("  local-zone: \"test.\" static\n");
    for record in records {
        let (before, after) = record.split_once(" 300 ").unwrap();
        writeln!(text, "  local-data: '{before} 300 IN {after}'").unwrap();
    }
    text
}

/// A server that refuses every query, so that `unbound` has nothing to say of a zone that is there:
/// SERVFAIL. Its thread ends with the test.
fn start_refusing_server() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    spawn(move || {
        let mut buffer = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // RFC 1035 §4.1.1: the response bit, and the code 5.
            buffer[2] |= 0x80;
            buffer[3] = buffer[3] & 0xf0 | 5;
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
    address
}

fn configuration(directory: &Path, port: u16) -> String {
    let directory = directory.display();
    let zone = zone();
    let refusing = start_refusing_server().to_string().replace(':', "@");
    format!(
        "server:\n  directory: \"{directory}\"\n  chroot: \"\"\n  username: \"\"\n  \
         pidfile: \"{directory}/unbound.pid\"\n  interface: 127.0.0.1\n  port: {port}\n  \
         do-daemonize: no\n  use-syslog: no\n  logfile: \"\"\n  num-threads: 1\n  \
         access-control: 127.0.0.0/8 allow\n  module-config: \"iterator\"\n  \
         do-not-query-localhost: no\n{zone}\
         forward-zone:\n  name: \"broken.example.\"\n  forward-addr: {refusing}\n\
         remote-control:\n  control-enable: no\n"
    )
}

fn start() -> Unbound {
    let program = program();
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let file = directory.path().join("unbound.conf");
    fs::write(&file, configuration(directory.path(), port)).unwrap();
    let log = fs::File::create(directory.path().join("log")).unwrap();
    let child = Command::new(program)
        .arg("-d")
        .arg("-c")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let unbound = Unbound { child, address, directory };
    unbound.await_ready();
    unbound
}

impl Unbound {
    fn await_ready(&self) {
        let query = encode_query(1, "example.test", RecordKind::Mx, true).unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            socket.connect(self.address).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            if socket.send(&query).is_ok() && socket.recv(&mut [0; 1_500]).is_ok() {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        panic!("unbound does not answer within 20 s; it says:\n{log}");
    }
}

enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

/// What a shard does for the resolver, with sockets that are looked at by turns.
struct Driver {
    resolver: Resolver,
    sockets: BTreeMap<QueryId, Socket>,
    start: Instant,
    queries: Vec<Transport>,
}

impl Driver {
    fn new(servers: Vec<SocketAddr>) -> Self {
        let mut settings = ResolverSettings::new(servers, AddressFamilies::V6First);
        settings.own_names.push("self.test".into());
        Self {
            resolver: Resolver::new(settings, 7),
            sockets: BTreeMap::new(),
            start: Instant::now(),
            queries: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now::from_us(u64::try_from(self.start.elapsed().as_micros()).unwrap())
    }

    fn site(&mut self, domain: &str) -> Result<Rc<Site>, DnsFailure> {
        let id = match self.resolver.look_up_site(self.now(), domain) {
            SiteLookUp::Known(result) => return result,
            SiteLookUp::Pending(id) => id,
        };
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            while let Some(query) = self.resolver.poll_release() {
                assert!(self.sockets.remove(&query).is_some(), "released once");
            }
            while let Some(transmit) = self.resolver.poll_transmit() {
                self.send(&transmit);
            }
            if let Some((answered, result)) = self.resolver.poll_answer() {
                assert_eq!(answered, id);
                return result;
            }
            self.receive();
            let now = self.now();
            if self.resolver.poll_timeout().is_some_and(|deadline| deadline <= now) {
                self.resolver.handle_timeout(now);
            }
            sleep(Duration::from_micros(200));
        }
        panic!("no answer for {domain} within a minute");
    }

    fn send(&mut self, transmit: &DnsTransmit) {
        self.queries.push(transmit.transport);
        let opened = match transmit.transport {
            Transport::Udp => open_udp(transmit).map(Socket::Udp),
            Transport::Tcp => open_tcp(transmit).map(Socket::Tcp),
        };
        match opened {
            Ok(socket) => {
                self.sockets.insert(transmit.query, socket);
            }
            Err(error) => {
                // Nothing to close when it is released.
                let nothing = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                nothing.set_nonblocking(true).unwrap();
                self.sockets.insert(transmit.query, Socket::Udp(nothing));
                self.resolver.handle_failure(self.now(), transmit.query, &error.to_string());
            }
        }
    }

    fn receive(&mut self) {
        let now = self.now();
        let mut buffer = [0; 2_048];
        for (&query, socket) in &mut self.sockets {
            let read = match socket {
                Socket::Udp(socket) => socket.recv(&mut buffer),
                Socket::Tcp(stream) => stream.read(&mut buffer),
            };
            match (read, socket) {
                (Ok(0), Socket::Tcp(_)) => self.resolver.handle_failure(now, query, "closed"),
                (Ok(length), Socket::Tcp(_)) => {
                    self.resolver.handle_stream(now, query, &buffer[..length]);
                }
                (Ok(length), Socket::Udp(_)) => {
                    self.resolver.handle_datagram(now, query, &buffer[..length]);
                }
                (Err(error), _) if error.kind() == ErrorKind::WouldBlock => {}
                (Err(error), _) => self.resolver.handle_failure(now, query, &error.to_string()),
            }
        }
    }
}

fn open_udp(transmit: &DnsTransmit) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(transmit.server)?;
    socket.send(&transmit.message)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn open_tcp(transmit: &DnsTransmit) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(transmit.server)?;
    stream.write_all(&transmit.message)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn text(site: &Site) -> String {
    let hosts = site.hosts.iter().map(|host| {
        let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
        format!("{} {}", host.name, addresses.join(","))
    });
    hosts.collect::<Vec<_>>().join("; ")
}

#[test]
fn a_real_server_is_understood() {
    let unbound = start();
    let mut driver = Driver::new(vec![unbound.address]);
    let example = "mx1.example.test 2001:db8::1,192.0.2.1; mx2.example.test 192.0.2.2";
    assert_eq!(text(&driver.site("example.test").unwrap()), example);
    assert_eq!(text(&driver.site("Alias.test.").unwrap()), example);
    assert_eq!(text(&driver.site("implicit.test").unwrap()), "implicit.test 192.0.2.3");

    let failures = [
        ("null.test", DnsFailureKind::NullMx),
        ("nowhere.test", DnsFailureKind::NoSuchName),
        ("bare.test", DnsFailureKind::NoAddress),
        ("loop.test", DnsFailureKind::Loop),
        ("broken.example", DnsFailureKind::Unavailable),
    ];
    for (domain, kind) in failures {
        let failure = driver.site(domain).expect_err(domain);
        assert_eq!(failure.kind, kind, "{failure}");
    }
    let servfail = driver.site("broken.example").unwrap_err();
    assert!(servfail.to_string().contains("SERVFAIL"), "{servfail}");
    assert!(!driver.queries.contains(&Transport::Tcp), "all of these fit in a datagram");

    // What was asked once is known for its time.
    let count = driver.queries.len();
    assert_eq!(text(&driver.site("example.test").unwrap()), example);
    assert_eq!(driver.queries.len(), count);
}

#[test]
fn an_answer_that_does_not_fit_in_a_datagram_comes_over_tcp() {
    let unbound = start();
    let mut driver = Driver::new(vec![unbound.address]);
    let site = driver.site("many.test").unwrap();
    assert_eq!(driver.queries[..2], [Transport::Udp, Transport::Tcp]);
    assert!(driver.queries[2..].iter().all(|transport| *transport == Transport::Udp));
    assert_eq!(site.hosts.len(), ringpost::limits::SITE_HOSTS_MAX);
    for (n, host) in site.hosts.iter().enumerate() {
        assert_eq!(*host.name, *format!("exchanger-number-{n}.many.test"));
        assert_eq!(host.addresses, [format!("10.0.0.{n}").parse::<std::net::IpAddr>().unwrap()]);
    }
}

#[test]
fn a_dead_server_in_front_is_passed_over() {
    let unbound = start();
    let dead = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let mut driver = Driver::new(vec![dead, unbound.address]);
    assert_eq!(text(&driver.site("implicit.test").unwrap()), "implicit.test 192.0.2.3");
    assert!(driver.start.elapsed() < Duration::from_secs(10), "refused, not timed out");
}

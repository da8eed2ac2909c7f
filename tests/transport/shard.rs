//! A shard of its own, in this process.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use ringpost::counters::{Counters, PublishedCounters};
use ringpost::ids::ShardId;
use ringpost::io::dns::{AddressFamilies, ResolverSettings};
use ringpost::io::listen;
use ringpost::io::store::SpoolRoot;
use ringpost::io::tls::{ClientCertificates, ServerTls, SharedTickets, TlsFiles};
use ringpost::proto::client::ClientSettings;
use ringpost::proto::server::{ServerLimits, ServerPolicy, TlsOffer};
use ringpost::queue::QueueSettings;
use ringpost::route::{Destination, Route, RouteTable};
use ringpost::shard::{
    self, ListenerReload, ListenerSettings, Reload, ShardSettings, Shared, Started, ToShard,
};
use rustls::pki_types::CertificateDer;

/// How long anything is waited for that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate for `mx.example` and who signed it.
pub(crate) struct Certificate {
    directory: tempfile::TempDir,
    pub(crate) root: CertificateDer<'static>,
    pub(crate) files: TlsFiles,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["mx.example".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let write = |name: &str, text: &str| -> PathBuf {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let files = TlsFiles {
            certificate: write("cert.pem", &certificate.pem()),
            key: write("key.pem", &key.serialize_pem()),
            client_ca: None,
            sni: Vec::new(),
        };
        write("root.pem", &issuer.pem());
        let root = issuer.der().clone();
        Self { directory, root, files }
    }

    pub(crate) fn root_path(&self) -> PathBuf {
        self.directory.path().join("root.pem")
    }

    /// A listener with it.
    pub(crate) fn listener(&self, offer: TlsOffer) -> ListenerReload {
        let tickets = SharedTickets::new().unwrap();
        let tls = ServerTls::load(&self.files, ClientCertificates::Off, &tickets).unwrap();
        let mut listener = plain();
        listener.policy.tls = offer;
        listener.tls = Some(tls);
        listener
    }
}

/// A listener without anything.
pub(crate) fn plain() -> ListenerReload {
    ListenerReload {
        policy: ServerPolicy::plain("mx.example", ServerLimits::default()),
        tls: None,
        proxy_from: Vec::new(),
        connections_max: 1_000,
    }
}

/// A running shard. Mail for everybody is thrown away.
pub(crate) struct Running {
    started: Option<Started>,
    published: Arc<PublishedCounters>,
    pub(crate) addresses: Vec<SocketAddr>,
    _directory: tempfile::TempDir,
}

impl Running {
    pub(crate) fn start(listeners: Vec<ListenerReload>) -> Self {
        Self::start_with(listeners, |_| {})
    }

    pub(crate) fn start_with(
        listeners: Vec<ListenerReload>,
        change: impl FnOnce(&mut ShardSettings),
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut addresses = Vec::new();
        let listeners = listeners
            .into_iter()
            .map(|reload| {
                let probe = TcpListener::bind("127.0.0.1:0").unwrap();
                let address = probe.local_addr().unwrap();
                drop(probe);
                addresses.push(address);
                let socket = listen::bind(address, 1).unwrap().remove(0);
                ListenerSettings { socket, reload }
            })
            .collect();
        let mut settings = ShardSettings {
            id: ShardId(0),
            cpu: 0,
            hostname: "mx.example".into(),
            listeners,
            segment_bytes: 4 << 20,
            cache_bytes: 4 << 20,
            durable: false,
            routes: routes(),
            queue: QueueSettings::new("mx.example", 1),
            delivery_port: 25,
            connections_out_max: 10,
            client: ClientSettings::new("mx.example"),
            resolver: ResolverSettings::new(
                vec!["127.0.0.1:9".parse().unwrap()],
                AddressFamilies::for_host(false),
            ),
            grace: Duration::ZERO,
            seed: 1,
            shared: Shared::default(),
            connections_max: 10_000,
        };
        change(&mut settings);
        let published = Arc::new(PublishedCounters::default());
        let spool = SpoolRoot::new(directory.path()).shard(0).unwrap();
        let started =
            shard::start(settings, spool, Vec::new(), Arc::clone(&published), || {}).unwrap();
        started.wait_until_ready().unwrap();
        Self { started: Some(started), published, addresses, _directory: directory }
    }

    pub(crate) fn reload(&self, listeners: Vec<ListenerReload>, connections_max: usize) {
        let reload = Box::new(Reload { routes: routes(), listeners, connections_max });
        assert!(self.started.as_ref().unwrap().handle().send(ToShard::Reload(reload)));
    }

    /// Waits until the counters are as `wanted`.
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&Counters) -> bool) {
        let until = std::time::Instant::now() + PATIENCE;
        loop {
            let counters = self.published.read();
            if wanted(&counters) {
                return;
            }
            assert!(std::time::Instant::now() < until, "{what}: {counters:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let started = self.started.take().unwrap();
        started.handle().send(ToShard::Stop);
        let ended = started.join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

fn routes() -> RouteTable {
    RouteTable::new(&[Route::of_all(Destination::Discard)], 25)
}

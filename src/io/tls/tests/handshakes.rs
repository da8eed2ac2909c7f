use rustls::version::{TLS12, TLS13};
use sha2::{Digest, Sha256};

use super::*;

#[test]
fn a_handshake_tells_what_the_session_must_know() {
    let authority = Authority::new();
    let files = authority.files(&["mx.example"]);
    let server = load(&files);
    for (version, name, suite) in [
        (&TLS13, "TLSv1.3", "TLS_AES_256_GCM_SHA384"),
        (&TLS12, "TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    ] {
        let client = Arc::new(authority.client(&[version]));
        let mut pair = Pair::new(&client, "mx.example", &server, usize::MAX);
        pair.run().unwrap();
        let exporter: [u8; 32] = pair
            .client
            .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""))
            .unwrap();
        let shown = pair.client.peer_certificates().unwrap()[0].clone();
        let handshaken = pair.handshaken();
        assert!(!handshaken.resumed);
        let facts = handshaken.facts;
        assert_eq!((facts.version, facts.cipher_suite), (name, suite));
        assert_eq!(facts.exporter, (name == "TLSv1.3").then_some(exporter));
        // The certificate is signed with ECDSA and SHA-256.
        let hash = Sha256::digest(&shown);
        assert_eq!(facts.server_end_point.as_deref(), Some(&*hash));
        assert!(facts.client_names.is_empty());
    }
}

#[test]
fn the_exporter_is_right_for_both_hashes() {
    let authority = Authority::new();
    let server = load(&authority.files(&["mx.example"]));
    for suite in rustls::crypto::aws_lc_rs::DEFAULT_CIPHER_SUITES {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites = vec![*suite];
        if suite.tls13().is_none() {
            continue;
        }
        let mut roots = RootCertStore::empty();
        roots.add(authority.issuer.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut pair = Pair::new(&Arc::new(client), "mx.example", &server, usize::MAX);
        pair.run().unwrap();
        let exporter: [u8; 32] =
            pair.client.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None).unwrap();
        let facts = pair.handshaken().facts;
        assert_eq!(facts.exporter, Some(exporter), "{}", facts.cipher_suite);
    }
}

#[test]
fn a_client_is_shown_the_certificate_with_the_name_it_asks_for() {
    let authority = Authority::new();
    let mut files = authority.files(&["mx.example", "mx2.example"]);
    files.sni = vec![
        authority.issue(&["smtp.other.example"]),
        authority.issue(&["*.wild.example", "mx.example"]),
    ];
    let server = load(&files);
    let client = Arc::new(authority.client(rustls::DEFAULT_VERSIONS));
    // The client verifies that the certificate has the name.
    for name in ["mx.example", "mx2.example", "SMTP.Other.Example", "a.wild.example"] {
        let mut pair = Pair::new(&client, name, &server, usize::MAX);
        pair.run().unwrap();
        let shown = pair.client.peer_certificates().unwrap()[0].clone();
        let end_point = pair.handshaken().facts.server_end_point;
        assert_eq!(end_point.as_deref(), Some(&*Sha256::digest(&shown)), "{name}");
    }
    // A wildcard stands for one label, and whoever asks for no known name sees the first.
    for name in ["a.b.wild.example", "unknown.example"] {
        let mut pair = Pair::new(&client, name, &server, usize::MAX);
        pair.run().unwrap_err();
        assert!(pair.handshaken.is_none(), "{name}");
    }
}

#[test]
fn a_session_is_resumed_on_any_listener_of_the_same_kind() {
    let authority = Authority::new();
    let files = authority.files(&["mx.example"]);
    for version in [&TLS13, &TLS12] {
        let tickets = tickets();
        let one = ServerTls::load(&files, ClientCertificates::Off, &tickets).unwrap();
        let reloaded = ServerTls::load(&files, ClientCertificates::Off, &tickets).unwrap();
        let client = Arc::new(authority.client_builder(&[version]).with_no_client_auth());
        let mut pair = Pair::new(&client, "mx.example", &one, usize::MAX);
        pair.run().unwrap();
        assert!(!pair.handshaken().resumed);
        let mut pair = Pair::new(&client, "mx.example", &reloaded, usize::MAX);
        pair.run().unwrap();
        let handshaken = pair.handshaken();
        assert!(handshaken.resumed, "{version:?}");
        assert!(handshaken.facts.server_end_point.is_some());
        // With another certificate the ticket is worth nothing, and neither is it elsewhere.
        let renewed = authority.files(&["mx.example"]);
        let renewed = ServerTls::load(&renewed, ClientCertificates::Off, &tickets).unwrap();
        let mut pair = Pair::new(&client, "mx.example", &renewed, usize::MAX);
        pair.run().unwrap();
        assert!(!pair.handshaken().resumed);
    }
}

#[test]
fn a_ticket_does_not_get_a_client_around_its_verification() {
    let authority = Authority::new();
    let mut files = authority.files(&["mx.example"]);
    files.client_ca = Some(authority.root());
    let tickets = tickets();
    let open = ServerTls::load(&files, ClientCertificates::Off, &tickets).unwrap();
    let closed = ServerTls::load(&files, ClientCertificates::Required, &tickets).unwrap();
    for version in [&TLS13, &TLS12] {
        let client = Arc::new(authority.client_builder(&[version]).with_no_client_auth());
        Pair::new(&client, "mx.example", &open, usize::MAX).run().unwrap();
        let mut pair = Pair::new(&client, "mx.example", &closed, usize::MAX);
        let failure = pair.run().unwrap_err();
        assert!(failure.to_string().contains("peer sent no certificates"), "{failure}");
    }
}

#[test]
fn only_a_verified_client_has_names() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let mut files = authority.files(&["mx.example"]);
    files.client_ca = Some(authority.root());
    let optional = ServerTls::load(&files, ClientCertificates::Optional, &tickets()).unwrap();
    let required = ServerTls::load(&files, ClientCertificates::Required, &tickets()).unwrap();
    let known = Arc::new(authority.client_as(&authority, &["Relay.Example", "b.example"]));
    let unknown = Arc::new(authority.client_as(&stranger, &["relay.example"]));
    let nameless = Arc::new(authority.client(rustls::DEFAULT_VERSIONS));
    let names = |client: &Arc<ClientConfig>, server: &ServerTls| {
        let mut pair = Pair::new(client, "mx.example", server, usize::MAX);
        pair.run().map(|()| pair.handshaken().facts.client_names)
    };
    let both: Box<[Box<str>]> = Box::new(["relay.example".into(), "b.example".into()]);
    assert_eq!(names(&known, &optional).unwrap(), both);
    // The second time its session is resumed, and it is known again.
    assert_eq!(names(&known, &optional).unwrap(), both);
    assert_eq!(names(&known, &required).unwrap(), both);
    assert_eq!(names(&unknown, &optional).unwrap(), Box::default());
    assert_eq!(names(&nameless, &optional).unwrap(), Box::default());
    names(&unknown, &required).unwrap_err();
    names(&nameless, &required).unwrap_err();
}

#[test]
fn a_failed_handshake_tells_the_client_why() {
    let authority = Authority::new();
    let mut files = authority.files(&["mx.example"]);
    files.client_ca = Some(authority.root());
    let server = ServerTls::load(&files, ClientCertificates::Required, &tickets()).unwrap();
    let client = Arc::new(authority.client(&[&TLS13]));
    let mut pair = Pair::new(&client, "mx.example", &server, usize::MAX);
    pair.run().unwrap_err();
    let told = pair.client.process_new_packets().unwrap_err();
    let wanted = rustls::AlertDescription::CertificateRequired;
    assert_eq!(told, rustls::Error::AlertReceived(wanted));
}

#[test]
fn smtp_in_the_clear_is_no_handshake() {
    let authority = Authority::new();
    let server = load(&authority.files(&["mx.example"]));
    let mut pump = TlsPump::new(&server).unwrap();
    let mut out = Vec::new();
    pump.hold(b"EHLO client.example\r\n").unwrap();
    let failure = pump.handshake_step(&mut out).unwrap_err();
    assert!(matches!(failure, TlsFailure::Protocol(_)));
    // An alert in the clear.
    assert_eq!(out.first(), Some(&21));
}

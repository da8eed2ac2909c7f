use std::path::Path;

use super::*;

fn fault(files: &TlsFiles, clients: ClientCertificates) -> String {
    ServerTls::load(files, clients, &tickets()).unwrap_err().to_string()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn each_fault_names_the_file_and_what_is_wanted() {
    let authority = Authority::new();
    let good = authority.files(&["mx.example"]);
    let off = ClientCertificates::Off;
    load(&good);

    let missing = TlsFiles { certificate: "/nowhere/cert.pem".into(), ..good.clone() };
    let text = fault(&missing, off);
    assert!(text.starts_with("cannot read /nowhere/cert.pem: No such file"), "{text}");

    let swapped =
        TlsFiles { certificate: good.key.clone(), key: good.certificate.clone(), ..good.clone() };
    let text = fault(&swapped, off);
    assert!(text.contains("mx.example.key holds no certificate"), "{text}");

    let no_key = TlsFiles { key: good.certificate.clone(), ..good.clone() };
    let text = fault(&no_key, off);
    assert!(text.contains("mx.example.pem holds no private key"), "{text}");

    let (_, other_key) = authority.issue(&["other.example"]);
    let mismatch = TlsFiles { key: other_key, ..good.clone() };
    let text = fault(&mismatch, off);
    assert!(text.contains("other.example.key does not belong to the first certificate"), "{text}");

    let broken = authority.write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let text = fault(&TlsFiles { certificate: broken, ..good.clone() }, off);
    assert!(text.contains("broken.pem is not in PEM form"), "{text}");

    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let junk = authority.write("junk.pem", junk);
    let text = fault(&TlsFiles { certificate: junk.clone(), ..good.clone() }, off);
    assert!(text.contains("junk.pem holds a certificate that cannot be used"), "{text}");

    let text = fault(&good, ClientCertificates::Optional);
    assert!(text.contains("set client_ca"), "{text}");

    let bad_ca = TlsFiles { client_ca: Some(junk.clone()), ..good.clone() };
    let error = ServerTls::load(&bad_ca, ClientCertificates::Required, &tickets()).unwrap_err();
    assert_eq!(error.path().map(file_name), Some("junk.pem".to_owned()));

    let second = TlsFiles { sni: vec![(junk, good.key.clone())], ..good };
    assert!(fault(&second, off).contains("junk.pem"));
}

#[test]
fn dates_that_clients_refuse_are_a_warning() {
    let authority = Authority::new();
    assert!(load(&authority.files(&["mx.example"])).warnings().is_empty());
    let (certificate, key) = authority.issue_with(&["old.example"], |params| {
        params.not_after = rcgen::date_time_ymd(2001, 2, 3);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    });
    let files = TlsFiles { certificate, key, ..TlsFiles::default() };
    let warnings = load(&files).warnings().to_vec();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("old.example.pem expired at 2001-02-03T00:00:00"), "{warnings:?}");
    let (certificate, key) = authority.issue_with(&["new.example"], |params| {
        params.not_before = rcgen::date_time_ymd(4000, 1, 1);
        params.not_after = rcgen::date_time_ymd(4001, 1, 1);
    });
    let files = TlsFiles { certificate, key, ..TlsFiles::default() };
    assert!(load(&files).warnings()[0].contains("is not valid before 4000-01-01"));
}

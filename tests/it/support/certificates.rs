//! Certificates of a scenario's own, made by `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::config::HOSTNAME;
use super::scenario::Scenario;

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    /// The certificate.
    pub(crate) certificate: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
}

/// An authority that the clients of a scenario trust, and the certificates that it signed.
#[derive(Debug)]
pub(crate) struct Certificates {
    directory: PathBuf,
    /// The authority's own certificate.
    pub(crate) authority: PathBuf,
    /// That of the server under test, for its host name and its address.
    pub(crate) server: Certificate,
}

impl Certificates {
    /// Makes an authority and a certificate for the server that listens on `ip`.
    pub(crate) fn make(test: &Scenario, ip: std::net::IpAddr) -> Self {
        let directory = test.open_path().join(format!("certificates-{ip}"));
        std::fs::create_dir(&directory).expect("a directory for certificates");
        let own = new_key(test, &directory, "authority");
        openssl(
            test,
            &["req", "-x509", "-new", "-days", "30", "-subj", "/CN=Test authority"],
            &[("-key", &own.key), ("-out", &own.certificate)],
        );
        let authority = own.certificate.clone();
        let mut made = Self { server: own, authority, directory };
        made.server = made.sign(test, "server", &format!("DNS:{HOSTNAME},IP:{ip}"));
        made
    }

    /// The options of `openssl s_client` that make it trust the authority, and nobody else.
    pub(crate) fn trust(&self) -> [&str; 3] {
        let authority = self.authority.to_str().expect("paths of tests are UTF-8");
        ["-verify_return_error", "-CAfile", authority]
    }

    /// Makes a certificate for `names`, as in `DNS:mx.example,IP:192.0.2.1`.
    pub(crate) fn sign(&self, test: &Scenario, file: &str, names: &str) -> Certificate {
        let made = new_key(test, &self.directory, file);
        let request = self.directory.join(format!("{file}.csr"));
        let subject = format!("/CN={file}");
        openssl(
            test,
            &["req", "-new", "-subj", &subject],
            &[("-key", &made.key), ("-out", &request)],
        );
        let extensions = self.directory.join(format!("{file}.ext"));
        std::fs::write(&extensions, format!("subjectAltName={names}\n")).expect("a file");
        let authority_key = self.directory.join("authority.key");
        openssl(
            test,
            &["x509", "-req", "-days", "30", "-CAcreateserial"],
            &[
                ("-in", &request),
                ("-CA", &self.authority),
                ("-CAkey", &authority_key),
                ("-extfile", &extensions),
                ("-out", &made.certificate),
            ],
        );
        made
    }
}

fn new_key(test: &Scenario, directory: &Path, file: &str) -> Certificate {
    let key = directory.join(format!("{file}.key"));
    let curve = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    openssl(test, &curve, &[("-out", &key)]);
    Certificate { certificate: directory.join(format!("{file}.crt")), key }
}

fn openssl(test: &Scenario, arguments: &[&str], files: &[(&str, &Path)]) {
    let mut command = Command::new("openssl");
    command.args(arguments);
    for (option, path) in files {
        command.arg(option).arg(path);
    }
    test.run(&mut command, b"").succeeded();
}

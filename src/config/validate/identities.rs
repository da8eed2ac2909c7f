//! `[tls]` and `[[user]]`: what the server and its users prove themselves with.

use std::collections::BTreeSet;
use std::path::PathBuf;

use toml::Spanned;

use super::check::{Check, TableCheck};
use super::path;
use crate::config::UserConfig;
use crate::config::problems::KeyPath;
use crate::config::raw::{RawTls, RawUser};
use crate::credentials::{SenderPattern, prepare_name};
use crate::invalid::Invalid;
use crate::io::tls::TlsFiles;
use crate::route::DomainPattern;

impl Check<'_, '_> {
    /// The files of `[tls]`; none if one that must be there is not.
    pub(super) fn tls(&mut self, raw: &Spanned<RawTls>) -> Option<TlsFiles> {
        let span = raw.span();
        let raw = raw.get_ref();
        let mut at = TableCheck { path: KeyPath::new("tls"), check: self };
        let certificate = at.file(&raw.certificate, "certificate", &span);
        let key = at.file(&raw.key, "key", &span);
        let client_ca = at.read(&raw.client_ca, "client_ca", pem_file).ok().flatten();
        let mut sni = Vec::new();
        for (index, pair) in raw.sni.iter().enumerate() {
            let (span, pair) = (pair.span(), pair.get_ref());
            let path = KeyPath::new("tls").key("sni").place(index);
            let mut at = TableCheck { path, check: self };
            let certificate = at.file(&pair.certificate, "certificate", &span);
            let key = at.file(&pair.key, "key", &span);
            sni.extend(certificate.zip(key));
        }
        Some(TlsFiles { certificate: certificate?, key: key?, client_ca, sni })
    }

    /// The users, without those that lack something.
    pub(super) fn users(&mut self, raw: &[Spanned<RawUser>]) -> Vec<UserConfig> {
        let mut users = Vec::new();
        // As they are compared.
        let mut names = BTreeSet::new();
        for (index, one) in raw.iter().enumerate() {
            let (span, one) = (one.span(), one.get_ref());
            let mut at = TableCheck { path: KeyPath::new("user").place(index), check: self };
            let name = at.read(&one.name, "name", |text| prepare_name(text).map(String::from));
            let name = name.ok().flatten();
            if one.name.is_none() {
                at.note_missing("name", &span, "add name = \"…\", as the user calls itself");
            }
            if name.is_some_and(|name| !names.insert(name)) {
                let remedy = "give each a name of its own";
                at.note("name", &one.name, Invalid::new("another user has this name", remedy));
            }
            let password = at.read(&one.password, "password", str::parse).ok().flatten();
            if one.password.is_none() {
                let remedy = "add password = \"…\" with what `ringpost password` prints";
                at.note_missing("password", &span, remedy);
            }
            let all = [SenderPattern::Domains(DomainPattern::Any)];
            let senders = at.values(&one.senders, "senders", str::parse, &all);
            if one.senders.as_ref().is_some_and(|list| list.get_ref().is_empty()) {
                let what = "the user could send nothing with an empty list";
                let remedy = "name addresses or domains, or leave it out for all";
                at.note("senders", &one.senders, Invalid::new(what, remedy));
            }
            if let (Some(name), Some(password)) = (&one.name, password) {
                let name = name.get_ref().as_str().into();
                users.push(UserConfig { name, password, senders });
            }
        }
        users
    }
}

impl TableCheck<'_, '_, '_> {
    /// A file that must be named.
    fn file(
        &mut self,
        raw: &Option<Spanned<String>>,
        name: &str,
        table: &std::ops::Range<usize>,
    ) -> Option<PathBuf> {
        if raw.is_none() {
            self.note_missing(name, table, &format!("add {name} = \"FILE\", a PEM file"));
        }
        self.read(raw, name, pem_file).ok().flatten()
    }

    fn note_missing(&mut self, name: &str, table: &std::ops::Range<usize>, remedy: &str) {
        self.check.problems.note_missing(self.path.key(name), Some(table), remedy);
    }
}

fn pem_file(text: &str) -> Result<PathBuf, Invalid> {
    path(text, "name a PEM file, as in \"/etc/ringpost/cert.pem\"")
}

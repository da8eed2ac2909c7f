//! One look-up: from a domain over its MX records to hosts with addresses, or from a host to its
//! addresses.
//!
//! The machine says which questions it has ([`LookUp::next_question`]), takes the answers in any
//! order ([`LookUp::handle_answer`]) and has a result once none is open ([`LookUp::take_result`]).
//!
//! # Guarantees
//! Every question is given out once and its answer is waited for. Aliases are followed over
//! answers too, and a chain that does not end is a failure for now.
//!
//! # Bounds
//! One question for MX records, then two for each of [`SITE_HOSTS_MAX`] hosts, each with
//! [`DNS_ALIASES_MAX`] aliases at most.
//!
//! [`SITE_HOSTS_MAX`]: crate::limits::SITE_HOSTS_MAX

use std::rc::Rc;

use super::cache::Answer;
use super::codec::RecordKind;
use crate::limits::DNS_ALIASES_MAX;
use crate::route::mx::{
    AddressFamilies, DnsFailure, DnsFailureKind, FamilyAnswer, HostAnswer, Site, assemble_site,
    order_hosts,
};
use crate::seed::SeedStream;

/// What is looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// The addresses of one host, whatever its MX records say.
    Host(Rc<str>),
    /// The hosts that take mail for a domain.
    Site(Rc<str>),
}

impl Target {
    pub(super) const fn name(&self) -> &Rc<str> {
        match self {
            Self::Host(name) | Self::Site(name) => name,
        }
    }
}

/// What an answer is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Mx,
    Address { host: usize },
}

/// A question that is not answered yet.
#[derive(Debug)]
struct Open {
    purpose: Purpose,
    name: Rc<str>,
    kind: RecordKind,
    /// Aliases that led here.
    aliases: usize,
    is_asked: bool,
}

/// What a look-up needs to know beside the answers.
#[derive(Debug)]
pub(super) struct Circumstances<'a> {
    pub(super) families: AddressFamilies,
    pub(super) own_names: &'a [Box<str>],
    pub(super) seeds: &'a mut SeedStream,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct LookUp {
    target: Target,
    open: Vec<Open>,
    hosts: Vec<HostAnswer>,
    result: Option<Result<Site, DnsFailure>>,
}

impl LookUp {
    pub(super) fn new(target: Target, around: &Circumstances<'_>) -> Self {
        let name = Rc::clone(target.name());
        let mut look_up = Self { target, open: Vec::new(), hosts: Vec::new(), result: None };
        match look_up.target {
            Target::Site(_) => look_up.ask(Purpose::Mx, name, RecordKind::Mx, 0),
            Target::Host(_) => look_up.ask_addresses(vec![(*name).into()], around.families),
        }
        look_up
    }

    pub(super) const fn target(&self) -> &Target {
        &self.target
    }

    /// The next question that was not given out yet.
    pub(super) fn next_question(&mut self) -> Option<(Rc<str>, RecordKind)> {
        let open = self.open.iter_mut().find(|open| !open.is_asked)?;
        open.is_asked = true;
        Some((Rc::clone(&open.name), open.kind))
    }

    /// The answer to a question. One that was not asked, or was answered, is ignored.
    pub(super) fn handle_answer(
        &mut self,
        name: &str,
        kind: RecordKind,
        answer: &Answer,
        around: &mut Circumstances<'_>,
    ) {
        while let Some(place) = self
            .open
            .iter()
            .position(|open| open.is_asked && *open.name == *name && open.kind == kind)
        {
            let Open { purpose, aliases, .. } = self.open.swap_remove(place);
            match (answer, purpose) {
                (Answer::Alias(target), _) if aliases < DNS_ALIASES_MAX => {
                    self.ask(purpose, Rc::clone(target), kind, aliases + 1);
                }
                (Answer::Alias(_), _) => {
                    let failed = Answer::Failed("a chain of aliases without end".into());
                    self.conclude(purpose, kind, &failed, around);
                }
                (answer, purpose) => self.conclude(purpose, kind, answer, around),
            }
        }
        if self.open.is_empty() && self.result.is_none() {
            let hosts = std::mem::take(&mut self.hosts);
            let name = self.target.name();
            let site = assemble_site(name, hosts, around.families, around.seeds);
            self.result = Some(site.map_err(|failure| self.soften(failure)));
        }
    }

    /// The result, once.
    pub(super) fn take_result(&mut self) -> Option<Result<Site, DnsFailure>> {
        self.result.take()
    }

    /// A host is looked up because a route names it. One without an address is a mistake of the
    /// configuration or of the local DNS, which shall not bounce the mail of others.
    fn soften(&self, failure: DnsFailure) -> DnsFailure {
        match (&self.target, failure.kind) {
            (Target::Host(_), DnsFailureKind::NoAddress) => DnsFailure::new(
                DnsFailureKind::Unavailable,
                &failure.name,
                "the host has no address; check the route that names it",
            ),
            (Target::Host(_) | Target::Site(_), _) => failure,
        }
    }

    fn ask(&mut self, purpose: Purpose, name: Rc<str>, kind: RecordKind, aliases: usize) {
        self.open.push(Open { purpose, name, kind, aliases, is_asked: false });
    }

    fn ask_addresses(&mut self, names: Vec<Box<str>>, families: AddressFamilies) {
        for (host, name) in names.into_iter().enumerate() {
            let shared: Rc<str> = Rc::from(&*name);
            let purpose = Purpose::Address { host };
            if families.wants_v4() {
                self.ask(purpose, Rc::clone(&shared), RecordKind::A, 0);
            }
            if families.wants_v6() {
                self.ask(purpose, shared, RecordKind::Aaaa, 0);
            }
            let nothing = || FamilyAnswer::Addresses(Vec::new());
            self.hosts.push(HostAnswer { name, v4: nothing(), v6: nothing() });
        }
    }

    fn conclude(
        &mut self,
        purpose: Purpose,
        kind: RecordKind,
        answer: &Answer,
        around: &mut Circumstances<'_>,
    ) {
        match purpose {
            Purpose::Mx => self.conclude_mx(answer, around),
            Purpose::Address { host } => {
                let found = match answer {
                    Answer::Addresses(addresses) => FamilyAnswer::Addresses(addresses.to_vec()),
                    Answer::Failed(why) => FamilyAnswer::Failed((**why).into()),
                    Answer::NoRecords | Answer::NoSuchName => return,
                    Answer::Alias(_) | Answer::Mx(_) => {
                        unreachable!("aliases were followed, and addresses were asked for")
                    }
                };
                let host = &mut self.hosts[host];
                if kind == RecordKind::Aaaa { host.v6 = found } else { host.v4 = found }
            }
        }
    }

    fn conclude_mx(&mut self, answer: &Answer, around: &mut Circumstances<'_>) {
        let domain = Rc::clone(self.target.name());
        let fail = |kind, detail: &str| Err(DnsFailure::new(kind, &domain, detail));
        let records = match answer {
            Answer::Mx(records) => &**records,
            // RFC 5321 §5.1: the implicit MX, for an empty list only.
            Answer::NoRecords => &[],
            Answer::NoSuchName => {
                self.result = Some(fail(DnsFailureKind::NoSuchName, ""));
                return;
            }
            Answer::Failed(why) => {
                self.result = Some(fail(DnsFailureKind::Unavailable, why));
                return;
            }
            Answer::Addresses(_) | Answer::Alias(_) => {
                unreachable!("aliases were followed, and MX records were asked for")
            }
        };
        match order_hosts(&domain, records, around.own_names, around.seeds) {
            Ok(hosts) => self.ask_addresses(hosts, around.families),
            Err(failure) => self.result = Some(Err(failure)),
        }
    }
}

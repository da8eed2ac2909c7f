//! The behaviour file: TOML, checked key by key.
//!
//! # Failures
//! An unknown key or a wrong value is told with its line and with what would be right.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer};
use serde::{Deserialize, de::Visitor};

use super::rules::{Drop, DropAt, ReplyRule, ReplyText};
use super::{
    Behaviour, CertificateKind, Delay, Domains, Handshake, Listening, Point, ReplyLines, Tarpit,
    complaint,
};
use crate::console::naming;
use crate::tls::TlsMode;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The longest time between two pieces of a reply.
const INTERVAL_MS_MAX: u64 = 3_600_000;

/// A domain's name (RFC 5321 §4.5.3.1.2).
const NAME_BYTES_MAX: usize = 255;

/// More than any kernel gives a socket.
const RECEIVE_BUFFER_BYTES_MAX: usize = 1 << 30;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    default: Keys,
    #[serde(default)]
    listen: Vec<Keys>,
    #[serde(default)]
    domain: Vec<Keys>,
}

/// What a table of the file, or the command line, says; what it does not say is as before.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    address: Option<SocketAddr>,
    r#match: Option<Vec<String>>,
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) delay: DelayKeys,
    #[serde(default)]
    pub(crate) reply: Vec<ReplyKeys>,
    #[serde(default)]
    drop: Vec<DropKeys>,
    reply_lines: Option<ReplyLines>,
    tarpit: Option<TarpitKeys>,
    greylist_s: Option<u64>,
    connections_max: Option<u64>,
    client_connections_max: Option<u64>,
    connections_per_second_max: Option<u64>,
    read_bytes_per_second: Option<u64>,
    receive_buffer_bytes: Option<usize>,
    size_max_bytes: Option<u64>,
    pipelining: Option<bool>,
    chunking: Option<bool>,
    #[serde(rename = "8bitmime")]
    eight_bit_mime: Option<bool>,
    smtputf8: Option<bool>,
    auth: Option<bool>,
    tls: Option<TlsMode>,
    certificate: Option<CertificateKind>,
    handshake: Option<Handshake>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DelayKeys {
    pub(crate) greeting: Option<Delay>,
    pub(crate) ehlo: Option<Delay>,
    pub(crate) starttls: Option<Delay>,
    pub(crate) auth: Option<Delay>,
    pub(crate) mail: Option<Delay>,
    pub(crate) rcpt: Option<Delay>,
    pub(crate) data: Option<Delay>,
    pub(crate) end_of_data: Option<Delay>,
    pub(crate) other: Option<Delay>,
    pub(crate) quit: Option<Delay>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplyKeys {
    pub(crate) at: Point,
    #[serde(default = "all", deserialize_with = "share")]
    pub(crate) share: f64,
    pub(crate) text: ReplyText,
    #[serde(default)]
    pub(crate) recipients: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DropKeys {
    at: DropAt,
    #[serde(default = "all", deserialize_with = "share")]
    share: f64,
    #[serde(default)]
    after_bytes: u64,
    #[serde(default)]
    taken: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TarpitKeys {
    bytes: usize,
    every_ms: u64,
}

const fn all() -> f64 {
    1.0
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err(de::Error::custom("a share must be a number from 0 to 1"))
    }
}

/// Reads a value from its words.
struct Words<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for Words<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Words(std::marker::PhantomData))
    }
}

impl FromStr for ReplyText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for ReplyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Words(std::marker::PhantomData))
    }
}

/// The addresses to listen on, each with what it does: those of the file at `path`, and before them
/// `addresses`, which behave as `[default]` says. `extra` is what the command line adds to
/// `[default]`.
///
/// # Errors
/// The file cannot be read, or something in it is wrong.
pub(crate) fn read(
    path: Option<&Path>,
    addresses: &[SocketAddr],
    extra: &Keys,
) -> io::Result<Vec<Listening>> {
    let file = match path {
        Some(path) => parse(&text_of(path)?).map_err(|error| naming(path)(complaint(error)))?,
        None => File::default(),
    };
    listenings(&file, addresses, extra).map_err(|error| match path {
        Some(path) => naming(path)(complaint(error)),
        None => complaint(error),
    })
}

fn text_of(path: &Path) -> io::Result<String> {
    let at = naming(path);
    if std::fs::metadata(path).map_err(at)?.len() > FILE_BYTES_MAX {
        return Err(at(complaint("too large for a behaviour file")));
    }
    std::fs::read_to_string(path).map_err(at)
}

fn parse(text: &str) -> Result<File, String> {
    toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
}

fn listenings(
    file: &File,
    addresses: &[SocketAddr],
    extra: &Keys,
) -> Result<Vec<Listening>, String> {
    file.default.check_place("[default]", false, false)?;
    for keys in &file.listen {
        keys.check_place("[[listen]]", true, false)?;
    }
    for keys in &file.domain {
        keys.check_place("[[domain]]", false, true)?;
        keys.check_domain()?;
    }
    let mut common = Behaviour::default();
    file.default.apply(&mut common);
    extra.apply(&mut common);
    let nothing = Keys::default();
    let of_line = addresses.iter().map(|address| (*address, &nothing));
    let of_file = file.listen.iter().filter_map(|keys| Some((keys.address?, keys)));
    let listenings: Vec<Listening> = of_line
        .chain(of_file)
        .map(|(address, keys)| {
            let mut behaviour = common.clone();
            keys.apply(&mut behaviour);
            let domains = file.domain.iter().map(|keys| {
                let mut of_domain = behaviour.clone();
                keys.apply(&mut of_domain);
                (Domains { patterns: keys.r#match.clone().unwrap_or_default() }, of_domain)
            });
            let domains = domains.collect();
            Listening { address, behaviour, domains }
        })
        .collect();
    if listenings.is_empty() {
        return Err("there is no address to listen on".to_owned());
    }
    Ok(listenings)
}

impl Keys {
    fn check_place(&self, table: &str, address: bool, domains: bool) -> Result<(), String> {
        if self.address.is_some() != address {
            let what = if address { "needs" } else { "cannot have" };
            return Err(format!("{table} {what} an `address`; it belongs to [[listen]]"));
        }
        if self.r#match.as_ref().is_some_and(|it| !it.is_empty()) != domains {
            let what = if domains { "needs" } else { "cannot have" };
            return Err(format!("{table} {what} a `match` with domains; it belongs to [[domain]]"));
        }
        if self.tarpit.as_ref().is_some_and(|it| it.bytes == 0 || it.every_ms > INTERVAL_MS_MAX) {
            return Err(format!("{table} tarpit: at least 1 byte every 0 to 3600000 ms"));
        }
        if self.read_bytes_per_second == Some(0) {
            return Err(format!("{table} read_bytes_per_second must be at least 1"));
        }
        if self.receive_buffer_bytes.is_some_and(|bytes| bytes > RECEIVE_BUFFER_BYTES_MAX) {
            return Err(format!(
                "{table} receive_buffer_bytes: at most {RECEIVE_BUFFER_BYTES_MAX}"
            ));
        }
        if self.name.as_ref().is_some_and(|name| !is_name(name)) {
            return Err(format!("{table} name must be a host's name such as `mx.example`"));
        }
        let wrong = |it: &&String| !is_pattern(it);
        if let Some(pattern) = self.r#match.iter().flatten().find(wrong) {
            return Err(format!(
                "{table} match: `{pattern}` must be a domain, `*.` and a domain, or `*` for all"
            ));
        }
        self.check_effect(table)
    }

    /// What would never have an effect is a mistake.
    fn check_effect(&self, table: &str) -> Result<(), String> {
        let elsewhere = |it: &&ReplyKeys| it.at != Point::Rcpt && !it.recipients.is_empty();
        if let Some(reply) = self.reply.iter().find(elsewhere) {
            return Err(format!(
                "{table} reply at {}: `recipients` belongs to `at = \"rcpt\"`",
                reply.at.phrase()
            ));
        }
        if self.drop.iter().any(|it| it.taken && it.at != DropAt::Behind) {
            return Err(format!("{table} drop: `taken` belongs to `at = \"after-data\"`"));
        }
        if self.drop.iter().any(|it| it.after_bytes > 0 && it.at != DropAt::Within) {
            return Err(format!("{table} drop: `after_bytes` belongs to `at = \"in-data\"`"));
        }
        for (place, reply) in self.reply.iter().enumerate() {
            // A rule with recipients may come before one for all and take some away from it.
            let before = self.reply[..place].iter();
            let before = before.filter(|it| it.at == reply.at && it.recipients.is_empty());
            check_share(reply.share, !reply.recipients.is_empty(), before.map(|it| it.share))
                .map_err(|error| format!("{table} reply at {}: {error}", reply.at.phrase()))?;
        }
        for (place, drop) in self.drop.iter().enumerate() {
            let before = self.drop[..place].iter().map(|it| it.share);
            check_share(drop.share, false, before)
                .map_err(|error| format!("{table} drop: {error}"))?;
        }
        Ok(())
    }

    /// What is decided before a recipient is named cannot depend on one.
    fn check_domain(&self) -> Result<(), String> {
        let early = [
            ("name", self.name.is_some()),
            ("delay.greeting", self.delay.greeting.is_some()),
            ("delay.ehlo", self.delay.ehlo.is_some()),
            ("delay.starttls", self.delay.starttls.is_some()),
            ("delay.auth", self.delay.auth.is_some()),
            ("delay.mail", self.delay.mail.is_some()),
            ("delay.other", self.delay.other.is_some()),
            ("delay.quit", self.delay.quit.is_some()),
            ("tarpit", self.tarpit.is_some()),
            ("connections_max", self.connections_max.is_some()),
            ("client_connections_max", self.client_connections_max.is_some()),
            ("connections_per_second_max", self.connections_per_second_max.is_some()),
            ("read_bytes_per_second", self.read_bytes_per_second.is_some()),
            ("receive_buffer_bytes", self.receive_buffer_bytes.is_some()),
            ("size_max_bytes", self.size_max_bytes.is_some()),
            ("pipelining", self.pipelining.is_some()),
            ("chunking", self.chunking.is_some()),
            ("8bitmime", self.eight_bit_mime.is_some()),
            ("smtputf8", self.smtputf8.is_some()),
            ("auth", self.auth.is_some()),
            ("tls", self.tls.is_some()),
            ("certificate", self.certificate.is_some()),
            ("handshake", self.handshake.is_some()),
        ];
        if let Some((key, _)) = early.iter().find(|(_, is_set)| *is_set) {
            return Err(format!(
                "[[domain]] cannot have `{key}`, which is decided before a recipient is named; put \
                 it under [default] or [[listen]]"
            ));
        }
        match self.reply.iter().find(|reply| !reply.at.is_of_domains()) {
            Some(reply) => Err(format!(
                "[[domain.reply]] cannot be at {}, where no recipient is named; put it under \
                 [default] or [[listen]]",
                reply.at.phrase()
            )),
            None => Ok(()),
        }
    }

    fn apply(&self, behaviour: &mut Behaviour) {
        fn set<T: Clone>(value: &Option<T>, place: &mut T) {
            if let Some(value) = value {
                *place = value.clone();
            }
        }
        fn set_some<T: Clone>(value: &Option<T>, place: &mut Option<T>) {
            if value.is_some() {
                place.clone_from(value);
            }
        }
        set(&self.name, &mut behaviour.name);
        let delay = &self.delay;
        for (point, value) in [
            (Point::Greeting, &delay.greeting),
            (Point::Ehlo, &delay.ehlo),
            (Point::Starttls, &delay.starttls),
            (Point::Auth, &delay.auth),
            (Point::Mail, &delay.mail),
            (Point::Rcpt, &delay.rcpt),
            (Point::Data, &delay.data),
            (Point::EndOfData, &delay.end_of_data),
            (Point::Other, &delay.other),
            (Point::Quit, &delay.quit),
        ] {
            set_some(value, &mut behaviour.delays[point as usize]);
        }
        if !self.reply.is_empty() {
            behaviour.replies = self.reply.iter().map(ReplyKeys::rule).collect();
        }
        if !self.drop.is_empty() {
            behaviour.drops = self.drop.iter().map(DropKeys::rule).collect();
        }
        set(&self.reply_lines, &mut behaviour.lines);
        if let Some(TarpitKeys { bytes, every_ms }) = self.tarpit {
            let every = Duration::from_millis(every_ms);
            behaviour.tarpit = Some(Tarpit { bytes, every });
        }
        set_some(&self.greylist_s.map(Duration::from_secs), &mut behaviour.greylist);
        let admission = &mut behaviour.admission;
        set_some(&self.connections_max, &mut admission.connections_max);
        set_some(&self.client_connections_max, &mut admission.client_connections_max);
        set_some(&self.connections_per_second_max, &mut admission.connections_per_second_max);
        set_some(&self.read_bytes_per_second, &mut behaviour.read_bytes_per_second);
        set_some(&self.receive_buffer_bytes, &mut behaviour.receive_buffer_bytes);
        if let Some(bytes) = self.size_max_bytes {
            // RFC 1870 §4: a size of 0 says that there is no bound.
            behaviour.size_max_bytes = Some(bytes).filter(|bytes| *bytes > 0);
        }
        set(&self.pipelining, &mut behaviour.offers.pipelining);
        set(&self.chunking, &mut behaviour.offers.chunking);
        set(&self.eight_bit_mime, &mut behaviour.offers.eight_bit_mime);
        set(&self.smtputf8, &mut behaviour.offers.smtputf8);
        set(&self.auth, &mut behaviour.offers.auth);
        set(&self.tls, &mut behaviour.tls);
        set(&self.certificate, &mut behaviour.certificate);
        set(&self.handshake, &mut behaviour.handshake);
    }
}

/// The shares of rules for the same add up: each must find what it takes. A rule for `some` takes a
/// share of those, which may be less than is left of all.
fn check_share(share: f64, some: bool, before: impl Iterator<Item = f64>) -> Result<(), String> {
    /// What sums of decimal fractions may be beside the truth.
    const ROUNDING: f64 = 1e-9;
    let left = 1.0 - before.sum::<f64>();
    let is_too_much = if some { left < ROUNDING } else { share > left + ROUNDING };
    if share > 0.0 && is_too_much {
        return Err(format!(
            "the rules before leave a share of {:.4}, this one takes {share}; make the shares add \
             up to 1 or less",
            left.max(0.0)
        ));
    }
    Ok(())
}

/// Whether `name` can stand in a reply and after EHLO.
fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_pattern(pattern: &str) -> bool {
    pattern == "*" || {
        let name = pattern.strip_prefix("*.").unwrap_or(pattern);
        !name.is_empty() && !name.contains('*')
    }
}

impl ReplyKeys {
    fn rule(&self) -> ReplyRule {
        ReplyRule {
            at: self.at,
            share: self.share,
            recipients: self.recipients.clone(),
            text: self.text.clone(),
        }
    }
}

impl DropKeys {
    const fn rule(&self) -> Drop {
        let Self { at, share, after_bytes, taken } = *self;
        Drop { at, share, after_bytes, taken }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listenings_of(text: &str) -> Result<Vec<Listening>, String> {
        listenings(&parse(text)?, &["127.0.0.1:1".parse().unwrap()], &Keys::default())
    }

    #[test]
    fn tables_build_on_one_another() {
        let text = r#"
            [default]
            name = "mx.example"
            delay.rcpt = "1ms"

            [[default.reply]]
            at = "rcpt"
            share = 0.5
            text = "451 4.3.0 Later"

            [[listen]]
            address = "127.0.0.1:2"
            pipelining = false
            tls = "starttls"
            certificate = "expired"

            [[domain]]
            match = ["slow.example", "*.slow.example"]
            delay.end_of_data = "exponential 1s"

            [[domain]]
            match = ["*.example"]
            greylist_s = 60
        "#;
        let found = listenings_of(text).unwrap();
        let [first, second] = &found[..] else { panic!("{found:?}") };
        assert_eq!(first.behaviour.name, "mx.example");
        assert_eq!(first.behaviour.tls, TlsMode::None);
        assert!(first.behaviour.offers.pipelining && !second.behaviour.offers.pipelining);
        assert_eq!(second.behaviour.certificate, CertificateKind::Expired);
        for (domain, rule) in [
            ("slow.example", Some(0)),
            ("a.SLOW.example", Some(0)),
            ("example", None),
            ("other.example", Some(1)),
            (".example", None),
            ("example.org", None),
        ] {
            assert_eq!(second.rule_of(domain.as_bytes()), rule, "{domain}");
        }
        let slow = second.behaviour_of(Some(0));
        assert!(slow.delays[Point::EndOfData as usize].is_some());
        assert!(slow.delays[Point::Rcpt as usize].is_some());
        assert_eq!(slow.replies.len(), 1);
        assert_eq!(second.behaviour_of(Some(1)).greylist, Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_bound_can_be_lifted_again_and_a_star_is_for_all() {
        let text = "[default]\nsize_max_bytes = 10\n\
            [[listen]]\naddress = \"127.0.0.1:2\"\nsize_max_bytes = 0\n\
            [[domain]]\nmatch = [\"*\"]\ngreylist_s = 1";
        let found = listenings_of(text).unwrap();
        let bounds = [0, 1].map(|index: usize| found[index].behaviour.size_max_bytes);
        assert_eq!(bounds, [Some(10), None]);
        assert_eq!((found[0].rule_of(b"x.example"), found[0].rule_of(b"")), (Some(0), Some(0)));
    }

    #[test]
    fn mistakes_are_told_with_their_place_and_what_would_be_right() {
        for (text, told) in [
            ("[default]\nnmae = \"x\"", &["line 2", "nmae"][..]),
            ("[default]\ndelay.rcpt = \"5 weeks\"", &["line 2", "exponential 20ms"]),
            ("[[default.reply]]\nat = \"rcpt\"\ntext = \"250 yes\"", &["line 3", "4xx or 5xx"]),
            ("[[default.drop]]\nat = \"data\"", &["line 2", "before-data"]),
            ("[[default.drop]]\nat = \"in-data\"\nshare = 2.0", &["line 3", "from 0 to 1"]),
            (
                "[[default.drop]]\nat = \"in-data\"\nshare = 0.7\n\
                 [[default.drop]]\nat = \"after-data\"\nshare = 0.4",
                &["[default] drop", "a share of 0.3000, this one takes 0.4"],
            ),
            (
                "[[default.reply]]\nat = \"mail\"\ntext = \"450 no\"\n\
                 [[default.reply]]\nat = \"mail\"\ntext = \"451 no\"\nshare = 0.1",
                &["[default] reply at MAIL", "a share of 0.0000, this one takes 0.1"],
            ),
            ("[default]\naddress = \"127.0.0.1:1\"", &["[[listen]]"]),
            ("[[listen]]\nname = \"x\"", &["needs an `address`"]),
            ("[[domain]]\ngreylist_s = 1", &["needs a `match`"]),
            ("[[domain]]\nmatch = [\"x\"]\ntls = \"none\"", &["`tls`", "[default]"]),
            (
                "[[domain]]\nmatch = [\"x\"]\n[[domain.reply]]\nat = \"mail\"\ntext = \"450 x\"",
                &["MAIL"],
            ),
            ("[default]\ntarpit = { bytes = 0, every_ms = 1 }", &["at least 1 byte"]),
            ("[default]\nname = \"a b\"", &["[default] name", "mx.example"]),
            ("[default]\nreceive_buffer_bytes = 2_000_000_000", &["at most"]),
            ("[[domain]]\nmatch = [\"*bad.example\"]", &["`*bad.example`", "`*.`"]),
            (
                "[[default.reply]]\nat = \"mail\"\nrecipients = [\"x\"]\ntext = \"550 no\"",
                &["MAIL", "rcpt"],
            ),
            ("[[default.drop]]\nat = \"in-data\"\ntaken = true", &["after-data"]),
            ("[[default.drop]]\nat = \"after-data\"\nafter_bytes = 5", &["in-data"]),
            ("[default]\ntls = \"always\"", &["line 2", "starttls"]),
        ] {
            let error = listenings_of(text).unwrap_err();
            for part in told {
                assert!(error.contains(part), "{part} in {error}");
            }
        }
    }
}

//! What a source sends: how much of it, how fast, to whom.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;

use super::pace::PaceArgs;
use crate::content::Sizes;
use crate::shares::{self, Shares};
use crate::source::{self, Domains, Pattern, RecipientCount};

/// Options of `loadgen source` about the messages.
#[derive(Debug, Args)]
pub(crate) struct WorkloadArgs {
    /// Send this many messages [default: 10000, unless --seconds is given].
    #[arg(long)]
    pub(crate) messages: Option<u64>,
    /// Begin no message after this time.
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    #[command(flatten)]
    pub(crate) content: ContentArgs,
    /// Recipients of a message, or a range like 1-50.
    #[arg(long, default_value = "1")]
    pub(crate) recipients: RecipientCount,
    /// The sender's address; an empty one is the null sender.
    #[arg(long, default_value = "sender@loadgen.example", value_parser = sender)]
    pub(crate) from: String,
    /// The recipient's address; {n} stands for the message's number, {r} for the recipient's number
    /// in the message.
    #[arg(long, default_value = "recipient{r}@sink.example")]
    pub(crate) to: Pattern,
    #[command(flatten)]
    pub(crate) domains: DomainArgs,
    #[command(flatten)]
    pub(crate) pace: PaceArgs,
    /// Seconds at the beginning that the figures leave out.
    #[arg(long, default_value_t = 0.0, value_parser = seconds)]
    pub(crate) warm_up_s: f64,
    /// Seconds at the end that the figures leave out; needs an end, from --seconds or --steps.
    #[arg(long, default_value_t = 0.0, value_parser = seconds)]
    pub(crate) cool_down_s: f64,
    /// Seed of everything that is drawn by lot; the same seed gives the same messages.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Options of `loadgen source` about what messages consist of.
#[derive(Debug, Args)]
pub(crate) struct ContentArgs {
    /// Bytes of a message, headers included: 2048, 10k, 1M, 4Ki; from 1k-100k, each size as likely;
    /// lognormal:MEDIAN,SIGMA or lognormal:MEDIAN,SIGMA,MAX; by weight as in 1k:70,10k:25,1M:5; or
    /// file:PATH with lines SIZE WEIGHT.
    #[arg(long, default_value = "2048", group = "content")]
    pub(crate) size: Sizes,
    /// Send every .eml file of this folder in turn, line ends made CRLF, behind the stamp.
    #[arg(long, value_name = "DIR", group = "content")]
    pub(crate) eml: Option<PathBuf>,
    /// Send this text, its fields {n} {r} (number of recipients) {run} {to} {from} {date}
    /// {message_id} {random:N} filled in for each message, behind the stamp.
    #[arg(long, value_name = "FILE", group = "content")]
    pub(crate) template: Option<PathBuf>,
}

/// Options of `loadgen source` about the domains of recipients.
#[derive(Debug, Args)]
pub(crate) struct DomainArgs {
    /// Domains of recipients, instead of that in --to.
    #[arg(long = "domains", value_delimiter = ',', value_parser = domain, group = "domain")]
    names: Vec<String>,
    /// So many domains, d0001.sink.example and so on.
    #[arg(long = "domain-count", value_name = "N", group = "domain",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: Option<u32>,
    /// How messages take the domains: round-robin, uniform (by lot), zipf:EXPONENT (by lot, the
    /// first most often), or file:PATH with lines DOMAIN WEIGHT (which needs no --domains).
    #[arg(long = "domain-distribution", default_value = "round-robin")]
    distribution: DomainDistribution,
    /// Let each recipient have a domain of its own, instead of one for all of a message.
    #[arg(long = "mix-domains")]
    pub(crate) mix: bool,
}

impl DomainArgs {
    /// The domains that messages go to.
    ///
    /// # Errors
    /// Options that do not go together.
    pub(crate) fn domains(&self) -> Result<Domains, String> {
        let names = match self.count {
            Some(count) => {
                let digits = count.to_string().len().max(4);
                (1..=count).map(|number| format!("d{number:0digits$}.sink.example")).collect()
            }
            None => self.names.clone(),
        };
        let no_names = names.is_empty();
        let by_lot = |shares: Result<Shares, String>| Ok(Domains::ByLot(names.clone(), shares?));
        match &self.distribution {
            DomainDistribution::Weighted(own, shares) if no_names => {
                Ok(Domains::ByLot(own.clone(), shares.clone()))
            }
            DomainDistribution::Weighted(..) => {
                Err("--domain-distribution file:PATH names the domains: leave out --domains and \
                     --domain-count"
                    .to_owned())
            }
            DomainDistribution::InTurn if no_names => Ok(Domains::OfPattern),
            DomainDistribution::InTurn => Ok(Domains::InTurn(names)),
            DomainDistribution::Uniform | DomainDistribution::Zipf(_) if no_names => {
                Err("--domain-distribution needs --domains or --domain-count".to_owned())
            }
            DomainDistribution::Uniform => by_lot(Shares::zipf(names.len(), 0.0)),
            DomainDistribution::Zipf(exponent) => by_lot(Shares::zipf(names.len(), *exponent)),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum DomainDistribution {
    InTurn,
    Uniform,
    Zipf(f64),
    Weighted(Vec<String>, Shares),
}

impl FromStr for DomainDistribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "round-robin" => Ok(Self::InTurn),
            None if text == "uniform" => Ok(Self::Uniform),
            Some(("zipf", exponent)) => match exponent.parse() {
                Ok(exponent) if (0.0..=10.0).contains(&exponent) => Ok(Self::Zipf(exponent)),
                Ok(_) | Err(_) => Err(format!("`{exponent}` must be a number from 0 to 10")),
            },
            Some(("file", path)) => shares::read_weights(Path::new(path), domain)
                .map(|(names, shares)| Self::Weighted(names, shares)),
            None | Some(_) => {
                Err("it must be round-robin, uniform, zipf:EXPONENT or file:PATH".to_owned())
            }
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=1e9).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err("it must be a number of seconds from 0 to 1000000000".to_owned()),
    }
}

fn sender(text: &str) -> Result<String, String> {
    if text.bytes().all(source::is_path_byte) { Ok(text.to_owned()) } else { Err(no_address()) }
}

fn domain(text: &str) -> Result<String, String> {
    if text.is_empty() { Err(no_address()) } else { sender(text) }
}

fn no_address() -> String {
    "it must be printable, without spaces and angle brackets".to_owned()
}

//! What a source sends: how much of it, how fast, to whom.

use clap::Args;

use super::pace::PaceArgs;
use crate::source::{self, Pattern};

/// Options of `loadgen source` about the messages.
#[derive(Debug, Args)]
pub(crate) struct WorkloadArgs {
    /// Send this many messages [default: 10000, unless --seconds is given].
    #[arg(long)]
    pub(crate) messages: Option<u64>,
    /// Begin no message after this time.
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    /// Bytes of a message, headers included.
    #[arg(long, default_value_t = 2_048)]
    pub(crate) size: usize,
    /// Recipients of a message.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) recipients: u32,
    /// The sender's address; an empty one is the null sender.
    #[arg(long, default_value = "sender@loadgen.example", value_parser = sender)]
    pub(crate) from: String,
    /// The recipient's address; {n} stands for the message's number, {r} for the recipient's number
    /// in the message.
    #[arg(long, default_value = "recipient{r}@sink.example")]
    pub(crate) to: Pattern,
    /// Recipients' domains, taken in turn from message to message instead of that in --to.
    #[arg(long, value_delimiter = ',', value_parser = domain)]
    pub(crate) domains: Vec<String>,
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
    "it must be printable ASCII without spaces and angle brackets".to_owned()
}

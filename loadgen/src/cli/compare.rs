//! `loadgen compare`.

use std::path::PathBuf;

use clap::Args;

use crate::compare::{FIGURES, Figure};

/// `loadgen compare`.
///
/// The exit status is 0 if no regression is shown, 1 if there is one, and 2 if the two cannot be
/// compared: other work, another machine, or too few runs to tell anything.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// What it was: a file that bench wrote with --json, or a directory of files of bench or
    /// source, each file of a source being one run.
    pub(crate) a: PathBuf,
    /// What it is now.
    pub(crate) b: PathBuf,
    /// Differences of less than this do not count, for instance 5%.
    #[arg(long, default_value = "5%", value_parser = percentage)]
    pub(crate) threshold: f64,
    /// How sure a difference must be. With 99% it takes 5 runs a side, with 95% 4.
    #[arg(long, default_value = "99%", value_parser = confidence)]
    pub(crate) confidence: f64,
    /// What to compare [default: all of rate,cpu,p50,p99,p99.9,memory]. The fewer there are, the
    /// seldomer chance alone makes one of them a regression.
    #[arg(long, value_delimiter = ',', value_parser = figure)]
    pub(crate) figures: Vec<Figure>,
    /// Compare figures of machines with other CPUs.
    #[arg(long)]
    pub(crate) any_machine: bool,
    /// Write the comparison as JSON to this file (-: standard output).
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

fn percentage(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.parse::<f64>() {
        Ok(number) if (0.0..=100.0).contains(&number) => Ok(number / 100.0),
        Ok(_) | Err(_) => Err("it must be a percentage from 0% to 100%".to_owned()),
    }
}

fn confidence(text: &str) -> Result<f64, String> {
    match percentage(text) {
        Ok(share) if (0.5..=0.999_9).contains(&share) => Ok(share),
        Ok(_) | Err(_) => Err("it must be a percentage from 50% to 99.99%".to_owned()),
    }
}

fn figure(text: &str) -> Result<Figure, String> {
    let names = FIGURES.map(Figure::name);
    let found = FIGURES.into_iter().find(|figure| figure.name() == text);
    found.ok_or_else(|| format!("it must be one of {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_written_with_or_without_their_sign() {
        assert_eq!(percentage("5%"), Ok(0.05));
        assert_eq!(percentage("2.5"), Ok(0.025));
        assert!(percentage("-1%").is_err() && percentage("x").is_err());
        assert!(confidence("100%").is_err());
        assert_eq!(figure("p99.9"), Ok(Figure::P99_9));
        assert!(figure("speed").unwrap_err().contains("rate, cpu"));
    }
}

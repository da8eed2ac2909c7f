//! How fast a source sends: the words for rates over time.

use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::rate;
use crate::source::{Arrivals, STEPS_MAX, Schedule};

/// The longest time in words; a longer one would not fit in a clock.
const TIME_S_MAX: f64 = 1e9;

/// Options of `loadgen source` about the rate.
#[derive(Debug, Args)]
pub(crate) struct PaceArgs {
    /// Messages a second to send, whatever the server does (an open loop); latencies then count
    /// from the time at which a message was due.
    #[arg(long, value_parser = rate, group = "pace")]
    rate: Option<f64>,
    /// An open loop whose rate goes evenly FROM:TO:TIME and then stays, for instance 100:5000:30s.
    #[arg(long, value_name = "FROM:TO:TIME", group = "pace")]
    ramp: Option<Ramp>,
    /// An open loop of one RATE:TIME after another, for instance 1000:10s,2000:10s; each has
    /// figures of its own.
    #[arg(long, value_name = "RATE:TIME,…", group = "pace")]
    steps: Option<Steps>,
    /// How messages fall due in an open loop.
    #[arg(long, value_enum, default_value_t = ArrivalsArg::Even, requires = "pace")]
    arrivals: ArrivalsArg,
}

impl PaceArgs {
    /// When messages are due; none in a closed loop.
    pub(crate) fn schedule(&self) -> Option<Schedule> {
        let arrivals = match self.arrivals {
            ArrivalsArg::Even => Arrivals::Even,
            ArrivalsArg::Poisson => Arrivals::Poisson,
        };
        let steady = self.rate.map(|rate| Schedule::steady(rate, arrivals));
        let ramp = self.ramp.map(|ramp| Schedule::ramp(ramp.from, ramp.to, ramp.time, arrivals));
        let steps = self.steps.as_ref().map(|steps| Schedule::steps(&steps.0, arrivals));
        steady.or(ramp).or(steps)
    }
}

/// How arrivals fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ArrivalsArg {
    /// Equally far apart.
    Even,
    /// As independent senders would.
    Poisson,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Ramp {
    from: f64,
    to: f64,
    time: Duration,
}

impl FromStr for Ramp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let [from, to, time] = parts[..] else {
            return Err("it must be FROM:TO:TIME like 100:5000:30s".to_owned());
        };
        // It may begin with silence.
        let from = if from == "0" { 0.0 } else { rate(from)? };
        Ok(Self { from, to: rate(to)?, time: time_of(time)? })
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Steps(Vec<(f64, Duration)>);

impl FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let steps = text.split(',').map(|step| {
            let (per_second, time) = step
                .split_once(':')
                .ok_or_else(|| format!("`{step}` must be RATE:TIME like 1000:10s"))?;
            Ok((rate(per_second)?, time_of(time)?))
        });
        let steps = steps.collect::<Result<Vec<_>, String>>()?;
        if steps.len() > STEPS_MAX {
            return Err(format!("{} steps are more than {STEPS_MAX}", steps.len()));
        }
        Ok(Self(steps))
    }
}

/// A time like `30s`, `500ms`, `2m`; without a unit in seconds. Never nothing.
fn time_of(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` must be a time like 30s, 500ms or 2m");
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
    let unit = units.iter().find_map(|(unit, s)| text.strip_suffix(unit).map(|rest| (rest, *s)));
    let (number, unit_s) = unit.unwrap_or((text, 1.0));
    let seconds = number.parse::<f64>().map_err(|_| wrong())? * unit_s;
    if !(1e-3..=TIME_S_MAX).contains(&seconds) {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ramps_and_steps_are_read() {
        let ramp = Ramp { from: 100.0, to: 5_000.0, time: Duration::from_secs(30) };
        assert_eq!("100:5000:30s".parse(), Ok(ramp));
        assert_eq!("0:5:500ms".parse::<Ramp>().unwrap().from.to_bits(), 0);
        let steps = [(1_000.0, Duration::from_secs(10)), (2.5, Duration::from_secs(120))];
        assert_eq!("1000:10s,2.5:2m".parse(), Ok(Steps(steps.to_vec())));
        assert_eq!("1000:10".parse::<Steps>().unwrap().0[0].1, Duration::from_secs(10));
    }

    #[test]
    fn wrong_ramps_and_steps_are_refused() {
        for wrong in ["", "1", "1:2", "1:0:3s", "1:2:3x", "1:2:-3s", "1:2:0s", "1:2:3s:4", "x:2:3s"]
        {
            assert!(wrong.parse::<Ramp>().is_err(), "{wrong}");
        }
        let too_many = vec!["1:1s"; STEPS_MAX + 1].join(",");
        for wrong in ["", "1", "1:", ":1s", "0:1s", "1:1s,", "1:infs", &too_many] {
            assert!(wrong.parse::<Steps>().is_err(), "{wrong}");
        }
    }
}

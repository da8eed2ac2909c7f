//! What is measured.

use crate::cli::ScenarioArg;

/// Shares of its own maximum at which a server's latency is measured.
const LATENCY_LOADS_PERCENT: [u8; 3] = [50, 80, 95];

/// One thing that is measured of each server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    /// Take mail over connections that stay, and hold it.
    AcceptKept,
    /// Take mail with a connection for each message, and hold it.
    AcceptSingle,
    /// Take mail and pass it on.
    Relay,
    /// Pass on a backlog of mail that was held.
    Drain,
    /// Hold connections that say nothing.
    Idle,
    /// Take mail in an open loop, at this share of what [`Self::AcceptKept`] came to, and hold it.
    Latency { load_percent: u8 },
    /// Take mail at a steady rate beside handshakes of TLS.
    Handshakes,
}

impl Scenario {
    /// A stable name.
    pub(super) fn name(self) -> String {
        match self {
            Self::AcceptKept => "accept-kept".to_owned(),
            Self::AcceptSingle => "accept-single".to_owned(),
            Self::Relay => "relay".to_owned(),
            Self::Drain => "drain".to_owned(),
            Self::Idle => "idle".to_owned(),
            Self::Latency { load_percent } => format!("latency-{load_percent}"),
            Self::Handshakes => "handshakes".to_owned(),
        }
    }

    /// For people.
    pub(super) fn title(self) -> String {
        match self {
            Self::AcceptKept => "Accept and hold, connections kept".to_owned(),
            Self::AcceptSingle => "Accept and hold, a connection for each message".to_owned(),
            Self::Relay => "In and out again, until the sink has all".to_owned(),
            Self::Drain => "A backlog let go, until the sink has all".to_owned(),
            Self::Idle => "Idle connections".to_owned(),
            Self::Latency { load_percent } => {
                format!("Accept and hold, an open loop at {load_percent} % of each server's most")
            }
            Self::Handshakes => "Mail beside TLS handshakes".to_owned(),
        }
    }

    /// Whether a server that answers and does nothing else can take part.
    pub(super) const fn suits_floor(self) -> bool {
        match self {
            Self::AcceptKept | Self::AcceptSingle | Self::Idle | Self::Latency { .. } => true,
            Self::Relay | Self::Drain | Self::Handshakes => false,
        }
    }
}

/// The scenarios behind what the user `wanted`, each once; none means all that need no TLS. The
/// maximum is measured before the latencies that are shares of it.
pub(super) fn chosen(wanted: &[ScenarioArg]) -> Vec<Scenario> {
    let all = [
        ScenarioArg::Accept,
        ScenarioArg::Relay,
        ScenarioArg::Drain,
        ScenarioArg::Idle,
        ScenarioArg::Latency,
    ];
    let mut scenarios: Vec<Scenario> = Vec::new();
    for wanted in if wanted.is_empty() { &all[..] } else { wanted } {
        let parts = match wanted {
            ScenarioArg::Accept => vec![Scenario::AcceptKept, Scenario::AcceptSingle],
            ScenarioArg::Relay => vec![Scenario::Relay],
            ScenarioArg::Drain => vec![Scenario::Drain],
            ScenarioArg::Idle => vec![Scenario::Idle],
            ScenarioArg::Latency => {
                let loads = LATENCY_LOADS_PERCENT.into_iter();
                let loads = loads.map(|load_percent| Scenario::Latency { load_percent });
                [Scenario::AcceptKept].into_iter().chain(loads).collect()
            }
            ScenarioArg::Handshakes => vec![Scenario::Handshakes],
        };
        for part in parts {
            if !scenarios.contains(&part) {
                scenarios.push(part);
            }
        }
    }
    scenarios
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_means_all() {
        let names: Vec<String> = chosen(&[]).into_iter().map(Scenario::name).collect();
        let wanted = [
            "accept-kept",
            "accept-single",
            "relay",
            "drain",
            "idle",
            "latency-50",
            "latency-80",
            "latency-95",
        ];
        assert_eq!(names, wanted);
        assert_eq!(chosen(&[ScenarioArg::Relay, ScenarioArg::Relay]), [Scenario::Relay]);
    }

    #[test]
    fn latencies_come_behind_their_maximum() {
        let chosen = chosen(&[ScenarioArg::Latency, ScenarioArg::Accept]);
        assert_eq!(chosen[0], Scenario::AcceptKept);
        assert_eq!(chosen.len(), 5);
    }
}

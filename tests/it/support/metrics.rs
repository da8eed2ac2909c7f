//! Reads `/metrics` of a running server.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer of the admin address may take before it counts as none.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// One reading: each sample by name with its labels, as the text format writes them.
#[derive(Debug)]
pub(crate) struct Metrics {
    samples: BTreeMap<String, f64>,
    /// What the reading was made from.
    pub(crate) text: String,
}

impl Metrics {
    /// Reads the metrics at an admin address.
    pub(crate) fn read(address: SocketAddr) -> Self {
        let text = get(address, "/metrics");
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
            .map(|line| {
                let (sample, value) = line.rsplit_once(' ').expect("a sample is `name value`");
                let value = value.parse().unwrap_or_else(|_| panic!("no number in {line:?}"));
                (sample.to_owned(), value)
            })
            .collect();
        Self { samples, text }
    }

    /// The sum of `name` over all labels; `None` when there is no such sample.
    pub(crate) fn sum(&self, name: &str) -> Option<f64> {
        self.sum_where(name, "")
    }

    /// Like [`Metrics::sum`], over the samples whose labels contain `label`.
    pub(crate) fn sum_where(&self, name: &str, label: &str) -> Option<f64> {
        self.samples
            .iter()
            .filter(|(sample, _)| {
                let (sample_name, labels) = sample.split_once('{').unwrap_or((sample, ""));
                sample_name == name && labels.contains(label)
            })
            .map(|(_, value)| *value)
            .reduce(|sum, value| sum + value)
    }

    /// The sum of `name`, which must be there.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> f64 {
        let Some(value) = self.sum(name) else { panic!("no {name} in:\n{}", self.text) };
        value
    }
}

/// The body of a successful HTTP answer. HTTP/1.0, so that it comes whole and unchunked.
fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the admin address accepts");
    stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("a time limit on a socket");
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the request goes out");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1);
    assert_eq!(status, Some("200"), "{path} answered {head}");
    body.to_owned()
}

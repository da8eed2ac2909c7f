//! Delivery status notifications as Python's email package reads them.

use super::aiosmtpd::python;
use super::scenario::Scenario;
use super::sink::Received;

/// The facts of one notification.
#[derive(Debug)]
pub(crate) struct Report {
    lines: Vec<String>,
}

impl Report {
    /// Reads a notification and fails if the parser had to forgive anything, or if the parts are
    /// not those of RFC 3464 §2.
    #[track_caller]
    pub(crate) fn read(test: &Scenario, received: &Received) -> Self {
        assert_eq!(received.sender, "", "a notification has the null sender (RFC 3464 §2)");
        let output = test.run(&mut python("read_report.py"), &received.content).succeeded().output;
        let report = Self { lines: output.lines().map(str::to_owned).collect() };
        assert_eq!(report.values("defect"), [""; 0], "{output}");
        assert_eq!(report.value("report-type"), "delivery-status", "{output}");
        let parts = report.values("part");
        assert!(parts.starts_with(&["text/plain", "message/delivery-status"]), "{output}");
        assert!(parts[2..] == ["text/rfc822-headers"] || parts[2..] == ["message/rfc822"]);
        report
    }

    /// All values of a fact, in order.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let of_name = |line: &'_ String| {
            let (fact, _) = line.split_once(": ")?;
            (fact == name).then_some(name.len() + 2)
        };
        self.lines.iter().filter_map(|line| of_name(line).map(|start| &line[start..])).collect()
    }

    /// The only value of a fact.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> &str {
        let values = self.values(name);
        assert_eq!(values.len(), 1, "{name} in {:#?}", self.lines);
        values[0]
    }

    /// Fails unless the notification is about one failed recipient with a status that starts with
    /// `status`.
    #[track_caller]
    pub(crate) fn assert_failed(&self, recipient: &str, status: &str) {
        let address = self.value("final-recipient").to_ascii_lowercase();
        assert_eq!(address.replace(' ', ""), format!("rfc822;{recipient}"));
        assert_eq!(self.value("action"), "failed");
        assert!(self.value("status").starts_with(status), "{:#?}", self.lines);
    }
}

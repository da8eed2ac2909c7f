//! What becomes of a recipient after an attempt: the one place where that is decided.
//!
//! The relay brings what [`proto::client`](crate::proto::client) reported, or a failure of its own
//! from name look-up or connecting, and whether another server of the site is left to try. The
//! answer depends on nothing else:
//!
//! | scope | severity | another server left | last server |
//! | --- | --- | --- | --- |
//! | session | soft: greeting or EHLO 4yz, 421 | next server | defer |
//! | session | hard: greeting 5yz | next server | defer |
//! | session | network: not connected, lost, timed out, out of step | next server | defer |
//! | site | soft: look-up failed for now | next server | defer |
//! | site | hard: no such domain, null MX, HELO 5yz | next server | bounce |
//! | site | network: no DNS server answers | next server | defer |
//! | message | soft: MAIL, DATA or its end 4yz | next server | defer |
//! | message | hard: MAIL, DATA or its end 5yz, too large, not offered | bounce | bounce |
//! | message | network: lost after the end of data | defer | defer |
//! | recipient | soft: RCPT 4yz | next server | defer |
//! | recipient | hard: RCPT 5yz | bounce | bounce |
//! | recipient | network: not reported by the client | defer | defer |
//!
//! The rows that are not obvious:
//! - *Session, hard.* A server that refuses the whole session says nothing about the recipient; a
//!   blocked address is mended in less time than a message lives. RFC 5321 §3.1 lets a 554 greeting
//!   stand for a host that takes no mail, and others of the site may. Nor is a 521 told apart,
//!   which RFC 7504 reserves for hosts that never take mail, because block lists answer with it
//!   too.
//! - *Site, hard, another server left.* A refused HELO is held against the site, but asking the
//!   others costs one connection and a bounce cannot be taken back.
//! - *Message or recipient, soft, another server left.* RFC 5321 §5.1 wants every server tried
//!   before an attempt counts as failed. The relay bounds how many it tries by calling one the
//!   last.
//! - *Message, network.* The peer may have taken the message. Each attempt may be one more copy, so
//!   the next waits for its time instead of going to the next server at once.
//!
//! A failure with [`Failure::retry_now`] is never taken for one at the last server, so what it
//! leads to where the table differs is [`Verdict::TryNextServer`]: over a connection made for it,
//! beginning again with the first server if the list is at its end.
//!
//! Two things are not decided here. That a deferral past the message's expiry becomes a bounce
//! belongs to the queue, which knows the times. And a bounce says only that the recipient is given
//! up; whether the sender is told, see [`queue::notice`](crate::queue::notice).

use crate::proto::client::{Delivered, Failure, Scope, Severity};
use crate::queue::Decision;

/// What follows from the end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The attempt is over for this recipient.
    Final(Decision),
    /// The attempt goes on with the next server of the site over another connection; nothing is
    /// recorded.
    TryNextServer,
}

/// What becomes of a recipient whose attempt ended with `result`, at the `last_server` to try or
/// not.
pub fn decide(result: &Result<Delivered, Failure>, last_server: bool) -> Verdict {
    match result {
        Ok(_) => Verdict::Final(Decision::Deliver),
        Err(failure) => {
            let last_server = last_server && !failure.retry_now;
            if !last_server && another_may_do_better(failure.scope, failure.severity) {
                return Verdict::TryNextServer;
            }
            Verdict::Final(decide_at_last_server(failure))
        }
    }
}

/// What becomes of a recipient after `failure` when no other server is left to try.
pub fn decide_at_last_server(failure: &Failure) -> Decision {
    let reason = failure.to_string().into();
    match (failure.scope, failure.severity) {
        (Scope::Session, Severity::Soft | Severity::Hard | Severity::Network)
        | (Scope::Site | Scope::Message | Scope::Recipient, Severity::Soft | Severity::Network) => {
            Decision::Defer { reason }
        }
        (Scope::Site | Scope::Message | Scope::Recipient, Severity::Hard) => {
            Decision::Bounce { reason }
        }
    }
}

/// Whether a failure leaves room for another server of the site.
const fn another_may_do_better(scope: Scope, severity: Severity) -> bool {
    match (scope, severity) {
        (Scope::Session | Scope::Site, Severity::Soft | Severity::Hard | Severity::Network)
        | (Scope::Message | Scope::Recipient, Severity::Soft) => true,
        (Scope::Message | Scope::Recipient, Severity::Hard | Severity::Network) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::client::PassedOn;
    use crate::proto::enhanced::EnhancedCode;
    use crate::proto::reply_parse::Reply;

    const SCOPES: [Scope; 4] = [Scope::Session, Scope::Site, Scope::Message, Scope::Recipient];
    const SEVERITIES: [Severity; 3] = [Severity::Soft, Severity::Hard, Severity::Network];

    fn failure(scope: Scope, severity: Severity) -> Failure {
        Failure::local(scope, severity, EnhancedCode::new(4, 0, 0), "why")
    }

    #[test]
    fn every_cell_is_what_the_table_in_the_documentation_says() {
        let documented: Vec<(String, Vec<String>)> = include_str!("outcome.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .filter(|line| !line.starts_with("scope") && !line.starts_with("---"))
            .map(|line| {
                let cells: Vec<&str> = line.trim_end_matches(" |").split(" | ").collect();
                let severity = cells[1].split(':').next().unwrap();
                let key = format!("{} {severity}", cells[0]);
                (key, cells[2..].iter().map(|cell| (*cell).to_owned()).collect())
            })
            .collect();
        assert_eq!(documented.len(), SCOPES.len() * SEVERITIES.len());
        let mut rows = documented.iter();
        for scope in SCOPES {
            for severity in SEVERITIES {
                let (key, cells) = rows.next().unwrap();
                assert_eq!(*key, format!("{scope:?} {severity:?}").to_lowercase());
                for (last_server, cell) in [false, true].into_iter().zip(cells) {
                    let result = Err(failure(scope, severity));
                    let word = match decide(&result, last_server) {
                        Verdict::Final(Decision::Deliver) => "deliver",
                        Verdict::Final(Decision::Defer { reason }) => {
                            assert_eq!(&*reason, "4.0.0 why");
                            "defer"
                        }
                        Verdict::Final(Decision::Bounce { reason }) => {
                            assert_eq!(&*reason, "4.0.0 why");
                            "bounce"
                        }
                        Verdict::TryNextServer => "next server",
                    };
                    assert_eq!(word, cell, "{key}, last: {last_server}");
                }
            }
        }
    }

    #[test]
    fn a_failure_that_says_nothing_is_not_the_last() {
        for scope in SCOPES {
            for severity in SEVERITIES {
                let mut failure = failure(scope, severity);
                let not_last = decide(&Err(failure.clone()), false);
                failure.retry_now = true;
                assert_eq!(decide(&Err(failure), true), not_last);
            }
        }
    }

    #[test]
    fn only_an_answer_to_the_end_of_data_delivers() {
        let reply = Reply { code: 250, enhanced: None, text: "ok".into() };
        let delivered = Delivered { reply, passed_on: PassedOn::default() };
        let verdict = Verdict::Final(Decision::Deliver);
        assert_eq!(decide(&Ok(delivered.clone()), false), verdict);
        assert_eq!(decide(&Ok(delivered), true), verdict);
    }
}

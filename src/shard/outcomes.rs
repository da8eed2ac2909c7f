//! From decisions to records: what became of recipients goes into the spool, and what the sender
//! must hear of it goes before.
//!
//! # Guarantees
//! - A notice to the sender lies in the log before the outcome that gives the recipient up. Since
//!   the log is durable in its order, no crash can lose a bounce and keep the outcome.
//! - A message leaves the queue only when the outcome that finishes it is appended.
//! - An outcome that finds no room waits in memory and is appended as soon as there is some; until
//!   then no new job is begun.
//!
//! # Bounds
//! [`UNRECORDED_OUTCOMES_MAX`] outcomes wait before the relay stops beginning jobs; those of the
//! jobs that run then come on top. [`FAILED_SITE_JOBS_PER_TURN`] jobs of unreachable sites are
//! settled a turn.

use crate::arena::SharedBytes;
use crate::dsn::{FailedRecipient, Notice};
use crate::ids::MessageId;
use crate::limits::{FAILED_SITE_JOBS_PER_TURN, UNRECORDED_OUTCOMES_MAX};
use crate::message::{BodyType, Content, Message, Outcome, Recipient, RecipientState};
use crate::proto::client::Failure;
use crate::proto::transmit::has_dot_lines;
use crate::queue::outcome::decide_at_last_server;
use crate::queue::{Decision, Job, Settled};
use crate::route::NextHop;
use crate::spool::AppendError;

use super::Shard;
use super::content::{Fetch, Reader};
use super::relay::{Judged, Running};
use super::spooling::{Awaiting, Waiter};

/// A settled job on its way into the spool.
#[derive(Debug)]
pub(super) struct Unrecorded {
    settled: Settled,
    /// The notice that goes before the outcome.
    notice: Option<OwnMessage>,
}

/// A message that the server itself sends.
#[derive(Debug)]
pub(super) struct OwnMessage {
    id: MessageId,
    to: Box<[u8]>,
    content: Vec<u8>,
}

/// A settled job whose sender is to be told, while the header of its message is read.
#[derive(Debug)]
pub(super) struct Bounce {
    settled: Settled,
    given_up: Vec<GivenUp>,
}

/// A recipient that was given up, and why.
#[derive(Debug)]
struct GivenUp {
    recipient: u32,
    failure: Failure,
    remote_mta: Option<Box<str>>,
}

impl GivenUp {
    /// From the judgement on its last attempt. One that was to be deferred was given up because
    /// its time ran out.
    fn new(recipient: u32, judged: Option<&Judged>) -> Self {
        let Some(Judged { decision, failure: Some((failure, remote)), .. }) = judged else {
            return Self { recipient, failure: Failure::expired(""), remote_mta: None };
        };
        match decision {
            Decision::Bounce { .. } => {
                Self { recipient, failure: failure.clone(), remote_mta: remote.clone() }
            }
            Decision::Defer { reason } => {
                Self { recipient, failure: Failure::expired(reason), remote_mta: None }
            }
            Decision::Deliver => unreachable!("what was delivered is not given up"),
        }
    }
}

impl Shard {
    /// Whether the spool keeps up with what the relay reports.
    pub(super) fn may_record_more(&self) -> bool {
        self.unrecorded.len() < UNRECORDED_OUTCOMES_MAX
    }

    /// Settles a job with what was judged of its recipients.
    pub(super) fn settle(&mut self, job: Job, judged: Vec<Judged>) {
        let first = self.queue.message(job.message).is_some_and(|message| {
            message.recipients.iter().all(|it| it.state != RecipientState::Delivered)
        });
        let decisions: Vec<(u32, Decision)> =
            judged.iter().map(|it| (it.recipient, it.decision.clone())).collect();
        let settled = self.queue.settle(self.wall, &job, &decisions);
        self.count(&settled.outcome, first);
        let causes = settled.bounced.iter().map(|&recipient| {
            let judged = judged.iter().find(|judged| judged.recipient == recipient);
            GivenUp::new(recipient, judged)
        });
        let given_up = causes.collect();
        self.settled(settled, given_up);
    }

    fn count(&mut self, outcome: &Outcome, none_before: bool) {
        let mut delivered = 0;
        for (_, state) in &outcome.recipients {
            match state {
                RecipientState::Delivered => delivered += 1,
                RecipientState::Pending { .. } => self.counters.recipients_deferred += 1,
                RecipientState::Bounced => self.counters.recipients_bounced += 1,
            }
        }
        self.counters.recipients_delivered += delivered;
        self.counters.messages_delivered += u64::from(none_before && delivered > 0);
    }

    /// Takes a settled job: with a notice first, if one is owed.
    fn settled(&mut self, settled: Settled, given_up: Vec<GivenUp>) {
        let message = self.queue.message(settled.outcome.message);
        let Some(message) = message.filter(|it| !given_up.is_empty() && !it.has_null_sender()) else {
            self.record_later(Unrecorded { settled, notice: None });
            return;
        };
        let head = message.content.extents.first().copied();
        let Some(extent) = head else {
            self.bounce(Bounce { settled, given_up }, None);
            return;
        };
        if let Some(head) = self.spool.cached(&extent) {
            self.bounce(Bounce { settled, given_up }, Some(&head));
            return;
        }
        let key = self.bounces.insert(Bounce { settled, given_up });
        if self.fetch(&extent, Reader::Bounce(key)) == Fetch::Gone {
            self.bounce_head_fetched(key, None);
        }
    }

    /// Goes on with a bounce whose message's header was read from the disk; without it if that
    /// failed.
    pub(super) fn bounce_head_fetched(&mut self, key: usize, head: Option<SharedBytes>) {
        let bounce = self.bounces.remove(key);
        self.bounce(bounce, head.as_deref());
    }

    fn bounce(&mut self, bounce: Bounce, content_head: Option<&[u8]>) {
        let Bounce { settled, given_up } = bounce;
        let id = self.ids.take();
        let notice = self.queue.message(settled.outcome.message).map(|message| {
            let failed: Vec<FailedRecipient<'_>> = given_up
                .iter()
                .filter_map(|given_up| {
                    let recipient = message.recipients.get(given_up.recipient as usize)?;
                    Some(FailedRecipient {
                        address: &recipient.address,
                        failure: &given_up.failure,
                        remote_mta: given_up.remote_mta.as_deref(),
                    })
                })
                .collect();
            let notice = Notice {
                reporting_mta: &self.settings.hostname,
                id,
                message: message.id,
                arrival: message.received,
                now: self.wall,
                sender: &message.sender,
                failed: &failed,
                content_head: content_head.unwrap_or_default(),
                boundary_seed: self.seeds.take(),
            };
            OwnMessage { id, to: message.sender.clone(), content: notice.compose() }
        });
        self.record_later(Unrecorded { settled, notice });
    }

    fn record_later(&mut self, unrecorded: Unrecorded) {
        self.unrecorded.push_back(unrecorded);
        self.record_outcomes();
    }

    /// Appends what waits, in order, as far as there is room.
    pub(super) fn record_outcomes(&mut self) {
        while let Some(own) = self.own_again.pop_front() {
            if let Err(own) = self.append_own(own) {
                self.own_again.push_front(own);
                return;
            }
        }
        while let Some(Unrecorded { settled, notice }) = self.unrecorded.pop_front() {
            if let Some(notice) = notice
                && let Err(notice) = self.append_own(notice)
            {
                self.unrecorded.push_front(Unrecorded { settled, notice: Some(notice) });
                return;
            }
            if self.record(&settled).is_err() {
                // The notice is in the log; it must not go there twice.
                self.unrecorded.push_front(Unrecorded { settled, notice: None });
                return;
            }
        }
    }

    fn record(&mut self, settled: &Settled) -> Result<(), AppendError> {
        if !settled.outcome.recipients.is_empty() {
            self.spool.append_outcome(&settled.outcome)?;
        }
        if settled.finished
            && let Some(message) = self.queue.remove(settled.outcome.message)
        {
            self.spool.finish_message(&message);
            self.counters.messages_finished += 1;
            self.counters.queue_messages = self.queue.len() as u64;
        }
        Ok(())
    }

    /// Puts a message of the server's own into the log, or gives it back if there is no room.
    fn append_own(&mut self, own: OwnMessage) -> Result<(), OwnMessage> {
        let body = self.spool.begin_own_body();
        if self.spool.append_body(body, &own.content).is_err() {
            self.spool.abandon_body(body);
            return Err(own);
        }
        let mut message = Message {
            id: own.id,
            received: self.wall,
            sender: Box::default(),
            recipients: vec![Recipient {
                address: own.to.clone(),
                state: RecipientState::new(self.wall),
                notices: None,
            }],
            content: Content {
                body_type: if own.content.is_ascii() {
                    BodyType::SevenBit
                } else {
                    BodyType::EightBit
                },
                dot_lines: has_dot_lines(&own.content),
                ..Content::default()
            },
            wishes: None,
        };
        let Ok(group) = self.spool.append_message(body, &mut message) else { return Err(own) };
        self.waiters.push_back(Waiter { group, message, awaiting: Awaiting::Own(own) });
        Ok(())
    }

    /// Makes durable what a job has delivered, while the rest of it goes to the next server.
    pub(super) fn record_delivered(&mut self, running: &Running) {
        let recipients: Vec<(u32, RecipientState)> = running
            .judged
            .iter()
            .filter(|judged| judged.decision == Decision::Deliver)
            .map(|judged| (judged.recipient, RecipientState::Delivered))
            .collect();
        if recipients.is_empty() {
            return;
        }
        let outcome = Outcome { message: running.job.message, recipients };
        // The whole outcome follows; if there is no room now, a crash may cost a duplicate.
        let _ = self.spool.append_outcome(&outcome);
    }

    /// Settles jobs of sites that cannot be reached, a bounded number a turn.
    pub(super) fn pump_failed_sites(&mut self) {
        let mut left = FAILED_SITE_JOBS_PER_TURN;
        while left > 0
            && self.may_record_more()
            && let Some((next_hop, failure)) = self.failed_sites.pop_front()
        {
            let settled = self.settle_site(&next_hop, &failure, left);
            if settled == left {
                self.failed_sites.push_front((next_hop, failure));
            }
            left -= settled;
        }
    }

    /// Settles up to `count_max` ready jobs of a site by one failure; returns how many there were.
    fn settle_site(&mut self, next_hop: &NextHop, failure: &Failure, count_max: usize) -> usize {
        if let Decision::Defer { reason } = decide_at_last_server(failure) {
            let deferred = self.queue.defer_site(self.wall, next_hop, &reason, count_max);
            let count = deferred.len();
            for (_, settled) in deferred {
                self.count(&settled.outcome, false);
                let expired = |&recipient| GivenUp {
                    recipient,
                    failure: Failure::expired(&reason),
                    remote_mta: None,
                };
                let given_up = settled.bounced.iter().map(expired).collect();
                self.settled(settled, given_up);
            }
            return count;
        }
        let mut count = 0;
        while count < count_max
            && let Some(job) = self.queue.take_job(next_hop)
        {
            let judged = job.recipients.iter().map(|&it| Judged::failed(it, failure)).collect();
            self.settle(job, judged);
            count += 1;
        }
        count
    }
}

//! From decisions to records: what became of recipients goes into the spool, and what the sender
//! must hear of it goes before.
//!
//! # Guarantees
//! - A notice to the sender lies in the log before the outcome that it is about. Since the log is
//!   durable in its order, no crash can lose a notice and keep the outcome.
//! - A message leaves the queue only when the outcome that finishes it is appended.
//! - An outcome that finds no room waits in memory and is appended as soon as there is some; until
//!   then no new job is begun.
//!
//! # Bounds
//! [`UNRECORDED_OUTCOMES_MAX`] outcomes wait before the relay stops beginning jobs; those of the
//! jobs that run then come on top. [`FAILED_SITE_JOBS_PER_TURN`] jobs of unreachable sites are
//! settled a turn, and [`LAPSED_MESSAGES_PER_TURN`] messages whose time has come.

use std::collections::VecDeque;

use crate::dsn::is_international;
use crate::ids::MessageId;
use crate::limits::{FAILED_SITE_JOBS_PER_TURN, LAPSED_MESSAGES_PER_TURN, UNRECORDED_OUTCOMES_MAX};
use crate::message::{BodyType, Content, Message, Outcome, Recipient, RecipientState, Wishes};
use crate::proto::client::{Failure, Scope, Severity};
use crate::proto::enhanced::EnhancedCode;
use crate::proto::transmit::has_dot_lines;
use crate::queue::notice::failure_notice_is_owed;
use crate::queue::outcome::decide_at_last_server;
use crate::queue::{Decision, Expiry, Job, Settled};
use crate::route::NextHop;
use crate::spool::AppendError;

use super::Shard;
use super::relay::{Judged, Running};
use super::reports::{Fate, News, Report};
use super::spooling::{Awaiting, Waiter};

/// Something settled on its way into the spool.
#[derive(Debug)]
pub(super) struct Unrecorded {
    settled: Settled,
    /// The notices that go before the outcome.
    notices: VecDeque<OwnMessage>,
}

impl Unrecorded {
    pub(super) fn new(settled: Settled, notices: Vec<OwnMessage>) -> Self {
        Self { settled, notices: notices.into() }
    }

    pub(super) const fn message(&self) -> MessageId {
        self.settled.outcome.message
    }
}

/// A message that the server itself sends.
#[derive(Debug)]
pub(super) struct OwnMessage {
    pub(super) id: MessageId,
    pub(super) to: Box<[u8]>,
    pub(super) content: Vec<u8>,
    pub(super) require_tls: bool,
}

impl OwnMessage {
    fn wishes(&self) -> Option<Box<Wishes>> {
        let smtputf8 = is_international(&self.to);
        (smtputf8 || self.require_tls).then(|| {
            Box::new(Wishes { smtputf8, require_tls: self.require_tls, ..Wishes::default() })
        })
    }
}

impl Shard {
    /// Whether the spool keeps up with what the relay reports.
    pub(super) fn may_record_more(&self) -> bool {
        self.unrecorded.len() + self.reports.len() < UNRECORDED_OUTCOMES_MAX
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
        self.settled(settled, judged);
    }

    /// Reports what was settled, after what was judged of recipients that were tried.
    fn settled(&mut self, settled: Settled, judged: Vec<Judged>) {
        let news = self.news(&settled, judged);
        self.report(Report { settled, news });
    }

    /// What the sender is owed to hear.
    fn news(&self, settled: &Settled, judged: Vec<Judged>) -> Vec<News> {
        let mut news = Vec::new();
        let is_silent = settled.bounced.is_empty() && settled.delayed.is_empty();
        if is_silent && judged.iter().all(|judged| judged.success.is_none()) {
            return news;
        }
        let Some(message) = self.queue.message(settled.outcome.message) else { return news };
        let recipient = |index: u32| message.recipients.get(index as usize);
        for (&index, reason) in settled.bounced.iter().zip(&settled.bounce_reasons) {
            if recipient(index).is_some_and(|it| failure_notice_is_owed(message, it)) {
                let judged = judged.iter().find(|judged| judged.recipient == index);
                news.push(failed(index, judged, settled.expiry, reason));
            }
        }
        for &index in &settled.delayed {
            if let Some(RecipientState::Pending { last_failure, .. }) =
                recipient(index).map(|it| &it.state)
            {
                let fate = Fate::Delayed(last_failure.clone());
                news.push(News { recipient: index, fate, remote_mta: None });
            }
        }
        news.extend(judged.into_iter().filter_map(|judged| judged.success));
        news
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

    pub(super) fn record_later(&mut self, unrecorded: Unrecorded) {
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
        while let Some(Unrecorded { settled, mut notices }) = self.unrecorded.pop_front() {
            while let Some(notice) = notices.pop_front() {
                if let Err(notice) = self.append_own(notice) {
                    notices.push_front(notice);
                    self.unrecorded.push_front(Unrecorded { settled, notices });
                    return;
                }
            }
            if self.record(&settled).is_err() {
                // Its notices are in the log; they must not go there twice.
                self.unrecorded.push_front(Unrecorded { settled, notices });
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
            wishes: own.wishes(),
        };
        let Ok(group) = self.spool.append_message(body, &mut message) else { return Err(own) };
        self.waiters.push_back(Waiter { group, message, awaiting: Awaiting::Own(own) });
        Ok(())
    }

    /// Makes durable what a job has delivered, while the rest of it goes to the next server.
    pub(super) fn record_delivered(&mut self, running: &mut Running) {
        let mut settled = Settled {
            outcome: Outcome { message: running.job.message, recipients: Vec::new() },
            bounced: Vec::new(),
            bounce_reasons: Vec::new(),
            delayed: Vec::new(),
            expiry: Expiry::Age,
            finished: false,
        };
        let mut news = Vec::new();
        for judged in &mut running.judged {
            if judged.decision == Decision::Deliver {
                settled.outcome.recipients.push((judged.recipient, RecipientState::Delivered));
                // It is told now, and not again when the whole job is settled.
                news.extend(judged.success.take());
            }
        }
        if !settled.outcome.recipients.is_empty() {
            self.report(Report { settled, news });
        }
    }

    /// Reports what time alone has brought about, for a bounded number of messages a turn. Returns
    /// whether that was all.
    pub(super) fn pump_lapsed(&mut self) -> bool {
        for _ in 0..LAPSED_MESSAGES_PER_TURN {
            if self.stopping.is_some() || self.failed || !self.may_record_more() {
                return true;
            }
            let Some(settled) = self.queue.poll_lapsed(self.wall) else { return true };
            self.counters.recipients_bounced += settled.bounced.len() as u64;
            self.settled(settled, Vec::new());
        }
        false
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
                let expired = settled.bounced.iter().map(|&it| Judged::failed(it, failure));
                let judged = expired.collect();
                self.settled(settled, judged);
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

/// What to tell of a recipient that was given up, from the judgement on its last attempt, if time
/// did not come before one. One that was to be deferred was given up because its time ran out.
fn failed(recipient: u32, judged: Option<&Judged>, expiry: Expiry, reason: &str) -> News {
    let own = |failure| News { recipient, fate: Fate::Failed(failure), remote_mta: None };
    if let Some(Judged {
        decision: Decision::Bounce { .. },
        failure: Some((failure, remote)),
        ..
    }) = judged
    {
        return News { remote_mta: remote.clone(), ..own(failure.clone()) };
    }
    match (expiry, judged.map(|judged| &judged.decision)) {
        (Expiry::DeliverBy, _) => {
            let status = EnhancedCode::EXPIRED_5_4_7;
            let text = reason.split_once(' ').map_or(reason, |(_, text)| text);
            own(Failure::local(Scope::Recipient, Severity::Hard, status, text))
        }
        (Expiry::Age, Some(Decision::Defer { reason })) => own(Failure::expired(reason)),
        (Expiry::Age, _) => own(Failure::expired("")),
    }
}

//! What the sessions of a thread share: chance, counts, and where messages go.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::{Shared, WorkerTotals};
use crate::accounts::Arrival;
use crate::date;
use crate::dice::Dice;
use crate::ids::IdLog;
use crate::server::{Received, Surroundings};

/// One thread's.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) shared: Arc<Shared>,
    dice: Dice,
    pub(super) totals: WorkerTotals,
    pub(super) log: IdLog,
}

impl Desk {
    pub(super) fn new(shared: &Arc<Shared>, seed: u64) -> Self {
        Self {
            shared: Arc::clone(shared),
            dice: Dice::new(seed),
            totals: WorkerTotals::default(),
            log: IdLog::new(shared.settings.ids.clone()),
        }
    }

    /// What a session of `client` at the address `listening` stands in.
    pub(super) fn around(&mut self, listening: usize, client: IpAddr) -> Surroundings<'_> {
        let Shared { settings, greylist, .. } = &*self.shared;
        Surroundings {
            listening: &settings.listen[listening],
            client,
            dice: &mut self.dice,
            tally: &mut self.totals.tally,
            greylist: greylist.as_ref().map(|greylist| (greylist, Instant::now())),
            keep: settings.bodies.is_some(),
        }
    }

    /// Counts a message that was taken.
    ///
    /// # Errors
    /// It could not be written where it should be.
    pub(super) fn record(&mut self, message: Received<'_>) -> io::Result<()> {
        let Shared { settings, counters, ledger, stop, .. } = &*self.shared;
        let mut is_fresh = false;
        if let Some(digested) = message.digested {
            let arrival = Arrival {
                stamp: digested.stamp,
                recipients: message.recipients,
                is_altered: digested.digest != digested.stamp.digest,
                is_late: under_way(digested.stamp.sent_unix_ms) > settings.late_after,
            };
            is_fresh = ledger.lock().unwrap_or_else(PoisonError::into_inner).record(&arrival);
        } else {
            self.totals.unmarked += 1;
        }
        let recipients = message.recipients.len() as u64;
        let count = counters.note_message(recipients, message.bytes, is_fresh);
        self.log.push(message.digested.map(|digested| digested.stamp.id))?;
        if let Some(directory) = &settings.bodies {
            // A reader of the directory sees whole files only.
            let unfinished = directory.join(format!(".{count:08}"));
            fs::write(directory.join(format!("{count:08}.envelope")), message.envelope)?;
            fs::write(&unfinished, message.content)?;
            fs::rename(unfinished, directory.join(format!("{count:08}.eml")))?;
        }
        if settings.exit_after.is_some_and(|wanted| count >= wanted) {
            stop.set();
        }
        Ok(())
    }
}

/// How long a message was under way that was sent then; no time if the clocks disagree.
fn under_way(sent_unix_ms: u64) -> Duration {
    Duration::from_millis(date::unix_ms().saturating_sub(sent_unix_ms))
}

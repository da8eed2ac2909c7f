//! Passwords are checked on threads beside the loop: a check takes as long as thousands of turns.
//!
//! # Bounds
//! [`PASSWORD_CHECKS_MAX`] checks run at a time in a shard, each with the memory that the user's
//! string names; [`PASSWORD_CHECKS_WAITING_MAX`] wait. Whoever comes then is told to try again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::rc::Rc;

use crate::credentials::PasswordCheck;
use crate::limits::{PASSWORD_CHECKS_MAX, PASSWORD_CHECKS_WAITING_MAX};
use crate::shard::Shard;

/// The checks of a shard.
#[derive(Debug, Default)]
pub(in crate::shard) struct PasswordChecks {
    running: usize,
    waiting: VecDeque<(Asker, PasswordCheck)>,
    /// What was found and not told yet.
    done: Rc<RefCell<Vec<(Asker, bool)>>>,
}

impl PasswordChecks {
    /// Whether a thread beside the loop is at work.
    pub(in crate::shard) const fn are_running(&self) -> bool {
        self.running > 0
    }
}

/// The session that a check is for.
#[derive(Clone, Copy, Debug)]
struct Asker {
    index: usize,
    serial: u64,
}

impl Shard {
    /// Has the password checked that a session was given.
    pub(super) fn check_password(&mut self, index: usize) {
        let conditions = self.conditions();
        let session = &mut self.sessions[index];
        let Some(check) = session.machine.take_password_check() else { return };
        if self.passwords.waiting.len() >= PASSWORD_CHECKS_WAITING_MAX {
            session.machine.refuse_password_check(&conditions);
            self.counters.auth_refused_busy += 1;
            return;
        }
        let asker = Asker { index, serial: session.serial };
        self.passwords.waiting.push_back((asker, check));
        self.start_checks();
    }

    /// Tells sessions what their checks came to, and starts the next ones.
    pub(in crate::shard) fn pump_passwords(&mut self) {
        let done = mem::take(&mut *self.passwords.done.borrow_mut());
        if done.is_empty() {
            return;
        }
        let conditions = self.conditions();
        for (asker, is_right) in done {
            self.passwords.running -= 1;
            if let Some(session) = self.sessions.get_mut(asker.index)
                && session.serial == asker.serial
            {
                session.machine.handle_password(&conditions, is_right);
                self.drive_session(asker.index);
            }
        }
        self.start_checks();
    }

    fn start_checks(&mut self) {
        while self.passwords.running < PASSWORD_CHECKS_MAX
            && let Some((asker, check)) = self.passwords.waiting.pop_front()
        {
            // Nobody waits for what a client asked that is gone.
            if self.sessions.get(asker.index).is_none_or(|it| it.serial != asker.serial) {
                continue;
            }
            self.passwords.running += 1;
            let done = Rc::clone(&self.passwords.done);
            let waker = self.mesh.waker.clone();
            glommio::spawn_local(async move {
                let is_right = glommio::executor().spawn_blocking(move || check.run()).await;
                done.borrow_mut().push((asker, is_right));
                waker.wake();
            })
            .detach();
        }
    }

    /// Counts what authentications came to since the last look.
    pub(super) fn count_authentications(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        let failures = session.machine.auth_failures();
        let more = failures.saturating_sub(session.auth_failures);
        self.counters.auth_failed += u64::from(more);
        session.auth_failures = failures;
        let is_known = session.machine.user().is_some();
        self.counters.auth_succeeded += u64::from(is_known && !session.is_known);
        session.is_known = is_known;
    }
}

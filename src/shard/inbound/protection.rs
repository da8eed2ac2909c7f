//! TLS between the socket and the session machine.
//!
//! # Guarantees
//! - The costly part of handshakes is done in the order of arrival, for [`HANDSHAKES_TURN_US`] a
//!   turn and the step that was begun by then, so that however many clients come at once, the other
//!   sessions of the shard wait for no more than that between two turns.
//! - A handshake that fails ends its connection, after the alert that says why. Those that were
//!   begun and not ended are counted as failed, but not clients that only connect.

use std::mem;
use std::time::Duration;

use crate::io::time;
use crate::io::tls::{Handshake, Received, TlsFailure, TlsPump};
use crate::limits::{HANDSHAKES_PER_TURN_MAX, HANDSHAKES_TURN_US};
use crate::shard::Shard;

use super::Session;

impl Shard {
    /// Puts TLS between the socket and the machine. What the machine has to say before goes out in
    /// the clear.
    pub(super) fn begin_tls(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        session.machine.transmit(&mut session.output);
        let pump = session.place.offer.tls.as_ref().map(TlsPump::new);
        match pump {
            Some(Ok(pump)) => session.tls = Some(Box::new(pump)),
            Some(Err(failure)) => self.tls_failed(index, &failure),
            None => {
                tracing::error!("TLS is offered, and there is no certificate for it");
                session.flags.cut = true;
            }
        }
    }

    /// Takes what a client sent under TLS.
    pub(super) fn ciphertext_received(&mut self, index: usize, bytes: &mut [u8]) {
        let session = &mut self.sessions[index];
        let Some(tls) = &mut session.tls else { return };
        if !tls.is_handshaking() {
            self.decrypt(index, bytes);
            return;
        }
        session.flags.handshake_runs = true;
        if let Err(failure) = tls.hold(bytes) {
            self.tls_failed(index, &failure);
            self.settle_session(index);
        } else if !session.flags.handshake_waits {
            session.flags.handshake_waits = true;
            self.handshakes.push_back((index, session.serial));
        }
    }

    /// Goes on with some of the handshakes that have input.
    pub(in crate::shard) fn pump_handshakes(&mut self) {
        if self.handshakes.is_empty() {
            return;
        }
        let until = time::monotonic() + Duration::from_micros(HANDSHAKES_TURN_US);
        for _ in 0..HANDSHAKES_PER_TURN_MAX {
            let Some((index, serial)) = self.handshakes.pop_front() else { return };
            if self.sessions.get(index).is_some_and(|session| session.serial == serial) {
                self.step_handshake(index);
                if time::monotonic() >= until {
                    return;
                }
            }
        }
    }

    fn step_handshake(&mut self, index: usize) {
        let conditions = self.conditions();
        let session = &mut self.sessions[index];
        session.flags.handshake_waits = false;
        let Some(tls) = session.tls.as_mut().filter(|_| !session.flags.cut) else { return };
        match tls.handshake_step(&mut session.output) {
            Ok(Handshake::Going) if session.flags.input_over => self.drive_session(index),
            Ok(Handshake::Going) => self.settle_session(index),
            Ok(Handshake::Done(handshaken)) => {
                session.flags.handshake_runs = false;
                self.counters.tls_handshakes += 1;
                self.counters.tls_handshakes_resumed += u64::from(handshaken.resumed);
                session.machine.handle_tls(&conditions, handshaken.facts);
                // What came behind the handshake.
                self.decrypt(index, &mut []);
            }
            Err(failure) => {
                self.tls_failed(index, &failure);
                self.settle_session(index);
            }
        }
    }

    /// Decrypts what came and feeds the machine with it.
    fn decrypt(&mut self, index: usize, bytes: &mut [u8]) {
        let session = &mut self.sessions[index];
        let Some(mut tls) = session.tls.take() else { return };
        let mut output = mem::take(&mut session.output);
        let result =
            tls.receive(bytes, &mut output, &mut |plain| self.take_plaintext(index, plain));
        let session = &mut self.sessions[index];
        session.tls = Some(tls);
        session.output = output;
        match result {
            Ok(Received::Open) => {}
            Ok(Received::Closed) => session.flags.input_over = true,
            Err(failure) => self.tls_failed(index, &failure),
        }
        if self.sessions[index].flags.input_over {
            self.drive_session(index);
        } else {
            self.settle_or_drive(index);
        }
    }

    /// Ends a connection whose TLS failed, once the alert went out.
    fn tls_failed(&mut self, index: usize, failure: &TlsFailure) {
        let session = &mut self.sessions[index];
        session.flags.cut = true;
        session.held = Vec::new();
        let peer = session.machine.peer().address;
        if session.machine.tls_is_wanted() {
            tracing::debug!(%peer, "the handshake of TLS failed: {failure}");
        } else {
            tracing::debug!(%peer, "the connection is closed: {failure}");
        }
        self.abandon_content(index);
    }
}

impl Session {
    /// Takes the replies that may go out into the output, through `scratch` where they are
    /// encrypted.
    pub(super) fn collect_replies(&mut self, scratch: &mut Vec<u8>) {
        if self.flags.cut {
            return;
        }
        let Some(tls) = &mut self.tls else {
            self.machine.transmit(&mut self.output);
            return;
        };
        scratch.clear();
        if !tls.is_handshaking()
            && self.machine.transmit(scratch)
            && tls.encrypt(scratch, &mut self.output).is_err()
        {
            self.flags.cut = true;
        }
    }

    /// Tells the client under TLS, once, that nothing more comes.
    pub(super) fn say_goodbye(&mut self) {
        if let Some(tls) = &mut self.tls
            && !mem::replace(&mut self.flags.close_told, true)
        {
            tls.close(&mut self.output);
        }
    }
}

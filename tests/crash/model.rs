//! What a log that loses nothing would hold: for each message the states that it may be found in.

use std::collections::BTreeMap;

use ringpost::ids::{GroupSequence, MessageId};
use ringpost::message::{Message, RecipientState};

/// The recipients' states of a message as recovery may find it; `None` if it is not offered at all:
/// it was never accepted, or is finished.
type Found = Option<Vec<RecipientState>>;

/// One state that a message may be found in.
struct Possible {
    found: Found,
    /// Once this group is committed, no earlier state is possible any more.
    group: Option<GroupSequence>,
    /// It comes from before a crash and may still turn up, until something is committed.
    is_ghost: bool,
    /// Every recipient was delivered to. A log without space may then forget the message before
    /// the outcome is on disk, even after a crash, when what was on its way lands late.
    is_finish: bool,
}

pub(crate) struct Known {
    pub(crate) message: Message,
    pub(crate) content: Vec<u8>,
    /// In the order in which they were appended; at least one.
    possible: Vec<Possible>,
    is_refused: bool,
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) known: BTreeMap<MessageId, Known>,
}

impl Possible {
    fn describe(&self) -> String {
        let ghost = if self.is_ghost { ", ghost" } else { "" };
        format!("{} in {:?}{ghost}", describe(&self.found), self.group)
    }
}

/// One letter a recipient.
fn describe(found: &Found) -> String {
    let letter = |state: &RecipientState| match *state {
        RecipientState::Pending { attempts, .. } => {
            char::from_digit(u32::from(attempts % 10), 10).unwrap_or('?')
        }
        RecipientState::Delivered => 'd',
        RecipientState::Bounced => 'b',
    };
    found.as_ref().map_or_else(|| "absent".into(), |states| states.iter().map(letter).collect())
}

fn found(states: &[RecipientState]) -> Found {
    let is_finished = states.iter().all(RecipientState::is_final);
    (!is_finished).then(|| states.to_vec())
}

pub(crate) fn states(message: &Message) -> Vec<RecipientState> {
    message.recipients.iter().map(|recipient| recipient.state.clone()).collect()
}

impl Model {
    /// A message was appended and waits for `group`.
    pub(crate) fn appended(&mut self, message: &Message, content: Vec<u8>, group: GroupSequence) {
        let absent = Possible { found: None, group: None, is_ghost: false, is_finish: false };
        let there = Possible {
            found: found(&states(message)),
            group: Some(group),
            is_ghost: false,
            is_finish: false,
        };
        let possible = vec![absent, there];
        let message = message.clone();
        let known = Known { message, content, possible, is_refused: false };
        assert!(self.known.insert(known.message.id, known).is_none(), "an id was used twice");
    }

    /// An outcome was appended; `group` if it is certain to be in that one.
    pub(crate) fn changed(
        &mut self,
        id: MessageId,
        states: &[RecipientState],
        group: Option<GroupSequence>,
    ) {
        let known = self.known.get_mut(&id).expect("it is known");
        let found = found(states);
        let is_finish = found.is_none();
        known.possible.push(Possible { found, group, is_ghost: false, is_finish });
    }

    pub(crate) fn committed(&mut self, through: GroupSequence) {
        for known in self.known.values_mut() {
            let possible = &mut known.possible;
            possible.retain(|possible| !possible.is_ghost || possible.is_finish);
            let certain = possible
                .iter()
                .rposition(|possible| possible.group.is_some_and(|group| group <= through));
            let mut at = 0;
            possible.retain(|possible| {
                at += 1;
                possible.is_ghost || at > certain.unwrap_or(0)
            });
        }
    }

    /// The groups `from..=to` are void. Messages in them were refused, and are gone for certain
    /// when anything later is committed; outcomes will be appended again, in a group unknown.
    pub(crate) fn failed(&mut self, from: GroupSequence, to: GroupSequence, refused: &[MessageId]) {
        for known in self.known.values_mut() {
            for possible in &mut known.possible {
                if possible.group.is_some_and(|group| (from..=to).contains(&group)) {
                    possible.group = None;
                }
            }
        }
        for id in refused {
            let known = self.known.get_mut(id).expect("it is known");
            let group = Some(GroupSequence(to.0 + 1));
            known.possible.push(Possible { found: None, group, is_ghost: false, is_finish: false });
            known.is_refused = true;
        }
    }

    /// Everything that was appended is durable, but not that what was refused is void: that comes
    /// with the next commit.
    pub(crate) fn settled(&mut self) {
        for known in self.known.values_mut().filter(|known| !known.is_refused) {
            let last = known.possible.len() - 1;
            let mut at = 0;
            known.possible.retain(|possible| {
                at += 1;
                possible.is_ghost || at > last
            });
        }
    }

    /// Compares with what recovery found, and goes on from there.
    pub(crate) fn recovered(&mut self, messages: &[Message], may_change: bool) {
        let by_id: BTreeMap<_, _> = messages.iter().map(|message| (message.id, message)).collect();
        assert_eq!(by_id.len(), messages.len(), "a message was offered twice");
        for id in by_id.keys() {
            assert!(self.known.contains_key(id), "{id} was never appended");
        }
        for (id, known) in &mut self.known {
            let message = by_id.get(id);
            let found = message.map(|message| states(message));
            let at = known.possible.iter().rposition(|possible| possible.found == found);
            let Some(at) = at else {
                let possible: Vec<_> = known.possible.iter().map(Possible::describe).collect();
                panic!("{id} was found as {}, possible: {possible:?}", describe(&found))
            };
            // What was never acknowledged, and is not there, is given up for good only with the
            // next commit: its segment may be on disk still, and those before it be free.
            let was_unacknowledged =
                known.possible.first().is_some_and(|possible| possible.found.is_none());
            let chosen = known.possible.remove(at);
            known.is_refused = false;
            if may_change || (found.is_none() && was_unacknowledged) {
                known.possible.iter_mut().for_each(|possible| possible.is_ghost = true);
            } else {
                known.possible.clear();
            }
            known.possible.push(Possible { is_ghost: false, group: None, ..chosen });
            if let Some(message) = message {
                let mut as_sent = known.message.clone();
                as_sent.content.extents = message.content.extents.clone();
                for (sent, found) in as_sent.recipients.iter_mut().zip(&message.recipients) {
                    sent.state = found.state.clone();
                }
                assert_eq!(**message, as_sent, "a message changed");
            }
        }
        // What can never be seen again need only be remembered by its id.
        for known in self.known.values_mut() {
            if let [Possible { found: None, .. }] = known.possible.as_slice() {
                known.content = Vec::new();
            }
        }
    }
}

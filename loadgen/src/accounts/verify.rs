//! What was acknowledged laid on what was delivered.
//!
//! # Guarantees
//! Every message that the source had acknowledged is looked at, for every recipient; no number is
//! taken on trust but those that the two files hold.

use serde::Serialize;

use crate::console::grouped;
use crate::results::{Delivered, Stretch};

/// Numbers that a complaint names.
const NAMED_MAX: usize = 5;

/// What became of a run. Counted are messages for one recipient each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    pub(crate) run: String,
    /// Answered with 250.
    pub(crate) acknowledged: u64,
    /// Of those and others: different ones that came.
    pub(crate) delivered: u64,
    /// Acknowledged and not delivered.
    pub(crate) lost: u64,
    /// Delivered once more.
    pub(crate) duplicated: u64,
    /// Messages of which something had changed.
    pub(crate) altered: u64,
    /// Messages that came too late.
    pub(crate) late: u64,
    /// Delivered though nobody acknowledged them: the answer was lost, or never given.
    pub(crate) unacknowledged: u64,
    /// Numbers of some that were lost, duplicated and altered.
    pub(crate) lost_numbers: Vec<u64>,
    pub(crate) duplicated_numbers: Vec<u64>,
    pub(crate) altered_numbers: Vec<u64>,
    pub(crate) late_numbers: Vec<u64>,
}

impl Verdict {
    /// One line, and one more for each kind of fault.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "acknowledged {}, delivered {}, lost {}, duplicated {}, altered {}, late {}",
            grouped(self.acknowledged),
            grouped(self.delivered),
            grouped(self.lost),
            grouped(self.duplicated),
            grouped(self.altered),
            grouped(self.late),
        );
        if self.unacknowledged > 0 {
            text += &format!(", never acknowledged {}", grouped(self.unacknowledged));
        }
        for (name, numbers) in [
            ("lost", &self.lost_numbers),
            ("duplicated", &self.duplicated_numbers),
            ("altered", &self.altered_numbers),
            ("late", &self.late_numbers),
        ] {
            if !numbers.is_empty() {
                let ids: Vec<String> =
                    numbers.iter().map(|number| format!("{}-{number:010}", self.run)).collect();
                text += &format!("\n  {name}: {}", ids.join(" "));
                if numbers.len() == NAMED_MAX {
                    text += " ...";
                }
            }
        }
        text
    }
}

/// What became of the messages of `run`. `acknowledged` and the stretches of `delivered` ascend.
pub(crate) fn verify(
    run: &str,
    acknowledged: &[Stretch],
    delivered: Option<&Delivered>,
) -> Verdict {
    let mut verdict = Verdict { run: run.to_owned(), ..Verdict::default() };
    let came = delivered.map(|it| &it.messages[..]).unwrap_or_default();
    for part in parts(acknowledged, came) {
        // The numbers are those of a file, which may hold anything.
        let messages = (part.to - part.from).saturating_add(1);
        let add = |sum: &mut u64, recipients: u32| {
            *sum = sum.saturating_add(messages.saturating_mul(u64::from(recipients)));
        };
        let lost = part.acknowledged.saturating_sub(part.delivered);
        add(&mut verdict.acknowledged, part.acknowledged);
        add(&mut verdict.delivered, part.delivered);
        add(&mut verdict.unacknowledged, part.delivered.saturating_sub(part.acknowledged));
        add(&mut verdict.lost, lost);
        if lost > 0 {
            let room = NAMED_MAX - verdict.lost_numbers.len();
            verdict.lost_numbers.extend((part.from..=part.to).take(room));
        }
    }
    if let Some(delivered) = delivered {
        verdict.duplicated = delivered.copies;
        verdict.altered = delivered.altered_messages;
        verdict.late = delivered.late_messages;
        let some = |numbers: &[u64]| numbers.iter().copied().take(NAMED_MAX).collect();
        verdict.duplicated_numbers =
            delivered.duplicated.iter().map(|it| it.number).take(NAMED_MAX).collect();
        verdict.altered_numbers = some(&delivered.altered);
        verdict.late_numbers = some(&delivered.late);
    }
    verdict
}

/// Messages in a row for which both sides say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    from: u64,
    to: u64,
    acknowledged: u32,
    delivered: u32,
}

/// Cuts both lists at the ends of all stretches.
fn parts(acknowledged: &[Stretch], delivered: &[Stretch]) -> Vec<Part> {
    let mut cuts: Vec<u64> = acknowledged
        .iter()
        .chain(delivered)
        .flat_map(|stretch| [stretch.from, stretch.to.saturating_add(1)])
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    let (mut acknowledged, mut delivered) = (acknowledged, delivered);
    let mut parts = Vec::new();
    for pair in cuts.windows(2) {
        let [from, next] = *pair else {
            continue;
        };
        let part = Part {
            from,
            to: next - 1,
            acknowledged: recipients_at(&mut acknowledged, from),
            delivered: recipients_at(&mut delivered, from),
        };
        if part.acknowledged > 0 || part.delivered > 0 {
            parts.push(part);
        }
    }
    parts
}

/// Recipients of the message `number`, after stretches that end before it are dropped.
fn recipients_at(stretches: &mut &[Stretch], number: u64) -> u32 {
    while let [first, rest @ ..] = stretches {
        if first.to >= number {
            return if first.from <= number { first.recipients } else { 0 };
        }
        *stretches = rest;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(from: u64, to: u64, recipients: u32) -> Stretch {
        Stretch { from, to, recipients }
    }

    #[test]
    fn nothing_is_amiss_when_both_sides_agree() {
        let all = [stretch(0, 9_999, 1), stretch(10_000, 10_009, 3)];
        let delivered = Delivered { messages: all.to_vec(), ..Delivered::default() };
        let verdict = verify("00", &all, Some(&delivered));
        assert_eq!((verdict.acknowledged, verdict.delivered), (10_030, 10_030));
        assert_eq!(verdict.lost + verdict.duplicated + verdict.unacknowledged, 0);
        assert_eq!(
            verdict.text(),
            "acknowledged 10,030, delivered 10,030, lost 0, duplicated 0, altered 0, late 0"
        );
    }

    #[test]
    fn losses_are_found_message_by_message_and_recipient_by_recipient() {
        let acknowledged = [stretch(0, 99, 2)];
        let delivered = Delivered {
            messages: vec![stretch(0, 9, 2), stretch(10, 10, 1), stretch(12, 150, 2)],
            ..Delivered::default()
        };
        let verdict = verify("00", &acknowledged, Some(&delivered));
        assert_eq!((verdict.acknowledged, verdict.delivered), (200, 20 + 1 + 139 * 2));
        assert_eq!((verdict.lost, verdict.lost_numbers), (3, vec![10, 11]));
        assert_eq!(verdict.unacknowledged, 51 * 2);
    }

    #[test]
    fn a_run_that_never_came_is_lost_whole() {
        let verdict = verify("0a", &[stretch(5, 7, 1)], None);
        assert_eq!((verdict.lost, verdict.delivered), (3, 0));
        assert!(verdict.text().ends_with("lost: 0a-0000000005 0a-0000000006 0a-0000000007"));
    }

    #[test]
    fn a_file_of_absurd_numbers_is_no_fault_of_the_program() {
        let absurd = [stretch(0, u64::MAX, u32::MAX), stretch(5, 2, 1)];
        let delivered = Delivered { messages: absurd.to_vec(), ..Delivered::default() };
        let verdict = verify("00", &absurd, Some(&delivered));
        assert_eq!((verdict.acknowledged, verdict.lost), (u64::MAX, 0));
        assert_eq!(verify("00", &absurd, None).lost, u64::MAX);
    }

    #[test]
    fn random_stretches_agree_with_counting_one_by_one() {
        let mut dice = crate::dice::Dice::new(7);
        for _ in 0..200 {
            let mut sides = [[0_u32; 40]; 2];
            for side in &mut sides {
                for count in side.iter_mut() {
                    *count = (dice.next() % 4).saturating_sub(1) as u32;
                }
            }
            let lists = sides.map(|side| {
                let mut list: Vec<Stretch> = Vec::new();
                for (number, recipients) in (0..).zip(side) {
                    match list.last_mut() {
                        _ if recipients == 0 => {}
                        Some(last) if last.to + 1 == number && last.recipients == recipients => {
                            last.to = number;
                        }
                        Some(_) | None => list.push(stretch(number, number, recipients)),
                    }
                }
                list
            });
            let [acknowledged, messages] = lists;
            let delivered = Delivered { messages, ..Delivered::default() };
            let verdict = verify("00", &acknowledged, Some(&delivered));
            let pairs = || sides[0].iter().zip(&sides[1]);
            let sum = |of: fn(u32, u32) -> u32| -> u64 {
                pairs().map(|(a, d)| u64::from(of(*a, *d))).sum()
            };
            assert_eq!(verdict.lost, sum(|a, d| a.saturating_sub(d)));
            assert_eq!(verdict.unacknowledged, sum(|a, d| d.saturating_sub(a)));
            assert_eq!(verdict.acknowledged, sum(|a, _| a));
            assert_eq!(verdict.delivered, sum(|_, d| d));
        }
    }
}

//! What recovery makes of a log: which groups are accepted, which are lost, and where it ends.
//!
//! The reader scans the segments and hands over facts taken from checksummed headers; this decides.
//! Each group has a [`Presence`] on disk, a [`Position`] in the log, and may be void. [`judge`] is
//! the table:
//!
//! | position | complete | broken | unreadable | missing |
//! | --- | --- | --- | --- | --- |
//! | settled: it was durable once | accept | lost | lost | lost |
//! | tail: all before it are accepted or lost | accept | end of log | lost | end of log |
//! | beyond the end of the log | drop | drop | drop | drop |
//!
//! and a void group is passed over wherever it lies: its clients were told that it failed, or an
//! earlier recovery ended the log before it.
//!
//! # Guarantees
//! - A group that was acknowledged is settled or in the tail, because groups are acknowledged in
//!   log order; so it is accepted, or reported lost where the disk lost it.
//! - A group behind one that a crash tore was never acknowledged, and is dropped. Once a group was
//!   written after that recovery, it stays dropped: that group's segment declares it void.
//! - What a crash tears is never reported as a loss. What the disk refuses to read always is: a
//!   crash does not make a block unreadable.
//! - The decision depends on nothing but the facts, so that recovering twice gives the same.
//!
//! # Bounds
//! Complete groups that follow each other are one [`GroupRun`], so that the facts of a sound
//! segment take a few bytes however many groups it holds.

use crate::ids::{Generation, GroupSequence};

/// Whether a group is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Header and records are as they were written.
    Complete,
    /// The header is, a record is not.
    Broken,
    /// The disk refused to read a part of it, or the place where it should be.
    Unreadable,
    /// There is no trace of it.
    Missing,
}

/// Where a group lies in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// A later group says that it was durable.
    Settled,
    /// None says so, but every group before it is accounted for.
    Tail,
    /// The log ended before it.
    Beyond,
}

/// What becomes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its records count.
    Accept,
    /// It was given up before, by a failed write or an earlier recovery.
    Void,
    /// It was, or may have been, acknowledged, and is gone.
    Lost,
    /// A crash tore it: the log ends before it.
    End,
    /// It lies behind the end of the log.
    Drop,
}

/// The table at the head of this module.
pub const fn judge(presence: Presence, position: Position, void: bool) -> Verdict {
    if void {
        return Verdict::Void;
    }
    match (position, presence) {
        (Position::Settled | Position::Tail, Presence::Complete) => Verdict::Accept,
        (Position::Settled, Presence::Broken | Presence::Missing) => Verdict::Lost,
        (Position::Settled | Position::Tail, Presence::Unreadable) => Verdict::Lost,
        (Position::Tail, Presence::Broken | Presence::Missing) => Verdict::End,
        (
            Position::Beyond,
            Presence::Complete | Presence::Broken | Presence::Unreadable | Presence::Missing,
        ) => Verdict::Drop,
    }
}

/// Groups of one segment that follow each other without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupRun {
    /// The first.
    pub from: GroupSequence,
    /// The last; only complete groups form runs of more than one.
    pub through: GroupSequence,
    /// What is on disk of each; never [`Presence::Missing`].
    pub presence: Presence,
    /// Offset of the first in the segment.
    pub start: u64,
    /// Offset behind the last.
    pub end: u64,
}

/// What the scan of one segment found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// The use of the segment file.
    pub generation: Generation,
    /// Sequence of its first group.
    pub first: GroupSequence,
    /// Groups from here on in older segments are void.
    pub cut: GroupSequence,
    /// In rising order.
    pub runs: Vec<GroupRun>,
    /// For each stretch that could not be read, outside of groups whose header could, the last
    /// group before it; the one before `first` if none.
    pub unreadable_after: Vec<GroupSequence>,
}

/// What the scan of a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFacts {
    /// Highest [`GroupHeader::durable_through`](super::format::GroupHeader::durable_through).
    pub durable_through: GroupSequence,
    /// Highest [`GroupHeader::log_start`](super::format::GroupHeader::log_start).
    pub log_start: Generation,
    /// The segments from `log_start` on, by rising generation.
    pub segments: Vec<SegmentFacts>,
}

/// Groups that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedRun {
    /// Index in [`LogFacts::segments`].
    pub segment: usize,
    /// The first.
    pub from: GroupSequence,
    /// The last.
    pub through: GroupSequence,
    /// The offset in the segment where to begin to look for them.
    pub start: u64,
    /// Offset behind the run that they are part of.
    pub end: u64,
}

/// Groups that were, or may have been, acknowledged and are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostGroups {
    /// The first.
    pub from: GroupSequence,
    /// The last.
    pub through: GroupSequence,
    /// What is there instead.
    pub presence: Presence,
}

/// What recovery goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// In rising order.
    pub accepted: Vec<AcceptedRun>,
    /// In rising order.
    pub lost: Vec<LostGroups>,
    /// Last group of the log; what has a higher sequence is void from now on.
    pub accepted_through: GroupSequence,
    /// Groups found behind the end of the log.
    pub dropped: u64,
    /// Groups found that had been given up before.
    pub void: u64,
    /// The generation of the oldest segment, if that whole segment is gone.
    pub start_missing: Option<Generation>,
}

/// Decides what of the log counts.
pub fn decide(facts: &LogFacts) -> Decision {
    let horizons = horizons(&facts.segments);
    let mut walk = Walk::new(facts);
    for (index, (segment, &horizon)) in facts.segments.iter().zip(&horizons).enumerate() {
        walk.segment(index, segment, horizon);
    }
    walk.missing(facts.durable_through);
    walk.decision.accepted_through = previous(walk.expected);
    walk.decision
}

/// For each segment the sequence from which on its groups are void: the least cut of the segments
/// behind it.
fn horizons(segments: &[SegmentFacts]) -> Vec<GroupSequence> {
    let mut least = GroupSequence(u64::MAX);
    let mut horizons: Vec<_> = segments
        .iter()
        .rev()
        .map(|segment| {
            let horizon = least;
            least = least.min(segment.cut);
            horizon
        })
        .collect();
    horizons.reverse();
    horizons
}

struct Walk<'a> {
    facts: &'a LogFacts,
    decision: Decision,
    /// The next group of the log; everything before it is accounted for.
    expected: GroupSequence,
    ended: bool,
    /// The last segment that was looked at and any of whose groups may count.
    segment: Option<&'a SegmentFacts>,
}

impl<'a> Walk<'a> {
    fn new(facts: &'a LogFacts) -> Self {
        let mut decision = Decision::default();
        let oldest = facts.segments.first();
        if facts.log_start > Generation(0)
            && oldest.is_none_or(|segment| segment.generation > facts.log_start)
        {
            decision.start_missing = Some(facts.log_start);
        }
        let expected = next(facts.durable_through);
        Self { facts, decision, expected, ended: false, segment: None }
    }

    fn segment(&mut self, index: usize, segment: &'a SegmentFacts, horizon: GroupSequence) {
        if segment.cut >= horizon {
            // Whatever it holds is void, and where it goes on from is superseded.
            self.decision.void += segment.runs.iter().map(run_length).sum::<u64>();
            return;
        }
        if self.segment.is_some() {
            self.missing(previous(segment.cut));
        }
        if !self.ended {
            // Between its cut and its first group there never was a group that counts.
            self.expected = segment.first.min(horizon);
        }
        self.segment = Some(segment);
        for run in &segment.runs {
            if run.from >= horizon {
                self.decision.void += run_length(run);
                continue;
            }
            self.missing(previous(run.from));
            let through = run.through.min(previous(horizon));
            self.decision.void += run.through.0 - through.0;
            self.run(index, run, through);
        }
    }

    /// The groups `run.from..=through`, none of which is void.
    fn run(&mut self, index: usize, run: &GroupRun, through: GroupSequence) {
        let mut from = run.from;
        while from <= through {
            let position = self.position(from);
            // A run is judged in the pieces that lie in one position.
            let piece_through = match position {
                Position::Settled => through.min(self.facts.durable_through),
                Position::Tail | Position::Beyond => through,
            };
            self.piece(index, run, (from, piece_through), position);
            from = next(piece_through);
        }
    }

    fn piece(
        &mut self,
        index: usize,
        run: &GroupRun,
        (from, through): (GroupSequence, GroupSequence),
        position: Position,
    ) {
        match judge(run.presence, position, false) {
            Verdict::Accept => {
                let (start, end) = (run.start, run.end);
                self.accept(AcceptedRun { segment: index, from, through, start, end });
                self.expected = next(through);
            }
            Verdict::Lost => self.lose(from, through, run.presence),
            Verdict::End => {
                self.ended = true;
                self.decision.dropped += through.0 - from.0 + 1;
            }
            Verdict::Drop | Verdict::Void => self.decision.dropped += through.0 - from.0 + 1,
        }
    }

    /// Accounts for the groups from the expected one up to `through` that left no trace.
    fn missing(&mut self, through: GroupSequence) {
        while !self.ended && self.expected <= through {
            let from = self.expected;
            let unreadable = self
                .segment
                .is_some_and(|segment| segment.unreadable_after.contains(&previous(from)));
            let presence = if unreadable { Presence::Unreadable } else { Presence::Missing };
            let position = self.position(from);
            let piece_through = match position {
                Position::Settled => through.min(self.facts.durable_through),
                Position::Tail | Position::Beyond => through,
            };
            // A stretch that cannot be read hides all groups up to the next one that is found.
            match judge(presence, position, false) {
                Verdict::Lost => {
                    let hidden = if unreadable { through } else { piece_through };
                    self.lose(from, hidden, presence);
                }
                Verdict::End => self.ended = true,
                Verdict::Accept | Verdict::Void | Verdict::Drop => {
                    unreachable!("what is missing is neither accepted nor dropped")
                }
            }
        }
    }

    fn position(&self, sequence: GroupSequence) -> Position {
        if sequence <= self.facts.durable_through {
            Position::Settled
        } else if self.ended {
            Position::Beyond
        } else {
            Position::Tail
        }
    }

    fn accept(&mut self, run: AcceptedRun) {
        match self.decision.accepted.last_mut() {
            Some(last)
                if last.segment == run.segment
                    && last.start == run.start
                    && next(last.through) == run.from =>
            {
                last.through = run.through;
            }
            Some(_) | None => self.decision.accepted.push(run),
        }
    }

    fn lose(&mut self, from: GroupSequence, through: GroupSequence, presence: Presence) {
        self.decision.lost.push(LostGroups { from, through, presence });
        self.expected = next(through);
    }
}

const fn run_length(run: &GroupRun) -> u64 {
    run.through.0 - run.from.0 + 1
}

/// The sequence behind `sequence`.
pub(super) const fn next(sequence: GroupSequence) -> GroupSequence {
    GroupSequence(sequence.0.saturating_add(1))
}

/// The sequence before `sequence`.
pub(super) const fn previous(sequence: GroupSequence) -> GroupSequence {
    GroupSequence(sequence.0.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PRESENCES: [Presence; 4] =
        [Presence::Complete, Presence::Broken, Presence::Unreadable, Presence::Missing];
    const POSITIONS: [Position; 3] = [Position::Settled, Position::Tail, Position::Beyond];

    #[test]
    fn every_row_of_the_table() {
        for position in POSITIONS {
            for presence in PRESENCES {
                assert_eq!(judge(presence, position, true), Verdict::Void);
            }
        }
        let rows = POSITIONS.map(|position| PRESENCES.map(|p| judge(p, position, false)));
        use Verdict::{Accept, Drop, End, Lost};
        assert_eq!(
            rows,
            [[Accept, Lost, Lost, Lost], [Accept, End, Lost, End], [Drop, Drop, Drop, Drop]]
        );
    }

    /// A segment whose groups from `first` on are as `presences` says, one block each.
    fn segment(generation: u64, cut: u64, first: u64, presences: &[Presence]) -> SegmentFacts {
        let mut facts = SegmentFacts {
            generation: Generation(generation),
            first: GroupSequence(first),
            cut: GroupSequence(cut),
            runs: Vec::new(),
            unreadable_after: Vec::new(),
        };
        for (&presence, sequence) in presences.iter().zip(first..) {
            let (start, end) = (sequence * 4_096, (sequence + 1) * 4_096);
            let from = GroupSequence(sequence);
            match (presence, facts.runs.last_mut()) {
                (Presence::Missing, _) => {}
                (Presence::Complete, Some(run))
                    if run.presence == Presence::Complete && next(run.through) == from =>
                {
                    run.through = from;
                    run.end = end;
                }
                _ => facts.runs.push(GroupRun { from, through: from, presence, start, end }),
            }
        }
        facts
    }

    fn facts(durable_through: u64, segments: Vec<SegmentFacts>) -> LogFacts {
        let log_start = segments.first().map_or(Generation(0), |segment| segment.generation);
        LogFacts { durable_through: GroupSequence(durable_through), log_start, segments }
    }

    /// The decision by single groups: what is accepted, what is lost, and the end of the log.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Plain {
        accepted: Vec<u64>,
        lost: Vec<u64>,
        end: u64,
    }

    impl From<Decision> for Plain {
        fn from(decision: Decision) -> Self {
            let accepted = decision.accepted.iter().flat_map(|run| run.from.0..=run.through.0);
            let lost = decision.lost.iter().flat_map(|lost| lost.from.0..=lost.through.0);
            Self {
                accepted: accepted.collect(),
                lost: lost.collect(),
                end: decision.accepted_through.0,
            }
        }
    }

    /// The slow twin: looks at one sequence after the other.
    fn decide_plainly(facts: &LogFacts) -> Plain {
        let segments = &facts.segments;
        let cut_after = |index: usize| segments[index + 1..].iter().map(|s| s.cut.0).min();
        let is_void =
            |index: usize, sequence: u64| cut_after(index).is_some_and(|cut| sequence >= cut);
        let counting: Vec<usize> =
            (0..segments.len()).filter(|&i| !is_void(i, segments[i].cut.0)).collect();
        let begin = |i: usize| segments[i].first.0.min(cut_after(i).unwrap_or(segments[i].first.0));
        let mut plain = Plain::default();
        let oldest = counting[0];
        let highest = segments.iter().flat_map(|s| s.runs.last()).map(|run| run.through.0);
        let highest = highest.max().unwrap_or(0).max(facts.durable_through.0);
        let highest = highest.max(segments[segments.len() - 1].first.0 - 1);
        let mut ended = false;
        plain.end = begin(oldest) - 1;
        for sequence in begin(oldest)..=highest {
            let never_was =
                counting[1..].iter().any(|&i| (segments[i].cut.0..begin(i)).contains(&sequence));
            if never_was {
                if !ended {
                    plain.end = sequence;
                }
                continue;
            }
            let presence = counting
                .iter()
                .filter(|&&i| !is_void(i, sequence))
                .flat_map(|&i| &segments[i].runs)
                .find(|run| (run.from.0..=run.through.0).contains(&sequence))
                .map_or(Presence::Missing, |run| run.presence);
            let position = match (sequence <= facts.durable_through.0, ended) {
                (true, _) => Position::Settled,
                (false, false) => Position::Tail,
                (false, true) => Position::Beyond,
            };
            match judge(presence, position, false) {
                Verdict::Accept => plain.accepted.push(sequence),
                Verdict::Lost => plain.lost.push(sequence),
                Verdict::End => ended = true,
                Verdict::Drop | Verdict::Void => {}
            }
            if !ended {
                plain.end = sequence;
            }
        }
        plain
    }

    #[test]
    fn one_segment_in_every_state() {
        for code in 0..4_usize.pow(5) {
            let presences: Vec<_> =
                (0..5).map(|digit| PRESENCES[code / 4_usize.pow(digit) % 4]).collect();
            for durable_through in 2..=7 {
                let facts = facts(durable_through, vec![segment(1, 3, 3, &presences)]);
                let plain = Plain::from(decide(&facts));
                assert_eq!(plain, decide_plainly(&facts), "{facts:?}");
                assert!(plain.end >= durable_through);
            }
        }
    }

    fn presences() -> impl Strategy<Value = Vec<Presence>> {
        prop::collection::vec(prop::sample::select(&PRESENCES[..]), 0..5)
    }

    proptest! {
        /// Several segments with cuts: each goes on behind the highest sequence before it, and
        /// cuts off some of the last groups. Cuts never go back behind what was durable, as the
        /// writer's never do.
        #[test]
        fn several_segments_as_the_slow_twin_says(
            parts in prop::collection::vec((presences(), 0..4_u64, 0..3_u64), 1..5),
            durable in 0..20_u64,
        ) {
            let (mut first, mut least_cut) = (1, 1);
            let mut segments = Vec::new();
            for ((presences, back, skip), generation) in parts.iter().zip(1..) {
                let cut = if generation == 1 { 1 } else { first.max(*back + least_cut) - back };
                let begin = first + skip;
                segments.push(segment(generation, cut.min(begin), begin, presences));
                least_cut = least_cut.max(cut);
                first = begin + u64::try_from(presences.len()).unwrap();
            }
            let facts = facts(durable.min(first - 1), segments);
            let decision = decide(&facts);
            prop_assert_eq!(&decide(&facts), &decision);
            prop_assert_eq!(Plain::from(decision), decide_plainly(&facts));
        }
    }

    #[test]
    fn a_torn_tail_is_no_loss_and_stays_away() {
        use Presence::{Complete, Missing};
        let torn = segment(1, 1, 1, &[Complete, Complete, Missing, Complete]);
        let decision = decide(&facts(1, vec![torn.clone()]));
        assert_eq!(decision.accepted_through, GroupSequence(2));
        assert_eq!((decision.dropped, decision.lost.len()), (1, 0));
        // The next start writes behind it and says where it cut the log off.
        let after = segment(2, 3, 5, &[Complete]);
        let decision = decide(&facts(2, vec![torn, after]));
        assert_eq!(Plain::from(decision.clone()).accepted, [1, 2, 5]);
        assert_eq!((decision.void, decision.lost.len()), (1, 0));
    }

    #[test]
    fn a_failure_and_two_restarts_leave_no_gap() {
        use Presence::Complete;
        // Groups 3 and 4 failed, the segment behind them got no further than its header, and the
        // one behind that begins where it did.
        let segments = vec![
            segment(1, 1, 1, &[Complete, Complete]),
            segment(2, 3, 5, &[]),
            segment(3, 5, 5, &[Complete]),
        ];
        let decision = decide(&facts(4, segments));
        assert_eq!(Plain::from(decision.clone()).accepted, [1, 2, 5]);
        assert_eq!(decision.lost, []);
    }

    #[test]
    fn a_block_that_cannot_be_read_does_not_end_the_log() {
        use Presence::{Complete, Missing};
        let mut unreadable = segment(1, 1, 1, &[Complete, Missing, Missing, Complete]);
        unreadable.unreadable_after.push(GroupSequence(1));
        let decision = decide(&facts(0, vec![unreadable]));
        assert_eq!(Plain::from(decision.clone()).accepted, [1, 4]);
        assert_eq!(decision.lost[0].presence, Presence::Unreadable);
        assert_eq!(Plain::from(decision).lost, [2, 3]);
    }

    #[test]
    fn a_segment_that_is_gone_is_a_loss() {
        let rest = segment(3, 9, 9, &[Presence::Complete]);
        let facts = LogFacts {
            durable_through: GroupSequence(8),
            log_start: Generation(2),
            segments: vec![rest],
        };
        assert_eq!(decide(&facts).start_missing, Some(Generation(2)));
        let whole = LogFacts { log_start: Generation(3), ..facts };
        assert_eq!(decide(&whole).start_missing, None);
    }

    #[test]
    fn an_empty_log_is_empty() {
        let decision = decide(&LogFacts::default());
        assert_eq!(decision, Decision::default());
    }
}

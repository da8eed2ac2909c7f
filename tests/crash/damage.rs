//! Logs that the disk damaged: what is left is recovered, what is lost is reported, and no byte of
//! it is trusted.

use std::collections::BTreeMap;

use ringpost::sim::disk::{Completion, SimDisk, SimDiskOptions};
use ringpost::spool::{Damage, Finding, Recovered, SegmentFiles, inspect, read_body, recover};

use crate::world::World;

/// Each message that is offered is one that there was, whole; what is missing is reported. Only if
/// the last two groups of a log of `groups` are damaged both, that cannot be told from a crash.
fn check(world: &mut World, groups: u64) -> Recovered {
    let recovered = recover(world.disk(), 1).expect("damage is no error");
    assert_eq!(recover(world.disk(), 1).as_ref(), Ok(&recovered), "recovered twice");
    let disk = std::mem::replace(world.disk(), empty_disk());
    let queue: BTreeMap<_, _> = world.queue().map(|queued| (queued.0.id, queued)).collect();
    let mut missing = queue.len();
    for message in &recovered.messages {
        // A message whose last outcome is lost is offered again: at least once.
        let Some((queued, content)) = queue.get(&message.id) else {
            let like_a_crash = recovered.accepted_through.0 + 2 <= groups;
            let is_told = !recovered.damage.is_empty() || like_a_crash;
            assert!(is_told, "a finished message is back without damage");
            continue;
        };
        missing -= 1;
        assert_eq!(message.sender, queued.sender);
        if recovered.damage.is_empty() && recovered.accepted_through.0 + 2 > groups {
            assert_eq!(&message, queued, "a message changed without damage");
        }
        let slot_of = |generation| recovered.slot_of(generation);
        if let Ok(body) = read_body(&disk, slot_of, &message.content) {
            assert!(body == *content, "damaged content was taken for sound");
        }
    }
    let like_a_crash = recovered.accepted_through.0 + 2 <= groups;
    let is_told = !recovered.damage.is_empty() || like_a_crash;
    assert!(missing == 0 || is_told, "{missing} lost without a word");
    drop(queue);
    *world.disk() = disk;
    recovered
}

fn empty_disk() -> SimDisk {
    let options = SimDiskOptions {
        segment_bytes: 65_536,
        segment_count_max: 10,
        write_failures_permille: 0,
        garbage_permille: 0,
        late_permille: 0,
    };
    SimDisk::new(0, options)
}

fn some_slot(world: &mut World) -> Option<u32> {
    let slots = world.disk().slots().expect("they are listed");
    let at = world.random().below(slots.len());
    slots.get(at).copied()
}

#[test]
fn changed_bytes_are_noticed() {
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 5_000..5_060 {
        let mut world = World::calm(seed);
        let whole = check(&mut world, 0);
        assert_eq!(whole.damage, []);
        for _ in 0..5 {
            let Some(slot) = some_slot(&mut world) else { break };
            let random = world.random();
            let (at, length, value) =
                (random.next_u64(), random.below(3 * 4_096) + 1, random.next_u64());
            let bytes = world.disk().bytes_mut(slot).expect("it is there");
            let at = usize::try_from(at).expect("64 bits") % bytes.len();
            let end = bytes.len().min(at + length);
            for byte in &mut bytes[at..end] {
                *byte ^= u8::try_from(value & 0xff).expect("a byte") | 1;
            }
            for damage in check(&mut world, whole.accepted_through.0).damage {
                kinds.insert(format!("{:?}", std::mem::discriminant(&damage)));
                assert!(damage.to_string().len() > 20);
            }
        }
    }
    assert!(kinds.len() >= 2, "{kinds:?}");
}

#[test]
fn unreadable_blocks_lose_no_more_than_what_is_in_them() {
    for seed in 6_000..6_060 {
        let mut world = World::calm(seed);
        let whole = check(&mut world, 0);
        let Some(slot) = some_slot(&mut world) else { continue };
        let block = world.random().below(16);
        world.disk().break_block(slot, block as u64 * 4_096);
        let recovered = check(&mut world, whole.accepted_through.0);
        assert!(
            recovered.damage.iter().any(|damage| matches!(damage, Damage::Unreadable { .. }))
                || recovered.segments.iter().all(|segment| segment.slot != slot),
            "an unreadable block of a segment in use is reported"
        );
        // A block holds a part of one group, and groups of one segment are at most its length.
        let lost = whole.messages.len().saturating_sub(recovered.messages.len());
        let in_segment = whole.segments.iter().find(|segment| segment.slot == slot);
        let at_most = in_segment.map_or(0, |segment| segment.live_messages);
        assert!(lost as u64 <= at_most, "{lost} lost, {at_most} have anything in the segment");
    }
}

#[test]
fn a_segment_that_is_gone_is_missed() {
    let mut missed = 0;
    for seed in 7_000..7_030 {
        let mut world = World::calm(seed);
        let whole = check(&mut world, 0);
        if let Some(segment) = whole.segments.first().filter(|_| whole.segments.len() > 1) {
            world.disk().delete(segment.slot);
            let deleted = world.disk().complete();
            assert_eq!(deleted, Some(Completion::Deleted { slot: segment.slot }));
            assert!(!check(&mut world, 0).damage.is_empty());
            missed += 1;
        }
    }
    assert!(missed > 0, "no history had two segments");
}

#[test]
fn copies_and_foreign_segments_are_left_alone() {
    let mut world = World::calm(8_001);
    let whole = check(&mut world, 0);
    let slot = whole.segments[0].slot;
    let bytes = world.disk().bytes_mut(slot).expect("it is there").to_vec();
    let mut other = World::calm(8_002);
    for (at, copied) in [(900, bytes.clone()), (901, bytes)] {
        world.disk().create(at);
        world.disk().complete();
        let target = world.disk().bytes_mut(at).expect("it was created");
        let length = target.len().min(copied.len());
        target[..length].copy_from_slice(&copied[..length]);
    }
    let recovered = check(&mut world, 0);
    assert_eq!(recovered.messages, whole.messages);
    assert_eq!(recovered.untouchable, [900, 901]);
    assert!(
        recovered.damage.iter().all(|damage| matches!(damage, Damage::SegmentTwice { .. })),
        "{:?}",
        recovered.damage
    );
    // Nothing but garbage is an empty log.
    let random = &mut other.random().clone();
    for slot in other.disk().slots().expect("they are listed") {
        random.fill(other.disk().bytes_mut(slot).expect("it is there"));
    }
    let recovered = recover(other.disk(), 5).expect("recovers");
    assert_eq!((recovered.log_id, recovered.messages.len()), (5, 0));
}

#[test]
fn a_log_is_told_to_people() {
    let mut world = World::calm(9_000);
    let recovered = check(&mut world, 0);
    let (mut lines, mut messages, mut summary) = (Vec::new(), 0, None);
    inspect(world.disk(), &mut |finding| {
        lines.push(finding.to_string());
        messages += usize::from(matches!(finding, Finding::Message { .. }));
        if let Finding::Summary { messages, .. } = finding {
            summary = Some(messages);
        }
    })
    .expect("inspects");
    assert!(messages >= recovered.messages.len());
    assert_eq!(summary, Some(recovered.messages.len()));
    assert!(lines.iter().all(|line| !line.contains('\n')), "one line each");
    assert!(lines.iter().any(|line| line.contains("from <sender@example.org>")), "{lines:#?}");
}

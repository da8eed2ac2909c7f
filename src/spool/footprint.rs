//! Which segments a message keeps from being recycled.

use smallvec::SmallVec;

use super::format::CHUNK_HEADER_BYTES;
use crate::ids::Generation;
use crate::message::Content;

/// For each segment that holds records of a message, how many bytes of them; by rising generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Footprint {
    parts: SmallVec<[(Generation, u64); 1]>,
}

impl Footprint {
    pub(super) fn of_content(content: &Content) -> Self {
        let mut footprint = Self::default();
        for extent in &content.extents {
            let bytes = CHUNK_HEADER_BYTES as u64 + u64::from(extent.length);
            footprint.add(extent.generation, bytes);
        }
        footprint
    }

    /// Adds `bytes` in the segment of `generation`; returns whether it is the first of them there.
    pub(super) fn add(&mut self, generation: Generation, bytes: u64) -> bool {
        match self.parts.binary_search_by_key(&generation, |&(part, _)| part) {
            Ok(at) => {
                if let Some((_, sum)) = self.parts.get_mut(at) {
                    *sum += bytes;
                }
                false
            }
            Err(at) => {
                self.parts.insert(at, (generation, bytes));
                true
            }
        }
    }

    /// Takes out everything in segments older than `floor`.
    pub(super) fn take_below(&mut self, floor: Generation) -> Self {
        let end = self.parts.partition_point(|&(generation, _)| generation < floor);
        Self { parts: self.parts.drain(..end).collect() }
    }

    /// The oldest segment.
    pub(super) fn oldest(&self) -> Option<Generation> {
        self.parts.first().map(|&(generation, _)| generation)
    }

    /// Whether a part lies in the segment of `generation`.
    pub(super) fn covers(&self, generation: Generation) -> bool {
        self.parts.binary_search_by_key(&generation, |&(part, _)| part).is_ok()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Generation, u64)> {
        self.parts.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_kept_by_segment() {
        let mut footprint = Footprint::default();
        assert!(footprint.add(Generation(5), 10));
        assert!(footprint.add(Generation(3), 1));
        assert!(!footprint.add(Generation(5), 7));
        assert_eq!(footprint.oldest(), Some(Generation(3)));
        let below = footprint.take_below(Generation(5));
        assert_eq!(below.iter().collect::<Vec<_>>(), [(Generation(3), 1)]);
        assert_eq!(footprint.iter().collect::<Vec<_>>(), [(Generation(5), 17)]);
    }
}
